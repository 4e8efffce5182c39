"""Records of one source as chunks: bounded memory, the same chunks on every run."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import PurePosixPath

from millstream.classes import dataclass, field
from millstream.decode.compression import MAX_RATIO, Rest, Source, open_stream
from millstream.decode.framing import Fault, Text, frame
from millstream.decode.payloads import Payloads
from millstream.decode.rejects import Reject

CHUNK_BYTES = 16 << 20
"""Text of one chunk, decompressed."""
RECORD_BYTES = 16 << 20
"""A longer record is rejected TOO_LONG."""

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


def read_chunks(
    source: Source,
    *,
    form: str = "auto",
    compression: str = "auto",
    max_bytes: int | None = None,
    max_ratio: int = MAX_RATIO,
    max_record_bytes: int = RECORD_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
    start: Start = _FIRST,
) -> Generator[Chunk, None, None]:
    """The chunks of a JSON source, from `start` on: the same as if it were read whole, for the same `chunk_bytes`.

    The settings are those of a pipeline's input. Lines that are not compressed are read from `start` on only; other text is read
    from its beginning. Raises SourceError if it cannot be read.
    """
    form = form_of(source.name, form)
    at = _FIRST
    if start.offset:  # told of lines only
        source, form, compression, at = Rest(source, start.offset), "ndjson", "none", start
    with open_stream(source, compression, max_bytes=max_bytes, max_ratio=max_ratio) as stream:
        text = Text(stream, begins=not at.offset)
        taken = 0
        for piece in frame(text, form, chunk_bytes, max_record_bytes):
            chunk = Chunk(at, piece.payloads, piece.faults, text.taken - taken)
            taken = text.taken
            offset = start.offset + piece.end if piece.end >= 0 and stream.is_plain else 0
            if at.number >= start.number:
                yield chunk
            at = Start(at.number + 1, at.first + chunk.records, offset)
