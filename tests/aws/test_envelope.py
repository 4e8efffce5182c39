"""Events read by the kernel and events read as dicts: the same deliveries."""

import copy
import json
import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.aws.kinesis import kinesis_event, kinesis_text
from millstream.aws.sqs import sqs_event, sqs_text
from millstream.errors import UsageError
from tests.aws import events

READERS = {"kinesis": (kinesis_text, kinesis_event), "sqs": (sqs_text, sqs_event)}


def seen(found):
    """Deliveries as plain values."""
    return [
        (
            one.source,
            one.shard,
            [one.payloads.payload(i) for i in range(one.count)],
            one.identities.all(),
            [one.arrived(i) for i in range(one.count)],
            one.groups.all(),
            list(one.broken),
            one.payloads.bytes_in,
        )
        for one in found
    ]


def both(source, text):
    """What the kernel reads, or None; what the dict gives, or the kind of error."""
    by_text, by_event = READERS[source]
    try:
        found = by_text(text)
    except UsageError:
        found = "refused"
    try:
        event = orjson.loads(text)
        wanted = seen(by_event(event)) if isinstance(event, dict) else "refused"
    except (UsageError, orjson.JSONDecodeError):
        wanted = "refused"
    return found if found in (None, "refused") else seen(found), wanted


KINESIS = (
    events.kinesis(b'{"id":1}'),
    events.kinesis(*(bytes([i]) * i for i in range(200))),
    events.kinesis_as_sam(b"{}", b"x" * 5000, b"\x00\xff"),
    events.kinesis(events.cloudwatch_logs("a", "b"), events.kpl_aggregate([b"1", b"22"])),
)
SQS = (
    events.sqs('{"id":1}'),
    events.sqs("", "plain", '{"a":"\\n\\"\\u00e9 é \U0001f600"}', "x" * 300_000),
    events.sqs_fifo(("a", "{}"), ("b", "[1]"), ("a", "\t")),
    {"Records": [events.sqs_message("x", 1, attributes={"k": ("String", 'v"\\'), "n": ("Number", "1")})]},
)
CASES = [*(("kinesis", one) for one in KINESIS), *(("sqs", one) for one in SQS)]


@pytest.mark.parametrize(("source", "event"), CASES)
@pytest.mark.parametrize("written", [events.to_bytes, json.dumps, lambda one: json.dumps(one, indent=2), orjson.dumps])
def test_the_kernel_reads_what_the_dict_holds(source, event, written):
    text = written(event)
    found, wanted = both(source, text if isinstance(text, bytes) else text.encode())
    assert found is not None
    assert found == wanted


def test_escapes_are_decoded_wherever_they_stand():
    event = events.to_bytes(events.kinesis(b"?" * 30, b"\xff" * 31))
    assert event.count(b"/") > 10
    found, wanted = both("kinesis", event.replace(b"/", rb"\/"))
    assert found is not None
    assert found == wanted == both("kinesis", event)[0]


def changed(change):
    event = copy.deepcopy(events.kinesis(b"one", b"two", b"three"))
    change(event["Records"])
    return events.to_bytes(event)


ODD = {
    "more keys behind": events.to_bytes(events.in_window(events.kinesis(b"one"))),
    "another key before": b'{"a":1,' + events.to_bytes(events.kinesis(b"one"))[1:],
    "two shards": changed(lambda records: records[1].update(eventID="shardId-000000000007:5")),
    "two streams": changed(lambda records: records[2].update(eventSourceARN="arn:aws:kinesis:eu-west-1:1:stream/x")),
    "broken base64": changed(lambda records: records[1]["kinesis"].update(data="%%%")),
    "a key twice": changed(lambda records: None).replace(b'"data":', b'"data":"b25l","data":', 1),
    "a key with an escape": changed(lambda records: None).replace(b'"data"', rb'"d\u0061ta"', 1),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_what_the_kernel_does_not_expect_is_left_to_the_dict(text):
    found, wanted = both("kinesis", text)
    assert found is None
    assert wanted != "refused"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"Records":[]}',
        b'{"Records":[{}]}',
        b'{"Records":{}}',
        b'{"Records":[',
        events.to_bytes(events.kinesis(b"one"))[:-1],
        events.to_bytes(events.kinesis(b"one")) + b"x",
        events.to_bytes(events.kinesis(b"one")).replace(b'"data":"', b'"data":"\xff', 1),
        events.to_bytes(events.kinesis(b"one")).replace(b'"data":"', b'"data":"\\ud800', 1),
        changed(lambda records: records[0]["kinesis"].pop("data")),
        changed(lambda records: records[0].update(eventID=None)),
        changed(lambda records: records[0]["kinesis"].update(approximateArrivalTimestamp="1")),
        changed(lambda records: records[0].update(eventSource="aws:sqs")),
        events.to_bytes(events.sqs("x")),
    ],
)
def test_what_is_no_event_is_refused_by_both(text):
    found, wanted = both("kinesis", text)
    assert found in (None, "refused")
    assert wanted == "refused"


@settings(max_examples=60)
@given(st.lists(st.text(), min_size=1, max_size=20))
def test_any_text_comes_back_from_a_message(bodies):
    found, wanted = both("sqs", orjson.dumps(events.sqs(*(one.encode("utf-8", "replace").decode() for one in bodies))))
    assert found is not None
    assert found == wanted


@pytest.mark.parametrize("source", READERS)
def test_events_with_bytes_changed_at_random(source):
    draw = random.Random(source)
    base = [events.to_bytes(event) for kind, event in CASES if kind == source and len(events.to_bytes(event)) < 20_000]
    parts = [b'"', b"\\", b"{", b"}", b",", b":", b"[", b"]", b" ", b"\x00", b"\xc3\xa9", b"\\u0041", b"1", b"null", b'"x":1,']
    agreed = 0
    for _ in range(1500):
        text = bytearray(draw.choice(base))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(text))
            text[at : at + draw.randrange(3)] = draw.choice(parts)
        found, wanted = both(source, bytes(text))
        if found is not None:
            assert found == wanted
            agreed += 1
    assert agreed > 100
