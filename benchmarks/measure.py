"""Measuring side by side: everybody once a round, in turn, so that a machine whose speed drifts is the same for all."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

Run = Callable[[], Any]


def one_thread_each() -> None:
    """Call before peers are imported."""
    os.environ.update(dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"), "1"))


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Told:
    """A clock that goes by what processes tell of their own work: each adds its seconds, and seconds of the processor."""

    __name__ = "told"

    def __init__(self, which: str) -> None:
        self._which, self._now = which, 0.0

    def __call__(self) -> float:
        return self._now

    def add(self, wall: float, cpu: float) -> None:
        self._now += {"wall": wall, "cpu": cpu}[self._which]


CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
"""Those that this process was given."""


def one_core() -> None:
    """Keep this process, its threads and what it starts to one core, where the system can."""
    if CORES:
        os.sched_setaffinity(0, {max(CORES)})


def other_cores() -> contextlib.AbstractContextManager[None]:
    """What is started in here, a server that others are measured with, has the cores that are not measured on."""
    return _on(CORES - {max(CORES, default=0)})


def all_cores() -> contextlib.AbstractContextManager[None]:
    """What is started in here has every core."""
    return _on(CORES)


@contextlib.contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def native() -> str:
    """The name of the back end, which must be the native one: SystemExit with the remedy for another."""
    from millstream.native.bind import kernels

    backend = kernels.load()
    if backend.name != "native":
        raise SystemExit(f"benchmarks measure the native kernels, these are {backend.name}: unset MILLSTREAM_BACKEND")
    return backend.name


def medians(
    runs: Mapping[str, Run], rounds: int = 31, *, settle: bool = False, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds that each takes, medians over rounds after two that are not counted.

    settle: each runs twice in its turn, and the first is not counted: memory is then as it left it itself, as in a process
    of its own. Otherwise, where many objects are made and freed, the neighbour in the turn can be worth a third.
    """
    seconds: dict[str, list[float]] = {who: [] for who in runs}
    gc.collect()
    gc.disable()
    try:
        for one in range(rounds + 2):
            for who, run in runs.items():
                if settle:
                    run()
                started = clock()
                run()
                taken = clock() - started
                if one >= 2:
                    seconds[who].append(taken)
            gc.collect()
    finally:
        gc.enable()
    return {who: statistics.median(taken) for who, taken in seconds.items()}


def machine(packages: Sequence[str]) -> str:
    """What figures are quoted with: processor, system, kernels' back end, versions."""
    from millstream.native.bind import kernels

    native()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            cpu = next(line.partition(":")[2].strip() for line in file if line.startswith(("model name", "CPU part")))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    said = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, one thread each\n"
        f"kernels {kernels.load().manifest['cpu']}; {said}"
    )
