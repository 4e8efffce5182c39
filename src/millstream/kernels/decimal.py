"""Decimal text to 128-bit decimals, exactly."""

import numpy as np
from numba import int64, uint64

from millstream.kernels.number import digit_at
from millstream.kernels.simd import multiply_high
from millstream.kernels.spec import helper, inlined

BAD_NUMBER, OUT_OF_RANGE = 10, 11
MOST_DIGITS = 38

LIMITS = np.array(
    [word for places in range(MOST_DIGITS + 1) for word in (10**places >> 64, 10**places & (1 << 64) - 1)], np.uint64
)
"""10**p for p from 0 to 38 as pairs of words, the higher first."""


@inlined
def append_digit(high, low, digit):
    """(high, low) * 10 + digit, of 128 bits."""
    carry = multiply_high(low, uint64(10))
    tens = low * uint64(10)
    low = tens + uint64(digit)
    return high * uint64(10) + carry + (uint64(1) if low < tens else uint64(0)), low


@helper
def to_decimal(text, first, digits, whole, scale, negative, precision, places, rounding):
    """A number that `scan_number` found as int128 in steps of 10**-places: (0 or a code, low word, high word).

    precision: digits that it may have, up to 38. rounding: what is less than a step is rounded, half to even; else it is BAD_NUMBER.
    """
    high = uint64(0)
    low = uint64(0)
    kept = whole + scale + places  # so many of the digits count, and zeros where there are fewer
    size = int64(0)
    i = int64(0)
    while i < min(digits, kept):
        digit = digit_at(text, first, whole, i)
        if size > 0 or digit != 0:
            size += 1
            if size > MOST_DIGITS:
                return OUT_OF_RANGE, int64(0), int64(0)
            high, low = append_digit(high, low, digit)
        i += 1
    while i < kept and size > 0:
        size += 1
        if size > MOST_DIGITS:
            return OUT_OF_RANGE, int64(0), int64(0)
        high, low = append_digit(high, low, int64(0))
        i += 1
    if kept < digits:
        half = int64(0)
        beyond = False
        if kept >= 0:
            half = digit_at(text, first, whole, kept)
        for j in range(max(kept + 1, int64(0)), digits):
            if digit_at(text, first, whole, j) != 0:
                beyond = True
                break
        if half != 0 or beyond:
            if not rounding:
                return BAD_NUMBER, int64(0), int64(0)
            if half > 5 or (half == 5 and (beyond or (low & uint64(1)) == uint64(1))):
                low += uint64(1)
                if low == uint64(0):
                    high += uint64(1)
    most_high = LIMITS[2 * precision]
    if high > most_high or (high == most_high and low >= LIMITS[2 * precision + 1]):
        return OUT_OF_RANGE, int64(0), int64(0)
    if negative:
        low = uint64(0) - low
        high = ~high + (uint64(1) if low == uint64(0) else uint64(0))
    return 0, int64(low), int64(high)
