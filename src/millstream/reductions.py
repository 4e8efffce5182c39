"""What may be computed of many rows: the methods of expressions that stand in `group_by(…).agg(…)`."""

from __future__ import annotations

from typing import Any

NAMES = ("len", "count", "sum", "mean", "min", "max", "first", "last", "n_unique")
"""The methods of `Reductions`."""


class Reductions:
    """One value for the rows of a group, as Polars has them. They stand in `agg` alone: a filter or a column has no groups."""

    __slots__ = ()
    _apply: Any

    def len(self) -> Any:
        """How many rows there are."""
        return self._apply("len")

    def count(self) -> Any:
        """How many values there are, nulls aside."""
        return self._apply("count")

    def sum(self) -> Any:
        """The sum of the values, exact; that of none is 0. A sum that its type does not hold rejects the group's records."""
        return self._apply("sum")

    def mean(self) -> Any:
        """The sum divided by the count, as float64; that of none is null."""
        return self._apply("mean")

    def min(self) -> Any:
        """The least value; NaN only where there is no number."""
        return self._apply("min")

    def max(self) -> Any:
        """The greatest value; NaN only where there is no number."""
        return self._apply("max")

    def first(self) -> Any:
        """The first row's value, which may be null."""
        return self._apply("first")

    def last(self) -> Any:
        """The last row's value, which may be null."""
        return self._apply("last")

    def n_unique(self) -> Any:
        """How many different values there are; null is one."""
        return self._apply("n_unique")
