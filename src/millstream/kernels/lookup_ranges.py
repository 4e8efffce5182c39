"""Ranges that are searched for the one that holds a value, and the addresses of IP as such values.

Whatever is searched for is two words, the low one first: the high one in the order of int64, the low one in that of uint64. A range
holds both its ends. Sorted by group and start, ranges of a group that do not overlap are searched by bisection.
"""

from numba import int64, uint64

from millstream.kernels.simd import bits_of_double, double_of_bits, shift_right
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

_INT64, _UINT64, _FLOAT64, _DECIMAL, _IPV4 = 0, 1, 2, 3, 4
_SIGN = -0x8000000000000000
_LARGEST = 0x7FFFFFFFFFFFFFFF
_MAPPED = 0xFFFF00000000
"""The low word of ::ffff:0.0.0.0: IPv4 addresses are where IPv6 has them."""


@inlined
def is_less(low, high, other_low, other_high):
    """Does a value come before another?"""
    return (high < other_high) | ((high == other_high) & (uint64(low) < uint64(other_low)))


@kernel
def order_words(form: INT, source: I64, valid: U8, out: I64, out_valid: U8):
    """Values of a column as two words each, in their order. NaN, and an integer that is no IPv4 address, become not valid.

    form: 0 int64, 1 uint64, 2 float64 by its bits, 3 decimal (two words), 4 IPv4 addresses as integers. Returns how many are valid.
    """
    count = 0
    for i in range(len(out_valid)):
        low, high, fine = int64(0), int64(0), valid[i] == 1
        if form == _DECIMAL:
            low, high = source[2 * i], source[2 * i + 1]
        elif form == _UINT64:
            high = source[i] ^ _SIGN
        elif form == _FLOAT64:
            value = double_of_bits(source[i]) + 0.0  # -0.0 is 0.0
            bits = bits_of_double(value)
            high = bits ^ ((bits >> 63) & _LARGEST)
            fine &= value == value
        elif form == _IPV4:
            low, high = _MAPPED | source[i], int64(_SIGN)
            fine &= (source[i] >= 0) & (source[i] <= 0xFFFFFFFF)
        else:
            high = source[i]
        out[2 * i] = low
        out[2 * i + 1] = high
        out_valid[i] = fine
        count += fine
    return count


@helper
def parse_quad(data, at, end):
    """The IPv4 address that these bytes are, -1 where they are none. A number has no zeros before it."""
    value = int64(0)
    for part in range(4):
        number, digits = int64(0), 0
        while at < end and digits < 3 and data[at] >= 48 and data[at] <= 57:
            if digits == 1 and number == 0:
                return int64(-1)
            number = 10 * number + data[at] - 48
            digits += 1
            at += 1
        if digits == 0 or number > 255:
            return int64(-1)
        value = value << 8 | number
        if part < 3:
            if at >= end or data[at] != 46:
                return int64(-1)
            at += 1
    return value if at == end else int64(-1)


@inlined
def hex_digit(byte):
    """The value of a hexadecimal digit, -1 for another byte."""
    letter = byte | 32
    if (byte >= 48) & (byte <= 57):
        return int64(byte) - 48
    return int64(letter) - 87 if (letter >= 97) & (letter <= 102) else int64(-1)


@helper
def parse_groups(data, at, end, out, to):
    """The IPv6 address that these bytes are, as two words at `to`. Returns 1, or 0 where they are none."""
    low, high, groups = int64(0), int64(0), 0
    head_low, head_high, gap = int64(0), int64(0), -1
    if at + 1 < end and data[at] == 58 and data[at + 1] == 58:
        gap = 0
        at += 2
    while at < end:
        word, start = int64(0), at
        while at < end and at - start < 5 and hex_digit(data[at]) >= 0:
            word = word << 4 | hex_digit(data[at])
            at += 1
        if at < end and data[at] == 46:
            word = parse_quad(data, start, end)
            if word < 0 or groups > 6:
                return 0
            high = high << 32 | shift_right(low, 32)
            low = low << 32 | word
            groups += 2
            at = end
            break
        if at == start or at - start > 4 or groups == 8:
            return 0
        high = high << 16 | shift_right(low, 48)
        low = low << 16 | word
        groups += 1
        if at == end:
            break
        if data[at] != 58 or at + 1 == end:
            return 0
        at += 1
        if data[at] == 58:
            if gap >= 0:
                return 0
            gap = groups
            head_low, head_high, low, high = low, high, int64(0), int64(0)
            at += 1
    if gap < 0:
        if groups != 8:
            return 0
    else:
        if groups > 7:
            return 0
        for _ in range(8 - gap):  # what stands before the gap goes to the front
            head_high = head_high << 16 | shift_right(head_low, 48)
            head_low <<= 16
        low |= head_low
        high |= head_high
    out[to] = low
    out[to + 1] = high ^ _SIGN
    return 1


@kernel
def parse_addresses(data: U8, views: I64, valid: U8, networks: INT, firsts: I64, lasts: I64, out_valid: U8):
    """IPv4 and IPv6 addresses in text, as two words each; with `networks`, the first and the last address of address/length.

    What is no address becomes not valid, nor does a network whose address has bits behind its length. `lasts` is used for networks
    alone. Returns how many are valid.
    """
    count = 0
    for i in range(len(out_valid)):
        out_valid[i] = 0
        firsts[2 * i] = 0
        firsts[2 * i + 1] = 0
        if valid[i] != 1:
            continue
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        stop, six, bits = end, False, int64(0)
        for at in range(start, min(end, start + 50)):
            six |= data[at] == 58
            if data[at] == 47 and stop == end:
                stop = at
        size = int64(128 if six else 32)
        if stop < end:
            if networks == 0 or end - stop > 4 or end - stop < 2:
                continue
            for at in range(stop + 1, end):
                if data[at] < 48 or data[at] > 57:
                    bits = int64(999)
                bits = 10 * bits + data[at] - 48
            if bits > size:
                continue
            size = bits
        if not six:
            quad = parse_quad(data, start, stop)
            if quad < 0:
                continue
            firsts[2 * i] = _MAPPED | quad
            firsts[2 * i + 1] = _SIGN
            size += 96
        elif parse_groups(data, start, stop, firsts, 2 * i) == 0:
            continue
        if networks == 1:
            low_mask = int64(-1) if size <= 64 else (int64(0) if size == 128 else shift_right(int64(-1), size - 64))
            high_mask = int64(0) if size >= 64 else (int64(-1) if size == 0 else shift_right(int64(-1), size))
            if (firsts[2 * i] & low_mask) | ((firsts[2 * i + 1] ^ _SIGN) & high_mask):
                continue
            lasts[2 * i] = firsts[2 * i] | low_mask
            lasts[2 * i + 1] = ((firsts[2 * i + 1] ^ _SIGN) | high_mask) ^ _SIGN
        out_valid[i] = 1
        count += 1
    return count


@kernel
def settle_ranges(open_start: INT, open_end: INT, start_valid: U8, end_valid: U8, starts: I64, ends: I64):
    """Make ranges hold both their ends: an open end moves by the least there is, one that is null to where values end.

    Returns the first row whose range holds nothing, or -1.
    """
    for i in range(len(start_valid)):
        at = 2 * i
        empty = False
        if start_valid[i] != 1:
            starts[at] = 0
            starts[at + 1] = _SIGN
        elif open_start == 1:
            empty |= (starts[at] == -1) & (starts[at + 1] == _LARGEST)
            starts[at] += 1
            starts[at + 1] += starts[at] == 0
        if end_valid[i] != 1:
            ends[at] = -1
            ends[at + 1] = _LARGEST
        elif open_end == 1:
            empty |= (ends[at] == 0) & (ends[at + 1] == _SIGN)
            ends[at + 1] -= ends[at] == 0
            ends[at] -= 1
        if empty or is_less(ends[at], ends[at + 1], starts[at], starts[at + 1]):
            return i
    return -1


@kernel
def sort_ranges(groups: I64, starts: I64, scratch: I64, out: I64):
    """Rows in the order of group and start, as they come where both are the same (a merge sort). groups: none, or one a row."""
    count = len(out)
    for i in range(count):
        out[i] = i
    width = 1
    while width < count:
        for left in range(0, count, 2 * width):
            middle, end = min(left + width, count), min(left + 2 * width, count)
            i, j = left, middle
            for at in range(left, end):
                takes_right = i == middle
                if i < middle and j < end:
                    one, other = out[i], out[j]
                    group = groups[one] if len(groups) > 0 else 0
                    other_group = groups[other] if len(groups) > 0 else 0
                    takes_right = (other_group < group) | (
                        (other_group == group)
                        & is_less(starts[2 * other], starts[2 * other + 1], starts[2 * one], starts[2 * one + 1])
                    )
                if takes_right:
                    scratch[at] = out[j]
                    j += 1
                else:
                    scratch[at] = out[i]
                    i += 1
        for at in range(count):
            out[at] = scratch[at]
        width *= 2
    return count


@kernel
def arrange_ranges(order: I64, groups: I64, starts: I64, ends: I64, out: I64, out_ends: I64, firsts: I64, lasts: I64):
    """Starts and ends in the order of `sort_ranges`, and for each group where its first range is and its last one ends.

    `firsts` and `lasts` hold 0 before; a group is a number below their length, a negative one is left out. Returns the place of the
    first range that overlaps with the one before it, or -1.
    """
    overlap = -1
    before = int64(-1)
    for i in range(len(order)):
        row = order[i]
        for word in range(2):
            out[2 * i + word] = starts[2 * row + word]
            out_ends[2 * i + word] = ends[2 * row + word]
        group = groups[row] if len(groups) > 0 else int64(0)
        if group < 0:
            continue
        if group != before:
            firsts[group] = i
        elif overlap < 0 and not is_less(out_ends[2 * i - 2], out_ends[2 * i - 1], out[2 * i], out[2 * i + 1]):
            overlap = i
        lasts[group] = i + 1
        before = group
    return overlap


_BLOCK = 32
"""So many values are searched for side by side: each waits for memory, all of them together not longer than one."""


@kernel
def find_ranges(values: I64, valid: U8, groups: I64, starts: I64, ends: I64, firsts: I64, lasts: I64, out: I64):
    """out: the place of the range that holds each value, -1 where none does. groups: none, or one a value, -1 where it has none.

    Returns how many were found.
    """
    found = 0
    for begin in range(0, len(out), _BLOCK):
        end = min(begin + _BLOCK, len(out))
        most = int64(0)
        for i in range(begin, end):
            group = groups[i] if len(groups) > 0 else int64(0)
            out[i] = firsts[group] if group >= 0 else int64(0)
            most = max(most, lasts[group] - firsts[group] if group >= 0 else int64(0))
        while most > 1:  # towards the last range of its group that starts at the value or before it
            half = most >> 1
            for i in range(begin, end):
                group = groups[i] if len(groups) > 0 else int64(0)
                last = lasts[group] if group >= 0 else int64(0)
                at = out[i] + half
                place = 2 * (at if at < last else out[i])
                later = is_less(values[2 * i], values[2 * i + 1], starts[place], starts[place + 1])
                out[i] = out[i] if later | (at >= last) else at
            most -= half
        for i in range(begin, end):
            group = groups[i] if len(groups) > 0 else int64(0)
            at = out[i]
            out[i] = -1
            if valid[i] != 1 or group < 0 or firsts[group] == lasts[group]:
                continue
            low, high = values[2 * i], values[2 * i + 1]
            if not is_less(low, high, starts[2 * at], starts[2 * at + 1]) and not is_less(
                ends[2 * at], ends[2 * at + 1], low, high
            ):
                out[i] = at
                found += 1
    return found
