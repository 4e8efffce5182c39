"""The types of columns: the one table of text name, Arrow type and what kernels hold.

In the engine a column is one of eight physical kinds, whatever its type: `int64` (all signed integers, unsigned ones to 32
bits, dates, times, timestamps and durations), `uint64`, `float64` (float32 too), `bool` (a byte a row), `decimal` (16 bytes a
row), `string` (views into bytes: text and binary), `list` (views into rows of other columns: lists and maps) and `struct`. The
narrow type is restored where a column leaves the engine; decoding and casting see to it that values fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal, NoReturn

import pyarrow as pa

from millstream.classes import dataclass, field
from millstream.errors import PlanError

MOST_NESTED = 16
"""How many lists, structs and maps may stand inside one another."""
MOST_DIGITS = 38
"""The digits that a decimal of 128 bits can have."""
DAY_MICROSECONDS = 86_400_000_000


@dataclass(frozen=True)
class Type:
    """A column's type: its text name, its Arrow type, and the physical kind that kernels hold.

    children: the name and type of each column inside: of a list its ("item", T), of a map its ("key", STRING) and
    ("value", T), of a struct its fields.
    """

    name: str
    arrow: pa.DataType = field(compare=False, repr=False)
    physical: Literal["int64", "uint64", "float64", "bool", "string", "decimal", "list", "struct"]
    family: Literal[
        "bool", "int", "float", "string", "date", "timestamp", "null",
        "binary", "decimal", "time", "duration", "list", "struct", "map",
    ]  # fmt: skip
    bits: int = 64
    signed: bool = True
    unit: str = ""
    zone: str = ""
    precision: int = 0
    scale: int = 0
    children: tuple[tuple[str, Type], ...] = ()

    def __str__(self) -> str:
        return self.name

    @cached_property
    def is_numeric(self) -> bool:
        """Is it an integer or a float, so that arithmetic takes it?"""
        return self.family in ("int", "float")

    @cached_property
    def is_temporal(self) -> bool:
        """Is it a point in time: a date or a timestamp?"""
        return self.family in ("date", "timestamp")

    @cached_property
    def is_nested(self) -> bool:
        """Does it hold other columns?"""
        return bool(self.children)

    @cached_property
    def range(self) -> tuple[int, int]:
        """The least and the greatest integer that fits: of a decimal without its point, of times in their unit."""
        if self.family == "decimal":
            return 1 - 10**self.precision, 10**self.precision - 1
        if self.family == "time":
            return 0, DAY_MICROSECONDS - 1
        if self.family == "date":
            return -(1 << 31), (1 << 31) - 1
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    @property
    def leaves(self) -> Iterator[Type]:
        """The types that values have at the ends of all children; a map's keys are not among them."""
        if not self.children:
            yield self
        for _, child in self.children[self.family == "map" :]:
            yield from child.leaves


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
        Type("binary", pa.binary(), "string", "binary"),
        Type("date32", pa.date32(), "int64", "date", 32),
        Type("time64[us]", pa.time64("us"), "int64", "time", unit="us"),
        *_timestamps(),
        Type("duration[us]", pa.duration("us"), "int64", "duration", unit="us"),
    )
}
"""Every type without parameters, by its text name."""

BOOL, INT64, UINT64, FLOAT64, STRING, BINARY = (
    TYPES[name] for name in ("bool", "int64", "uint64", "float64", "string", "binary")
)

NULL = Type("null", pa.null(), "bool", "null")
"""The type of a bare null literal, before it takes its neighbour's. No column has it."""

NAMES = ", ".join((*TYPES, "decimal128(p, s)", "list<T>", "struct<a: T, …>", "map<string, T>"))
"""Every type there is, for messages."""


def decimal_of(precision: int, scale: int) -> Type:
    """decimal128(precision, scale). Raises PlanError where there are no such numbers."""
    name = f"decimal128({precision}, {scale})"
    if not 1 <= precision <= MOST_DIGITS or not 0 <= scale <= precision:
        raise PlanError(
            f"there is no {name}: a decimal has 1 to {MOST_DIGITS} digits, of which the second number are the fraction"
        )
    return Type(name, pa.decimal128(precision, scale), "decimal", "decimal", 128, precision=precision, scale=scale)


def in_unit(kind: Type, unit: str) -> Type:
    """The timestamp of another unit, in the same zone."""
    return TYPES[f"timestamp[{unit}]"] if not kind.zone else in_zone(unit, kind.zone)


def in_zone(unit: str, zone: str) -> Type:
    """timestamp[unit, zone]. UTC's are in the table; others are made by functions, and no column of a schema has them."""
    name = f"timestamp[{unit}, {zone}]"
    return TYPES.get(name) or Type(name, pa.timestamp(unit, zone), "int64", "timestamp", unit=unit, zone=zone)


def list_of(item: Type) -> Type:
    """list<item>."""
    return Type(f"list<{item}>", pa.list_(item.arrow), "list", "list", children=(("item", item),))


def map_of(value: Type) -> Type:
    """map<string, value>."""
    return Type(
        f"map<string, {value}>", pa.map_(pa.string(), value.arrow), "list", "map", children=(("key", STRING), ("value", value))
    )


def struct_of(fields: Iterable[tuple[str, Type]]) -> Type:
    """struct<name: type, …>. Raises PlanError where it has no field, or a field twice."""
    children = tuple(fields)
    if not children:
        raise PlanError("a struct needs at least one field: struct<a: int64>")
    names = [name for name, _ in children]
    for name in names:
        if names.count(name) > 1:
            raise PlanError(f"a struct has the field {name!r} twice; give one another name")
    said = ", ".join(f"{_field_name(name)}: {kind}" for name, kind in children)
    return Type(
        f"struct<{said}>", pa.struct([(name, kind.arrow) for name, kind in children]), "struct", "struct", children=children
    )


def without_json(kind: Type) -> Type:
    """The type with every `json` in it a string, which is what its raw text becomes."""
    if kind.name == "json":
        return STRING
    if "json" not in kind.name:
        return kind
    match kind.family:
        case "list":
            return list_of(without_json(kind.children[0][1]))
        case "map":
            return map_of(without_json(kind.children[1][1]))
        case "struct":
            return struct_of((name, without_json(one)) for name, one in kind.children)
    return kind


# --- text ----------------------------------------------------------------------------------------------------------------

_BARE = r"[A-Za-z0-9_.-](?:[A-Za-z0-9_ .-]*[A-Za-z0-9_.-])?"
_FIELD = re.compile(rf'\s*({_BARE}|"(?:[^"\\]|\\.)*")\s*:')
_WORD = re.compile(r"\s*(\w+)\s*(\[[^\]<>]*\])?\s*", re.ASCII)
_DECIMAL = re.compile(r"\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)\s*", re.ASCII)

_COMMON_NAMES = {
    "str": "string", "int": "int64", "float": "float64", "double": "float64", "boolean": "bool", "date": "date32",
    "bytes": "binary", "time": "time64[us]", "time64": "time64[us]", "duration": "duration[us]", "timedelta": "duration[us]",
    "decimal": "decimal128(18, 2)", "decimal128": "decimal128(18, 2)", "array": "list<string>", "list": "list<string>",
    "struct": "struct<a: int64, b: string>", "object": "struct<a: int64, b: string>", "map": "map<string, string>",
    "dict": "map<string, string>",
}  # fmt: skip


def _field_name(name: str) -> str:
    """A struct's field name as types have it: in quotes where it has other characters than a plain name."""
    return name if re.fullmatch(_BARE, name) else json.dumps(name, ensure_ascii=False)


def parse_type(text: str) -> Type:
    """The type with this text name; spaces are free. Raises PlanError with what cannot be read, and the names there are."""
    return _Reader(text).whole()


class _Reader:
    """Reads a type's text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> Type:
        kind = self.type(0)
        if self.at < len(self.text):
            self.refuse("nothing more")
        return kind

    def type(self, depth: int) -> Type:
        start = self.at
        word = _WORD.match(self.text, self.at)
        if word is None:
            self.unknown(start)
        self.at = word.end()
        name = word[1]
        if name in ("list", "struct", "map") and self.text[self.at : self.at + 1] == "<":
            if depth == MOST_NESTED:
                raise PlanError(f"the type {_short(self.text)} nests more than {MOST_NESTED} deep; read what is inside as json")
            self.at += 1
            return self.nested(name, depth + 1)
        if name == "decimal128" and (digits := _DECIMAL.match(self.text, self.at)):
            self.at = digits.end()
            return decimal_of(int(digits[1]), int(digits[2]))
        tidy = name + re.sub(r"\s*,\s*", ", ", re.sub(r"\s+", "", word[2] or ""))
        if tidy not in TYPES:
            self.unknown(start)
        return TYPES[tidy]

    def nested(self, name: str, depth: int) -> Type:
        if name == "struct":
            fields = [self.field(depth)]
            while self.text[self.at : self.at + 1] == ",":
                self.at += 1
                fields.append(self.field(depth))
            self.expect(">")
            return struct_of(fields)
        first = self.type(depth)
        if name == "list":
            self.expect(">")
            return list_of(first)
        if first is not STRING:
            raise PlanError(f"the keys of a map are string, not {first}; write map<string, {first}>")
        self.expect(",")
        value = self.type(depth)
        self.expect(">")
        return map_of(value)

    def field(self, depth: int) -> tuple[str, Type]:
        found = _FIELD.match(self.text, self.at)
        if found is None:
            self.refuse('a field\'s name and a colon, as in struct<a: int64, "b c!": string>')
        name = found[1]
        if name.startswith('"'):
            try:
                name = json.loads(name)
                name.encode()
            except ValueError:
                self.refuse("a name in quotes as JSON has them")
        self.at = found.end()
        return name, self.type(depth)

    def expect(self, mark: str) -> None:
        if self.text[self.at : self.at + 1] != mark:
            self.refuse(repr(mark))
        while self.text[self.at + 1 : self.at + 2].isspace():
            self.at += 1
        self.at += 1

    def refuse(self, wanted: str) -> NoReturn:
        here = _short(self.text[self.at :]) if self.at < len(self.text) else "its end"
        raise PlanError(f"the type {_short(self.text)} cannot be read at {here}: it needs {wanted} there")

    def unknown(self, start: int) -> NoReturn:
        """No type begins at `start`."""
        end = re.compile(r",(?![^(]*\))|[<>]|$").search(self.text, start)
        part = self.text[start : end.start() if end else None].strip() if start or "<" in self.text else self.text
        word = re.match(r"\s*(\w*)", part)
        hint = _COMMON_NAMES.get(word[1].lower() if word else "")
        if hint is None and part.startswith(("timestamp", "datetime")):
            hint = "timestamp[us, UTC]"
        within = "" if part.strip() == self.text.strip() else f" in {_short(self.text)}"
        raise PlanError(f"unknown type {_short(part)}{within}: " + (f"write {hint!r}" if hint else f"write one of {NAMES}"))


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:119] + "…")


# --- Arrow ---------------------------------------------------------------------------------------------------------------

_BY_ARROW = {kind.arrow: kind for kind in reversed(TYPES.values())}  # string, not json, stands for Arrow's string


def from_arrow(arrow: pa.DataType) -> Type | None:
    """The type that stands for an Arrow type, or None.

    The large and view layouts of string and binary, fixed_size_binary, large_list and fixed_size_list are what they hold.
    """
    try:
        return _from_arrow(arrow, 0)
    except PlanError:  # a struct without fields, or with one twice; a decimal with a negative scale
        return None


def _from_arrow(arrow: pa.DataType, depth: int) -> Type | None:
    kind = _BY_ARROW.get(arrow)
    if kind is not None:
        return kind
    is_a = pa.types
    if is_a.is_large_string(arrow) or is_a.is_string_view(arrow):
        return STRING
    if is_a.is_large_binary(arrow) or is_a.is_binary_view(arrow) or is_a.is_fixed_size_binary(arrow):
        return BINARY
    if is_a.is_decimal128(arrow):
        return decimal_of(arrow.precision, arrow.scale)
    if depth == MOST_NESTED:
        return None
    if is_a.is_struct(arrow):
        fields = [(one.name, _from_arrow(one.type, depth + 1)) for one in arrow]
        return struct_of((name, one) for name, one in fields if one) if all(one for _, one in fields) else None
    if is_a.is_map(arrow):
        value = _from_arrow(arrow.item_type, depth + 1)
        return map_of(value) if value and _from_arrow(arrow.key_type, depth) is STRING else None
    if is_a.is_list(arrow) or is_a.is_large_list(arrow) or is_a.is_fixed_size_list(arrow):
        item = _from_arrow(arrow.value_type, depth + 1)
        return list_of(item) if item else None
    return None
