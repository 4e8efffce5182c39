"""Pipelines over files: what comes out, what is rejected, and that running again changes nothing."""

import datetime as dt
import gzip
import hashlib
import json
import os
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from millstream.errors import PlanError, SettingsError, SinkError, UsageError
from millstream.local.run import attempt, run_files
from millstream.pipeline import Pipeline

SCHEMA = {"id": "int64", "kind": "string", "price": "float64", "at": "timestamp[us, UTC]"}


def pipeline(**output):
    return Pipeline(SCHEMA, name="orders", output=output)


def record(i):
    return {"id": i, "kind": f"k{i % 3}" if i % 7 else None, "price": i / 4, "at": f"2026-11-{1 + i % 28:02}T00:00:00Z"}


RECORDS = [record(i) for i in range(1000)]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "in" / "orders.ndjson"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    os.utime(path, ns=(0, 1_700_000_000_123_000_000))  # 2023-11-14T22:13:20.123Z
    return path


def tree(folder):
    """Every file under a folder, with the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(folder):
    table = ds.dataset(folder, partitioning="hive").to_table()
    return sorted(table.to_pylist(), key=lambda row: row["id"])


def test_every_record_is_written_once(tmp_path, lines):
    report = run_files(pipeline(partition_by=["kind"]), [lines], sink=tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [(row["id"], row["kind"], row["price"]) for row in found] == [
        (one["id"], one["kind"], one["price"]) for one in RECORDS
    ]
    identity = hashlib.sha256(f"{lines.resolve()}\0{lines.stat().st_size}\0{lines.stat().st_mtime_ns}".encode()).hexdigest()[
        :32
    ]
    names = [f"kind={kind}/{identity}-0-0000.parquet" for kind in ("__HIVE_DEFAULT_PARTITION__", "k0", "k1", "k2")]
    assert list(tree(tmp_path / "out")) == names
    assert not (tmp_path / "out-rejects").exists()
    metadata = pq.read_metadata(tmp_path / "out" / names[1]).metadata
    assert metadata[b"millstream.fingerprint"].decode() == report.fingerprint
    assert metadata[b"millstream.source"] == b"0+1000"
    told = report.to_dict()
    assert " ".join(told) == (
        "version pipeline fingerprint source counts deliveries rows rejected_by_code bytes_in bytes_out seconds"
        " files files_total remaining"
    )
    assert told["counts"] == {"delivered": 1000, "written": 1000, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 0}
    assert (told["pipeline"], told["source"], told["deliveries"], told["rows"], told["files_total"]) == (
        "orders",
        "file",
        1,
        1000,
        4,
    )
    assert told["bytes_in"] == lines.stat().st_size
    assert told["bytes_out"] == sum(one["bytes"] for one in told["files"])
    assert "written   1,000" in report.render()
    assert "first rows:" in report.render()


def test_threads_and_repeats_change_nothing(tmp_path, lines):
    (lines.parent / "more.json.gz").write_bytes(gzip.compress(json.dumps(RECORDS[::-1]).encode()))
    (lines.parent / "bad.json").write_text('[{"id": 1}, {"id": "x"}, {"id": 2}] garbage')
    made = pipeline(partition_by=["kind"])
    reports = [
        run_files(made, [lines.parent], sink=tmp_path / f"out{jobs}", jobs=jobs, chunk_bytes=5000).to_dict()
        for jobs in (1, 2, 5)
    ]
    for jobs in (2, 5):
        assert tree(tmp_path / f"out{jobs}") == tree(tmp_path / "out1")
        assert tree(tmp_path / f"out{jobs}-rejects") == tree(tmp_path / "out1-rejects")
    before = tree(tmp_path / "out1")
    again = run_files(made, [lines.parent], sink=tmp_path / "out1", jobs=2, chunk_bytes=5000).to_dict()
    assert tree(tmp_path / "out1") == before
    for one in (*reports, again):
        assert one["counts"] == {"delivered": 2004, "written": 2002, "filtered": 0, "duplicate": 0, "rejected": 2, "failed": 0}
        assert one["rejected_by_code"] == {"BAD_JSON": 1, "BAD_TYPE": 1}
        assert [os.path.relpath(file["url"], tmp_path)[5:] for file in one["files"]] == [
            os.path.relpath(file["url"], tmp_path)[5:] for file in reports[0]["files"]
        ]


def test_rejects_tell_what_it_takes_to_send_them_again(tmp_path, lines):
    lines.write_text('{"id": 1}\n\nnot json\n{"id": 2, "price": "free"}\n{"id": 3}\n')
    os.utime(lines, ns=(0, 1_700_000_000_123_000_000))
    made = pipeline()
    report = run_files(made, [lines], sink=tmp_path / "out", rejects=tmp_path / "bad")
    assert report.rejected_by_code == {"BAD_JSON": 1, "BAD_TYPE": 1}
    (name,) = tree(tmp_path / "bad")
    assert name.startswith("date=2023-11-14/")
    assert name.endswith("-0.parquet")
    found = pq.ParquetFile(tmp_path / "bad" / name).read().to_pylist()
    assert [(row["position"], row["code"], row["column"], row["payload"]) for row in found] == [
        (1, "BAD_JSON", None, b"not json"),
        (2, "BAD_TYPE", "price", b'{"id": 2, "price": "free"}'),
    ]
    assert {row["source"] for row in found} == {lines.resolve().as_uri()}
    assert {row["fingerprint"] for row in found} == {made.fingerprint}
    assert found[0]["arrived_at"] == dt.datetime(2023, 11, 14, 22, 13, 20, 123000, dt.UTC)
    assert found[0]["identity"] + ".parquet" == name.rpartition("/")[2]
    assert (found[0]["sub"], found[0]["format"], found[0]["context"]) == (0, "json", None)
    assert "free" not in "".join(row["message"] for row in found)


def test_a_value_that_cannot_name_a_folder_rejects_its_record(tmp_path, lines):
    kinds = ["a", "", "b", "__HIVE_DEFAULT_PARTITION__", "x" * 251, "a", None]
    lines.write_text("".join(json.dumps({"id": i, "kind": kind}) + "\n" for i, kind in enumerate(kinds)))
    report = run_files(pipeline(partition_by=["kind"]), lines, sink=tmp_path / "out")
    assert report.counts == {"delivered": 7, "written": 4, "filtered": 0, "duplicate": 0, "rejected": 3, "failed": 0}
    assert [row["id"] for row in rows(tmp_path / "out")] == [0, 2, 5, 6]
    found = ds.dataset(tmp_path / "out-rejects").to_table().to_pylist()
    assert [(row["position"], row["code"], row["column"]) for row in found] == [(i, "BAD_PARTITION", "kind") for i in (1, 3, 4)]
    assert json.loads(found[0]["payload"]) == {"id": 1, "kind": ""}


def test_readers_give_partition_values_back(tmp_path, lines):
    """pyarrow, Polars and DuckDB on values that need encoding."""
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    kinds = ["..", "a/b", "a=b", "100%", "%2F", "ü🌿", "x y", "k'\"", "+", "&?#", "C:\\x", None]
    lines.write_text("".join(json.dumps({"id": i, "kind": kind}) + "\n" for i, kind in enumerate(kinds)))
    run_files(pipeline(partition_by=["kind"]), lines, sink=tmp_path / "out")
    assert [row["kind"] for row in rows(tmp_path / "out")] == kinds
    frame = polars.read_parquet(tmp_path / "out" / "**/*.parquet", hive_partitioning=True).sort("id")
    assert frame["kind"].to_list() == kinds
    query = f"select kind from read_parquet('{tmp_path}/out/**/*.parquet', hive_partitioning = true) order by id"
    assert [row[0] for row in duckdb.sql(query).fetchall()] == kinds


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_json_output(tmp_path, lines, form):
    run_files(pipeline(format=form, partition_by=["kind"]), lines, sink=tmp_path / "out", chunk_bytes=20_000)
    found = []
    for name in tree(tmp_path / "out"):
        assert name.endswith(f"-0000.{form}")
        text = (tmp_path / "out" / name).read_text()
        found += json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
    found.sort(key=lambda row: row["id"])
    assert found == [{"id": one["id"], "price": one["price"], "at": one["at"]} for one in RECORDS]


def test_another_pipeline_does_not_replace_what_stands_there(tmp_path, lines):
    run_files(pipeline(), lines, sink=tmp_path / "out")
    before = tree(tmp_path / "out")
    other = Pipeline(SCHEMA | {"extra": "string"}, name="orders")
    with pytest.raises(SinkError, match=r"another object: its pipeline is .*, this one is") as raised:
        run_files(other, lines, sink=tmp_path / "out")
    assert other.fingerprint in str(raised.value)
    assert pipeline().fingerprint in str(raised.value)
    assert tree(tmp_path / "out") == before
    report, error = attempt(other, [lines], sink=tmp_path / "out")
    assert isinstance(error, SinkError)
    assert report.counts == {"delivered": 1000, "written": 0, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 1000}


def test_rejects_that_cannot_be_kept_are_failed_and_nothing_else_is_written(tmp_path, lines):
    lines.write_text('{"id": 1}\nbad\n')
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "date=1970-01-01").write_text("in the way")
    os.utime(lines, ns=(0, 0))
    report, error = attempt(pipeline(), [lines], sink=tmp_path / "out", rejects=tmp_path / "bad")
    assert isinstance(error, SinkError)
    assert report.counts == {"delivered": 2, "written": 0, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 2}
    assert report.rejected_by_code == {}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("int64", ["-5", "0", "9007199254740993"]),
        ("bool", ["true", "false"]),
        ("date32", ['"2026-11-23"', '"1969-12-31"']),
        ("timestamp[s]", ['"2026-11-23T15:04:05Z"']),
        ("timestamp[us, UTC]", ['"2026-11-23T15:04:05.000001Z"', '"1969-12-31T23:59:59Z"']),
    ],
)
def test_typed_partitions_read_back(tmp_path, lines, kind, texts):
    """With the column's type given, pyarrow has the same values as without partitions."""
    lines.write_text("".join(f'{{"id": {i}, "k": {text}}}\n' for i, text in enumerate([*texts, "null"])))
    schema = {"id": "int64", "k": kind}
    run_files(Pipeline(schema), lines, sink=tmp_path / "flat")
    run_files(Pipeline(schema, output={"partition_by": ["k"]}), lines, sink=tmp_path / "out")
    flat = ds.dataset(tmp_path / "flat").to_table()
    by = ds.partitioning(pa.schema([("k", Pipeline(schema).plan().schema.field("k").type)]), flavor="hive")
    found = ds.dataset(tmp_path / "out", partitioning=by).to_table().sort_by("id")
    assert found["k"].to_pylist() == flat["k"].to_pylist()
    duckdb = pytest.importorskip("duckdb")
    query = f"select id, k from read_parquet('{tmp_path}/out/**/*.parquet', hive_partitioning = true) order by id"
    rows = duckdb.sql(query).fetchall()
    assert [row[1] is None for row in rows] == [one is None for one in flat["k"].to_pylist()]


def test_an_empty_file_is_a_run_of_no_records(tmp_path, lines):
    lines.write_text("\n \n")
    report = run_files(pipeline(), lines, sink=tmp_path / "out")
    assert report.counts["delivered"] == 0
    assert report.to_dict()["files"] == []
    assert report.render()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"format": "xml"}, "format is 'xml'; write one of auto, json, ndjson, concatenated, csv"),
        ({"compression": "rar"}, "compression is 'rar'; write one of"),
        ({"max_ratio": 0}, "max_ratio is 0; write a whole number from 1"),
        ({"max_bytes": "1 GB"}, "max_bytes is '1 GB'"),
        ({"max_record": 1}, "no key 'max_record'; there are format, compression, max_record_bytes, max_bytes, max_ratio"),
    ],
)
def test_input_settings_that_cannot_be(setting, message):
    with pytest.raises(PlanError) as raised:
        Pipeline(SCHEMA, input=setting)
    assert message in str(raised.value)


def test_input_settings_are_kept(tmp_path, lines):
    records = [json.dumps(one).encode() for one in RECORDS]
    lines.write_bytes(gzip.compress(b"".join(records)))
    limit = sorted(map(len, records[:200]))[100]
    settings = {"format": "concatenated", "compression": "gzip", "max_record_bytes": limit, "max_bytes": 20_000}
    report = run_files(Pipeline(SCHEMA, input=settings), lines, sink=tmp_path / "out")
    whole = records[: report.counts["delivered"] - 1]
    assert len(b"".join(whole)) <= 20_000 < len(b"".join(records[: len(whole) + 1]))
    long = sum(len(one) > limit for one in whole)
    assert long > 0
    assert report.rejected_by_code == {"TOO_LARGE": 1, "TOO_LONG": long}
    assert report.counts["written"] == len(whole) - long
    assert report.bytes_in == 20_000


def test_input_and_output_are_kept_apart(tmp_path, lines):
    """A second run would read what the first one wrote."""
    for sink in (lines.parent, tmp_path, lines.parent / ".." / "in"):
        with pytest.raises(UsageError, match="inside the sink"):
            run_files(pipeline(), lines, sink=sink)
    with pytest.raises(UsageError, match="inside the rejects' folder"):
        run_files(pipeline(), lines, sink=tmp_path / "a" / "b", rejects=tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_the_caller_can_fix(tmp_path, lines):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not found"):
        run_files(pipeline(), tmp_path / "none.json", sink=tmp_path / "out")
    with pytest.raises(UsageError, match="ledger"):
        run_files(pipeline(), lines, sink=tmp_path / "out", ledger="ftp://x")
    with pytest.raises(UsageError, match="inside the sink"):
        run_files(pipeline(), lines, sink=tmp_path / "out", rejects=tmp_path / "out" / "bad")
    with pytest.raises(PlanError, match="'nope'"):
        run_files(pipeline(partition_by=["nope"]), lines, sink=tmp_path / "out")
    with pytest.raises(PlanError, match="'price'"):
        run_files(pipeline(partition_by=["price"]), lines, sink=tmp_path / "out")
    with pytest.raises(SettingsError, match="s3"):
        run_files(pipeline(), lines, sink="gs://bucket/x")
    with pytest.raises(SinkError, match="is a file"):
        run_files(pipeline(), lines, sink=tmp_path / "file")
    with pytest.raises(SinkError, match="File name too long"):
        run_files(pipeline(), lines, sink=tmp_path / ("x" * 200) / ("y" * 300))
    with pytest.raises(SettingsError, match="NUL"):
        run_files(pipeline(), lines, sink="a\0b")
    assert not (tmp_path / "out").exists()


FULL_DISK = """
    import json, sys
    from pathlib import Path
    from millstream.local.run import attempt
    from millstream.pipeline import Pipeline
    made = Pipeline({"id": "int64", "s": "string"}, name="full", output={"compression": "none"})
    source, sink, rejects, jobs = sys.argv[1:]
    report, error = attempt(made, [source], sink=sink, rejects=rejects, chunk_bytes=100_000, jobs=int(jobs))
    print(json.dumps([report.to_dict(), type(error).__name__, str(error)]))
"""


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_full_disk_leaves_whole_files_and_a_second_run_completes_them(tmp_path, jobs):
    """On a real file system of 400 kB, where root may mount one; the half-written write itself is tested in test_store.py."""
    source, disk = tmp_path / "in.ndjson", tmp_path / "disk"
    source.write_text("".join(json.dumps({"id": i, "s": os.urandom(40).hex()}) + "\n" for i in range(10_000)))
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED, no small file system can be mounted here: {mounted.stderr.strip()}")
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(FULL_DISK),
        str(source),
        str(disk / "out"),
        str(tmp_path / "rejects"),
        str(jobs),
    ]
    try:
        report, kind, message = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert kind == "SinkError"
        assert "No space left" in message
        assert "run again" in message
        counts = report["counts"]
        assert counts["failed"] > 0
        assert counts["delivered"] == sum(counts.values()) - counts["delivered"]
        whole = list(disk.rglob("*.parquet"))
        assert whole
        assert sorted(disk.rglob("*.*")) == sorted(whole)
        assert sum(pq.read_metadata(path).num_rows for path in whole) >= counts["written"]
        before = tree(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        report, kind, _ = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert kind == "NoneType"
        assert report["counts"]["written"] == 10_000
        assert before.items() <= tree(disk / "out").items()
        assert [row["id"] for row in rows(disk / "out")] == list(range(10_000))
    finally:
        subprocess.run(["umount", str(disk)], check=False)
