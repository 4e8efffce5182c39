"""Rows to hive partitions: `<column>=<percent-encoded value>/`, a folder a column."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa

from millstream.classes import dataclass
from millstream.columns import Vector, close, rows_of, take
from millstream.errors import PlanError
from millstream.grouping import Groups, both, group_bits, in_order
from millstream.native.memory import Memory
from millstream.plan import PARTITION_FAMILIES
from millstream.schema import INT64, Type, from_arrow

DEFAULT = "__HIVE_DEFAULT_PARTITION__"
"""The folder value that stands for null, as Hive names it."""
NAME_BYTES = 255
FOLDERS_BYTES = 512
"""So long are all folders of a row together at most: a key of S3's has 1,024 bytes, with the prefix before and the object's name behind."""
"""The longest folder name that file systems take."""

_EPOCH = datetime(1970, 1, 1)
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


@dataclass(frozen=True)
class Part:
    """Rows of one partition: its folder, parted by `/` ("" without partitions), and `rows` rows from `first` on."""

    folder: str
    first: int
    rows: int


@dataclass(frozen=True)
class Partitioned:
    """Rows ordered by partition, without the partition columns.

    bad: rows that cannot be filed, as input row and column. If there are any, the rest is left undone: drop them first.
    """

    schema: pa.Schema
    columns: list[Vector]
    rows: int
    parts: list[Part]
    bad: list[tuple[int, str]]

    def of(self, part: Part) -> list[Vector]:
        """The columns of a part."""
        if part.rows == self.rows:
            return self.columns
        return [rows_of(column, part.first, part.rows) for column in self.columns]


def _quoted(text: str) -> str:
    """A text as it stands in a folder's name. What quotes it is loaded late: most functions do not partition."""
    from urllib.parse import quote

    return quote(text, safe="")


def check_columns(schema: pa.Schema, by: Sequence[str]) -> None:
    """Raise PlanError where an output cannot be partitioned so."""
    for name in by:
        place = f"output: partition_by {name!r}"
        if name not in schema.names:
            raise PlanError(f"{place} is no output column; the columns are {', '.join(schema.names)}")
        kind = from_arrow(schema.field(name).type)
        if kind is None or kind.family not in PARTITION_FAMILIES:
            raise PlanError(
                f"{place} is {schema.field(name).type}; partition by strings, integers, decimals, bools, dates or timestamps"
            )
        if name[0] in "._":
            raise PlanError(f"{place}: readers skip folders that start with {name[0]!r}; rename the column")
        if len(f"{_quoted(name)}={DEFAULT}") > NAME_BYTES:
            raise PlanError(f"{place}: the name is too long for a folder; rename the column")
    if len(set(by)) != len(by):
        raise PlanError("output: partition_by names a column twice")
    if len(by) == len(schema.names):
        raise PlanError("output: partition_by names every column, so that none is left for the files; leave one out")


def folder_value(kind: Type, value: Any) -> str | None:
    """A value as it stands in a folder's name; None if it cannot stand in one. `value` is text, a Decimal, or the column's integer."""
    if value is None:
        return DEFAULT
    if kind.family == "string":
        return None if value in ("", DEFAULT) else _quoted(value)
    if kind.family == "bool":
        return "true" if value else "false"
    if kind.is_temporal:
        text = _time(kind, value)
        return None if text is None else _quoted(text)
    return f"{value:f}" if kind.family == "decimal" else str(value)


def _time(kind: Type, value: int) -> str | None:
    """A date as 2026-11-23, a timestamp as 2026-11-23 15:04:05.000Z: its unit's digits, Z for UTC. None past year 9999."""
    try:
        if kind.family == "date":
            return date.fromordinal(_EPOCH.toordinal() + value).isoformat()
        digits = _DIGITS[kind.unit]
        seconds, fraction = divmod(value, 10**digits)
        text = (_EPOCH + timedelta(seconds=seconds)).isoformat(" ")
    except (OverflowError, ValueError):
        return None
    return text + (f".{fraction:0{digits}}" if digits else "") + ("Z" if kind.zone else "")


def _values(column: Vector, rows: Memory) -> list[Any]:
    """Text, Decimals or integers of a few rows."""
    picked = take(column, rows)
    if column.type.physical in ("string", "decimal"):
        return close(picked).to_pylist()  # type: ignore[no-any-return]
    numbers = picked.values.tolist("B" if column.type.physical == "bool" else "Q" if column.type.physical == "uint64" else "q")
    valid = picked.validity().tolist("B")
    return [number if one == 1 else None for number, one in zip(numbers, valid, strict=True)]


def partition(schema: pa.Schema, columns: Sequence[Vector], rows: int, by: Sequence[str]) -> Partitioned:
    """Order rows by partition, partitions in the order of first appearance, rows in their own."""
    if not by:
        return Partitioned(schema, list(columns), rows, [Part("", 0, rows)] if rows else [], [])
    chosen = [schema.names.index(name) for name in by]
    kept = [i for i in range(len(columns)) if i not in chosen]
    names: list[str | None] = [""]
    culprit: list[str] = [""]
    groups: Groups | None = None
    for i in chosen:
        column = columns[i]
        own = group_bits(column)
        key = _quoted(schema.names[i])
        folders = [_folder(key, folder_value(column.type, value)) for value in _values(column, own.firsts)]
        if groups is None:
            names, culprit = folders, [schema.names[i]] * own.count
            groups = own
            continue
        combined = both(groups, own, rows)
        at_left, at_right = (take(Vector(INT64, rows, one.ids), combined.firsts).values.tolist() for one in (groups, own))
        culprit = [culprit[left] if names[left] is None else schema.names[i] for left in at_left]
        names = [_joined(names[left], folders[right]) for left, right in zip(at_left, at_right, strict=True)]
        groups = combined
    assert groups is not None
    order, ends = in_order(groups.ids, groups.count)
    parts, bad, start = [], [], 0
    for name, column_name, end in zip(names, culprit, ends, strict=True):
        if name is None:
            bad += [(row, column_name) for row in order.part(8 * start, end - start, 8).tolist()]
        else:
            parts.append(Part(name, start, end - start))
        start = end
    if bad:
        return Partitioned(schema, [], 0, [], sorted(bad))
    filed = [columns[i] if len(parts) < 2 else take(columns[i], order) for i in kept]
    return Partitioned(_of(schema, tuple(kept)), filed, rows, parts, [])


@lru_cache(64)
def _of(schema: pa.Schema, kept: tuple[int, ...]) -> pa.Schema:
    """Some fields of a schema: the same object each time, by which files know it again."""
    return pa.schema([schema.field(i) for i in kept])


def _joined(folders: str | None, folder: str | None) -> str | None:
    if folders is None or folder is None or len(folders) + len(folder) >= FOLDERS_BYTES:
        return None
    return f"{folders}/{folder}"


def _folder(key: str, value: str | None) -> str | None:
    name = f"{key}={value}"
    return None if value is None or len(name) > NAME_BYTES else name
