"""Lists, maps and structs, and the column of what nobody reads, out of JSON: cases, growth, and any record beside the slow reference."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from millstream.columns import close
from millstream.decode import json as json_decoder
from millstream.decode.json import JsonDecoder, decode_json
from millstream.decode.payloads import Payloads
from millstream.schema import Column, Schema
from tests import guard
from tests.decode.test_json import decode_one
from tests.fuzz.nested import draw_nested, judge_nested

LIST = {"a": "list<int64>"}
STRUCT = {"a": "struct<x: int64, y: string>"}
MAP = {"a": "map<string, int64>"}
REST = {"a": "int64", "r": Column("json", path="*")}
DEEP = {"a": Column("int64", path="s.a"), "b": Column("int64", path="s.t.b"), "r": Column("json", path="*")}

CASES: list[tuple[str, dict[str, Any], bytes, Any]] = [
    ("list", LIST, b'{"a": [1, -2 ,3]}', {"a": [1, -2, 3]}),
    ("empty list", LIST, b'{"a":[ ]}', {"a": []}),
    ("null list", LIST, b'{"a":null}', {"a": None}),
    ("nulls in a list", LIST, b'{"a":[null,1,null]}', {"a": [None, 1, None]}),
    ("list absent", LIST, b"{}", {"a": None}),
    ("no list", LIST, b'{"a":{}}', "BAD_TYPE"),
    ("no list but a number", LIST, b'{"a":5}', "BAD_TYPE"),
    ("element does not fit", LIST, b'{"a":[1,"x"]}', "BAD_TYPE"),
    ("element out of range", {"a": "list<int8>"}, b'{"a":[1,128]}', "OUT_OF_RANGE"),
    ("element does not fit, null", {"a": Column("list<int64>", on_error="null"), "b": "int64"}, b'{"a":[1,"x",[2]],"b":2}', {"a": None, "b": 2}),
    ("element coerced", {"a": Column("list<int64>", coerce="numbers")}, b'{"a":["1",2]}', {"a": [1, 2]}),
    ("list twice", LIST, b'{"a":[1,2,3],"a":[4]}', {"a": [4]}),
    ("list, then null", LIST, b'{"a":[1,2,3],"a":null}', {"a": None}),
    ("list that does not fit, then one that does", LIST, b'{"a":["x"],"a":[4]}', {"a": [4]}),
    ("list without an end", LIST, b'{"a":[1,2', "BAD_JSON"),
    ("list and a comma", LIST, b'{"a":[1,]}', "BAD_JSON"),
    ("list with a comma first", LIST, b'{"a":[,1]}', "BAD_JSON"),
    ("list without a comma", LIST, b'{"a":[1 2]}', "BAD_JSON"),
    ("list closed by a brace", LIST, b'{"a":[1}}', "BAD_JSON"),
    ("bad JSON behind what does not fit", LIST, b'{"a":["x"],"b":nul}', "BAD_JSON"),
    ("lists of lists", {"a": "list<list<string>>"}, rb'{"a":[["x","\u00e9"],[],null,[null]]}', {"a": [["x", "é"], [], None, [None]]}),
    ("struct", STRUCT, b'{"a":{"y":"s","z":[1],"x":1}}', {"a": {"x": 1, "y": "s"}}),
    ("empty struct", STRUCT, b'{"a":{}}', {"a": {"x": None, "y": None}}),
    ("null struct", STRUCT, b'{"a":null}', {"a": None}),
    ("no struct", STRUCT, b'{"a":[]}', "BAD_TYPE"),
    ("struct twice", STRUCT, b'{"a":{"x":1},"a":{"y":"s"}}', {"a": {"x": None, "y": "s"}}),
    ("struct, then null", STRUCT, b'{"a":{"x":1},"a":null}', {"a": None}),
    ("struct, then what does not fit", {"a": Column("struct<x: int64>", on_error="null")}, b'{"a":{"x":1},"a":{"x":"s"}}', {"a": None}),
    ("field twice", STRUCT, b'{"a":{"x":1,"x":2}}', {"a": {"x": 2, "y": None}}),
    ("escaped field", STRUCT, rb'{"a":{"\u0078":1}}', {"a": {"x": 1, "y": None}}),
    ("field without a colon", STRUCT, b'{"a":{"x"}}', "BAD_JSON"),
    ("struct and a comma", STRUCT, b'{"a":{"x":1,}}', "BAD_JSON"),
    ("structs in structs", {"a": "struct<b: struct<c: list<bool>>>"}, b'{"a":{"b":{"c":[true,false]}}}', {"a": {"b": {"c": [True, False]}}}),
    ("list of structs", {"a": "list<struct<x: int64, t: list<string>>>"}, b'{"a":[{"x":1,"t":["p","q"]},{},null,{"t":[],"x":2}]}', {"a": [{"x": 1, "t": ["p", "q"]}, {"x": None, "t": None}, None, {"x": 2, "t": []}]}),
    ("map", MAP, b'{"a":{"p":1,"q":null}}', {"a": [("p", 1), ("q", None)]}),
    ("empty map", MAP, b'{"a":{}}', {"a": []}),
    ("map's key twice", MAP, b'{"a":{"p":1,"q":2,"p":3}}', {"a": [("p", 3), ("q", 2)]}),
    ("map's key twice, escaped", MAP, rb'{"a":{"p":1,"\u0070":3}}', {"a": [("p", 3)]}),
    ("map's empty key", MAP, b'{"a":{"":1}}', {"a": [("", 1)]}),
    ("map's key is no text", MAP, b'{"a":{1:1}}', "BAD_JSON"),
    ("map's value does not fit", MAP, b'{"a":{"p":1.5}}', "BAD_NUMBER"),
    ("no map", MAP, b'{"a":[1]}', "BAD_TYPE"),
    ("map of lists", {"a": "map<string, list<int64>>"}, b'{"a":{"p":[1,2],"q":[],"p":[3]}}', {"a": [("p", [3]), ("q", [])]}),
    ("list at a path", {"a": Column("list<int64>", path="x.y")}, b'{"x":{"y":[1],"z":{}}}', {"a": [1]}),
    ("list at a path, object twice", {"a": Column("list<int64>", path="x.y")}, b'{"x":{"y":[1]},"x":{}}', {"a": None}),
    ("struct at an alias, object twice", {"a": Column("struct<b: int64>", aliases=("x.a",))}, b'{"x":{"a":{"b":1}},"x":{}}', {"a": None}),
    ("json in a list", {"a": "list<json>"}, b'{"a":[{"b": 1},"c",2]}', {"a": ['{"b": 1}', '"c"', "2"]}),
    ("decimals", {"a": "list<decimal128(5, 2)>"}, b'{"a":[1.25,-3,1e2]}', {"a": [Decimal("1.25"), Decimal("-3.00"), Decimal("100.00")]}),
    ("decimal with too many places", {"a": "decimal128(5, 2)"}, b'{"a":1.255}', "BAD_NUMBER"),
    ("decimal, rounded", {"a": Column("decimal128(5, 2)", coerce="round")}, b'{"a":1.255}', {"a": Decimal("1.26")}),
    ("decimal beyond", {"a": "decimal128(5, 2)"}, b'{"a":1000}', "OUT_OF_RANGE"),
    ("decimal in quotes", {"a": Column("decimal128(38, 0)", coerce="numbers")}, b'{"a":"-' + b"9" * 38 + b'"}', {"a": Decimal("-" + "9" * 38)}),
    ("decimal's default", {"a": Column("decimal128(38, 2)", default=Decimal("-12345678901234567890.5"))}, b"{}", {"a": Decimal("-12345678901234567890.50")}),
    ("base64", {"a": "binary"}, b'{"a":"AAEC_-8="}', {"a": b"\0\1\2\xff\xef"}),
    ("no base64", {"a": "binary"}, b'{"a":"A"}', "BAD_VALUE"),
    ("escaped base64", {"a": "binary", "b": "string"}, rb'{"a":"AA\u0045C","b":"\u00e9"}', {"a": b"\0\1\2", "b": "é"}),
    ("hex", {"a": Column("binary", coerce="hex")}, b'{"a":"00fF"}', {"a": b"\0\xff"}),
    ("binary's default", {"a": Column("binary", default=b"\0x")}, b"{}", {"a": b"\0x"}),
    ("value refused, then one that fits", {"a": "int64"}, b'{"a":"x","a":1}', {"a": 1}),
    ("value that fits, then one refused", {"a": "int64"}, b'{"a":1,"a":"x"}', "BAD_TYPE"),
    ("the first of two that do not fit", {"a": "int64", "b": "int8"}, b'{"b":128,"a":"x"}', "OUT_OF_RANGE"),
    ("no object on a path, then one", {"a": Column("int64", path="x.y")}, b'{"x":5,"x":{"y":1}}', {"a": 1}),
    ("no object on a path, null", {"a": Column("int64", path="x.y", on_error="null")}, b'{"x":5}', {"a": None}),
    ("rest", REST, b'{"x": [1, 2],"a":1 , "y" :"\\u0041"}', {"a": 1, "r": '{"x": [1, 2],"y" :"\\u0041"}'}),
    ("nothing for the rest", REST, b'{"a":1}', {"a": 1, "r": None}),
    ("nothing for the rest, not null", {"a": "int64", "r": Column("json", path="*", nullable=False)}, b'{"a":1}', {"a": 1, "r": "{}"}),
    ("rest inside", DEEP, b'{"s":{"a":1,"x":2,"t":{"y":3,"b":4},"z":5},"w":6}', {"a": 1, "b": 4, "r": '{"s":{"x":2,"t":{"y":3},"z":5},"w":6}'}),
    ("rest deep inside", DEEP, b'{"s":{"t":{"y":3}}}', {"a": None, "b": None, "r": '{"s":{"t":{"y":3}}}'}),
    ("rest, object twice", DEEP, b'{"v":1,"s":{"x":2},"s":{"t":{"z":3}}}', {"a": None, "b": None, "r": '{"v":1,"s":{"t":{"z":3}}}'}),
    ("rest of a rejected value", REST, b'{"x":1,"a":"no"}', "BAD_TYPE"),
    ("key called *", {"a": Column("int64", path=("*",))}, b'{"*":1}', {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "record", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case(schema: dict[str, Any], record: bytes, wanted: Any) -> None:
    assert decode_one(record, schema) == wanted


@pytest.mark.parametrize(("schema", "record", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case_before_a_forbidden_page(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], record: bytes, wanted: Any
) -> None:
    guard.install(monkeypatch)
    batch, rejects = decode_json([record], schema)
    batch.validate(full=True)
    assert (rejects["code"].to_pylist() or batch.to_pylist()) == [wanted]


@pytest.mark.parametrize("kind", ["list<int64>", "struct<b: int64>", "map<string, int64>", "decimal128(3, 1)"])
def test_not_nullable(kind: str) -> None:
    batch, rejects = decode_json([b'{"a":null}', b"{}"], {"a": Column(kind, nullable=False)})
    assert (batch.num_rows, rejects["code"].to_pylist()) == (0, ["NOT_NULL", "MISSING"])


def test_the_rest_is_json_of_what_is_not_read() -> None:
    draw = random.Random(1)
    for _ in range(300):
        record = {key: draw.choice([1, "é\n", None, {"k": [1, {}]}, []]) for key in draw.sample("abcdefgh", draw.randrange(9))}
        record["s"] = {key: draw.choice([1, {"b": 2, "n": 3}, "x"]) for key in draw.sample("axyt", draw.randrange(5))}
        if not isinstance(record["s"].get("t", {}), dict) or not isinstance(record["s"].get("a", 0), int):
            continue
        batch, rejects = decode_json([orjson.dumps(record, option=draw.choice([0, orjson.OPT_INDENT_2]))], DEEP)
        assert not rejects.num_rows
        record["s"].pop("a", None)
        record["s"].get("t", {}).pop("b", None)
        rest = orjson.loads(batch["r"][0].as_py() or b"{}")
        _drop_empty(record)
        assert rest == record


def _drop_empty(record: dict[str, Any]) -> None:
    """Objects on a path, of which nothing is left, are not in the rest."""
    if record["s"].get("t") == {}:
        del record["s"]["t"]
    if record["s"] == {}:
        del record["s"]


def test_more_elements_than_there_was_room_for() -> None:
    schema = {"a": "list<int64>", "b": "list<struct<c: string, d: list<float64>>>", "m": "map<string, int64>"}
    rows = [
        {
            "a": list(range(count)),
            "b": [{"c": f"\u00e9{i}", "d": [i / 8] * (i % 3)} for i in range(count // 3)],
            "m": [(f"k{i}", i) for i in range(count // 7)],
        }
        for count in (0, 3, 200, 1, 70_000, 300_000, 2)
    ]
    records = [orjson.dumps({**row, "m": dict(row["m"])}) for row in rows]
    batch, rejects = decode_json(records, schema)
    batch.validate(full=True)
    assert rejects.num_rows == 0
    assert batch.equals(pa.RecordBatch.from_pylist(rows, batch.schema))


def test_room_is_remembered_and_counts_are_exact_when_it_grows() -> None:
    schema = Schema({"a": Column("list<int64>"), "b": Column("int64", on_error="null")})
    decoder = JsonDecoder(list(schema.values()))
    records = [b'{"u":1,"b":"x","a":[' + b"1," * 100_000 + b'1],"v":2}'] * 3
    for _ in range(2):
        decoded = decoder.decode(Payloads.of_records(records))
        assert decoded.nulls_on_error == {"b": 3}
        assert decoded.length == 3


def test_hostile_elements_are_bounded() -> None:
    schema = {"a": "list<list<int64>>", "m": "map<string, int64>", "s": "struct<x: int64>", "r": Column("json", path="*")}
    keys = b",".join(b'"k%d":%d' % (i % 100_000, i) for i in range(200_000))
    records = [
        b'{"m":{' + keys + b"}}",
        b'{"a":' + b"[" * 1_000_000,
        b'{"a":[' + b"[]," * 1_000_000 + b"[]]}",
        b'{"a":[[' + b"1," * 1_000_000 + b'"x"]]}',
        b'{"s":{' + b'"x":1,' * 1_000_000 + b'"x":2}}',
        b'{"s":{' + keys + b',"x":3}}',
        b"{" + keys + b"}",
    ]
    batch, rejects = decode_json(records, schema)
    batch.validate(full=True)
    assert dict(zip(rejects["position"].to_pylist(), rejects["code"].to_pylist(), strict=True)) == {
        1: "TOO_DEEP",
        3: "BAD_TYPE",
    }
    rows = batch.to_pylist()
    assert rows[0]["m"] == [(f"k{i}", i + 100_000) for i in range(100_000)]
    assert rows[1]["a"] == [[]] * 1_000_001
    assert [row["s"] for row in rows[2:4]] == [{"x": 2}, {"x": 3}]
    assert rows[4]["r"].encode() == b"{" + keys + b"}"


LONG = b'"' + b"x" * 300 + b'":1'


@pytest.mark.parametrize(
    ("schema", "records", "codes"),
    [
        ({"a": "int64"}, [b'{"a":1}', b"{" + LONG + b'"a":2}'], {1: "BAD_JSON"}),
        ({"a": "int64"}, [b"{" + LONG + b',"a":2}', b'{,"a":3}'], {1: "BAD_JSON"}),
        ({"a": "struct<a: int64>"}, [b'{"a":{"a":1}}', b'{"a":{' + LONG + b'"a":2}}'], {1: "BAD_JSON"}),
        ({"a": "struct<a: int64>"}, [b'{"a":{' + LONG + b',"a":2}}', b'{"a":{,"a":3}}'], {1: "BAD_JSON"}),
        ({"a": Column("int64", path="s.a")}, [b'{"s":{"a":1}}', b'{"s":{' + LONG + b'"a":2}}'], {1: "BAD_JSON"}),
    ],
)
def test_a_way_is_taken_only_where_it_was_found(schema: dict[str, Any], records: list[bytes], codes: dict[int, str]) -> None:
    fields = list(Schema(schema).values())
    decoder = JsonDecoder(fields)
    for _ in range(3):
        decoded = decoder.decode(Payloads.of_records(records))
        assert {one.position: one.code.name for one in decoded.rejects} == codes


def test_keys_that_are_alike() -> None:
    names = [f"customer_{i:02d}_address" for i in range(100)] + [f"sensor_reading_{i:03d}" for i in range(400)]
    batch, _ = decode_json([orjson.dumps({name: i for i, name in enumerate(names)})], dict.fromkeys(names, "int64"))
    assert [column[0].as_py() for column in batch.columns] == list(range(500))
    decoder = JsonDecoder(list(Schema({"a": "int64"}).values()))
    keys = [f"field_{i:03d}" for i in range(1000)]
    assert decoder.decode(Payloads.of_records([orjson.dumps(dict.fromkeys(keys, 1))])).unknown_keys == dict.fromkeys(keys, 1)
    for first in range(0, 3000, 600):  # long names do not use up the room for the next batch's
        keys = [f"{i:0256d}" for i in range(first, first + 600)]
        assert decoder.decode(Payloads.of_records([orjson.dumps(dict.fromkeys(keys, 1))])).unknown_keys == dict.fromkeys(
            keys, 1
        )


def test_a_record_does_not_depend_on_those_before_it() -> None:
    schema = {"a": Column("int64", aliases=("x.a",))}
    for before in ([], [b'{"a":1}'], [b'{"x":{"a":1}}']):
        _, rejects = decode_json([*before, b'{"x":5}', b'{"x":5,"a":1}', b'{"a":1,"x":5}'], schema)
        assert rejects["position"].to_pylist() == [len(before)]
        assert rejects["code"].to_pylist() == ["BAD_TYPE"]


def test_counts_are_of_what_came_of_a_record() -> None:
    decoder = JsonDecoder(list(Schema({"a": "list<int64>", "r": Column("json", path="*")}).values()))
    record = b'{"u":1,"a":[' + b"1," * 200_000 + b"1]," + b",".join(b'"k%d":1' % i for i in range(5000)) + b"}"
    unknown = decoder.decode(Payloads.of_records([record])).unknown_keys
    assert (unknown["u"], sum(unknown.values())) == (1, 5001)
    schema = Schema({"a": Column("int64", on_error="null"), "b": Column("int64", nullable=False)})
    decoded = JsonDecoder(list(schema.values())).decode(Payloads.of_records([b'{"a":"x"}', b'{"a":"x","b":1}']))
    assert decoded.nulls_on_error == {"a": 1}


def test_an_object_that_comes_again_and_again() -> None:
    schema = {"a": Column("int64", path="s.a"), "r": Column("json", path="*")}
    record = b"{" + b'"s":{"x":1},' * 300_000 + b'"s":{"x":2}}'
    batch, _ = decode_json([record], schema)
    assert batch.to_pylist() == [{"a": None, "r": '{"s":{"x":2}}'}]


def test_null_rows_hold_nothing_of_what_was_in_their_memory() -> None:
    decode_json([b'{"s":"' + b"SECRET!!" * 10_000 + b'"}'] * 10, {"s": "string"})
    batch, _ = decode_json([b'{"d":null}'] * 40_000, {"d": "decimal128(38, 0)", "b": "bool", "i": "int64"})
    for column in batch.columns:
        assert not any(column.buffers()[1].to_pybytes())


def test_payloads_are_copied_by_their_bytes() -> None:
    record = memoryview(b'        {"a":1}   ' * 8).cast("I")
    payloads = Payloads.of_records([record, bytearray(b'{"a":2}')])
    assert [payloads.payload(i) for i in range(2)] == [bytes(record), b'{"a":2}']


def test_wanted_objects_too_deep() -> None:
    path = ("a",) * 1100
    schema = {"x": Column("int64", path=path)}
    for depth, wanted in ((1023, []), (1024, ["TOO_DEEP"])):
        _, rejects = decode_json([b'{"a":' * depth + b"{}" + b"}" * depth], schema)
        assert rejects["code"].to_pylist() == wanted


def test_rejected_records_leave_no_elements_behind() -> None:
    schema = {"a": "list<string>", "b": "int64"}
    records = [b'{"a":["x","y"],"b":1}', b'{"a":["z"],"b":"no"}', b'{"a":[null,"w"],"b":2}', b'{"a":["v",5]}', b'{"a":["u"]}']
    batch, rejects = decode_json(records, schema)
    assert rejects["position"].to_pylist() == [1, 3]
    assert rejects["column"].to_pylist() == ["b", "a"]
    assert batch["a"].to_pylist() == [["x", "y"], [None, "w"], ["u"]]


def test_unknown_keys_of_structs_are_counted_by_their_place() -> None:
    schema = Schema({"a": "list<struct<b: int64, f: struct<g: int64>>>", "c": "struct<d: struct<e: int64>>"})
    decoder = JsonDecoder(list(schema.values()))
    record = b'{"a":[{"b":1,"x":2},{"x":3,"f":{"h":4}}],"c":{"d":{"y":1},"z":2},"w":1}'
    for _ in range(2):  # what was learned of keys stays, the counts do not
        decoded = decoder.decode(Payloads.of_records([record]))
        assert decoded.unknown_keys == {"a[].x": 2, "a[].f.h": 1, "c.d.y": 1, "c.z": 1, "w": 1}


def test_columns_that_nobody_needs_are_no_unknown_keys() -> None:
    schema = Schema(
        {
            "a": Column("int64", path="s.a"),
            "b": Column("int64", path="s.b"),
            "c": "int64",
            "d": Column("int64", path="t.u.d"),
            "r": Column("json", path="*"),
        }
    )
    record = b'{"s":{"a":1,"b":"x","x":2},"c":"y","t":{"u":{"d":3,"e":4}},"w":5}'
    fields = list(schema.values())
    plain = JsonDecoder(fields[:1], fields[1:4]).decode(Payloads.of_records([record]))
    assert plain.unknown_keys == {"s.x": 1, "w": 1}
    rest = JsonDecoder([fields[0], fields[4]], fields[1:4]).decode(Payloads.of_records([record]))
    assert rest.unknown_keys == {"s.x": 1, "t.u.e": 1, "w": 1}
    assert close(rest.columns["r"]).to_pylist() == ['{"s":{"x":2},"t":{"u":{"e":4}},"w":5}']


def test_any_record_beside_the_reference() -> None:
    draw = random.Random("nested")
    for _ in range(1500):
        data = draw_nested(draw)
        assert judge_nested(data) is None, data


def test_a_long_list_makes_no_room_in_later_batches_that_their_text_cannot_fill() -> None:
    decoder = JsonDecoder(tuple(Schema({"a": "list<int64>"}).values()))
    long = b'{"a":[' + b",".join([b"1"] * 400_000) + b"]}"
    for records in ([long], [b'{"a":[1]}'] * 5000, [b'{"a":[1]}'] * 5000):
        payloads = Payloads.of_records(records)
        begun = json_decoder._Batch(decoder, payloads, json_decoder._Keys(decoder._layout))
        assert begun.out.count < 64 * payloads.size + (4 << 20)
        assert decoder.decode(payloads).length == len(records)


@pytest.mark.parametrize("before", [[], [b'{"a":{"v":1}}'], [b'{"b":{"v":1}}']])
@pytest.mark.parametrize(
    ("record", "code"),
    [
        (b'{"a":5,"a":{}}', None),
        (b'{"b":5,"b":{}}', None),
        (b'{"a":5,"b":{},"b":{}}', "BAD_TYPE"),
        (b'{"a":5,"a":{"v":2}}', None),
    ],
)
def test_what_an_alias_becomes_does_not_depend_on_the_record_before(
    before: list[bytes], record: bytes, code: str | None
) -> None:
    schema = {"x": Column("int64", path="a.v", aliases=("b.v",))}
    batch, rejects = decode_json([*before, record], schema)
    assert rejects["code"].to_pylist() == ([] if code is None else [code])
    if code is None:
        assert batch["x"].to_pylist()[len(before) :] == [2 if b"2" in record else None]
