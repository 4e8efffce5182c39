"""One row of many: sums that are exact, and the row of each group that comes first, last, or is the least or the greatest.

A sum is kept as digits of 32 bits in int64 words, the lowest first, carried only when it is read or joined with another: adding
is a few additions without a test, and the order in which values come makes no difference. An integer takes four words. A float64
takes as many as a fixed point number over the whole range of floats needs, and words that count what is no number:

    U. Kulisch, "Computer Arithmetic and Validity", 2013, on the long accumulator.
"""

from math import inf, nan

from numba import int64, uint64

from millstream.kernels.arithmetic import with_one_nan
from millstream.kernels.compare import less_bytes
from millstream.kernels.simd import bits_of_double, double_of_bits, leading_zeros, shift_right
from millstream.kernels.spec import F64, I64, INT, U8, helper, inlined, kernel
from millstream.kernels.table import bytes_at, doubles_at, words_at

OUT_OF_RANGE = 11
_MASK = 0xFFFFFFFF
_INTEGER = 4  # words of an integer's sum; the last has the sign
_LIMBS = 68  # words of a float's sum, from 2**-1074 on; then counts of NaN, infinities above, infinities below
_FLOAT = 71
_FRACTION = (1 << 52) - 1

# A row of a table of columns: how it is held, where values, validity (0: all valid) and bytes are.
_FORM, _VALUES, _COUNT, _VALID, _DATA, _DATA_BYTES = 0, 1, 2, 3, 4, 5
_COLUMN = 6
_SIGNED, _UNSIGNED, _FLOATS, _FLAGS, _STRINGS, _DECIMALS = 0, 1, 2, 3, 4, 5
_FIRST, _LAST, _LEAST, _GREATEST, _MIN, _MAX = 0, 1, 2, 3, 4, 5


@inlined
def is_valid(table, at, row):
    """Has the column whose row of the table begins at `at` a value in this row?"""
    if table[at + _VALID] == 0:
        return True
    valid = bytes_at(table[at + _VALID], table[at + _COUNT])
    return valid[row] == 1


@kernel
def count_groups(valid: U8, groups: I64, out: I64):
    """How many values each group has."""
    for group in range(len(out)):
        out[group] = 0
    for i in range(len(groups)):
        out[groups[i]] += 1 if valid[i] == 1 else 0
    return len(groups)


@kernel
def add_integers(table: I64, groups: I64, state: I64):
    """Add a column of integers, flags or decimals to the sums of its rows' groups; fewer than 2**31 rows between two carries."""
    form = table[_FORM]
    count = table[_COUNT]
    words = words_at(table[_VALUES], 0 if form == _FLAGS else 2 * count if form == _DECIMALS else count)
    flags = bytes_at(table[_VALUES], count if form == _FLAGS else 0)
    for i in range(len(groups)):
        if not is_valid(table, 0, i):
            continue
        at = groups[i] * _INTEGER
        if form == _FLAGS:
            state[at] += int64(flags[i])
        elif form == _DECIMALS:
            low, high = words[2 * i], words[2 * i + 1]
            state[at] += low & _MASK
            state[at + 1] += shift_right(low, 32)
            state[at + 2] += high & _MASK
            state[at + 3] += high >> 32
        else:
            value = words[i]
            state[at] += value & _MASK
            state[at + 1] += shift_right(value, 32) if form == _UNSIGNED else value >> 32
    return len(groups)


@inlined
def add_float(state, at, bits):
    """Add a float64 by its bits to the sum whose words begin at `at`."""
    exponent = shift_right(bits, 52) & 0x7FF
    fraction = bits & _FRACTION
    if exponent == 0x7FF:
        state[at + _LIMBS + (0 if fraction != 0 else 1 if bits > 0 else 2)] += 1
    else:
        if exponent > 0:
            fraction |= 1 << 52
            exponent -= 1
        at += exponent >> 5
        low = (fraction & _MASK) << (exponent & 31)
        high = (fraction >> 32) << (exponent & 31)
        sign = -1 if bits < 0 else 1
        state[at] += sign * (low & _MASK)
        state[at + 1] += sign * ((low >> 32) + (high & _MASK))
        state[at + 2] += sign * (high >> 32)


@kernel
def add_floats(values: F64, valid: U8, groups: I64, state: I64):
    """Add a column to the sums of its rows' groups; fewer than 2**30 rows between two carries."""
    for row in range(len(groups)):
        if valid[row] == 1:
            add_float(state, groups[row] * _FLOAT, bits_of_double(values[row]))
    return len(groups)


@inlined
def carry(state, at, limbs):
    """Bring all digits but the last into 0 to 2**32 - 1."""
    for k in range(at, at + limbs - 1):
        state[k + 1] += state[k] >> 32
        state[k] &= _MASK


@kernel
def merge_sums(source: I64, width: INT, limbs: INT, groups: I64, out: I64):
    """Add sums of `width` words, `limbs` of them digits, to the sums of their groups, and carry those."""
    for i in range(len(groups)):
        at = groups[i] * width
        for k in range(width):
            out[at + k] += source[i * width + k]
        carry(out, at, limbs)
    return len(groups)


@kernel
def settle_integers(state: I64, valid: U8, out: I64):
    """Sums of integers as two words each. Those that 128 bits do not hold get a code. Returns how many."""
    faults = 0
    for group in range(len(valid)):
        at = group * _INTEGER
        carry(state, at, int64(_INTEGER))
        high = state[at + 3]
        out[2 * group] = state[at] | state[at + 1] << 32
        out[2 * group + 1] = state[at + 2] | high << 32
        valid[group] = 1
        if (high < -(1 << 31)) | (high >= 1 << 31):
            valid[group] = OUT_OF_RANGE
            faults += 1
    return faults


@helper
def nearest_double(state, at):
    """The float64 nearest to a sum's digits, which are carried and without a sign; ties to even."""
    top = int64(_LIMBS - 1)
    while top >= 0 and state[at + top] == 0:
        top -= 1
    if top < 0:
        return 0.0
    leading = 32 * top + 63 - leading_zeros(state[at + top])
    if leading < 52:  # beneath the normal floats, where digits are bits
        return double_of_bits(state[at] | state[at + 1] << 32)
    last = leading - 52
    k = at + (last >> 5)
    offset = last & 31
    fraction = state[k] >> offset | state[k + 1] << (32 - offset)
    if offset > 0:
        fraction |= state[k + 2] << (64 - offset)
    fraction &= (1 << 53) - 1
    exponent = leading - 51
    if last > 0:
        half = at + ((last - 1) >> 5)
        place = (last - 1) & 31
        if state[half] >> place & 1 == 1:
            rest = state[half] & ((1 << place) - 1)
            while rest == 0 and half > at:
                half -= 1
                rest = state[half]
            if rest != 0 or fraction & 1 == 1:
                fraction += 1
                if fraction == 1 << 53:
                    exponent += 1
    return inf if exponent >= 0x7FF else double_of_bits(exponent << 52 | fraction & _FRACTION)


@helper
def settled(state, at):
    """A sum of floats, rounded once. Infinite beyond their range; NaN where there was one, or infinities of both signs."""
    above, below = state[at + _LIMBS + 1], state[at + _LIMBS + 2]
    if state[at + _LIMBS] > 0 or (above > 0 and below > 0):
        return nan
    if above > 0 or below > 0:
        return inf if above > 0 else -inf
    carry(state, at, int64(_LIMBS))
    negative = state[at + _LIMBS - 1] < 0
    if negative:
        for k in range(at, at + _LIMBS):
            state[k] = -state[k]
        carry(state, at, int64(_LIMBS))
    value = nearest_double(state, at)
    return -value if negative else value


@kernel
def settle_floats(state: I64, out: F64):
    """Sums of floats, each rounded once: see `settled`."""
    for group in range(len(out)):
        out[group] = settled(state, group * _FLOAT)
    return len(out)


@kernel
def sum_floats(values: F64, valid: U8, groups: I64, rows: I64, ends: I64, state: I64, out: F64):
    """The sum of each group, rounded once. rows, ends: of `sort_groups`. state: room for the sums of some groups, which are made at a
    time: more than a CPU's cache holds are slow."""
    most = len(state) // _FLOAT
    begun = 0
    for base in range(0, len(out), most):
        stop = min(base + most, len(out))
        for k in range((stop - base) * _FLOAT):
            state[k] = 0
        for i in range(begun, ends[stop - 1]):
            row = rows[i]
            if valid[row] == 1:
                add_float(state, (groups[row] - base) * _FLOAT, bits_of_double(values[row]))
        begun = ends[stop - 1]
        for group in range(base, stop):
            out[group] = settled(state, (group - base) * _FLOAT)
    return len(out)


@kernel
def divide_sums(sums: F64, known: U8, counts: I64, out: F64, valid: U8):
    """Means: sums by counts; null where there is nothing to count. What is not `known` stays as it is."""
    for group in range(len(out)):
        out[group] = with_one_nan(sums[group] / counts[group])
        valid[group] = known[group] if counts[group] > 0 or known[group] > 1 else 0
    return len(out)


@helper
def compare_values(table, at, left, right):
    """-1, 0 or 1: how two rows' values in a column compare. NaN is the greatest number."""
    form = table[at + _FORM]
    count = table[at + _COUNT]
    if form == _FLOATS:
        doubles = doubles_at(table[at + _VALUES], count)
        x, y = doubles[left], doubles[right]
        return int64(int64(x > y or (x != x and y == y)) - int64(x < y or (x == x and y != y)))
    if form == _FLAGS:
        flags = bytes_at(table[at + _VALUES], count)
        return int64(flags[left]) - int64(flags[right])
    words = words_at(table[at + _VALUES], 2 * count if form == _DECIMALS else count)
    if form == _STRINGS:
        data = bytes_at(table[at + _DATA], table[at + _DATA_BYTES])
        a, b = words[left], words[right]
        first, second = a & _MASK, b & _MASK
        return less_bytes(data, second, b >> 32, data, first, a >> 32) - less_bytes(data, first, a >> 32, data, second, b >> 32)
    low, high = int64(0), int64(0)
    if form == _DECIMALS:
        low, high = words[2 * left + 1], words[2 * right + 1]
        if low != high:
            return int64(low > high) - int64(low < high)
        low, high = words[2 * left], words[2 * right]
    else:
        low, high = words[left], words[right]
    if form == _SIGNED:
        return int64(low > high) - int64(low < high)
    return int64(uint64(low) > uint64(high)) - int64(uint64(low) < uint64(high))


@helper
def compare_rows(table, left, right):
    """-1, 0 or 1: how two rows compare, by one column after the other. Null is less than every value."""
    for at in range(0, len(table), _COLUMN):
        there, here = is_valid(table, at, left), is_valid(table, at, right)
        order = int64(there) - int64(here)
        if there and here:
            order = compare_values(table, at, left, right)
        if order != 0:
            return order
    return int64(0)


@helper
def is_nan(table, row):
    """Is the first column of floats, and NaN in this row?"""
    if table[_FORM] != _FLOATS:
        return False
    doubles = doubles_at(table[_VALUES], table[_COUNT])
    return doubles[row] != doubles[row]


@kernel
def pick_rows(table: I64, groups: I64, mode: INT, out: I64):
    """One row of each group, -1 where there is none: its first or last; the least by all columns, of equals the first, or the
    greatest, of equals the last; or the first that has the least or greatest value of one column, NaN only where there is no number.
    """
    for group in range(len(out)):
        out[group] = -1
    for row in range(len(groups)):
        group = groups[row]
        best = out[group]
        if mode >= _MIN and not is_valid(table, 0, row):
            continue
        if best < 0 or mode == _LAST:
            out[group] = row
        elif mode == _LEAST:
            out[group] = row if compare_rows(table, row, best) < 0 else best
        elif mode == _GREATEST:
            out[group] = row if compare_rows(table, row, best) >= 0 else best
        elif mode >= _MIN and not is_nan(table, row):
            order = compare_values(table, int64(0), row, best)
            if is_nan(table, best) or (order < 0 if mode == _MIN else order > 0):
                out[group] = row
    return len(groups)
