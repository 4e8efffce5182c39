"""A sample of CSV files as records with typed values, and the input settings that they need."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from millstream.decode.chunks import read_chunks, suffix_of
from millstream.decode.compression import FileSource
from millstream.decode.dialect import Dialect
from millstream.decode.payloads import Payloads
from millstream.local.source import CSV_SUFFIXES, InputFile

_DELIMITERS = ",;\t|"
_NULLS = ("NA", "N/A", "NULL", "null", "NaN", "nan", "None", "#N/A", "\\N")
"""What other programs write for null."""
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)  # 007 is a code, no number
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_csv(inputs: Sequence[str | os.PathLike[str]]) -> bool:
    """Are all of these CSV by their names? .txt may be anything."""
    return all(suffix_of(os.fspath(one)) in CSV_SUFFIXES[:3] for one in inputs)


class Sample:
    """The first records of files. `settings`, once they are read, are the input settings that read them."""

    def __init__(self, files: Sequence[InputFile]) -> None:
        self.files = files
        self.delimiter = _delimiter(files[0]) if files else ","
        self._nulls: dict[str, None] = {}

    @property
    def settings(self) -> dict[str, Any]:
        told: dict[str, Any] = {"format": "csv"}
        if self.delimiter != ",":
            told["delimiter"] = self.delimiter
        if self._nulls:
            told["null_values"] = ["", *self._nulls]
        return told

    def records(self, file: InputFile, count: int) -> Iterator[dict[str, Any] | None]:
        """So many of a file, values by header; None for one that is no row under it. Raises SourceError if it cannot be read."""
        dialect = Dialect(delimiter=self.delimiter)
        for chunk in read_chunks(FileSource(file.path), form="csv", dialect=dialect):
            header = chunk.header(0)
            names = dialect.names(header) if header is not None else None
            for position in range(min(count, chunk.payloads.count)):
                cells = self._cells(chunk.payloads, position)
                fits = names is not None and cells is not None and len(cells) == len(names)
                yield dict(zip(names, map(self._value, cells), strict=True)) if fits else None  # type: ignore[arg-type]
            count -= min(count, chunk.payloads.count)
            if not count:
                return

    def _cells(self, payloads: Payloads, position: int) -> list[str] | None:
        try:
            return next(csv.reader([payloads.payload(position).decode()], delimiter=self.delimiter, strict=True))
        except (csv.Error, UnicodeDecodeError):
            return None

    def _value(self, text: str) -> Any:
        if text == "":
            return None
        if text in _NULLS:
            self._nulls[text] = None
            return None
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and not text.isdigit():
            return float(text)
        return text.lower() == "true" if text.lower() in ("true", "false") else text


def _delimiter(file: InputFile) -> str:
    """The character that parts most names in the header."""
    whole = Dialect(header=False, delimiter="\x1f")
    for chunk in read_chunks(FileSource(file.path), form="csv", dialect=whole, chunk_bytes=1 << 16):
        if chunk.payloads.count:
            header = re.sub(rb'"[^"]*"', b"", chunk.payloads.payload(0)).decode("latin-1")
            return max(_DELIMITERS, key=header.count)
    return ","
