"""One thread for everybody, and a table of ratios after the run."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from importlib.metadata import version
from typing import Any

for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"):
    os.environ[name] = "1"

import pytest  # noqa: E402


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith(("model name", "CPU part")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """Per group: the median of each, its rate, how many times Millstream's time it takes, and the bars."""
    session = getattr(config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    from millstream.native.bind import kernels

    backend = kernels.load()
    say = terminalreporter.write_line
    packages = ("millstream", "pyarrow", "polars", "duckdb", "orjson", "pysimdjson")
    say("")
    say(f"{_cpu()}, {platform.system()} {platform.machine()}, Python {platform.python_version()}, one thread each")
    say(f"kernels: {backend.name}, {backend.manifest['cpu']}; " + ", ".join(f"{name} {version(name)}" for name in packages))
    groups: dict[str, list[Any]] = defaultdict(list)
    for one in session.benchmarks:
        groups[one.group].append(one)
    for group, members in groups.items():
        medians = {one.extra_info["key"]: one.stats.median for one in members}
        ours = medians.get("millstream")
        say("")
        say(f"{group:<60} {'median':>10} {'rate':>11} {'times ours':>11}")
        for one in sorted(members, key=lambda member: member.stats.median):
            median, size = one.stats.median, one.extra_info["bytes"]
            ratio = f"{median / ours:.2f}" if ours else ""
            say(f"  {one.extra_info['who']:<58} {median * 1e3:>7.2f} ms {size / median / 1e9:>6.3f} GB/s {ratio:>11}")
        for peer, bar in members[0].extra_info["bars"]:
            if ours and peer in medians:
                reached = medians[peer] / ours
                verdict = "met" if reached >= bar else "MISSED"
                say(f"  bar: {bar:g} x {peer}: {verdict} with {reached:.2f}")
