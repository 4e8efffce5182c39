"""Engine columns, and the only place that opens or closes Arrow buffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from millstream.errors import RunError
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, allocate, from_buffer, from_bytes, from_numbers
from millstream.schema import Type, from_arrow

_WIDTHS = {8: 1, 16: 2, 32: 4}


@dataclass(slots=True)
class Vector:
    """A column inside the engine.

    values: int64, uint64 or float64 items; a byte a row for bool; views (offset | length << 32) into `data` for string.
    Rows that are not valid hold anything, but a view always lies inside `data`.
    valid: a byte a row: 1 valid, 0 null, 2 and up a `Code`; None when every row is valid.
    """

    type: Type
    length: int
    values: Memory
    valid: Memory | None = None
    data: Memory | None = None

    def validity(self) -> Memory:
        """The validity bytes, made if there are none."""
        if self.valid is None:
            self.valid = filled_bytes(1, self.length)
        return self.valid


def filled_bytes(value: int, count: int) -> Memory:
    """`count` bytes of one value."""
    out = allocate(count, 1)
    kernels.fill_uint8(value, out)
    return out


def constant(kind: Type, value: Any, length: int) -> Vector:
    """A column that holds one Python value in every row; None makes it null. The value fits the type (`check_literal`)."""
    if value is None:
        return nulls(kind, length)
    if kind.physical == "bool":
        return Vector(kind, length, filled_bytes(int(value), length))
    if kind.physical == "string":
        data = from_bytes(value.encode())
        values = allocate(length, 8)
        kernels.fill_int64(data.count << 32, values)
        return Vector(kind, length, values, None, data)
    values = allocate(length, 8)
    kernels.fill_int64(literal_bits(kind, value), values)
    return Vector(kind, length, values)


def literal_bits(kind: Type, value: Any) -> int:
    """The int64 with the bits that a fixed-width column of this type holds for a Python value."""
    if kind.physical == "float64":
        return int(from_numbers("d", [value]).tolist()[0])
    if kind.is_temporal:
        scalar = pa.scalar(value, kind.arrow)
        return int(scalar.value)
    return int(value) if int(value) < 1 << 63 else int(value) - (1 << 64)


def nulls(kind: Type, length: int) -> Vector:
    """A column of nulls."""
    valid = filled_bytes(0, length)
    if kind.physical == "bool":
        return Vector(kind, length, valid, valid)
    values = allocate(length, 8)
    kernels.fill_int64(0, values)
    return Vector(kind, length, values, valid, EMPTY if kind.physical == "string" else None)


def take(vector: Vector, indices: Memory, gaps: bool = False) -> Vector:
    """The rows at these positions. String bytes are shared, not copied.

    gaps: some positions may be negative; those rows are null.
    """
    count = indices.count
    bool_like = vector.type.physical == "bool"
    values = allocate(count, 1 if bool_like else 8)
    (kernels.take_uint8 if bool_like else kernels.take_int64)(vector.values, indices, values)
    valid = None
    if vector.valid is not None:
        valid = allocate(count, 1)
        kernels.take_uint8(vector.valid, indices, valid)
    elif gaps:
        valid = allocate(count, 1)
        kernels.find_missing(indices, 1, valid)
    return Vector(vector.type, count, values, valid, vector.data)


def open_array(array: pa.Array) -> Vector:
    """An Arrow array as an engine column; sliced arrays are fine. Numbers of 64 bits are not copied."""
    kind = from_arrow(array.type)
    if kind is None:
        raise RunError(f"an Arrow array of type {array.type} cannot be used; cast it first")
    if not array.type.equals(kind.arrow):
        array = array.cast(kind.arrow)
    length, first = len(array), array.offset
    validity, *rest = array.buffers()
    valid = None
    if array.null_count and validity is not None:
        valid = allocate(length, 1)
        kernels.unpack_bits(from_buffer(validity), first, length, valid)
    if kind.physical == "string":
        offsets, data = rest
        values = allocate(length, 8)
        if length:
            kernels.view_strings(from_buffer(offsets, 4, 4 * first, length + 1), values)
        return Vector(kind, length, values, valid, from_buffer(data) if data is not None else EMPTY)
    source = rest[0]
    if kind.physical == "bool":
        values = allocate(length, 1)
        if length:
            kernels.unpack_bits(from_buffer(source), first, length, values)
        return Vector(kind, length, values, valid)
    if kind.bits == 64:
        values = from_buffer(source, 8, 8 * first, length) if length else allocate(0, 8)
        return Vector(kind, length, values, valid)
    values = allocate(length, 8)
    if length and kind.family == "float":
        kernels.widen_float32(from_buffer(source, 4, 4 * first, length), values)
    elif length:
        width = _WIDTHS[kind.bits]
        widen = kernels.widen_signed if kind.signed else kernels.widen_unsigned
        widen(from_buffer(source, 1, width * first, width * length), width, values)
    return Vector(kind, length, values, valid)


def room_for_text(size: int, most: int = (1 << 32) - 1) -> Memory:
    """Memory for the bytes of a string column. Raises RunError where they are more than views can point into."""
    if not 0 <= size <= most:
        raise RunError("one column of one batch holds too much text (over 2 GiB); make the batch or the chunks smaller")
    return allocate(size, 1)


def close(vector: Vector) -> pa.Array:
    """An engine column as an Arrow array. Every validity byte is 0 or 1: rows with error codes were rejected before.

    Raises RunError where the strings hold more than 2 GiB - 1.
    """
    length, kind = vector.length, vector.type
    bitmap, null_count = None, 0
    if vector.valid is not None:
        bits = allocate((length + 7) // 8, 1)
        null_count = length - kernels.pack_bits(vector.valid, length, bits)
        bitmap = bits.buffer() if null_count else None
    if kind.physical == "string":
        offsets = allocate(length + 1, 4)
        size = kernels.measure_strings(vector.values, vector.validity(), offsets)
        data = room_for_text(size)
        source = vector.data
        assert source is not None
        kernels.gather_strings(source, vector.values, offsets, data.part(0, data.count, 1))
        buffers = [bitmap, offsets.buffer(), data.buffer()]
    elif kind.physical == "bool":
        bits = allocate((length + 7) // 8, 1)
        kernels.pack_bits(vector.values, length, bits)
        buffers = [bitmap, bits.buffer()]
    elif kind.bits == 64:
        buffers = [bitmap, vector.values.buffer()]
    else:
        narrow = allocate(length, kind.bits // 8)
        if kind.family == "float":
            kernels.narrow_float64(vector.values, narrow)
        else:
            kernels.narrow_int64(vector.values, _WIDTHS[kind.bits], narrow.part(0, length * (kind.bits // 8), 1))
        buffers = [bitmap, narrow.buffer()]
    return pa.Array.from_buffers(kind.arrow, length, buffers, null_count)
