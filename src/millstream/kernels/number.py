"""Decimal text: where a number ends, what its digits are, and the integer it means."""

import numpy as np
from numba import int64, uint64

from millstream.kernels.simd import digits_value, load_word, other_mask, shift_right, trailing_zeros
from millstream.kernels.spec import helper, inlined, outlined

FITS, NOT_INTEGRAL, TOO_BIG = 0, 1, 2

SMALL_POWERS = np.array([10**i for i in range(9)], np.uint64)


@inlined
def is_digit(byte):
    return ((int64(byte) - 48) & 0xFF) <= 9


@inlined
def eight_digits(word):
    """The value of eight digits, a byte each, of which the first stands lowest and weighs most: added up by twos, fours and eights."""
    word = word * 10 + shift_right(word, 8)
    upper = (word & 0x000000FF000000FF) * 0x000F424000000064
    lower = (shift_right(word, 16) & 0x000000FF000000FF) * 0x0000271000000001
    return shift_right(upper + lower, 32)


@inlined
def read_digits(text, p):
    """The digits at text[p], at most eight, without a loop: (how many, their value). Eight bytes can be read there."""
    word = load_word(text, p) ^ 0x3030303030303030
    # A byte of 10 and more gets its top bit; what a carry does to later bytes does not matter.
    beyond = ((word + 0x7676767676767676) | word) & -0x7F7F7F7F7F7F7F80
    count = trailing_zeros(beyond) >> 3
    # Zeros move in before fewer.
    half = 32 - 4 * count
    return count, eight_digits((word << half) << half)


@inlined
def count_digits(text, p):
    """How many of the eight bytes at text[p] are digits before the first that is none."""
    word = load_word(text, p) ^ 0x3030303030303030
    return trailing_zeros(((word + 0x7676767676767676) | word) & -0x7F7F7F7F7F7F7F80) >> 3


@inlined
def append_digits(text, p, mantissa):
    """The digits at text[p] behind those of a uint64, which wraps: (position after them, the longer uint64)."""
    count, value = read_digits(text, p)
    mantissa = mantissa * SMALL_POWERS[count] + uint64(value)
    p += count
    while count == 8:
        count, value = read_digits(text, p)
        mantissa = mantissa * SMALL_POWERS[count] + uint64(value)
        p += count
    return p, mantissa


@helper
def read_exponent(text, p):
    """What follows the letter e at text[p - 1]: (position after it, or -1 where there is no digit; the exponent)."""
    minus = text[p] == 45
    if minus or text[p] == 43:
        p += 1
    begun = p
    scale = int64(0)
    while is_digit(text[p]):
        if scale < 1_000_000_000_000:  # more than a text has digits
            scale = scale * 10 + int64(text[p]) - 48
        p += 1
    return p if p > begun else int64(-1), -scale if minus else scale


@outlined
def scan_digits(text, first):
    """Digits at text[first], a point between: (position after them, their value, how many before the point, behind it or -1)."""
    q, mantissa = append_digits(text, first, uint64(0))
    whole = q - first
    fraction = int64(-1)
    if text[q] == 46:
        point = q + 1
        q, mantissa = append_digits(text, point, mantissa)
        fraction = q - point
    return q, mantissa, whole, fraction


@inlined
def scan_number(text, p):
    """One JSON number at text[p]. Returns (end, mantissa, exponent, digits, whole, scale).

    end: the position after it, or -1 where it is no number; mantissa: its digits as uint64, wrapped where there are over 19;
    exponent: of ten, for the mantissa; digits: how many there are, leading zeros too; whole: how many before the
    point; scale: the exponent as written. 40 bytes past text[p], and 10 past the number, can be read.
    """
    first = p + int64(text[p] == 45)
    # The first two bytes that are no digits tell where it ends. Numbers differ in length: nothing branches on that.
    others = other_mask(text, first)
    whole = trailing_zeros(others)
    pointed = text[first + (whole & 31)] == 46
    others &= others - 1
    size = trailing_zeros(others) if pointed else whole
    fraction = size - whole - 1 if pointed else int64(-1)
    q = first + size
    if not pointed and whole <= 8:
        half = 32 - 4 * whole
        mantissa = uint64(eight_digits(((load_word(text, first) ^ 0x3030303030303030) << half) << half))
    elif others == 0 or q < 33:
        q, mantissa, whole, fraction = scan_digits(text, first)
    else:
        mantissa = digits_value(text, q, whole + max(fraction, int64(0)), fraction if pointed else int64(32))
    exponent = -max(fraction, int64(0))
    digits = whole - exponent
    scale = int64(0)
    end = q
    if (text[q] | 32) == 101:
        end, scale = read_exponent(text, q + 1)
        exponent += scale
    if whole == 0 or fraction == 0 or (whole > 1 and text[first] == 48):
        end = int64(-1)
    return end, mantissa, exponent, digits, whole, scale


@inlined
def digit_at(text, first, whole, i):
    """Digit i of a number whose digits begin at `first` and have a point after `whole` of them."""
    return int64(text[first + i if i < whole else first + i + 1]) - 48


@helper
def exact_integer(text, first, whole, digits, scale):
    """The magnitude of a number that is written with a point, an exponent or many digits: (status, uint64)."""
    value = uint64(0)
    places = whole + scale
    for i in range(digits):
        digit = digit_at(text, first, whole, i)
        if i >= places:
            if digit != 0:
                return NOT_INTEGRAL, uint64(0)
        else:
            if value > uint64(1844674407370955161) or (value == uint64(1844674407370955161) and digit > 5):
                return TOO_BIG, uint64(0)
            value = value * uint64(10) + uint64(digit)
    i = digits
    while i < places and value != uint64(0):
        if value > uint64(1844674407370955161):
            return TOO_BIG, uint64(0)
        value *= uint64(10)
        i += 1
    return FITS, value
