"""Columns by name: their types, where their values are in a record, and what becomes of values that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import time, timedelta
from enum import IntEnum
from functools import cached_property
from reprlib import repr as shown
from typing import Any, Literal

import pyarrow as pa

from millstream.classes import dataclass
from millstream.errors import PlanError
from millstream.types import (
    BINARY,
    BOOL,
    FLOAT64,
    INT64,
    NAMES,
    NULL,
    STRING,
    TYPES,
    UINT64,
    Type,
    from_arrow,
    parse_type,
    without_json,
)
from millstream.values import from_text

__all__ = [
    "BINARY", "BOOL", "COERCIONS", "FLOAT64", "INT64", "NULL", "REST", "STRING", "TYPES", "UINT64",
    "Code", "Column", "Disposition", "Field", "Schema", "Type", "check_literal", "from_arrow", "parse_type",
]  # fmt: skip


class Code(IntEnum):
    """Why a record was rejected. The numbers are those of kernels, where 0 is null and 1 valid; the names are public."""

    BAD_JSON = 2
    NOT_OBJECT = 3
    BAD_UTF8 = 4
    TOO_DEEP = 5
    TOO_LONG = 6
    MISSING = 7
    NOT_NULL = 8
    BAD_TYPE = 9
    BAD_NUMBER = 10
    OUT_OF_RANGE = 11
    BAD_TIME = 12
    BAD_VALUE = 13
    BAD_CSV = 14
    BAD_AGGREGATE = 15
    BAD_COMPRESSION = 16
    TOO_LARGE = 17
    BAD_PARTITION = 18
    NO_MATCH = 19
    RULE_FAILED = 20
    UDF_FAILED = 21


class Disposition(IntEnum):
    """What became of a record."""

    KEPT = 0
    FILTERED = 1
    DUPLICATE = 2
    REJECTED = 3
    FAILED = 4


COERCIONS: dict[str, tuple[str, ...]] = {
    "numbers": ("int", "float", "decimal"),
    "bools": ("bool",),
    "empty": ("bool", "int", "float", "string", "date", "timestamp", "binary", "decimal", "time", "duration"),
    "text": ("string",),
    "epoch_s": ("timestamp",),
    "epoch_ms": ("timestamp",),
    "hex": ("binary",),
    "round": ("decimal",),
    "seconds": ("duration",),
    "milliseconds": ("duration",),
}
"""What a column may take beside its own JSON type, and the families of types that it is for.

numbers: a number in quotes; bools: true, yes, y, t, 1 and their opposites in quotes, in any case; empty: an empty string as null; text: a
number, true or false as its JSON text; epoch_s, epoch_ms: a number of seconds or milliseconds since 1970; hex: hexadecimal digits in
place of base64; round: digits beyond a decimal's scale, rounded half to even; seconds, milliseconds: a number in place of ISO 8601.

Of a list, struct or map each is for the values inside that it fits.
"""
_EITHER = (("epoch_s", "epoch_ms"), ("seconds", "milliseconds"))

REST = "*"
"""The path of a column that takes all fields that no other column reads."""


@dataclass(frozen=True)
class Column:
    """One column of a schema.

    type: a type's text name.
    path: where the value is in a record: None for the column's name, "a.b" or ("a", "b") for a nested field; "*" in a json column
    for one object of all the fields that no other column reads.
    aliases: other paths it may be found at.
    default: the value where the key is absent (an explicit null stays null).
    nullable: False rejects a record with null (NOT_NULL) or without the key and a default (MISSING).
    on_error: "reject" the record whose value does not fit, or make the value "null" and count it.
    coerce: what is taken beside the JSON type of the column, a name or several of `COERCIONS`.
    """

    type: str | Type
    path: str | tuple[str, ...] | None = None
    aliases: tuple[str | tuple[str, ...], ...] = ()
    default: Any = None
    nullable: bool = True
    on_error: Literal["reject", "null"] = "reject"
    coerce: str | tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A checked column: its name, type, paths as tuples of keys, and the rest of `Column`.

    rest: it takes, as one JSON object, all fields that no other column reads. It has no paths.
    """

    name: str
    type: Type
    paths: tuple[tuple[str, ...], ...]
    default: Any = None
    nullable: bool = True
    on_error: Literal["reject", "null"] = "reject"
    coerce: tuple[str, ...] = ()
    rest: bool = False

    @cached_property
    def holds(self) -> Type:
        """The type of the column once it is decoded: the raw text of json, alone or inside another type, is a string."""
        return without_json(self.type)


def _is_text(name: str) -> bool:
    """Can it stand in JSON? A lone surrogate cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(name: str, path: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    keys = tuple(path.split(".")) if isinstance(path, str) else tuple(path) if isinstance(path, tuple | list) else ()
    if not keys or not all(isinstance(key, str) and _is_text(key) for key in keys):
        raise PlanError(f"column {name!r}: path {shown(path)} is not a key or keys; write 'a.b' or ('a', 'b')")
    return keys


def _field(name: str, given: str | Column | Type) -> Field:
    if not isinstance(name, str) or not name or not _is_text(name):
        raise PlanError(f"a column name is a non-empty string, not {name!r}")
    column = given if isinstance(given, Column) else Column(given)
    try:
        kind = column.type if isinstance(column.type, Type) else parse_type(str(column.type))
    except PlanError as error:
        raise PlanError(f"column {name!r}: {error}") from None
    if not isinstance(column.nullable, bool):
        raise PlanError(f"column {name!r}: nullable is {shown(column.nullable)}; write true or false")
    if column.on_error not in ("reject", "null"):
        raise PlanError(f"column {name!r}: on_error is {column.on_error!r}; write 'reject' or 'null'")
    if column.on_error == "null" and not column.nullable:
        raise PlanError(f"column {name!r}: on_error 'null' needs a nullable column; drop one of the two")
    coerce = _coercions(name, kind, column.coerce)
    if not isinstance(column.aliases, tuple | list):
        raise PlanError(f"column {name!r}: aliases is {shown(column.aliases)}; write a list of paths")
    if REST in column.aliases:
        raise PlanError(f"column {name!r}: '*' is no alias; for a key that is called so write ('*',)")
    rest = column.path == REST
    if rest and (kind.name != "json" or column.aliases or column.default is not None):
        raise PlanError(f"column {name!r}: path '*' is for a json column without aliases and default; write type: json")
    first = (name,) if column.path is None else _split(name, column.path)
    paths = () if rest else (first, *(_split(name, alias) for alias in column.aliases))
    return Field(name, kind, paths, _default(name, kind, column.default), column.nullable, column.on_error, coerce, rest)


def _default(name: str, kind: Type, default: Any) -> Any:
    """The default as a value of the type; text stands for what pipeline files cannot write."""
    if default is None:
        return None
    if kind.is_nested:
        raise PlanError(f"column {name!r}: {kind} takes no default; leave it out: an absent key is null")
    if isinstance(default, str):
        try:
            default = from_text(kind, default)
        except ValueError:
            raise PlanError(
                f"column {name!r}: default is {shown(default)}, which is no {kind}; {_DEFAULTS[kind.family]}"
            ) from None
    if kind.family == "decimal" and isinstance(default, float):
        raise PlanError(f"column {name!r}: default is a float, which is no {kind}; {_DEFAULTS['decimal']}")
    check_literal(kind, default, f"column {name!r}: default")
    return default


_DEFAULTS = {
    "date": "write '2024-01-31'",
    "timestamp": "write '2024-01-31T12:00:00'",
    "time": "write '12:30:00'",
    "duration": "write ISO 8601 such as 'P1DT2H' or 'PT0.5S'",
    "decimal": "write its digits in quotes: '12.50'",
    "binary": "write base64",
}


def _coercions(name: str, kind: Type, given: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else (given,)
    families = {one.family for one in kind.leaves if one.name != "json"}
    for one in names:
        if not isinstance(one, str) or one not in COERCIONS:
            raise PlanError(f"column {name!r}: coerce {one!r} is not known; write some of {', '.join(COERCIONS)}")
        if families.isdisjoint(COERCIONS[one]):
            raise PlanError(f"column {name!r}: coerce {one!r} is for columns of {' or '.join(COERCIONS[one])}, not {kind}")
    for either, other in _EITHER:
        if either in names and other in names:
            raise PlanError(f"column {name!r}: coerce has both {either} and {other}; a number means one of them")
    return names


_PYTHON: dict[str, type | tuple[type, ...]] = {"string": str, "binary": bytes, "time": time, "duration": timedelta}


def check_literal(kind: Type, value: Any, what: str) -> None:
    """Raise PlanError unless a Python value fits a type."""
    try:
        pa.scalar(value, kind.arrow)
        fits = isinstance(value, bool) == (kind.family == "bool") and isinstance(value, _PYTHON.get(kind.family, object))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError):
        fits = False
    if not fits or (kind.family == "time" and value.tzinfo is not None):
        raise PlanError(f"{what} is {shown(value)}, which is no {kind}")


class Schema(Mapping[str, Field]):
    """An ordered set of columns: Schema({"price": "float64", "session": Column("string", path="session.id")}).

    A pyarrow.Schema, a Schema or a mapping may be given. Raises PlanError naming the column that cannot be.
    """

    def __init__(self, columns: Mapping[str, str | Column | Type] | pa.Schema | Schema) -> None:
        if isinstance(columns, Schema):
            fields = list(columns.values())
        elif isinstance(columns, pa.Schema):
            fields = [_from_arrow_field(one) for one in columns]
        elif isinstance(columns, Mapping):
            given: Any = columns
            fields = [_field(name, one) for name, one in given.items()]
        else:
            raise PlanError(f"a schema is a mapping of names to types or a pyarrow.Schema, not {type(columns).__name__}")
        if not fields:
            raise PlanError("a schema needs at least one column")
        self._fields = {one.name: one for one in fields}
        if len(self._fields) != len(fields):
            raise PlanError("a schema names a column twice")
        self._check_paths()

    def _check_paths(self) -> None:
        rest = [one.name for one in self._fields.values() if one.rest]
        if len(rest) > 1:
            raise PlanError(f"columns {rest[0]!r} and {rest[1]!r} both read '*', what no other column reads; keep one of them")
        taken: dict[tuple[str, ...], str] = {}
        for one in self._fields.values():
            for path in one.paths:
                if path in taken:
                    raise PlanError(
                        f"columns {taken[path]!r} and {one.name!r} both read {'.'.join(path)!r}; "
                        f"read it once and copy it with with_columns({one.name}=col({taken[path]!r}))"
                    )
                taken[path] = one.name
        for path, name in taken.items():
            for length in range(1, len(path)):
                if path[:length] in taken:
                    raise PlanError(
                        f"column {taken[path[:length]]!r} reads {'.'.join(path[:length])!r} as a value "
                        f"and column {name!r} reads {'.'.join(path)!r} inside it; drop one of them"
                    )

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Schema({ {name: str(one.type) for name, one in self._fields.items()} })"

    @property
    def arrow(self) -> pa.Schema:
        """The same columns as a pyarrow.Schema."""
        return pa.schema([pa.field(one.name, one.type.arrow, one.nullable) for one in self._fields.values()])


def _from_arrow_field(one: pa.Field) -> Field:
    kind = from_arrow(one.type)
    if kind is None:
        raise PlanError(f"column {one.name!r}: Arrow type {one.type} has no counterpart; cast it to one of {NAMES}")
    return Field(one.name, kind, ((one.name,),), None, one.nullable)
