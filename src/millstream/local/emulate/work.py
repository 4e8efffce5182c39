"""A mapping with its source: what is read, done, given up and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millstream.classes import Protocol, dataclass
from millstream.errors import SinkError
from millstream.local.emulate.checkpoints import Checkpoints
from millstream.local.emulate.destination import Destination
from millstream.local.emulate.kinesis import StreamSource
from millstream.local.emulate.sqs import QueueSource
from millstream.local.emulator.answers import Answer, Invocation
from millstream.local.emulator.queues import QueueMapping
from millstream.local.emulator.streams import StreamMapping


@dataclass(eq=False)
class Counts:
    """What became of records and invocations.

    received is filtered + acknowledged + given_up + returned + held. received: receipts, of a queue: a message that comes twice counts
    twice. returned: left to the queue. held: read, and not done. errors, throttled, partial: of the invocations, those that ended in an
    error, that never reached the function, that told which records failed. undelivered: given up without the destination's knowing.
    undeleted: acknowledged, and yet in the queue.
    """

    received: int = 0
    filtered: int = 0
    acknowledged: int = 0
    given_up: int = 0
    returned: int = 0
    held: int = 0
    invocations: int = 0
    errors: int = 0
    throttled: int = 0
    partial: int = 0
    undelivered: int = 0
    undeleted: int = 0

    def answered(self, answer: Answer, reports: bool) -> None:
        if answer.throttled:
            self.throttled += 1
        elif answer.error is not None:
            self.errors += 1
        elif reports and isinstance(answer.value, Mapping) and answer.value.get("batchItemFailures"):
            self.partial += 1

    def to_dict(self) -> dict[str, int]:
        return dict(vars(self))


class Work(Protocol):
    """What a loop drives. Each of these raises RunError where it cannot go on."""

    counts: Counts

    @property
    def in_flight(self) -> int: ...

    def poll(self, now: float) -> list[Invocation]: ...

    def answer(self, invocation: Invocation, answer: Answer, now: float) -> None: ...

    def wake(self, now: float) -> float | None: ...

    def end(self) -> None:
        """Leave things as another emulator can go on with them."""


class _Mapped:
    """What a stream's mapping and a queue's have in common."""

    mapping: StreamMapping | QueueMapping
    counts: Counts

    @property
    def in_flight(self) -> int:
        return self.mapping.in_flight

    def answer(self, invocation: Invocation, answer: Answer, now: float) -> None:
        self.counts.answered(answer, self.mapping.settings.report_batch_item_failures)
        self.mapping.answer(invocation, answer, now)
        self._settle()

    def _settle(self) -> None:
        """Take over what the mapping is done with."""
        raise NotImplementedError


class StreamWork(_Mapped):
    """destination: None tells nobody. note: is told what a user should know, once it happens."""

    def __init__(
        self,
        mapping: StreamMapping,
        source: StreamSource,
        checkpoints: Checkpoints,
        destination: Destination | None,
        note: Callable[[str], Any],
    ) -> None:
        self.mapping: StreamMapping = mapping
        self.source, self.checkpoints = source, checkpoints
        self.destination, self.note, self.counts = destination, note, Counts()

    def poll(self, now: float) -> list[Invocation]:
        self.source.feed(now, self.mapping.held_of)
        found = self.mapping.poll(now)
        self._settle()
        return found

    def wake(self, now: float) -> float | None:
        times = [one for one in (self.mapping.wake(now), self.source.wake()) if one is not None]
        return min(times)

    def end(self) -> None:
        self._settle()

    def _settle(self) -> None:
        mapping, counts = self.mapping, self.counts
        counts.acknowledged += len(mapping.acknowledged)
        mapping.acknowledged.clear()
        for one in mapping.given_up:
            counts.given_up += len(one.records)
            try:
                if self.destination is not None:
                    self.destination.tell(one)
            except SinkError as error:  # as in Lambda the mapping goes on, and these records are in the stream alone
                counts.undelivered += len(one.records)
                self.note(str(error))
        mapping.given_up.clear()
        self.source.finished(mapping.trim())
        counts.received, counts.filtered, counts.held = mapping.received, mapping.filtered, mapping.held
        counts.invocations = mapping.invocations
        # After the destination knows: what is given up must not be passed over by the next emulator unsaid.
        self.checkpoints.save(self.source.places(mapping.places()))


class QueueWork(_Mapped):
    def __init__(self, mapping: QueueMapping, source: QueueSource) -> None:
        self.mapping: QueueMapping = mapping
        self.source, self.counts = source, Counts()

    def poll(self, now: float) -> list[Invocation]:
        found = self.mapping.poll(now)
        self._settle()
        return found

    def wake(self, now: float) -> float | None:
        return self.mapping.wake(now)

    def end(self) -> None:
        self.source.release(self.mapping.release())
        self._settle()

    def _settle(self) -> None:
        mapping, counts = self.mapping, self.counts
        self.source.flush()
        counts.acknowledged += len(mapping.acknowledged)
        mapping.acknowledged.clear()
        counts.received, counts.filtered, counts.returned = mapping.received, mapping.filtered, mapping.returned
        counts.held, counts.invocations, counts.undeleted = mapping.held, mapping.invocations, self.source.undeleted
