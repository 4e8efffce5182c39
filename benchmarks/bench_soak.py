"""Memory of one process that takes flights with duplicates, poison and faults for minutes: `make soak`, with its bar in the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import measure
import pytest
from contest import figure

GROWTH = "MB for 1,000 invocations"
FLIGHTS = Path(__file__).parents[1] / "demo" / "input" / "flights.ndjson"


@pytest.mark.processes
def bench_soak(contest: Any, request: pytest.FixtureRequest) -> None:
    minutes = request.config.getoption("--soak")
    if not minutes:
        pytest.skip("it takes 20 minutes: make bench OPTIONS='--soak 20'")
    if not FLIGHTS.exists():
        pytest.skip("the flights are not here: make demo")
    from tests.crash.soak import slope, soak

    found: list[Any] = []

    def run() -> None:
        with measure.all_cores():
            found.append(soak(60 * minutes, 0, FLIGHTS))

    contest(
        f"flights, {minutes:g} minutes",
        {"millstream": run},
        figures=lambda _: {GROWTH: slope(found[-1].samples)},
        bars=[figure(5, 1, GROWTH)],
        rounds=(1, 1),
        warm=False,
    )
    assert not found[-1].violations, found[-1].violations
