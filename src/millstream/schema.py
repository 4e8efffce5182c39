"""Columns and their types: the one table of text name, Arrow type and what kernels hold.

In the engine a column is one of five physical kinds, whatever its type: `int64` (all signed integers, unsigned ones to 32
bits, dates and timestamps), `uint64`, `float64` (float32 too), `bool` (a byte a row) and `string` (views). The narrow
type is restored where a column leaves the engine; decoding and casting see to it that values fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from reprlib import repr as shown
from typing import Any, Literal

import pyarrow as pa

from millstream.errors import PlanError


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


@dataclass(frozen=True)
class Type:
    """A column's type: its text name, its Arrow type, and the physical kind that kernels hold."""

    name: str
    arrow: pa.DataType = field(compare=False, repr=False)
    physical: Literal["int64", "uint64", "float64", "bool", "string"]
    family: Literal["bool", "int", "float", "string", "date", "timestamp", "null"]
    bits: int = 64
    signed: bool = True
    unit: str = ""
    zone: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def is_numeric(self) -> bool:
        return self.family in ("int", "float")

    @property
    def is_temporal(self) -> bool:
        return self.family in ("date", "timestamp")

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest integer that fits."""
        if self.family == "date":
            return -(1 << 31), (1 << 31) - 1
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


def _integers() -> Iterator[Type]:
    for bits in (8, 16, 32, 64):
        yield Type(f"int{bits}", getattr(pa, f"int{bits}")(), "int64", "int", bits)
    for bits in (8, 16, 32):
        yield Type(f"uint{bits}", getattr(pa, f"uint{bits}")(), "int64", "int", bits, signed=False)
    yield Type("uint64", pa.uint64(), "uint64", "int", 64, signed=False)


def _timestamps() -> Iterator[Type]:
    for unit in ("s", "ms", "us", "ns"):
        yield Type(f"timestamp[{unit}]", pa.timestamp(unit), "int64", "timestamp", unit=unit)
        yield Type(f"timestamp[{unit}, UTC]", pa.timestamp(unit, "UTC"), "int64", "timestamp", unit=unit, zone="UTC")


TYPES: dict[str, Type] = {
    kind.name: kind
    for kind in (
        Type("bool", pa.bool_(), "bool", "bool", 1),
        *_integers(),
        Type("float32", pa.float32(), "float64", "float", 32),
        Type("float64", pa.float64(), "float64", "float"),
        Type("string", pa.string(), "string", "string"),
        Type("json", pa.string(), "string", "string"),
        Type("date32", pa.date32(), "int64", "date", 32),
        *_timestamps(),
    )
}
"""Every type a column can have, by its text name."""

BOOL, INT64, UINT64, FLOAT64, STRING = (TYPES[name] for name in ("bool", "int64", "uint64", "float64", "string"))

NULL = Type("null", pa.null(), "bool", "null")
"""The type of a bare null literal, before it takes its neighbour's. No column has it."""


_COMMON_NAMES = {"str": "string", "int": "int64", "float": "float64", "double": "float64", "boolean": "bool", "date": "date32"}


def parse_type(text: str) -> Type:
    """The type with this text name; spaces are free. Raises PlanError with the names there are."""
    tidy = re.sub(r"\s*,\s*", ", ", re.sub(r"\s+", "", text.strip()))
    if tidy in TYPES:
        return TYPES[tidy]
    hint = _COMMON_NAMES.get(tidy.lower())
    if hint is None and tidy.startswith(("timestamp", "datetime")):
        hint = "timestamp[us, UTC]"
    advice = f"write {hint!r}" if hint else f"write one of {', '.join(TYPES)}"
    raise PlanError(f"unknown type {text!r}: {advice}")


def from_arrow(arrow: pa.DataType) -> Type | None:
    """The type that stands for an Arrow type, or None. large_string and string_view are string."""
    for kind in TYPES.values():
        if kind.arrow.equals(arrow):
            return kind
    if pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return STRING
    return None


COERCIONS: dict[str, tuple[str, ...]] = {
    "numbers": ("int", "float"),
    "bools": ("bool",),
    "empty": ("bool", "int", "float", "string", "date", "timestamp"),
    "text": ("string",),
    "epoch_s": ("timestamp",),
    "epoch_ms": ("timestamp",),
}
"""What a column may take beside its own JSON type, and the families of types that it is for.

numbers: a number in quotes; bools: true, yes, y, t, 1 and their opposites in quotes, in any case; empty: an empty string as null; text: a
number, true or false as its JSON text; epoch_s, epoch_ms: a number of seconds or milliseconds since 1970.
"""


@dataclass(frozen=True)
class Column:
    """One column of a schema.

    type: a type's text name.
    path: where the value is in a record: None for the column's name, "a.b" or ("a", "b") for a nested field.
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
    """A checked column: its name, type, paths as tuples of keys, and the rest of `Column`."""

    name: str
    type: Type
    paths: tuple[tuple[str, ...], ...]
    default: Any = None
    nullable: bool = True
    on_error: Literal["reject", "null"] = "reject"
    coerce: tuple[str, ...] = ()

    @property
    def holds(self) -> Type:
        """The type of the column once it is decoded: the raw text of a json column is a string."""
        return STRING if self.type.name == "json" else self.type


def _split(name: str, path: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    keys = tuple(path.split(".")) if isinstance(path, str) else tuple(path) if isinstance(path, tuple | list) else ()
    if not keys or not all(isinstance(key, str) for key in keys):
        raise PlanError(f"column {name!r}: path {shown(path)} is not a key or keys; write 'a.b' or ('a', 'b')")
    return keys


def _field(name: str, given: str | Column | Type) -> Field:
    if not isinstance(name, str) or not name:
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
    first = (name,) if column.path is None else _split(name, column.path)
    if not isinstance(column.aliases, tuple | list):
        raise PlanError(f"column {name!r}: aliases is {shown(column.aliases)}; write a list of paths")
    paths = (first, *(_split(name, alias) for alias in column.aliases))
    default = column.default
    if isinstance(default, str) and kind.is_temporal:  # as pipeline files have it
        try:
            default = (date if kind.family == "date" else datetime).fromisoformat(default)
        except ValueError:
            raise PlanError(f"column {name!r}: default is {shown(default)}, which is no {kind}") from None
    if default is not None:
        check_literal(kind, default, f"column {name!r}: default")
    return Field(name, kind, paths, default, column.nullable, column.on_error, coerce)


def _coercions(name: str, kind: Type, given: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else (given,)
    for one in names:
        if one not in COERCIONS:
            raise PlanError(f"column {name!r}: coerce {one!r} is not known; write some of {', '.join(COERCIONS)}")
        if kind.family not in COERCIONS[one] or kind.name == "json":
            raise PlanError(f"column {name!r}: coerce {one!r} is for columns of {' or '.join(COERCIONS[one])}, not {kind}")
    if "epoch_s" in names and "epoch_ms" in names:
        raise PlanError(f"column {name!r}: coerce has both epoch_s and epoch_ms; a number means one of them")
    return names


def check_literal(kind: Type, value: Any, what: str) -> None:
    """Raise PlanError unless a Python value fits a type."""
    try:
        pa.scalar(value, kind.arrow)
        fits = isinstance(value, bool) == (kind.family == "bool")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        fits = False
    if not fits:
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
        raise PlanError(f"column {one.name!r}: Arrow type {one.type} has no counterpart; cast it to one of {', '.join(TYPES)}")
    return Field(one.name, kind, ((one.name,),), None, one.nullable)
