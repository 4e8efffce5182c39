"""Flat columns as pages of a Parquet file: levels, values plain or by dictionary, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa

from millstream.classes import dataclass, replace
from millstream.columns import Vector, filled_bytes, rows_of, take
from millstream.errors import SinkError
from millstream.grouping import group_bits
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_bytes, from_numbers
from millstream.sinks import thrift
from millstream.sinks.levels import Leaf
from millstream.sinks.repetition import repeats
from millstream.types import Type

# Numbers of the Parquet format.
BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = 0, 1, 2, 4, 5, 6, 7
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
CODECS = {"none": 0, "snappy": 1, "gzip": 2, "zstd": 6, "lz4": 7}
_ZSTD = CODECS["zstd"]
_CODEC_NAMES = {"lz4": "lz4_raw"}

PAGE_BYTES = 1 << 20
"""A page of a flat column holds about that, before compression."""
DICTIONARY_BYTES = 1 << 20
"""A larger dictionary is none."""
BODIES_BYTES = 8 << 20
"""So many bytes of pages are in memory before they are compressed, or those of one column."""
_MOST_PAGE = (1 << 31) - 1
RAW_BYTES = 1024
"""A page that is not larger is put into its zstd frame as it is: what a compressor sets up takes longer than all the rest."""

# Tables of kernels/pages.py and kernels/chunks.py.
_FLAGS, _WORDS, _DOUBLES, _SINGLES, _STRINGS, _DECIMALS, _NUMBERS = range(7)
_SURVEY, _BYTES = 12, 8
_PAGE, _START, _SIZE = 17, 14, 15
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_CHUNK, _PLAIN_BYTES, _FILE_BYTES = 14, 12, 13
_NO_LEVELS, _OF_VALIDITY, _GIVEN = range(3)
_MORE = 32
"""Bytes that a kernel may write behind the last, and more than a page has beside values and levels."""
_HEADER, _METADATA = 64, 700
"""More than the header of a page and that of its frame have, and the metadata of a column behind its head."""


def physical_type(kind: Type) -> int:
    """How values of a flat type are stored."""
    match kind.physical:
        case "bool":
            return BOOLEAN
        case "string":
            return BYTE_ARRAY
        case "decimal":
            return FIXED
        case "float64":
            return FLOAT if kind.bits == 32 else DOUBLE
    return INT32 if kind.bits <= 32 else INT64


def decimal_bytes(kind: Type) -> int:
    """The fewest bytes that hold any decimal of a type."""
    return int(((10**kind.precision).bit_length() + 8) // 8)


class Framed(NamedTuple):
    """Column chunks as they stand in a file: their bytes in pieces, the metadata of all (ColumnChunks, one behind the other)."""

    pieces: list[Any]
    told: bytes
    plain_bytes: int
    file_bytes: int


@lru_cache(1024)
def _column_head(physical: int, path: tuple[str, ...], codec: int, dictionary: bool) -> Memory:
    """The start of a ColumnChunk {2: file_offset, 3: ColumnMetaData {1: type, 2: encodings, 3: path_in_schema, 4: codec, 5: …"""
    encodings = [PLAIN, RLE, RLE_DICTIONARY] if dictionary else [PLAIN, RLE]
    _, inner = thrift.struct(
        (
            (1, thrift.i32(physical)),
            (2, thrift.sequence(thrift.I32, [thrift.i32(one) for one in encodings])),
            (3, thrift.sequence(thrift.BINARY, [thrift.text(one) for one in path])),
            (4, thrift.i32(codec)),
        )
    )
    return from_bytes(b"\x26\0\x1c" + inner[:-1] + b"\x16")


def encode_leaves(leaves: Sequence[Leaf], compression: str, offset: int) -> list[Framed]:
    """Chunks, from byte `offset` of a file on.

    Raises SinkError for a timestamp in seconds that is beyond what milliseconds can tell, and for a page of 2 GiB and more.
    """
    columns = [_Column(leaf) for leaf in leaves]
    _survey(columns)
    made: list[Framed] = []
    waiting: list[tuple[_Column, list[_Page]]] = []
    room = 0
    for column in columns:
        pages = column.pages()
        size = pages[0].most_bytes if len(pages) == 1 else sum([page.most_bytes for page in pages])
        if waiting and room + size > BODIES_BYTES:
            made.append(_framed(waiting, room, compression, offset))
            offset += made[-1].file_bytes
            waiting, room = [], 0
        waiting.append((column, pages))
        room += size
    made.append(_framed(waiting, room, compression, offset))
    return made


def _framed(chunks: Sequence[tuple[_Column, list[_Page]]], room: int, compression: str, offset: int) -> Framed:
    """The chunks of some columns, whose pages' bodies fit `room`."""
    codec = CODECS[compression]
    rows: list[int] = []
    table: list[int] = []
    heads: list[Memory] = []  # the table has their addresses alone
    for column, pages in chunks:
        for page in pages:
            rows += page.row
        head = _column_head(column.physical, column.leaf.path, codec, column.groups is not None)
        heads.append(head)
        table += (len(pages), head.address, head.count, *column.told_of())
    table_of_pages, table_of_columns, bodies = from_numbers("q", rows), from_numbers("q", table), allocate(room + _MORE, 1)
    kernels.encode_pages(table_of_pages, bodies)
    words = table_of_pages.tolist()
    sizes = words[_SIZE::_PAGE]
    raw = RAW_BYTES if codec == _ZSTD else -1
    made, between = len(sizes) * _HEADER + _MORE, dict[int, Any]()
    if max(sizes) > _MOST_PAGE:
        raise too_large(max(sizes))
    if max(sizes) > raw:
        compress = None if compression == "none" else pa.Codec(_CODEC_NAMES.get(compression, compression)).compress
        view = memoryview(bodies.buffer())
        for number, (start, size) in enumerate(zip(words[_START::_PAGE], sizes, strict=True)):
            if size <= raw:
                made += size
                continue
            body = view[start : start + size]
            between[number] = data = bytes(body) if compress is None else compress(body)
            sizes[number] = len(data)
            if len(data) > _MOST_PAGE:
                raise too_large(len(data))
    else:
        made += sum(sizes)
    stored, ends = from_numbers("q", sizes), allocate(len(sizes), 8)
    out, told = allocate(made, 1), allocate(sum([one.count for one in heads]) + len(chunks) * _METADATA + _MORE, 1)
    size = kernels.frame_columns(table_of_columns, table_of_pages, bodies, stored, raw, offset, out, told, ends)
    places, first = ends.tolist(), 0
    framed = out.part(0, places[-1], 1).tobytes()  # a piece keeps no more memory than it has bytes
    pieces: list[Any] = []
    for number, data in between.items():
        pieces += (framed[first : places[number]], data)
        first = places[number]
    pieces.append(framed[first:])
    found = table_of_columns.tolist()
    return Framed(pieces, told.part(0, size, 1).tobytes(), sum(found[_PLAIN_BYTES::_CHUNK]), sum(found[_FILE_BYTES::_CHUNK]))


def too_large(size: int) -> SinkError:
    """Why a page cannot be written: its header tells its size in 32 bits."""
    return SinkError(
        f"a column of a Parquet file would have a page of {size:,} bytes, which the format cannot tell; make the batch or the chunks "
        "smaller: many rows hold long texts or lists, perhaps the same ones after explode or a join"
    )


class _Page:
    """A page to be: its row in the table of `encode_pages`, the most bytes that its body has."""

    __slots__ = ("most_bytes", "row")

    def __init__(self, row: tuple[int, ...], most_bytes: int) -> None:
        self.row = row
        self.most_bytes = most_bytes


class _Column:
    """A column on its way into pages. told: what statistics are of, its values or the distinct ones of its dictionary."""

    __slots__ = ("bounds", "form", "groups", "leaf", "nulls", "physical", "plain_bytes", "told", "values", "width")

    def __init__(self, leaf: Leaf) -> None:
        values = leaf.values
        if values.type.unit == "s":
            values = _in_milliseconds(values, leaf.path)
        self.leaf = leaf
        self.nulls = _nulls(values)
        self.values = values if self.nulls or values.valid is None else replace(values, valid=None)
        self.physical, self.form, self.width = _form(values.type)
        self.groups = _dictionary(self.values) if repeats(self.values) else None
        self.told = self.values if self.groups is None else self.groups.distinct
        self.plain_bytes = 0
        self.bounds: Sequence[int] = (0, 0, 0)

    def survey(self) -> tuple[int, ...]:
        """Its row in the table of `survey_columns`."""
        return (*self._place(self.told), self.width, int(self.told.type.physical == "uint64"), 0, 0, 0, 0)

    def pages(self) -> list[_Page]:
        """Of its dictionary, if it has one, and of its rows."""
        groups, count = self.groups, self.values.length
        made = []
        size = self.plain_bytes
        if groups is not None:
            distinct = groups.distinct
            row = (*self._place(distinct), self.width, 0, _NO_LEVELS, 0, 0, 0, 0, distinct.length, 0, 0, _DICTIONARY_PAGE)
            made.append(_Page(row, size + _MORE))
            size = count * groups.width // 8
        pages = min(-(-size // PAGE_BYTES), count) if self.leaf.defined is None else 1
        if pages <= 1:
            made.append(self._rows(self.values, 0, size))
            return made
        step = -(-count // pages)
        for first in range(0, count, step):
            made.append(self._rows(rows_of(self.values, first, min(step, count - first)), first, 0))
        made[-1].most_bytes += size  # they come one after another in one memory
        return made

    def _rows(self, rows: Vector, first: int, size: int) -> _Page:
        """The page of some rows, whose values have that many bytes."""
        leaf, groups = self.leaf, self.groups
        if leaf.defined is None:
            entries, levels = rows.length, _OF_VALIDITY if leaf.most_defined else _NO_LEVELS
            given = (0, 0, 0, 0)
            size += entries // 8
        else:
            entries, levels = leaf.entries, _GIVEN
            repeated = 0 if leaf.repeated is None else leaf.repeated.address
            given = (repeated, leaf.most_repeated, leaf.defined.address, leaf.most_defined)
            size += (entries // 8 + 1) * (leaf.most_repeated.bit_length() + leaf.most_defined.bit_length())
        if groups is None:
            return _Page((*self._place(rows), self.width, 0, levels, *given, entries, 0, 0, _DATA_PAGE), size + _MORE)
        numbers = groups.numbers.part(8 * first, rows.length, 8)
        valid = 0 if rows.valid is None else rows.valid.address
        place = (_NUMBERS, numbers.address, rows.length, valid, 0, 0, groups.width, groups.above)
        return _Page((*place, levels, *given, entries, 0, 0, _DATA_PAGE), size + _MORE + groups.width)

    def _place(self, vector: Vector) -> tuple[int, ...]:
        """The start of a row: how values are stored, where they are."""
        valid = 0 if vector.valid is None else vector.valid.address
        data = vector.data
        if data is None:
            return self.form, vector.values.address, vector.length, valid, 0, 0
        return self.form, vector.values.address, vector.length, valid, data.address, data.count

    def told_of(self) -> tuple[int, ...]:
        """What its row in the table of `frame_columns` tells of its values."""
        leaf, data = self.leaf, self.told.data
        nulls = self.nulls if leaf.defined is None else leaf.entries - self.values.length
        place = (0, 0) if data is None else (data.address, data.count)
        return leaf.entries, nulls, *self.bounds, self.form, self.width, *place, 0, 0


def _survey(columns: Sequence[_Column]) -> None:
    """How many bytes columns take and their bounds; a dictionary that is too large is none."""
    rows: list[int] = []
    for one in columns:
        rows += one.survey()
    table = from_numbers("q", rows)
    kernels.survey_columns(table)
    words = table.tolist()
    dropped = []
    for column, at in zip(columns, range(_BYTES, len(words), _SURVEY), strict=True):
        column.plain_bytes = words[at]
        column.bounds = words[at + 1 : at + 4]
        if column.groups is not None and column.plain_bytes > DICTIONARY_BYTES:
            column.groups, column.told = None, column.values
            dropped.append(column)
    if dropped:
        _survey(dropped)


_forms: dict[str, tuple[int, int, int]] = {}


def _form(kind: Type) -> tuple[int, int, int]:
    """The format's type of values of a type, how kernels store them, and the bytes of one, or 1."""
    found = _forms.get(kind.name)
    if found is None:
        forms = {
            BOOLEAN: (_FLAGS, 1),
            INT32: (_WORDS, 4),
            INT64: (_WORDS, 8),
            FLOAT: (_SINGLES, 4),
            DOUBLE: (_DOUBLES, 8),
            BYTE_ARRAY: (_STRINGS, 1),
        }
        physical = physical_type(kind)
        found = _forms[kind.name] = physical, *(forms.get(physical) or (_DECIMALS, decimal_bytes(kind)))
    return found


def _in_milliseconds(values: Vector, path: tuple[str, ...]) -> Vector:
    """A column of seconds, which the format does not have. Raises SinkError where a value is too large."""
    valid, out = filled_bytes(1, values.length), allocate(values.length, 8)
    if values.valid is not None:
        kernels.copy_uint8(values.valid, valid)
    if kernels.rescale_int64(values.values, 1000, 1, 0, valid, out):
        raise SinkError(
            f"the column {'.'.join(path)} holds a timestamp in seconds that Parquet, which tells them in milliseconds, cannot hold; "
            "filter such rows, or declare another type"
        )
    return replace(values, values=out)


@dataclass(frozen=True)
class _Groups:
    """A column's distinct values, and the number of each row's among them.

    above: numbers beyond it are one too great, for null is a group too. width: of a number, in bits.
    """

    distinct: Vector
    numbers: Memory
    above: int
    width: int


def _dictionary(values: Vector) -> _Groups | None:
    """The dictionary of a column; None where it would be too large to be worth it."""
    found = group_bits(values)
    count, firsts = found.count, found.firsts
    above = 1 << 62
    if values.valid is not None:
        flags = allocate(count, 1)
        kernels.take_uint8(values.valid, firsts, flags)
        null = next((i for i, flag in enumerate(flags.tobytes()) if flag != 1), None)
        if null is not None:
            above = null
            kept = firsts.tolist()
            del kept[null]
            firsts = from_numbers("q", kept)
            count -= 1
    if count == 0 or 2 * count > values.length - _nulls(values):
        return None
    distinct = take(values, firsts)
    distinct.valid = None
    return _Groups(distinct, found.ids, above, max(1, (count - 1).bit_length()))


def _nulls(values: Vector) -> int:
    return 0 if values.valid is None else int(kernels.count_invalid(values.valid))
