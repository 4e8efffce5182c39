"""Rows in groups of the same values, and one row of each group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from millstream import seed
from millstream.classes import dataclass
from millstream.columns import Vector, as_bytes, filled_bytes, ones
from millstream.errors import RunError
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers
from millstream.schema import INT64

FIRST, LAST, LEAST, GREATEST, MIN, MAX = range(6)
"""Which row of a group `pick` takes: its first or last; the least by some columns, of equals the first, or the greatest, of equals
the last, null before all values; the first that has the least or greatest value of one column, nulls aside, NaN only where there is
no number."""

MOST_ROWS = 1 << 31
"""The most rows that lists of one batch become."""

_FORMS = {"int64": 0, "uint64": 1, "float64": 2, "bool": 3, "string": 4, "decimal": 5}


@dataclass(frozen=True)
class Groups:
    """count: how many there are, in the order in which they are first met; firsts: the first row of each; ids: the group of each row."""

    count: int
    firsts: Memory
    ids: Memory

    @cached_property
    def order(self) -> tuple[Memory, Memory]:
        """The rows of one group after the other, in their own order, and where each group ends."""
        return sorted_rows(self.ids, self.count)


def group(columns: Sequence[Vector], length: int) -> Groups:
    """Rows in groups of the same values in these columns, which are not nested. Nulls are the same, and so are NaN, and 0.0 and -0.0."""
    if not columns:
        ids = allocate(length, 8)
        kernels.fill_int64(0, ids)
        return Groups(min(length, 1), from_numbers("q", [0][:length]), ids)
    groups = group_bits(_keyed(columns[0]))
    for column in columns[1:]:
        groups = both(groups, group_bits(_keyed(column)), length)
    return groups


def both(groups: Groups, others: Groups, length: int) -> Groups:
    """Groups of rows that are in the same group of each."""
    pairs = allocate(length, 8)
    kernels.combine_groups(groups.ids, others.ids, others.count, pairs)
    return group_bits(Vector(INT64, length, pairs))


def _keyed(column: Vector) -> Vector:
    """Floats as words that are the same where they compare as the same."""
    if column.type.physical != "float64":
        return column
    words = allocate(column.length, 8)
    kernels.key_float64(column.values, words)
    return Vector(INT64, column.length, words, column.valid)


def group_bits(column: Vector) -> Groups:
    """Rows in groups of the same bits, so that 0.0 and -0.0 are two. Nulls are the same."""
    if column.type.physical == "decimal":
        column = as_bytes(column)
    values = column.values
    if column.type.physical == "bool":
        values = allocate(column.length, 8)
        kernels.widen_unsigned(column.values, 1, values)
    valid, ids = column.validity(), allocate(column.length, 8)
    most = 1024
    while True:
        slots, firsts = allocate(2 * most, 8), allocate(most, 8)
        if column.type.physical == "string":
            count = kernels.group_string(column.data, values, valid, seed.SEED, slots, firsts, ids)
        else:
            count = kernels.group_int64(values, valid, seed.SEED, slots, firsts, ids)
        if count >= 0:
            return Groups(count, firsts.part(0, count, 8), ids)
        most *= 16


def in_order(ids: Memory, count: int) -> tuple[Memory, list[int]]:
    """The rows of one of `count` groups after the other, in their own order, and where each group ends."""
    order, ends = sorted_rows(ids, count)
    return order, ends.tolist()


def sorted_rows(ids: Memory, count: int) -> tuple[Memory, Memory]:
    """The same, the ends where kernels read them."""
    ends, order = allocate(count, 8), allocate(ids.count, 8)
    kernels.sort_groups(ids, ends, order)
    return order, ends


def pick(columns: Sequence[Vector], ids: Memory, count: int, mode: int) -> Memory:
    """One row of each of `count` groups, -1 where there is none. `mode` is one of this module's."""
    out = allocate(count, 8)
    kernels.pick_rows(table_of(columns), ids, mode, out)
    return out


def flags(rows: Memory, count: int) -> Memory:
    """So many bytes, 1 at these rows and 0 elsewhere."""
    out = filled_bytes(0, count)
    kernels.scatter_uint8(1, rows, out)
    return out


def table_of(columns: Sequence[Vector]) -> Memory:
    """Where the values of columns are, for the kernels of kernels/aggregate.py."""
    table: list[int] = []
    for one in columns:
        data = one.data
        table += (
            _FORMS[one.type.physical],
            one.values.address,
            one.length,
            0 if one.valid is None else one.valid.address,
            0 if data is None else data.address,
            0 if data is None else data.count,
        )
    return from_numbers("q", table)


def exploded(views: Memory, valid: Memory | None, keep_empty: bool, keep_nulls: bool) -> tuple[Memory, Memory]:
    """For every item of every list the list's row, and the row that the item has inside; -1 in rows kept for lists without an item."""
    flags = valid if valid is not None else ones(views.count)
    none = allocate(0, 8)
    count = kernels.explode_views(views, flags, int(keep_empty), int(keep_nulls), none, none)
    if count > MOST_ROWS:
        raise RunError("explode makes over 2**31 rows of one batch; make the batch or the chunks smaller")
    parents, items = allocate(count, 8), allocate(count, 8)
    kernels.explode_views(views, flags, int(keep_empty), int(keep_nulls), parents, items)
    return parents, items


def views_of(ends: Sequence[int]) -> Memory:
    """Lists that lie one after another, by where each ends."""
    starts = (0, *ends)
    return from_numbers("q", [start | end - start << 32 for start, end in zip(starts, ends, strict=False)])
