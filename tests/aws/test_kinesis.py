"""Kinesis events, shaped as Lambda's, through the handler."""

import base64
import copy
import datetime as dt
import hashlib
import json
from types import SimpleNamespace

import orjson
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from aws_lambda_powertools import Tracer

from millstream.aws import kinesis_handler
from millstream.errors import PlanError, RunError, SettingsError, UsageError
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.aws.events import CANARY

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
PIPELINE = Pipeline({"id": "int64", "kind": "string"}, name="orders")
FIRST = 49545115243490985018280067714973144582180062593244200961


def record(payload, number=0, shard="shardId-000000000006", arn=ARN):
    """As `sam local generate-event kinesis get-records` makes them."""
    sequence = str(FIRST + number)
    return {
        "kinesis": {
            "partitionKey": "partitionKey-03",
            "kinesisSchemaVersion": "1.0",
            "data": base64.b64encode(payload).decode(),
            "sequenceNumber": sequence,
            "approximateArrivalTimestamp": 1428537600.123 + number,
            "encryptionType": "NONE",
        },
        "eventSource": "aws:kinesis",
        "eventID": f"{shard}:{sequence}",
        "invokeIdentityArn": "arn:aws:iam::EXAMPLE",
        "eventVersion": "1.0",
        "eventName": "aws:kinesis:record",
        "eventSourceARN": arn,
        "awsRegion": "us-east-1",
    }


def event(*payloads):
    return {"Records": [record(payload, number) for number, payload in enumerate(payloads)]}


BAD = CANARY.encode()
"""A record that is none."""


def good(i):
    return json.dumps({"id": i, "kind": CANARY}).encode()


def ids(folder):
    return sorted(row["id"] for row in ds.dataset(folder).to_table().to_pylist()) if folder.exists() else []


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_batch_becomes_one_file_and_one_line(tmp_path, capsys):
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    given = event(good(1), BAD, good(2))
    before = copy.deepcopy(given)
    assert handler(given, None) == {"batchItemFailures": []}
    assert given == before
    assert ids(tmp_path / "out") == [1, 2]
    name = f"{hashlib.sha256(ARN.encode()).hexdigest()[:8]}-shardId-000000000006-{FIRST}-{FIRST + 2}-a1"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{name}-0000.parquet"]
    (rejects,) = pq.ParquetFile(tmp_path / "bad" / "date=2015-04-09" / f"{name}.parquet").read().to_pylist()
    assert (rejects["position"], rejects["code"], rejects["payload"]) == (1, "BAD_JSON", BAD)
    assert (rejects["source"], rejects["identity"]) == (ARN, str(FIRST + 1))
    assert rejects["arrived_at"] == dt.datetime(2015, 4, 9, 0, 0, 1, 123000, dt.UTC)
    (line,) = lines(capsys)
    assert line["message"] == "batch"
    assert line["level"] == "INFO"
    assert line["counts"] == {"delivered": 3, "written": 2, "filtered": 0, "duplicate": 0, "rejected": 1, "failed": 0}
    keys = [
        "pipeline",
        "fingerprint",
        "source",
        "source_id",
        "shard",
        "first",
        "last",
        "deliveries",
        "counts",
        "rejected_by_code",
        "rows",
        "bytes_in",
        "bytes_out",
        "files",
        "stage_ms",
        "iterator_age_ms",
        "raw",
        "backend",
        "version",
    ]
    assert set(keys) <= set(line)
    assert (line["pipeline"], line["source"], line["source_id"], line["shard"]) == (
        "orders",
        "kinesis",
        ARN,
        "shardId-000000000006",
    )
    assert (line["first"], line["last"], line["deliveries"], line["rows"]) == (str(FIRST), str(FIRST + 2), 3, 2)
    assert line["rejected_by_code"] == {"BAD_JSON": 1}
    assert line["raw"] is False
    assert line["iterator_age_ms"] > 0
    assert CANARY not in json.dumps(line)
    assert CANARY not in json.dumps(line)


def test_the_same_event_twice_is_written_once(tmp_path):
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    for _ in range(2):
        assert handler(event(good(1), b"", good(2)), None) == {"batchItemFailures": []}
    assert ids(tmp_path / "out") == [1, 2]
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_bytes_do_what_a_dict_does(tmp_path):
    given = event(good(1), BAD, good(2))
    for name, one in (("a", given), ("b", orjson.dumps(given))):
        kinesis_handler(PIPELINE, sink=tmp_path / name, rejects=tmp_path / f"{name}-bad")(one, None)
    for left, right in (("a", "b"), ("a-bad", "b-bad")):
        assert ds.dataset(tmp_path / left).to_table().equals(ds.dataset(tmp_path / right).to_table())


def test_bad_base64_is_one_rejected_record(tmp_path):
    given = event(good(1), b"", BAD, good(4))
    given["Records"][1]["kinesis"]["data"] = f"%{CANARY}%"
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    assert handler(given, None) == {"batchItemFailures": []}
    found = ds.dataset(tmp_path / "bad").to_table().to_pylist()
    assert [(row["position"], row["code"], row["payload"], row["identity"]) for row in found] == [
        (1, "BAD_VALUE", b"%" + BAD + b"%", str(FIRST + 1)),
        (2, "BAD_JSON", BAD, str(FIRST + 2)),
    ]
    assert ids(tmp_path / "out") == [1, 4]


def test_a_sink_that_fails_sends_the_whole_batch_again(tmp_path, capsys):
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    (tmp_path / "out").write_text("in the way")
    given = event(good(1), BAD, good(2))
    with pytest.raises(RunError, match="the whole batch must come again: cannot write into"):
        handler(given, None)
    (line,) = lines(capsys)
    assert line["level"] == "ERROR"
    assert "is a file" in line["error"]
    assert line["counts"] == {"delivered": 3, "written": 0, "filtered": 0, "duplicate": 0, "rejected": 1, "failed": 2}
    (tmp_path / "out").unlink()
    assert handler(given, None) == {"batchItemFailures": []}
    assert ids(tmp_path / "out") == [1, 2]


def test_without_rejects_one_must_choose(tmp_path, capsys):
    for options in ({}, {"on_reject": "ignore"}, {"on_reject": "fail", "rejects": tmp_path / "bad"}):
        with pytest.raises(SettingsError, match="on_reject"):
            kinesis_handler(PIPELINE, sink=tmp_path / "out", **options)
    given = event(good(1), good(2), BAD, good(3))
    dropping = kinesis_handler(PIPELINE, sink=tmp_path / "dropping", on_reject="drop-and-count")
    assert dropping(given, None) == {"batchItemFailures": []}
    assert ids(tmp_path / "dropping") == [1, 2, 3]
    failing = kinesis_handler(PIPELINE, sink=tmp_path / "failing", on_reject="fail")
    assert failing(given, None) == {"batchItemFailures": [{"itemIdentifier": str(FIRST + 2)}]}
    assert ids(tmp_path / "failing") == [1, 2]
    rest = {"Records": given["Records"][2:]}
    with pytest.raises(RunError, match="a record is rejected"):
        failing(rest, None)
    assert ids(tmp_path / "failing") == [1, 2]
    counts = [line["counts"] for line in lines(capsys)]
    assert counts[0] == {"delivered": 4, "written": 3, "filtered": 0, "duplicate": 0, "rejected": 1, "failed": 0}
    assert counts[1] == {"delivered": 4, "written": 2, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 2}
    assert counts[2] == {"delivered": 2, "written": 0, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 2}


def test_shards_and_streams_are_kept_apart(tmp_path):
    other = ARN.replace("orders", "returns")
    given = {
        "Records": [
            record(good(1), 0, "shardId-000000000001"),
            record(good(2), 1, "shardId-000000000002"),
            record(good(3), 2, "shardId-000000000001"),
            record(good(4), 3, "shardId-000000000001", other),
        ]
    }
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    assert handler(given, None) == {"batchItemFailures": []}
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert ids(tmp_path / "out") == [1, 2, 3, 4]
    (tmp_path / "no").write_text("")
    handler.sink.root = tmp_path / "no"
    with pytest.raises(RunError, match="is a file"):
        handler(given, None)


def test_of_several_shards_each_goes_on_from_its_first_failure(tmp_path):
    given = {
        "Records": [
            record(good(1), 0, "shardId-000000000001"),
            record(BAD, 1, "shardId-000000000002"),
            record(BAD, 2, "shardId-000000000001"),
            record(good(4), 3, "shardId-000000000002"),
            record(good(5), 4, "shardId-000000000003"),
        ]
    }
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", on_reject="fail")
    failures = handler(given, None)["batchItemFailures"]
    assert [one["itemIdentifier"] for one in failures] == [str(FIRST + 2), str(FIRST + 1)]
    assert ids(tmp_path / "out") == [1, 5]


def test_user_records_of_an_aggregate_are_told_by_their_number(tmp_path, capsys):
    aggregate = events.kpl_aggregate([good(1), BAD, good(2), BAD])
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    assert handler(event(good(0), aggregate, BAD), None) == {"batchItemFailures": []}
    assert ids(tmp_path / "out") == [0, 1, 2]
    found = ds.dataset(tmp_path / "bad").to_table().to_pylist()
    assert [(row["identity"], row["sub"], row["payload"]) for row in found] == [
        (str(FIRST + 1), 1, BAD),
        (str(FIRST + 1), 3, BAD),
        (str(FIRST + 2), 0, BAD),
    ]
    (line,) = lines(capsys)
    assert (line["deliveries"], line["counts"]["delivered"]) == (3, 6)


def test_time_that_is_up_before_a_batch_leaves_it_whole(tmp_path, capsys):
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    with pytest.raises(RunError, match="time is up"):
        handler(event(good(1), good(2)), SimpleNamespace(get_remaining_time_in_millis=lambda: 1500))
    (line,) = lines(capsys)
    assert line["counts"] == {"delivered": 2, "written": 0, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 2}
    assert not (tmp_path / "out").exists()
    assert handler(event(good(1)), SimpleNamespace(get_remaining_time_in_millis=lambda: 9000)) == {"batchItemFailures": []}


def broken(change):
    given = event(good(1))
    change(given["Records"][0])
    return given


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"Records": []},
        {"Records": {}},
        {"Records": ["x"]},
        {"Records": [{"eventSource": "aws:sqs", "body": CANARY}]},
        {"detail-type": "Scheduled Event"},
        [],
        None,
        b"[1]",
        BAD,
        broken(lambda one: one.pop("kinesis")),
        broken(lambda one: one["kinesis"].pop("data")),
        broken(lambda one: one["kinesis"].update(sequenceNumber=7)),
        broken(lambda one: one["kinesis"].update(sequenceNumber="../../x")),
        broken(lambda one: one.update(eventID="../x:1")),
        broken(lambda one: one.pop("eventSourceARN")),
        broken(lambda one: one["kinesis"].update(approximateArrivalTimestamp="now")),
    ],
)
def test_a_foreign_event_is_refused(tmp_path, foreign):
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    with pytest.raises(UsageError, match="expected a Kinesis event") as raised:
        handler(foreign, None)
    assert CANARY not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_what_cannot_work_is_told_when_the_handler_is_made(tmp_path):
    with pytest.raises(PlanError, match="nope"):
        kinesis_handler(
            Pipeline({"id": "int64"}, output={"partition_by": ["nope"]}), sink=tmp_path / "out", rejects=tmp_path / "bad"
        )
    with pytest.raises(SettingsError, match="ftp"):
        kinesis_handler(PIPELINE, sink="ftp://host/", rejects=tmp_path / "bad")
    with pytest.raises(UsageError, match="inside the sink"):
        kinesis_handler(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "out")


def test_a_tracer_finds_a_name(tmp_path):
    handler = kinesis_handler(PIPELINE, sink=tmp_path / "out", on_reject="fail")
    assert Tracer(service="orders", disabled=True).capture_lambda_handler(handler).__name__ == "kinesis_handler"
