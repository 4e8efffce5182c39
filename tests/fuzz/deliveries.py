"""Events, aggregates and payloads from outside, judged by dicts, by a slow reading of protobuf, and by what must never happen."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import random
import zlib

import orjson
import pyarrow as pa

from millstream.aws.kinesis import kinesis_event, kinesis_text
from millstream.aws.sqs import sqs_event, sqs_text
from millstream.decode.payloads import Payloads
from millstream.decode.records import records_of
from millstream.errors import UsageError
from tests.aws import events

Draw = random.Random


def mangled(text: bytes, draw: Draw, parts: list[bytes]) -> bytes:
    """A few places of a text changed."""
    whole = bytearray(text)
    for _ in range(draw.randrange(0, 4)):
        at = draw.randrange(len(whole) + 1)
        whole[at : at + draw.randrange(4)] = draw.choice(parts)
    return bytes(whole)


_PARTS = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b",",
    b":",
    b"[",
    b"]",
    b" ",
    b"\0",
    b"\xc3\xa9",
    b"\xff",
    b"\\u0041",
    b"\\ud800",
    b"1",
    b"null",
    b'"x":1,',
]


def draw_event(draw: Draw) -> bytes:
    """An event of Kinesis or SQS, changed in some places."""
    bodies = [draw.randbytes(draw.randrange(0, 90)) for _ in range(draw.randrange(1, 5))]
    if draw.random() < 0.5:
        event = events.kinesis(*bodies) if draw.random() < 0.8 else events.kinesis_as_sam(*bodies)
    else:
        texts = [body.decode("latin-1") for body in bodies]
        event = events.sqs(*texts) if draw.random() < 0.5 else events.sqs_fifo(*((draw.choice("ab"), one) for one in texts))
    text = json.dumps(event, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, None, 1])).encode()
    return mangled(text, draw, _PARTS)


def judge_event(text: bytes) -> str | None:
    """The kernel reads what the dict holds, or leaves it to the dict."""
    for by_text, by_event in ((kinesis_text, kinesis_event), (sqs_text, sqs_event)):
        try:
            found = by_text(text)
        except UsageError:
            found = "refused"
        if found is None:
            continue
        try:
            event = orjson.loads(text)
            wanted = by_event(event) if isinstance(event, dict) else "refused"
        except (UsageError, orjson.JSONDecodeError):
            wanted = "refused"
        if seen(found) != seen(wanted):
            return f"{by_text.__name__} reads something else than the dict holds"
    return None


def seen(found):
    """Deliveries as plain values."""
    if isinstance(found, str):
        return found
    return [
        (
            one.source,
            one.shard,
            [one.payloads.payload(i) for i in range(one.count)],
            one.identities.all(),
            one.groups.all(),
            [one.arrived(i) for i in range(one.count)],
            list(one.broken),
        )
        for one in found
    ]


def draw_aggregate(draw: Draw) -> bytes:
    """An aggregate whose message is changed in some places, its digest right most of the time."""
    inside = [
        events.UserRecord(
            draw.randbytes(draw.randrange(60)), draw.choice("abc"), draw.choice([None, "1"]), [("k", "v")] * draw.randrange(2)
        )
        for _ in range(draw.randrange(6))
    ]
    whole = events.kpl_aggregate(inside)
    parts = [
        b"\x0a",
        b"\x1a",
        b"\x08",
        b"\xff",
        b"\x80",
        b"\x00",
        b"\x8a\x00",
        b"\x1a\x05\x08\x00\x1a\x01x",
        b"\x22\x01",
        b"\x0b",
        b"\x31",
    ]
    message = mangled(whole[4:-16], draw, parts)
    digest = hashlib.md5(message, usedforsecurity=False).digest() if draw.random() < 0.9 else whole[-16:]
    return whole[:4] + message + digest


class CorruptError(Exception):
    """The aggregate is none."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(9):
        if at + i >= len(data):
            raise CorruptError
        value |= (data[at + i] & 0x7F) << 7 * i
        if data[at + i] < 0x80:
            return value, at + i + 1
    raise CorruptError


def _fields(data: bytes):
    """(tag, value) of each field of a message: a number, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag < 8:
            raise CorruptError
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise CorruptError
        yield tag, data[at : at + size]
        at += size


def read_aggregate(data: bytes) -> list[bytes]:
    """The user records. Raises CorruptError."""
    if hashlib.md5(data[4:-16], usedforsecurity=False).digest() != data[-16:]:
        raise CorruptError
    keys, needed, found = 0, 0, []
    for tag, value in _fields(data[4:-16]):
        if tag == 10:
            keys += 1
        if tag == 26:
            fields = dict(_fields(value))
            if 8 not in fields or 26 not in fields:
                raise CorruptError
            needed = max(needed, fields[8] + 1)
            found.append(fields[26])
    if needed > keys:
        raise CorruptError
    return found


def judge_aggregate(data: bytes) -> str | None:
    """Its records are those of a slow reader, or it is rejected whole."""
    if len(data) < 20:
        return None
    try:
        wanted = read_aggregate(data)
    except CorruptError:
        wanted = None
    found = records_of(Payloads.of_records([b"{}", data, b"{}"]), {"format": "auto"})
    inside = [found.payloads.payload(i) for i in range(1, found.count - 1)]
    if wanted is None:
        fine = inside == [data] and [code.name for code, _ in found.faults.values()] == ["BAD_AGGREGATE"]
        return None if fine else "a corrupt aggregate is not rejected whole"
    packed = [
        one
        for one in wanted
        if (one[:1] not in (b"{", b"") and one.lstrip(b" \t\r\n")[:1] == b"[")
        or one[:2] in (b"\x1f\x8b", b"BZ")
        or one[:1] in b"\x78\x28\x04\xf3PQRSTUVWXYZ[\\]^_"
    ]
    if packed:  # what is in a record may be packed in turn
        return None
    return None if inside == wanted else "other records than a slow reader finds"


def draw_payload(draw: Draw) -> bytes:
    """Something packed, changed in some places."""
    lines = b"\n".join(orjson.dumps({"i": i, "s": "x" * draw.randrange(40)}) for i in range(draw.randrange(1, 30)))
    text = draw.choice([lines, b"[" + lines.replace(b"\n", b",") + b"]", events.cloudwatch_logs("a", "b")])
    kind = draw.randrange(7)
    if kind == 0:
        text = gzip.compress(text)
    elif kind == 1:
        text = zlib.compress(text)
    elif kind == 2:
        text = bz2.compress(text)
    elif kind == 3:
        text = pa.compress(text, "zstd", asbytes=True)
    elif kind == 4:
        text = events.kpl_aggregate([gzip.compress(text), text])
    elif kind == 5:
        text = gzip.compress(
            gzip.decompress(events.cloudwatch_logs("c")).replace(
                b"owner", draw.choice([b"owner", b"messageType", b"logEvents"])
            )
        )
    return mangled(text, draw, [draw.randbytes(3), b"", b"\0"])


def judge_payload(data: bytes) -> str | None:
    """Neighbours stay as they are; all records are of the delivery between them; nothing raises."""
    found = records_of(Payloads.of_records([b'{"a":1}', data, b'{"b":2}']), {"format": "auto"})
    owners = [found.delivery(i) for i in range(found.count)]
    if owners != [0, *[1] * (found.count - 2), 2]:
        return "records are of other deliveries"
    if (found.payloads.payload(0), found.payloads.payload(found.count - 1)) != (b'{"a":1}', b'{"b":2}'):
        return "a neighbour is changed"
    if {0, found.count - 1} & set(found.faults):
        return "a neighbour is rejected"
    [found.payloads.payload(i) for i in range(found.count)]
    return None
