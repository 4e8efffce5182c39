"""Arrow arrays into engine columns and out again, whatever their type, slice and nulls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.columns import close, constant, nulls, ones, open_array, rows_of, take
from millstream.native.memory import from_numbers
from millstream.types import TYPES, Type, decimal_of, from_arrow, parse_type, without_json
from tests.arrays import arrays, decimals, nested
from tests.guard import install

KINDS = [*TYPES.values(), decimal_of(9, 2), decimal_of(38, 0), decimal_of(38, 38)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_round_trip_and_take(kind: Type, data: st.DataObject) -> None:
    check(kind, data)


@settings(max_examples=300, deadline=None)
@given(nested, st.data())
def test_nested_round_trip_and_take(kind: Type, data: st.DataObject) -> None:
    assert from_arrow(kind.arrow) == without_json(kind)
    check(kind, data, most=12)


def check(kind: Type, data: st.DataObject, most: int = 80) -> None:
    """A slice of an array is itself again, and its rows can be taken, twice, as Arrow takes them."""
    array = data.draw(arrays(kind, most, nan=not kind.is_nested))
    start = data.draw(st.integers(0, len(array)))
    piece = array.slice(start, data.draw(st.integers(0, len(array))))
    vector = open_array(piece)
    assert_same(kind, close(vector), piece)
    for _ in range(2):
        indices = data.draw(st.lists(st.integers(0, len(piece) - 1), max_size=100)) if len(piece) else []
        vector, piece = take(vector, from_numbers("q", indices)), piece.take(pa.array(indices, pa.int64()))
        assert_same(kind, close(vector), piece)
        first = data.draw(st.integers(0, len(piece)))
        assert_same(kind, close(rows_of(vector, first, len(piece) - first)), piece.slice(first))
    holes = [-1, *indices[:2], -1]
    indices_or_null = pa.array([None if one < 0 or not len(piece) else min(one, len(piece) - 1) for one in holes], pa.int64())
    filled = [-1 if one is None else one for one in indices_or_null.to_pylist()]
    assert_same(kind, close(take(vector, from_numbers("q", filled), gaps=True)), piece.take(indices_or_null))


def assert_same(kind: Type, found: pa.Array, wanted: pa.Array) -> None:
    found.validate(full=True)
    assert found.type == kind.arrow
    assert same(found.to_pylist(), wanted.to_pylist()) if kind.family == "float" else found.equals(wanted)


def same(left: list[Any], right: list[Any]) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(left) == repr(right)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bool", True), ("int8", -128), ("uint64", 2**64 - 1), ("float32", 0.5), ("float64", -0.1), ("string", ""), ("string", "é😀"),
        ("binary", b"\0\xff"), ("time64[us]", time(23, 59, 59, 999999)), ("duration[us]", timedelta(-1, 5, 7)),
        ("decimal128(10, 2)", Decimal("-12.50")), ("decimal128(38, 0)", Decimal(10**38 - 1)), ("decimal128(38, 38)", Decimal("-1e-38")),
        ("date32", date(1969, 12, 31)), ("timestamp[s]", datetime(2020, 1, 1)), ("timestamp[us, UTC]", datetime(1960, 1, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_constants(name: str, value: Any) -> None:
    for length in (0, 1, 65):
        array = close(constant(parse_type(name), value, length))
        array.validate(full=True)
        assert array.to_pylist() == [value] * length
        assert close(constant(parse_type(name), None, length)).to_pylist() == [None] * length


NESTED = [
    parse_type(name)
    for name in ("list<list<bool>>", "map<string, decimal128(4, 1)>", "struct<a: list<binary>, b: map<string, int8>>")
]


@pytest.mark.parametrize("kind", [*KINDS, *NESTED], ids=str)
def test_nulls(kind: Type) -> None:
    array = close(nulls(kind, 9))
    array.validate(full=True)
    assert array.null_count == 9


def test_other_string_layouts() -> None:
    for layout in (pa.large_string(), pa.string_view()):
        array = pa.array(["a", None, "a long string beyond twelve bytes"], layout)
        assert close(open_array(array)).to_pylist() == array.to_pylist()


@pytest.mark.parametrize(
    ("layout", "items"),
    [
        (pa.large_binary(), [b"a", None, b""]),
        (pa.binary_view(), [b"a", None, b"a long string beyond twelve bytes"]),
        (pa.binary(2), [b"ab", None, b"cd"]),
        (pa.large_list(pa.large_string()), [["a", None], None, [], ["b"]]),
        (pa.list_(pa.int8(), 2), [[1, 2], None, [None, 4]]),
        (pa.large_list(pa.map_(pa.large_string(), pa.large_list(pa.bool_()))), [[[("k", [True])]], None, [None, []]]),
        (
            pa.struct([pa.field("a", pa.list_(pa.field("element", pa.int32(), False)), False)]),
            [{"a": [1]}, {"a": []}, {"a": [2]}],
        ),
    ],
    ids=str,
)
def test_other_layouts(layout: pa.DataType, items: list[Any]) -> None:
    array = pa.array(items, layout)
    kind = from_arrow(layout)
    assert kind is not None
    for start in range(len(items)):
        back = close(open_array(array.slice(start)))
        back.validate(full=True)
        assert (back.type, back.to_pylist()) == (kind.arrow, items[start:])


def test_what_lies_under_nulls_is_not_looked_at() -> None:
    inside = pa.array([1, 2, 3, 4])
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3, 4], pa.int32()), inside, mask=pa.array([False, True, False]))
    assert close(open_array(lists)).to_pylist() == [[1, 2], None, [4]]
    struct = pa.StructArray.from_arrays([lists], ["l"], mask=pa.array([True, False, False]))
    vector = open_array(struct)
    assert close(vector).to_pylist() == [None, {"l": None}, {"l": [4]}]
    assert close(vector.children[0]).to_pylist() == [None, None, [4]]


def test_every_column_can_be_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel here touches a byte beyond an array and its padding."""
    install(monkeypatch)

    @settings(max_examples=60, deadline=None)
    @given(nested | decimals | st.just(TYPES["binary"]), st.data())
    def run(kind: Type, data: st.DataObject) -> None:
        check(kind, data, most=5)

    run()


def test_ones_are_shared_by_threads():
    """One thread may put fewer in the place of the many that another has just made."""
    sizes = [1 << (10 + i % 12) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert [one.count for one in pool.map(ones, sizes)] == sizes
