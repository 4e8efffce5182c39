"""The work of one cold start, in a process of its own: `bench_cold.py` runs it with bare interpreters, which have no more than this.

    python -I -S cold_work.py WHO EVENT OUT FOLDER...      # the folders to import from

Prints seconds from the first line to the end of the work, those of the processor, and the memory that is resident then, in bytes, as
JSON.
"""

import time

STARTED, USED = time.perf_counter(), time.process_time()

import sys

SCHEMA = {
    "order_id": "string",
    "customer_id": "int64",
    "email": "string",
    "price": "float64",
    "quantity": "int64",
    "currency": "string",
    "country": "string",
    "event_time": "timestamp[us, UTC]",
    "tags": "list<string>",
    "is_gift": "bool",
    "note": "string",
}
PATHS = {"session_id": ("session", "id"), "user_agent": ("session", "ua")}


def pyarrow_parquet(event: str, out: str) -> None:
    import pyarrow.parquet  # noqa: F401


def _pipeline():  # type: ignore[no-untyped-def]
    from millstream import Column, Pipeline, Schema, col, when

    columns = SCHEMA | {name: Column("string", path=path) for name, path in PATHS.items()}
    return (
        Pipeline(Schema(columns), name="orders")
        .drop_nulls("price")
        .filter(col("price") > 10)
        .with_columns(
            col("email").str.strip_chars().str.to_lowercase(), discount=when(col("price") > 50).then(col("price") * 0.1)
        )
    )


def write_spec(event: str, out: str) -> None:
    """The same pipeline as YAML, into a file."""
    import yaml

    with open(out, "w", encoding="utf-8") as file:
        yaml.safe_dump(_pipeline().to_spec(), file, sort_keys=False)


def _run(handler, event: str) -> None:  # type: ignore[no-untyped-def]
    with open(event, "rb") as file:
        answer = handler(file.read(), None)
    assert answer == {"batchItemFailures": []}, answer


def millstream(event: str, out: str) -> None:
    """Rows to a folder. `out` may be in S3 as well."""
    from millstream.aws import kinesis_handler

    _run(kinesis_handler(_pipeline(), sink=f"{out}/rows", rejects=f"{out}/rejects"), event)


def millstream_yaml(event: str, out: str) -> None:
    """No Python of one's own: all settings by the environment."""
    import importlib

    _run(importlib.import_module("millstream.aws.entry").kinesis, event)


def millstream_table(event: str, out: str) -> None:
    """An object of S3 to S3, with a table of DynamoDB that keeps what was done."""
    from millstream.aws import s3_handler

    with open(event, "rb") as file:
        s3_handler(_pipeline(), sink=f"{out}/rows", rejects=f"{out}/rejects", ledger="dynamodb://done")(file.read(), None)


def _payloads(event: str) -> list[bytes]:
    import base64
    import json

    with open(event, "rb") as file:
        records = json.loads(file.read())["Records"]
    return [base64.b64decode(record["kinesis"]["data"]) for record in records]


def polars(event: str, out: str) -> None:
    import io

    import polars as pl

    kinds = {"int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean, "list<string>": pl.List(pl.String)}
    schema = {name: kinds.get(kind, pl.String) for name, kind in SCHEMA.items()}
    schema["session"] = pl.Struct({"id": pl.String, "ua": pl.String})
    price = pl.col("price")
    rows = (
        pl.read_ndjson(io.BytesIO(b"\n".join(_payloads(event))), schema=schema)
        .drop_nulls("price")
        .filter(price > 10)
        .with_columns(
            pl.col("email").str.strip_chars().str.to_lowercase(),
            pl.col("event_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"),
            pl.when(price > 50).then(price * 0.1).alias("discount"),
            session_id=pl.col("session").struct.field("id"),
            user_agent=pl.col("session").struct.field("ua"),
        )
        .drop("session")
    )
    rows.write_parquet(f"{out}.parquet", compression="zstd", compression_level=1)


def awswrangler(event: str, out: str) -> None:
    """As its users write it: rows of dicts, a DataFrame, a file."""
    import json

    import awswrangler  # noqa: F401 (it writes to S3 alone; here pandas, which it brings, writes to the folder)
    import pandas as pd

    rows = pd.DataFrame([json.loads(one) for one in _payloads(event)])
    rows = rows[rows["price"].notna() & (rows["price"] > 10)].copy()
    rows["email"] = rows["email"].str.strip().str.lower()
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True)
    rows["discount"] = (rows["price"] * 0.1).where(rows["price"] > 50)
    rows["session_id"] = [one["id"] for one in rows["session"]]
    rows["user_agent"] = [one["ua"] for one in rows["session"]]
    rows.drop(columns="session").to_parquet(f"{out}.parquet", compression="zstd")


def clients_s3(event: str, out: str) -> None:
    import boto3
    import pyarrow.parquet  # noqa: F401

    boto3.client("s3")


def clients_both(event: str, out: str) -> None:
    import boto3
    import pyarrow.parquet  # noqa: F401

    boto3.client("s3")
    boto3.client("dynamodb")


def main() -> None:
    who, event, out, *folders = sys.argv[1:]
    sys.path[:0] = folders
    globals()[who](event, out)
    seconds, used = time.perf_counter() - STARTED, time.process_time() - USED
    with open("/proc/self/status", encoding="ascii") as file:
        resident = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))
    print(f"\n[{seconds}, {used}, {resident}]")


if __name__ == "__main__":
    main()
