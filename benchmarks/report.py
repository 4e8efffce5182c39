"""The table of a run: every contestant's time, times Millstream's, and each bar with what was reached. As text, and as Markdown."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import measure
from contest import OURS, Reached, Result

PACKAGES = (
    "pyarrow",
    "polars",
    "duckdb",
    "orjson",
    "pysimdjson",
    "msgspec",
    "simplejson",
    "pybase64",
    "protobuf",
    "aws-lambda-powertools",
    "aws-kinesis-agg",
    "boto3",
    "botocore",
)
_WIDE = 66


def revision() -> str:
    """The commit that is checked out, and whether it was changed since."""
    try:
        git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not here")
    return ", ".join(found)


def header(clock: str = "wall") -> list[str]:
    """What figures are quoted with: machine, versions, date, revision, and how busy the machine was."""
    machine = measure.machine(["millstream"]).splitlines()
    busy = f"load {', '.join(f'{one:.1f}' for one in os.getloadavg())} (1, 5, 15 minutes)" if hasattr(os, "getloadavg") else ""
    counted = {"wall": "time as it passes", "cpu": "the processor's time of the process"}[clock]
    return [*machine, versions(), f"counted: {counted}", f"{time.strftime('%Y-%m-%d %H:%M')}, revision {revision()}, {busy}"]


def seconds(taken: float) -> str:
    """With three or four digits."""
    if taken >= 1:
        return f"{taken:.2f} s"
    if taken >= 1e-3:
        return f"{taken * 1e3:.2f} ms"
    return f"{taken * 1e6:.1f} µs"


def amount(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 20 else f"{value:.2f}"


def counted(results: Iterable[Result], skipped: Sequence[tuple[str, str]]) -> tuple[str, list[tuple[Result, Reached]]]:
    """How many bars there are and were met, and those that were not."""
    every = [(result, bar) for result in results for bar in result.bars]
    short = [(result, bar) for result, bar in every if not bar.met]
    said = f"{len(every)} bars: {len(every) - len(short)} met, {len(short)} short"
    return said + (f"; {len(skipped)} cases not measured" if skipped else ""), short


def table(
    head: Sequence[str], results: Sequence[Result], skipped: Sequence[tuple[str, str]], failed: Sequence[str]
) -> list[str]:
    """The lines of the table. A case's contestants stand in the order of their times; a bar stands in the row that it compares with."""
    lines = [*head, "", f"{'stage, case, back end; who':<{_WIDE}} {'median':>10} {'±':>5} {'GB/s':>7} {'times':>7}  bar"]
    for result in results:
        size = f", {result.size / 1e6:.2f} MB" if result.size else ""
        lines += ["", f"{result.stage}: {result.case}{size}; {result.backend}; {result.rounds} rounds"]
        for who, taken in sorted(result.medians.items(), key=lambda pair: pair[1]):
            rate = f"{result.size / taken / 1e9:.3f}" if result.size else ""
            bars = " · ".join(f"{bar.asked()}: {bar.said()}, {amount(bar.reached)}" for bar in result.bars if bar.who == who)
            shown = f"{result.spread[who]:.0%}"
            lines.append(
                f"  {result.names[who]:<{_WIDE - 2}} {seconds(taken):>10} {shown:>5} {rate:>7} {result.times(who):>7.2f}  {bars}".rstrip()
            )
        lines += [f"  {name}: {amount(value)}" for name, value in result.figures.items()]
    said, short = counted(results, skipped)
    lines += ["", said]
    lines += [
        f"  SHORT  step {bar.step}, {result.stage}: {result.case}: {bar.asked()}: {amount(bar.reached)}"
        for result, bar in short
    ]
    lines += [f"  NOT MEASURED  {case}: {why}" for case, why in skipped]
    lines += [f"  FAILED  {case}" for case in failed]
    return lines


def markdown(
    head: Sequence[str], results: Sequence[Result], skipped: Sequence[tuple[str, str]], failed: Sequence[str]
) -> list[str]:
    """Two tables: every bar, then every case with its peers."""
    lines = ["```text", *head, "```", "", "| step | stage, case | bar | reached | |", "|---|---|---|---|---|"]
    for result in results:
        for bar in result.bars:
            said = "met" if bar.met else "**short**"
            lines.append(f"| {bar.step} | {result.stage}: {result.case} | {bar.asked()} | {amount(bar.reached)} | {said} |")
    lines += [f"| | {case} | | not measured: {why} | |" for case, why in skipped]
    lines += [f"| | {case} | | **failed** | |" for case in failed]
    lines += ["", counted(results, skipped)[0] + ".", ""]
    lines += [
        "| stage, case | back end | Millstream | GB/s | peers: median, times Millstream's | yardsticks |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        ordered = sorted(result.medians, key=result.medians.__getitem__)

        def told(which: Iterable[str], result: Result = result, ordered: Sequence[str] = ordered) -> str:
            chosen = set(which)
            return "; ".join(
                f"{result.names[who]} {seconds(result.medians[who])}, {result.times(who):.2f}"
                for who in ordered
                if who in chosen
            )

        rate = f"{result.size / result.medians[OURS] / 1e9:.3f}" if result.size else ""
        others = [who for who in ordered if who != OURS and who not in result.peers]
        ours = f"{result.backend} | {seconds(result.medians[OURS])} | {rate}"
        lines.append(f"| {result.stage}: {result.case} | {ours} | {told(result.peers)} | {told(others)} |")
    return lines
