"""How types combine: what a literal becomes beside a column, what two columns have in common, what a function accepts.

Numbers: integers meet as int64; unsigned ones as uint64 if one of them is uint64 and the other is unsigned or a literal that
is not negative; int64 with a uint64 column, and anything with a float, as float64. Comparisons keep both integers as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_float
from datetime import date, datetime, timedelta
from typing import Any

from millstream.errors import PlanError
from millstream.functions.function import Operand, Signature
from millstream.schema import BOOL, FLOAT64, INT64, NULL, STRING, TYPES, UINT64, Type

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks a second, by a timestamp's unit."""

_TIME = re.compile(r"(?a)(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(Z|z|[+-]\d\d:?\d\d)?)?")
_EPOCH = datetime(1970, 1, 1)


def ticks_per_day(kind: Type) -> int:
    """How many of a date's or a timestamp's units make a day."""
    return 1 if kind.family == "date" else 86400 * TICKS[kind.unit]


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
    raise PlanError(f"a {type(value).__name__} cannot be a literal; use a number, a string, a bool, a date, a datetime or None")


def described(operand: Operand) -> str:
    """An operand's type as an error message names it."""
    if operand.type is NULL:
        return "None"
    article = "an" if operand.type.name[0] == "i" else "a"
    return f"{article} {operand.type} literal" if operand.literal else str(operand.type)


def numeric(*operands: Operand) -> Type:
    """The type in which numbers meet."""
    kinds = {one.type for one in operands if one.type is not NULL}
    if len(kinds) == 1:
        return wide(*kinds)
    if any(kind.family == "float" for kind in kinds):
        return FLOAT64
    if UINT64 not in kinds:
        return INT64
    numbers = (one for one in operands if one.type is not NULL)
    return UINT64 if all(not one.type.signed or (one.literal and one.value >= 0) for one in numbers) else FLOAT64


def wide(kind: Type) -> Type:
    """The 64-bit type of the same physical kind, for numbers; other types stay."""
    return {"int64": INT64, "uint64": UINT64, "float64": FLOAT64}[kind.physical] if kind.is_numeric else kind


def is_number(operand: Operand) -> bool:
    return operand.type.is_numeric or operand.type is NULL


def arithmetic(symbol: str, always_float: bool = False) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """The signature of a binary operator over numbers."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        left, right = operands
        if not (is_number(left) and is_number(right)):
            wrong = left if not is_number(left) else right
            advice = (
                "cast it to a number first: .cast('float64')"
                if wrong.type.family in ("string", "bool")
                else "cast it to int64 first"
            )
            raise PlanError(f"{symbol} needs two numbers, found {described(left)} and {described(right)}; {advice}")
        kind = FLOAT64 if always_float else numeric(left, right)
        return Signature((kind, kind), kind)

    return signature


def comparable(left: Operand, right: Operand) -> tuple[Type, Type]:
    """The types in which two values are compared; timestamps and dates keep their units. Raises PlanError where there are none."""
    if left.type.family == right.type.family == "int" and numeric(left, right) is FLOAT64:
        return wide(left.type), wide(right.type)
    if is_number(left) and is_number(right):
        kind = numeric(left, right)
        return kind, kind
    if left.type is NULL or right.type is NULL:
        kind = right.type if left.type is NULL else left.type
        return kind, kind
    left, right = _settled(left, right.type), _settled(right, left.type)
    if left.type.family == right.type.family and left.type.family in ("string", "bool", "date"):
        return left.type, right.type
    if left.type.is_temporal and right.type.is_temporal:
        if left.type.family == right.type.family and left.type.zone != right.type.zone:
            raise PlanError(f"{left.type} and {right.type} differ in their zone; cast one of them")
        return left.type, right.type
    raise PlanError(f"{described(left)} and {described(right)} cannot be compared; cast one of them")


def _settled(operand: Operand, neighbour: Type) -> Operand:
    """A literal time with the unit and the zone that it gets beside a date or timestamp column."""
    if not operand.literal or not neighbour.is_temporal:
        return operand
    kind = time_type(operand.value, neighbour) if operand.type.family == "string" else operand.type
    if kind.family == "timestamp" and neighbour.zone and not kind.zone:
        kind = TYPES[f"timestamp[{kind.unit}, UTC]"]
    return Operand(kind, True, operand.value)


def comparison(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    left, right = comparable(*operands)
    return Signature((left, right), BOOL)


def logical(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    for operand in operands:
        if operand.type.family not in ("bool", "null"):
            raise PlanError(
                f"& | ~ (and, or, not) need true or false, found {described(operand)}; compare it with something first"
            )
    return Signature((BOOL,) * len(operands), BOOL)


def common(operands: Sequence[Operand]) -> Type:
    """The one type for values that end up in the same column. Literals adapt; a NULL fits everywhere."""
    kinds = {one.type for one in operands if not one.literal}
    literals = [one for one in operands if one.literal and one.type is not NULL]
    if not kinds and not literals:
        return NULL
    if not kinds:
        kinds = {one.type for one in literals}
    if len(kinds) == 1:
        (kind,) = kinds
        if all(fits(one, kind) for one in literals):
            return kind
    everything = [one for one in operands if one.type is not NULL]
    if all(one.type.is_numeric for one in everything):
        return numeric(*everything)
    found = " and ".join(dict.fromkeys(described(one) for one in everything))
    raise PlanError(f"{found} have no type in common; cast them to one")


def fits(literal: Operand, kind: Type) -> bool:
    """Can a literal be a value of this type as it is?"""
    value = literal.value
    if kind.family == "int":
        return literal.type.family == "int" and kind.range[0] <= value <= kind.range[1]
    if kind.family == "float":
        return literal.type.is_numeric and (kind.bits == 64 or math.isinf(single(value)) == math.isinf(value))
    if kind.is_temporal and literal.type.family == "string":
        return time_type(value, kind) == kind
    if kind.family == "timestamp" and literal.type.family == "timestamp":
        exact = value.microsecond * TICKS[kind.unit] % 10**6 == 0
        return exact and (not literal.type.zone or bool(kind.zone))
    if kind.family == "timestamp" and literal.type.family == "date":
        return True
    return literal.type.family == kind.family


def one_of(
    families: Sequence[str], method: str, result: Type | None = None
) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """The signature of a method on one column of certain families; the result's type is the column's unless told."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        (operand,) = operands
        kind = operand.type
        if kind.family not in families:
            advice = {"string": "cast it to string first", "timestamp": "cast it to timestamp[us] first"}.get(
                families[-1], "cast it first"
            )
            raise PlanError(f"{method} needs a {' or a '.join(families)} column, found {described(operand)}; {advice}")
        return Signature((kind,), result or kind)

    return signature


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
    if kind.family == "float":
        return float(value) if kind.bits == 64 else single(value)
    return value


def single(value: float) -> float:
    """The nearest float32; infinite beyond its range."""
    return c_float(value).value


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
