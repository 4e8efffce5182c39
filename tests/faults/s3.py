"""S3: objects, versions and uploads, all of it strongly consistent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

from botocore.exceptions import ClientError

from tests.faults.faults import Kind
from tests.faults.held import ENCRYPTION, Held, StreamingBody, Version, about_of, lowered, sent, version_of
from tests.faults.uploads import Uploads


class S3(Uploads):
    """Buckets. Of a head that fails botocore tells only the status, as its code."""

    service = "s3"
    operations = (
        *("create_bucket", "put_bucket_versioning", "put_object", "get_object", "head_object", "delete_object"),
        *("list_objects_v2", "create_multipart_upload", "upload_part", "complete_multipart_upload"),
        *("abort_multipart_upload", "list_multipart_uploads"),
    )
    throttled = "KMS.ThrottlingException", 400
    internal = "InternalError", 500
    denied = "AccessDenied", 403
    expired = "ExpiredToken", 400

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.buckets: dict[str, Held] = {}

    def body(self, bucket: str, key: str) -> bytes:
        """What stands there now, for judges. Raises KeyError."""
        found = self.buckets[bucket].current(key)
        if found is None:
            raise KeyError(key)
        return found.body

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """What stands there now, in order."""
        held = self.buckets[bucket]
        return sorted(key for key in held.keys if key.startswith(prefix) and held.current(key) is not None)

    # What a service is.

    def key(self, asked: dict[str, Any]) -> str:
        return f"{asked.get('Bucket')}/{asked.get('Key', asked.get('Prefix', ''))}"

    def told(self, operation: str, answer: dict[str, Any]) -> str:
        return f"ok {answer.get('ETag', '')}"

    def error(self, code: str, status: int = 400, message: str = "", operation: str = "", **told: Any) -> ClientError:
        if (operation or self.operation) == "head_object":
            code = str(status)
        return super().error(code, status, message, operation, **told)

    def conflict(self, operation: str) -> ClientError:
        return self.error("ConditionalRequestConflict", 409, "A conflicting operation is under way.", operation)

    def refusal(self, kind: Kind, operation: str) -> ClientError | None:
        if kind is Kind.INTERNAL_ERROR and operation == "complete_multipart_upload":
            # It is answered with 200 by then. botocore makes a 500 of an error in such a body.
            return self.error("InternalError", 500, "We encountered an internal error. Please try again.", operation)
        return super().refusal(kind, operation)

    # Buckets.

    def create_bucket(self, *, Bucket: str) -> dict[str, Any]:
        self.buckets.setdefault(Bucket, Held())
        return self.answer(Location=f"/{Bucket}")

    def put_bucket_versioning(self, *, Bucket: str, VersioningConfiguration: dict[str, str]) -> dict[str, Any]:
        if VersioningConfiguration != {"Status": "Enabled"}:
            raise NotImplementedError(f"s3: {VersioningConfiguration}")
        bucket = self._bucket(Bucket)
        bucket.is_versioned = True
        for versions in bucket.keys.values():
            for one in versions:
                one.version = one.version or "null"
        return self.answer()

    def _bucket(self, name: str) -> Held:
        found = self.buckets.get(name)
        if found is None:
            raise self.error("NoSuchBucket", 404, "The specified bucket does not exist")
        return found

    # Objects.

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: Any = b"",
        Metadata: dict[str, str] | None = None,
        ContentType: str = "binary/octet-stream",
        IfNoneMatch: str | None = None,
        IfMatch: str | None = None,
        ServerSideEncryption: str | None = None,
        SSEKMSKeyId: str | None = None,
        BucketKeyEnabled: bool | None = None,
    ) -> dict[str, Any]:
        bucket = self._bucket(Bucket)
        self._conditions(bucket, Key, IfNoneMatch, IfMatch)
        about = about_of(ContentType, ServerSideEncryption, SSEKMSKeyId, BucketKeyEnabled)
        data = sent(Body)
        return self._written(bucket, Key, data, f'"{md5(data).hexdigest()}"', lowered(Metadata), about)

    def _conditions(self, bucket: Held, key: str, none: str | None, match: str | None) -> None:
        if none not in (None, "*"):
            raise NotImplementedError(f"s3: IfNoneMatch={none}")
        found = bucket.current(key)
        if none is not None and found is not None:
            raise self._failed("If-None-Match")
        if match is not None and found is None:
            raise self.error("NoSuchKey", 404, "The specified key does not exist.", Key=key)
        if match is not None and match.strip('"') != found.etag.strip('"'):
            raise self._failed("If-Match")

    def _failed(self, condition: str) -> ClientError:
        message = "At least one of the pre-conditions you specified did not hold"
        return self.error("PreconditionFailed", 412, message, Condition=condition)

    def _written(
        self, bucket: Held, key: str, data: bytes, etag: str, metadata: dict[str, str], about: dict[str, Any]
    ) -> dict[str, Any]:
        made = Version(data, etag, self._date(), self.world.token() if bucket.is_versioned else None, metadata, about)
        versions = bucket.keys.setdefault(key, [])
        if not bucket.is_versioned:
            versions.clear()
        versions.append(made)
        told = {"ETag": etag, **{name: about[name] for name in ENCRYPTION if name in about}}
        return self.answer(**told, **version_of(made))

    def _date(self) -> datetime:
        return datetime.fromtimestamp(int(self.world.time), UTC)

    def _found(self, bucket: str, key: str, version: str | None, match: str | None) -> Version:
        held = self._bucket(bucket)
        if version is None:
            found = held.current(key)
            if found is None:
                raise self.error("NoSuchKey", 404, "The specified key does not exist.", Key=key)
        else:
            found = next((one for one in held.keys.get(key, ()) if (one.version or "null") == version), None)
            if found is None:
                raise self.error("NoSuchVersion", 404, "The specified version does not exist.", Key=key)
            if found.is_marker:
                raise self.error("MethodNotAllowed", 405, "The specified method is not allowed against this resource.")
        if match is not None and match.strip('"') != found.etag.strip('"'):
            raise self._failed("If-Match")
        return found

    def get_object(
        self, *, Bucket: str, Key: str, Range: str | None = None, VersionId: str | None = None, IfMatch: str | None = None
    ) -> dict[str, Any]:
        found = self._found(Bucket, Key, VersionId, IfMatch)
        data, told, size = found.body, {}, len(found.body)
        if Range is not None:
            begin, end = _range(Range, size)
            if begin >= size:
                raise self.error("InvalidRange", 416, "The requested range is not satisfiable")
            data = data[begin:end]
            told["ContentRange"] = f"bytes {begin}-{end - 1}/{size}"
        left = self.world.random.randrange(len(data)) if self.is_part and data else None
        return self._about(found, len(data), 206 if told else 200, Body=StreamingBody(data, left), **told)

    def head_object(self, *, Bucket: str, Key: str, VersionId: str | None = None, IfMatch: str | None = None) -> dict[str, Any]:
        found = self._found(Bucket, Key, VersionId, IfMatch)
        return self._about(found, len(found.body), 200)

    def _about(self, found: Version, length: int, status: int, **told: Any) -> dict[str, Any]:
        return self.answer(
            status,
            **told,
            ContentLength=length,
            ETag=found.etag,
            LastModified=found.changed,
            Metadata=dict(found.metadata),
            AcceptRanges="bytes",
            **found.about,
            **version_of(found),
        )

    def delete_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> dict[str, Any]:
        bucket = self._bucket(Bucket)
        versions = bucket.keys.get(Key, [])
        told: dict[str, Any] = {}
        if VersionId is not None:
            told["VersionId"] = VersionId
            if any(one.is_marker and one.version == VersionId for one in versions):
                told["DeleteMarker"] = True
            versions[:] = [one for one in versions if (one.version or "null") != VersionId]
        elif bucket.is_versioned:
            marker = Version(b"", "", self._date(), self.world.token(), is_marker=True)
            bucket.keys.setdefault(Key, []).append(marker)
            told = {"DeleteMarker": True, "VersionId": marker.version}
        else:
            versions.clear()
        if not bucket.keys.get(Key):
            bucket.keys.pop(Key, None)
        return self.answer(204, **told)

    def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        MaxKeys: int = 1000,
        ContinuationToken: str | None = None,
        StartAfter: str = "",
    ) -> dict[str, Any]:
        held = self._bucket(Bucket)
        after = StartAfter if ContinuationToken is None else bytes.fromhex(ContinuationToken).decode()
        keys = [key for key in sorted(held.keys, key=str.encode) if key.startswith(Prefix) and held.current(key)]
        keys = [key for key in keys if key.encode() > after.encode()]
        page = keys[: min(MaxKeys, 1000)]
        told: dict[str, Any] = {"IsTruncated": len(page) < len(keys), "KeyCount": len(page), "Prefix": Prefix}
        if page:
            told["Contents"] = [
                {"Key": key, "ETag": one.etag, "Size": len(one.body), "LastModified": one.changed}
                for key, one in ((key, held.keys[key][-1]) for key in page)
            ]
        if told["IsTruncated"]:
            told["NextContinuationToken"] = page[-1].encode().hex()
        return self.answer(**told)


def _range(text: str, size: int) -> tuple[int, int]:
    """First byte and end of a range, as the header tells it."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", text)
    if found is None:
        raise NotImplementedError(f"s3: Range={text}")
    return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
