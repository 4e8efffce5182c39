"""Rejected records through a corrected pipeline: each once, whatever is chosen first, and called what it was called."""

import base64
import datetime as dt
import gzip
import shutil

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from millstream.aws import kinesis_handler
from millstream.errors import SettingsError, SinkError, UsageError
from millstream.local.replay import Selection, replay
from millstream.local.run import run_files
from millstream.pipeline import Pipeline
from millstream.sinks.landed import check_law
from tests.aws import events

pytestmark = pytest.mark.once

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
FIRST = 49545115243490985018280067714973144582180062593244200961
OLD = Pipeline({"id": "int64", "kind": "string"}, name="orders")
NEW = Pipeline({"id": "string", "kind": "string"}, name="orders")


def event(*payloads, start=0, day=0):
    records = [
        {
            "kinesis": {
                "data": base64.b64encode(payload).decode(),
                "sequenceNumber": str(FIRST + start + n),
                "approximateArrivalTimestamp": 1428537600.123 + 86400 * day,
            },
            "eventSource": "aws:kinesis",
            "eventID": f"shardId-000000000006:{FIRST + start + n}",
            "eventSourceARN": ARN,
        }
        for n, payload in enumerate(payloads)
    ]
    return {"Records": records}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")


@pytest.fixture
def rejected(tmp_path):
    """Rejects of two batches: BAD_JSON, BAD_TYPE, BAD_JSON; BAD_TYPE a day later."""
    handler = kinesis_handler(OLD, sink=tmp_path / "out", rejects=tmp_path / "bad", ledger=ledger(tmp_path))
    handler(event(b'{"id": 1}', b"bad", b'{"id": "x2"}', b"worse"), None)
    handler(event(b'{"id": "x4"}', start=4, day=1), None)
    assert ids(tmp_path / "out") == [1]
    return tmp_path / "bad"


def ledger(folder):
    return f"sqlite://{folder}/ledger.db"


def ids(folder):
    return sorted(row["id"] for row in ds.dataset(folder).to_table().to_pylist()) if folder.exists() else []


def run(stored, folder, pipeline=NEW, selection=None, **named):
    named = {"sink": folder / "fixed", "rejects": folder / "again", "ledger": ledger(folder)} | named
    done = replay(stored, pipeline=pipeline, selection=selection, **named)
    check_law(done.report.counts)
    return done


def counts(done):
    return {name: count for name, count in done.report.counts.items() if count}


def test_each_record_is_run_once(rejected, tmp_path):
    done = run(rejected, tmp_path)
    assert (counts(done), done.error) == ({"delivered": 4, "written": 2, "rejected": 2}, None)
    assert done.report.deliveries == 4
    assert ids(tmp_path / "fixed") == ["x2", "x4"]
    (first, *rest) = sorted(ds.dataset(tmp_path / "again").to_table().to_pylist(), key=lambda row: row["identity"])
    assert (first["source"], first["identity"], first["sub"], first["payload"]) == (ARN, str(FIRST + 1), 0, b"bad")
    assert first["arrived_at"] == dt.datetime(2015, 4, 9, 0, 0, 0, 123000, dt.UTC)
    assert first["fingerprint"] == NEW.fingerprint
    assert [row["identity"] for row in rest] == [str(FIRST + 3)]
    assert {path.parent.name for path in (tmp_path / "again").rglob("*.parquet")} == {"date=2015-04-09"}
    assert counts(run(rejected, tmp_path)) == {"delivered": 4, "duplicate": 4}
    moved = tmp_path / "moved"
    shutil.copytree(rejected, moved)
    assert counts(run(moved, tmp_path)) == {"delivered": 4, "duplicate": 4}
    assert ids(tmp_path / "fixed") == ["x2", "x4"]
    assert counts(run(tmp_path / "again", tmp_path, rejects=tmp_path / "third"))["rejected"] == 2


def test_a_code_first_and_the_rest_later(rejected, tmp_path):
    done = run(rejected, tmp_path, selection=Selection.of(["BAD_TYPE"], None, None))
    assert counts(done) == {"delivered": 2, "written": 2}
    assert counts(run(rejected, tmp_path)) == {"delivered": 4, "rejected": 2, "duplicate": 2}
    assert counts(run(rejected, tmp_path, selection=Selection.of(["BAD_JSON"], None, None))) == {"delivered": 2, "duplicate": 2}
    assert ids(tmp_path / "fixed") == ["x2", "x4"]


def test_days_are_folders(rejected, tmp_path):
    chosen = Selection.of([], "2015-04-10", None)
    assert counts(run(rejected, tmp_path, selection=chosen)) == {"delivered": 1, "written": 1}
    assert counts(run(rejected, tmp_path, selection=Selection.of([], None, "2015-04-09"))) == {
        "delivered": 3,
        "written": 1,
        "rejected": 2,
    }
    assert counts(run(rejected / "date=2015-04-10", tmp_path, selection=chosen)) == {"delivered": 1, "duplicate": 1}
    (rejected / "x.parquet").write_bytes(next(rejected.rglob("*.parquet")).read_bytes())
    assert "leave --since and --until out" in str(run(rejected, tmp_path, selection=chosen).error)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((["BAD"], None, None), "code is 'BAD'.*BAD_JSON, NOT_OBJECT"),
        (([], "yesterday", None), "since is 'yesterday'; write a day"),
        (([], None, "2015-13-01"), "until is '2015-13-01'"),
    ],
)
def test_choices_that_are_none(words, says):
    with pytest.raises(SettingsError, match=says):
        Selection.of(*words)


def test_aggregates_arrays_and_compressed_payloads(tmp_path):
    corrupt = events.kpl_aggregate([b'{"id": 1}', b"bad"])
    pack = [gzip.compress(b'{"id": 2}\n{"id": 3}\n'), b'[{"id": 4}, {"id": 5}]', corrupt]
    handler = kinesis_handler(OLD, sink=tmp_path / "out", rejects=tmp_path / "bad")
    handler(event(b"none", b"none", b"none"), None)
    (stored,) = (tmp_path / "bad").rglob("*.parquet")
    table = pq.ParquetFile(stored).read()
    place = table.schema.get_field_index("payload")
    sub = table.schema.get_field_index("sub")
    table = table.set_column(place, table.schema.field(place), pa.array(pack, pa.binary()))
    table = table.set_column(sub, table.schema.field(sub), pa.array([7] * 3, pa.int32()))
    pq.write_table(table, stored)
    done = run(tmp_path / "bad", tmp_path, OLD)
    assert counts(done) == {"delivered": 6, "written": 5, "rejected": 1}
    assert done.report.deliveries == 3
    (again,) = ds.dataset(tmp_path / "again").to_table().to_pylist()
    assert (again["identity"], again["sub"], again["payload"]) == (str(FIRST + 2), 8, b"bad")
    assert counts(run(tmp_path / "bad", tmp_path, OLD)) == {"delivered": 6, "duplicate": 6}


def test_an_attempt_that_was_left_behind_is_ended(rejected, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("millstream.ledger.turn.Turn.commit", lambda turn: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(rejected, tmp_path)
    done = run(rejected, tmp_path)
    assert sum(done.report.counts.values()) == 8
    assert done.error is None
    assert ids(tmp_path / "fixed") == ["x2", "x4"]
    again = ds.dataset(tmp_path / "again").to_table().to_pylist()
    assert sorted(row["identity"] for row in again) == [str(FIRST + 1), str(FIRST + 3)]


def test_rejects_of_an_attempt_under_way_wait(tmp_path, monkeypatch):
    handler = kinesis_handler(OLD, sink=tmp_path / "out", rejects=tmp_path / "bad", ledger=ledger(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("millstream.ledger.turn.Turn.commit", lambda turn: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            handler(event(b'{"id": "x"}', b'{"id": 1}'), None)
    next((tmp_path / "out").glob("*.parquet")).unlink()  # so that it is dead, not committed, when the batch comes again
    done = run(tmp_path / "bad", tmp_path)
    assert counts(done) == {}
    assert "the attempt that wrote it is under way" in str(done.error)
    kinesis_handler(OLD, sink=tmp_path / "out", rejects=tmp_path / "bad", ledger=ledger(tmp_path))(
        event(b'{"id": "x"}', b'{"id": 1}', b'{"id": 2}'), None
    )
    assert len(list((tmp_path / "bad").rglob("*.parquet"))) == 2  # one is a claim
    done = run(tmp_path / "bad", tmp_path)
    assert (counts(done), done.error) == ({"delivered": 1, "written": 1}, None)
    assert ids(tmp_path / "fixed") == ["x"]


def test_what_is_no_rejects_object_keeps_no_other_from_being_run(rejected, tmp_path):
    pq.write_table(pa.table({"a": [1]}), rejected / "foreign.parquet")
    (rejected / "broken.parquet").write_bytes(b"PAR1")
    stored = pq.ParquetFile(next(rejected.rglob("date=2015-04-09/*.parquet"))).read()
    for name, column, values in (
        ("csv", "format", ["csv"] * 3),
        ("mixed", "source", ["a", "b", "b"]),
        ("typed", "position", ["a", "b", "c"]),
        ("lost", "payload", [None] * 3),
    ):
        place = stored.schema.get_field_index(column)
        pq.write_table(stored.set_column(place, column, pa.array(values)), rejected / f"{name}.parquet")
    done = run(rejected, tmp_path)
    assert ids(tmp_path / "fixed") == ["x2", "x4"]
    told = {one.url.rpartition("/")[2]: one.why for one in done.problems}
    assert "has no column position" in told["foreign.parquet"]
    assert "no Parquet file" in told["broken.parquet"]
    assert "'csv'" in told["csv.parquet"]
    assert "several sources" in told["mixed.parquet"]
    assert "other types" in told["typed.parquet"]
    assert "without their bytes" in told["lost.parquet"]
    assert counts(done) == {"delivered": 7, "written": 2, "rejected": 2, "failed": 3}
    assert "7 of the objects" in str(done.error)
    assert "and 2 more" in str(done.error)


def test_places_that_lie_in_each_other_are_refused(rejected, tmp_path):
    for named in (
        {"rejects": rejected / "again"},
        {"sink": rejected / "out", "rejects": tmp_path / "x"},
        {"rejects": tmp_path},
    ):
        with pytest.raises(UsageError, match="inside"):
            run(rejected, tmp_path, **named)
    with pytest.raises(UsageError, match="is not there"):
        run(tmp_path / "none", tmp_path)
    with pytest.raises(UsageError, match="holds no rejects"):
        run(_empty(tmp_path), tmp_path)
    with pytest.raises(UsageError, match="is a queue"):
        run("sqs+https://sqs.us-east-1.amazonaws.com/1/q", tmp_path)


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_rejects_of_a_run_over_files(tmp_path):
    (tmp_path / "in.ndjson").write_text('{"id": 1}\nbad\n{"id": "x"}\n')
    run_files(OLD, tmp_path / "in.ndjson", sink=tmp_path / "out", rejects=tmp_path / "bad")
    done = run(tmp_path / "bad", tmp_path)
    assert counts(done) == {"delivered": 2, "written": 1, "rejected": 1}
    (again,) = ds.dataset(tmp_path / "again").to_table().to_pylist()
    assert again["source"] == (tmp_path / "in.ndjson").as_uri()


def test_in_s3_and_dynamodb(bucket, table):
    urls = {"sink": f"s3://{bucket}/out/", "rejects": f"s3://{bucket}/bad/", "ledger": f"dynamodb://{table}"}
    kinesis_handler(OLD, **urls)(event(b'{"id": 1}', b"bad", b'{"id": "x"}'), None)
    urls["rejects"] = f"s3://{bucket}/again/"
    for expected in ({"delivered": 2, "written": 1, "rejected": 1}, {"delivered": 2, "duplicate": 2}):
        done = replay(f"s3://{bucket}/bad/", pipeline=NEW, **urls)
        assert (counts(done), done.error) == (expected, None)


def test_files_that_were_done_are_not_read_again(tmp_path):
    (tmp_path / "a.ndjson").write_text('{"id": 1}\n{"id": 2}\nbad\n' * 100)
    (tmp_path / "b.ndjson").write_text('{"id": 3}\n')
    (tmp_path / "c.ndjson").write_text("\n")

    def again(*names, **named):
        return run_files(
            OLD, [tmp_path / name for name in names], sink=tmp_path / "out", ledger=ledger(tmp_path), chunk_bytes=64, **named
        )

    assert again("a.ndjson", jobs=2).counts["written"] == 200
    (tmp_path / "out").rename(tmp_path / "compacted")
    report = again("a.ndjson", "b.ndjson", "c.ndjson", "a.ndjson")
    assert report.counts == {"delivered": 301, "written": 1, "filtered": 0, "duplicate": 300, "rejected": 0, "failed": 0}
    assert report.deliveries == 3
    assert ids(tmp_path / "out") == [3]
    assert again("b.ndjson", "c.ndjson", jobs=3).counts["duplicate"] == 1
    assert again("b.ndjson", namespace="other").counts["written"] == 1
    (tmp_path / "b.ndjson").write_text('{"id": 3}\n{"id": 4}\n')
    assert again("b.ndjson").counts["written"] == 2


def test_a_file_that_failed_is_read_again(tmp_path):
    (tmp_path / "a.ndjson").write_text('{"id": 1}\n')
    (tmp_path / "out").write_text("in the way")
    options = {"sink": tmp_path / "out" / "x", "ledger": ledger(tmp_path)}
    with pytest.raises(SinkError):
        run_files(OLD, tmp_path / "a.ndjson", **options)
    (tmp_path / "out").unlink()
    assert run_files(OLD, tmp_path / "a.ndjson", **options).counts["written"] == 1
