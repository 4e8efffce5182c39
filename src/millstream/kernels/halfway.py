"""A decimal of many digits beside the middle between two floats: both multiplied out to whole numbers.

These are `count` words of 32 bits, lowest first, at words[at:]; the uppermost may be zeros.
"""

from numba import int64

from millstream.kernels.number import digit_at
from millstream.kernels.simd import shift_right
from millstream.kernels.spec import helper, inlined, outlined

# The middle between two float64 has 768 significant digits at most. Of digits behind 769 it only matters whether all are zeros.
MOST_DIGITS = 769
# So both numbers stay below 2**2600. One lies at words[0:], one at words[OTHER:].
OTHER = 128
SCRATCH = 256
FIVES = 1220703125  # 5**13


@inlined
def multiply_add(words, at, count, factor, extra):
    """A number times a factor up to 2**31 plus one below 2**32: its new count."""
    for i in range(at, at + count):
        value = words[i] * factor + extra
        words[i] = value & 0xFFFFFFFF
        extra = shift_right(value, 32)
    if extra != 0:
        words[at + count] = extra
        count += 1
    return count


@helper
def multiply_powers(words, at, count, fives, twos):
    """A number times 5**fives × 2**twos: its new count."""
    while fives >= 13:
        count = multiply_add(words, at, count, int64(FIVES), int64(0))
        fives -= 13
    factor = int64(1)
    for _ in range(fives):
        factor *= 5
    count = multiply_add(words, at, count, factor, int64(0))
    count = multiply_add(words, at, count, int64(1) << (twos & 31), int64(0))
    moved = twos >> 5
    for i in range(at + count - 1, at - 1, -1):
        words[i + moved] = words[i]
    for i in range(at, at + moved):
        words[i] = 0
    return count + moved


@outlined
def compare_decimal(text, first, whole, digits, scale, integer, power, words):
    """A scanned number beside integer × 2**power, 0 < integer < 2**62: -1 where it is less, 0 equal, 1 more.

    Only for two that are so close that one rounds to a float64 just above or below the other. words: SCRATCH of scratch.
    """
    i = int64(0)
    while i < digits and digit_at(text, first, whole, i) == 0:
        i += 1
    last = min(digits, i + MOST_DIGITS)
    count = int64(0)
    while i < last:
        part = int64(0)
        factor = int64(1)
        while i < last and factor < 1_000_000_000:
            part = part * 10 + digit_at(text, first, whole, i)
            factor *= 10
            i += 1
        count = multiply_add(words, int64(0), count, factor, part)
    while i < digits and digit_at(text, first, whole, i) == 0:
        i += 1
    more = i < digits
    words[OTHER] = integer & 0xFFFFFFFF
    words[OTHER + 1] = integer >> 32
    ten = whole - last + scale
    count = multiply_powers(words, int64(0), count, max(ten, int64(0)), max(ten - power, int64(0)))
    other = multiply_powers(words, int64(OTHER), int64(2), max(-ten, int64(0)), max(power - ten, int64(0)))
    for i in range(max(count, other) - 1, -1, -1):
        left = words[i] if i < count else int64(0)
        right = words[OTHER + i] if i < other else int64(0)
        if left != right:
            return int64(-1) if left < right else int64(1)
    return int64(1) if more else int64(0)
