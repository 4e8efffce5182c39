"""Flat columns as pages of a Parquet file: levels, values plain or by dictionary, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from millstream.classes import dataclass, replace
from millstream.columns import Vector, filled_bytes, rows_of, take
from millstream.errors import SinkError
from millstream.grouping import group_bits
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers
from millstream.sinks import thrift
from millstream.sinks.levels import Leaf
from millstream.sinks.repetition import repeats
from millstream.sinks.thrift import varint, zigzag
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
STATISTICS_BYTES = 256
"""The longest string that stands in statistics."""
RAW_BYTES = 1024
"""A page that is not larger is put into its zstd frame as it is: what a compressor sets up takes longer than all the rest."""

# Tables of kernels/pages.py.
_FLAGS, _WORDS, _DOUBLES, _SINGLES, _STRINGS, _DECIMALS, _NUMBERS = range(7)
_SURVEY, _BYTES = 12, 8
_PAGE, _START, _SIZE = 16, 14, 15
_NO_LEVELS, _OF_VALIDITY, _GIVEN = range(3)
_MORE = 32
"""Bytes that a kernel may write behind the last, and more than a page has beside values and levels."""


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


class ColumnChunk:
    """A column of a row group: its pages, and the metadata that tells of them once it is known where they start."""

    __slots__ = (
        "codec",
        "data_at",
        "dictionary",
        "file_bytes",
        "leaf",
        "pieces",
        "plain_bytes",
        "statistics",
    )

    def __init__(self, leaf: Leaf, codec: int, dictionary: bool, statistics: bytes) -> None:
        self.leaf = leaf
        self.codec = codec
        self.dictionary = dictionary
        self.statistics = statistics
        self.pieces: list[Any] = []
        self.plain_bytes = self.file_bytes = self.data_at = 0

    def metadata(self, offset: int) -> thrift.Value:
        """ColumnChunk {2: file_offset, 3: ColumnMetaData}. Field numbers and types stand in bytes: there are many of these."""
        leaf = self.leaf
        head = _column_head(physical_type(leaf.values.type), leaf.path, self.codec, self.dictionary)
        sizes = zigzag(leaf.entries), b"\x16", zigzag(self.plain_bytes), b"\x16", zigzag(self.file_bytes)
        rest = (b"\x26", zigzag(offset), b"\x1c") if self.dictionary else (b"\x3c",)  # 11, 12
        data = b"".join((head, *sizes, b"\x26", zigzag(offset + self.data_at), *rest, self.statistics, b"\0\0"))
        return thrift.STRUCT, data


@lru_cache(1024)
def _column_head(physical: int, path: tuple[str, ...], codec: int, dictionary: bool) -> bytes:
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
    return b"\x26\0\x1c" + inner[:-1] + b"\x16"


def encode_leaves(leaves: Sequence[Leaf], compression: str) -> list[ColumnChunk]:
    """Columns' pages. Raises SinkError for a timestamp in seconds that is beyond what milliseconds can tell."""
    number = CODECS[compression]
    codec = None if compression == "none" else pa.Codec(_CODEC_NAMES.get(compression, compression))
    columns = [_Column(leaf) for leaf in leaves]
    _survey(columns)
    chunks: list[ColumnChunk] = []
    waiting: list[tuple[ColumnChunk, list[_Page]]] = []
    room = 0
    for column in columns:
        pages = column.pages()
        size = pages[0].most_bytes if len(pages) == 1 else sum([page.most_bytes for page in pages])
        if waiting and room + size > BODIES_BYTES:
            _add_pages(waiting, room, codec)
            waiting, room = [], 0
        chunks.append(ColumnChunk(column.leaf, number, column.groups is not None, column.statistics()))
        waiting.append((chunks[-1], pages))
        room += size
    _add_pages(waiting, room, codec)
    return chunks


def _add_pages(chunks: Sequence[tuple[ColumnChunk, list[_Page]]], room: int, codec: pa.Codec | None) -> None:
    """The pages of some columns, whose bodies fit `room`, into their chunks: one call of the kernel."""
    rows: list[int] = []
    for _, pages in chunks:
        for page in pages:
            rows += page.row
    table, bodies = from_numbers("q", rows), allocate(room + _MORE, 1)
    kernels.encode_pages(table, bodies)
    words, view = table.tolist(), memoryview(bodies.buffer())
    places = zip(words[_START::_PAGE], words[_SIZE::_PAGE], strict=True)
    for chunk, pages in chunks:
        for page in pages:
            start, size = next(places)
            _add_page(chunk, page, view[start : start + size], codec)


class _Page:
    """A page to be: its row in the table of `encode_pages`, the most bytes that its body has, what its header tells."""

    __slots__ = (
        "encoding",
        "entries",
        "is_dictionary",
        "most_bytes",
        "row",
    )

    def __init__(
        self, row: tuple[int, ...], most_bytes: int, entries: int, encoding: int = PLAIN, is_dictionary: bool = False
    ) -> None:
        self.row = row
        self.most_bytes = most_bytes
        self.entries = entries
        self.encoding = encoding
        self.is_dictionary = is_dictionary


class _Column:
    """A column on its way into pages. told: what statistics are of, its values or the distinct ones of its dictionary."""

    __slots__ = ("bounds", "form", "groups", "leaf", "nulls", "plain_bytes", "told", "values", "width")

    def __init__(self, leaf: Leaf) -> None:
        values = leaf.values
        if values.type.unit == "s":
            values = _in_milliseconds(values, leaf.path)
        self.leaf = leaf
        self.nulls = _nulls(values)
        self.values = values if self.nulls or values.valid is None else replace(values, valid=None)
        self.form, self.width = _form(values.type)
        self.groups = _dictionary(self.values) if repeats(self.values) else None
        self.told = self.values if self.groups is None else self.groups.distinct
        self.plain_bytes, self.bounds = 0, (0, 0, 0)

    def survey(self) -> tuple[int, ...]:
        """Its row in the table of `survey_columns`."""
        return (*self._place(self.told), self.width, int(self.told.type.physical == "uint64"), 0, 0, 0, 0)

    def pages(self) -> list[_Page]:
        """Of its dictionary, if it has one, and of its rows."""
        groups, count = self.groups, self.values.length
        made = []
        size = self.plain_bytes
        if groups is not None:
            row = (*self._place(groups.distinct), self.width, 0, _NO_LEVELS, 0, 0, 0, 0, 0, 0, 0)
            made.append(_Page(row, size + _MORE, groups.distinct.length, is_dictionary=True))
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
            row = (*self._place(rows), self.width, 0, levels, *given, entries, 0, 0)
            return _Page(row, size + _MORE, entries)
        numbers = groups.numbers.part(8 * first, rows.length, 8)
        valid = 0 if rows.valid is None else rows.valid.address
        place = (_NUMBERS, numbers.address, rows.length, valid, 0, 0, groups.width, groups.above)
        return _Page((*place, levels, *given, entries, 0, 0), size + _MORE + groups.width, entries, RLE_DICTIONARY)

    def _place(self, vector: Vector) -> tuple[int, ...]:
        """The start of a row: how values are stored, where they are."""
        valid = 0 if vector.valid is None else vector.valid.address
        data = vector.data
        if data is None:
            return self.form, vector.values.address, vector.length, valid, 0, 0
        return self.form, vector.values.address, vector.length, valid, data.address, data.count

    def statistics(self) -> bytes:
        """Statistics {3: null_count, 5: max_value, 6: min_value}; the bounds where the type has an order that is of use."""
        leaf, (bounded, least, greatest) = self.leaf, self.bounds
        found = b"\x36" + zigzag(self.nulls if leaf.defined is None else leaf.entries - self.values.length)
        if not bounded:
            return found + b"\0"
        if self.form == _STRINGS:
            data = self.told.data
            if data is None or max(least >> 32, greatest >> 32) > STATISTICS_BYTES:
                return found + b"\0"
            low, high = (data.part(view & 0xFFFFFFFF, view >> 32, 1).tobytes() for view in (least, greatest))
        else:
            low, high = (word.to_bytes(8, "little", signed=True)[: self.width] for word in (least, greatest))
        return b"".join((found, b"\x28", varint(len(high)), high, b"\x18", varint(len(low)), low, b"\0"))


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
        column.bounds = words[at + 1], words[at + 2], words[at + 3]
        if column.groups is not None and column.plain_bytes > DICTIONARY_BYTES:
            column.groups, column.told = None, column.values
            dropped.append(column)
    if dropped:
        _survey(dropped)


_forms: dict[str, tuple[int, int]] = {}


def _form(kind: Type) -> tuple[int, int]:
    """How kernels store values of a type, and the bytes of one, or 1."""
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
        found = _forms[kind.name] = forms.get(physical_type(kind)) or (_DECIMALS, decimal_bytes(kind))
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


def _add_page(chunk: ColumnChunk, page: _Page, body: memoryview, codec: pa.Codec | None) -> None:
    """A page with its header into its chunk."""
    size = len(body)
    data: Any
    if codec is None:
        data = body
    elif size <= RAW_BYTES and chunk.codec == _ZSTD:
        data = raw_zstd(body)
    else:
        data = codec.compress(body)
    # PageHeader {1: type, 2, 3: sizes, 5: DataPageHeader or 7: DictionaryPageHeader}; levels are RLE.
    stored = len(data)
    sizes, entries = zigzag(size) + b"\x15" + zigzag(stored), zigzag(page.entries)
    if page.is_dictionary:
        header = b"\x15\x04\x15" + sizes + b"\x4c\x15" + entries + b"\x15\0\0\0"
    else:
        header = b"\x15\0\x15" + sizes + b"\x2c\x15" + entries + b"\x15" + zigzag(page.encoding) + b"\x15\x06\x15\x06\0\0"
    chunk.pieces += (header, data)
    chunk.file_bytes += len(header) + stored
    chunk.plain_bytes += len(header) + size
    if page.is_dictionary:
        chunk.data_at = chunk.file_bytes


def raw_zstd(data: bytes | memoryview) -> bytes:
    """A zstd frame (RFC 8878) of one block that is not compressed: 256 to 65,791 bytes, or fewer."""
    return b"".join((_raw_head(len(data)), data))


@lru_cache(RAW_BYTES + 1)
def _raw_head(size: int) -> bytes:
    """What such a frame begins with."""
    head = bytes((0x20, size)) if size < 256 else b"\x60" + (size - 256).to_bytes(2, "little")
    return b"\x28\xb5\x2f\xfd" + head + (size << 3 | 1).to_bytes(3, "little")


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
