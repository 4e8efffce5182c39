"""JSON as text: where a string ends, what its escapes mean, whether a value that nobody wants is valid.

Every function here reads a record whose end is a NUL: it ends every number, literal and white space, and no string may hold it. So
nothing is read beyond a record but what a vector load takes along.
"""

from numba import int64

from millstream.kernels.number import count_digits, scan_number
from millstream.kernels.simd import copy_block, equal_mask, load_word, shift_right, string_events, trailing_zeros
from millstream.kernels.spec import helper, inlined, outlined
from millstream.kernels.utf8 import invalid_utf8

BAD_JSON, BAD_UTF8, TOO_DEEP = 2, 4, 5
MAX_DEPTH = 1024


@inlined
def find_close(text, p):
    """The end of the string whose first byte is text[p]: (position of its quote, or of the first byte that needs a second look; is it one).

    A second look: a backslash, a control character (the record's end, too), a byte beyond ASCII.
    """
    events = string_events(text, p)
    hit = trailing_zeros(events | shift_right(events, 32) | (int64(1) << 32))
    while hit == 32:
        p += 32
        events = string_events(text, p)
        hit = trailing_zeros(events | shift_right(events, 32) | (int64(1) << 32))
    return p + hit, (shift_right(events, hit) & 1) == 0


@outlined
def end_of_string(text, p, first):
    """The end of a string from `first` on that holds something unusual at p: (position of its quote, any backslash, 0 or a code).

    With a code, the position is that of the fault. Checks UTF-8; escapes are left to `unescape`.
    """
    slashes = False
    high = False
    while True:
        byte = int64(text[p])
        if byte == 34:
            break
        if byte == 92:
            slashes = True
            p += 2 if text[p + 1] >= 32 else 1
        elif byte < 32:
            break
        else:
            high = True
            p += 1
            while text[p] >= 128:
                p += 1
        if text[p] != 34:
            p, _ = find_close(text, p)
    if high:
        fault = invalid_utf8(text, first, p)
        if fault >= 0:
            return fault, slashes, BAD_UTF8
    return p, slashes, 0 if text[p] == 34 else BAD_JSON


@outlined
def read_unusual(text, p, first, spare):
    """A string from `first` on, something unusual in it at p: (start, length, position after its quote, 0 or a code).

    Escapes are decoded to text[spare:]; the start is `spare` then. With a code, the start is the position of the fault.
    """
    close, slashes, code = end_of_string(text, p, first)
    if code != 0:
        return close, int64(0), close, code
    if not slashes:
        return first, close - first, close + 1, 0
    end, code = unescape(text, first, close, spare, True)
    if code != 0:
        return end, int64(0), close, code
    return spare, end - spare, close + 1, 0


@inlined
def read_string(text, p, spare):
    """The string whose quote is text[p]: as `read_unusual`."""
    first = p + 1
    close, unusual = find_close(text, first)
    if unusual:
        return read_unusual(text, close, first, spare)
    return first, close - first, close + 1, 0


@outlined
def skip_unusual(text, p, first):
    """The rest of a string that nobody wants: (position after it or of the fault, 0 or a code)."""
    close, slashes, code = end_of_string(text, p, first)
    if code == 0 and slashes:
        fault, code = unescape(text, first, close, 0, False)
        if code != 0:
            return fault, code
    return (close + 1, 0) if code == 0 else (close, code)


@inlined
def skip_string(text, p):
    """A string at text[p], a quote, that nobody wants: (position after it or of the fault, 0 or a code)."""
    close, unusual = find_close(text, p + 1)
    if unusual:
        return skip_unusual(text, close, p + 1)
    return close + 1, 0


@inlined
def skip_space(text, p):
    while text[p] == 32 or text[p] == 10 or text[p] == 13 or text[p] == 9:
        p += 1
    return p


@inlined
def hex_value(byte):
    value = int64(byte)
    if value >= 48 and value <= 57:
        return value - 48
    value |= 32
    if value >= 97 and value <= 102:
        return value - 87
    return int64(-65536)


@inlined
def hex_four(text, p):
    """Four hex digits, or a negative number."""
    return hex_value(text[p]) * 4096 + hex_value(text[p + 1]) * 256 + hex_value(text[p + 2]) * 16 + hex_value(text[p + 3])


@helper
def unescape(text, p, end, at, write):
    """Decode text[p:end], which holds escapes, to text[at:]: (position after it, 0) or (position of the fault, code).

    The result is never longer than the source; up to 32 bytes behind it are written, none of which may be the source's. With
    `write` False escapes are only checked.
    """
    while p < end:
        byte = int64(text[p])
        if byte != 92:
            found = equal_mask(text, p, 92)
            run = min(trailing_zeros(found), end - p)
            if write:
                done = 0
                while done < run:
                    copy_block(text, p + done, text, at + done)
                    done += 32
            at += run
            p += run
            continue
        kind = int64(text[p + 1])
        p += 2
        code = int64(-1)
        if kind == 34 or kind == 92 or kind == 47:
            code = kind
        elif kind == 110:
            code = int64(10)
        elif kind == 116:
            code = int64(9)
        elif kind == 114:
            code = int64(13)
        elif kind == 98:
            code = int64(8)
        elif kind == 102:
            code = int64(12)
        elif kind == 117:
            code = hex_four(text, p) if end - p >= 4 else int64(-1)
            p += 4
            if code >= 0xD800 and code <= 0xDFFF:
                low = int64(-1)
                if code <= 0xDBFF and end - p >= 6 and text[p] == 92 and text[p + 1] == 117:
                    low = hex_four(text, p + 2)
                if low < 0xDC00 or low > 0xDFFF:
                    return p - 6, BAD_UTF8
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                p += 6
        if code < 0:
            return p - 2, BAD_JSON
        if code < 0x80:
            if write:
                text[at] = code
            at += 1
        elif code < 0x800:
            if write:
                text[at] = 0xC0 | (code >> 6)
                text[at + 1] = 0x80 | (code & 0x3F)
            at += 2
        elif code < 0x10000:
            if write:
                text[at] = 0xE0 | (code >> 12)
                text[at + 1] = 0x80 | ((code >> 6) & 0x3F)
                text[at + 2] = 0x80 | (code & 0x3F)
            at += 3
        else:
            if write:
                text[at] = 0xF0 | (code >> 18)
                text[at + 1] = 0x80 | ((code >> 12) & 0x3F)
                text[at + 2] = 0x80 | ((code >> 6) & 0x3F)
                text[at + 3] = 0x80 | (code & 0x3F)
            at += 4
    return at, 0


@inlined
def is_null(text, p):
    return (load_word(text, p) & 0xFFFFFFFF) == 0x6C6C756E


@inlined
def is_true(text, p):
    return (load_word(text, p) & 0xFFFFFFFF) == 0x65757274


@inlined
def is_false(text, p):
    return text[p] == 102 and (load_word(text, p + 1) & 0xFFFFFFFF) == 0x65736C61


@inlined
def starts_number(byte):
    return byte == 45 or (byte >= 48 and byte <= 57)


@outlined
def end_of_number(text, p):
    end, _, _, _, _, _ = scan_number(text, p)
    return end


@inlined
def skip_number(text, p):
    """The position after the number at text[p], or -1 where it is none; quick where it is short."""
    first = p + 1 if text[p] == 45 else p
    count = count_digits(text, first)
    q = first + count
    fine = (count >= 1) & (count < 8) & ((text[first] != 48) | (count == 1))
    if text[q] == 46:
        count = count_digits(text, q + 1)
        fine &= (count >= 1) & (count < 8)
        q += 1 + count
    if fine and (text[q] | 32) != 101:
        return q
    return end_of_number(text, p)


@inlined
def skip_colon(text, p):
    """Past the colon behind a key, and the space around it: (position, 0 or BAD_JSON)."""
    if text[p] != 58:
        p = skip_space(text, p)
        if text[p] != 58:
            return p, BAD_JSON
    p += 1
    return (skip_space(text, p) if text[p] <= 32 else p), 0


@outlined
def skip_value(text, p, depth, stack):
    """Check any JSON value at text[p], white space behind us: (position after it or of the fault, 0 or a code).

    depth: how many objects and arrays it lies in. stack: MAX_DEPTH words.
    """
    floor = depth
    while True:
        byte = text[p]
        opened = False
        if byte == 34:
            p, code = skip_string(text, p)
            if code != 0:
                return p, code
        elif byte == 123 or byte == 91:
            if depth >= MAX_DEPTH:
                return p, TOO_DEEP
            first = p + 1
            if text[first] <= 32:
                first = skip_space(text, first)
            if text[first] == byte + 2:
                p = first + 1
            else:
                stack[depth] = byte
                depth += 1
                p = first
                opened = True
        elif starts_number(byte):
            end = skip_number(text, p)
            if end < 0:
                return p, BAD_JSON
            p = end
        elif is_null(text, p) or is_true(text, p):
            p += 4
        elif is_false(text, p):
            p += 5
        else:
            return p, BAD_JSON
        while not opened:
            if depth == floor:
                return p, 0
            if text[p] <= 32:
                p = skip_space(text, p)
            byte = text[p]
            if byte == 44:
                p += 1
                if text[p] <= 32:
                    p = skip_space(text, p)
                opened = True
            elif int64(byte) == stack[depth - 1] + 2:
                p += 1
                depth -= 1
            else:
                return p, BAD_JSON
        if stack[depth - 1] == 123:
            if text[p] != 34:
                return p, BAD_JSON
            p, code = skip_string(text, p)
            if code != 0:
                return p, code
            p, code = skip_colon(text, p)
            if code != 0:
                return p, code


@inlined
def skip_any(text, p, depth, stack):
    """`skip_value`, quick for strings and short numbers."""
    byte = text[p]
    if byte == 34:
        return skip_string(text, p)
    if starts_number(byte):
        end = skip_number(text, p)
        return (end, 0) if end >= 0 else (p, BAD_JSON)
    return skip_value(text, p, depth, stack)
