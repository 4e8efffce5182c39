"""A sweep over sizes of memory: what is measured at each, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millstream.classes import dataclass
from millstream.errors import RunError
from millstream.sizing import choice, limits, model
from millstream.sizing.choice import Choice, Option
from millstream.sizing.measure import Bench, Run, Told
from millstream.sizing.model import Sample, billed, duration, percentile, typical

MEMORY = (128, 256, 512, 1024, 1769, 2048, 3008)
BUSY = 0.1
"""On a machine that is busier than that what a batch takes under a quota tells of its other work; durations are the model's then."""


@dataclass(frozen=True)
class Size:
    """What a size of memory comes to. Milliseconds; peak: MB. killed: when its processes were over their memory, "" if none was.

    model_ms: a typical batch by the model, which costs are of. quota_ms: the mean of a batch under a real quota, None without; off: that
    beside what the model says of the same batches' CPU time, as a ratio.
    """

    mb: int
    killed: str
    peak_mb: float
    init_ms: float = 0.0
    first_ms: float = 0.0
    warm_ms: tuple[float, ...] = ()
    cpu_ms: float = 0.0
    model_ms: float = 0.0
    quota_ms: float | None = None
    off: float | None = None


@dataclass(frozen=True)
class Sweep:
    """whole: a typical warm batch with a whole CPU. without_quota: why there is no real quota, "" if there is. told: by the handlers' logs.

    busy: the share of warm batches' time, with a whole CPU, in which this machine ran something else.
    """

    sizes: tuple[Size, ...]
    whole: Sample
    told: Told
    event_bytes: int
    batches: int
    runs: int
    busy: float
    without_quota: str

    @property
    def is_busy(self) -> bool:
        return self.busy > BUSY


def sweep(
    bench: Bench, memory: Sequence[int], rounds: int, place: limits.Place | None, why: str, done: Callable[[str], Any]
) -> Sweep:
    """Run processes of each size. place: where a real quota is held; None takes the model alone. Raises UsageError and RunError."""
    done("trial")
    trial = bench.run(None)  # errors are told once; files are in memory and bytecode is compiled from here on
    if trial.failed:
        raise RunError(
            f"the handler answered that {trial.failed:,} deliveries failed: what comes again is not what a batch takes. Its log told: "
            f"{bench.error() or 'nothing'}"
        )
    whole: list[Run] = []
    runs: dict[int, list[Run]] = {mb: [] for mb in memory}
    for _ in range(rounds):  # in turn, so that what else the machine does meets all sizes
        if place is not None:
            done("whole CPU")
            whole.append(bench.run(None))
        for mb in memory:
            if any(one.killed for one in runs[mb]):
                continue
            done(f"{mb:,} MB")
            runs[mb].append(bench.run(mb, place))
            if place is None:
                whole.append(runs[mb][-1])
    every = [one for one in whole if not one.killed] or [trial]
    warm = [one for run in every for one in run.warm]
    busy = sum(one.delay for one in warm) / sum(one.wall for one in warm)
    sizes = tuple(_size(mb, runs[mb], every, place is not None, place is not None and busy <= BUSY) for mb in memory)
    return Sweep(sizes, typical(warm), bench.told(), bench.event_bytes, len(warm), bench.runs, busy, "" if place else why)


def steps(memory: Sequence[int], rounds: int, quota: bool) -> int:
    """How often `done` is called at the most."""
    return 1 + rounds * (len(memory) + quota)


def _size(mb: int, runs: Sequence[Run], whole: Sequence[Run], checked: bool, measured: bool) -> Size:
    """What runs of a size come to. checked: there is a quota; measured: durations are as they were under it, else by the model."""
    cpus = limits.share(mb)
    peak = max(one.peak_mb for one in runs)
    killed = next((one.killed for one in runs if one.killed), "")
    if killed:
        return Size(mb, killed, peak)
    every = [one for run in whole for one in run.warm]
    modelled = duration(typical(every), cpus) * 1e3

    def middle(of: Callable[[Run], Sample | None]) -> float:
        if measured:
            return percentile([one.wall for run in runs if (one := of(run)) is not None], 50) * 1e3
        return duration(typical([one for run in whole if (one := of(run)) is not None]), cpus) * 1e3

    if measured:
        times = [one.wall * 1e3 for run in runs for one in run.warm]
    else:
        times = [duration(one, cpus) * 1e3 for one in every]
    return Size(
        mb,
        "",
        peak,
        init_ms=middle(lambda run: run.init),
        first_ms=middle(lambda run: run.first),
        warm_ms=tuple(percentile(times, one) for one in model.PERCENTILES),
        cpu_ms=percentile([one.cpu for run in runs for one in run.warm], 50) * 1e3,
        model_ms=modelled,
        **(_checked(runs, typical(every), cpus) if checked else {}),
    )


def _checked(runs: Sequence[Run], whole: Sample, cpus: float) -> dict[str, float]:
    """The mean of batches under a real quota, beside the model's of the same CPU time."""
    warm = [one for run in runs for one in run.warm]
    cpu, wall = (sum(values) / len(warm) for values in zip(*((one.cpu, one.wall) for one in warm), strict=True))
    modelled = duration(Sample(cpu + whole.wait, cpu), cpus)
    return {"quota_ms": wall * 1e3, "off": wall / modelled}


def cost(size: Size, records: float, gb_second: float, request: float) -> float:
    """USD of a million records in warm batches."""
    return (billed(size.model_ms) / 1e3 * size.mb / 1024 * gb_second + request) * 1e6 / max(records, 1)


def cold_cost(size: Size, gb_second: float, request: float) -> float:
    """USD of a cold start with its first batch: Lambda bills the start as well since August 2025."""
    return billed(size.init_ms + size.first_ms) / 1e3 * size.mb / 1024 * gb_second + request


def recommend(found: Sweep, gb_second: float, request: float) -> Choice | None:
    """The choice at these prices; None where no size has room."""
    records = found.told.records
    return choice.choose(
        [
            Option(
                one.mb,
                one.model_ms,
                cost(one, records, gb_second, request) if not one.killed else 0.0,
                one.peak_mb,
                not one.killed,
            )
            for one in found.sizes
        ]
    )
