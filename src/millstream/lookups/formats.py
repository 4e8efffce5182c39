"""The bytes of a lookup's file as a table: CSV, Parquet, JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from millstream.decode.chunks import read_chunks, suffix_of
from millstream.decode.compression import BytesSource, open_stream
from millstream.decode.json import JsonDecoder
from millstream.decode.rejects import MESSAGES
from millstream.errors import PlanError
from millstream.schema import Schema
from millstream.tables import Lookup

MOST_BYTES = 1 << 30
"""How large a lookup may be, as it is stored and decompressed."""

_PARQUET = (".parquet", ".pq")
_JSON = (".json", ".ndjson", ".jsonl")


def checked_format(one: Lookup) -> None:
    """Raise PlanError for a file that is none of those which can be read, or whose columns are told what it cannot do."""
    suffix = suffix_of(one.source)
    if suffix not in (".csv", *_PARQUET, *_JSON):
        raise PlanError(
            f"{one.told} cannot be read: it is neither .csv nor .parquet nor .json; "
            "give it that ending, or read it and pass a pyarrow.Table"
        )
    if suffix not in _JSON and one.schema is not None:
        for field in one.schema.values():
            if (
                field.paths != ((field.name,),)
                or field.default is not None
                or not field.nullable
                or field.coerce
                or field.on_error != "reject"
            ):
                raise PlanError(f"{one.told}: column {field.name!r} of its schema may say its type and no more, but in JSON")


def parsed(one: Lookup, data: bytes, types: Mapping[str, pa.DataType], is_whole: bool) -> pa.Table:
    """The table in a file of a lookup, of the format that its name tells.

    types: what columns are to be; is_whole: others are wanted as well, as they are. Raises PlanError for what cannot be read.
    """
    suffix = suffix_of(one.source)
    try:
        if suffix == ".csv":
            table = _from_csv(data, one.source, types)
        elif suffix in _PARQUET:
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(pa.BufferReader(data))
        else:
            table = _from_json(one, data)
        return table if is_whole else _conformed(one, table, types)
    except pa.ArrowException as error:
        raise PlanError(f"{one.told} cannot be read: {_without_values(str(error))}") from None
    except (ValueError, OverflowError) as error:
        raise PlanError(f"{one.told} cannot be read: {error}") from None


def _from_csv(data: bytes, name: str, types: Mapping[str, pa.DataType]) -> pa.Table:
    from pyarrow import csv

    with open_stream(BytesSource(data, name), max_bytes=MOST_BYTES) as stream:
        if not stream.is_plain:
            data = b"".join(iter(lambda: stream.read(1 << 20), b""))
        if stream.fault is not None:
            raise ValueError(stream.fault[1])
    options = csv.ConvertOptions(column_types=dict(types))
    return csv.read_csv(pa.BufferReader(data), convert_options=options)


def _from_json(one: Lookup, data: bytes) -> pa.Table:
    tables, rows = [], list[Any]()
    for chunk in read_chunks(BytesSource(data, one.source), max_bytes=MOST_BYTES, chunk_bytes=MOST_BYTES):
        if chunk.faults:
            raise ValueError(f"record {chunk.first + chunk.payloads.count}: {chunk.faults[0].message}")
        if one.schema is not None:
            tables.append(_decoded(one.schema, chunk.payloads, chunk.first))
        else:
            import orjson

            rows += [orjson.loads(chunk.payload(i)) for i in range(chunk.payloads.count)]
    if one.schema is not None:
        return pa.concat_tables(tables) if tables else one.schema.arrow.empty_table()
    wrong = next((at for at, row in enumerate(rows) if not isinstance(row, dict)), None)
    if wrong is not None:
        raise ValueError(f'record {wrong}: it is no object; write {{"code": "US", …}} for each')
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


def _decoded(schema: Schema, payloads: Any, first: int) -> pa.Table:
    from millstream.columns import close

    decoded = JsonDecoder(tuple(schema.values())).decode(payloads)
    if decoded.rejects:
        bad = decoded.rejects[0]
        where = f", column {bad.column!r}" if bad.column else ""
        raise ValueError(f"record {first + bad.position}{where}: {MESSAGES.get(bad.code, bad.code.name)}")
    return pa.table([close(decoded.columns[name]) for name in schema], names=list(schema))


def _conformed(one: Lookup, table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """These columns, of these types."""
    columns = {}
    for name, kind in types.items():
        found = table.schema.get_all_field_indices(name)
        if len(found) != 1:
            raise PlanError(f"{one.told} has {len(found) or 'no'} column{'s'[: len(found)]} {name!r}; it has {_listed(table)}")
        column = table.column(found[0])
        columns[name] = cast(column, kind)
    return pa.table(columns)


# Between the first quote of a kind and the last: a value may hold quotes.
_VALUES = re.compile(
    r"""'.*'|".*"|(?<=[Vv]alue )-?[0-9][0-9.eE+-]*|(?<=[Cc]onvert )[^'"].*?(?= with type)|(?<=: )-?[0-9]+$|(?<=, got )([0-9]+):.*""",
    re.DOTALL,
)


def _without_values(text: str) -> str:
    """What a library says of a table, without what is in it: it goes to a log."""
    return _VALUES.sub(lambda found: found[1] or "…", text).splitlines()[0]


def cast(array: Any, kind: pa.DataType) -> Any:
    """An array as another type. Raises ArrowInvalid for values that do not fit."""
    if array.type.equals(kind):
        return array  # Arrow's cast imports pyarrow.compute
    if pa.types.is_decimal(kind) and pa.types.is_integer(array.type):  # Arrow wants room for any integer first
        array = array.cast(pa.decimal128(38, kind.scale))
    return array.cast(kind)


def _listed(table: pa.Table) -> str:
    return ", ".join(table.column_names)
