"""`millstream emulate` between a queue of a moto server and a function behind the Invoke API."""

import time

import pytest

from millstream.sinks import clients
from tests.aws import events
from tests.local.emulating import bodies, function, naming, new_queue, payload, run, unhandled

pytestmark = pytest.mark.once

IDLE = ("--until-idle", "0.05")


def left(queue):
    """How many messages are in the queue, in flight or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = clients.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(map(int, found.values()))


def test_messages_are_delivered_in_events_as_lambda_makes_them_and_deleted(aws, capsys):
    queue = new_queue("a")
    attributes = {
        "kind": {"DataType": "String", "StringValue": "x"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }
    sent = clients.client("sqs").send_message(QueueUrl=queue, MessageBody="b", MessageAttributes=attributes)
    with function() as behind:
        status, report, err = run(capsys, queue, "--invoke", behind.url, *IDLE)
    assert (status, err) == (0, "")
    records = sorted((one for event in behind.events for one in event["Records"]), key=payload)
    known = events.sqs("a")["Records"][0]
    assert set(records[0]) - {"md5OfMessageAttributes"} == set(known) - {"md5OfMessageAttributes"}
    assert records[0]["attributes"].keys() == known["attributes"].keys()
    assert records[0]["attributes"]["ApproximateReceiveCount"] == "1"
    assert (records[0]["messageAttributes"], records[0]["md5OfMessageAttributes"]) == ({}, None)
    assert records[1]["messageId"] == sent["MessageId"]
    assert records[1]["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    empty = {"stringListValues": [], "binaryListValues": []}
    assert records[1]["messageAttributes"] == {
        "kind": {"stringValue": "x", **empty, "dataType": "String"},
        "raw": {"binaryValue": "AAE=", **empty, "dataType": "Binary"},
    }
    assert records[1]["eventSourceARN"] == report["source"]
    assert left(queue) == 0
    assert (report["counts"]["acknowledged"], report["checkpoints"]) == (2, {})


def test_a_queue_is_known_by_its_arn_too(aws, capsys):
    name = new_queue("a").rpartition("/")[2]
    with function() as behind:
        run(capsys, f"arn:aws:sqs:us-east-1:123456789012:{name}", "--invoke", behind.url, *IDLE)
    assert behind.payloads == [["a"]]


def test_what_failed_stays_and_comes_again_when_it_is_visible(aws, capsys):
    queue = new_queue("a", "b", "c", VisibilityTimeout="1")
    failing = ["b"]

    def behave(event):
        return naming(event, failing.pop()) if failing and "b" in map(payload, event["Records"]) else None

    with function(behave) as behind:
        words = ("--timeout", 1, "--report-batch-item-failures", "--until-idle", 1.3)
        _, report, _ = run(capsys, queue, "--invoke", behind.url, *words)
    delivered = sorted(x for one in behind.payloads for x in one)
    assert delivered == ["a", "b", "b", "c"]
    counts = report["counts"]
    assert (counts["received"], counts["acknowledged"], counts["returned"], counts["partial"]) == (4, 3, 1, 1)
    assert left(queue) == 0


def test_a_batch_whose_function_failed_is_left_to_the_queue(aws, capsys):
    queue = new_queue("a", "b")
    with function(lambda _: unhandled()) as behind:
        _, report, _ = run(capsys, queue, "--invoke", behind.url, *IDLE)
    assert left(queue) == 2
    assert (report["counts"]["acknowledged"], report["counts"]["returned"]) == (0, 2)
    assert report["counts"]["errors"] == len(behind.events)


def test_groups_of_a_fifo_queue_are_in_order_and_the_failed_and_what_is_behind_it_stays(aws, capsys):
    queue = new_queue("a1", "b1", "a2", "b2", "a3", fifo=True)

    def behave(event):
        named = [payload(one) for one in event["Records"] if payload(one).startswith("a") and payload(one) != "a1"]
        return naming(event, *named)

    with function(behave) as behind:
        words = ("--report-batch-item-failures", "--batch-size", 10, *IDLE)
        _, report, _ = run(capsys, queue, "--invoke", behind.url, *words)
    flat = [x for one in behind.payloads for x in one]
    for group in "ab":
        assert [x for x in flat if x[0] == group] == sorted(x for x in flat if x[0] == group)
    assert left(queue) == 2
    assert report["counts"]["acknowledged"] == 3
    attributes = behind.events[0]["Records"][0]["attributes"]
    assert attributes["MessageGroupId"] == "a"
    assert "MessageDeduplicationId" in attributes


def test_filtered_messages_are_deleted(aws, capsys):
    queue = new_queue("yes", "no", "no")
    with function() as behind:
        _, report, _ = run(capsys, queue, "--invoke", behind.url, "--filter", '{"body": ["yes"]}', *IDLE)
    assert behind.payloads == [["yes"]]
    assert (report["counts"]["filtered"], left(queue)) == (2, 0)


def test_a_window_gathers_more_than_one_receipt(aws, capsys):
    queue = new_queue(*(f"{i}" for i in range(25)))
    with function() as behind:
        run(capsys, queue, "--invoke", behind.url, "--batch-size", 25, "--window", 1, *IDLE)
    assert [len(one) for one in behind.payloads] == [25]


def test_concurrency(aws, capsys):
    queue = new_queue(*(f"{i}" for i in range(12)))

    def slow(_):
        time.sleep(0.05)

    with function(slow) as behind:
        run(capsys, queue, "--invoke", behind.url, "--batch-size", 2, "--concurrency", 3, *IDLE)
    assert behind.most_at_once == 3


def test_a_function_that_is_not_there_ends_it(aws, capsys):
    queue = new_queue("a")
    with function(lambda _: (404, b"{}")) as behind:
        status, report, err = run(capsys, queue, "--invoke", behind.url, *IDLE)
    assert (status, report["ended"]) == (1, "error")
    assert "cannot invoke function at" in err
    assert report["counts"]["held"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--timeout", 60),
            "the queue's visibility timeout is 30 s, less than the function's timeout of 60 s, which Lambda refuses",
        ),
        (("--batch-size", 11), "batch_size is 11: above 10 it needs a window of at least a second"),
        (("--batch-size", 0), "batch_size is 0: it is from 1 to 10000"),
        (("--filter", '{"body": []}'), "filter 1 cannot be used: body: the list of rules is empty"),
        (("--bisect",), "--bisect is for streams, and the source is a queue; leave it out"),
        (("--checkpoints", "x"), "--checkpoints is for streams, and the source is a queue; leave it out"),
    ],
)
def test_settings_that_lambda_would_refuse(aws, capsys, words, says):
    queue = new_queue("a")
    status, _, err = run(capsys, queue, "--invoke", "http://127.0.0.1:9", *words)
    assert status == 2
    assert err.startswith(f"millstream: error: {says}")
    assert bodies(queue) == ["a"]


def test_a_fifo_queue_has_no_window(aws, capsys):
    status, _, err = run(capsys, new_queue(fifo=True), "--invoke", "http://127.0.0.1:9", "--window", 1)
    assert (status, err) == (2, "millstream: error: a FIFO queue has no window, and batches of at most 10\n")


def test_a_queue_that_is_not_there(aws, capsys):
    for source in (f"{aws}/123456789012/none", "arn:aws:sqs:us-east-1:123456789012:none"):
        status, _, err = run(capsys, source, "--invoke", "http://127.0.0.1:9")
        assert status in (1, 2)
        assert "NonExistentQueue" in err
