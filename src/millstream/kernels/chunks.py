"""What stands around the bodies of Parquet pages: their headers, and the metadata of column chunks, of all columns in one call.

Sources: parquet.thrift of the Parquet format, Thrift's compact protocol, RFC 8878 for frames of zstd.
"""

from numba import int64

from millstream.kernels.memory import copy_bytes
from millstream.kernels.pages import (
    DICTIONARY_PAGE,
    ENTRIES,
    FORM,
    KIND,
    NUMBERS,
    PAGE,
    PLAIN,
    RLE_DICTIONARY,
    SIZE,
    START,
    STRINGS,
    write_varint,
)
from millstream.kernels.simd import store_byte, store_word
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel
from millstream.kernels.table import bytes_at

# A row of `frame_columns`: the number of its pages; the start of its metadata; what statistics tell, bounds as `survey_columns` gives them,
# of values stored in this FORM and WIDTH, strings in DATA; and, when it is done, the chunk's bytes before and after compression.
PAGES, HEAD, HEAD_BYTES, ROWS, NULLS, BOUNDED, LEAST, GREATEST, STORED_AS, WIDTH, DATA, DATA_BYTES, PLAIN_BYTES, FILE_BYTES = (
    range(14)
)
CHUNK = 14
LONGEST_BOUND = 256
"""Statistics tell no longer strings."""


@inlined
def write_size(number, out, at):
    """An integer that is not negative, as Thrift writes signed ones."""
    return write_varint(number << 1, out, at)


@inlined
def write_field(head, number, out, at):
    """A field's type and step, and an integer."""
    store_byte(out, at, head)
    return write_size(number, out, at + 1)


@helper
def write_raw_head(size, out, at):
    """The start of a zstd frame of one block that is not compressed, of 0 to 65,791 bytes."""
    store_word(out, at, 0xFD2FB528)
    if size < 256:
        store_byte(out, at + 4, 0x20)
        store_byte(out, at + 5, size)
        at += 6
    else:
        store_byte(out, at + 4, 0x60)
        store_byte(out, at + 5, (size - 256) & 0xFF)
        store_byte(out, at + 6, (size - 256) >> 8)
        at += 7
    block = size << 3 | 1
    for k in range(3):
        store_byte(out, at + k, (block >> (8 * k)) & 0xFF)
    return at + 3


@helper
def write_page_header(pages, row, stored, out, at):
    """PageHeader {1: type, 2, 3: sizes, 5: DataPageHeader or 7: DictionaryPageHeader}; levels are RLE."""
    is_dictionary = pages[row + KIND] == DICTIONARY_PAGE
    at = write_field(0x15, pages[row + KIND], out, at)
    at = write_field(0x15, pages[row + SIZE], out, at)
    at = write_field(0x15, stored, out, at)
    store_byte(out, at, 0x4C if is_dictionary else 0x2C)
    at = write_field(0x15, pages[row + ENTRIES], out, at + 1)
    if is_dictionary:
        at = write_field(0x15, int64(PLAIN), out, at)
    else:
        at = write_field(0x15, int64(RLE_DICTIONARY) if pages[row + FORM] == NUMBERS else int64(PLAIN), out, at)
        at = write_field(0x15, int64(3), out, at)
        at = write_field(0x15, int64(3), out, at)
    store_byte(out, at, 0)
    store_byte(out, at + 1, 0)
    return at + 2


@helper
def write_bound(columns, row, bound, out, at):
    """The bytes of the least or the greatest value, their number before them."""
    if columns[row + STORED_AS] == STRINGS:
        size = bound >> 32
        at = write_varint(size, out, at)
        data = bytes_at(columns[row + DATA], columns[row + DATA_BYTES])
        copy_bytes(data, bound & 0xFFFFFFFF, size, out, at)
        return at + size
    width = columns[row + WIDTH]
    at = write_varint(width, out, at)
    store_word(out, at, bound)
    return at + width


@helper
def write_statistics(columns, row, out, at):
    """Statistics {3: null_count, 5: max_value, 6: min_value}; the bounds where the type has an order that is of use."""
    at = write_field(0x36, columns[row + NULLS], out, at)
    least = columns[row + LEAST]
    greatest = columns[row + GREATEST]
    if columns[row + BOUNDED] != 0 and not (
        columns[row + STORED_AS] == STRINGS and max(least >> 32, greatest >> 32) > LONGEST_BOUND
    ):
        store_byte(out, at, 0x28)
        at = write_bound(columns, row, greatest, out, at + 1)
        store_byte(out, at, 0x18)
        at = write_bound(columns, row, least, out, at + 1)
    store_byte(out, at, 0)
    return at + 1


@kernel
def frame_columns(columns: I64, pages: I64, bodies: U8, sizes: I64, most_raw: INT, offset: INT, out: U8, told: U8, ends: I64):
    """Column chunks that stand from byte `offset` of a file on: the headers of their pages into `out`, their metadata into `told`.

    A page of up to `most_raw` bytes follows its header as a zstd frame that is not compressed; of another one the `sizes` bytes that it
    has in the file belong behind its header. ends: where in `out` what is made of each page ends. `out` holds 64 bytes for each page
    and the raw ones, `told` 700 for each column and its head, both 32 more. Returns the bytes in `told`: of each column a
    ColumnChunk {2: file_offset, 3: ColumnMetaData {those of its head, 5: num_values, 6, 7: sizes, 9: data_page_offset,
    11: dictionary_page_offset, 12: statistics}}.
    """
    row = int64(0)
    at = int64(0)
    end = int64(0)
    for column in range(0, len(columns), CHUNK):
        plain = int64(0)
        size = int64(0)
        data_at = int64(0)
        has_dictionary = columns[column + PAGES] > 0 and pages[row + KIND] == DICTIONARY_PAGE
        for _ in range(columns[column + PAGES]):
            start = at
            body = pages[row + SIZE]
            stored = sizes[row // PAGE]
            is_raw = body <= most_raw
            if is_raw:
                stored = body + (9 if body < 256 else 10)
            at = write_page_header(pages, row, stored, out, at)
            head = at - start
            if is_raw:
                at = write_raw_head(body, out, at)
                copy_bytes(bodies, pages[row + START], body, out, at)
                at += body
            ends[row // PAGE] = at
            plain += head + body
            size += head + stored
            if pages[row + KIND] == DICTIONARY_PAGE:
                data_at = size
            row += PAGE
        copy_bytes(bytes_at(columns[column + HEAD], columns[column + HEAD_BYTES]), 0, columns[column + HEAD_BYTES], told, end)
        end = write_size(columns[column + ROWS], told, end + columns[column + HEAD_BYTES])
        end = write_field(0x16, plain, told, end)
        end = write_field(0x16, size, told, end)
        end = write_field(0x26, offset + data_at, told, end)
        if has_dictionary:
            end = write_field(0x26, offset, told, end)
            store_byte(told, end, 0x1C)
        else:
            store_byte(told, end, 0x3C)
        end = write_statistics(columns, column, told, end + 1)
        store_byte(told, end, 0)
        store_byte(told, end + 1, 0)
        end += 2
        columns[column + PLAIN_BYTES] = plain
        columns[column + FILE_BYTES] = size
        offset += size
    return end
