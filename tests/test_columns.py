"""Arrow arrays into engine columns and out again, whatever their type, slice and nulls."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.columns import close, constant, nulls, open_array, take
from millstream.native.memory import from_numbers
from millstream.schema import TYPES, Type

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "float": st.floats(width=32),
    "string": st.text(max_size=70),
    "date": st.dates(),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
}


def arrays(kind: Type) -> st.SearchStrategy[pa.Array]:
    values = st.integers(*kind.range) if kind.family == "int" else VALUES[kind.family]
    return st.lists(st.none() | values, max_size=80).map(lambda items: pa.array(items, kind.arrow))


@pytest.mark.parametrize("kind", TYPES.values(), ids=str)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_round_trip_and_take(kind: Type, data: st.DataObject) -> None:
    array = data.draw(arrays(kind))
    start = data.draw(st.integers(0, len(array)))
    piece = array.slice(start, data.draw(st.integers(0, len(array))))
    vector = open_array(piece)
    back = close(vector)
    back.validate(full=True)
    assert back.type == kind.arrow
    assert same(back.to_pylist(), piece.to_pylist()) if kind.family == "float" else back.equals(piece)
    indices = data.draw(st.lists(st.integers(0, len(piece) - 1), max_size=100)) if len(piece) else []
    taken = close(take(vector, from_numbers("q", indices)))
    taken.validate(full=True)
    wanted = piece.take(pa.array(indices, pa.int64()))
    assert same(taken.to_pylist(), wanted.to_pylist()) if kind.family == "float" else taken.equals(wanted)


def same(left: list[Any], right: list[Any]) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(left) == repr(right)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bool", True), ("int8", -128), ("uint64", 2**64 - 1), ("float32", 0.5), ("float64", -0.1), ("string", ""), ("string", "é😀"),
        ("date32", date(1969, 12, 31)), ("timestamp[s]", datetime(2020, 1, 1)), ("timestamp[us, UTC]", datetime(1960, 1, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_constants(name: str, value: Any) -> None:
    for length in (0, 1, 65):
        array = close(constant(TYPES[name], value, length))
        array.validate(full=True)
        assert array.to_pylist() == [value] * length
        assert close(constant(TYPES[name], None, length)).to_pylist() == [None] * length


@pytest.mark.parametrize("kind", TYPES.values(), ids=str)
def test_nulls(kind: Type) -> None:
    array = close(nulls(kind, 9))
    array.validate(full=True)
    assert array.null_count == 9


def test_other_string_layouts() -> None:
    for layout in (pa.large_string(), pa.string_view()):
        array = pa.array(["a", None, "a long string beyond twelve bytes"], layout)
        assert close(open_array(array)).to_pylist() == array.to_pylist()
