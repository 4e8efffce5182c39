"""Parquet files: zstd by default, what made them in their key-value metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from millstream.columns import Vector, open_array
from millstream.errors import SettingsError
from millstream.sinks import tags
from millstream.sinks.footer import footer
from millstream.sinks.levels import leaves_of
from millstream.sinks.pages import encode_leaf

SUFFIX = ".parquet"
COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "none")
PREFIX = "millstream."
_MAGIC = b"PAR1"


def check_compression(name: str) -> str:
    """The compression, or SettingsError with the names there are."""
    if name not in COMPRESSIONS:
        raise SettingsError(f"output: compression {name!r} is not known; write {', '.join(COMPRESSIONS)}")
    return name


def encode(
    schema: pa.Schema, columns: Sequence[Vector], rows: int, metadata: Mapping[str, str], compression: str = "zstd"
) -> pa.Buffer:
    """The bytes of a Parquet file with these rows in one row group; `metadata` goes in under `millstream.`.

    Raises SinkError for a timestamp in seconds that is beyond what milliseconds can tell.
    """
    pairs = dict(schema.metadata or {}) | {(PREFIX + name).encode(): value.encode() for name, value in metadata.items()}
    pieces: list[Any] = [_MAGIC]
    at, chunks = len(_MAGIC), []
    for one, column in zip(schema, columns, strict=True):
        for leaf in leaves_of(one.name, column, one.nullable):
            chunk = encode_leaf(leaf, compression)
            chunks.append((chunk, at))
            pieces += chunk.pieces
            at += chunk.file_bytes
    pieces.append(footer(schema, rows, chunks, pairs))
    return pa.py_buffer(b"".join(pieces))


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
