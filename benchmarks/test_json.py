"""JSON to typed columns, schema given, text checked to be UTF-8, strings materialised: Millstream beside its peers."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from typing import Any

import duckdb
import orders
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.json as pj
import pytest
import simdjson

from millstream import Schema, decode_json
from millstream.native.bind import kernels

RECORDS = orders.records()
LINES = b"\n".join(RECORDS) + b"\n"
ARRAY = b"[" + b",".join(RECORDS) + b"]"
SCHEMA = Schema(orders.SCHEMA)
ROWS = len(RECORDS)

Run = Callable[[], Any]


def millstream_lines() -> Any:
    return decode_json(LINES, SCHEMA)[0]


def millstream_records() -> Any:
    return decode_json(RECORDS, SCHEMA)[0]


def pyarrow_lines() -> Any:
    read = pj.ReadOptions(use_threads=False, block_size=len(LINES) + 1)
    parse = pj.ParseOptions(explicit_schema=SCHEMA.arrow, unexpected_field_behavior="ignore")
    return pj.read_json(pa.BufferReader(LINES), read_options=read, parse_options=parse)


POLARS = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean, "timestamp[us, UTC]": pl.String}


def polars_lines() -> Any:
    frame = pl.read_ndjson(io.BytesIO(LINES), schema={name: POLARS[kind] for name, kind in orders.SCHEMA.items()})
    return frame.with_columns(pl.col("event_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"))


DUCKDB = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "timestamp[us, UTC]": "TIMESTAMP"}


@pytest.fixture(scope="module")
def duckdb_lines() -> Any:
    """DuckDB reads files: one in memory."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".ndjson") as file:
        file.write(LINES)
        file.flush()
        database = duckdb.connect()
        database.execute("SET threads=1")
        columns = ", ".join(f"{name}: '{DUCKDB[kind]}'" for name, kind in orders.SCHEMA.items())
        query = f"SELECT * FROM read_json('{file.name}', format='newline_delimited', columns={{{columns}}})"
        yield lambda: database.execute(query).to_arrow_table()


def orjson_dicts() -> Any:
    return [orjson.loads(record) for record in RECORDS]


PARSER = simdjson.Parser()


def simdjson_dom() -> Any:
    document = PARSER.parse(ARRAY)
    count = len(document)
    del document
    return count


def measure(benchmark: Any, who: str, run: Run, group: str, size: int, bar: float | None = None) -> Any:
    assert kernels.load().name == "native", "benchmarks measure the native kernels"
    benchmark.group = group
    benchmark.extra_info.update({"who": who, "bytes": size} | ({"bar": bar} if bar else {}))
    return benchmark.pedantic(run, rounds=31, warmup_rounds=3)


GROUP = f"{ROWS:,} JSON records of ~{len(LINES) // ROWS} B to 12 columns"


@pytest.mark.parametrize(
    ("who", "run"),
    [
        ("millstream", millstream_records),
        ("millstream, JSON lines", millstream_lines),
        ("pyarrow", pyarrow_lines),
        ("polars", polars_lines),
        ("simdjson, DOM alone: no columns (yardstick)", simdjson_dom),
        ("orjson, dicts alone: no columns (yardstick)", orjson_dicts),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_records_to_columns(benchmark: Any, who: str, run: Run) -> None:
    result = measure(benchmark, who, run, GROUP, len(LINES), bar=0.6 if who == "millstream" else None)
    assert (result if isinstance(result, int) else len(result)) == ROWS


def test_records_to_columns_duckdb(benchmark: Any, duckdb_lines: Run) -> None:
    assert measure(benchmark, "duckdb", duckdb_lines, GROUP, len(LINES)).num_rows == ROWS


def test_peers_agree(duckdb_lines: Run) -> None:
    """Nobody is fast by being wrong."""
    ours = pa.Table.from_batches([millstream_lines()])
    assert pa.Table.from_batches([millstream_records()]).equals(ours)
    assert pyarrow_lines().equals(ours)
    assert polars_lines().to_arrow().cast(ours.schema).equals(ours)
    assert duckdb_lines().cast(ours.schema).equals(ours)
