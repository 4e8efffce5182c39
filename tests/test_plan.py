"""Planning: what is needed is decoded, and every mistake is told with its step, the column and what to write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from millstream.errors import PlanError
from millstream.expr import col, lit, when
from millstream.pipeline import Pipeline
from millstream.schema import Column, Schema
from millstream.tables import lookup

ALL = {
    "i": "int64",
    "u": "uint64",
    "f": "float32",
    "s": "string",
    "b": "bool",
    "d": "date32",
    "t": "timestamp[ms, UTC]",
    "n": "timestamp[us]",
}
P = Pipeline(ALL)
OTHERS = {
    "m": "decimal128(10, 2)",
    "k": "decimal128(12, 3)",
    "y": "binary",
    "c": "time64[us]",
    "l": "duration[us]",
    "list": "list<json>",
    "map": "map<string, int8>",
    "struct": "struct<a: int64, b: list<string>>",
    "i": "int64",
    "f": "float64",
    "p": "bool",
}
Q = Pipeline(OTHERS)


def test_only_what_is_used_is_decoded() -> None:
    plan = P.filter(col("i") > 0).with_columns(x=col("f") + 1).rename({"s": "text"}).select("text", "x").plan()
    assert [one.name for one in plan.decoded] == ["i", "f", "s"]
    assert plan.schema == pa.schema([("text", pa.string()), ("x", pa.float64())])


def test_a_column_that_may_not_be_null_is_always_decoded() -> None:
    plan = Pipeline({"a": "int64", "b": Column("string", nullable=False)}).select("a").plan()
    assert [one.name for one in plan.decoded] == ["a", "b"]


def test_a_computed_column_that_is_dropped_is_computed_still() -> None:
    plan = P.with_columns(x=col("s").cast("int64")).drop("x").select("i").plan()
    assert [one.name for one in plan.decoded] == ["i", "s"]


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        (col("i") + 1, "int64"),
        (col("u") + 1, "uint64"),
        (col("u") + (-1), "float64"),
        (col("u") + col("i"), "float64"),
        (col("i") / 2, "float64"),
        (col("f") * 2, "float64"),
        (col("f").fill_null(0), "float32"),
        (col("i").fill_null(0.5), "float64"),
        (col("t").fill_null("2024-01-01T00:00:00Z"), "timestamp[ms, UTC]"),
        (when(col("b")).then(1).otherwise(col("f")), "float32"),
        (when(col("b")).then(None).otherwise("x"), "string"),
        (when(col("b")).then(col("i")).otherwise(col("f")), "float64"),
        (col("i").cast("int8"), "int8"),
        (col("d").dt.year(), "int32"),
        (col("t").dt.truncate("1d"), "timestamp[ms, UTC]"),
        (col("t") >= datetime(2024, 1, 1, tzinfo=UTC), "bool"),
        (col("d") < "2024-01-01T12:00:00", "bool"),
        (lit(None).cast("string"), "string"),
        (col("s").is_in([]), "bool"),
    ],
)
def test_types(expression: Any, kind: str) -> None:
    assert str(dict(P.select(x=expression).plan().output)["x"]) == kind


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        (col("list"), "list<string>"),
        (col("struct").is_null(), "bool"),
        (col("struct").cast("struct<a:int64,b:list<string>>"), "struct<a: int64, b: list<string>>"),
        (lit(None).cast("map<string, int8>"), "map<string, int8>"),
        (col("m") > 10, "bool"),
        (col("m") > 10.25, "bool"),
        (col("m") > col("m").cast("decimal128(38, 2)"), "bool"),
        (lit(Decimal("1.5")) > Decimal("10.25"), "bool"),
        (lit(Decimal("1.50")), "decimal128(2, 1)"),
        (col("m").fill_null(0), "decimal128(10, 2)"),
        (when(col("p")).then(Decimal("0.125")).otherwise(Decimal("100")), "decimal128(6, 3)"),
        (when(col("p")).then(col("m")), "decimal128(10, 2)"),
        (col("c").fill_null("12:00"), "time64[us]"),
        (col("l") == "PT1H", "bool"),
        (col("l").fill_null(timedelta(1)), "duration[us]"),
        (lit(b"a"), "binary"),
        (col("y").is_in([]), "bool"),
    ],
)
def test_other_types(expression: Any, kind: str) -> None:
    assert str(dict(Q.select(x=expression).plan().output)["x"]) == kind


TABLE = pa.table({"code": ["a", "b"], "name": ["A", "B"]})


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (P.drop("b").filter(col("prise") > 1), r"step 2 \(filter\): there is no column 'prise'"),
        (Pipeline({"price": "int64"}).filter(col("prise") > 1), "did you mean 'price'"),
        (P.filter(col("i")), r"step 1 \(filter\): `i` is int64, not true or false"),
        (P.filter(col("s") > 1), "string and an int64 literal cannot be compared"),
        (P.filter(col("t") > "soon"), "is no time beside a timestamp"),
        (P.filter(col("n") > "2024-01-01T00:00:00Z"), "leave the offset out"),
        (P.filter(col("n") > col("t")), "differ in their zone"),
        (P.filter(col("s") & col("b")), "need true or false, found string"),
        (P.filter(col("i").is_in(["a"])), "is never in a column of int64"),
        (P.with_columns(x=col("s") + 1), r"step 1 \(with_columns\): `s \+ 1`: \+ needs two numbers"),
        (P.with_columns(x=col("b") + 1), "cast it to a number"),
        (P.with_columns(x=-col("u")), "signed number"),
        (P.with_columns(x=col("i").str.to_lowercase()), r"needs a string column, found int64; cast it to string"),
        (P.with_columns(x=col("s").dt.year()), "needs a date or a timestamp"),
        (P.with_columns(x=col("d").dt.truncate("1h")), "has no hours"),
        (P.with_columns(x=col("t").dt.truncate("1 hour")), "is no length of time"),
        (P.with_columns(x=col("t").dt.truncate("1us")), "is finer than"),
        (P.with_columns(x=col("i").cast("integer")), "unknown type 'integer'"),
        (P.with_columns(x=col("b").cast("date32")), "cannot be cast"),
        (P.with_columns(x=None), "gives nothing but None"),
        (P.with_columns(x=when(col("b")).then(1).otherwise("a")), "have no type in common"),
        (P.with_columns(x=when(col("i")).then(1)), "when needs true or false"),
        (P.with_columns(x=lit(1 << 70)), "fits no integer column"),
        (P.with_columns(col("i") + 1, i=col("i")), "two columns are called 'i'"),
        (P.select("i", col("i")), "two columns are called 'i'"),
        (P.select("i").drop("i"), r"step 2 \(drop\): no column is left"),
        (P.rename({"i": "u"}), "two columns would be called 'u'"),
        (P.rename({"x": "y"}), "there is no column 'x'"),
        (P.join(lookup(TABLE, key="cod"), on="s"), "has no column 'cod'"),
        (P.join(lookup(TABLE, key="code"), on="i"), r"is string, the column it is joined on is int64"),
        (P.join(lookup(TABLE, key="code"), on="f"), "a float cannot be a join key"),
        (P.join(lookup(pa.table({"k": ["a", "a"]}), key="k"), on="s"), "more than once"),
        (P.join(lookup("missing.csv", key="k"), on="s"), "cannot be read: No such file"),
        (P.join(lookup("table.txt", key="k"), on="s"), "cannot be read"),
        (Q.filter(col("list") == 1), r"list<string> cannot be compared; it is passed on as it is"),
        (Q.filter(col("struct") == col("struct")), "can be read as a column of its own"),
        (Q.filter(col("map") == None), "cannot be compared"),  # noqa: E711
        (Q.filter(col("list").is_in([])), "cannot be looked up in a list"),
        (Q.with_columns(x=col("list").fill_null("[]")), "cannot be chosen or filled"),
        (Q.with_columns(x=when(col("p")).then(col("struct"))), "cannot be chosen or filled"),
        (Q.with_columns(x=col("list").cast("string")), "list<string> cannot be cast to string; it is passed on as it is"),
        (Q.with_columns(x=col("i").cast("list<int64>")), "cannot be cast to list<int64>"),
        (Q.with_columns(x=col("list").cast("list<json>")), "json is a type of input columns"),
        (Q.with_columns(x=col("list").str.to_lowercase()), r"needs a string column, found list<string>; it is passed on"),
        (Q.with_columns(x=col("struct") + 1), "needs two numbers, found struct<.*; it is passed on"),
        (Q.with_columns(x=-col("y")), "found binary; it can be compared and passed on as it is"),
        (
            Q.with_columns(x=col("m") / 2),
            r"of decimal128\(10, 2\) and an int64 literal has no exact result; cast both to float64",
        ),
        (Q.with_columns(x=col("l") * col("l")), "take the difference of two times"),
        (Q.with_columns(x=col("c").dt.year()), "needs a date or a timestamp column, found time64"),
        (Q.filter(col("m") > 0.001), "0.001 is no number of 2 digits behind the point, as the column is"),
        (Q.filter(col("m") > float("inf")), "inf is no number of 2 digits"),
        (Q.filter(col("m") > col("k")), r"cast one of them to the other's scale: .cast\('decimal128\(38, 3\)'\)"),
        (Q.filter(col("m") > col("i")), r".cast\('decimal128\(38, 2\)'\)"),
        (Q.filter(col("m") > col("f")), "cast the decimal to float64"),
        (Q.filter(col("m") > "1"), "compare a decimal with a number"),
        (Q.filter(col("i") > Decimal("1.5")), r".cast\('decimal128\(38, 1\)'\)"),
        (Q.filter(col("m").is_in(["1"])), "is never in a column of decimal128"),
        (Q.with_columns(x=col("m").fill_null(0.001)), "have no type in common"),
        (Q.with_columns(x=lit(Decimal("1e38"))), "more than 38 digits"),
        (Q.with_columns(x=lit(Decimal("1e999999"))), "more than 38 digits"),
        (Q.with_columns(x=col("p").cast("decimal128(4, 2)")), r"cannot be cast to decimal128\(4, 2\); go by way of int64"),
        (Q.with_columns(x=col("y").cast("int64")), "binary cannot be cast to int64; go by way of string"),
        (Q.with_columns(x=col("c").cast("duration[us]")), "go by way of int64"),
        (Q.filter(col("c") > "noon"), r"beside a time64\[us\] column 'noon' is no time of day"),
        (Q.filter(col("c") > col("l")), "cannot be compared"),
        (Q.filter(col("y") > "a"), "binary and a string literal cannot be compared"),
        (Q.filter(col("l") > timedelta(200_000_000)), "is longer than a duration"),
        (Q.join(lookup(pa.table({"k": [[1]]}), key="k"), on="list"), "cannot be a join key"),
        (Pipeline(OTHERS, output={"partition_by": ["l"]}), "no stable folder name; cast it to int64 or string"),
        (Pipeline(OTHERS, output={"partition_by": ["list"]}), "no stable folder name; partition by another column"),
        (Pipeline(OTHERS, output={"partition_by": ["y"]}), "no stable folder name; partition by another column"),
        (Pipeline(ALL, output={"partition_by": ["x"]}), "output: partition_by: there is no column 'x'"),
        (Pipeline(ALL, output={"partition_by": ["f"]}), "no stable folder name"),
        (Pipeline({"s": "string"}, output={"partition_by": ["s"]}), "takes every column"),
        (Pipeline(ALL, output={"format": "orc"}), "write one of parquet"),
        (Pipeline(ALL, output={"fromat": "json"}), "did you mean 'format'"),
    ],
)
def test_every_mistake_is_told(pipeline: Pipeline, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        pipeline.plan()


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: P.filter("i > 0"), "filter takes expressions"),
        (lambda: P.with_columns("i"), r"write col\('i'\)"),
        (lambda: P.with_columns(lit(1)), "has no name"),
        (lambda: P.with_columns(), "at least one"),
        (lambda: P.select(), "at least one"),
        (lambda: P.drop(), "at least one"),
        (lambda: P.rename({"a": 1}), "rename takes a mapping"),
        (lambda: P.join(TABLE, on="s"), "join takes a lookup"),
        (lambda: P.join(lookup(TABLE, key="code"), on="s", how="outer"), "'left', 'inner' or 'anti'"),
        (lambda: P.join(lookup(TABLE, key="code"), on=["s", "i"]), "one column"),
        (lambda: lookup({"a": 1}, key="a"), "pyarrow table or a path"),
        (lambda: Pipeline(ALL, name="a/b"), "letters, digits"),
        (lambda: Pipeline(ALL, input={"format": "xml"}), "write one of"),
        (lambda: Pipeline(Schema({})), "at least one column"),
    ],
)
def test_mistakes_that_need_no_schema_are_told_at_once(mistake: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()
