"""Sums and products of decimals: integers of 128 bits, as two words a row, the low one first. Two rows have one scale, or a product's."""

from numba import int64, uint64

from millstream.kernels.simd import multiply_high
from millstream.kernels.spec import I64, INT, U8, inlined, kernel

OUT_OF_RANGE = 11


@inlined
def size_words(low, high):
    """The words of a number without its sign."""
    if high < 0:
        return -low, ~high + (1 if low == 0 else 0)
    return low, high


@inlined
def beyond(low, high, limit_low, limit_high):
    """Is a number's size above a limit? The least of all numbers is."""
    low, high = size_words(low, high)
    return (high < 0) | (high > limit_high) | ((high == limit_high) & (uint64(low) > uint64(limit_low)))


@kernel
def add_int128(left: I64, right: I64, minus: INT, limit_low: INT, limit_high: INT, valid: U8, out: I64):
    """left + right, or left - right. Sizes above the limit, two words below 2**127 / 2: OUT_OF_RANGE. Returns how many."""
    faults = 0
    for i in range(len(valid)):
        low = right[2 * i]
        high = right[2 * i + 1]
        if minus == 1:
            low = -low
            high = ~high + (1 if low == 0 else 0)
        total = left[2 * i] + low
        carry = 1 if uint64(total) < uint64(low) else 0
        upper = left[2 * i + 1] + high + carry
        lost = ((left[2 * i + 1] ^ upper) & (high ^ upper)) < 0
        out[2 * i] = total
        out[2 * i + 1] = upper
        if (lost | beyond(total, upper, limit_low, limit_high)) & (valid[i] == 1):
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults


@kernel
def multiply_int128(left: I64, right: I64, limit_low: INT, limit_high: INT, valid: U8, out: I64):
    """left * right. Sizes above the limit, two words: OUT_OF_RANGE. Returns how many."""
    faults = 0
    for i in range(len(valid)):
        a, b = size_words(left[2 * i], left[2 * i + 1])
        c, d = size_words(right[2 * i], right[2 * i + 1])
        low = uint64(a) * uint64(c)
        first = uint64(b) * uint64(c)
        second = uint64(a) * uint64(d)
        crossed = first + second
        middle = multiply_high(uint64(a), uint64(c))
        upper = middle + crossed
        lost = (b != 0) & (d != 0)
        lost |= (multiply_high(uint64(b), uint64(c)) | multiply_high(uint64(a), uint64(d))) != uint64(0)
        lost |= (crossed < first) | (upper < middle)
        made_low = int64(low)
        made_high = int64(upper)
        lost |= beyond(made_low, made_high, limit_low, limit_high) | (made_high < 0)
        if (left[2 * i + 1] ^ right[2 * i + 1]) < 0:
            made_low = -made_low
            made_high = ~made_high + (1 if made_low == 0 else 0)
        out[2 * i] = made_low
        out[2 * i + 1] = made_high
        if lost & (valid[i] == 1):
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults
