"""Decimal text to floats, exactly.

Clinger's fast path where both parts are exact, else the Eisel-Lemire product (D. Lemire, "Number Parsing at a Gigabyte per Second",
2021), which needs no fallback up to 19 digits (N. Mushtak and D. Lemire, 2023). Of a longer number its first 19 digits are rounded, and
then as if they were one more: where that makes a difference, `halfway` compares all digits with the middle between the two floats.
"""

import numpy as np
from numba import float64, int64, uint64

from millstream.kernels.halfway import compare_decimal
from millstream.kernels.number import digit_at, scan_number
from millstream.kernels.simd import double_of_bits, leading_zeros, load_word, multiply_high, shift_right, trailing_zeros
from millstream.kernels.spec import F64, I64, INT, U8, helper, inlined, kernel, outlined

_LEAST_POWER, _GREATEST_POWER = -342, 308

# With these powers of ten a mantissa of up to 19 digits that is not 0 is a normal float64.
_LEAST_NORMAL, _GREATEST_NORMAL = -290, 270


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


@inlined
def scaled(mantissa, power, explicit_bits, tie_low, tie_high):
    """mantissa × 10**power for a mantissa that is not 0: (its first explicit_bits + 2 bits, exponent of two of the first bit).

    The last bit is for rounding, with a tie towards even settled in advance; see Lemire's paper, section 5 to 8.
    """
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
    shift = uint64(upper + 61 - explicit_bits)
    m = high >> shift
    tie = (
        (low <= uint64(1)) & ((m & uint64(3)) == uint64(1)) & ((m << shift) == high) & (power >= tie_low) & (power <= tie_high)
    )
    return int64(m) - int64(tie), ((217706 * power) >> 16) + 63 + upper - zeros


@helper
def eisel_lemire(mantissa, power, explicit_bits, least_exponent, infinite, tie_low, tie_high):
    """mantissa × 10**power, rounded to nearest even, as a float's bits without sign."""
    if mantissa == uint64(0) or power < _LEAST_POWER:
        return int64(0)
    if power > _GREATEST_POWER:
        return infinite << explicit_bits
    m, exponent = scaled(mantissa, power, explicit_bits, tie_low, tie_high)
    exponent -= least_exponent
    if exponent >= infinite:
        return infinite << explicit_bits
    if exponent <= 0:
        if 1 - exponent >= 64:
            return int64(0)
        m = shift_right(m, 1 - exponent)
        exponent = int64(1)
    # The first bit of the rounded m adds the 1 that is missing from the exponent, and one more where it rounds up to a power of two.
    return ((exponent - 1) << explicit_bits) + ((m + (m & 1)) >> 1)


@inlined
def nearest_bits(mantissa, power, single):
    """mantissa × 10**power as a float64's bits without sign, or with `single` a float32's."""
    if single:
        return eisel_lemire(mantissa, power, int64(23), int64(-127), int64(0xFF), int64(-17), int64(10))
    return eisel_lemire(mantissa, power, int64(52), int64(-1023), int64(0x7FF), int64(-4), int64(23))


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
def widen_single(bits):
    """A float32's bits, without sign, as the float64 of the same value."""
    exponent = bits >> 23
    fraction = bits & 0x7FFFFF
    if exponent == 0xFF:
        return double_of_bits(int64(0x7FF) << 52)
    if exponent == 0:
        return float64(fraction) * 1.401298464324817e-45
    return double_of_bits(((exponent + 896) << 52) | (fraction << 29))


@outlined
def any_float(text, first, mantissa, exponent, digits, whole, scale, single, words):
    """`to_float` of every number."""
    cut = False
    if digits > 19:
        mantissa, exponent, cut = first_nineteen(text, first, whole, digits, scale)
    bits = nearest_bits(mantissa, exponent, single)
    if cut:
        above = nearest_bits(mantissa + uint64(1), exponent, single)
        if above != bits:
            # Neighbours, with the number between: where is the middle?
            explicit_bits = int64(23) if single else int64(52)
            exponent = bits >> explicit_bits
            middle = 2 * (bits - (max(exponent - 1, int64(0)) << explicit_bits)) + 1
            power = max(exponent, int64(1)) - (int64(127) if single else int64(1023)) - explicit_bits - 1
            side = compare_decimal(text, first, whole, digits, scale, middle, power, words)
            if side > 0 or (side == 0 and (bits & 1) != 0):
                bits = above
    return widen_single(bits) if single else double_of_bits(bits)


@inlined
def to_float(text, first, mantissa, exponent, digits, whole, scale, single, words):
    """The magnitude of a scanned number as a float64, infinite beyond its range. `single`: of the nearest float32.

    words: SCRATCH int64 of scratch. Ten bytes at `first` can be read.
    """
    if digits <= 19 and mantissa <= uint64(9007199254740992) and exponent >= -22 and exponent <= 22 and not single:
        value = float64(int64(mantissa))
        if exponent < 0:
            return value / POWERS_OF_TEN[-exponent]
        return value * POWERS_OF_TEN[exponent]
    # The zeros that 0.00123 begins with weigh nothing.
    zeros = 1 + (trailing_zeros(load_word(text, first + 2) ^ 0x3030303030303030) >> 3)
    significant = digits - (zeros if text[first] == 48 else 0)
    if significant > 19 or mantissa == uint64(0) or exponent < _LEAST_NORMAL or exponent > _GREATEST_NORMAL or single:
        return any_float(text, first, mantissa, exponent, digits, whole, scale, single, words)
    m, binary = scaled(mantissa, exponent, int64(52), int64(-4), int64(23))
    return double_of_bits(((binary + 1022) << 52) + ((m + (m & 1)) >> 1))


@kernel
def parse_float64(data: U8, views: I64, valid: U8, single: INT, words: I64, out: F64, status: U8):
    """JSON numbers in views of padded `data` to floats. status: 1 parsed, 0 null in, 10 no number, 11 out of range.

    Each view must be followed by a byte that is no digit, point, sign or letter e (a terminator); 64 more bytes can be read.
    words: SCRATCH of scratch.
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
            value = to_float(data, first, mantissa, exponent, digits, whole, scale, single == 1, words)
            status[i] = 11 if value > 1.7976931348623157e308 else 1
            out[i] = -value if negative else value
    return len(views)
