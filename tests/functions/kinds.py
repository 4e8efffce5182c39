"""Kinds of values for the cases of tests/cases_catalogue.py: for each its type, values that have been trouble, and a way to draw more."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

EPOCH = datetime(1970, 1, 1)
DAY = timedelta(days=1)


class Kind(NamedTuple):
    """`type` holds its values."""

    type: str
    edges: list[Any]
    make: Callable[[Random], Any]


def _text(draw: Random, letters: str, most: int) -> str:
    return "".join(draw.choice(letters) for _ in range(draw.randrange(most)))


def _encoded(draw: Random) -> str:
    data = draw.randbytes(draw.randrange(70))
    text = draw.choice(
        [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode().rstrip("="), data.hex(), data.hex().upper()]
    )
    return text if draw.random() < 0.8 or not text else text.replace(draw.choice(text), draw.choice("=+-*Gé "), 1)


def _json(draw: Random) -> str:
    value = draw.choice([5, -0.5, True, None, 'x\n"é', [1, "a"], {"c": {}}, "😀" * 9])
    record = draw.choice([{"a": {"b": value}}, {"a": value, "é x": value}, {"é x": "\\", "b": 1}, {}, {"a": {"b": {"b": 1}}}])
    text = json.dumps(record, ensure_ascii=draw.random() < 0.5)
    return text if draw.random() < 0.8 else text[:-1]


def _moment(draw: Random, first: int = 1970, last: int = 2600) -> datetime:
    span = (datetime(last, 1, 1) - datetime(first, 1, 1)) // timedelta(microseconds=1)
    return datetime(first, 1, 1) + timedelta(microseconds=draw.randrange(span))


def _written(draw: Random) -> str:
    moment = _moment(draw)
    text = moment.strftime(draw.choice(["%d.%m.%Y %H:%M", "%d/%b/%Y:%H:%M:%S", "%B %d, %Y %I:%M %p", "%d/%b/%Y:%H:%M:%S"]))
    text = text.lower() if draw.random() < 0.2 else text.replace("0", "", 1) if draw.random() < 0.1 else text
    return text if draw.random() < 0.8 else text.replace(draw.choice(text), draw.choice("3.:x/"), 1)


def _stamp(draw: Random) -> str:
    text = _moment(draw).isoformat(timespec=draw.choice(["seconds", "milliseconds", "microseconds"]))
    return text + draw.choice(["Z", "+01:00", "-1130", "+00:00", ""])


def _changing(draw: Random) -> datetime:
    day = draw.choice(
        [datetime(2024, 3, 31), datetime(2024, 10, 27), datetime(2024, 3, 10), datetime(2024, 11, 3), datetime(2525, 3, 25)]
    )
    return day + timedelta(minutes=draw.randrange(240)) if draw.random() < 0.5 else _moment(draw, 1890)


def _short(draw: Random) -> float:
    return round(draw.uniform(-99, 99), draw.randrange(4))


KINDS = {
    "repeating": Kind("string", ["", "a", "aa", "aaa", "baab", "é"], lambda draw: _text(draw, "aaab", 40)),
    "encoded": Kind("string", ["", "=", "aA", "aA==", "aA=", "a", "aB==", "aGk=\n", "é", "+/-_", "0g"], _encoded),
    "json text": Kind("string", ["", "{}", "[1]", "5", "nul", '{"a": {"b": ""}}', '{"a": {"b": 1e5}} ', '{"a": 1}x'], _json),
    "written times": Kind("string", ["", "29.02.2023 10:00", "29.02.2024 24:00", "1/Feb/2024:1:2:3", "May 5, 2024 12:00 am",
                                     "may 5, 2024 12:00 PM", "June 31, 2024 01:00 AM"], _written),
    "stamps": Kind("string", ["", "2024-01-02T03:04:05.Z", "2024-01-02T03:04:05.5Z", "2024-01-02T23:59:60Z"], _stamp),
    "short floats": Kind("float64", [0.0, -0.0, 0.5, -0.5, 2.5, 0.25, 0.05, math.nan, math.inf, -math.inf, 1e300], _short),
    "late dates": Kind("date32", [date(2024, 2, 29), date(2024, 1, 31), date(2100, 3, 31)], lambda draw: _moment(draw).date()),
    "late times": Kind("timestamp[us]", [datetime(2024, 2, 29, 12), datetime(2024, 11, 30, 23, 59, 59, 999999)], _moment),
    "late stamps": Kind("timestamp[us, UTC]", [datetime(2024, 2, 29, tzinfo=UTC)], lambda draw: _moment(draw).replace(tzinfo=UTC)),
    "clock changes": Kind("timestamp[us]", [datetime(2024, 3, 31, 2, 30), datetime(2024, 10, 27, 2), datetime(2024, 10, 27, 3)], _changing),
    "timestamp[us, UTC]": Kind("timestamp[us, UTC]", [datetime(1, 1, 9, tzinfo=UTC), datetime(9999, 12, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)],
                               lambda draw: _moment(draw, 1800, 3000).replace(tzinfo=UTC)),
    "list<int64>": Kind("list<int64>", [[], [1], [None]], lambda draw: [draw.choice([None, 1, 2, 1 << 62]) for _ in range(draw.randrange(5))]),
    "list<string>": Kind("list<string>", [[], ["ab"], [None]], lambda draw: [draw.choice([None, "ab", "é", "", "x" * 40]) for _ in range(draw.randrange(5))]),
    "struct<x: int64, y: string>": Kind("struct<x: int64, y: string>", [{"x": None, "y": None}],
                                        lambda draw: {"x": draw.choice([None, draw.randrange(9)]), "y": draw.choice([None, "", "é"])}),
}  # fmt: skip


def draw_value(kind: str, draw: Random) -> Any:
    """A value, an edge often."""
    found = KINDS[kind]
    return draw.choice(found.edges) if draw.random() < 0.4 else found.make(draw)
