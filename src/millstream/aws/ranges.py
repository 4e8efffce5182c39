"""One version of an S3 object as a file: read in ranges, the next one while the last is worked on."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from millstream.aws.notification import ObjectRef
from millstream.errors import SinkError, SourceError
from millstream.sinks.clients import client
from millstream.sinks.retry import Backoff, code_of, retry

BLOCK_BYTES = 8 << 20
"""What one request reads."""


class GoneError(SourceError):
    """The object that was told of is no more: another was written over it, which has a notification of its own."""


@dataclass(frozen=True)
class _Block:
    data: bytes
    size: int
    version: str
    etag: str
    changed: datetime


class S3Source:
    """The bytes of an object's version. Raises GoneError where it was overwritten, SourceError where it cannot be read."""

    def __init__(self, ref: ObjectRef, until: float) -> None:
        self.ref, self.until = ref, until
        self._etag = ref.etag
        self._version = ref.version
        head = self._read(0)
        self._head = head.data
        self._etag = head.etag
        self.size, self.changed = head.size, head.changed
        self.version = head.version or head.etag

    @property
    def name(self) -> str:
        return self.ref.url

    def open(self, offset: int = 0) -> _Reader:
        """The object from a byte on."""
        return _Reader(self, offset)

    def block(self, offset: int) -> bytes:
        """What one request reads from there on."""
        if offset < len(self._head):
            return self._head[offset:]
        return self._read(offset).data if offset < self.size else b""

    def _read(self, offset: int) -> _Block:
        asked: dict[str, Any] = {"Bucket": self.ref.bucket, "Key": self.ref.key}
        asked["Range"] = f"bytes={offset}-{offset + BLOCK_BYTES - 1}"
        if self._version is not None:
            asked["VersionId"] = self._version
        elif self._etag is not None:
            asked["IfMatch"] = f'"{self._etag}"'

        def get() -> _Block:
            try:
                found = client("s3").get_object(**asked)
            except ClientError as error:
                code = code_of(error)
                if code in ("InvalidRange", "416"):  # an empty object has no first byte
                    return self._empty(asked)
                if code in ("PreconditionFailed", "412"):
                    raise GoneError(
                        f"{self.name} was overwritten after this notification; the new object has one of its own, and this one is done"
                    ) from None
                if code in ("NoSuchKey", "NoSuchVersion", "404"):
                    raise SourceError(
                        f"{self.name} is not there: it was deleted, or the notification names another; "
                        "it comes again until Lambda, or its queue, gives it up"
                    ) from None
                raise
            data = found["Body"].read()
            ranged = found.get("ContentRange")
            size = int(ranged.rpartition("/")[2]) if ranged else len(data)
            return _block(found, data, size)

        actions = "s3:GetObject, s3:GetObjectVersion where the bucket has versions, and s3:ListBucket"
        try:
            return retry(get, Backoff(), self.until, doing=f"cannot read {self.name}", action=actions)
        except SinkError as error:
            raise SourceError(str(error)) from None

    @staticmethod
    def _empty(asked: dict[str, Any]) -> _Block:
        found = client("s3").head_object(**{name: value for name, value in asked.items() if name != "Range"})
        return _block(found, b"", 0)


def _block(found: dict[str, Any], data: bytes, size: int) -> _Block:
    version = found.get("VersionId")
    return _Block(data, size, "" if version in (None, "null") else version, found["ETag"].strip('"'), found["LastModified"])


class _Reader(io.RawIOBase):
    """Reads on from a byte; one block is fetched ahead."""

    def __init__(self, source: S3Source, offset: int) -> None:
        super().__init__()
        self._source = source
        self._block = memoryview(source.block(offset))
        self._next = offset + len(self._block)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="millstream-read")
        self._ahead: Future[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._next < self._source.size and self._ahead is None:
            self._ahead = self._pool.submit(self._source.block, self._next)
        if not self._block and self._ahead is not None:
            self._block = memoryview(self._ahead.result())
            self._next += len(self._block)
            self._ahead = None
            return self.readinto(buffer) if self._block else 0
        count = min(len(view), len(self._block))
        view[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        super().close()
