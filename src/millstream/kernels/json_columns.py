"""JSON values to columns: one value of a record into one row of its column.

The columns' values and validity bytes lie in `out`, where the column table says. Offsets past the text are unescaped strings.
"""

from numba import int64, uint64

from millstream.kernels.calendar import read_day, read_timestamp
from millstream.kernels.json_text import (
    BAD_JSON,
    find_backslash,
    is_false,
    is_null,
    is_true,
    skip_value,
    starts_number,
    unescape,
)
from millstream.kernels.number import FITS, NOT_INTEGRAL, exact_integer, scan_number, to_float
from millstream.kernels.simd import load_word, store_byte, store_double, store_word
from millstream.kernels.spec import helper, inlined

MISSING, NOT_NULL, BAD_TYPE, BAD_NUMBER, OUT_OF_RANGE, BAD_VALUE = 7, 8, 9, 10, 11, 13

# A column's words.
COLUMN = 15
KIND, NULLABLE, ON_ERROR_NULL, VALUES, VALID, LEAST, GREATEST = 0, 1, 2, 3, 4, 5, 6
TICKS, ZONED, NODE, SEEN, NULLED, DEFAULT, DEFAULT_BITS, COERCE = 7, 8, 9, 10, 11, 12, 13, 14
# What a column takes beside its own JSON type; EPOCH is the power of ten from its number to ticks, and 32.
NUMBERS, BOOLS, EMPTY, TEXT, EPOCH = 1, 2, 4, 8, 16
# A node's words.
NODE_WORDS, NODE_PARENT, NODE_SEEN = 2, 0, 1
# A float that only an exact routine can settle: row or -1, column, start, end.
FIXUP = 4

BOOL, INTEGER, UINT64, FLOAT64, FLOAT32, STRING, TIMESTAMP, DATE, JSON = 0, 1, 2, 3, 4, 5, 6, 7, 8


@helper
def add_fixup(row, column, start, end, fixups, begun, count):
    """Note a float to settle; at most one a column and record, for a key that comes again replaces it."""
    slot = begun
    while slot < count and fixups[slot * FIXUP + 1] != column:
        slot += 1
    fixups[slot * FIXUP] = row
    fixups[slot * FIXUP + 1] = column
    fixups[slot * FIXUP + 2] = start
    fixups[slot * FIXUP + 3] = end
    return max(count, slot + 1)


@helper
def drop_fixup(column, fixups, begun, count):
    """A key came again: what its first value needed is void."""
    for slot in range(begun, count):
        if fixups[slot * FIXUP + 1] == column:
            fixups[slot * FIXUP] = -1


@helper
def is_below(column, node, nodes, columns):
    """Is a column's value somewhere inside a node? Parents have smaller numbers than their children."""
    above = columns[column * COLUMN + NODE]
    while above > node:
        above = nodes[above * NODE_WORDS + NODE_PARENT]
    return above == node


@helper
def forget_node(node, row, nodes, columns, out, fixups, begun, count):
    """An object that came twice in one record: its first coming no longer counts."""
    for c in range(len(columns) // COLUMN):
        if is_below(c, node, nodes, columns):
            columns[c * COLUMN + SEEN] = 0
            drop_fixup(c, fixups, begun, count)
            store_byte(out, columns[c * COLUMN + VALID] + row, 0)


@helper
def first_below(node, nodes, columns):
    """A column whose value is inside a node, to name in a reject."""
    for c in range(len(columns) // COLUMN):
        if is_below(c, node, nodes, columns):
            return c
    return int64(-1)


@helper
def settle_absent(row, record, columns, out):
    """Defaults for absent keys; (code, column) where a column may be neither absent nor null."""
    for c in range(len(columns) // COLUMN):
        at = c * COLUMN
        if columns[at + SEEN] == record + 1:
            continue
        if columns[at + DEFAULT] == 1:
            store_byte(out, columns[at + VALID] + row, 1)
            if columns[at + KIND] == BOOL:
                store_byte(out, columns[at + VALUES] + row, columns[at + DEFAULT_BITS])
            else:
                store_word(out, columns[at + VALUES] + 8 * row, columns[at + DEFAULT_BITS])
        elif columns[at + NULLABLE] == 0:
            return MISSING, c
    return 0, int64(-1)


@inlined
def read_bool(text, p, at, columns, out, row):
    """A bool: (position after it, 0 or a code)."""
    if is_true(text, p):
        store_byte(out, columns[at + VALUES] + row, 1)
        return p + 4, 0
    if is_false(text, p):
        store_byte(out, columns[at + VALUES] + row, 0)
        return p + 5, 0
    return p, BAD_TYPE


@inlined
def read_integer(text, p, at, columns, out, row):
    """A number into an integer column: (position after it, 0 or a code)."""
    end, mantissa, exponent, digits, whole, scale = scan_number(text, p)
    if end < 0:
        return p, BAD_JSON
    negative = text[p] == 45
    value = mantissa
    if exponent != 0 or digits > 19:
        status, value = exact_integer(text, p + 1 if negative else p, whole, digits, scale)
        if status != FITS:
            return p, BAD_NUMBER if status == NOT_INTEGRAL else OUT_OF_RANGE
    if negative:
        if value > uint64(0) - uint64(columns[at + LEAST]):
            return p, OUT_OF_RANGE
        store_word(out, columns[at + VALUES] + 8 * row, -int64(value))
    else:
        if value > uint64(columns[at + GREATEST]):
            return p, OUT_OF_RANGE
        store_word(out, columns[at + VALUES] + 8 * row, int64(value))
    return end, 0


@inlined
def read_float(text, p, column, at, columns, out, row, fixups, begun, fixed):
    """A number into a float column: (position after it, 0 or a code, fixups)."""
    end, mantissa, exponent, digits, whole, scale = scan_number(text, p)
    if end < 0:
        return p, BAD_JSON, fixed
    negative = text[p] == 45
    first = p + 1 if negative else p
    settled, value = to_float(text, first, mantissa, exponent, digits, whole, scale, columns[at + KIND] == FLOAT32)
    if not settled:
        fixed = add_fixup(row, column, p, end, fixups, begun, fixed)
    elif value > 1.7976931348623157e308:
        return p, OUT_OF_RANGE, fixed
    store_double(out, columns[at + VALUES] + 8 * row, -value if negative else value)
    return end, 0, fixed


@inlined
def read_text(text, p, close, slashes, heap):
    """The string between quotes at p and close: (start, length, 0 or a code); escapes are decoded to text[heap:].

    With a code, start is the position of the fault.
    """
    if slashes and find_backslash(text, p + 1, close) >= 0:
        end, code = unescape(text, p + 1, close, heap, True)
        if code != 0:
            return end, int64(0), code
        return heap, end - heap, 0
    return p + 1, close - p - 1, 0


@inlined
def read_time(text, first, size, at, columns, out, row):
    """A timestamp or date: 0 or a code."""
    if columns[at + KIND] == TIMESTAMP:
        code, ticks = read_timestamp(text, first, size, columns[at + TICKS], columns[at + ZONED] == 1)
        store_word(out, columns[at + VALUES] + 8 * row, ticks)
        return code
    code, days = read_day(text, first, size)
    store_word(out, columns[at + VALUES] + 8 * row, days)
    return code


@inlined
def read_epoch(text, p, at, columns, out, row):
    """A number of seconds or milliseconds since 1970 into a timestamp: (position after it, 0 or a code)."""
    end, _, _, digits, whole, scale = scan_number(text, p)
    if end < 0:
        return p, BAD_JSON
    negative = text[p] == 45
    first = p + 1 if negative else p
    # The decimal point moves; digits of less than a tick are cut off, towards the past.
    scale += (columns[at + COERCE] >> 8) - 32
    status, value = exact_integer(text, first, whole, digits, scale)
    cut = status == NOT_INTEGRAL
    if cut:
        status, value = exact_integer(text, first, whole, max(min(digits, whole + scale), int64(0)), scale)
    if status != FITS or value > uint64(0x7FFFFFFFFFFFFFFE):
        return p, OUT_OF_RANGE
    ticks = int64(value)
    if negative:
        ticks = -ticks - (1 if cut else 0)
    store_word(out, columns[at + VALUES] + 8 * row, ticks)
    return end, 0


@inlined
def read_word(text, first, size, at, columns, out, row):
    """A word for true or false, in any case, into a bool column: 0 or a code."""
    word = load_word(text, first) & ((int64(1) << (8 * size)) - 1) if size < 8 else int64(0)
    if size > 1:
        word |= 0x2020202020202020 & ((int64(1) << (8 * min(size, 7))) - 1)
    elif size == 1 and word > 57:
        word |= 32
    yes = word == 0x65757274 or word == 0x736579 or word == 0x74 or word == 0x79 or word == 0x31
    no = word == 0x65736C6166 or word == 0x6F6E or word == 0x66 or word == 0x6E or word == 0x30
    store_byte(out, columns[at + VALUES] + row, 1 if yes else 0)
    return 0 if yes or no else BAD_VALUE


@inlined
def read_quoted(text, first, size, column, at, columns, out, row, fixups, begun, fixed):
    """A string into a number or bool column that allows it: (0 or a code, fixups)."""
    kind = columns[at + KIND]
    if kind == BOOL:
        if columns[at + COERCE] & BOOLS == 0:
            return BAD_TYPE, fixed
        return read_word(text, first, size, at, columns, out, row), fixed
    if columns[at + COERCE] & NUMBERS == 0:
        return BAD_TYPE, fixed
    after = text[first + size]
    text[first + size] = 0
    code = BAD_NUMBER
    end = first
    if starts_number(text[first]):
        if kind == INTEGER or kind == UINT64:
            end, code = read_integer(text, first, at, columns, out, row)
        else:
            end, code, fixed = read_float(text, first, column, at, columns, out, row, fixups, begun, fixed)
    text[first + size] = after
    if code == BAD_JSON or (code == 0 and end != first + size):
        code = BAD_NUMBER
    return code, fixed


@inlined
def read_value(text, index, p, k, slashes, column, columns, out, row, heap, fixups, begun, fixed, depth, stack):
    """The value at text[p] into a row of a column: (position after it, k, heap, fixups, 0 or a code).

    With a code, the position is that of a fault inside a string, or p.
    """
    at = column * COLUMN
    kind = columns[at + KIND]
    coerce = columns[at + COERCE]
    valid = int64(1)
    code = 0
    byte = text[p]
    if byte == 110 and is_null(text, p):
        p += 4
        valid = int64(0)
    elif kind == JSON:
        first = p
        p, k, code = skip_value(text, index, p, k, depth, stack, slashes)
        store_word(out, columns[at + VALUES] + 8 * row, first | ((p - first) << 32))
    elif byte == 34 and int64(index[k]) == p:
        if kind < STRING and coerce == 0:
            return p, k, heap, fixed, BAD_TYPE
        close = int64(index[k + 1])
        k += 2
        first, size, code = read_text(text, p, close, slashes, heap)
        if code != 0:
            return first, k, heap, fixed, code
        if size == 0 and (coerce & EMPTY) != 0:
            valid = int64(0)
        elif kind == STRING:
            store_word(out, columns[at + VALUES] + 8 * row, first | (size << 32))
            if first == heap:
                heap += size
        elif kind < STRING:
            code, fixed = read_quoted(text, first, size, column, at, columns, out, row, fixups, begun, fixed)
        else:
            code = read_time(text, first, size, at, columns, out, row)
        p = close + 1
    elif starts_number(byte):
        if kind == INTEGER or kind == UINT64:
            p, code = read_integer(text, p, at, columns, out, row)
        elif kind == FLOAT64 or kind == FLOAT32:
            p, code, fixed = read_float(text, p, column, at, columns, out, row, fixups, begun, fixed)
        elif kind == TIMESTAMP and (coerce & EPOCH) != 0:
            p, code = read_epoch(text, p, at, columns, out, row)
        elif kind == STRING and (coerce & TEXT) != 0:
            first = p
            p, _, _, _, _, _ = scan_number(text, p)
            code = BAD_JSON if p < 0 else 0
            store_word(out, columns[at + VALUES] + 8 * row, first | ((p - first) << 32))
        else:
            code = BAD_TYPE
    elif kind == BOOL:
        p, code = read_bool(text, p, at, columns, out, row)
    elif kind == STRING and (coerce & TEXT) != 0 and (is_true(text, p) or is_false(text, p)):
        size = int64(4) if byte == 116 else int64(5)
        store_word(out, columns[at + VALUES] + 8 * row, p | (size << 32))
        p += size
    else:
        code = BAD_TYPE
    if valid == 0 and columns[at + NULLABLE] == 0:
        code = NOT_NULL
    store_byte(out, columns[at + VALID] + row, valid)
    return p, k, heap, fixed, code
