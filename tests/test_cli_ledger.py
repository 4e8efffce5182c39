"""gc, replay, redrive and run --ledger, as a user types them."""

import json
import os
import signal

import pyarrow.dataset as ds
import pytest

from millstream.cli import main
from tests.aws.test_redrive import event, given_up
from tests.test_cli import PIPELINE

pytestmark = pytest.mark.once

NUMBERS = "from millstream import Pipeline\norders = Pipeline({'id': 'string', 'kind': 'string'}, name='orders')\n"
PLACES = ["--sink", "out", "--ledger", "sqlite:///{}/ledger.db"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "p.py").write_text(PIPELINE)
    (tmp_path / "in.ndjson").write_text('{"id": 1, "kind": "a"}\n{"id": 2, "kind": "b"}\nbad\n{"id": 3, "kind": "a"}\n')
    return tmp_path


@pytest.fixture
def run(capsys):
    def call(*words):
        status = main(words)
        return status, *capsys.readouterr()

    return call


def places(folder):
    return [one.replace("sqlite:///{}", f"sqlite://{folder}") for one in PLACES]


def test_run_reads_a_file_once(folder, run):
    words = ["run", "p.py:other", "in.ndjson", "--out", "out", "--ledger", f"sqlite://{folder}/ledger.db", "--json"]
    for expected in ({"written": 3, "rejected": 1}, {"duplicate": 4}):
        status, out, err = run(*words)
        assert (status, err) == (0, "")
        assert {name: count for name, count in json.loads(out)["counts"].items() if count and name != "delivered"} == expected
    status, out, _ = run(*words, "--namespace", "again")
    assert json.loads(out)["counts"]["written"] == 3
    status, out, err = run(*words[:6], "ftp://x")
    assert (status, out) == (2, "")
    assert "write dynamodb://TABLE or sqlite:///path" in err


def test_replay(folder, run):
    (folder / "new.py").write_text(NUMBERS)
    (folder / "in.ndjson").write_text('{"id": 1, "kind": "a"}\n{"id": "x", "kind": "b"}\nbad\n')
    run("run", "p.py:orders", "in.ndjson", "--out", "old", "--rejects", "bad")
    words = ["replay", "bad", "--pipeline", "new.py:orders", *places(folder)]
    status, out, err = run(*words, "--code", "BAD_TYPE", "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["source"], report["counts"]["delivered"], report["counts"]["written"]) == ("replay", 1, 1)
    assert report["problems"] == []
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert "delivered 2" in out
    assert "duplicate 1" in out
    assert "rejected  1   BAD_JSON 1" in out
    assert "rejected records are in out-rejects" in out
    assert ds.dataset(folder / "out").to_table().to_pylist() == [{"id": "x", "kind": "b"}]
    for more, message in (
        (["--code", "X"], "code is 'X'"),
        (["--since", "x"], "since is 'x'"),
        (["--rejects", "bad/again"], "inside the other"),
    ):
        status, out, err = run(*words, *more)
        assert (status, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1


def test_redrive(folder, run):
    (folder / "failed").mkdir()
    (folder / "failed" / "a").write_bytes(given_up(event(1, None)))
    words = ["redrive", "failed", "--pipeline", "p.py:other", *places(folder)]
    status, out, err = run(*words, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["counts"]["written"] == 1
    (folder / "failed" / "b").write_text("{}")
    status, out, err = run(*words)
    assert status == 1
    assert "duplicate 2" in out
    assert err.startswith("millstream: error: 1 of the objects could not be done wholly: ")
    assert "failed/b: it has no KinesisBatchInfo" in err


def test_gc(folder, run):
    run("run", "p.py:other", "in.ndjson", "--out", "out")
    left = folder / "out" / f"_millstream-manifest-{'0' * 32}"
    left.write_text("[]")
    os.utime(left, (0, 0))
    words = ["gc", "p.py:other", *places(folder)]
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert "  lists of attempts that are over: 1, 2 bytes\n    out/_millstream-manifest-" in out
    assert "this was a dry run" in out
    assert left.exists()
    status, out, err = run(*words, "--older-than", "1h", "--delete", "--json")
    found = json.loads(out)
    assert (found["deleted"], found["older_than_seconds"]) == (True, 3600)
    assert found["found"]["manifests"] == {"count": 1, "bytes": 2, "collected": 1, "names": [str(left)], "kept": {}}
    assert not left.exists()
    status, out, err = run(*words, "--older-than", "5m")
    assert (status, out) == (2, "")
    assert "older-than is 5m; write 1h or more" in err
