"""How types combine: what a literal becomes beside a column, what two columns have in common, what a function accepts.

Numbers: integers meet as int64; unsigned ones as uint64 if one of them is uint64 and the other is unsigned or a literal that
is not negative; int64 with a uint64 column, and anything with a float, as float64. Comparisons keep both integers as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.constants import TICKS, as_decimal, counts, fits, read_literal, time_type
from millstream.functions.function import Operand, Signature
from millstream.types import BINARY, BOOL, FLOAT64, INT64, MOST_DIGITS, NULL, STRING, TYPES, UINT64, Type, decimal_of


def ticks_per_day(kind: Type) -> int:
    """How many of a date's or a timestamp's units make a day."""
    return 1 if kind.family == "date" else 86400 * TICKS[kind.unit]


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


def to_number(kind: Type) -> str:
    """How a column of a type becomes a number, for messages."""
    if kind.family in ("string", "bool", "decimal"):
        return "cast it to a number first: .cast('float64')"
    return "cast it to int64 first" if castable(kind, INT64) else no_function(kind)


def no_function(kind: Type) -> str:
    """What to do where nothing can be computed from a column of a type, for messages."""
    if kind.is_nested:
        return "it is passed on as it is; what is inside a struct can be read as a column of its own, with path"
    return "it can be compared and passed on as it is"


_PLAIN = ("int", "float", "bool", "string")


def castable(source: Type, target: Type) -> bool:
    """Can a column of one type be cast to the other?"""
    if source == target:
        return True
    if source.family in _PLAIN and target.family in _PLAIN:
        return True
    if source.is_temporal:
        return target.is_temporal or target.family == "string" or (target.family == "int" and target.bits == 64)
    if source.family == "decimal":
        return target.family in ("decimal", "int", "float", "string")
    if source.family in ("time", "duration"):
        return target.family == "string" or (target.family == "int" and target.bits == 64)
    if target.is_temporal or target.family in ("time", "duration"):
        return source.family in ("string", "int")
    if target.family == "decimal":
        return source.family in ("int", "float", "string")
    return (source, target) in ((STRING, BINARY), (BINARY, STRING))


def arithmetic(symbol: str, always_float: bool = False) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """The signature of a binary operator over numbers."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        left, right = operands
        if not (is_number(left) and is_number(right)):
            wrong = (left if not is_number(left) else right).type
            raise PlanError(f"{symbol} needs two numbers, found {described(left)} and {described(right)}; {to_number(wrong)}")
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
    for kind in (left.type, right.type):
        if kind.is_nested:
            raise PlanError(f"{kind} cannot be compared; {no_function(kind)}")
    if left.type is NULL or right.type is NULL:
        kind = right.type if left.type is NULL else left.type
        return kind, kind
    if "decimal" in (left.type.family, right.type.family):
        return _decimals(left, right)
    left, right = _settled(left, right.type), _settled(right, left.type)
    if left.type.family == right.type.family and left.type.family in ("string", "bool", "date", "binary", "time", "duration"):
        return left.type, right.type
    if left.type.is_temporal and right.type.is_temporal:
        if left.type.family == right.type.family and bool(left.type.zone) != bool(right.type.zone):
            raise PlanError(f"{left.type} and {right.type} differ in their zone; cast one of them")
        return left.type, right.type
    raise PlanError(f"{described(left)} and {described(right)} cannot be compared; cast one of them")


def _decimals(left: Operand, right: Operand) -> tuple[Type, Type]:
    """The types of one scale in which a decimal is compared with another, or with a literal number."""
    refused = f"{described(left)} and {described(right)} cannot be compared; "
    if not (counts(left) and counts(right)):
        raise PlanError(refused + "compare a decimal with a number")
    columns = [one.type for one in (left, right) if not one.literal]
    decimals = [kind for kind in columns if kind.family == "decimal"]
    scale = max(kind.scale for kind in decimals or (left.type, right.type))
    if any(kind.family == "float" for kind in columns):
        raise PlanError(refused + "cast the decimal to float64")
    if any(kind.scale != scale or kind.family != "decimal" for kind in columns):
        raise PlanError(refused + f"cast one of them to the other's scale: .cast('decimal128({MOST_DIGITS}, {scale})')")
    kinds = []
    for one in (left, right):
        settled = as_decimal(one, scale) if one.literal else one
        if settled is None:
            raise PlanError(
                f"{one.value} is no number of {scale} digits behind the point, as the column is; cast the column to float64"
            )
        kinds.append(settled.type)
    return kinds[0], kinds[1]


def _settled(operand: Operand, neighbour: Type) -> Operand:
    """A literal time with the unit and the zone that it gets beside a column of times; text is read as what the column holds."""
    if operand.literal and operand.type is STRING and neighbour.family in ("time", "duration"):
        return Operand(neighbour, True, read_literal(operand.value, neighbour))
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
        if all(kind.family == "decimal" for kind in kinds):
            scale = max(kind.scale for kind in kinds)
            kinds = {decimal_of(min(scale + max(kind.precision - kind.scale for kind in kinds), MOST_DIGITS), scale)}
    if len(kinds) == 1:
        (kind,) = kinds
        if kind.is_nested:
            raise PlanError(f"{kind} cannot be chosen or filled; {no_function(kind)}")
        if all(fits(one, kind) for one in literals):
            return kind
    everything = [one for one in operands if one.type is not NULL]
    if all(one.type.is_numeric for one in everything):
        return numeric(*everything)
    found = " and ".join(dict.fromkeys(described(one) for one in everything))
    raise PlanError(f"{found} have no type in common; cast them to one")


_INSTEAD = {
    "string": STRING,
    "timestamp": TYPES["timestamp[us]"],
    "duration": TYPES["duration[us]"],
    "float": FLOAT64,
    "int": INT64,
}
"""What a column is best cast to that is of no family a method takes."""


def one_of(
    families: Sequence[str], method: str, result: Type | None = None
) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """The signature of a method on one column of certain families; the result's type is the column's unless told."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        kind = column_of(families, method, operands[0])
        return Signature((kind,), result or kind)

    return signature


def column_of(families: Sequence[str], method: str, operand: Operand) -> Type:
    """The type of a method's column. Raises PlanError where it is of none of these families."""
    kind = operand.type
    if kind.family in families:
        return kind
    target = next((_INSTEAD[one] for one in reversed(families) if one in _INSTEAD), None)
    advice = no_function(kind)
    if target and (castable(kind, target) or kind is NULL):
        advice = f"cast it to {target} first"
    wanted = " or a ".join({"int": "whole number", "float": "number"}.get(one, one) for one in families)
    if {"int", "float"} <= set(families):
        wanted = wanted.replace("whole number or a number", "number")
    raise PlanError(f"{method} needs a {wanted} column, found {described(operand)}; {advice}")
