"""Values as text: the decimal, RFC 3339 or JSON form of a column, made by kernels."""

from __future__ import annotations

from millstream.columns import Vector, room_for_text
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate
from millstream.schema import STRING

_FRACTION = {"s": (1, 0), "ms": (10**3, 3), "us": (10**6, 6), "ns": (10**9, 9)}


def as_text(vector: Vector, *, json: bool = False) -> Vector:
    """A column as a string column: numbers in the fewest digits that read back the same, times in RFC 3339, `true` and `false`.

    Decimals have all digits of their scale, durations are in ISO 8601. Strings are returned as they are; binary and nested
    columns have no text. json: NaN and infinities become empty texts, for JSON has no words for them.
    """
    kind, rows = vector.type, vector.length
    if kind.physical == "string":
        return vector
    valid = vector.validity()
    views = allocate(rows, 8)
    if kind.family == "bool":
        out = allocate(5 * rows, 1)
        kernels.format_bool(vector.values, valid, out, views)
    elif kind.family == "float":
        out = allocate(25 * rows, 1)
        kernels.format_float64(vector.values, valid, int(kind.bits == 32), int(json), out, views)
    elif kind.family == "date":
        out = allocate(20 * rows, 1)
        kernels.format_date(vector.values, valid, out, views)
    elif kind.family == "timestamp":
        out = allocate(40 * rows, 1)
        kernels.format_timestamp(vector.values, valid, *_FRACTION[kind.unit], int(bool(kind.zone)), out, views)
    elif kind.family == "decimal":
        out = allocate(41 * rows + 48, 1)
        kernels.format_decimal(vector.values, valid, kind.scale, out, views)
    elif kind.family == "time":
        out = allocate(15 * rows, 1)
        kernels.format_time(vector.values, valid, out, views)
    elif kind.family == "duration":
        out = allocate(32 * rows, 1)
        kernels.format_duration(vector.values, valid, out, views)
    else:
        out = allocate(20 * rows, 1)
        kernels.format_int64(vector.values, valid, int(kind.physical == "uint64"), out, views)
    return Vector(STRING, rows, views, vector.valid, out)


def json_strings(vector: Vector) -> tuple[Memory, Memory]:
    """A string column as JSON strings, quoted and escaped: their bytes and views; a null has an empty view."""
    assert vector.data is not None
    valid = vector.validity()
    out = room_for_text(kernels.measure_json_strings(vector.data, vector.values, valid))
    views = allocate(vector.length, 8)
    kernels.escape_json(vector.data, vector.values, valid, out, views)
    return out, views


def base64_strings(vector: Vector) -> tuple[Memory, Memory]:
    """A binary column as JSON strings of base64, likewise."""
    assert vector.data is not None
    valid = vector.validity()
    out = room_for_text(kernels.measure_base64(vector.values, valid))
    views = allocate(vector.length, 8)
    kernels.encode_base64(vector.data, vector.values, valid, out, views)
    return out, views


def json_texts(vector: Vector) -> tuple[Memory, Memory]:
    """A column of numbers, decimals, bools or times as JSON without quotes, likewise."""
    text = as_text(vector, json=True)
    assert text.data is not None
    return text.data, text.values
