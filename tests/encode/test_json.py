"""Rows as JSON: what orjson reads back is what went in."""

from __future__ import annotations

import base64
import ctypes
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from json import loads
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from millstream.columns import open_array, take
from millstream.decode.json import decode_json
from millstream.encode import json
from millstream.native.memory import Memory, from_numbers
from millstream.schema import Schema
from millstream.types import TYPES, Type, from_arrow, parse_type
from millstream.values import from_text
from tests import guard
from tests.arrays import arrays, leaves, nested_of, values

SCHEMA = pa.schema(
    [(name.replace("[", "_"), TYPES[name].arrow) for name in ("string", "int64", "uint64", "int8", "float64", "bool")]
)
ROW = st.fixed_dictionaries(
    {
        "string": st.none() | st.text(max_size=30),
        "int64": st.none() | st.integers(-(2**63), 2**63 - 1),
        "uint64": st.none() | st.integers(0, 2**64 - 1),
        "int8": st.none() | st.integers(-128, 127),
        "float64": st.none() | st.floats(),
        "bool": st.none() | st.booleans(),
    }
)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    value = row["float64"]
    return {**row, "float64": None if value is None or not math.isfinite(value) else value}


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, max_size=20), st.integers(1, 8))
def test_reads_back(rows: list[dict[str, Any]], rows_at_once: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
    whole = json.SLICE_ROWS
    try:
        json.SLICE_ROWS = rows_at_once
        lines, array = json.encode_lines(batch), json.encode_array(batch)
    finally:
        json.SLICE_ROWS = whole
    assert [orjson.loads(line) for line in lines.split(b"\n")[:-1]] == [plain(row) for row in rows]
    assert orjson.loads(array) == [plain(row) for row in rows]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("timestamp[us, UTC]", datetime(2024, 2, 29, 1, 2, 3, 40, tzinfo=UTC), '"2024-02-29T01:02:03.000040Z"'),
        ("timestamp[ms]", datetime(1969, 12, 31, 23, 59, 59), '"1969-12-31T23:59:59"'),
        ("timestamp[ns]", 1, '"1970-01-01T00:00:00.000000001"'),
        ("date32", date(1, 1, 1), '"0001-01-01"'),
        ("float32", 0.1, "0.1"),
        ("float64", 1e100, "1e100"),
        ("float64", 100.0, "100.0"),
        ("binary", b"\x00\xff\xfe", '"AP/+"'),
        ("binary", b"", '""'),
        ("binary", b"a", '"YQ=="'),
        ("decimal128(38, 2)", Decimal("-12.50"), "-12.50"),
        ("decimal128(38, 38)", Decimal("1e-38"), "0." + 37 * "0" + "1"),
        ("decimal128(38, 0)", Decimal(10**38 - 1), 38 * "9"),
        ("decimal128(5, 5)", Decimal(0), "0.00000"),
        ("time64[us]", time(1, 2, 3, 40), '"01:02:03.000040"'),
        ("time64[us]", time(23, 59), '"23:59:00"'),
        ("duration[us]", -timedelta(1, 7200, 500_000), '"-P1DT2H0.5S"'),
        ("list<timestamp[s, UTC]>", [datetime(2024, 2, 29, tzinfo=UTC), None], '["2024-02-29T00:00:00Z",null]'),
        ("list<list<string>>", [[], None, ["a"], [None, ""]], '[[],null,["a"],[null,""]]'),
        ("map<string, int8>", [('a"', 1), ("b", None)], '{"a\\"":1,"b":null}'),
        ("map<string, int8>", [], "{}"),
        (
            r'struct<a: bool, "b\"": struct<c: date32>>',
            {"a": None, 'b"': {"c": date(1, 1, 1)}},
            '{"a":null,"b\\"":{"c":"0001-01-01"}}',
        ),
        ("struct<a: bool>", {"a": None}, '{"a":null}'),
        ("string", 'tab\t"quote" \\ \x01 é', '"tab\\t\\"quote\\" \\\\ \\u0001 é"'),
    ],
)
def test_forms(kind: str, value: Any, text: str) -> None:
    batch = pa.record_batch([pa.array([value, None], parse_type(kind).arrow)], names=['a"b'])
    assert json.encode_lines(batch).decode() == f'{{"a\\"b":{text}}}\n{{"a\\"b":null}}\n'


calm = leaves.filter(lambda kind: kind.family != "timestamp")  # of which Python's own do not hold all


def agrees(kind: Type, found: Any, value: Any) -> bool:
    """Is this what a value becomes? Numbers in `found` are Decimals."""
    if value is None:
        return found is None
    inside = [child for _, child in kind.children]
    match kind.family:
        case "float":
            read = float if kind.bits == 64 else lambda text: ctypes.c_float(float(text)).value
            return found is None if not math.isfinite(value) else read(found) == value
        case "decimal":
            return Decimal(found).compare_total(value) == 0
        case "binary":
            return base64.b64decode(found, validate=True) == value
        case "date":
            return found == value.isoformat()
        case "time":
            return found == (datetime(1, 1, 1) + timedelta(microseconds=value)).time().isoformat()
        case "duration":
            return from_text(kind, found) == timedelta(microseconds=value)
        case "list":
            return len(found) == len(value) and all(map(agrees, inside * len(value), found, value))
        case "map":
            return list(found) == [key for key, _ in value] and all(agrees(inside[1], found[key], one) for key, one in value)
        case "struct":
            return list(found) == [name for name, _ in kind.children] and all(
                agrees(child, found[name], value[name]) for name, child in kind.children
            )
    return bool(found == value)


@pytest.mark.parametrize("guarded", [False, True], ids=["", "guarded"])
def test_columns_of_any_type(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if guarded:
        guard.install(monkeypatch)

    @settings(max_examples=150, deadline=None)
    @given(
        (nested_of(calm) | calm).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(st.none() | values(kind), max_size=9)))
    )
    def check(given_: tuple[Type, list[Any]]) -> None:
        kind, items = given_
        array = pa.array([None, *items], kind.arrow).slice(1)
        vector = open_array(array)
        text = json.encode_lines(pa.record_batch([array], names=["x"]))
        found = [loads(line, parse_float=Decimal, parse_int=Decimal)["x"] for line in text.splitlines()]
        assert all(map(agrees, [kind] * len(items), found, items)), (found, items)
        back = take(vector, from_numbers("q", range(len(items) - 1, -1, -1)))  # lists out of order
        data, views, _ = json.texts(back)
        forward = json.texts(vector)
        assert shown(data, views) == shown(forward.data, forward.views)[::-1]

    check()


@settings(deadline=None, max_examples=150)
@given((nested_of(calm) | calm).flatmap(lambda kind: arrays(kind, most=9, nan=False)))
def test_what_is_written_is_read_again(array: pa.Array) -> None:
    kind = from_arrow(array.type)
    assert kind is not None
    if "float" in kind.name:  # infinities are written as null
        try:
            array = pa.array(finite(array.to_pylist()), array.type)
        except pa.ArrowInvalid:  # a duration near the end of its type, which pyarrow gives and does not take
            reject()
    batch = pa.record_batch([array], names=["x"])
    rows, rejects = decode_json(json.encode_lines(batch), Schema({"x": kind}))
    assert rejects.num_rows == 0
    assert rows.equals(batch)


def finite(value: Any) -> Any:
    """The value without infinities."""
    if isinstance(value, list | tuple):
        return type(value)(map(finite, value))
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(data: Memory, views: Memory) -> list[bytes]:
    text = data.tobytes()
    return [text[one & 0xFFFFFFFF :][: one >> 32] for one in views.tolist()]


def test_nothing() -> None:
    empty = pa.RecordBatch.from_pylist([], SCHEMA)
    assert (json.encode_lines(empty), json.encode_array(empty)) == (b"", b"[]\n")


def test_more_rows_than_a_slice() -> None:
    batch = pa.record_batch({"i": pa.array(range(200_000))})
    assert orjson.loads(json.encode_array(batch)) == batch.to_pylist()
