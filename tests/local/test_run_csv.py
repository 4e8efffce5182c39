"""CSV files through a run: rows, rejects with their header, any size of chunks, settings in files."""

import csv
import gzip
import io
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from millstream.errors import PlanError, UsageError
from millstream.expr import col
from millstream.local.infer import infer
from millstream.local.replay import replay
from millstream.local.run import run_files
from millstream.local.source import find_files
from millstream.pipeline import Pipeline
from millstream.schema import Column
from tests.local.test_run import rows

SCHEMA = {"id": "int64", "name": Column("string", path="Full Name"), "price": "float64"}
INPUT = {"format": "csv", "delimiter": ";", "null_values": ["", "NA"], "comment": "#"}


def text_of(count):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";")
    writer.writerow(["price", "id", "Full Name", "extra"])
    for i in range(count):
        price = "NA" if i % 10 == 3 else "bad" if i % 50 == 7 else i / 4
        writer.writerow([price, i, f'a "{i}";\nb' if i % 3 else "", "x"])
    return b'\xef\xbb\xbf# made by a test; "\n' + out.getvalue().encode()


def expected(count):
    return [
        {"id": i, "name": f'a "{i}";\nb' if i % 3 else None, "price": None if i % 10 == 3 else i / 4}
        for i in range(count)
        if i % 50 != 7
    ]


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
@pytest.mark.parametrize("chunk_bytes", [100, 1000, 1 << 20])
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_file_however_it_is_cut(tmp_path, name, chunk_bytes, jobs):
    text = text_of(400)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    job = Pipeline(SCHEMA, input=INPUT)
    report = run_files(job, [tmp_path / name], sink=tmp_path / "out", chunk_bytes=chunk_bytes, jobs=jobs)
    assert report.to_dict()["counts"] == {
        "delivered": 400, "written": 392, "filtered": 0, "duplicate": 0, "rejected": 8, "failed": 0,
    }  # fmt: skip
    assert rows(tmp_path / "out") == expected(400)
    rejects = [row for path in (tmp_path / "out-rejects").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert sorted(row["position"] for row in rejects) == list(range(7, 400, 50))
    one = min(rejects, key=lambda row: row["position"])
    assert one["payload"] == b'bad;7;"a ""7"";\nb";x'
    assert (one["code"], one["column"], one["offset"], one["format"], one["context"]) == (
        "BAD_NUMBER", "price", 0, "csv", b"price;id;Full Name;extra",
    )  # fmt: skip


def test_a_run_by_a_file_of_settings(tmp_path):
    (tmp_path / "p.yaml").write_text(
        "version: 1\nname: p\n"
        'input: {format: csv, delimiter: "\\t", quote: null, header: [id, name], ragged: pad, encoding: latin-1}\n'
        "schema: {id: int64, name: string}\nsteps:\n  - filter: id > 1\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tsv").write_bytes(b'1\tx\n2\t\xe9"\n3\n')
    (tmp_path / "in" / "b.json").write_bytes(b"{}")
    job = Pipeline.from_spec(tmp_path / "p.yaml")
    assert Pipeline.from_spec(job.to_spec()).to_spec() == job.to_spec()
    assert job.to_spec()["input"] == {
        "format": "csv", "compression": "auto", "delimiter": "\t", "quote": None, "header": ["id", "name"], "ragged": "pad",
        "encoding": "latin-1",
    }  # fmt: skip
    report = run_files(job, [tmp_path / "in"], sink=tmp_path / "out")
    assert report.to_dict()["counts"]["written"] == 2
    assert rows(tmp_path / "out") == [{"id": 2, "name": 'é"'}, {"id": 3, "name": None}]


def test_settings_are_part_of_the_fingerprint():
    one, other = (Pipeline(SCHEMA, input={"format": "csv", "delimiter": mark}) for mark in ",;")
    assert one.fingerprint != other.fingerprint
    assert Pipeline(SCHEMA, input={"format": "csv", "header": ("a", "Full Name")}).input["header"] == ["a", "Full Name"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"delimiter": ";"}, "write format: csv"),
        ({"format": "ndjson", "header": True}, "write format: csv"),
        ({"format": "csv", "delimiter": "ab"}, "delimiter"),
        ({"format": "csv", "separator": ";"}, "there is no key 'separator'"),
    ],
)
def test_settings_that_cannot_be(given, says):
    with pytest.raises(PlanError, match=says):
        Pipeline(SCHEMA, input=given)
    with pytest.raises(PlanError, match=says):
        Pipeline.from_spec({"version": 1, "schema": {"a": "int64"}, "input": given})


def test_what_a_plan_refuses():
    with pytest.raises(PlanError, match="type json"):
        Pipeline({"a": "list<int64>"}, input={"format": "csv"}).plan()
    with pytest.raises(PlanError, match="none of the schema's columns"):
        Pipeline({"a": "int64"}, input={"format": "csv", "header": ["b"]}).plan()


def test_json_pipelines_say_how_csv_is_read(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"a\n1\n")
    with pytest.raises(UsageError, match="format: csv"):
        find_files([tmp_path / "x.csv"])
    assert find_files([tmp_path / "x.csv"], "csv")[0].path.name == "x.csv"
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot read"):
        find_files([tmp_path / "x.parquet"], "csv")


def test_records_in_memory():
    job = Pipeline({"a": "int64", "b": "string"}, input={"format": "csv", "ragged": "fit"}).filter(col("a") > 1)
    outcome = job.run(b"a,b,c\n1,x,\n2,y,\n3,z\nq,w\n")
    assert outcome.batch.to_pylist() == [{"a": 2, "b": "y"}, {"a": 3, "b": "z"}]
    assert outcome.counts["delivered"] == 4
    assert outcome.counts["unknown_keys"] == {"c": 4}
    assert outcome.counts["missing_columns"] == {}
    assert outcome.rejects.to_pylist()[0]["payload"] == b"q,w"
    outcome = job.run([b"a\n2\n3\n", b"b,a\nx,4\n"])
    assert outcome.batch.to_pylist() == [{"a": 2, "b": None}, {"a": 3, "b": None}, {"a": 4, "b": "x"}]
    assert outcome.counts["missing_columns"] == {"b": 2}


def test_rejected_rows_come_again_with_their_header(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    (tmp_path / "in.csv").write_bytes(b'name,id\n"a\nb",x1\nc,2\nd,x3\n')
    old, new = (Pipeline({"id": kind, "name": "string"}, input={"format": "csv"}) for kind in ("int64", "string"))
    run_files(old, [tmp_path / "in.csv"], sink=tmp_path / "out")
    named = {"sink": tmp_path / "fixed", "rejects": tmp_path / "again", "ledger": f"sqlite://{tmp_path}/ledger.db"}
    found = replay(tmp_path / "out-rejects", pipeline=new, **named)
    assert found.report.to_dict()["counts"]["written"] == 2
    assert rows(tmp_path / "fixed") == [{"id": "x1", "name": "a\nb"}, {"id": "x3", "name": "d"}]
    json_too = Pipeline({"id": "string"})
    (problem,) = replay(tmp_path / "out-rejects", pipeline=json_too, **named | {"sink": tmp_path / "other"}).problems
    assert "'csv', and the pipeline reads json" in problem.why


def test_what_is_inferred_of_a_file_reads_it(tmp_path):
    text = 'id;Full Name;price;zip;at;"a;b"\n1;Ada;2.5;00123;2026-01-01T00:00:00Z;true\n2;NA;;01234;2026-01-02T00:00:00Z;FALSE\n3;x\n'
    (tmp_path / "in.csv").write_text(text)
    found = infer([tmp_path / "in.csv"])
    assert (found.records, found.bad) == (2, 1)
    assert found.to_dict()["input"] == {"format": "csv", "delimiter": ";", "null_values": ["", "NA"]}
    assert found.columns() == {
        "id": {"type": "int64"}, "Full Name": {"type": "string"}, "price": {"type": "float64"}, "zip": {"type": "string"},
        "at": {"type": "timestamp[us, UTC]"}, "a;b": {"type": "bool"},
    }  # fmt: skip
    (tmp_path / "p.yaml").write_text(found.render())
    report = run_files(Pipeline.from_spec(tmp_path / "p.yaml"), [tmp_path / "in.csv"], sink=tmp_path / "out")
    assert report.to_dict()["counts"]["written"] == 2
    assert rows(tmp_path / "out")[1] == {
        "id": 2, "Full Name": None, "price": None, "zip": "01234", "at": datetime(2026, 1, 2, tzinfo=UTC), "a;b": False,
    }  # fmt: skip
