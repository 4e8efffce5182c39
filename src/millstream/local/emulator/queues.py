"""An event source mapping between an SQS queue and a function."""

from __future__ import annotations

import json
from collections.abc import Collection
from random import Random
from typing import Any, NamedTuple

from millstream.classes import Protocol, dataclass
from millstream.errors import SettingsError
from millstream.local.emulator.answers import TIMED_OUT, Answer, Invocation, judge
from millstream.local.emulator.failures import random_uuid
from millstream.local.emulator.filters import Filters
from millstream.local.emulator.lanes import ENVELOPE
from millstream.local.emulator.messages import Received

EVENT_BYTES = 6 * 1024 * 1024
_MOST_RECEIVED = 10
"""Messages of one call of ReceiveMessage."""


class Source(Protocol):
    """A queue: `messages.Queue`, or one that is elsewhere."""

    @property
    def is_fifo(self) -> bool: ...

    @property
    def backlog(self) -> int:
        """How many messages are neither deleted nor dead letters."""

    def receive(self, count: int, now: float) -> list[Received]: ...

    def delete(self, received: Received, now: float) -> bool: ...

    def wake(self, now: float) -> float | None: ...


@dataclass(frozen=True)
class QueueSettings:
    """A mapping's settings, by the service's names where it has them; times in seconds.

    window: how long messages are gathered. concurrency: invocations at a time; the service starts with five. timeout: the function's.
    filters: messages that they do not let through are deleted.
    """

    batch_size: int = 10
    window: float = 0.0
    report_batch_item_failures: bool = False
    concurrency: int = 5
    timeout: float = 30.0
    event_bytes: int = EVENT_BYTES
    filters: Filters | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("batch_size", 1, 10_000), ("window", 0, 300), ("concurrency", 1, 1000)):
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"{name} is {getattr(self, name)}: it is from {low} to {high}")
        if self.batch_size > _MOST_RECEIVED and self.window < 1:
            raise SettingsError(
                f"batch_size is {self.batch_size}: above {_MOST_RECEIVED} it needs a window of at least a second"
            )


class _Gathered(NamedTuple):
    received: Received
    at: float
    size: int


class _Flight(NamedTuple):
    invocation: Invocation
    received: tuple[Received, ...]


class QueueMapping:
    """Polls a queue, hands out batches, and takes answers. What failed stays in the queue, and comes again when it is visible.

    acknowledged: the ids of messages that were deleted, in that order. received, filtered, returned: receipts, those of messages that
    were deleted by a filter, and those that came to nothing: the message is the queue's still. The same calls with the same seed do the
    same.
    """

    def __init__(self, settings: QueueSettings, queue: Source, random: Random) -> None:
        if queue.is_fifo and (settings.window or settings.batch_size > _MOST_RECEIVED):
            raise SettingsError(f"a FIFO queue has no window, and batches of at most {_MOST_RECEIVED}")
        self.settings, self.queue, self.random = settings, queue, random
        self.acknowledged: list[str] = []
        self.invocations = 0
        self.received = self.filtered = self.returned = 0
        self._gathered: dict[str, _Gathered] = {}
        self._flights: dict[int, _Flight] = {}

    @property
    def backlog(self) -> int:
        """How many messages are neither deleted nor dead letters."""
        return self.queue.backlog

    @property
    def held(self) -> int:
        """How many receipts came to nothing yet."""
        return len(self._gathered) + sum(len(one.received) for one in self._flights.values())

    @property
    def in_flight(self) -> int:
        """How many invocations are under way."""
        return len(self._flights)

    def release(self) -> list[Received]:
        """Leave to the queue what is gathered: the receipts."""
        left = [one.received for one in self._gathered.values()]
        self._gathered.clear()
        self.returned += len(left)
        return left

    def poll(self, now: float) -> list[Invocation]:
        """The batches to be invoked now."""
        for flight in [one for one in self._flights.values() if one.invocation.due <= now]:
            self.answer(flight.invocation, TIMED_OUT, now)
        found: list[Invocation] = []
        while len(self._flights) < self.settings.concurrency:
            self._gather(now)
            count, full = self._extent()
            if not count or self._waits() or not (full or now >= self._since() + self.settings.window):
                break
            found.append(self._invoke(count, now))
        return found

    def answer(self, invocation: Invocation, answer: Answer, now: float, lost: Collection[str] = ()) -> bool:
        """Take an answer, and delete what is done; False where it counts for nothing, since it came too late.

        lost: ids of messages whose deletion never reaches the queue.
        """
        flight = self._flights.pop(invocation.number, None)
        if flight is None:
            return False
        ids = [one.id for one in flight.received]
        failed = set(judge(answer, ids, self.settings.report_batch_item_failures).failed)
        for position, one in enumerate(flight.received):
            if position not in failed and one.id not in lost and self.queue.delete(one, now):
                self.acknowledged.append(one.id)
            else:
                self.returned += 1
        if self.queue.is_fifo and failed:  # what comes after a message in its group must not go before it: it comes again, too
            groups = {flight.received[position].group for position in failed}
            left = {name: one for name, one in self._gathered.items() if one.received.group not in groups}
            self.returned += len(self._gathered) - len(left)
            self._gathered = left
        return True

    def wake(self, now: float) -> float | None:
        """The next time at which `poll` could give something; None until a message comes. Call it after `poll`."""
        times = [one.invocation.due for one in self._flights.values()]
        if len(self._flights) < self.settings.concurrency:
            coming = self.queue.wake(now)
            if self._gathered and not self._waits():
                times.append(now if self._extent()[1] else self._since() + self.settings.window)
            if coming is not None and not self._waits():
                times.append(coming)
        return max(now, min(times)) if times else None

    def again(self, invocation: Invocation, now: float) -> Invocation:
        """The same event to another container; its answer counts for nothing."""
        event: dict[str, Any] = json.loads(json.dumps(invocation.event))
        return self._numbered(invocation.records, event, now, invocation.number)

    def _gather(self, now: float) -> None:
        """Receive until a batch is full or nothing comes; without a window, at most once."""
        filters = self.settings.filters
        while (before := len(self._gathered)) < self.settings.batch_size:
            if self._gathered and not self.settings.window:
                return
            received = self.queue.receive(min(_MOST_RECEIVED, self.settings.batch_size - len(self._gathered)), now)
            self.received += len(received)
            passed_over = [one for one in received if filters is not None and not filters.match(one.event)]
            for one in passed_over:
                deleted = self.queue.delete(one, now)
                self.filtered += deleted
                self.returned += not deleted
            for one in received:
                if one in passed_over:
                    continue
                self.returned += one.id in self._gathered
                size = len(json.dumps(one.event, separators=(",", ":"), ensure_ascii=False).encode()) + 1
                # One that comes again while it is gathered is there once, by its newer receipt.
                since = self._gathered[one.id].at if one.id in self._gathered else now
                self._gathered[one.id] = _Gathered(one, since, size)
            if (len(self._gathered) == before and not passed_over) or self._extent()[1]:
                return

    def _waits(self) -> bool:
        """Is what is gathered, since one event did not take it all, of message groups that the function is at work on?"""
        if not self.queue.is_fifo or not self._gathered:
            return False
        busy = {one.group for flight in self._flights.values() for one in flight.received}
        return any(one.received.group in busy for one in self._gathered.values())

    def _since(self) -> float:
        return min(one.at for one in self._gathered.values())

    def _extent(self) -> tuple[int, bool]:
        """How many of the gathered messages one event takes, and whether it is full by that."""
        room = self.settings.event_bytes - ENVELOPE
        for count, one in enumerate(self._gathered.values()):
            room -= one.size
            if room < -1 and count:
                return count, True
        return len(self._gathered), len(self._gathered) >= self.settings.batch_size

    def _invoke(self, count: int, now: float) -> Invocation:
        received = tuple(self._gathered.pop(name).received for name in list(self._gathered)[:count])
        event = {"Records": [one.event for one in received]}
        invocation = self._numbered(received, event, now, None)
        self._flights[invocation.number] = _Flight(invocation, received)
        return invocation

    def _numbered(self, records: tuple[Any, ...], event: dict[str, Any], now: float, again: int | None) -> Invocation:
        self.invocations += 1
        due = now + self.settings.timeout
        return Invocation(self.invocations, event, records, "", 0, now, due, random_uuid(self.random), again)
