"""Columns as Athena declares them: names, and the type by which it reads what stands in a Parquet file.

Athena reads by Trino's reader. It compares a declared type with the file's physical and logical one, and refuses some pairs; others it
reads wrongly without a word. What is refused here are the latter, and what it has no type for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from millstream.classes import dataclass
from millstream.errors import PlanError
from millstream.types import Type

_NAME = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)
_FIELD_NAME = re.compile(r"[A-Za-z0-9_.]+", re.ASCII)

# An unsigned integer stands in the next larger signed type, for Athena has no others.
_PLAIN = {
    "bool": "boolean",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "smallint",
    "uint16": "int",
    "float32": "float",
    "float64": "double",
    "string": "string",
    "json": "string",
    "binary": "binary",
    "date32": "date",
    "duration[us]": "bigint",
}
_REFUSED = {
    "uint32": "its upper half is read as negative; cast it to int64",
    "uint64": "its upper half is read as negative; cast it to decimal128(20, 0), or to int64 where it fits",
    "time64[us]": "there are no times of day in its tables; cast it to string",
    "timestamp[ns]": "it keeps milliseconds; cast it to timestamp[ms]",
    "timestamp[ns, UTC]": "it keeps milliseconds; cast it to timestamp[ms, UTC]",
}


@dataclass(frozen=True)
class GlueColumn:
    """A column of a table: its name, in lower case, its type as Hive writes it, and what a reader must know of it."""

    name: str
    type: str
    comment: str = ""

    def to_dict(self) -> dict[str, str]:
        """The column as Glue's API has it."""
        told = {"Name": self.name, "Type": self.type}
        return told | {"Comment": self.comment} if self.comment else told


def data_column(name: str, kind: Type) -> GlueColumn:
    """A column of the files. Raises PlanError where Athena cannot read it."""
    return GlueColumn(glue_name(name), _type(kind, name), _comment(kind))


def glue_name(name: str) -> str:
    """A column's name in Glue. Raises PlanError for one that Athena does not take."""
    if not _NAME.fullmatch(name):
        raise PlanError(
            f"column {name!r}: Athena takes names of up to 255 letters, digits and _; rename it in the pipeline, by a step rename"
        )
    return name.lower()


def check_distinct(names: Iterable[str]) -> None:
    """Raise PlanError where names differ in nothing but case, which Athena does not tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise PlanError(
                f"columns {other!r} and {name!r} are one to Athena, which reads names in lower case; rename one of them"
            )


def _type(kind: Type, where: str) -> str:
    if kind.name in _REFUSED:
        raise PlanError(f"column {where} is {kind}, which Athena cannot read: {_REFUSED[kind.name]}")
    match kind.family:
        case "decimal":
            return f"decimal({kind.precision},{kind.scale})"
        case "timestamp":
            return "timestamp"
        case "list":
            return f"array<{_type(kind.children[0][1], f'{where}[]')}>"
        case "map":
            return f"map<string,{_type(kind.children[1][1], f'{where}[]')}>"
        case "struct":
            return f"struct<{','.join(_field(name, one, where) for name, one in _fields(kind, where))}>"
    return _PLAIN[kind.name]


def _fields(kind: Type, where: str) -> tuple[tuple[str, Type], ...]:
    try:
        check_distinct(name for name, _ in kind.children)
    except PlanError as error:
        raise PlanError(f"column {where}: {error}") from None
    return kind.children


def _field(name: str, kind: Type, where: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        raise PlanError(
            f"column {where}: Athena takes fields named by letters, digits, _ and ., not {name!r}; "
            "give the field another name, or read the column as json"
        )
    return f"{name.lower()}:{_type(kind, f'{where}.{name}')}"


def _comment(kind: Type) -> str:
    if kind.family == "duration":
        return "microseconds"
    if kind.family != "timestamp":
        return ""
    said = ["UTC"] if kind.zone else []
    return ", ".join([*said, "rounded to milliseconds"] if kind.unit == "us" else said)
