"""Rows as JSON objects, written column by column: no Python object is made per row.

Numbers are written in the fewest digits that read back the same, times in RFC 3339 (a zoned one with Z), dates in ISO 8601; NaN and
infinities become null, for JSON has no words for them.
"""

from __future__ import annotations

import orjson
import pyarrow as pa

from millstream.columns import open_array
from millstream.encode.text import json_strings, json_texts
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_bytes

SLICE_ROWS = 65_536
"""Rows encoded at one time: what bounds the memory beside the output."""


def encode_lines(batch: pa.RecordBatch) -> bytes:
    """One object a line, each line ended."""
    return b"".join(_encoded(batch.slice(at, SLICE_ROWS), b"", b"\n") for at in range(0, batch.num_rows, SLICE_ROWS))


def encode_array(batch: pa.RecordBatch) -> bytes:
    """A whole JSON array, one object a line."""
    pieces = [_encoded(batch.slice(at, SLICE_ROWS), b",\n", b"") for at in range(0, batch.num_rows, SLICE_ROWS)]
    return b"".join([b"[", *(piece if i else piece[1:] for i, piece in enumerate(pieces)), b"\n]\n"]) if pieces else b"[]\n"


def _encoded(batch: pa.RecordBatch, before: bytes, after: bytes) -> bytes:
    """Every row as an object, with `before` ahead of each and `after` behind it."""
    rows: int = batch.num_rows
    last: int = batch.num_columns - 1
    if last < 0:
        return (before + b"{}" + after) * rows
    cursors = allocate(rows, 8)
    kernels.fill_int64(0, cursors)
    fields: list[tuple[Memory, Memory, Memory, int, Memory]] = []
    for i, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        vector = open_array(column)
        quote = int(vector.type.is_temporal)
        data, views = json_strings(vector) if vector.type.physical == "string" else json_texts(vector)
        opening = from_bytes((b"," if i else before + b"{") + orjson.dumps(name) + b":")
        closing = from_bytes(b"}" + after if i == last else b"")
        kernels.add_lengths(views, opening.count + closing.count, 2 * quote, cursors)
        fields.append((opening, data, views, quote, closing))
    out = allocate(kernels.starts_of_lengths(cursors), 1)
    for field in fields:
        kernels.append_texts(*field, cursors, out)
    text: bytes = out.tobytes()
    return text
