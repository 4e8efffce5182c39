"""Joining a million rows to a lookup: by an int64 key, by text, by both; and finding ranges. Beside Polars, one thread each.

    python benchmarks/lookup.py [--quick]

Ours is `Pipeline.run(…).batch`: rows of Arrow in, rows of Arrow out, the lookup in memory already, as it is from batch to batch. Polars
hashes its right side in every join: what that takes beside is told by ours with the lookup made anew ("and the table hashed").
"""

from __future__ import annotations

import measure

measure.one_thread_each()

import random
import sys
from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from millstream import Pipeline, lookup

ROWS = 1_000_000
SIZES = (1_000, 10_000, 100_000, 1_000_000)
BAR_SIZE, BAR = 100_000, 1.0
KINDS = {"int64": "int64", "string": "string"}


def keys_of(kind: str, size: int) -> list[Any]:
    numbers = random.sample(range(1 << 40), size)
    return numbers if kind == "int64" else [f"customer-{number:012}" for number in numbers]


def sides(kind: str, size: int) -> tuple[pa.RecordBatch, pa.Table]:
    """The rows, nine of ten of which have a match, and the lookup."""
    known = keys_of(kind, size)
    other = keys_of(kind, min(size, 100_000))
    picked = [random.choice(known) if random.random() < 0.9 else random.choice(other) for _ in range(ROWS)]
    rows = pa.record_batch({"k": pa.array(picked), "x": pa.array(range(ROWS))})
    return rows, pa.table(
        {"k": pa.array(known), "tier": pa.array(range(size)), "name": pa.array([f"name {at}" for at in range(size)])}
    )


def joins(kind: str, size: int) -> dict[str, Callable[[], Any]]:
    rows, table = sides(kind, size)
    base = Pipeline({"k": kind, "x": "int64"})
    pipeline = base.join(lookup(table, key="k"), on="k")
    left, right = pl.DataFrame(rows), pl.DataFrame(table)
    assert pipeline.run(rows).batch.to_pydict() == left.join(right, on="k", how="left", maintain_order="left").to_dict(
        as_series=False
    )
    return {
        "millstream": lambda: pipeline.run(rows).batch,
        "and the table hashed": lambda: base.join(lookup(table, key="k"), on="k").run(rows).batch,
        "polars": lambda: left.join(right, on="k", how="left"),
    }


def composite() -> dict[str, Callable[[], Any]]:
    """Two keys: text of a few values and a number."""
    size = BAR_SIZE
    known = list({(random.choice(["DE", "FR", "US", "JP"]), random.randrange(1 << 20)) for _ in range(size)})
    picked = [random.choice(known) for _ in range(ROWS)]
    table = pa.table({"c": [c for c, _ in known], "n": [n for _, n in known], "tier": pa.array(range(len(known)))})
    rows = pa.record_batch({"c": [c for c, _ in picked], "n": [n for _, n in picked]})
    pipeline = Pipeline({"c": "string", "n": "int64"}).join(lookup(table, key=["c", "n"]), on=["c", "n"])
    left, right = pl.DataFrame(rows), pl.DataFrame(table)
    return {"millstream": lambda: pipeline.run(rows).batch, "polars": lambda: left.join(right, on=["c", "n"], how="left")}


def ranges() -> dict[str, Callable[[], Any]]:
    """Ranges without gaps, which Polars finds by join_asof of sorted rows; ours are in any order."""
    cuts = sorted(random.sample(range(1 << 40), BAR_SIZE + 1))
    table = pa.table({"from": cuts[:-1], "to": cuts[1:], "tier": pa.array(range(BAR_SIZE))})
    rows = pa.record_batch({"x": pa.array([random.randrange(cuts[0], cuts[-1]) for _ in range(ROWS)])})
    pipeline = Pipeline({"x": "int64"}).join(lookup(table, range=("from", "to")), on="x")
    left, right = pl.DataFrame(rows), pl.DataFrame(table).with_columns(pl.col("from").set_sorted())
    return {
        "millstream": lambda: pipeline.run(rows).batch,
        "polars": lambda: left.sort("x").join_asof(right, left_on="x", right_on="from"),
    }


def addresses() -> dict[str, Callable[[], Any]]:
    """Networks of IPv4 and addresses as text; no peer has them."""
    networks = random.sample(range(1 << 20), BAR_SIZE)
    table = pa.table(
        {"net": [f"{one >> 12}.{one >> 4 & 255}.{(one & 15) << 4}.0/20" for one in networks], "site": pa.array(range(BAR_SIZE))}
    )
    quads = (random.getrandbits(32) for _ in range(ROWS))
    rows = pa.record_batch({"ip": [f"{one >> 24}.{one >> 16 & 255}.{one >> 8 & 255}.{one & 255}" for one in quads]})
    pipeline = Pipeline({"ip": "string"}).join(lookup(table, cidr="net"), on="ip")
    return {"millstream": lambda: pipeline.run(rows).batch}


def told(title: str, runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    taken = measure.medians(runs, rounds, settle=True)
    ours = taken["millstream"]
    print(title)
    for who, seconds in taken.items():
        print(f"  {who:<24} {seconds * 1e3:>8.1f} ms {ROWS / seconds / 1e6:>8.1f} M rows/s {seconds / ours:>6.2f} times ours")
    return taken


def main() -> int:
    random.seed(1)
    rounds = 5 if "--quick" in sys.argv else 11
    measure.one_core()
    print(measure.machine(["millstream", "polars", "pyarrow"]))
    missed = []
    for kind in KINDS:
        for size in SIZES:
            taken = told(f"{ROWS:,} rows, {kind} key, lookup of {size:,}", joins(kind, size), rounds)
            ratio = taken["polars"] / taken["millstream"]
            if size == BAR_SIZE:
                print(f"  bar {BAR:g} x polars: {'met' if ratio >= BAR else 'MISSED'} with {ratio:.2f}")
                missed += [kind] if ratio < BAR else []
    told(f"{ROWS:,} rows, keys of text and int64, lookup of {BAR_SIZE:,}", composite(), rounds)
    told(f"{ROWS:,} rows, {BAR_SIZE:,} ranges of int64", ranges(), rounds)
    told(f"{ROWS:,} rows, {BAR_SIZE:,} networks, addresses as text", addresses(), rounds)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
