"""Plain and compressed sources as streams of bytes that give all that is whole before they break.

Which library reads what, and how fast: docs/decisions/0006-compression.md. gzip and zlib go by isal where it is installed.
"""

from __future__ import annotations

import bz2
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa

from millstream.classes import Protocol, dataclass
from millstream.errors import SourceError
from millstream.schema import Code

FREE_BYTES = 256 << 20
"""So much may come out of any file, however small it is."""
MAX_RATIO = 500
"""Beyond that, so many bytes for each byte of the file. gzip reaches 1,030 on zeros, 50 on logs with nothing new but the time."""

_BLOCK = 1 << 18
_SMALL = 1 << 12
_BROKEN = Code.BAD_COMPRESSION, "the compressed stream is corrupt or cut short here; what was whole before it is kept"
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    *((bytes([skippable]) + b"\x2a\x4d\x18", "zstd") for skippable in range(0x50, 0x60)),
    *((bytes([0x78, flags]), "zlib") for flags in (0x01, 0x5E, 0x9C, 0xDA)),
)
_FAULTS = (OSError, EOFError)


class Source(Protocol):
    """Bytes that can be read from their start, again if need be."""

    @property
    def name(self) -> str:
        """What errors say of it."""

    @property
    def size(self) -> int:
        """How many bytes. Raises OSError."""

    def open(self, offset: int = 0) -> Any:
        """A binary file, unbuffered, from a byte on. Raises OSError, or SourceError."""


@dataclass(frozen=True)
class FileSource:
    """A file's bytes."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def open(self, offset: int = 0) -> BinaryIO:
        file = self.path.open("rb", buffering=0)
        file.seek(offset)
        return file


@dataclass(frozen=True)
class BytesSource:
    """Bytes in memory."""

    data: bytes
    name: str = "the payload"

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self, offset: int = 0) -> BinaryIO:
        return io.BytesIO(self.data[offset:])


@dataclass(frozen=True)
class Rest:
    """The bytes of a source from one on."""

    source: Source
    offset: int

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def size(self) -> int:
        return self.source.size - self.offset

    def open(self, offset: int = 0) -> Any:
        return self.source.open(self.offset + offset)


class Stream:
    """The decompressed bytes of a source. `fault` is set once there is one: code and message; no more bytes come.

    limit: how many bytes there may be, with the `before` that came before those of the source.
    """

    def __init__(self, source: Source, compression: str, limit: int, before: int = 0) -> None:
        self.fault: tuple[Code, str] | None = None
        self._from, self._compression, self._limit = source, compression, limit
        self._place = before
        self._source = _opened(source, compression)
        self.is_plain = compression == "none"

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer as it suits the codec; none at the end and past a fault."""
        if self.fault is not None:
            return b""
        size = min(size, _BLOCK if self._compression != "none" else size)
        try:
            data: bytes = self._source.read(size)
        except _FAULTS as error:
            if isinstance(error, OSError) and (error.errno or self.is_plain):
                raise SourceError(f"cannot read {self._from.name}: {error.strerror or error}") from None
            if self._compression == "bzip2":  # a broken block is scrambled from its start
                self.fault = _BROKEN
                return b""
            self._source.close()
            self._source = _Salvage(_opened(self._from, self._compression, careful=True), self._place)
            return self.read(size)
        if isinstance(self._source, _Salvage) and self._source.ended:
            self.fault = _BROKEN
        self._place += len(data)
        if self._place > self._limit:
            self.fault = Code.TOO_LARGE, f"more than {self._limit:,} bytes come out of it; what follows is not read"
            data = data[: self._limit - self._place]
        return data

    def readinto(self, view: memoryview) -> int:
        """`read` to the start of `view`; how many bytes."""
        if self._compression != "none" or self.fault is not None or self._place + len(view) > self._limit:
            data = self.read(len(view))
            view[: len(data)] = data
            return len(data)
        try:
            count: int = self._source.readinto(view)
        except OSError as error:
            raise SourceError(f"cannot read {self._from.name}: {error.strerror}") from None
        self._place += count
        return count

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._source.close()


def told_by_magic(start: bytes) -> str:
    """The compression of what starts so, by its first four bytes; none if it is no compression known."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "none")


def open_stream(
    source: Source, compression: str = "auto", *, max_bytes: int | None = None, max_ratio: int = MAX_RATIO, before: int = 0
) -> Stream:
    """Open a source; `auto` goes by its first bytes. Of a compressed one at most `max_bytes` are read, and not more than
    `max_ratio` times its size where that is over 256 MiB. Of a plain one that goes on where `before` bytes were read, these count
    towards `max_bytes`. Raises SourceError if it cannot be read.
    """
    try:
        size = source.size
        if compression == "auto":
            with source.open() as file:
                compression = told_by_magic(file.read(4))
    except OSError as error:
        raise SourceError(f"cannot read {source.name}: {error.strerror}") from None
    limit = (1 << 62) if compression == "none" else max(FREE_BYTES, max_ratio * size)
    return Stream(source, compression, limit if max_bytes is None else min(limit, max_bytes), before)


def _opened(source: Source, compression: str, careful: bool = False) -> Any:
    """What reads a source: `read(size)` gives decompressed bytes or raises one of `_FAULTS`. `careful`: one that keeps little back."""
    try:
        file = source.open()
    except OSError as error:
        raise SourceError(f"cannot read {source.name}: {error.strerror or error}") from None
    if compression in ("zstd", "lz4"):
        return pa.CompressedInputStream(pa.PythonFile(file, "r"), compression)
    if compression == "none":
        return file
    return _Members(file, _decompressor(compression, careful), _SMALL if careful else _BLOCK)


def _decompressor(compression: str, careful: bool) -> Callable[[], Any]:
    if compression == "bzip2":
        return bz2.BZ2Decompressor
    bits = 31 if compression == "gzip" else 15
    if not careful:
        try:
            from isal import isal_zlib

            return lambda: isal_zlib.decompressobj(wbits=bits)
        except ImportError:
            pass
    return lambda: zlib.decompressobj(wbits=bits)


class _Salvage:
    """What a call that failed kept to itself: the stream read again by `source` up to where that call started, then byte by byte.

    ended: it broke here too, or nothing is left.
    """

    def __init__(self, source: Any, place: int) -> None:
        self.source, self.left = source, place
        self.ended = False

    def read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        try:
            while self.left and (data := self.source.read(min(self.left, _BLOCK))):
                self.left -= len(data)
            if isinstance(self.source, _Members):
                self.source.most = 1
            while len(pieces) < size and (data := self.source.read(1)):
                pieces.append(data)
        except _FAULTS as error:
            if isinstance(error, OSError) and error.errno:
                raise
        self.ended = len(pieces) < size
        return b"".join(pieces)

    def close(self) -> None:
        self.source.close()


class _Members:
    """Compressed streams one after another; zeros between and after them are padding.

    most: how much of the input one call is given. By single bytes nothing is lost to a checksum that is wrong: zlib looks at it, and
    raises, in the call that makes the last bytes, if it has all of it.
    """

    def __init__(self, file: BinaryIO, make: Callable[[], Any], block: int) -> None:
        self.file, self.make, self.block, self.most = file, make, block, block
        self.member: Any = None
        self.rest = b""

    def read(self, size: int) -> bytes:
        while True:
            if self.member is None:
                self.rest = self.rest.lstrip(b"\0")
                if not self.rest:
                    self.rest = self.file.read(self.block)
                    if not self.rest:
                        return b""
                    continue
                self.member = self.make()
            piece = self._some(size)
            if self.member.eof:
                self.rest = self.member.unused_data + self.rest
                self.member = None
            if piece:
                return piece

    def _some(self, size: int) -> bytes:
        """Some bytes of this member; none if it wants more input than there was, or has ended."""
        waits = getattr(self.member, "needs_input", None)  # bz2 keeps what it has not used, zlib gives it back
        data = b""
        if waits is not False:
            given = self.rest or self.file.read(self.block)
            data, self.rest = given[: self.most], given[self.most :]
        try:
            piece: bytes = self.member.decompress(data, size)
        except MemoryError:
            raise
        except Exception as error:  # each library has its own
            raise EOFError from error
        if not (data or piece or waits is False or self.member.eof):
            raise EOFError
        if waits is None:
            self.rest = self.member.unconsumed_tail + self.rest
        return piece

    def close(self) -> None:
        self.file.close()
