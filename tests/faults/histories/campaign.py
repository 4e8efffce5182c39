"""Many seeds: which history a seed is, and what of it was violated."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

from tests.faults.histories.judge import Violation
from tests.faults.histories.queues import QueueHistory
from tests.faults.histories.streams import History

KINDS = ("stream", "standard", "fifo", "objects")
TWICE = 20
"""Each of so many seeds is run twice: its trace must be the same."""
_CHUNK = 20


class Told(NamedTuple):
    """What came of a seed. violation: what must not be, in words; None if nothing was."""

    seed: int
    kind: str
    violation: str | None
    calls: int
    invocations: int


def kind_of(seed: int) -> str:
    """Which history a seed is."""
    return random.Random(f"{seed}/kind").choices(KINDS, (7, 1, 1, 1))[0]


def history(seed: int, kind: str | None = None) -> History | QueueHistory:
    """A seed's history, not yet run."""
    kind = kind or kind_of(seed)
    return History(seed) if kind == "stream" else QueueHistory(seed, kind)


def played(seed: int, kind: str | None = None) -> Told:
    """Run a seed."""
    kind = kind or kind_of(seed)
    one = history(seed, kind)
    violation = None
    try:
        one.run()
        if seed % TWICE == 0:
            again = history(seed, kind)
            again.run()
            if again.world.digest() != one.world.digest():
                raise Violation("the same seed made another trace")
    except Violation as found:
        violation = str(found)
    except Exception as error:  # of ours, or of the harness: neither may be
        violation = f"{type(error).__name__}: {error}"
    return Told(seed, kind, violation, one.world.calls, one.containers.started)


def _played(kind: str | None, seeds: range) -> list[Told]:
    return [played(seed, kind) for seed in seeds]


def campaign(first: int, count: int, kind: str | None = None, jobs: int | None = None) -> Iterator[Told]:
    """What came of so many seeds, in their order, by several processes."""
    seeds = [range(at, min(at + _CHUNK, first + count)) for at in range(first, first + count, _CHUNK)]
    work: Callable[[range], list[Told]] = partial(_played, kind)
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        for part in map(work, seeds):
            yield from part
        return
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(work, seeds):
            yield from part
