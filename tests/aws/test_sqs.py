"""SQS events through the handler."""

import json
import time

import pyarrow.dataset as ds
import pytest

from millstream.aws import sqs_handler
from millstream.errors import RunError, SettingsError, UsageError
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.aws.events import CANARY

PIPELINE = Pipeline({"id": "int64", "kind": "string"}, name="orders")


def good(i):
    return json.dumps({"id": i, "kind": CANARY})


def ids(folder):
    return sorted(row["id"] for row in ds.dataset(folder).to_table().to_pylist()) if folder.exists() else []


def failed(answer):
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def names(*numbers):
    return [events.message_id(i) for i in numbers]


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def handler(tmp_path):
    return sqs_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")


class Context:
    """What a handler asks of Lambda's context."""

    def __init__(self, milliseconds):
        self.end = time.monotonic() + milliseconds / 1000

    def get_remaining_time_in_millis(self):
        return int(1000 * (self.end - time.monotonic()))


@pytest.mark.parametrize("written", [lambda one: one, events.to_bytes])
def test_messages_are_records_or_arrays_of_records(tmp_path, handler, capsys, written):
    event = events.sqs(good(1), f"[{good(2)},{good(3)}]", CANARY, good(4))
    assert handler(written(event)) == {"batchItemFailures": []}
    assert ids(tmp_path / "out") == [1, 2, 3, 4]
    (reject,) = ds.dataset(tmp_path / "bad").to_table().to_pylist()
    assert (reject["identity"], reject["code"], reject["sub"], reject["payload"]) == (*names(2), "BAD_JSON", 0, CANARY.encode())
    assert reject["source"] == events.QUEUE
    assert round(reject["arrived_at"].timestamp() * 1000) == round(events.ARRIVED * 1000) + 2
    (line,) = lines(capsys)
    assert line["counts"] == {"delivered": 5, "written": 4, "filtered": 0, "duplicate": 0, "rejected": 1, "failed": 0}
    assert (line["source"], line["source_id"], line["deliveries"]) == ("sqs", events.QUEUE, 4)
    assert line["raw"] is (written is events.to_bytes)
    assert CANARY not in json.dumps(line)


def test_the_same_messages_again_in_another_order_are_written_once(tmp_path, handler):
    event = events.sqs(good(1), good(2))
    handler(event)
    handler({"Records": event["Records"][::-1]})
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert ids(tmp_path / "out") == [1, 2]


def test_times_and_ids_that_look_the_same_side_by_side_have_one_order(tmp_path, handler):
    event = events.sqs(good(1), good(2))
    for record, sent, name in zip(event["Records"], ("1", "11"), ("1x", "x"), strict=True):
        record["attributes"]["SentTimestamp"], record["messageId"] = sent, name
    for records in (event["Records"], event["Records"][::-1]):
        assert failed(handler({"Records": records})) == []
    assert ids(tmp_path / "out") == [1, 2]


def test_a_sink_that_fails_has_all_come_again(tmp_path, handler):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(RunError, match=r"the whole batch must come again: .* is a file"):
        handler(events.sqs(good(1), CANARY))
    (tmp_path / "out").unlink()
    assert failed(handler(events.sqs(good(1), CANARY))) == []


def test_without_rejects_what_is_rejected_comes_again_alone(tmp_path, capsys):
    handler = sqs_handler(PIPELINE, sink=tmp_path / "out", on_reject="fail")
    assert failed(handler(events.sqs(good(1), CANARY, good(2), f"[{good(3)}, 7]"))) == names(1, 3)
    assert ids(tmp_path / "out") == [1, 2]
    (line,) = lines(capsys)
    assert line["counts"] == {"delivered": 5, "written": 2, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 3}


def test_of_a_fifo_queue_the_messages_behind_a_failed_one_of_its_group_come_again(tmp_path):
    handler = sqs_handler(PIPELINE, sink=tmp_path / "out", on_reject="fail")
    event = events.sqs_fifo(("a", good(0)), ("b", good(1)), ("a", CANARY), ("b", good(3)), ("a", good(4)), ("c", good(5)))
    assert failed(handler(event)) == names(2, 4)
    assert ids(tmp_path / "out") == [0, 1, 3, 5]
    assert failed(handler(events.to_bytes(event))) == names(2, 4)


def test_when_time_is_up_all_come_again(tmp_path, handler):
    with pytest.raises(RunError, match="time is up"):
        handler(events.sqs(good(1)), Context(1000))
    assert not (tmp_path / "out").exists()
    assert handler(events.sqs(good(1)), Context(60_000)) == {"batchItemFailures": []}


def test_a_ledger_is_a_table_of_dynamodb(tmp_path):
    for ledger in ("sqlite:///x", "dynamodb://", "x"):
        with pytest.raises(SettingsError, match=r"the ledger is .*: write dynamodb://TABLE"):
            sqs_handler(PIPELINE, sink=tmp_path / "out", on_reject="fail", ledger=ledger)


def test_a_removed_object_is_no_work_and_comes_again_until_it_is_given_up(tmp_path, handler):
    removed = json.dumps(events.s3("a.json", name="ObjectRemoved:Delete"))
    assert failed(handler(events.sqs(good(1), removed))) == names(1)
    assert ids(tmp_path / "out") == [1]


def test_a_test_event_of_s3_is_done(handler):
    assert failed(handler(events.sqs(json.dumps(events.s3_test()), events.sns_body(json.dumps(events.s3_test()))))) == []


@pytest.mark.parametrize(
    "foreign", [{}, {"Records": []}, events.kinesis(b"{}"), [], b"[1]", {"Records": [{"eventSource": "aws:sqs"}]}]
)
def test_a_foreign_event_is_refused(handler, foreign):
    with pytest.raises(UsageError, match="expected an SQS event"):
        handler(foreign)


def test_a_handler_of_records_does_without_boto3(child):
    """Importing it takes time, and a folder needs none of it."""
    done = child("import sys, millstream.aws.sqs, millstream.aws.kinesis; print([m for m in sys.modules if m[:4] == 'boto'])")
    assert done.stdout.strip() == "[]"
