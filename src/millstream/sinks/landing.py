"""Landing one batch: its rejects first, then its rows, and what became of every record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa

from millstream.columns import close, open_array, take
from millstream.decode.rejects import SCHEMA as REJECTS_SCHEMA
from millstream.decode.rejects import Reject, reject, to_batch
from millstream.encode import json
from millstream.errors import PlanError, SettingsError, SinkError
from millstream.native.memory import from_numbers
from millstream.outcome import Outcome
from millstream.schema import Code
from millstream.sinks import parquet
from millstream.sinks.digest import digest_rows
from millstream.sinks.partition import Part, Partitioned, check_columns, partition
from millstream.sinks.rejects import stored_batch
from millstream.sinks.store import DirectoryStore, Stored

FORMATS = ("parquet", "json", "ndjson")
NAMES = ("delivered", "written", "filtered", "duplicate", "rejected", "failed")
"""What the law counts: the first is the sum of the rest."""


@dataclass(frozen=True)
class Output:
    """How rows are written: format, compression (Parquet's; JSON is plain), partition columns."""

    format: str = "parquet"
    compression: str = "zstd"
    partition_by: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: dict[str, Any], schema: pa.Schema) -> Output:
        """From a pipeline's output settings. Raises SettingsError or PlanError for what cannot be written."""
        form = settings.get("format") or "parquet"
        if form not in FORMATS:
            raise SettingsError(f"output: format {form!r} cannot be written yet; write {', '.join(FORMATS)}")
        by = settings.get("partition_by") or ()
        by = (by,) if isinstance(by, str) else tuple(by)
        compression = parquet.check_compression(settings.get("compression") or "zstd")
        if not schema.names:
            raise PlanError("output: no column is left to write")
        check_columns(schema, by)
        return cls(form, compression, by)


@dataclass(frozen=True)
class Origin:
    """Where a batch came from, and what its objects are called.

    base: the start of the objects' names. range: the records of the source that the batch holds, as text.
    identity, arrived, sub: of a record, by its position; sub is its number within its delivery. first: the number of the batch's
    first record in its source.
    """

    base: str
    range: str
    source: str
    identity: Callable[[int], str]
    arrived: Callable[[int], datetime]
    arrival: date
    format: str = "json"
    first: int = 0
    sub: Callable[[int], int] = lambda position: 0


@dataclass
class Landed:
    """What became of a batch. The law holds in `counts`. `error` is set if its rows, or its rejects, could not be written."""

    counts: dict[str, int]
    rows: int = 0
    rejected_by_code: dict[str, int] = field(default_factory=dict)
    files: list[tuple[Stored, int]] = field(default_factory=list)
    error: SinkError | None = None
    bytes_in: int = 0

    @classmethod
    def of(cls, prepared: Prepared) -> Landed:
        """Of a batch of which nothing is written."""
        return cls(dict(prepared.counts))

    @classmethod
    def none(cls) -> Landed:
        """Of no record."""
        return cls(dict.fromkeys(NAMES, 0))

    @classmethod
    def duplicate(cls, records: int) -> Landed:
        """Of records that were landed before."""
        return cls(dict.fromkeys(NAMES, 0) | {"delivered": records, "duplicate": records})

    @classmethod
    def failed(cls, records: int) -> Landed:
        """Of records that nothing was done with."""
        return cls(dict.fromkeys(NAMES, 0) | {"delivered": records, "failed": records})

    def fail(self, name: str, error: SinkError) -> None:
        """Count the records of one kind as failed."""
        self.counts["failed"] += self.counts[name]
        self.counts[name] = 0
        self.error = error

    def add(self, other: Landed) -> None:
        """Count what became of more records of the same source."""
        for name, count in other.counts.items():
            self.counts[name] += count
        for code, count in other.rejected_by_code.items():
            self.rejected_by_code[code] = self.rejected_by_code.get(code, 0) + count
        self.rows += other.rows
        self.files += other.files
        self.error = self.error or other.error

    @property
    def bytes_out(self) -> int:
        return sum(stored.bytes for stored, _ in self.files)


@dataclass(frozen=True)
class Prepared:
    """A batch that is ready to be written: its rows by partition, all its rejects. stage_ms: what that took."""

    partitioned: Partitioned
    rejects: pa.RecordBatch
    counts: dict[str, int]
    stage_ms: dict[str, float] = field(default_factory=dict)

    def fail(self, records: int) -> None:
        """Count records of the batch that go again, and so were left out."""
        self.counts["delivered"] += records
        self.counts["failed"] += records


def prepare(
    outcome: Outcome,
    output: Output,
    payload: Callable[[int], bytes | None],
    faults: Sequence[Reject] = (),
    positions: Sequence[int] | None = None,
) -> Prepared:
    """File rows by partition. Records whose value names no folder are rejected, as are `faults`: pieces that were no records.

    `payload` gives a record's bytes by its position. `positions`: of the outcome's records, where faults stand between them.
    """
    given = outcome.counts
    batch, extra = outcome.batch, list(faults)
    partitioned = partition(batch, output.partition_by)
    kept = int(given["kept"])
    if partitioned.bad:
        sources = outcome.row_source.to_pylist()
        culprits: dict[int, str] = {}
        for row, column in partitioned.bad:
            culprits.setdefault(sources[row], column)
        extra += [reject(_place(positions, one), Code.BAD_PARTITION, column) for one, column in culprits.items()]
        batch = _without(batch, [row for row, source in enumerate(sources) if source not in culprits])
        partitioned = partition(batch, output.partition_by)
        kept -= len(culprits)
    rejects = outcome.rejects
    if extra:
        listed = rejects.to_pylist()
        for one in listed:
            one["position"] = _place(positions, one["position"])
        listed += to_batch(extra, payload).to_pylist()
        rejects = pa.RecordBatch.from_pylist(sorted(listed, key=itemgetter("position")), REJECTS_SCHEMA)
    delivered = int(given["delivered"]) + len(faults)
    counts = dict.fromkeys(NAMES, 0) | {
        "delivered": delivered,
        "written": kept,
        "filtered": int(given["filtered"]),
        "duplicate": int(given["duplicate"]),
        "rejected": rejects.num_rows,
        "failed": int(given["failed"]),
    }
    check_law(counts)
    return Prepared(partitioned, rejects, counts, {name: 1000 * taken for name, taken in outcome.seconds.items()})


def _place(positions: Sequence[int] | None, number: int) -> int:
    return number if positions is None else positions[number]


def check_law(counts: dict[str, int]) -> None:
    """Every record is accounted for, or this raises: it is a fault of ours."""
    if counts["delivered"] != sum(counts[name] for name in NAMES[1:]):
        raise AssertionError(f"records are not accounted for: {counts}")


def _without(batch: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    indices = from_numbers("q", rows)
    return pa.record_batch([close(take(open_array(column), indices)) for column in batch.columns], batch.schema)


def land(
    prepared: Prepared,
    origin: Origin,
    output: Output,
    fingerprint: str,
    sink: DirectoryStore,
    rejects: DirectoryStore | None,
    until: float = 0,
) -> Landed:
    """Write the rejects (unless `rejects` is None), then the rows.

    When something cannot be written, `error` says what, and every record that was to be written counts as failed: it
    goes again; so does every rejected record if the rejects cannot be. Files that are whole stay, and are found then.
    """
    landed = Landed(dict(prepared.counts), prepared.partitioned.batch.num_rows)
    for code in prepared.rejects.column(1).to_pylist():
        landed.rejected_by_code[code] = landed.rejected_by_code.get(code, 0) + 1
    try:
        if rejects is not None and prepared.rejects.num_rows:
            _put_rejects(prepared.rejects, origin, fingerprint, rejects)
    except SinkError as error:
        landed.fail("rejected", error)
        landed.rejected_by_code.clear()
    try:
        for part in prepared.partitioned.parts if landed.error is None else ():
            stored = _put_rows(prepared.partitioned, part, origin, output, fingerprint, sink)
            landed.files.append((stored, part.rows))
    except SinkError as error:
        landed.error = error
    if landed.error is not None:
        landed.fail("written", landed.error)
        landed.rows = sum(rows for _, rows in landed.files)
    check_law(landed.counts)
    return landed


def _put_rejects(batch: pa.RecordBatch, origin: Origin, fingerprint: str, store: DirectoryStore) -> None:
    stored = stored_batch(
        batch,
        source=origin.source,
        identity=origin.identity,
        arrived=origin.arrived,
        sub=origin.sub,
        first=origin.first,
        form=origin.format,
        fingerprint=fingerprint,
    )
    digested = [
        i for i, one in enumerate(stored.schema) if one.name in ("position", "code", "column", "offset", "identity", "sub")
    ]
    columns = [open_array(stored.column(i)) for i in digested]
    digest = digest_rows([stored.schema.names[i] for i in digested], columns, 0, stored.num_rows)
    metadata = {"fingerprint": fingerprint, "source": origin.range, "digest": digest}
    store.put(
        f"date={origin.arrival.isoformat()}/{origin.base}{parquet.SUFFIX}",
        parquet.encode(stored, metadata),
        lambda path: parquet.difference(path, metadata),
    )


def _put_rows(rows: Partitioned, part: Part, origin: Origin, output: Output, fingerprint: str, store: DirectoryStore) -> Stored:
    batch = rows.batch.slice(part.first, part.rows)
    name = f"{part.folder}/{origin.base}-0000" if part.folder else f"{origin.base}-0000"
    if output.format != "parquet":
        body = json.encode_array(batch) if output.format == "json" else json.encode_lines(batch)
        return store.put(
            f"{name}.{output.format}", body, lambda path: None if path.read_bytes() == body else "it holds other rows"
        )
    digest = digest_rows(batch.schema.names, rows.columns, part.first, part.rows)
    metadata = {"fingerprint": fingerprint, "source": origin.range, "digest": digest}
    encoded = parquet.encode(batch, metadata, output.compression)
    return store.put(name + parquet.SUFFIX, encoded, lambda path: parquet.difference(path, metadata))
