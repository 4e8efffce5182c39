"""Benchmarks of `make bench`: everybody takes turns, bars are worked out as they say, the table tells all that was not measured."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
pytestmark = pytest.mark.once

SUITE = """
import json, pytest
from contest import faster, figure, rate, takes

ORDER = []


def spin(who, count):
    def run():
        ORDER.append(who)
        sum(range(count))
    return run


def bench_mini(contest):
    runs = {"millstream": spin("millstream", 20_000), "slow": spin("slow", 200_000), "quick": spin("quick", 2_000), "yard": spin("yard", 1_000)}
    bars = [faster(1, 2, "slow"), faster(2, 1), takes(3, 100, "yard"), figure(4, 5, "apples"), figure(4, 7, "pears", at_most=False), rate(5, 1e9)]
    contest("mini", runs, names={"slow": "a slow one"}, yardsticks=["yard"], size=1000, bars=bars, rounds=(7, 7),
            figures=lambda taken: {"apples": 4, "pears": len(taken["slow"])})
    with open("order.json", "w") as file:
        json.dump(ORDER, file)


def bench_missing(contest):
    pytest.skip("the tool is not here")


def bench_broken(contest):
    raise OSError("no")
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Our suite's settings over another suite."""
    (folder / "pytest.ini").write_text((BENCHMARKS / "pytest.ini").read_text())
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:xdist", "-p", "no:hypothesispytest", *arguments]
    ours = ("MILLSTREAM_BACKEND", "PYTEST_")  # in one of several processes of tests nothing would be measured
    base = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = {"PYTHONPATH": os.pathsep.join((str(BENCHMARKS), str(ROOT / "src"), str(ROOT)))}
    return subprocess.run(command, cwd=folder, env=base | path | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "bench_mini.py").write_text(SUITE)
    found = run(folder, "--markdown", "table.md", "--benchmark-json", "all.json", "--clock", "cpu")
    assert "1 failed, 1 passed, 1 skipped" in found.stdout, found.stdout + found.stderr
    return folder, found.stdout


def test_everybody_runs_once_in_each_turn(done: tuple[Path, str]):
    import json

    order = json.loads((done[0] / "order.json").read_text())
    turns = [order[at : at + 4] for at in range(0, len(order), 4)]
    assert len(turns) == 2 + 7  # two that are not counted
    assert all(sorted(turn) == ["millstream", "quick", "slow", "yard"] for turn in turns)
    assert all(turn[-1] == "millstream" for turn in turns)
    assert len({turn[0] for turn in turns}) == 3, "each time another one begins"


def test_the_table_tells_each_bar_and_what_was_not_measured(done: tuple[Path, str]):
    told = done[1]
    assert "mini: mini, 0.00 MB; native; 7 rounds" in told
    assert "counted: the processor's time of the process" in told
    rows = {line.split("  ")[1]: line for line in told.splitlines() if line.startswith("  ") and "  " in line.strip()}
    assert "≥ 2 × slow: met" in rows["a slow one"]
    assert "≥ 1 × the fastest (quick): SHORT" in rows["quick"], "a yardstick is no peer"
    assert "≤ 100 × yard: met" in rows["yard"]
    assert "≤ 5 apples: met, 4" in rows["millstream"]
    assert "≥ 7 pears: met, 7" in rows["millstream"]
    assert "≥ 1e+09 GB/s: SHORT" in rows["millstream"]
    assert "6 bars: 4 met, 2 short; 1 cases not measured" in told
    assert "NOT MEASURED  bench_mini.py::bench_missing: the tool is not here" in told
    assert "FAILED  bench_mini.py::bench_broken" in told


def test_the_same_is_written_as_markdown_and_json(done: tuple[Path, str]):
    import json

    text = (done[0] / "table.md").read_text()
    assert "| 2 | mini: mini | ≥ 1 × the fastest (quick) |" in text
    assert "| **short** |" in text
    assert "not measured: the tool is not here" in text
    (one,) = json.loads((done[0] / "all.json").read_text())["benchmarks"]
    found: dict[str, Any] = one["extra_info"]
    assert found["backend"] == "native"
    assert set(found["medians"]) == {"millstream", "slow", "quick", "yard"}
    assert found["medians"]["millstream"] == pytest.approx(one["stats"]["median"])
    bar = found["bars"][0]
    assert bar["reached"] == pytest.approx(found["medians"]["slow"] / found["medians"]["millstream"])


def test_another_back_end_is_refused(tmp_path: Path):
    (tmp_path / "bench_mini.py").write_text(SUITE)
    found = run(tmp_path, MILLSTREAM_BACKEND="jit")
    assert found.returncode == pytest.ExitCode.USAGE_ERROR
    assert "benchmarks measure the native kernels, these are jit: unset MILLSTREAM_BACKEND" in found.stdout + found.stderr
    assert "Traceback" not in found.stdout + found.stderr


def test_the_suite_of_tests_collects_no_benchmark():
    """pytest's files of tests are test_*.py, those of benchmarks bench_*.py, by settings of their own."""
    names = {path.name for path in BENCHMARKS.glob("*.py")}
    assert not [name for name in names if name.startswith("test_") or name.endswith("_test.py")]
    assert [name for name in names if name.startswith("bench_")]
