"""A million rows joined to a lookup, beside Polars: cases are those of lookup.py."""

from __future__ import annotations

import random
from typing import Any

import lookup
import pytest
from contest import faster


@pytest.fixture(autouse=True)
def seeded() -> None:
    random.seed(1)


@pytest.mark.large
@pytest.mark.parametrize("kind", lookup.KINDS)
def bench_join(kind: str, contest: Any) -> None:
    contest(
        f"{lookup.ROWS:,} rows, {kind} key, {lookup.BAR_SIZE:,} known",
        lookup.joins(kind, lookup.BAR_SIZE),
        names={"millstream_hashing": "millstream, and the table hashed"},
        bars=[faster(7, lookup.BAR, "polars")],
        settle=True,
        seconds=6,
    )


@pytest.mark.large
@pytest.mark.parametrize(
    ("what", "made"),
    [("keys of text and int64", lookup.composite), ("ranges of int64", lookup.ranges), ("networks", lookup.addresses)],
    ids=["composite", "ranges", "networks"],
)
def bench_lookup(what: str, made: Any, contest: Any) -> None:
    contest(f"{lookup.ROWS:,} rows, {lookup.BAR_SIZE:,} {what}", made(), settle=True, seconds=4)
