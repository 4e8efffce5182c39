"""A Kinesis stream in memory: shards, their records, splits and merges."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, NamedTuple

from millstream.classes import dataclass, field
from millstream.errors import UsageError

FIRST = 49590338271490256608559692538361571095921575989136588898
_STEP = 1 << 20
_HASHES = 1 << 128


class Record(NamedTuple):
    """arrived: in seconds since 1970."""

    shard: str
    sequence: str
    partition_key: str
    data: bytes
    arrived: float


@dataclass(eq=False)
class Shard:
    """One shard: its records so far, in order. A closed one gets no more.

    parents: the shards it came from; those that the stream does not know any more count as read. low, high: of its keys' hashes.
    """

    name: str
    parents: tuple[str, ...] = ()
    low: int = 0
    high: int = _HASHES
    records: list[Record] = field(default_factory=list)
    closed: bool = False


@dataclass(eq=False)
class Stream:
    """Shards that take records by their partition keys, and can be split and merged."""

    arn: str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
    shards: list[Shard] = field(default_factory=list)
    put_so_far: int = 0

    @classmethod
    def of(cls, count: int, **named: Any) -> Stream:
        """A stream of so many shards of the same extent."""
        stream = cls(**named)
        for i in range(count):
            stream._open((), _HASHES * i // count, _HASHES * (i + 1) // count)
        return stream

    def put(self, data: bytes, partition_key: str, now: float) -> Record:
        """A record, at the end of the shard its key belongs to."""
        place = int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())
        shard = next(one for one in self.shards if not one.closed and one.low <= place < one.high)
        # One counter for all shards: what a child holds has higher numbers than what its parents hold, as in the service.
        sequence = str(FIRST + _STEP * self.put_so_far)
        self.put_so_far += 1
        shard.records.append(Record(shard.name, sequence, partition_key, data, round(now, 3)))
        return shard.records[-1]

    def split(self, name: str) -> tuple[Shard, Shard]:
        """Close a shard; two others take over its keys, half each. Raises UsageError for one that is closed or unknown."""
        shard = self._open_shard(name)
        shard.closed = True
        middle = (shard.low + shard.high) // 2
        return self._open((name,), shard.low, middle), self._open((name,), middle, shard.high)

    def merge(self, name: str, other: str) -> Shard:
        """Close two shards; one takes over their keys. Raises UsageError where they are not neighbours."""
        first, second = sorted((self._open_shard(name), self._open_shard(other)), key=lambda one: one.low)
        if first.high != second.low:
            raise UsageError(f"{name} and {other} are no neighbours, and cannot be merged")
        first.closed = second.closed = True
        return self._open((name, other), first.low, second.high)

    def _open_shard(self, name: str) -> Shard:
        for one in self.shards:
            if one.name == name and not one.closed:
                return one
        raise UsageError(f"there is no open shard {name}")

    def _open(self, parents: tuple[str, ...], low: int, high: int) -> Shard:
        self.shards.append(Shard(f"shardId-{len(self.shards):012}", parents, low, high))
        return self.shards[-1]


def event_record(record: Record, stream: str, role: str) -> dict[str, Any]:
    """A record as an event holds it, keys in the service's order. stream, role: ARNs."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrived,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{record.shard}:{record.sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": stream.split(":")[3],
        "eventSourceARN": stream,
    }
