"""A Parquet file's schema and metadata."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from millstream._version import __version__
from millstream.classes import dataclass
from millstream.schema import from_arrow
from millstream.sinks import thrift
from millstream.sinks.pages import decimal_bytes, physical_type
from millstream.types import Type

REQUIRED, OPTIONAL, REPEATED = 0, 1, 2
_UTF8, _MAP, _LIST, _DECIMAL, _DATE, _TIMESTAMP_MILLIS, _TIMESTAMP_MICROS = 0, 1, 3, 5, 6, 9, 10
_UNSIGNED, _SIGNED = {8: 11, 16: 12, 32: 13, 64: 14}, {8: 15, 16: 16}
_UNITS = {"s": 1, "ms": 1, "us": 2, "ns": 3}  # the format has no seconds: they are told in milliseconds
_CREATED_BY = f"millstream version {__version__}"


@dataclass(frozen=True)
class Described:
    """A schema: the name and nullability of each column, its elements in a file, and what Arrow's readers take the types from."""

    schema: pa.Schema
    fields: list[tuple[str, bool]]
    elements: thrift.Value
    arrow: bytes


_described: dict[int, Described] = {}
"""By the identity of schemas: a pipeline's is always the same object, and to hash or compare one takes longer than to write a page."""


def described(schema: pa.Schema) -> Described:
    """What files say of a schema."""
    found = _described.get(id(schema))
    if found is None:
        elements = [_element("schema", None, None, children=len(schema))]
        for one in schema:
            kind = from_arrow(one.type)
            assert kind is not None
            elements += _elements(one.name, kind, OPTIONAL if one.nullable else REQUIRED)
        found = Described(
            schema,
            [(one.name, one.nullable) for one in schema],
            thrift.sequence(thrift.STRUCT, elements),
            base64.b64encode(schema.serialize()),
        )
        if len(_described) >= 64:
            _described.clear()
        _described[id(schema)] = found  # it holds the schema, so that no other gets that number
    return found


def _elements(name: str, kind: Type, repetition: int) -> Iterator[thrift.Value]:
    match kind.family:
        case "struct":
            yield _element(name, None, repetition, children=len(kind.children))
            for child, inner in kind.children:
                yield from _elements(child, inner, OPTIONAL)
        case "list":
            yield _element(name, None, repetition, children=1, converted=_LIST, logical=(3, thrift.EMPTY))
            yield _element("list", None, REPEATED, children=1)
            yield from _elements("element", kind.children[0][1], OPTIONAL)
        case "map":
            yield _element(name, None, repetition, children=1, converted=_MAP, logical=(2, thrift.EMPTY))
            yield _element("key_value", None, REPEATED, children=2)
            yield from _elements("key", kind.children[0][1], REQUIRED)
            yield from _elements("value", kind.children[1][1], OPTIONAL)
        case _:
            yield _element(name, kind, repetition, converted=_converted(kind), logical=_logical(kind))


def _element(
    name: str,
    kind: Type | None,
    repetition: int | None,
    *,
    children: int | None = None,
    converted: int | None = None,
    logical: tuple[int, thrift.Value] | None = None,
) -> thrift.Value:
    is_decimal = kind is not None and kind.family == "decimal"
    return thrift.struct(
        (
            (1, None if kind is None else thrift.i32(physical_type(kind))),
            (2, thrift.i32(decimal_bytes(kind)) if kind is not None and is_decimal else None),
            (3, None if repetition is None else thrift.i32(repetition)),
            (4, thrift.text(name)),
            (5, None if children is None else thrift.i32(children)),
            (6, None if converted is None else thrift.i32(converted)),
            (7, thrift.i32(kind.scale) if kind is not None and is_decimal else None),
            (8, thrift.i32(kind.precision) if kind is not None and is_decimal else None),
            (10, None if logical is None else thrift.struct((logical,))),
        )
    )


def _converted(kind: Type) -> int | None:
    match kind.family:
        case "string":
            return _UTF8
        case "decimal":
            return _DECIMAL
        case "date":
            return _DATE
        case "timestamp" if kind.zone:  # without a zone, readers of the old kind would take it for UTC
            return {"s": _TIMESTAMP_MILLIS, "ms": _TIMESTAMP_MILLIS, "us": _TIMESTAMP_MICROS}.get(kind.unit)
        case "int":
            return (_SIGNED if kind.signed else _UNSIGNED).get(kind.bits)
    return None


def _logical(kind: Type) -> tuple[int, thrift.Value] | None:
    match kind.family:
        case "string":
            return 1, thrift.EMPTY
        case "decimal":
            return 5, thrift.struct(((1, thrift.i32(kind.scale)), (2, thrift.i32(kind.precision))))
        case "date":
            return 6, thrift.EMPTY
        case "time":
            return 7, thrift.struct(((1, thrift.FALSE), (2, _unit(kind))))
        case "timestamp":
            return 8, thrift.struct(((1, thrift.TRUE if kind.zone else thrift.FALSE), (2, _unit(kind))))
        case "int" if kind.bits < 32 or not kind.signed:
            return 10, thrift.struct(((1, thrift.i8(kind.bits)), (2, thrift.TRUE if kind.signed else thrift.FALSE)))
    return None


def _unit(kind: Type) -> thrift.Value:
    return thrift.struct(((_UNITS[kind.unit], thrift.EMPTY),))


def row_group(columns: thrift.Value, rows: int, first: int, plain_bytes: int, file_bytes: int) -> thrift.Value:
    """The metadata of a row group that starts at byte `first`."""
    return thrift.struct(
        (
            (1, columns),
            (2, thrift.i64(plain_bytes)),
            (3, thrift.i64(rows)),
            (5, thrift.i64(first)),
            (6, thrift.i64(file_bytes)),
        )
    )


def footer(schema: Described, rows: int, groups: Sequence[thrift.Value], leaves: int, metadata: Mapping[bytes, bytes]) -> bytes:
    """The bytes behind the last column: FileMetaData, its length, the magic. leaves: how many flat columns there are."""
    pairs = [*metadata.items(), (b"ARROW:schema", schema.arrow)]
    told = [thrift.struct(((1, thrift.binary(key)), (2, thrift.binary(value)))) for key, value in pairs]
    order = thrift.struct(((1, thrift.EMPTY),))
    _, data = thrift.struct(
        (
            (1, thrift.i32(2)),
            (2, schema.elements),
            (3, thrift.i64(rows)),
            (4, thrift.sequence(thrift.STRUCT, groups)),
            (5, thrift.sequence(thrift.STRUCT, told)),
            (6, thrift.text(_CREATED_BY)),
            (7, thrift.sequence(thrift.STRUCT, [order] * leaves)),
        )
    )
    return data + len(data).to_bytes(4, "little") + b"PAR1"
