"""Records of all types, nested ones too, with keys that come twice, values that do not fit, unknown fields and broken text."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from millstream.decode.json import decode_json
from millstream.schema import Column, Schema
from millstream.types import Type
from millstream.values import duration_to_text
from tests.decode.reference import UnsureError, row_of
from tests.decode.test_json import corrupted

Draw = random.Random

NEIGHBOUR = b'{"id":7,"l":[1,2]}'
SCHEMAS = [
    Schema({"id": "int64", "l": "list<int64>", **given})  # type: ignore[dict-item]
    for given in (
        {"s": "struct<a: int8, b: list<string>, c: struct<d: float64, e: bool>>", "m": "map<string, int64>"},
        {"o": Column("list<struct<n: string, q: int32, t: list<list<int64>>>>", on_error="null"), "p": Column("string", path="x.y")},
        {"d": "decimal128(9, 2)", "e": Column("decimal128(38, 10)", coerce=("round", "numbers")), "b": "binary", "h": Column("binary", coerce="hex")},
        {"t": "time64[us]", "u": Column("duration[us]", on_error="null"), "w": "timestamp[us, UTC]", "f": "list<float32>", "g": "date32"},
        {"m": Column("map<string, struct<a: string, b: decimal128(5, 1)>>", path="x.m"), "v": Column("uint8", path="x.v", nullable=False), "z": Column("map<string, list<string>>", path="x.z")},
        {"a": Column("list<int64>", coerce=("numbers", "empty")), "j": Column("struct<k: int64>", path="x.j", on_error="null"), "q": Column("string", default="none")},
    )
]  # fmt: skip
_TEXTS = ("", "a", "é", "x" * 31, "y" * 40, 'q"\\/\n', "\u20ac😀" * 9, "12", "-3.5e2", "true")


def draw_text(draw: Draw) -> str:
    return draw.choice(_TEXTS)


def draw_number(draw: Draw) -> Any:
    return draw.choice(
        [
            0,
            1,
            -1,
            127,
            128,
            255,
            256,
            99999.95,
            12.345,
            1e3,
            -0.0,
            2**63,
            10**27,
            0.05,
            draw.randrange(-(10**9), 10**9),
            draw.random(),
        ]
    )


def draw_value(kind: Type, draw: Draw) -> Any:
    """A value of the type as JSON has it, mostly; sometimes null, or something else."""
    if draw.random() < 0.08:
        return None
    if draw.random() < 0.04:
        return draw.choice([True, 5, "text", [], {}, [1], {"a": 1}, [[]], {"k": "v"}, 1.5])
    match kind.family:
        case "list":
            return [draw_value(kind.children[0][1], draw) for _ in range(draw.randrange(5))]
        case "map":
            return Doubled(
                (draw.choice(["a", "b", "é", "", "k" * 20, "\n", draw_text(draw)]), draw_value(kind.children[1][1], draw))
                for _ in range(draw.randrange(6))
            )
        case "struct":
            names = [name for name, _ in kind.children] + ["other"]
            kinds = dict(kind.children)
            chosen = draw.choices(names, k=draw.randrange(6))
            return Doubled((name, draw_value(kinds[name], draw) if name in kinds else draw_number(draw)) for name in chosen)
        case "bool":
            return draw.random() < 0.5
        case "int":
            return draw.choice([0, 1, -1, 100, draw.randrange(*kind.range)])
        case "float" | "decimal":
            return draw_number(draw)
        case "binary":
            data = draw.randbytes(draw.randrange(20))
            return draw.choice(
                [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode().rstrip("="), data.hex(), "not"]
            )
        case "date":
            return (datetime(1970, 1, 1) + timedelta(draw.randrange(-(10**5), 10**5))).date().isoformat()
        case "timestamp":
            return (datetime(1970, 1, 1) + timedelta(microseconds=draw.randrange(10**15))).isoformat() + (
                "Z" if kind.zone else ""
            )
        case "time":
            return (datetime(1970, 1, 1) + timedelta(microseconds=draw.randrange(86400 * 10**6))).time().isoformat()
        case "duration":
            return duration_to_text(timedelta(microseconds=draw.randrange(-(10**12), 10**12)))
    return draw_text(draw)


class Doubled(dict[Any, Any]):
    """Pairs that are written as an object, keys that come twice too."""

    def __init__(self, pairs: Any) -> None:
        self.pairs = list(pairs)


def written(value: Any, draw: Draw, blank: str) -> str:
    """JSON text."""
    gap = blank if draw.random() < 0.2 else ""
    if isinstance(value, dict):
        pairs = value.pairs if isinstance(value, Doubled) else list(value.items())
        inside = f"{gap},{gap}".join(f"{_quoted(key, draw)}{gap}:{gap}{written(one, draw, blank)}" for key, one in pairs)
        return f"{{{gap}{inside}{gap}}}"
    if isinstance(value, list):
        return f"[{gap}{f'{gap},'.join(written(one, draw, blank) for one in value)}{gap}]"
    return _quoted(value, draw) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str, draw: Draw) -> str:
    return json.dumps(text, ensure_ascii=draw.random() < 0.3)


def draw_nested(draw: Draw) -> bytes:
    """The number of a schema in one byte, then a record."""
    number = draw.randrange(len(SCHEMAS))
    fields = list(SCHEMAS[number].values())
    draw.shuffle(fields)
    record: list[tuple[str, Any]] = []
    inner: list[tuple[str, Any]] = []
    for one in fields[: draw.randrange(len(fields) + 1) + 1]:
        where = inner if len(one.paths[0]) > 1 else record
        for _ in range(draw.choice([1, 1, 1, 1, 2, 0])):
            where.append((one.paths[0][-1], draw_value(one.type, draw)))
    if inner or draw.random() < 0.5:
        draw.shuffle(inner)
        record.append(("x", Doubled(inner) if draw.random() < 0.95 else draw.choice([None, 5, []])))
    for key in draw.choices(["n", "other", "i"], k=draw.randrange(3)):
        record.append((key, draw.choice([None, "text", 5, {"deep": [1, {"a": "]"}]}])))
    draw.shuffle(record)
    text = written(Doubled(record), draw, draw.choice([" ", "\n\t", "  "])).encode()
    return bytes([number]) + (corrupted(text, draw) if draw.random() < 0.3 else text)


def judge_nested(data: bytes) -> str | None:
    """The row is the reference's, or the record is rejected where it has none; its neighbours are as ever."""
    schema, record = SCHEMAS[data[0] % len(SCHEMAS)], data[1:]
    required = b"" if "v" not in schema else b',"x":{"v":1}'
    neighbour = NEIGHBOUR[:-1] + required + b"}"
    batch, rejects = decode_json([neighbour, record, neighbour], schema)
    batch.validate(full=True)
    rows = batch.to_pylist()
    if batch.num_rows + rejects.num_rows != 3 or not len(rows) >= 2 or rows[0] != rows[-1] or rows[0]["l"] != [1, 2]:
        return "a neighbour was changed"
    try:
        wanted = row_of(record, schema)
    except UnsureError:
        return None
    if wanted is None:
        return None if len(rows) == 2 else f"accepted as {rows[1]!r}"
    if len(rows) == 2:
        return f"rejected, {rejects['code'][0]} in {rejects['column'][0]} at {rejects['offset'][0]}, wanted {wanted!r}"
    got = rows[1]
    if got.get("w") is not None:  # Arrow has another object for UTC
        got["w"] = got["w"].astimezone(UTC)
    return None if repr(got) == repr(wanted) else f"{got!r}, wanted {wanted!r}"  # repr: -0.0 is another value than 0.0
