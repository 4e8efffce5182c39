"""Parquet files: zstd by default, what made them in their key-value metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from millstream.columns import Vector, open_array
from millstream.errors import SettingsError
from millstream.sinks import tags, thrift
from millstream.sinks.footer import described, footer, row_group
from millstream.sinks.levels import Leaf, leaves_of
from millstream.sinks.pages import encode_leaves

SUFFIX = ".parquet"
COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "none")
PREFIX = "millstream."
_MAGIC = b"PAR1"


def check_compression(name: str) -> str:
    """The compression, or SettingsError with the names there are."""
    if name not in COMPRESSIONS:
        raise SettingsError(f"output: compression {name!r} is not known; write {', '.join(COMPRESSIONS)}")
    return name


class ParquetFile:
    """A file in memory, written a row group at a time. Of the rows nothing is kept but what stands in the file."""

    def __init__(self, schema: pa.Schema, compression: str = "zstd") -> None:
        self.schema, self.compression = schema, compression
        self._described = described(schema)
        self.rows = 0
        self._pieces: list[Any] = [_MAGIC]
        self._size = len(_MAGIC)
        self._groups: list[thrift.Value] = []
        self._leaves = 0

    def add(self, columns: Sequence[Vector], rows: int) -> None:
        """A row group. Raises SinkError for a timestamp in seconds that is beyond what milliseconds can tell."""
        leaves: list[Leaf] = []
        for (name, nullable), column in zip(self._described.fields, columns, strict=True):
            if column.type.is_nested:
                leaves += leaves_of(name, column, nullable)
            else:
                leaves.append(Leaf((name,), column, int(nullable), 0, column.length))
        first, plain_bytes = self._size, 0
        made = encode_leaves(leaves, self.compression, first)
        for one in made:
            self._pieces += one.pieces
            self._size += one.file_bytes
            plain_bytes += one.plain_bytes
        self._leaves = len(leaves)
        chunks = thrift.joined(thrift.STRUCT, len(leaves), b"".join([one.told for one in made]))
        self._groups.append(row_group(chunks, rows, first, plain_bytes, self._size - first))
        self.rows += rows

    def body(self, metadata: Mapping[str, str]) -> pa.Buffer:
        """The file's bytes; `metadata` goes in under `millstream.`."""
        pairs = dict(self.schema.metadata or {})
        pairs |= {(PREFIX + name).encode(): value.encode() for name, value in metadata.items()}
        return pa.py_buffer(b"".join((*self._pieces, footer(self._described, self.rows, self._groups, self._leaves, pairs))))


def encode(
    schema: pa.Schema, columns: Sequence[Vector], rows: int, metadata: Mapping[str, str], compression: str = "zstd"
) -> pa.Buffer:
    """The bytes of a file with these rows in one row group."""
    file = ParquetFile(schema, compression)
    file.add(columns, rows)
    return file.body(metadata)


def encode_batch(batch: pa.RecordBatch, metadata: Mapping[str, str], compression: str = "zstd") -> pa.Buffer:
    """The same of a RecordBatch."""
    return encode(batch.schema, [open_array(column) for column in batch.columns], batch.num_rows, metadata, compression)


def read_metadata(path: Path) -> dict[str, str]:
    """What `encode` was told of a file; empty for a file of someone else's."""
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:  # pyarrow takes no name that is not UTF-8
            found = pq.read_metadata(file).metadata or {}
    except pa.ArrowInvalid:
        return {}
    return {
        key.decode()[len(PREFIX) :]: value.decode(errors="replace")
        for key, value in found.items()
        if key.startswith(PREFIX.encode())
    }


def difference(path: Path, metadata: Mapping[str, str]) -> str | None:
    """How the file at `path` is another object than one with this metadata, in words; None if it is the same."""
    return tags.difference(read_metadata(path), metadata)
