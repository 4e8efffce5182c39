"""Flat columns as pages of a Parquet file: levels, values plain or by dictionary, statistics."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

from millstream.columns import Vector, filled_bytes, ones, rows_of, take
from millstream.errors import SinkError
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers
from millstream.sinks import thrift
from millstream.sinks.levels import Leaf
from millstream.sinks.partition import groups_of
from millstream.sinks.repetition import repeats
from millstream.sinks.thrift import varint, zigzag
from millstream.types import Type

# Numbers of the Parquet format.
BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = 0, 1, 2, 4, 5, 6, 7
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
CODECS = {"none": 0, "snappy": 1, "gzip": 2, "zstd": 6, "lz4": 7}
_CODEC_NAMES = {"lz4": "lz4_raw"}

PAGE_BYTES = 1 << 20
"""A page of a flat column holds about that, before compression."""
DICTIONARY_BYTES = 1 << 20
"""A larger dictionary is none."""
STATISTICS_BYTES = 256
"""The longest string that stands in statistics."""
_MOST_SECONDS = ((1 << 63) - 1) // 1000
RAW_BYTES = 1024
"""A page that is not larger is put into its zstd frame as it is: what a compressor sets up takes longer than all the rest."""
_SLACK = 64


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


@dataclass
class ColumnChunk:
    """A column of a row group: its pages, and the metadata that tells of them once it is known where they start."""

    leaf: Leaf
    codec: int
    pieces: list[Any]
    plain_bytes: int = 0
    file_bytes: int = 0
    dictionary: bool = False
    data_at: int = 0
    statistics: bytes = b"\0"

    def metadata(self, offset: int) -> thrift.Value:
        """ColumnChunk {2: file_offset, 3: ColumnMetaData}. Field numbers and types stand in bytes: there are many of these."""
        head = _column_head(physical_type(self.leaf.values.type), self.leaf.path, self.codec, self.dictionary)
        pieces = [head, zigzag(self.leaf.entries), b"\x16", zigzag(self.plain_bytes), b"\x16", zigzag(self.file_bytes)]
        pieces += [b"\x26", zigzag(offset + self.data_at)]  # 9
        pieces += [b"\x26", zigzag(offset), b"\x1c"] if self.dictionary else [b"\x3c"]  # 11, 12
        pieces += [self.statistics, b"\0\0"]
        return thrift.STRUCT, b"".join(pieces)


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


def encode_leaf(leaf: Leaf, compression: str) -> ColumnChunk:
    """A column's pages."""
    codec = None if compression == "none" else pa.Codec(_CODEC_NAMES.get(compression, compression))
    if leaf.values.type.unit == "s":
        leaf = replace(leaf, values=_in_milliseconds(leaf.values, leaf.path))
    return _Encoder(leaf, codec, ColumnChunk(leaf, CODECS[compression], [])).run()


def _in_milliseconds(values: Vector, path: tuple[str, ...]) -> Vector:
    """A column of seconds, which the format does not have. Raises SinkError where a value is too large."""
    out = allocate(2, 8)
    if kernels.range_int64(values.values, values.validity(), out) and any(abs(one) > _MOST_SECONDS for one in out.tolist()):
        raise SinkError(
            f"the column {'.'.join(path)} holds a timestamp in seconds that Parquet, which tells them in milliseconds, cannot hold; "
            "filter such rows, or declare another type"
        )
    scaled = allocate(values.length, 8)
    kernels.rescale_int64(values.values, 1000, 1, 0, filled_bytes(1, values.length), scaled)
    return replace(values, values=scaled)


class _Encoder:
    def __init__(self, leaf: Leaf, codec: pa.Codec | None, chunk: ColumnChunk) -> None:
        self.leaf, self.codec, self.chunk = leaf, codec, chunk
        self.is_flat = leaf.defined is None
        self.nulls = _nulls(leaf.values)
        self.values = leaf.values if self.nulls else replace(leaf.values, valid=None)

    def run(self) -> ColumnChunk:
        values, chunk = self.values, self.chunk
        groups = _dictionary(values) if repeats(values) else None
        if groups is not None:
            chunk.dictionary = True
            chunk.data_at = self._page(2, b"", plain(groups.distinct), groups.distinct.length)
        expected = values.length * groups.width // 8 if groups is not None else _plain_bytes(values)
        pages = min(-(-expected // PAGE_BYTES), values.length) if self.is_flat else 1
        if pages <= 1:
            self._data_page(values, 0, groups, expected)
        else:
            step = -(-values.length // pages)
            for first in range(0, values.length, step):
                rows = rows_of(values, first, min(step, values.length - first))
                self._data_page(rows, first, groups, None)
        nulls = self.nulls if self.is_flat else self.leaf.entries - values.length
        chunk.statistics = _statistics(values if groups is None else groups.distinct, nulls)
        return chunk

    def _data_page(self, rows: Vector, first: int, groups: _Groups | None, expected: int | None) -> None:
        """A page of some rows; `expected`: the bytes of their values in plain form, where they are known."""
        if self.is_flat:
            entries = rows.length
            levels = _validity_levels(rows) if self.leaf.most_defined else b""
        else:
            entries = self.leaf.entries
            levels = b""
            for numbers, most in ((self.leaf.repeated, self.leaf.most_repeated), (self.leaf.defined, self.leaf.most_defined)):
                if most and numbers is not None:
                    levels += _levels(numbers, most)
        if groups is None:
            self._page(0, levels, plain(rows, expected), entries)
        else:
            self._page(0, levels, groups.packed(rows, first), entries, RLE_DICTIONARY)

    def _page(self, kind: int, levels: bytes, body: Memory, entries: int, encoding: int = PLAIN) -> int:
        """Add a page, of data or (kind 2) a dictionary; its bytes in the file."""
        if levels:
            whole = allocate(len(levels) + body.count * body.itemsize, 1)
            ctypes.memmove(whole.address, levels, len(levels))
            ctypes.memmove(whole.address + len(levels), body.address, body.count * body.itemsize)
            body = whole
        size = body.count * body.itemsize
        data = self._compressed(body, size)
        # PageHeader {1: type, 2, 3: sizes, 5: DataPageHeader or 7: DictionaryPageHeader}; levels are RLE.
        sizes = b"\x15" + zigzag(kind) + b"\x15" + zigzag(size) + b"\x15" + zigzag(len(data))
        if kind == 2:
            header = sizes + b"\x4c\x15" + zigzag(entries) + b"\x15\0\0\0"
        else:
            header = sizes + b"\x2c\x15" + zigzag(entries) + b"\x15" + zigzag(encoding) + b"\x15\x06\x15\x06\0\0"
        self.chunk.pieces += [header, data]
        self.chunk.file_bytes += len(header) + len(data)
        self.chunk.plain_bytes += len(header) + size
        return len(header) + len(data)

    def _compressed(self, body: Memory, size: int) -> Any:
        if self.codec is None:
            return body.buffer()
        if size <= RAW_BYTES and self.chunk.codec == CODECS["zstd"]:
            return raw_zstd(body.tobytes())
        return self.codec.compress(body.buffer())


def raw_zstd(data: bytes) -> bytes:
    """A zstd frame (RFC 8878) of one block that is not compressed: 256 to 65,791 bytes, or fewer."""
    size = len(data)
    head = bytes((0x20, size)) if size < 256 else b"\x60" + (size - 256).to_bytes(2, "little")
    return b"\x28\xb5\x2f\xfd" + head + (size << 3 | 1).to_bytes(3, "little") + data


@dataclass(frozen=True)
class _Groups:
    """A column's distinct values, and the number of each row's among them.

    above: numbers beyond it are one too great, for null is a group too. width: of a number, in bits.
    """

    distinct: Vector
    numbers: Memory
    above: int
    width: int

    def packed(self, rows: Vector, first: int) -> Memory:
        """The numbers of some rows: the width, then a run of bits."""
        count = rows.length - _nulls(rows)
        head = bytes((self.width,)) + varint(-(-count // 8) << 1 | 1)
        size = len(head) + -(-count // 8) * self.width
        out = allocate(size + _SLACK, 1)
        ctypes.memmove(out.address, head, len(head))
        numbers = self.numbers.part(8 * first, rows.length, 8)
        packed = out.part(len(head), size - len(head) + _SLACK, 1)
        kernels.pack_numbers(numbers, rows.validity(), self.above, self.width, packed)
        return out.part(0, size, 1)


def _dictionary(values: Vector) -> _Groups | None:
    """The dictionary of a column; None where it would be too large to be worth it."""
    count, firsts, numbers = groups_of(values)
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
    if _plain_bytes(distinct) > DICTIONARY_BYTES:
        return None
    return _Groups(distinct, numbers, above, max(1, (count - 1).bit_length()))


def _nulls(values: Vector) -> int:
    return 0 if values.valid is None else int(kernels.count_invalid(values.valid))


def _validity_levels(rows: Vector) -> bytes:
    """Definition levels of a flat column: 1 where a value is, else 0."""
    if rows.valid is None or not _nulls(rows):
        run = varint(rows.length << 1) + b"\1"
        return struct.pack("<I", len(run)) + run
    bits = allocate(-(-rows.length // 8), 1)
    kernels.pack_bits(rows.valid, rows.length, bits)
    run = varint(bits.count << 1 | 1)
    return struct.pack("<I", len(run) + bits.count) + run + bits.tobytes()


def _levels(numbers: Memory, most: int) -> bytes:
    """Levels up to `most` as one run of bits, its length before it."""
    width = most.bit_length()
    size = -(-numbers.count // 8) * width
    out = allocate(size + _SLACK, 1)
    kernels.pack_numbers(numbers, ones(numbers.count), 1 << 62, width, out.part(0, size + _SLACK, 1))
    run = varint(-(-numbers.count // 8) << 1 | 1)
    return struct.pack("<I", len(run) + size) + run + out.part(0, size, 1).tobytes()


def _plain_bytes(values: Vector) -> int:
    if values.type.physical == "string":
        return int(kernels.measure_plain(values.values, values.validity()))
    return values.length * max(values.type.bits // 8, 1)


def plain(values: Vector, expected: int | None = None) -> Memory:
    """The values that are not null in plain form; `expected`: the bytes that they take, where they are known."""
    kind, valid, count = values.type, values.validity(), values.length
    match physical_type(kind):
        case 6:  # BYTE_ARRAY
            out = allocate((_plain_bytes(values) if expected is None else expected) + _SLACK, 1)
            assert values.data is not None
            size = kernels.encode_strings(values.data, values.values, valid, out)
            return out.part(0, size, 1)
        case 7:  # FIXED
            width = decimal_bytes(kind)
            out = allocate(width * count, 1)
            return out.part(0, kernels.encode_decimals(values.values, valid, width, out), 1)
        case 0:  # BOOLEAN
            out = allocate(-(-count // 8), 1)
            kernels.fill_uint8(0, out)
            return out.part(0, -(-kernels.encode_flags(values.values, valid, out) // 8), 1)
        case 4:  # FLOAT
            out = allocate(count + 1, 4)
            return out.part(0, 4 * kernels.encode_singles(values.values, valid, out), 1)
    width = 4 if physical_type(kind) == INT32 else 8
    if width == 8 and values.valid is None:
        return values.values
    out = allocate(width * count + _SLACK, 1)
    return out.part(0, kernels.encode_words(values.values, valid, width, out), 1)


def _statistics(values: Vector, nulls: int) -> bytes:
    """Statistics {3: null_count, 5: max_value, 6: min_value}; the bounds where the type has an order that is of use."""
    found = b"\x36" + zigzag(nulls)
    bounds = _bounds(values)
    if bounds is not None:
        least, greatest = bounds
        found += b"\x28" + varint(len(greatest)) + greatest + b"\x18" + varint(len(least)) + least
    return found + b"\0"


def _bounds(values: Vector) -> tuple[bytes, bytes] | None:
    kind, valid = values.type, values.validity()
    out = allocate(2, 8)
    match kind.physical:
        case "string":
            assert values.data is not None
            if not kernels.range_string(values.data, values.values, valid, out):
                return None
            views = out.tolist()
            if any(view >> 32 > STATISTICS_BYTES for view in views):
                return None
            least, greatest = (values.data.part(view & 0xFFFFFFFF, view >> 32, 1).tobytes() for view in views)
            return least, greatest
        case "float64":
            if not kernels.range_float64(values.values, valid, out):
                return None
            form = "<f" if kind.bits == 32 else "<d"
            least, greatest = (struct.pack(form, one) for one in out.tolist("d"))
            return least, greatest
        case "int64" | "uint64":
            find = kernels.range_uint64 if kind.physical == "uint64" else kernels.range_int64
            if not find(values.values, valid, out):
                return None
            width = 4 if physical_type(kind) == INT32 else 8
            least, greatest = (one.to_bytes(8, "little", signed=True)[:width] for one in out.tolist())
            return least, greatest
    return None
