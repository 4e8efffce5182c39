"""Thirty steps over 5,000 orders: how much of the time is spent outside kernels, decoding and writing. The pipeline is that of steps.py.

The time of the whole is taken as any other; the share is what steps.py works out of stages, and of kernels called through a clock of
its own. Where the processor's time is counted, it is of the least times instead of medians, as `steps.py --least` has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orders
import pytest
import steps
from contest import figure

SHARE = "% outside kernels, decoding and writing"


@pytest.mark.parametrize(
    ("name", "made", "has_bar"),
    [("30 steps", "pipeline", True), ("30 steps, the last of them group_by", "grouped", False)],
    ids=["select", "group_by"],
)
def bench_steps(
    name: str, made: str, has_bar: bool, contest: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"\n".join(orders.records(steps.RECORDS)) + b"\n"
    if request.config.getoption("clock") == "cpu":
        monkeypatch.setattr(steps, "stage", time.thread_time)
        monkeypatch.setattr(steps, "middle", min)
    pipeline = getattr(steps, made)()
    assert len(pipeline.steps) == 30

    def figures(taken: Any) -> dict[str, float]:
        found = steps.stages(pipeline, lines, 101)
        return {SHARE: 100 * found["outside"] / found["wall"], "calls of kernels": found["calls"]}

    run: Callable[[], Any] = lambda: steps.written(pipeline.run(lines))  # noqa: E731
    contest(
        f"{name}, {steps.RECORDS:,} records, to Parquet",
        {"millstream": run},
        size=len(lines),
        bars=[figure(7, 100 * steps.BAR, SHARE)] if has_bar else [],
        figures=figures,
        seconds=2,
    )
