"""Filters, beside what the Lambda guide tells of each rule, and EventBridge's guide where that is silent."""

import base64
import json
from random import Random

import pytest

from millstream.errors import SettingsError
from millstream.local.emulator.answers import Answer
from millstream.local.emulator.filters import Filters
from millstream.local.emulator.messages import Queue
from millstream.local.emulator.queues import QueueMapping, QueueSettings
from millstream.local.emulator.shards import Stream, event_record
from millstream.local.emulator.streams import StreamMapping, StreamSettings
from tests.local.emulated import World

pytestmark = pytest.mark.once

# The rules of the field "a", what the field is (None of Python's: the field is not there), whether they hold.
ABSENT = object()
LEAVES = [
    # equals: character by character, numbers as they are written
    ('["x"]', '"x"', True),
    ('["x"]', '"X"', False),
    ('["x"]', '"x "', False),
    ('["x", "y"]', '"y"', True),
    ('["x", "y"]', '"z"', False),
    ('["x"]', ABSENT, False),
    ('["1"]', "1", False),
    ("[1]", '"1"', False),
    ("[300]", "300", True),
    ("[300]", "300.0", False),
    ("[300]", "3.0e2", False),
    ("[300.0]", "300.0", True),
    ("[true]", "true", True),
    ("[true]", "false", False),
    ("[true]", "1", False),
    ("[1]", "true", False),
    ("[false]", "false", True),
    ('["true"]', "true", False),
    # null and empty
    ("[null]", "null", True),
    ("[null]", '""', False),
    ("[null]", ABSENT, False),
    ("[null]", "0", False),
    ('[""]', '""', True),
    ('[""]', "null", False),
    ('[""]', '" "', False),
    ('[null, ""]', '""', True),
    # exists: of leaves
    ('[{"exists": true}]', '"x"', True),
    ('[{"exists": true}]', "null", True),
    ('[{"exists": true}]', "0", True),
    ('[{"exists": true}]', ABSENT, False),
    ('[{"exists": true}]', '{"b": 1}', False),
    ('[{"exists": true}]', "[]", False),
    ('[{"exists": false}]', ABSENT, True),
    ('[{"exists": false}]', '"x"', False),
    ('[{"exists": false}]', "null", False),
    ('[{"exists": false}]', '{"b": 1}', True),
    ('[{"exists": false}]', "[]", True),
    ('[{"exists": false}, "x"]', '"x"', True),
    ('[{"exists": false}, "x"]', '"y"', False),
    ('[{"exists": false}, "x"]', ABSENT, True),
    # prefix, suffix, equals-ignore-case: of text
    ('[{"prefix": "us-"}]', '"us-east-1"', True),
    ('[{"prefix": "us-"}]', '"eu-us-"', False),
    ('[{"prefix": "us-"}]', '"US-east-1"', False),
    ('[{"prefix": "1"}]', "12", False),
    ('[{"prefix": "us-"}]', "null", False),
    ('[{"suffix": ".png"}]', '"a.png"', True),
    ('[{"suffix": ".png"}]', '"a.PNG"', False),
    ('[{"suffix": ".png"}]', '"a.png.gz"', False),
    ('[{"equals-ignore-case": "alice"}]', '"ALICE"', True),
    ('[{"equals-ignore-case": "Alice"}]', '"alice"', True),
    ('[{"equals-ignore-case": "alice"}]', '"alic"', False),
    ('[{"equals-ignore-case": "1"}]', "1", False),
    # anything-but: what is there, and is none of these
    ('[{"anything-but": "x"}]', '"y"', True),
    ('[{"anything-but": "x"}]', '"x"', False),
    ('[{"anything-but": "x"}]', "1", True),
    ('[{"anything-but": "x"}]', "null", True),
    ('[{"anything-but": "x"}]', ABSENT, False),
    ('[{"anything-but": ["x", "y"]}]', '"y"', False),
    ('[{"anything-but": ["x", "y"]}]', '"z"', True),
    ('[{"anything-but": 5}]', "5", False),
    ('[{"anything-but": 5}]', "6", True),
    ('[{"anything-but": 5}]', '"5"', True),
    ('[{"anything-but": [5, 6]}]', "6", False),
    ('[{"anything-but": [5, 6]}]', "7", True),
    ('[{"anything-but": {"prefix": "us-"}}]', '"us-1"', False),
    ('[{"anything-but": {"prefix": "us-"}}]', '"eu-1"', True),
    ('[{"anything-but": {"prefix": "us-"}}]', "1", True),
    ('[{"anything-but": {"suffix": ".png"}}]', '"a.png"', False),
    ('[{"anything-but": {"suffix": ".png"}}]', '"a.gif"', True),
    # numeric: by value
    ('[{"numeric": ["=", 100]}]', "100", True),
    ('[{"numeric": ["=", 100]}]', "100.0", True),
    ('[{"numeric": ["=", 100]}]', "1e2", True),
    ('[{"numeric": ["=", 100]}]', '"100"', False),
    ('[{"numeric": ["=", 0.1]}]', "0.10", True),
    ('[{"numeric": [">", 10]}]', "10", False),
    ('[{"numeric": [">", 10]}]', "10.000000001", True),
    ('[{"numeric": [">=", 10]}]', "10", True),
    ('[{"numeric": ["<", -1.5]}]', "-1.6", True),
    ('[{"numeric": ["<", -1.5]}]', "-1.5", False),
    ('[{"numeric": ["<=", -1.5]}]', "-1.5", True),
    ('[{"numeric": [">", 10, "<=", 20]}]', "20", True),
    ('[{"numeric": [">", 10, "<=", 20]}]', "10", False),
    ('[{"numeric": [">", 10, "<=", 20]}]', "20.1", False),
    ('[{"numeric": [">=", 0, "<", 1]}]', "0", True),
    ('[{"numeric": [">", 10]}]', "1e400", True),
    ('[{"numeric": [">", 10]}]', "1e99999999999999999999", False),
    ('[{"numeric": [">", 10]}]', "true", False),
    ('[{"numeric": [">", 10]}]', "null", False),
    ('[{"numeric": [">", 10]}]', ABSENT, False),
    ('[{"numeric": [">", 10]}, {"prefix": "x"}]', '"xy"', True),
    # arrays stand for their elements
    ('["x"]', '["w", "x"]', True),
    ('["x"]', '["w"]', False),
    ('["x"]', '[["w"], ["x"]]', True),
    ('["x"]', "[]", False),
    ('[{"numeric": ["<", 0]}]', "[1, -1]", True),
    ('[{"anything-but": "x"}]', '["x"]', False),
    ('[{"anything-but": "x"}]', '["x", "y"]', True),
]

# A pattern of the payload, the payload, whether it matches.
OBJECTS = [
    ('{"a": ["x"], "b": ["y"]}', '{"a": "x", "b": "y"}', True),
    ('{"a": ["x"], "b": ["y"]}', '{"a": "x", "b": "z"}', False),
    ('{"a": ["x"], "b": ["y"]}', '{"a": "x"}', False),
    ('{"a": ["x"]}', '{"a": "x", "b": 1, "c": {}}', True),
    ('{"a": {"b": {"c": ["x"]}}}', '{"a": {"b": {"c": "x"}}}', True),
    ('{"a": {"b": {"c": ["x"]}}}', '{"a": {"b": "x"}}', False),
    ('{"a": {"b": {"c": ["x"]}}}', "{}", False),
    ('{"a": {"b": [{"exists": false}]}}', "{}", True),
    ('{"a": {"b": [{"exists": false}]}}', '{"a": 1}', True),
    ('{"a": {"b": [{"exists": false}]}}', '{"a": {"b": 1}}', False),
    ('{"a": {"b": ["x"]}}', '{"a": [{"b": "w"}, {"b": "x"}]}', True),
    ('{"a": {"b": ["x"], "c": ["y"]}}', '{"a": [{"b": "x"}, {"c": "y"}]}', False),
    ('{"a": {"b": ["x"], "c": ["y"]}}', '{"a": [{"b": "x", "c": "y"}]}', True),
    ('{"a": {"b": [{"exists": false}]}}', '{"a": [{"b": 1}, {"c": 1}]}', False),
    ('{"$or": [{"a": ["x"]}, {"b": ["y"]}]}', '{"b": "y"}', True),
    ('{"$or": [{"a": ["x"]}, {"b": ["y"]}]}', '{"b": "z"}', False),
    ('{"c": [1], "$or": [{"a": ["x"]}, {"b": ["y"]}]}', '{"b": "y"}', False),
    ('{"c": [1], "$or": [{"a": ["x"]}, {"b": ["y"]}]}', '{"b": "y", "c": 1}', True),
    ('{"d": {"$or": [{"a": ["x"]}, {"b": {"c": [{"numeric": [">", 1]}]}}]}}', '{"d": {"b": {"c": 2}}}', True),
    ('{"a": ["x"]}', '[{"a": "w"}, {"a": "x"}]', True),
    ('{"a": ["x"]}', '{"a": "w", "a": "x"}', True),
    ('{"ä": ["ö"]}', '{"\\u00e4": "\\u00f6"}', True),
]

# The guide's tables: a body and a pattern that is for text or for JSON; a mismatch drops the message.
BODIES = [
    ("plain", '["plain"]', True),
    ("plain", '["other"]', False),
    ("plain", '[{"prefix": "pl"}]', True),
    ("plain", '[{"anything-but": "other"}]', True),
    ("plain", '{"a": ["x"]}', False),
    ("plain", '{"a": [{"exists": false}]}', False),
    ('{"a": "x"}', '["plain"]', False),
    ('{"a": "x"}', '[{"anything-but": "plain"}]', False),
    ('{"a": "x"}', '{"a": ["x"]}', True),
    ("", '[""]', True),
    ("NaN", '["NaN"]', True),
    ('{"a": NaN}', '{"a": [{"exists": true}]}', False),
    ("[" * 100_000, '{"a": [{"exists": true}]}', False),
]


def of_queue(body):
    queue = Queue(Random(1))
    queue.send(body, 0.0)
    return queue.receive(1, 0.0)[0].event


def of_stream(data, key="1"):
    stream = Stream.of(1)
    return event_record(stream.put(data, key, 1.5), stream.arn, "arn:aws:iam::123456789012:role/lambda-role")


@pytest.mark.parametrize(("rules", "value", "holds"), LEAVES)
def test_the_rules_of_a_field(rules, value, holds):
    payload = "{}" if value is ABSENT else f'{{"a": {value}}}'
    assert Filters.of([f'{{"body": {{"a": {rules}}}}}'], "sqs").match(of_queue(payload)) is holds
    assert Filters.of([f'{{"data": {{"a": {rules}}}}}'], "kinesis").match(of_stream(payload.encode())) is holds


@pytest.mark.parametrize(("pattern", "payload", "matches"), OBJECTS)
def test_the_fields_of_an_object(pattern, payload, matches):
    assert Filters.of([f'{{"body": {pattern}}}'], "sqs").match(of_queue(payload)) is matches
    assert Filters.of([f'{{"data": {pattern}}}'], "kinesis").match(of_stream(payload.encode())) is matches


@pytest.mark.parametrize(("body", "pattern", "passes"), BODIES)
def test_a_body_that_is_text_or_json(body, pattern, passes):
    assert Filters.of([f'{{"body": {pattern}}}'], "sqs").match(of_queue(body)) is passes


@pytest.mark.parametrize("data", [b"plain", b"\xff\xfe", '{"a": "x"}'.encode("utf-16"), b"", b'"x"', b"7", b'{"a": "x"'])
def test_data_that_is_no_json_is_dropped(data):
    assert not Filters.of(['{"data": {"a": ["x"]}}', '{"data": {"a": [{"exists": false}]}}'], "kinesis").match(of_stream(data))


@pytest.mark.parametrize(
    ("pattern", "kind", "passes"),
    [
        ('{"partitionKey": ["1"]}', "kinesis", True),
        ('{"partitionKey": ["2"]}', "kinesis", False),
        ('{"partitionKey": ["1"], "data": {"a": ["x"]}}', "kinesis", True),
        ('{"partitionKey": ["1"], "data": {"a": ["y"]}}', "kinesis", False),
        ('{"eventSource": ["aws:kinesis"]}', "kinesis", True),
        ('{"approximateArrivalTimestamp": [{"numeric": ["=", 1.5]}]}', "kinesis", True),
        ('{"eventSource": ["aws:sqs"]}', "sqs", True),
        ('{"attributes": {"ApproximateReceiveCount": ["1"]}}', "sqs", True),
        ('{"$or": [{"eventSource": ["no"]}, {"body": {"a": ["x"]}}]}', "sqs", True),
    ],
)
def test_metadata_as_the_guide_once_told(pattern, kind, passes):
    filters = Filters.of([pattern], kind)
    assert filters.metadata
    assert filters.match(of_stream(b'{"a": "x"}') if kind == "kinesis" else of_queue('{"a": "x"}')) is passes


def test_one_of_several_filters_is_enough():
    filters = Filters.of(['{"body": {"a": ["x"]}}', '{"body": ["plain"]}'], "sqs")
    assert [filters.match(of_queue(one)) for one in ('{"a": "x"}', "plain", '{"a": "y"}')] == [True, True, False]
    assert filters.metadata == ()


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("null", "a pattern is an object"),  # these four were refused by the service, when they were recorded
        ("simple string", "it is no JSON"),
        ('{"eventSource": "aws:sqs"}', "eventSource: write a list of rules, or an object with fields"),
        ('{"eventSource": []}', "eventSource: the list of rules is empty"),
        ("{}", "it names no field"),
        ('{"body": {}}', "body: it names no field"),
        ('{"body": {"a": [["x"]]}}', "body.a: a list of rules holds no list"),
        ('{"body": {"a": [{}]}}', "body.a: a rule has one key, not 0"),
        ('{"body": {"a": [{"prefix": "x", "suffix": "y"}]}}', "body.a: a rule has one key, not 2"),
        ('{"body": {"a": [{"wildcard": "*"}]}}', "body.a: there is no rule wildcard; there are null, text"),
        ('{"body": {"a": [{"exists": "yes"}]}}', "exists is true or false"),
        ('{"body": {"a": [{"prefix": 1}]}}', "prefix takes a text"),
        ('{"body": {"a": [{"prefix": ""}]}}', "prefix takes a text that is not empty"),
        ('{"body": {"a": [{"anything-but": ["x", 1]}]}}', "not of both"),
        ('{"body": {"a": [{"anything-but": []}]}}', "anything-but takes"),
        ('{"body": {"a": [{"anything-but": [null]}]}}', "anything-but takes"),
        ('{"body": {"a": [{"anything-but": {"numeric": ["=", 1]}}]}}', "anything-but takes"),
        ('{"body": {"a": [{"numeric": [">"]}]}}', "numeric takes a comparison or a range"),
        ('{"body": {"a": [{"numeric": ["!=", 1]}]}}', "numeric takes a comparison or a range"),
        ('{"body": {"a": [{"numeric": ["<", 5, ">", 1]}]}}', "numeric takes a comparison or a range"),
        ('{"body": {"a": [{"numeric": [">", 5, "<", 5]}]}}', "the range of numeric is empty"),
        ('{"body": {"a": [{"numeric": [">", "5"]}]}}', "numeric compares with numbers"),
        ('{"body": {"a": [{"numeric": [">", 5000000001]}]}}', "from -5,000,000,000 to 5,000,000,000"),
        ('{"body": {"a": [{"numeric": [">", 1e999999999999999999]}]}}', "numeric compares with numbers"),
        ('{"body": {"a": [{"numeric": [">", 1e99999999999999999999]}]}}', "numeric compares with numbers"),
        ('{"$or": [{"body": ["x"]}]}', "$or: it is a list of two patterns or more"),
        ('{"$or": {"body": ["x"]}}', "$or: it is a list of two patterns or more"),
        ('{"body": [' + ", ".join(["1"] * 2000) + "]}", "it has 6,010 characters; a pattern has at most 4,096"),
        ('{"body":' * 400 + "[1]" + "}" * 400, None),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern, says):
    if says is None:
        Filters.of([pattern], "sqs")
        return
    with pytest.raises(SettingsError, match=r"^filter 2 cannot be used: ") as refused:
        Filters.of(['{"body": ["x"]}', pattern], "sqs")
    assert says in str(refused.value)


def test_a_streams_data_is_filtered_as_json_alone():
    with pytest.raises(SettingsError, match="the pattern for a stream's data is an object, since only JSON is filtered"):
        Filters.of(['{"data": ["text"]}'], "kinesis")


def test_there_are_at_most_ten_filters():
    Filters.of(['{"body": ["x"]}'] * 10, "sqs")
    with pytest.raises(SettingsError, match="there are 11 filters: a mapping has at most 10, and 5 unless a quota was raised"):
        Filters.of(['{"body": ["x"]}'] * 11, "sqs")


def test_a_stream_goes_on_behind_records_that_do_not_pass():
    stream = Stream.of(1)
    filters = Filters.of(['{"data": {"n": [{"numeric": ["<", 2]}]}}'], "kinesis")
    mapping = StreamMapping(StreamSettings(filters=filters), stream.shards, Random(1))
    records = [stream.put(json.dumps({"n": n}).encode(), "a", 0.0) for n in (0, 5, 1, 5)]
    world = World(mapping, lambda _: Answer()).run()
    assert [base64.b64decode(one["kinesis"]["data"]) for one in world.log[0].event["Records"]] == [b'{"n": 0}', b'{"n": 1}']
    assert (mapping.received, mapping.filtered, mapping.backlog) == (4, 2, 0)
    assert mapping.acknowledged == [records[0], records[2]]
    assert mapping.places() == {records[0].shard: (records[3].sequence, True)}


def test_a_queue_deletes_messages_that_do_not_pass():
    queue = Queue(Random(1))
    mapping = QueueMapping(QueueSettings(filters=Filters.of(['{"body": ["yes"]}'], "sqs"), window=1.0), queue, Random(2))
    for body in ["no"] * 25 + ["yes"]:
        queue.send(body, 0.0)
    world = World(mapping, lambda _: Answer()).run()
    assert [one["body"] for invocation in world.log for one in invocation.event["Records"]] == ["yes"]
    assert (mapping.received, mapping.filtered, mapping.returned, mapping.held) == (26, 25, 0, 0)
    assert len(queue.deleted) == 26
