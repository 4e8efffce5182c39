"""Input files as chunks of records: bounded memory, the same chunks on every run."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from millstream.decode.payloads import Payloads
from millstream.errors import SourceError, UsageError
from millstream.local.compression import MAX_RATIO, open_stream
from millstream.local.framing import Fault, Text, frame

CHUNK_BYTES = 16 << 20
"""Text of one chunk, decompressed."""
RECORD_BYTES = 16 << 20
"""A longer record is rejected TOO_LONG."""

SUFFIXES = (".json", ".ndjson", ".jsonl")
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".lz4", ".zz", ".zlib")
_OR_COMPRESSED = "or such files with .gz, .zst, .bz2 or .lz4 behind the name"
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
    ".xz",
    ".snappy",
)


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


@dataclass
class Chunk:
    """The records of one piece of a file.

    number: the chunk's, from 0. first: the number in the file of its first record, from 0; blank lines are not counted.
    faults come after the payloads. bytes_in: the text that was read for it.
    """

    file: InputFile
    number: int
    first: int
    payloads: Payloads
    faults: list[Fault] = field(default_factory=list)
    bytes_in: int = 0

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
    if text in ("", "-") or "\0" in text:
        raise UsageError(f"input {text!r} is no name of a file or folder; what comes through a pipe, write to a file first")
    path = Path(text)
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if _suffix(one) in SUFFIXES and one.is_file() and one.name[0] not in "._")
        if not found:
            raise UsageError(f"the folder {text} has no input: put {', '.join(SUFFIXES)} files there, {_OR_COMPRESSED}")
        return found
    if path.exists():
        if path.suffix.lower() in _FOREIGN or _suffix(path) in _FOREIGN:
            raise UsageError(f"cannot read {text}: input is {', '.join(SUFFIXES)}, {_OR_COMPRESSED}")
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
        path: str | Path = os.fspath(one)
        try:
            found = [(path, path.stat()) for path in _expand(os.fspath(one))]
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}") from None
        for path, status in found:
            resolved = path.resolve()
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"cannot read {path}: it is no file but a pipe or a device; write its bytes to a file first")
            files.setdefault(resolved, InputFile(resolved, status.st_size, status.st_mtime_ns))
    if not files:
        raise UsageError("no input: name one file, folder or pattern at least")
    return list(files.values())


def read_chunks(
    file: InputFile,
    *,
    form: str = "auto",
    compression: str = "auto",
    max_bytes: int | None = None,
    max_ratio: int = MAX_RATIO,
    max_record_bytes: int = RECORD_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[Chunk]:
    """The chunks of a JSON file. The settings are those of a pipeline's input; `auto` takes .ndjson and .jsonl files for lines.

    Raises SourceError for a file that cannot be read.
    """
    if form == "auto":
        form = "ndjson" if _suffix(file.path) in (".ndjson", ".jsonl") else "json"
    with open_stream(file.path, compression, max_bytes=max_bytes, max_ratio=max_ratio) as stream:
        text = Text(stream)
        first = taken = 0
        for number, piece in enumerate(frame(text, form, chunk_bytes, max_record_bytes)):
            chunk = Chunk(file, number, first, piece.payloads, piece.faults, text.taken - taken)
            first, taken = first + chunk.records, text.taken
            yield chunk
