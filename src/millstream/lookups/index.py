"""A lookup in memory: its keys hashed or its ranges sorted, and its other columns as the engine has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from millstream.classes import Protocol, dataclass
from millstream.columns import Vector, open_array, take_all
from millstream.errors import PlanError
from millstream.hashing import Table
from millstream.lookups.matching import defaults_of, with_defaults
from millstream.lookups.ranges import RangeIndex
from millstream.native.memory import Memory
from millstream.schema import Type, from_arrow
from millstream.tables import Lookup
from millstream.types import NAMES


class Index(Protocol):
    """Finds rows of a table."""

    def probe(self, keys: Sequence[Vector]) -> Memory:
        """For each row of these columns a row of the table, -1 where it has none."""


@dataclass(frozen=True)
class Loaded:
    """A lookup in memory. default_row: the row behind its last one, which holds what is given where nothing is found."""

    index: Index
    columns: Mapping[str, Vector]
    default_row: int

    @property
    def fields(self) -> dict[str, Type]:
        """The columns' types."""
        return {name: one.type for name, one in self.columns.items()}


def checked_kinds(one: Lookup, kinds: Sequence[Type]) -> None:
    """Raise PlanError where columns of these types cannot be what a lookup is asked with."""
    for name, kind in zip(one.asks, kinds, strict=True):
        if kind.is_nested:
            raise PlanError(f"{kind} cannot be a join key; join on a column with one value a row")
        if name in one.key and kind.family == "float":
            raise PlanError("a float cannot be a join key: 0.1 + 0.2 is not 0.3; cast it to an integer or a string")
    if one.range is None:
        return
    kind = kinds[-1]
    if one.range.form == "range" and kind.family in ("string", "binary", "bool"):
        advice = "; for IP addresses write ip_range or cidr" if kind.family == "string" else ""
        raise PlanError(f"{kind} has no ranges; join on a number, a date or a time{advice}")
    if one.range.form != "range" and kind.family not in ("string", "int"):
        raise PlanError(f"{kind} holds no IP addresses; join on text, or on IPv4 addresses as integers")


def key_types(one: Lookup, kinds: Sequence[Type]) -> dict[str, pa.DataType]:
    """The types that a text file's keys and ranges are read as, so that '007' stays text and 1.10 a decimal."""
    types = {name: kind.arrow for name, kind in zip(one.key, kinds, strict=False) if kind.family in ("string", "decimal")}
    if one.range is not None:
        types |= dict.fromkeys(one.range.columns, kinds[-1].arrow if one.range.form == "range" else pa.string())
    return types


def loaded(one: Lookup, table: pa.Table | pa.RecordBatch, kinds: Sequence[Type], policy: Any) -> Loaded:
    """A table as a lookup that is asked with columns of these types. Raises PlanError saying what does not fit."""
    for name in one.columns:
        if name not in table.column_names:
            what = "the key" if name in one.key else f"its {one.range.form if one.range else ''}"
            raise PlanError(f"{one.told} has no column {name!r} to be {what}; it has {', '.join(table.column_names)}")
    if len(set(table.column_names)) < table.num_columns:
        raise PlanError(f"{one.told} names a column twice: {', '.join(table.column_names)}; rename one of them")
    keys = [
        open_array(_keys(array_of(table, name), kind, f"{one.told}: key {name!r}"))
        for name, kind in zip(one.key, kinds, strict=False)
    ]
    arrays = _added(one, table)
    defaults = defaults_of(policy, {name: _kind(array) for name, array in arrays.items()}, one.told)
    if defaults is not None:
        arrays = {name: with_defaults(array, defaults[name]) for name, array in arrays.items()}
    columns = {name: open_array(array) for name, array in arrays.items()}
    if one.range is None:
        return Loaded(_hashed(one, keys), columns, table.num_rows)
    ranges = RangeIndex(one, keys, [array_of(table, name) for name in one.range.columns], kinds[-1])
    order = ranges.order if defaults is not None else ranges.order.part(0, table.num_rows, 8)
    return Loaded(ranges, dict(zip(columns, take_all(list(columns.values()), order), strict=True)), table.num_rows)


def array_of(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """A column in one piece."""
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column


def _added(one: Lookup, table: pa.Table | pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns that a join adds, as the engine has them."""
    found = {}
    for name in table.column_names:
        if name in one.columns:
            continue
        array = array_of(table, name)
        kind = from_arrow(array.type)
        if kind is None:
            raise PlanError(
                f"{one.told}: column {name!r} has Arrow type {array.type}; drop it from the table or cast it to one of {NAMES}"
            )
        found[name] = array if array.type.equals(kind.arrow) else array.cast(kind.arrow)
    return found


def _kind(array: pa.Array) -> Type:
    kind = from_arrow(array.type)
    assert kind is not None
    return kind


def _hashed(one: Lookup, keys: Sequence[Vector]) -> Table:
    table = Table(keys, keep_last=one.keep == "last")
    if table.duplicate is not None and one.keep == "none":
        named = " and ".join(repr(name) for name in one.key)
        raise PlanError(
            f"{one.told}: key {named} holds the same value more than once (again in row {table.duplicate}); "
            "make its values unique, or write keep='first' or 'last'"
        )
    return table


def joined_type(kind: Type) -> pa.DataType:
    """The Arrow type that keys have, to be compared with a column of a type."""
    return {"int64": pa.int64(), "uint64": pa.uint64()}[kind.physical] if kind.family == "int" else kind.arrow


def _keys(array: pa.Array, kind: Type, what: str) -> pa.Array:
    """The keys with exactly the physical values that a column of `kind` has."""
    own = from_arrow(array.type)
    if pa.types.is_null(array.type):  # of a table without rows
        return pa.nulls(len(array), kind.arrow)
    if own is None or own.family != kind.family:
        raise PlanError(
            f"{what} is {own or array.type}, the column it is joined on is {kind}; cast the column to {own or array.type}"
        )
    target = joined_type(kind)
    if array.type.equals(target):
        return array  # Arrow's cast imports pyarrow.compute
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        raise PlanError(
            f"{what} is {own} and holds values that are no {kind}; cast the column it is joined on to {own}"
        ) from None
