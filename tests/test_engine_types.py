"""Columns of every type through the engine's steps: what Arrow keeps and takes comes out, nulls and rejects included."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import UsageError
from millstream.expr import col
from millstream.pipeline import Pipeline
from millstream.schema import Column, Schema
from millstream.tables import lookup
from millstream.types import Type, parse_type
from tests import guard
from tests.arrays import arrays, leaves, nested


@st.composite
def tables(draw: st.DrawFn) -> tuple[Type, pa.RecordBatch]:
    """A column `x` of any type, a number `i` and a flag `p`, sliced out of a longer batch."""
    kind = draw(nested | leaves)
    x = draw(arrays(kind, most=12, nan=False))
    numbers = draw(st.lists(st.none() | st.integers(0, 3), min_size=len(x), max_size=len(x)))
    flags = draw(st.lists(st.none() | st.booleans(), min_size=len(x), max_size=len(x)))
    batch = pa.record_batch({"x": x, "i": pa.array(numbers, pa.int64()), "p": pa.array(flags, pa.bool_())})
    return kind, batch.slice(draw(st.integers(0, len(x))))


@pytest.mark.parametrize("guarded", [False, True], ids=["", "guarded"])
def test_rows_pass_through_the_steps(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if guarded:
        guard.install(monkeypatch)

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tables(), st.data())
    def check(given_: tuple[Type, pa.RecordBatch], data: st.DataObject) -> None:
        kind, batch = given_
        extra = data.draw(arrays(kind, most=4, nan=False))
        table = pa.table({"k": pa.array(range(len(extra)), pa.int64()), "extra": extra})
        schema = Schema({"x": kind, "i": "int64", "p": "bool"})
        outcome = (
            Pipeline(schema)
            .filter(col("p"))
            .join(lookup(table, key="k"), on="i")
            .with_columns(none=col("x").is_null(), copy=col("x"))
            .rename({"x": "y"})
            .drop("p")
            .run(batch)
        )
        kept = batch.filter(batch["p"])
        found = pc.index_in(kept["i"], table["k"].combine_chunks())
        wanted = {
            "y": kept["x"],
            "i": kept["i"],
            "extra": extra.take(found),
            "none": kept["x"].is_null(),
            "copy": kept["x"],
        }
        outcome.batch.validate(full=True)
        assert outcome.batch.equals(pa.record_batch(wanted))
        solid = Pipeline(schema).drop_nulls("x").run(batch)
        assert solid.batch.equals(batch.filter(batch["x"].is_valid()))
        demanding = Pipeline({"x": Column(kind, nullable=False)}).run(batch)
        assert demanding.batch["x"].equals(batch["x"].drop_null())
        assert demanding.rejects["code"].to_pylist() == ["NOT_NULL"] * batch["x"].null_count

    check()


KEYS: list[tuple[str, list[Any]]] = [
    ("decimal128(38, 2)", [Decimal("1.50"), Decimal("-99999999999999999999.99"), Decimal("0.01"), None]),
    ("binary", [b"", b"\0", b"a" * 40, None]),
    ("time64[us]", [0, 1, 86_399_999_999, None]),
    ("duration[us]", [0, -1, 1 << 62, None]),
]


@pytest.mark.parametrize(("kind", "values"), KEYS, ids=[kind for kind, _ in KEYS])
def test_join_keys(kind: str, values: list[Any]) -> None:
    arrow = parse_type(kind).arrow
    table = pa.table({"k": pa.array(values, arrow), "n": range(len(values))})
    batch = pa.record_batch({"k": pa.array([*values[::-1], *values[:2]], arrow)})
    outcome = Pipeline({"k": kind}).join(lookup(table, key="k"), on="k").run(batch)
    assert outcome.batch["n"].to_pylist() == [None, 2, 1, 0, 0, 1]


def test_a_decimal_key_in_a_csv_file_is_read_as_one(tmp_path: Any) -> None:
    (tmp_path / "t.csv").write_text("k,n\n1.10,a\n12345678901234567890.5,b\n")
    batch = pa.record_batch({"k": pa.array([Decimal("12345678901234567890.50"), Decimal("1.1")], pa.decimal128(30, 2))})
    outcome = Pipeline({"k": "decimal128(30, 2)"}).join(lookup(tmp_path / "t.csv", key="k"), on="k").run(batch)
    assert outcome.batch["n"].to_pylist() == ["b", "a"]


def read(kind: Any, array: pa.Array) -> Any:
    outcome = Pipeline({"x": kind}).run(pa.record_batch({"x": array}))
    return outcome.batch["x"].to_pylist(), outcome.rejects["code"].to_pylist()


def test_columns_of_other_arrow_types_that_fit() -> None:
    assert read("decimal128(10, 2)", pa.array([1, None, 10**9])) == ([1, None], ["OUT_OF_RANGE"])
    assert read("decimal128(4, 2)", pa.array([Decimal("1.5"), Decimal("100.5")])) == ([Decimal("1.50")], ["OUT_OF_RANGE"])
    assert read("binary", pa.array([b"a"], pa.large_binary())) == ([b"a"], [])
    assert read("json", pa.array(["{}", None])) == (["{}", None], [])
    assert read("list<json>", pa.array([["{}"], None], pa.large_list(pa.large_string()))) == ([["{}"], None], [])
    assert read("struct<a: int8>", pa.nulls(2)) == ([None, None], [])
    assert read(Column("json", path="*"), pa.array(["{}"])) == (["{}"], [])


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("list<int64>", pa.array([[1]], pa.list_(pa.int32()))),
        ("struct<a: int64>", pa.array([{"b": 1}])),
        ("decimal128(10, 2)", pa.array([Decimal("1.125")])),
        ("decimal128(10, 2)", pa.array([1.5])),
        ("time64[us]", pa.array([1], pa.time64("ns"))),
        ("duration[us]", pa.array([1], pa.duration("s"))),
        ("int64", pa.array([[1]])),
        ("string", pa.array([b"a"])),
        ("binary", pa.array(["a"])),
    ],
    ids=str,
)
def test_columns_that_cannot_be_read_as_another_type(kind: str, array: pa.Array) -> None:
    with pytest.raises(UsageError, match=r"cannot be read as .*; cast it first"):
        read(kind, array)
