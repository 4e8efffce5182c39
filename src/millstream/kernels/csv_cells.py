"""CSV cells to columns: the text of one cell of a record into one row of its column.

`read_cell` is what the loop over cells inlines: the forms that cells mostly have. `read_otherwise` knows null tokens, blanks around a
value and all forms of all types. A record lies at text[0:]. Its cells are unescaped to text[spare:], and what is made of them there
lies at text[2 * spare:], where there is room for twice a record.
"""

from numba import int64

from millstream.kernels.csv_scan import ESCAPE, LATIN, QUOTE
from millstream.kernels.instant import read_instant
from millstream.kernels.json_text import BAD_JSON, end_of_number, skip_space, skip_value, starts_number
from millstream.kernels.json_values import (
    BAD_NUMBER,
    BAD_VALUE,
    BINARY,
    BOOL,
    BOOLS,
    COERCE,
    COLUMN,
    DATE,
    DURATION,
    EMPTY,
    EPOCH,
    FLOAT64,
    GREATEST,
    INTEGER,
    JSON,
    KIND,
    LEAST,
    NULLABLE,
    OTHERWISE,
    PLACES,
    STRING,
    TICKS,
    TIME,
    TIMESTAMP,
    VALID,
    VALUES,
    ZONED,
    null_row,
    read_double,
    read_number,
    read_quoted,
    read_word,
    store_string,
    store_text,
)
from millstream.kernels.number import eight_digits, is_digit
from millstream.kernels.simd import copy_block, equal_mask, load_word, store_byte, store_double, store_word, trailing_zeros
from millstream.kernels.spec import helper, inlined, outlined

# What is wrong with a record that is BAD_CSV.
TOO_FEW, TOO_MANY, NOT_CLOSED, BEHIND_QUOTE, NOTHING_ESCAPED = 1, 2, 3, 4, 5


@outlined
def is_null(text, first, size, tokens):
    """Is text[first:first+size] one of the null tokens? Each is its length and its bytes, as words."""
    t = int64(0)
    while t < len(tokens):
        length = tokens[t]
        if length == size:
            same = True
            for i in range((size + 7) >> 3):
                left = size - 8 * i
                word = load_word(text, first + 8 * i)
                if left < 8:
                    word &= (int64(1) << (8 * left)) - 1
                same &= word == tokens[t + 1 + i]
            if same:
                return True
        t += 1 + ((length + 7) >> 3)
    return False


@outlined
def open_cell(text, p, end, spare, dialect):
    """The cell text[p:end] without its quotes and escapes: (where it begins, its size, 1 if it was in quotes, 0 or what is wrong)."""
    escape = dialect[ESCAPE]
    quoted = int64(1) if p < end and int64(text[p]) == dialect[QUOTE] else int64(0)
    first = p + quoted
    hits = int64(0)
    q = first
    while q < end and hits == 0:
        hits = equal_mask(text, q, dialect[QUOTE]) if quoted == 1 else int64(0)
        if escape >= 0:
            hits |= equal_mask(text, q, escape)
        q += trailing_zeros(hits)
    q = min(q, end)
    if quoted == 0 and q == end:
        return first, end - first, quoted, int64(0)
    if quoted == 1 and q == end - 1 and int64(text[q]) != escape:
        return first, q - first, quoted, int64(0)
    at = spare
    q = first
    while q < end:
        hits = equal_mask(text, q, dialect[QUOTE]) if quoted == 1 else int64(0)
        if escape >= 0:
            hits |= equal_mask(text, q, escape)
        run = min(trailing_zeros(hits), end - q)
        done = int64(0)
        while done < run:
            copy_block(text, q + done, text, at + done)
            done += 32
        at += run
        q += run
        if q == end or hits == 0:
            continue
        byte = int64(text[q])
        q += 1
        if byte == escape:
            if q == end:
                return first, int64(0), quoted, int64(NOTHING_ESCAPED)
        elif q == end:
            text[at] = 0
            return spare, at - spare, quoted, int64(0)
        elif int64(text[q]) != dialect[QUOTE]:
            return first, int64(0), quoted, int64(BEHIND_QUOTE)
        text[at] = text[q]
        at += 1
        q += 1
    text[at] = 0  # what reads numbers goes on to a byte that is of none
    return spare, at - spare, quoted, int64(NOT_CLOSED) if quoted == 1 else int64(0)


@inlined
def short_integer(text, p, size):
    """A sign, perhaps, and up to 16 digits: (is it that, int64)."""
    negative = text[p] == 45
    first = p + int64(negative)
    count = size - int64(negative)
    fine = False
    value = int64(0)
    if count >= 1 and count <= 8:
        word = (load_word(text, first) ^ 0x3030303030303030) << (64 - 8 * count)
        fine = (((word + 0x7676767676767676) | word) & -0x7F7F7F7F7F7F7F80) == 0
        value = eight_digits(word)
    elif count >= 9 and count <= 16:
        word = (load_word(text, first) ^ 0x3030303030303030) << (128 - 8 * count)
        low = load_word(text, first + count - 8) ^ 0x3030303030303030
        fine = (((word + 0x7676767676767676) | word | (low + 0x7676767676767676) | low) & -0x7F7F7F7F7F7F7F80) == 0
        value = eight_digits(word) * 100000000 + eight_digits(low)
    return fine, -value if negative else value


@inlined
def read_cell(
    text, p, size, quoted, target, row, columns, out, strings, heap, spare, lengths, numbers, tokens, dialect, wide, words
):
    """The cell text[p:p+size] into a row of a column: (heap, 0 or a code).

    lengths, numbers: words of the dialect. wide: not 0 where the cell may hold Latin-1 beyond ASCII.
    """
    at = target * COLUMN
    kind = columns[at + KIND]
    done = False
    if size == 0 and (lengths & 1) == 1 and columns[at + NULLABLE] == 1 and quoted == 0:
        return heap, int64(0)
    bit = int64(1) << min(size, int64(63))
    if kind == STRING:
        if (quoted == 1 or (lengths & bit) == 0) and wide == 0:
            heap = store_string(text, p, size, columns[at + VALUES] + 8 * row, strings, heap, out)
            done = True
    elif (numbers & bit) == 0:
        if kind == INTEGER:
            fine, value = short_integer(text, p, size)
            if fine and value >= columns[at + LEAST] and value <= columns[at + GREATEST]:
                store_word(out, columns[at + VALUES] + 8 * row, value)
                done = True
        elif kind == FLOAT64:
            byte = text[p]
            if size > 0 and starts_number(byte):
                end, number = read_double(text, p, words)
                if end == p + size and number <= 1.7976931348623157e308:
                    store_double(out, columns[at + VALUES] + 8 * row, -number if byte == 45 else number)
                    done = True
        elif kind == TIMESTAMP:
            code, ticks = read_instant(text, p, size, columns[at + TICKS], columns[at + PLACES], columns[at + ZONED] == 1)
            if code == 0:
                store_word(out, columns[at + VALUES] + 8 * row, ticks)
                done = True
    store_byte(out, columns[at + VALID] + row, 1)
    if done:
        return heap, int64(0)
    return read_otherwise(text, p, size, quoted, at, row, columns, out, strings, heap, spare, tokens, dialect, words)


@helper
def copy_latin(text, first, size, to):
    """Latin-1 to text[to:] as UTF-8: where it ends."""
    for i in range(size):
        byte = int64(text[first + i])
        if byte < 128:
            text[to] = byte
            to += 1
        else:
            text[to] = 0xC0 | (byte >> 6)
            text[to + 1] = 0x80 | (byte & 0x3F)
            to += 2
    return to


@helper
def copy_number(text, first, size, to):
    """A number to text[to:] as JSON writes it, a NUL behind it: where it ends.

    What JSON does not have, `+5`, `007`, `.5` and `5.`, becomes `5`, `7`, `0.5` and `5`.
    """
    p = first
    end = first + size
    if p < end and text[p] == 45:
        text[to] = 45
        to += 1
        p += 1
    elif p + 1 < end and text[p] == 43 and text[p + 1] != 45:
        p += 1
    while p + 1 < end and text[p] == 48 and is_digit(text[p + 1]):
        p += 1
    if p + 1 < end and text[p] == 46 and is_digit(text[p + 1]):
        text[to] = 48
        to += 1
    digits = p
    while p < end and is_digit(text[p]):
        text[to] = text[p]
        to += 1
        p += 1
    if p > digits and p < end and text[p] == 46 and (p + 1 == end or (text[p + 1] | 32) == 101):
        p += 1
    while p < end:
        text[to] = text[p]
        to += 1
        p += 1
    text[to] = 0
    return to


@outlined
def read_otherwise(text, first, size, quoted, at, row, columns, out, strings, heap, spare, tokens, dialect, words):
    """Any cell, as `read_cell`; the validity byte is 1 already."""
    kind = columns[at + KIND] & (OTHERWISE - 1)
    coerce = columns[at + COERCE]
    null = (kind != STRING or quoted == 0) and is_null(text, first, size, tokens)
    if kind != STRING and not null:
        before = size
        while size > 0 and (text[first] == 32 or text[first] == 9):
            first += 1
            size -= 1
        while size > 0 and (text[first + size - 1] == 32 or text[first + size - 1] == 9):
            size -= 1
        if size != before:
            null = is_null(text, first, size, tokens)
    if size == 0 and (coerce & EMPTY) != 0:
        null = True
    if null:
        _, heap, code = null_row(int64(0), row, at, columns, out, heap)
        return heap, int64(code)
    where = columns[at + VALUES] + 8 * row
    scratch = 2 * spare
    if kind == STRING or kind == JSON:
        if dialect[LATIN] == 1:
            end = copy_latin(text, first, size, scratch)
            first = scratch
            size = end - scratch
        if kind == JSON:
            after = text[first + size]
            text[first + size] = 0
            end, code = skip_value(text, first, int64(0), words)
            if code == 0:
                end = skip_space(text, end)
                code = 0 if end == first + size else BAD_JSON
            text[first + size] = after
            if code != 0:
                return heap, int64(code)
        return store_string(text, first, size, where, strings, heap, out), int64(0)
    if kind == BINARY:
        heap, code = store_text(text, first, size, row, kind, at, columns, out, strings, heap, spare)
        return heap, int64(code)
    if kind == BOOL:
        if (coerce & BOOLS) == 0 and size != 4 and size != 5:
            return heap, int64(BAD_VALUE)
        return heap, int64(read_word(text, first, size, columns[at + VALUES] + row, out))
    timed = kind == TIMESTAMP or kind == DATE or kind == TIME or kind == DURATION
    if not timed or (coerce & EPOCH) != 0:
        end = copy_number(text, first, size, scratch)
        if starts_number(text[scratch]) and end_of_number(text, scratch) == end:
            _, code = read_number(text, scratch, row, kind, at, columns, out, words)
            return heap, int64(code)
        if not timed:
            return heap, int64(BAD_NUMBER)
    return heap, int64(read_quoted(text, first, size, row, kind, at, columns, out, words))
