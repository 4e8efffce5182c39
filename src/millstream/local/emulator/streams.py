"""An event source mapping between a Kinesis stream and a function.

What the guide leaves open is decided as in the recordings (tests/local/data), and said where it is done.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any, Literal, NamedTuple

from millstream.classes import dataclass, replace
from millstream.errors import SettingsError
from millstream.local.emulator.answers import TIMED_OUT, Answer, Invocation, judge
from millstream.local.emulator.failures import EXHAUSTED, TOO_OLD, Circumstances, GivenUp, give_up, random_uuid
from millstream.local.emulator.filters import Filters
from millstream.local.emulator.lanes import Batch, Flight, Lane, Read, Reader, older
from millstream.local.emulator.shards import Record, Shard, event_record

EVENT_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class StreamSettings:
    """A mapping's settings, by the service's names where it has them; times in seconds, -1 is without end.

    window: how long records are gathered. age: of the oldest record that is delivered. parallelization: lanes of a shard.
    concurrency: invocations at a time, of all shards together; the service has no such limit. filters: what else is passed over.
    timeout: the function's. backoff: the first wait after a failure; each is twice the one before, up to backoff_limit, less a part
    of up to `jitter` of it. The guide tells of a backoff, not how long; half a second fits what is recorded.
    """

    stream: str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
    function: str = "arn:aws:lambda:us-east-1:123456789012:function:orders"
    role: str = "arn:aws:iam::123456789012:role/lambda-role"
    mapping: str = "00000000-0000-4000-8000-000000000000"
    batch_size: int = 100
    window: float = 0.0
    bisect_on_error: bool = False
    maximum_retries: int = -1
    maximum_age: float = -1.0
    report_batch_item_failures: bool = False
    parallelization: int = 1
    concurrency: int = 10_000
    filters: Filters | None = None
    destination: Literal["none", "sqs", "s3"] = "none"
    starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    timeout: float = 60.0
    event_bytes: int = EVENT_BYTES
    backoff: float = 0.5
    backoff_limit: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch_size", 1, 10_000),
            ("window", 0, 300),
            ("parallelization", 1, 10),
            ("concurrency", 1, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"{name} is {getattr(self, name)}: it is from {low} to {high}")


class Place(NamedTuple):
    """Where to go on in a shard: at the record with this number, or after it."""

    sequence: str
    after: bool


class StreamMapping:
    """Polls shards, hands out batches, and takes answers. `shards` may grow; a shard is read when all its parents are done.

    acknowledged: records that are done, in the order it was said. given_up: the others that are, but for the `filtered`. Who takes
    things out of these lists loses nothing else. The same calls with the same seed do the same.
    """

    def __init__(self, settings: StreamSettings, shards: list[Shard], random: Random) -> None:
        self.settings, self.shards, self.random = settings, shards, random
        self.acknowledged: list[Record] = []
        self.given_up: list[GivenUp] = []
        self.invocations = 0
        self.received = 0
        self.filtered = 0
        self._readers: dict[str, Reader] = {}
        self._flights: dict[int, Lane] = {}
        self._turn: tuple[str, int] | None = None
        latest = settings.starting_position == "LATEST"
        self._skipped = {one.name: len(one.records) for one in shards} if latest else {}

    @property
    def backlog(self) -> int:
        """How many records are neither acknowledged nor given up nor filtered."""
        return self.held + sum(len(one.records) - self._position(one) for one in self.shards)

    @property
    def held(self) -> int:
        """How many records were read and are not done."""
        return sum(self.held_of(name)[0] for name in self._readers)

    @property
    def in_flight(self) -> int:
        """How many invocations are under way."""
        return len(self._flights)

    def held_of(self, shard: str) -> tuple[int, int]:
        """How many records of a shard were read and are not done, and their bytes in events."""
        held = self._readers[shard].held if shard in self._readers else []
        return len(held), sum(one.size for one in held)

    def places(self) -> dict[str, Place]:
        """Where to go on in each shard of which something was read: what is not done comes again, with what is done behind it."""
        found = {}
        for name, reader in self._readers.items():
            firsts = [next(lane.held(), None) for lane in reader.lanes]  # a lane is in order
            first = min((one.record.sequence for one in firsts if one is not None), key=int, default=None)
            if first is not None:
                found[name] = Place(first, False)
            elif reader.last is not None:
                found[name] = Place(reader.last, True)
        return found

    def trim(self) -> list[str]:
        """Forget the records of which lanes know, and the shards that are done: the names of these. They must not come back."""
        for reader in self._readers.values():
            del reader.shard.records[: reader.position]
            reader.position = 0
        done = [name for name, reader in self._readers.items() if reader.is_done]
        for name in done:
            del self._readers[name]
        self.shards[:] = [one for one in self.shards if one.name not in done]
        return done

    def poll(self, now: float) -> list[Invocation]:
        """The batches to be invoked now."""
        for invocation in [one.flight.invocation for one in self._flights.values() if one.flight is not None]:
            if invocation.due <= now:
                self.answer(invocation, TIMED_OUT, now)
        lanes = [lane for shard in self.shards for lane in self._read(shard, now)]
        # Whose turn it was when there was no room comes first.
        start = next((i for i, one in enumerate(lanes) if (one.shard, one.number) == self._turn), 0)
        self._turn = None
        found = []
        for lane in lanes[start:] + lanes[:start]:
            if len(self._flights) >= self.settings.concurrency:
                self._turn = (lane.shard, lane.number)
                break
            batch = self._next(lane, now)
            if batch is not None:
                found.append(self._invoke(lane, batch, now))
        return found

    def answer(self, invocation: Invocation, answer: Answer, now: float) -> bool:
        """Take an answer; False where it counts for nothing: it came too late, or to a batch that was delivered once more."""
        lane = self._flights.pop(invocation.number, None)
        if lane is None or lane.flight is None:
            return False
        batch, lane.flight = lane.flight.batch, None
        if answer.throttled:  # the guide: what was not invoked is tried again until it is too old, and spends no retries
            self._again(lane, batch, now)
            return True
        batch.invocations += 1
        verdict = judge(answer, [one.sequence for one in batch.records], self.settings.report_batch_item_failures)
        good = min(verdict.failed, default=len(batch.read))
        if good:
            self._acknowledge(batch.records[:good])
            lane.failures = 0
        rest = batch.read[good:]
        if not rest:
            return True
        if good:  # recorded: what is left is a batch of its own, whose retries and invocations are counted anew
            self._again(lane, Batch(rest), now)
        elif self.settings.bisect_on_error and len(rest) > 1 and not verdict.named:
            # The guide: splitting a batch does not consume the retry quota. A failure that names the first record splits "at the
            # returned sequence number": there is nothing before it, so it is a retry like any other.
            half = len(rest) // 2
            lane.waiting.appendleft(replace(batch, read=rest[half:]))
            self._again(lane, replace(batch, read=rest[:half]), now)
        elif self.settings.maximum_retries < 0 or batch.retries < self.settings.maximum_retries:
            batch.retries += 1
            self._again(lane, batch, now)
        else:
            self._give_up(batch.records, Circumstances(EXHAUSTED, batch.invocations, answer.error is not None), now)
            lane.failures = 0
        return True

    def wake(self, now: float) -> float | None:
        """The next time at which `poll` could give something; None until a record comes. Call it after `poll`."""
        times = [lane.flight.invocation.due for lane in self._flights.values() if lane.flight is not None]
        full = len(self._flights) >= self.settings.concurrency
        for shard in [] if full else self.shards:
            reader = self._readers.get(shard.name)
            if reader is None and self._may_open(shard):  # without a record, too: its children wait for it
                return now
            if reader is not None and reader.position < len(shard.records):
                return now
            for lane in reader.lanes if reader is not None else ():
                if lane.flight is None and lane.waiting:
                    times.append(lane.not_before)
                elif lane.flight is None and lane.queue:
                    whole = self._extent(lane)[1]
                    times.append(now if whole else lane.queue[0].at + self.settings.window)
        return max(now, min(times)) if times else None

    def again(self, invocation: Invocation, now: float) -> Invocation:
        """The same batch to another container, as a poller does that does not know of the first, or of its answer."""
        event = {"Records": [self._event_record(one) for one in invocation.records]}
        return self._numbered(invocation.records, event, invocation.shard, invocation.lane, now, invocation.number)

    def regroup(self, shard: str, count: int, lane: int = 0) -> int:
        """Let the batch that waits for its retry hold `count` records from where it starts: how many it holds now, 0 without one."""
        reader = self._readers.get(shard)
        if reader is None:
            return 0
        return reader.lanes[lane].regroup(count, self.settings.batch_size, self.settings.event_bytes)

    def _may_open(self, shard: Shard) -> bool:
        known = {one.name for one in self.shards}
        readers = (self._readers.get(name) for name in shard.parents if name in known)
        return all(reader is not None and reader.is_done for reader in readers)

    def _read(self, shard: Shard, now: float) -> list[Lane]:
        """Read what is new in a shard. Its lanes; none while a parent is not done."""
        reader = self._readers.get(shard.name)
        if reader is None:
            if not self._may_open(shard):
                return []
            lanes = [Lane(shard.name, i) for i in range(self.settings.parallelization)]
            reader = self._readers[shard.name] = Reader(shard, self._skipped.get(shard.name, 0), lanes=lanes)
        for record in shard.records[reader.position :]:
            event = self._event_record(record)
            if self.settings.filters is None or self.settings.filters.match(event):
                reader.lanes[self._lane_of(record)].queue.append(Read.of(record, now, event))
            else:
                self.filtered += 1
            self.received += 1
            reader.last = record.sequence
        reader.position = len(shard.records)
        return reader.lanes

    def _position(self, shard: Shard) -> int:
        reader = self._readers.get(shard.name)
        return self._skipped.get(shard.name, 0) if reader is None else reader.position

    def _lane_of(self, record: Record) -> int:
        digest = hashlib.md5(record.partition_key.encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest[:4]) % self.settings.parallelization

    def _next(self, lane: Lane, now: float) -> Batch | None:
        """The batch a lane may send now. What of it is too old is given up."""
        while lane.flight is None and (lane.waiting or lane.queue):
            if lane.waiting:
                if now < lane.not_before:
                    return None
                batch = lane.waiting.popleft()
            else:
                count, full = self._extent(lane)
                if not full and now < lane.queue[0].at + self.settings.window:
                    return None
                batch = Batch(lane.take(count))
            age = self.settings.maximum_age
            old = older(batch.read, now - age) if age >= 0 else 0
            if old:  # recorded: without responseContext, and the invocation that did not take place counts
                self._give_up(batch.records[:old], Circumstances(TOO_OLD, batch.invocations + 1, None), now)
                batch.read = batch.read[old:]
            if batch.read:
                return batch
            lane.failures = 0
        return None

    def _extent(self, lane: Lane) -> tuple[int, bool]:
        return lane.extent(self.settings.batch_size, self.settings.event_bytes)

    def _invoke(self, lane: Lane, batch: Batch, now: float) -> Invocation:
        records = tuple(batch.records)
        event = {"Records": [self._event_record(one) for one in records]}
        invocation = self._numbered(records, event, lane.shard, lane.number, now, None)
        lane.flight = Flight(invocation, batch)
        self._flights[invocation.number] = lane
        return invocation

    def _numbered(
        self, records: tuple[Record, ...], event: dict[str, Any], shard: str, lane: int, now: float, again: int | None
    ) -> Invocation:
        self.invocations += 1
        due = now + self.settings.timeout
        return Invocation(self.invocations, event, records, shard, lane, now, due, random_uuid(self.random), again)

    def _event_record(self, record: Record) -> dict[str, Any]:
        return event_record(record, self.settings.stream, self.settings.role)

    def _again(self, lane: Lane, batch: Batch, now: float) -> None:
        """Put a batch before all else of its lane, and let the lane wait."""
        lane.waiting.appendleft(batch)
        wait = min(self.settings.backoff * 2.0 ** min(lane.failures, 64), self.settings.backoff_limit)
        lane.failures += 1
        lane.not_before = now + wait * self.random.uniform(1 - self.settings.jitter, 1)

    def _acknowledge(self, records: list[Record]) -> None:
        self.acknowledged += records

    def _give_up(self, records: list[Record], why: Circumstances, now: float) -> None:
        one = self.settings
        self.given_up.append(
            give_up(
                records,
                why,
                stream=one.stream,
                function=one.function,
                role=one.role,
                mapping=one.mapping,
                destination=one.destination,
                now=now,
                random=self.random,
            )
        )
