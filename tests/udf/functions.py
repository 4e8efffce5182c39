"""Functions that tests compile, all in one go, and the oracle: the same Python functions, called for each row."""

import math

from millstream import udf

RATE = 0.25
LIMITS = (1, 5)


def clipped(x):
    return min(max(x, LIMITS[0]), LIMITS[1])


@udf("float64(float64, int64)")
def tax(price, qty):
    """The tax on a line."""
    return price * qty * RATE + clipped(price)


@udf("float64(float64, int64)")
def share(x, n):
    return x / n


@udf("int64(int64, int64)")
def whole(a, b):
    total = a * b
    total -= a // b
    total += a % b
    return -total


@udf("int64(int64, int64, int64)")
def bits(kind, a, b):
    if kind == 0:
        return a << b
    if kind == 1:
        return a >> b
    if kind == 2:
        return (a & b) | ~a
    if kind == 3:
        return a**b
    if kind == 4:
        return abs(a) ^ b
    if kind == 5:
        return math.gcd(a, b)
    q, r = divmod(a, b)
    return q - r


@udf("uint64(uint64, int64)")
def unsigned(a, b):
    return (a + b * 2) // 3 + a % 7 + divmod(a, 5)[1]


@udf("float64(float64, float64)")
def floats(x, y):
    return x // y + x % y - x**2 * y


@udf("float64(int64, float64, float64)")
def mathematics(kind, x, y):
    if kind == 0:
        return math.sqrt(x)
    if kind == 1:
        return math.exp(x) + math.expm1(x)
    if kind == 2:
        return math.log(x)
    if kind == 3:
        return math.sin(x) * math.cos(x)
    if kind == 4:
        return math.atan2(x, y) + math.hypot(x, y)
    if kind == 5:
        return math.log(x, y)
    if kind == 6:
        return math.fmod(x, y)
    if kind == 7:
        return x**y
    if kind == 8:
        return math.pow(x, y)
    if kind == 9:
        return math.log10(x) + math.log2(x) - math.log1p(x)
    if kind == 10:
        return math.asin(x) + math.acos(x) + math.tanh(y)
    if kind == 11:
        return float(math.floor(x) - math.ceil(y) + math.trunc(x))
    if kind == 12:
        return math.degrees(x) + math.radians(y) + math.fabs(x) + math.copysign(x, y)
    return math.erf(x) + math.cosh(y)


@udf("int64(float64)")
def cut(x):
    return int(x)


@udf("int64(float64)")
def nearest(x):
    return round(x)


@udf("float64(float64)")
def cents(x):
    return round(x, 2)


@udf("float64?(int64?, float64)")
def maybe(n, x):
    if n is None:
        return x
    if n == 3:
        raise ValueError(f"{n} is not welcome")
    return None if n > 5 else x + n


@udf("bool(bool, bool?)")
def both(a, b):
    return bool(a and b is not None and b > 0)


@udf("int8(int16, uint8)")
def small(a, b):
    return a - b


@udf("date32(timestamp[us, UTC], int64)")
def day_of(at, days):
    return at // 86_400_000_000 + days


@udf("float32(float32)")
def third(x):
    return x / 3


@udf("int64(int64)")
def steps(n):
    count = 0
    while n > 1 and count < 500:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        count += 1
    return count


FUNCTIONS = (
    tax, share, whole, bits, unsigned, floats, mathematics, cut, nearest, cents, maybe, both, small, day_of, third, steps,
)  # fmt: skip
