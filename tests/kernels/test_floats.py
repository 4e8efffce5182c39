"""Decimal text to floats: against Python's float, and exact fractions for float32, around every middle between two floats."""

from __future__ import annotations

import math
import random
import re
import struct
from collections.abc import Iterable
from decimal import Context, Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.grammar import parse
from millstream.native.bind import kernels
from millstream.pipeline import Pipeline
from tests.decode.test_json import nearest_single
from tests.guard import guarded, guarded_bytes, guarded_numbers

NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
GREATEST = 1.7976931348623157e308


def parsed(texts: Iterable[bytes], single: bool = False, behind: bytes = b",", before: bytes = b"") -> list[float | int]:
    """Each text's float, or the code that refuses it. `behind` ends a number; `before` moves the first away from the start."""
    views, data = [], bytearray(before)
    for text in texts:
        views.append(len(data) | len(text) << 32)
        data += text + behind
    count = len(views)
    out, status = guarded(count, 8), guarded(count, 1)
    memory, valid = guarded_bytes(bytes(data) + bytes(64)), guarded_bytes(b"\1" * count)
    kernels.parse_float64(memory, guarded_numbers("q", views), valid, int(single), guarded(256, 8), out, status)
    return [value if code == 1 else code for value, code in zip(out.tolist("d"), status.tolist("B"), strict=True)]


def wanted(text: bytes, single: bool = False) -> float | int:
    if not NUMBER.fullmatch(text):
        return 10
    value = float(text)
    if single and 0 < abs(value) < math.inf:  # beyond, an exact fraction could be endless
        value = nearest_single(text.decode())
    return value if math.isfinite(value) else 11


def bits(values: Iterable[float | int]) -> list[bytes | int]:
    return [struct.pack("d", value) if isinstance(value, float) else value for value in values]


def check(texts: list[bytes], single: bool | None = None) -> None:
    for kind in (False, True) if single is None else (single,):
        got, right = parsed(texts, kind), [wanted(text, kind) for text in texts]
        for text, one, other in zip(texts, bits(got), bits(right), strict=True):
            assert one == other, (kind, text[:100], len(text))


def exact(value: Fraction) -> str:
    """A binary fraction's digits, all of them, with an exponent."""
    twos = value.denominator.bit_length() - 1
    sign, digits, _ = Decimal(value.numerator * 5**twos).as_tuple()
    return f"{'-' if sign else ''}{''.join(map(str, digits))}e{-twos}"


def around(middle: Fraction) -> list[bytes]:
    """A middle between floats as text: itself, with zeros behind, just below and above at many places, with a moved point."""
    digits, _, power = exact(middle).partition("e")
    made = [digits + "e" + power, f"{digits}.000e{power}"]
    for places in (0, 1, 20, 400, 767, 768, 769, 800, 2000):
        zeros = "0" * places
        made += [f"{digits}{zeros}1e{int(power) - places - 1}", f"{digits}.{zeros}1e{power}", f"{digits}.{zeros}e{power}"]
        below = str(int(digits) - 1)
        made += [f"{below}.{'9' * (places + 1)}e{power}", f"{below}{'9' * (places + 1)}e{int(power) - places - 1}"]
    size = len(digits)
    made += [f"{digits[0]}.{digits[1:] or '0'}e{int(power) + size - 1}", f"0.000{digits}e{int(power) + size + 3}"]
    return [one.encode() for one in made if NUMBER.fullmatch(one.encode())]


def middle_above(value: float, code: str) -> Fraction:
    """Halfway from a float to the next one, the last one's too."""
    size = {"d": ("Q", 52, 1075), "f": ("I", 23, 150)}[code]
    pattern = struct.unpack(size[0], struct.pack(code, value))[0]
    exponent = pattern >> size[1]
    fraction = pattern & (1 << size[1]) - 1 | (1 << size[1] if exponent else 0)
    return Fraction(2 * fraction + 1) * Fraction(2) ** (max(exponent, 1) - size[2] - 1)


DRAW = random.Random(11)
DOUBLES = [
    0.0,
    5e-324,
    1e-323,
    2.225073858507201e-308,
    2.2250738585072014e-308,
    1.0,
    1 - 2**-53,
    9007199254740992.0,
    0.1,
    GREATEST,
]
DOUBLES += [struct.unpack("d", struct.pack("Q", DRAW.randrange(0x7FEFFFFFFFFFFFFF)))[0] for _ in range(25)]
DOUBLES += [struct.unpack("d", struct.pack("Q", DRAW.randrange(1 << 52)))[0] for _ in range(5)]
SINGLES = [0.0, 1e-45, 1.1754942e-38, 1.17549435e-38, 1.0, 16777216.0, 0.1, 3.4028234663852886e38]
SINGLES += [struct.unpack("f", struct.pack("I", DRAW.randrange(0x7F7FFFFF)))[0] for _ in range(15)]


@pytest.mark.parametrize("value", DOUBLES)
def test_around_the_middle_between_two_doubles(value: float) -> None:
    check(around(middle_above(value, "d")), single=False)


@pytest.mark.parametrize("value", SINGLES)
def test_around_the_middle_between_two_singles(value: float) -> None:
    check(around(middle_above(value, "f")), single=True)


def test_the_bounds_of_the_range() -> None:
    bound = Fraction(2) ** 1024 - Fraction(2) ** 970  # rounds to infinity; what is below it does not
    whole = str(int(bound)).encode()
    texts = [whole, str(int(bound) - 1).encode(), str(int(bound) - 1).encode() + b"." + b"9" * 900, whole + b".0"]
    texts += [
        b"1.7976931348623157e308",
        b"1.7976931348623159e308",
        b"1e308",
        b"1e309",
        b"1e400",
        b"2e-324",
        b"3e-324",
        b"1e-400",
    ]
    texts += [
        b"0",
        b"-0",
        b"0.0",
        b"-0.0e5",
        b"0e999999999999999999999",
        b"1e999999999999999999999",
        b"1e-99999999999999999999999",
    ]
    texts += [
        b"0." + b"0" * 40,
        b"0." + b"0" * 400 + b"e500",
        b"9" * 19,
        b"9" * 20,
        b"18446744073709551615",
        b"18446744073709551616",
    ]
    check(texts)


def test_a_million_digits() -> None:
    zeros = b"0" * 1_000_000
    texts = [
        b"0." + zeros + b"1e1000001",
        b"1" + zeros + b"e-1000000",
        b"1." + zeros + b"1",
        b"9007199254740993." + zeros + b"1",
    ]
    texts += [
        b"9007199254740993." + zeros,
        b"9007199254740992." + b"9" * 1_000_000,
        b"7" * 1_000_000 + b"e-999990",
        b"1" + zeros,
    ]
    got = parsed(texts)
    assert got[:4] == [1.0, 1.0, 1.0, 9007199254740994.0]
    assert got[4:6] == [9007199254740992.0, 9007199254740992.0]
    assert got[6:] == [7777777777.777778, 11]


@pytest.mark.parametrize("start", range(40))
def test_wherever_it_is(start: int) -> None:
    """At the start of the text there is nothing to read before a number."""
    texts = [b"1.5", b"-12345678.9", b"0.12345678901234567", b"123456789", b"1234567890123456789.123456789012345678901234567"]
    for text in (*texts, b"7", b"12345678", b"-0.1", b"1e5", b"9.e1", b"1.", b"-"):
        for behind in (b",", b"\0", b"]", b" 3.5"):
            assert parsed([text], before=b"9" * start, behind=behind) == [wanted(text)], text


@settings(max_examples=400, deadline=None)
@given(st.lists(st.text("0123456789.eE+-", min_size=1, max_size=12) | st.from_regex(NUMBER.pattern.decode(), fullmatch=True)))
@example(["-", "", "01", "00", "1.", ".1", "1e", "1e+", "1.e5", "--1", "1.5.5", "1e5.5", "0x1", "1-", "-01.5", "1E-05", "+1"])
def test_what_is_a_number_is_told_by_the_grammar(texts: list[str]) -> None:
    made = [text.encode() for text in texts if text.isascii()]
    check([text for text in made if not re.search(rb"[eE][-+]?0*[0-9]{5}", text)])


DIGITS = st.integers(1, 40).flatmap(lambda size: st.text("0123456789", min_size=size, max_size=size))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**25), DIGITS, st.integers(-345, 310)), max_size=20))
def test_random_decimals(drawn: list[tuple[int, str, int]]) -> None:
    check([f"{whole}.{digits}e{power}".encode() for whole, digits, power in drawn])
    check([f"{whole % 10**8}.{digits[:18]}".encode() for whole, digits, _ in drawn])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 0x7FEFFFFFFFFFFFFF), max_size=20), st.integers(15, 19))
def test_doubles_come_back_from_their_digits(patterns: list[int], size: int) -> None:
    values = [struct.unpack("d", struct.pack("Q", pattern))[0] for pattern in patterns]
    assert parsed([repr(value).encode() for value in values]) == values
    check([f"{value:.{size}g}".encode() for value in values])
    middles = [Context(prec=size).create_decimal(Decimal(exact(middle_above(value, "d")))) for value in values]
    check([f"{middle}".encode() for middle in middles if NUMBER.fullmatch(f"{middle}".encode())])


@pytest.mark.parametrize(("a", "symbol", "b"), [(0.0, "/", 0.0), (math.inf, "-", math.inf), (-math.nan, "+", 1.0), (0.0, "*", -math.inf), (1.0, "%", 0.0), (math.inf, "//", math.inf), (-math.inf, "+", math.inf)])  # fmt: skip
def test_a_nan_that_is_computed_has_the_same_bits_on_every_cpu(a: float, symbol: str, b: float) -> None:
    batch = pa.record_batch({"a": [a] * 9, "b": [b] * 9})
    made = Pipeline({"a": "float64", "b": "float64"}).select(r=parse(f"a {symbol} b")).run(batch).batch["r"]
    assert made.buffers()[1].to_pybytes()[:72] == struct.pack("9Q", *[0x7FF8000000000000] * 9)
