"""Functions that are no method of one column: `coalesce(a, b, 0)`, `concat_str(first, " ", last)`, `now()`."""

from __future__ import annotations

from typing import Any

from millstream.expr import Apply, Expr, as_expr


def coalesce(*exprs: Any) -> Expr:
    """The first of the values that is not null."""
    return _call("coalesce", exprs)


def concat_str(*exprs: Any, separator: str = "", ignore_nulls: bool = False) -> Expr:
    """The texts of a row one after another; null where one is null, unless nulls are left out. A bare string is a text, no column."""
    return _call("concat_str", exprs, separator=separator, ignore_nulls=ignore_nulls)


def min_horizontal(*exprs: Any) -> Expr:
    """The least of the values that are not null."""
    return _call("min_horizontal", exprs)


def max_horizontal(*exprs: Any) -> Expr:
    """The greatest of the values that are not null."""
    return _call("max_horizontal", exprs)


def all_horizontal(*exprs: Any) -> Expr:
    """True where all are true; false where one is false, even beside a null."""
    return _call("all_horizontal", exprs)


def any_horizontal(*exprs: Any) -> Expr:
    """True where one is true, even beside a null; false where all are false."""
    return _call("any_horizontal", exprs)


def from_epoch(expr: Any, time_unit: str = "s") -> Expr:
    """The time that is so many days ("d"), seconds, "ms", "us" or "ns" after 1970."""
    return _call("from_epoch", (expr,), time_unit=time_unit)


def now() -> Expr:
    """When the batch began to run, in UTC to the microsecond: the same in every row. A batch that is run again has another."""
    return _call("now", ())


def _call(name: str, given: tuple[Any, ...], **named: Any) -> Expr:
    from millstream.functions import CATALOGUE
    from millstream.functions.parameters import assign

    values, options = assign(name, CATALOGUE[name].arguments, given, named)
    return Apply(name, tuple(as_expr(one) for one in values), options)
