"""JSON values to columns: one scalar of a record into one row of its column.

`read_value` is what a hot loop inlines: the forms that records mostly have. `read_otherwise` knows all forms of all types, and is
called for the rest. The columns' values and validity bytes lie in `out`, where the column table says. Strings are copied to
strings[heap:], of which their columns hold views. What is unescaped or decoded lies at text[spare:] until then.
"""

from numba import int64, uint64

from millstream.kernels.base64 import decode_base64, decode_hex
from millstream.kernels.calendar import read_day, read_timestamp
from millstream.kernels.clock import read_duration, read_time_of_day
from millstream.kernels.decimal import to_decimal
from millstream.kernels.floats import to_float
from millstream.kernels.instant import read_instant
from millstream.kernels.json_text import (
    BAD_JSON,
    find_close,
    is_false,
    is_null,
    is_true,
    read_string,
    skip_value,
    starts_number,
)
from millstream.kernels.number import FITS, NOT_INTEGRAL, SMALL_POWERS, exact_integer, read_digits, scan_number
from millstream.kernels.simd import copy_block, load_word, store_byte, store_double, store_word
from millstream.kernels.spec import helper, inlined, outlined

NOT_NULL, BAD_TYPE, BAD_NUMBER, OUT_OF_RANGE, BAD_TIME, BAD_VALUE = 8, 9, 10, 11, 12, 13

# A column's words. Values and validity: where they begin in `out`. Node: the object, list or map that it is a value of. Seen: the
# record + 1 that it was last seen in, negative where its value did not fit.
COLUMN = 24
KIND, NULLABLE, ON_ERROR_NULL, VALUES, VALID, LEAST, GREATEST = 0, 1, 2, 3, 4, 5, 6
TICKS, ZONED, NODE, SEEN, NULLED, DEFAULT, DEFAULT_BITS, DEFAULT_HIGH = 7, 8, 9, 10, 11, 12, 13, 14
COERCE, LEVEL, CHILD, PRECISION, PLACES, WIDTH, REFUSED_CODE, REFUSED_AT = 15, 16, 17, 18, 19, 20, 21, 22
# What a column takes beside its own JSON type, and how; EPOCH is the power of ten from its number to ticks, and 32.
NUMBERS, BOOLS, EMPTY, TEXT, EPOCH, HEX, ROUND, EPOCH_PLACES = 1, 2, 4, 8, 16, 32, 64, 8

BOOL, INTEGER, UINT64, FLOAT64, FLOAT32, STRING, TIMESTAMP, DATE, JSON = 0, 1, 2, 3, 4, 5, 6, 7, 8
BINARY, DECIMAL, TIME, DURATION, NESTED = 9, 10, 11, 12, 13
OTHERWISE = 32
"""Added to the kind of a column that `read_value` leaves to `read_otherwise`: one with coercions."""


@inlined
def read_value(text, p, target, row, columns, out, strings, heap, spare, depth, words):
    """The scalar at text[p] into a row of a column: (position after it, heap, 0 or a code).

    depth: how many objects and arrays it lies in; words: scratch. With a code, the position means nothing: `skip_value` tells
    whether it is another value, or no JSON at all.
    """
    at = target * COLUMN
    kind = columns[at + KIND]
    byte = text[p]
    code = -1
    end = p
    if kind == STRING:
        if byte == 34:
            close, unusual = find_close(text, p + 1)
            if not unusual:
                heap = store_string(text, p + 1, close - p - 1, columns[at + VALUES] + 8 * row, strings, heap, out)
                end = close + 1
                code = 0
    elif kind == INTEGER:
        end, value = quick_integer(text, p)
        if end >= 0 and value >= columns[at + LEAST] and value <= columns[at + GREATEST]:
            store_word(out, columns[at + VALUES] + 8 * row, value)
            code = 0
    elif kind == FLOAT64:
        if starts_number(byte):
            end, number = read_double(text, p, words)
            if end >= 0 and number <= 1.7976931348623157e308:
                store_double(out, columns[at + VALUES] + 8 * row, -number if byte == 45 else number)
                code = 0
    elif kind == TIMESTAMP:
        if byte == 34:
            close, unusual = find_close(text, p + 1)
            if not unusual:
                code, ticks = read_instant(
                    text, p + 1, close - p - 1, columns[at + TICKS], columns[at + PLACES], columns[at + ZONED] == 1
                )
                store_word(out, columns[at + VALUES] + 8 * row, ticks)
                end = close + 1
    elif kind == BOOL:
        if is_true(text, p):
            store_byte(out, columns[at + VALUES] + row, 1)
            end = p + 4
            code = 0
        elif is_false(text, p):
            store_byte(out, columns[at + VALUES] + row, 0)
            end = p + 5
            code = 0
    store_byte(out, columns[at + VALID] + row, 1)
    if code < 0:
        if byte == 110 and is_null(text, p) and columns[at + NULLABLE] == 1:
            store_byte(out, columns[at + VALID] + row, 0)
            return p + 4, heap, 0
        return read_otherwise(text, p, target, row, columns, out, strings, heap, spare, depth, words)
    return end, heap, code


@inlined
def quick_integer(text, p):
    """A number of at most 15 digits that is written as an integer: (position after it, int64); a negative position for any other."""
    negative = text[p] == 45
    first = p + 1 if negative else p
    count, value = read_digits(text, first)
    q = first + count
    if count == 8:
        more, low = read_digits(text, q)
        value = value * int64(SMALL_POWERS[more]) + low
        q += more
        if more == 8:
            return int64(-1), value
    fine = (count != 0) & (text[q] != 46) & ((text[q] | 32) != 101) & ((text[first] != 48) | (q == first + 1))
    return q if fine else int64(-1), -value if negative else value


@inlined
def read_double(text, p, words):
    """A number as its magnitude: (position after it or -1, float64)."""
    end, mantissa, exponent, digits, whole, scale = scan_number(text, p)
    first = p + 1 if text[p] == 45 else p
    return end, to_float(text, first, mantissa, exponent, digits, whole, scale, False, words)


@outlined
def read_otherwise(text, p, target, row, columns, out, strings, heap, spare, depth, words):
    """Any scalar at text[p], as `read_value`; the validity byte is 1 already."""
    at = target * COLUMN
    kind = columns[at + KIND] & (OTHERWISE - 1)
    coerce = columns[at + COERCE]
    byte = text[p]
    if byte == 110 and is_null(text, p):
        return null_row(p + 4, row, at, columns, out, heap)
    if kind == JSON:
        end, code = skip_value(text, p, depth, words)
        if code == 0:
            heap = store_string(text, p, end - p, columns[at + VALUES] + 8 * row, strings, heap, out)
        return end, heap, code
    if byte == 34:
        first, size, after, code = read_string(text, p, spare)
        if code != 0:
            return first, heap, code
        if size == 0 and (coerce & EMPTY) != 0:
            return null_row(after, row, at, columns, out, heap)
        if kind == STRING or kind == BINARY:
            heap, code = store_text(text, first, size, row, kind, at, columns, out, strings, heap, spare)
        else:
            code = read_quoted(text, first, size, row, kind, at, columns, out, words)
        return after, heap, code
    if starts_number(byte):
        end, code = read_number(text, p, row, kind, at, columns, out, words)
        if kind == STRING and (coerce & TEXT) != 0 and code == 0:
            heap = store_string(text, p, end - p, columns[at + VALUES] + 8 * row, strings, heap, out)
        return end, heap, code
    size = int64(4) if is_true(text, p) else (int64(5) if is_false(text, p) else int64(0))
    if kind == BOOL and size != 0:
        store_byte(out, columns[at + VALUES] + row, 5 - size)
        return p + size, heap, 0
    if kind == STRING and (coerce & TEXT) != 0 and size != 0:
        return p + size, store_string(text, p, size, columns[at + VALUES] + 8 * row, strings, heap, out), 0
    return p, heap, BAD_TYPE


@inlined
def store_string(text, first, size, where, strings, heap, out):
    """Copy text[first:first+size] to strings[heap:], 32 bytes at a time, and its view to out[where]: the heap behind it."""
    done = int64(0)
    while done < size:
        copy_block(text, first + done, strings, heap + done)
        done += 32
    store_word(out, where, heap | (size << 32))
    return heap + size


@inlined
def null_row(p, row, at, columns, out, heap):
    store_byte(out, columns[at + VALID] + row, 0)
    return p, heap, 0 if columns[at + NULLABLE] == 1 else NOT_NULL


@inlined
def default_row(row, at, columns, out):
    """A column's default, or null, into a row; False where it has neither."""
    if columns[at + DEFAULT] == 1:
        store_byte(out, columns[at + VALID] + row, 1)
        if columns[at + WIDTH] == 1:
            store_byte(out, columns[at + VALUES] + row, columns[at + DEFAULT_BITS])
        else:
            where = columns[at + VALUES] + columns[at + WIDTH] * row
            store_word(out, where, columns[at + DEFAULT_BITS])
            if columns[at + WIDTH] == 16:
                store_word(out, where + 8, columns[at + DEFAULT_HIGH])
        return True
    return columns[at + NULLABLE] == 1


@inlined
def store_text(text, first, size, row, kind, at, columns, out, strings, heap, spare):
    """A string into a string column, or as what it encodes into a binary one: (heap, 0 or a code)."""
    if kind == BINARY:
        if (columns[at + COERCE] & HEX) != 0:
            end = decode_hex(text, first, first + size, spare)
        else:
            end = decode_base64(text, first, first + size, spare)
        if end < 0:
            return heap, BAD_VALUE
        first = spare
        size = end - spare
    return store_string(text, first, size, columns[at + VALUES] + 8 * row, strings, heap, out), 0


@helper
def read_quoted(text, first, size, row, kind, at, columns, out, words):
    """A string into a column of another type: 0 or a code."""
    where = columns[at + VALUES] + 8 * row
    if kind == BOOL:
        if (columns[at + COERCE] & BOOLS) == 0:
            return BAD_TYPE
        return read_word(text, first, size, columns[at + VALUES] + row, out)
    code = 0
    value = int64(0)
    if kind == TIMESTAMP:
        code, value = read_timestamp(text, first, size, columns[at + TICKS], columns[at + ZONED] == 1)
    elif kind == DATE:
        code, value = read_day(text, first, size)
    elif kind == TIME:
        code, value = read_time_of_day(text, first, size, columns[at + TICKS])
    elif kind == DURATION:
        code, value = read_duration(text, first, size, columns[at + TICKS])
    else:
        if (columns[at + COERCE] & NUMBERS) == 0:
            return BAD_TYPE
        after = text[first + size]
        text[first + size] = 0
        code = BAD_NUMBER
        end = first
        if starts_number(text[first]):
            end, code = read_number(text, first, row, kind, at, columns, out, words)
        text[first + size] = after
        return BAD_NUMBER if code == BAD_JSON or (code == 0 and end != first + size) else code
    store_word(out, where, value)
    return code


@inlined
def read_word(text, first, size, where, out):
    """A word for true or false, in any case, into out[where]: 0 or a code."""
    word = load_word(text, first) & ((int64(1) << (8 * size)) - 1) if size < 8 else int64(0)
    if size > 1:
        word |= 0x2020202020202020 & ((int64(1) << (8 * min(size, 7))) - 1)
    elif size == 1 and word > 57:
        word |= 32
    yes = word == 0x65757274 or word == 0x736579 or word == 0x74 or word == 0x79 or word == 0x31
    no = word == 0x65736C6166 or word == 0x6F6E or word == 0x66 or word == 0x6E or word == 0x30
    store_byte(out, where, 1 if yes else 0)
    return 0 if yes or no else BAD_VALUE


@helper
def read_number(text, p, row, kind, at, columns, out, words):
    """A number into a column: (position after it, 0 or a code)."""
    end, mantissa, exponent, digits, whole, scale = scan_number(text, p)
    if end < 0:
        return p, BAD_JSON
    negative = text[p] == 45
    first = p + 1 if negative else p
    where = columns[at + VALUES] + 8 * row
    if kind == INTEGER or kind == UINT64:
        status, value = exact_integer(text, first, whole, digits, scale)
        if status != FITS:
            return p, BAD_NUMBER if status == NOT_INTEGRAL else OUT_OF_RANGE
        if negative:
            if value > uint64(0) - uint64(columns[at + LEAST]):
                return p, OUT_OF_RANGE
            store_word(out, where, -int64(value))
        else:
            if value > uint64(columns[at + GREATEST]):
                return p, OUT_OF_RANGE
            store_word(out, where, int64(value))
        return end, 0
    if kind == FLOAT64 or kind == FLOAT32:
        number = to_float(text, first, mantissa, exponent, digits, whole, scale, kind == FLOAT32, words)
        if number > 1.7976931348623157e308:
            return p, OUT_OF_RANGE
        store_double(out, where, -number if negative else number)
        return end, 0
    if kind == DECIMAL:
        code, low, high = to_decimal(
            text, first, digits, whole, scale, negative, columns[at + PRECISION], columns[at + PLACES],
            (columns[at + COERCE] & ROUND) != 0,
        )  # fmt: skip
        store_word(out, columns[at + VALUES] + 16 * row, low)
        store_word(out, columns[at + VALUES] + 16 * row + 8, high)
        return end, code
    if (kind == TIMESTAMP or kind == DURATION) and (columns[at + COERCE] & EPOCH) != 0:
        code, ticks = epoch_ticks(text, first, negative, whole, digits, scale + (columns[at + COERCE] >> EPOCH_PLACES) - 32)
        store_word(out, where, ticks)
        return end, code
    return end, 0 if kind == STRING and (columns[at + COERCE] & TEXT) != 0 else BAD_TYPE


@inlined
def epoch_ticks(text, first, negative, whole, digits, scale):
    """A number of ticks: (0 or a code, int64). Digits of less than a tick are cut off, towards the past."""
    status, value = exact_integer(text, first, whole, digits, scale)
    cut = status == NOT_INTEGRAL
    if cut:
        status, value = exact_integer(text, first, whole, max(min(digits, whole + scale), int64(0)), scale)
    if status != FITS or value > uint64(0x7FFFFFFFFFFFFFFE):
        return OUT_OF_RANGE, int64(0)
    ticks = int64(value)
    return 0, -ticks - (1 if cut else 0) if negative else ticks
