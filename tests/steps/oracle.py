"""Aggregates by plain Python, with exact fractions."""

from __future__ import annotations

import math
import struct
from datetime import timedelta
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from millstream.columns import close

EXACT = Context(prec=60)
DECIMAL = "decimal128(38, 2)"


def key(value: Any) -> Any:
    """What is the same as a key: one NaN, one zero."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def rounded(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def float_sum(values: list[float]) -> float:
    finite = [one for one in values if math.isfinite(one)]
    if len(finite) < len(values):
        return sum((one for one in values if not math.isfinite(one)), 0.0)
    return rounded(sum(map(Fraction, finite), Fraction()))


def expected(function: str, kind: str, values: list[Any]) -> Any:
    """An aggregate of values of a type by plain Python; OverflowError for a sum that its type does not hold."""
    some = [one for one in values if one is not None]
    numbers = [one for one in some if not (isinstance(one, float) and math.isnan(one))] or some
    match function:
        case "len":
            return len(values)
        case "count":
            return len(some)
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "min":
            return min(numbers, default=None)
        case "max":
            return max(numbers, default=None)
        case "n_unique":
            return len({key(one) for one in values})
    if kind.startswith("float"):
        whole = float_sum(some)
        return whole if function == "sum" else whole / len(some) if some else None
    if kind.startswith("duration"):
        return sum(some, timedelta())
    exact = sum((Fraction(one) for one in some), Fraction())
    if function == "mean":
        if kind == DECIMAL and abs(exact) * 100 >= 10**38:
            raise OverflowError
        return float(exact) / len(some) if some else None
    low, high = {"uint64": (0, (1 << 64) - 1), DECIMAL: (Fraction(1 - 10**38, 100), Fraction(10**38 - 1, 100))}.get(
        kind, (-(1 << 63), (1 << 63) - 1)
    )
    if not low <= exact <= high:
        raise OverflowError
    return Decimal(int(exact * 100)).scaleb(-2, EXACT) if kind == DECIMAL else int(exact)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or struct.pack("d", left + 0.0) == struct.pack("d", right + 0.0)
    return type(left) is type(right) and bool(left == right)


def bits(vector: Any) -> Any:
    """The values, floats by their bits, and the codes of what is none."""
    valid = vector.validity().tolist("B")
    if max(valid, default=0) > 1:
        return valid
    return [struct.pack("d", one) if isinstance(one, float) else one for one in close(vector).to_pylist()]
