"""JSON output: an array or lines. Timestamps are RFC 3339, dates ISO; what these cannot say (infinity, year 10000) is null."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

SLICE_ROWS = 8192
"""Rows that are Python objects at one time."""

_EPOCH = datetime(1970, 1, 1)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times that Python's datetime cannot hold become text or null."""
    columns = [_times(column) if pa.types.is_temporal(column.type) else column for column in batch.columns]
    return pa.record_batch(columns, names=batch.schema.names)


def _times(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        zone = "Z" if column.type.tz else ""
        return pa.array(
            [None if one is None else _nanoseconds(one, zone) for one in column.view(pa.int64()).to_pylist()], pa.string()
        )
    try:
        column.to_pylist()
    except (OverflowError, ValueError):
        return pa.array([_held(one) for one in column], column.type)
    return column


def _held(scalar: pa.Scalar) -> Any:
    """The time, or None before year 1 and past year 9999: RFC 3339 cannot say it."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return None


def _nanoseconds(value: int, zone: str) -> str:
    seconds, fraction = divmod(value, 10**9)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    return f"{text}.{fraction:09}{zone}" if fraction else text + zone


def _encoded(batch: pa.RecordBatch, first: bytes, between: bytes) -> Iterator[bytes]:
    plain = _plain(batch)
    opened = False
    for start in range(0, plain.num_rows, SLICE_ROWS):
        for row in plain.slice(start, SLICE_ROWS).to_pylist():
            yield between if opened else first
            opened = True
            yield orjson.dumps(row, default=_default, option=orjson.OPT_UTC_Z)


def _default(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"no JSON for {type(value).__name__}")


def encode_lines(batch: pa.RecordBatch) -> bytes:
    """One object a line, each line ended."""
    return b"".join([*_encoded(batch, b"", b"\n"), b"\n"]) if batch.num_rows else b""


def encode_array(batch: pa.RecordBatch) -> bytes:
    """A whole JSON array, an object a line."""
    return b"".join([*_encoded(batch, b"[\n", b",\n"), b"\n]\n"]) if batch.num_rows else b"[]\n"


def difference(path: Path, body: bytes) -> str | None:
    """How the file at `path` is another object, in words; None if it holds the same bytes."""
    return None if path.read_bytes() == body else "it holds other rows"
