"""One version of an S3 object as a file: one request for all of it, read on while what came is worked on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import datetime
from queue import Queue
from threading import Thread
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from millstream.aws.notification import ObjectRef
from millstream.classes import dataclass
from millstream.errors import SourceError
from millstream.sinks.clients import client
from millstream.sinks.retry import Again, Backoff, code_of, retry

T = TypeVar("T")

BLOCK_BYTES = 1 << 20
"""What is read at once. In smaller blocks, threads take more turns: a quarter of this costs a tenth of an object's time."""
AHEAD_BYTES = 4 << 20
"""What may wait to be worked on. A system's socket buffer holds about as much again."""


class GoneError(SourceError):
    """The object that was told of is no more: another was written over it, which has a notification of its own."""


class _ClosedError(Exception):
    """Nobody reads on."""


@dataclass(frozen=True)
class _Answer:
    body: Any
    size: int
    version: str
    etag: str
    changed: datetime


class S3Source:
    """The bytes of an object's version. Raises GoneError where it was overwritten, SourceError where it cannot be read.

    head: how it starts, kept. The request that it came by goes on with the first reader.
    """

    def __init__(self, ref: ObjectRef, until: float) -> None:
        self.ref, self.until = ref, until
        self._etag = ref.etag
        self._version = ref.version
        self._body: Any = None

        def begin() -> tuple[_Answer, bytes]:
            found = self._get(0)
            return found, found.body.read(BLOCK_BYTES) if found.size else b""

        found, self.head = self._retry(begin)
        self._body = found.body
        self._etag = found.etag
        self.size, self.changed = found.size, found.changed
        self.version = found.version or found.etag

    @property
    def name(self) -> str:
        return self.ref.url

    def open(self, offset: int = 0) -> _Reader:
        """The object from a byte on."""
        return _Reader(self, offset)

    def close(self) -> None:
        """Read no more of the request that `head` came by."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def blocks(self, offset: int, is_closed: Callable[[], bool]) -> Iterator[bytes]:
        """The object from a byte on, in blocks. A request that breaks is made again for what is left."""
        body = None
        if offset == len(self.head):
            body, self._body = self._body, None

        def read() -> bytes:
            nonlocal body
            if is_closed():
                raise _ClosedError
            if body is None:
                body = self._get(offset).body
            try:
                data: bytes = body.read(BLOCK_BYTES)
            except Exception:
                body.close()
                body = None
                raise
            if not data:
                body = None
                raise Again("the connection was lost")
            return data

        try:
            while offset < self.size:
                data = self._retry(read)
                offset += len(data)
                yield data
        except _ClosedError:
            pass
        finally:
            if body is not None:
                body.close()

    def _retry(self, attempt: Callable[[], T]) -> T:
        actions = "s3:GetObject, s3:GetObjectVersion where the bucket has versions, and s3:ListBucket"
        doing = f"cannot read {self.name}"
        return retry(attempt, Backoff(), self.until, doing=doing, action=actions, error=SourceError)

    def _get(self, offset: int) -> _Answer:
        asked: dict[str, Any] = {"Bucket": self.ref.bucket, "Key": self.ref.key}
        if self._version is not None:
            asked["VersionId"] = self._version
        elif self._etag is not None:
            asked["IfMatch"] = f'"{self._etag}"'
        try:
            found = client("s3").get_object(**asked, Range=f"bytes={offset}-")
        except ClientError as error:
            code = code_of(error)
            if code in ("InvalidRange", "416"):  # an empty object has no first byte
                return _answer(client("s3").head_object(**asked), None, 0)
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
        ranged = found.get("ContentRange")
        return _answer(found, found["Body"], int(ranged.rpartition("/")[2]) if ranged else found["ContentLength"])


def _answer(found: dict[str, Any], body: Any, size: int) -> _Answer:
    version = found.get("VersionId")
    return _Answer(body, size, "" if version in (None, "null") else version, found["ETag"].strip('"'), found["LastModified"])


class _Reader(io.RawIOBase):
    """Reads on from a byte, a few blocks ahead."""

    def __init__(self, source: S3Source, offset: int) -> None:
        super().__init__()
        self._source = source
        self._block = memoryview(source.head)[offset:]
        self._next = offset + len(self._block)
        self._waiting: Queue[bytes | Exception] = Queue(max(1, AHEAD_BYTES // BLOCK_BYTES))
        self._thread: Thread | None = None
        self._left = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if not self._block and self._next < self._source.size:
            self._block = self._come()
        count = min(len(view), len(self._block))
        view[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def _come(self) -> memoryview:
        """The next block."""
        if self._thread is None:
            self._thread = Thread(target=self._fetch, args=(self._next,), name="millstream-read", daemon=True)
            self._thread.start()
        found = self._waiting.get()
        if isinstance(found, Exception):
            raise found
        self._next += len(found)
        return memoryview(found)

    def _fetch(self, offset: int) -> None:
        try:
            for block in self._source.blocks(offset, lambda: self._left):
                self._waiting.put(block)
        except Exception as error:
            self._waiting.put(error)

    def close(self) -> None:
        self._left = True
        while self._thread is not None and self._thread.is_alive():
            while not self._waiting.empty():  # so that it need not wait for room
                self._waiting.get()
            self._thread.join(0.01)
        super().close()
