"""Joining a million rows to a lookup: by an int64 key, by text, by both; and finding ranges. Beside Polars, one thread each.

Ours is `Pipeline.run(…).batch`: rows of Arrow in, rows of Arrow out, the lookup in memory already, as it is from batch to batch. Polars
hashes its right side in every join: what that takes beside is told by ours with the lookup made anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from millstream import Pipeline, lookup

ROWS = 1_000_000
BAR_SIZE, BAR = 100_000, 1.0
KINDS = ("int64", "string")


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
        "millstream_hashing": lambda: base.join(lookup(table, key="k"), on="k").run(rows).batch,
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
    theirs = left.join(right, on=["c", "n"], how="left", maintain_order="left")
    assert pipeline.run(rows).batch["tier"].to_pylist() == theirs["tier"].to_list()
    return {"millstream": lambda: pipeline.run(rows).batch, "polars": lambda: left.join(right, on=["c", "n"], how="left")}


def ranges() -> dict[str, Callable[[], Any]]:
    """Ranges without gaps, which Polars finds by join_asof of sorted rows; ours are in any order."""
    cuts = sorted(random.sample(range(1 << 40), BAR_SIZE + 1))
    table = pa.table({"from": cuts[:-1], "to": cuts[1:], "tier": pa.array(range(BAR_SIZE))})
    rows = pa.record_batch({"x": pa.array([random.randrange(cuts[0], cuts[-1]) for _ in range(ROWS)])})
    pipeline = Pipeline({"x": "int64"}).join(lookup(table, range=("from", "to")), on="x")
    left, right = pl.DataFrame(rows), pl.DataFrame(table).with_columns(pl.col("from").set_sorted())
    theirs = left.with_row_index().sort("x").join_asof(right, left_on="x", right_on="from").sort("index")
    assert pipeline.run(rows).batch["tier"].to_pylist() == theirs["tier"].to_list()
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
