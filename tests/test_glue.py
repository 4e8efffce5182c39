"""The table of a pipeline's output: the types it declares beside what files hold, its partitions beside the sink's folders."""

import json
import re
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.errors import PlanError, UsageError
from millstream.glue.render import render
from millstream.glue.table import Table
from millstream.local.run import run_files
from millstream.pipeline import Pipeline
from millstream.sinks.parquet import encode_batch
from millstream.types import TYPES

pytestmark = pytest.mark.once

PLACE = "s3://lake/orders/"


def table_of(columns, *projections, by=(), **output):
    return Table.of(Pipeline(columns, name="orders", output={"partition_by": list(by), **output}), projections)


def told(table, **options):
    """The TableInput."""
    return json.loads(render(table, "json", location=PLACE, **options))


# --- types ---------------------------------------------------------------------------------------------------------------

DECLARED = {
    "bool": "boolean",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "smallint",
    "uint16": "int",
    "float32": "float",
    "float64": "double",
    "string": "string",
    "json": "string",
    "binary": "binary",
    "date32": "date",
    "duration[us]": "bigint",
    "timestamp[s]": "timestamp",
    "timestamp[s, UTC]": "timestamp",
    "timestamp[ms]": "timestamp",
    "timestamp[ms, UTC]": "timestamp",
    "timestamp[us]": "timestamp",
    "timestamp[us, UTC]": "timestamp",
    "decimal128(9, 2)": "decimal(9,2)",
    "decimal128(18, 0)": "decimal(18,0)",
    "decimal128(38, 38)": "decimal(38,38)",
    "list<int8>": "array<tinyint>",
    "map<string, float64>": "map<string,double>",
    "struct<Sku: string, qty: int32>": "struct<sku:string,qty:int>",
    "list<struct<a.b: string, at: list<map<string, date32>>>>": "array<struct<a.b:string,at:array<map<string,date>>>>",
}
REFUSED = {
    "uint32": "cast it to int64",
    "uint64": "cast it to decimal128(20, 0), or to int64 where it fits",
    "time64[us]": "cast it to string",
    "timestamp[ns]": "cast it to timestamp[ms]",
    "timestamp[ns, UTC]": "cast it to timestamp[ms, UTC]",
}

# What Trino's Parquet reader, which is Athena's, takes for a declared type: physical type, logical type.
INTEGERS = {("INT32", "None"), ("INT32", "Int"), ("INT64", "None"), ("INT64", "Int")}
READ_AS = {
    "boolean": {("BOOLEAN", "None")},
    "tinyint": INTEGERS,
    "smallint": INTEGERS,
    "int": INTEGERS,
    "bigint": INTEGERS | {("INT64", "Timestamp"), ("INT64", "Time")},
    "float": {("FLOAT", "None")},
    "double": {("DOUBLE", "None"), ("FLOAT", "None")},
    "date": {("INT32", "None"), ("INT32", "Date")},
    "timestamp": {("INT64", "Timestamp"), ("INT96", "None")},
    "decimal": {("FIXED_LEN_BYTE_ARRAY", "Decimal"), ("INT32", "Decimal"), ("INT64", "Decimal"), ("BYTE_ARRAY", "Decimal")},
    "string": {("BYTE_ARRAY", "String"), ("BYTE_ARRAY", "None")},
    "binary": {("BYTE_ARRAY", "String"), ("BYTE_ARRAY", "None")},
}
HOLDS = {"tinyint": (8, True), "smallint": (16, True), "int": (32, True), "bigint": (64, True)}


def leaves(declared):
    """The plain types in a declared one, in their order; a map's keys are among them."""
    parts = re.sub(r"(array|map|struct)<|>", " ", re.sub(r"[\w.]+:", " ", declared))
    return [one for one in re.split(r"[ ,](?![^(]*\))", parts) if one]


def test_every_type_is_declared_or_refused():
    assert DECLARED.keys() | REFUSED.keys() >= TYPES.keys()


@pytest.mark.parametrize("kind", DECLARED)
def test_types_are_those_that_the_reader_takes_for_what_a_file_holds(kind):
    pipeline = Pipeline({"k": "int64", "X": kind}, name="orders")
    columns = told(Table.of(pipeline))["StorageDescriptor"]["Columns"]
    assert [(one["Name"], one["Type"]) for one in columns] == [("k", "bigint"), ("x", DECLARED[kind])]
    file = pq.ParquetFile(pa.BufferReader(encode_batch(pipeline.run([b'{"k": 1}']).batch, {})))
    held = [one for one in file.schema if one.path.split(".")[0] == "X"]
    for one, declared in zip(held, leaves(DECLARED[kind]), strict=True):
        logical = json.loads(one.logical_type.to_json())
        assert (one.physical_type, logical["Type"]) in READ_AS[declared.partition("(")[0]], declared
        if logical["Type"] == "Int":
            bits, signed = HOLDS[declared]
            assert bits >= logical["bitWidth"] + (not logical["isSigned"]), declared
            assert signed
        if logical["Type"] == "Decimal":
            assert declared == f"decimal({logical['precision']},{logical['scale']})"
        if logical["Type"] == "Timestamp":
            assert logical["timeUnit"] in ("milliseconds", "microseconds")


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("within", ["{}", "list<{}>", "map<string, {}>", "struct<qty: {}>"])
def test_what_cannot_be_read_is_refused(kind, within):
    place = {"{}": "x", "struct<qty: {}>": "x.qty"}.get(within, "x[]")
    with pytest.raises(PlanError) as error:
        table_of({"x": within.format(kind)})
    assert str(error.value).startswith(f"column {place} is {kind}, which Athena cannot read: ")
    assert str(error.value).endswith(REFUSED[kind])


def test_what_a_reader_must_know_stands_in_comments():
    table = table_of(
        {"a": "timestamp[us, UTC]", "b": "timestamp[us]", "c": "timestamp[s, UTC]", "d": "duration[us]", "e": "timestamp[ms]"}
    )
    comments = [one.get("Comment") for one in told(table)["StorageDescriptor"]["Columns"]]
    assert comments == ["UTC, rounded to milliseconds", "rounded to milliseconds", "UTC", "microseconds", None]


@pytest.mark.parametrize(
    ("columns", "output", "message"),
    [
        ({"order id": "int64"}, {}, "column 'order id': Athena takes names of up to 255 letters, digits and _; rename it"),
        ({"größe": "int64"}, {}, "column 'größe': Athena takes names"),
        ({"a" * 256: "int64"}, {}, "Athena takes names of up to 255"),
        ({"Id": "int64", "id": "int64"}, {}, "columns 'Id' and 'id' are one to Athena"),
        ({"x": "struct<a: int8, A: int8>"}, {}, "column x: columns 'a' and 'A' are one to Athena"),
        (
            {"x": 'list<struct<"a:b": int8>>'},
            {},
            "column x[]: Athena takes fields named by letters, digits, _ and ., not 'a:b'",
        ),
        ({"x": "int64"}, {"format": "ndjson"}, "output: format 'ndjson' is no table; write parquet"),
        ({"x": "int64"}, {"compression": "lz4"}, "lz4 (LZ4_RAW) is not known to Athena; write zstd, snappy, gzip or none"),
        ({"x": "int64", "a-b": "string"}, {"by": ["a-b"]}, "column 'a-b': Athena takes names"),
    ],
)
def test_names_and_outputs_that_cannot_be(columns, output, message):
    with pytest.raises(PlanError, match=re.escape(message)):
        table_of(columns, **output)


# --- partitions ----------------------------------------------------------------------------------------------------------

NULL = "__HIVE_DEFAULT_PARTITION__"
PROJECTED = [
    ("string", None, "string", {"type": "injected"}),
    ("int8", None, "string", {"type": "injected"}),
    ("date32", None, "string", {"type": "injected"}),
    ("bool", None, "string", {"type": "enum", "values": f"false,true,{NULL}"}),
    ("bool", "true", "string", {"type": "enum", "values": "true"}),
    ("int8", "1..12", "int", {"type": "integer", "range": "1,12"}),
    ("int8", "-3..3", "int", {"type": "integer", "range": "-3,3"}),
    ("uint16", "0..65535", "int", {"type": "integer", "range": "0,65535"}),
    ("int32", "01..7", "int", {"type": "integer", "range": "1,7"}),
    ("uint32", "0..4294967295", "bigint", {"type": "integer", "range": "0,4294967295"}),
    ("int64", "2013..2013", "bigint", {"type": "integer", "range": "2013,2013"}),
    ("uint64", "0..9223372036854775807", "bigint", {"type": "integer", "range": "0,9223372036854775807"}),
    ("int8", f"1,2,{NULL}", "string", {"type": "enum", "values": f"1,2,{NULL}"}),
    ("string", "DE,New York,Århus,a/b", "string", {"type": "enum", "values": "DE,New%20York,%C3%85rhus,a%2Fb"}),
    ("string", "a..b", "string", {"type": "enum", "values": "a..b"}),
    ("decimal128(6, 2)", "1,12.5,-0.25", "string", {"type": "enum", "values": "1.00,12.50,-0.25"}),
    ("timestamp[s]", "2024-01-31 12:00:00", "string", {"type": "enum", "values": "2024-01-31%2012%3A00%3A00"}),
    ("timestamp[ms, UTC]", "2024-01-31T12:00:00Z", "string", {"type": "enum", "values": "2024-01-31%2012%3A00%3A00.000Z"}),
    ("date32", "2024-01-31", "string", {"type": "enum", "values": "2024-01-31"}),
    *(
        ("date32", f"2024-01-31..{end}", "string", {
            "type": "date", "format": "yyyy-MM-dd", "range": f"2024-01-31,{end}", "interval": "1", "interval.unit": "DAYS",
        })
        for end in ("2024-12-31", "NOW", "NOW+1DAY", "NOW-2WEEKS")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "declared", "settings"), PROJECTED)
def test_projections(kind, given, declared, settings):
    projections = [] if given is None else [f"Part={given}"]
    found = told(table_of({"x": "int64", "Part": kind}, *projections, by=["Part"]))
    (key,) = found["PartitionKeys"]
    assert (key["Name"], key["Type"]) == ("part", declared)
    assert ("percent-encoded" in key.get("Comment", "")) == (kind == "string" or kind.startswith("timestamp"))
    expected = {"classification": "parquet", "projection.enabled": "true"}
    expected |= {f"projection.part.{name}": value for name, value in settings.items()}
    assert found["Parameters"] == expected | {"storage.location.template": PLACE + "Part=${part}/"}
    assert [one["Name"] for one in found["StorageDescriptor"]["Columns"]] == ["x"]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("int8", "part", "--projection 'part' is no COLUMN=VALUES"),
        ("int8", "part=", "--projection 'part=' is no COLUMN=VALUES"),
        ("int8", "x=1", "'x' is no partition column; there are: part"),
        ("int8", "part=1..300", "--projection part: '300' is no int8"),
        ("int8", "part=1..", "--projection part: '' is no int8"),
        ("int8", "part=12..1", "--projection part=12..1: the range ends before it begins"),
        ("uint64", "part=0..18446744073709551615", "Athena projects integers from -2^63 to 2^63 - 1"),
        ("date32", "part=2024-02-30..NOW", "--projection part: '2024-02-30' is no date32"),
        ("date32", "part=2024-02-01..now", "--projection part: 'now' is no date32"),
        ("date32", "part=2024-02-02..2024-02-01", "the range ends before it begins"),
        ("timestamp[s]", "part=2024-01-01..NOW", "timestamp[s] has no ranges; partition by a date32, or list values"),
        ("timestamp[s, UTC]", "part=2024-01-01 00:00:00", "'2024-01-01 00:00:00' is no timestamp[s, UTC]"),
        ("bool", "part=maybe", "--projection part: 'maybe' is no bool"),
        ("decimal128(4, 2)", "part=1.234", "'1.234' is no decimal128(4, 2)"),
        ("string", "part=a,,b", "--projection part: '' names no folder; records with it are rejected (BAD_PARTITION)"),
        ("string", "part=a,b,a", "--projection part lists 'a' twice"),
    ],
)
def test_projections_that_do_not_fit(kind, given, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        table_of({"x": "int64", "part": kind}, given, by=["part"])
    with pytest.raises(UsageError, match="names 'part' twice"):
        table_of({"x": "int64", "part": kind}, "part=1", "part=2", by=["part"])
    with pytest.raises(UsageError, match="no partition column; there are: none"):
        table_of({"x": "int64"}, "part=1")


VALUES = {
    "country": ["DE", "New York", "Århus", "a/b=c&d", "50%", "\U0001f600"],
    "month": [1, 12],
    "price": [Decimal("12.50"), Decimal("-1.00")],
    "day": ["2024-01-31", "1969-12-31"],
    "at": ["2024-01-31T12:00:00.250Z"],
    "late": [True, False],
}
KINDS = {
    "country": "string",
    "month": "int8",
    "price": "decimal128(6, 2)",
    "day": "date32",
    "at": "timestamp[ms, UTC]",
    "late": "bool",
}


@pytest.mark.parametrize("column", VALUES)
def test_values_and_template_give_the_folders_that_a_run_writes(column, tmp_path):
    """What Athena does: a projected value goes into the template as it is. The run is the sink's own."""
    values = VALUES[column]
    table_values = ",".join([*(str(one).lower() if isinstance(one, bool) else str(one) for one in values), NULL])
    pipeline = Pipeline({"x": "int64", column: KINDS[column]}, name="orders", output={"partition_by": [column]})
    records = [{"x": i, column: str(one) if isinstance(one, Decimal) else one} for i, one in enumerate([*values, None])]
    if column == "price":
        records = [one | {column: float(one[column])} if one[column] else one for one in records]
    (tmp_path / "in.ndjson").write_text("".join(json.dumps(one) + "\n" for one in records))
    report = run_files(pipeline, [str(tmp_path / "in.ndjson")], sink=str(tmp_path / "out"))
    assert report.counts["written"] == len(records), report.rejected_by_code
    parameters = told(Table.of(pipeline, [f"{column}={table_values}"]))["Parameters"]
    projected = parameters[f"projection.{column}.values"].split(",")
    template = parameters["storage.location.template"].removeprefix(PLACE)
    expected = {template.replace(f"${{{column}}}", one).rstrip("/") for one in projected}
    assert {one.name for one in (tmp_path / "out").iterdir()} == expected


def test_a_file_that_was_written_reads_with_the_declared_types(tmp_path):
    kinds = {f"c{i}": kind for i, kind in enumerate(one for one in DECLARED if "<" not in one and one != "json")}
    pipeline = Pipeline(kinds | {"k": "int64"}, name="orders")
    (tmp_path / "in.ndjson").write_text('{"k": 1, "c0": true, "c1": -128, "c5": 255, "c6": 65535}\n')
    run_files(pipeline, [str(tmp_path / "in.ndjson")], sink=str(tmp_path / "out"))
    declared = {one.name: one.type for one in Table.of(pipeline).columns}
    names = {"binary": "blob", "string": "varchar"}
    casts = ", ".join(f"{name}::{names.get(kind, kind)}" for name, kind in declared.items())
    (row,) = duckdb.sql(f"select {casts} from read_parquet('{tmp_path}/out/*.parquet')").fetchall()
    assert (row[0], row[1], row[5], row[6], row[-1]) == (True, -128, 255, 65535, 1)
