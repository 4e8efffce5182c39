"""Literals: the types they have by themselves, whether a column's type holds them, and the values they become."""

from __future__ import annotations

import math
import re
from ctypes import c_float
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from millstream.errors import PlanError
from millstream.functions.function import Operand
from millstream.types import (
    BINARY,
    BOOL,
    DAY_MICROSECONDS,
    FLOAT64,
    INT64,
    MOST_DIGITS,
    NULL,
    STRING,
    TYPES,
    UINT64,
    Type,
    decimal_of,
)
from millstream.values import LITERALS, from_text

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks a second, by a timestamp's unit."""

_TIME = re.compile(r"(?a)(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(Z|z|[+-]\d\d:?\d\d)?)?")
_EPOCH = datetime(1970, 1, 1)


def operand_of(value: Any) -> Operand:
    """A literal as an operand, with its natural type. Raises PlanError for a value that no type holds."""
    if value is None:
        return Operand(NULL, True, None)
    if isinstance(value, bool):
        return Operand(BOOL, True, value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 64:
            return Operand(INT64 if value < 1 << 63 else UINT64, True, value)
        raise PlanError(f"the number {value} fits no integer column; write it as a float")
    if isinstance(value, float):
        return Operand(FLOAT64, True, value)
    if isinstance(value, str):
        return Operand(STRING, True, value)
    if isinstance(value, datetime):
        return Operand(TYPES["timestamp[us, UTC]" if value.tzinfo else "timestamp[us]"], True, value)
    if isinstance(value, date):
        return Operand(TYPES["date32"], True, value)
    if isinstance(value, time):
        return Operand(TYPES["time64[us]"], True, value)
    if isinstance(value, timedelta):
        return Operand(TYPES["duration[us]"], True, value)
    if isinstance(value, bytes):
        return Operand(BINARY, True, value)
    if isinstance(value, Decimal):
        digits, scale = digits_of(value)
        if max(digits, scale) > MOST_DIGITS:
            raise PlanError(f"the number {value} has more than {MOST_DIGITS} digits; write it as a float")
        return Operand(decimal_of(max(digits, scale), scale), True, value)
    raise PlanError(f"a {type(value).__name__} cannot be a literal; use {LITERALS}")


def digits_of(value: Any) -> tuple[int, int]:
    """How many digits a finite number has, a float as it is written, and how many of them are a fraction; zeros at its end are none."""
    _, digits, exponent = (Decimal(repr(value)) if isinstance(value, float) else Decimal(value)).as_tuple()
    assert isinstance(exponent, int)
    count = len(bytes(digits).rstrip(b"\0"))
    exponent += len(digits) - count
    return (count + max(exponent, 0), max(-exponent, 0)) if count else (1, 0)


def as_decimal(literal: Operand, scale: int) -> Operand | None:
    """A number as a decimal of this scale, a float by the digits it is written in; None where that has not so many digits."""
    value = literal.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    digits, own = digits_of(exact)
    if own > scale or digits - own + scale > MOST_DIGITS:
        return None
    return Operand(decimal_of(MOST_DIGITS, scale), True, exact)


def counts(operand: Operand) -> bool:
    """Is it a number, a decimal too?"""
    return operand.type.is_numeric or operand.type.family == "decimal"


def fits(literal: Operand, kind: Type) -> bool:
    """Can a literal be a value of this type as it is?"""
    value = literal.value
    if kind.family == "int":
        return literal.type.family == "int" and kind.range[0] <= value <= kind.range[1]
    if kind.family == "float":
        if not literal.type.is_numeric or kind.bits == 64:
            return literal.type.is_numeric
        return single(value) == value if literal.type.family == "int" else math.isinf(single(value)) == math.isinf(value)
    if kind.is_temporal and literal.type.family == "string":
        return time_type(value, kind) == kind
    if kind.family in ("time", "duration") and literal.type.family == "string":
        return read_literal(value, kind) is not None
    if kind.family == "decimal":
        settled = as_decimal(literal, kind.scale) if counts(literal) else None
        return settled is not None and settled.value.copy_abs() < 10 ** (kind.precision - kind.scale)
    if kind.family == "timestamp" and literal.type.family == "timestamp":
        exact = value.microsecond * TICKS[kind.unit] % 10**6 == 0
        return exact and (not literal.type.zone or bool(kind.zone))
    if kind.family == "timestamp" and literal.type.family == "date":
        return True
    return literal.type.family == kind.family


def read_literal(text: str, kind: Type) -> Any:
    """The value that text stands for beside a column of times of day or durations. Raises PlanError."""
    try:
        return from_text(kind, text)
    except ValueError as error:
        raise PlanError(f"beside a {kind} column {error}") from None


def _parsed(text: str) -> tuple[int, str, bool, bool] | None:
    """A time in text: (nanoseconds since 1970, digits of its fraction, has it an offset, is it only a date)."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        whole = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)) - _EPOCH
    except ValueError:
        return None
    if offset and offset not in "Zz":
        shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
        whole -= shift if offset[0] == "+" else -shift
    nanos = (whole.days * 86400 + whole.seconds) * 10**9 + int((fraction or "").ljust(9, "0"))
    return nanos, (fraction or "").rstrip("0"), bool(offset), hour is None


def time_type(text: str, neighbour: Type) -> Type:
    """The type of a time written as text beside a date or timestamp column: the neighbour's if that holds it exactly."""
    parsed = _parsed(text)
    if parsed is None:
        raise PlanError(f"{text!r} is no time beside a {neighbour} column; write '2024-01-31' or '2024-01-31T12:00:00'")
    _, fraction, zoned, only_date = parsed
    if neighbour.family == "date" and only_date:
        return neighbour
    if zoned and neighbour.family == "timestamp" and not neighbour.zone:
        raise PlanError(f"{text!r} has an offset and {neighbour} no zone; leave the offset out, or use a timestamp with UTC")
    unit = next(unit for unit, digits in (("s", 0), ("ms", 3), ("us", 6), ("ns", 9)) if digits >= len(fraction))
    if neighbour.family == "timestamp" and TICKS[neighbour.unit] > TICKS[unit]:
        unit = neighbour.unit
    return TYPES[f"timestamp[{unit}, UTC]" if neighbour.zone or zoned else f"timestamp[{unit}]"]


def literal_value(value: Any, kind: Type) -> Any:
    """A literal as the Python value that a column of `kind` holds: an int of ticks or days for times. Raises PlanError."""
    if value is None or kind is NULL:
        return None
    if kind.is_temporal:
        return _time_value(value, kind)
    if kind.family == "time":
        value = read_literal(value, kind) if isinstance(value, str) else value
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 10**6 + value.microsecond
    if kind.family == "duration":
        return _duration_value(read_literal(value, kind) if isinstance(value, str) else value)
    if kind.family == "decimal":
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if kind.family == "float":
        return float(value) if kind.bits == 64 else single(value)
    return value


def single(value: float) -> float:
    """The nearest float32; infinite beyond its range."""
    return c_float(value).value


def _duration_value(value: timedelta) -> int:
    micros = value.days * DAY_MICROSECONDS + value.seconds * 10**6 + value.microseconds
    if not -(1 << 63) <= micros < 1 << 63:
        raise PlanError(f"{value!s} is longer than a duration[us] holds")
    return micros


def _time_value(value: Any, kind: Type) -> int:
    if isinstance(value, str):
        parsed = _parsed(value)
        assert parsed is not None
        nanos = parsed[0]
    elif isinstance(value, datetime):
        whole = value.replace(tzinfo=None) - _EPOCH - (value.utcoffset() or timedelta())
        nanos = ((whole.days * 86400 + whole.seconds) * 10**6 + whole.microseconds) * 1000
    else:
        nanos = (value - _EPOCH.date()).days * 86400 * 10**9
    result = nanos // (86400 * 10**9) if kind.family == "date" else nanos * TICKS[kind.unit] // 10**9
    if not kind.range[0] <= result <= kind.range[1]:
        raise PlanError(f"{value!s} lies outside what a {kind} holds")
    return result
