"""Input files: what files, folders and patterns name."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from millstream.classes import dataclass
from millstream.decode.chunks import suffix_of
from millstream.errors import SourceError, UsageError

SUFFIXES = (".json", ".ndjson", ".jsonl")
CSV_SUFFIXES = (".csv", ".tsv", ".psv", ".txt")
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


def _expand(text: str, form: str) -> list[Path]:
    suffixes = CSV_SUFFIXES if form == "csv" else SUFFIXES
    if text in ("", "-") or "\0" in text:
        raise UsageError(f"input {text!r} is no name of a file or folder; what comes through a pipe, write to a file first")
    path = Path(text)
    if path.is_dir():
        found = sorted(
            one for one in path.iterdir() if suffix_of(one.name) in suffixes and one.is_file() and one.name[0] not in "._"
        )
        if not found:
            raise UsageError(f"the folder {text} has no input: put {', '.join(suffixes)} files there, {_OR_COMPRESSED}")
        return found
    if path.exists():
        found_suffixes = {path.suffix.lower(), suffix_of(path.name)}
        if form == "csv":
            found_suffixes.difference_update(CSV_SUFFIXES)
        elif not found_suffixes.isdisjoint(CSV_SUFFIXES[:3]):
            raise UsageError(f"cannot read {text} as JSON; for CSV write input: {{format: csv}} in the pipeline")
        if not found_suffixes.isdisjoint(_FOREIGN):
            raise UsageError(f"cannot read {text}: input is {', '.join(suffixes)}, {_OR_COMPRESSED}")
        return [path]
    if glob.has_magic(text):
        matches = sorted(Path(one) for one in glob.glob(text, recursive=True))
        found = [one for one in matches if one.is_file()]
        if not found:
            raise UsageError(f"no file matches {text}")
        return found
    raise UsageError(f"input file not found: {text}")


def find_files(inputs: Sequence[str | os.PathLike[str]], form: str = "auto") -> list[InputFile]:
    """Files, folders (their supported files, by name) and glob patterns as files, each once. form: the format of a pipeline's input.

    Raises UsageError where there are none, SourceError where one cannot be looked at.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    files: dict[Path, InputFile] = {}
    for one in inputs:
        path: str | Path = os.fspath(one)
        try:
            found = [(path, path.stat()) for path in _expand(os.fspath(one), form)]
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
