"""Rows as JSON: what orjson reads back is what went in."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.encode import json
from millstream.schema import TYPES

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
        ("string", 'tab\t"quote" \\ \x01 é', '"tab\\t\\"quote\\" \\\\ \\u0001 é"'),
    ],
)
def test_forms(kind: str, value: Any, text: str) -> None:
    batch = pa.record_batch([pa.array([value, None], TYPES[kind].arrow)], names=['a"b'])
    assert json.encode_lines(batch).decode() == f'{{"a\\"b":{text}}}\n{{"a\\"b":null}}\n'


def test_nothing() -> None:
    empty = pa.RecordBatch.from_pylist([], SCHEMA)
    assert (json.encode_lines(empty), json.encode_array(empty)) == (b"", b"[]\n")


def test_more_rows_than_a_slice() -> None:
    batch = pa.record_batch({"i": pa.array(range(200_000))})
    assert orjson.loads(json.encode_array(batch)) == batch.to_pylist()
