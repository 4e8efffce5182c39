"""Imports in fresh processes, where no numpy is: what a program pays before it does anything."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import measure
import pytest
from contest import takes

CODE = """
import sys, time
sys.modules["numpy"] = None
wall, cpu = time.perf_counter(), time.process_time()
{work}
print("[%r, %r]" % (time.perf_counter() - wall, time.process_time() - cpu))
"""
WORK = {
    "millstream": "import millstream",
    "millstream_names": "from millstream import Pipeline, Schema, col",
    "pyarrow": "import pyarrow",
}


@pytest.mark.processes
def bench_start(contest: Any, told: measure.Told) -> None:
    def started(work: str) -> measure.Run:
        command = [sys.executable, "-c", CODE.format(work=work)]

        def run() -> None:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            told.add(*json.loads(done.stdout))

        return run

    runs = {who: started(work) for who, work in WORK.items()}
    for run in runs.values():
        run()  # bytecode is there then
    contest(
        "import, without numpy",
        runs,
        names=WORK,
        yardsticks=("pyarrow",),
        bars=[takes(1, 1.5, "pyarrow")],
        rounds=(11, 21),
        warm=False,
    )
