"""A user's function over 1,000,000 rows: compiled here, in a loop by Numba, vectorised by hand with numpy, and row by row in Polars.

Everybody gets the same columns, in memory. Every result is compared with Python's before anything is measured.
"""

import math
from typing import Any

import numba
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from millstream import udf
from millstream.columns import open_array
from millstream.types import FLOAT64

ROWS = 1_000_000
RATE = 0.25
NAMES = {
    "millstream_nulls": "millstream, a tenth null",
    "numba": "numba, a loop",
    "numpy": "numpy, vectorised by hand",
    "polars": "polars, map_elements",
}


@udf("float64(float64, int64)")
def tax(price, qty):
    return price * qty * RATE


@udf("float64(float64, int64)")
def tiered(price, qty):
    total = price * qty
    if total > 100.0:
        return total * 0.9 - math.sqrt(total)
    return total + 1.0 / (qty + 1)


def tax_by_numpy(price, qty):
    return price * qty * RATE


def tiered_by_numpy(price, qty):
    total = price * qty
    return np.where(total > 100.0, total * 0.9 - np.sqrt(total), total + 1.0 / (qty + 1))


@pytest.mark.parametrize(("function", "vectorised"), [(tax, tax_by_numpy), (tiered, tiered_by_numpy)], ids=["tax", "tiered"])
def bench_user_function(function: Any, vectorised: Any, contest: Any) -> None:
    chance = np.random.default_rng(1)
    price, qty = chance.uniform(0, 100, ROWS), chance.integers(0, 10, ROWS)
    plain, inner = function.__wrapped__, numba.njit(error_model="python")(function.__wrapped__)

    @numba.njit(error_model="python")
    def loop(price, qty):
        out = np.empty(len(price))
        for i in range(len(price)):
            out[i] = inner(price[i], qty[i])
        return out

    columns = [open_array(pa.array(one)) for one in (price, qty)]
    with_nulls = [open_array(pa.array(price, mask=chance.random(ROWS) < 0.1)), columns[1]]
    frame = pl.DataFrame({"price": price, "qty": qty})
    by_row = pl.struct("price", "qty").map_elements(lambda row: plain(row["price"], row["qty"]), return_dtype=pl.Float64)
    runs = {
        "millstream": lambda: function.bound.evaluate(columns, {}, FLOAT64, ROWS),
        "millstream_nulls": lambda: function.bound.evaluate(with_nulls, {}, FLOAT64, ROWS),
        "numba": lambda: loop(price, qty),
        "numpy": lambda: vectorised(price, qty),
        "polars": lambda: frame.select(by_row),
    }
    expected = [plain(a, b) for a, b in zip(price.tolist(), qty.tolist(), strict=True)]
    ours = function.bound.evaluate(columns, {}, FLOAT64, ROWS).values.tolist("d")
    for found in (ours, loop(price, qty).tolist(), vectorised(price, qty).tolist(), frame.select(by_row).to_series().to_list()):
        assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(found, expected, strict=True))
    contest(f"{function.name}, {ROWS:,} rows", runs, names=NAMES, seconds=4, rounds=(5, 31))
