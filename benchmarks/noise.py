"""Is one revision slower than another? Told from times that were taken in pairs, by several pairs of processes.

A pair of processes has its own layout of memory and its own neighbours, which can be worth some hundredths for as long as it lives. So
the median of its paired ratios is one observation, however many pairs it took, and the interval is Student's over these observations,
of logarithms.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 %: of one degree of freedom and more; beyond these that of sixteen, a little wide.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_MANY = 2.12

Pair = tuple[float, float]
"""Seconds of the base, seconds of the head, taken one right after the other."""


@dataclass(frozen=True)
class Change:
    """How many times the base's time the head takes, and between what that lies with 95 % confidence."""

    ratio: float
    low: float
    high: float

    def verdict(self, threshold: float) -> str:
        """threshold: a share, 0.05 for a twentieth. Slower or quicker only where the whole interval is."""
        if self.low > 1 + threshold:
            return "SLOWER"
        if self.high < 1 / (1 + threshold):
            return "quicker"
        if self.high > 1 + threshold and self.ratio > 1 + threshold:
            return "unsure"
        return "same"


def change(processes: Sequence[Sequence[Pair]]) -> Change:
    """The change that the pairs of each pair of processes show. At least two, with at least one pair each."""
    if len(processes) < 2 or not all(processes):
        raise ValueError("an interval needs pairs of at least two pairs of processes")
    observed = [statistics.median(math.log(head / base) for base, head in pairs) for pairs in processes]
    middle = statistics.fmean(observed)
    freedom = len(observed) - 1
    reach = (
        (_STUDENT[freedom - 1] if freedom <= len(_STUDENT) else _MANY) * statistics.stdev(observed) / math.sqrt(len(observed))
    )
    return Change(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach))
