"""Lookups by keys and by ranges, against dicts and plain comparisons; IP addresses and networks, against Python's own reading."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

import orjson
import pyarrow as pa

from millstream.columns import open_array
from millstream.hashing import number_keys
from millstream.pipeline import Pipeline
from millstream.tables import lookup

Draw = random.Random

_TEXTS = ("", "a", "b", "ab", "é", "日本", "x" * 40, "x" * 39 + "y", "12345678", "123456789")
_NUMBERS = (0, 1, -1, 1 << 40, -(1 << 63), (1 << 63) - 1)
_KEYS = {"string": _TEXTS, "int64": _NUMBERS}
_LETTERS = "0123456789abcdefABCDEF:::....//g "


def draw_join(draw: Draw) -> bytes:
    """Types of key columns, keys that are different, keys that are looked up."""
    kinds = draw.choices(list(_KEYS), k=draw.randrange(1, 4))

    def key() -> tuple[Any, ...]:
        return tuple(None if draw.random() < 0.1 else draw.choice(_KEYS[kind]) for kind in kinds)

    known = list(dict.fromkeys(key() for _ in range(draw.choice([0, 1, 5, 70]))))
    return orjson.dumps([kinds, known, [draw.choice([*known, key()]) for _ in range(draw.choice([0, 1, 65, 200]))]])


def judge_join(data: bytes) -> str | None:
    """Every row finds what a dict finds; its keys have numbers in the order of their first appearance."""
    kinds, known, asked = orjson.loads(data)
    types = {"string": pa.string(), "int64": pa.int64()}
    names = [f"k{at}" for at in range(len(kinds))]

    def columns(keys: list[list[Any]]) -> dict[str, pa.Array]:
        return {name: pa.array([key[at] for key in keys], types[kinds[at]]) for at, name in enumerate(names)}

    table = pa.table({**columns(known), "v": pa.array(range(len(known)), pa.int64())})
    rows = pa.record_batch(columns(asked))
    found = {tuple(key): at for at, key in enumerate(known) if None not in key}
    wanted = [found.get(tuple(key), -7) for key in asked]
    pipeline = Pipeline(dict(zip(names, kinds, strict=True)))
    got = pipeline.join(lookup(table, key=names), on=names, on_missing={"v": -7}).run(rows).batch["v"].to_pylist()
    if got != wanted:
        return f"{got}, not {wanted}"
    firsts, numbers = number_keys([open_array(column) for column in rows.columns])
    different = list(dict.fromkeys(tuple(key) for key in asked if None not in key))
    places = {key: at for at, key in enumerate(different)}
    if numbers.tolist() != [places.get(tuple(key), -1) for key in asked]:
        return "keys have other numbers"
    if [tuple(asked[row]) for row in firsts.tolist()] != different:
        return "keys have other first rows"
    return None


def draw_range(draw: Draw) -> bytes:
    """A type, which ends are closed, ranges in any order, values that are looked up."""
    kind = draw.choice(["int64", "uint64", "float64", "decimal128(38, 0)"])
    least = 0 if kind == "uint64" else -(1 << 63)
    edges = [least, least + 1, (1 << 63) - 1]
    some = sorted({draw.choice([*edges, draw.randrange(max(least, -200), 200)]) for _ in range(2 * draw.choice([0, 1, 9, 60]))})
    pairs = list(zip(some[:-1:2], some[1::2], strict=False))
    groups = [draw.choice("abc") for _ in pairs]
    draw.shuffle(pairs)
    asked = [
        (draw.choice("abcd"), draw.choice([*some, *edges, draw.randrange(0, 200)])) for _ in range(draw.choice([0, 3, 90]))
    ]
    return orjson.dumps([kind, draw.choice(["left", "right", "both"]), groups, pairs, asked])


def judge_range(data: bytes) -> str | None:
    """The range that holds a value is the one that comparisons find, among all and among those of a key."""
    kind, closed, groups, pairs, asked = orjson.loads(data)
    arrow = Pipeline({"x": kind}).schema["x"].holds.arrow
    exact = (lambda one: float(one)) if kind == "float64" else (lambda one: one)
    ends = [(exact(low), exact(high)) for low, high in pairs]
    if any(low == high for low, high in ends):
        return None  # integers that are one float
    table = pa.table(
        {
            "g": pa.array(groups, pa.string()),
            "low": pa.array([low for low, _ in ends], arrow),
            "high": pa.array([high for _, high in ends], arrow),
            "v": pa.array(range(len(ends)), pa.int64()),
        }
    )
    rows = pa.record_batch(
        {"g": pa.array([g for g, _ in asked], pa.string()), "x": pa.array([exact(x) for _, x in asked], arrow)}
    )

    def holds(low: Any, value: Any, high: Any) -> bool:
        return (low <= value if closed != "right" else low < value) and (value <= high if closed != "left" else value < high)

    for keyed in (False, True):
        known = lookup(
            table.drop_columns(["g"]) if not keyed else table, key="g" if keyed else None, range=("low", "high"), closed=closed
        )
        outcome = Pipeline({"g": "string", "x": kind}).join(known, on=["g", "x"] if keyed else "x").run(rows)
        wanted = [
            next(
                (at for at, (low, high) in enumerate(ends) if holds(low, exact(x), high) and (not keyed or groups[at] == g)),
                None,
            )
            for g, x in asked
        ]
        if outcome.batch["v"].to_pylist() != wanted:
            return f"{'keyed' if keyed else 'plain'}: {outcome.batch['v'].to_pylist()}, not {wanted}"
    return None


def draw_address(draw: Draw) -> bytes:
    """Texts that are addresses or networks, or nearly."""
    texts = []
    for _ in range(draw.randrange(1, 9)):
        version = draw.choice([4, 6])
        bits = 32 if version == 4 else 128
        value = draw.getrandbits(bits) & draw.choice([-1, -1 << (bits // 2), 0xFFFF])
        address = ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value)
        text = draw.choice([str(address), address.exploded, f"::ffff:{ipaddress.IPv4Address(value & 0xFFFFFFFF)}"])
        if draw.random() < 0.5:
            text = (
                str(ipaddress.ip_network((value, draw.randrange(bits + 1)), strict=False))
                if draw.random() < 0.5
                else f"{text}/{draw.randrange(140)}"
            )
        letters = list(text)
        for _ in range(draw.choice([0, 0, 1, 3])):
            letters.insert(draw.randrange(len(letters) + 1), draw.choice(_LETTERS))
        texts.append("".join(letters))
    return "\n".join(texts).encode()


def judge_address(data: bytes) -> str | None:
    """What Python reads as an address, or as a network, is read so, and nothing else is."""
    from millstream.native.bind import kernels
    from millstream.native.memory import EMPTY, allocate

    texts = data.decode().split("\n")
    vector = open_array(pa.array(texts, pa.string()))
    for networks, reading in ((0, ipaddress.ip_address), (1, ipaddress.ip_network)):
        firsts, lasts = allocate(2 * len(texts), 8), allocate(2 * len(texts), 8)
        kernels.fill_int64(0, lasts)
        valid = allocate(len(texts), 1)
        kernels.parse_addresses(vector.data or EMPTY, vector.values, vector.validity(), networks, firsts, lasts, valid)
        low, high = firsts.tolist("Q"), lasts.tolist("Q")
        for at, text in enumerate(texts):
            wanted = None if "%" in text else _read(reading, text)
            got = [((words[2 * at + 1] ^ (1 << 63)) << 64) | words[2 * at] for words in (low, high)][: 1 + networks]
            if (got if valid.tolist("B")[at] == 1 else None) != wanted:
                return f"{text!r} as {reading.__name__}: {got}, not {wanted}"
    return None


def _read(reading: Any, text: str) -> list[int] | None:
    try:
        found = reading(text)
    except ValueError:
        return None
    if "/" in text and len(text.rpartition("/")[2]) > 3:  # Python takes 0008, and a mask in the place of a length
        return None
    ends = [found] if reading is ipaddress.ip_address else [found[0], found[-1]]
    return [int(one) | (0xFFFF00000000 if one.version == 4 else 0) for one in ends]
