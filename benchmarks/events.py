"""Events as the Lambda Runtime API gives them, byte for byte, and the orders in them. The same call gives the same bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.deaggregator import messages_pb2 as kpl

LIMIT = 6 << 20
"""The largest event that Lambda takes, in bytes."""
AGGREGATE_BYTES = 51_200
"""The producer library's default for the largest aggregated record."""

_TOPICS = ("gift", "promo", "first", "repeat", "mobile", "prime", "eu", "b2b", "wholesale", "returns", "gold", "newsletter")
_COUNTRIES = {"US": "USD", "DE": "EUR", "FR": "EUR", "GB": "GBP", "JP": "JPY"}
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
_START = 1_796_083_200_000  # 2026-12-01, in milliseconds


def orders(count: int, seed: int = 1) -> list[bytes]:
    """`count` orders as JSON of some 400 bytes: one price in 50 is null, a third is 10 at most, a tenth has escapes."""
    draw = random.Random(seed)
    made = []
    for i in range(count):
        country = draw.choice(tuple(_COUNTRIES))
        order = {
            "order_id": f"o-{i:09d}",
            "customer_id": draw.getrandbits(40),
            "email": f" {draw.choice(('Ada', 'Grace', 'Edsger'))}.{draw.randrange(100_000)}@Example.COM ",
            "price": None if draw.random() < 0.02 else round(draw.lognormvariate(3, 1), 2),
            "quantity": draw.randrange(1, 9),
            "currency": _COUNTRIES[country],
            "country": country,
            "event_time": f"2026-12-{draw.randrange(1, 31):02d}T{draw.randrange(24):02d}:{draw.randrange(60):02d}:"
            f"{draw.randrange(60):02d}.{draw.randrange(1000):03d}Z",
            "session": {"id": f"{draw.getrandbits(64):016x}", "ua": _AGENT.format(draw.randrange(110, 140))},
            "tags": draw.sample(_TOPICS, draw.randrange(2, 5)),
            "is_gift": draw.random() < 0.1,
            "note": 'leave at the "door"' if draw.random() < 0.1 else "",
        }
        made.append(json.dumps(order, separators=(",", ":")).encode())
    return made


def _compact(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def kinesis(records: Sequence[bytes], seed: int = 1) -> bytes:
    """A Kinesis event with one delivery for each record."""
    draw = random.Random(seed)
    account = "arn:aws:iam::123456789012:role/orders-function-role"
    stream = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
    sequence = draw.randrange(10**55, 10**56 - 10**30)
    made = []
    for i, record in enumerate(records):
        sequence += draw.randrange(1, 10**24)
        made.append(
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
                    "sequenceNumber": str(sequence),
                    "data": base64.b64encode(record).decode(),
                    "approximateArrivalTimestamp": (_START + 7 * i) / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:{sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": account,
                "awsRegion": "eu-central-1",
                "eventSourceARN": stream,
            }
        )
    return _compact({"Records": made})


def aggregates(records: Sequence[bytes], seed: int = 1) -> Iterator[tuple[bytes, int]]:
    """Records as the Kinesis Producer Library packs them: each aggregate, and how many records it holds."""
    draw = random.Random(seed)
    packed, taken = kpl.AggregatedRecord(), 0
    for record in records:
        size = len(record) + 60
        if packed.records and taken + size > AGGREGATE_BYTES:
            yield _sealed(packed), len(packed.records)
            packed, taken = kpl.AggregatedRecord(), 0
        packed.partition_key_table.append(str(uuid.UUID(int=draw.getrandbits(128), version=4)))
        packed.records.add(partition_key_index=len(packed.partition_key_table) - 1, data=record)
        taken += size
    if packed.records:
        yield _sealed(packed), len(packed.records)


def _sealed(packed: Any) -> bytes:
    body = packed.SerializeToString()
    return MAGIC + body + hashlib.md5(body).digest()


def kinesis_aggregated(records: Sequence[bytes], seed: int = 1) -> tuple[bytes, int]:
    """A Kinesis event with as many aggregated records as Lambda takes, and how many of the records it holds."""
    packed, held, room = [], 0, LIMIT - len('{"Records":[]}')
    for aggregate, count in aggregates(records, seed):
        room -= len(kinesis([aggregate])) + 1
        if room < 0:
            break
        packed.append(aggregate)
        held += count
    return kinesis(packed, seed), held


def sqs(records: Sequence[bytes], seed: int = 1) -> bytes:
    """An SQS event with one message for each record, its body the record's text."""
    draw = random.Random(seed)
    queue = "arn:aws:sqs:eu-central-1:123456789012:orders"
    made = []
    for i, record in enumerate(records):
        sent = _START + 7 * i
        made.append(
            {
                "messageId": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
                "receiptHandle": "AQEB" + base64.b64encode(draw.randbytes(304)).decode(),
                "body": record.decode(),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(sent),
                    "SenderId": "AROAEXAMPLEEXAMPLE123:orders-producer",
                    "ApproximateFirstReceiveTimestamp": str(sent + 3),
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(record).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": queue,
                "awsRegion": "eu-central-1",
            }
        )
    return _compact({"Records": made})


def notification(object: dict[str, Any]) -> bytes:  # noqa: A002 (as S3 calls it)
    """S3's event of one object that was put into the bucket `objects`."""
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-23T00:00:00.000Z",
        "s3": {"bucket": {"name": "objects"}, "object": object},
    }
    return _compact({"Records": [record]})
