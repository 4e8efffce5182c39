"""What may be computed of many rows: the methods of expressions that stand in `group_by(…).agg(…)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.expr import Expr

NAMES = ("len", "count", "sum", "mean", "min", "max", "first", "last", "n_unique")
"""The methods of `Aggregation`."""


class Aggregation:
    """One value for the rows of a group, as Polars has them. They stand in `agg` alone: a filter or a column has no groups."""

    __slots__ = ()

    def len(self) -> Expr:
        """How many rows there are."""
        return self._aggregate("len")

    def count(self) -> Expr:
        """How many values there are, nulls aside."""
        return self._aggregate("count")

    def sum(self) -> Expr:
        """The sum of the values, exact; that of none is 0. A sum that its type does not hold rejects the group's records."""
        return self._aggregate("sum")

    def mean(self) -> Expr:
        """The sum divided by the count, as float64; that of none is null."""
        return self._aggregate("mean")

    def min(self) -> Expr:
        """The least value; NaN only where there is no number."""
        return self._aggregate("min")

    def max(self) -> Expr:
        """The greatest value; NaN only where there is no number."""
        return self._aggregate("max")

    def first(self) -> Expr:
        """The first row's value, which may be null."""
        return self._aggregate("first")

    def last(self) -> Expr:
        """The last row's value, which may be null."""
        return self._aggregate("last")

    def n_unique(self) -> Expr:
        """How many different values there are; null is one."""
        return self._aggregate("n_unique")

    def _aggregate(self, function: str) -> Expr:
        from millstream.expr import Aggregate

        this: Any = self
        return Aggregate(this, function)
