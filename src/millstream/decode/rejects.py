"""Records that could not become rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from millstream.schema import Code

MESSAGES = {
    Code.BAD_JSON: "the text is not valid JSON here",
    Code.NOT_OBJECT: "the payload is JSON but not an object",
    Code.BAD_UTF8: "the text is not valid UTF-8 here",
    Code.TOO_DEEP: "objects and arrays are nested deeper than 1,024",
    Code.TOO_LONG: "the record is longer than the limit",
    Code.MISSING: "the key is absent and the column has no default",
    Code.NOT_NULL: "the value is null and the column is not nullable",
    Code.BAD_TYPE: "the value is of another JSON type than the column",
    Code.BAD_NUMBER: "the text is no number of the column's type",
    Code.OUT_OF_RANGE: "the number is out of the column's range",
    Code.BAD_TIME: "the text is no date or time of the column's type",
    Code.BAD_VALUE: "the text is no value of the column's type",
    Code.BAD_CSV: "the row is no CSV record",
    Code.BAD_COMPRESSION: "the compressed stream is corrupt or cut short",
    Code.TOO_LARGE: "the decompressed data is larger than the limit",
    Code.BAD_PARTITION: "the partition value cannot name a folder",
    Code.NO_MATCH: "the lookup has no row for the key",
}
"""What a code means, in words. No message holds a value."""


class Reject(NamedTuple):
    """One rejected record: its position in the batch, why, the column and the byte offset in its payload (-1: not known)."""

    position: int
    code: Code
    column: str | None
    offset: int
    message: str


def reject(position: int, code: Code, column: str | None = None, offset: int = -1) -> Reject:
    """A reject with its code's message."""
    return Reject(position, code, column, offset, MESSAGES.get(code, code.name.lower().replace("_", " ")))


SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("column", pa.string()),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("payload", pa.binary()),
    ]
)


NONE = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in SCHEMA], schema=SCHEMA)
"""No rejects."""


def to_batch(rejects: Sequence[Reject], payload: Callable[[int], bytes | None]) -> pa.RecordBatch:
    """Rejects with their payloads, in the order of their positions; `payload` gives the bytes at a position."""
    if not rejects:
        return NONE
    rows = sorted(rejects)
    columns = [
        [one.position for one in rows],
        [one.code.name for one in rows],
        [one.column for one in rows],
        [one.offset for one in rows],
        [one.message for one in rows],
        [payload(one.position) for one in rows],
    ]
    return pa.record_batch([pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], SCHEMA)
