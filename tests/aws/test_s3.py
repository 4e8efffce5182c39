"""Objects of a real (moto) S3 through the handlers: every way of being told, every size, every fault."""

import gzip
import json
import threading
import time
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.aws import objects, ranges, s3_handler, sqs_handler
from millstream.errors import RunError, SettingsError, UsageError
from millstream.pipeline import Pipeline
from millstream.sinks.clients import client
from millstream.sinks.retry import Backoff
from tests.aws import events
from tests.aws.events import CANARY
from tests.servers import cut_short, lost_before, passes

pytestmark = pytest.mark.once

PIPELINE = Pipeline({"id": "int64", "kind": "string"}, name="orders")


def lines_of(count, first=0):
    return b"".join(b'{"id":%d,"kind":"%s"}\n' % (first + i, CANARY.encode()) for i in range(count))


def put(bucket, key, body):
    found = client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return events.Stored(key, len(body), bucket, found["ETag"].strip('"'), found.get("VersionId"))


def keys(bucket, prefix=""):
    return [one["Key"] for one in client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def body_of(bucket, key):
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def rows(bucket, prefix="out/"):
    found = []
    for key in keys(bucket, prefix):
        if key.endswith(".parquet"):
            found += pq.read_table(pa.BufferReader(body_of(bucket, key))).to_pylist()
    return found


def ids(bucket, prefix="out/"):
    return sorted(row["id"] for row in rows(bucket, prefix))


def handler_for(bucket, make=s3_handler, **more):
    options = {"sink": f"s3://{bucket}/out/", "rejects": f"s3://{bucket}/bad/"} | more
    return make(PIPELINE, **{name: value for name, value in options.items() if value is not None})


def logged(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


KEY = "in/a b+ü%2F&=1.ndjson"
WAYS = {
    "s3": lambda one: events.s3(one),
    "eventbridge": lambda one: events.s3_eventbridge(one),
    "sns": lambda one: events.s3_by_sns(one),
    "sqs": lambda one: events.s3_by_sqs(one),
    "eventbridge, sqs": lambda one: events.sqs(json.dumps(events.s3_eventbridge(one))),
    "sns, sqs": lambda one: events.sqs(events.sns_body(json.dumps(events.s3(one)))),
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_being_told_of_an_object(bucket, way, raw, capsys):
    event = WAYS[way](put(bucket, KEY, lines_of(3) + CANARY.encode() + b"\n"))
    answer = handler_for(bucket)(events.to_bytes(event) if raw else event)
    if "sqs" in way:
        assert answer == {"batchItemFailures": []}
    else:
        assert answer["counts"] == {"delivered": 4, "written": 3, "filtered": 0, "duplicate": 0, "rejected": 1, "failed": 0}
        assert (answer["source"], answer["deliveries"], answer["files_total"]) == ("s3", 1, 1)
    assert ids(bucket) == [0, 1, 2]
    (reject,) = rows(bucket, "bad/")
    assert (reject["payload"], reject["position"]) == (CANARY.encode(), 3)
    assert reject["source"].startswith(f"s3://{bucket}/{KEY}?version=")
    (line,) = logged(capsys)
    assert (line["source"], line["source_id"], line["counts"]["written"]) == ("s3", f"s3://{bucket}/{KEY}", 3)
    assert CANARY not in json.dumps(line)


def test_the_queue_handler_takes_records_and_notifications(bucket):
    one, two = (
        put(bucket, "a.json", b"[" + lines_of(2).strip().replace(b"\n", b",") + b"]"),
        put(bucket, "b.json", lines_of(1, 9)),
    )
    event = events.sqs(
        '{"id":5}', json.dumps(events.s3(one)), '{"id":6}', json.dumps(events.s3_test()), json.dumps(events.s3(two))
    )
    assert handler_for(bucket, sqs_handler)(event) == {"batchItemFailures": []}
    assert ids(bucket) == [0, 1, 5, 6, 9]


def test_told_twice_is_written_once(bucket):
    event = events.s3(put(bucket, "in.ndjson", lines_of(5)))
    handler = handler_for(bucket)
    assert handler(event)["counts"] == handler(event)["counts"]
    assert ids(bucket) == [0, 1, 2, 3, 4]
    assert len(keys(bucket, "out/")) == 1


@pytest.fixture
def small(monkeypatch):
    """Chunks and blocks of a few kilobytes."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 2048)
    monkeypatch.setattr(objects, "FILE_CHUNKS", 2)
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 3000)


@pytest.mark.parametrize("form", ["ndjson", "json", "ndjson.gz"])
def test_large_objects_come_in_chunks_that_are_always_the_same(bucket, small, form):
    text = lines_of(1000)
    if form == "json":
        text = b"[" + text.strip().replace(b"\n", b",") + b"]"
    body = gzip.compress(text) if form.endswith("gz") else text
    event = events.s3(put(bucket, f"in.{form}", body))
    report = handler_for(bucket)(event)
    assert report["counts"]["written"] == 1000
    assert report["bytes_in"] == len(body)
    assert ids(bucket) == list(range(1000))
    assert len(keys(bucket, "out/")) == report["files_total"] > 5
    names = keys(bucket, "out/")
    assert handler_for(bucket)(event)["counts"]["written"] == 1000
    assert keys(bucket, "out/") == names


def test_several_chunks_are_row_groups_of_one_file(bucket, small, monkeypatch):
    monkeypatch.setattr(objects, "FILE_CHUNKS", 5)
    pipeline = Pipeline({"id": "int64", "kind": "string"}, name="orders", output={"partition_by": ["kind"]})
    text = b"".join(b'{"id":%d,"kind":"k%d"}\n' % (i, i % 3) if i % 50 else b"x%d\n" % i for i in range(1000))
    handler = s3_handler(pipeline, sink=f"s3://{bucket}/out/", rejects=f"s3://{bucket}/bad/")
    event = events.s3(put(bucket, "in.ndjson", text))
    report = handler(event)
    assert report["counts"] == {"delivered": 1000, "written": 980, "filtered": 0, "duplicate": 0, "rejected": 20, "failed": 0}
    names = keys(bucket, "out/")
    assert len(names) == 9  # three files of each kind
    assert {name.rpartition("-")[0].rpartition("-")[2] for name in names} == {"0", "5", "10"}
    groups = [pq.ParquetFile(pa.BufferReader(body_of(bucket, name))).metadata.num_row_groups for name in names]
    assert max(groups) == 5
    assert ids(bucket) == [i for i in range(1000) if i % 50]
    rejects = rows(bucket, "bad/")
    assert len(keys(bucket, "bad/")) == 3
    assert {(row["position"], row["payload"]) for row in rejects} == {(i, b"x%d" % i) for i in range(0, 1000, 50)}
    assert handler(event)["counts"] == report["counts"]
    assert keys(bucket, "out/") == names


def test_chunks_of_a_file_that_was_not_written_are_told_as_failed(bucket, small, monkeypatch, capsys):
    monkeypatch.setattr(objects, "FILE_CHUNKS", 100)
    monkeypatch.setattr(objects, "monotonic", Ticks(4))
    event = events.s3(put(bucket, "in.ndjson", lines_of(1000)))
    with pytest.raises(RunError, match="it goes on at chunk 0"):
        handler_for(bucket)(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
    (line,) = logged(capsys)
    assert line["counts"]["failed"] == line["counts"]["delivered"] > 0
    assert keys(bucket, "out/") == []


class Ticks:
    """A clock for one handler: time is up after so many looks at it."""

    def __init__(self, looks):
        self.looks = looks

    def __call__(self):
        self.looks -= 1
        return 0.0 if self.looks >= 0 else 1e9


@pytest.mark.parametrize("form", ["ndjson", "ndjson.gz", "json"])
def test_when_time_is_up_it_goes_on_where_it_was(bucket, small, form, monkeypatch, capsys):
    text = lines_of(1000)
    if form == "json":
        text = b"[" + text.strip().replace(b"\n", b",") + b"]"
    event = events.s3(put(bucket, f"in.{form}", gzip.compress(text) if form.endswith("gz") else text))
    whole = handler_for(bucket, sink=f"s3://{bucket}/whole/")
    whole(event)
    capsys.readouterr()
    handler = handler_for(bucket)
    stops: list[str] = []
    while True:
        monkeypatch.setattr(objects, "monotonic", Ticks(5))
        try:
            report = handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
        except RunError as error:
            stops.append(str(error))
            continue
        break
    assert len(stops) >= 2
    assert all("time is up before chunk" in stop for stop in stops)
    lines = logged(capsys)
    assert sum(line["counts"]["written"] for line in lines) == 1000  # each chunk once
    assert report["counts"]["written"] < 400
    assert [key.removeprefix("out/") for key in keys(bucket, "out/")] == [
        key.removeprefix("whole/") for key in keys(bucket, "whole/")
    ]
    assert ids(bucket) == list(range(1000))


def test_an_object_of_nothing(bucket):
    report = handler_for(bucket)(events.s3(put(bucket, "in.json", b"")))
    assert report["counts"]["delivered"] == 0
    assert keys(bucket, "out/") == []


def test_a_version_is_read_though_another_is_on_top_of_it(bucket):
    client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = put(bucket, "in.json", lines_of(1, 1))
    new = put(bucket, "in.json", lines_of(1, 2))
    handler = handler_for(bucket)
    handler(events.s3(old))
    assert ids(bucket) == [1]
    handler(events.s3_eventbridge(new))
    assert ids(bucket) == [1, 2]


def test_an_object_that_was_overwritten_is_left_to_its_own_notice(bucket, capsys):
    old = put(bucket, "in.json", lines_of(1, 1))
    new = put(bucket, "in.json", lines_of(1, 2))
    handler = handler_for(bucket)
    assert handler(events.s3(old))["counts"]["delivered"] == 0
    assert "was overwritten" in capsys.readouterr().out
    handler(events.s3(new))
    assert ids(bucket) == [2]


def test_an_object_that_is_gone_comes_again(bucket):
    with pytest.raises(RunError, match=r"in\.json is not there"):
        handler_for(bucket)(events.s3(events.Stored("in.json", bucket=bucket)))
    event = events.sqs(json.dumps(events.s3(events.Stored("in.json", bucket=bucket))), '{"id":1}')
    answer = handler_for(bucket, sqs_handler)(event)
    assert answer == {"batchItemFailures": [{"itemIdentifier": events.message_id(0)}]}
    assert ids(bucket) == [1]


def test_a_read_that_fails_is_made_again(bucket, s3_faults, small):
    event = events.s3(put(bucket, "in.ndjson", lines_of(1000)))
    s3_faults.on("GetObject", lost_before, cut_short(2000), passes, lost_before, cut_short(0), cut_short(7000))
    handler = handler_for(bucket)
    report = handler(event)
    assert report["counts"]["written"] == 1000
    assert ids(bucket) == list(range(1000))
    whole = handler(event)
    assert (whole["counts"], whole["files"]) == (report["counts"], report["files"])


def test_an_object_is_one_request(bucket, s3_faults, small):
    handler = handler_for(bucket)
    event = events.s3(put(bucket, "in.ndjson", lines_of(1000)))
    s3_faults.calls.clear()
    handler(event)
    assert s3_faults.calls.count("GetObject") == 2  # and one for a note of how far it came


def test_a_read_that_fails_too_often_ends_it(bucket, s3_faults, small, monkeypatch):
    monkeypatch.setattr(ranges, "Backoff", lambda: Backoff(attempts=2, sleep=lambda seconds: None))
    event = events.s3(put(bucket, "in.ndjson", lines_of(1000)))
    s3_faults.on("GetObject", cut_short(20_000), passes, cut_short(0))  # that passes: for a note
    handler = handler_for(bucket)
    with pytest.raises(RunError, match=r"cannot read .*the connection was lost, after 2 attempts"):
        handler(event)
    before = ids(bucket)
    assert before == list(range(len(before)))
    assert 100 < len(before) < 1000
    assert handler(event)["counts"]["written"] == 1000 - len(before)  # it goes on where it was
    assert ids(bucket) == list(range(1000))
    assert ids(bucket) == list(range(1000))


def test_nobody_reads_on_when_an_object_is_left(bucket, small, monkeypatch):
    monkeypatch.setattr(ranges, "AHEAD_BYTES", 6000)
    event = events.s3(put(bucket, "in.ndjson", lines_of(3000)))
    monkeypatch.setattr(objects, "monotonic", Ticks(3))
    with pytest.raises(RunError, match="time is up before chunk"):
        handler_for(bucket)(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
    assert not [one for one in threading.enumerate() if one.name == "millstream-read"]


def test_what_would_trigger_itself_is_refused(bucket):
    for key in ("out/x.json", "bad/x.json"):
        with pytest.raises(SettingsError, match="each object would trigger the next"):
            handler_for(bucket)(events.s3(put(bucket, key, lines_of(1))))
    assert ids(bucket) == []


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("key", ["out/x.json", "bad/x.json"])
def test_of_a_queue_only_the_message_that_would_trigger_itself_comes_again(bucket, key, fifo, capsys):
    one, other = (json.dumps(events.s3(put(bucket, name, lines_of(1, i)))) for i, name in ((7, key), (8, "in/x.json")))
    bodies = ('{"id":1}', one, '{"id":2}', other)
    event = events.sqs_fifo(*zip("abcd", bodies, strict=True)) if fifo else events.sqs(*bodies)
    assert handler_for(bucket, sqs_handler)(event) == {"batchItemFailures": [{"itemIdentifier": events.message_id(1)}]}
    assert ids(bucket) == [1, 2, 8]
    (warning,) = [line["message"] for line in logged(capsys) if line["level"] == "WARNING"]
    assert warning.startswith(f"message {events.message_id(1)} must come again: ")
    assert "each object would trigger the next" in warning


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    ("groups", "bodies", "failing"),
    [
        ("aab", "!rr", "01"),
        ("aaab", "r!rr", "12"),
        ("aaab", "r!or", "12"),
        ("aaa", "oro", ""),
        ("aaaaa", "ororo", ""),
        ("aabaab", "o!rrro", "134"),
        ("aabb", "xoor", "01"),
        ("aabb", "xror", "01"),
        ("abab", "!xrr", "0123"),
        ("aaaaa", "orxor", "234"),
        ("abcabc", "rorx!o", "34"),
    ],
)
def test_nothing_behind_a_message_of_its_group_that_failed_is_written(bucket, groups, bodies, failing, raw):
    """r: a record; x: one that is rejected; o: an object; !: one that is not there."""
    bodies_of = {
        "r": lambda i: f'{{"id":{i}}}',
        "x": lambda i: CANARY,
        "o": lambda i: json.dumps(events.s3(put(bucket, f"in/{i}.ndjson", lines_of(1, i)))),
        "!": lambda i: json.dumps(events.s3(events.Stored(f"in/{i}.ndjson", 9, bucket))),
    }
    event = events.sqs_fifo(*((group, bodies_of[kind](i)) for i, (group, kind) in enumerate(zip(groups, bodies, strict=True))))
    handler = handler_for(bucket, sqs_handler, rejects=None, on_reject="fail")
    whole = len(failing) == len(groups)
    left = sorted(set(range(len(groups))) - set(map(int, failing)))
    for _ in range(2):
        if whole:
            with pytest.raises(RunError, match="the whole batch must come again"):
                handler(events.to_bytes(event) if raw else event)
        else:
            answer = handler(events.to_bytes(event) if raw else event)
            assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [
                events.message_id(int(i)) for i in failing
            ]
        assert ids(bucket) == left


@pytest.mark.parametrize("make", [s3_handler, sqs_handler])
def test_a_queue_of_nothing_but_such_messages_fails_whole(bucket, make):
    with pytest.raises(RunError, match=r"the whole batch must come again: .*each object would trigger the next"):
        handler_for(bucket, make)(events.s3_by_sqs(put(bucket, "out/x.json", lines_of(1))))


def test_a_pattern_chooses(bucket, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_FILE_PATTERN", "*.ndjson")
    handler = handler_for(bucket)
    for i, key in enumerate(("in/a.ndjson", "in/b.csv", "a.ndjson.tmp")):
        handler(events.s3(put(bucket, key, lines_of(1, i))))
    assert ids(bucket) == [0]
    monkeypatch.setenv("MILLSTREAM_FILE_PATTERN", "in/*/a.*")
    handler = handler_for(bucket)
    for i, key in enumerate(("in/x/a.json", "in/a.json"), 10):
        handler(events.s3(put(bucket, key, lines_of(1, i))))
    assert ids(bucket) == [0, 10]


def test_without_rejects_a_bad_record_has_the_object_come_again(bucket):
    handler = handler_for(bucket, rejects=None, on_reject="fail")
    with pytest.raises(RunError, match=r"a record of .* is rejected"):
        handler(events.s3(put(bucket, "in.json", lines_of(2) + CANARY.encode())))
    assert ids(bucket) == []


def test_with_a_ledger_an_object_that_was_done_is_not_read_again(bucket, table, capsys, s3_faults):
    handler = handler_for(bucket, ledger=f"dynamodb://{table}")
    stored = put(bucket, "in.json", lines_of(3))
    first = handler(events.s3(stored))
    assert [file["rows"] for file in first["files"]] == [first["rows"]] == [3]
    assert (first["files_total"], first["bytes_in"]) == (1, stored.size)
    s3_faults.calls.clear()
    report = handler(events.s3_eventbridge(stored))
    assert report["counts"] == {"delivered": 3, "written": 0, "filtered": 0, "duplicate": 3, "rejected": 0, "failed": 0}
    assert s3_faults.calls == []
    assert [line["counts"]["duplicate"] for line in logged(capsys)] == [0, 3]
    (item,) = client("dynamodb").scan(TableName=table)["Items"]
    assert item["id"]["S"].startswith("millstream#orders#")
    assert int(item["expiration"]["N"]) > time.time() + 28 * 86400
    assert CANARY not in json.dumps(item)


def test_with_a_ledger_what_failed_is_done_when_it_comes_again(bucket, table):
    handler = handler_for(bucket, ledger=f"dynamodb://{table}")
    event = events.s3(events.Stored("in.json", bucket=bucket, etag=None))
    with pytest.raises(RunError, match="is not there"):
        handler(event)
    put(bucket, "in.json", lines_of(3))
    assert handler(event)["counts"]["written"] == 3


def test_a_ledger_that_is_not_there_is_told(bucket):
    handler = handler_for(bucket, ledger="dynamodb://not-there")
    with pytest.raises(RunError, match="the ledger dynamodb://not-there cannot be used"):
        handler(events.s3(put(bucket, "in.json", lines_of(3))))


def test_no_error_tells_what_a_message_holds(bucket):
    secret = "card 4111-1111; " * 4
    removed = events.s3("x", name=secret)
    bridged = events.s3_eventbridge("x") | {"detail-type": secret}
    for event in (removed, bridged, {secret: 1}, {"Records": [{"eventSource": secret}]}):
        with pytest.raises(UsageError) as error:
            handler_for(bucket)(event)
        assert "4111" not in str(error.value)


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"Records": []},
        events.kinesis(b"{}"),
        {"detail-type": "Scheduled Event", "source": "aws.events"},
        events.s3("x", name="ObjectRemoved:Delete"),
        {"Records": [{"eventSource": "aws:s3"}]},
        [],
        CANARY.encode(),
    ],
)
def test_a_foreign_event_is_refused(bucket, foreign):
    with pytest.raises(UsageError, match="expected a notification of S3's"):
        handler_for(bucket)(foreign)
