"""Rejected records as Parquet: why, and what it takes to send them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa

from millstream.decode.rejects import SCHEMA as OUTCOME_SCHEMA

ARRIVED = pa.timestamp("ms", "UTC")

SCHEMA = pa.schema(
    [
        *OUTCOME_SCHEMA,
        pa.field("source", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("sub", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("context", pa.binary()),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("arrived_at", ARRIVED, nullable=False),
    ]
)
"""An Outcome's rejects, and where they came from. `position` counts the records of the file, or of the batch."""


def stored_batch(
    rejects: pa.RecordBatch,
    *,
    source: str,
    identity: Callable[[int], str],
    arrived: Callable[[int], datetime],
    sub: Callable[[int], int],
    first: int,
    form: str,
    fingerprint: str,
) -> pa.RecordBatch:
    """Rejects as they are stored. `identity`, `arrived` and `sub` are asked by position in the batch; `first` is added to it."""
    positions: Sequence[int] = rejects.column(0).to_pylist()
    count = len(positions)
    columns = [
        pa.array([first + position for position in positions], pa.int64()),
        *rejects.columns[1:],
        pa.array([source] * count, pa.string()),
        pa.array([identity(position) for position in positions], pa.string()),
        pa.array([sub(position) for position in positions], pa.int32()),
        pa.array([form] * count, pa.string()),
        pa.nulls(count, pa.binary()),
        pa.array([fingerprint] * count, pa.string()),
        pa.array([arrived(position) for position in positions], ARRIVED),
    ]
    return pa.record_batch(columns, SCHEMA)


def open_rejects(url, what, sink, *, kms_key=None):  # SHIM
    from millstream.sinks.store import check_apart, open_store

    store = open_store(url, what)
    check_apart(sink, store)
    return store
