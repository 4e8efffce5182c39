"""Ranges of a lookup, sorted, of which the one that holds a value is found by bisection."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from millstream.columns import Vector, open_array
from millstream.errors import PlanError
from millstream.hashing import Table
from millstream.lookups.formats import cast
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, EMPTY_WORDS, Memory, allocate
from millstream.schema import Type, from_arrow
from millstream.tables import Lookup

_FORMS = {"int64": 0, "uint64": 1, "float64": 2, "decimal": 3}
_IPV4 = 4


class RangeIndex:
    """Ranges that do not overlap, of all rows or of those with the same keys.

    order: the table's rows as they are sorted, and the one behind them. It finds places in that order.
    """

    def __init__(self, one: Lookup, keys: Sequence[Vector], columns: Sequence[pa.Array], kind: Type) -> None:
        assert one.range is not None
        self._is_ip = one.range.form != "range"
        starts, ends = (_networks if one.range.form == "cidr" else self._bounds)(one, columns, kind)
        count = len(columns[0])
        self._table = Table(keys) if keys else None
        groups = self._table.probe(keys) if self._table else EMPTY_WORDS
        self.order = allocate(count + 1, 8)
        sorted_rows = self.order.part(0, count, 8)
        kernels.sort_ranges(groups, starts, allocate(count, 8), sorted_rows)
        kernels.fill_int64(count, self.order.part(8 * count, 1, 8))
        self._starts, self._ends = allocate(2 * count, 8), allocate(2 * count, 8)
        self._firsts, self._lasts = allocate(count + 1, 8), allocate(count + 1, 8)
        kernels.fill_int64(0, self._firsts)
        kernels.fill_int64(0, self._lasts)
        at = kernels.arrange_ranges(sorted_rows, groups, starts, ends, self._starts, self._ends, self._firsts, self._lasts)
        if at >= 0:
            first, second = sorted(self.order.word(place) for place in (at - 1, at))
            same = " of the same key" if keys else ""
            raise PlanError(f"{one.told}: the ranges{same} in rows {first} and {second} overlap; make them apart")

    def probe(self, keys: Sequence[Vector]) -> Memory:
        """For each row of keys and values, the place of the range that holds its value, -1 where none does."""
        groups = self._table.probe(keys[:-1]) if self._table else EMPTY_WORDS
        words, valid = _addresses(keys[-1]) if self._is_ip else _ordered(keys[-1])
        out = allocate(keys[-1].length, 8)
        kernels.find_ranges(words, valid, groups, self._starts, self._ends, self._firsts, self._lasts, out)
        return out

    def _bounds(self, one: Lookup, columns: Sequence[pa.Array], kind: Type) -> tuple[Memory, Memory]:
        """Starts and ends, each of them in its range."""
        assert one.range is not None
        words, marks = [], []
        for name, column in zip(one.range.columns, columns, strict=True):
            what = f"{one.told}: {one.range.form} {name!r}"
            vector = open_array(_addresses_as_told(column, what) if self._is_ip else _as(column, kind, what))
            ordered, valid = _addresses(vector) if self._is_ip else _ordered(vector)
            wanted, taken = b"\1" * vector.length if self._is_ip else vector.validity().tobytes(), valid.tobytes()
            if taken != wanted:
                row = next(row for row, (given, found) in enumerate(zip(wanted, taken, strict=True)) if given != found)
                raise PlanError(f"{what}: row {row} holds {'no IP address' if self._is_ip else 'NaN, which is in no order'}")
            words.append(ordered)
            marks.append(valid)
        closed = one.range.closed
        opens = int(closed in ("right", "none")), int(closed in ("left", "none"))
        row = kernels.settle_ranges(*opens, *marks, *words)
        if row >= 0:
            raise PlanError(f"{one.told}: the range in row {row} holds nothing: it ends before it starts; correct or drop it")
        return words[0], words[1]


def _ordered(vector: Vector) -> tuple[Memory, Memory]:
    """Values as words in their order, and which of them have one."""
    words, valid = allocate(2 * vector.length, 8), allocate(vector.length, 1)
    kernels.order_words(_FORMS[vector.type.physical], vector.values, vector.validity(), words, valid)
    return words, valid


def _addresses(vector: Vector) -> tuple[Memory, Memory]:
    """IP addresses in text, or of IPv4 as integers, likewise."""
    words, valid = allocate(2 * vector.length, 8), allocate(vector.length, 1)
    if vector.type.physical == "string":
        data = vector.data or EMPTY
        kernels.parse_addresses(data, vector.values, vector.validity(), 0, words, EMPTY_WORDS, valid)
    else:
        kernels.order_words(_IPV4, vector.values, vector.validity(), words, valid)
    return words, valid


def _networks(one: Lookup, columns: Sequence[pa.Array], kind: Type) -> tuple[Memory, Memory]:
    """The first and the last address of networks."""
    (column,), (name,) = columns, one.range.columns if one.range else ("",)
    what = f"{one.told}: cidr {name!r}"
    own = from_arrow(column.type)
    if own is None or own.family != "string":
        raise PlanError(f"{what} is {own or column.type}; networks are text: '10.0.0.0/8'")
    vector = open_array(column)
    firsts, lasts, valid = allocate(2 * vector.length, 8), allocate(2 * vector.length, 8), allocate(vector.length, 1)
    data = vector.data or EMPTY
    if kernels.parse_addresses(data, vector.values, vector.validity(), 1, firsts, lasts, valid) < vector.length:
        row = valid.tobytes().index(0)
        raise PlanError(f"{what}: row {row} holds no network; write '10.0.0.0/8', without bits behind the length")
    return firsts, lasts


def _addresses_as_told(column: pa.Array, what: str) -> pa.Array:
    own = from_arrow(column.type)
    if own is None or own.family not in ("string", "int"):
        raise PlanError(f"{what} is {own or column.type}; IP addresses are text, or of IPv4 integers")
    if own.family == "string":
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        raise PlanError(f"{what} holds integers that are no IP addresses; write them as text, or as integers of IPv4") from None


def _as(column: pa.Array, kind: Type, what: str) -> pa.Array:
    """An end of ranges with values of the type that is looked up in them."""
    own = from_arrow(column.type)
    target = {"int64": pa.int64(), "uint64": pa.uint64(), "float64": pa.float64()}.get(kind.physical, kind.arrow)
    target = target if kind.is_numeric else kind.arrow
    if column.type.equals(target) or pa.types.is_null(column.type):
        return column if column.type.equals(target) else pa.nulls(len(column), target)
    alike = own is not None and (own.family == kind.family or (own.family == "int" and kind.family in ("float", "decimal")))
    if not alike:
        raise PlanError(f"{what} is {own or column.type}, the column it is joined on is {kind}; cast one of them")
    try:
        return cast(column, target)
    except pa.ArrowInvalid:
        raise PlanError(
            f"{what} is {own} and holds values that are no {kind}; cast the column it is joined on to {own}"
        ) from None
