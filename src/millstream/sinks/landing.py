"""Landing one batch: its rejects first, then its rows, and what became of every record."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pyarrow as pa

from millstream import clock
from millstream.classes import dataclass, field
from millstream.columns import close, take
from millstream.decode.rejects import SCHEMA as REJECTS_SCHEMA
from millstream.decode.rejects import Reject, reject, to_batch
from millstream.errors import PlanError, SettingsError, SinkError
from millstream.native.memory import from_numbers
from millstream.outcome import Outcome
from millstream.schema import Code, Disposition
from millstream.sinks import parquet
from millstream.sinks.digest import digest_rows
from millstream.sinks.landed import NAMES, Landed, check_law
from millstream.sinks.origin import Origin
from millstream.sinks.partition import Part, Partitioned, check_columns, partition
from millstream.sinks.rejects import NONE, Rejects, stored_batch
from millstream.sinks.store import Store, Stored

if TYPE_CHECKING:
    from concurrent.futures import Future

FORMATS = ("parquet", "json", "ndjson")


@dataclass(frozen=True)
class Output:
    """How rows are written: format, compression (Parquet's; JSON is plain), partition columns."""

    format: str = "parquet"
    compression: str = "zstd"
    partition_by: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """Of objects' names."""
        return f".{self.format}"

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
class Prepared:
    """A batch that is ready to be written: its rows by partition, all its rejects. stage_ms: what it took to get there."""

    partitioned: Partitioned
    rejects: pa.RecordBatch
    counts: dict[str, int]
    stage_ms: dict[str, float] = field(default_factory=dict)
    failed_by_rule: dict[str, int] = field(default_factory=dict)

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
    extra, kept, filtered = list(faults), int(given["kept"]), int(given["filtered"])
    partitioned = partition(outcome.schema, outcome.columns, int(given["rows"]), output.partition_by)
    if partitioned.bad:
        columns_of = dict(partitioned.bad)
        culprits, gone = outcome.lineage.together(columns_of)
        extra += [reject(_place(positions, one), Code.BAD_PARTITION, columns_of[row]) for one, row in culprits.items()]
        without = set(gone)
        rows = [row for row in range(int(given["rows"])) if row not in without]
        indices = from_numbers("q", rows)
        columns = [take(column, indices) for column in outcome.columns]
        partitioned = partition(outcome.schema, columns, len(rows), output.partition_by)
        # What fed a bad row by way of rows that were all filtered counted as filtered.
        were_kept = [outcome.disposition[one].as_py() for one in culprits].count(int(Disposition.KEPT))
        kept -= were_kept
        filtered -= len(culprits) - were_kept
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
        "filtered": filtered,
        "duplicate": int(given["duplicate"]),
        "rejected": rejects.num_rows,
        "failed": int(given["failed"]),
    }
    check_law(counts)
    stages = {name: 1000 * taken for name, taken in outcome.seconds.items()}
    return Prepared(partitioned, rejects, counts, stages, given["failed_by_rule"])


def _place(positions: Sequence[int] | None, number: int) -> int:
    return number if positions is None else positions[number]


def land(
    prepared: Prepared,
    origin: Origin,
    output: Output,
    fingerprint: str,
    sink: Store,
    rejects: Rejects | None,
    until: float = math.inf,
) -> Landed:
    """Write the rejects (unless `rejects` is None), then the rows. No attempt is begun after `until`, by clock.monotonic().

    When something cannot be written, `error` says what, and every record that was to be written counts as failed: it
    goes again; so does every rejected record if the rejects cannot be. Files that are whole stay, and are found then.
    """
    rows = prepared.partitioned
    objects = [Ready(part.rows, partial(_object, rows, part, origin, output, fingerprint)) for part in rows.parts]
    stored = stored_rejects(prepared, origin, fingerprint)
    landed = land_objects(prepared.counts, stored, objects, origin, fingerprint, sink, rejects, until)
    landed.add_rules(prepared.failed_by_rule)
    return landed


Object: TypeAlias = tuple[str, Any, dict[str, str], Callable[[Path], str | None]]
"""Its name, body, tags, and how a file that stands there is another one."""


class Ready(NamedTuple):
    """An object that can be written: how many rows it holds, and what encodes it."""

    rows: int
    encode: Callable[[], Object]


def land_objects(
    counts: Mapping[str, int],
    stored: pa.RecordBatch,
    objects: Sequence[Ready],
    origin: Origin,
    fingerprint: str,
    sink: Store,
    rejects: Rejects | None,
    until: float,
) -> Landed:
    """Write rejects in their stored form, then objects; see `land`."""
    landed = Landed(dict(counts), sum(one.rows for one in objects))
    for code in stored.column(1).to_pylist() if stored.num_rows else ():
        landed.rejected_by_code[code] = landed.rejected_by_code.get(code, 0) + 1
    try:
        if rejects is not None and stored.num_rows:
            rejects.write(stored, origin, fingerprint, until)
    except SinkError as error:
        landed.fail("rejected", error)
        landed.rejected_by_code.clear()
    if landed.error is None:
        _Writer(objects, sink, until).write(landed)
    if landed.error is not None:
        landed.fail("written", landed.error)
        landed.rows = sum(rows for _, rows in landed.files)
    check_law(landed.counts)
    return landed


def stored_rejects(prepared: Prepared, origin: Origin, fingerprint: str) -> pa.RecordBatch:
    """A batch's rejects as they are stored."""
    if not prepared.rejects.num_rows:
        return NONE
    return stored_batch(
        prepared.rejects,
        source=origin.source,
        identity=origin.identity,
        arrived=origin.arrived,
        sub=origin.sub,
        first=origin.first,
        form=origin.format,
        context=origin.context,
        fingerprint=fingerprint,
    )


@dataclass(frozen=True)
class _Writer:
    """Puts objects."""

    objects: Sequence[Ready]
    sink: Store
    until: float

    def write(self, landed: Landed) -> None:
        """Fill in the files, in the order of objects, and the first error in that order."""
        threads = min(self.sink.threads, len(self.objects))
        if threads > 1:
            self._write_many(threads, landed)
        else:
            self._write_each(landed)
        if landed.error is None and len(landed.files) < len(self.objects):
            done = f"{len(landed.files)} of {len(self.objects)} files"
            landed.error = SinkError(
                f"cannot write to {self.sink.url}: time is up after {done}; give it more time, or less to do"
            )

    def _write_each(self, landed: Landed) -> None:
        try:
            for one in self.objects:
                if clock.monotonic() >= self.until:
                    break
                landed.files.append((self.sink.put(*one.encode(), self.until), one.rows))
        except SinkError as error:
            landed.error = error

    def _write_many(self, threads: int, landed: Landed) -> None:
        """Encode one by one, put by threads; all have ended when this returns. At most 2 bodies a thread are held."""
        from concurrent.futures import CancelledError, ThreadPoolExecutor

        waiting: deque[tuple[int, Future[Stored]]] = deque()

        def settle() -> None:
            rows, put = waiting.popleft()
            try:
                landed.files.append((put.result(), rows))
            except SinkError as error:
                landed.error = landed.error or error
            except CancelledError:
                pass

        with ThreadPoolExecutor(threads, thread_name_prefix="millstream-put") as pool:
            try:
                for one in self.objects:
                    if len(waiting) == 2 * threads:
                        settle()
                    if landed.error is not None or clock.monotonic() >= self.until:
                        break
                    waiting.append((one.rows, pool.submit(self.sink.put, *one.encode(), self.until)))
                while waiting:
                    if landed.error is not None:
                        _cancel(waiting)
                    settle()
            finally:
                _cancel(waiting)


def _object(rows: Partitioned, part: Part, origin: Origin, output: Output, fingerprint: str) -> Object:
    schema, columns = rows.schema, rows.of(part)
    name = object_name(part.folder, origin)
    tags = origin.tags(fingerprint, digest_rows(schema.names, columns, 0, part.rows))
    if output.format == "parquet":
        body = parquet.encode(schema, columns, part.rows, tags, output.compression)
        return name + parquet.SUFFIX, body, tags, lambda path: parquet.difference(path, tags)
    from millstream.encode import json

    batch = pa.record_batch([close(column) for column in columns], schema)
    text = json.encode_array(batch) if output.format == "json" else json.encode_lines(batch)
    return f"{name}.{output.format}", text, tags, lambda path: None if path.read_bytes() == text else "it holds other rows"


def object_name(folder: str, origin: Origin) -> str:
    """An object's name without its suffix."""
    return f"{folder}/{origin.base}-0000" if folder else f"{origin.base}-0000"


def _cancel(waiting: Iterable[tuple[int, Future[Stored]]]) -> None:
    for _, put in waiting:
        put.cancel()
