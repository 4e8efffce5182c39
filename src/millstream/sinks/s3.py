"""A prefix of an S3 bucket that holds objects: each is written whole or not at all, and never replaced."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pyarrow as pa
from botocore.exceptions import ClientError

from millstream.errors import SettingsError, SinkError
from millstream.sinks.clients import client
from millstream.sinks.retry import Again, Backoff, code_of, retry
from millstream.sinks.store import Found, Store, Stored, TakenError
from millstream.sinks.tags import difference as tags_difference

T = TypeVar("T")

MULTIPART_BYTES = 16 << 20
"""Larger bodies go in parts: of those only one that fails goes again."""
PART_BYTES = 8 << 20
MOST_PARTS = 10_000
KEY_BYTES = 1024
PREFIX = "millstream-"
TYPES = {".parquet": "application/vnd.apache.parquet", ".json": "application/json", ".ndjson": "application/x-ndjson"}
_ABORT_SECONDS = 1.0

_TAKEN = ("PreconditionFailed", "412")
_CONFLICT = ("ConditionalRequestConflict", "OperationAborted", "409")
_MISSING = ("404", "NoSuchKey", "NotFound")
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]", re.ASCII)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)
_WRONG = frozenset('\\{}^%`[]"<>~#|?*')
"""Characters that other tools take for something else: escapes, patterns, the end of a URL's path."""


class S3Store:
    """Objects under `s3://bucket/prefix/`."""

    threads = 8

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        kms_key: str | None = None,
        multipart_bytes: int = MULTIPART_BYTES,
        part_bytes: int = PART_BYTES,
        backoff: Backoff | None = None,
    ) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.url = f"s3://{bucket}/{prefix}"
        self.multipart_bytes, self.part_bytes = multipart_bytes, part_bytes
        self.backoff = backoff or Backoff()
        self._encryption: dict[str, Any] = {}
        if kms_key is not None:
            self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True}

    def load(self) -> None:
        client("s3")

    def covers(self, other: Store) -> bool:
        """Would readers of this prefix find what is written there?"""
        return isinstance(other, S3Store) and other.bucket == self.bucket and other.prefix.startswith(self.prefix)

    def put(
        self,
        name: str,
        body: Any,
        tags: Mapping[str, str],
        difference: Callable[[Path], str | None] | None = None,
        until: float = math.inf,
    ) -> Stored:
        """Write `body` (a buffer) with its tags as metadata, or find that an object with these tags stands there.

        Raises SinkError; no upload is left open then.
        """
        return _Put(self, name, memoryview(body).cast("B"), tags, self._encryption, until).run()

    def replace(self, name: str, body: bytes, until: float, tags: Mapping[str, str] | None = None) -> None:
        put = _Put(self, name, memoryview(body), tags or {}, self._encryption, until)
        put.replace()

    def noted(self, name: str, until: float) -> bytes | None:
        def get() -> bytes:
            found: bytes = client("s3").get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read()
            return found

        return self._found(get, until, f"cannot read {self.url}{name}")

    def _found(self, call: Callable[[], T], until: float, doing: str) -> T | None:
        """What is asked of an object; None where there is none."""

        def ask() -> T | None:
            try:
                return call()
            except ClientError as error:
                if code_of(error) not in _MISSING:
                    raise
                return None

        return retry(ask, self.backoff, until, doing=doing, action="s3:GetObject and s3:ListBucket")

    def forget(self, name: str, until: float) -> None:
        with suppress(SinkError):  # it is read again only by the version of the object that it is of
            self.remove(name, until)

    def listed(self, until: float) -> Iterator[Found]:
        start: dict[str, str] = {}
        while True:
            page = self._list("list_objects_v2", until, **start)
            for one in page.get("Contents", ()):
                if not one["Key"].endswith("/"):  # which consoles make for folders
                    yield Found(one["Key"].removeprefix(self.prefix), one["Size"], one["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            start = {"ContinuationToken": page["NextContinuationToken"]}

    def tags(self, name: str, until: float) -> dict[str, str] | None:
        def head() -> dict[str, str]:
            found = client("s3").head_object(Bucket=self.bucket, Key=self.prefix + name)
            return {tag: unquote(value) for tag, value in _metadata(found).items()}

        return self._found(head, until, f"cannot tell what stands at {self.url}{name}")

    def read(self, name: str, until: float) -> bytes:
        found = self.noted(name, until)
        if found is None:
            raise SinkError(f"cannot read {self.url}{name}: there is no such object")
        return found

    def remove(self, name: str, until: float) -> None:
        retry(
            lambda: client("s3").delete_object(Bucket=self.bucket, Key=self.prefix + name),
            self.backoff,
            until,
            doing=f"cannot remove {self.url}{name}",
            action="s3:DeleteObject",
        )

    def unfinished(self, until: float) -> Iterator[Found]:
        start: dict[str, str] = {}
        while True:
            page = self._list("list_multipart_uploads", until, "s3:ListBucketMultipartUploads", **start)
            for one in page.get("Uploads", ()):
                if one["Key"].startswith(self.prefix):
                    yield Found(one["Key"].removeprefix(self.prefix), 0, one["Initiated"].timestamp(), one["UploadId"])
            if not page.get("IsTruncated"):
                return
            start = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abandon(self, found: Found, until: float) -> None:
        def abort() -> None:
            try:
                client("s3").abort_multipart_upload(Bucket=self.bucket, Key=self.prefix + found.name, UploadId=found.upload)
            except ClientError as error:
                if code_of(error) not in ("NoSuchUpload", "404"):
                    raise

        doing = f"cannot abort the upload of {self.url}{found.name}"
        retry(abort, self.backoff, until, doing=doing, action="s3:AbortMultipartUpload")

    def _list(self, operation: str, until: float, action: str = "s3:ListBucket", **start: str) -> Any:
        return retry(
            lambda: getattr(client("s3"), operation)(Bucket=self.bucket, Prefix=self.prefix, **start),
            self.backoff,
            until,
            doing=f"cannot list {self.url}",
            action=action,
        )


class _Put:
    """One object on its way."""

    def __init__(
        self,
        store: S3Store,
        name: str,
        body: memoryview,
        tags: Mapping[str, str],
        encryption: Mapping[str, Any],
        until: float,
    ) -> None:
        self.store, self.body, self.until = store, body, until
        self.tags = {tag: quote(value, safe=" !#$&'()*+,/:;=?@[]^{|}") for tag, value in tags.items()}
        key = store.prefix + name
        self.url = f"s3://{store.bucket}/{key}"
        if len(key.encode()) > KEY_BYTES:
            raise SinkError(
                f"cannot write {self.url}: the key is longer than S3's {KEY_BYTES:,} bytes; shorten the prefix, or partition by less"
            )
        self.target = {"Bucket": store.bucket, "Key": key}
        self.made = {
            "Metadata": {PREFIX + tag: value for tag, value in self.tags.items()},
            "ContentType": TYPES.get(Path(name).suffix, "application/octet-stream"),
            **encryption,
        }

    def run(self) -> Stored:
        return self._retry(self._upload if self.body.nbytes > self.store.multipart_bytes else self._write)

    def _retry(self, attempt: Callable[[], T], doing: str = "", action: str = "s3:PutObject", until: float | None = None) -> T:
        return retry(
            attempt,
            self.store.backoff,
            self.until if until is None else until,
            doing=doing or f"cannot write {self.url}",
            action=action,
        )

    def _write(self) -> Stored:
        try:
            client("s3").put_object(**self.target, **self.made, Body=_sent(self.body), IfNoneMatch="*")
        except ClientError as error:
            if code_of(error) not in _TAKEN:
                raise
            return self._standing()
        return Stored(self.url, self.body.nbytes, True)

    def replace(self) -> None:
        """Write it whatever stands there."""
        self._retry(lambda: client("s3").put_object(**self.target, **self.made, Body=_sent(self.body)))

    def _standing(self) -> Stored:
        """The object that stands there, if it is the same: perhaps our own, of an attempt whose answer was lost."""

        def head() -> Any:
            try:
                return client("s3").head_object(**self.target)
            except ClientError as error:
                if code_of(error) not in _MISSING:
                    raise
                return None

        found = self._retry(head, f"cannot tell what stands at {self.url}", "s3:GetObject")
        if found is None:
            raise Again("an object that stood there is gone")
        metadata = _metadata(found)
        other = tags_difference(metadata, self.tags)
        if other is not None:
            raise TakenError(
                f"{self.url} stands there already and is another object: {other}; write to another prefix, or move it away",
                {name: unquote(value) for name, value in metadata.items()},
            )
        return Stored(self.url, found["ContentLength"], False)

    def _upload(self) -> Stored:
        """All parts, then the object; whatever happens, no upload stays open: its parts would be paid for."""
        started = self._retry(lambda: client("s3").create_multipart_upload(**self.target, **self.made))
        upload = {**self.target, "UploadId": started["UploadId"]}
        is_open = True
        try:
            size = max(self.store.part_bytes, -(-self.body.nbytes // MOST_PARTS))
            starts = range(0, self.body.nbytes, size)
            parts = [self._part(upload, number, self.body[at : at + size]) for number, at in enumerate(starts, 1)]
            code = self._retry(lambda: _complete(upload, parts))
            is_open = code is not None
        finally:
            if is_open:
                self._abort(upload)
        if code is None:
            return Stored(self.url, self.body.nbytes, True)
        if code in _CONFLICT:
            raise Again(f"another write came between ({code})")
        return self._standing()

    def _part(self, upload: Mapping[str, Any], number: int, body: memoryview) -> dict[str, Any]:
        answer = self._retry(lambda: client("s3").upload_part(**upload, PartNumber=number, Body=_sent(body)))
        # S3 wants each part's checksum again, and tells it only here.
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def _abort(self, upload: Mapping[str, Any]) -> None:
        """Also when time is up: an open upload costs more than the moment that this takes."""

        def abort() -> None:
            try:
                client("s3").abort_multipart_upload(**upload)
            except ClientError as error:
                if code_of(error) not in ("NoSuchUpload", "404"):
                    raise

        with suppress(SinkError):  # what is on its way is the first cause
            until = max(self.until, self.store.backoff.clock() + _ABORT_SECONDS)
            self._retry(abort, f"cannot abort the upload of {self.url}", "s3:AbortMultipartUpload", until)


def _metadata(head: Mapping[str, Any]) -> dict[str, str]:
    """Tags as S3 gives them back: quoted."""
    return {name.lower().removeprefix(PREFIX): value for name, value in head.get("Metadata", {}).items()}


def _complete(upload: Mapping[str, Any], parts: list[dict[str, Any]]) -> str | None:
    """Make the object of its parts. None, or the code of the answer where another attempt at this upload is in vain."""
    try:
        client("s3").complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except ClientError as error:  # also of an answer 200 whose body is an error: botocore makes a 500 of it
        code = code_of(error)
        if code in (*_TAKEN, *_CONFLICT, "NoSuchUpload", "404"):
            return code
        raise
    return None


def _sent(body: memoryview) -> Any:
    """A body as botocore takes it without a copy, read in pieces: the time to connect is also the time to send one piece."""
    return pa.BufferReader(pa.py_buffer(body))


def parse_s3(url: str, what: str) -> tuple[str, str]:
    """Bucket and prefix (ends with `/`, or is empty) of an s3:// URL. Raises SettingsError that says what is wrong with it."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    wrong = f"{what} is {url!r}: "
    if not bucket:
        raise SettingsError(f"{wrong}it names no bucket; write s3://bucket/prefix/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _ADDRESS.fullmatch(bucket):
        raise SettingsError(
            f"{wrong}{bucket!r} is no bucket's name, which has 3 to 63 lower-case letters, digits, dots and hyphens; "
            "write s3://bucket/prefix/"
        )
    prefix = prefix.removesuffix("/")
    if not prefix:
        return bucket, ""
    if any(part in ("", ".", "..") for part in prefix.split("/")):
        raise SettingsError(f"{wrong}the prefix has a part that is empty, '.' or '..'; write s3://{bucket}/prefix/")
    found = next((one for one in prefix if one in _WRONG or not one.isprintable()), None)
    if found is not None:
        raise SettingsError(f"{wrong}the prefix holds {found!r}, which other tools do not take; leave it out")
    return bucket, prefix + "/"
