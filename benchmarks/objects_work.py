"""The work of one large object, in a process of its own: `bench_objects.py` runs it.

    python objects_work.py WHO OBJECT OUT

Prints seconds, seconds of the processor, and the most memory that the process ever held, in bytes, as JSON. Imports and plans are not
counted. Peers write to the folder OUT, the handler to the bucket that is called so.
"""

from __future__ import annotations

import measure

measure.one_thread_each()

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import events
import loopback
import orders

POLARS = {"int64": "Int64", "float64": "Float64", "bool": "Boolean"}  # all else is read as a string
DUCKDB = {"int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "string": "VARCHAR", "timestamp[us, UTC]": "TIMESTAMP"}

# Each gives the work, ready to be done.


def millstream(path: str, out: str) -> Callable[[], Any]:
    from millstream import Pipeline, Schema, col, when
    from millstream.aws import s3_handler
    from millstream.native.bind import kernels
    from millstream.sinks.clients import client

    kernels.load()
    client("s3")
    pipeline = (
        Pipeline(Schema(orders.SCHEMA), name="orders")
        .drop_nulls("price")
        .filter(col("price") > 10)
        .with_columns(
            col("email").str.strip_chars().str.to_lowercase(), discount=when(col("price") > 50).then(col("price") * 0.1)
        )
    )
    place = f"s3://{Path(out).name}/{os.getpid()}"
    handler = s3_handler(pipeline, sink=f"{place}/rows/", rejects=f"{place}/rejects/")
    file = Path(path)
    told = {"key": file.name, "size": file.stat().st_size, "eTag": loopback.etag(file)}
    event = events.notification(told)
    return lambda: handler(event)


def polars(path: str, out: str) -> Callable[[], Any]:
    import polars as pl

    price, email, when = pl.col("price"), pl.col("email"), pl.col("event_time")
    work = (
        pl.scan_ndjson(path, schema={name: getattr(pl, POLARS.get(kind, "String")) for name, kind in orders.SCHEMA.items()})
        .drop_nulls("price")
        .filter(price > 10)
        .with_columns(
            email.str.strip_chars().str.to_lowercase(),
            when.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"),
            pl.when(price > 50).then(price * 0.1).alias("discount"),
        )
    )
    Path(out).mkdir()
    return lambda: work.sink_parquet(f"{out}/rows.parquet", compression="zstd", compression_level=1)


def duckdb(path: str, out: str) -> Callable[[], Any]:
    import duckdb

    columns = ", ".join(f"{name}: '{DUCKDB[kind]}'" for name, kind in orders.SCHEMA.items())
    database = duckdb.connect()
    database.execute("SET threads=1; SET TimeZone='UTC'")
    Path(out).mkdir()
    return lambda: database.execute(
        f"""COPY (
            SELECT * REPLACE (lower(trim(email)) AS email, event_time AT TIME ZONE 'UTC' AS event_time),
                CASE WHEN price > 50 THEN price * 0.1 END AS discount
            FROM read_json('{path}', format='newline_delimited', columns={{{columns}}})
            WHERE price IS NOT NULL AND price > 10
        ) TO '{out}/rows.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
    )


def fetched(peer: Callable[[str, str], Callable[[], Any]]) -> Callable[[str, str], Callable[[], Any]]:
    """A peer as a function would run it: the object to a file first, then the rows' file to S3."""

    def prepare(path: str, out: str) -> Callable[[], Any]:
        import boto3

        s3 = boto3.client("s3")
        name = Path(path).name
        work = peer(f"{out}-{name}", out)

        def run() -> None:
            s3.download_file("objects", name, f"{out}-{name}")
            work()
            with Path(out, "rows.parquet").open("rb") as rows:
                s3.put_object(Bucket="rows", Key=f"{os.getpid()}.parquet", Body=rows)

        return run

    return prepare


CONTESTANTS = {
    "millstream": millstream,
    "polars": polars,
    "duckdb": duckdb,
    "polars, fetched and sent": fetched(polars),
    "duckdb, fetched and sent": fetched(duckdb),
}


def peak() -> int:
    """Bytes. Not ru_maxrss where it can be helped: a process starts with that of the one which made it."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) << 10
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


def main(who: str, path: str, out: str) -> None:
    work = CONTESTANTS[who](path, out)
    started, used = time.perf_counter(), time.process_time()
    work()
    print(json.dumps([time.perf_counter() - started, time.process_time() - used, peak()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
