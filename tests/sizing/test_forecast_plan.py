"""Shards, batches, windows and concurrency, by hand and by what must hold of every workload."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import UsageError
from millstream.sizing.forecast import forecast, to_dict
from millstream.sizing.forecast_plan import (
    EVENT_RECORD_BYTES,
    SHARD_BYTES,
    SHARD_DELIVERIES,
    event_limit,
    gathered,
    plan,
)
from millstream.sizing.limits import EVENT_BYTES
from millstream.sizing.pace import Pace, by_hand
from millstream.sizing.prices import load
from millstream.sizing.workload import MONTH, Workload, workload_of
from tests.aws import events

pytestmark = pytest.mark.once
PRICES = load()
QUICK = Pace(1769, "x86_64", fixed_ms=2.0, per_record_ms=0.005, init_ms=500.0)


def workload(**given) -> Workload:
    told = {"records_per_second": 2000.0, "record_bytes": 400.0, "output_bytes": 80.0}
    return Workload(**told | {"once": given.get("parallelization", 1) == 1} | given)


@pytest.mark.parametrize(
    ("given", "shards", "why"),
    [
        ({}, 6, "deliveries"),  # 2,000 × 3 / 1,000
        ({"record_bytes": 2000.0}, 12, "bytes in"),  # 2,000 × 2,000 × 3 / 1,000,000
        ({"record_bytes": 2000.0, "readers": 3}, 18, "bytes read"),  # 12,000,000 × 3 / 2,000,000
        ({"per_delivery": 50}, 3, "bytes in"),  # 2,000 × 400 × 3 / 1,000,000 = 2.4
        ({"records_per_second": 1.0}, 1, "bytes in"),
        ({"peak": 1.0}, 2, "deliveries"),
        ({"peak": 1.0, "records_per_second": 2000.1}, 3, "deliveries"),
    ],
)
def test_shards_by_hand(given, shards, why):
    found = plan(workload(**given), QUICK, None, None)
    assert found.shards.needed == shards
    assert found.shards.why.startswith(why)
    assert found.concurrency == found.reserved == shards


def test_shards_for_a_function_that_is_slow():
    """A batch of 100 takes 200 ms: 500 a second a lane, of which 80 % are planned with: 6,000 / 400 = 15."""
    slow = Pace(512, "x86_64", fixed_ms=0.0, per_record_ms=2.0, init_ms=0.0)
    found = plan(workload(), slow, 100, None)
    assert found.shards.needed == 15
    assert found.shards.why.startswith("the function")
    assert (
        plan(workload(parallelization=5), slow, 100, None).shards.needed == 6
    )  # three are enough for it, not for 6,000 deliveries
    assert plan(workload(parallelization=5), slow, 100, None).concurrency == 30


def test_batch_and_window_by_hand():
    """A shard's 2,000 / 6 = 333.3 a second for 29 s are 9,667; an event holds 6 MiB / (536 of base64 + 590) = 5,587."""
    found = plan(workload(latency=30.0), QUICK, None, None)
    assert event_limit(workload()) == math.floor(6 * 2**20 / (4 * math.ceil(400 / 3) + 590)) == 5587
    assert found.window == 29
    assert found.batch_size == 5587
    assert found.deliveries == 5587
    assert found.seconds == pytest.approx(29 + (2 + 0.005 * 5587) / 1000)
    assert found.invocations == pytest.approx(2000 * MONTH / 5587)
    few = plan(workload(records_per_second=60.0, latency=30.0), QUICK, None, None)  # one shard: 60 × 29
    assert few.deliveries == pytest.approx(60 * 29)
    assert few.peak_deliveries == pytest.approx(180 * 29)
    assert few.batch_size == 5300  # 5,220, two digits
    rare = plan(workload(records_per_second=0.001), QUICK, None, None)
    assert (rare.deliveries, rare.invocations) == (1, pytest.approx(0.001 * MONTH))


def test_concurrency_of_a_queue_is_littles_law():
    """1,000 messages a second at the peak, batches of 10 that take 300 ms: 100 batches a second × 0.3 s are 30 at a time."""
    slow = by_hand(300, 10, 1769, "x86_64", 500)
    found = plan(workload(source="sqs", records_per_second=1000.0, peak=1.0, once=False), slow, 10, 1)
    assert found.peak_deliveries == pytest.approx(10)
    assert found.concurrency == 30
    assert found.reserved == 45
    assert any(
        "concurrency of 1,000" in one for one in forecast(workload(records_per_second=400_000.0), QUICK, PRICES).warnings
    )
    few = plan(workload(source="sqs", records_per_second=10.0), QUICK, None, None)
    assert (few.concurrency, few.reserved) == (1, 5)
    assert few.deliveries == pytest.approx(10 / 5 * few.window)  # five pollers gather side by side


def test_objects_by_hand():
    """80 records of 1 MiB are 80 MiB: two files, for one holds 64 MiB of text. 2 objects a second × 3 at the peak × 0.5 s."""
    given = workload(
        source="s3", records_per_second=160.0, record_bytes=2.0**20, object_bytes=80 * 2.0**20, output_bytes=2.0**18
    )
    found = plan(given, Pace(1769, "x86_64", 100.0, 5.0, 500.0), None, None)
    assert (found.records, found.objects, found.milliseconds) == (80, 2, 500)
    assert found.object_bytes == 80 * 2**18 / 2
    assert found.concurrency == 3
    assert found.invocations == 2 * MONTH


def test_a_latency_that_cannot_be_met_is_told():
    found = plan(workload(latency=0.5), QUICK, None, None)
    assert found.window == 0
    assert "the latency of 0.5 s is not met: 1.01 s at the peak" in found.warnings[0]
    given = plan(workload(), QUICK, 500, 300)
    assert "is not met" in given.warnings[0]


def test_the_cheaper_mode_is_chosen_and_both_are_told():
    steady = forecast(workload(), QUICK, PRICES)
    assert (steady.mode, steady.shards) == ("provisioned", 6)
    spiky = forecast(workload(records_per_second=10.0, peak=600.0), QUICK, PRICES)  # 6 shards for a mean of 10 records
    assert (spiky.mode, spiky.shards, spiky.plan.concurrency) == ("on-demand", None, 12)
    for found in (steady, spiky):
        assert any("shards cost" in one and "on demand" in one for one in found.reasons)
    assert forecast(workload(mode="on-demand"), QUICK, PRICES).total > steady.total


@pytest.mark.parametrize(
    ("given", "batch", "says"),
    [
        ({"records_per_second": 10.0}, None, "a longer window, fewer shards or fewer partitions"),
        ({}, 100, "larger batches, or fewer partitions"),
        ({}, None, "an event holds no more, so producers that pack records"),
    ],
)
def test_small_objects_are_told_with_what_helps(given, batch, says):
    (told,) = [
        one for one in forecast(workload(**given), QUICK, PRICES, batch=batch).warnings if one.startswith("objects are small")
    ]
    assert says in told


def test_a_profile_that_is_stretched_is_told():
    measured = Pace(1769, "x86_64", 2.0, 0.005, 500.0, measured=1000)
    assert any("has 1,000 records, here it is 5,587" in one for one in forecast(workload(), measured, PRICES).warnings)
    assert not any("was measured has" in one for one in forecast(workload(), measured, PRICES, batch=1400).warnings)


def test_rejects_are_counted():
    clean, dirty = (forecast(workload(rejected=share), QUICK, PRICES) for share in (0.0, 0.1))
    by_name = {one.name: one for one in dirty.items}
    assert by_name["puts of rejects"].quantity == pytest.approx(dirty.plan.invocations)
    assert by_name["metrics"].quantity == 14
    assert by_name["storage"].usd == pytest.approx(next(one.usd for one in clean.items if one.name == "storage") * 0.9)


@pytest.mark.parametrize("source", ["kinesis", "sqs"])
def test_an_event_has_no_more_than_is_counted(source):
    make = {"kinesis": events.kinesis, "sqs": events.sqs}[source]
    records = [b'{"a":"%030d"}' % i for i in range(300)]
    size = len(events.to_bytes(make(*records)))
    text = sum(4 * math.ceil(len(one) / 3) if source == "kinesis" else len(one) + 4 for one in records)
    assert size <= text + len(records) * EVENT_RECORD_BYTES[source]


LOADS = st.builds(
    workload,
    records_per_second=st.floats(0.01, 50_000),
    record_bytes=st.floats(1, 20_000),
    peak=st.floats(1, 20),
    latency=st.floats(1, 400),
    source=st.sampled_from(["kinesis", "sqs", "fifo", "s3"]),
    objects=st.integers(1, 60),
    rejected=st.floats(0, 0.5),
    per_delivery=st.integers(1, 40),
    days=st.floats(0, 400),
    storage=st.sampled_from(["standard", "intelligent-tiering"]),
)
PACES = st.builds(
    Pace,
    memory=st.sampled_from([128, 512, 1769, 3008]),
    architecture=st.sampled_from(["x86_64", "arm64"]),
    fixed_ms=st.floats(0.5, 50),
    per_record_ms=st.floats(0.0001, 0.05),
    init_ms=st.floats(0, 3000),
    tail=st.floats(1, 3),
    put_ms=st.floats(0, 80),
    ledger_ms=st.floats(0, 10),
)


@settings(max_examples=60)
@given(LOADS, PACES, st.booleans())
def test_what_holds_of_every_forecast(load, pace, free):
    found = forecast(load, pace, PRICES, free_tier=free)
    one = found.plan
    assert found.total == math.fsum(item.usd for item in found.items)
    assert found.firehose_total == math.fsum(item.usd for item in found.firehose)
    assert all(item.quantity > 0 and math.isfinite(item.usd) and item.usd >= 0 for item in (*found.items, *found.firehose))
    assert found.per_million * load.records / 1e6 == pytest.approx(found.total)
    assert one.invocations * one.records == pytest.approx(load.records)
    assert 1 <= one.batch_size <= 10_000
    assert 0 <= one.window <= 300
    assert one.reserved >= one.concurrency >= 1
    if load.source == "kinesis":
        assert one.shards.needed * SHARD_BYTES >= load.bytes_per_second * load.peak * (1 - 1e-6)
        assert one.shards.needed * SHARD_DELIVERIES >= load.deliveries_per_second * load.peak * (1 - 1e-6)
    if load.source in ("kinesis", "sqs", "fifo"):
        assert one.deliveries <= max(one.event_limit, 1)
        text = math.ceil(load.delivery_bytes / 3) * 4 if load.source == "kinesis" else load.delivery_bytes
        assert one.deliveries == 1 or one.deliveries * (text + EVENT_RECORD_BYTES[load.source]) <= EVENT_BYTES
    if not any("not met" in warning for warning in found.warnings):
        assert one.seconds <= load.latency + 1e-9
    told = to_dict(found)
    assert sum(item["usd"] for item in told["items"]) == pytest.approx(told["usd_month"])


@settings(max_examples=60)
@given(LOADS, PACES, st.floats(1.0, 4.0))
def test_more_records_do_not_cost_less(load, pace, factor):
    from millstream.classes import replace

    more = forecast(replace(load, records_per_second=load.records_per_second * factor), pace, PRICES)
    less = forecast(load, pace, PRICES)
    assert more.total >= less.total * (1 - 1e-6)
    assert more.firehose_total >= less.firehose_total * (1 - 1e-6)


@settings(max_examples=40)
@given(st.floats(0.001, 1000), st.floats(0.02, 300), st.integers(1, 10_000), st.floats(0.1, 50), st.floats(0.0001, 0.5))
def test_a_lane_gathers_what_comes_while_its_function_runs(rate, seconds, most, fixed, each):
    count = gathered(rate, seconds, most, lambda n: fixed + each * n)
    assert 1 <= count <= most
    busy = rate / count * (fixed + each * count) / 1000
    assert count == most or busy <= 1.001 or count == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "there is no records_per_second; write --records-per-second N"),
        ({"records_per_second": 0.0, "record_bytes": 1.0}, "--records-per-second is 0.0; write 1e-06 to 1e+09"),
        ({"records_per_second": float("nan"), "record_bytes": 1.0}, "--records-per-second is nan"),
        ({"records_per_second": 1.0, "record_bytes": 2e6}, "a delivery of 2,000,000 bytes is more than the 1,048,576"),
        ({"records_per_second": 1.0, "record_bytes": 1.0, "source": "kafka"}, "--source is 'kafka'; write kinesis or sqs or fifo or s3"),
        ({"records_per_second": 1.0, "record_bytes": 1.0, "source": "sqs", "retention": 500.0}, "SQS keeps messages for 336"),
        ({"records_per_second": 1.0, "record_bytes": 1.0, "retention": 12.0}, "a Kinesis stream keeps records for 24 at least"),
        ({"records_per_second": 1.0, "record_bytes": 1.0, "once": True, "parallelization": 2}, "the ledger needs parallelization 1"),
        ({"records_per_second": 1.0, "record_bytes": 9.0, "source": "s3", "object_bytes": 2.0}, "an object holds a record at least"),
    ],
)  # fmt: skip
def test_workloads_that_cannot_be_are_refused(given, says):
    with pytest.raises(UsageError) as caught:
        workload_of(given)
    assert says in str(caught.value)


def test_options_go_before_the_file_and_that_before_the_profile(tmp_path):
    path = tmp_path / "load.yaml"
    path.write_text("records_per_second: 5\nrecord_bytes: 100\nsource: sqs\npeak: 2\nonce: true\n")
    found = workload_of({"record_bytes": 200.0, "peak": None}, path, {"record_bytes": 1.0, "objects": 7})
    assert (found.records_per_second, found.record_bytes, found.source, found.peak, found.once, found.objects) == (
        5,
        200,
        "sqs",
        2,
        True,
        7,
    )
    path.write_text("records_per_second: 5\nrecord_byte: 100\n")
    with pytest.raises(
        UsageError, match=r"load.yaml: line 2, column 1: the file has an unknown key 'record_byte'; did you mean record_bytes"
    ):
        workload_of({}, path)
    path.write_text("records_per_second: fast\n")
    with pytest.raises(UsageError, match="line 1, column 1: records_per_second is 'fast'; write a number"):
        workload_of({}, path)


@pytest.mark.parametrize(
    ("source", "batch", "window", "says"),
    [
        ("kinesis", 0, None, "--batch is 0; write 1 to 10000"),
        ("kinesis", 10_001, None, "write 1 to 10000"),
        ("fifo", 11, None, "--batch is 11; write 1 to 10"),
        ("fifo", None, 5, "a FIFO queue has no window"),
        ("sqs", None, 301, "--window is 301; write 0 to 300 seconds"),
    ],
)
def test_batches_that_cannot_be_are_refused(source, batch, window, says):
    with pytest.raises(UsageError, match=says):
        plan(workload(source=source), QUICK, batch, window)
