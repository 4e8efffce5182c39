"""Reads a sink and the rejects back, and finds what must not be."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.histories.fed import CANARY, REJECTED, WRITTEN, Fed
from tests.faults.world import World

BUCKET, SINK, REJECTS = "lake", "rows/", "rejects/"


class Violation(AssertionError):
    """Something that must never be."""


class Held(NamedTuple):
    """What one object holds: the rows of a sink, or payloads of rejects."""

    rows: tuple[Any, ...]


class Lake:
    """The bucket that handlers write to. Objects are read once each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._read: dict[tuple[str, bytes], Held] = {}

    def objects(self, prefix: str) -> dict[str, Held]:
        """What stands there now, notes left out."""
        found = {}
        for key in self.world.s3.keys(BUCKET, prefix):
            if key.rpartition("/")[2].startswith("_"):
                continue
            body = bytes(self.world.s3.body(BUCKET, key))
            if (key, body) not in self._read:
                self._read[key, body] = Held(tuple(_rows(key, body) if prefix == SINK else _payloads(body)))
            found[key] = self._read[key, body]
        return found

    def rows(self) -> Counter[tuple[Any, ...]]:
        return Counter(row for one in self.objects(SINK).values() for row in one.rows)

    def rejects(self) -> Counter[bytes]:
        stored = Counter(payload for one in self.objects(REJECTS).values() for payload in one.rows)
        for messages in self.world.sqs.messages.values():
            for one in messages:
                told = json.loads(one["MessageBody"])
                plain = told["payload_encoding"] == "utf-8"
                stored[told["payload"].encode() if plain else base64.b64decode(told["payload"])] += 1
        return stored


def _rows(key: str, body: bytes) -> Iterable[tuple[Any, ...]]:
    if key.endswith(".parquet"):
        told = pq.ParquetFile(pa.BufferReader(body)).read().to_pylist()
    else:
        told = json.loads(body) if key.endswith(".json") else [json.loads(line) for line in body.splitlines() if line]
    folder = next((unquote(one[2:]) for one in key.split("/") if one.startswith("k=")), None)
    return [(one["id"], folder if folder is not None else one["k"], one["price"], one["note"], one["discount"]) for one in told]


def _payloads(body: bytes) -> list[bytes]:
    return [bytes(one) for one in pq.ParquetFile(pa.BufferReader(body)).read(["payload"]).column(0).to_pylist()]


def check_rows(lake: Lake, everything: Iterable[Fed], acknowledged: set[int], *, at_least: bool = False) -> None:
    """Of what was acknowledged each row is there, and none is there twice, unless `at_least`; nothing else is there."""
    rows, known = lake.rows(), {one.row: one for one in everything if one.row is not None}
    for row, count in rows.items():
        if row not in known:
            raise Violation(f"the sink holds a row that nobody sent, of record {row[0]}")
        if count > 1 and not at_least:
            raise Violation(f"record {row[0]} is {count} times in the sink")
    for one in everything:
        if one.id in acknowledged and one.fate == WRITTEN and not rows[one.row]:
            raise Violation(f"record {one.id} was acknowledged and is not in the sink")


def check_rejects(lake: Lake, everything: Iterable[Fed], acknowledged: set[int], *, at_least: bool = False) -> None:
    """What was to be rejected is kept, with its bytes. at_least: it may be there more than once."""
    stored, known = lake.rejects(), {one.data: one for one in everything if one.fate == REJECTED}
    for payload, count in stored.items():
        if payload not in known:
            raise Violation("the rejects hold something that was not to be rejected")
        if count > 1 and not at_least:
            raise Violation(f"record {known[payload].id} is {count} times among the rejects")
    for one in everything:
        if one.id in acknowledged and one.fate == REJECTED and not stored[one.data]:
            raise Violation(f"record {one.id} was acknowledged and is not among the rejects")


def check_line(fields: dict[str, Any]) -> None:
    """A log line: its counts close, and no payload is in it."""
    counts = fields["counts"]
    if counts["delivered"] != sum(counts.values()) - counts["delivered"]:
        raise Violation(f"counts do not close: {counts}")
    if min(counts.values()) < 0:
        raise Violation(f"counts below zero: {counts}")
    check_text(repr(fields))


def check_text(text: str) -> None:
    """Something that is said to somebody: no payload is in it."""
    if CANARY in text:
        raise Violation("a payload was told")
