"""How long a batch takes with a share of a CPU, from what it took with a whole one.

A batch spends CPU time, of all its threads, and waits: for S3, mostly. With a share s of a CPU, up to one, its CPU time takes 1/s times
as long, and it waits as it did: `cpu / s + wait`. With more than one CPU it takes what it took, as long as its threads together ask
for no more than s: `max(wall, cpu / s)`. What runs in one thread does not get quicker.

This is what batches take that come one after another, as those of a stream that has records enough. One that comes after a pause may
find the quota of a whole period unspent, and be done sooner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from millstream.classes import dataclass

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Sample:
    """Seconds: from begin to end, and of CPU. delay: for which it was ready to run while this machine ran something else."""

    wall: float
    cpu: float
    delay: float = 0.0

    @property
    def alone(self) -> float:
        """The time from begin to end as it would be if nothing else ran."""
        return max(self.wall - self.delay, 0.0)

    @property
    def wait(self) -> float:
        return max(self.alone - self.cpu, 0.0)


def duration(sample: Sample, cpus: float) -> float:
    """Seconds that it takes with so many CPUs."""
    if cpus <= 1:
        return sample.cpu / cpus + sample.wait
    return max(sample.alone, sample.cpu / cpus)


def typical(samples: Sequence[Sample]) -> Sample:
    """What a batch takes, as the machine's other work tells least of: the median of CPU time, the lower quartile of waiting.

    Other work only ever adds to waiting: S3 here is a thread that waits for a CPU too. Raises ValueError without samples.
    """
    cpu = percentile([one.cpu for one in samples], 50)
    wait = percentile([one.wait for one in samples], 25)
    overlap = percentile([max(one.cpu - one.alone, 0.0) for one in samples], 50)  # of threads side by side
    return Sample(cpu - overlap + wait, cpu)


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many per cent of the values do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def billed(milliseconds: float) -> float:
    """What is paid for a batch of that duration: Lambda rounds up to a millisecond, which adds half of one at the mean."""
    return milliseconds + 0.5
