"""Does a column repeat its values, so that a dictionary makes its file smaller and quicker to write?"""

from __future__ import annotations

from millstream.columns import Vector, rows_of
from millstream.sinks.partition import groups_of

WORTH_IT = 256
"""Columns of fewer values get no dictionary: it would be a page more to write, and to read."""
LOOKED_AT = 512
"""Values that are looked at."""


def repeats(column: Vector) -> bool:
    """Are at most half of a flat column's first values distinct? A dictionary of more would be given up halfway."""
    if column.length < WORTH_IT or column.type.physical in ("bool", "decimal"):
        return False
    count = min(column.length, LOOKED_AT)
    return 2 * groups_of(rows_of(column, 0, count))[0] <= count
