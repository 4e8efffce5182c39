"""Kinesis batches in, Parquet out."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from millstream import clock
from millstream.aws.envelope import Deliveries, Listed, Shape, find_fields, records_in, source_of, text_of
from millstream.aws.handler import KEPT_IF, TOO_LARGE, Answer, Event, Handler, answer, milliseconds_since, origin_of
from millstream.decode.payloads import Payloads
from millstream.decode.records import Records, records_of
from millstream.errors import UsageError
from millstream.ledger.item import base_of, short
from millstream.native.bind import kernels
from millstream.native.memory import allocate, from_numbers
from millstream.sinks.landed import Landed
from millstream.sinks.origin import Origin

if TYPE_CHECKING:
    from millstream.aws.once import Done
    from millstream.ledger.turn import Turn
    from millstream.sinks.landing import Prepared

SHAPE = Shape(
    outer=("eventSource", "eventID", "eventSourceARN"),
    nested="kinesis",
    inner=("sequenceNumber", "data", "approximateArrivalTimestamp"),
    numbers=("approximateArrivalTimestamp",),
)
_SOURCE = "aws:kinesis"
_EXPECTED = (
    "expected a Kinesis event, "
    "{'Records': [{'eventSource': 'aws:kinesis', 'kinesis': {'data': ..., 'sequenceNumber': ...}, ...}]}"
)


class _Ready(NamedTuple):
    """Deliveries that can be written. done: so many of them will be then; reason: why not more."""

    deliveries: Deliveries
    records: Records
    prepared: Prepared
    done: int
    reason: str


class KinesisHandler(Handler):
    """Runs Kinesis batches through a pipeline; see `millstream.aws.kinesis_handler`."""

    source = "kinesis"
    expected = _EXPECTED

    def _open_ledger(self) -> None:
        if self.ledger is not None:
            from millstream.aws.once import Once  # a part of a cold start that others do without
            from millstream.ledger.table import open_table

            self.once = Once(self, open_table(self.ledger))

    def _load_ledger(self) -> None:
        self.once.load()

    def restored(self) -> None:
        super().restored()
        if self.ledger is not None:
            self.once.forget()

    def __call__(self, event: Event, context: Any = None) -> Answer:
        """Land a batch. Answers the first sequence number of each shard that must come again, as Lambda wants it.

        Raises UsageError for an event of another kind, RunError where the whole batch must come again.
        """
        started = time.perf_counter()
        until = self.until(context)
        shards: list[Deliveries] = self.opened(event, kinesis_text, kinesis_event)
        envelope = milliseconds_since(started) / len(shards)
        failed, reasons, done = [], [], 0
        for deliveries in shards:
            if self.ledger is not None:
                self.once.check(deliveries, context)
            first, reason = self._shard(deliveries, envelope, until)
            done += first
            if first < deliveries.count:
                failed.append(deliveries.identities(first))
                reasons.append(reason)
        return answer(failed, done, reasons)

    def _shard(self, deliveries: Deliveries, envelope: float, until: float) -> tuple[int, str]:
        """Land what one shard delivered: how many deliveries are done, and why not more."""
        stages = {"envelope": envelope}
        line = self.line(deliveries, stages)
        if clock.monotonic() >= until:
            self.report(line, Landed.failed(deliveries.count))
            return 0, self.late()
        if self.ledger is None:
            done, landed, reason = self._land(self._ready(deliveries, stages), stages, until, None)
        else:
            ready: dict[int, _Ready] = {}

            def work(rest: Deliveries, turn: Turn) -> Done:
                """Another turn with the same rest goes on with what was made ready for the first."""
                if rest.count not in ready:
                    ready[rest.count] = self._ready(rest, stages)
                return self._land(ready[rest.count], stages, until, turn)

            done, landed, reason = self.once.land(deliveries, stages, until, work)
        self.report(line, landed)
        return done, reason

    def _ready(self, deliveries: Deliveries, stages: dict[str, float]) -> _Ready:
        """Deliveries by way of the pipeline."""
        begun = time.perf_counter()
        records = records_of(deliveries.payloads, self.pipeline.input, deliveries.broken)
        done, reason, failed = records.deliveries, TOO_LARGE, 0
        stages["envelope"] += milliseconds_since(begun)
        prepared = self.prepared(records)
        if self.fails and prepared.rejects.num_rows:  # what comes before the first rejected record is kept
            code, rejected = prepared.rejects.column(1)[0], prepared.rejects.column(0)[0].as_py()
            done, reason = records.delivery(rejected), f"a record is rejected ({code}){KEPT_IF}"
            failed = records.count - records.before(done)
            records = records.first(records.count - failed)
            prepared = self.prepared(records)
        prepared.fail(failed + deliveries.count - records.deliveries)
        stages |= prepared.stage_ms
        return _Ready(deliveries, records, prepared, done, reason)

    def _land(self, ready: _Ready, stages: dict[str, float], until: float, turn: Turn | None) -> Done:
        """Land what is ready, as an attempt of the ledger's where it has a turn."""
        deliveries, records, prepared, done, reason = ready
        if not done:
            return 0, Landed(dict(prepared.counts)), reason
        begun, before = time.perf_counter(), stages.get("ledger", 0.0)
        if turn is None:
            landed = self.land(prepared, _origin(deliveries, records, done), until)
        else:
            landed = self.once.attempt(turn, prepared, deliveries, records, done, stages)
        stages["write"] = milliseconds_since(begun) - (stages.get("ledger", 0.0) - before)
        if landed.error is not None:
            return 0, landed, str(landed.error)
        return done, landed, reason


def kinesis_event(event: Mapping[str, Any]) -> list[Deliveries]:
    """The event's records by stream and shard, each in its order. A batch holds one shard; events made by hand, more."""
    shards: dict[tuple[str, str], list[_Record]] = {}
    for number, record in enumerate(records_in(event, _EXPECTED)):
        arn, shard, found = _read(source_of(record, number, _SOURCE, _EXPECTED), f"Records[{number}]")
        shards.setdefault((arn, shard), []).append(found)
    return [_checked(_delivered(arn, shard, found)) for (arn, shard), found in shards.items()]


def kinesis_text(text: bytes) -> list[Deliveries] | None:
    """The event's records by its text; None if it is not as Lambda makes them, with one shard of one stream."""
    fields = find_fields(text, SHAPE)
    if fields is None or not fields.same("eventSource") or not fields.same("eventSourceARN"):
        return None
    arn, event_id = fields.texts("eventSourceARN")(0), fields.texts("eventID")(0)
    shard = event_id.partition(":")[0]
    if fields.texts("eventSource")(0) != _SOURCE or not fields.same("eventID", len(shard.encode()) + 1):
        return None
    starts, encoded = fields.spans("data")
    ends = allocate(fields.count, 8)
    if kernels.decode_spans(fields.text, starts, encoded, ends):
        return None
    return [
        _checked(
            Deliveries(
                source=arn,
                shard=shard,
                payloads=Payloads.of_spans(fields.text, starts, ends),
                identities=fields.texts("sequenceNumber"),
                arrivals=fields.texts("approximateArrivalTimestamp"),
                per_second=1,
                raw=True,
            )
        )
    ]


class _Record(NamedTuple):
    sequence: str
    seconds: float
    data: bytes


def _read(record: Mapping[str, Any], place: str) -> tuple[str, str, _Record]:
    body = record.get("kinesis")
    if not isinstance(body, Mapping):
        raise UsageError(f"{place} has no 'kinesis' object; {_EXPECTED}")
    arn, event_id = (text_of(record, name, place, _EXPECTED) for name in ("eventSourceARN", "eventID"))
    sequence, data = (text_of(body, name, f"{place}.kinesis", _EXPECTED) for name in ("sequenceNumber", "data"))
    arrival = body.get("approximateArrivalTimestamp")
    if isinstance(arrival, bool) or not isinstance(arrival, int | float):
        raise UsageError(f"{place}.kinesis.approximateArrivalTimestamp is missing or no number; {_EXPECTED}")
    return arn, event_id.partition(":")[0], _Record(sequence, float(arrival), data.encode("utf-8", "surrogatepass"))


def _delivered(arn: str, shard: str, records: list[_Record]) -> Deliveries:
    payloads = Payloads.of_records([one.data for one in records])
    ends = allocate(len(records), 8)
    broken: list[int] = []
    if kernels.decode_spans(payloads.text, payloads.starts, payloads.ends, ends):
        places, starts = ends.tolist(), payloads.starts.tolist()
        broken = [i for i, end in enumerate(places) if end < 0]
        for i in broken:  # it goes to the rejects as it came
            data = records[i].data
            ctypes.memmove(payloads.text.address + starts[i], data, len(data))
            places[i] = starts[i] + len(data)
        ends = from_numbers("q", places)
    return Deliveries(
        source=arn,
        shard=shard,
        payloads=Payloads.of_spans(payloads.text, payloads.starts, ends),
        identities=Listed([one.sequence for one in records]),
        arrivals=Listed([repr(one.seconds) for one in records]),
        per_second=1,
        broken=broken,
    )


def _checked(deliveries: Deliveries) -> Deliveries:
    """These, if what stands in their objects' names can stand there. Raises UsageError."""
    for name, value in (
        ("eventID", deliveries.shard),
        ("kinesis.sequenceNumber", deliveries.identities(0)),
        ("kinesis.sequenceNumber", deliveries.identities(deliveries.count - 1)),
    ):
        if not (value.isascii() and value.replace("-", "").isalnum()):
            raise UsageError(f"a record's {name} is not of the form that Kinesis gives it; {_EXPECTED}")
    return deliveries


def _origin(deliveries: Deliveries, records: Records, done: int) -> Origin:
    first, last = deliveries.identities(0), deliveries.identities(done - 1)
    base = base_of(short(deliveries.source), deliveries.shard, first, last, 1)
    return origin_of(deliveries, records, base, f"{deliveries.shard}:{first}-{last}")
