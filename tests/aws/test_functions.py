"""Handlers as functions: inside Lambda's own runtime, with S3, SQS and DynamoDB (moto) around them."""

import gzip
import json
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.sinks.clients import client
from tests.aws import events
from tests.aws.events import CANARY

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: AWS's Runtime Interface Emulator needs Linux"),
]

PIPELINE = """
version: 1
name: orders
schema: {order: int64, kind: string, message: string, logGroup: string}
steps:
  - filter: order.is_null() or order < 100
"""

MODULE = """
import json
from functools import wraps
from aws_lambda_powertools import Logger
from millstream import Pipeline, col
from millstream.aws import kinesis_handler, s3_handler, sqs_handler

logger = Logger(service="orders")
pipeline = Pipeline({"order": "int64", "kind": "string", "message": "string", "logGroup": "string"}, name="orders").filter(
    col("order").is_null() | (col("order") < 100)
)
handler = %s_handler(pipeline)
decorated = logger.inject_lambda_context(handler)
logging_events = logger.inject_lambda_context(log_event=True, correlation_id_path="Records[0].eventID")(handler)

def strict(given):
    @wraps(given)
    def called(event, context):
        return {"type": type(event).__name__, **given(json.loads(json.dumps(event)), context)}
    return called

in_a_strict_decorator = logger.inject_lambda_context(strict(handler))

def own(event, context):
    return {"type": type(event).__name__, **handler(event, context)}
"""

TOLD = ("pipeline", "fingerprint", "source", "source_id", "shard", "first", "last", "deliveries", "counts", "rejected_by_code")
SIZES = ("rows", "bytes_in", "bytes_out", "files")


def order(number, kind=CANARY):
    return json.dumps({"order": number, "kind": kind}).encode()


def bad(number):
    return f"no JSON {number} {CANARY}".encode()


def counts(**known):
    found = dict.fromkeys(("delivered", "written", "filtered", "duplicate", "rejected", "failed"), 0) | known
    return found | {"delivered": sum(known.values())}


def put(bucket, key, body):
    found = client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return events.Stored(key, len(body), bucket, found["ETag"].strip('"'))


def objects(bucket, prefix):
    """Each object's body by its name beneath the prefix."""
    found = client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        one["Key"].removeprefix(prefix): client("s3").get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in found
    }


def rows(bucket, prefix):
    return [row for body in objects(bucket, prefix).values() for row in pq.read_table(pa.BufferReader(body)).to_pylist()]


def orders(bucket, prefix="out/"):
    return sorted(row["order"] for row in rows(bucket, prefix))


def payloads(bucket, prefix="bad/"):
    return sorted(row["payload"] for row in rows(bucket, prefix))


@pytest.fixture
def function(lambda_function, recent_runtime_version, aws, bucket):
    """function(handler, **settings) starts one that writes to the bucket; a setting of None leaves one out."""

    def start(handler, source="", **settings):
        told = {"PIPELINE": "pipeline.yaml", "SINK": f"s3://{bucket}/out/", "REJECTS": f"s3://{bucket}/bad/"} | settings
        environment = {f"MILLSTREAM_{name}": value for name, value in told.items() if value is not None}
        return lambda_function(
            source,
            handler,
            files={"pipeline.yaml": PIPELINE},
            version=recent_runtime_version,
            environment={"AWS_ENDPOINT_URL": aws, **environment},
        )

    return start


def check_metrics(answer, line):
    """The metrics say what the line says."""
    dimensions = {"service": "orders", "source": line["source"]}
    whole, *by_code = [one for one in answer.metrics() if one["dimensions"]["source"] == line["source"]]
    assert (whole["namespace"], whole["dimensions"]) == ("Millstream", dimensions)
    told = {name: values[0] for name, values in whole["metrics"].items()}
    assert {name: told[name.capitalize()] for name in line["counts"]} == line["counts"]
    assert (told["Deliveries"], told["Rows"]) == (line["deliveries"], line["rows"])
    assert (told["BytesIn"], told["BytesOut"]) == (line["bytes_in"], line["bytes_out"])
    assert len(whole["metrics"].get("BytesPerObject", [])) == line["files"]
    assert by_code == [
        {"namespace": "Millstream", "dimensions": dimensions | {"code": code}, "metrics": {"RejectedByCode": [count]}}
        for code, count in line["rejected_by_code"].items()
    ]


def called(function, event):
    """Invoke with an event: the answer's body, and the one line of its batch, which the metrics agree with."""
    answer = function.invoke(event)
    assert answer.function_error is None, answer
    (line,) = answer.logged("batch")
    assert (line["backend"], line["level"], line["service"]) == ("native", "INFO", "orders")
    check_metrics(answer, line)
    return answer.body, line


def check_refused(function, event, expected, error="UsageError"):
    """An event of another source, or one that settings do not let in: the error says what was expected, and nothing of the event's."""
    answer = function.invoke(event)
    assert (answer.function_error, answer.body["errorType"]) == ("exception", error)
    assert expected in answer.body["errorMessage"]
    assert answer.logged("batch") == answer.metrics() == []
    assert CANARY not in "\n".join([answer.body["errorMessage"], *answer.logs])


DONE = {"batchItemFailures": []}
KINESIS = [  # payloads, and what becomes of their records
    ([order(1), bad(1), order(2), order(100)], counts(written=2, rejected=1, filtered=1)),
    ([events.kpl_aggregate([order(3), bad(2), order(4)]), order(5)], counts(written=3, rejected=1)),
    ([events.cloudwatch_logs(f"one {CANARY}", f"two {CANARY}"), events.cloudwatch_logs_control()], counts(written=2)),
    (
        [gzip.compress(order(6) + b"\n" + bad(3) + b"\n" + order(7)), b"[%s,%s]" % (order(8), order(9))],
        counts(written=4, rejected=1),
    ),
]


def kinesis_batches():
    first = events.FIRST
    for given, expected in KINESIS:
        yield events.kinesis(*given, first=first), expected
        first += 100


def test_kinesis_told_by_the_environment_alone(function, bucket):
    """In bytes as the runtime has them, and parsed by the runtime: all is the same but what the line says of the way."""
    ways = {}
    for flag in ("1", "0"):
        places = {"SINK": f"s3://{bucket}/{flag}/out/", "REJECTS": f"s3://{bucket}/{flag}/bad/"}
        running = function("millstream.aws.entry.kinesis", RAW_EVENTS=flag, **places)
        told = []
        for event, expected in kinesis_batches():
            body, line = called(running, event)
            assert body == DONE
            assert (line["counts"], line["raw"]) == (expected, flag == "1")
            assert (line["source"], line["source_id"], line["shard"]) == ("kinesis", events.STREAM, events.SHARD)
            told.append({name: line[name] for name in (*TOLD, *SIZES)})
        ways[flag] = told, objects(bucket, f"{flag}/")
        check_refused(running, events.sqs(CANARY), "expected a Kinesis event")
    assert ways["1"] == ways["0"]
    found = rows(bucket, "1/out/")
    assert sorted(row["order"] for row in found if row["order"]) == list(range(1, 10))
    assert sorted(row["message"] for row in found if row["message"]) == [f"one {CANARY}", f"two {CANARY}"]
    assert {row["logGroup"] for row in found if row["message"]} == {"/aws/lambda/orders"}
    rejects = rows(bucket, "1/bad/")
    assert sorted((row["payload"], row["sub"], row["code"]) for row in rejects) == [
        (bad(1), 0, "BAD_JSON"),
        (bad(2), 1, "BAD_JSON"),
        (bad(3), 1, "BAD_JSON"),
    ]
    assert {row["source"] for row in rejects} == {events.STREAM}


def test_kinesis_with_a_ledger(function, bucket, table):
    """Each delivery once: by a container that remembers, and by one that reads; a batch half of which was done is cut."""
    told = {"LEDGER": f"dynamodb://{table}", "PARALLELIZATION": "1"}
    running = function("millstream.aws.entry.kinesis", **told)
    for event, expected in kinesis_batches():
        body, line = called(running, event)
        assert (body, line["counts"]) == (DONE, expected)
        assert line["stage_ms"]["ledger"] > 0
    before = objects(bucket, "")
    other = function("millstream.aws.entry.kinesis", **told)
    for container in (running, other):
        for event, expected in kinesis_batches():
            body, line = called(container, event)
            assert (body, line["counts"]) == (DONE, counts(duplicate=expected["delivered"]))
    assert objects(bucket, "") == before
    half = events.kinesis(order(9), order(10), first=events.FIRST + 301)
    body, line = called(other, half)
    assert (body, line["counts"]) == (DONE, counts(duplicate=1, written=1))
    data = {name: body for name, body in objects(bucket, "out/").items() if not name.startswith("_")}
    found = [row["order"] for body in data.values() for row in pq.read_table(pa.BufferReader(body)).to_pylist()]
    assert sorted(one for one in found if one) == list(range(1, 11))
    check_refused(
        function("millstream.aws.entry.kinesis", LEDGER=f"dynamodb://{table}"), half, "ParallelizationFactor 1", "SettingsError"
    )


def test_sqs_told_by_the_environment_alone(function, bucket):
    """Messages that are records, arrays and notifications; messages that come again; in both ways."""
    stored = put(bucket, "in/a b+ü.json", b"[%s,%s]" % (order(5), order(6)))
    event = events.sqs(order(1), bad(1), b"[%s,%s]" % (order(2), order(3)), events.to_bytes(events.s3(stored)), order(100))
    ways = {}
    for flag in ("1", "0"):
        places = {"SINK": f"s3://{bucket}/{flag}/out/", "REJECTS": f"s3://{bucket}/{flag}/bad/"}
        running = function("millstream.aws.entry.sqs", RAW_EVENTS=flag, **places)
        told = []
        for _ in range(2):
            answer = running.invoke(event)
            assert answer.body == DONE, answer
            lines = answer.logged("batch")
            assert [(line["source"], line["source_id"], line["counts"]) for line in lines] == [
                ("sqs", events.QUEUE, counts(written=3, rejected=1, filtered=1)),
                ("s3", f"s3://{bucket}/{stored.key}", counts(written=2)),
            ]
            assert lines[0]["raw"] is (flag == "1")
            for line in lines:
                check_metrics(answer, line)
            told.append([{name: line[name] for name in (*TOLD, *SIZES)} for line in lines])
        assert told[0] == told[1]
        ways[flag] = told, objects(bucket, f"{flag}/")
        check_refused(running, events.kinesis(CANARY.encode()), "expected an SQS event")
    assert ways["1"] == ways["0"]
    assert orders(bucket, "1/out/") == [1, 2, 3, 5, 6]
    (reject,) = rows(bucket, "1/bad/")
    assert (reject["payload"], reject["identity"]) == (bad(1), events.message_id(1))


def test_a_fifo_queue_without_rejects(function, bucket):
    running = function("millstream.aws.entry.sqs", REJECTS=None, ON_REJECT="fail")
    event = events.sqs_fifo(("a", order(1)), ("b", order(2)), ("a", bad(1)), ("b", order(3)), ("a", order(4)))
    body, line = called(running, event)
    assert body == {"batchItemFailures": [{"itemIdentifier": events.message_id(i)} for i in (2, 4)]}
    assert (line["counts"], line["raw"]) == (counts(written=3, failed=2), True)
    assert orders(bucket) == [1, 2, 3]
    assert payloads(bucket) == []
    whole = running.invoke(events.sqs_fifo(("a", bad(1))))
    assert (whole.function_error, whole.body["errorType"]) == ("exception", "RunError")
    assert "a record is rejected (BAD_JSON)" in whole.body["errorMessage"]
    assert orders(bucket) == [1, 2, 3]


def test_rejects_in_a_queue(function, bucket):
    url = client("sqs").create_queue(QueueName=f"rejects-{uuid.uuid4().hex}")["QueueUrl"]
    body, line = called(function("millstream.aws.entry.kinesis", REJECTS=f"sqs+{url}"), events.kinesis(bad(1), order(1)))
    assert (body, line["counts"]) == (DONE, counts(written=1, rejected=1))
    (message,) = client("sqs").receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"])["payload"] == bad(1).decode()


WAYS = {
    "s3": events.s3,
    "sns": events.s3_by_sns,
    "eventbridge": events.s3_eventbridge,
    "sqs": events.s3_by_sqs,
    "sns, sqs": events.s3_by_sns_and_sqs,
}


def test_s3_told_by_the_environment_alone(function, bucket, table):
    """Every way of being told; told again, by another way, no work is done again."""
    running = function("millstream.aws.entry.s3", LEDGER=f"dynamodb://{table}")
    stored = {}
    for number, (way, event_of) in enumerate(WAYS.items(), 1):
        body = order(number) + b"\n" + bad(number) + b"\n" + order(100) + b"\n"
        stored[way] = put(bucket, f"in/{way} +ü.ndjson", gzip.compress(body) if number % 2 else body)
        answer, line = called(running, event_of(stored[way]))
        expected = counts(written=1, rejected=1, filtered=1)
        assert (line["counts"], line["source"], line["raw"]) == (expected, "s3", False)
        assert line["source_id"] == f"s3://{bucket}/{stored[way].key}"
        if "sqs" in way:
            assert answer == DONE
        else:
            assert (answer["counts"], answer["files_total"]) == (expected, 1)
            (file,) = answer["files"]
            assert file["url"].startswith(f"s3://{bucket}/out/")
    before = objects(bucket, "")
    for way, other in zip(WAYS, reversed(WAYS), strict=True):
        answer, line = called(running, WAYS[other](stored[way]))
        assert (line["counts"], line["files"], line["stage_ms"]) == (counts(duplicate=3), 0, {})
        assert answer == DONE or answer["counts"] == counts(duplicate=3)
    assert objects(bucket, "") == before
    assert orders(bucket) == [1, 2, 3, 4, 5]
    assert payloads(bucket) == [bad(i) for i in (1, 2, 3, 4, 5)]
    for foreign in (events.kinesis(CANARY.encode()), {"source": "aws.events", "detail": CANARY}):
        check_refused(running, foreign, "expected a notification of S3's that objects were created")


@pytest.mark.parametrize("name", ["handler", "logging_events"])
def test_a_handler_made_in_a_module(function, bucket, name):
    """Bare, or in a decorator of Powertools: it gets the event's bytes all the same."""
    running = function(f"function.{name}", MODULE % "kinesis", PIPELINE=None)
    body, line = called(running, events.kinesis(order(1), bad(1)))
    assert (body, line["raw"], line["counts"]) == (DONE, True, counts(written=1, rejected=1))
    assert ("function_request_id" in line) is (name != "handler")
    if name == "logging_events":
        assert line["correlation_id"] == f"{events.SHARD}:{events.FIRST}"
        assert any("RawEvent(" in one for one in running.lines)
    assert (orders(bucket), payloads(bucket)) == ([1], [bad(1)])
    check_refused(running, events.sqs(CANARY), "expected a Kinesis event")


@pytest.mark.parametrize("name", ["own", "in_a_strict_decorator"])
def test_code_around_a_handler_gets_its_events_as_ever(function, bucket, name):
    """A function that calls one, a decorator that may want a dict."""
    running = function(f"function.{name}", MODULE % "kinesis", PIPELINE=None)
    body, line = called(running, events.kinesis(order(1), bad(1)))
    assert body == {"type": "dict", **DONE}
    assert (line["raw"], line["counts"]) == (False, counts(written=1, rejected=1))
    assert orders(bucket) == [1]


@pytest.mark.parametrize("source", ["sqs", "s3"])
def test_other_handlers_made_in_a_module(function, bucket, source):
    running = function("function.decorated", MODULE % source, PIPELINE=None)
    stored = put(bucket, "in/a.json", order(1))
    body, line = called(running, events.s3_by_sqs(stored) if source == "s3" else events.sqs(order(1)))
    assert (body, line["counts"], line["raw"]) == (DONE, counts(written=1), source == "sqs")
    assert orders(bucket) == [1]


def test_settings_that_cannot_work_are_told_when_the_function_starts(function):
    answer = function("millstream.aws.entry.kinesis", SNIK="x").invoke(events.kinesis(order(1)))
    assert answer.function_error == "crash"
    assert "MILLSTREAM_SNIK is no setting; did you mean MILLSTREAM_SINK?" in answer.body["errorMessage"]


LOADS = """
import sys
from millstream import Pipeline
from millstream.aws import kinesis_handler, s3_handler
from millstream.native.bind import kernels
from millstream.sinks import clients

make = {"kinesis": kinesis_handler, "s3": s3_handler}[%r]
made = make(Pipeline({"order": "int64"}, name="orders"), **%r)
LOADED = {
    "clients": sorted(name for name, _ in clients._clients),
    "kernels": kernels._backend is not None,
    "logger": "aws_lambda_powertools.logging" in sys.modules,
}

def handler(event, context):
    return LOADED
"""


@pytest.mark.parametrize(
    ("source", "settings", "wanted"),
    [
        ("kinesis", {"sink": "/tmp/rows", "on_reject": "fail"}, []),
        ("kinesis", {"sink": "s3://lake/rows/", "rejects": "s3://lake/bad/"}, ["s3"]),
        ("kinesis", {"sink": "/tmp/rows", "rejects": "sqs+https://sqs.us-east-1.amazonaws.com/123456789012/bad"}, ["sqs"]),
        ("s3", {"sink": "/tmp/rows", "on_reject": "fail"}, ["s3"]),
        ("s3", {"sink": "s3://lake/rows/", "on_reject": "fail", "ledger": "dynamodb://done"}, ["dynamodb", "s3"]),
    ],
)
def test_a_function_has_all_ready_when_its_handler_is_made(lambda_function, source, settings, wanted):
    function = lambda_function(LOADS % (source, settings))
    assert function.invoke({}).body == {"clients": wanted, "kernels": True, "logger": True}
