"""The functions that pipelines use most, a column to another, beside pyarrow.compute and Polars.

Cases and columns are those of functions.py.
"""

from __future__ import annotations

from typing import Any

import functions
import polars as pl
import pytest
from contest import faster

NAMES = {"millstream": "millstream", "polars": "polars", "arrow": "pyarrow.compute"}


@pytest.fixture(scope="module")
def held() -> Any:
    """The columns, as Arrow's and as Polars' own."""
    arrays = functions.columns()
    return arrays, pl.DataFrame({name: pl.from_arrow(one) for name, one in arrays.items()})


@pytest.mark.parametrize("at", range(len(functions.CASES)), ids=[case[0] for case in functions.CASES])
def bench_function(at: int, held: Any, contest: Any) -> None:
    text, theirs, arrow = functions.CASES[at]
    contest(
        text,
        functions.runs(text, theirs, arrow, *held),
        names=NAMES,
        bars=[faster(7, functions.BAR), faster(7, functions.LEAST)],
        settle=True,
        seconds=1,
    )
