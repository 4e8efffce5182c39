"""Values to text.

Each kernel writes the texts of one column one after another to `out` and their views beside them; nulls get an empty view.
Floats get the fewest digits that read back as the same float (R. Giulietti, "The Schubfach way to render doubles", 2021).
"""

import numpy as np
from numba import int64, uint64

from millstream.kernels.calendar import civil_from_days
from millstream.kernels.simd import bits_of_double, multiply_high
from millstream.kernels.spec import F64, I64, INT, U8, helper, inlined, kernel

_LEAST, _GREATEST = -292, 324


def _powers_of_ten():
    """The upper 128 bits of 10**k, rounded up, for k from -292 to 324, as pairs (high, low)."""
    words = []
    for k in range(_LEAST, _GREATEST + 1):
        shift = 127 - (k * 1741647 >> 19)
        if k >= 0:
            value, exact = (10**k << shift, True) if shift >= 0 else (10**k >> -shift, 10**k % (1 << -shift) == 0)
        else:
            value, exact = (1 << shift) // 10**-k, False
        value += 0 if exact else 1
        words += [value >> 64, value & (1 << 64) - 1]
    return np.array(words, np.uint64)


POWERS = _powers_of_ten()


@inlined
def round_to_odd(high, low, factor):
    """The upper 64 bits of a 192-bit product, its lowest bit set where anything below is not zero."""
    middle = high * factor
    carried = middle + multiply_high(low, factor)
    top = multiply_high(high, factor) + (uint64(1) if carried < middle else uint64(0))
    return top | (uint64(1) if carried > uint64(1) else uint64(0))


@helper
def shortest_decimal(c, q, closer):
    """The shortest decimal that rounds to c × 2**q: (digits as int64, exponent of ten). closer: the float below is half as far."""
    odd = uint64(c & 1)
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = uint64(q + ((-k * 1741647) >> 19) + 1)
    at = 2 * (-k - _LEAST)
    high = POWERS[at]
    low = POWERS[at + 1]
    four = uint64(4) * uint64(c)
    lower = round_to_odd(high, low, (four - (uint64(1) if closer else uint64(2))) << h) + odd
    value = round_to_odd(high, low, four << h)
    upper = round_to_odd(high, low, (four + uint64(2)) << h) - odd
    s = value // uint64(4)
    if s >= uint64(10):
        tens = s // uint64(10)
        forty = uint64(40) * tens
        down = lower <= forty
        up = forty + uint64(40) <= upper
        if down != up:
            return int64(tens) + (1 if up else 0), k + 1
    down = lower <= uint64(4) * s
    up = uint64(4) * s + uint64(4) <= upper
    if down != up:
        return int64(s) + (1 if up else 0), k
    middle = uint64(4) * s + uint64(2)
    rounded = value > middle or (value == middle and (s & uint64(1)) != uint64(0))
    return int64(s) + (1 if rounded else 0), k


@inlined
def count_digits(value):
    """Decimal digits of a uint64; 1 for 0."""
    count = int64(1)
    while value >= uint64(10):
        value //= uint64(10)
        count += 1
    return count


@inlined
def put_digits(value, count, out, at):
    """The last `count` digits of a uint64, with leading zeros. Returns the position after them."""
    for i in range(count):
        out[at + count - 1 - i] = 48 + int64(value % uint64(10))
        value //= uint64(10)
    return at + count


@inlined
def put_integer(value, out, at):
    """An int64. Returns the position after it."""
    size = uint64(value)
    if value < 0:
        out[at] = 45
        at += 1
        size = uint64(0) - size
    return put_digits(size, count_digits(size), out, at)


@kernel
def format_int64(values: I64, valid: U8, unsigned: INT, out: U8, views: I64):
    """Integers in decimal; `unsigned`: the bits are uint64's. `out` holds 20 bytes a row. Returns the bytes used."""
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            if unsigned == 1:
                at = put_digits(uint64(values[i]), count_digits(uint64(values[i])), out, at)
            else:
                at = put_integer(values[i], out, at)
        views[i] = begun | (at - begun) << 32
    return at


@kernel
def format_bool(values: U8, valid: U8, out: U8, views: I64):
    """`true` and `false`; `out` holds 5 bytes a row. Returns the bytes used."""
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            word = int64(0x65757274) if values[i] == 1 else int64(0x65736C6166)
            while word != 0:
                out[at] = word & 0xFF
                word >>= 8
                at += 1
        views[i] = begun | (at - begun) << 32
    return at


@helper
def put_float(value, single, out, at):
    """A finite float, at most 25 bytes: 0.5, 100.0, 1e-7, 1.5e300. Returns the position after it."""
    bits = bits_of_double(value)
    if bits < 0:
        out[at] = 45
        at += 1
    exponent = (bits >> 52) & 0x7FF
    c = bits & 0xFFFFFFFFFFFFF
    if exponent == 0 and c == 0:
        out[at] = 48
        out[at + 1] = 46
        out[at + 2] = 48
        return at + 3
    closer = False
    if single:
        # The bits of a float32 in a float64: its exponent's range is narrower, and 29 bits are zeros.
        if exponent >= 897:
            closer = c == 0 and exponent > 897
            c = (c >> 29) | 0x800000
            q = exponent - 1046
        else:
            c = (c | (int64(1) << 52)) >> (int64(29) + (897 - exponent))
            q = int64(-149)
    elif exponent != 0:
        closer = c == 0 and exponent > 1
        c |= int64(1) << 52
        q = exponent - 1075
    else:
        q = int64(-1074)
    if q <= 0 and q > -53 and (c & ((int64(1) << -q) - 1)) == 0:
        digits = c >> -q
        power = int64(0)
    else:
        digits, power = shortest_decimal(c, q, closer)
    while digits % 10 == 0:
        digits //= 10
        power += 1
    count = count_digits(uint64(digits))
    point = count + power  # where the point stands, counted from the first digit
    if point > 0 and point <= 16:
        if power >= 0:
            at = put_digits(uint64(digits), count, out, at)
            for _ in range(power):
                out[at] = 48
                at += 1
            out[at] = 46
            out[at + 1] = 48
            return at + 2
        put_digits(uint64(digits), count, out, at + 1)
        for i in range(point):
            out[at + i] = out[at + i + 1]
        out[at + point] = 46
        return at + count + 1
    if point <= 0 and point > -5:
        out[at] = 48
        out[at + 1] = 46
        at += 2
        for _ in range(-point):
            out[at] = 48
            at += 1
        return put_digits(uint64(digits), count, out, at)
    put_digits(uint64(digits), count, out, at + 1)
    out[at] = out[at + 1]
    at += 1
    if count > 1:
        out[at] = 46
        at += count
    out[at] = 101
    return put_integer(point - 1, out, at + 1)


@kernel
def format_float64(values: F64, valid: U8, single: INT, json: INT, out: U8, views: I64):
    """Floats in the fewest digits that read back the same (as float32 where `single`); `out` holds 25 bytes a row.

    NaN and infinities are `NaN`, `inf`, `-inf`; with `json` they get an empty view. Returns the bytes used.
    """
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            value = values[i]
            if value - value == 0.0:
                at = put_float(value, single == 1, out, at)
            elif json == 0:
                word = int64(0x4E614E) if value != value else int64(0x666E69)
                if value < 0.0:
                    out[at] = 45
                    at += 1
                while word != 0:
                    out[at] = word & 0xFF
                    word >>= 8
                    at += 1
        views[i] = begun | (at - begun) << 32
    return at


@inlined
def put_day(days, out, at):
    """A day since 1970 as YYYY-MM-DD; years beyond four digits get a sign."""
    year, month, day = civil_from_days(days)
    width = int64(4)
    if year < 0 or year > 9999:
        out[at] = 45 if year < 0 else 43
        at += 1
        year = abs(year)
        width = max(width, count_digits(uint64(year)))
    at = put_digits(uint64(year), width, out, at)
    out[at] = 45
    at = put_digits(uint64(month), 2, out, at + 1)
    out[at] = 45
    return put_digits(uint64(day), 2, out, at + 1)


@kernel
def format_date(values: I64, valid: U8, out: U8, views: I64):
    """Days since 1970 as YYYY-MM-DD; `out` holds 20 bytes a row. Returns the bytes used."""
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            at = put_day(values[i], out, at)
        views[i] = begun | (at - begun) << 32
    return at


@inlined
def put_clock(second, fraction, places, out, at):
    """A second of a day as HH:MM:SS, and `places` digits of a fraction that is not zero. Returns the position after it."""
    at = put_digits(uint64(second // 3600), 2, out, at)
    out[at] = 58
    at = put_digits(uint64(second // 60 % 60), 2, out, at + 1)
    out[at] = 58
    at = put_digits(uint64(second % 60), 2, out, at + 1)
    if fraction != 0:
        out[at] = 46
        at = put_digits(uint64(fraction), places, out, at + 1)
    return at


@kernel
def format_timestamp(values: I64, valid: U8, ticks: INT, places: INT, zoned: INT, out: U8, views: I64):
    """Ticks since 1970 in RFC 3339; `out` holds 40 bytes a row. Returns the bytes used.

    ticks: how many make a second; places: digits of a fraction, which is left out where it is zero; zoned: Z at the end.
    """
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            seconds = values[i] // ticks
            fraction = values[i] - seconds * ticks
            days = seconds // 86400
            second = seconds - days * 86400
            at = put_day(days, out, at)
            out[at] = 84
            at = put_clock(second, fraction, places, out, at + 1)
            if zoned == 1:
                out[at] = 90
                at += 1
        views[i] = begun | (at - begun) << 32
    return at


@kernel
def format_time(values: I64, valid: U8, out: U8, views: I64):
    """Microseconds since midnight as HH:MM:SS, and six more digits where they are not zero; `out` holds 15 bytes a row.

    Returns the bytes used.
    """
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            seconds = values[i] // 1_000_000
            at = put_clock(seconds, values[i] - seconds * 1_000_000, 6, out, at)
        views[i] = begun | (at - begun) << 32
    return at


@inlined
def put_part(count, letter, out, at):
    """A count and its letter, nothing for 0. Returns the position after it."""
    if count == uint64(0):
        return at
    at = put_digits(count, count_digits(count), out, at)
    out[at] = letter
    return at + 1


@kernel
def format_duration(values: I64, valid: U8, out: U8, views: I64):
    """Microseconds in ISO 8601, without parts that are zero: P1DT2H0.5S, -PT1S, PT0S; `out` holds 32 bytes a row.

    Returns the bytes used.
    """
    at = int64(0)
    for i in range(len(values)):
        begun = at
        if valid[i] == 1:
            size = uint64(values[i])
            if values[i] < 0:
                out[at] = 45
                at += 1
                size = uint64(0) - size
            out[at] = 80
            at += 1
            seconds = size // uint64(1_000_000)
            fraction = int64(size - seconds * uint64(1_000_000))
            days = seconds // uint64(86400)
            second = seconds - days * uint64(86400)
            at = put_part(days, 68, out, at)
            if second != uint64(0) or fraction != 0 or days == uint64(0):
                out[at] = 84
                at += 1
            at = put_part(second // uint64(3600), 72, out, at)
            at = put_part(second // uint64(60) % uint64(60), 77, out, at)
            whole = second % uint64(60)
            if whole != uint64(0) or fraction != 0 or size == uint64(0):
                at = put_digits(whole, count_digits(whole), out, at)
                if fraction != 0:
                    out[at] = 46
                    at = put_digits(uint64(fraction), 6, out, at + 1)
                    while out[at - 1] == 48:
                        at -= 1
                out[at] = 83
                at += 1
        views[i] = begun | (at - begun) << 32
    return at
