"""A function behind a mapping, in simulated time: polls, lets invocations run, answers."""

import heapq
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from millstream.local.emulator.answers import Answer, Invocation


class World:
    """Everything that happens, in the order of its time. `log` holds invocations as they start, `flying` those under way."""

    def __init__(
        self, mapping: Any, function: Callable[[Invocation], Answer], latency: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.mapping, self.function, self.latency = mapping, function, latency
        self.now = 0.0
        self.log: list[Invocation] = []
        self.flying: dict[int, Invocation] = {}
        self.on_start: Callable[[Invocation], None] = lambda _: None
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._count = 0

    def at(self, time: float, act: Callable[[], Any]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, act))

    def run(self, until: float = inf) -> "World":
        """Until nothing is left to do, or a time has come."""
        for _ in range(100_000):
            for invocation in self.mapping.poll(self.now):
                self.on_start(invocation)
                self.log.append(invocation)
                self.flying[invocation.number] = invocation
                self.at(self.now + self.latency(), lambda one=invocation: self._answer(one))
            wake = self.mapping.wake(self.now)
            times = [time for time in (wake, self._events[0][0] if self._events else None) if time is not None]
            if not times or min(times) > until:
                return self
            self.now = max(self.now, min(times))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
        raise AssertionError("it never ends")

    def _answer(self, invocation: Invocation) -> None:
        self.flying.pop(invocation.number, None)
        self.mapping.answer(invocation, self.function(invocation), self.now)


class Seen(NamedTuple):
    number: int
    shard: str
    records: tuple[str, ...]
    started: float
    request: str


def seen(world: World) -> list[Seen]:
    """What was invoked, to be compared."""
    return [Seen(one.number, one.shard, identifiers(one), one.started, one.request) for one in world.log]


def identifiers(invocation: Invocation) -> tuple[str, ...]:
    """What the event calls its records by."""
    return tuple(
        one["kinesis"]["sequenceNumber"] if "kinesis" in one else one["messageId"] for one in invocation.event["Records"]
    )


def naming(*identifiers: Any) -> Answer:
    """The answer that these failed."""
    return Answer({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]})
