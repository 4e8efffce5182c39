"""What a stream's mapping tells its on-failure destination of records it gave up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

from millstream.local.emulator.shards import Record, event_record

EXHAUSTED, TOO_OLD = "RetryAttemptsExhausted", "RecordAgeExceeded"


class GivenUp(NamedTuple):
    """Records that the mapping went on behind.

    message: what a queue or a topic is told: numbers of records, not the records. document: what a bucket gets, under `key`.
    destination: which of them was told: sqs, s3 or none.
    """

    records: tuple[Record, ...]
    condition: str
    message: dict[str, Any]
    document: dict[str, Any]
    key: str
    destination: str


class Circumstances(NamedTuple):
    """invocations: of these records as one batch. error: the function's last answer was an error; None where nobody was asked."""

    condition: str
    invocations: int
    error: bool | None


def give_up(
    records: Sequence[Record],
    why: Circumstances,
    *,
    stream: str,
    function: str,
    role: str,
    mapping: str,
    destination: str,
    now: float,
    random: Random,
) -> GivenUp:
    """What a destination is told of records given up at `now`. stream, function, role: ARNs; mapping: the mapping's UUID."""
    first, last = records[0], records[-1]
    message: dict[str, Any] = {
        "requestContext": {
            "requestId": random_uuid(random),
            "functionArn": function,
            "condition": why.condition,
            "approximateInvokeCount": why.invocations,
        }
    }
    if why.error is not None:
        message["responseContext"] = {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled" if why.error else None,
        }
    message |= {
        "version": "1.0",
        "timestamp": timestamp(now),
        "KinesisBatchInfo": {
            "shardId": first.shard,
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": timestamp(first.arrived),
            "approximateArrivalOfLastRecord": timestamp(last.arrived),
            "batchSize": len(records),
            "streamArn": stream,
        },
    }
    payload = {"Records": [event_record(one, stream, role) for one in records]}
    at = datetime.fromtimestamp(now, UTC)
    # The guide: aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>
    key = f"aws/lambda/{mapping}/{first.shard}/{at:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{random_uuid(random)}"
    return GivenUp(tuple(records), why.condition, message, {**message, "payload": payload}, key, destination)


def timestamp(seconds: float) -> str:
    """A time as the service writes it, in milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def random_uuid(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
