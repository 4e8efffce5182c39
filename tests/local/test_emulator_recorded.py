"""The emulator beside the recordings of the real service in data/esm_recorded.json."""

import json
import re
from pathlib import Path
from random import Random

import pytest

from millstream.local.emulator.answers import Answer
from millstream.local.emulator.messages import Queue
from millstream.local.emulator.queues import QueueMapping, QueueSettings
from millstream.local.emulator.shards import Stream
from millstream.local.emulator.streams import StreamMapping, StreamSettings
from tests.local.emulated import World, identifiers, naming

pytestmark = pytest.mark.once

RECORDED = json.loads((Path(__file__).parent / "data/esm_recorded.json").read_text())
KINESIS, SQS = RECORDED["kinesis"], RECORDED["sqs"]
STARTED = 1_700_000_000.0

ANSWERS = {
    "report_batch_item_success_scenarios[empty_list_success]": Answer([]),
    "report_batch_item_success_scenarios[null_success]": Answer(None),
    "report_batch_item_success_scenarios[empty_dict_success]": Answer({}),
    "report_batch_item_success_scenarios[empty_string_success]": Answer(""),
    "report_batch_item_success_scenarios[empty_batch_item_failure_success]": Answer({"batchItemFailures": []}),
    "report_batch_item_success_scenarios[null_batch_item_failure_success]": Answer({"batchItemFailures": None}),
    "report_batch_item_failure_scenarios[empty_string_item_identifier_failure]": naming(""),
    "report_batch_item_failure_scenarios[null_item_identifier_failure]": naming(None),
    "report_batch_item_failure_scenarios[item_identifier_not_present_failure]": naming("item_identifier_not_present"),
    "report_batch_item_failure_scenarios[invalid_key_foo_failure]": Answer({"batchItemFailures": [{"foo": "foo"}]}),
    "report_batch_item_failure_scenarios[invalid_key_foo_null_value_failure]": Answer({"batchItemFailures": [{"foo": None}]}),
    "report_batch_item_failure_scenarios[unhandled_exception_in_function]": Answer(error="Exception"),
    "event_source_mapping_with_on_failure_destination_config": Answer(error="Exception"),
    "event_source_mapping_with_sns_on_failure_destination_config": Answer(error="Exception"),
    "event_source_mapping_with_s3_on_failure_destination": Answer(error="Exception"),
    "maximum_record_age_exceeded[expire-while-retrying]": Answer(error="Exception"),
    "maximum_record_age_exceeded[expire-before-ingestion]": Answer(error="Exception"),
}
OTHERS = {"report_batch_item_failures", "maximum_record_age_exceeded_discard_records"}


def mapped(recorded, **named):
    stream = Stream.of(1)
    return stream, StreamMapping(StreamSettings(**recorded["settings"], jitter=0.0, **named), stream.shards, Random(7))


def world_of(mapping, function):
    world = World(mapping, function)
    world.now = STARTED
    return world


def same_form(ours, recorded, place=""):
    """The same keys and constants everywhere; where the recording has <a name>, ours is something of that form."""
    if isinstance(recorded, dict):
        assert ours.keys() == recorded.keys(), place
        for key in recorded:
            same_form(ours[key], recorded[key], f"{place}.{key}")
    elif isinstance(recorded, list):
        assert len(ours) == len(recorded), place
        for i, (one, other) in enumerate(zip(ours, recorded, strict=True)):
            same_form(one, other, f"{place}[{i}]")
    elif isinstance(recorded, str) and "<" in recorded:
        assert re.fullmatch(form(recorded), str(ours)), (place, ours, recorded)
    elif place.endswith((".data", ".partitionKey")):
        assert isinstance(ours, str)
    else:
        assert ours == recorded, place


def form(recorded):
    forms = {
        "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
        "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "kinesis-shard-id": r"shardId-\d{12}",
        "sequence-number": r"\d{56}",
        "start-sequence-number": r"\d{56}",
        "approximate-arrival-timestamp": r"\d+\.\d+",
        "partition": "aws",
        "region": "us-east-1",
        "resource": "[a-z-]+",
    }
    parts = re.split(r"(<[^>]*>)", recorded.replace("111111111111", "123456789012"))
    return "".join(forms[re.match(r"<([a-z-]+)", one)[1]] if one.startswith("<") else re.escape(one) for one in parts)


def test_the_table_holds_every_recording():
    assert ANSWERS.keys() | OTHERS == KINESIS.keys()


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_record_is_delivered_and_given_up_as_recorded(name):
    recorded = KINESIS[name]
    stream, mapping = mapped(recorded)
    age = recorded["settings"]["maximum_age"]
    stream.put(b"hello", "test", STARTED - (age + 20 if "before" in name else 0))
    world = world_of(mapping, lambda _: ANSWERS[name]).run()
    if "deliveries" in recorded:
        assert len(world.log) == len(recorded["deliveries"])
    told = recorded.get("message") or recorded.get("document")
    assert len(mapping.given_up) == (told is not None)
    assert mapping.backlog == 0
    assert len(mapping.acknowledged) == (told is None)
    if told is not None:
        (given_up,) = mapping.given_up
        same_form(given_up.document if "document" in recorded else given_up.message, told)


def test_a_partial_failure_is_delivered_as_recorded():
    """Five records are fine, the sixth never is: what is left after progress has all its retries, and its count, anew."""
    recorded = KINESIS["report_batch_item_failures"]
    stream, mapping = mapped(recorded)
    records = [stream.put(b"x", f"test_{i}", STARTED) for i in range(6)]
    last = records[-1].sequence
    world = world_of(mapping, lambda one: naming(*(x for x in identifiers(one) if x == last))).run()
    delivered = sorted(x for one in world.log for x in identifiers(one))
    names = {record.sequence: f"<sequence-number:{i + 1}>" for i, record in enumerate(records)}
    assert [names[one] for one in delivered] == recorded["delivered"]
    same_form(mapping.given_up[0].message, recorded["message"])
    assert mapping.given_up[0].records == (records[-1],)
    assert mapping.acknowledged == records[:-1]


def test_the_old_of_a_batch_is_given_up_and_the_rest_delivered_as_recorded():
    recorded = KINESIS["maximum_record_age_exceeded_discard_records"]
    stream, mapping = mapped(recorded)
    old = stream.put(b"stream-data", "test", STARTED - 80)
    young = [stream.put(b"stream-data-%d" % i, "test", STARTED) for i in range(5)]
    world = world_of(mapping, lambda _: Answer()).run()
    assert mapping.given_up[0].records == (old,)
    same_form(mapping.given_up[0].message, recorded["message"])
    assert mapping.acknowledged == young
    assert [x for one in world.log for x in identifiers(one)] == [one.sequence for one in young]
    assert len(young) == len(recorded["delivered"])


def test_an_object_of_a_bucket_is_named_as_the_guide_says():
    stream, mapping = mapped(KINESIS["event_source_mapping_with_s3_on_failure_destination"], destination="s3")
    stream.put(b"hello", "test", STARTED)
    world_of(mapping, lambda _: Answer(error="Exception")).run()
    uuid = r"[0-9a-f-]{36}"
    assert re.fullmatch(
        rf"aws/lambda/{uuid}/shardId-0{{12}}/2023/11/14/2023-11-14T22\.13\.\d\d-{uuid}", mapping.given_up[0].key
    )
    assert list(mapping.given_up[0].document) == [*mapping.given_up[0].message, "payload"]
    assert mapping.given_up[0].destination == "s3"


def sqs_mapped(bodies, fifo=False, **settings):
    """A queue of messages, its mapping, and the names that the recordings give to the messages."""
    queue = Queue(Random(7), arn=f"arn:aws:sqs:us-east-1:123456789012:orders{'.fifo' * fifo}", maximum_receives=2)
    for body in bodies:
        queue.send(body, STARTED, group="1" if fifo else None)
    names = {one.id: f"<uuid:{i + 1}>" for i, one in enumerate(queue.messages)}
    return queue, QueueMapping(QueueSettings(**settings), queue, Random(8)), names


@pytest.mark.parametrize(
    "name",
    [
        "test_report_batch_item_failures",
        "test_report_batch_item_failures_invalid_result_json_batch_fails",
        "test_report_batch_item_failures_empty_json_batch_succeeds",
        "test_redrive_policy_with_failing_lambda",
    ],
)
def test_messages_are_delivered_as_recorded(name):
    recorded = SQS[name]
    invocations = recorded["invocations"]
    first = invocations[0]["records"]
    bodies = [json.dumps(one["body"]) for one in first]
    queue, mapping, names = sqs_mapped(
        bodies, "MessageGroupId" in first[0]["attributes"], report_batch_item_failures="report" in name
    )

    def function(invocation):
        told = invocations[invocation.number - 1]
        ids = {name: one for one, name in names.items()}
        if told.get("error"):
            return Answer(error=told["error"])
        return Answer(json.loads(re.sub(r"<uuid:\d+>", lambda one: ids[one[0]], json.dumps(told["result"]))))

    world = world_of(mapping, function).run()
    assert [[names[x] for x in identifiers(one)] for one in world.log] == [
        [one["messageId"] for one in told["records"]] for told in invocations
    ]
    for ours, told in zip(world.log, invocations, strict=True):
        for record, other in zip(ours.event["Records"], told["records"], strict=True):
            assert record["attributes"].keys() == other["attributes"].keys()
            assert record["attributes"]["ApproximateReceiveCount"] == other["attributes"]["ApproximateReceiveCount"]
            assert record.keys() - other.keys() <= {"md5OfMessageAttributes"}
    assert [names[one.id] for one in queue.dead] == recorded.get("dead", [])
    assert mapping.backlog == 0


def test_an_error_fails_all_messages_as_recorded():
    recorded = SQS["test_report_batch_item_failures_on_lambda_error"]
    queue, mapping, names = sqs_mapped(["{not json", "{}"], report_batch_item_failures=True)
    world_of(mapping, lambda _: Answer(error="Exception")).run()
    assert [names[one.id] for one in queue.dead] == recorded["dead"]


def test_attributes_of_messages_are_told_as_recorded():
    told = SQS["test_message_body_and_attributes_passed_correctly"]["invocations"][0]["records"][0]
    queue = Queue(Random(7))
    queue.send(
        "{}",
        STARTED,
        attributes={"Title": ("String", "The Whistler"), "Author": ("String", "John Grisham"), "WeeksOn": ("Number", "6")},
    )
    (received,) = queue.receive(10, STARTED)
    assert received.event["messageAttributes"] == told["messageAttributes"]
    assert received.event["md5OfMessageAttributes"] == told["md5OfMessageAttributes"]
