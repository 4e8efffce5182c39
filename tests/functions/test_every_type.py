"""Every function over columns and literals of every family of types: it is refused when planned, or it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pyarrow as pa
import pytest

from millstream.errors import PlanError
from millstream.expr import Apply, Expr, as_expr, col, when
from millstream.functions import CATALOGUE, Form
from millstream.grammar import parse
from millstream.pipeline import Pipeline
from millstream.types import parse_type

VALUES: dict[str, Any] = {
    "bool": True, "int8": 1, "uint64": 1, "float32": 1.5, "string": "a", "binary": b"a", "date32": date(2020, 1, 1), "time64[us]": 5,
    "timestamp[ms]": 5, "timestamp[us, UTC]": 5, "duration[us]": 5, "decimal128(9, 2)": Decimal("1.5"), "decimal128(38, 10)": Decimal("1.5"),
    "list<int64>": [1], "struct<a: string>": {"a": "x"}, "map<string, int8>": [("a", 1)],
}  # fmt: skip
LITERALS = [
    1, 1.5, float("nan"), "a", "2020-01-01", "12:00", "PT1H", True, None, b"a", Decimal("1.5"), 2**64 - 1,
    date(2020, 1, 1), datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), time(1), timedelta(1),
]  # fmt: skip
SIDES: list[Callable[[Expr, Any], Expr]] = [
    lambda x, y: x + y, lambda x, y: x / y, lambda x, y: x % y, lambda x, y: x == y, lambda x, y: x < y, lambda x, y: x & y,
    lambda x, y: x.fill_null(y), lambda x, y: when(x.is_null()).then(x).otherwise(y), lambda x, y: when(x).then(y),
    lambda x, y: x.is_between(y, y),
]  # fmt: skip
ALONE: list[Callable[[Expr], Expr]] = [
    lambda x: -x, lambda x: ~x, lambda x: x.is_null(), lambda x: x.str.strip_chars(), lambda x: x.str.to_lowercase(),
    lambda x: x.str.starts_with("a"), lambda x: x.dt.year(), lambda x: x.dt.truncate("1h"), lambda x: x.is_in([]),
    *((lambda x, one=one: x.is_in([one, None])) for one in LITERALS),
    *((lambda x, to=to, strict=strict: x.cast(to, strict=strict)) for to in VALUES for strict in (True, False)),
]  # fmt: skip


def methods() -> Iterator[Callable[[Expr], Expr]]:
    """Every method of the catalogue as its examples call it."""
    for one in CATALOGUE.values():
        for example in one.examples if one.form is not Form.OPERATOR and one.name != "now" else ():
            call = parse(example.text)
            while isinstance(call, Apply) and call.function != one.name:
                call = call.arguments[0]
            if isinstance(call, Apply):
                yield lambda x, call=call: Apply(call.function, (x, *call.arguments[1:]), call.options)


METHODS = [made for made in methods() if set(made(col("a")).columns) == {"a"}]


def column(kind: str) -> pa.Array:
    return pa.array([VALUES[kind], None], parse_type(kind).arrow)


def expressions() -> Iterator[Expr]:
    """Over a column `a`, alone and beside literals."""
    for alone in (*ALONE, *METHODS):
        yield alone(col("a"))
    for sides, one in product(SIDES, LITERALS):
        yield sides(col("a"), one)
        yield sides(as_expr(one), col("a"))


def runs(expression: Expr, schema: dict[str, str]) -> bool:
    """Does it run? If not, it is refused when planned."""
    pipeline = Pipeline(schema).select(r=expression)
    try:
        pipeline.plan()
    except PlanError:
        return False
    pipeline.run(pa.record_batch({name: column(kind) for name, kind in schema.items()})).batch.validate(full=True)
    return True


@pytest.mark.parametrize("kind", VALUES)
def test_refused_or_run(kind: str) -> None:
    ran = sum(runs(expression, {"a": kind}) for expression in expressions())
    for other, sides in product(VALUES, SIDES):
        ran += runs(sides(col("a"), col("b")), {"a": kind, "b": other})
    assert ran >= 3


@pytest.mark.parametrize("kind", VALUES)
def test_a_null_of_every_type(kind: str) -> None:
    made = Pipeline({"a": "int64"}).select(r=as_expr(None).cast(kind)).run(pa.record_batch({"a": [1, 2]}))
    assert made.batch["r"].equals(pa.nulls(2, parse_type(kind).arrow))


def test_literals_beside_literals() -> None:
    for one, other, sides in product(LITERALS, LITERALS, SIDES):
        runs(sides(as_expr(one), other), {"a": "int8"})
