"""Where lookups are read from. What is beyond this machine is known here by name alone: no cloud is imported before it is needed."""

from __future__ import annotations

import stat
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from millstream.classes import Protocol
from millstream.errors import PlanError
from millstream.lookups.formats import MOST_BYTES
from millstream.tables import Lookup

_REMOTE = {"s3": "millstream.remote.s3:S3Object", "dynamodb": "millstream.remote.dynamodb:ItemMatcher"}
"""What reads the URLs of a scheme: module and class."""


class Content(NamedTuple):
    """What a source held. version: what is the same as long as the content is."""

    data: bytes
    version: str


class Source(Protocol):
    """Bytes that may change."""

    def read(self, known: str | None) -> Content | None:
        """What it holds, or None where that is still the version `known`. Raises PlanError or RunError where it cannot be read."""


class FileSource:
    """A file. Its version is its size and when it was changed."""

    def __init__(self, one: Lookup) -> None:
        self._told = one.told
        parts = urlsplit(one.source) if one.source.lower().startswith("file://") else None
        if parts is not None and parts.netloc not in ("", "localhost"):
            raise PlanError(f"{one.told} is on another machine; write file:///folder/table.csv")
        self._path = Path(unquote(parts.path) if parts else one.source)

    def read(self, known: str | None) -> Content | None:
        try:
            found = self._path.stat()
            version = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
            if version == known:
                return None
            if not stat.S_ISREG(found.st_mode):
                raise PlanError(f"{self._told} is no file; name a .csv, .parquet or .json file")
            if found.st_size > MOST_BYTES:
                raise PlanError(f"{self._told} is larger than 1 GiB; a lookup is a small table")
            return Content(self._path.read_bytes(), version)
        except OSError as error:
            raise PlanError(f"{self._told} cannot be read: {error.strerror or error}") from None


def source_of(one: Lookup) -> Source:
    """What reads a lookup's bytes."""
    return FileSource(one) if one.scheme == "file" else remote(one)(one)


def remote(one: Lookup) -> Any:
    """The class that a scheme's URLs are read by."""
    module, _, name = _REMOTE[one.scheme].partition(":")
    return getattr(import_module(module), name)
