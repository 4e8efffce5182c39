"""Grouping rows by the values of columns, and digests of columns.

A group is a dense id, 0 and up in the order of first appearance. Nulls make one group of their own. With a secret seed nobody can make
values that all look for the same slot.
"""

from numba import int64

from millstream.kernels.compare import same_bytes
from millstream.kernels.hash import hash_bytes, mix, quick_hash
from millstream.kernels.simd import shift_right
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel
from millstream.kernels.table import bytes_at, words_at

_FACTOR = -7046029254386353131  # 2^64 / golden ratio, odd
_NULL = 0x5851F42D4C957F2D


@kernel
def group_int64(values: I64, valid: U8, seed: INT, slots: I64, firsts: I64, out: I64):
    """The group of each value. `firsts` gets each group's first row; `slots` is scratch, a power of two that is larger.

    Returns the count of groups, or -1 where there are more than `firsts` holds.
    """
    mask = len(slots) - 1
    for i in range(len(slots)):
        slots[i] = -1
    groups = 0
    null_group = -1
    for i in range(len(out)):
        if valid[i] != 1:
            if null_group < 0:
                if groups == len(firsts):
                    return -1
                null_group = groups
                firsts[groups] = i
                groups += 1
            out[i] = null_group
            continue
        value = values[i]
        at = mix(value ^ seed) & mask
        group = slots[at]
        while group >= 0 and values[firsts[group]] != value:
            at = (at + 1) & mask
            group = slots[at]
        if group < 0:
            if groups == len(firsts):
                return -1
            group = groups
            slots[at] = group
            firsts[group] = i
            groups += 1
        out[i] = group
    return groups


@helper
def same_views(data, left, right):
    """Do two views show the same bytes?"""
    length = left >> 32
    return length == right >> 32 and same_bytes(data, left & 0xFFFFFFFF, data, right & 0xFFFFFFFF, length) == 1


@kernel
def group_string(data: U8, views: I64, valid: U8, seed: INT, slots: I64, firsts: I64, out: I64):
    """The group of each string; otherwise as `group_int64`."""
    mask = len(slots) - 1
    for i in range(len(slots)):
        slots[i] = -1
    groups = 0
    null_group = -1
    for i in range(len(out)):
        if valid[i] != 1:
            if null_group < 0:
                if groups == len(firsts):
                    return -1
                null_group = groups
                firsts[groups] = i
                groups += 1
            out[i] = null_group
            continue
        view = views[i]
        at = hash_bytes(data, view & 0xFFFFFFFF, view >> 32, seed) & mask
        group = slots[at]
        while group >= 0 and not same_views(data, views[firsts[group]], view):
            at = (at + 1) & mask
            group = slots[at]
        if group < 0:
            if groups == len(firsts):
                return -1
            group = groups
            slots[at] = group
            firsts[group] = i
            groups += 1
        out[i] = group
    return groups


@kernel
def combine_groups(left: I64, right: I64, right_groups: INT, out: I64):
    """One number for each pair of groups; `group_int64` makes it dense."""
    for i in range(len(out)):
        out[i] = left[i] * right_groups + right[i]
    return len(out)


@kernel
def sort_groups(groups: I64, ends: I64, out: I64):
    """Rows ordered by group, in their own order within one (a counting sort). `ends` gets where each group ends in `out`."""
    for group in range(len(ends)):
        ends[group] = 0
    for i in range(len(groups)):
        ends[groups[i]] += 1
    start = 0
    for group in range(len(ends)):
        size = ends[group]
        ends[group] = start
        start += size
    for i in range(len(groups)):
        group = groups[i]
        out[ends[group]] = i
        ends[group] += 1
    return len(groups)


# A row of the table of `digest_columns`.
_FORM, _VALUES, _COUNT, _VALID, _DATA, _DATA_BYTES, _DIGEST = 0, 1, 2, 3, 4, 5, 6
_COLUMN = 7
_WORDS, _FLAGS, _STRINGS, _DECIMALS, _SIZES, _NOTHING = 0, 1, 2, 3, 4, 5


@inlined
def digest_on(state, word):
    """The state after one more value."""
    state = (state ^ word) * _FACTOR
    return state ^ shift_right(state, 32)


@inlined
def digest_null(state):
    """The state after one more row without a value."""
    state = (state + _NULL) * _NULL
    return state ^ shift_right(state, 32)


@kernel
def digest_columns(table: I64):
    """A 64-bit digest of each column's values, in order; what lies under a null does not matter. Address 0: all are valid.

    Of lists it is that of how many items each has, of structs that of which are null.
    """
    for row in range(0, len(table), _COLUMN):
        form = table[row + _FORM]
        count = table[row + _COUNT]
        valid = bytes_at(table[row + _VALID], count if table[row + _VALID] != 0 else 0)
        data = bytes_at(table[row + _DATA], table[row + _DATA_BYTES])
        words = words_at(table[row + _VALUES], count if (form == _WORDS) | (form == _STRINGS) | (form == _SIZES) else 0)
        flags = bytes_at(table[row + _VALUES], count if form == _FLAGS else 0)
        state = int64(0)
        for i in range(count):
            if len(valid) > 0 and valid[i] != 1:
                state = digest_null(state)
            elif form == _WORDS:
                state = digest_on(state, words[i])
            elif form == _STRINGS:
                state = digest_on(state, quick_hash(data, words[i] & 0xFFFFFFFF, words[i] >> 32))
            elif form == _FLAGS:
                state = digest_on(state, int64(flags[i]))
            elif form == _DECIMALS:
                state = digest_on(state, quick_hash(data, 16 * i, 16))
            else:
                state = digest_on(state, words[i] >> 32 if form == _SIZES else int64(0))
        table[row + _DIGEST] = mix(state)
    return len(table)
