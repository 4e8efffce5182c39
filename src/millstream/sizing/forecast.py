"""`millstream forecast`: what a workload needs and what it costs, from a measured profile; Firehose beside it.

found = forecast(workload, pace, load())
found.total, found.per_million          # USD a month, USD a million records
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millstream.classes import dataclass
from millstream.sizing.forecast_cost import Bill, Item, add_firehose, bill_of, stream_costs
from millstream.sizing.forecast_plan import (
    ACCOUNT_CONCURRENCY,
    LEAST_POLLERS,
    ON_DEMAND_SHARDS,
    SHARD_BYTES,
    SHARD_DELIVERIES,
    Plan,
    plan,
)
from millstream.sizing.pace import Pace
from millstream.sizing.prices import Prices
from millstream.sizing.workload import AUTO, DAY, FIFO, KINESIS, MONTH_HOURS, ON_DEMAND, PROVISIONED, S3, SQS, Workload

SMALL_OBJECT = 2**20
"""Bytes below which readers of the lake suffer from objects."""
FIREHOSE_LACKS = (
    "Firehose delivers at least once; it drops no duplicates",
    "it converts and partitions, and does not clean, filter, join or compute: that takes a function, which is not in its price here",
    "records that it cannot convert go to an error prefix, without the reasons and the replay that rejects have",
)


@dataclass(frozen=True)
class Forecast:
    """What a workload needs and costs. shards: None on demand, and where there is no stream. per_million: records that come in."""

    workload: Workload
    pace: Pace
    prices: Prices
    free_tier: bool
    plan: Plan
    mode: str | None
    shards: int | None
    items: tuple[Item, ...]
    total: float
    firehose: tuple[Item, ...]
    firehose_total: float
    reasons: tuple[str, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def per_million(self) -> float:
        return self.total / (self.workload.records / 1e6)

    @property
    def firehose_per_million(self) -> float:
        return self.firehose_total / (self.workload.records / 1e6)


def forecast(
    workload: Workload,
    pace: Pace,
    prices: Prices,
    *,
    batch: int | None = None,
    window: int | None = None,
    free_tier: bool = False,
    assumed: tuple[str, ...] = (),
) -> Forecast:
    """The forecast. batch, window: what the user has decided. Raises UsageError for what cannot be."""
    found, mode, shards, reasons = plan(workload, pace, batch, window), None, None, []
    if workload.source == KINESIS:
        assert found.shards is not None
        shards = found.shards.needed
        mode, why = _mode(workload, prices, shards, free_tier)
        reasons.append(f"{shards} {_many('shard', shards)} at the peak: {found.shards.why}")
        reasons.append(why)
        if mode == ON_DEMAND:
            shards, open_shards = None, max(ON_DEMAND_SHARDS, 2 * found.shards.needed)
            found = plan(workload, pace, batch, window, open_shards)
            reasons.append(f"on demand the stream is taken to have {open_shards} shards: twice the peak's, 4 at least")
    bill = bill_of(prices, workload, found, pace.architecture, pace.memory, pace.init_ms, shards, free_tier)
    beside = Bill(prices, free_tier)
    add_firehose(beside, workload)
    return Forecast(
        workload, pace, prices, free_tier, found, mode, shards, tuple(bill.items), bill.total, tuple(beside.items), beside.total,
        (*reasons, *_reasons(workload, found, pace)), (*_assumptions(workload, prices, free_tier), *pace.told, *assumed),
        (*found.warnings, *_warnings(workload, pace, found, mode)),
    )  # fmt: skip


def _mode(workload: Workload, prices: Prices, shards: int, free_tier: bool) -> tuple[str, str]:
    provisioned, on_demand = stream_costs(prices, workload, shards, free_tier)
    both = f"shards cost {provisioned:,.2f} USD a month, on demand {on_demand:,.2f}"
    if workload.mode != AUTO:
        return workload.mode, f"{workload.mode}, as given: {both}"
    chosen = PROVISIONED if provisioned <= on_demand else ON_DEMAND
    more = "; on demand takes growth beyond the peak by itself" if chosen == PROVISIONED else "; and it grows by itself"
    return chosen, f"{chosen}: {both}{more}"


def _many(word: str, count: float) -> str:
    return word if count == 1 else f"{word}s"


def _reasons(workload: Workload, found: Plan, pace: Pace) -> Iterator[str]:
    if workload.source == S3:
        objects = f"{found.batch_size} {_many('object', found.batch_size)}"
        yield f"{objects} an invocation, {found.records:,.0f} records, {found.milliseconds:,.0f} ms"
    else:
        waits = "no window is to be had" if workload.source == FIFO else f"a window of {found.window} s"
        yield (
            f"{waits}: a row is there {found.seconds:.2f} s after its record at worst, of {workload.latency:g} s; a batch is "
            f"{found.deliveries:,.0f} of {_deliveries(workload)} on the average, {found.peak_deliveries:,.0f} at the peak; an event "
            f"holds {found.event_limit:,}"
        )
    if workload.source == KINESIS:
        yield f"concurrency is shards × parallelisation factor {workload.parallelization}: a shard's batches come one after another"
    else:
        yield (
            f"concurrency is what comes in at the peak × {found.peak_milliseconds:,.0f} ms (Little's law); half as much more is reserved, "
            f"{LEAST_POLLERS} at least, for Lambda begins with so many"
        )


def _deliveries(workload: Workload) -> str:
    return "the stream's records" if workload.source == KINESIS else "messages"


def _assumptions(workload: Workload, prices: Prices, free_tier: bool) -> Iterator[str]:
    yield f"a month is {MONTH_HOURS:g} hours; costs are of the mean rate, capacity is of {workload.peak:g} times that"
    yield f"storage and logs are those of the time when the oldest are {workload.days:g} and {workload.log_days:g} days old"
    yield f"{workload.cold:.1%} of invocations begin in a new environment, and pay for INIT (--cold)"
    if workload.source == KINESIS:
        yield "record_bytes holds the partition key; 1 MB of a shard is 10^6 bytes; AWS's On-demand Advantage is not looked at"
        yield "a window begins with its first record, and a shard is looked at once a second"
    if workload.source in (SQS, FIFO):
        yield "producers send 10 messages at a time; five pollers at least"
        yield "a receipt takes 20 ms and has what came meanwhile, which nobody measured"
    if workload.source == S3:
        yield "objects come by EventBridge and a queue, as the template has it; the seconds that takes are not in the latency"
        yield "putting and keeping objects in the raw bucket is not in the price"
    if workload.once:
        yield "once: the ledger" if workload.source in (KINESIS, S3) else "once: a key for each message"
    else:
        yield "at least once: no ledger"
    if not (workload.alarms or workload.dashboards or workload.keys):
        yield "no alarms, dashboards and keys: sam/README.md has the template's (--alarms, --dashboards, --keys)"
    yield "no data leaves the region, nothing is tried again, taxes and discounts are left out; free tiers are " + (
        "taken off" if free_tier else "left out (--free-tier)"
    )
    if workload.source != S3 and workload.delivery_bytes % 5120:
        counted = -(-workload.delivery_bytes // 5120) * 5
        yield (
            f"Firehose counts {workload.delivery_bytes:,.0f} bytes as {counted:,.0f} KB; producers that pack records (--per-delivery) pay "
            "less, here too"
        )
    known = len(prices.by_key) - len(prices.remembered)
    yield (
        f"prices: {prices.region}, {prices.date}; {known} of {len(prices.by_key)} were looked up, the rest is from memory: "
        + ", ".join(prices.remembered or ["none"])
    )
    if prices.overridden:
        yield f"prices of your file: {', '.join(prices.overridden)}"


def _warnings(workload: Workload, pace: Pace, found: Plan, mode: str | None) -> Iterator[str]:
    if found.objects and found.object_bytes < SMALL_OBJECT:
        a_day = found.invocations * found.objects / MONTH_HOURS * 24
        more = "a longer window, fewer shards or fewer partitions make them larger"
        if workload.source != S3 and found.batch_size < found.event_limit and found.deliveries > 0.95 * found.batch_size:
            more = "larger batches, or fewer partitions, make them larger"
        elif workload.source != S3 and found.deliveries > found.event_limit * 0.95:
            more = (
                "an event holds no more, so producers that pack records (--per-delivery), or fewer partitions, make them larger"
            )
        yield f"objects are small: {_size(found.object_bytes)} each, {a_day:,.0f} a day; {more}, and readers like 128 MB"
    if found.reserved > ACCOUNT_CONCURRENCY:
        yield f"an account has a concurrency of {ACCOUNT_CONCURRENCY:,} for all its functions, unless AWS raises it"
    largest = found.peak_deliveries * workload.records_per_delivery
    if pace.measured and largest > pace.measured * 1.5:
        yield (
            f"the largest batch that was measured has {pace.measured:,} records, here it is {largest:,.0f}: measure one of these, for "
            "its time and its memory"
        )
    peak_bytes, peak_count = workload.bytes_per_second * workload.peak, workload.deliveries_per_second * workload.peak
    if mode == ON_DEMAND and (peak_bytes > 4 * SHARD_BYTES or peak_count > 4 * SHARD_DELIVERIES):
        yield "a new stream on demand takes 4 MB and 4,000 records a second: let it grow, or begin with shards"
    if workload.source == KINESIS and workload.latency * workload.peak > workload.retention * 3600:
        yield "the stream keeps records for less time than the latency allows"


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GB"


def to_dict(found: Forecast) -> dict[str, Any]:
    """The forecast as one JSON object."""
    one, workload = found.plan, found.workload
    return {
        "version": 1,
        "region": found.prices.region,
        "date": found.prices.date,
        "free_tier": found.free_tier,
        "workload": {name: getattr(workload, name) for name in Workload.__match_args__},
        "recommended": {
            "mode": found.mode,
            "shards": found.shards,
            "memory": found.pace.memory,
            "architecture": found.pace.architecture,
            "batch_size": one.batch_size,
            "window": one.window,
            "concurrency": one.concurrency,
            "reserved_concurrency": one.reserved,
        },
        "batch": {
            "deliveries": one.deliveries,
            "records": one.records,
            "milliseconds": one.milliseconds,
            "objects": one.objects,
            "object_bytes": one.object_bytes,
            "peak_deliveries": one.peak_deliveries,
            "peak_milliseconds": one.peak_milliseconds,
        },
        "latency_seconds": one.seconds,
        "invocations": one.invocations,
        "items": [_item(item) for item in found.items],
        "usd_month": found.total,
        "usd_million": found.per_million,
        "firehose": {
            "items": [_item(item) for item in found.firehose],
            "usd_month": found.firehose_total,
            "usd_million": found.firehose_per_million,
            "lacks": list(FIREHOSE_LACKS),
        },
        "reasons": list(found.reasons),
        "assumptions": list(found.assumptions),
        "warnings": list(found.warnings),
    }


def _item(one: Item) -> dict[str, Any]:
    return {
        "group": one.group,
        "name": one.name,
        "quantity": one.quantity,
        "unit": one.unit,
        "usd_each": one.each,
        "usd": one.usd,
    }


def render(found: Forecast) -> str:
    """The forecast to read."""
    return "\n".join(_lines(found))


def _lines(found: Forecast) -> Iterator[str]:
    workload, one = found.workload, found.plan
    a_day = workload.records_per_second * DAY
    yield (
        f"{workload.records_per_second:,.6g} records a second of {workload.record_bytes:,.6g} bytes by {workload.source}, "
        f"{a_day:,.0f} a day, {workload.peak:g} times as many at the peak"
    )
    yield ""
    if found.mode is not None:
        yield f"  stream       {found.mode}" + (
            f", {found.shards} {_many('shard', found.shards)}" if found.shards is not None else ""
        )
    yield f"  function     {found.pace.memory:,} MB, {found.pace.architecture}; a mean batch takes {one.milliseconds:,.1f} ms"
    yield f"  batch size   {one.batch_size:,}" + ("" if workload.source in (FIFO, S3) else f"; window {one.window} s")
    yield f"  concurrency  {one.concurrency}; reserve {one.reserved}"
    yield f"  latency      {one.seconds:.2f} s at worst, at the peak; wanted {workload.latency:g} s"
    objects = f"{one.objects:,.3g} {_many('object', one.objects)} of {_size(one.object_bytes)}"
    yield f"  invocations  {one.invocations:,.0f} a month, each with {one.records:,.0f} records into {objects}"
    yield ""
    yield from _table(found.items, found.total, found.per_million)
    yield ""
    yield "beside it, Firehose with conversion to Parquet, the same records put to it directly:"
    yield ""
    yield from _table(found.firehose, found.firehose_total, found.firehose_per_million)
    for title, told in (
        ("", [f"! {warning}" for warning in found.warnings]),
        ("why:", [f"- {reason}" for reason in found.reasons]),
        ("what Firehose does not do:", [f"- {lack}" for lack in FIREHOSE_LACKS]),
        ("taken for granted:", [f"- {assumption}" for assumption in found.assumptions]),
    ):
        if told:
            yield ""
            yield from ([title] if title else [])
            yield from told


def _table(items: tuple[Item, ...], total: float, per_million: float) -> Iterator[str]:
    rows = [(f"{one.group}, {one.name}", _quantity(one.quantity), one.unit, _each(one), f"{one.usd:,.2f}") for one in items]
    rows.insert(0, ("item", "a month", "of", "USD each", "USD"))
    rows.append(("total", "", "", "", f"{total:,.2f}"))
    rows.append(("a million records", "", "", "", f"{per_million:,.4f}"))
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            row[1].rjust(widths[1]),
            row[2].ljust(widths[2]),
            row[3].rjust(widths[3]),
            row[4].rjust(widths[4]),
        ]
        yield "  " + "  ".join(cells).rstrip()


def _quantity(count: float) -> str:
    return f"{count:,.0f}" if count >= 100 else f"{count:,.3g}"


def _each(one: Item) -> str:
    """A unit's price; where it is tiny, that of a million."""
    return f"{one.each:.4g}" if one.each >= 0.001 or not one.each else f"{one.each * 1e6:.4g} a million"
