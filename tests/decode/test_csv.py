"""The CSV decoder against Python's csv module and the JSON decoder: what cells mean, and what becomes of rows that are none."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from time import process_time
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import PlanError
from millstream.decode.csv import CsvDecoder, decode_csv
from millstream.decode.csv_framing import split_texts
from millstream.decode.dialect import Dialect
from millstream.decode.json import decode_json
from millstream.decode.payloads import Payloads
from millstream.schema import Column, Schema
from tests import guard
from tests.decode import csv_reference
from tests.decode.test_csv_framing import DIALECTS, HOSTILE

INT, FLOAT, TEXT = {"a": "int64"}, {"a": "float64"}, {"a": "string"}


def cell(raw: bytes, schema: dict[str, Any], **options: Any) -> Any:
    """What one cell of a file's middle row becomes, or the code it was rejected with."""
    text = b"n,a\n1,\n2," + raw + b"\n3,\n"
    batch, rejects = decode_csv(text, {"n": "int64"} | schema, **options)
    batch.validate(full=True)
    assert batch.num_rows + rejects.num_rows == 3
    rows = {row["n"]: row["a"] for row in batch.to_pylist()}
    assert {1, 3} <= rows.keys()
    assert rejects["payload"].to_pylist() == ([] if 2 in rows else [b"2," + raw])
    return rows[2] if 2 in rows else rejects["code"][0].as_py()


CASES: list[tuple[dict[str, Any], bytes, Any]] = [
    (INT, b"-12", -12),
    (INT, b"+5", 5),
    (INT, b"007", 7),
    (INT, b"-007", -7),
    (INT, b"  12 ", 12),
    (INT, b'"12"', 12),
    (INT, b'" 12"', 12),
    (INT, b"12345678", 12345678),
    (INT, b"123456789", 123456789),
    (INT, b"1234567890123456", 1234567890123456),
    (INT, b"-12345678901234567", -12345678901234567),
    (INT, b"000000000000000000000001", 1),
    (INT, b"9223372036854775807", 2**63 - 1),
    (INT, b"-9223372036854775808", -(2**63)),
    (INT, b"9223372036854775808", "OUT_OF_RANGE"),
    (INT, b"12.0", 12),
    (INT, b"12.", 12),
    (INT, b"1e3", 1000),
    (INT, b"1.5", "BAD_NUMBER"),
    (INT, b"-", "BAD_NUMBER"),
    (INT, b"+-5", "BAD_NUMBER"),
    (INT, b"--5", "BAD_NUMBER"),
    (INT, b"1 2", "BAD_NUMBER"),
    (INT, b"12x", "BAD_NUMBER"),
    (INT, b"x", "BAD_NUMBER"),
    (INT, b"0x10", "BAD_NUMBER"),
    (INT, b"1;2", "BAD_NUMBER"),
    (INT, b'"1,234"', "BAD_NUMBER"),
    (INT, b"", None),
    (INT, b'""', None),
    (INT, b"   ", None),
    ({"a": "int8"}, b"128", "OUT_OF_RANGE"),
    ({"a": "uint8"}, b"-1", "OUT_OF_RANGE"),
    ({"a": "uint64"}, b"18446744073709551615", 2**64 - 1),
    ({"a": "uint64"}, b"18446744073709551616", "OUT_OF_RANGE"),
    (FLOAT, b"0.1", 0.1),
    (FLOAT, b"-1.5e-3", -0.0015),
    (FLOAT, b".5", 0.5),
    (FLOAT, b"-.5", -0.5),
    (FLOAT, b"5.", 5.0),
    (FLOAT, b"5.e2", 500.0),
    (FLOAT, b"+1.25", 1.25),
    (FLOAT, b"00.5", 0.5),
    (FLOAT, b".", "BAD_NUMBER"),
    (FLOAT, b"e5", "BAD_NUMBER"),
    (FLOAT, b"NaN", "BAD_NUMBER"),
    (FLOAT, b"inf", "BAD_NUMBER"),
    (FLOAT, b"1e999", "OUT_OF_RANGE"),
    (FLOAT, b"1.7976931348623157e308", 1.7976931348623157e308),
    ({"a": "float32"}, b"0.1", 0.10000000149011612),
    ({"a": "bool"}, b"true", True),
    ({"a": "bool"}, b"FALSE", False),
    ({"a": "bool"}, b" True", True),
    ({"a": "bool"}, b"1", "BAD_VALUE"),
    ({"a": "bool"}, b"maybe", "BAD_VALUE"),
    ({"a": "bool"}, b"truefalse", "BAD_VALUE"),
    ({"a": Column("bool", coerce="bools")}, b"Y", True),
    ({"a": Column("bool", coerce="bools")}, b"0", False),
    (TEXT, b"plain", "plain"),
    (TEXT, b" kept ", " kept "),
    (TEXT, b'"quoted, with ""quotes"""', 'quoted, with "quotes"'),
    (TEXT, b'"two\nlines"', "two\nlines"),
    (TEXT, b'"two\r\nlines\rand a half"', "two\r\nlines\rand a half"),
    (TEXT, b'5" pipe', '5" pipe'),
    (TEXT, b'a""b', 'a""b'),
    (TEXT, b"", None),
    (TEXT, b'""', ""),
    (TEXT, b'""""', '"'),
    (TEXT, b"x" * 1000, "x" * 1000),
    (TEXT, b'"' + b'""' * 200 + b'"', '"' * 200),
    (TEXT, "é日本😀".encode(), "é日本😀"),
    (TEXT, b"\xff", "BAD_UTF8"),
    (TEXT, b'"x"y', "BAD_CSV"),
    (TEXT, b'"x" ', "BAD_CSV"),
    (TEXT, b"1,2", "BAD_CSV"),
    (TEXT, b"a\0b", "a\0b"),
    ({"a": Column("string", coerce="empty")}, b'""', None),
    ({"a": "json"}, b'"{""k"": [1, 2]}"', '{"k": [1, 2]}'),
    ({"a": "json"}, b" 12 ", "12"),
    ({"a": "json"}, b"{k}", "BAD_JSON"),
    ({"a": "json"}, b'"[1] x"', "BAD_JSON"),
    ({"a": "json"}, b"", None),
    ({"a": "date32"}, b"2024-02-29", date(2024, 2, 29)),
    ({"a": "date32"}, b"2023-02-29", "BAD_TIME"),
    ({"a": "date32"}, b"20240131", date(2024, 1, 31)),
    ({"a": "time64[us]"}, b"08:30:00.25", time(8, 30, 0, 250000)),
    ({"a": "timestamp[us]"}, b"2013-01-01 05:00:00", datetime(2013, 1, 1, 5)),
    ({"a": "timestamp[us]"}, b"2013-01-01T05:00:00Z", "BAD_TIME"),
    ({"a": "timestamp[s, UTC]"}, b"2013-01-01T05:00:00Z", datetime(2013, 1, 1, 5, tzinfo=UTC)),
    ({"a": "timestamp[us, UTC]"}, b'" 2013-01-01T06:00:00.5+01:00"', datetime(2013, 1, 1, 5, 0, 0, 500000, tzinfo=UTC)),
    ({"a": "timestamp[us, UTC]"}, b"2013-01-01T05:00:00", "BAD_TIME"),
    ({"a": Column("timestamp[ms, UTC]", coerce="epoch_s")}, b"1.5", datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)),
    (
        {"a": Column("timestamp[ms, UTC]", coerce="epoch_ms")},
        b"1970-01-01T00:00:01Z",
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    ),
    ({"a": "duration[us]"}, b"P1DT2H", timedelta(days=1, hours=2)),
    ({"a": Column("duration[us]", coerce="seconds")}, b"90", timedelta(seconds=90)),
    ({"a": "decimal128(5, 2)"}, b"123.45", Decimal("123.45")),
    ({"a": "decimal128(5, 2)"}, b"-.5", Decimal("-0.50")),
    ({"a": "decimal128(5, 2)"}, b"1.234", "BAD_NUMBER"),
    ({"a": Column("decimal128(5, 2)", coerce="round")}, b"1.235", Decimal("1.24")),
    ({"a": "decimal128(5, 2)"}, b"1234", "OUT_OF_RANGE"),
    ({"a": "binary"}, b"aGk=", b"hi"),
    ({"a": "binary"}, b"a!", "BAD_VALUE"),
    ({"a": Column("binary", coerce="hex")}, b"6869", b"hi"),
    ({"a": Column("int64", on_error="null")}, b"x", None),
]


@pytest.mark.parametrize(("schema", "raw", "wanted"), CASES)
def test_a_cell(schema: dict[str, Any], raw: bytes, wanted: Any) -> None:
    assert cell(raw, schema) == wanted


@pytest.mark.parametrize(("schema", "raw", "wanted"), CASES)
def test_a_cell_before_a_page_that_nobody_may_touch(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], raw: bytes, wanted: Any
) -> None:
    guard.install(monkeypatch)
    batch, rejects = decode_csv(b"a,b\n" + raw + b",", schema)
    batch.validate(full=True)
    assert (rejects["code"].to_pylist() or batch["a"].to_pylist()) == [wanted]


NULLS = {"null_values": ["", "NA", "-999", "not available", "NULL"]}


DIALECT_CASES: list[tuple[dict[str, Any], bytes, dict[str, Any], Any]] = [
    (INT, b"NA", NULLS, None),
    (INT, b'"NA"', NULLS, None),
    (INT, b"-999", NULLS, None),
    (INT, b"-998", NULLS, -998),
    (INT, b" NULL ", NULLS, None),
    (INT, b"NB", NULLS, "BAD_NUMBER"),
    (INT, b"", {"null_values": ["NA"]}, "BAD_NUMBER"),
    (FLOAT, b"not available", NULLS, None),
    (TEXT, b"not available", NULLS, None),
    (TEXT, b"not availablE", NULLS, "not availablE"),
    (TEXT, b"not availabl", NULLS, "not availabl"),
    (TEXT, b'"NA"', NULLS, "NA"),
    (TEXT, b"NAN", NULLS, "NAN"),
    (TEXT, b"", {"null_values": []}, ""),
    (TEXT, b"x" * 70, {"null_values": ["", "x" * 70]}, None),
    (TEXT, b"x" * 71, {"null_values": ["", "x" * 70]}, "x" * 71),
    (TEXT, "é".encode("latin-1"), {"null_values": ["", "é"], "encoding": "latin-1"}, None),
    (TEXT, "naïve é".encode("latin-1"), {"encoding": "latin-1"}, "naïve é"),
    (TEXT, b'"\xe9""\xff"', {"encoding": "latin-1"}, 'é"ÿ'),
    ({"a": "json"}, b'"""\xe9"""', {"encoding": "latin-1"}, '"é"'),
    (INT, b"\xe9", {"encoding": "latin-1"}, "BAD_NUMBER"),
    (TEXT, b"a\\,b", {"escape": "\\"}, "a,b"),
    (TEXT, b"a\\\nb", {"escape": "\\"}, "a\nb"),
    (TEXT, b'"a\\"b""c"', {"escape": "\\"}, 'a"b"c'),
    (TEXT, b'\\"x', {"escape": "\\"}, '"x'),
    (TEXT, b"'it''s'", {"quote": "'"}, "it's"),
    (TEXT, b'"x"', {"quote": None}, '"x"'),
    (TEXT, b"#1", {"comment": "#"}, "#1"),
]


@pytest.mark.parametrize(("schema", "raw", "options", "wanted"), DIALECT_CASES)
def test_a_cell_of_a_dialect(schema: dict[str, Any], raw: bytes, options: dict[str, Any], wanted: Any) -> None:
    if "" not in options.get("null_values", [""]):
        batch, rejects = decode_csv(b"a,b\n" + raw + b",1\n", schema, **options)
        assert (rejects["code"].to_pylist() or batch["a"].to_pylist()) == [wanted]
    else:
        assert cell(raw, schema, **options) == wanted


def rows(text: bytes | list[bytes], schema: dict[str, Any], **options: Any) -> tuple[list[Any], list[Any]]:
    """Rows as tuples, and rejects as (position, code, column, offset)."""
    batch, rejects = decode_csv(text, schema, **options)
    batch.validate(full=True)
    told = [tuple(one[name] for name in ("position", "code", "column", "offset")) for one in rejects.to_pylist()]
    return [tuple(row.values()) for row in batch.to_pylist()], told


AB: dict[str, Any] = {"a": "int64", "b": Column("string", default="none")}


@pytest.mark.parametrize(
    ("ragged", "kept", "rejected"),
    [
        ("reject", [(1, "x")], [(1, "BAD_CSV", None, 1), (2, "BAD_CSV", None, 4), (3, "BAD_CSV", None, 3)]),
        ("pad", [(1, "x"), (2, "none")], [(2, "BAD_CSV", None, 4), (3, "BAD_CSV", None, 3)]),
        ("truncate", [(1, "x"), (3, "y"), (4, None)], [(1, "BAD_CSV", None, 1)]),
        ("fit", [(1, "x"), (2, "none"), (3, "y"), (4, None)], []),
    ],
)
def test_ragged_rows(ragged: str, kept: list[Any], rejected: list[Any]) -> None:
    assert rows(b"a,b\n1,x\n2\n3,y,z\n4,,,,\n", AB, ragged=ragged) == (kept, rejected)


def test_wide_rows_are_counted_whatever_is_wanted() -> None:
    names = [f"c{i}" for i in range(300)]
    good = ",".join(map(str, range(300)))
    text = "\n".join([",".join(names), good, good + ",", good[:-4], good]).encode()
    kept, rejected = rows(text, {"c299": "int64", "c0": "int8", "c128": "string"})
    assert kept == [(299, 0, "128")] * 2
    assert [(position, code) for position, code, _, _ in rejected] == [(1, "BAD_CSV"), (2, "BAD_CSV")]


def test_columns_are_found_by_name() -> None:
    schema = {
        "n": Column("int64", path="Order No."),
        "p": Column("float64", path=("price", "net"), aliases=("cost",)),
        "missing": Column("int64", default=7),
        "none": "string",
    }
    text = b'"Order No.", cost ,extra,"with ""q"""\n1,2.5,x,y\n'
    assert rows(text, schema) == ([(1, 2.5, 7, None)], [])
    assert rows(b"price.net,Order No.\n2.5,1\n", schema) == ([(1, 2.5, 7, None)], [])
    # As a key that comes twice: the last one counts.
    assert rows(b"price.net,Order No.,cost\nx,1,3.5\n", schema) == ([(1, 3.5, 7, None)], [])


def test_a_column_that_may_not_be_missing() -> None:
    schema = {"a": "int64", "b": Column("int64", nullable=False)}
    assert rows(b"a\n1\n", schema) == ([], [(0, "MISSING", "b", 0)])
    assert rows(b"a,b\n1\n2,\n3,4\n", schema, ragged="pad") == ([(3, 4)], [(0, "MISSING", "b", 0), (1, "NOT_NULL", "b", 2)])


def test_without_a_header() -> None:
    assert rows(b"1,x\n2,y\n", AB, header=False) == ([(1, "x"), (2, "y")], [])
    assert rows(b"x,0,1\n", AB, header=["b", "z", "a"]) == ([(1, "x")], [])
    assert rows([b"1,x", b"2,y\r\n3,z\n", b""], AB, header=False) == ([(1, "x"), (2, "y"), (3, "z")], [])


def test_texts_with_headers_of_their_own() -> None:
    texts = [b"a,b\n1,x\n", b"b,a\ny,2\nz,q\n", b"\xef\xbb\xbfa\n3", b"a,b\n4,w\n", b"", b"a,b\n", b'"a"x\n5\n', b"c;d\n1;2\n"]
    kept, rejected = rows(texts, AB)
    assert kept == [(1, "x"), (2, "y"), (3, "none"), (4, "w")]
    assert rejected == [(2, "BAD_NUMBER", "a", 2), (5, "BAD_CSV", None, -1), (6, "BAD_CSV", None, -1)]


def test_a_header_that_names_no_column_is_told() -> None:
    _, rejects = decode_csv(b"a;b\n1;2\n", AB)
    assert rejects.to_pylist() == [
        {
            "position": 0,
            "code": "BAD_CSV",
            "column": None,
            "offset": -1,
            "message": "the header has none of the schema's columns; is the delimiter another one?",
            "payload": b"1;2",
        }
    ]


def test_comments_and_blank_lines_are_no_records() -> None:
    text = b'\n# a "comment\na,b\r\n\r\n#1,x\n1,"#\n#"\n\n'
    assert rows(text, AB, comment="#") == ([(1, "#\n#")], [])


def test_the_first_misfit_is_told_and_quotes_come_before_misfits() -> None:
    schema = {"b": "int64", "a": "int64", "c": "string"}
    assert rows(b"a,b,c\nx,y,z\n", schema)[1] == [(0, "BAD_NUMBER", "a", 0)]
    assert rows(b'a,b,c\nx,y,"z"z\n', schema)[1] == [(0, "BAD_CSV", None, 4)]
    assert rows(b"a,b,c\nx,y,\xff\n", schema)[1] == [(0, "BAD_UTF8", None, 4)]
    # In a cell that nobody wants, too.
    assert rows(b'a,z\n1,"z"z\n2,\xff\n3,"\n', {"a": "int64"})[1] == [
        (0, "BAD_CSV", None, 2),
        (1, "BAD_UTF8", None, 2),
        (2, "BAD_CSV", None, 2),
    ]


def test_drift_is_counted() -> None:
    fields = Schema({"a": "int64", "b": "int64", "unread": "string"})
    wanted = [fields["a"], fields["b"]]
    decoder = CsvDecoder(wanted, list(fields.values()), Dialect())
    payloads, _ = split_texts(Payloads.of_records([b"a,x,unread\n1,2,3\n4,5,6\n", b"x,y,b\n1,2,3\n"]), Dialect())
    decoded = decoder.decode(payloads)
    assert decoded.unknown_keys == {"x": 3, "y": 1}
    assert decoded.missing_columns == {"b": 2, "a": 1}
    assert decoded.length == 3


def test_values_made_null_are_counted() -> None:
    schema = Schema({"a": Column("int64", on_error="null"), "b": "int64"})
    decoder = CsvDecoder(list(schema.values()), list(schema.values()), Dialect(header=False))
    payloads, _ = split_texts(Payloads.of_records([b"x,1\nx,y\n2,2\ny,3"]), Dialect(header=False))
    decoded = decoder.decode(payloads)
    assert (decoded.nulls_on_error, decoded.length, len(decoded.rejects)) == ({"a": 2}, 3, 1)


@pytest.mark.parametrize(
    ("schema", "options", "says"),
    [
        ({"a": "list<int64>"}, {}, "type json"),
        ({"a": "struct<x: int64>"}, {}, "type json"),
        ({"a": Column("json", path="*")}, {}, "for JSON"),
        (INT, {"delimiter": ""}, "delimiter"),
        (INT, {"delimiter": "::"}, "delimiter"),
        (INT, {"delimiter": "§"}, "ASCII"),
        (INT, {"delimiter": "1"}, "delimiter"),
        (INT, {"delimiter": None}, "delimiter"),
        (INT, {"quote": "\n"}, "quote"),
        (INT, {"quote": ","}, "both"),
        (INT, {"comment": '"'}, "both"),
        (INT, {"header": "a"}, "header"),
        (INT, {"header": []}, "header"),
        (INT, {"header": ["b"]}, "none of the schema's columns"),
        (INT, {"null_values": [None]}, "null_values"),
        (INT, {"null_values": 5}, "null_values"),
        (INT, {"null_values": ["日"], "encoding": "latin-1"}, "null_values"),
        (INT, {"ragged": "no"}, "ragged"),
        (INT, {"encoding": "utf-16"}, "encoding"),
        (INT, {"nope": 1}, "no option 'nope'"),
    ],
)
def test_what_cannot_be_is_refused(schema: dict[str, Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        decode_csv(b"a\n1\n", schema, **options)


def test_the_quote_as_its_own_escape_is_doubled_quotes() -> None:
    assert cell(b'"a""b"', TEXT, escape='"') == 'a"b'


@settings(max_examples=300, deadline=None)
@given(HOSTILE, st.sampled_from(DIALECTS), st.integers(1, 4))
def test_hostile_text_is_what_the_reference_says(text: bytes, dialect: Dialect, width: int) -> None:
    schema = {f"c{i}": "string" for i in range(width)}
    options = {name: getattr(dialect, name) for name in ("delimiter", "quote", "escape", "header", "comment")}
    batch, rejects = decode_csv(text, schema, null_values=[], ragged="fit", **options)
    batch.validate(full=True)
    kept: list[tuple[str | None, ...]] = []
    bad: list[tuple[int, str]] = []
    for position, record in enumerate(csv_reference.records(text, dialect)):
        if record.cells is None:
            bad.append((position, "BAD_CSV"))
            continue
        try:
            record.raw.decode()
            texts = [one.decode() for one, _ in record.cells]
        except UnicodeDecodeError:
            bad.append((position, "BAD_UTF8"))
            continue
        kept.append(tuple((*texts, *[None] * width)[:width]))
    assert [tuple(row.values()) for row in batch.to_pylist()] == kept
    assert list(zip(rejects["position"].to_pylist(), rejects["code"].to_pylist(), strict=True)) == bad


VALUES = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint8": st.integers(0, 255),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "string": st.text(st.characters(codec="utf-8"), max_size=70),
    "date32": st.dates(),
    "timestamp[us]": st.datetimes(),
}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*(st.none() | one for one in VALUES.values())), max_size=12),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(0, 127),
)
def test_what_python_writes_is_read(values: list[Any], delimiter: str, quoting: int, ending: str, wanted: int) -> None:
    """Any columns of it, and the same cut anywhere."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    writer.writerow(VALUES)
    for row in values:
        writer.writerow(["NULL" if one is None else one.isoformat() if isinstance(one, date) else one for one in row])
    names = [name for i, name in enumerate(VALUES) if wanted >> i & 1] or ["string"]
    schema = {name: name for name in names}
    options = {"delimiter": delimiter, "null_values": ["NULL"]}
    batch, rejects = decode_csv(out.getvalue().encode(), schema, **options)
    batch.validate(full=True)
    assert rejects.num_rows == 0
    expected = [dict(zip(VALUES, row, strict=True)) for row in values]
    for row in expected:
        if quoting == csv.QUOTE_ALL and row["string"] is None:
            row["string"] = "NULL"
        elif row["string"] == "NULL" and quoting != csv.QUOTE_ALL:
            row["string"] = None
    assert batch.to_pylist() == [{name: row[name] for name in names} for row in expected]


@settings(max_examples=200, deadline=None)
@given(
    st.text("0123456789.eE+-", min_size=1, max_size=24),
    st.sampled_from(["int64", "uint64", "float64", "float32", "decimal128(20, 4)"]),
)
def test_numbers_that_json_knows_are_the_same(text: str, kind: str) -> None:
    batch, rejects = decode_json([b'{"a":' + text.encode() + b"}"], {"a": kind})
    wanted = (rejects["code"].to_pylist() or batch["a"].to_pylist())[0]
    found = cell(text.encode(), {"a": kind})
    if wanted == "BAD_JSON":  # 007, +5, .5 and 5. are more than JSON knows
        try:
            plain = str(Decimal(text)).replace("E+", "E")
        except InvalidOperation:
            assert found == "BAD_NUMBER"
        else:
            assert found == cell(plain.encode(), {"a": kind})
    else:
        assert found == wanted
        assert str(found) == str(wanted)  # -0.0 is not 0.0


@settings(max_examples=200, deadline=None)
@given(
    st.text("0123456789TZ:-+. PDHMSW", max_size=24) | st.datetimes().map(datetime.isoformat),
    st.sampled_from(["timestamp[us, UTC]", "timestamp[ns]", "date32", "time64[us]", "duration[us]"]),
)
def test_times_are_those_of_json(text: str, kind: str) -> None:
    text = text.strip()
    batch, rejects = decode_json([json.dumps({"a": text}).encode()], {"a": kind})
    wanted = rejects["code"].to_pylist() or batch["a"].cast(pa.string()).to_pylist()
    batch, rejects = decode_csv(b"a,b\n" + text.encode() + b",1\n", {"a": kind}, null_values=[])
    assert (rejects["code"].to_pylist() or batch["a"].cast(pa.string()).to_pylist()) == wanted


def test_a_batch_as_pyarrow_reads_it() -> None:
    lines = [f'{i},"name {i}, ""{i % 7}""",{i / 7!r},{"true" if i % 3 else ""},{i * 10**9}' for i in range(5000)]
    text = ("i,s,f,b,n\n" + "\n".join(lines)).encode()
    schema = Schema({"i": "int64", "s": "string", "f": "float64", "b": "bool", "n": "int64"})
    ours, rejects = decode_csv(text, schema)
    types = {one.name: one.type for one in schema.arrow}
    theirs = pc.read_csv(pa.BufferReader(text), convert_options=pc.ConvertOptions(column_types=types))
    assert rejects.num_rows == 0
    assert pa.Table.from_batches([ours]).equals(theirs.combine_chunks())


def test_short_rows_take_no_longer_under_a_wide_header() -> None:
    """The cells that nobody wants are passed over at once."""
    taken = []
    for width in (1_000, 4_000):
        text = b"a," + b"," * width + b"b\n" + b"1\n" * width
        started = process_time()
        batch, rejects = decode_csv(text, {"a": "int64", "b": "int64"}, ragged="pad")
        taken.append(process_time() - started)
        assert (batch.num_rows, rejects.num_rows) == (width, 0)
        assert batch.slice(width - 1).to_pylist() == [{"a": 1, "b": None}]
    assert taken[1] < 8 * taken[0] + 0.05
