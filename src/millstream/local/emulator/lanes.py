"""What a mapping has read of a shard and not done yet, in lanes: one after another in each, side by side between them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, NamedTuple

from millstream.classes import dataclass, field
from millstream.local.emulator.answers import Invocation
from millstream.local.emulator.shards import Record, Shard

ENVELOPE = len('{"Records":[]}')


class Read(NamedTuple):
    """A record that was read, when, and how many bytes an event gives to it, with its comma."""

    record: Record
    at: float
    size: int

    @classmethod
    def of(cls, record: Record, at: float, event: dict[str, Any]) -> Read:
        """event: the record as an event holds it."""
        return cls(record, at, len(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()) + 1)


@dataclass(eq=False)
class Batch:
    """Records that are delivered together. retries: how often after the first time. invocations: that reached the function."""

    read: list[Read]
    retries: int = 0
    invocations: int = 0

    @property
    def records(self) -> list[Record]:
        return [one.record for one in self.read]


class Flight(NamedTuple):
    """A batch under way."""

    invocation: Invocation
    batch: Batch


@dataclass(eq=False)
class Lane:
    """queue: read and in no batch yet. waiting: batches that come before it, from `not_before` on. flight: the invocation under way.

    failures: in a row; the wait before the next attempt grows with them.
    """

    shard: str
    number: int
    queue: deque[Read] = field(default_factory=deque)
    waiting: deque[Batch] = field(default_factory=deque)
    flight: Flight | None = None
    not_before: float = 0.0
    failures: int = 0

    @property
    def is_idle(self) -> bool:
        return not self.queue and not self.waiting and self.flight is None

    def held(self) -> Iterator[Read]:
        """All that was read and is not done, in order."""
        if self.flight is not None:
            yield from self.flight.batch.read
        for batch in self.waiting:
            yield from batch.read
        yield from self.queue

    def extent(self, most: int, most_bytes: int) -> tuple[int, bool]:
        """How many records of the queue one event takes, and whether it is full by that."""
        room = most_bytes - ENVELOPE
        for count, one in enumerate(self.queue):
            room -= one.size
            if count == most or (room < -1 and count):  # the last record has no comma
                return count, True
        return len(self.queue), len(self.queue) >= most

    def take(self, count: int) -> list[Read]:
        return [self.queue.popleft() for _ in range(count)]

    def regroup(self, count: int, most: int, most_bytes: int) -> int:
        """Let the batch that waits hold `count` records from where it starts, as far as there are so many and an event takes them."""
        if not self.waiting:
            return 0
        first = self.waiting[0]
        self.queue.extendleft(reversed([one for batch in self.waiting for one in batch.read]))
        first.read = self.take(max(1, min(count, self.extent(most, most_bytes)[0])))
        self.waiting = deque([first])
        return len(first.read)


@dataclass(eq=False)
class Reader:
    """One shard as a mapping reads it: where in it, the number of what was read last, and what its lanes hold."""

    shard: Shard
    position: int = 0
    last: str | None = None
    lanes: list[Lane] = field(default_factory=list)

    @property
    def held(self) -> list[Read]:
        """All that was read and is not done."""
        return [one for lane in self.lanes for one in lane.held()]

    @property
    def is_done(self) -> bool:
        """Is all of the shard done, and will there be no more of it?"""
        return self.shard.closed and self.position == len(self.shard.records) and all(lane.is_idle for lane in self.lanes)


def older(read: list[Read], than: float) -> int:
    """How many records at the start of a batch arrived before a time."""
    return len(list(takewhile(lambda one: one.record.arrived < than, read)))
