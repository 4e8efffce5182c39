"""A large object to Parquet: 200 MB of JSON lines, plain and gzip, from S3 by `millstream.aws.s3_handler`, rows put back there.

S3 is a server on this machine, in a process of its own on another core (`loopback.py`); the handler's client is boto3, as ever.
Peers read the same bytes from a local file and write another, which favours them: nobody sends them, and what they write
goes nowhere. Beside it they do what a function would have to: boto3 fetches the object to a file, and sends theirs.

Every run is a process of its own, kept to one core: seconds are those of the work, without imports; memory is the most that
the process ever held, all in all, with the pages of a file that it maps.
"""

from __future__ import annotations

import measure

measure.one_thread_each()

import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import events
import loopback
import orders

BARS = [("polars", 3.0), ("duckdb", 3.0), ("polars, fetched and sent", 3.0), ("duckdb, fetched and sent", 3.0)]
PEAK_MB = 200
ROUNDS = 3
POLARS = {"int64": "Int64", "float64": "Float64", "bool": "Boolean"}  # all else is read as a string
DUCKDB = {"int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "string": "VARCHAR", "timestamp[us, UTC]": "TIMESTAMP"}

# Each gives the work, ready to be done: what is imported and planned before is not timed. Peers write to the folder `out`,
# the handler to the bucket that is called so.


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


def child(who: str, path: str, out: str) -> None:
    work = CONTESTANTS[who](path, out)
    started, used = time.perf_counter(), time.process_time()
    work()
    print(json.dumps([time.perf_counter() - started, time.process_time() - used, peak()]))


def run(who: str, path: Path, out: Path, s3: dict[str, str]) -> tuple[float, float, int]:
    """Seconds, seconds of the processor, and bytes of one run in a process of its own. s3: the environment that leads there."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, who, path, out]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | s3)
    seconds, used, held = json.loads(done.stdout.splitlines()[-1])
    return seconds, used, held


def rows(out: Path) -> Any:
    """What was written, file by file in the order of their numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = {"string": pa.string(), "timestamp[us, UTC]": pa.timestamp("us", "UTC"), "int64": pa.int64(), "bool": pa.bool_()}
    schema = pa.schema([(name, plain.get(kind, pa.float64())) for name, kind in {**orders.SCHEMA, "discount": ""}.items()])
    files = sorted(out.rglob("*.parquet"), key=lambda one: [int(part) for part in one.stem.split("-")[1:]])
    read = [pq.read_table(one).select(schema.names).cast(schema) for one in files]
    return pa.concat_tables(read).combine_chunks()


def table(title: str, size: int, runs: dict[str, list[tuple[float, float, int]]]) -> str:
    """As `measure.table`, with the processor's time, which a busy machine sways less, and the most memory of all runs."""
    taken, used = ({who: statistics.median(one[i] for one in done) for who, done in runs.items()} for i in (0, 1))
    ours = taken["millstream"]
    lines = [f"{title:<60} {'median':>10} {'rate':>11} {'times ours':>11} {'cpu':>8} {'peak':>9}"]
    for who, seconds in sorted(taken.items(), key=lambda pair: pair[1]):
        rate, held = f"{size / seconds / 1e9:>6.3f} GB/s", max(one[2] for one in runs[who])
        lines.append(f"  {who:<58} {seconds:>8.2f} s {rate} {seconds / ours:>11.2f} {used[who]:>6.2f} s {held / 1e6:>6.0f} MB")
    for peer, bar in BARS:
        reached = taken[peer] / ours
        lines.append(f"  bar {bar:g} x {peer}: {'met' if reached >= bar else 'MISSED'} with {reached:.2f}")
    return "\n".join(lines)


def main() -> None:
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > 2 << 30
    with tempfile.TemporaryDirectory(dir=shared if roomy else None) as place, loopback.serving(Path(place)) as s3:
        measure.one_core()
        plain, packed = Path(place, "orders.ndjson"), Path(place, "orders.ndjson.gz")
        with plain.open("wb") as file, gzip.open(packed, "wb", 6) as archive:
            for seed in range(5):
                lines = b"\n".join(orders.records(100_000, seed)) + b"\n"
                file.write(lines)
                archive.write(lines)
        size = plain.stat().st_size
        wanted = None
        for path, title in ((plain, "JSON lines"), (packed, "gzip")):
            runs: dict[str, list[tuple[float, float, int]]] = {who: [] for who in CONTESTANTS}
            for one in range(ROUNDS):
                out = Path(place, "out" if one else loopback.KEPT)
                for who in CONTESTANTS:
                    runs[who].append(run(who, path, out, s3))
                    if one == 0:
                        found = rows(out)
                        wanted = found if wanted is None else wanted
                        if not len(found) or not found.equals(wanted):
                            raise SystemExit(f"{path.name}: {who} writes other rows than millstream")
            print()
            print(table(f"an object of {path.stat().st_size / 1e6:.0f} MB, {title}", size, runs), flush=True)
            with path.open("ab") as file:
                file.write(path.read_bytes())
            twice = run("millstream", path, out, s3)[2]
            most = max(held for _, _, held in runs["millstream"])
            said = "met" if max(most, twice) <= PEAK_MB * 1e6 else "MISSED"
            print(
                f"  bar {PEAK_MB} MB of memory: {said} with {most / 1e6:.0f} MB, and {twice / 1e6:.0f} MB for twice as much text"
            )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        child(*sys.argv[1:])
    else:
        main()
