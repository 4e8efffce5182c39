"""Input files as chunks of records: bounded memory, the same chunks on every run."""

from __future__ import annotations

import glob
import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from millstream.decode.payloads import Payloads
from millstream.errors import SourceError, UsageError
from millstream.local.compression import CUT_SHORT, Stream, open_stream
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_numbers
from millstream.schema import Code

CHUNK_BYTES = 16 << 20
"""Text of one chunk, decompressed."""
RECORD_BYTES = 16 << 20
"""A longer record is rejected TOO_LONG. At least `CHUNK_BYTES`, so that every record of a chunk is within it."""
KEPT_BYTES = 4096
"""How much of something that is no record goes to the rejects."""

SUFFIXES = (".json", ".ndjson", ".jsonl")
COMPRESSED = ("", ".gz", ".gzip", ".zst", ".zstd")
_FOREIGN = (
    ".csv",
    ".tsv",
    ".parquet",
    ".avro",
    ".orc",
    ".arrow",
    ".feather",
    ".xml",
    ".yaml",
    ".yml",
    ".zip",
    ".bz2",
    ".xz",
    ".lz4",
    ".snappy",
)
_BLANKS = b" \t\r\n"

# Places in the state of kernels.frame_array, and its phases.
_PHASE, _START, _LAST, _AT = 0, 4, 5, 7
_BEFORE, _WITHIN, _PAST = 0, 1, 2


@dataclass(frozen=True)
class InputFile:
    """One file to read. Its identity is a hash of absolute path, size and time of change: another version has another."""

    path: Path
    size: int
    changed_ns: int

    @property
    def identity(self) -> str:
        text = f"{self.path}\0{self.size}\0{self.changed_ns}"
        return hashlib.sha256(os.fsencode(text)).hexdigest()[:32]


@dataclass(frozen=True)
class Fault:
    """A piece of input that is no record and counts as one rejected record; `payload` is how it starts."""

    code: Code
    message: str
    payload: bytes


@dataclass
class Chunk:
    """The records of one piece of a file.

    number: the chunk's, from 0. first: the number in the file of its first record, from 0; blank lines are not counted.
    faults come after the payloads.
    """

    file: InputFile
    number: int
    first: int
    payloads: Payloads
    faults: list[Fault] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.payloads.count + len(self.faults)


def _suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case, without that of a compression."""
    suffixes = [one.lower() for one in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _expand(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if _suffix(one) in SUFFIXES and one.is_file() and one.name[0] not in "._")
        if not found:
            raise UsageError(f"the folder {text} has no input: put {', '.join(SUFFIXES)} files there (or .gz, .zst of them)")
        return found
    if path.exists():
        if path.suffix.lower() in _FOREIGN or _suffix(path) in _FOREIGN:
            raise UsageError(f"cannot read {text}: input is {', '.join(SUFFIXES)}, or .gz or .zst of them")
        return [path]
    if glob.has_magic(text):
        matches = sorted(Path(one) for one in glob.glob(text, recursive=True))
        found = [one for one in matches if one.is_file()]
        if not found:
            raise UsageError(f"no file matches {text}")
        return found
    raise UsageError(f"input file not found: {text}")


def find_files(inputs: Sequence[str | os.PathLike[str]]) -> list[InputFile]:
    """Files, folders (their supported files, by name) and glob patterns as files, each once.

    Raises UsageError where there are none, SourceError where one cannot be looked at.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    files: dict[Path, InputFile] = {}
    for one in inputs:
        for path in _expand(os.fspath(one)):
            try:
                resolved = path.resolve()
                status = resolved.stat()
            except OSError as error:
                raise SourceError(f"cannot read {path}: {error.strerror}") from None
            files.setdefault(resolved, InputFile(resolved, status.st_size, status.st_mtime_ns))
    if not files:
        raise UsageError("no input: name one file, folder or pattern at least")
    return list(files.values())


def read_chunks(
    file: InputFile,
    *,
    form: str = "auto",
    compression: str = "auto",
    chunk_bytes: int = CHUNK_BYTES,
    record_bytes: int = RECORD_BYTES,
) -> Iterator[Chunk]:
    """The chunks of a JSON file. `form`: auto and json tell an array from lines by the first byte that is not blank.

    auto takes .ndjson and .jsonl files for lines whatever they start with, ndjson every file.
    Raises UsageError for settings that cannot be, SourceError for a file that cannot be read.
    """
    if form not in ("auto", "json", "ndjson"):
        raise UsageError(f"input: format {form!r} cannot be read from files yet; write json, ndjson or auto")
    with open_stream(file.path, compression) as stream:
        head = stream.read(max(chunk_bytes, 3))
        if head.startswith(b"\xef\xbb\xbf"):
            head = head[3:] or stream.read(chunk_bytes)
        lines_only = form == "ndjson" or (form == "auto" and _suffix(file.path) in (".ndjson", ".jsonl"))
        while head and not lines_only and not head.strip(_BLANKS):
            head = stream.read(chunk_bytes)
        is_array = not lines_only and head.lstrip(_BLANKS)[:1] == b"["
        pieces = (_array_pieces if is_array else _line_pieces)(stream, head, chunk_bytes, max(record_bytes, chunk_bytes))
        first = 0
        for number, (payloads, faults) in enumerate(pieces):
            chunk = Chunk(file, number, first, payloads, faults)
            first += chunk.records
            yield chunk


Piece = tuple[Payloads, list[Fault]]


def _too_long(text: bytes, limit: int) -> Fault:
    message = f"the record is longer than {limit} bytes; only its start is kept"
    return Fault(Code.TOO_LONG, message, text[:KEPT_BYTES])


def _line_pieces(stream: Stream, head: bytes, chunk_bytes: int, limit: int) -> Iterator[Piece]:
    """Whole lines, as many as a chunk holds; a line longer than a chunk is a chunk of its own."""
    held, ended, skipping = head, not head, False
    while True:
        if skipping:
            cut = held.find(b"\n") + 1
            held, skipping = held[cut:] if cut else b"", not cut
        elif len(held) > chunk_bytes or (len(held) == chunk_bytes and not ended):
            cut = held.rfind(b"\n", 0, chunk_bytes) + 1 or held.find(b"\n", chunk_bytes) + 1
            if (cut - 1 if cut else len(held)) > limit:
                yield Payloads.of_lines(b""), [_too_long(held[: cut - 1] if cut else held, limit)]
                held, skipping = held[cut:] if cut else b"", not cut
                continue
            if cut:
                yield Payloads.of_lines(held[:cut]), []
                held = held[cut:]
                continue
        if ended:
            break
        more = stream.read(max(chunk_bytes - len(held), 0) or chunk_bytes)
        ended = not more
        held += more
    faults = []
    if stream.broken:  # what follows the last whole line goes with the part that is lost
        cut = held.rfind(b"\n") + 1
        faults.append(Fault(Code.BAD_COMPRESSION, CUT_SHORT, held[cut : cut + KEPT_BYTES]))
        held = held[:cut]
    payloads = Payloads.of_lines(held)
    if payloads.count or faults:
        yield payloads, faults


def _spans(text: Memory, begin: int, end: int, state: array[int]) -> tuple[Memory, Memory]:
    """Where the elements that end within text[begin:end] start and end."""
    room = (end - begin) // 64 + 64
    found: list[tuple[Memory, Memory]] = []
    while True:
        starts, ends = allocate(room, 8), allocate(room, 8)
        count = kernels.frame_array(text, begin, end, _over(state, 8), starts, ends)
        begin = state[_AT]
        found.append((starts.part(0, count, 8), ends.part(0, count, 8)))
        if count < room:
            break
    if len(found) == 1:
        return found[0]
    starts, ends = (from_numbers("q", [place for one in found for place in one[side].tolist()]) for side in (0, 1))
    return starts, ends


def _over(owner: Any, itemsize: int) -> Memory:
    """Writable memory in place."""
    buffer = pa.py_buffer(owner)
    return Memory(buffer, buffer.address, buffer.size // itemsize, itemsize)


def _buffer(text: bytes) -> Memory:
    """A buffer such as `Payloads` wants: the text, padding, room for unescaped strings."""
    buffer = bytearray(len(text) + PADDING + len(text) // 8 + 4096)
    buffer[: len(text)] = text
    return _over(buffer, 1)


def _array_pieces(stream: Stream, head: bytes, chunk_bytes: int, limit: int) -> Iterator[Piece]:
    """Elements of one array. A scan goes on where the last one stopped: no byte is looked at twice."""
    state = array("q", [0, 0, 0, 0, -1, 0, 0, 0])
    carry, fresh = b"", head
    skipping = False
    while True:
        text = carry + fresh
        memory = _buffer(text)
        starts, ends = _spans(memory, len(carry), len(text), state)
        if skipping and starts.count:  # the first to end is the one that is too long
            starts, ends = (one.part(8, one.count - 1, 8) for one in (starts, ends))
            skipping = False
        closed = state[_PHASE] not in (_BEFORE, _WITHIN)
        faults: list[Fault] = []
        carry = b""
        if closed:
            carry = text[state[_START] if state[_START] >= 0 else state[_AT] :]
        elif state[_START] >= 0 and not skipping:
            carry = text[state[_START] :]
            if len(carry) > limit:
                faults.append(_too_long(carry, limit))
                skipping, carry = True, b""
        if starts.count or faults:
            yield Payloads(memory, len(text), starts, ends, len(text) - len(carry)), faults
        if closed:
            break
        if state[_START] >= 0:  # the element at hand starts where the next text does
            state[_START] = 0
            state[_LAST] -= len(text) - len(carry)
        fresh = stream.read(max(chunk_bytes - len(carry), 0) or chunk_bytes)
        if not fresh:
            break
    tail = _array_tail(stream, state[_PHASE], carry, chunk_bytes)
    if tail is not None:
        yield Payloads.of_lines(b""), [tail]


def _array_tail(stream: Stream, phase: int, rest: bytes, chunk_bytes: int) -> Fault | None:
    """What is wrong past the last whole element, if anything is."""
    if phase in (_BEFORE, _WITHIN):
        if stream.broken:
            return Fault(Code.BAD_COMPRESSION, CUT_SHORT, rest[:KEPT_BYTES])
        return Fault(Code.BAD_JSON, "the array has no end", rest[:KEPT_BYTES])
    rest = rest.lstrip(_BLANKS)
    while more := stream.read(chunk_bytes):  # to the end: the stream may be corrupt there
        if len(rest) < KEPT_BYTES:
            rest = (rest + more).lstrip(_BLANKS)[:KEPT_BYTES]
    kept = rest.rstrip(_BLANKS)[:KEPT_BYTES]
    if stream.broken:
        return Fault(Code.BAD_COMPRESSION, CUT_SHORT, kept)
    if phase != _PAST:
        return Fault(Code.BAD_JSON, "a brace closes the array; what follows is lost", kept)
    return Fault(Code.BAD_JSON, "there is text after the end of the array", kept) if kept else None
