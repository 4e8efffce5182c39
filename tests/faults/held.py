"""What S3 holds: versions of objects, and uploads of which there are only parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ResponseStreamingError

ENCRYPTION = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")


@dataclass
class Version:
    body: bytes
    etag: str
    changed: datetime
    version: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    is_marker: bool = False
    upload: str | None = None
    """By which it came, if it came in parts."""


@dataclass
class Upload:
    key: str
    begun: datetime
    metadata: dict[str, str]
    about: dict[str, Any]
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


@dataclass
class Held:
    is_versioned: bool = False
    keys: dict[str, list[Version]] = field(default_factory=dict)
    """The versions of each, the newest last."""
    uploads: dict[str, Upload] = field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        versions = self.keys.get(key)
        return versions[-1] if versions and not versions[-1].is_marker else None


class StreamingBody:
    """What botocore's StreamingBody is. `left`: how many bytes come before the connection is lost."""

    def __init__(self, data: bytes, left: int | None = None) -> None:
        self._data, self._at, self._left = data, 0, left
        self.is_closed = False

    def read(self, amt: int | None = None) -> bytes:
        if self.is_closed:
            return b""
        end = len(self._data) if amt is None else min(len(self._data), self._at + amt)
        if self._left is not None and end > self._left:
            # What came before it comes first, unless all was asked for at once.
            if amt is None or self._at >= self._left:
                raise ResponseStreamingError(error="the connection is lost")
            end = self._left
        found = self._data[self._at : end]
        self._at = end
        return found

    def iter_chunks(self, chunk_size: int = 1024) -> Iterator[bytes]:
        while found := self.read(chunk_size):
            yield found

    __iter__ = iter_chunks

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> StreamingBody:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def about_of(content_type: str, *encryption: Any) -> dict[str, Any]:
    """What an object's answers tell, besides what it holds."""
    told = {name: value for name, value in zip(ENCRYPTION, encryption, strict=True) if value is not None}
    return {"ContentType": content_type, **told}


def version_of(one: Version) -> dict[str, Any]:
    """Its version, where there are versions. That of what stood there before is `null`."""
    return {} if one.version is None else {"VersionId": one.version}


def lowered(metadata: dict[str, str] | None) -> dict[str, str]:
    """Metadata as it comes back: headers have no case."""
    return {name.lower(): value for name, value in (metadata or {}).items()}


def sent(body: Any) -> bytes:
    """The bytes of a body, which may be a file."""
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else bytes(body.read())
