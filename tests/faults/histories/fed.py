"""What histories feed to handlers, and what must become of it: worked out in plain Python."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from millstream import Pipeline, col
from tests.aws.events import kpl_aggregate

CANARY = "canary-5b0e71"
WRITTEN, FILTERED, REJECTED = "written", "filtered", "rejected"
SCHEMA = {"id": "int64", "k": "string", "price": "float64", "note": "string"}


class Fed(NamedTuple):
    """One record: its bytes, what must become of it, the row that it makes."""

    id: int
    data: bytes
    fate: str
    row: tuple[Any, ...] | None = None


@dataclass
class Delivery:
    """What the source counts as one: its bytes, and the records in it."""

    data: bytes
    records: list[Fed] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [one.id for one in self.records]


def pipeline(form: str, partitioned: bool) -> Pipeline:
    """The pipeline of all histories: `rows_of` tells what it does."""
    output: dict[str, Any] = {"format": form} | ({"partition_by": ["k"]} if partitioned else {})
    return Pipeline(SCHEMA, name="histories", output=output).filter(col("price") > 10).with_columns(discount=col("price") * 0.1)


def fed(draw: random.Random, number: int) -> Fed:
    """A record: good, filtered, or one of several poisons."""
    price: float | None = round(draw.uniform(10.01, 500), 2)
    chance = draw.random()
    if chance < 0.15:
        price = draw.choice((None, round(draw.uniform(0, 10), 2)))
    told = {"id": number, "k": draw.choice("abc"), "price": price, "note": f"{CANARY} {number}"}
    if chance > 0.85:
        return Fed(number, _poisoned(draw, told), REJECTED)
    data = json.dumps(told).encode()
    if price is None or price <= 10:
        return Fed(number, data, FILTERED)
    return Fed(number, data, WRITTEN, (number, told["k"], price, told["note"], price * 0.1))


def _poisoned(draw: random.Random, told: dict[str, Any]) -> bytes:
    match draw.randrange(4):
        case 0:
            return json.dumps(told).encode()[:-1]
        case 1:
            return json.dumps(told | {"price": "dear"}).encode()
        case 2:
            return json.dumps(told | {"id": f"x{told['id']}"}).encode()
    return json.dumps(told).encode().replace(b"canary", b"canar\xff")


def delivery(draw: random.Random, number: int) -> tuple[Delivery, int]:
    """A delivery with records from that number on, and the next number: one record, or many in an aggregate, an array, or gzip."""
    chance = draw.random()
    count = 1 if chance < 0.8 else draw.randrange(2, 5)
    records = [fed(draw, number + i) for i in range(count)]
    if chance < 0.8:
        return Delivery(records[0].data, records), number + 1
    if chance < 0.9:
        return Delivery(kpl_aggregate([one.data for one in records]), records), number + count
    lines = b"\n".join(one.data for one in records)
    return Delivery(gzip.compress(lines, mtime=0), records), number + count
