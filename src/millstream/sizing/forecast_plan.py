"""How a workload runs: shards or none, batch size and window for a latency, concurrency, invocations. Nothing here costs anything yet."""

from __future__ import annotations

import math
from collections.abc import Callable

from millstream.classes import dataclass
from millstream.errors import UsageError
from millstream.sizing.limits import EVENT_BYTES
from millstream.sizing.pace import Pace
from millstream.sizing.workload import FIFO, KINESIS, MONTH, S3, Workload

SHARD_BYTES, SHARD_DELIVERIES, SHARD_READ_BYTES = 1_000_000.0, 1000.0, 2_000_000.0
"""What a shard takes and gives in a second."""
EVENT_RECORD_BYTES = {KINESIS: 590.0, "sqs": 870.0, FIFO: 1000.0}
"""An event's bytes for each delivery beside its data: names, ARNs, numbers. Events of 1,000 orders (benchmarks/events.py) have 576, of
Kinesis, and 859, of SQS."""
ESCAPED = 1.15
"""A body of SQS stands in the event as text: 13 % of an order's bytes are quotes, which get a backslash each."""
MOST_BATCH, MOST_FIFO_BATCH, MOST_WINDOW = 10_000, 10, 300
MOST_SECONDS = 900.0
"""Lambda's longest timeout."""
POLL = 1.0
"""Seconds between two looks at a shard."""
RECEIVE = 0.02
"""Seconds that a receipt from SQS is taken to last. Not measured."""
LEAST_POLLERS, MOST_POLLERS = 5, 1250
ACCOUNT_CONCURRENCY = 1000
"""What all functions of an account may do at a time, unless AWS raises it."""
BUSY = 0.8
"""The share of the time that a shard may be busy at the peak; the rest is for what has piled up."""
ON_DEMAND_SHARDS = 4
"""What a new stream on demand begins with; it grows to twice the highest peak of 30 days."""
SPARE = 1.5
"""Concurrency to reserve for a queue, of what the peak needs."""
FILE_BYTES = 64 * 2**20
"""Text of one source object that goes into one Parquet file a partition."""


@dataclass(frozen=True)
class Shards:
    """Shards that the peak needs, by what; most of these is what it takes."""

    bytes_in: int
    deliveries: int
    bytes_out: int
    keeping_up: int

    @property
    def needed(self) -> int:
        return max(self.bytes_in, self.deliveries, self.bytes_out, self.keeping_up)

    @property
    def why(self) -> str:
        """What decides."""
        reasons = {
            "bytes in, 1 MB a second each": self.bytes_in,
            "deliveries, 1,000 a second each": self.deliveries,
            "bytes read, 2 MB a second each": self.bytes_out,
            "the function, which must keep up": self.keeping_up,
        }
        return max(reasons, key=lambda name: reasons[name])


@dataclass(frozen=True)
class Plan:
    """How a workload runs. lanes: batches that are gathered side by side. deliveries, records: in a mean batch; peak_deliveries: in one of
    the peak. milliseconds: of a mean batch; seconds: from a record's arrival until its row is there, at worst, at the peak.
    objects: that a batch writes; object_bytes: their mean size."""

    shards: Shards | None
    lanes: int
    batch_size: int
    window: int
    deliveries: float
    records: float
    peak_deliveries: float
    milliseconds: float
    peak_milliseconds: float
    seconds: float
    invocations: float
    concurrency: int
    reserved: int
    objects: float
    object_bytes: float
    event_limit: int
    warnings: tuple[str, ...] = ()


def event_limit(workload: Workload) -> int:
    """How many deliveries an event of 6 MB holds."""
    if workload.source == S3:
        return MOST_BATCH
    data = workload.delivery_bytes
    text = math.ceil(data / 3) * 4 if workload.source == KINESIS else data * ESCAPED
    return max(int(EVENT_BYTES // (text + EVENT_RECORD_BYTES[workload.source])), 1)


def calls_of(workload: Workload, deliveries: float) -> float:
    """Calls to DynamoDB of a batch, one after another."""
    if not workload.once:
        return 0.0
    if workload.source in (KINESIS, S3):
        return 2.0
    return 2.0 + 2.0 * math.ceil(deliveries / 100)


def objects_of(workload: Workload, records: float) -> float:
    """Objects of rows that a batch, or a source object, writes."""
    files = math.ceil(workload.object_bytes / FILE_BYTES) if workload.source == S3 else 1
    kept = max(records * (1.0 - workload.rejected), 0.0)
    return min(float(workload.objects) * files, max(kept, 1.0)) if kept > 0 else 0.0


def milliseconds_of(workload: Workload, pace: Pace, deliveries: float) -> float:
    """A batch of so many deliveries."""
    records = deliveries * workload.records_per_delivery
    return pace.batch_ms(records, objects_of(workload, records), calls_of(workload, deliveries))


def gathered(rate: float, seconds: float, most: int, milliseconds: Callable[[float], float]) -> float:
    """Deliveries of a lane's batch where so many come a second: one at least, `most` at most. While a function runs the next gather."""
    count = min(max(rate * seconds, 1.0), float(most))
    if rate * milliseconds(count) / 1000 <= count:
        return count
    while count < most:  # the lane is busy: the batch that is as long as it takes to gather it
        grown = min(max(rate * milliseconds(count) / 1000, 1.0), float(most))
        if grown <= count * 1.0001:
            break
        count = grown
    return count


def shards_of(workload: Workload, pace: Pace, most: int) -> Shards:
    """Shards that the peak needs."""
    peak = workload.peak
    seconds = milliseconds_of(workload, pace, most) / 1000
    lane = BUSY * most / seconds if seconds else math.inf
    return Shards(
        bytes_in=max(math.ceil(_rounded(workload.bytes_per_second * peak / SHARD_BYTES)), 1),
        deliveries=max(math.ceil(_rounded(workload.deliveries_per_second * peak / SHARD_DELIVERIES)), 1),
        bytes_out=max(math.ceil(_rounded(workload.bytes_per_second * peak * workload.readers / SHARD_READ_BYTES)), 1),
        keeping_up=max(math.ceil(_rounded(workload.deliveries_per_second * peak / (lane * workload.parallelization))), 1),
    )


def _rounded(value: float) -> float:
    """Without the last bits, so that 3.0000000000000004 shards are three."""
    return round(value, 9)


def plan(workload: Workload, pace: Pace, batch: int | None, window: int | None, lanes: int | None = None) -> Plan:
    """How the workload runs. batch, window: given by the user; lanes: shards of a stream on demand. Raises UsageError."""
    most_batch = MOST_FIFO_BATCH if workload.source == FIFO else MOST_BATCH
    if batch is not None and not 1 <= batch <= most_batch:
        raise UsageError(f"--batch is {batch}; write 1 to {most_batch}")
    if window is not None and not 0 <= window <= MOST_WINDOW:
        raise UsageError(f"--window is {window}; write 0 to {MOST_WINDOW} seconds")
    if workload.source == FIFO and window:
        raise UsageError("a FIFO queue has no window; leave --window out")
    if workload.source == S3:
        return _objects(workload, pace, batch or 1)
    limit = min(most_batch, event_limit(workload))
    most = limit if batch is None else min(batch, limit)
    if workload.source == KINESIS:
        shards = shards_of(workload, pace, most)
        lanes = (shards.needed if lanes is None else lanes) * workload.parallelization
        return _gathering(workload, pace, most, batch, window, lanes, lanes, POLL, shards)
    rest = _lanes_of(workload, pace, most, window, workload.deliveries_per_second)
    busy = _lanes_of(workload, pace, most, window, workload.deliveries_per_second * workload.peak)
    return _gathering(workload, pace, most, batch, window, rest, busy, RECEIVE, None)


def _lanes_of(workload: Workload, pace: Pace, most: int, window: int | None, rate: float) -> int:
    """Pollers of a queue that are busy where so many messages come: five, or as many as it takes."""
    longest = 0 if workload.source == FIFO else max(1, min(MOST_WINDOW, int(workload.latency)))
    seconds = max(longest if window is None else window, RECEIVE)
    lanes = LEAST_POLLERS
    while lanes < MOST_POLLERS:
        count = gathered(rate / lanes, seconds, most, lambda n: milliseconds_of(workload, pace, n))
        needed = math.ceil(_rounded(rate / count * milliseconds_of(workload, pace, count) / 1000))
        if needed <= lanes:
            break
        lanes = min(max(needed, lanes + 1), MOST_POLLERS)
    return lanes


def _gathering(
    workload: Workload,
    pace: Pace,
    most: int,
    batch: int | None,
    window: int | None,
    lanes: int,
    busy_lanes: int,
    poll: float,
    shards: Shards | None,
) -> Plan:
    """A stream or a queue: the longest window that the latency allows, and the batch that the peak gathers in it."""
    rate, peak_rate = workload.deliveries_per_second / lanes, workload.deliveries_per_second * workload.peak / busy_lanes

    def milliseconds(count: float) -> float:
        return milliseconds_of(workload, pace, count)

    def seconds(wait: int) -> tuple[float, float]:
        """From arrival to row at worst, and the batch at the peak."""
        count = gathered(peak_rate, max(wait, poll), most, milliseconds)
        took = milliseconds(count) * pace.tail / 1000
        gather = max(float(wait), poll)
        return gather + took + max(took - gather, 0.0), count

    least = 1 if workload.source == "sqs" and most > MOST_FIFO_BATCH else 0
    if window is None:
        longest = 0 if workload.source == FIFO else min(MOST_WINDOW, max(int(workload.latency), least))
        window = next((wait for wait in range(longest, least - 1, -1) if seconds(wait)[0] <= workload.latency), least)
    worst, at_peak = seconds(window)
    count = gathered(rate, max(window, poll), most, milliseconds)
    records = count * workload.records_per_delivery
    objects = objects_of(workload, records)
    invocations = workload.deliveries_per_second * MONTH / count
    peak_ms = milliseconds(at_peak)
    busy = peak_rate / at_peak * busy_lanes * peak_ms / 1000
    concurrency = busy_lanes if shards is not None else max(math.ceil(_rounded(busy)), 1)
    warnings = []
    if worst > workload.latency:
        warnings.append(
            f"the latency of {workload.latency:g} s is not met: {worst:.2f} s at the peak; more memory, fewer objects a batch"
            + (" or more shards" if shards is not None else "")
        )
    if milliseconds(most) * pace.tail / 1000 > MOST_SECONDS:
        warnings.append("a batch of this size may take longer than Lambda's 15 minutes; choose a smaller --batch")
    if busy > busy_lanes * 1.0001:
        warnings.append("the function does not keep up with the peak: more memory or larger batches")
    size = batch if batch is not None else min(_nice(max(at_peak, 10.0 if workload.source == "sqs" else 100.0)), most)
    return Plan(
        shards, lanes, size, window, count, records, at_peak, milliseconds(count), peak_ms, worst, invocations, concurrency,
        concurrency if shards is not None else max(math.ceil(SPARE * concurrency), LEAST_POLLERS),
        objects, _object_bytes(workload, records, objects), event_limit(workload), tuple(warnings),
    )  # fmt: skip


def _objects(workload: Workload, pace: Pace, batch: int) -> Plan:
    """Objects that come in by a queue, each read whole; a batch of several where the user says so."""
    deliveries = float(batch)
    records = deliveries * workload.records_per_delivery
    took = milliseconds_of(workload, pace, deliveries) + pace.put_ms * batch  # reading begins with a wait, too
    objects = objects_of(workload, workload.records_per_delivery) * batch
    rate = workload.deliveries_per_second / batch
    worst = took * pace.tail / 1000
    concurrency = max(math.ceil(_rounded(rate * workload.peak * took / 1000)), 1)
    warnings = []
    if worst > MOST_SECONDS:
        warnings.append(f"an object takes {worst:,.0f} s: it goes on over several invocations of 15 minutes")
    if worst > workload.latency:
        warnings.append(f"the latency of {workload.latency:g} s is not met: {worst:.2f} s; smaller objects or more memory")
    return Plan(
        None, concurrency, batch, 0, deliveries, records, deliveries, took, took, worst, rate * MONTH, concurrency,
        max(math.ceil(SPARE * concurrency), LEAST_POLLERS), objects, _object_bytes(workload, records, objects), MOST_BATCH,
        tuple(warnings),
    )  # fmt: skip


def _object_bytes(workload: Workload, records: float, objects: float) -> float:
    return records * (1.0 - workload.rejected) * workload.output_bytes / objects if objects else 0.0


def _nice(count: float) -> int:
    """Up to two digits: 1,234 is 1,300."""
    whole = math.ceil(count)
    step = int(10.0 ** max(len(str(whole)) - 2, 0))
    return math.ceil(whole / step) * step
