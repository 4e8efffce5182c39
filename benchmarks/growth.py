"""How cost grows: one thing at a time, from a little to a lot, Millstream beside its best peers. Plots, and the figures behind them.

    python benchmarks/growth.py [--out DIR] [--only NAME] [--clock wall|cpu] [--rounds N] [--png]

The whole path each time, from bytes to the bytes of a Parquet file, one thread, one core; everybody in turn, medians. Peers write the
same rows, which is checked at every point. Beside each curve stands its slope over the last decade: 1 is linear, less is cheaper.
"""

from __future__ import annotations

import measure

measure.one_thread_each()

import argparse
import io
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handlers
import polars as pl
import pyarrow as pa
import report

from millstream import Pipeline, Schema, col, lookup
from millstream.sinks.parquet import encode_batch

POLARS = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64}
DUCKDB = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE"}
ARROW = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
Runs = dict[str, measure.Run]


@dataclass(frozen=True)
class Axis:
    """One thing that grows: its name as a file has it, what the plot is called, the unit of x, its points, and the work at each."""

    name: str
    title: str
    unit: str
    points: tuple[int, ...]
    runs: Callable[[int], Runs]


# -- Lines of JSON to Parquet, of any columns -------------------------------------------------------------------------------


def lines_to_parquet(lines: bytes, columns: dict[str, str], keep: int | None = None) -> Runs:
    """The work, with a filter `n < keep` where one is asked for. Plans are made before."""
    pipeline = Pipeline(Schema(columns), name="growth")
    if keep is not None:
        pipeline = pipeline.filter(col("n") < keep)
    pipeline.run(lines)

    def polars() -> bytes:
        frame = pl.read_ndjson(lines, schema={name: POLARS[kind] for name, kind in columns.items()}).lazy()
        if keep is not None:
            frame = frame.filter(pl.col("n") < keep)
        out = io.BytesIO()
        frame.collect().write_parquet(out, compression="zstd", compression_level=1)
        return out.getvalue()

    named = ", ".join(f"{name}: '{DUCKDB[kind]}'" for name, kind in columns.items())
    chosen = "" if keep is None else f" WHERE n < {keep}"
    query = f"""COPY (SELECT * FROM read_json('memory://growth.ndjson', format='newline_delimited', columns={{{named}}},
        maximum_object_size=67108864){chosen}) TO 'memory://growth.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
    database = handlers.database()

    def duckdb() -> bytes:
        handlers.MEMORY.pipe_file("/growth.ndjson", lines)
        database.execute(query)
        return handlers.MEMORY.cat_file("/growth.parquet")

    read = handlers.pj.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    schema = pa.schema([(name, ARROW[kind]) for name, kind in columns.items()])
    parse = handlers.pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")

    def pyarrow() -> pa.Buffer:
        table = handlers.pj.read_json(pa.BufferReader(lines), read_options=read, parse_options=parse)
        if keep is not None:
            table = table.filter(handlers.pc.less(table["n"], keep))
        out = pa.BufferOutputStream()
        handlers.pq.write_table(table, out, compression="zstd")
        return out.getvalue()

    return {
        "millstream": lambda: encode_batch(pipeline.run(lines).batch, {}),
        "polars": polars,
        "duckdb": duckdb,
        "pyarrow": pyarrow,
    }


def dumped(rows: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def of_records(count: int) -> Runs:
    """Kinesis batches; peers as in handlers.py."""
    batch = handlers.kinesis(count, [])
    runs = batch.runs()
    return {who: runs[who] for who in ("millstream", "polars", "duckdb_copy", "pyarrow", "msgspec")}


def of_size(size: int) -> Runs:
    """200 records of so many bytes: a number, a short text, and a note that fills them up."""
    draw = random.Random(size)
    rows = (
        {"n": i, "s": f"{draw.getrandbits(40):010x}", "note": "".join(draw.choices("abcdefgh ", k=max(size - 45, 1)))}
        for i in range(200)
    )
    return lines_to_parquet(dumped(rows), {"n": "int64", "s": "string", "note": "string"})


def of_columns(count: int) -> Runs:
    """1,000 records of so many columns, a third each of integers, floats, texts."""
    draw = random.Random(count)
    kinds = ("int64", "float64", "string")
    columns = {f"c{i}": kinds[i % 3] for i in range(count)}
    make = {
        "int64": lambda: draw.randrange(10**6),
        "float64": lambda: round(draw.uniform(0, 1000), 3),
        "string": lambda: f"value {draw.getrandbits(20):x}",
    }
    return lines_to_parquet(dumped({name: make[kind]() for name, kind in columns.items()} for _ in range(1000)), columns)


def of_selectivity(share: int) -> Runs:
    """20,000 records of 5 columns, of which so many of a hundred are kept."""
    draw = random.Random(1)
    rows = (
        {
            "n": draw.randrange(100),
            "i": i,
            "x": round(draw.uniform(0, 1000), 3),
            "s": f"value {draw.getrandbits(24):x}",
            "t": "text " * 20,
        }
        for i in range(20_000)
    )
    return lines_to_parquet(dumped(rows), {"n": "int64", "i": "int64", "x": "float64", "s": "string", "t": "string"}, share)


def of_lookup(known: int) -> Runs:
    """100,000 rows joined to so many rows by a number, of which nine of ten are known; no Parquet: the join alone."""
    draw = random.Random(known)
    keys = draw.sample(range(1 << 40), known)
    picked = [draw.choice(keys) if draw.random() < 0.9 else draw.randrange(1 << 40) for _ in range(100_000)]
    rows = pa.record_batch({"k": pa.array(picked), "x": pa.array(range(len(picked)))})
    table = pa.table(
        {"k": pa.array(keys), "tier": pa.array(range(known)), "name": pa.array([f"name {at}" for at in range(known)])}
    )
    pipeline = Pipeline({"k": "int64", "x": "int64"}).join(lookup(table, key="k"), on="k")
    left, right = pl.DataFrame(rows), pl.DataFrame(table)
    database = handlers.duckdb.connect()
    database.execute("SET threads=1")
    database.register("l", pa.Table.from_batches([rows]))
    database.register("r", table)
    database.execute("CREATE TABLE left_side AS FROM l; CREATE TABLE right_side AS FROM r")
    return {
        "millstream": lambda: pipeline.run(rows).batch,
        "polars": lambda: left.join(right, on="k", how="left"),
        "duckdb": lambda: database.sql(
            "SELECT l.*, tier, name FROM left_side l LEFT JOIN right_side r USING (k)"
        ).to_arrow_table(),
    }


AXES = (
    Axis(
        "records",
        "A Kinesis batch, event to Parquet, by its records of 400 bytes",
        "records a batch",
        (10, 30, 100, 300, 1000, 2500, 5000),
        of_records,
    ),
    Axis(
        "size",
        "200 records, JSON lines to Parquet, by their size",
        "bytes a record",
        (100, 300, 1000, 3000, 10_000, 30_000, 100_000),
        of_size,
    ),
    Axis("columns", "1,000 records, JSON lines to Parquet, by their columns", "columns", (5, 10, 20, 50, 100, 200), of_columns),
    Axis(
        "selectivity",
        "20,000 records, JSON lines to Parquet, by the share that a filter keeps",
        "% of records kept",
        (1, 3, 10, 30, 60, 100),
        of_selectivity,
    ),
    Axis(
        "lookup",
        "100,000 rows joined by an integer, by the rows of the lookup",
        "rows of the lookup",
        (1000, 10_000, 100_000, 1_000_000),
        of_lookup,
    ),
)
COLOURS = {
    "millstream": "#c2410c",
    "polars": "#1d4ed8",
    "duckdb": "#a16207",
    "duckdb_copy": "#a16207",
    "pyarrow": "#047857",
    "msgspec": "#6b21a8",
}


def same(runs: Runs) -> None:
    """Everybody makes the same rows."""

    def rows(made: Any) -> pa.Table:
        if isinstance(made, pa.RecordBatch):
            made = pa.Table.from_batches([made])
        elif isinstance(made, pl.DataFrame):
            made = made.to_arrow()
        elif not isinstance(made, pa.Table):
            made = handlers.pq.read_table(pa.BufferReader(made))
        texts = (pa.large_string(), pa.string_view())
        plain = [one.cast(pa.string()) if one.type in texts else one for one in made.columns]
        made = pa.table(plain, made.column_names)
        return made.sort_by(made.column_names[0] if "x" not in made.column_names else "x")

    wanted = rows(runs["millstream"]())
    for who, run in runs.items():
        found = rows(run()).select(wanted.column_names)
        if not found.cast(wanted.schema).equals(wanted):
            raise SystemExit(f"{who} makes other rows than millstream")


def slope(points: list[tuple[int, float]]) -> float:
    """By how much of a decade cost grows over the last decade of x."""
    (first, low), (last, high) = next(one for one in points if one[0] * 10 >= points[-1][0]), points[-1]
    return math.log(high / low) / math.log(last / first)


def measured(axis: Axis, rounds: int, clock: Callable[[], float]) -> dict[str, list[tuple[int, float]]]:
    """Seconds of everybody at every point."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for point in axis.points:
        runs = axis.runs(point)
        if axis.name != "records":  # handlers.check does that of batches, by rows worked out in plain Python
            same(runs)
        else:
            handlers.check(handlers.kinesis(point, []), runs)
        for who, seconds in measure.medians(runs, rounds, settle=True, clock=clock).items():
            curves.setdefault(who, []).append((point, seconds))
        print(
            f"  {point:>9,}  " + "  ".join(f"{who} {report.seconds(made[-1][1])}" for who, made in curves.items()), flush=True
        )
    return curves


def tick(value: float, _: int = 0) -> str:
    """Seconds as an axis has them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size * 0.999:
            return f"{value / size:g} {unit}"
    return f"{value:g} s"


def plot(axis: Axis, about: dict[str, Any], files: list[Path]) -> None:
    """about: what `main` keeps of a run over the axis."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "millstream"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    import matplotlib.pyplot as plt

    curves = {who: [tuple(pair) for pair in points] for who, points in about["curves"].items()}
    figure, axes = plt.subplots(figsize=(8, 5.2), layout="constrained")
    for who, points in curves.items():
        ours = who == "millstream"
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            markersize=5 if ours else 4,
            linewidth=2.4 if ours else 1.4,
            color=COLOURS[who],
            label=f"{'Millstream' if ours else who.removesuffix('_copy')}, slope {slope(points):.2f}",
        )
    (start, _), *_, (last, seconds) = curves["millstream"]
    line = [start, last], [seconds * start / last, seconds]
    axes.plot(*line, linestyle=":", color="#737373", linewidth=1.2, label="slope 1: linear")
    low, high = (pick(one for points in curves.values() for _, one in points) for pick in (min, max))
    ticks = [unit * 10.0**power for power in range(-6, 3) for unit in (1, 2, 5)]
    axes.set(xscale="log", yscale="log", xlabel=axis.unit, ylabel=about["counted"], title=axis.title)
    axes.set_ylim(low / 1.3, high * 1.3)
    axes.set_yticks([one for one in ticks if low / 1.3 <= one <= high * 1.3])
    axes.yaxis.set_major_formatter(tick)
    axes.set_xticks(axis.points, [f"{one:,}" for one in axis.points])
    axes.minorticks_off()
    axes.grid(visible=True, which="major", color="#e5e5e5")
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9, title="slope: over the last decade of x")
    for file in files:
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description="how cost grows, as plots")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", choices=[axis.name for axis in AXES])
    parser.add_argument("--clock", choices=tuple(measure.CLOCKS), default="wall")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--png", action="store_true", help="PNG too, to look at")
    parser.add_argument("--again", action="store_true", help="plot the figures of the last run, measure nothing")
    chosen = parser.parse_args()
    measure.native()
    pa.set_cpu_count(1)
    measure.one_core()
    chosen.out.mkdir(parents=True, exist_ok=True)
    kept = chosen.out / "growth.json"
    told: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    counted = {"wall": "time, medians", "cpu": "the processor's time, medians"}[chosen.clock]
    for axis in AXES:
        if chosen.only in (None, axis.name):
            if not chosen.again:
                print(f"{axis.title}, {axis.unit}:", flush=True)
                curves = measured(axis, chosen.rounds, measure.CLOCKS[chosen.clock])
                told[axis.name] = {
                    "about": report.header(chosen.clock),
                    "counted": counted,
                    "rounds": chosen.rounds,
                    "curves": curves,
                }
                kept.write_text(json.dumps(told, indent=1) + "\n")
            files = [chosen.out / f"growth-{axis.name}{suffix}" for suffix in (".svg", *([".png"] if chosen.png else []))]
            plot(axis, told[axis.name], files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
