"""JSON to typed columns, schema given, text checked to be UTF-8, strings materialised: Millstream beside its peers."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import data
import duckdb
import orders
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.json as pj
import pytest
import simdjson
from contest import Bar, faster, rate
from measure import Run

from millstream import Column, Schema, decode_json

POLARS = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean, "timestamp[us, UTC]": pl.String}
DUCKDB = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "timestamp[us, UTC]": "TIMESTAMP"}


@dataclass(frozen=True)
class Case:
    """Records, the columns wanted of them (type and path), and what must be reached."""

    name: str
    records: list[bytes]
    columns: dict[str, tuple[str, tuple[str, ...]]]
    bars: list[Bar] = field(default_factory=list)

    @cached_property
    def lines(self) -> bytes:
        return b"\n".join(self.records) + b"\n"

    @cached_property
    def array(self) -> bytes:
        return b"[" + b",".join(self.records) + b"]"

    @cached_property
    def schema(self) -> Schema:
        return Schema({name: Column(kind, path=path) for name, (kind, path) in self.columns.items()})

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The paths as nested dicts with type names as leaves: the shape that peers are told."""
        tree: dict[str, Any] = {}
        for kind, path in self.columns.values():
            level = tree
            for key in path[:-1]:
                level = level.setdefault(key, {})
            level[path[-1]] = kind
        return tree

    def millstream(self) -> Any:
        return decode_json(self.lines, self.schema)[0]

    def millstream_records(self) -> Any:
        return decode_json(self.records, self.schema)[0]

    def pyarrow(self) -> Any:
        def arrow(tree: dict[str, Any]) -> list[pa.Field]:
            return [pa.field(key, pa.struct(arrow(one)) if isinstance(one, dict) else ARROW[one]) for key, one in tree.items()]

        read = pj.ReadOptions(use_threads=False, block_size=len(self.lines) + 1)
        parse = pj.ParseOptions(explicit_schema=pa.schema(arrow(self.tree)), unexpected_field_behavior="ignore")
        table = pj.read_json(pa.BufferReader(self.lines), read_options=read, parse_options=parse)
        while any(pa.types.is_struct(one.type) for one in table.schema):
            table = table.flatten()
        return pa.table({name: table[".".join(path)] for name, (_, path) in self.columns.items()})

    def polars(self) -> Any:
        def typed(tree: dict[str, Any]) -> dict[str, Any]:
            return {key: pl.Struct(typed(one)) if isinstance(one, dict) else POLARS[one] for key, one in tree.items()}

        frame = pl.read_ndjson(io.BytesIO(self.lines), schema=typed(self.tree))
        wanted = []
        for name, (kind, path) in self.columns.items():
            one = pl.col(path[0])
            for key in path[1:]:
                one = one.struct.field(key)
            if kind.startswith("timestamp"):
                one = one.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")
            wanted.append(one.alias(name))
        return frame.select(wanted)

    def duckdb_query(self, file: str) -> str:
        def typed(tree: dict[str, Any]) -> str:
            return ", ".join(
                f'"{key}" STRUCT({typed(one)})' if isinstance(one, dict) else f'"{key}" {DUCKDB[one]}'
                for key, one in tree.items()
            )

        columns = ", ".join(
            f"'{key}': '{f'STRUCT({typed(one)})' if isinstance(one, dict) else DUCKDB[one]}'" for key, one in self.tree.items()
        )
        wanted = ", ".join(".".join(f'"{key}"' for key in path) + f' AS "{name}"' for name, (_, path) in self.columns.items())
        return f"SELECT {wanted} FROM read_json('{file}', format='newline_delimited', columns={{{columns}}}, maximum_object_size=67108864)"

    def simdjson(self) -> Any:
        document = PARSER.parse(self.array)
        count = len(document)
        del document
        return count

    def orjson(self) -> Any:
        return [orjson.loads(record) for record in self.records]


ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
}
PARSER = simdjson.Parser()
PEERS = {
    "millstream": "millstream, JSON lines",
    "millstream_records": "millstream, a list of records",
    "pyarrow": "pyarrow",
    "polars": "polars",
    "duckdb": "duckdb",
    "simdjson": "simdjson, DOM alone, no columns (yardstick)",
    "orjson": "orjson, dicts alone, no columns (yardstick)",
}


def flat(columns: dict[str, str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {name: (kind, (name,)) for name, kind in columns.items()}


def many_orders() -> Case:
    bars = [rate(1, 0.6), faster(2, 0.5, "simdjson"), faster(2, 2.5, "duckdb"), faster(2, 4, "polars"), faster(2, 4, "pyarrow")]
    return Case("10,000 orders, 12 columns", orders.records(), flat(orders.SCHEMA), bars)


def wide() -> Case:
    return Case("wide: 60 keys, 12 wanted", data.wide(), flat(data.WIDE_WANTED), [faster(2, 3)])


def floats() -> Case:
    return Case("floats of 17 digits", data.floats(), flat({f"f{i}": "float64" for i in range(8)}), [faster(2, 2, "orjson")])


def webhooks() -> Case:
    try:
        records = data.webhooks()
    except OSError as error:
        pytest.skip(str(error))
    return Case("GitHub webhooks, 10 paths", records, data.WEBHOOK_PATHS, [faster(2, 3)])


def check(case: Case, runs: dict[str, Run]) -> None:
    """Nobody is fast by being wrong."""
    ours = pa.Table.from_batches([case.millstream()])
    assert pa.Table.from_batches([case.millstream_records()]).equals(ours)
    assert case.pyarrow().equals(ours)
    assert case.polars().to_arrow().cast(ours.schema).equals(ours)
    assert runs["duckdb"]().cast(ours.schema).equals(ours)
    assert ours.num_rows == len(case.records)


@pytest.mark.parametrize("made", [many_orders, wide, floats, webhooks])
def bench_decode_json(made: Callable[[], Case], contest: Any, in_memory: Any) -> None:
    case = made()
    database = duckdb.connect()
    database.execute("SET threads=1")
    query = case.duckdb_query(str(in_memory("lines.ndjson", case.lines)))  # DuckDB reads files
    runs: dict[str, Run] = {who: getattr(case, who) for who in PEERS if who != "duckdb"}
    runs["duckdb"] = lambda: database.sql(query).to_arrow_table()
    check(case, runs)
    contest(
        f"{case.name}: {len(case.records):,} records of ~{len(case.lines) // len(case.records):,} B",
        runs,
        names=PEERS,
        yardsticks=("simdjson", "orjson"),
        size=len(case.lines),
        bars=case.bars,
    )
