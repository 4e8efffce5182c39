"""Text: pieces, counts, and new strings made of old ones. Strings are views; nothing is read outside them.

A kernel that writes new bytes returns how many they are, and writes none that `out` has no room for: where it says more than there was
room, it is called once more.
"""

from numba import int64

from millstream.kernels.compare import same_bytes
from millstream.kernels.memory import copy_bytes
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel
from millstream.kernels.table import bytes_at, words_at
from millstream.kernels.text import find_bytes, is_tail


@inlined
def forward(data, at, end, count):
    """The position `count` characters behind `at`, or `end`."""
    while count > 0 and at < end:
        at += 1
        while at < end and is_tail(data[at]):
            at += 1
        count -= 1
    return at


@inlined
def back(data, at, start, count):
    """The position `count` characters before `at`, and how many are lacking: then it is `start`."""
    while count > 0 and at > start:
        at -= 1
        while at > start and is_tail(data[at]):
            at -= 1
        count -= 1
    return at, count


@inlined
def characters(data, start, end):
    """How many characters are in data[start:end]."""
    count = int64(0)
    for p in range(start, end):
        count += 0 if is_tail(data[p]) else 1
    return count


@inlined
def put(data, start, length, out, at):
    """Copy bytes where there is room for them. Returns the position behind them."""
    if at + length <= len(out):
        copy_bytes(data, start, length, out, at)
    return at + length


@inlined
def found_at(data, p, needle, size):
    return data[p] == needle[0] and same_bytes(data, p, needle, 0, size) == 1


@kernel
def slice_string(data: U8, views: I64, offset: INT, length: INT, out: I64):
    """`length` characters from `offset` on, which is negative from the end; a negative length is all but so many at the end."""
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        lacking = int64(0)
        if offset >= 0:
            begin = forward(data, start, end, offset)
        else:
            begin, lacking = back(data, end, start, -offset)
        if length >= 0:
            stop = forward(data, begin, end, length - lacking)
        else:
            stop, lacking = back(data, end, begin, -length)
        out[i] = begin | (stop - begin) << 32
    return len(out)


@kernel
def strip_affix(data: U8, views: I64, affix: U8, at_end: INT, out: I64):
    """Views without `affix` at their start, or at their end, where it stands there."""
    size = len(affix)
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        length = views[i] >> 32
        out[i] = views[i]
        if length >= size:
            at = start + length - size if at_end == 1 else start
            if same_bytes(data, at, affix, 0, size) == 1:
                out[i] = (start if at_end == 1 else start + size) | (length - size) << 32
    return len(out)


@kernel
def count_characters(data: U8, views: I64, out: I64):
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        out[i] = characters(data, start, start + (views[i] >> 32))
    return len(out)


@kernel
def view_lengths(views: I64, out: I64):
    """The bytes of each string, the items of each list."""
    for i in range(len(out)):
        out[i] = views[i] >> 32
    return len(out)


@kernel
def count_longer(before: I64, after: I64, valid: U8, out: I64):
    """How many bytes longer each string is than another."""
    for i in range(len(out)):
        out[i] = (after[i] >> 32) - (before[i] >> 32) if valid[i] == 1 else int64(0)
    return len(out)


@kernel
def count_string(data: U8, views: I64, needle: U8, out: I64):
    """How often a needle, which is not empty, is in each string; no two share a byte."""
    size = len(needle)
    for i in range(len(out)):
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        count = int64(0)
        p = find_bytes(data, start, end, needle)
        while p >= 0:
            count += 1
            p = find_bytes(data, p + size, end, needle)
        out[i] = count
    return len(out)


@kernel
def replace_string(data: U8, views: I64, valid: U8, needle: U8, other: U8, most: INT, out: U8, out_views: I64):
    """Each string with `other` in place of a needle that is not empty, the first `most` times; -1: every time."""
    size = len(needle)
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            copied = views[i] & 0xFFFFFFFF
            end = copied + (views[i] >> 32)
            left = most
            p = find_bytes(data, copied, end, needle) if left != 0 else int64(-1)
            while p >= 0:
                at = put(data, copied, p - copied, out, at)
                at = put(other, 0, len(other), out, at)
                copied = p + size
                left -= 1
                p = find_bytes(data, copied, end, needle) if left != 0 else int64(-1)
            at = put(data, copied, end - copied, out, at)
        out_views[i] = (begun & 0xFFFFFFFF) | (at - begun) << 32
    return at


@helper
def part_of(data, start, end, separator, index):
    """The piece with this index, 0 or more, of data[start:end] cut at a separator, as (position or -1, length)."""
    size = len(separator)
    p = start
    while p + size <= end:
        if found_at(data, p, separator, size):
            if index == 0:
                return start, p - start
            index -= 1
            p += size
            start = p
        else:
            p += 1
    return (start, end - start) if index == 0 else (int64(-1), int64(0))


@helper
def part_from_end(data, start, end, separator, index):
    """As `part_of`, counted from the end. Separators are found from the start, so that both count the same pieces."""
    size = len(separator)
    p = start
    count = int64(0)
    while p + size <= end:
        if found_at(data, p, separator, size):
            count += 1
            p += size
        else:
            p += 1
    return part_of(data, start, end, separator, count - index) if index <= count else (int64(-1), int64(0))


@kernel
def part_string(data: U8, views: I64, separator: U8, index: INT, valid: U8, out: I64):
    """The piece with this index of strings cut at a separator; -1 is the last. Null where there are fewer pieces."""
    faults = 0
    for i in range(len(out)):
        out[i] = 0
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            end = start + (views[i] >> 32)
            if index >= 0:
                begin, length = part_of(data, start, end, separator, index)
            else:
                begin, length = part_from_end(data, start, end, separator, -1 - index)
            if begin >= 0:
                out[i] = begin | length << 32
            else:
                valid[i] = 0
                faults += 1
    return faults


@kernel
def split_string(data: U8, views: I64, valid: U8, separator: U8, lists: I64, items: I64):
    """Strings cut at a separator: a view of each piece to `items`, where there is room; `lists` are views into them. Returns the pieces."""
    size = len(separator)
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            p = views[i] & 0xFFFFFFFF
            end = p + (views[i] >> 32)
            start = p
            while p + size <= end:
                if found_at(data, p, separator, size):
                    if at < len(items):
                        items[at] = start | (p - start) << 32
                    at += 1
                    p += size
                    start = p
                else:
                    p += 1
            if at < len(items):
                items[at] = start | (end - start) << 32
            at += 1
        lists[i] = (begun & 0xFFFFFFFF) | (at - begun) << 32
    return at


# How `pad_string` fills: before the text, behind it, or between its sign and the rest.
AT_START, AT_END, AFTER_SIGN = 0, 1, 2


@kernel
def pad_string(data: U8, views: I64, valid: U8, lengths: I64, fill: U8, where: INT, out: U8, out_views: I64):
    """Strings filled with the character `fill` to `lengths` characters each; longer ones stay."""
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            end = start + (views[i] >> 32)
            lack = lengths[i] - characters(data, start, end)
            if where == AT_END:
                at = put(data, start, end - start, out, at)
            elif where == AFTER_SIGN and lack > 0 and start < end and (data[start] == 43 or data[start] == 45):
                at = put(data, start, 1, out, at)
                start += 1
            for _ in range(lack):
                at = put(fill, 0, len(fill), out, at)
            if where != AT_END:
                at = put(data, start, end - start, out, at)
        out_views[i] = (begun & 0xFFFFFFFF) | (at - begun) << 32
    return at


# A row of the table of `concat_strings`: where a column's bytes are, how many, where its views and its validity bytes are.
_DATA, _BYTES, _VIEWS, _VALID = 0, 1, 2, 3
_COLUMN = 4


@kernel
def concat_strings(table: I64, valid: U8, separator: U8, out: U8, out_views: I64):
    """Each row's strings of all columns, a separator between them; those that are null are left out."""
    rows = len(valid)
    at = int64(0)
    for i in range(rows):
        begun = at
        if valid[i] == 1:
            first = True
            for one in range(0, len(table), _COLUMN):
                known = bytes_at(table[one + _VALID], rows)
                if known[i] == 1:
                    if not first:
                        at = put(separator, 0, len(separator), out, at)
                    first = False
                    views = words_at(table[one + _VIEWS], rows)
                    data = bytes_at(table[one + _DATA], table[one + _BYTES])
                    at = put(data, views[i] & 0xFFFFFFFF, views[i] >> 32, out, at)
        out_views[i] = (begun & 0xFFFFFFFF) | (at - begun) << 32
    return at


@kernel
def join_lists(lists: I64, data: U8, items: I64, known: U8, separator: U8, skip: INT, valid: U8, out: U8, out_views: I64):
    """The strings of each list with a separator between them. Nulls among them are left out; without `skip` they make the row null."""
    at = int64(0)
    for i in range(len(lists)):
        begun = at
        first = lists[i] & 0xFFFFFFFF
        last = first + (lists[i] >> 32)
        if valid[i] == 1 and skip == 0:
            for p in range(first, last):
                valid[i] = 0 if known[p] != 1 else valid[i]
        if valid[i] == 1:
            empty = True
            for p in range(first, last):
                if known[p] == 1:
                    if not empty:
                        at = put(separator, 0, len(separator), out, at)
                    empty = False
                    at = put(data, items[p] & 0xFFFFFFFF, items[p] >> 32, out, at)
        out_views[i] = (begun & 0xFFFFFFFF) | (at - begun) << 32
    return at
