"""What is sent, and what has to come of it: real flights, one record in a hundred spoiled, and their rows by plain Python."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from tests.crash import server
from tests.crash.soak import COLUMNS, Flights

SPOILED = 100
"""Each so-many-th record is poison."""


class Flown(NamedTuple):
    """Records for one source. filtered: how many have no row though nothing is wrong with them."""

    records: list[bytes]
    rows: Counter[tuple[Any, ...]]
    rejects: Counter[bytes]
    filtered: int


def draw(flights: Flights, start: int, count: int, text: bool) -> Flown:
    """`count` flights from a place on; `text`: poison is text that SQS takes, too."""
    chance, records = random.Random(f"poison {start}"), []
    rows: Counter[tuple[Any, ...]] = Counter()
    rejects: Counter[bytes] = Counter()
    filtered = 0
    for number, line in enumerate(islice(flights.lines, start, start + count)):
        if number % SPOILED == SPOILED - 1:
            line = chance.choice(list(_spoiled(line, start + number, text)))
            rejects[line] += 1
        elif (row := flights.row(line)) is None:
            filtered += 1
        else:
            rows[row] += 1
        records.append(line)
    if len(records) < count:
        raise SystemExit(f"there are {len(flights.lines):,} flights, too few for {count:,} from {start:,} on")
    return Flown(records, rows, rejects, filtered)


def _spoiled(line: bytes, number: int, text: bool) -> Iterator[bytes]:
    yield line[: len(line) // 2]
    yield b"[" + line + b"]"
    yield line.replace(b'"distance":', b'"distance":"far","was":')
    yield line.replace(b'"month":', b'"month":300,"was":')
    if not text:
        yield line.replace(b'"carrier":"', b'"carrier":"\xff')
        yield b"\0" * 40 + str(number).encode()


class Landed(NamedTuple):
    """What stands in the lake. objects: of rows."""

    rows: Counter[tuple[Any, ...]]
    rejects: Counter[bytes]
    objects: int


def landed(lake: tuple[str, str], rejected: tuple[str, str]) -> Landed:
    """Read back what stands in two places, each a bucket and a prefix."""
    rows: Counter[tuple[Any, ...]] = Counter()
    rejects: Counter[bytes] = Counter()
    count = 0
    for name, body, _ in server.objects(*lake):
        table = pq.ParquetFile(io.BytesIO(body)).read()
        month = int(name.partition("/")[0].removeprefix("month="))
        rows.update(zip([month] * table.num_rows, *(table.column(one).to_pylist() for one in COLUMNS), strict=True))
        count += 1
    for _, body, _ in server.objects(*rejected):
        rejects.update(pq.ParquetFile(io.BytesIO(body)).read(["payload"]).column(0).to_pylist())
    return Landed(rows, rejects, count)


def violations(source: str, sent: Flown, found: Landed, once: bool) -> list[str]:
    """What is missing of a source's records, and if each comes `once` what came more often."""
    told = []
    for what, expected, there in (("rows", sent.rows, found.rows), ("rejects", sent.rejects, found.rejects)):
        if lost := (expected - there).total():
            told.append(f"{source}: {lost:,} {what} are lost, such as {next(iter(expected - there))!r:.300}")
        more = sum(count - expected[one] for one, count in there.items() if one in expected and count > expected[one])
        if more and once:
            told.append(f"{source}: {more:,} {what} came more often than once")
    return told
