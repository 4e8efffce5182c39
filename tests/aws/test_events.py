"""The events that tests make have the keys, the order and the form of AWS's own."""

import base64
import gzip
import json
from pathlib import Path

import pytest

from tests.aws import events

pytestmark = pytest.mark.once
DATA = Path(__file__).parent / "data"
REAL = json.loads((DATA / "kpl" / "real_kpl_records.json").read_text())


def sam(name):
    return json.loads((DATA / "sam" / f"{name}.json").read_text())


def shape(value):
    """Keys in their order, and the types of values."""
    if isinstance(value, dict):
        return [(key, shape(one)) for key, one in value.items()]
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value)


def test_kinesis():
    real = REAL["kpl_generated_rec_with_ehks"]
    assert shape(events.kinesis_record(b"")) == shape(real)
    assert shape(events.kinesis_as_sam(b"")) == shape(sam("kinesis_get_records"))
    given = events.kinesis(b"one", b"two")
    first, second = given["Records"]
    assert base64.b64decode(second["kinesis"]["data"]) == b"two"
    assert first["kinesis"]["sequenceNumber"] < second["kinesis"]["sequenceNumber"]
    assert second["eventID"] == f"{events.SHARD}:{events.FIRST + 1}"
    assert list(events.in_window(given)) == [
        "Records",
        "window",
        "state",
        "shardId",
        "eventSourceARN",
        "isFinalInvokeForWindow",
        "isWindowTerminatedEarly",
    ]


def test_sqs():
    ours = events.sqs("Hello from SQS!")
    assert ours["Records"][0].pop("md5OfMessageAttributes", "absent") is None  # newer than what SAM knows
    assert shape(ours) == shape(sam("sqs_receive_message"))
    assert ours["Records"][0]["md5OfBody"] == sam("sqs_receive_message")["Records"][0]["md5OfBody"]
    first, second = events.sqs_fifo(("a", "1"), ("b", "2"))["Records"]
    assert list(first["attributes"]) == [
        "ApproximateReceiveCount",
        "SentTimestamp",
        "SequenceNumber",
        "MessageGroupId",
        "SenderId",
        "MessageDeduplicationId",
        "ApproximateFirstReceiveTimestamp",
    ]
    assert (first["attributes"]["MessageGroupId"], second["attributes"]["MessageGroupId"]) == ("a", "b")


def test_sqs_message_attributes():
    """The example of a recording of the service, with the digest that the service gave."""
    book = {"Title": ("String", "The Whistler"), "Author": ("String", "John Grisham"), "WeeksOn": ("Number", "6")}
    message = events.sqs_message("", attributes=book)
    assert message["messageAttributes"]["WeeksOn"] == {
        "stringValue": "6",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "Number",
    }
    assert message["md5OfMessageAttributes"] == "d25a6aea97eb8f585bfa92d314504a92"


def test_s3():
    assert shape(events.s3("test/key")) == shape(sam("s3_put"))
    stored = events.Stored("a b/ü+1.json", version="v1")
    assert events.s3_record(stored)["s3"]["object"]["key"] == "a+b/%C3%BC%2B1.json"
    assert list(events.s3_record(stored)["s3"]["object"]) == ["key", "size", "eTag", "versionId", "sequencer"]
    bridged = events.s3_eventbridge(stored)
    assert bridged["detail"]["object"]["key"] == "a b/ü+1.json"
    assert list(bridged["detail"]["object"]) == ["key", "size", "etag", "version-id", "sequencer"]
    assert "Records" not in events.s3_test()


def test_sns():
    theirs = sam("sns_notification")
    theirs["Records"][0]["Sns"]["MessageAttributes"] = {}
    assert shape(events.sns("message")) == shape(theirs)
    stored = events.Stored("a b.json")
    (record,) = events.s3_by_sns(stored)["Records"]
    assert json.loads(record["Sns"]["Message"]) == events.s3(stored)
    (record,) = events.s3_by_sns_and_sqs(stored)["Records"]
    assert record["body"].startswith('{\n  "Type" : "Notification",\n')
    assert json.loads(json.loads(record["body"])["Message"]) == events.s3(stored)
    (record,) = events.s3_by_sqs(stored)["Records"]
    assert json.loads(record["body"]) == events.s3(stored)


def test_cloudwatch_logs():
    def opened(event):
        return json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))

    ours, theirs = opened(events.cloudwatch_logs_to_lambda("one", "two")), opened(sam("cloudwatch_logs"))
    assert shape(ours) == shape(theirs)
    assert [one["message"] for one in ours["logEvents"]] == ["one", "two"]
    assert json.loads(gzip.decompress(events.cloudwatch_logs_control()))["messageType"] == "CONTROL_MESSAGE"


def fields(message):
    """The fields of a protobuf message: (number, value), of varints and byte strings."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            value, at = message[at : at + value], at + value
        yield tag >> 3, value


def unpacked(data):
    """The user records of an aggregate."""
    whole = list(fields(data[4:-16]))
    keys, hash_keys, records = ([value for number, value in whole if number == wanted] for wanted in (1, 2, 3))
    for record in records:
        found = dict(fields(record))
        yield events.UserRecord(found[3], keys[found[1]].decode(), hash_keys[found[2]].decode() if 2 in found else None)


@pytest.mark.parametrize("name", REAL)
def test_kpl_aggregates_are_those_of_the_library(name):
    """Its aggregates, taken apart and put together again, are the same bytes."""
    real = base64.b64decode((REAL[name].get("kinesis") or REAL[name])["data"])
    if not real.startswith(events.KPL_MAGIC):
        assert name == "kpl_generated_ka_non_agg_rec"
        return
    records = list(unpacked(real))
    assert len(records) > 1
    assert events.kpl_aggregate(records) == real


def test_kpl_tags_and_shared_keys():
    given = [
        events.UserRecord(b"1", "x", "7", [("tag", "value")]),
        events.UserRecord(b"2", "x", "7"),
        events.UserRecord(b"", "y"),
    ]
    data = events.kpl_aggregate(given)
    assert [number for number, _ in fields(data[4:-16])] == [1, 1, 2, 3, 3, 3]
    assert [one._replace(tags=()) for one in given] == list(unpacked(data))
