"""One table of cases: an expression, the columns it reads, a slow oracle for one row in plain Python, and Arrow's equivalent.

The tests run each over generated data; benchmarks may time each beside Arrow.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pyarrow.compute as pc

from millstream.schema import Code

LOW, HIGH = -(1 << 63), (1 << 63) - 1


class Case(NamedTuple):
    """`oracle` takes one row's values (None for null) and gives the result, None, or the Code it is rejected with.

    arrow: the same of whole columns, which may be the only oracle. near: how much two floats may differ, relative to their size.
    """

    text: str
    columns: Mapping[str, str]
    oracle: Callable[..., Any] | None
    arrow: Callable[..., Any] | None = None
    near: float = 0.0


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Null where an argument is null."""
    return lambda *row: None if None in row else function(*row)


def whole(function: Callable[..., int], low: int = LOW, high: int = HIGH) -> Callable[..., Any]:
    """Null where an argument is null; OUT_OF_RANGE where the exact result does not fit."""

    def check(*row: int) -> Any:
        value = function(*row)
        return value if value is None or low <= value <= high else Code.OUT_OF_RANGE

    return strict(check)


def polars(function: Callable[..., Any]) -> Callable[..., Any]:
    """Polars over whole columns."""

    def call(*columns: Any) -> Any:
        import pytest

        pl = pytest.importorskip("polars", reason="NOT TESTED: Polars is not installed; pip install -e '.[dev]'")
        made = function(*(pl.from_arrow(one) for one in columns))
        return made.to_arrow()

    return call


def by_polars(text: str, columns: dict[str, str], function: Callable[..., Any]) -> Case:
    return Case(text, columns, None, polars(function))


def divided(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def rank(value: float) -> tuple[bool, float]:
    """NaN after all else, and equal to itself."""
    return (True, 0.0) if math.isnan(value) else (False, value)


def kleene_and(p: bool | None, q: bool | None) -> bool | None:
    return False if p is False or q is False else None if p is None or q is None else True


def kleene_or(p: bool | None, q: bool | None) -> bool | None:
    return True if p is True or q is True else None if p is None or q is None else False


def to_int(text: str, low: int = LOW, high: int = HIGH) -> Any:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or not all(one in "0123456789" for one in digits):
        return Code.BAD_NUMBER
    return int(text) if low <= int(text) <= high else Code.OUT_OF_RANGE


def cut(value: float) -> Any:
    return int(value) if math.isfinite(value) and LOW <= int(value) <= HIGH else Code.OUT_OF_RANGE


def forgiven(value: Any) -> Any:
    return None if isinstance(value, Code) else value


def to_float(text: str, code: str = "d") -> Any:
    """A JSON number as the nearest float64, or float32 by way of an exact comparison."""
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", text):
        return Code.BAD_NUMBER
    value = float(text) if code == "d" else nearest_single(text)
    return value if math.isfinite(value) else Code.OUT_OF_RANGE


def nearest_single(text: str) -> float:
    if abs(Fraction(text)) >= (1 << 128) - (1 << 103):
        return math.inf
    near = struct.unpack("f", struct.pack("f", max(min(float(text), 3.4028234e38), -3.4028234e38)))[0]
    bits = struct.unpack("I", struct.pack("f", near))[0]
    around = [struct.unpack("f", struct.pack("I", bits + step))[0] for step in (-1, 0, 1) if bits + step >= 0]
    wanted = Fraction(text)
    return min((abs(Fraction(one) - wanted), struct.pack("f", one)[0] & 1, one) for one in around if math.isfinite(one))[2]


_DAY, _CLOCK, _ZONE = (
    r"(\d{4})-(\d\d)-(\d\d)",
    r"(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?",
    r"(?:[Zz]|([-+])(\d\d)(?::?(\d\d))?)",
)


def to_time(text: str, layout: str, kind: Any) -> Any:
    """ISO 8601, extended or basic, read slowly by its shape."""
    day, clock = (_DAY, _CLOCK) if "-" in text[:5] else (_DAY.replace("-", ""), _CLOCK.replace("?::", "?:"))
    between = "[Tt ]" if day is _DAY else "[Tt]"
    shape = day if kind is date else day + between + clock + (_ZONE if layout.endswith("z") else "")
    found = re.fullmatch(shape, text, re.ASCII)
    if not found:
        return Code.BAD_TIME
    year, month, day_of_month, *rest = found.groups()
    try:
        made = date(int(year), int(month), int(day_of_month))
        if kind is date:
            return made
        hour, minute, second, fraction, *offset = rest
        zoned = bool(offset)
        places = 3 if zoned else 6
        micros = int((fraction or "0")[:places].ljust(6, "0"))
        moment = datetime.combine(made, time(int(hour), int(minute or 0), int(second or 0), micros, UTC if zoned else None))
        if zoned and offset[0]:
            east = time(int(offset[1]), int(offset[2] or 0))
            shift = timedelta(hours=east.hour, minutes=east.minute)
            moment -= shift if offset[0] == "+" else -shift
    except ValueError:
        return Code.BAD_TIME
    return moment


def shortest(value: float, code: str) -> str:
    """The fewest digits that read back as the same float, by trying; 0.00001 to 1e16 without an exponent, as Python's repr."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    digits = next(f"{value:.{n}e}" for n in range(17) if same_float(float(f"{value:.{n}e}"), value, code))
    text = format(Decimal(digits), "f") if 1e-5 <= abs(float(digits)) < 1e-4 else repr(float(digits))
    return re.sub(r"e([-+]?)0*", lambda match: "e" + match[1].replace("+", ""), text)


def same_float(left: float, right: float, code: str) -> bool:
    try:
        return struct.pack(code, left) == struct.pack(code, right)
    except OverflowError:
        return False


ZONED = "%Y-%m-%dT%H:%M:%S%z"


def month_start(value: date, months: int) -> date:
    count = ((value.year - 1970) * 12 + value.month - 1) // months * months
    return date(1970 + count // 12, count % 12 + 1, 1)


def floor_time(value: datetime, step: timedelta, origin: datetime) -> datetime:
    return origin + (value - origin) // step * step


def branches(a: int | None, b: int | None) -> Any:
    if b:
        return whole(lambda x, y: x // y)(a, b)
    return 5 if a is not None and a > 5 else None


I2, U2, F2 = {"a": "int64", "b": "int64"}, {"a": "uint64", "b": "uint64"}, {"a": "float64", "b": "float64"}
S2, B2, T2 = {"a": "string", "b": "string"}, {"a": "bool", "b": "bool"}, {"a": "timestamp[us]", "b": "timestamp[us]"}
I1, F1, S1, T1, D1 = {"a": "int64"}, {"a": "float64"}, {"a": "string"}, {"a": "timestamp[us]"}, {"a": "date32"}
N1 = {"a": "numbers"}
SMALL, UBIG = {"a": "int8", "b": "uint32"}, (0, (1 << 64) - 1)
SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
EPOCH, MONDAY = datetime(1970, 1, 1), datetime(1970, 1, 5)

ARITHMETIC = [
    Case("a + b", I2, whole(lambda a, b: a + b)),
    Case("a - b", I2, whole(lambda a, b: a - b)),
    Case("a * b", I2, whole(lambda a, b: a * b)),
    Case("a // b", I2, whole(lambda a, b: a // b if b else None)),
    Case("a % b", I2, whole(lambda a, b: a % b if b else None)),
    Case("-a", I1, whole(lambda a: -a)),
    Case("a + 1", I1, whole(lambda a: a + 1)),
    Case("a * b", SMALL, whole(lambda a, b: a * b)),
    Case("a + b", U2, whole(lambda a, b: a + b, *UBIG)),
    Case("a - b", U2, whole(lambda a, b: a - b, *UBIG)),
    Case("a * b", U2, whole(lambda a, b: a * b, *UBIG)),
    Case("a // b", U2, whole(lambda a, b: a // b if b else None, *UBIG)),
    Case("a % 7", {"a": "uint64"}, strict(lambda a: a % 7)),
    Case("a + b", F2, strict(lambda a, b: a + b), pc.add),
    Case("a - b", F2, strict(lambda a, b: a - b), pc.subtract),
    Case("a * b", F2, strict(lambda a, b: a * b), pc.multiply),
    Case("a / b", F2, strict(divided), pc.divide),
    Case("a / b", I2, strict(lambda a, b: divided(float(a), float(b)))),
    Case("-a", F1, strict(lambda a: -a), pc.negate),
    Case("a + b", {"a": "int64", "b": "float64"}, strict(lambda a, b: float(a) + b)),
    Case("a + b", {"a": "int64", "b": "uint64"}, strict(lambda a, b: float(a) + float(b))),
]

COMPARE = [
    Case("a == b", I2, strict(lambda a, b: a == b), pc.equal),
    Case("a < b", I2, strict(lambda a, b: a < b), pc.less),
    Case("a >= b", U2, strict(lambda a, b: a >= b), pc.greater_equal),
    Case("a > b", U2, strict(lambda a, b: a > b), pc.greater),
    Case("a < b", {"a": "int64", "b": "uint64"}, strict(lambda a, b: a < b)),
    Case("a >= b", {"a": "uint64", "b": "int8"}, strict(lambda a, b: a >= b)),
    Case("a == 9223372036854775808", I1, strict(lambda a: False)),
    Case("a > -1", {"a": "uint64"}, strict(lambda a: True)),
    Case("a == b", F2, strict(lambda a, b: rank(a) == rank(b))),
    Case("a != b", F2, strict(lambda a, b: rank(a) != rank(b))),
    Case("a < b", F2, strict(lambda a, b: rank(a) < rank(b))),
    Case("a <= b", F2, strict(lambda a, b: rank(a) <= rank(b))),
    Case("a > b", F2, strict(lambda a, b: rank(a) > rank(b))),
    Case("a >= 0", F1, strict(lambda a: rank(a) >= (False, 0.0))),
    Case("a == b", S2, strict(lambda a, b: a == b), pc.equal),
    Case("a < b", S2, strict(lambda a, b: a.encode() < b.encode()), pc.less),
    Case("a >= b", S2, strict(lambda a, b: a.encode() >= b.encode()), pc.greater_equal),
    Case('a != "ab"', S1, strict(lambda a: a != "ab")),
    Case("a == b", B2, strict(lambda a, b: a == b), pc.equal),
    Case("a < b", B2, strict(lambda a, b: a < b)),
    Case("a < b", T2, strict(lambda a, b: a < b), pc.less),
    Case("a < b", {"a": "timestamp[us]", "b": "timestamp[s]"}, strict(lambda a, b: a < b)),
    Case("a <= b", {"a": "date32", "b": "timestamp[ms]"}, strict(lambda a, b: datetime(a.year, a.month, a.day) <= b)),
    Case('a >= "2001-09-09T01:46:40"', T1, strict(lambda a: a >= datetime(2001, 9, 9, 1, 46, 40))),
    Case('a == "2000-02-29"', D1, strict(lambda a: a == date(2000, 2, 29))),
    Case("0 < a <= 9", I1, strict(lambda a: 0 < a <= 9)),
    Case('a.is_between(-1, 1, closed="left")', F1, strict(lambda a: rank(-1.0) <= rank(a) < rank(1.0))),
    Case("a in (0, 1, -1)", I1, strict(lambda a: a in (0, 1, -1))),
    Case("a in (0, 1.5, 2, 9223372036854775808)", I1, strict(lambda a: a in (0, 2))),
    Case("a in (-1, 18446744073709551615, 2.0)", {"a": "uint64"}, strict(lambda a: a in (2, UBIG[1]))),
    Case("a not in (0, 1.5)", F1, strict(lambda a: a not in (0, 1.5))),
    Case('a in ("", "ab", "é")', S1, strict(lambda a: a in ("", "ab", "é"))),
    Case("a in (True,)", {"a": "bool"}, strict(lambda a: a is True)),
    Case('a in ("2000-02-29",)', D1, strict(lambda a: a == date(2000, 2, 29))),
    Case("a in ()", I1, strict(lambda a: False)),
]

LOGIC = [
    Case("a and b", B2, kleene_and, pc.and_kleene),
    Case("a or b", B2, kleene_or, pc.or_kleene),
    Case("not a", {"a": "bool"}, strict(lambda a: not a), pc.invert),
    Case("a.is_null()", S1, lambda a: a is None, pc.is_null),
    Case("a is not None", F1, lambda a: a is not None, pc.is_valid),
    Case("a.fill_null(b)", I2, lambda a, b: b if a is None else a, pc.coalesce),
    Case("a.fill_null(b)", S2, lambda a, b: b if a is None else a, pc.coalesce),
    Case("a.fill_null(0)", F1, lambda a: 0.0 if a is None else a),
    Case("a.fill_null(True)", {"a": "bool"}, lambda a: True if a is None else a),
    Case("when(a).then(b)", B2, lambda a, b: b if a else None),
    Case("when(a > 0).then(a * a).otherwise(0)", I1, lambda a: 0 if a is None or a <= 0 else whole(lambda x: x * x)(a)),
    Case('when(a == b).then(a).otherwise("é")', S2, lambda a, b: a if None not in (a, b) and a == b else "é"),
    Case("when(b != 0).then(a // b).when(a > 5).then(5)", I2, branches),
]

CASTS = [
    Case('a.cast("int8")', I1, whole(lambda a: a, -128, 127)),
    Case('a.cast("uint64")', I1, whole(lambda a: a, *UBIG)),
    Case('a.cast("int64")', {"a": "uint64"}, whole(lambda a: a)),
    Case('a.cast("uint16", strict=False)', I1, strict(lambda a: a if 0 <= a <= 65535 else None)),
    Case('a.cast("int64")', F1, strict(cut)),
    Case('a.cast("bool")', F1, strict(lambda a: a != 0)),
    Case('a.cast("int64")', {"a": "bool"}, strict(int)),
    Case('a.cast("float64")', {"a": "uint64"}, strict(float)),
    Case('a.cast("int64")', S1, strict(to_int)),
    Case('a.cast("int16", strict=False)', S1, strict(lambda a: None if isinstance(to_int(a, -32768, 32767), Code) else int(a))),
    Case('a.cast("uint64")', S1, strict(lambda a: to_int(a, *UBIG))),
    Case('a.cast("bool")', S1, strict(lambda a: {"true": True, "false": False}.get(a, Code.BAD_VALUE))),
    Case('a.cast("float64")', N1, strict(lambda a: to_float(a))),
    Case('a.cast("float64", strict=False)', N1, strict(lambda a: forgiven(to_float(a)))),
    Case('a.cast("float32")', N1, strict(lambda a: to_float(a, "f"))),
    Case('a.cast("date32")', {"a": "times"}, strict(lambda a: to_time(a, "%Y-%m-%d", date))),
    Case('a.cast("timestamp[us]")', {"a": "times"}, strict(lambda a: to_time(a, "%Y-%m-%dT%H:%M:%S", datetime))),
    Case(
        'a.cast("timestamp[ms, UTC]", strict=False)',
        {"a": "times"},
        strict(lambda a: forgiven(to_time(a, ZONED, datetime))),
    ),
    Case('a.cast("string")', I1, strict(str)),
    Case('a.cast("string")', {"a": "uint64"}, strict(str)),
    Case('a.cast("string")', {"a": "int8"}, strict(str)),
    Case('a.cast("string")', {"a": "bool"}, strict(lambda a: "true" if a else "false")),
    Case('a.cast("string").cast("float64")', {"a": "finite"}, strict(lambda a: a)),
    Case('a.cast("float32")', {"a": "int64"}, strict(lambda a: nearest_single(str(a)))),
    Case('a.cast("float32")', {"a": "uint64"}, strict(lambda a: nearest_single(str(a)))),
    Case('a.cast("string")', {"a": "float32"}, strict(lambda a: shortest(a, "f"))),
    Case('a.cast("string")', F1, strict(lambda a: shortest(a, "d"))),
    Case('a.cast("string")', D1, strict(date.isoformat)),
    Case('a.cast("string")', T1, strict(lambda a: a.isoformat())),
    Case('a.cast("string")', {"a": "timestamp[s]"}, strict(lambda a: a.isoformat())),
    Case('a.cast("string").cast("timestamp[us]")', T1, strict(lambda a: a)),
    Case('a.cast("string").cast("date32")', D1, strict(lambda a: a)),
    Case('a.cast("date32")', T1, strict(lambda a: a.date())),
    Case('a.cast("timestamp[ms]")', T1, strict(lambda a: floor_time(a, timedelta(milliseconds=1), EPOCH))),
    Case('a.cast("timestamp[us]")', D1, strict(lambda a: datetime(a.year, a.month, a.day))),
]

TEXT = [
    Case("a.str.strip_chars()", S1, strict(lambda a: a.strip(SPACES))),
    Case('a.str.strip_chars("aé ")', S1, strict(lambda a: a.strip("aé "))),
    Case('a.str.starts_with("a")', S1, strict(lambda a: a.startswith("a")), lambda a: pc.starts_with(a, "a")),
    Case('a.str.ends_with("é")', S1, strict(lambda a: a.endswith("é")), lambda a: pc.ends_with(a, "é")),
    Case('a.str.contains("ab", literal=True)', S1, strict(lambda a: "ab" in a), lambda a: pc.match_substring(a, "ab")),
    Case('a.str.contains("", literal=True)', S1, strict(lambda a: True)),
    Case("a.str.to_lowercase()", {"a": "ascii"}, strict(str.lower), pc.utf8_lower),
    Case("a.str.to_uppercase()", {"a": "ascii"}, strict(str.upper), pc.utf8_upper),
]

TIME = [
    Case("a.dt.year()", T1, strict(lambda a: a.year), pc.year),
    Case("a.dt.month()", T1, strict(lambda a: a.month), pc.month),
    Case("a.dt.day()", D1, strict(lambda a: a.day), pc.day),
    Case('a.dt.truncate("7h")', T1, strict(lambda a: floor_time(a, timedelta(hours=7), EPOCH))),
    Case('a.dt.truncate("1d")', T1, strict(lambda a: floor_time(a, timedelta(days=1), EPOCH))),
    Case('a.dt.truncate("2w")', T1, strict(lambda a: floor_time(a, timedelta(days=14), MONDAY))),
    Case('a.dt.truncate("5mo")', D1, strict(lambda a: month_start(a, 5))),
    Case('a.dt.truncate("1q")', D1, strict(lambda a: month_start(a, 3))),
    Case('a.dt.truncate("1y")', T1, strict(lambda a: datetime(a.year, 1, 1))),
]

M1, M2 = {"a": "decimal128(20, 2)"}, {"a": "decimal128(20, 2)", "b": "decimal128(38, 2)"}
C1, C2 = {"a": "time64[us]"}, {"a": "time64[us]", "b": "time64[us]"}
L1, L2 = {"a": "duration[us]"}, {"a": "duration[us]", "b": "duration[us]"}
Y1, Y2 = {"a": "binary"}, {"a": "binary", "b": "binary"}
EXACT = Context(prec=200)


def rescaled(value: Decimal, precision: int, scale: int) -> Any:
    """To the nearest with `scale` digits behind the point, half to even."""
    made = value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN, EXACT)
    return made if len(made.as_tuple().digits) <= precision or made == 0 else Code.OUT_OF_RANGE


def iso_duration(value: timedelta) -> str:
    """ISO 8601 by counting down its parts."""
    micros = value // timedelta(microseconds=1)
    sign, micros, text = "-" if micros < 0 else "", abs(micros), "P"
    for letter, size in (("D", 86400), ("TH", 3600), ("TM", 60), ("TS", 1)):
        count, micros = divmod(micros, size * 10**6)
        said = str(count) if letter != "TS" or not micros else f"{count}.{micros:06}".rstrip("0")
        if said != "0":
            text += ("T" if letter[0] == "T" and "T" not in text else "") + said + letter[-1]
    return sign + (text if text != "P" else "PT0S")


def to_decimal(text: str, precision: int, scale: int) -> Any:
    """A JSON number as a decimal, rounded half to even."""
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", text):
        return Code.BAD_NUMBER
    digits = Fraction(text) * 10**scale
    made = round(digits)  # half to even
    return Decimal(made).scaleb(-scale, EXACT) if abs(made) < 10**precision else Code.OUT_OF_RANGE


def to_utf8(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Code.BAD_UTF8


def to_clock(text: str) -> Any:
    found = re.fullmatch(r"(\d\d)(:?)(\d\d)(?:\2(\d\d)(?:[.,](\d+))?)?", text, re.ASCII)
    if not found:
        return Code.BAD_TIME
    hour, _, minute, second, fraction = found.groups()
    try:
        return time(int(hour), int(minute), int(second or 0), int((fraction or "0")[:6].ljust(6, "0")))
    except ValueError:
        return Code.BAD_TIME


MICROSECOND = timedelta(microseconds=1)
OTHERS = [
    Case("a == b", M2, strict(lambda a, b: a == b), pc.equal),
    Case("a < b", M2, strict(lambda a, b: a < b), pc.less),
    Case("a <= b", M2, strict(lambda a, b: a <= b), pc.less_equal),
    Case("a > 10.5", M1, strict(lambda a: a > Decimal("10.5"))),
    Case('decimal("-0.01") != a', M1, strict(lambda a: a != Decimal("-0.01"))),
    Case("a >= 1e21", M1, strict(lambda a: False)),
    Case(
        'a in (0, decimal("0.01"), 0.5, 0.001, 1e24)',
        M1,
        strict(lambda a: a in (0, Decimal("0.01"), Decimal("0.5"))),
    ),
    Case(
        "a.fill_null(b)", {"a": "decimal128(20, 2)", "b": "decimal128(20, 2)"}, lambda a, b: b if a is None else a, pc.coalesce
    ),
    Case("when(a > 0).then(a).otherwise(0.25)", M1, lambda a: a if a is not None and a > 0 else Decimal("0.25")),
    Case('a.cast("string")', M1, strict(lambda a: f"{a:f}")),
    Case('a.cast("float64")', M1, strict(float)),
    Case('a.cast("float32")', {"a": "decimal128(38, 30)"}, strict(lambda a: nearest_single(f"{a:f}"))),
    Case('a.cast("int64")', M1, strict(lambda a: int(a) if LOW <= int(a) <= HIGH else Code.OUT_OF_RANGE)),
    Case('a.cast("uint64", strict=False)', M1, strict(lambda a: int(a) if 0 <= int(a) <= UBIG[1] else None)),
    Case('a.cast("int8")', M1, strict(lambda a: int(a) if -128 <= int(a) <= 127 else Code.OUT_OF_RANGE)),
    Case('a.cast("decimal128(20, 0)")', M1, strict(lambda a: rescaled(a, 20, 0))),
    Case('a.cast("decimal128(38, 21)")', M1, strict(lambda a: rescaled(a, 38, 21))),
    Case('a.cast("decimal128(4, 1)", strict=False)', M1, strict(lambda a: forgiven(rescaled(a, 4, 1)))),
    Case('a.cast("decimal128(38, 10)")', {"a": "decimal128(38, 38)"}, strict(lambda a: rescaled(a, 38, 10))),
    Case('a.cast("decimal128(20, 3)")', I1, strict(lambda a: rescaled(Decimal(a), 20, 3))),
    Case('a.cast("decimal128(38, 19)")', {"a": "uint64"}, strict(lambda a: rescaled(Decimal(a), 38, 19))),
    Case('a.cast("decimal128(20, 3)")', N1, strict(lambda a: to_decimal(a, 20, 3))),
    Case('a.cast("decimal128(38, 30)", strict=False)', N1, strict(lambda a: forgiven(to_decimal(a, 38, 30)))),
    Case('a.cast("string").cast("decimal128(20, 2)")', M1, strict(lambda a: a)),
    Case(
        'a.cast("decimal128(10, 1)")',
        F1,
        strict(lambda a: to_decimal(repr(a), 10, 1) if math.isfinite(a) else Code.OUT_OF_RANGE),
    ),
    Case(
        'a.cast("decimal128(38, 20)", strict=False)',
        {"a": "float32"},
        strict(lambda a: forgiven(to_decimal(shortest(a, "f"), 38, 20)) if math.isfinite(a) else None),
    ),
    Case('a.cast("time64[us]")', {"a": "clocks"}, strict(to_clock)),
    Case('a.cast("string").cast("time64[us]")', C1, strict(lambda a: a)),
    Case('a.cast("string").cast("duration[us]")', L1, strict(lambda a: a)),
    Case('a.cast("duration[us]", strict=False)', {"a": "clocks"}, strict(lambda a: None)),
    Case('a.cast("binary").cast("string")', S1, strict(lambda a: a)),
    Case('a.cast("string")', Y1, strict(lambda a: to_utf8(a))),
    Case('a.cast("string", strict=False)', Y1, strict(lambda a: forgiven(to_utf8(a)))),
    Case("a < b", C2, strict(lambda a, b: a < b), pc.less),
    Case('a >= "12:30"', C1, strict(lambda a: a >= time(12, 30))),
    Case('a in (time("00:00"), "23:59:59.999999")', C1, strict(lambda a: a in (time(0), time(23, 59, 59, 999999)))),
    Case('a.fill_null("01:02:03")', C1, lambda a: time(1, 2, 3) if a is None else a),
    Case("when(a > b).then(a)", C2, lambda a, b: a if None not in (a, b) and a > b else None),
    Case('a.cast("string")', C1, strict(time.isoformat)),
    Case('a.cast("int64").cast("time64[us]")', C1, strict(lambda a: a)),
    Case(
        'a.cast("time64[us]")',
        I1,
        strict(lambda a: (EPOCH + a * MICROSECOND).time() if 0 <= a < 86400 * 10**6 else Code.OUT_OF_RANGE),
    ),
    Case("a > b", L2, strict(lambda a, b: a > b), pc.greater),
    Case('a <= "-PT1.5S"', L1, strict(lambda a: a <= timedelta(seconds=-1.5))),
    Case('a not in (duration("P1D"), "PT0S")', L1, strict(lambda a: a not in (timedelta(1), timedelta()))),
    Case("a.fill_null(b)", L2, lambda a, b: b if a is None else a, pc.coalesce),
    Case('a.cast("string")', L1, strict(iso_duration)),
    Case('a.cast("int64")', L1, strict(lambda a: a // MICROSECOND)),
    Case('a.cast("int64").cast("duration[us]")', L1, strict(lambda a: a)),
    Case("a == b", Y2, strict(lambda a, b: a == b), pc.equal),
    Case("a < b", Y2, strict(lambda a, b: a < b), pc.less),
    Case('a in (binary(""), binary("AP8="))', Y1, strict(lambda a: a in (b"", b"\0\xff"))),
    Case('a.fill_null(binary("AP8="))', Y1, lambda a: b"\0\xff" if a is None else a),
    Case("when(a == b).then(a).otherwise(b)", Y2, lambda a, b: a if None not in (a, b) and a == b else b),
    Case('a.cast("binary")', S1, strict(str.encode)),
]

CASES = [*ARITHMETIC, *COMPARE, *LOGIC, *CASTS, *TEXT, *TIME, *OTHERS]
