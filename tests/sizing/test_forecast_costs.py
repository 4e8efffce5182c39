"""The bill, item by item, beside arithmetic by hand: a case for each price, its working written out."""

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from millstream import Pipeline
from millstream.aws import kinesis_handler
from millstream.sizing import forecast_cost as cost
from millstream.sizing.forecast_cost import Bill
from millstream.sizing.prices import KEYS, load
from millstream.sizing.workload import Workload
from tests.aws import events

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[2]
PRICES = load()
MONTH = 2_628_000  # seconds, of 730 hours


def worked(text: str) -> float:
    """What a line of arithmetic comes to."""
    assert re.fullmatch(r"[\d.,+×/() −-]+", text), text
    return float(eval(text.replace(",", "").replace("×", "*").replace("−", "-")))


def workload(**given) -> Workload:
    return Workload(**{"records_per_second": 1000.0, "record_bytes": 400.0, "output_bytes": 80.0} | given)


def gb(count: float, size: float) -> str:
    return f"{count} × {size} / 1073741824"


# The price's key; what is counted; group and item; the working by hand.
CASES = [
    ("lambda.request", lambda b: cost.add_lambda(b, "x86_64", 512, 3e6, 100), "Lambda", "requests", "3,000,000 × 0.20 / 1,000,000"),
    ("lambda.gb_second.x86_64", lambda b: cost.add_lambda(b, "x86_64", 512, 3e6, 100), "Lambda", "duration", "3,000,000 × 0.1 × 0.5 × 0.0000166667"),
    ("lambda.gb_second.x86_64", lambda b: cost.add_lambda(b, "x86_64", 1024, 3e6, 99.2), "Lambda", "duration", "3,000,000 × 0.100 × 0.0000166667"),  # up to a millisecond
    ("lambda.gb_second.x86_64", lambda b: cost.add_lambda(b, "x86_64", 1024, 16e9, 1000), "Lambda", "duration", "6,000,000,000 × 0.0000166667 + 9,000,000,000 × 0.000015 + 1,000,000,000 × 0.0000133334"),
    ("lambda.gb_second.arm64", lambda b: cost.add_lambda(b, "arm64", 1769, 1e6, 40), "Lambda", "duration", "1,000,000 × 0.04 × 1769 / 1024 × 0.0000133334"),
    ("lambda.gb_second.arm64", lambda b: cost.add_lambda(b, "arm64", 2048, 1e6, 40, 0.01, 1500), "Lambda", "INIT and first batches", "1,000,000 × 0.01 × 1.5 × 2 × 0.0000133334"),
    ("lambda.tmp_gb_second", lambda b: cost.add_lambda(b, "x86_64", 512, 1e6, 1000, tmp_mb=1536), "Lambda", "temporary files above 512 MB", "1,000,000 × 1 × 1 × 0.0000000309"),
    ("kinesis.shard_hour", lambda b: cost.add_provisioned(b, workload(), 3), "Kinesis", "shards", "3 × 730 × 0.015"),
    ("kinesis.put_unit", lambda b: cost.add_provisioned(b, workload(), 3), "Kinesis", "PUT payload units", "1000 × 2,628,000 × 0.014 / 1,000,000"),
    ("kinesis.put_unit", lambda b: cost.add_provisioned(b, workload(record_bytes=30_000.0), 3), "Kinesis", "PUT payload units", "1000 × 2,628,000 × 2 × 0.014 / 1,000,000"),  # 30,000 bytes are two times 25 KB
    ("kinesis.retention_shard_hour", lambda b: cost.add_provisioned(b, workload(retention=72.0), 3), "Kinesis", "extended retention", "3 × 730 × 0.02"),
    ("kinesis.stream_hour", lambda b: cost.add_on_demand(b, workload()), "Kinesis", "stream", "730 × 0.04"),
    ("kinesis.in_gb", lambda b: cost.add_on_demand(b, workload()), "Kinesis", "data in", f"{gb(1000 * MONTH, 1024)} × 0.08"),  # 400 bytes are 1 KB
    ("kinesis.out_gb", lambda b: cost.add_on_demand(b, workload()), "Kinesis", "data out", f"{gb(1000 * MONTH, 400)} × 0.04"),
    ("kinesis.retention_gb_month", lambda b: cost.add_on_demand(b, workload(retention=72.0)), "Kinesis", "extended retention", f"{gb(1000 * 48 * 3600, 400)} × 0.10"),
    ("kinesis.long_term_gb_month", lambda b: cost.add_on_demand(b, workload(retention=720.0)), "Kinesis", "long-term retention", f"{gb(1000 * 552 * 3600, 400)} × 0.023"),
    ("kinesis.long_term_gb_month", lambda b: cost.add_provisioned(b, workload(retention=720.0), 3), "Kinesis", "long-term retention", f"{gb(1000 * 552 * 3600, 400)} × 0.023"),
    ("sqs.standard", lambda b: cost.add_sqs(b, workload(source="sqs"), 5, 1000), "SQS", "send", "1000 × 2,628,000 / 10 × 0.40 / 1,000,000"),
    ("sqs.standard", lambda b: cost.add_sqs(b, workload(source="sqs", record_bytes=10_000.0), 5, 1000), "SQS", "send", "1000 × 2,628,000 / 10 × 2 × 0.40 / 1,000,000"),  # ten of 10,000 bytes are two times 64 KB
    ("sqs.standard", lambda b: cost.add_sqs(b, workload(source="sqs"), 5, 1000), "SQS", "receive", "1000 × 2,628,000 / (1000 / 5 × 0.02) × 0.40 / 1,000,000"),
    ("sqs.standard", lambda b: cost.add_sqs(b, workload(source="sqs"), 5, 1000), "SQS", "delete", "1000 × 2,628,000 / 10 × 0.40 / 1,000,000"),
    ("sqs.standard", lambda b: cost.add_sqs(b, workload(source="sqs", records_per_second=0.0), 5, 1), "SQS", "empty receives", "5 × 2,628,000 / 20 × 0.40 / 1,000,000"),
    ("sqs.fifo", lambda b: cost.add_sqs(b, workload(source="fifo"), 5, 4), "SQS", "delete", "1000 × 2,628,000 / 4 × 0.50 / 1,000,000"),
    ("s3.put", lambda b: cost.add_s3(b, workload(), 2e6, 1e6, 0), "S3", "puts of rows", "2,000,000 × 0.005 / 1000"),
    ("s3.put", lambda b: cost.add_s3(b, workload(), 1000, 20 * 2**20, 0), "S3", "puts of rows", "1000 × (1 + 3 + 1) × 0.005 / 1000"),  # begun, three parts of 8 MiB, completed
    ("s3.put", lambda b: cost.add_s3(b, workload(), 2e6, 1e6, 5000), "S3", "puts of rejects", "5000 × 0.005 / 1000"),
    ("s3.get", lambda b: cost.add_s3(b, workload(), 2e6, 1e6, 0, 70_000), "S3", "gets", "70,000 × 0.0004 / 1000"),
    ("s3.gb_month.standard", lambda b: cost.add_s3(b, workload(days=60.0), 73_000, 2**20, 0), "S3", "storage", "73,000 × 24 / 730 × 60 / 1024 × 0.023"),
    ("s3.gb_month.standard", lambda b: cost.add_s3(b, workload(days=730 / 24), 600_000, 2.0**30, 0), "S3", "storage", "51,200 × 0.023 + 460,800 × 0.022 + 88,000 × 0.021"),
    ("s3.gb_month.standard", lambda b: cost.add_s3(b, workload(rejected=0.01), 0, 0, 0), "S3", "storage of rejects", f"{gb(1000 * 0.01 * 86_400 * 30, 400)} × 0.023"),
    ("s3.gb_month.infrequent", lambda b: cost.add_s3(b, workload(days=365.0, storage="intelligent-tiering"), 73_000, 2**20, 0), "S3", "storage, 30 days old", "73,000 × 24 / 730 × 60 / 1024 × 0.0125"),
    ("s3.gb_month.archive", lambda b: cost.add_s3(b, workload(days=365.0, storage="intelligent-tiering"), 73_000, 2**20, 0), "S3", "storage, 90 days old", "73,000 × 24 / 730 × (365 − 90) / 1024 × 0.004"),
    ("s3.monitored_object", lambda b: cost.add_s3(b, workload(days=365.0, storage="intelligent-tiering"), 73_000, 2**20, 0), "S3", "objects monitored", "73,000 × 24 / 730 × 365 × 0.0025 / 1000"),
    ("dynamodb.write", lambda b: cost.add_ledger(b, workload(), 1e6, 1000, 1), "DynamoDB", "write units", "1,000,000 × 2 × 0.625 / 1,000,000"),
    ("dynamodb.write", lambda b: cost.add_ledger(b, workload(), 1e6, 1000, 45), "DynamoDB", "write units", "1,000,000 × 2 × 3 × 0.625 / 1,000,000"),  # 45 folders are three kilobytes
    ("dynamodb.write", lambda b: cost.add_ledger(b, workload(source="s3"), 1e6, 1, 1), "DynamoDB", "write units", "1,000,000 × 2 × 0.625 / 1,000,000"),
    ("dynamodb.read", lambda b: cost.add_ledger(b, workload(cold=0.02), 1e6, 1000, 1), "DynamoDB", "read units", "1,000,000 × 0.02 × 0.125 / 1,000,000"),
    ("dynamodb.read", lambda b: cost.add_ledger(b, workload(source="sqs"), 1000, 1000, 1), "DynamoDB", "read units", "1,000,000 × 0.125 / 1,000,000"),
    ("dynamodb.gb_month", lambda b: cost.add_ledger(b, workload(source="sqs"), 1000, 1000, 1), "DynamoDB", "storage of keys", f"{gb(1000 * 86_400 * 31, 225)} × 0.25"),
    ("logs.in_gb", lambda b: cost.add_logs(b, workload(), 2**20, 1, 0), "CloudWatch", "logs, ingested", "(1790 + 340 + 5 × 26) / 1024 × 0.50"),
    ("logs.in_gb", lambda b: cost.add_logs(b, workload(), 2**20, 11, 2), "CloudWatch", "logs, ingested", "(1790 + 10 × 9 + 2 × (270 + 26) + 340 + 5 × 26) / 1024 × 0.50"),
    ("logs.gb_month", lambda b: cost.add_logs(b, workload(log_days=730 / 24 / 2), 2**20, 1, 0), "CloudWatch", "logs, stored", "(1790 + 340 + 5 × 26) / 1024 / 2 × 0.03"),
    ("cloudwatch.metric", lambda b: cost.add_watching(b, 0, 0, 0, 10_020), "CloudWatch", "metrics", "10,000 × 0.30 + 20 × 0.10"),
    ("cloudwatch.alarm", lambda b: cost.add_watching(b, 31, 0, 0, 0), "CloudWatch", "alarms", "31 × 0.10"),
    ("cloudwatch.dashboard", lambda b: cost.add_watching(b, 0, 2, 0, 0), "CloudWatch", "dashboards", "2 × 3.00"),
    ("kms.key", lambda b: cost.add_watching(b, 0, 0, 2, 0), "KMS", "keys", "2 × 1.00"),
    ("kms.request", lambda b: cost.add_watching(b, 0, 0, 0, 0, 8760), "KMS", "requests", "8760 × 0.03 / 10,000"),
    ("eventbridge.event", lambda b: b.add("EventBridge", "events", "eventbridge.event", 78_000), "EventBridge", "events", "78,000 × 1.00 / 1,000,000"),
    ("firehose.in_gb", lambda b: cost.add_firehose(b, workload()), "Firehose", "data in", f"{gb(1000 * MONTH, 5120)} × 0.029"),  # 400 bytes are 5 KB
    ("firehose.in_gb", lambda b: cost.add_firehose(b, workload(per_delivery=32)), "Firehose", "data in", f"{gb(1000 / 32 * MONTH, 15_360)} × 0.029"),  # 32 × 400 bytes are three times 5 KB
    ("firehose.in_gb", lambda b: b.add("Firehose", "data in", "firehose.in_gb", 2_100_000), "Firehose", "data in", "512,000 × 0.029 + 1,536,000 × 0.025 + 52,000 × 0.020"),
    ("firehose.convert_gb", lambda b: cost.add_firehose(b, workload()), "Firehose", "conversion to Parquet", f"{gb(1000 * MONTH, 5120)} × 0.018"),
    ("firehose.partition_gb", lambda b: cost.add_firehose(b, workload(objects=4)), "Firehose", "dynamic partitioning", f"{gb(1000 * MONTH, 80)} × 0.020"),
    ("firehose.partition_object", lambda b: cost.add_firehose(b, workload(objects=4)), "Firehose", "objects of partitions", "4 × 2,628,000 / 900 × 0.005 / 1000"),
    ("s3.put", lambda b: cost.add_firehose(b, workload(objects=4)), "Firehose", "puts to S3", "4 × 2,628,000 / 900 × (1 + 3 + 1) × 0.005 / 1000"),  # 18 MB each
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "count", "group", "name", "working"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)]
)
def test_an_item_is_what_it_comes_to_by_hand(key, count, group, name, working):
    bill = Bill(PRICES)
    count(bill)
    (item,) = [one for one in bill.items if (one.group, one.name) == (group, name)]
    assert item.usd == pytest.approx(worked(working), rel=1e-9)
    assert item.unit == PRICES[key].unit
    assert item.each * item.quantity == pytest.approx(item.usd)


def test_every_price_has_a_case():
    assert {case[0] for case in CASES} == set(KEYS)


def test_the_guides_example():
    """A million events a day, 100 ms each, at 128 MB.

    The guide has 2.56 USD at 0.0000002 USD a GB-second. By its own figures that is 1,000,000 × 0.1 s × 0.128 GB = 12,800 GB-seconds, ×
    0.0000002 = 0.00256: a thousandth. And 0.0000002 is the price of a request; a GB-second is 0.0000166667. What it costs, a day:

        1,000,000 × 0.1 s × 128/1024 GB = 12,500 GB-seconds × 0.0000166667 = 0.20833
        1,000,000 requests × 0.0000002                                     = 0.20
    """
    the_guides = 2.56
    assert worked("1,000,000 × 0.1 × 0.128 × 0.0000002") == pytest.approx(the_guides / 1000)

    day = Bill(PRICES)
    cost.add_lambda(day, "x86_64", 128, 1_000_000, 100)
    assert {one.name: round(one.usd, 5) for one in day.items} == {"requests": 0.2, "duration": 0.20833}
    assert day.total == pytest.approx(0.40833, abs=1e-5)

    month = Bill(PRICES)  # of 30 days
    cost.add_lambda(month, "x86_64", 128, 30_000_000, 100)
    assert month.total == pytest.approx(12.25, abs=1e-3)  # 6.25 of time, 6.00 of requests

    free = Bill(PRICES, free_tier=True)  # 375,000 of 400,000 GB-seconds; 29,000,000 requests
    cost.add_lambda(free, "x86_64", 128, 30_000_000, 100)
    assert free.total == pytest.approx(5.80)


def test_the_ledger_costs_what_reliability_says():
    page = " ".join((ROOT / "docs/reliability.md").read_text().split())
    handlers = (ROOT / "docs/reference/handlers.md").read_text()
    decision = " ".join((ROOT / "docs/decisions/0016-the-ledger.md").read_text().split())

    def usd(invocations: float, deliveries: float, source: str) -> float:
        bill = Bill(PRICES)
        cost.add_ledger(bill, workload(source=source, cold=0.0), invocations, deliveries, 1)
        return sum(one.usd for one in bill.items if "units" in one.name)

    assert "a million Kinesis batches with a ledger cost 1.25 USD" in page
    assert usd(1e6, 1000, "kinesis") == pytest.approx(1.25)
    assert "0.0125 USD in batches of 100, 0.00125 USD in batches of 1,000" in page
    assert usd(1e4, 100, "kinesis") == pytest.approx(0.0125)
    assert usd(1e3, 1000, "kinesis") == pytest.approx(0.00125)
    assert "1.38 USD per million messages in batches of 1,000, 1.50 in batches of 10" in page
    assert "in batches of 1,000 | 0 | 1.376 USD" in handlers
    assert usd(1e3, 1000, "sqs") == pytest.approx(1.376, abs=5e-4)
    assert usd(1e5, 10, "sqs") == pytest.approx(1.50)
    assert "0.625 USD per million write request units, 0.125 per million read units" in decision
    assert (PRICES["dynamodb.write"].usd * 1e6, PRICES["dynamodb.read"].usd * 1e6) == pytest.approx((0.625, 0.125))
    bill = Bill(PRICES)
    cost.add_ledger(bill, workload(source="sqs", records_per_second=1e6 / 86_400 / 31), 1, 1, 1)
    assert "some 0.06 for a month of storage" in handlers
    assert next(one.usd for one in bill.items if one.name == "storage of keys") == pytest.approx(0.06, abs=0.01)


def test_at_rest_the_template_costs_what_its_page_says():
    page = (ROOT / "sam/README.md").read_text()
    bill = Bill(PRICES)
    cost.add_provisioned(bill, workload(records_per_second=0.0), 1)
    cost.add_watching(bill, 31, 1, 1, 0, 26_000)
    for _ in range(2):
        cost.add_sqs(bill, workload(source="sqs", records_per_second=0.0), cost.IDLE_POLLERS, 1)
    usd = [round(one.usd, 4) for one in bill.items]
    assert usd == [10.95, 3.1, 3.0, 1.0, 0.078, 0.2628, 0.2628]
    cents = [round(one, 2) for one in (*usd[:5], usd[5] + usd[6])]
    assert f"| | | **{sum(cents):.2f}** |" in page, "the sum of the rows as they are shown"
    assert bill.total == pytest.approx(18.6536)
    for told in ("| 10.95 |", "| 3.10 |", "| 3.00 |", "| 1.00 |", "| 0.08 |", "| 0.53 |", "657,000 requests"):
        assert told in page
    on_demand = Bill(PRICES)
    cost.add_on_demand(on_demand, workload(records_per_second=0.0))
    assert "| 29.20 |" in page
    assert on_demand.total == pytest.approx(29.20)


@pytest.mark.parametrize(("objects", "codes"), [(1, 0), (1, 1), (40, 1)])
def test_a_batchs_lines_are_as_long_as_is_counted(objects, codes, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders-StreamFunction-0123456789ab")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    pipeline = Pipeline({"id": "int64", "kind": "string"}, name="orders", output={"partition_by": ["kind"]})
    records = [json.dumps({"id": i, "kind": f"k{i % objects:03}"}).encode() for i in range(200)] + [b"bad"] * codes
    out = io.StringIO()
    with redirect_stdout(out):
        handler = kinesis_handler(pipeline, sink=str(tmp_path / "sink"), rejects=str(tmp_path / "rejects"))
        out.truncate(out.seek(0))
        handler(events.kinesis(*records), None)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2 + codes, "the log line, the metrics, and the metrics of each code"
    counted = cost.log_bytes(objects, codes) - cost.LAMBDA_LOG_BYTES - (cost.LOG_EVENTS + codes) * cost.LOG_EVENT_BYTES
    assert sum(map(len, lines)) <= counted <= sum(map(len, lines)) * 1.15
    (metrics,) = [one for line in lines if "_aws" in (one := json.loads(line)) and "code" not in one]
    assert len(metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]) == cost.METRICS


def test_lambdas_own_lines_are_as_long_as_is_counted():
    request = "8f507cfc-0000-4697-b07a-ac58fc914c95"
    durations = "Duration: 12345.67 ms\tBilled Duration: 12346 ms\tInit Duration: 1234.56 ms"
    memory = "Memory Size: 10240 MB\tMax Memory Used: 10000 MB"
    lines = (
        f"START RequestId: {request} Version: 12345",
        f"END RequestId: {request}",
        f"REPORT RequestId: {request}\t{durations}\t{memory}\t",
    )
    assert cost.LAMBDA_LOG_BYTES * 0.85 <= sum(len(line) + 1 for line in lines) <= cost.LAMBDA_LOG_BYTES
