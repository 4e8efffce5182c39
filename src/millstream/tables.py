"""A small table to join with: given as a pyarrow table, or read from a csv or parquet file when the pipeline is planned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from millstream.classes import dataclass
from millstream.errors import PlanError
from millstream.schema import Type, from_arrow
from millstream.types import NAMES

if TYPE_CHECKING:
    from millstream.columns import Vector
    from millstream.hashing import Table

MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Lookup:
    """A table and its key column. Make it with `lookup(...)`."""

    source: Any
    key: str


@dataclass(frozen=True)
class Loaded:
    """A lookup in memory: its hashed keys, and its other columns as vectors."""

    table: Table
    columns: dict[str, Vector]


def lookup(source: pa.Table | pa.RecordBatch | str | os.PathLike[str], key: str) -> Lookup:
    """A small table for `Pipeline.join`: a pyarrow table, or the path of a csv or parquet file.

    key: the column of the table that is looked up; its values are unique. Raises PlanError for what is no table.
    """
    if not isinstance(source, pa.Table | pa.RecordBatch | str | os.PathLike):
        raise PlanError(
            f"lookup takes a pyarrow table or a path, not {type(source).__name__}; for a mapping write pa.table({{...}})"
        )
    if not isinstance(key, str) or not key:
        raise PlanError(f"lookup: key is the name of a column, not {key!r}")
    return Lookup(source if isinstance(source, pa.Table | pa.RecordBatch) else os.fspath(source), key)


def load(one: Lookup, kind: Type) -> Loaded:
    """Read a lookup whose keys are compared with a column of type `kind`. Raises PlanError saying what does not fit."""
    from millstream.columns import open_array
    from millstream.hashing import Table

    if kind.family == "float":
        raise PlanError("a float cannot be a join key: 0.1 + 0.2 is not 0.3; cast it to an integer or a string")
    if kind.is_nested:
        raise PlanError(f"{kind} cannot be a join key; join on a column with one value a row")
    table = _read(one, kind) if isinstance(one.source, str) else one.source
    where = f"the lookup {one.source!r}" if isinstance(one.source, str) else "the lookup"
    if one.key not in table.column_names:
        raise PlanError(f"{where} has no column {one.key!r} to be the key; it has {', '.join(table.column_names)}")
    if len(set(table.column_names)) < table.num_columns:
        raise PlanError(f"{where} names a column twice: {', '.join(table.column_names)}; rename one of them")
    keys = _keys(_array(table, one.key), kind, f"{where}: key {one.key!r}")
    columns: dict[str, Vector] = {}
    for name in table.column_names:
        array = _array(table, name)
        if name == one.key:
            continue
        if from_arrow(array.type) is None:
            raise PlanError(
                f"{where}: column {name!r} has Arrow type {array.type}; drop it from the table or cast it to one of {NAMES}"
            )
        columns[name] = open_array(array)
    hashed = Table(open_array(keys))
    if hashed.duplicate is not None:
        raise PlanError(
            f"{where}: key {one.key!r} holds the same value more than once (again in row {hashed.duplicate}); make its values unique"
        )
    return Loaded(hashed, columns)


def _array(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column


def _keys(array: pa.Array, kind: Type, what: str) -> pa.Array:
    """The keys with exactly the physical values that a column of `kind` has."""
    own = from_arrow(array.type)
    if own is None or own.family != kind.family:
        raise PlanError(
            f"{what} is {own or array.type}, the column it is joined on is {kind}; cast the column to {own or array.type}"
        )
    target = {"int64": pa.int64(), "uint64": pa.uint64()}[kind.physical] if kind.family == "int" else kind.arrow
    if array.type.equals(target):
        return array  # Arrow's cast imports pyarrow.compute
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        raise PlanError(
            f"{what} is {own} and holds values that are no {kind}; cast the column it is joined on to {own}"
        ) from None


def _read(one: Lookup, kind: Type) -> pa.Table:
    """The table in a file. A csv file's keys are read as text where the joined column is text, so that '007' stays so."""
    from pathlib import Path

    path = Path(one.source)
    ending = path.suffix.lower()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PlanError(f"the lookup {one.source!r} is larger than 1 GiB; a lookup is a small table")
        if ending == ".csv":
            from pyarrow import csv

            options = csv.ConvertOptions(column_types={one.key: kind.arrow} if kind.family in ("string", "decimal") else {})
            return csv.read_csv(path, convert_options=options)
        if ending in (".parquet", ".pq"):
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path)
    except OSError as error:
        raise PlanError(f"the lookup {one.source!r} cannot be read: {error.strerror or error}") from None
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise PlanError(f"the lookup {one.source!r} cannot be read: {str(error).splitlines()[0]}") from None
    raise PlanError(
        f"the lookup {one.source!r} is neither .csv nor .parquet; give it that ending, or read it and pass a pyarrow.Table"
    )
