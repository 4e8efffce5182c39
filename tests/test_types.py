"""Types by their text: what is read back, and what cannot be read."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import PlanError
from millstream.types import NAMES, TYPES, Type, decimal_of, from_arrow, list_of, map_of, parse_type, struct_of, without_json
from tests.arrays import nested


@given(nested, st.randoms())
def test_a_canonical_name_reads_back_whatever_its_spaces(kind: Type, random) -> None:
    assert parse_type(kind.name) == kind
    assert parse_type(kind.name).arrow == kind.arrow
    spaced = re.sub(
        r'([<>,:])(?=(?:[^"]*"[^"]*")*[^"]*$)',
        lambda mark: " " * random.randint(0, 2) + mark[1] + " " * random.randint(0, 2),
        kind.name,
    )
    assert parse_type(f" {spaced} ") == kind


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True))
def test_a_field_may_have_any_name(names: list[str]) -> None:
    kind = struct_of((name, TYPES["int64"]) for name in names)
    assert [name for name, _ in parse_type(kind.name).children] == names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("decimal128( 10,2 )", "decimal128(10, 2)"),
        ("list< list <json>>", "list<list<json>>"),
        ("map<string,struct<a:int8>>", "map<string, struct<a: int8>>"),
        ('struct<"a":int8, x-y.z 1 : bool>', "struct<a: int8, x-y.z 1: bool>"),
        ('struct<"":int8,"a:b":bool," a":bool, "\\u00e9\\"": bool>', 'struct<"": int8, "a:b": bool, " a": bool, "é\\"": bool>'),
        ("list<timestamp[ us ,UTC]>", "list<timestamp[us, UTC]>"),
    ],
)
def test_canonical_names(text: str, name: str) -> None:
    assert parse_type(text).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown type '': write one of bool, int8"),
        ("words", f"unknown type 'words': write one of {NAMES}"),
        ("list", "unknown type 'list': write 'list<string>'"),
        ("bytes", "write 'binary'"),
        ("time", "write 'time64[us]'"),
        ("time64[ns]", "write 'time64[us]'"),
        ("duration[ms]", "write 'duration[us]'"),
        ("decimal(10, 2)", "unknown type 'decimal(10, 2)': write 'decimal128(18, 2)'"),
        ("decimal128(39, 2)", "there is no decimal128(39, 2): a decimal has 1 to 38 digits"),
        ("decimal128(2, 3)", "there is no decimal128(2, 3)"),
        ("list<int>", "unknown type 'int' in 'list<int>': write 'int64'"),
        ("map<string, decimal(1,1)>", "unknown type 'decimal(1,1)' in 'map<string, decimal(1,1)>'"),
        ("list<int64", "the type 'list<int64' cannot be read at its end: it needs '>' there"),
        ("list<int64>>", "cannot be read at '>': it needs nothing more there"),
        ("int64 int64", "it needs nothing more"),
        ("map<int64, string>", "the keys of a map are string, not int64; write map<string, int64>"),
        ("map<string>", "it needs ',' there"),
        ("struct<>", "it needs a field's name and a colon"),
        ("struct<a>", "it needs a field's name and a colon"),
        ("struct<é: int8>", "it needs a field's name and a colon"),
        ('struct<"\\x": int8>', "it needs a name in quotes as JSON has them"),
        ('struct<"\\ud800": int8>', "it needs a name in quotes as JSON has them"),
        ("struct<a: int8, a: int8>", "a struct has the field 'a' twice"),
        ("list<" * 17 + "int8" + ">" * 17, "nests more than 16 deep"),
        ("list<" * 100_000, "nests more than 16 deep"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_type(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 800


def test_as_deep_as_can_be() -> None:
    kind = TYPES["int8"]
    for _ in range(16):
        kind = list_of(kind)
    assert parse_type(kind.name) == from_arrow(kind.arrow) == kind
    assert from_arrow(list_of(kind).arrow) is None


@pytest.mark.parametrize(
    "arrow",
    [
        pa.struct([]),
        pa.struct([("a", pa.int8()), ("a", pa.int8())]),
        pa.map_(pa.int64(), pa.string()),
        pa.list_(pa.float16()),
        pa.struct([("a", pa.int8()), ("b", pa.time32("s"))]),
        pa.decimal128(5, -2),
        pa.decimal256(50, 2),
        pa.time64("ns"),
        pa.duration("s"),
    ],
    ids=str,
)
def test_arrow_types_without_a_counterpart(arrow: pa.DataType) -> None:
    assert from_arrow(arrow) is None


def test_json_inside_is_held_as_text() -> None:
    kind = parse_type("struct<a: list<json>, b: map<string, json>, c: int8>")
    assert without_json(kind).name == "struct<a: list<string>, b: map<string, string>, c: int8>"
    assert without_json(kind).arrow == kind.arrow
    field = struct_of([("json", TYPES["int8"])])
    assert without_json(field) == field


def test_ranges() -> None:
    assert decimal_of(3, 1).range == (-999, 999)
    assert TYPES["time64[us]"].range == (0, 24 * 60 * 60 * 10**6 - 1)
    assert [str(one) for one in map_of(list_of(TYPES["bool"])).leaves] == ["bool"]
