"""Which memory is cheapest, fastest and balanced, and why.

Durations are the model's, of CPU time: that is the same whoever else is busy on the machine, so the choice is the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from millstream.classes import dataclass
from millstream.sizing.profile import CHOICES

COST_TOLERANCE = 0.05
TIME_TOLERANCE = 0.05
BALANCE_TOLERANCE = 0.10
HEADROOM = 0.75
"""Of a function's memory: with more in use at the peak, it is not recommended. Lambda's own runtime client is not in what is measured, and
other events may want more than these."""


class Option(NamedTuple):
    """A size of memory. ms: of a batch; cost: USD of a million records; peak: MB; fits: no process was over its memory."""

    mb: int
    ms: float
    cost: float
    peak: float
    fits: bool

    @property
    def roomy(self) -> bool:
        return self.fits and self.peak <= HEADROOM * self.mb


@dataclass(frozen=True)
class Choice:
    """A memory by each name, and the reason in words."""

    mb: dict[str, int]
    reasons: dict[str, str]


def choose(options: Sequence[Option]) -> Choice | None:
    """The recommendation; None where no size has room."""
    roomy = [one for one in options if one.roomy]
    if not roomy:
        return None
    cheapest, alike = _least(roomy, lambda one: one.cost, COST_TOLERANCE)
    fastest, _ = _least(roomy, lambda one: one.ms, TIME_TOLERANCE)
    balanced, _ = _least(roomy, lambda one: one.cost * one.ms, BALANCE_TOLERANCE)
    same = [one.mb for one in alike if one is not cheapest]
    reasons = {
        "cheapest": f"${cheapest.cost:.6f} a million records"
        + (f"; {_listed(same)} MB cost at most {COST_TOLERANCE:.0%} more or less" if same else "")
        + _refused(options, cheapest),
        "fastest": f"{milliseconds(fastest.ms)} a batch; {_more_gains_little(roomy, fastest)}",
        "balanced": _against(balanced, cheapest, fastest),
    }
    return Choice(dict(zip(CHOICES, (cheapest.mb, fastest.mb, balanced.mb), strict=True)), reasons)


def _least(options: Sequence[Option], value: Callable[[Option], float], tolerance: float) -> tuple[Option, list[Option]]:
    """The smallest memory of those whose value is the least but for a tolerance; and all of those."""
    limit = min(map(value, options)) * (1 + tolerance)
    alike = [one for one in options if value(one) <= limit]
    return min(alike, key=lambda one: one.mb), alike


def milliseconds(ms: float) -> str:
    """Milliseconds as they are told."""
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms"


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(filter(None, [", ".join(f"{one:,}" for one in numbers[:-1]), f"{numbers[-1]:,}"]))


def _refused(options: Sequence[Option], chosen: Option) -> str:
    """Why nothing smaller was taken."""
    smaller = [one for one in options if one.mb < chosen.mb and not one.roomy]
    if not smaller:
        return ""
    killed = [one.mb for one in smaller if not one.fits]
    tight = [one.mb for one in smaller if one.fits]
    told = [f"{_listed(killed)} MB are too little"] if killed else []
    if tight:
        told.append(f"{_listed(tight)} MB leave less than {1 - HEADROOM:.0%} free")
    return "; " + ", ".join(told)


def _more_gains_little(options: Sequence[Option], fastest: Option) -> str:
    larger = [one for one in options if one.mb > fastest.mb]
    if not larger:
        return "the largest that was tried"
    gain = 1 - min(one.ms for one in larger) / fastest.ms
    return f"more memory takes off {gain:.0%}" if gain >= 0.005 else "more memory takes nothing off: it is one thread's work"


def _against(balanced: Option, cheapest: Option, fastest: Option) -> str:
    told = "the least cost × duration"
    if balanced.mb != cheapest.mb:
        told += (
            f": {cheapest.ms / balanced.ms:.1f} times as fast as {cheapest.mb:,} MB for "
            f"{_percent_more(balanced.cost / cheapest.cost)}"
        )
    if balanced.mb != fastest.mb:
        more = _percent_more(fastest.cost / balanced.cost)
        told += f"; {fastest.mb:,} MB take {1 - fastest.ms / balanced.ms:.0%} less time and cost {more}"
    return told


def _percent_more(ratio: float) -> str:
    return f"{ratio - 1:.0%} more" if ratio >= 1.005 else "the same" if ratio > 0.995 else f"{1 - ratio:.0%} less"
