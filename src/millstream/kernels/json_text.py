"""JSON as text: where its quotes are, what its escapes mean, whether a value that nobody wants is valid.

Every function here reads a record whose end is a NUL, which ends every number, literal and white space. The positions of its
unescaped quotes are in `index`; k counts those that were passed.
"""

from numba import int64

from millstream.kernels.number import scan_number
from millstream.kernels.simd import (
    above_mask,
    below_mask,
    count_ones,
    equal_mask,
    load_word,
    shift_right,
    trailing_zeros,
    unusual_mask,
)
from millstream.kernels.spec import helper, inlined

BAD_JSON, BAD_UTF8, TOO_DEEP = 2, 4, 5
MAX_DEPTH = 1024


@inlined
def find_quotes(text, start, end, index):
    """Note the unescaped quotes of text[start:end] in `index`, 64 bytes at a time.

    Returns (how many, any backslash, any byte beyond ASCII, the position of a control character in a string or -1).
    """
    count = int64(0)
    carry = int64(0)
    slashes = int64(0)
    high = int64(0)
    control = int64(-1)
    base = start
    while base < end:
        keep = int64(-1)
        if end - base < 64:
            keep = (int64(1) << (end - base)) - 1
        quote = equal_mask(text, base, 34) & keep
        unusual = unusual_mask(text, base) & keep
        if (unusual | carry) != 0:
            backslash = equal_mask(text, base, 92) & keep
            high |= above_mask(text, base, 127) & keep
            low = below_mask(text, base, 32) & keep
            if (backslash | carry) != 0:
                slashes |= backslash
                odd = int64(-6148914691236517206)
                possible = backslash & ~carry
                even = ((possible << 1) | odd) - possible
                codes = even ^ odd
                escaped = codes ^ (backslash | carry)
                carry = shift_right(codes & backslash, 63)
                quote &= ~escaped
            if low != 0:
                inside = quote
                for shift in (1, 2, 4, 8, 16, 32):
                    inside ^= inside << shift
                inside ^= -(count & 1)
                if (low & inside) != 0 and control < 0:
                    control = base + trailing_zeros(low & inside)
        found = count_ones(quote)
        for i in range(8):
            index[count + i] = base + trailing_zeros(quote)
            quote &= quote - 1
        if found > 8:
            for i in range(8, 16):
                index[count + i] = base + trailing_zeros(quote)
                quote &= quote - 1
            for i in range(16, found):
                index[count + i] = base + trailing_zeros(quote)
                quote &= quote - 1
        count += found
        base += 64
    return count, slashes != 0, high != 0, control


@helper
def invalid_utf8(text, p, end):
    """The position of the first byte that is not UTF-8 in text[p:end], or -1. text[end] is a NUL."""
    while p < end:
        high = above_mask(text, p, 127)
        if end - p < 64:
            high &= (int64(1) << (end - p)) - 1
        if high == 0:
            p += 64
            continue
        p += trailing_zeros(high)
        while text[p] >= 0x80:
            lead = int64(text[p])
            second = int64(text[p + 1])
            if lead < 0xC2 or lead > 0xF4:
                return p
            least = int64(0x80)
            greatest = int64(0xBF)
            if lead == 0xE0:
                least = int64(0xA0)
            elif lead == 0xED:
                greatest = int64(0x9F)
            elif lead == 0xF0:
                least = int64(0x90)
            elif lead == 0xF4:
                greatest = int64(0x8F)
            if second < least or second > greatest:
                return p
            if lead < 0xE0:
                p += 2
                continue
            if (text[p + 2] & 0xC0) != 0x80:
                return p
            if lead < 0xF0:
                p += 3
                continue
            if (text[p + 3] & 0xC0) != 0x80:
                return p
            p += 4
    return int64(-1)


@inlined
def skip_space(text, p):
    while text[p] == 32 or text[p] == 10 or text[p] == 13 or text[p] == 9:
        p += 1
    return p


@helper
def find_backslash(text, p, end):
    """The position of the first backslash in text[p:end], or -1."""
    while p < end:
        found = equal_mask(text, p, 92)
        if end - p < 64:
            found &= (int64(1) << (end - p)) - 1
        if found != 0:
            return p + trailing_zeros(found)
        p += 64
    return int64(-1)


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

    The result is never longer than the source. With `write` False escapes are only checked.
    """
    while p < end:
        byte = int64(text[p])
        if byte != 92:
            if write:
                text[at] = byte
            at += 1
            p += 1
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
def check_string(text, index, p, k, slashes):
    """A string at text[p] whose value nobody wants: (position after it, code)."""
    if text[p] != 34 or int64(index[k]) != p:
        return p, BAD_JSON
    close = int64(index[k + 1])
    if slashes and find_backslash(text, p + 1, close) >= 0:
        fault, code = unescape(text, p + 1, close, 0, False)
        if code != 0:
            return fault, code
    return close + 1, 0


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


@helper
def skip_value(text, index, p, k, depth, stack, slashes):
    """Check any JSON value at text[p], white space behind us: (position after it or of the fault, k, 0 or a code)."""
    floor = depth
    while True:
        byte = text[p]
        opened = False
        if byte == 34:
            p, code = check_string(text, index, p, k, slashes)
            if code != 0:
                return p, k, code
            k += 2
        elif byte == 123 or byte == 91:
            if depth >= MAX_DEPTH:
                return p, k, TOO_DEEP
            first = skip_space(text, p + 1)
            if text[first] == byte + 2:
                p = first + 1
            else:
                stack[depth] = byte
                depth += 1
                p = first
                opened = True
        elif starts_number(byte):
            end, _, _, _, _, _ = scan_number(text, p)
            if end < 0:
                return p, k, BAD_JSON
            p = end
        elif is_null(text, p) or is_true(text, p):
            p += 4
        elif is_false(text, p):
            p += 5
        else:
            return p, k, BAD_JSON
        while not opened:
            if depth == floor:
                return p, k, 0
            p = skip_space(text, p)
            byte = text[p]
            if byte == 44:
                p = skip_space(text, p + 1)
                opened = True
            elif int64(byte) == stack[depth - 1] + 2:
                p += 1
                depth -= 1
            else:
                return p, k, BAD_JSON
        if stack[depth - 1] == 123:
            p, code = check_string(text, index, p, k, slashes)
            if code != 0:
                return p, k, code
            k += 2
            p = skip_space(text, p)
            if text[p] != 58:
                return p, k, BAD_JSON
            p = skip_space(text, p + 1)
