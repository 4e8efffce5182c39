"""A Kinesis stream: its shards, read by GetRecords as far as a mapping has room for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from millstream import clock
from millstream.classes import dataclass
from millstream.errors import SourceError, UsageError
from millstream.local.emulate.settings import Source
from millstream.local.emulator.shards import Record, Shard
from millstream.local.emulator.streams import Place
from millstream.sinks import clients
from millstream.sinks.retry import Backoff, code_of, retry

LIST_SECONDS = 10.0
"""Between two looks at which shards there are; one that ends is looked at once more at once."""
IDLE_SECONDS = 1.0
BUSY_SECONDS = 0.2
"""Between two calls of GetRecords, of which a shard takes five a second."""
CALL_SECONDS = 60.0
HELD_BYTES = 32 * 1024 * 1024
_RECORDS = 1000
_MOST_RECORDS = 10_000

Held = Callable[[str], tuple[int, int]]


@dataclass(eq=False)
class _Feed:
    """One shard as it is read. place: of the last record, or where to begin. start: of GetShardIterator, while there is no place."""

    start: dict[str, Any]
    place: Place | None = None
    iterator: str | None = None
    due: float = 0.0
    full: bool = False


class StreamSource:
    """`shards` is a mapping's: it grows when the stream is resharded, and what the mapping is done with leaves it.

    starting: TRIM_HORIZON, LATEST or seconds since 1970; of shards of which `places` tells nothing. wanted: how many records a mapping
    wants to hold of a shard.
    """

    def __init__(self, source: Source, starting: str | float, wanted: int = _RECORDS) -> None:
        self.name, self.starting, self.wanted = source.name, starting, wanted
        self.shards: list[Shard] = []
        self._client = clients.client("kinesis", source.region)
        found = self._call(
            "DescribeStreamSummary", lambda: self._client.describe_stream_summary(StreamName=self.name), attempts=3
        )
        self.arn: str = found["StreamDescriptionSummary"]["StreamARN"]
        if source.account not in (None, self.arn.split(":")[4]):
            raise UsageError(f"the stream {self.name} here is {self.arn}; streams of other accounts are not read")
        self._feeds: dict[str, _Feed] = {}
        self._known: set[str] = set()
        self._done: set[str] = set()
        self._list_at = 0.0
        self._listed = False

    def begin(self, places: Mapping[str, Place | None]) -> None:
        """Find the shards, and where to begin in each. Raises SourceError."""
        self._list(clock.now(), places)

    def feed(self, now: float, held: Held) -> None:
        """Read what is due, into `shards`. Raises SourceError."""
        if now >= self._list_at:
            self._list(now, {})
        present = {one.name for one in self.shards}
        for shard in self.shards:
            feed = self._feeds[shard.name]
            if shard.closed or now < feed.due or present & set(shard.parents):
                continue  # a child is read when its parents are done
            records, size = held(shard.name)
            feed.full = records >= self.wanted or size >= HELD_BYTES
            if not feed.full:
                self._read(shard, feed, now)

    def wake(self) -> float:
        """When something is due. A shard that is full is so when an answer has come."""
        present = {one.name for one in self.shards}
        reading = (one for one in self.shards if not one.closed and not present & set(one.parents))
        times = [feed.due for one in reading if not (feed := self._feeds[one.name]).full]
        return min([self._list_at, *times])

    def finished(self, shards: list[str]) -> None:
        """A mapping is done with these."""
        self._done.update(shards)
        for name in shards:
            del self._feeds[name]

    def places(self, of: Mapping[str, Place]) -> dict[str, Place | None]:
        """Where to go on, by shard. of: what a mapping says of those that it has read; else it is where they were begun."""
        begun = {name: feed.place for name, feed in self._feeds.items() if feed.place is not None}
        return {**dict.fromkeys(self._done), **begun, **of}

    def _list(self, now: float, places: Mapping[str, Place | None]) -> None:
        listed = self._call("ListShards", self._listing)
        first, self._listed = not self._listed, True
        traced = set(places) | self._known  # these, and what came of them, are read from the start
        for one in listed:
            name = one["ShardId"]
            parents = tuple(one[key] for key in ("ParentShardId", "AdjacentParentShardId") if one.get(key))
            if traced & set(parents):
                traced.add(name)
            if name in self._known:
                continue
            self._known.add(name)
            ended = "EndingSequenceNumber" in one["SequenceNumberRange"]
            new = first and name not in traced
            if (name in places and places[name] is None) or (new and ended and self.starting == "LATEST"):
                self._done.add(name)
                continue
            self._feeds[name] = _Feed(self._start(new), places.get(name))
            self.shards.append(Shard(name, parents))
        there = {one["ShardId"] for one in listed}
        self._done &= there
        self._list_at = now + LIST_SECONDS

    def _listing(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {"StreamName": self.name}
        while more:
            answer = self._client.list_shards(**more)
            found += answer["Shards"]
            more = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
        return found

    def _start(self, new: bool) -> dict[str, Any]:
        if isinstance(self.starting, float):
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self.starting}
        return {"ShardIteratorType": self.starting if new else "TRIM_HORIZON"}

    def _read(self, shard: Shard, feed: _Feed, now: float) -> None:
        limit = min(_MOST_RECORDS, max(_RECORDS, self.wanted))

        def attempt() -> dict[str, Any]:
            if feed.iterator is None:
                feed.iterator = self._iterator(shard.name, feed)
            try:
                found: dict[str, Any] = self._client.get_records(ShardIterator=feed.iterator, Limit=limit)
            except ClientError as error:
                if code_of(error) != "ExpiredIteratorException":
                    raise
                feed.iterator = self._iterator(shard.name, feed)
                found = self._client.get_records(ShardIterator=feed.iterator, Limit=limit)
            return found

        answer = self._call("GetRecords", attempt)
        for one in answer["Records"]:
            arrived = round(one["ApproximateArrivalTimestamp"].timestamp(), 3)
            shard.records.append(Record(shard.name, one["SequenceNumber"], one["PartitionKey"], one["Data"], arrived))
        if answer["Records"]:
            feed.place = Place(answer["Records"][-1]["SequenceNumber"], True)
        feed.iterator = answer.get("NextShardIterator")
        if feed.iterator is None:  # its end, and that of GetRecords: all was read, and others take over its keys
            shard.closed = True
            self._list_at = now
        behind = bool(answer["Records"]) or answer.get("MillisBehindLatest", 0) > 0
        feed.due = now + (BUSY_SECONDS if behind else IDLE_SECONDS)

    def _iterator(self, shard: str, feed: _Feed) -> str:
        start = feed.start
        if feed.place is not None:
            kind = "AFTER_SEQUENCE_NUMBER" if feed.place.after else "AT_SEQUENCE_NUMBER"
            start = {"ShardIteratorType": kind, "StartingSequenceNumber": feed.place.sequence}
        found: str = self._client.get_shard_iterator(StreamName=self.name, ShardId=shard, **start)["ShardIterator"]
        return found

    def _call(self, operation: str, attempt: Callable[[], Any], attempts: int = 8) -> Any:
        doing, action = f"cannot read the stream {self.name}", f"kinesis:{operation}"
        until = clock.monotonic() + CALL_SECONDS
        return retry(attempt, Backoff(attempts=attempts), until, doing=doing, action=action, error=SourceError)
