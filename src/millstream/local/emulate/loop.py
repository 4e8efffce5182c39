"""The loop of an emulation: poll, invoke, wait, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream import clock
from millstream.classes import Protocol
from millstream.local.emulate.work import Work
from millstream.local.emulator.answers import Answer, Invocation

_MOST_WAIT = 0.2  # seconds, so that what is shown does not stand still
_LEAST_WAIT = 0.001


class Invoker(Protocol):
    """What invokes a function, side by side: `invoke.Function`."""

    def start(self, invocation: Invocation) -> None: ...

    def wait(self, seconds: float | None) -> list[tuple[Invocation, Answer]]: ...


class Loop:
    """until_idle: seconds without anything new, nothing held and nothing in flight, after which it ends; None is never.

    show: is called some five times a second, and after every answer. `stopping` may be set by the handler of a signal: nothing is polled or
    invoked any more then.
    """

    def __init__(self, work: Work, function: Invoker, until_idle: float | None, show: Callable[[], Any]) -> None:
        self.work, self.function, self.until_idle, self.show = work, function, until_idle, show
        self.stopping = False

    def run(self) -> str:
        """Until it ends: `idle` or `signal`, why. Raises RunError."""
        received, since = -1, clock.now()
        while True:
            now = clock.now()
            if not self.stopping:
                for invocation in self.work.poll(now):
                    self.function.start(invocation)
            counts = self.work.counts
            if self.stopping and not self.work.in_flight:
                return "signal"
            if counts.received != received or counts.held or self.work.in_flight:
                received, since = counts.received, now
            elif self.until_idle is not None and now - since >= self.until_idle:
                return "idle"
            self.show()
            for invocation, answer in self.function.wait(self._pause(since)):
                since = clock.now()
                self.work.answer(invocation, answer, since)

    def _pause(self, since: float) -> float:
        """How long to wait for an answer."""
        if self.stopping:
            return _MOST_WAIT
        now = clock.now()
        times = [now + _MOST_WAIT]
        wake = self.work.wake(now)
        if wake is not None:
            times.append(wake)
        if self.until_idle is not None and since + self.until_idle > now:
            times.append(since + self.until_idle)
        return max(_LEAST_WAIT, min(times) - now)
