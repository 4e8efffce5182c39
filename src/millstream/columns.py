"""Engine columns, and the only place that opens or closes Arrow buffers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any, TypeGuard

import pyarrow as pa

from millstream.errors import RunError
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, EMPTY_WORDS, Memory, Nulls, allocate, from_buffer, from_bytes, from_numbers
from millstream.types import BINARY, Type, from_arrow

_WIDTHS = {8: 1, 16: 2, 32: 4}

REPEATED = 32
"""How often `Vector.one` holds its item: the rows that kernels/compare.py compares at once."""


class Vector:
    """A column inside the engine.

    values: int64, uint64 or float64 items; a byte a row for bool; two words a row, the low one first, for decimal; views
    (offset | length << 32) into `data` for string, into the rows of `children` for list; nothing for struct.
    Rows that are not valid hold anything, but a string's view always lies inside `data` and a list's is 0.
    valid: a byte a row: 1 valid, 0 null, 2 and up a `Code`; `Nulls` where it is known that there is no code; None when every row is valid.
    children: as `Type.children` has them. Lists may lie in them in any order, overlap and leave gaps; a struct's have its
    own `length`, and are null where it is.
    one: for a literal, `REPEATED` items of what every row holds; kernels that know of it leave `values` alone.
    """

    __slots__ = (
        "children",
        "data",
        "length",
        "one",
        "type",
        "valid",
        "values",
    )

    def __init__(
        self,
        type: Type,  # noqa: A002
        length: int,
        values: Memory,
        valid: Memory | None = None,
        data: Memory | None = None,
        children: tuple[Vector, ...] = (),
        one: Memory | None = None,
    ) -> None:
        self.type = type
        self.length = length
        self.values = values
        self.valid = valid
        self.data = data
        self.children = children
        self.one = one

    def validity(self) -> Memory:
        """The validity bytes, to be read: where there are none, ones that are shared."""
        return self.valid if self.valid is not None else ones(self.length)


def has_errors(valid: Memory | None) -> TypeGuard[Memory]:
    """Is there an error code among validity bytes?"""
    return valid is not None and type(valid) is not Nulls and kernels.greatest_uint8(valid) > 1


def room_for_validity(count: int, *sources: Memory | None) -> Memory:
    """Fresh room for validity bytes that are each taken from these: `Nulls` where all are."""
    made = allocate(count, 1)
    for one in sources:
        if one is not None and type(one) is not Nulls:
            return made
    return Nulls(made.owner, made.address, count, 1)


def filled_bytes(value: int, count: int) -> Memory:
    """`count` bytes of one value."""
    out = allocate(count, 1)
    kernels.fill_uint8(value, out)
    return out


_shared_ones = allocate(0, 1)


def ones(count: int) -> Memory:
    """So many bytes of 1, which nobody writes to."""
    global _shared_ones
    found = _shared_ones  # threads may change it meanwhile, for a smaller one too
    if found.count < count:
        found = _shared_ones = filled_bytes(1, max(2 * count, 1 << 14))
    return Memory(found.owner, found.address, count, 1)


def constant(kind: Type, value: Any, length: int) -> Vector:
    """A column that holds one Python value in every row; None makes it null. The value fits the type (`check_literal`)."""
    if value is None:
        return nulls(kind, length)
    if kind.physical == "bool":
        return Vector(kind, length, filled_bytes(int(value), length))
    if kind.physical == "string":
        data = from_bytes(value.encode() if isinstance(value, str) else value)
        values, one = _repeated(data.count << 32, length)
        return Vector(kind, length, values, None, data, one=one)
    bits = literal_bits(kind, value)
    if kind.physical == "decimal":
        values = allocate(2 * length, 8)
        kernels.fill_int128(*int128_words(bits), values)
        return Vector(kind, length, values)
    values, one = _repeated(bits, length)
    return Vector(kind, length, values, one=one)


def _repeated(bits: int, length: int) -> tuple[Memory, Memory]:
    """A word in every row, and `REPEATED` times."""
    values, one = allocate(length, 8), allocate(REPEATED, 8)
    kernels.fill_int64(bits, values)
    kernels.fill_int64(bits, one)
    return values, one


def int128_words(value: int) -> tuple[int, int]:
    """The low and the high word of a decimal, as int64s."""
    return _signed(value), value >> 64


def _signed(value: int) -> int:
    """The int64 with the low 64 bits of an integer."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def literal_bits(kind: Type, value: Any) -> int:
    """The int64 with the bits that a fixed-width column of this type holds for a Python value; of a decimal, the int128."""
    if kind.physical == "float64":
        return int(from_numbers("d", [value]).tolist()[0])
    if kind.family == "decimal":
        return int(Decimal(value).scaleb(kind.scale, Context(prec=2 * kind.precision)))
    if kind.unit or kind.family == "date":
        scalar = pa.scalar(value, kind.arrow)
        return int(scalar.value)
    return _signed(int(value))


def nulls(kind: Type, length: int) -> Vector:
    """A column of nulls."""
    values = filled_bytes(0, length)
    valid = Nulls(values.owner, values.address, length, 1)
    if kind.physical == "bool":
        return Vector(kind, length, values, valid)
    if kind.physical == "struct":
        return Vector(kind, length, EMPTY_WORDS, valid, children=tuple(nulls(child, length) for _, child in kind.children))
    values = allocate(2 * length if kind.physical == "decimal" else length, 8)
    kernels.fill_int64(0, values)
    data = EMPTY if kind.physical == "string" else None
    return Vector(kind, length, values, valid, data, tuple(nulls(child, 0) for _, child in kind.children))


def take(vector: Vector, indices: Memory, gaps: bool = False) -> Vector:
    """The rows at these positions. The bytes of strings and what is in lists are shared, not copied.

    gaps: some positions may be negative; those rows are null.
    """
    return take_all((vector,), indices, gaps)[0]


def take_all(vectors: Sequence[Vector], indices: Memory, gaps: bool = False) -> list[Vector]:
    """The same of several columns, side by side in one memory."""
    count, missing = indices.count, None
    if gaps:
        missing = room_for_validity(count)
        kernels.find_missing(indices, 1, missing)
    taken = _Taken(count, missing, allocate(_taken_bytes(vectors, count), 1))
    found = taken.take(vectors)
    kernels.take_columns(from_numbers("q", taken.table), indices)
    return found


_ROW_BYTES = {"bool": 2, "decimal": 17, "struct": 1}
"""Of an item and its validity byte, where they are not 9."""


def _taken_bytes(vectors: Sequence[Vector], count: int) -> int:
    """Room for columns' items and validity bytes, each to the next word."""
    size = 0
    for one in vectors:
        size += _ROW_BYTES.get(one.type.physical, 9) * count + 16
        if one.type.physical == "struct":
            size += _taken_bytes(one.children, count)
    return size


class _Taken:
    """Rows of columns on their way into one memory. table: what the kernel copies. missing: the validity of columns without one."""

    def __init__(self, count: int, missing: Memory | None, out: Memory) -> None:
        self.count, self.missing = count, missing
        self.owner, self.at = out.owner, out.address
        self.table: list[int] = []

    def take(self, vectors: Sequence[Vector]) -> list[Vector]:
        """Their vectors, to be filled by the kernel. A batch does this for each of its columns whenever it loses rows: no calls in it."""
        count, missing, owner, at, table = self.count, self.missing, self.owner, self.at, self.table
        bytes_up = count + 7 & -8
        found = []
        for one in vectors:
            source, valid, children, physical = one.values, one.valid, one.children, one.type.physical
            if physical == "bool":
                table += (1, source.count, source.address, at)
                values = Memory(owner, at, count, 1)
                at += bytes_up
            elif physical == "decimal":
                table += (16, source.count >> 1, source.address, at)
                values = Memory(owner, at, 2 * count, 8)
                at += 16 * count
            elif physical == "struct":
                self.at = at
                values, children = EMPTY_WORDS, tuple(self.take(children))
                at = self.at
            else:
                table += (8, source.count, source.address, at)
                values = Memory(owner, at, count, 8)
                at += 8 * count
            if valid is None:
                valid = missing
            else:
                table += (1, valid.count, valid.address, at)
                valid = type(valid)(owner, at, count, 1)
                at += bytes_up
            found.append(Vector(one.type, count, values, valid, one.data, children))
        self.at = at
        return found


def rows_of(vector: Vector, first: int, count: int) -> Vector:
    """`count` rows from row `first` on, nothing copied."""
    valid = vector.valid.part(first, count, 1) if vector.valid is not None else None
    if vector.type.physical == "struct":
        children = tuple(rows_of(child, first, count) for child in vector.children)
        return Vector(vector.type, count, EMPTY_WORDS, valid, None, children)
    if vector.type.physical == "bool":
        values = vector.values.part(first, count, 1)
    else:
        words = 2 if vector.type.physical == "decimal" else 1
        values = vector.values.part(8 * words * first, words * count, 8)
    return Vector(vector.type, count, values, valid, vector.data, vector.children, vector.one)


def as_bytes(vector: Vector) -> Vector:
    """A decimal column as one of binary strings of 16 bytes, equal where the decimals are; nothing copied."""
    views = allocate(vector.length, 8)
    kernels.view_fixed(16, views)
    return Vector(BINARY, vector.length, views, vector.valid, vector.values.part(0, 16 * vector.length, 1))


def open_array(array: pa.Array) -> Vector:
    """An Arrow array as an engine column; sliced arrays are fine. Numbers of 64 bits and decimals are not copied."""
    kind = from_arrow(array.type)
    if kind is None:
        raise RunError(f"an Arrow array of type {array.type} cannot be used; cast it first")
    if kind.is_nested:
        return _open_nested(array, kind)
    if not array.type.equals(kind.arrow):
        array = array.cast(kind.arrow)
    length, first = len(array), array.offset
    valid = _open_validity(array)
    rest = array.buffers()[1:]
    if kind.physical == "string":
        offsets, data = rest
        values = allocate(length, 8)
        if length:
            kernels.view_strings(from_buffer(offsets, 4, 4 * first, length + 1), 0, values)
        return Vector(kind, length, values, valid, from_buffer(data) if data is not None else EMPTY)
    source = rest[0]
    if kind.physical == "bool":
        values = allocate(length, 1)
        if length:
            kernels.unpack_bits(from_buffer(source), first, length, values)
        return Vector(kind, length, values, valid)
    if kind.bits >= 64:
        words = kind.bits // 64
        values = from_buffer(source, 8, 8 * words * first, words * length) if length else allocate(0, 8)
        return Vector(kind, length, values, valid)
    values = allocate(length, 8)
    if length and kind.family == "float":
        kernels.widen_float32(from_buffer(source, 4, 4 * first, length), values)
    elif length:
        width = _WIDTHS[kind.bits]
        widen = kernels.widen_signed if kind.signed else kernels.widen_unsigned
        widen(from_buffer(source, 1, width * first, width * length), width, values)
    return Vector(kind, length, values, valid)


def _open_validity(array: pa.Array) -> Memory | None:
    bitmap = array.buffers()[0]
    if bitmap is None or not array.null_count:
        return None
    valid = room_for_validity(len(array))
    kernels.unpack_bits(from_buffer(bitmap), array.offset, len(array), valid)
    return valid


def _open_nested(array: pa.Array, kind: Type) -> Vector:
    length = len(array)
    if kind.physical == "struct":
        children = tuple(open_array(child) for child in array.flatten())  # null where the struct is
        return Vector(kind, length, EMPTY_WORDS, _open_validity(array), None, children)
    if kind.family == "list" and not pa.types.is_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    valid, values = _open_validity(array), allocate(length, 8)
    start = end = 0
    if length:
        offsets = from_buffer(array.buffers()[1], 4, 4 * array.offset, length + 1)
        start, end = (offsets.part(4 * i, 1, 4).tolist("i")[0] for i in (0, length))
        kernels.view_strings(offsets, start, values)
        if valid is not None:
            kernels.clear_invalid(valid, values)
    inside = array.values.slice(start, end - start)
    children = (inside.field(0), inside.field(1)) if kind.family == "map" else (inside,)
    return Vector(kind, length, values, valid, None, tuple(open_array(child) for child in children))


VIEWED = (1 << 31) - 1
"""The most bytes that views of what is made here point into: a length has 31 bits, and one text may be all of it."""


def room_for_text(size: int, most: int = VIEWED) -> Memory:
    """Memory for the bytes of a string column. Raises RunError where they are more than views can point into."""
    if not 0 <= size <= most:
        raise too_much_text()
    return allocate(size, 1)


def too_much_text() -> RunError:
    """Why a column cannot be made."""
    return RunError("one column of one batch holds too much text (over 2 GiB); make the batch or the chunks smaller")


def close(vector: Vector) -> pa.Array:
    """An engine column as an Arrow array. A row whose validity byte is not 1 is null.

    Raises RunError where the strings hold more than 2 GiB - 1, or the lists more than 2**31 - 1 items.
    """
    length, kind = vector.length, vector.type
    bitmap, null_count = None, 0
    if vector.valid is not None:
        bits = allocate((length + 7) // 8, 1)
        null_count = length - kernels.pack_bits(vector.valid, length, bits)
        bitmap = bits.buffer() if null_count else None
    if kind.physical == "struct":
        return pa.Array.from_buffers(kind.arrow, length, [bitmap], null_count, children=[close(one) for one in vector.children])
    if kind.physical == "list":
        offsets, children = laid_out(vector)
        inside = [close(child) for child in children]
        if kind.family == "map":
            entries = pa.struct([kind.arrow.key_field, kind.arrow.item_field])
            inside = [pa.Array.from_buffers(entries, len(inside[0]), [None], 0, children=inside)]
        return pa.Array.from_buffers(kind.arrow, length, [bitmap, offsets.buffer()], null_count, children=inside)
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
    elif kind.bits >= 64:
        buffers = [bitmap, vector.values.buffer()]
    else:
        narrow = allocate(length, kind.bits // 8)
        if kind.family == "float":
            kernels.narrow_float64(vector.values, narrow)
        else:
            kernels.narrow_int64(vector.values, _WIDTHS[kind.bits], narrow.part(0, length * (kind.bits // 8), 1))
        buffers = [bitmap, narrow.buffer()]
    return pa.Array.from_buffers(kind.arrow, length, buffers, null_count)


def laid_out(vector: Vector) -> tuple[Memory, tuple[Vector, ...]]:
    """A list column's Arrow offsets, and its children with the rows of one list after another; copied only where they are not."""
    valid, offsets = vector.validity(), allocate(vector.length + 1, 4)
    total = kernels.measure_strings(vector.values, valid, offsets)
    if total < 0:
        raise RunError(
            "the lists in one column of one batch hold too many items (over 2**31); make the batch or the chunks smaller"
        )
    first = kernels.first_of_run(vector.values, valid)
    if first >= 0:
        return offsets, tuple(rows_of(child, first, total) for child in vector.children)
    rows = allocate(total, 8)
    kernels.spread_views(vector.values, offsets, rows)
    return offsets, tuple(take(child, rows) for child in vector.children)
