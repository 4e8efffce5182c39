"""`millstream rightsize`, run: real handlers in real processes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from millstream.cli import main
from millstream.local.load import load_pipeline
from millstream.sizing import limits
from millstream.sizing.events import Events, find_events
from millstream.sizing.measure import Work, bench
from millstream.sizing.profile import CHOICES, Profile

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: rightsize runs on Linux alone"),
]

PIPELINE = """
version: 1
name: sales
schema: {item: string, price: float64}
steps:
  - filter: price > 10
output: {format: parquet}
"""
HEAVY = """
from millstream import Pipeline, Schema, col

HELD = b"x" * (150 << 20)
pipeline = Pipeline(Schema({"item": "string"}), name="heavy").filter(col("item") != "x")
"""
HUNGRY = """
from millstream import Pipeline, Schema

held = []

def known(keys):
    held.append(b"x" * (150 << 20))
    return {}

pipeline = Pipeline(Schema({"item": "string"}), name="hungry").enrich(known, "item", {"known": "bool"})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sales.yaml").write_text(PIPELINE)
    Path("sales.ndjson").write_text("".join(f'{{"item": "i{i}", "price": {i % 20}}}\n' for i in range(400)))
    return tmp_path


def events_of(pipeline: str, wanted: int, batch: int = 100) -> Events:
    return find_events("sales.ndjson", load_pipeline(pipeline), None, batch, wanted)


def test_a_pipeline_is_measured_and_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("parameters.yaml").write_text("Environment: dev\nMemorySize: 128\n")
    words = ["rightsize", "sales.yaml", "--events", "sales.ndjson", "--batch", "200", "--memory", "256,512", "--rounds", "1"]
    words += ["--batches", "4", "--cpu", "model", "--profile", "profile.json", "--write", "parameters.yaml", "--json"]
    assert main([*words, "--latency", "20"]) == 0
    told, profile = json.loads(capsys.readouterr().out), json.loads(Path("profile.json").read_text())
    assert set(profile) == {
        *("version", "pipeline", "fingerprint", "source", "architecture", "records", "bytes_in", "bytes_out", "objects"),
        *("memory", "recommended"),
    }
    assert {key: told[key] for key in profile if key != "memory"} == {key: profile[key] for key in profile if key != "memory"}
    assert (profile["version"], profile["pipeline"], profile["source"]) == (1, "sales", "kinesis")
    assert profile["fingerprint"] == load_pipeline("sales.yaml").fingerprint
    assert (profile["records"], profile["objects"]) == (200, 1)
    read = Profile.read("profile.json")  # as millstream forecast does
    assert (read.fingerprint, dict(read.recommended)) == (profile["fingerprint"], profile["recommended"])
    assert [(one.mb, one.cpu_ms) for one in read.memory] == [(one["mb"], one["cpu_ms"]) for one in profile["memory"]]
    assert profile["bytes_in"] == pytest.approx(Path("sales.ndjson").stat().st_size / 2 - 200, rel=0.05), (
        "of records, not of the event"
    )
    small, large = profile["memory"]
    assert (small["mb"], large["mb"], small["killed"], large["killed"]) == (256, 512, False, False)
    assert set(small) == {"mb", "init_ms", "first_ms", "warm_ms", "cpu_ms", "peak_mb", "killed"}
    assert small["warm_ms"]["p50"] <= small["warm_ms"]["p95"] <= small["warm_ms"]["p99"]
    assert small["init_ms"] > large["init_ms"] > 0, "with twice the share of a CPU half the time"
    assert small["warm_ms"]["p50"] > large["warm_ms"]["p50"] >= 20, "S3 answers after 20 ms, whatever the memory"
    assert 40 < small["peak_mb"] < 256
    assert set(profile["recommended"]) == set(CHOICES)
    assert profile["recommended"]["cheapest"] == 256
    costs = told["memory"][0]["usd_a_million_records"]
    assert costs["arm64"] < costs["x86_64"]
    assert Path("parameters.yaml").read_text() == f"Environment: dev\nMemorySize: {profile['recommended']['balanced']}\n"
    assert told["durations"] == "model"


def test_a_process_over_its_memory_is_killed(folder: Path) -> None:
    Path("hungry.py").write_text(HUNGRY)
    with bench(Work(str(folder / "hungry.py"), events_of("hungry.py", 3), 3)) as made:
        run = made.run(192)
    assert run.killed == "in its first batch"
    assert run.peak_mb > 192
    assert run.init is not None
    assert (run.first, run.warm) == (None, ())


def test_what_was_killed_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("heavy.py").write_text(HEAVY)
    words = ["rightsize", "heavy.py", "--events", "sales.ndjson", "--rounds", "1", "--batches", "2", "--cpu", "model"]
    assert main([*words, "--memory", "128,512"]) == 0
    told = capsys.readouterr().out
    assert "   128  0.07  killed in its start: 1" in told
    assert "cheapest  512 MB" in told
    assert "128 MB are too little" in told


def test_a_share_of_cpu_is_held(folder: Path) -> None:
    place, why = limits.place()
    if place is None:
        pytest.skip(f"NOT TESTED: {why}")
    with bench(Work(str(folder / "sales.yaml"), events_of("sales.yaml", 2), 2)) as made:
        run = made.run(512, place)
    assert run.init is not None
    # A period's quota may be used at its begin, so a start of many periods takes a little less than cpu / share.
    assert run.init.wall > 0.8 * run.init.cpu / limits.share(512)
    assert not list(place.folder.glob(f"millstream-{os.getpid()}-*")), "no group is left"


FAILURES = [
    ("--events nothing.ndjson", "there is no nothing.ndjson"),
    ("--events empty", "the folder empty has no file"),
    ("--events empty.ndjson", "empty.ndjson has no record"),
    ("--events sales.ndjson --memory 64,128", "--memory has '64'"),
    ("--events sales.ndjson --memory 1e3", "--memory has '1e3'"),
    ("--events sales.ndjson --rounds 0", "--rounds is 0"),
    ("--events sales.ndjson --batches 0", "--batches is 0"),
    ("--events sales.ndjson --batch 0", "--batch is 0"),
    ("--events sales.ndjson --batch 10001", "--batch is 10001"),
    ("--events sales.ndjson --latency nan", "--latency is nan"),
    ("--events sales.ndjson --latency 5 --sink out", "--latency is of the S3 that rightsize serves"),
    ("--events sales.ndjson --source s3 --sink out", "leave --sink out"),
    ("--events object.json", "name the data files instead"),
    ("--events stream.json --source sqs", "the events are of kinesis"),
    ("--events mixed", "of several sources"),
    ("--events other.json", "has the eventSource 'aws:sns'"),
    ("--events sales.ndjson --plot plot.gif", "name a file that ends with .svg"),
    ("--events sales.ndjson --plot no/plot.svg", "there is no folder"),
    ("--events sales.ndjson --write nothing.toml --env prod", "cannot read nothing.toml"),
    ("--events sales.ndjson --env prod", "--env goes with --write"),
    ("--events sales.ndjson --prices nothing.yaml", "nothing.yaml"),
]


@pytest.mark.parametrize(("words", "says"), FAILURES)
def test_what_cannot_work_is_told_before_anything_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, says: str
) -> None:
    def event(source: str) -> str:
        return json.dumps({"Records": [{"eventSource": source}]})

    for name in ("empty", "mixed"):
        Path(name).mkdir()
    Path("empty.ndjson").touch()
    for name, source in (("object", "aws:s3"), ("stream", "aws:kinesis"), ("other", "aws:sns"), ("mixed/a", "aws:sqs")):
        Path(f"{name}.json").write_text(event(source))
    Path("mixed/b.json").write_text(event("aws:kinesis"))
    monkeypatch.setattr("millstream.sizing.measure.Bench.run", lambda *_: pytest.fail("something was measured"))
    assert main(["rightsize", "sales.yaml", *words.split()]) == 2
    assert says in capsys.readouterr().err


def test_what_a_handler_refuses_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("event.json").write_text(json.dumps({"Records": [{"eventSource": "aws:kinesis", "eventID": "s:1"}]}))
    assert main(["rightsize", "sales.yaml", "--events", "event.json", "--rounds", "1", "--batches", "1"]) == 2
    told = capsys.readouterr().err
    assert "the handler failed on an event: Records[0] has no 'kinesis' object" in told
    assert "Traceback" not in told
