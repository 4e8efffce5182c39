"""One case of a benchmark: Millstream and its peers do the same work in turn, and bars say what must be reached.

pytest-benchmark times Millstream's run; before each of its rounds every peer runs once, timed by the same clock, so that the times of
one round are neighbours and a machine whose speed drifts is the same for all. What is told is medians, and ratios of them.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import measure

OURS = "millstream"
FASTEST = "fastest"
"""In a bar: the fastest of the peers, yardsticks and other ways of Millstream's left out."""
TURNS = 2
"""Turns that are not counted."""


@dataclass(frozen=True)
class Result:
    """What a case gave: seconds by contestant, medians; `spread` is the half of the middle half of the times, in shares of the median.

    size: bytes of input that a run reads; 0 where a rate says nothing. figures: what is no time, such as memory.
    """

    stage: str
    case: str
    backend: str
    rounds: int
    medians: dict[str, float]
    spread: dict[str, float]
    names: dict[str, str]
    yardsticks: tuple[str, ...] = ()
    size: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    bars: tuple[Reached, ...] = ()

    @property
    def peers(self) -> list[str]:
        """Those that do the whole work, and are not Millstream."""
        return [who for who in self.medians if who not in self.yardsticks and not who.startswith(OURS)]

    def times(self, who: str) -> float:
        """How many times as long as Millstream somebody takes."""
        return self.medians[who] / self.medians[OURS]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Bar:
    """What must be reached: `reach` works it out of a result; it must be at least, or at most, `wanted`.

    step: which step of the plan asks for it. who: the contestant whose row it stands in. text: what is compared, as a table tells it.
    """

    step: int
    wanted: float
    text: str
    reach: Callable[[Result], float]
    at_most: bool = False
    who: str = OURS

    def of(self, result: Result) -> Reached:
        reached = self.reach(result)
        met = reached <= self.wanted if self.at_most else reached >= self.wanted
        who = min(result.peers, key=result.medians.__getitem__) if self.who == FASTEST else self.who
        text = self.text if self.who != FASTEST else f"{self.text} ({who})"
        return Reached(self.step, self.wanted, text, reached, self.at_most, who, met)


@dataclass(frozen=True)
class Reached:
    """A bar and what was reached."""

    step: int
    wanted: float
    text: str
    reached: float
    at_most: bool
    who: str
    met: bool

    def asked(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.wanted:g} {self.text}"

    def said(self) -> str:
        return "met" if self.met else "SHORT"


def faster(step: int, wanted: float, who: str = FASTEST) -> Bar:
    """At least so many times the speed of a peer, or of the fastest of them."""

    def reach(result: Result) -> float:
        if who == FASTEST:
            return min(result.times(one) for one in result.peers)
        return result.times(who)

    return Bar(step, wanted, f"× {'the fastest' if who == FASTEST else who}", reach, who=who)


def rate(step: int, wanted: float) -> Bar:
    """At least so many gigabytes a second."""
    return Bar(step, wanted, "GB/s", lambda result: result.size / result.medians[OURS] / 1e9)


def takes(step: int, wanted: float, *whose: str) -> Bar:
    """At most so many times as long as somebody, or as several together."""
    text = f"× {' and '.join(whose)}"
    return Bar(
        step, wanted, text, lambda result: result.medians[OURS] / sum(result.medians[who] for who in whose), True, whose[0]
    )


def figure(step: int, wanted: float, name: str, at_most: bool = True) -> Bar:
    """Of something that is no time, named among a result's figures."""
    return Bar(step, wanted, name, lambda result: result.figures[name], at_most)


def spread(times: Sequence[float]) -> float:
    """Half the range of the middle half, as a share of the median."""
    if len(times) < 4:
        return (max(times) - min(times)) / 2 / statistics.median(times)
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / 2 / middle


class Contest:
    """The fixture `contest`: runs a case, tells its result. Called once in a benchmark."""

    def __init__(
        self, benchmark: Any, stage: str, keep: Callable[[Result], None], clock: Callable[[], float], share: float
    ) -> None:
        self._benchmark, self._stage, self._keep, self._clock, self._share = benchmark, stage, keep, clock, share

    def __call__(
        self,
        case: str,
        runs: Mapping[str, measure.Run],
        *,
        names: Mapping[str, str] | None = None,
        yardsticks: Sequence[str] = (),
        size: int = 0,
        bars: Sequence[Bar] = (),
        figures: Callable[[Mapping[str, Sequence[float]]], Mapping[str, float]] | None = None,
        prepare: Callable[[], Any] | None = None,
        settle: bool = False,
        seconds: float = 4.0,
        rounds: tuple[int, int] = (9, 61),
        warm: bool = True,
    ) -> Result:
        """Run everybody in turn, Millstream's under the name `millstream`, as often as fits in `seconds`, from `rounds` to `rounds`.

        settle: each runs twice in its turn, and the first is not counted: memory is then as it left it itself, as in a process of
        its own. prepare: called before each turn, and not timed. warm: turns before the first that counts; runs that are processes
        need none. figures: worked out of everybody's times, in the order of rounds, when all have run.
        """
        backend = measure.native()
        ours = runs[OURS]
        others = {who: run for who, run in runs.items() if who != OURS}
        taken: dict[str, list[float]] = {who: [] for who in others}
        turn = 0

        def before() -> None:
            """The turns of the others, each time another one first."""
            nonlocal turn
            turn += 1
            if prepare:
                prepare()
            order = list(others)
            at = turn % len(order) if order else 0
            for who in order[at:] + order[:at]:
                if settle:
                    others[who]()
                started = self._clock()
                others[who]()
                taken[who].append(self._clock() - started)
            gc.collect()
            if settle:
                ours()

        gc.collect()
        gc.disable()
        try:
            count = rounds[0]
            if warm:
                turns = []
                for _ in range(TURNS):
                    started = time.process_time()  # on a busy machine it takes longer, and is as good
                    before()
                    ours()
                    turns.append(time.process_time() - started)
                count = int(seconds * self._share / min(turns))
                for times in taken.values():
                    times.clear()
            count = min(max(count, rounds[0]), rounds[1])
            self._benchmark.pedantic(ours, setup=before, rounds=count, iterations=1)
        finally:
            gc.enable()
        taken = {OURS: list(self._benchmark.stats.stats.data), **taken}
        result = Result(
            stage=self._stage,
            case=case,
            backend=backend,
            rounds=count,
            medians={who: statistics.median(times) for who, times in taken.items()},
            spread={who: spread(times) for who, times in taken.items()},
            names={who: (names or {}).get(who, who) for who in taken},
            yardsticks=tuple(who for who in yardsticks if who in taken),
            size=size,
            figures=dict(figures(taken)) if figures else {},
        )
        return self.tell(result, bars)

    def tell(self, result: Result, bars: Sequence[Bar]) -> Result:
        """Keep a result, with what it reached."""
        result = Result(**{**vars(result), "bars": tuple(bar.of(result) for bar in bars)})
        self._benchmark.extra_info.update(result.plain())
        self._keep(result)
        return result
