"""`millstream emulate` between a stream of a moto server and a function behind the Invoke API."""

import json
import time
import uuid

import pytest

from millstream.local.emulate import invoke
from millstream.sinks import clients
from tests.aws import events
from tests.local.emulating import bodies, function, naming, new_queue, new_stream, payload, put, run, unhandled

pytestmark = pytest.mark.once

IDLE = ("--until-idle", "0.05")
QUICK = (*IDLE, "--backoff-limit", "0.01")


def test_records_are_delivered_in_events_as_lambda_makes_them(aws, capsys):
    stream = new_stream("a", "b", "c")
    with function() as behind:
        status, report, err = run(capsys, stream, "--invoke", behind.url, *IDLE)
    assert (status, err) == (0, "")
    assert behind.payloads == [["a", "b", "c"]]
    assert behind.paths == {"/2015-03-31/functions/function/invocations"}
    ours, known = behind.events[0]["Records"][0], events.kinesis_record(b"a")
    assert list(ours) == list(known)
    assert list(ours["kinesis"]) == list(known["kinesis"])
    assert ours["eventSourceARN"] == report["source"] == f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"
    assert ours["eventID"] == f"shardId-000000000000:{ours['kinesis']['sequenceNumber']}"
    assert abs(ours["kinesis"]["approximateArrivalTimestamp"] - time.time()) < 60
    assert report.keys() == {"version", "source", "function", "ended", "seconds", "counts", "checkpoints"}
    assert (report["ended"], report["function"]) == ("idle", "function")
    assert {k: v for k, v in report["counts"].items() if v} == {"received": 3, "acknowledged": 3, "invocations": 1}
    last = behind.events[0]["Records"][-1]["kinesis"]["sequenceNumber"]
    assert report["checkpoints"] == {"shardId-000000000000": {"after": last}}


def test_a_stream_is_known_by_its_arn_too(aws, capsys):
    stream = new_stream("a")
    with function() as behind:
        run(
            capsys, f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}", "--invoke", behind.url, "--name", "orders", *IDLE
        )
    assert behind.payloads == [["a"]]
    assert behind.paths == {"/2015-03-31/functions/orders/invocations"}


def test_batches_have_a_size_in_records_and_in_bytes(aws, capsys):
    with function() as behind:
        run(capsys, new_stream(*"abcde"), "--invoke", behind.url, "--batch-size", 2, *IDLE)
        assert behind.payloads == [["a", "b"], ["c", "d"], ["e"]]
    big = [letter * 900_000 for letter in "abcdef"]  # 1.2 MB each, in base64
    with function() as behind:
        run(capsys, new_stream(*big), "--invoke", behind.url, *IDLE)
    assert [[one[0] for one in batch] for batch in behind.payloads] == [["a", "b", "c", "d", "e"], ["f"]]


def test_a_window_gathers_records(aws, capsys):
    stream = new_stream("a")
    with function() as behind:
        begun = time.monotonic()
        run(capsys, stream, "--invoke", behind.url, "--window", 1, *IDLE)
    assert behind.payloads == [["a"]]
    assert time.monotonic() - begun > 1


def test_a_partial_failure_comes_again_from_the_first_that_failed(aws, capsys):
    failing = ["c", "b"]

    def behave(event):
        return naming(event, *([failing.pop()] if failing else []))

    with function(behave) as behind:
        words = ("--report-batch-item-failures", *QUICK)
        _, report, _ = run(capsys, new_stream("a", "b", "c", "d"), "--invoke", behind.url, *words)
    assert behind.payloads == [["a", "b", "c", "d"], ["b", "c", "d"], ["c", "d"]]
    assert (report["counts"]["partial"], report["counts"]["acknowledged"]) == (2, 4)


def test_without_partial_responses_the_answer_counts_for_nothing(aws, capsys):
    with function(lambda event: naming(event, "a")) as behind:
        _, report, _ = run(capsys, new_stream("a", "b"), "--invoke", behind.url, *QUICK)
    assert behind.payloads == [["a", "b"]]
    assert report["counts"]["acknowledged"] == 2


def test_a_poison_record_is_found_by_bisecting_and_told_to_a_bucket(aws, bucket, capsys):
    with function(lambda event: unhandled() if any("poison" in one for one in payloads_of(event)) else None) as behind:
        words = ("--bisect", "--maximum-retries", 1, "--destination", f"s3://{bucket}", *QUICK)
        _, report, _ = run(capsys, new_stream("a", "b", "poison", "c"), "--invoke", behind.url, *words)
    counts = report["counts"]
    assert (counts["acknowledged"], counts["given_up"], counts["undelivered"]) == (3, 1, 0)
    # The whole, each half, the poison and its one retry.
    assert behind.payloads == [["a", "b", "poison", "c"], ["a", "b"], ["poison", "c"], ["poison"], ["poison"], ["c"]]
    ((key, document),) = objects(bucket).items()
    assert key.startswith("aws/lambda/00000000-0000-4000-8000-000000000000/shardId-000000000000/")
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["functionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:function"
    assert document["payload"]["Records"] == [behind.events[3]["Records"][0]]


def test_a_queue_or_a_topic_is_told_the_numbers_of_records_given_up(aws, capsys):
    queue = new_queue()
    sns, sqs = clients.client("sns"), clients.client("sqs")
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    for destination in (queue, arn, topic):
        stream = new_stream("a", "b")
        with function(lambda _: unhandled()) as behind:
            words = ("--maximum-retries", 0, "--destination", destination, *QUICK)
            _, report, _ = run(capsys, stream, "--invoke", behind.url, *words)
        (message,) = map(json.loads, bodies(queue))
        assert message.keys() == {"requestContext", "responseContext", "version", "timestamp", "KinesisBatchInfo"}
        first, last = (one["kinesis"]["sequenceNumber"] for one in behind.events[0]["Records"])
        about = message["KinesisBatchInfo"]
        assert (about["startSequenceNumber"], about["endSequenceNumber"], about["batchSize"]) == (first, last, 2)
        assert about["streamArn"] == report["source"]
        assert report["counts"]["given_up"] == 2


def test_a_destination_that_is_not_there_is_told_of_and_passed_over(aws, capsys):
    with function(lambda _: unhandled()) as behind:
        words = ("--maximum-retries", 0, "--destination", "s3://no-such-bucket-3f1", *QUICK)
        status, report, err = run(capsys, new_stream("a", "b"), "--invoke", behind.url, *words)
    assert (status, report["counts"]["given_up"], report["counts"]["undelivered"]) == (0, 2, 2)
    assert err.startswith("millstream: cannot tell no-such-bucket-3f1 of records given up: the answer is NoSuchBucket (404)")
    assert report["checkpoints"]["shardId-000000000000"].keys() == {"after"}


def test_records_that_are_too_old_are_given_up_unseen(aws, bucket, capsys):
    stream = new_stream("a")
    time.sleep(0.05)
    with function() as behind:
        words = ("--maximum-age", "0.01", "--destination", f"s3://{bucket}", *IDLE)
        _, report, _ = run(capsys, stream, "--invoke", behind.url, *words)
    assert behind.events == []
    assert report["counts"]["given_up"] == 1
    assert [one["requestContext"]["condition"] for one in objects(bucket).values()] == ["RecordAgeExceeded"]


def test_filters_let_some_records_through(aws, capsys):
    stream = new_stream('{"kind": "a"}', '{"kind": "b"}', "text")
    with function() as behind:
        words = ("--filter", '{"data": {"kind": ["a"]}}', '{"data": {"kind": ["c"]}}', *IDLE)
        _, report, err = run(capsys, stream, "--invoke", behind.url, *words)
    assert behind.payloads == [['{"kind": "a"}']]
    assert (report["counts"]["received"], report["counts"]["filtered"], err) == (3, 2, "")


def test_a_filter_of_metadata_is_taken_and_warned_of(aws, capsys):
    with function() as behind:
        _, _, err = run(capsys, new_stream("a", "b"), "--invoke", behind.url, "--filter", '{"partitionKey": ["b"]}', *IDLE)
    assert behind.payloads == [["b"]]
    assert err.startswith("millstream: a filter names partitionKey: the Lambda guide says that only the payload is filtered")


def test_concurrency_and_parallelization(aws, capsys):
    def slow(_):
        time.sleep(0.03)

    payloads = [f"{i}" for i in range(10)]
    with function(slow) as behind:
        run(capsys, new_stream(*payloads, shards=4), "--invoke", behind.url, "--batch-size", 2, *IDLE)
        assert behind.most_at_once == 1
        shards = [one["Records"][0]["eventID"].partition(":")[0] for one in behind.events]
        assert len(set(shards[: len(set(shards))])) == len(set(shards)) > 1, "each has its turn"
    with function(slow) as behind:
        run(capsys, new_stream(*payloads), "--invoke", behind.url, "--batch-size", 2, "--concurrency", 4, *IDLE)
        assert behind.most_at_once == 1
    with function(slow) as behind:
        words = ("--batch-size", 2, "--concurrency", 4, "--parallelization", 4, *IDLE)
        _, report, _ = run(capsys, new_stream(*payloads), "--invoke", behind.url, *words)
    assert 2 <= behind.most_at_once <= 4
    assert sorted(x for one in behind.payloads for x in one) == sorted(payloads)
    assert report["counts"]["acknowledged"] == 10


def test_another_emulator_goes_on_at_the_checkpoints(aws, tmp_path, capsys):
    stream, path = new_stream("a", "b", shards=2), tmp_path / "checkpoints.json"
    words = ("--checkpoints", path, *IDLE)
    with function() as behind:
        _, first, _ = run(capsys, stream, "--invoke", behind.url, *words)
        assert sorted(x for one in behind.payloads for x in one) == ["a", "b"]
        assert json.loads(path.read_text())["shards"] == first["checkpoints"]
    put(stream, "c")
    with function() as behind:
        run(capsys, stream, "--invoke", behind.url, *words)
    assert behind.payloads == [["c"]]


def test_what_failed_is_where_another_emulator_goes_on(aws, tmp_path, capsys):
    stream, path = new_stream("a", "b", "c"), tmp_path / "checkpoints.json"
    with function(lambda event: (404, b"{}") if "b" in payloads_of(event) else None) as behind:
        words = ("--checkpoints", path, "--batch-size", 1, *QUICK)
        status, report, err = run(capsys, stream, "--invoke", behind.url, *words)
    assert (status, report["ended"], report["counts"]["held"]) == (1, "error", 2)
    assert "cannot invoke function at http://127.0.0.1:" in err
    assert report["checkpoints"]["shardId-000000000000"].keys() == {"at"}
    with function() as behind:
        run(capsys, stream, "--invoke", behind.url, "--checkpoints", path, *IDLE)
    assert behind.payloads == [["b", "c"]]


@pytest.mark.parametrize(("where", "found"), [("LATEST", []), ("2020-01-01T00:00:00Z", ["a"]), ("2099-01-01", [])])
def test_where_to_start(aws, capsys, where, found):
    with function() as behind:
        run(capsys, new_stream("a"), "--invoke", behind.url, "--starting-position", where, *IDLE)
    assert [x for one in behind.payloads for x in one] == found


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        ((200, b"2026-01-01 Task timed out after 3.00 seconds"), "errors"),
        ((502, b"{}"), "errors"),
        ((429, b"{}"), "throttled"),
        ((503, b"{}"), "throttled"),
    ],
)
def test_an_invocation_that_comes_to_nothing_is_made_again(aws, capsys, answer, counted):
    answers = [None, answer]
    with function(lambda _: answers.pop()) as behind:
        _, report, _ = run(capsys, new_stream("a"), "--invoke", behind.url, *QUICK)
    assert behind.payloads == [["a"], ["a"]]
    assert (report["counts"][counted], report["counts"]["acknowledged"]) == (1, 1)


def test_a_function_that_does_not_answer_in_time(aws, capsys, monkeypatch):
    monkeypatch.setattr(invoke, "START_SECONDS", -0.8)
    slow = [0.0, 0.6]
    with function(lambda _: time.sleep(slow.pop())) as behind:
        _, report, _ = run(capsys, new_stream("a"), "--invoke", behind.url, "--timeout", 1, *QUICK)
    assert behind.payloads == [["a"], ["a"]]
    assert (report["counts"]["errors"], report["counts"]["acknowledged"]) == (1, 1)


def test_a_function_that_is_not_there(aws, capsys, monkeypatch):
    monkeypatch.setattr(invoke, "UNREACHABLE_SECONDS", 0.1)
    status, report, err = run(capsys, new_stream("a"), "--invoke", "http://127.0.0.1:9", *QUICK)
    assert (status, report["ended"], report["counts"]["held"]) == (1, "error", 1)
    told = "millstream: error: cannot invoke function at http://127.0.0.1:9: no connection could be made, for 0.1 s"
    assert err.splitlines()[-1].startswith(told)


def test_a_stream_of_another_account(aws, capsys):
    stream = new_stream()
    status, _, err = run(capsys, f"arn:aws:kinesis:us-east-1:210987654321:stream/{stream}", "--name", "f")
    assert (status, "streams of other accounts are not read" in err) == (2, True)


def payloads_of(event):
    return [payload(one) for one in event["Records"]]


def objects(bucket):
    s3 = clients.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {key: json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}
