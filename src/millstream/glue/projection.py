"""Partition columns: the values that Athena is told of, as they stand in folders' names.

Athena puts a value into the location's template as it is. So values are written here as the sink writes them, percent-encoded, and a
query compares with that text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from millstream.classes import dataclass
from millstream.errors import UsageError
from millstream.glue.columns import GlueColumn, glue_name
from millstream.sinks.partition import DEFAULT, folder_value
from millstream.types import Type

_NOW = re.compile(r"NOW([+-]\d{1,9}(YEAR|MONTH|WEEK|DAY)S?)?", re.ASCII)
_ENCODED = "percent-encoded, as in names of folders"


@dataclass(frozen=True)
class Partition:
    """A partition column: its folder as a template, `month=${month}`, and how its values are projected.

    Its type is that of the projection, not the pipeline's: dates are text, for Athena compares projected dates as text.
    """

    column: GlueColumn
    folder: str
    settings: dict[str, str]

    @property
    def properties(self) -> dict[str, str]:
        """What the table's parameters say of it."""
        return {f"projection.{self.column.name}.{name}": value for name, value in self.settings.items()}


def partitions_of(columns: dict[str, Type], by: Sequence[str], given: Sequence[str]) -> tuple[Partition, ...]:
    """The partition columns of an output, with what is `given` as COLUMN=VALUES. Raises UsageError for what does not fit."""
    values: dict[str, str] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not text:
            raise UsageError(f"--projection {one!r} is no COLUMN=VALUES; write month=1..12 or country=DE,FR")
        if name not in by:
            listed = ", ".join(by) if by else "none"
            raise UsageError(f"--projection {one!r}: {name!r} is no partition column; there are: {listed}")
        if name in values:
            raise UsageError(f"--projection names {name!r} twice; write all values in one")
        values[name] = text
    return tuple(_partition(name, columns[name], values.get(name)) for name in by)


def _partition(name: str, kind: Type, text: str | None) -> Partition:
    if text is None and kind.family == "bool":
        text = f"false,true,{DEFAULT}"
    is_range = text is not None and ".." in text and kind.family in ("int", "date", "timestamp")
    declared, comment = "string", _ENCODED if kind.family in ("string", "timestamp") else ""
    if text is None:
        settings = {"type": "injected"}
    elif is_range:
        settings = _range(name, kind, text)
        if kind.family == "int":
            declared = "int" if kind.bits < 32 or (kind.bits == 32 and kind.signed) else "bigint"
    else:
        settings = {"type": "enum", "values": _values(name, kind, text)}
    column = GlueColumn(glue_name(name), declared, comment)
    return Partition(column, f"{name}=${{{column.name}}}", settings)


def _range(name: str, kind: Type, text: str) -> dict[str, str]:
    first, _, last = text.partition("..")
    if kind.family == "timestamp":
        raise UsageError(f"--projection {name}={text}: {kind} has no ranges; partition by a date32, or list values")
    if kind.family == "date":
        bounds = [one if _NOW.fullmatch(one) else _folder(name, kind, one) for one in (first, last)]
        ordered = bounds[0] <= bounds[1] or any(_NOW.fullmatch(one) for one in bounds)
        settings = {"type": "date", "format": "yyyy-MM-dd", "range": ",".join(bounds), "interval": "1", "interval.unit": "DAYS"}
    else:
        bounds = [_folder(name, kind, one) for one in (first, last)]
        ordered = int(bounds[0]) <= int(bounds[1])
        if any(not -(1 << 63) <= int(one) < 1 << 63 for one in bounds):
            raise UsageError(f"--projection {name}={text}: Athena projects integers from -2^63 to 2^63 - 1")
        settings = {"type": "integer", "range": ",".join(bounds)}
    if not ordered:
        raise UsageError(f"--projection {name}={text}: the range ends before it begins")
    return settings


def _values(name: str, kind: Type, text: str) -> str:
    found = [DEFAULT if one == DEFAULT else _folder(name, kind, one) for one in text.split(",")]
    for one in found:
        if found.count(one) > 1:
            raise UsageError(f"--projection {name} lists {one!r} twice")
    return ",".join(found)


def _folder(name: str, kind: Type, text: str) -> str:
    """A value that is written as text, as it stands in a folder's name."""
    try:
        scalar = pa.scalar(text, pa.string()).cast(kind.arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UsageError(f"--projection {name}: {text!r} is no {kind}") from None
    folder = folder_value(kind, scalar.value if kind.is_temporal else scalar.as_py())
    if folder is None:
        raise UsageError(f"--projection {name}: {text!r} names no folder; records with it are rejected (BAD_PARTITION)")
    return folder
