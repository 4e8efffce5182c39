"""Records of one source as chunks: bounded memory, the same chunks on every run."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from millstream.classes import dataclass, field
from millstream.decode.compression import MAX_RATIO, Rest, Source, open_stream
from millstream.decode.framing import Fault, Text, frame
from millstream.decode.payloads import Payloads
from millstream.decode.rejects import Reject

if TYPE_CHECKING:
    from millstream.decode.dialect import Dialect

CHUNK_BYTES = 16 << 20
"""Text of one chunk, decompressed."""
RECORD_BYTES = 16 << 20
"""A longer record is rejected TOO_LONG."""

_HEADER_BYTES = 1 << 16
_SETTINGS = ("compression", "max_bytes", "max_ratio", "max_record_bytes")

COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".lz4", ".zz", ".zlib")
LINES = (".ndjson", ".jsonl")


@dataclass(frozen=True)
class Start:
    """Where to begin: at a chunk, by its number and that of its first record. offset: where its text starts, 0 where that is not known."""

    number: int = 0
    first: int = 0
    offset: int = 0


_FIRST = Start()


@dataclass
class Chunk:
    """The records of one piece of a source.

    start: the chunk's number, and the number in the source of its first record, from 0; blank lines are not counted.
    faults come after the payloads. bytes_in: the text that was read for it.
    """

    start: Start
    payloads: Payloads
    faults: list[Fault] = field(default_factory=list)
    bytes_in: int = 0

    @property
    def number(self) -> int:
        return self.start.number

    @property
    def first(self) -> int:
        return self.start.first

    @property
    def records(self) -> int:
        return self.payloads.count + len(self.faults)

    def payload(self, position: int) -> bytes:
        """A record's bytes; of a fault, how it starts."""
        behind = position - self.payloads.count
        return self.payloads.payload(position) if behind < 0 else self.faults[behind].payload

    def header(self, position: int) -> bytes | None:
        """Of CSV, the header that a record is under."""
        return self.payloads.header(position)

    def rejects(self) -> list[Reject]:
        """The faults, as rejects."""
        return [Reject(i, one.code, None, -1, one.message) for i, one in enumerate(self.faults, self.payloads.count)]


def suffix_of(name: str) -> str:
    """The suffix that tells the format, in lower case, without that of a compression."""
    suffixes = [one.lower() for one in PurePosixPath(name).suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def form_of(name: str, form: str) -> str:
    """The framing of a source by its name, where `form` is auto: .ndjson and .jsonl are lines, the rest is looked at."""
    if form != "auto":
        return form
    return "ndjson" if suffix_of(name) in LINES else "json"


def recorded_as(given: Mapping[str, Any]) -> str:
    """What a record is under these input settings: json or csv."""
    return "csv" if given.get("format") == "csv" else "json"


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """A pipeline's input settings as `read_chunks` takes them."""
    settings = {name: value for name, value in given.items() if name in _SETTINGS}
    settings["form"] = given["format"]
    if given["format"] == "csv":
        from millstream.decode.dialect import Dialect

        settings["dialect"] = Dialect.of(given)
    return settings


def _header(source: Source, dialect: Dialect, max_record_bytes: int) -> bytes | None:
    """The header at the beginning of a CSV source that is not compressed."""
    with open_stream(source, "none", max_bytes=None) as stream:
        for piece in frame(Text(stream), "csv", _HEADER_BYTES, max_record_bytes, dialect):
            return piece.payloads.header(0)
    return None


def read_chunks(
    source: Source,
    *,
    form: str = "auto",
    dialect: Dialect | None = None,
    compression: str = "auto",
    max_bytes: int | None = None,
    max_ratio: int = MAX_RATIO,
    max_record_bytes: int = RECORD_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
    start: Start = _FIRST,
) -> Generator[Chunk, None, None]:
    """The chunks of a source, from `start` on: the same as if it were read whole, for the same `chunk_bytes`.

    The settings are those of a pipeline's input: see `settings_of`. Lines and CSV that are not compressed are read from `start` on only;
    other text is read from its beginning. Raises SourceError if it cannot be read.
    """
    form = form_of(source.name, form)
    at = _FIRST
    header = None
    if start.offset:  # told of lines and CSV only
        if dialect is None:
            form = "ndjson"
        elif dialect.header is True:
            header = _header(source, dialect, max_record_bytes)
        source, compression, at = Rest(source, start.offset), "none", start
    with open_stream(source, compression, max_bytes=max_bytes, max_ratio=max_ratio, before=at.offset) as stream:
        text = Text(stream, begins=not at.offset)
        taken = 0
        for piece in frame(text, form, chunk_bytes, max_record_bytes, dialect, header):
            chunk = Chunk(at, piece.payloads, piece.faults, text.taken - taken)
            taken = text.taken
            offset = start.offset + piece.end if piece.end >= 0 and stream.is_plain else 0
            if at.number >= start.number:
                yield chunk
            at = Start(at.number + 1, at.first + chunk.records, offset)
