"""Rejected records: why, and what it takes to send them again; as Parquet in a store, or as messages of a queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date, datetime

import pyarrow as pa

from millstream.classes import Protocol
from millstream.columns import open_array
from millstream.decode.rejects import SCHEMA as OUTCOME_SCHEMA
from millstream.errors import SettingsError
from millstream.sinks import parquet
from millstream.sinks.digest import digest_rows
from millstream.sinks.origin import Origin
from millstream.sinks.store import Store, check_apart, open_store, require_boto3

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

NONE = pa.RecordBatch.from_arrays([pa.nulls(0, one.type) for one in SCHEMA], schema=SCHEMA)
"""No rejects."""

_DIGESTED = ("position", "code", "column", "offset", "identity", "sub")


class Rejects(Protocol):
    """Where rejected records go."""

    @property
    def url(self) -> str: ...

    def load(self) -> None:
        """Load what the first write would. Raises SettingsError."""

    def write(self, batch: pa.RecordBatch, origin: Origin, fingerprint: str, until: float) -> None:
        """Keep rejects, in their stored form. Raises SinkError."""


class StoredRejects:
    """One Parquet object a batch: `date=<arrival>/<base>.parquet`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def url(self) -> str:
        return self.store.url

    def load(self) -> None:
        self.store.load()

    def write(self, batch: pa.RecordBatch, origin: Origin, fingerprint: str, until: float) -> None:
        """Put the object, or find that the same one stands there. Raises SinkError."""
        digested = [i for i, one in enumerate(batch.schema) if one.name in _DIGESTED]
        columns = [open_array(batch.column(i)) for i in digested]
        digest = digest_rows([batch.schema.names[i] for i in digested], columns, 0, batch.num_rows)
        tags = origin.tags(fingerprint, digest)
        self.store.put(
            f"{folder_of(origin.arrival)}/{origin.base}{parquet.SUFFIX}",
            parquet.encode_batch(batch, tags),
            tags,
            lambda path: parquet.difference(path, tags),
            until,
        )


def folder_of(arrival: date) -> str:
    """The folder of rejects that arrived on a day."""
    return f"date={arrival.isoformat()}"


def open_rejects(url: str | os.PathLike[str], what: str, sink: Store, *, kms_key: str | None = None) -> Rejects:
    """Where rejects go, by a path or URL: a store beside the sink, or a queue. `what` names the setting in errors.

    Raises SettingsError for a URL that cannot be written to, UsageError for a place where readers of the sink would find rejects.
    """
    text = os.fspath(url)
    if text.startswith(("sqs+", "sqs:")):
        require_boto3(f"{what} {text}")
        from millstream.sinks.queue import QueueRejects, check_queue

        check_queue(text, what)
        return QueueRejects(text)
    store = open_store(text, what, kms_key=kms_key)
    check_apart(sink, store)
    return StoredRejects(store)


def beside(sink: Store) -> str:
    """Where rejects go by default: beside the sink, where its readers do not look. Raises SettingsError where nothing is."""
    text = sink.url.rstrip("/")
    if sink.url.startswith("s3://") and text.count("/") < 3:
        raise SettingsError(
            f"the sink {sink.url} is a whole bucket, with no place beside it; give the sink a prefix, or the rejects another bucket"
        )
    return f"{text}-rejects"


def stored_batch(
    rejects: pa.RecordBatch,
    *,
    source: str,
    identity: Callable[[int], str],
    arrived: Callable[[int], datetime],
    sub: Callable[[int], int],
    first: int,
    form: str,
    context: Callable[[int], bytes | None],
    fingerprint: str,
) -> pa.RecordBatch:
    """Rejects as they are stored. `identity`, `arrived`, `sub` and `context` are asked by position in the batch; `first` is added to it."""
    positions: Sequence[int] = rejects.column(0).to_pylist()
    count = len(positions)
    columns = [
        pa.array([first + position for position in positions], pa.int64()),
        *rejects.columns[1:],
        pa.array([source] * count, pa.string()),
        pa.array([identity(position) for position in positions], pa.string()),
        pa.array([sub(position) for position in positions], pa.int32()),
        pa.array([form] * count, pa.string()),
        pa.array([context(position) for position in positions], pa.binary()),
        pa.array([fingerprint] * count, pa.string()),
        pa.array([arrived(position) for position in positions], ARRIVED),
    ]
    return pa.record_batch(columns, SCHEMA)
