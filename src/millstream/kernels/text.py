"""Text: trimming, searching, ASCII case, whole numbers and truth values in text. Strings are views; none reads outside its view."""

from numba import int64, uint64

from millstream.kernels.compare import same_bytes
from millstream.kernels.spec import I64, INT, U8, U64, helper, inlined, kernel

BAD_NUMBER, OUT_OF_RANGE, BAD_VALUE = 10, 11, 13


@inlined
def is_tail(byte):
    """Is this a UTF-8 byte after the first of its character?"""
    return (byte & 0xC0) == 0x80


@helper
def code_point(data, at, end):
    """The character that begins at data[at], as (code point, bytes); its bytes lie before `end`."""
    first = int64(data[at])
    if first < 0x80:
        return first, int64(1)
    point = first & (0x1F if first < 0xE0 else (0x0F if first < 0xF0 else 0x07))
    size = int64(1)
    while at + size < end and size < 4 and is_tail(data[at + size]):
        point = point << 6 | (int64(data[at + size]) & 0x3F)
        size += 1
    return point, size


@helper
def is_among(point, table, others):
    if point < 128:
        return table[point] == 1
    for i in range(len(others)):
        if others[i] == point:
            return True
    return False


@kernel
def strip_string(data: U8, views: I64, table: U8, others: I64, ends: INT, out: I64):
    """Views without characters at their start (bit 0 of `ends`) and their end (bit 1).

    `table` has a 1 for each ASCII character that goes (128 bytes), `others` the rest.
    """
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        while start < end and ends & 1 == 1:
            point, size = code_point(data, start, end)
            if not is_among(point, table, others):
                break
            start += size
        while start < end and ends & 2 == 2:
            last = end - 1
            while last > start and is_tail(data[last]):
                last -= 1
            point, size = code_point(data, last, end)
            if not is_among(point, table, others):
                break
            end = last
        out[i] = start | (end - start) << 32
    return len(out)


@kernel
def starts_string(data: U8, views: I64, needle: U8, out: U8):
    size = len(needle)
    for i in range(len(out)):
        fits = (views[i] >> 32) >= size
        out[i] = same_bytes(data, views[i] & 0xFFFFFFFF, needle, 0, size) if fits else 0
    return len(out)


@kernel
def ends_string(data: U8, views: I64, needle: U8, out: U8):
    size = len(needle)
    for i in range(len(out)):
        length = views[i] >> 32
        out[i] = same_bytes(data, (views[i] & 0xFFFFFFFF) + length - size, needle, 0, size) if length >= size else 0
    return len(out)


@kernel
def contains_string(data: U8, views: I64, needle: U8, out: U8):
    size = len(needle)
    for i in range(len(out)):
        at = views[i] & 0xFFFFFFFF
        last = at + (views[i] >> 32) - size
        found = 1 if size == 0 else 0
        while found == 0 and at <= last:
            if data[at] == needle[0]:
                found = same_bytes(data, at, needle, 0, size)
            at += 1
        out[i] = found
    return len(out)


@kernel
def measure_ascii(data: U8, views: I64, valid: U8):
    """The bytes of all valid strings, or -1 where one of them is not ASCII."""
    total = 0
    high = 0
    for i in range(len(views)):
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            length = views[i] >> 32
            for k in range(length):
                high |= int64(data[start + k])
            total += length
    return total if high < 128 else -1


@kernel
def fold_ascii(data: U8, views: I64, valid: U8, first: INT, out: U8, out_views: I64):
    """Letters from `first` (65: capitals, 97: small ones) on change their case. Strings are laid one after another in `out`."""
    total = 0
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        length = (views[i] >> 32) if valid[i] == 1 else 0
        for k in range(length):
            byte = int64(data[start + k])
            out[total + k] = byte ^ (0x20 if (byte >= first) & (byte < first + 26) else 0)
        out_views[i] = total | length << 32
        total += length
    return total


@helper
def digits_value(data, start, end):
    """The whole number written in data[start:end], digits only: (0 or a code, uint64)."""
    if start >= end:
        return BAD_NUMBER, uint64(0)
    value = uint64(0)
    code = 0
    for k in range(start, end):
        digit = int64(data[k]) - 48
        if digit < 0 or digit > 9:
            return BAD_NUMBER, uint64(0)
        if value > uint64(1844674407370955161) or (value == uint64(1844674407370955161) and digit > 5):
            code = OUT_OF_RANGE
        value = value * uint64(10) + uint64(digit)
    return code, value


@kernel
def parse_int64(data: U8, views: I64, strict: INT, valid: U8, out: I64):
    """A sign or none, then digits. Other text gets BAD_NUMBER, a number that is no int64 OUT_OF_RANGE; 0 unless strict."""
    faults = 0
    for i in range(len(out)):
        out[i] = 0
        if valid[i] != 1:
            continue
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        negative = start < end and data[start] == 45
        if negative or (start < end and data[start] == 43):
            start += 1
        code, value = digits_value(data, start, end)
        limit = uint64(9223372036854775808) if negative else uint64(9223372036854775807)
        if code == 0 and value > limit:
            code = OUT_OF_RANGE
        if code != 0:
            valid[i] = code * strict
            faults += 1
        else:
            out[i] = -int64(value) if negative else int64(value)
    return faults


@kernel
def parse_uint64(data: U8, views: I64, strict: INT, valid: U8, out: U64):
    """As `parse_int64`; a negative number is out of range."""
    faults = 0
    for i in range(len(out)):
        out[i] = uint64(0)
        if valid[i] != 1:
            continue
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        negative = start < end and data[start] == 45
        if negative or (start < end and data[start] == 43):
            start += 1
        code, value = digits_value(data, start, end)
        if code == 0 and negative and value > uint64(0):
            code = OUT_OF_RANGE
        if code != 0:
            valid[i] = code * strict
            faults += 1
        else:
            out[i] = value
    return faults


@kernel
def parse_bool(data: U8, views: I64, strict: INT, valid: U8, out: U8):
    """`true` and `false`; other text gets BAD_VALUE, 0 unless strict."""
    faults = 0
    for i in range(len(out)):
        out[i] = 0
        if valid[i] != 1:
            continue
        at = views[i] & 0xFFFFFFFF
        length = views[i] >> 32
        if length == 4 and data[at] == 116 and data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101:
            out[i] = 1
        elif not (
            length == 5
            and data[at] == 102
            and data[at + 1] == 97
            and data[at + 2] == 108
            and data[at + 3] == 115
            and data[at + 4] == 101
        ):
            valid[i] = BAD_VALUE * strict
            faults += 1
    return faults
