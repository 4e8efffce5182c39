"""Which columns repeat their values, so that a dictionary makes their files smaller and quicker to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from millstream.columns import Vector, rows_of
from millstream.schema import Type
from millstream.sinks.partition import groups_of

WORTH_IT = 256
"""Files of fewer rows get no dictionary: each would be a page more to write, and to read."""
LOOKED_AT = 1024
"""Rows that are looked at."""
MOST_DISTINCT = 0.5
"""A column with more distinct values than this share of them is written plain: its dictionary would be given up halfway."""


def repetitive(names: Sequence[str], columns: Sequence[Vector], first: int, rows: int) -> list[str]:
    """Paths of the columns, as Parquet names them, whose values repeat within the first of `rows` rows from `first` on."""
    if rows < WORTH_IT:
        return []
    count = min(rows, LOOKED_AT)
    found: list[str] = []
    for name, column in zip(names, columns, strict=True):
        if column.type.is_nested:  # what is inside is not looked at
            found += _leaves(name, column.type)
        elif column.type.physical != "bool" and groups_of(rows_of(column, first, count))[0] <= MOST_DISTINCT * count:
            found.append(name)
    return found


def _leaves(path: str, kind: Type) -> Iterator[str]:
    if not kind.is_nested:
        yield path
        return
    for name, child in kind.children:
        inside = {"list": "list.element", "map": f"key_value.{name}"}.get(kind.family, name)
        yield from _leaves(f"{path}.{inside}", child)
