"""Whole handlers: from an event's bytes, as the Lambda Runtime API gives them, to the bytes of a Parquet file, on one core.

Peers are handed what the stock runtime client hands them, the event read by simplejson; Millstream's handlers take the bytes.
Each peer's base64, JSON and Parquet are the fastest that were found for it and are sound; its schema and its plans are made
before. Nothing is written to a disk. Millstream's log lines are made at the usual level and go to a StringIO.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import duckdb
import events
import fsspec
import measure
import msgspec
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
import simplejson
from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.deaggregator import iter_deaggregate_records
from aws_kinesis_agg.deaggregator import messages_pb2 as kpl
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from contest import Bar, faster
from pybase64 import b64decode

import millstream.aws as millstream_aws
from millstream import Column, Pipeline, Schema, col, when
from millstream.sinks.store import Stored

ROWS = pa.schema(
    {
        "order_id": pa.string(),
        "customer_id": pa.int64(),
        "email": pa.string(),
        "price": pa.float64(),
        "quantity": pa.int64(),
        "currency": pa.string(),
        "country": pa.string(),
        "event_time": pa.timestamp("us", "UTC"),
        "session_id": pa.string(),
        "user_agent": pa.string(),
        "tags": pa.list_(pa.string()),
        "is_gift": pa.bool_(),
        "note": pa.string(),
        "discount": pa.float64(),
    }
)
"""What every contestant writes: orders with a price above 10, addresses tidied, a discount above 50."""

# -- Millstream ------------------------------------------------------------------------------------------------------------

PATHS = {"session_id": ("session", "id"), "user_agent": ("session", "ua")}
SCHEMA = Schema(
    {
        "order_id": "string",
        "customer_id": "int64",
        "email": "string",
        "price": "float64",
        "quantity": "int64",
        "currency": "string",
        "country": "string",
        "event_time": "timestamp[us, UTC]",
        "session_id": Column("string", path=PATHS["session_id"]),
        "user_agent": Column("string", path=PATHS["user_agent"]),
        "tags": "list<string>",
        "is_gift": "bool",
        "note": "string",
    }
)
PIPELINE = (
    Pipeline(SCHEMA, name="orders")
    .drop_nulls("price")
    .filter(col("price") > 10)
    .with_columns(col("email").str.strip_chars().str.to_lowercase(), discount=when(col("price") > 50).then(col("price") * 0.1))
)


class MemoryStore:
    """A sink that keeps the last object put into it."""

    body: Any = None

    url, threads = "memory:", 1

    def put(self, name: str, body: Any, *rest: Any, **more: Any) -> Stored:
        self.body = body
        return Stored(name, memoryview(body).nbytes, True)


def millstream(kind: str, event: bytes) -> measure.Run:
    """The handler `millstream.aws.<kind>` of one event, writing to memory. Its folders are names only: nothing is put there."""
    place = tempfile.gettempdir()
    make = getattr(millstream_aws, kind)
    handler = make(PIPELINE, sink=f"{place}/millstream-bench/rows", rejects=f"{place}/millstream-bench/rejects")
    handler.sink, handler.rejects = MemoryStore(), MemoryStore()

    def run() -> Any:
        answer = handler(event, None)
        assert answer == {"batchItemFailures": []}, answer
        return handler.sink.body

    with contextlib.redirect_stdout(io.StringIO()):  # where the logger is made: it keeps the stream that it finds
        run()
    return run


# -- From an event to payloads ---------------------------------------------------------------------------------------------


def of_kinesis(event: Any) -> list[bytes]:
    return [b64decode(record["kinesis"]["data"], validate=True) for record in event["Records"]]


def of_aggregates(event: Any) -> list[bytes]:
    """Aggregated records unpacked by protobuf's own C parser; what is none, or does not match its digest, is a record itself."""
    payloads: list[bytes] = []
    for data in of_kinesis(event):
        body = memoryview(data)[4:-16]
        if data[:4] == MAGIC and hashlib.md5(body).digest() == data[-16:]:
            payloads += [record.data for record in kpl.AggregatedRecord.FromString(body).records]
        else:
            payloads.append(data)
    return payloads


def of_sqs(event: Any) -> list[str]:
    return [record["body"] for record in event["Records"]]


def lines(payloads: list[Any]) -> bytes:
    """As JSON lines."""
    return b"\n".join(payloads) if isinstance(payloads[0], bytes) else "\n".join(payloads).encode()


# -- Peers: from payloads to Parquet ---------------------------------------------------------------------------------------


FEW_VALUES = ["quantity", "currency", "country", "user_agent", "tags.list.element", "note"]


def encode(table: pa.Table) -> pa.Buffer:
    """As one who knows the data would: dictionaries only where values repeat take half the time of dictionaries everywhere."""
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd", use_dictionary=FEW_VALUES)
    return out.getvalue()


POLARS = {
    "order_id": pl.String,
    "customer_id": pl.Int64,
    "email": pl.String,
    "price": pl.Float64,
    "quantity": pl.Int64,
    "currency": pl.String,
    "country": pl.String,
    "event_time": pl.String,
    "session": pl.Struct({"id": pl.String, "ua": pl.String}),
    "tags": pl.List(pl.String),
    "is_gift": pl.Boolean,
    "note": pl.String,
}
_PRICE = pl.col("price")
_SHAPED = {
    "email": pl.col("email").str.strip_chars().str.to_lowercase(),
    "event_time": pl.col("event_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"),
    "session_id": pl.col("session").struct.field("id").alias("session_id"),
    "user_agent": pl.col("session").struct.field("ua").alias("user_agent"),
    "discount": pl.when(_PRICE > 50).then(_PRICE * 0.1).alias("discount"),
}


def _polars(frame: pl.DataFrame) -> bytes:
    wanted = [_SHAPED.get(name, pl.col(name)) for name in ROWS.names]
    out = io.BytesIO()
    shaped = frame.lazy().drop_nulls("price").filter(_PRICE > 10).select(wanted).collect()
    shaped.write_parquet(out, compression="zstd", compression_level=1)
    return out.getvalue()


def polars_lines(payloads: list[Any]) -> bytes:
    return _polars(pl.read_ndjson(lines(payloads), schema=POLARS))


def polars_strings(payloads: list[Any]) -> bytes:
    """As one column of strings, which `str.json_decode` reads."""
    texts = pl.Series(payloads, dtype=pl.Binary if isinstance(payloads[0], bytes) else pl.String).cast(pl.String)
    return _polars(texts.str.json_decode(pl.Struct(POLARS)).struct.unnest())


def polars_base64(event: Any) -> bytes:
    """The same for Kinesis, the base64 read by Polars too."""
    texts = pl.Series([record["kinesis"]["data"] for record in event["Records"]], dtype=pl.String)
    return _polars(texts.str.decode("base64").cast(pl.String).str.json_decode(pl.Struct(POLARS)).struct.unnest())


MEMORY = fsspec.filesystem("memory")


@functools.cache
def database() -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect()
    opened.register_filesystem(MEMORY)
    opened.execute("SET threads=1; SET TimeZone='UTC'")
    return opened


QUERY = """SELECT order_id, customer_id, lower(trim(email)) AS email, price, quantity, currency, country,
    event_time AT TIME ZONE 'UTC' AS event_time, session.id AS session_id, session.ua AS user_agent, tags, is_gift, note,
    CASE WHEN price > 50 THEN price * 0.1 END AS discount
FROM read_json('memory://lines.ndjson', format='newline_delimited', columns={order_id: 'VARCHAR', customer_id: 'BIGINT',
    email: 'VARCHAR', price: 'DOUBLE', quantity: 'BIGINT', currency: 'VARCHAR', country: 'VARCHAR', event_time: 'TIMESTAMP',
    session: 'STRUCT(id VARCHAR, ua VARCHAR)', tags: 'VARCHAR[]', is_gift: 'BOOLEAN', note: 'VARCHAR'})
WHERE price IS NOT NULL AND price > 10"""


def duckdb_arrow(payloads: list[Any]) -> pa.Buffer:
    """Lines as a file in memory, the result as an Arrow table that pyarrow writes."""
    MEMORY.pipe_file("/lines.ndjson", lines(payloads))
    return encode(database().sql(QUERY).to_arrow_table())


def duckdb_copy(payloads: list[Any]) -> bytes:
    """Lines as a file in memory, and DuckDB's own Parquet in another."""
    MEMORY.pipe_file("/lines.ndjson", lines(payloads))
    database().execute(f"COPY ({QUERY}) TO 'memory://rows.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
    return MEMORY.cat_file("/rows.parquet")


_SESSION = pa.struct({"id": pa.string(), "ua": pa.string()})
ARROW = pa.schema([(one.name, one.type) for one in ROWS if one.name not in (*PATHS, "discount")] + [("session", _SESSION)])
TEXT = ARROW.set(ARROW.get_field_index("event_time"), pa.field("event_time", pa.string()))
FIFTY, TENTH, TEN = pa.scalar(50.0), pa.scalar(0.1), pa.scalar(10.0)


def _arrow(table: pa.Table) -> pa.Buffer:
    """Rows above 10 to Parquet."""
    price = table["price"]
    made = {
        "email": pc.utf8_lower(pc.utf8_trim_whitespace(table["email"])),
        "event_time": table["event_time"].cast(pa.timestamp("us", "UTC")),
        "session_id": pc.struct_field(table["session"], 0),
        "user_agent": pc.struct_field(table["session"], 1),
        "discount": pc.if_else(pc.greater(price, FIFTY), pc.multiply(price, TENTH), None),
    }
    return encode(pa.table([made[name] if name in made else table[name] for name in ROWS.names], ROWS.names))


def pyarrow(payloads: list[Any]) -> pa.Buffer:
    text = lines(payloads)
    read = pj.ReadOptions(use_threads=False, block_size=len(text) + 1)
    parse = pj.ParseOptions(explicit_schema=ARROW, unexpected_field_behavior="ignore")
    table = pj.read_json(pa.BufferReader(text), read_options=read, parse_options=parse)
    return _arrow(table.filter(pc.greater(table["price"], TEN)))  # a null is dropped too


def orjson_dicts(payloads: list[Any]) -> pa.Buffer:
    loads = orjson.loads
    kept = [row for row in map(loads, payloads) if row["price"] is not None and row["price"] > 10]
    return _arrow(pa.Table.from_pylist(kept, TEXT))


class Session(msgspec.Struct, gc=False):
    id: str
    ua: str


class Order(msgspec.Struct, gc=False):
    order_id: str
    customer_id: int
    email: str
    price: float | None
    quantity: int
    currency: str
    country: str
    event_time: str
    session: Session
    tags: list[str]
    is_gift: bool
    note: str


ORDERS = msgspec.json.Decoder(Order)


def msgspec_structs(payloads: list[Any]) -> pa.Buffer:
    """Structs, a list for each column, Arrow arrays of them."""
    kept = [row for row in ORDERS.decode_lines(lines(payloads)) if row.price is not None and row.price > 10]
    columns = [
        pa.array([getattr(row, one.name) for row in kept], one.type)
        if one.name != "session"
        else pa.StructArray.from_arrays(
            [pa.array([row.session.id for row in kept]), pa.array([row.session.ua for row in kept])], ["id", "ua"]
        )
        for one in TEXT
    ]
    return _arrow(pa.table(columns, TEXT))


# -- Powertools, as its documentation shows: a record handler, one record at a time ------------------------------------------


def powertools(kind: EventType) -> Callable[[Any], pa.Buffer]:
    processor = BatchProcessor(event_type=kind)
    rows: list[dict[str, Any]] = []

    def record_handler(record: Any) -> None:
        order = record.json_body if kind is EventType.SQS else record.kinesis.data_as_json()
        price = order["price"]
        if price is None or price <= 10:
            return
        order["email"] = order["email"].strip().lower()
        order["session_id"], order["user_agent"] = order["session"]["id"], order["session"]["ua"]
        order["discount"] = price * 0.1 if price > 50 else None
        rows.append(order)

    def run(event: Any) -> pa.Buffer:
        rows.clear()
        answer = process_partial_response(event=event, record_handler=record_handler, processor=processor)
        assert answer == {"batchItemFailures": []}, answer
        table = pa.Table.from_pylist(rows, ROWS.set(ROWS.get_field_index("event_time"), pa.field("event_time", pa.string())))
        return encode(table.cast(ROWS))

    return run


def powertools_aggregated(event: Any) -> pa.Buffer:
    """Unpacked before by the library that AWS offers for it."""
    return _powertools_kinesis({"Records": list(iter_deaggregate_records(event["Records"]))})


_powertools_kinesis = powertools(EventType.KinesisDataStreams)

# -- The batches -----------------------------------------------------------------------------------------------------------

NAMES = {
    "millstream": "millstream",
    "polars": "polars, json_decode of strings",
    "polars_base64": "polars, its own base64, json_decode of strings",
    "polars_lines": "polars, read_ndjson of lines",
    "duckdb": "duckdb, read_json of lines, pyarrow's Parquet",
    "duckdb_copy": "duckdb, read_json of lines, its own Parquet",
    "pyarrow": "pyarrow, read_json of lines",
    "orjson": "orjson, dicts, pyarrow",
    "msgspec": "msgspec, structs, pyarrow",
    "powertools": "Powertools, BatchProcessor, pyarrow",
    "simplejson": "simplejson, the event read, nothing else (yardstick)",
    "parquet": "pyarrow's Parquet of the rows, nothing else (yardstick)",
}
YARDSTICKS = ("simplejson", "parquet")
PEERS = {
    "polars": polars_strings,
    "polars_lines": polars_lines,
    "duckdb": duckdb_arrow,
    "duckdb_copy": duckdb_copy,
    "pyarrow": pyarrow,
    "orjson": orjson_dicts,
    "msgspec": msgspec_structs,
}


@dataclass(frozen=True)
class Batch:
    """An event, who takes it, and what must be reached. whole: peers that begin with the event instead of its payloads."""

    name: str
    records: list[bytes]
    event: bytes
    handler: str
    payloads: Callable[[Any], list[Any]]
    whole: dict[str, Callable[[Any], Any]]
    bars: list[Bar] = field(default_factory=list)

    def runs(self) -> dict[str, measure.Run]:
        def peer(write: Callable[[Any], Any]) -> measure.Run:
            return lambda: write(self.payloads(simplejson.loads(self.event)))

        def whole(run: Callable[[Any], Any]) -> measure.Run:
            return lambda: run(simplejson.loads(self.event))

        return (
            {"millstream": millstream(self.handler, self.event)}
            | {name: peer(write) for name, write in PEERS.items()}
            | {name: whole(run) for name, run in self.whole.items()}
        )


_KINESIS = {"polars_base64": polars_base64, "powertools": _powertools_kinesis}


def kinesis(count: int, bars: list[Bar]) -> Batch:
    orders = events.orders(count)
    return Batch("Kinesis", orders, events.kinesis(orders), "kinesis_handler", of_kinesis, _KINESIS, bars)


def many() -> Batch:
    return kinesis(5000, [faster(3, 3), faster(3, 8, "powertools"), faster(3, 1, "simplejson")])


def few() -> Batch:
    return kinesis(100, [faster(3, 2)])


def aggregated() -> Batch:
    orders = events.orders(12_000)
    event, held = events.kinesis_aggregated(orders)
    whole = {"powertools": powertools_aggregated}
    return Batch("Kinesis, aggregated", orders[:held], event, "kinesis_handler", of_aggregates, whole, [faster(3, 3)])


def queued() -> Batch:
    orders = events.orders(1000)
    whole = {"powertools": powertools(EventType.SQS)}
    return Batch("SQS", orders, events.sqs(orders), "sqs_handler", of_sqs, whole, [faster(3, 3)])


# -- Nobody is fast by being wrong -----------------------------------------------------------------------------------------


def expected(records: list[bytes]) -> pa.Table:
    """The rows, worked out in plain Python."""
    kept = []
    for order in map(json.loads, records):
        if order["price"] is not None and order["price"] > 10:
            order["email"] = order["email"].strip().lower()
            order |= {name: order[outer][inner] for name, (outer, inner) in PATHS.items()}
            order["discount"] = order["price"] * 0.1 if order["price"] > 50 else None
            kept.append(order)
    text = ROWS.set(ROWS.get_field_index("event_time"), pa.field("event_time", pa.string()))
    return pa.Table.from_pylist(kept, text).cast(ROWS).sort_by("order_id")


def rows(parquet: Any) -> pa.Table:
    """The rows of a Parquet file, in order; all must be zstd."""
    file = pq.ParquetFile(pa.BufferReader(parquet))
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    assert all(group.column(i).compression == "ZSTD" for group in groups for i in range(group.num_columns))
    return file.read().select(ROWS.names).cast(ROWS).replace_schema_metadata(None).sort_by("order_id")


def check(batch: Batch, runs: dict[str, measure.Run]) -> None:
    wanted = expected(batch.records)
    assert 0 < len(wanted) < len(batch.records)
    for name, run in runs.items():
        if not rows(run()).equals(wanted):
            raise SystemExit(f"{batch.name}: {NAMES[name]} writes other rows")
