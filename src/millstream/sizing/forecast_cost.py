"""What a workload costs, item by item. Each function is one service's arithmetic, and knows nothing of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from millstream.classes import dataclass
from millstream.sizing.forecast_plan import RECEIVE, Plan
from millstream.sizing.prices import Prices
from millstream.sizing.workload import DAY, FIFO, KINESIS, MONTH, MONTH_HOURS, S3, SQS, TIERED, Workload

GB = 2.0**30
KB = 1024.0
DAYS = MONTH / DAY
PUT_UNIT = 25 * KB
CHUNK = 64 * KB
"""What SQS and EventBridge count as one request."""
SEND_BATCH = 10
LONG_POLL = 20.0
IDLE_POLLERS = 5
FIREHOSE_STEP = 5 * KB
FIREHOSE_SECONDS, FIREHOSE_BYTES = 900.0, 128 * 2.0**20
"""Firehose's largest buffers: the fewest objects."""
PARTS_ABOVE, PART = 16 * 2**20, 8 * 2**20
MONITORED_BYTES = 128 * KB
KEY_BYTES, KEY_DAYS = 225.0, 31.0
"""A message's key in the ledger: 125 bytes, and 100 that DynamoDB counts for each item."""
FOLDERS_IN_UNIT = 20
"""Partition folders that an attempt's item holds in a write unit."""
LOG_BYTES = 1790.0
"""The log line and the metrics of a batch that writes one object: 1,744 to 1,752 bytes of the real handler, and some for longer names."""
LOG_OBJECT_BYTES, LOG_CODE_BYTES = 9.0, 270.0
"""More for each further object, and for each reject code of a batch."""
LAMBDA_LOG_BYTES = 340.0
"""START, END and REPORT, in Lambda's text form."""
LOG_EVENT_BYTES, LOG_EVENTS = 26.0, 5
"""What CloudWatch counts beside each line's text, and lines of a batch: three of Lambda's, the log line, the metrics."""
METRICS = 13
"""Metrics of a source: handlers.md. Each reject code is one more."""
DATA_KEY_SECONDS = 300.0


@dataclass(frozen=True)
class Item:
    """One line of the bill. quantity: a month's; usd: a month's."""

    group: str
    name: str
    quantity: float
    unit: str
    usd: float

    @property
    def each(self) -> float:
        """USD for a unit, on the average of its tiers."""
        return self.usd / self.quantity if self.quantity else 0.0


class Bill:
    """Items as they are counted. free_tier: with what an account has for nothing."""

    def __init__(self, prices: Prices, free_tier: bool = False) -> None:
        self.prices, self.free_tier = prices, free_tier
        self.items: list[Item] = []

    def add(self, group: str, name: str, key: str, quantity: float, before: float = 0.0) -> None:
        """Count something. before: what was used of the same tiers already."""
        if quantity > 0:
            price = self.prices[key]
            usd = price.cost(before + quantity, free_tier=self.free_tier) - price.cost(before, free_tier=self.free_tier)
            self.items.append(Item(group, name, quantity, price.unit, usd))

    @property
    def total(self) -> float:
        return math.fsum(one.usd for one in self.items)


def add_lambda(
    bill: Bill,
    architecture: str,
    memory: int,
    invocations: float,
    milliseconds: float,
    cold: float = 0.0,
    init_ms: float = 0.0,
    tmp_mb: int = 512,
) -> None:
    """Requests, time, and the time to begin, which is billed since August 2025, with what first batches take more. Each invocation is
    rounded up to a millisecond."""
    group, key, gb = "Lambda", f"lambda.gb_second.{architecture}", memory / 1024
    seconds = invocations * math.ceil(round(milliseconds, 6)) / 1000 * gb
    begins = invocations * cold * math.ceil(round(init_ms, 6)) / 1000 * gb
    bill.add(group, "requests", "lambda.request", invocations)
    bill.add(group, "duration", key, seconds)
    bill.add(group, "INIT and first batches", key, begins, before=seconds)
    bill.add(group, "temporary files above 512 MB", "lambda.tmp_gb_second", (seconds + begins) / gb * (tmp_mb - 512) / 1024)


def add_provisioned(bill: Bill, workload: Workload, shards: int) -> None:
    """A stream of so many shards, and what its producers put."""
    bill.add("Kinesis", "shards", "kinesis.shard_hour", shards * MONTH_HOURS)
    units = math.ceil(workload.delivery_bytes / PUT_UNIT)
    bill.add("Kinesis", "PUT payload units", "kinesis.put_unit", workload.deliveries_per_second * MONTH * units)
    if workload.retention > 24:
        bill.add("Kinesis", "extended retention", "kinesis.retention_shard_hour", shards * MONTH_HOURS)
    _add_long_term(bill, workload)


def add_on_demand(bill: Bill, workload: Workload) -> None:
    """A stream without shards of one's own. Each record is counted as whole kilobytes going in, and as it is coming out."""
    counted = math.ceil(workload.delivery_bytes / KB) * KB
    bill.add("Kinesis", "stream", "kinesis.stream_hour", MONTH_HOURS)
    bill.add("Kinesis", "data in", "kinesis.in_gb", workload.deliveries_per_second * MONTH * counted / GB)
    bill.add("Kinesis", "data out", "kinesis.out_gb", workload.bytes_per_second * workload.readers * MONTH / GB)
    kept = min(max(workload.retention - 24, 0.0), 144.0) * 3600
    bill.add("Kinesis", "extended retention", "kinesis.retention_gb_month", workload.bytes_per_second * kept / GB)
    _add_long_term(bill, workload)


def _add_long_term(bill: Bill, workload: Workload) -> None:
    kept = max(workload.retention - 168, 0.0) * 3600
    bill.add("Kinesis", "long-term retention", "kinesis.long_term_gb_month", workload.bytes_per_second * kept / GB)


def sqs_requests(workload: Workload, lanes: int, deliveries: float) -> dict[str, float]:
    """A second's requests of a queue, 64 KB each: ten messages are sent at a time, as many received as are there, ten deleted."""
    rate, size = workload.deliveries_per_second, workload.delivery_bytes
    if workload.source == S3:
        rate, size = workload.deliveries_per_second, KB  # a notification
    sent = 1.0 if workload.source == S3 else min(SEND_BATCH, max(2**20 // size, 1.0))
    at_once = min(max(rate / lanes * RECEIVE, 1.0), 10.0)
    return {
        "send": rate / sent * math.ceil(sent * size / CHUNK),
        "receive": rate / at_once * math.ceil(at_once * size / CHUNK),
        "empty receives": max(lanes - rate * LONG_POLL, 0.0) / LONG_POLL,
        "delete": rate / min(max(deliveries, 1.0), 10.0),
    }


def add_sqs(bill: Bill, workload: Workload, lanes: int, deliveries: float) -> None:
    """A queue's requests: the producers', and those of Lambda's pollers."""
    key, before = "sqs.fifo" if workload.source == FIFO else "sqs.standard", 0.0
    for name, rate in sqs_requests(workload, lanes, deliveries).items():
        bill.add("SQS", name, key, rate * MONTH, before=before)
        before += rate * MONTH


def puts_of(size: float) -> int:
    """Requests that an object takes: one, or a multipart upload."""
    return 1 if size <= PARTS_ABOVE else 2 + math.ceil(size / PART)


def add_s3(bill: Bill, workload: Workload, objects: float, object_bytes: float, rejects: float, reads: float = 0.0) -> None:
    """A month's objects of rows, of rejects, objects that are read; and what is kept, once it has been kept as long as it will be."""
    bill.add("S3", "puts of rows", "s3.put", objects * puts_of(object_bytes))
    bill.add("S3", "puts of rejects", "s3.put", rejects)
    bill.add("S3", "gets", "s3.get", reads)
    add_storage(bill, "S3", workload, objects, object_bytes)
    kept = workload.bytes_per_second * workload.rejected * DAY * workload.days / GB
    bill.add("S3", "storage of rejects", "s3.gb_month.standard", kept, before=_standard_gb(workload, objects, object_bytes))


def add_storage(bill: Bill, group: str, workload: Workload, objects: float, object_bytes: float) -> None:
    """What is stored of a month's objects, by how old it is. Intelligent-Tiering moves what nobody reads; objects below 128 KB stay."""
    a_day = objects * object_bytes / DAYS / GB
    bill.add(group, "storage", "s3.gb_month.standard", _standard_gb(workload, objects, object_bytes))
    if workload.storage == TIERED and object_bytes >= MONITORED_BYTES:
        bill.add(group, "storage, 30 days old", "s3.gb_month.infrequent", a_day * min(max(workload.days - 30, 0.0), 60.0))
        bill.add(group, "storage, 90 days old", "s3.gb_month.archive", a_day * max(workload.days - 90, 0.0))
        bill.add(group, "objects monitored", "s3.monitored_object", objects / DAYS * workload.days)


def _standard_gb(workload: Workload, objects: float, object_bytes: float) -> float:
    """What is stored at the first price."""
    moves = workload.storage == TIERED and object_bytes >= MONITORED_BYTES
    return objects * object_bytes / DAYS / GB * (min(workload.days, 30.0) if moves else workload.days)


def ledger_units(source: str, deliveries: float, folders: float) -> tuple[float, float]:
    """Write and read units of a batch: docs/reliability.md. Of a stream a read comes in a container's first batch alone."""
    units = max(1.0, math.ceil(round(folders, 6) / FOLDERS_IN_UNIT))
    if source == S3:
        return 2.0 * deliveries, 0.0
    if source == KINESIS:
        return 2.0 * units, 0.0
    return 2.0 * deliveries + 2.0 * units, deliveries


def add_ledger(bill: Bill, workload: Workload, invocations: float, deliveries: float, folders: float) -> None:
    """The ledger, or keys of messages: units on demand, and what is stored of keys."""
    if not workload.once:
        return
    writes, reads = ledger_units(workload.source, deliveries, folders)
    bill.add("DynamoDB", "write units", "dynamodb.write", invocations * writes)
    first = workload.cold if workload.source == KINESIS else 0.0
    bill.add("DynamoDB", "read units", "dynamodb.read", invocations * (reads + first))
    if workload.source in (SQS, FIFO):
        kept = workload.deliveries_per_second * DAY * KEY_DAYS * KEY_BYTES / GB
        bill.add("DynamoDB", "storage of keys", "dynamodb.gb_month", kept)


def log_bytes(objects: float, codes: float) -> float:
    """What CloudWatch counts of a batch's lines."""
    lines = LOG_BYTES + LOG_OBJECT_BYTES * max(objects - 1, 0.0) + codes * (LOG_CODE_BYTES + LOG_EVENT_BYTES)
    return lines + LAMBDA_LOG_BYTES + LOG_EVENTS * LOG_EVENT_BYTES


def add_logs(bill: Bill, workload: Workload, invocations: float, objects: float, codes: float) -> None:
    """A batch's lines, Lambda's own among them."""
    gb = invocations * log_bytes(objects, codes) / GB
    bill.add("CloudWatch", "logs, ingested", "logs.in_gb", gb)
    bill.add("CloudWatch", "logs, stored", "logs.gb_month", gb / DAYS * workload.log_days)


def add_watching(bill: Bill, alarms: int, dashboards: int, keys: int, metrics: int, key_requests: float = 0.0) -> None:
    """What is paid for being there: metrics, alarms by the metrics that they look at, dashboards, keys."""
    bill.add("CloudWatch", "metrics", "cloudwatch.metric", metrics)
    bill.add("CloudWatch", "alarms", "cloudwatch.alarm", alarms)
    bill.add("CloudWatch", "dashboards", "cloudwatch.dashboard", dashboards)
    bill.add("KMS", "keys", "kms.key", keys)
    bill.add("KMS", "requests", "kms.request", key_requests)


def add_firehose(bill: Bill, workload: Workload) -> None:
    """The same records put to Firehose, with conversion to Parquet: each is counted in steps of 5 KB. Its fewest objects."""
    rate, size = workload.deliveries_per_second, workload.delivery_bytes
    if workload.source == S3:  # Firehose reads no objects: their records are put
        rate, size = workload.records_per_second, workload.record_bytes
    gb = rate * MONTH * math.ceil(size / FIREHOSE_STEP) * FIREHOSE_STEP / GB
    out = workload.records_per_second * workload.output_bytes
    group = "Firehose"
    bill.add(group, "data in", "firehose.in_gb", gb)
    bill.add(group, "conversion to Parquet", "firehose.convert_gb", gb)
    objects = max(workload.objects / FIREHOSE_SECONDS, workload.bytes_per_second / FIREHOSE_BYTES) * MONTH
    if workload.objects > 1:
        bill.add(group, "dynamic partitioning", "firehose.partition_gb", out * MONTH / GB)
        bill.add(group, "objects of partitions", "firehose.partition_object", objects)
    held = out * MONTH / objects
    bill.add(group, "puts to S3", "s3.put", objects * puts_of(held))
    add_storage(bill, group, workload, objects, held)


def stream_costs(prices: Prices, workload: Workload, shards: int, free_tier: bool) -> tuple[float, float]:
    """A month of the stream with so many shards, and on demand."""
    both: Sequence[Callable[[Bill], None]] = (
        lambda one: add_provisioned(one, workload, shards),
        lambda one: add_on_demand(one, workload),
    )
    bills = []
    for add in both:
        bill = Bill(prices, free_tier)
        add(bill)
        bills.append(bill.total)
    return bills[0], bills[1]


def bill_of(
    prices: Prices,
    workload: Workload,
    plan: Plan,
    architecture: str,
    memory: int,
    init_ms: float,
    shards: int | None,
    free_tier: bool,
) -> Bill:
    """All items of a workload that runs as planned. shards: of a stream that is not on demand."""
    bill = Bill(prices, free_tier)
    if workload.source == KINESIS and shards is not None:
        add_provisioned(bill, workload, shards)
    elif workload.source == KINESIS:
        add_on_demand(bill, workload)
    else:
        if workload.source == S3:
            bill.add("EventBridge", "events of objects", "eventbridge.event", workload.deliveries_per_second * MONTH)
        add_sqs(bill, workload, max(plan.lanes, IDLE_POLLERS), plan.deliveries)
    add_lambda(bill, architecture, memory, plan.invocations, plan.milliseconds, workload.cold, init_ms, workload.tmp_mb)
    touched = min(1.0, plan.records * workload.rejected)  # of the batches, by the mean
    objects = plan.invocations * plan.objects
    reads = workload.deliveries_per_second * MONTH if workload.source == S3 else 0.0
    add_s3(bill, workload, objects, plan.object_bytes, plan.invocations * touched, reads)
    folders = plan.objects if workload.source == KINESIS else float(workload.objects)
    add_ledger(bill, workload, plan.invocations, plan.deliveries, folders)
    add_logs(bill, workload, plan.invocations, plan.objects, touched)
    requests = MONTH / DATA_KEY_SECONDS * workload.keys
    add_watching(bill, workload.alarms, workload.dashboards, workload.keys, METRICS + (1 if workload.rejected else 0), requests)
    return bill
