"""Decimals: integers of 128 bits with a point that their column knows, as two words a row, the low one first.

The arithmetic is that of school, on four digits of 32 bits: a product or a remainder of one of them fits an int64.
"""

from numba import int64, uint64

from millstream.kernels.decimal import to_decimal
from millstream.kernels.format import put_digits
from millstream.kernels.number import scan_number
from millstream.kernels.simd import shift_right
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

OUT_OF_RANGE = 11
_MASK = 0xFFFFFFFF
_STEP = 9  # powers of ten are multiplied and divided by 10**9 at a time
_BILLION = 10**9


@inlined
def split_words(low, high):
    """Two words without a sign as four digits of 32 bits, the lowest first."""
    return low & _MASK, shift_right(low, 32), high & _MASK, shift_right(high, 32)


@inlined
def magnitude(low, high):
    """The size of a number of two words, as four digits; that of the least one is 2**127."""
    if high < 0:
        low = -low
        high = ~high + (1 if low == 0 else 0)
    return split_words(low, high)


@inlined
def multiplied(a, b, c, d, factor):
    """Four digits times a number below 2**31: the digits, and what is carried out of them."""
    a *= factor
    b = b * factor + (a >> 32)
    c = c * factor + (b >> 32)
    d = d * factor + (c >> 32)
    return a & _MASK, b & _MASK, c & _MASK, d & _MASK, d >> 32


@inlined
def divided(a, b, c, d, divisor):
    """Four digits by a number below 2**31: the digits, and what is left."""
    high = d // divisor
    c |= (d - high * divisor) << 32
    upper = c // divisor
    b |= (c - upper * divisor) << 32
    lower = b // divisor
    a |= (b - lower * divisor) << 32
    low = a // divisor
    return low, lower, upper, high, a - low * divisor


@helper
def power_of_ten(count):
    """10**count, for 0 to 9."""
    power = int64(1)
    for _ in range(count):
        power *= 10
    return power


@helper
def raised(a, b, c, d, count):
    """Four digits times 10**count: the digits, and 1 where they overflow."""
    lost = int64(0)
    while count > 0 and lost == 0:
        step = min(count, _STEP)
        a, b, c, d, lost = multiplied(a, b, c, d, power_of_ten(step))
        count -= step
    return a, b, c, d, lost


@helper
def lowered(a, b, c, d, count, nearest):
    """Four digits by 10**count: to the nearest, half to even, or cut off."""
    rest = int64(0)
    while count > 1:
        step = min(count - 1, _STEP)
        a, b, c, d, left = divided(a, b, c, d, power_of_ten(step))
        rest |= left
        count -= step
    if count > 0:
        a, b, c, d, last = divided(a, b, c, d, int64(10))
        if nearest == 1 and (last > 5 or (last == 5 and (rest != 0 or a & 1 == 1))):
            a += 1
            b += a >> 32
            c += b >> 32
            d += c >> 32
            a &= _MASK
            b &= _MASK
            c &= _MASK
    return a, b, c, d


@kernel
def widen_int128(source: I64, unsigned: INT, out: I64):
    """Integers of 64 bits as two words; `unsigned`: the bits are uint64's."""
    for i in range(len(source)):
        out[2 * i] = source[i]
        out[2 * i + 1] = 0 if unsigned == 1 else source[i] >> 63
    return len(source)


@kernel
def narrow_int128(source: I64, unsigned: INT, code: INT, valid: U8, out: I64):
    """Two words as an integer of 64 bits; those that do not fit get the code. Returns how many."""
    faults = 0
    for i in range(len(out)):
        low = source[2 * i]
        out[i] = low
        if valid[i] == 1 and source[2 * i + 1] != (0 if unsigned == 1 else low >> 63):
            valid[i] = code
            faults += 1
    return faults


@kernel
def rescale_decimal(source: I64, power: INT, nearest: INT, limit_low: INT, limit_high: INT, code: INT, valid: U8, out: I64):
    """Each number times 10**power, -38 to 38; what is cut off rounds half to even where `nearest`, else to 0.

    Sizes above the limit, two words, get the code. Returns how many.
    """
    faults = 0
    for i in range(len(valid)):
        out[2 * i] = 0
        out[2 * i + 1] = 0
        if valid[i] != 1:
            continue
        a, b, c, d = magnitude(source[2 * i], source[2 * i + 1])
        lost = int64(0)
        if power > 0:
            a, b, c, d, lost = raised(a, b, c, d, power)
        else:
            a, b, c, d = lowered(a, b, c, d, -power, nearest)
        low = a | b << 32
        high = c | d << 32
        if lost != 0 or high < 0 or high > limit_high or (high == limit_high and uint64(low) > uint64(limit_low)):
            valid[i] = code
            faults += 1
            continue
        if source[2 * i + 1] < 0:
            low = -low
            high = ~high + (1 if low == 0 else 0)
        out[2 * i] = low
        out[2 * i + 1] = high
    return faults


@kernel
def parse_decimal(data: U8, views: I64, valid: U8, precision: INT, places: INT, out: I64, status: U8):
    """JSON numbers in views of padded `data` to decimals, digits behind `places` rounded half to even.

    status: 1 parsed, 0 null in, 10 no number, 11 out of range. What must follow a view is as in `parse_float64`.
    """
    for i in range(len(views)):
        out[2 * i] = 0
        out[2 * i + 1] = 0
        status[i] = valid[i]
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            length = views[i] >> 32
            end, _, _, digits, whole, scale = scan_number(data, start)
            if end != start + length or length == 0:
                status[i] = 10
                continue
            negative = data[start] == 45
            first = start + 1 if negative else start
            code, low, high = to_decimal(data, first, digits, whole, scale, negative, precision, places, True)
            status[i] = code if code != 0 else 1
            out[2 * i] = low
            out[2 * i + 1] = high
    return len(views)


@inlined
def put_backwards(low, high, scale, out, end):
    """The digits of a size, at least `scale` + 1, up to out[end]. Returns where they begin."""
    a, b, c, d = split_words(low, high)
    p = end
    while b | c | d != 0:
        a, b, c, d, nine = divided(a, b, c, d, int64(_BILLION))
        put_digits(uint64(nine), _STEP, out, p - _STEP)
        p -= _STEP
    while a != 0 or end - p <= scale:
        rest = a // 10
        p -= 1
        out[p] = 48 + a - 10 * rest
        a = rest
    return p


@kernel
def format_decimal(values: I64, valid: U8, scale: INT, out: U8, views: I64):
    """Decimals with all digits of their scale; `out` holds 41 bytes a row, and 48 more. Returns the bytes used."""
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            a, b, c, d = magnitude(values[2 * i], values[2 * i + 1])
            if values[2 * i + 1] < 0:
                out[at] = 45
                at += 1
            end = at + 81  # the digits are made behind the place where they end up
            p = put_backwards(a | b << 32, c | d << 32, scale, out, end)
            while p < end:
                if p == end - scale and scale > 0:
                    out[at] = 46
                    at += 1
                out[at] = out[p]
                at += 1
                p += 1
        views[i] = begun | (at - begun) << 32
    return at
