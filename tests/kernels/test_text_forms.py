"""Base64 and hexadecimal digits, times of day, durations and decimals out of text, beside the standard library."""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections.abc import Sequence
from datetime import time
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.decode.json import decode_json
from millstream.native.bind import kernels
from millstream.native.memory import PADDING
from millstream.schema import Column
from tests.guard import guarded, guarded_bytes, guarded_numbers

BAD_TIME, OUT_OF_RANGE = 12, 11
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def laid_out(texts: Sequence[bytes], room: int = 0) -> tuple[object, object, int]:
    """Texts one after another with nothing between, and `room` for what they encode: bytes, views, where the room begins."""
    views, data = [], b""
    for text in texts:
        views.append(len(data) | len(text) << 32)
        data += text
    return guarded_bytes(data + bytes(PADDING + room)), guarded_numbers("q", views), len(data) + PADDING


def decoded(texts: Sequence[bytes], hexadecimal: bool = False) -> list[bytes | None]:
    data, views, heap = laid_out(texts, sum(map(len, texts)))
    out = guarded(len(texts), 8)
    kernels.parse_binary(data, views, int(hexadecimal), heap, out)
    whole = data.tobytes()
    return [whole[view & 0xFFFFFFFF :][: view >> 32] if view >= 0 else None for view in out.tolist()]


def plain_base64(text: bytes) -> bytes | None:
    """By the standard library, strictly: either alphabet, whole padding or none, no bits lost."""
    if not re.fullmatch(rb"[A-Za-z0-9+/_-]*={0,2}", text):
        return None
    bare = text.rstrip(b"=")
    if bare != text and (len(text) % 4 or len(text) - len(bare) != -len(bare) % 4):
        return None
    standard = bare.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        whole = base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        return None
    return whole if base64.b64encode(whole).rstrip(b"=") == standard else None


def test_base64_of_every_length_comes_back() -> None:
    draw = random.Random(1)
    wanted = [draw.randbytes(size) for size in range(70) for _ in range(4)]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        texts = [encode(one) for one in wanted]
        assert decoded(texts) == wanted
        assert decoded([text.rstrip(b"=") for text in texts]) == wanted


@given(st.lists(st.text("AQgwZz09+/-_=. \n", max_size=9).map(str.encode), max_size=30))
def test_base64_as_the_standard_library_has_it(texts: list[bytes]) -> None:
    assert decoded(texts) == [plain_base64(text) for text in texts]


def test_base64_of_every_byte_in_every_place() -> None:
    texts = [b"QUJD"[:place] + bytes([byte]) + b"QUJD"[place + 1 :] for byte in range(256) for place in range(4)]
    texts += [text[:size] for text in texts for size in (2, 3)]
    assert decoded(texts) == [plain_base64(text) for text in texts]


@given(st.lists(st.binary(max_size=40) | st.text("09aAfFgG x", max_size=7).map(str.encode), max_size=30))
def test_hexadecimal_digits(given: list[bytes]) -> None:
    texts = [one.hex().encode() if len(one) % 3 else one for one in given]
    wanted = [bytes.fromhex(text.decode()) if re.fullmatch(rb"([0-9a-fA-F]{2})*", text) else None for text in texts]
    assert decoded(texts, hexadecimal=True) == wanted
    assert decoded([text.upper() for text in texts if re.fullmatch(rb"([0-9a-f]{2})*", text)], True) == [
        bytes.fromhex(text.decode()) for text in texts if re.fullmatch(rb"([0-9a-f]{2})*", text)
    ]


def read(kernel: str, texts: Sequence[str], unit: str) -> list[int | str]:
    """Ticks, or the code."""
    data, views, _ = laid_out([text.encode() for text in texts])
    out, status = guarded(len(texts), 8), guarded(len(texts), 1)
    getattr(kernels, kernel)(data, views, guarded_bytes(b"\1" * len(texts)), TICKS[unit], out, status)
    names = {BAD_TIME: "BAD_TIME", OUT_OF_RANGE: "OUT_OF_RANGE"}
    return [names.get(code, value) for value, code in zip(out.tolist(), status.tolist("B"), strict=True)]


def time_of_day(text: str, unit: str) -> int | str:
    """By a regular expression and whole numbers."""
    found = re.fullmatch(r"(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?|(\d\d)(?:(\d\d)(?:[.,](\d+))?)?)", text, re.ASCII)
    if not found:
        return "BAD_TIME"
    hour, minute, second, fraction = found[1], found[2] or found[5], found[3] or found[6] or "0", found[4] or found[7] or ""
    try:
        time(int(hour), int(minute), int(second))
    except ValueError:
        return "BAD_TIME"
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second) + Fraction(int(fraction or 0), 10 ** len(fraction))
    return int(seconds * TICKS[unit])


TIMES = ["00:00", "23:59:59.999999", "24:00", "23:60", "12:30:60", "0830", "083015.5", "08:3015", "0830:15", "08", "8:30", "08:30Z", "08:30:00,25", "08:30:00.", "08:30:", "", "0830155"]  # fmt: skip


@given(st.lists(st.times().map(str) | st.text("0123456789:.,Z ", max_size=12), max_size=30), st.sampled_from(list(TICKS)))
def test_times_of_day(texts: list[str], unit: str) -> None:
    texts = TIMES + texts
    assert read("parse_time", texts, unit) == [time_of_day(text, unit) for text in texts]


_DURATION = re.compile(
    r"([-+]?)P(?:(?P<W>N)W|(?:(?P<D>N)D)?(?:T(?:(?P<H>N)H)?(?:(?P<M>N)M)?(?:(?P<S>N)S)?)?)".replace("N", r"\d+(?:[.,]\d+)?"),
    re.ASCII,
)
_SECONDS = {"W": 604800, "D": 86400, "H": 3600, "M": 60, "S": 1}


def duration(text: str, unit: str) -> int | str:
    """By a regular expression and exact fractions."""
    found = _DURATION.fullmatch(text)
    parts = [(name, part.replace(",", ".")) for name, part in found.groupdict().items() if part] if found else []
    if not found or not parts or text.endswith("T") or any("." in part for _, part in parts[:-1]):
        return "BAD_TIME"
    total = sum((Fraction(part) * _SECONDS[name] for name, part in parts), Fraction()) * TICKS[unit]
    ticks = int((-total if found[1] == "-" else total) // 1)
    return ticks if -(1 << 63) <= ticks < 1 << 63 else "OUT_OF_RANGE"


DURATIONS = [
    "P1D", "PT0.5S", "-PT0.0000001S", "P2W", "P1DT2H3M4.25S", "+PT1H", "P", "PT", "P1DT", "P1Y", "P1M", "P1W1D", "P1D1W", "PT1S1M", "P1H", "PT1D",
    "P1.5D", "P0,5DT1H", "PT1.5H2M", "PT.5S", "PT1.S", "P1", "1D", "p1d", "PT1s", "PT-1S", "--PT1S", "P106751991D", "P106751992D", "PT9223372036854.775807S",
    "PT9223372036854.775808S", "-PT9223372036854.775807S", "-PT9223372036854.775808S", "-PT9223372036854.7758080001S", "-P106751991DT4H54.775808S",
    "-P53375995DT14H27.387904S", "-PT9223372036854775808S", "P106751991167300DT15H30M8S", "-P106751991167300DT15H30M8S", "P15250284452471W", "P99999999999999999999999W", "PT0.333333333333333333333333H", "P0.1W", "PT00000000000000000000001S", "P1DT0S", "PT0S", "T1S",
]  # fmt: skip
_PARTS = st.lists(
    st.sampled_from(["P", "T", "-", "1", "25", "0.5", ",5", "W", "D", "H", "M", "S", "Y", "9" * 17]), max_size=9
).map("".join)
_GOOD = st.tuples(
    st.sampled_from(["P", "-P", "+P"]),
    st.integers(0, 10**9).map("{}D".format) | st.just(""),
    st.integers(0, 10**5).map("T{}H".format) | st.just("T"),
    st.integers(0, 10**5).map("{}M".format) | st.just(""),
    st.tuples(st.integers(0, 10**7), st.text("0123456789", min_size=1, max_size=20)).map(lambda pair: f"{pair[0]}.{pair[1]}S"),
).map("".join)


@given(st.lists(_PARTS | _GOOD, max_size=30), st.sampled_from(list(TICKS)))
def test_durations(texts: list[str], unit: str) -> None:
    texts = DURATIONS + texts
    assert read("parse_duration", texts, unit) == [duration(text, unit) for text in texts]


def decimals(texts: Sequence[str], precision: int, places: int, rounding: bool) -> list[Decimal | str]:
    """Through JSON, one number a record."""
    column = Column(f"decimal128({precision}, {places})", coerce=("round",) if rounding else ())
    batch, rejects = decode_json([b'{"a":' + text.encode() + b"}" for text in texts], {"a": column})
    codes = dict(zip(rejects["position"].to_pylist(), rejects["code"].to_pylist(), strict=True))
    rows = iter(batch["a"].to_pylist())
    return [codes[i] if i in codes else next(rows) for i in range(len(texts))]


def exact(text: str, precision: int, places: int, rounding: bool) -> tuple[Decimal | str, ...]:
    """By the standard library's decimals, with room for every digit; either code where both are right."""
    context = Context(prec=5000, Emax=10**6, Emin=-(10**6))
    value = context.create_decimal(text)
    step = Decimal(1).scaleb(-places, context)
    if value.adjusted() > 100 and value:
        return ("OUT_OF_RANGE",)
    steps = value.quantize(step, ROUND_HALF_EVEN, context) if value.adjusted() > -1000 else Decimal(0).scaleb(-places)
    codes = ("BAD_NUMBER",) if context.compare(steps, value) and not rounding else ()
    if abs(int(steps.scaleb(places, context))) >= 10**precision:
        codes += ("OUT_OF_RANGE",)
    return codes or (steps,)


DECIMALS = [
    "0", "-0", "0.5", "1.5", "2.5", "-2.5", "0.05", "0.15", "0.25", "99.995", "99.994999", "999999", "0.1e1", "1e2", "1e-2", "12e-1", "1e37", "1e38", "9" * 38, "1" + "0" * 38,
    "-" + "9" * 38, "0." + "0" * 60 + "1", "0e5000", "0.000e-5000", "1e999", "1e-999", "5e-1", "5.0000000000000001e-1", "4.9999999e-1", "12345678901234567890.123456789012345678",
    "0.00000000000000000000000000000000000005", "18446744073709551615", "18446744073709551616", "-18446744073709551616.5", "1.0000000000000000000000000000000000000000000",
]  # fmt: skip
_NUMBERS = st.tuples(
    st.sampled_from(["", "-"]),
    st.integers(0, 10**45),
    st.text("0123459", max_size=45),
    st.sampled_from(["", "e3", "E-3", "e-30", "e+20"]),
).map(lambda parts: f"{parts[0]}{parts[1]}{'.' + parts[2] if parts[2] else ''}{parts[3]}")


@pytest.mark.parametrize("rounding", [False, True])
@given(st.lists(_NUMBERS, max_size=20), st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))))
def test_decimals(rounding: bool, texts: list[str], size: tuple[int, int]) -> None:
    texts = DECIMALS + texts
    for text, got in zip(texts, decimals(texts, *size, rounding), strict=True):
        assert got in exact(text, *size, rounding), text


def test_a_decimal_of_a_million_digits() -> None:
    texts = ["1" * 1_000_000, "0." + "0" * 1_000_000 + "1", "1." + "0" * 1_000_000, "1e999999999999", "0e999999999999999"]
    wanted = ["OUT_OF_RANGE", "BAD_NUMBER", Decimal("1.00"), "OUT_OF_RANGE", Decimal("0.00")]
    assert decimals(texts, 9, 2, False) == wanted
