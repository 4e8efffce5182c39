"""All kernels compiled into an empty cache, as a clone's first run does it; once, on all cores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import measure
import pytest
from contest import figure

SECONDS = "seconds on all cores"


@pytest.mark.processes
def bench_compile(contest: Any, told: measure.Told) -> None:
    taken: list[float] = []

    def compiled() -> None:
        with tempfile.TemporaryDirectory() as cache, measure.all_cores():
            before, began = os.times(), time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", "from millstream.native.bind import kernels; kernels.load()"],
                env={**os.environ, "MILLSTREAM_CACHE_DIR": cache},
                stderr=subprocess.DEVNULL,
                check=True,
            )
            taken.append(time.perf_counter() - began)
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            told.add(taken[-1], spent)

    contest(
        "all kernels, an empty cache",
        {"millstream": compiled},
        figures=lambda _: {SECONDS: taken[-1]},
        bars=[figure(1, 60, SECONDS)],
        rounds=(1, 1),
        warm=False,
    )
