"""Records put into a stream, two queues and a bucket, as producers do."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

from botocore.config import Config
from botocore.session import get_session

from tests.aws import events
from tests.crash.server import own

OBJECTS = 50
PLAIN, AGGREGATED = 5_000, 100
"""So many records by themselves; of the others so many in one."""
IN_PUT = 100
LINES, GROUPS = 50, 4
"""So many records in a message of the FIFO queue, and so many groups of messages."""
DEPTH = 600
"""Messages that wait in the queue at most: moto looks at each for each receipt."""


T = TypeVar("T")


def _pieces(every: list[T], size: int) -> Iterator[list[T]]:
    left = iter(every)
    while piece := list(islice(left, size)):
        yield piece


def put_records(stream: Any, name: str, records: list[bytes]) -> None:
    """Into a Kinesis stream, which splits its first shard half-way: by themselves, then aggregated as the Producer Library does.

    `stream`: a client. kinesis-local takes seconds for 500 records where it has many.
    """
    sent = [*records[:PLAIN], *(events.kpl_aggregate(piece) for piece in _pieces(records[PLAIN:], AGGREGATED))]
    puts = list(_pieces(sent, IN_PUT))
    for number, piece in enumerate(puts):
        if number == len(puts) // 2:
            _split(stream, name)
        waiting = [{"Data": data, "PartitionKey": f"{number}-{i}"} for i, data in enumerate(piece)]
        while waiting:
            answers = stream.put_records(StreamName=name, Records=waiting)["Records"]
            waiting = [one for one, answer in zip(waiting, answers, strict=True) if "ErrorCode" in answer]
            if waiting:
                time.sleep(0.2)


def _split(stream: Any, name: str) -> None:
    shard = next(
        one for one in stream.list_shards(StreamName=name)["Shards"] if "EndingSequenceNumber" not in one["SequenceNumberRange"]
    )
    low, high = (int(shard["HashKeyRange"][one]) for one in ("StartingHashKey", "EndingHashKey"))
    stream.split_shard(StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2))
    while stream.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        time.sleep(0.1)


def send_messages(url: str, records: list[bytes]) -> None:
    """Into a standard queue, each by itself."""
    _send(url, [{"MessageBody": body.decode()} for body in records])


def send_groups(url: str, records: list[bytes]) -> None:
    """Into a FIFO queue, as lines of messages, whose groups take turns."""
    bodies = (b"\n".join(piece).decode() for piece in _pieces(records, LINES))
    _send(url, [{"MessageBody": body, "MessageGroupId": f"group {number % GROUPS}"} for number, body in enumerate(bodies)])


def _send(url: str, messages: list[dict[str, str]]) -> None:
    sqs = own("sqs")
    for number, piece in enumerate(_pieces(messages, 10)):
        if number % 50 == 0:
            while _depth(sqs, url) > DEPTH:
                time.sleep(0.2)
        entries = [{"Id": str(i), **message} for i, message in enumerate(piece)]
        assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")


def _depth(sqs: Any, url: str) -> int:
    name = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def put_objects(bucket: str, prefix: str, records: list[bytes]) -> None:
    """As lines, every other object compressed."""
    # S3 may refuse; the client for tests gives up at once.
    s3 = get_session().create_client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 20}))
    for number, piece in enumerate(_pieces(records, max(1, len(records) // OBJECTS)), 1):
        body, name = b"\n".join(piece) + b"\n", f"{prefix}day {number:03}.ndjson"
        if number % 2:
            body, name = gzip.compress(body, 1), f"{name}.gz"
        s3.put_object(Bucket=bucket, Key=name, Body=body)
