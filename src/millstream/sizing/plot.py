"""Draws duration and cost over memory, by matplotlib, which the extra `plots` brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millstream.errors import RunError, UsageError
from millstream.sizing.choice import NAMES
from millstream.sizing.findings import Findings

SUFFIXES = (".svg", ".png", ".pdf")
MARKS = {"cheapest": ("v", "#2e7d32"), "fastest": ("^", "#c62828"), "balanced": ("D", "#1565c0")}
_DURATION, _COST = "#37474f", "#6a1b9a"


def check_plot(path: str) -> None:
    """Raise UsageError where a plot cannot be drawn into a file of that name: before anything is measured."""
    import importlib.util

    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot is {path}; name a file that ends with {', '.join(SUFFIXES)}")
    if not Path(path).resolve().parent.is_dir():
        raise UsageError(f"--plot: there is no folder {Path(path).resolve().parent}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'millstream[plots]'")


def draw(found: Findings, path: str) -> None:
    """Write the plot. Raises RunError where the file cannot be written."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "millstream"  # the same figures give the same file
    from matplotlib import pyplot

    sizes = [one for one in found.sweep.sizes if not one.killed]
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 7.5), layout="constrained")
    try:
        records = f"{found.sweep.told.records:,.0f} records"
        figure.suptitle(f"{found.pipeline}: batches of {records} from {found.source}, by the memory of the function")
        memory = [one.mb for one in sizes]
        above.plot(
            memory, [one.model_ms for one in sizes], "-o", color=_DURATION, ms=4, label="warm batch: CPU time ÷ share + waiting"
        )
        if not found.sweep.without_quota:
            above.plot(
                memory, [one.quota_ms for one in sizes], "x", color="#ef6c00", ms=8, label="mean under a real quota of CPU"
            )
        above.plot(memory, [one.first_ms for one in sizes], ":", color=_DURATION, label="first batch")
        above.plot(memory, [one.init_ms for one in sizes], "--", color=_DURATION, alpha=0.6, label="init")
        above.set_yscale("log")
        above.set_ylabel("duration, ms (log)")
        for name, style in (("x86_64", "-o"), ("arm64", "--s")):
            note = "" if name == found.machine else " (not measured: same durations)"
            costs, alpha = [found.cost(one, name) for one in sizes], 1 if name == found.chosen else 0.45
            below.plot(memory, costs, style, color=_COST, ms=4, alpha=alpha, label=f"{name}{note}")
        below.set_ylabel("Lambda's price, USD a million records")
        below.set_ylim(bottom=0)
        below.set_xlabel("memory of the function, MB (log)")
        _mark(found, above, below)
        _axis(found, above, below)
        below.text(
            0.0, -0.24, f"{found.cpu}, {found.cores} cores; list prices of {found.prices.region}, {found.prices.date}; Lambda alone",
            transform=below.transAxes, fontsize=8, color="#555555",
        )  # fmt: skip
        for axes in (above, below):
            axes.grid(True, which="major", alpha=0.3)
            axes.legend(fontsize=8, loc="best")
        metadata: dict[str, Any] = {"Date": None} if path.lower().endswith(".svg") else {}
        figure.savefig(path, dpi=130, metadata=metadata)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None
    finally:
        pyplot.close(figure)


def _mark(found: Findings, above: Any, below: Any) -> None:
    """The three that are recommended: one mark each, beside each other where they are the same size."""
    choice = found.choice
    if choice is None:
        return
    for mb in dict.fromkeys(choice.mb.values()):
        names = [name for name in NAMES if choice.mb[name] == mb]
        size = next(one for one in found.sweep.sizes if one.mb == mb)
        for axes, value in ((above, size.model_ms), (below, found.cost(size, found.chosen))):
            for i, name in enumerate(names):
                mark, color = MARKS[name]
                axes.plot([mb], [value], mark, color=color, ms=12 - 3 * i, zorder=5, mec="white")
            axes.annotate(
                f"{', '.join(names)}: {mb:,} MB", (mb, value), xytext=(0, 13), textcoords="offset points", ha="center",
                fontsize=9, color=MARKS[names[0]][1], fontweight="bold",
            )  # fmt: skip


def _axis(found: Findings, above: Any, below: Any) -> None:
    """Sizes as ticks, those that were killed shaded."""
    below.set_xscale("log", base=2)
    every = [one.mb for one in found.sweep.sizes]
    below.set_xticks(every, labels=[f"{one:,}" for one in every], fontsize=8)
    below.minorticks_off()
    above.minorticks_off()
    for size in found.sweep.sizes:
        if size.killed:
            for axes in (above, below):
                axes.axvline(size.mb, color="#b71c1c", alpha=0.3, lw=6)
            above.annotate(
                "killed:\nout of memory",
                (size.mb, 0.5),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=8,
                color="#b71c1c",
            )
