"""Decimal text to integers and floats, exactly.

Floats: Clinger's fast path where both parts are exact, else the Eisel-Lemire product (D. Lemire, "Number Parsing at a Gigabyte
per Second", 2021; that it needs no fallback up to 19 digits: N. Mushtak and D. Lemire, 2023). Only a number of more than 19 digits
whose kept digits leave the rounding open is not settled here; the caller hands those few to an exact routine.
"""

import numpy as np
from numba import float64, int64, uint64

from millstream.kernels.simd import double_of_bits, leading_zeros, load_word, multiply_high, shift_right, trailing_zeros
from millstream.kernels.spec import F64, I64, INT, U8, helper, inlined, kernel, outlined

FITS, NOT_INTEGRAL, TOO_BIG = 0, 1, 2

_LEAST_POWER, _GREATEST_POWER = -342, 308


def _powers_of_five():
    """The upper 128 bits of 5**q for q from -342 to 308, as pairs (high, low); reciprocals are rounded up."""
    words = []
    for q in range(_LEAST_POWER, _GREATEST_POWER + 1):
        if q < 0:
            power = 5**-q
            bits = (power - 1).bit_length()
            value = 2 ** (bits + 127 if q >= -27 else 2 * bits + 128) // power + 1
        else:
            value = 5**q << 128
        value >>= value.bit_length() - 128
        words += [value >> 64, value & (1 << 64) - 1]
    return np.array(words, np.uint64)


POWERS_OF_FIVE = _powers_of_five()
POWERS_OF_TEN = np.array([10.0**i for i in range(23)])
SMALL_POWERS = np.array([10**i for i in range(9)], np.uint64)


@inlined
def is_digit(byte):
    return ((int64(byte) - 48) & 0xFF) <= 9


@inlined
def read_digits(text, p):
    """The digits at text[p], at most eight, without a loop: (how many, their value). Eight bytes can be read there."""
    word = load_word(text, p) ^ 0x3030303030303030
    # A byte of 10 and more gets its top bit; what a carry does to later bytes does not matter.
    beyond = ((word + 0x7676767676767676) | word) & -0x7F7F7F7F7F7F7F80
    count = trailing_zeros(beyond) >> 3
    # The first digit stands lowest and weighs most: move zeros in below it, then add up by twos, fours and eights.
    word = (word << (8 * (7 - count) + 7)) << 1 if count < 8 else word
    word = word * 10 + shift_right(word, 8)
    upper = (word & 0x000000FF000000FF) * 0x000F424000000064
    lower = (shift_right(word, 16) & 0x000000FF000000FF) * 0x0000271000000001
    return count, shift_right(upper + lower, 32)


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


@inlined
def scan_number(text, p):
    """One JSON number at text[p]. Returns (end, mantissa, exponent, digits, whole, scale).

    end: the position after it, or -1 where it is no number; mantissa: its digits as uint64, wrapped where there are over 19;
    exponent: of ten, for the mantissa; digits: how many there are, leading zeros too; whole: how many before the
    point; scale: the exponent as written. Eight bytes past the number can be read.
    """
    first = p + 1 if text[p] == 45 else p
    q, mantissa = append_digits(text, first, uint64(0))
    whole = q - first
    end = int64(-1) if whole == 0 or (whole > 1 and text[first] == 48) else q
    exponent = int64(0)
    scale = int64(0)
    if text[q] == 46:
        point = q + 1
        q, mantissa = append_digits(text, point, mantissa)
        exponent = point - q
        if exponent == 0:
            end = int64(-1)
        if end >= 0:
            end = q
    digits = whole - exponent
    if (text[q] | 32) == 101:
        q += 1
        minus = text[q] == 45
        if minus or text[q] == 43:
            q += 1
        begun = q
        while is_digit(text[q]):
            if scale < 100_000:
                scale = scale * 10 + int64(text[q]) - 48
            q += 1
        if q == begun:
            end = int64(-1)
        if minus:
            scale = -scale
        exponent += scale
        if end >= 0:
            end = q
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


@helper
def first_nineteen(text, first, whole, digits, scale):
    """The first 19 significant digits of a longer number: (uint64, exponent, were more cut off)."""
    skipped = int64(0)
    while skipped < digits and digit_at(text, first, whole, skipped) == 0:
        skipped += 1
    mantissa = uint64(0)
    kept = skipped
    while kept < digits and kept < skipped + 19:
        mantissa = mantissa * uint64(10) + uint64(digit_at(text, first, whole, kept))
        kept += 1
    return mantissa, whole - kept + scale, kept < digits


@helper
def eisel_lemire(mantissa, power, explicit_bits, least_exponent, infinite, tie_low, tie_high):
    """mantissa × 10**power, rounded to nearest even, as a float's bits without sign; see Lemire's paper, section 5 to 8."""
    if mantissa == uint64(0) or power < _LEAST_POWER:
        return int64(0)
    if power > _GREATEST_POWER:
        return infinite << explicit_bits
    zeros = leading_zeros(int64(mantissa))
    w = mantissa << uint64(zeros)
    at = 2 * (power - _LEAST_POWER)
    high = multiply_high(w, POWERS_OF_FIVE[at])
    low = w * POWERS_OF_FIVE[at]
    spare = uint64(shift_right(int64(-1), explicit_bits + 3))
    if (high & spare) == spare:
        extra = multiply_high(w, POWERS_OF_FIVE[at + 1])
        low += extra
        if low < extra:
            high += uint64(1)
    upper = int64(high >> uint64(63))
    shift = upper + 64 - explicit_bits - 3
    m = int64(high >> uint64(shift))
    exponent = ((217706 * power) >> 16) + 63 + upper - zeros - least_exponent
    if exponent <= 0:
        if 1 - exponent >= 64:
            return int64(0)
        m = shift_right(m, 1 - exponent)
        m += m & 1
        m >>= 1
        return m  # rounding up to the least normal number sets the exponent's lowest bit by itself
    if low <= uint64(1) and power >= tie_low and power <= tie_high and (m & 3) == 1:
        if (uint64(m) << uint64(shift)) == high:
            m &= ~1
    m += m & 1
    m >>= 1
    if m >= int64(2) << explicit_bits:
        m = int64(1) << explicit_bits
        exponent += 1
    if exponent >= infinite:
        return infinite << explicit_bits
    return (m & ~(int64(1) << explicit_bits)) | (exponent << explicit_bits)


@inlined
def double_bits(mantissa, power):
    return eisel_lemire(mantissa, power, int64(52), int64(-1023), int64(0x7FF), int64(-4), int64(23))


@inlined
def single_bits(mantissa, power):
    return eisel_lemire(mantissa, power, int64(23), int64(-127), int64(0xFF), int64(-17), int64(10))


@helper
def widen_single(bits):
    """A float32's bits, without sign, as the float64 of the same value."""
    exponent = bits >> 23
    fraction = bits & 0x7FFFFF
    if exponent == 0xFF:
        return double_of_bits(int64(0x7FF) << 52)
    if exponent == 0:
        return float64(fraction) * 1.401298464324817e-45
    return double_of_bits(((exponent + 896) << 52) | (fraction << 29))


@inlined
def to_float(text, first, mantissa, exponent, digits, whole, scale, single):
    """The magnitude of a scanned number as (settled, float64); `single`: rounded to float32 first."""
    if digits <= 19 and mantissa <= uint64(9007199254740992) and exponent >= -22 and exponent <= 22 and not single:
        value = float64(int64(mantissa))
        if exponent < 0:
            return True, value / POWERS_OF_TEN[-exponent]
        return True, value * POWERS_OF_TEN[exponent]
    return slow_float(text, first, mantissa, exponent, digits, whole, scale, single)


@outlined
def slow_float(text, first, mantissa, exponent, digits, whole, scale, single):
    cut = False
    if digits > 19:
        mantissa, exponent, cut = first_nineteen(text, first, whole, digits, scale)
    if single:
        bits = single_bits(mantissa, exponent)
        settled = not cut or bits == single_bits(mantissa + uint64(1), exponent)
        return settled, widen_single(bits)
    bits = double_bits(mantissa, exponent)
    settled = not cut or bits == double_bits(mantissa + uint64(1), exponent)
    return settled, double_of_bits(bits)


@kernel
def parse_float64(data: U8, views: I64, valid: U8, single: INT, out: F64, status: U8):
    """JSON numbers in views of padded `data` to floats. status: 1 parsed, 0 null in, 10 no number, 11 out of range, 255 not settled.

    Each view must be followed by a byte that is no digit, point, sign or letter e (a terminator); 64 more bytes can be read.
    """
    for i in range(len(views)):
        out[i] = 0.0
        status[i] = valid[i]
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            length = views[i] >> 32
            end, mantissa, exponent, digits, whole, scale = scan_number(data, start)
            if end != start + length or length == 0:
                status[i] = 10
                continue
            negative = data[start] == 45
            first = start + 1 if negative else start
            settled, value = to_float(data, first, mantissa, exponent, digits, whole, scale, single == 1)
            status[i] = 255 if not settled else (11 if value > 1.7976931348623157e308 else 1)
            out[i] = -value if negative else value
    return len(views)
