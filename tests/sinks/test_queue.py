"""Rejected records as messages of a queue."""

import base64
import datetime as dt
import hashlib
import json
import math
import sys
import uuid
import zoneinfo

import orjson
import pyarrow as pa
import pytest

from millstream.classes import replace
from millstream.errors import SettingsError, SinkError
from millstream.local.run import attempt, run_files
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from millstream.sinks.origin import Origin
from millstream.sinks.queue import MESSAGE_BYTES, QueueRejects
from millstream.sinks.rejects import SCHEMA, StoredRejects, beside, open_rejects
from millstream.sinks.retry import Backoff
from millstream.sinks.store import DirectoryStore
from tests.servers import lost_after, lost_before, passes

pytestmark = pytest.mark.once

ARRIVED = dt.datetime(2026, 11, 23, 15, 4, 5, 123000, dt.UTC)
ORIGIN = Origin(
    base="base",
    range="0+9",
    source="arn:aws:kinesis:us-east-1:123456789012:stream/orders",
    identity=str,
    arrived=lambda position: ARRIVED,
    arrival=ARRIVED.date(),
)

QUICK = Backoff(base=0.001, cap=0.002, attempts=5)


def rejects(*payloads):
    rows = [
        {
            "position": 7 + i,
            "code": "BAD_JSON",
            "column": None,
            "offset": 3,
            "message": "the text is not valid JSON here",
            "payload": payload,
            "source": ORIGIN.source,
            "identity": f"id{i}",
            "sub": 0,
            "format": "json",
            "context": None,
            "fingerprint": "abc",
            "arrived_at": ARRIVED,
        }
        for i, payload in enumerate(payloads)
    ]
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


@pytest.fixture
def queue(aws):
    return clients.client("sqs").create_queue(QueueName=f"rejects-{uuid.uuid4().hex}")["QueueUrl"]


@pytest.fixture
def fifo(aws):
    name, attributes = f"rejects-{uuid.uuid4().hex}.fifo", {"FifoQueue": "true"}
    return clients.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def write(queue, *payloads, origin=ORIGIN, until=math.inf):
    QueueRejects(f"sqs+{queue}", backoff=QUICK).write(rejects(*payloads), origin, "abc", until)


def messages(queue):
    found = []
    while True:
        answer = clients.client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=0
        )
        if "Messages" not in answer:
            return found
        found += answer["Messages"]


def bodies(queue):
    return sorted((json.loads(one["Body"]) for one in messages(queue)), key=lambda one: one["position"])


def test_a_message_is_the_stored_reject(queue):
    write(queue, b"not json")
    assert bodies(queue) == [
        {
            "position": 7,
            "code": "BAD_JSON",
            "column": None,
            "offset": 3,
            "message": "the text is not valid JSON here",
            "payload": "not json",
            "payload_encoding": "utf-8",
            "source": ORIGIN.source,
            "identity": "id0",
            "sub": 0,
            "format": "json",
            "context": None,
            "context_encoding": None,
            "fingerprint": "abc",
            "arrived_at": "2026-11-23T15:04:05.123000Z",
        }
    ]


def test_a_message_where_the_system_knows_no_zones(queue, monkeypatch):
    packages = [
        name for name in sys.modules if name.partition(".")[0] in ("tzdata", "pytz")
    ]  # parts of one, too, that are here already
    for name in {"tzdata", "pytz", *packages}:
        monkeypatch.setitem(sys.modules, name, None)
    path = zoneinfo.TZPATH
    try:
        zoneinfo.reset_tzpath(())
        zoneinfo.ZoneInfo.clear_cache()
        with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
            zoneinfo.ZoneInfo("UTC")
        write(queue, b"not json")
    finally:
        zoneinfo.reset_tzpath(path)
    assert [one["arrived_at"] for one in bodies(queue)] == ["2026-11-23T15:04:05.123000Z"]


@pytest.mark.parametrize(
    "payload", [b"", b"\xff\x00", "ü\ud7ff🌿\0\x1f\x7f\u2028\ufffe\uffff".encode("utf-8", "surrogatepass"), None]
)
def test_payloads_come_back(queue, payload):
    write(queue, payload)
    (text,) = [one["Body"] for one in messages(queue)]
    # What SQS takes, by its reference.
    assert all(one in "\t\n\r" or " " <= one <= "\ud7ff" or "\ue000" <= one <= "\ufffd" or one > "\uffff" for one in text)
    found = orjson.loads(text)
    if payload is None:
        assert (found["payload"], found["payload_encoding"]) == (None, None)
    elif found["payload_encoding"] == "base64":
        assert base64.b64decode(found["payload"]) == payload == b"\xff\x00"
    else:
        assert found["payload"].encode() == payload


def test_batches_are_of_ten_messages_and_a_mebibyte(queue, sqs_faults):
    write(queue, *[b"x" * 90_000] * 25)
    assert sqs_faults.calls == ["SendMessageBatch"] * 3
    assert len(bodies(queue)) == 25
    sqs_faults.calls.clear()
    write(queue, *[b"y" * 400_000] * 5)
    assert sqs_faults.calls == ["SendMessageBatch"] * 3
    assert len(bodies(queue)) == 5


def test_a_record_too_large_for_a_message(queue, sqs_faults):
    with pytest.raises(
        SinkError, match=r"position 8 makes a message of 1,0.*,.* bytes.*; write rejects to s3://bucket/prefix/"
    ):
        write(queue, b"x", b"secret" * (MESSAGE_BYTES // 6))
    assert sqs_faults.calls == []


def test_a_fifo_queue_drops_what_comes_again(fifo):
    for _ in range(2):
        write(fifo, b"x", b"y")
    found = messages(fifo)
    assert [json.loads(one["Body"])["payload"] for one in found] == ["x", "y"]
    assert {one["Attributes"]["MessageGroupId"] for one in found} == {ORIGIN.source}
    assert found[0]["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(b"base/7").hexdigest()


def test_a_source_that_is_no_group(fifo):
    source = "file:///a folder/" + "x" * 200
    write(fifo, b"x", origin=replace(ORIGIN, source=source))
    (found,) = messages(fifo)
    assert found["Attributes"]["MessageGroupId"] == hashlib.sha256(source.encode()).hexdigest()


def failing(monkeypatch, *faults):
    """The client, of whose answers some entries are made failures: pairs of an entry's number and its failure."""
    real = clients.client("sqs").send_message_batch
    calls, waiting = [], list(faults)

    def send(QueueUrl, Entries):
        calls.append([int(one["Id"]) for one in Entries])
        failed = dict(waiting.pop(0)) if waiting else {}
        good = [one for one in Entries if int(one["Id"]) not in failed]
        answer = real(QueueUrl=QueueUrl, Entries=good) if good else {}
        answer["Failed"] = [{"Id": str(number), "Message": "secret"} | fault for number, fault in failed.items()]
        return answer

    monkeypatch.setattr(clients.client("sqs"), "send_message_batch", send)
    return calls


THEIRS = {"SenderFault": False, "Code": "InternalError"}
THROTTLED = {"SenderFault": True, "Code": "RequestThrottled"}
OURS = {"SenderFault": True, "Code": "InvalidParameterValue"}


def test_only_what_failed_goes_again(queue, monkeypatch):
    calls = failing(monkeypatch, {1: THEIRS, 3: THROTTLED}, {3: THEIRS})
    write(queue, *[str(i).encode() for i in range(5)])
    assert calls == [[0, 1, 2, 3, 4], [1, 3], [3]]
    assert [one["payload"] for one in bodies(queue)] == list("01234")


def test_what_fails_on_and_on_ends_it(queue, monkeypatch):
    calls = failing(monkeypatch, *[{1: THEIRS}] * 9)
    with pytest.raises(SinkError, match=r"1 of 2 messages were not taken \(InternalError\), after 5 attempts"):
        write(queue, b"x", b"y")
    assert len(calls) == 5
    calls = failing(monkeypatch, {1: OURS})
    with pytest.raises(SinkError, match=r"does not take a message \(InvalidParameterValue\)") as raised:
        write(queue, b"x", b"y")
    assert "secret" not in str(raised.value)
    assert len(calls) == 1


def test_lost_calls_go_again(queue, sqs_faults):
    sqs_faults.on("SendMessageBatch", lost_before, lost_after, passes)
    write(queue, b"x")
    assert sqs_faults.calls == ["SendMessageBatch"] * 3
    assert [one["payload"] for one in bodies(queue)] == ["x", "x"]  # at least once


def test_a_queue_that_is_not_there(queue):
    with pytest.raises(
        SinkError, match=r"cannot send to sqs\+http://.*-no: the answer is .*NonExistentQueue.*; create the queue"
    ):
        write(queue + "-no", b"x")


def test_no_batch_is_sent_when_time_is_up(queue, sqs_faults):
    with pytest.raises(SinkError, match="time is up"):
        write(queue, b"x", until=-math.inf)
    assert sqs_faults.calls == []


def test_a_run_whose_rejects_are_messages(tmp_path, queue):
    source = tmp_path / "in.ndjson"
    source.write_text('{"id": 1}\nbad\n{"id": "x"}\n')
    report = run_files(Pipeline({"id": "int64"}), source, sink=tmp_path / "out", rejects=f"sqs+{queue}")
    assert (report.counts["written"], report.counts["rejected"], report.rejects) == (1, 2, f"sqs+{queue}")
    assert [(one["position"], one["code"], one["payload"]) for one in bodies(queue)] == [
        (1, "BAD_JSON", "bad"),
        (2, "BAD_TYPE", '{"id": "x"}'),
    ]
    report, error = attempt(Pipeline({"id": "int64"}), [source], sink=tmp_path / "two", rejects=f"sqs+{queue}-no")
    assert "create the queue" in str(error)
    assert report.counts["failed"] == 3
    assert not (tmp_path / "two").exists()


SINK = DirectoryStore("/data/out")
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/rejects"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (QUEUE, "eu-central-1"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/rejects.fifo", "us-gov-west-1"),
        ("https://vpce-0a-1b.sqs.us-east-1.vpce.amazonaws.com/123456789012/q", "us-east-1"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/q", "eu-west-1"),
        ("https://queue.example.com:4566/000000000000/q", None),
        ("http://127.0.0.1:4566/000000000000/q", None),
    ],
)
def test_urls_of_queues(url, region):
    found = open_rejects(f"sqs+{url}", "the rejects' place", SINK)
    assert isinstance(found, QueueRejects)
    assert (found.url, found._region) == (f"sqs+{url}", region)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqs+https://", "write sqs+https://sqs.REGION"),
        ("sqs+https://sqs.us-east-1.amazonaws.com/rejects", "write sqs+https://sqs.REGION"),
        ("sqs://rejects", "write sqs+https://sqs.REGION"),
        ("sqs+ftp://h/1/q", "write sqs+https://sqs.REGION"),
        (f"sqs+{QUEUE}?x=1", "write sqs+https://sqs.REGION"),
        ("sqs+https://h:x/1/q", "write sqs+https://sqs.REGION"),
        ("sqs+http://queue.example.com/1/q", "without encryption only on this machine"),
    ],
)
def test_urls_that_are_no_queues(url, says):
    with pytest.raises(SettingsError) as raised:
        open_rejects(url, "the rejects' place", SINK)
    assert str(raised.value).startswith(f"the rejects' place is {url!r}")
    assert says in str(raised.value)


def test_rejects_in_a_store(tmp_path):
    found = open_rejects(tmp_path / "bad", "the rejects' place", SINK)
    assert isinstance(found, StoredRejects)
    assert found.url == str(tmp_path / "bad")
    assert beside(SINK) == "/data/out-rejects"
