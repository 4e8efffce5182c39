"""The command line, as a user types it: output, errors, exit status."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pyarrow.dataset as ds
import pytest

from millstream.aws.settings import SETTINGS

PIPELINE = """
from millstream import Pipeline

orders = Pipeline({"id": "int64", "kind": "string"}, name="orders", output={"partition_by": ["kind"]})
other = Pipeline({"id": "int64"}, name="other")
number = 7
"""

YAML = """
version: 1
name: orders
schema: {id: int64, kind: string}
steps:
  - filter: id > 1
output: {format: parquet}
"""


def run(folder, *words, **environment):
    command = [sys.executable, "-m", "millstream", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "p.py").write_text(PIPELINE)
    (tmp_path / "p.yaml").write_text(YAML)
    (tmp_path / "in.ndjson").write_text('{"id": 1, "kind": "a"}\n{"id": 2, "kind": "b"}\nbad\n{"id": 3, "kind": "a"}\n')
    return tmp_path


def test_run_prints_a_summary(folder):
    status, out, err = run(folder, "run", "p.py:orders", "in.ndjson", "--out", "out")
    assert (status, err) == (0, "")
    for line in ("delivered 4", "written   3", "filtered  0", "duplicate 0", "rejected  1   BAD_JSON 1", "failed    0"):
        assert f"  {line}\n" in out
    assert "3 rows in 2 files" in out
    assert "out/kind=a/" in out
    assert "out-rejects" in out
    assert "records a second" in out
    assert out.rstrip().splitlines()[-4:] == ["first rows:", "  id  kind", "   1  a", "   2  b"] or out.rstrip().endswith(
        "3  a"
    )
    assert ds.dataset(folder / "out", partitioning="hive").count_rows() == 3


def test_run_json_prints_one_object(folder):
    status, out, err = run(folder, "run", "p.yaml", "in.ndjson", "--out", "out", "--json", "--jobs", "2", "--rejects", "bad")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["counts"] == {"delivered": 4, "written": 2, "filtered": 1, "duplicate": 0, "rejected": 1, "failed": 0}
    assert report["version"] == 1
    assert (folder / "bad").is_dir()
    assert not (folder / "out-rejects").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["p.py:orders", "none.json"], "input file not found: none.json"),
        (["p.py:orders", "*.none"], "no file matches *.none"),
        (["p.py:orders", "p.yaml"], "cannot read p.yaml"),
        (["none.py:orders", "in.ndjson"], "pipeline file not found: none.py"),
        (["none.yaml", "in.ndjson"], "none.yaml"),
        (["p.py:nope", "in.ndjson"], "p.py has no pipeline 'nope': p.py:orders, p.py:other"),
        (["p.py", "in.ndjson"], "say which pipeline of p.py: p.py:orders, p.py:other"),
        (["p.py:number", "in.ndjson"], "number in p.py is of type int, not a Pipeline"),
        (["p.txt", "in.ndjson"], "a pipeline is file.yaml or file.py:name, not 'p.txt'"),
        (["broken.py:x", "in.ndjson"], "broken.py, line 2: "),
        (["raises.py:x", "in.ndjson"], "raises.py, line 3: ZeroDivisionError"),
        (["ends.py:x", "in.ndjson"], "ends.py, line 1: it ends the program"),
        (["nul.py:x", "in.ndjson"], "nul.py: source code string cannot contain null bytes"),
        (
            ["text.yaml", "in.ndjson"],
            "text.yaml: line 8, column 1: input is a mapping, not text; write input: {format: ndjson}",
        ),
        (["p.py:orders", "-"], "write to a file first"),
        (["p.py:orders", "/dev/null"], "a pipe or a device"),
        (
            ["p.py:orders", "in.ndjson", "--ledger", "ftp://x"],
            "the ledger is 'ftp://x': write dynamodb://TABLE or sqlite:///path",
        ),
        (["p.py:orders", "in.ndjson", "--jobs", "0"], "jobs is 0"),
        (["a" * 300 + ".yaml", "in.ndjson"], "File name too long"),
        (["a" * 300 + ".py:p", "in.ndjson"], "File name too long"),
        (["p.py:orders", "in.ndjson", "--rejects", "out/bad"], "inside the sink"),
    ],
)
def test_what_the_user_can_fix_is_one_line_and_status_2(folder, words, message):
    (folder / "broken.py").write_text("x = 1\ny = = 2\n")
    (folder / "raises.py").write_text("def f():\n    return 1\nx = f() / 0\n")
    (folder / "ends.py").write_text("raise SystemExit(0)\n")
    (folder / "nul.py").write_bytes(b"a\0b")
    (folder / "text.yaml").write_text(YAML + "input: ndjson\n")
    status, out, err = run(folder, "run", *words, "--out", "out")
    assert (status, out) == (2, "")
    assert err.startswith("millstream: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize("words", [[], ["run"], ["run", "p.py:orders"], ["run", "p.py:orders", "in.ndjson"], ["fly"]])
def test_words_that_are_no_command(folder, words):
    status, out, err = run(folder, *words)
    assert (status, out) == (2, "")
    assert "usage: millstream" in err


def test_a_pipeline_that_cannot_work(folder):
    (folder / "p.yaml").write_text(YAML.replace("id > 1", "price > 1"))
    status, _, err = run(folder, "run", "p.yaml", "in.ndjson", "--out", "out")
    assert status == 2
    assert "price" in err
    assert err.count("\n") == 1
    (folder / "p.yaml").write_text("version: [1\n")
    status, _, err = run(folder, "run", "p.yaml", "in.ndjson", "--out", "out")
    assert status == 2
    assert "p.yaml" in err
    assert err.count("\n") == 1


def test_a_run_that_fails_is_status_1_with_its_counts(folder):
    (folder / "out").write_text("")
    status, out, err = run(folder, "run", "p.py:orders", "in.ndjson", "--out", "out")
    assert (status, out) == (1, "")
    assert "is a file" in err
    assert err.count("\n") == 1
    (folder / "out").unlink()
    (folder / "out").mkdir()
    (folder / "out" / "kind=b").write_text("in the way")
    status, out, err = run(folder, "run", "p.py:orders", "in.ndjson", "--out", "out", "--json")
    assert status == 1
    assert "is a file" in err
    assert err.count("\n") == 1
    assert json.loads(out)["counts"] == {
        "delivered": 4,
        "written": 0,
        "filtered": 0,
        "duplicate": 0,
        "rejected": 1,
        "failed": 3,
    }
    (folder / "out" / "kind=b").unlink()
    assert run(folder, "run", "p.py:orders", "in.ndjson", "--out", "out")[0] == 0
    assert ds.dataset(folder / "out", partitioning="hive").count_rows() == 3


def test_doctor(folder):
    status, out, err = run(folder, "doctor")
    assert status == 0, out + err
    assert "backend" in out
    assert "all is well" in out
    found = json.loads(run(folder, "doctor", "--json")[1])
    assert found["problems"] == []
    assert found["backend"] in ("native", "jit", "checked")
    assert found["kernels"] > 10
    assert found["packages"]["pyarrow"]
    assert found["cpu_target"]
    assert found["python"].startswith("3.")


def test_doctor_says_what_to_do_when_something_is_off(folder):
    status, out, _ = run(folder, "doctor", "--json", MILLSTREAM_BACKEND="magic")
    assert status == 1
    assert "MILLSTREAM_BACKEND" in json.loads(out)["problems"][0]
    status, out, _ = run(folder, "doctor", MILLSTREAM_BACKEND="magic")
    assert status == 1
    assert "problem: MILLSTREAM_BACKEND" in out
    assert "something is off" in out


def test_a_run_needs_no_numpy_and_no_compiler(folder):
    """pyarrow imports numpy wherever it is installed: here none of these can be."""
    program = """
        import sys
        sys.modules |= dict.fromkeys(["numpy", "numba", "llvmlite", "pandas"])
        from millstream.cli import main
        sys.exit(main(["run", "p.py:orders", "in.ndjson", "--out", "out", "--json", "--jobs", "2"]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["counts"]["written"] == 3


def shell(folder, command):
    """A line of shell, `millstream` being the command; its status, output and errors."""
    line = command.replace("millstream", f"{sys.executable} -m millstream")
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, cwd=folder)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("tail", "status", "message"),
    [
        ("| head -0", 0, ""),  # the run is done, whoever reads of it
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&-", 0, ""),
        (">/dev/full", 1, "millstream: error: cannot write to standard output: No space left on device\n"),
    ],
)
def test_output_that_nobody_takes(folder, tail, status, message):
    if "full" in tail and not os.path.exists("/dev/full"):
        pytest.skip("NOT TESTED: there is no /dev/full here")
    found, _, err = shell(folder, f"millstream run p.yaml in.ndjson --out out {tail}")
    assert (found, err) == (status, message)
    assert ds.dataset(folder / "out").count_rows() == 2
    assert shell(folder, f"millstream run p.yaml none.ndjson --out out {tail}")[0] == 2


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict"])
def test_names_and_values_that_cannot_be_printed_are_escaped(folder, encoding):
    name = os.fsdecode(b"n\xff.ndjson")
    (folder / name).write_text('{"id": 2, "kind": "\\u00e9\\ud83c\\udf3f"}\nbad\n')
    for more in ([], ["--json"]):
        for _ in "ab":  # the second run compares what it finds
            sink = os.fsdecode(b"out\xfe")
            status, out, err = run(folder, "run", "p.yaml", name, "--out", sink, *more, PYTHONIOENCODING=encoding)
            assert (status, err) == (0, "")
            assert os.fsencode(sink) in {os.fsencode(one) for one in os.listdir(folder)}
    assert json.loads(out)["counts"]["written"] == 1


def test_what_a_pipeline_prints_is_no_part_of_the_report(folder):
    (folder / "talks.py").write_text(PIPELINE + "print('hello')\n")
    status, out, err = run(folder, "run", "talks.py:orders", "in.ndjson", "--out", "out", "--json")
    assert (status, err) == (0, "hello\n")
    assert json.loads(out)["counts"]["delivered"] == 4


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, 1), (signal.SIGINT, 3), (signal.SIGTERM, 2)])
def test_a_run_that_is_stopped_leaves_whole_files_and_a_second_one_completes_them(folder, number, jobs):
    lines = "".join(f'{{"id": {i}, "kind": "k{i % 7}"}}\n' for i in range(2, 1_000_000))
    (folder / "big.ndjson").write_text(lines)
    command = [sys.executable, "-m", "millstream", "run", "p.py:orders", "big.ndjson", "--out", "out", "--jobs", str(jobs)]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(folder.glob("out/*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert "Traceback" not in err
    if running.returncode:  # else it was faster than this test
        assert running.returncode in (128 + number, -signal.SIGINT)
        assert "running again completes the work" in err
    assert [path for path in folder.rglob("*") if path.name.startswith(".millstream")] == []
    before = {path: path.read_bytes() for path in folder.glob("out/*/*.parquet")}
    status, out, _ = run(folder, "run", "p.py:orders", "big.ndjson", "--out", "out", "--json")
    assert status == 0
    assert json.loads(out)["counts"]["written"] == 999_998
    assert all(path.read_bytes() == body for path, body in before.items())
    assert ds.dataset(folder / "out", partitioning="hive").count_rows() == 999_998


def test_infer_prints_a_schema_that_runs(folder):
    status, out, err = run(folder, "infer", "in.ndjson")
    assert (status, err) == (0, "")
    assert out.startswith("# from ")
    assert "schema:\n" in out
    status, out, err = run(folder, "infer", "in.ndjson", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["schema"].keys() == json.loads(out)["columns"].keys()
    status, out, err = run(folder, "infer", "in.ndjson", "--records", "0")
    assert (status, out) == (2, "")
    assert err == "millstream: error: --records is 0; write 1 or more\n"


def test_settings_lists_what_a_function_reads(folder):
    status, out, err = run(folder, "settings", MILLSTREAM_SINK="s3://lake/orders/", MILLSTREAM_RAW_EVENTS="0")
    assert (status, err) == (0, "")
    for line in (
        "MILLSTREAM_SINK               s3://lake/orders/",
        "    where rows go: s3://bucket/prefix/, or a folder",
        "MILLSTREAM_LEDGER             not set",
        "MILLSTREAM_DEADLINE_MARGIN_MS 2000 (default 2000)",
        "MILLSTREAM_RAW_EVENTS         0 (default 1)",
    ):
        assert line in out.splitlines()
    found = json.loads(run(folder, "settings", "--json", MILLSTREAM_DEADLINE_MARGIN_MS="500", MILLSTREAM_SINK="")[1])
    by_name = {one.pop("variable"): one for one in found["settings"]}
    assert by_name.keys() == {one.variable for one in SETTINGS}
    assert all(one.keys() == {"value", "default", "meaning"} and one["meaning"] for one in by_name.values())
    margin = by_name["MILLSTREAM_DEADLINE_MARGIN_MS"]
    assert (margin["value"], margin["default"]) == (500, 2000)
    assert by_name["MILLSTREAM_SINK"]["value"] is None


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "MILLSTREAM_SNK",
            "out",
            "MILLSTREAM_SNK is no setting; did you mean MILLSTREAM_SINK?; `millstream settings` lists them",
        ),
        ("MILLSTREAM_ON_REJECT", "drop", "MILLSTREAM_ON_REJECT is 'drop': write fail or drop-and-count"),
        ("MILLSTREAM_LEDGER", "orders", "MILLSTREAM_LEDGER is 'orders': write dynamodb://TABLE or sqlite:///path"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_setting_that_cannot_be_read_is_status_2(folder, variable, value, message, more):
    assert run(folder, "settings", *more, **{variable: value}) == (2, "", f"millstream: error: {message}\n")
