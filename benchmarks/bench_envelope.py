"""From an event's bytes to where each delivery's payload, identity and arrival stand, base64 not decoded yet.

Millstream's kernel reads the text and makes no object; peers read the whole event and take the same fields of each record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import events
import msgspec
import orjson
import pytest
import simplejson

from millstream.aws import kinesis, sqs
from millstream.aws.envelope import Fields, Shape, find_fields

NAMES = {
    "simplejson": "simplejson, as the runtime client reads it",
    "orjson": "orjson, dicts",
    "msgspec": "msgspec, structs",
}


class Kinesis(msgspec.Struct, gc=False):
    sequenceNumber: str
    data: str
    approximateArrivalTimestamp: float


class KinesisRecord(msgspec.Struct, gc=False):
    kinesis: Kinesis
    eventID: str
    eventSourceARN: str


class KinesisEvent(msgspec.Struct, gc=False):
    Records: list[KinesisRecord]


class Attributes(msgspec.Struct, gc=False):
    SentTimestamp: str


class Message(msgspec.Struct, gc=False):
    messageId: str
    body: str
    attributes: Attributes
    eventSourceARN: str


class SqsEvent(msgspec.Struct, gc=False):
    Records: list[Message]


def of_kinesis(event: Any) -> list[tuple[str, str]]:
    return [(record["kinesis"]["sequenceNumber"], record["kinesis"]["data"]) for record in event["Records"]]


def of_sqs(event: Any) -> list[tuple[str, str]]:
    return [(record["messageId"], record["body"]) for record in event["Records"]]


def pairs(fields: Fields, identity: str, payload: str) -> list[tuple[str, str]]:
    return list(zip(fields.texts(identity).all(), fields.texts(payload).all(), strict=True))


SOURCES: dict[str, tuple[Callable[..., bytes], Shape, Callable[[Any], Any], type, Callable[[Any], Any], tuple[str, str]]] = {
    "Kinesis": (
        events.kinesis,
        kinesis.SHAPE,
        of_kinesis,
        KinesisEvent,
        lambda event: [(one.kinesis.sequenceNumber, one.kinesis.data) for one in event.Records],
        ("sequenceNumber", "data"),
    ),
    "SQS": (
        events.sqs,
        sqs.SHAPE,
        of_sqs,
        SqsEvent,
        lambda event: [(one.messageId, one.body) for one in event.Records],
        ("messageId", "body"),
    ),
}


@pytest.mark.parametrize(("source", "count"), [("Kinesis", 5000), ("Kinesis", 100), ("SQS", 1000)])
def bench_envelope(source: str, count: int, contest: Any) -> None:
    made, shape, take, kind, take_structs, names = SOURCES[source]
    event = made(events.orders(count))
    decoder = msgspec.json.Decoder(kind)
    runs = {
        "millstream": lambda: find_fields(event, shape),
        "simplejson": lambda: take(simplejson.loads(event)),
        "orjson": lambda: take(orjson.loads(event)),
        "msgspec": lambda: take_structs(decoder.decode(event)),
    }
    fields = runs["millstream"]()
    assert fields is not None
    assert pairs(fields, *names) == runs["simplejson"]() == runs["orjson"]() == runs["msgspec"]()
    contest(f"{source}, {count:,} records", runs, names=NAMES, size=len(event), settle=True, seconds=3)
