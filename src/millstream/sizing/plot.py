"""Draws duration and cost over memory, by matplotlib, which the extra `plots` brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millstream.errors import RunError, UsageError
from millstream.sizing.findings import Findings
from millstream.sizing.profile import ARCHITECTURES, CHOICES
from millstream.sizing.sweep import Size

SUFFIXES = (".svg", ".png", ".pdf")
MARKS = {"cheapest": ("v", "#2e7d32"), "fastest": ("^", "#c62828"), "balanced": ("D", "#1565c0")}
_DURATION, _COST, _QUOTA, _KILLED = "#37474f", "#6a1b9a", "#ef6c00", "#b71c1c"


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

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 8.5), layout="constrained")
    try:
        records = f"{found.sweep.told.records:,.0f} records"
        figure.suptitle(f"{found.pipeline}: batches of {records} from {found.source}, by the memory of the function")
        sizes = [one for one in found.sweep.sizes if not one.killed]
        _durations(found, sizes, above)
        _costs(found, sizes, below)
        _memory(found, above, below)
        _mark(found, above, below)
        for axes in (above, below):
            axes.grid(True, which="major", alpha=0.3)
            axes.legend(fontsize=8, loc="best")
        figure.supxlabel(_footer(found), fontsize=8, color="#555555", x=0.01, ha="left")
        metadata: dict[str, Any] = {"Date": None} if path.lower().endswith(".svg") else {}
        figure.savefig(path, dpi=130, metadata=metadata)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None
    finally:
        pyplot.close(figure)


def _durations(found: Findings, sizes: list[Size], axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    memory = [one.mb for one in sizes]
    axes.plot(memory, [one.init_ms for one in sizes], "--", color=_DURATION, alpha=0.6, label="init")
    axes.plot(memory, [one.first_ms for one in sizes], ":", color=_DURATION, label="first batch")
    axes.plot(
        memory, [one.model_ms for one in sizes], "-o", color=_DURATION, ms=4, label="warm batch: CPU time ÷ share, and waiting"
    )
    if not found.sweep.without_quota:
        busy = ", on a busy machine" if found.sweep.is_busy else ""
        axes.plot(
            memory, [one.quota_ms for one in sizes], "x", color=_QUOTA, ms=8, label=f"mean under a real quota of CPU{busy}"
        )
    axes.set_yscale("log")
    axes.margins(y=0.2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_ylabel("duration, ms (log)")


def _costs(found: Findings, sizes: list[Size], axes: Any) -> None:
    memory = [one.mb for one in sizes]
    for name, style in zip(ARCHITECTURES, ("-o", "--s"), strict=True):
        costs, alpha = [found.cost(one, name) for one in sizes], 1 if name == found.chosen else 0.45
        note = "" if name == found.machine else " (not measured: the same durations)"
        axes.plot(memory, costs, style, color=_COST, ms=4, alpha=alpha, label=f"{name}{note}")
    axes.set_ylabel("warm batches, USD a million records")
    axes.set_ylim(0, 1.2 * max(found.cost(one, name) for one in sizes for name in ARCHITECTURES))
    axes.set_xlabel("memory of the function, MB (log)")


def _memory(found: Findings, above: Any, below: Any) -> None:
    """Sizes as ticks; a band where one was killed."""
    every = [one.mb for one in found.sweep.sizes]
    below.set_xscale("log", base=2)
    below.set_xlim(min(every) / 1.25, max(every) * 1.25)
    below.set_xticks(every, labels=[f"{one:,}" for one in every], fontsize=8, rotation=30)
    below.minorticks_off()
    for size in found.sweep.sizes:
        if size.killed:
            for axes in (above, below):
                axes.axvline(size.mb, color=_KILLED, alpha=0.2, lw=8)
            place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "center", "fontsize": 8, "color": _KILLED}
            above.annotate("killed: over\nits memory", (size.mb, 0.5), **place)


def _mark(found: Findings, above: Any, below: Any) -> None:
    """The three that are recommended; one inside the other where they are the same size."""
    choice = found.choice
    if choice is None:
        return
    for mb in dict.fromkeys(choice.mb.values()):
        names = [name for name in CHOICES if choice.mb[name] == mb]
        size = next(one for one in found.sweep.sizes if one.mb == mb)
        for axes, value, offset in ((above, size.model_ms, -12), (below, found.cost(size, found.chosen), 12)):
            for i, name in enumerate(names):
                mark, color = MARKS[name]
                axes.plot([mb], [value], mark, color=color, ms=14 - 5 * i, zorder=5, mec="white")
            axes.annotate(
                f"{', '.join(names)}\n{mb:,} MB",
                (mb, value),
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                va="bottom" if offset > 0 else "top",
                fontsize=9,
                color=MARKS[names[-1]][1],
                fontweight="bold",
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
                zorder=6,
            )


def _footer(found: Findings) -> str:
    """The reasons, and what the figures are of."""
    choice = found.choice
    reasons = [] if choice is None else [f"{name}: {choice.mb[name]:,} MB, {choice.reasons[name]}" for name in CHOICES]
    prices = f"list prices of {found.prices.region}, {found.prices.date}; Lambda alone"
    return "\n".join([*reasons, f"{found.cpu}, {found.cores} cores; {prices}"])
