"""`millstream emulate` as a process of its own: signals, a terminal, a stream that is resharded, AWS's emulator of the runtime."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from millstream.sinks import clients
from tests.lambda_runtime.fetch import FetchError
from tests.lambda_runtime.fetch import fetch as fetch_runtime
from tests.lambda_runtime.runtime import LambdaRuntime
from tests.local import kinesis_local
from tests.local.emulating import bodies, function, new_queue, new_stream, payload, run
from tests.local.kinesis_local import wait_until

pytestmark = [pytest.mark.once, pytest.mark.slow]


@contextmanager
def emulating(*words, stderr=subprocess.PIPE, **environment):
    command = [sys.executable, "-m", "millstream", "emulate", *map(str, words), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def absent(reason):
    """Skip, loudly; where these tests must run, as in CI, fail."""
    if os.environ.get("LAMBDA_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


def test_a_first_signal_waits_for_what_is_in_flight(aws):
    queue, hold = new_queue("a"), threading.Event()
    with function(lambda _: hold.wait(20) and None) as behind, emulating(queue, "--invoke", behind.url) as process:
        wait_until(lambda: behind.events)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        clients.client("sqs").send_message(QueueUrl=queue, MessageBody="late")
        hold.set()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    report = json.loads(out)
    assert (report["ended"], report["counts"]["acknowledged"]) == ("signal", 1)
    assert bodies(queue) == ["late"]


def test_a_second_signal_ends_it_at_once(aws):
    hold = threading.Event()
    with function(lambda _: hold.wait(20) and None) as behind, emulating(new_queue("a"), "--invoke", behind.url) as process:
        wait_until(lambda: behind.events)
        for one in (signal.SIGINT, signal.SIGTERM):
            process.send_signal(one)
            time.sleep(0.2)
        out, err = process.communicate(timeout=5)
        hold.set()
    assert (process.returncode, out) == (128 + signal.SIGTERM, "")
    assert "Traceback" not in err


def test_messages_that_wait_for_their_window_are_let_go(aws):
    queue = new_queue("a", "b")
    with function() as behind, emulating(queue, "--invoke", behind.url, "--window", 60) as process:
        names = ["ApproximateNumberOfMessages"]
        sqs = clients.client("sqs")
        wait_until(lambda: sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"][names[0]] == "0")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert behind.events == []
    counts = json.loads(out)["counts"]
    assert (process.returncode, counts["returned"], counts["held"]) == (0, 2, 0)
    assert sorted(bodies(queue)) == ["a", "b"]


def test_counts_are_shown_on_a_terminal_while_it_goes_on(aws):
    outer, inner = pty.openpty()
    with function() as behind:
        words = (new_queue(*"abc"), "--invoke", behind.url, "--until-idle", 0.5)
        with emulating(*words, stderr=inner) as process:
            out, _ = process.communicate(timeout=20)
    os.close(inner)
    shown = os.read(outer, 100_000).decode()
    os.close(outer)
    assert json.loads(out)["counts"]["received"] == 3
    assert "\r\x1b[K3 received · 3 acknowledged · " in shown
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown


def test_two_emulators_do_not_share_checkpoints(aws, tmp_path, capsys):
    stream, path = new_stream("a"), tmp_path / "checkpoints.json"
    with function() as behind:
        with emulating(stream, "--invoke", behind.url, "--checkpoints", path):
            wait_until(lambda: behind.events)
            status, _, err = run(capsys, stream, "--invoke", behind.url, "--checkpoints", path)
        assert (status, err) == (
            2,
            f"millstream: error: another millstream emulate uses the checkpoints {path}; give each a file of its own\n",
        )
        # Killed, it holds nothing any more.
        assert run(capsys, stream, "--invoke", behind.url, "--checkpoints", path, "--until-idle", 0.1)[0] == 0


@pytest.mark.long
def test_children_of_shards_that_were_split_and_merged_come_after_their_parents(tmp_path):
    try:
        package = kinesis_local.fetch()
    except kinesis_local.FetchError as error:
        absent(str(error))
    with kinesis_local.running(package) as url:
        kinesis, stream = kinesis_local.client(url), "orders"

        def settled():
            about = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
            return about["StreamStatus"] == "ACTIVE"

        def put(generation):
            for i in range(8):
                kinesis.put_record(StreamName=stream, Data=f"{generation}{i}".encode(), PartitionKey=f"{i}")

        kinesis.create_stream(StreamName=stream, ShardCount=1)
        wait_until(settled)
        put("a")
        failing = [None, None]

        def behave(event):
            return {"errorMessage": "no", "errorType": "E"} if failing and failing.pop() is None else None

        words = ("--batch-size", 3, "--backoff-limit", 0.1, "--until-idle", 1.2, "--concurrency", 4)
        keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}
        with (
            function(behave) as behind,
            emulating(stream, "--invoke", behind.url, *words, AWS_ENDPOINT_URL=url, **keys) as process,
        ):
            wait_until(lambda: behind.events)
            kinesis.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127))
            wait_until(settled)
            put("b")
            kinesis.merge_shards(
                StreamName=stream, ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002"
            )
            wait_until(settled)
            put("c")
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    flat = [payload(one) for event in behind.events[2:] for one in event["Records"]]
    assert sorted(flat) == sorted(f"{generation}{i}" for generation in "abc" for i in range(8))
    assert [one[0] for one in flat] == sorted(one[0] for one in flat)
    assert (report["counts"]["acknowledged"], report["counts"]["errors"]) == (24, 2)
    done = {name for name, place in report["checkpoints"].items() if place == {"done": True}}
    assert done == {f"shardId-00000000000{i}" for i in range(3)}
    assert report["checkpoints"]["shardId-000000000003"].keys() == {"after"}


HANDLER = """
import base64, json, os, sys, time

def handler(event, context):
    failed = []
    for record in event["Records"]:
        told = base64.b64decode(record["kinesis"]["data"]).decode()
        if told == "exception":
            raise ValueError(told)
        if told == "crash":
            os._exit(1)
        if told == "timeout":
            time.sleep(20)
        if told == "poison":
            failed.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
    return {"batchItemFailures": failed}
"""


def test_a_function_in_awss_runtime_interface_emulator(aws, tmp_path, bucket, capsys):
    try:
        parts = fetch_runtime()
    except FetchError as error:
        absent(str(error))
    capsys.readouterr()  # that it was fetched
    task, layer = tmp_path / "task", tmp_path / "layer"
    task.mkdir()
    layer.mkdir()
    (task / "function.py").write_text(HANDLER)
    poisons = ["exception", "poison", "crash", "timeout"]
    stream = new_stream(*(one for poison in poisons for one in (f"before {poison}", poison)), "last")
    with LambdaRuntime("function.handler", task_root=task, layer=layer, parts=parts, timeout=1) as runtime:
        words = ("--timeout", 1, "--report-batch-item-failures", "--bisect", "--maximum-retries", 0, "--backoff-limit", 0.01)
        where = ("--invoke", f"http://127.0.0.1:{runtime._port}", "--destination", f"s3://{bucket}")
        status, report, err = run(capsys, stream, *where, *words, "--until-idle", 0.2)
    assert (status, err) == (0, "")
    counts = report["counts"]
    assert (counts["received"], counts["acknowledged"], counts["given_up"], counts["throttled"]) == (9, 5, 4, 0)
    s3 = clients.client("s3")
    found = []
    for one in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        document = json.loads(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read())
        found += [payload(record) for record in document["payload"]["Records"]]
    assert sorted(found) == sorted(poisons)
