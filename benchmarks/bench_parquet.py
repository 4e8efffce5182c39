"""Columns to the bytes of a Parquet file, zstd at the level that Millstream uses: each engine writes a batch that it holds as its own."""

from __future__ import annotations

import io
from typing import Any

import events
import handlers
import polars as pl
import pyarrow as pa
import pytest

from millstream.sinks.parquet import encode_batch

NAMES = {
    "millstream": "millstream, a RecordBatch",
    "pyarrow": "pyarrow, dictionaries where values repeat",
    "pyarrow_default": "pyarrow, as it is without being told",
    "polars": "polars, a DataFrame",
    "duckdb": "duckdb, COPY of a table to a file in memory",
}


@pytest.mark.parametrize("count", [100, 5000, 100_000])
def bench_parquet(count: int, contest: Any) -> None:
    table = handlers.expected(events.orders(count * 3 // 2))[:count].combine_chunks()
    batch, frame = table.to_batches()[0], pl.DataFrame(table)
    database = handlers.database()
    database.register("given", table)
    database.execute("CREATE OR REPLACE TABLE held AS FROM given")

    def polars() -> bytes:
        out = io.BytesIO()
        frame.write_parquet(out, compression="zstd", compression_level=1)
        return out.getvalue()

    def duckdb() -> bytes:
        database.execute("COPY held TO 'memory://held.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
        return handlers.MEMORY.cat_file("/held.parquet")

    def default() -> pa.Buffer:
        import pyarrow.parquet as pq

        out = pa.BufferOutputStream()
        pq.write_table(table, out, compression="zstd")
        return out.getvalue()

    runs = {
        "millstream": lambda: encode_batch(batch, {}),
        "pyarrow": lambda: handlers.encode(table),
        "pyarrow_default": default,
        "polars": polars,
        "duckdb": duckdb,
    }
    wanted = table.sort_by("order_id")
    sizes = {}
    for who, run in runs.items():
        written = run()
        sizes[f"file of {who}, kB"] = len(memoryview(written)) / 1e3
        assert handlers.rows(written).equals(wanted), who
    contest(
        f"{count:,} rows, {table.num_columns} columns",
        runs,
        names=NAMES,
        size=table.nbytes,
        figures=lambda taken: sizes,
        settle=True,
        seconds=4,
    )
