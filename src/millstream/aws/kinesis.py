"""Kinesis batches in, Parquet out: the handler wires an event to a pipeline and a sink."""

from __future__ import annotations

import binascii
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from millstream.aws.observe import Batch, log_batch
from millstream.decode.rejects import Reject
from millstream.errors import SettingsError, UsageError
from millstream.schema import Code
from millstream.sinks.landing import Landed, Origin, Output, Prepared, land, prepare
from millstream.sinks.rejects import open_rejects
from millstream.sinks.store import open_store

if TYPE_CHECKING:
    from millstream.pipeline import Pipeline

ON_REJECT = ("fail", "drop-and-count")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPECTED = (
    "expected a Kinesis event, "
    "{'Records': [{'eventSource': 'aws:kinesis', 'kinesis': {'data': ..., 'sequenceNumber': ...}, ...}]}"
)
_BAD_BASE64 = "the data is not base64"


class _Record(NamedTuple):
    """One delivery: `data` is None where its base64 cannot be decoded."""

    sequence: str
    arrived: datetime
    data: bytes | None
    encoded: str


class _Shard(NamedTuple):
    arn: str
    shard: str
    records: list[_Record]


def kinesis_handler(
    pipeline: Pipeline,
    *,
    sink: str | os.PathLike[str],
    rejects: str | os.PathLike[str] | None = None,
    on_reject: str | None = None,
) -> KinesisHandler:
    """A Lambda handler that runs Kinesis batches through a pipeline into the folder `sink`.

    Rejected records go to the folder `rejects`. Without one, say what a rejected record does: `on_reject="fail"` stops the
    shard there until it expires, `"drop-and-count"` leaves it to the counts. Raises SettingsError or PlanError at once.
    """
    return KinesisHandler(pipeline, sink, rejects, on_reject)


class KinesisHandler:
    """Callable as `handler(event, context)`; see `kinesis_handler`."""

    def __init__(
        self, pipeline: Pipeline, sink: str | os.PathLike[str], rejects: str | os.PathLike[str] | None, on_reject: str | None
    ) -> None:
        if rejects is not None and on_reject is not None:
            raise SettingsError("on_reject is for functions without rejects: drop one of the two")
        if rejects is None and on_reject not in ON_REJECT:
            found = "no rejects and no on_reject" if on_reject is None else f"on_reject {on_reject!r}"
            raise SettingsError(
                f"{found}: write rejects='DIR' to keep rejected records, or on_reject='fail' or 'drop-and-count'"
            )
        self.pipeline = pipeline
        self.fails = on_reject == "fail"
        self.fingerprint = pipeline.fingerprint
        self.output = Output.of(dict(pipeline.output or {}), pipeline.plan().schema)
        self.sink = open_store(sink, "the sink")
        self.rejects = None if rejects is None else open_rejects(rejects, "the rejects' place", self.sink)

    def __call__(self, event: Mapping[str, Any] | bytes, context: Any = None) -> dict[str, list[dict[str, str]]]:
        """Land a batch. Answers the first sequence number of each shard that must come again, as Lambda wants it.

        Raises UsageError for an event of another kind.
        """
        started = time.perf_counter()
        raw = isinstance(event, bytes | bytearray)
        shards = _shards(_parsed(event))
        envelope = (time.perf_counter() - started) * 1000 / len(shards)
        failures = [failed for shard in shards if (failed := self._shard(shard, raw, envelope)) is not None]
        return {"batchItemFailures": [{"itemIdentifier": failed} for failed in failures]}

    def _shard(self, shard: _Shard, raw: bool, envelope: float) -> str | None:
        """Land the records of one shard; the sequence number to go on from, if some must come again."""
        records, failed = shard.records, None
        clock = time.perf_counter()
        prepared = self._prepare(records)
        if self.fails and prepared.rejects.num_rows:  # what comes before the first rejected record is kept
            good = prepared.rejects.column(0)[0].as_py()
            failed = records[good].sequence
            prepared = self._prepare(records[:good])
            prepared.counts["delivered"] += len(records) - good
            prepared.counts["failed"] += len(records) - good
            records = records[:good]
        decode = (time.perf_counter() - clock) * 1000
        clock = time.perf_counter()
        if records:
            landed = land(prepared, _origin(shard, records), self.output, self.fingerprint, self.sink, self.rejects)
        else:
            landed = Landed(dict(prepared.counts))
        if landed.error is not None:
            failed = records[0].sequence
        stages = {"envelope": envelope, "run": decode, "write": (time.perf_counter() - clock) * 1000}
        log_batch(self._line(shard, raw, stages), landed)
        return failed

    def _prepare(self, records: Sequence[_Record]) -> Prepared:
        """Run the pipeline. A delivery that cannot be decoded is a rejected record in its place."""
        whole = [i for i, record in enumerate(records) if record.data is not None]
        outcome = self.pipeline.run([record.data for record in records if record.data is not None])
        broken = [Reject(i, Code.BAD_VALUE, None, -1, _BAD_BASE64) for i, record in enumerate(records) if record.data is None]
        return prepare(outcome, self.output, lambda i: _bytes(records[i]), broken, positions=whole if broken else None)

    def _line(self, shard: _Shard, raw: bool, stages: dict[str, float]) -> Batch:
        first, last = shard.records[0], shard.records[-1]
        return Batch(
            pipeline=self.pipeline.name,
            fingerprint=self.fingerprint,
            source="kinesis",
            source_id=shard.arn,
            shard=shard.shard,
            first=first.sequence,
            last=last.sequence,
            deliveries=len(shard.records),
            bytes_in=sum(len(record.data or b"") for record in shard.records),
            iterator_age_ms=max(0, int((datetime.now(UTC) - last.arrived) / timedelta(milliseconds=1))),
            raw=raw,
            stage_ms=stages,
        )


def _bytes(record: _Record) -> bytes:
    return record.encoded.encode() if record.data is None else record.data


def _origin(shard: _Shard, records: Sequence[_Record]) -> Origin:
    first, last = records[0].sequence, records[-1].sequence
    arn = hashlib.sha256(shard.arn.encode()).hexdigest()[:8]
    return Origin(
        base=f"{arn}-{shard.shard}-{first}-{last}-a1",
        range=f"{shard.shard}:{first}-{last}",
        source=shard.arn,
        identity=lambda position: records[position].sequence,
        arrived=lambda position: records[position].arrived,
        arrival=records[0].arrived.date(),
    )


def _parsed(event: Mapping[str, Any] | bytes) -> Mapping[str, Any]:
    if isinstance(event, Mapping):
        return event
    if isinstance(event, bytes | bytearray):
        import orjson

        try:
            parsed = orjson.loads(event)
        except orjson.JSONDecodeError:
            raise UsageError(f"the event is not JSON; {_EXPECTED}") from None
        if isinstance(parsed, dict):
            return parsed
        event = parsed
    raise UsageError(f"the event is a {type(event).__name__}; {_EXPECTED}")


def _shards(event: Mapping[str, Any]) -> list[_Shard]:
    """The event's records by stream and shard, each in its order. A batch holds one shard; events made by hand, more."""
    records = event.get("Records")
    if not isinstance(records, list) or not records:
        keys = ", ".join(sorted(map(str, event))[:8]) or "none"
        raise UsageError(f"the event has no list of Records (its keys: {keys}); {_EXPECTED}")
    shards: dict[tuple[str, str], _Shard] = {}
    for number, record in enumerate(records):
        arn, shard, found = _read(record, number)
        shards.setdefault((arn, shard), _Shard(arn, shard, [])).records.append(found)
    return list(shards.values())


def _read(record: Any, number: int) -> tuple[str, str, _Record]:
    place = f"Records[{number}]"
    if not isinstance(record, Mapping):
        raise UsageError(f"{place} is a {type(record).__name__}; {_EXPECTED}")
    source = record.get("eventSource") or record.get("EventSource")
    if source != "aws:kinesis":
        raise UsageError(f"{place} comes from {source if isinstance(source, str) else 'an unknown source'}; {_EXPECTED}")
    body = record.get("kinesis")
    if not isinstance(body, Mapping):
        raise UsageError(f"{place} has no 'kinesis' object; {_EXPECTED}")
    sequence, data, arn, event_id = (
        body.get("sequenceNumber"),
        body.get("data"),
        record.get("eventSourceARN"),
        record.get("eventID"),
    )
    for name, value in (
        ("kinesis.sequenceNumber", sequence),
        ("kinesis.data", data),
        ("eventSourceARN", arn),
        ("eventID", event_id),
    ):
        if not isinstance(value, str):
            raise UsageError(f"{place}.{name} is missing or no string; {_EXPECTED}")
    assert isinstance(sequence, str)
    assert isinstance(data, str)
    assert isinstance(arn, str)
    assert isinstance(event_id, str)
    shard = event_id.partition(":")[0]
    for name, value in (("kinesis.sequenceNumber", sequence), ("eventID", shard)):
        if not value or not all(one.isascii() and (one.isalnum() or one == "-") for one in value):
            raise UsageError(f"{place}.{name} is not one of Kinesis; {_EXPECTED}")
    arrival = body.get("approximateArrivalTimestamp")
    if isinstance(arrival, bool) or not isinstance(arrival, int | float) or not 0 <= arrival < 1e11:
        raise UsageError(f"{place}.kinesis.approximateArrivalTimestamp is missing or no time in seconds; {_EXPECTED}")
    try:
        payload: bytes | None = binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        payload = None
    return arn, shard, _Record(sequence, _EPOCH + timedelta(milliseconds=round(arrival * 1000)), payload, data)
