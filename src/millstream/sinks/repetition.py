"""Does a column repeat its values, so that a dictionary makes its file smaller and quicker to write?"""

from __future__ import annotations

from millstream.columns import Vector, rows_of
from millstream.grouping import group_bits
from millstream.native.bind import kernels

WORTH_IT = 1024
"""Columns of fewer values get no dictionary: to make it, and to write a page more, takes longer than to compress what repeats."""
LOOKED_AT = 512
"""Values that are looked at."""
MOST_DISTINCT = 0.9
"""More distinct ones among these, and it is not tried: of all values it would be more than half."""


def repeats(column: Vector) -> bool:
    """Do a flat column's first values repeat, so that a dictionary may be of use?"""
    if column.length < WORTH_IT or column.type.physical in ("bool", "decimal"):
        return False
    rows = rows_of(column, 0, min(column.length, LOOKED_AT))
    nulls = 0 if rows.valid is None else kernels.count_invalid(rows.valid)
    distinct = group_bits(rows).count - bool(nulls)
    return distinct <= MOST_DISTINCT * (rows.length - nulls)
