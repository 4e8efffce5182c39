"""Batches that Lambda gave up, from the objects it stored of them: each record once, also beside what the function wrote."""

import base64
import json
import shutil

import pyarrow.dataset as ds
import pytest

from millstream.aws import kinesis_handler
from millstream.aws.redrive import redrive
from millstream.errors import UsageError
from millstream.pipeline import Pipeline
from millstream.sinks.clients import client
from millstream.sinks.landed import check_law

pytestmark = pytest.mark.once

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
SHARD = "shardId-000000000000"
FIRST = 49545115243490985018280067714973144582180062593244200961
PIPELINE = Pipeline({"id": "int64"}, name="orders")


def event(*ids, start=0):
    def record(i, n):
        payload = b"bad" if i is None else json.dumps({"id": i}).encode()
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "custom",
                "sequenceNumber": str(FIRST + n),
                "data": base64.b64encode(payload).decode(),
                "approximateArrivalTimestamp": 1669814641.123,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{SHARD}:{FIRST + n}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/x",
            "awsRegion": "us-east-1",
            "eventSourceARN": ARN,
        }

    return {"Records": [record(i, start + n) for n, i in enumerate(ids)]}


def given_up(payload, as_text=True):
    """What Lambda stores, as it was recorded of the service; its documents show the event as text."""
    records = payload["Records"]
    told = {
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2022-07-13T13:48:01.000Z",
        "KinesisBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": records[0]["kinesis"]["sequenceNumber"],
            "endSequenceNumber": records[-1]["kinesis"]["sequenceNumber"],
            "approximateArrivalOfFirstRecord": "2022-07-13T13:48:01.000Z",
            "approximateArrivalOfLastRecord": "2022-07-13T13:48:01.000Z",
            "batchSize": len(records),
            "streamArn": ARN,
        },
        "payload": json.dumps(payload) if as_text else payload,
    }
    return json.dumps(told).encode()


@pytest.fixture
def failed(tmp_path, monkeypatch):
    """A folder as the bucket is laid out."""
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    folder = tmp_path / "failed" / "aws" / "lambda" / "7f" / SHARD / "2022" / "07" / "13"
    folder.mkdir(parents=True)
    return folder


def places(folder):
    return {"sink": folder / "out", "rejects": folder / "bad", "ledger": f"sqlite://{folder}/ledger.db"}


def run(source, folder, **named):
    done = redrive(source, pipeline=PIPELINE, **places(folder) | named)
    check_law(done.report.counts)
    return done


def counts(done):
    return {name: count for name, count in done.report.counts.items() if count}


def ids(folder):
    return sorted(row["id"] for row in ds.dataset(folder).to_table().to_pylist()) if folder.exists() else []


@pytest.mark.parametrize("as_text", [True, False])
def test_a_batch_is_written_once(failed, tmp_path, as_text):
    (failed / "2022-07-13T13.48.01-a").write_bytes(given_up(event(1, None, 3), as_text))
    handler = kinesis_handler(PIPELINE, **places(tmp_path))
    handler(event(4, 5, start=3), None)  # the stream went on
    done = run(tmp_path / "failed", tmp_path)
    assert (counts(done), done.error) == ({"delivered": 3, "written": 2, "rejected": 1}, None)
    assert ids(tmp_path / "out") == [1, 3, 4, 5]
    (rejected,) = ds.dataset(tmp_path / "bad").to_table().to_pylist()
    assert (rejected["source"], rejected["identity"], rejected["payload"]) == (ARN, str(FIRST + 1), b"bad")
    assert counts(run(tmp_path / "failed", tmp_path)) == {"delivered": 3, "duplicate": 3}
    shutil.copytree(tmp_path / "failed", tmp_path / "copy")
    assert counts(run(tmp_path / "copy", tmp_path)) == {"delivered": 3, "duplicate": 3}
    assert counts(run(failed / "2022-07-13T13.48.01-a", tmp_path)) == {"delivered": 3, "duplicate": 3}
    handler(event(6, start=5), None)  # and goes on
    assert ids(tmp_path / "out") == [1, 3, 4, 5, 6]


def test_what_the_function_had_written_is_not_written_again(failed, tmp_path):
    handler = kinesis_handler(PIPELINE, **places(tmp_path))
    handler(event(1, 2), None)  # committed, but the answer was lost, and the batch given up
    handler(event(9, start=9), None)
    (failed / "x").write_bytes(given_up(event(1, 2, 3)))
    done = run(tmp_path / "failed", tmp_path)
    assert counts(done) == {"delivered": 3, "written": 1, "duplicate": 2}
    assert ids(tmp_path / "out") == [1, 2, 3, 9]
    (failed / "y").write_bytes(given_up(event(1, 2)))
    assert counts(run(failed / "y", tmp_path)) == {"delivered": 2, "duplicate": 2}
    shutil.rmtree(tmp_path / "out")  # compacted
    assert counts(run(failed / "y", tmp_path)) == {"delivered": 2, "duplicate": 2}
    assert counts(run(failed / "x", tmp_path)) == {"delivered": 3, "duplicate": 3}


@pytest.mark.parametrize("is_committed", [True, False])
def test_an_attempt_of_the_function_is_ended_first(failed, tmp_path, monkeypatch, is_committed):
    with monkeypatch.context() as patch:
        what = "millstream.ledger.turn.Turn.commit" if is_committed else "millstream.aws.handler.land"
        patch.setattr(what, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kinesis_handler(PIPELINE, **places(tmp_path))(event(1, 2), None)
    (failed / "x").write_bytes(given_up(event(1, 2, 3)))
    done = run(tmp_path / "failed", tmp_path)
    assert counts(done)["written"] == (1 if is_committed else 3)
    assert ids(tmp_path / "out") == [1, 2, 3]


def test_a_redrive_that_was_killed_is_completed(failed, tmp_path, monkeypatch):
    for name, given in (("a", event(1, 2)), ("b", event(3, None, start=2))):
        (failed / name).write_bytes(given_up(given))
    with monkeypatch.context() as patch:
        patch.setattr("millstream.ledger.turn.Turn.commit", lambda turn: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "failed", tmp_path)
    assert counts(run(tmp_path / "failed", tmp_path)) == {"delivered": 4, "written": 1, "duplicate": 2, "rejected": 1}
    assert ids(tmp_path / "out") == [1, 2, 3]


def test_what_cannot_be_run_keeps_no_other_from_being_run(failed, tmp_path):
    def without(key):
        told = json.loads(given_up(event(7)))
        del told[key]
        return json.dumps(told)

    backwards = event(1, 2)
    backwards["Records"].reverse()
    foreign = {"Records": [{"eventSource": "aws:sqs", "body": "x"}]}
    told = json.loads(given_up(event(7)))
    for name, text in {
        "a-broken": "{",
        "b-list": "[]",
        "c-metadata": without("payload"),
        "d-kind": json.dumps({"version": "1.0", "requestPayload": {}}),
        "e-payload": json.dumps(told | {"payload": "{"}),
        "f-payload": json.dumps(told | {"payload": [1]}),
        "g-foreign": json.dumps(told | {"payload": foreign}),
        "h-order": json.dumps(told | {"payload": backwards}),
        "z-good": given_up(event(1)).decode(),
    }.items():
        (failed / name).write_text(text)
    (failed / ".hidden").write_text("")
    done = run(tmp_path / "failed", tmp_path)
    assert counts(done) == {"delivered": 1, "written": 1}
    why = {one.url.rpartition("/")[2]: one.why for one in done.problems}
    assert "it is no JSON" in why["a-broken"]
    assert "JSON list" in why["b-list"]
    assert f"{ARN}, {SHARD}, sequence numbers {FIRST} to {FIRST}; they can only be read from the stream" in why["c-metadata"]
    assert "no KinesisBatchInfo (its keys: requestPayload, version)" in why["d-kind"]
    assert "payload is no JSON" in why["e-payload"]
    assert "payload is a JSON list" in why["f-payload"]
    assert "comes from aws:sqs" in why["g-foreign"]
    assert "not in the order" in why["h-order"]
    assert "8 of the objects" in str(done.error)


def test_places_that_hold_nothing(failed, tmp_path):
    with pytest.raises(UsageError, match="holds no object"):
        run(tmp_path / "failed", tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        run(tmp_path / "none", tmp_path)


def test_a_sink_that_fails_is_told_and_completed_later(failed, tmp_path):
    (failed / "x").write_bytes(given_up(event(1, 2)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "id=1").write_text("in the way")
    pipeline = Pipeline({"id": "int64", "k": "int64"}, name="orders", output={"partition_by": ["id"]})
    done = redrive(tmp_path / "failed", pipeline=pipeline, **places(tmp_path))
    assert counts(done) == {"delivered": 2, "failed": 2}
    assert "is a file" in str(done.error)
    (tmp_path / "out" / "id=1").unlink()
    done = redrive(tmp_path / "failed", pipeline=pipeline, **places(tmp_path))
    assert counts(done) == {"delivered": 2, "written": 2}


def test_in_s3_and_dynamodb(bucket, table, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    urls = {"sink": f"s3://{bucket}/out/", "rejects": f"s3://{bucket}/bad/", "ledger": f"dynamodb://{table}"}
    kinesis_handler(PIPELINE, **urls)(event(1), None)
    key = f"failed/aws/lambda/7f/{SHARD}/2022/07/13/2022-07-13T13.48.01-a"
    client("s3").put_object(Bucket=bucket, Key=key, Body=given_up(event(1, 2, None)))
    for source, expected in (
        (f"s3://{bucket}/failed/", {"delivered": 3, "written": 1, "rejected": 1, "duplicate": 1}),
        (f"s3://{bucket}/{key}", {"delivered": 3, "duplicate": 3}),
        (f"s3://{bucket}/failed", {"delivered": 3, "duplicate": 3}),
    ):
        done = redrive(source, pipeline=PIPELINE, **urls)
        assert (counts(done), done.error) == (expected, None)
