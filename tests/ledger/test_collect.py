"""What attempts leave behind: found, kept while a writer could live, collected after."""

import base64
import json
import os
import time

import pyarrow.dataset as ds
import pytest

from millstream import clock
from millstream.aws import kinesis_handler
from millstream.errors import LedgerError, UsageError
from millstream.ledger.collect import collect, seconds_of
from millstream.ledger.item import Item, Shard
from millstream.ledger.names import is_ours, parse
from millstream.ledger.table import open_table
from millstream.ledger.turn import Ledger
from millstream.pipeline import Pipeline
from millstream.sinks.clients import client
from millstream.sinks.rejects import open_rejects
from millstream.sinks.store import open_store

pytestmark = pytest.mark.once

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
SHARD = "shardId-000000000006"
FIRST = 49545115243490985018280067714973144582180062593244200961
PIPELINE = Pipeline({"id": "int64"}, name="orders")
DAY = 86400


def event(*ids, start=0, bad=()):
    def record(i, n):
        sequence = str(FIRST + n)
        data = b"bad" if i in bad else json.dumps({"id": i}).encode()
        return {
            "kinesis": {
                "data": base64.b64encode(data).decode(),
                "sequenceNumber": sequence,
                "approximateArrivalTimestamp": 1428537600.1,
            },
            "eventSource": "aws:kinesis",
            "eventID": f"{SHARD}:{sequence}",
            "eventSourceARN": ARN,
        }

    return {"Records": [record(i, start + n) for n, i in enumerate(ids)]}


class Later:
    """The machine's clock, so many seconds on."""

    def __init__(self, source, seconds):
        self._source, self._seconds = source, seconds

    def __getattr__(self, name):
        return getattr(self._source, name)

    def now(self):
        return self._source.now() + self._seconds


@pytest.fixture
def later(monkeypatch):
    """Have so many seconds gone by."""
    return lambda seconds: monkeypatch.setattr(clock, "source", Later(clock.source, seconds))


class Place:
    """A sink, its rejects and its ledger."""

    def __init__(self, sink, rejects, table):
        self.sink, self.rejects, self.table = sink, rejects, table

    def handler(self, pipeline=PIPELINE):
        return kinesis_handler(pipeline, sink=self.sink, rejects=self.rejects, ledger=self.table)

    def ledger(self, pipeline=PIPELINE, namespace="main"):
        sink = open_store(self.sink, "sink")
        rejects = open_rejects(self.rejects, "rejects", sink)
        by = dict(pipeline.output or {}).get("partition_by", ())
        return Ledger.of(open_table(self.table), namespace, pipeline, by, sink, rejects)

    def item(self):
        ledger = self.ledger()
        shard = Shard("main", "orders", ledger.sink.url, ARN, SHARD)
        return ledger.table.read(shard.id, float("inf"))

    def names(self):
        return [one.name for one in self.ledger().sink.listed(float("inf")) if not one.name.startswith("_")]

    def abandon(self, monkeypatch, start, *ids, bad=(), puts=False):
        """An attempt whose function is gone before its rows are written, or before it is committed."""
        with monkeypatch.context() as patch:
            if puts:
                patch.setattr("millstream.ledger.turn.Turn.commit", _gone)
            else:
                patch.setattr("millstream.aws.handler.land", _gone)
            with pytest.raises(SystemExit):
                self.handler()(event(*ids, start=start, bad=bad), None)


def _gone(*_, **__):
    raise SystemExit


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    return Place(tmp_path / "out", tmp_path / "bad", f"sqlite://{tmp_path}/ledger.db")


@pytest.fixture
def in_aws(bucket, table, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    return Place(f"s3://{bucket}/out/", f"s3://{bucket}/bad/", f"dynamodb://{table}")


def counts(found):
    return {kind: len(entries) for kind, entries in found.found.items() if entries}


def ids(folder):
    return sorted(row["id"] for row in ds.dataset(folder, exclude_invalid_files=True).to_table().to_pylist())


def test_a_sink_that_nothing_was_left_in(place):
    place.handler()(event(1, 2, bad=[2]), None)
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert (counts(found), found.young, found.error) == ({}, 0, None)
    assert "nothing is left behind" in found.render()
    assert found.objects == 3  # rows, rejects, the item's mark


def test_claims_stay_while_their_writer_could_live(place, monkeypatch, later):
    place.handler()(event(0), None)
    place.abandon(monkeypatch, 1, 1, 2)
    place.handler()(event(1, 2, 3, start=1), None)
    assert len(place.names()) == 3
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert (counts(found), found.young) == ({}, 1)
    later(DAY + 60)
    found = collect(place.ledger(), older_than=DAY)
    assert counts(found) == {"claims": 1}
    assert "dry run" in found.render()
    assert len(place.names()) == 3
    found = collect(place.ledger(), older_than=DAY, delete=True)
    (claim,) = found.found["claims"]
    assert claim.done
    assert "-a2-0000.parquet" in claim.name
    assert "claims: 1, " in found.render()
    assert "bytes, 1 collected" in found.render()
    assert len(place.names()) == 2
    assert ids(place.sink) == [0, 1, 2, 3]
    assert counts(collect(place.ledger(), older_than=DAY, delete=True)) == {}


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_claims_of_json_in_a_folder(place, monkeypatch, later, form):
    pipeline = Pipeline({"id": "int64"}, name="orders", output={"format": form})
    place.handler = lambda: kinesis_handler(pipeline, sink=place.sink, rejects=place.rejects, ledger=place.table)
    place.abandon(monkeypatch, 0, 1)
    place.handler()(event(1, 2), None)
    later(DAY + 60)
    found = collect(place.ledger(pipeline), older_than=DAY, delete=True)
    assert counts(found) == {"claims": 1}
    assert [name.rpartition("-a")[2] for name in place.names()] == [f"2-0000.{form}"]


def test_an_attempt_without_rows_is_ended_and_dropped(place, monkeypatch, later):
    place.handler()(event(0), None)
    place.abandon(monkeypatch, 1, 1, 2, 3, bad=[3])
    assert counts(collect(place.ledger(), older_than=DAY, delete=True)) == {}
    later(2 * DAY)
    found = collect(place.ledger(), older_than=DAY)
    assert counts(found) == {"attempts": 1}
    assert place.item().intent is not None
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert counts(found) == {"attempts": 1}
    item = place.item()
    assert (item.intent, item.committed, item.attempt) == (None, str(FIRST), 2)
    assert len(place.names()) == 2  # its claim is young
    assert place.handler()(event(1, 2, 3, start=1, bad=[3]), None) == {"batchItemFailures": []}
    assert ids(place.sink) == [0, 1, 2]
    assert place.item().attempt == 3


def test_an_attempt_whose_rows_are_all_there_is_committed(place, monkeypatch, later):
    place.abandon(monkeypatch, 0, 1, 2, bad=[2], puts=True)
    later(2 * DAY)
    assert counts(collect(place.ledger(), older_than=DAY, delete=True)) == {"attempts": 1}
    assert (place.item().intent, place.item().committed) == (None, str(FIRST + 1))
    assert ids(place.sink) == [1]
    assert place.handler()(event(1, 2, bad=[2]), None) == {"batchItemFailures": []}
    assert ids(place.sink) == [1]


def test_claims_of_the_attempt_under_way_stay(place, monkeypatch, later):
    place.abandon(monkeypatch, 0, 1)
    ledger = place.ledger()
    item = place.item()
    shard = Shard("main", "orders", ledger.sink.url, ARN, SHARD)
    for names in ledger.names_of(shard, item.intent, float("inf")):
        names.claim(float("inf"))
    for path in place.sink.iterdir():
        os.utime(path, (time.time() - 3 * DAY,) * 2)
    assert counts(collect(place.ledger(), older_than=DAY, delete=True)) == {}
    assert len(place.names()) == 1


def test_what_is_not_ours_is_not_touched(place, later):
    place.handler()(event(1), None)
    base = f"00000000-{SHARD}-1-2-a1-0000"
    others = [
        f"{base}.parquet",
        f"{base}.csv",
        "x.parquet",
        "_SUCCESS",
        "_millstream-manifest-x.json",
        ".millstream-x.tmp",
        ".hidden",
    ]
    for name in others:
        (place.sink / name).write_bytes(b"")
    later(9 * DAY)
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert counts(found) == {}
    assert {one.name for one in place.sink.iterdir()} >= set(others)


def test_lists_and_half_written_files_of_nobody(place, later):
    place.handler()(event(1), None)
    left = [f"_millstream-manifest-{'0' * 32}", f".millstream-{'0' * 32}.tmp"]
    for name in left:
        (place.sink / name).write_text("[]")
    assert collect(place.ledger(), older_than=DAY, delete=True).young == 2
    later(2 * DAY)
    assert counts(collect(place.ledger(), older_than=DAY, delete=True)) == {"manifests": 1, "unfinished": 1}
    assert not {one.name for one in place.sink.iterdir()} & set(left)


def test_the_list_of_an_attempt_under_way_stays(place, monkeypatch, later):
    monkeypatch.setattr("millstream.ledger.turn.LISTED_FOLDERS", 0)
    place.abandon(monkeypatch, 0, 1)
    later(2 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr("millstream.ledger.turn.Turn.resolve", lambda turn: (_ for _ in ()).throw(LedgerError("not now")))
        found = collect(place.ledger(), older_than=DAY, delete=True)
    assert "not now" in str(found.error)
    assert counts(found) == {"attempts": 1}
    assert counts(collect(place.ledger(), older_than=DAY, delete=True)) == {"attempts": 1}
    assert [one.name for one in place.sink.iterdir() if "manifest" in one.name] == []


def doubled(place, monkeypatch):
    """The rows of an attempt that was declared dead, written after its claim was removed: what must not happen."""
    place.handler()(event(0), None)
    kept = {}
    place.abandon(monkeypatch, 1, 1, 2, puts=True)
    (dead,) = (path for path in place.sink.iterdir() if "-a2-" in path.name)
    kept[dead] = dead.read_bytes()
    dead.unlink()
    place.handler()(event(1, 2, 3, start=1), None)
    dead.write_bytes(kept[dead])
    assert ids(place.sink) == [0, 1, 1, 2, 2, 3]


def test_rows_that_are_there_twice_are_told_and_collected(place, monkeypatch, later):
    doubled(place, monkeypatch)
    later(2 * DAY)
    found = collect(place.ledger(), older_than=DAY)
    assert counts(found) == {"doubled": 1}
    assert "in the sink twice" in str(found.error)
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert (counts(found), found.error) == ({"doubled": 1}, None)
    assert ids(place.sink) == [0, 1, 2, 3]


def test_rows_of_another_namespace_are_of_no_concern(place, monkeypatch, later):
    place.handler()(event(0, 1), None)
    place.handler()(event(2, start=2), None)
    monkeypatch.setenv("MILLSTREAM_NAMESPACE", "again")
    place.handler()(event(0, start=0), None)
    assert ids(place.sink) == [0, 0, 1, 2]
    place.handler()(event(1, start=1), None)
    later(2 * DAY)
    for namespace in ("main", "again"):
        found = collect(place.ledger(namespace=namespace), older_than=DAY, delete=True)
        assert counts(found) == {}
    assert ids(place.sink) == [0, 0, 1, 1, 2]


def test_a_lost_item_is_told(place, tmp_path, later):
    place.handler()(event(1), None)
    (tmp_path / "ledger.db").unlink()
    later(2 * DAY)
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert counts(found) == {"lost": 1}
    assert "lost items, 1 in all" in str(found.error)
    assert [one for one in place.sink.iterdir() if one.name.startswith("_millstream-ledger-")]


def test_items_of_closed_shards_go_with_their_marks(place, monkeypatch):
    place.handler()(event(1), None)
    open_ = lambda stream: {SHARD}  # noqa: E731
    assert counts(collect(place.ledger(), older_than=DAY, delete=True, closed=True, shards_of=open_)) == {}
    gone = lambda stream: {"shardId-000000000007"}  # noqa: E731
    found = collect(place.ledger(), older_than=DAY, closed=True, shards_of=gone)
    assert counts(found) == {"shards": 1}
    assert place.item().version
    # A process that ends in between leaves an item without a mark, which is found again.
    with monkeypatch.context() as patch:
        patch.setattr("millstream.ledger.sqlite.SqliteTable.remove", _gone)
        with pytest.raises(SystemExit):
            collect(place.ledger(), older_than=DAY, delete=True, closed=True, shards_of=gone)
    # Somebody who works on it keeps it, and its mark comes back.
    with monkeypatch.context() as patch:
        patch.setattr("millstream.ledger.sqlite.SqliteTable.remove", lambda *_: False)
        place.ledger().sink.replace(place_marker(place), b'{"ledger": "x", "id": "y"}', float("inf"))
        found = collect(place.ledger(), older_than=DAY, delete=True, closed=True, shards_of=gone)
    assert "somebody works on" in str(found.error)
    assert (place.sink / place_marker(place)).exists()
    found = collect(place.ledger(), older_than=DAY, delete=True, closed=True, shards_of=gone)
    assert (counts(found), found.error) == ({"shards": 1}, None)
    assert place.item() == Item()
    assert not (place.sink / place_marker(place)).exists()


def place_marker(place):
    return Shard("main", "orders", place.ledger().sink.url, ARN, SHARD).marker


def test_in_s3_and_dynamodb(in_aws, bucket, monkeypatch, later):
    place = in_aws
    place.handler()(event(0), None)
    place.abandon(monkeypatch, 1, 1, 2, bad=[2])
    place.handler()(event(1, 2, 3, start=1, bad=[2]), None)
    place.abandon(monkeypatch, 4, 4)
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert (counts(found), found.young) == ({}, 3)  # two claims, an attempt
    s3 = client("s3")
    ours = f"out/{place.names()[0].replace('-a1-', '-a9-')}"
    for key in (ours, "out/others.bin", "elsewhere/x"):
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    later(2 * DAY)
    found = collect(place.ledger(), older_than=DAY, delete=True)
    assert found.error is None
    assert counts(found) == {"claims": 2, "attempts": 1, "unfinished": 1}
    assert found.young == 1  # the claim of the attempt that was ended
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert sorted(one["Key"] for one in uploads) == ["elsewhere/x", "out/others.bin"]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sum("millstream-claim" in s3.head_object(Bucket=bucket, Key=key)["Metadata"] for key in keys) == 1
    assert len(keys) == 5
    assert place.item().intent is None


def test_shards_of_a_stream_are_asked_for(in_aws):
    place = in_aws
    place.handler()(event(1), None)
    found = collect(place.ledger(), older_than=DAY, delete=True, closed=True)
    assert counts(found) == {}
    assert "cannot ask for the shards of arn:aws:kinesis" in str(found.error)
    client("kinesis").create_stream(StreamName="orders", ShardCount=1)
    found = collect(place.ledger(), older_than=DAY, delete=True, closed=True)
    client("kinesis").delete_stream(StreamName="orders")
    assert (counts(found), found.error) == ({"shards": 1}, None)
    assert place.item() == Item()


def test_a_limit_that_a_writer_could_outlive_is_refused(place):
    with pytest.raises(UsageError, match="older-than is 30m; write 1h or more"):
        collect(place.ledger(), older_than=1800)
    assert [seconds_of(one) for one in ("90m", "24h", "7d", "3600s")] == [5400, DAY, 7 * DAY, 3600]
    for wrong in ("", "24", "h", "-1h", "1.5h", "²h"):
        with pytest.raises(UsageError, match="older-than is"):
            seconds_of(wrong)


@pytest.mark.parametrize(
    ("name", "rejects", "told"),
    [
        (f"k=a/0123abcd-{SHARD}-1-20-a3-0000.parquet", False, (SHARD, 1, 20, 3)),
        ("0123abcd-00ff-BAD_JSON-1-2-a1-0000.json", False, ("00ff-BAD_JSON", 1, 2, 1)),
        (f"date=2026-01-01/0123abcd-{SHARD}-1-20-a3.parquet", True, (SHARD, 1, 20, 3)),
        (f"0123abcd-{SHARD}-1-20-a3-0000.parquet", True, None),
        (f"0123abcd-{SHARD}-1-20-a3.parquet", False, None),
        (f"0123abcd-{SHARD}-01-20-a3-0000.parquet", False, None),
        (f"0123abcd-{SHARD}-1-20-a0-0000.parquet", False, None),
        (f"0123ABCD-{SHARD}-1-20-a3-0000.parquet", False, None),
        (f"0123abcd-{SHARD}-1-20-0000.parquet", False, None),
        (f"0123abcd-{SHARD}-1-20-a3-0001.parquet", False, None),
        (f"x0123abcd-{SHARD}-1-20-a3-0000.parquet", False, None),
    ],
)
def test_names(name, rejects, told):
    found = parse(name, rejects=rejects)
    assert (found if found is None else (found.shard, found.first, found.last, found.attempt)) == told
    assert is_ours(name, rejects=rejects) == (told is not None)
