"""The campaigns in short, as `make crash` and `make soak` run them: each in a process of its own, which forks."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.crash.server import ROOT
from tests.crash.soak import slope

pytestmark = pytest.mark.once


def campaign(*arguments):
    """What it tells, with nothing found."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", *map(str, arguments)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "MILLSTREAM_BACKEND"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "violations 0" in done.stdout
    return done.stdout


@pytest.mark.slow
def test_killed_and_delivered_again():
    told = campaign("kill", "--times", 8)
    killed = re.search(r"killed (\d+), stopped (\d+)", told)
    assert killed
    assert int(killed[1]) > 0


def test_a_race_has_one_result():
    assert "answers 12:" in campaign("race", "--times", 3, "--processes", 4)


def test_a_soak(tmp_path):
    """Rows as those of flights are."""
    data = tmp_path / "flights.ndjson"
    with data.open("w") as lines:
        for number in range(2000):
            flight = {
                "month": number // 500 + 1,
                "day": number % 28 + 1,
                "dep_delay": number % 90 - 10,
                "arr_delay": None if number % 50 == 7 else number % 70 - 20,
                "carrier": ("UA", "B6", "XX")[number % 3],
                "flight": number,
                "tailnum": f"N{number}",
                "origin": "EWR",
                "dest": "IAH",
                "air_time": number % 200 + 30,
                "distance": number % 1000 + 50,
                "time_hour": "2013-01-01T10:00:00Z",
            }
            lines.write(json.dumps(flight, separators=(",", ":")) + "\n")
    told = campaign("soak", "--minutes", 5 / 60, "--data", data)
    assert not re.search(r" rows 0,| rejected 0,| filtered 0;", told), told


def test_a_slope_is_told_by_a_thousand():
    assert slope([(100, 50.0), (200, 50.5), (300, 51.0)]) == pytest.approx(5.0)
    assert slope([]) == 0
