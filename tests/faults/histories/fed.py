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


def told(number: int, k: str, price: float | None) -> dict[str, Any]:
    """A record's fields."""
    return {"id": number, "k": k, "price": price, "note": f"{CANARY} {number}"}


def written(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def fed(draw: random.Random, number: int) -> Fed:
    """A record: good, filtered, or one of several poisons."""
    price: float | None = round(draw.uniform(10.01, 500), 2)
    chance = draw.random()
    if chance < 0.15:
        price = draw.choice((None, round(draw.uniform(0, 10), 2)))
    fields = told(number, draw.choice("abc"), price)
    if chance > 0.85:
        return Fed(number, poisoned(draw.randrange(4), fields), REJECTED)
    if price is None or price <= 10:
        return Fed(number, written(fields), FILTERED)
    return Fed(number, written(fields), WRITTEN, (number, fields["k"], price, fields["note"], price * 0.1))


def poisoned(way: int, fields: dict[str, Any]) -> bytes:
    """A record that no schema takes: cut short, with a text for a number, with a text for its id, not UTF-8."""
    match way:
        case 0:
            return written(fields)[:-1]
        case 1:
            return written(fields | {"price": "dear"})
        case 2:
            return written(fields | {"id": f"x{fields['id']}"})
    return written(fields).replace(b"canary", b"canar\xff")


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
