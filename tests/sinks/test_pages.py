"""Our own Parquet files, read by pyarrow, DuckDB and Polars; their schema and statistics beside pyarrow's."""

import datetime as dt
import math
import random
import sys
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.columns import open_array
from millstream.errors import SinkError
from millstream.sinks import pages
from millstream.sinks.parquet import ParquetFile, encode_batch

DRAW = random.Random(7)
UTC = dt.UTC
FLAT = {
    "bool": (pa.bool_(), lambda i: i % 3 == 0),
    "int8": (pa.int8(), lambda i: i % 256 - 128),
    "int16": (pa.int16(), lambda i: i % 65536 - 32768),
    "int32": (pa.int32(), lambda i: i * 7919 - 2**31),
    "int64": (pa.int64(), lambda i: i * 7919 - 2**63),
    "uint8": (pa.uint8(), lambda i: i % 256),
    "uint16": (pa.uint16(), lambda i: i % 65536),
    "uint32": (pa.uint32(), lambda i: 2**32 - 1 - i),
    "uint64": (pa.uint64(), lambda i: 2**64 - 1 - i),
    "float32": (pa.float32(), lambda i: i / 8),
    "float64": (pa.float64(), lambda i: i / 3),
    "string": (pa.string(), lambda i: "é" * (i % 40) + str(i)),
    "binary": (pa.binary(), lambda i: bytes([i % 256]) * (i % 50)),
    "date32": (pa.date32(), lambda i: dt.date(1900, 1, 1) + dt.timedelta(days=i)),
    "time64": (pa.time64("us"), lambda i: dt.time(i % 24, i % 60, 1, i)),
    "ms": (pa.timestamp("ms"), lambda i: i * 1000 - 10**12),
    "us": (pa.timestamp("us", "UTC"), lambda i: i * 1000 - 10**15),
    "ns": (pa.timestamp("ns"), lambda i: i * 1000 - 10**18),
    "duration": (pa.duration("us"), lambda i: i - 5),
    "decimal": (pa.decimal128(9, 2), lambda i: Decimal(i - 100) / 100),
    "wide": (pa.decimal128(38, 0), lambda i: Decimal(10) ** 37 * (i % 9 - 4) + i),
}


def batch_of(count, nulls=0.0, repeat=None, required=False):
    columns, fields = [], []
    for name, (kind, value) in FLAT.items():
        values = [None if DRAW.random() < nulls else value(i % repeat if repeat else i) for i in range(count)]
        columns.append(pa.array(values, kind))
        fields.append(pa.field(name, kind, nullable=not required))
    return pa.record_batch(columns, pa.schema(fields))


def file_of(batch, compression="zstd"):
    return pq.ParquetFile(pa.BufferReader(encode_batch(batch, {}, compression)))


def by_arrow(batch):
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([batch]), out)
    return pq.ParquetFile(pa.BufferReader(out.getvalue()))


def one(table, schema):
    return (
        table.combine_chunks().cast(schema).to_batches()[0]
        if table.num_rows
        else pa.record_batch([pa.array([], f.type) for f in schema], schema)
    )


@pytest.mark.parametrize("repeat", [None, 5, 200])
@pytest.mark.parametrize("nulls", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 300, 3000])
def test_every_flat_type_comes_back(count, nulls, repeat):
    batch = batch_of(count, nulls, repeat)
    found = file_of(batch).read()
    assert found.schema.equals(batch.schema)
    assert found.equals(pa.Table.from_batches([batch]))


def test_required_columns_come_back():
    batch = batch_of(500, required=True)
    found = file_of(batch)
    assert found.read().equals(pa.Table.from_batches([batch]))
    assert found.schema.column(0).max_definition_level == 0


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "none"])
def test_every_compression(compression):
    batch = batch_of(400, 0.1, 20)
    assert file_of(batch, compression).read().equals(pa.Table.from_batches([batch]))


def test_the_schema_is_as_pyarrow_writes_it():
    nested = {
        "l": pa.list_(pa.list_(pa.int8())),
        "m": pa.map_(pa.string(), pa.struct([("a", pa.decimal128(5, 1)), ("b", pa.list_(pa.string()))])),
        "s": pa.struct([("x", pa.struct([("y", pa.date32())])), ("z", pa.uint16())]),
    }
    batch = batch_of(3)
    fields = [*batch.schema, *(pa.field(name, kind) for name, kind in nested.items())]
    whole = pa.record_batch([*batch.columns, *(pa.nulls(3, kind) for kind in nested.values())], pa.schema(fields))
    ours, theirs = file_of(whole), by_arrow(whole)
    assert ours.schema_arrow.equals(theirs.schema_arrow)
    for i in range(len(theirs.schema)):
        left, right = ours.schema.column(i), theirs.schema.column(i)
        assert (left.path, left.physical_type, left.max_definition_level, left.max_repetition_level, left.length) == (
            right.path, right.physical_type, right.max_definition_level, right.max_repetition_level, right.length,
        )  # fmt: skip
        assert str(left.logical_type) == str(right.logical_type), left.path


def test_statistics_are_those_of_pyarrow():
    batch = batch_of(1000, 0.1)
    ours, theirs = (file.metadata.row_group(0) for file in (file_of(batch), by_arrow(batch)))
    for i, name in enumerate(FLAT):
        left, right = ours.column(i).statistics, theirs.column(i).statistics
        assert left.null_count == right.null_count
        if name not in ("bool", "decimal", "wide"):  # these have no bounds of ours
            assert (left.min, left.max) == (right.min, right.max), name


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_statistics_of_floats_leave_nan_out(kind):
    for values, wanted in (
        ([1.0, math.nan, -2.0], (-2.0, 1.0)),
        ([math.nan], None),
        ([0.0], (-0.0, 0.0)),
        ([-0.0], (-0.0, 0.0)),
    ):
        found = file_of(pa.record_batch({"f": pa.array(values, kind)})).metadata.row_group(0).column(0).statistics
        assert found.has_min_max == (wanted is not None)
        if wanted:
            assert (str(found.min), str(found.max)) == (str(wanted[0]), str(wanted[1]))


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_seconds_are_told_in_milliseconds(zone):
    most = (2**63 - 1) // 1000
    values = [0, None, -5, most, -most]
    batch = pa.record_batch(
        {
            "t": pa.array(values, pa.timestamp("s", zone)),
            "l": pa.array([[one] for one in values], pa.list_(pa.timestamp("s", zone))),
        }
    )
    found, theirs = file_of(batch), by_arrow(batch)
    assert found.schema_arrow.equals(theirs.schema_arrow)
    assert found.read().equals(theirs.read())
    with pytest.raises(SinkError, match="the column t holds a timestamp in seconds"):
        encode_batch(pa.record_batch({"t": pa.array([most + 1], pa.timestamp("s"))}), {})


def test_long_strings_have_no_bounds():
    found = file_of(pa.record_batch({"s": ["a", "b" * 300]})).metadata.row_group(0).column(0).statistics
    assert not found.has_min_max


def test_nested_columns_of_many_rows_come_back():
    count = 4000
    kinds = {
        "l": (
            pa.list_(pa.string()),
            lambda i: None if i % 7 == 0 else [None if k % 5 == 0 else str(k % 9) for k in range(i % 6)],
        ),
        "m": (pa.map_(pa.string(), pa.int64()), lambda i: None if i % 11 == 0 else [(f"k{k}", k) for k in range(i % 4)]),
        "s": (
            pa.struct([("a", pa.list_(pa.float64()))]),
            lambda i: None if i % 3 == 0 else {"a": None if i % 5 == 0 else [i / 2]},
        ),
    }
    batch = pa.record_batch({name: pa.array([value(i) for i in range(count)], kind) for name, (kind, value) in kinds.items()})
    assert one(file_of(batch).read(), batch.schema).equals(batch)


def test_duckdb_and_polars_read_the_same(tmp_path):
    batch = pa.record_batch(
        [*batch_of(2000, 0.1, 50).columns, pa.array([[i, None] if i % 4 else None for i in range(2000)], pa.list_(pa.int64()))],
        names=[*FLAT, "list"],
    )
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    ours.write_bytes(encode_batch(batch, {}))
    pq.write_table(pa.Table.from_batches([batch]), theirs)
    assert pl.read_parquet(ours).equals(pl.read_parquet(theirs))
    left, right = (duckdb.sql(f"SELECT COLUMNS(*)::VARCHAR FROM '{path}'") for path in (ours, theirs))
    assert duckdb.sql(f"SELECT * FROM '{ours}'").types == duckdb.sql(f"SELECT * FROM '{theirs}'").types
    assert left.fetchall() == right.fetchall()
    for condition in (
        "string >= 'é9'",
        "int64 < -9223372036854700000",
        "us > '1938-05-01'",
        "uint64 > 18446744073709551600",
        "float64 > 16",
    ):
        counted = [duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE {condition}").fetchall() for path in (ours, theirs)]
        assert counted[0] == counted[1]


def test_a_large_column_has_several_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_BYTES", 1000)
    batch = batch_of(3000, 0.1)
    assert file_of(batch).read().equals(pa.Table.from_batches([batch]))
    batch = batch_of(3000, 0.1, 30)
    assert file_of(batch).read().equals(pa.Table.from_batches([batch]))


def test_a_dictionary_that_would_be_too_large_is_none(monkeypatch):
    monkeypatch.setattr(pages, "DICTIONARY_BYTES", 10)
    batch = batch_of(1000, 0.0, 30)
    found = file_of(batch)
    assert found.read().equals(pa.Table.from_batches([batch]))
    group = found.metadata.row_group(0)
    assert not group.column(list(FLAT).index("int64")).has_dictionary_page


def test_values_that_stop_repeating_are_written_plain():
    values = [i % 3 if i < 600 else i for i in range(5000)]
    found = file_of(pa.record_batch({"a": values}))
    assert found.read()["a"].to_pylist() == values
    assert not found.metadata.row_group(0).column(0).has_dictionary_page


def test_the_same_rows_are_the_same_bytes():
    batch = batch_of(700, 0.2, 40)
    assert encode_batch(batch, {"a": "b"}).equals(encode_batch(batch.slice(0, 700), {"a": "b"}))
    assert sys.byteorder == "little"


@pytest.mark.parametrize("most", [0, 1000, 20_000])
def test_pages_are_the_same_however_many_are_made_at_a_time(monkeypatch, most):
    batch = batch_of(2000, nulls=0.2, repeat=20)
    whole = encode_batch(batch, {})
    monkeypatch.setattr(pages, "BODIES_BYTES", most)
    assert encode_batch(batch, {}).equals(whole)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("most", [0, 8 << 20])
def test_pages_around_what_is_not_compressed(monkeypatch, compression, most):
    """Bodies of 0 bytes, of what one and two bytes of a zstd frame's size can tell, and beyond what goes in as it is, side by side."""
    monkeypatch.setattr(pages, "BODIES_BYTES", most)
    sizes = [0, 1, 251, 252, 253, 254, pages.RAW_BYTES - 5, pages.RAW_BYTES - 4, pages.RAW_BYTES - 3, 70_000]
    fields = [pa.field(f"c{size}", pa.binary(), nullable=False) for size in sizes]
    batch = pa.record_batch([pa.array([DRAW.randbytes(size)]) for size in sizes], pa.schema(fields))
    found = file_of(batch, compression)
    assert found.read().to_batches() == [batch]
    group = found.metadata.row_group(0)
    assert [group.column(i).total_uncompressed_size - size > 0 for i, size in enumerate(sizes)] == [True] * len(sizes)
    assert group.total_byte_size == sum(group.column(i).total_uncompressed_size for i in range(len(sizes)))
    places = [group.column(i).data_page_offset for i in range(len(sizes))]
    assert places == [4 + sum(group.column(j).total_compressed_size for j in range(i)) for i in range(len(sizes))]


def test_statistics_of_strings_up_to_their_limit():
    texts = ["a" * 256, "b", "c" * 256]
    found = file_of(pa.record_batch({"s": texts})).metadata.row_group(0).column(0).statistics
    assert (found.min, found.max) == (texts[0], texts[2])


@pytest.mark.parametrize("count", [1025, 3000])
def test_more_columns_than_are_remembered(count):
    batch = pa.record_batch(
        [pa.array([i, i + 1]) for i in range(count)], names=[f"column_number_{i:05d}" for i in range(count)]
    )
    assert file_of(batch).read().equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_page_that_its_header_cannot_tell_is_refused(monkeypatch, compression):
    monkeypatch.setattr(pages, "_MOST_PAGE", 2000)
    assert file_of(pa.record_batch({"l": [["a" * 100] * 15]}), compression)
    with pytest.raises(SinkError, match="page of 2,"):
        file_of(pa.record_batch({"l": [["a" * 100] * 25]}), compression)


def test_a_file_keeps_no_more_memory_than_its_bytes():
    batch = batch_of(10, 0.0)
    columns = [open_array(column) for column in batch.columns]
    for compression in ("zstd", "none"):
        file = ParquetFile(batch.schema, compression)
        file.add(columns, 10)
        assert all(type(piece) is bytes for piece in file._pieces)
