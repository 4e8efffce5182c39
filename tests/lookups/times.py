"""A clock of the tests' own: it goes on when it is told to, or when somebody sleeps."""

from typing import Any

from millstream import clock


class Times:
    """In the place of `clock.source`. slept: how long somebody slept, each time; drawn: between what waits were drawn."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.slept: list[float] = []
        self.drawn: list[tuple[float, float]] = []
        self._machine = clock.source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def uniform(self, low: float, high: float) -> float:
        self.drawn.append((low, high))
        return high

    def pass_(self, seconds: float) -> None:
        """Let so much time go by."""
        self.time += seconds
