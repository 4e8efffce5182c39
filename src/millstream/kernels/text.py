"""Text: trimming, searching, ASCII case, whole numbers and truth values in text.

Strings are views. What lies around one is read where the column's bytes go on, since whole blocks are read, and never matters.
"""

from typing import Any

from llvmlite import ir
from numba import int64, types, uint64
from numba.extending import intrinsic

from millstream.kernels.compare import same_bytes
from millstream.kernels.simd import above_mask, equal_mask, load_word, pointer, refuse_outside, shift_right, trailing_zeros
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


@helper
def find_bytes(data, start, end, needle):
    """Where a needle is first in data[start:end], or -1: of 64 places at a time those with its first and its last byte."""
    size = len(needle)
    if size == 0:
        return start
    first, final = int64(needle[0]), int64(needle[size - 1])
    at = start
    last = end - size
    while at <= last and at + size + 63 <= len(data):
        places = equal_mask(data, at, first) & equal_mask(data, at + size - 1, final)
        if last - at < 63:
            places &= (1 << (last - at + 1)) - 1
        while places != 0:
            place = at + trailing_zeros(places)
            if size < 3 or same_bytes(data, place, needle, 0, size) == 1:
                return place
            places &= places - 1
        at += 64
    while at <= last:
        if data[at] == needle[0] and same_bytes(data, at, needle, 0, size) == 1:
            return at
        at += 1
    return int64(-1)


@kernel
def contains_string(data: U8, views: I64, needle: U8, out: U8):
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        out[i] = 1 if find_bytes(data, start, start + (views[i] >> 32), needle) >= 0 else 0
    return len(out)


@kernel
def match_bytes(data: U8, views: I64, needle: U8, cut: INT, table: U8, ends: U8, start: INT, out: U8):
    """Has each string a match of an automaton? `table` has 256 next states for each, `ends` a 1 for each that is a match at the end.

    Of states 0, a match, and 1, none any more, there is no way back. needle: what each match holds, or nothing; with `cut` each match
    begins with it.
    """
    for i in range(len(out)):
        at = views[i] & 0xFFFFFFFF
        end = at + (views[i] >> 32)
        state = start
        if len(needle) > 0:
            place = find_bytes(data, at, end, needle)
            if place < 0:
                out[i] = 0
                continue
            at = place if cut == 1 else at
        while at < end and int64(table[start << 8 | int64(data[at])]) == start:
            at += 1  # what changes nothing does not wait for the state before
        while at < end and state > 1:
            state = int64(table[state << 8 | int64(data[at])])
            at += 1
        out[i] = ends[state]
    return 0


@kernel
def find_string(data: U8, views: I64, needle: U8, valid: U8, out: I64):
    """The byte of each string where the needle is first. Where it is nowhere, valid becomes null."""
    faults = 0
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        at = find_bytes(data, start, start + (views[i] >> 32), needle)
        out[i] = at - start if at >= 0 else 0
        if at < 0 and valid[i] == 1:
            valid[i] = 0
            faults += 1
    return faults


@kernel
def pack_short(data: U8, views: I64, out: I64):
    """Each string of up to seven bytes as a word, its length in the highest byte; -1 for longer ones."""
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        length = views[i] >> 32
        word = int64(-1)
        if length < 8:
            word = length << 56
            if start + 8 <= len(data):
                word |= load_word(data, start) & ((1 << 8 * length) - 1)
            else:
                for k in range(length):
                    word |= int64(data[start + k]) << 8 * k
        out[i] = word
    return 0


@kernel
def find_rows(data: U8, views: I64, valid: U8, needle: U8, cut: INT, rows: I64, out: I64):
    """The valid rows that a needle is in, and their strings, with `cut` from where it is first. Returns how many these are."""
    count = 0
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        at = find_bytes(data, start, end, needle) if valid[i] == 1 else -1
        if at >= 0:
            rows[count] = i
            out[count] = at | (end - at) << 32 if cut == 1 else views[i]
            count += 1
    return count


@inlined
def is_ascii(data, start, length):
    """Are these bytes all below 128?"""
    at = start
    end = start + length
    while at < end and at + 64 <= len(data):
        high = above_mask(data, at, 127)
        if end - at < 64:
            high &= (1 << (end - at)) - 1
        if high != 0:
            return False
        at += 64
    high = 0
    for k in range(at, end):
        high |= int64(data[k])
    return high < 128


@kernel
def measure_ascii(data: U8, views: I64, valid: U8):
    """The bytes of all valid strings, or -1 where one of them is not ASCII."""
    total = 0
    for i in range(len(views)):
        if valid[i] == 1:
            length = views[i] >> 32
            if not is_ascii(data, views[i] & 0xFFFFFFFF, length):
                return -1
            total += length
    return total


_BLOCK = ir.VectorType(ir.IntType(8), 32)


@intrinsic
def fold_block(typingctx: Any, source: Any, source_at: Any, first: Any, target: Any, target_at: Any) -> Any:
    """Copy 32 bytes; the 26 letters from `first` on change their case."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        refuse_outside(context, builder, signature.args[0], args[0], args[1], 32)
        loaded = builder.load(pointer(context, builder, signature.args[0], args[0], args[1], _BLOCK), align=1, typ=_BLOCK)
        start = builder.insert_element(
            ir.Constant(_BLOCK, None), builder.trunc(args[2], ir.IntType(8)), ir.Constant(ir.IntType(32), 0)
        )
        starts = builder.shuffle_vector(start, start, ir.Constant(ir.VectorType(ir.IntType(32), 32), [0] * 32))
        letters = builder.icmp_unsigned("<", builder.sub(loaded, starts), ir.Constant(_BLOCK, [26] * 32))
        folded = builder.select(letters, builder.xor(loaded, ir.Constant(_BLOCK, [0x20] * 32)), loaded)
        refuse_outside(context, builder, signature.args[3], args[3], args[4], 32)
        builder.store(folded, pointer(context, builder, signature.args[3], args[3], args[4], _BLOCK), align=1)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64), codegen


@kernel
def fold_ascii(data: U8, views: I64, valid: U8, first: INT, out: U8, out_views: I64):
    """Letters from `first` (65: capitals, 97: small ones) on change their case. Strings are laid one after another in `out`."""
    total = 0
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        length = (views[i] >> 32) if valid[i] == 1 else 0
        k = int64(0)
        while k < length and start + k + 32 <= len(data) and total + k + 32 <= len(out):
            fold_block(data, start + k, first, out, total + k)  # what it writes behind the string the next one overwrites
            k += 32
        while k < length:
            byte = int64(data[start + k])
            out[total + k] = byte ^ (0x20 if (byte >= first) & (byte < first + 26) else 0)
            k += 1
        out_views[i] = total | length << 32
        total += length
    return total


_ZEROS = 0x3030303030303030


@inlined
def eight_digits(data, start, count):
    """The value of 1 to 8 bytes that are digits, or -1. Eight can be read."""
    text = load_word(data, start)
    if count < 8:  # zeros in front: the first digit is the lowest byte
        text = text << 8 * (8 - count) | shift_right(_ZEROS, 8 * count)
    high = ~0x0F0F0F0F0F0F0F0F
    if (text & high) != _ZEROS or ((text + 0x0606060606060606) & high) != _ZEROS:
        return int64(-1)
    pairs = text - _ZEROS
    pairs = (pairs * 10 + shift_right(pairs, 8)) & 0x00FF00FF00FF00FF
    fours = (pairs * 100 + shift_right(pairs, 16)) & 0x0000FFFF0000FFFF
    return (fours * 10000 + shift_right(fours, 32)) & 0xFFFFFFFF


@inlined
def few_digits(data, start, end):
    """The value of 1 to 8 digits in data[start:end], or -1 for anything else."""
    if start < end <= start + 8 <= len(data):
        return eight_digits(data, start, end - start)
    return int64(-1)


@helper
def digits_value(data, start, end):
    """The whole number written in data[start:end], digits only: (0 or a code, uint64)."""
    if start >= end:
        return BAD_NUMBER, uint64(0)
    length = end - start
    if length <= 16 and start + 16 <= len(data):
        first = length - 8 if length > 8 else length
        upper = eight_digits(data, start, first)
        lower = eight_digits(data, start + first, 8) if length > 8 else int64(0)
        if (upper | lower) >= 0:
            return 0, uint64(upper * 100_000_000 + lower if length > 8 else upper)
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
        few = few_digits(data, start, end)
        if few >= 0:
            out[i] = -few if negative else few
            continue
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
        few = few_digits(data, start, end)
        if few == 0 or (few > 0 and not negative):
            out[i] = uint64(few)
            continue
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
