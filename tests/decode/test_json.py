"""The JSON decoder against orjson, Python's float and datetime: what is accepted, what it means, and that neighbours never change."""

from __future__ import annotations

import json
import math
import random
import struct
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.decode.json import OTHER, UNKNOWN_KEYS, JsonDecoder, decode_json
from millstream.decode.payloads import Payloads
from millstream.schema import TYPES, Column, Schema


def decode_one(record: bytes, schema: dict[str, Any]) -> dict[str, Any] | str:
    """The row of one record, or the code it was rejected with. Its neighbours must come out as ever."""
    plain = b'{"neighbour":1}' if "nullable=False" not in repr(schema) else b'{"neighbour":1,"a":0}'
    batch, rejects = decode_json([plain, record, plain], {**schema, "neighbour": "int64"})
    batch.validate(full=True)
    assert batch.num_rows + rejects.num_rows == 3
    rows = batch.to_pylist()
    assert rows[0]["neighbour"] == rows[-1]["neighbour"] == 1
    if rejects.num_rows:
        assert rejects["position"][0].as_py() == 1
        assert rejects["payload"][0].as_py() == record
        return str(rejects["code"][0])
    del rows[1]["neighbour"]
    return dict(rows[1])


INT = {"a": "int64"}
TEXT = {"a": "string"}

CASES: list[tuple[str, dict[str, Any], bytes, Any]] = [
    ("integer", INT, b'{"a":-12}', {"a": -12}),
    ("least int64", INT, b'{"a":-9223372036854775808}', {"a": -(2**63)}),
    ("greatest int64", INT, b'{"a":9223372036854775807}', {"a": 2**63 - 1}),
    ("beyond int64", INT, b'{"a":9223372036854775808}', "OUT_OF_RANGE"),
    ("below int64", INT, b'{"a":-9223372036854775809}', "OUT_OF_RANGE"),
    ("many digits", INT, b'{"a":100000000000000000000000}', "OUT_OF_RANGE"),
    ("many zeros", INT, b'{"a":1.0000000000000000000000000000}', {"a": 1}),
    ("greatest uint64", {"a": "uint64"}, b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
    ("beyond uint64", {"a": "uint64"}, b'{"a":18446744073709551616}', "OUT_OF_RANGE"),
    ("negative uint64", {"a": "uint64"}, b'{"a":-1}', "OUT_OF_RANGE"),
    ("minus zero", {"a": "uint64"}, b'{"a":-0}', {"a": 0}),
    ("int8", {"a": "int8"}, b'{"a":-128}', {"a": -128}),
    ("beyond int8", {"a": "int8"}, b'{"a":128}', "OUT_OF_RANGE"),
    ("uint8", {"a": "uint8"}, b'{"a":256}', "OUT_OF_RANGE"),
    ("integral exponent", INT, b'{"a":1e3}', {"a": 1000}),
    ("integral fraction", INT, b'{"a":12.50e1}', {"a": 125}),
    ("not integral", INT, b'{"a":1.5}', "BAD_NUMBER"),
    ("huge exponent", INT, b'{"a":1e99999999999}', "OUT_OF_RANGE"),
    ("zero with a huge exponent", INT, b'{"a":0e99999999999}', {"a": 0}),
    ("tiny exponent", INT, b'{"a":1e-99999999999}', "BAD_NUMBER"),
    ("text for a number", INT, b'{"a":"1"}', "BAD_TYPE"),
    ("float", {"a": "float64"}, b'{"a":0.1}', {"a": 0.1}),
    ("float beyond range", {"a": "float64"}, b'{"a":1e999}', "OUT_OF_RANGE"),
    ("float32 beyond range", {"a": "float32"}, b'{"a":1e39}', "OUT_OF_RANGE"),
    ("float minus zero", {"a": "float64"}, b'{"a":-0.0}', {"a": -0.0}),
    ("bool", {"a": "bool"}, b'{"a":true}', {"a": True}),
    ("no bool", {"a": "bool"}, b'{"a":1}', "BAD_TYPE"),
    ("bool cut", {"a": "bool"}, b'{"a":tru}', "BAD_JSON"),
    ("bool and more", {"a": "bool"}, b'{"a":truex}', "BAD_JSON"),
    ("null", INT, b'{"a":null}', {"a": None}),
    ("nul", INT, b'{"a":nul}', "BAD_JSON"),
    ("absent", INT, b"{}", {"a": None}),
    ("not nullable", {"a": Column("int64", nullable=False)}, b'{"a":null}', "NOT_NULL"),
    ("missing", {"a": Column("int64", nullable=False)}, b"{}", "MISSING"),
    ("default", {"a": Column("int64", default=7)}, b"{}", {"a": 7}),
    ("null is no default", {"a": Column("int64", default=7)}, b'{"a":null}', {"a": None}),
    ("text default", {"a": Column("string", default="é!")}, b"{}", {"a": "é!"}),
    ("bool default", {"a": Column("bool", default=True)}, b"{}", {"a": True}),
    ("float default", {"a": Column("float64", default=0.5)}, b"{}", {"a": 0.5}),
    ("date default", {"a": Column("date32", default=date(2020, 1, 2))}, b"{}", {"a": date(2020, 1, 2)}),
    ("on error null", {"a": Column("int64", on_error="null"), "b": "int64"}, b'{"a":{"x":[1,"]"]},"b":2}', {"a": None, "b": 2}),
    ("on error null is no cover", {"a": Column("int64", on_error="null")}, b'{"a":[1,}', "BAD_JSON"),
    ("path", {"a": Column("int64", path="x.y")}, b'{"x":{"y":5,"z":{}}}', {"a": 5}),
    ("path key with a dot", {"a": Column("int64", path=("x.y",))}, b'{"x.y":5}', {"a": 5}),
    ("path through null", {"a": Column("int64", path="x.y")}, b'{"x":null}', {"a": None}),
    ("path through a value", {"a": Column("int64", path="x.y")}, b'{"x":5}', "BAD_TYPE"),
    ("path object twice", {"a": Column("int64", path="x.y")}, b'{"x":{"y":5},"x":{}}', {"a": None}),
    ("deep path", {"a": Column("int64", path="x.y.z"), "b": Column("int64", path="x.w")}, b'{"x":{"y":{"z":1},"w":2}}', {"a": 1, "b": 2}),
    ("alias", {"a": Column("int64", aliases=("A", "x.a"))}, b'{"x":{"a":3}}', {"a": 3}),
    ("key twice", INT, b'{"a":1,"a":2}', {"a": 2}),
    ("key twice, then null", INT, b'{"a":1,"a":null}', {"a": None}),
    ("escaped key", INT, b'{"\\u0061":1}', {"a": 1}),
    ("long key", {"k" * 40: "int64"}, b'{"' + b"k" * 40 + b'":1}', {"k" * 40: 1}),
    ("long key, other middle", {"k" * 40: "int64"}, b'{"' + b"k" * 20 + b"l" + b"k" * 19 + b'":1}', {"k" * 40: None}),
    ("empty key", {"a": Column("int64", path=("",))}, b'{"":1}', {"a": 1}),
    ("text", TEXT, '{"a":"grüße"}'.encode(), {"a": "grüße"}),
    ("escapes", TEXT, rb'{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}', {"a": '"\\/\b\f\n\r\té😀'}),
    ("NUL escape", TEXT, rb'{"a":"\u0000"}', {"a": "\0"}),
    ("lone high surrogate", TEXT, rb'{"a":"\ud83d"}', "BAD_UTF8"),
    ("lone low surrogate", TEXT, rb'{"a":"\ude00"}', "BAD_UTF8"),
    ("surrogate in a skipped value", INT, rb'{"b":["\ud83d"]}', "BAD_UTF8"),
    ("bad escape", TEXT, rb'{"a":"\x"}', "BAD_JSON"),
    ("bad escape in a skipped value", INT, rb'{"b":"\x"}', "BAD_JSON"),
    ("bad escape in a skipped key", INT, rb'{"\x":"b"}', "BAD_JSON"),
    ("cut escape", TEXT, rb'{"a":"\u00e"}', "BAD_JSON"),
    ("control character", TEXT, b'{"a":"x\ty"}', "BAD_JSON"),
    ("newline in text", TEXT, b'{"a":"x\ny"}', "BAD_JSON"),
    ("DEL is no control character", TEXT, b'{"a":"\x7f"}', {"a": "\x7f"}),
    ("overlong", TEXT, b'{"a":"\xc0\x80"}', "BAD_UTF8"),
    ("encoded surrogate", TEXT, b'{"a":"\xed\xa0\x80"}', "BAD_UTF8"),
    ("beyond Unicode", TEXT, b'{"a":"\xf4\x90\x80\x80"}', "BAD_UTF8"),
    ("cut sequence", TEXT, b'{"a":"\xe2\x82"}', "BAD_UTF8"),
    ("cut at the end", TEXT, b'{"a":"\xe2\x82', "BAD_UTF8"),
    ("white space", INT, b' \t\r\n{ \n"a" \t: \r1 \n} \n', {"a": 1}),
    ("NUL after", INT, b'{"a":1}\0', "BAD_JSON"),
    ("NUL before", INT, b'\0{"a":1}', "BAD_JSON"),
    ("BOM", INT, b'\xef\xbb\xbf{"a":1}', "BAD_JSON"),
    ("empty", INT, b"", "BAD_JSON"),
    ("blank", INT, b"  ", "BAD_JSON"),
    ("array", INT, b'[{"a":1}]', "NOT_OBJECT"),
    ("scalar", INT, b"12", "NOT_OBJECT"),
    ("text alone", INT, b'"a"', "NOT_OBJECT"),
    ("bad scalar", INT, b"12x", "BAD_JSON"),
    ("two objects", INT, b'{"a":1}{"a":2}', "BAD_JSON"),
    ("open", INT, b'{"a":1', "BAD_JSON"),
    ("open text", INT, b'{"a":"', "BAD_JSON"),
    ("extra comma", INT, b'{"a":1,}', "BAD_JSON"),
    ("first comma", INT, b'{,"a":1}', "BAD_JSON"),
    ("no comma", INT, b'{"a":1 "b":2}', "BAD_JSON"),
    ("no colon", INT, b'{"a" 1}', "BAD_JSON"),
    ("no value", INT, b'{"a":}', "BAD_JSON"),
    ("backslash outside", INT, b'{\\"a":1}', "BAD_JSON"),
    ("leading zero", INT, b'{"a":01}', "BAD_JSON"),
    ("no digit after the point", {"a": "float64"}, b'{"a":1.}', "BAD_JSON"),
    ("bad number skipped", INT, b'{"b":-}', "BAD_JSON"),
    ("NaN", {"a": "float64"}, b'{"a":NaN}', "BAD_JSON"),
    ("wrong bracket", INT, b'{"b":[1}}', "BAD_JSON"),
    ("depth 1024", INT, b'{"b":' + b"[" * 1023 + b"]" * 1023 + b',"a":1}', {"a": 1}),
    ("depth 1025", INT, b'{"b":' + b"[" * 1024 + b"]" * 1024 + b',"a":1}', "TOO_DEEP"),
    ("unclosed depth", INT, b"[" * 5000, "TOO_DEEP"),
    ("time", {"a": "timestamp[us, UTC]"}, b'{"a":"2024-02-29T23:59:59.123456Z"}', {"a": datetime(2024, 2, 29, 23, 59, 59, 123456, UTC)}),
    ("offset", {"a": "timestamp[s, UTC]"}, b'{"a":"1969-12-31T19:00:00-05:00"}', {"a": datetime(1970, 1, 1, tzinfo=UTC)}),
    ("naive", {"a": "timestamp[ms]"}, b'{"a":"2024-01-01 00:00:00.5"}', {"a": datetime(2024, 1, 1, 0, 0, 0, 500000)}),
    ("offset in a naive column", {"a": "timestamp[ms]"}, b'{"a":"2024-01-01T00:00:00Z"}', "BAD_TIME"),
    ("no offset in a zoned column", {"a": "timestamp[ms, UTC]"}, b'{"a":"2024-01-01T00:00:00"}', "BAD_TIME"),
    ("no such day", {"a": "timestamp[ms]"}, b'{"a":"2023-02-29T00:00:00"}', "BAD_TIME"),
    ("leap second", {"a": "timestamp[ms]"}, b'{"a":"2016-12-31T23:59:60"}', "BAD_TIME"),
    ("last nanosecond", {"a": "timestamp[ns]"}, b'{"a":"2262-04-11T23:47:16.854775"}', {"a": datetime(2262, 4, 11, 23, 47, 16, 854775)}),
    ("first nanosecond", {"a": "timestamp[ns, UTC]"}, b'{"a":"1677-09-21T01:12:43.145225+01:00"}', {"a": datetime(1677, 9, 21, 0, 12, 43, 145225, UTC)}),
    ("past the last nanosecond", {"a": "timestamp[ns]"}, b'{"a":"2262-04-11T23:47:16.854775808"}', "OUT_OF_RANGE"),
    ("before the first nanosecond", {"a": "timestamp[ns]"}, b'{"a":"1677-09-21T00:12:43.145224191"}', "OUT_OF_RANGE"),
    ("beyond nanoseconds", {"a": "timestamp[ns]"}, b'{"a":"2300-01-01T00:00:00"}', "OUT_OF_RANGE"),
    ("escaped time", {"a": "date32"}, rb'{"a":"2024\u002d01-01"}', {"a": date(2024, 1, 1)}),
    ("date", {"a": "date32"}, b'{"a":"1900-02-28"}', {"a": date(1900, 2, 28)}),
    ("no date", {"a": "date32"}, b'{"a":"1900-02-29"}', "BAD_TIME"),
    ("number for a date", {"a": "date32"}, b'{"a":5}', "BAD_TYPE"),
    ("ISO 8601 basic", {"a": "timestamp[us, UTC]"}, b'{"a":"20240229T235959,5Z"}', {"a": datetime(2024, 2, 29, 23, 59, 59, 500000, UTC)}),
    ("no seconds", {"a": "timestamp[s]"}, b'{"a":"2024-01-01T12:30"}', {"a": datetime(2024, 1, 1, 12, 30)}),
    ("hours alone", {"a": "timestamp[s, UTC]"}, b'{"a":"2024-01-01T12+01"}', {"a": datetime(2024, 1, 1, 11, tzinfo=UTC)}),
    ("offset without a colon", {"a": "timestamp[s, UTC]"}, b'{"a":"2024-01-01T12:30:00-0130"}', {"a": datetime(2024, 1, 1, 14, tzinfo=UTC)}),
    ("basic date", {"a": "date32"}, b'{"a":"20240131"}', {"a": date(2024, 1, 31)}),
    ("half basic", {"a": "date32"}, b'{"a":"2024-0131"}', "BAD_TIME"),
    ("cut time", {"a": "timestamp[s]"}, b'{"a":"2024-01-01T12:3"}', "BAD_TIME"),
    ("date alone for a time", {"a": "timestamp[s]"}, b'{"a":"2024-01-01"}', "BAD_TIME"),
    ("offset of a day", {"a": "timestamp[s, UTC]"}, b'{"a":"2024-01-01T12:00:00+24:00"}', "BAD_TIME"),
    ("number in quotes, unasked", INT, b'{"a":"12"}', "BAD_TYPE"),
    ("number in quotes", {"a": Column("int64", coerce="numbers")}, b'{"a":"-12"}', {"a": -12}),
    ("escaped number in quotes", {"a": Column("int64", coerce="numbers")}, rb'{"a":"\u0031\u0032","b":"\u0039999"}', {"a": 12}),
    ("float in quotes", {"a": Column("float64", coerce="numbers")}, b'{"a":"1e-3"}', {"a": 0.001}),
    ("long float in quotes", {"a": Column("float64", coerce="numbers")}, b'{"a":"9007199254740993.00000000000000001"}', {"a": 9007199254740994.0}),
    ("number and more in quotes", {"a": Column("int64", coerce="numbers")}, b'{"a":"12 "}', "BAD_NUMBER"),
    ("no number in quotes", {"a": Column("int64", coerce="numbers")}, b'{"a":"x"}', "BAD_NUMBER"),
    ("plus in quotes", {"a": Column("float64", coerce="numbers")}, b'{"a":"+1"}', "BAD_NUMBER"),
    ("empty in quotes", {"a": Column("int64", coerce="numbers")}, b'{"a":""}', "BAD_NUMBER"),
    ("beyond in quotes", {"a": Column("int8", coerce="numbers")}, b'{"a":"128"}', "OUT_OF_RANGE"),
    ("bool words", {"a": Column("bool", coerce="bools")}, b'{"a":"Yes"}', {"a": True}),
    ("bool letters", {"a": Column("bool", coerce="bools")}, b'{"a":"N"}', {"a": False}),
    ("bool digits", {"a": Column("bool", coerce="bools")}, b'{"a":"0"}', {"a": False}),
    ("no bool word", {"a": Column("bool", coerce="bools")}, b'{"a":"ja"}', "BAD_VALUE"),
    ("bool word with a NUL", {"a": Column("bool", coerce="bools")}, rb'{"a":"\u0000"}', "BAD_VALUE"),
    ("bool word of control characters", {"a": Column("bool", coerce="bools")}, rb'{"a":"T\u0012ue"}', "BAD_VALUE"),
    ("empty as null", {"a": Column("int64", coerce="empty")}, b'{"a":""}', {"a": None}),
    ("empty string as null", {"a": Column("string", coerce="empty")}, b'{"a":""}', {"a": None}),
    ("empty time as null", {"a": Column("date32", coerce=("empty",))}, b'{"a":""}', {"a": None}),
    ("empty is not null there", {"a": Column("int64", coerce="empty", nullable=False)}, b'{"a":""}', "NOT_NULL"),
    ("number as text", {"a": Column("string", coerce="text")}, b'{"a":-1.50e3}', {"a": "-1.50e3"}),
    ("bool as text", {"a": Column("string", coerce="text")}, b'{"a":false}', {"a": "false"}),
    ("object as text", {"a": Column("string", coerce="text")}, b'{"a":{}}', "BAD_TYPE"),
    ("epoch seconds", {"a": Column("timestamp[us, UTC]", coerce="epoch_s")}, b'{"a":1.0000015}', {"a": datetime(1970, 1, 1, 0, 0, 1, 1, UTC)}),
    ("epoch seconds, before", {"a": Column("timestamp[us, UTC]", coerce="epoch_s")}, b'{"a":-0.0000005}', {"a": datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)}),
    ("epoch milliseconds", {"a": Column("timestamp[s]", coerce="epoch_ms")}, b'{"a":-1}', {"a": datetime(1969, 12, 31, 23, 59, 59)}),
    ("epoch in exponents", {"a": Column("timestamp[ms]", coerce="epoch_s")}, b'{"a":1.5e3}', {"a": datetime(1970, 1, 1, 0, 25)}),
    ("epoch and text", {"a": Column("timestamp[s]", coerce="epoch_s")}, b'{"a":"1970-01-01T00:00:05"}', {"a": datetime(1970, 1, 1, 0, 0, 5)}),
    ("epoch beyond", {"a": Column("timestamp[ns]", coerce="epoch_s")}, b'{"a":1e10}', "OUT_OF_RANGE"),
    ("epoch unasked", {"a": "timestamp[s]"}, b'{"a":5}', "BAD_TYPE"),
    ("json", {"a": "json", "b": "int64"}, b'{"a": {"x":[1, "]"],"y":null} ,"b":2}', {"a": '{"x":[1, "]"],"y":null}', "b": 2}),
    ("json text", {"a": "json"}, rb'{"a":"\u00e9"}', {"a": r'"\u00e9"'}),
    ("json null", {"a": "json"}, b'{"a":null}', {"a": None}),
    ("bad json", {"a": "json"}, b'{"a":[1,]}', "BAD_JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "record", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case(schema: dict[str, Any], record: bytes, wanted: Any) -> None:
    assert decode_one(record, schema) == wanted


@pytest.mark.parametrize(
    ("record", "offset"), [(b'{"a":1,"b"}', 10), (b'{"a": "x"}', 6), (b'{"a":1}x', 7), (b'{"b":[1,2,x]}', 10)]
)
def test_offset_of_the_fault(record: bytes, offset: int) -> None:
    _, rejects = decode_json([record], INT)
    assert rejects["offset"][0].as_py() == offset


def test_counts_of_unknown_keys_and_nulls() -> None:
    schema = Schema({"a": Column("int64", on_error="null"), "b": Column("int64", path="s.b")})
    records = [b'{"x":1,"a":"no","s":{"b":1,"y":2}}', b'{"x":1,"\\u0078":2,"s":{"y":{"z":1}}}']
    decoded = JsonDecoder(list(schema.values())).decode(Payloads.of_records(records))
    assert decoded.unknown_keys == {"x": 3, "s.y": 2}
    assert decoded.nulls_on_error == {"a": 1}


def test_unknown_keys_are_bounded() -> None:
    record = orjson.dumps({f"key{i}": i for i in range(100_000)} | {"a": 5})
    decoded = JsonDecoder(list(Schema(INT).values())).decode(Payloads.of_records([record, b'{"a":1}']))
    assert decoded.length == 2
    assert sum(decoded.unknown_keys.values()) == 100_000
    assert len(decoded.unknown_keys) <= UNKNOWN_KEYS + 1
    assert decoded.unknown_keys[OTHER] >= 100_000 - UNKNOWN_KEYS


def test_unescaped_text_beyond_the_room_kept_for_it() -> None:
    records = [orjson.dumps({"a": f"{i}\n" * 200, "b": "x" * 50}) for i in range(500)]
    batch, rejects = decode_json(records, {"a": "string", "b": "string"})
    assert rejects.num_rows == 0
    assert batch.to_pylist() == [orjson.loads(record) for record in records]


def test_many_floats_that_need_the_exact_routine() -> None:
    texts = [f"{2**53 + 1 + 2 * i}.{'0' * 30}{i % 2}" for i in range(3000)]
    batch, _ = decode_json([f'{{"a":1.5,"a":{text}}}'.encode() for text in texts], {"a": "float64"})
    assert batch["a"].to_pylist() == [float(text) for text in texts]
    twice, _ = decode_json([f'{{"a":{texts[0]},"a":1.5}}'.encode()], {"a": "float64"})
    assert twice["a"].to_pylist() == [1.5]


def test_schema_of_many_columns() -> None:
    names = [f"column_{i}" for i in range(3000)]
    record = {name: i for i, name in enumerate(reversed(names))}
    batch, rejects = decode_json([orjson.dumps(record)] * 3, dict.fromkeys(names, "int32"))
    assert rejects.num_rows == 0
    assert batch.to_pylist() == [{name: record[name] for name in names}] * 3


def test_lines_with_blanks_and_carriage_returns() -> None:
    batch, rejects = decode_json(b'{"a":1}\r\n\n  \r\n{"a":2}\n{bad\n{"a":3}', INT)
    assert batch["a"].to_pylist() == [1, 2, 3]
    assert rejects["position"].to_pylist() == [2]


def test_no_records() -> None:
    for nothing in (b"", b"\n\n", []):
        batch, rejects = decode_json(nothing, INT)
        assert (batch.num_rows, rejects.num_rows) == (0, 0)


TREE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KNOWN = {"i": "int64", "f": "float64", "s": "string", "b": "bool", "n": Column("string", path="o.n")}
ROW = st.fixed_dictionaries(
    {},
    optional={
        "i": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "s": st.none() | st.text(max_size=80),
        "b": st.none() | st.booleans(),
        "o": st.fixed_dictionaries({}, optional={"n": st.none() | st.text(max_size=20), "m": TREE}),
        "x": TREE,
        "ключ": TREE,
    },
)


def expected(row: dict[str, Any]) -> dict[str, Any]:
    return {"i": row.get("i"), "f": row.get("f"), "s": row.get("s"), "b": row.get("b"), "n": row.get("o", {}).get("n")}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    sign = {name: math.copysign(1, value) for name, value in left.items() if isinstance(value, float)}
    return left == right and all(math.copysign(1, right[name]) == one for name, one in sign.items())


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, max_size=12), st.booleans(), st.sampled_from([None, 1]))
def test_what_orjson_or_json_writes_comes_back(rows: list[dict[str, Any]], ascii_only: bool, indent: int | None) -> None:
    records = [
        json.dumps(row, ensure_ascii=True, indent=indent).encode("utf-8", "surrogatepass") if ascii_only else orjson.dumps(row)
        for row in rows
    ]
    batch, rejects = decode_json(records, KNOWN)
    batch.validate(full=True)
    assert rejects.num_rows == 0
    assert all(same(got, expected(row)) for got, row in zip(batch.to_pylist(), rows, strict=True))


def accepted(record: bytes) -> bool:
    """Is it a JSON object, by orjson?"""
    try:
        return isinstance(orjson.loads(record), dict)
    except orjson.JSONDecodeError:
        return False


def corrupted(record: bytes, generator: random.Random) -> bytes:
    """A record with a few bytes changed, cut out or put in, mostly such as mean something in JSON."""
    alphabet = b'{}[]",:\\ \n\t\r\0truefalsn0123456789.eE+-u\xc3\xa9\xed\xa0\xff\x80\x1f'
    text = bytearray(record)
    for _ in range(generator.randrange(1, 4)):
        at = generator.randrange(len(text) + 1)
        kind = generator.randrange(3)
        if kind == 0:
            text[at:at] = bytes([generator.choice(alphabet)])
        elif kind == 1:
            text[at : at + 1] = b""
        else:
            text[at : at + 1] = bytes([generator.choice(alphabet)])
    return bytes(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_corrupted_records_are_judged_as_by_orjson_and_change_no_neighbour(
    rows: list[dict[str, Any]], generator: random.Random
) -> None:
    records: list[bytes] = []
    good: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        text = orjson.dumps(row)
        good.append((len(records), expected(row)))
        records += [text, *(corrupted(text, generator) for _ in range(20))]
    # A schema that reads nothing there is: then a record is accepted when it is a JSON object, whatever its values.
    batch, rejects = decode_json(records, {"nothing": "int64"})
    refused = set(rejects["position"].to_pylist())
    for i, record in enumerate(records):
        if b"\\ud" not in record.lower() and not huge_number(record):
            assert (i not in refused) == accepted(record), record
    batch, rejects = decode_json(records, KNOWN)
    batch.validate(full=True)
    bad = set(rejects["position"].to_pylist())
    assert refused <= bad
    rows_at = dict(zip([i for i in range(len(records)) if i not in bad], batch.to_pylist(), strict=True))
    assert all(same(rows_at[i], row) for i, row in good)


def huge_number(record: bytes) -> bool:
    """A JSON object with a number beyond float64, which orjson refuses and RFC 8259 does not."""
    huge = False

    def see(text: str) -> float:
        nonlocal huge
        huge = huge or math.isinf(float(text))
        return 0.0

    try:
        value = json.loads(record, parse_float=see, parse_int=see, parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError, UnicodeDecodeError, RecursionError):
        return False
    return huge and isinstance(value, dict)


FLOAT_TEXT = st.one_of(
    st.integers(0, 2**64 - 1).map(lambda bits: repr(struct.unpack("d", struct.pack("Q", bits))[0])),
    st.builds("{}.{}e{}".format, st.integers(-(10**25), 10**25), st.integers(0, 10**25), st.integers(-340, 300)),
    st.builds("{}e{}".format, st.integers(0, 2**64), st.integers(-345, 310)),
).filter(lambda text: "n" not in text)


@settings(max_examples=300, deadline=None)
@given(st.lists(FLOAT_TEXT, max_size=30))
def test_floats_are_pythons(texts: list[str]) -> None:
    for kind, nearest in (("float64", float), ("float32", nearest_single)):
        batch, rejects = decode_json([f'{{"a":{text}}}'.encode() for text in texts], {"a": kind})
        wanted = [nearest(text) for text in texts]
        assert [struct.pack("d", value) for value in batch["a"].to_pylist()] == [
            struct.pack("d", v) for v in wanted if math.isfinite(v)
        ]
        assert rejects.num_rows == sum(not math.isfinite(value) for value in wanted)


def nearest_single(text: str) -> float:
    """float32 by exact arithmetic on fractions, as slow and plain as can be."""
    from fractions import Fraction

    value = abs(Fraction(text))
    sign = -1.0 if text.startswith("-") else 1.0
    if value == 0:
        return sign * 0.0
    exponent = max(value.numerator.bit_length() - value.denominator.bit_length(), -126)
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while exponent > -126 and value < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    steps = round(value / unit)  # round() of a Fraction is half to even
    rounded = steps * unit
    return sign * (math.inf if rounded >= Fraction(2) ** 128 else float(rounded))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), max_size=20),
    st.integers(-1439, 1439),
    st.sampled_from(["s", "ms", "us"]),
)
def test_times_are_datetimes(times: list[datetime], minutes: int, unit: str) -> None:
    zone = timezone(timedelta(minutes=minutes))
    kind = f"timestamp[{unit}, UTC]"
    batch, rejects = decode_json([f'{{"a":"{time.replace(tzinfo=zone).isoformat()}"}}'.encode() for time in times], {"a": kind})
    assert rejects.num_rows == 0
    size = {"s": 10**6, "ms": 1000, "us": 1}[unit]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    wanted = [(time.replace(tzinfo=zone) - epoch) // timedelta(microseconds=1) // size for time in times]
    assert batch["a"].cast(pa.int64()).to_pylist() == wanted


@pytest.mark.parametrize("kind", [name for name, one in TYPES.items() if one.family == "int"])
def test_integer_bounds(kind: str) -> None:
    low, high = TYPES[kind].range
    values = [low - 1, low, 0, high, high + 1]
    batch, rejects = decode_json([f'{{"a":{value}}}'.encode() for value in values], {"a": kind})
    assert batch["a"].to_pylist() == [low, 0, high]
    assert rejects["code"].to_pylist() == ["OUT_OF_RANGE"] * 2
