"""The functions that pipelines use most, beside pyarrow.compute and Polars: one column to another, as each engine holds it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orders
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from millstream.binding import bind
from millstream.columns import close, open_array
from millstream.engine import Batch, evaluate
from millstream.grammar import parse
from millstream.native.memory import allocate
from millstream.types import from_arrow

ROWS = 100_000
BAR, LEAST = 1.0, 0.5
"""What is asked for of each, and what none may be below: times the speed of the faster peer."""


def columns(rows: int = ROWS, seed: int = 1) -> dict[str, pa.Array]:
    """Columns like those of orders; a tenth of `n` and `t` is null."""
    draw = random.Random(seed)
    names = [f" User{draw.randrange(5000)}@Example.com " for _ in range(rows)]
    moments = [datetime(2024, 1, 1) + timedelta(milliseconds=draw.randrange(10**11)) for _ in range(rows)]
    return {
        "i": pa.array([draw.randrange(-(10**6), 10**6) for _ in range(rows)], pa.int64()),
        "n": pa.array([None if draw.random() < 0.1 else draw.randrange(100) for _ in range(rows)], pa.int64()),
        "x": pa.array([round(draw.lognormvariate(3, 1), 4) for _ in range(rows)], pa.float64()),
        "s": pa.array(names),
        "c": pa.array([draw.choice(["US", "DE", "FR", "GB", "IT"]) for _ in range(rows)]),
        "t": pa.array([None if draw.random() < 0.1 else f"SKU-{draw.randrange(10**5):05d}" for _ in range(rows)]),
        "u": pa.array([orders.AGENT[: draw.randrange(20, 110)] for _ in range(rows)]),
        "d": pa.array([str(draw.randrange(10**6)) for _ in range(rows)]),
        "w": pa.array(moments, pa.timestamp("us")),
        "y": pa.array([one.strftime("%d.%m.%Y %H:%M:%S") for one in moments]),
    }


s, t, x, i, n, w = (pl.col(name) for name in "stxinw")
Peer = Callable[[Mapping[str, pa.Array]], Any]

# Ours, Polars', Arrow's.
CASES: list[tuple[str, pl.Expr, Peer]] = [
    ("i + n", i + n, lambda a: pc.add_checked(a["i"], a["n"])),
    ("x * 0.1", x * 0.1, lambda a: pc.multiply(a["x"], 0.1)),
    ("x > 10", x > 10, lambda a: pc.greater(a["x"], 10.0)),
    ('c in ("US", "DE")', pl.col("c").is_in(["US", "DE"]), lambda a: pc.is_in(a["c"], pa.array(["US", "DE"]))),
    ("n.fill_null(0)", n.fill_null(0), lambda a: pc.coalesce(a["n"], 0)),
    ('coalesce(t, c)', pl.coalesce("t", "c"), lambda a: pc.coalesce(a["t"], a["c"])),
    ("when(x > 50).then(x * 0.1).otherwise(x)", pl.when(x > 50).then(x * 0.1).otherwise(x),
     lambda a: pc.if_else(pc.greater(a["x"], 50.0), pc.multiply(a["x"], 0.1), a["x"])),
    ("x.round(2)", x.round(2), lambda a: pc.round(a["x"], 2, "half_to_even")),
    ("n.clip(10, 90)", n.clip(10, 90), lambda a: pc.min_element_wise(pc.max_element_wise(a["n"], 10, skip_nulls=False), 90, skip_nulls=False)),
    ('d.cast("int64")', pl.col("d").cast(pl.Int64), lambda a: pc.cast(a["d"], pa.int64())),
    ("s.str.strip_chars()", s.str.strip_chars(), lambda a: pc.utf8_trim_whitespace(a["s"])),
    ("s.str.to_lowercase()", s.str.to_lowercase(), lambda a: pc.utf8_lower(a["s"])),
    ('u.str.contains("Chrome", literal=True)', pl.col("u").str.contains("Chrome", literal=True), lambda a: pc.match_substring(a["u"], "Chrome")),
    ('u.str.contains("Chrome/[0-9]+")', pl.col("u").str.contains("Chrome/[0-9]+"), lambda a: pc.match_substring_regex(a["u"], "Chrome/[0-9]+")),
    ('u.str.replace_all("/", "-", literal=True)', pl.col("u").str.replace_all("/", "-", literal=True), lambda a: pc.replace_substring(a["u"], "/", "-")),
    ("t.str.slice(4, 3)", t.str.slice(4, 3), lambda a: pc.utf8_slice_codeunits(a["t"], 4, 7)),
    ('s.str.split_part("@", 1)', s.str.split("@").list.get(1, null_on_oob=True), lambda a: pc.list_element(pc.split_pattern(a["s"], "@"), 1)),
    ('concat_str(c, t, separator="-")', pl.concat_str("c", "t", separator="-"), lambda a: pc.binary_join_element_wise(a["c"], a["t"], "-")),
    ('y.str.to_datetime("%d.%m.%Y %H:%M:%S")', pl.col("y").str.to_datetime("%d.%m.%Y %H:%M:%S"),
     lambda a: pc.strptime(a["y"], format="%d.%m.%Y %H:%M:%S", unit="us")),
    ('w.dt.truncate("1h")', w.dt.truncate("1h"), lambda a: pc.floor_temporal(a["w"], unit="hour")),
    ("w.dt.year()", w.dt.year(), lambda a: pc.year(a["w"])),
    ('w.dt.to_string("%Y-%m-%d")', w.dt.to_string("%Y-%m-%d"), lambda a: pc.strftime(a["w"], format="%Y-%m-%d")),
]  # fmt: skip
# ruff: noqa: E501


def runs(
    text: str, theirs: pl.Expr, arrow: Peer, arrays: dict[str, pa.Array], frame: pl.DataFrame
) -> dict[str, Callable[[], Any]]:
    """One function in each engine, which give the same."""
    kinds = {name: from_arrow(one.type) for name, one in arrays.items()}
    bound = bind(parse(text), {name: kind for name, kind in kinds.items() if kind})
    batch = Batch({name: open_array(one) for name, one in arrays.items()}, len(arrays["i"]), allocate(0, 8))
    ours = close(evaluate(bound, batch)).to_pylist()
    for who, found in (("polars", frame.select(theirs).to_series().to_list()), ("arrow", arrow(arrays).to_pylist())):
        assert all(map(_same, ours, found)), f"{who} gives something else for {text}"
    return {
        "millstream": lambda: evaluate(bound, batch),
        "polars": lambda: frame.select(theirs),
        "arrow": lambda: arrow(arrays),
    }


def _same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=1e-14))  # rounding by two ways
