"""Types by name, schemas, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import PlanError
from millstream.schema import TYPES, Column, Schema, parse_type
from millstream.values import from_text, to_text


@pytest.mark.parametrize("name", TYPES)
def test_every_name_is_a_type(name: str) -> None:
    assert parse_type(f" {name} ".replace(",", " ,")).name == name
    assert Schema(Schema({"a": name}).arrow)["a"].type.name == ("string" if name == "json" else name)  # Arrow has no json


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": "text"}, "column 'a': unknown type 'text': write one of bool"),
        ({"a": "str"}, "write 'string'"),
        ({"a": "datetime"}, "write 'timestamp[us, UTC]'"),
        ({}, "at least one column"),
        ({"": "int64"}, "non-empty string"),
        ({"a": Column("int8", default=300)}, "column 'a': default is 300, which is no int8"),
        ({"a": Column("bool", default=1)}, "which is no bool"),
        ({"a": Column("int64", on_error="ignore")}, "write 'reject' or 'null'"),  # type: ignore[arg-type]
        ({"a": Column("int64", on_error="null", nullable=False)}, "needs a nullable column"),
        ({"a": "int64", "b": Column("int64", path="a")}, "columns 'a' and 'b' both read 'a'"),
        ({"a": "int64", "b": Column("int64", path="a.b")}, "inside it"),
        ({"a": Column("int64", coerce=[["numbers"]])}, "is not known; write some of"),  # type: ignore[list-item]
        ({"a": Column("int64", coerce={"numbers": True})}, "is not known; write some of"),  # type: ignore[arg-type]
        ({"a": Column("date32", default=float("nan"))}, "which is no date32"),
        ({"a": Column("string", default="\ud800")}, "which is no string"),
        ({"a": Column("int64", coerce="words")}, "coerce 'words' is not known; write some of numbers, bools"),
        ({"a": Column("int64", coerce=("empty", "bools"))}, "coerce 'bools' is for columns of bool, not int64"),
        ({"a": Column("json", coerce="empty")}, "not json"),
        ({"a": Column("timestamp[s]", coerce=("epoch_s", "epoch_ms"))}, "a number means one of them"),
        ({"a": Column("int64", path=())}, "is not a key or keys"),
        (pa.schema([("a", pa.list_(pa.float16()))]), "has no counterpart"),
        ({"a": Column("int64", coerce="hex")}, "coerce 'hex' is for columns of binary, not int64"),
        ({"a": Column("duration[us]", coerce=("seconds", "milliseconds"))}, "a number means one of them"),
        ({"a": Column("map<string, json>", coerce="text")}, "coerce 'text' is for columns of string, not map<string, json>"),
        ({"a": Column("list<int64>", default=[1])}, "list<int64> takes no default"),
        ({"a": Column("decimal128(4, 2)", default="1.234")}, "which is no decimal128(4, 2)"),
        ({"a": Column("decimal128(4, 2)", default="NaN")}, "which is no decimal128(4, 2)"),
        (
            {"a": Column("decimal128(4, 2)", default=1.5)},
            "default is a float, which is no decimal128(4, 2); write its digits in quotes",
        ),
        ({"a": Column("binary", default="?")}, "which is no binary; write base64"),
        ({"a": Column("time64[us]", default="25:00")}, "which is no time64[us]; write '12:30:00'"),
        ({"a": Column("time64[us]", default=time(1, tzinfo=UTC))}, "which is no time64[us]"),
        ({"a": Column("duration[us]", default="P1Y")}, "write ISO 8601 such as 'P1DT2H'"),
        ({"a": Column("duration[us]", default=5)}, "which is no duration[us]"),
        ({"a": Column("string", default=b"x")}, "which is no string"),
        ({"a": Column("string", path="*")}, "path '*' is for a json column"),
        ({"a": Column("json", path="*", default="{}")}, "path '*' is for a json column without aliases and default"),
        ({"a": Column("json", path="*", aliases=("b",))}, "path '*' is for a json column without aliases and default"),
        ({"a": Column("json", aliases=("*",))}, "'*' is no alias"),
        ({"a": Column("json", path="*"), "b": Column("json", path="*")}, "columns 'a' and 'b' both read '*'"),
        ([("a", "int64")], "not list"),
    ],
)
def test_refused(columns: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        Schema(columns)
    assert message in str(caught.value)


def test_the_rest_and_the_key_that_is_called_so() -> None:
    fields = Schema({"rest": Column("json", path="*"), "star": Column("json", path=("*",)), "*": Column("json", path="x")})
    assert [(one.rest, one.paths) for one in fields.values()] == [(True, ()), (False, (("*",),)), (False, (("x",),))]
    assert Schema({"*": "string"})["*"].paths == (("*",),)


def test_coercions_of_what_is_inside() -> None:
    for kind, name in (
        ("list<int64>", "numbers"),
        ("struct<a: bool, b: list<decimal128(4, 1)>>", "round"),
        ("map<string, binary>", "hex"),
    ):
        assert Schema({"a": Column(kind, coerce=name)})["a"].coerce == (name,)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("date32", "2024-02-29", date(2024, 2, 29)),
        ("timestamp[us]", "2024-02-29T01:02:03", datetime(2024, 2, 29, 1, 2, 3)),
        ("time64[us]", "01:02:03.000004", time(1, 2, 3, 4)),
        ("duration[us]", "-P1DT2H3M4.5S", -timedelta(1, 4, 500_000, 0, 3, 2)),
        ("duration[us]", "PT0S", timedelta()),
        ("duration[us]", "P400D", timedelta(400)),
        ("decimal128(38, 10)", "-1E-10", Decimal("-1e-10")),
        ("binary", "AP8=", b"\0\xff"),
    ],
)
def test_defaults_in_text(kind: str, text: str, value: Any) -> None:
    assert Schema({"a": Column(kind, default=text)})["a"].default == value
    assert Schema({"a": Column(kind, default=value)})["a"].default == value
    assert to_text(value) == text


@given(st.timedeltas())
def test_durations_read_back(value: timedelta) -> None:
    assert from_text(TYPES["duration[us]"], to_text(value)) == value


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "1D", "P1W2D", "PT1.5H", "PT1.1234567S", "P1M", "--PT1S", "P999999999W"]
)
def test_texts_that_are_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(TYPES["duration[us]"], text)


def test_a_path_is_text():
    for name, column in (("a", Column("int64", path="\ud800")), ("\ud800", "int64")):
        with pytest.raises(PlanError, match="d800"):
            Schema({name: column})
