"""Arithmetic of decimals, exact. A result that has more digits than its type, or than 38, rejects the record (OUT_OF_RANGE).

A sum has the larger scale of both and one digit more in front; a product the scales' sum. Neither has more than 38 digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from millstream.columns import Vector, int128_words
from millstream.errors import PlanError
from millstream.functions.constants import counts, digits_of
from millstream.functions.function import Call, Operand, Signature
from millstream.functions.signatures import described
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate
from millstream.schema import Code, Type
from millstream.types import MOST_DIGITS, decimal_of

_LIMIT = int128_words(10**MOST_DIGITS - 1)


def signature(symbol: str, operands: Sequence[Operand]) -> Signature | None:
    """The types in which decimals meet integers, literals and each other; None where no side is a decimal."""
    left, right = operands
    if "decimal" not in (left.type.family, right.type.family) or not (counts(left) and counts(right)):
        return None
    found = f"{symbol} of {described(left)} and {described(right)}"
    if symbol not in ("+", "-", "*"):
        raise PlanError(f"{found} has no exact result; cast both to float64 first: .cast('float64')")
    for one in operands:
        if one.type.family == "float" and not one.literal:
            raise PlanError(f"{found} would be rounded; cast the decimal to float64, or the float to a decimal")
    first, second = (_decimal(one, found) for one in operands)
    if symbol == "*":
        scale = first.scale + second.scale
        if scale > MOST_DIGITS:
            raise PlanError(
                f"{found} has {scale} decimals, but a decimal has {MOST_DIGITS} digits; cast one to a smaller scale"
            )
        result = decimal_of(min(first.precision + second.precision, MOST_DIGITS), scale)
    else:
        scale = max(first.scale, second.scale)
        whole = max(first.precision - first.scale, second.precision - second.scale) + 1
        result = decimal_of(min(whole + scale, MOST_DIGITS), scale)
    # An integer column stays one: it is widened when the sum is made.
    kinds = tuple(kind if one.literal else one.type for one, kind in zip(operands, (first, second), strict=True))
    return Signature(kinds, result)


def _decimal(operand: Operand, found: str) -> Type:
    """The decimal type that holds an operand exactly."""
    if operand.literal:
        finite = not isinstance(operand.value, float) or math.isfinite(operand.value)
        digits, scale = digits_of(operand.value) if finite else (MOST_DIGITS + 1, 0)
        if max(digits, scale) > MOST_DIGITS:
            raise PlanError(f"{found}: {operand.value} is no number of {MOST_DIGITS} digits; cast the column to float64")
        return decimal_of(max(digits, scale), scale)
    if operand.type.family == "decimal":
        return operand.type
    return decimal_of(len(str(operand.type.range[1])), 0)


def _at_scale(call: Call, source: Vector, scale: int) -> Memory:
    """The numbers of a column as int128s with so many decimals, no fewer than it has."""
    values = source.values
    if source.type.family != "decimal":
        values = allocate(2 * call.length, 8)
        kernels.widen_int128(source.values, int(source.type.physical == "uint64"), values)
    if scale == source.type.scale:
        return values
    out = allocate(2 * call.length, 8)
    call.fault(kernels.rescale_decimal, values, scale - source.type.scale, 1, *_LIMIT, int(Code.OUT_OF_RANGE), out=out)
    return out


def compute(symbol: str, call: Call) -> Memory:
    """left + right, left - right or left * right, of the call's type."""
    left, right = call.arguments
    limit, out = int128_words(call.type.range[1]), allocate(2 * call.length, 8)
    if symbol == "*":
        one, other = (_at_scale(call, each, each.type.scale) for each in (left, right))
        call.fault(kernels.multiply_int128, one, other, *limit, out=out)
        return out
    one, other = (_at_scale(call, each, call.type.scale) for each in (left, right))
    call.fault(kernels.add_int128, one, other, int(symbol == "-"), *limit, out=out)
    return out


def negated(call: Call) -> Memory:
    """The numbers with their signs turned."""
    zeros, out = allocate(2 * call.length, 8), allocate(2 * call.length, 8)
    kernels.fill_int64(0, zeros)
    call.fault(kernels.add_int128, zeros, call.arguments[0].values, 1, *_LIMIT, out=out)
    return out


def size(call: Call) -> Memory:
    """The numbers without their signs."""
    (source,) = call.arguments
    zeros, below, out = allocate(2 * call.length, 8), call.bytes(), allocate(2 * call.length, 8)
    kernels.fill_int64(0, zeros)
    kernels.less_decimal(source.values, zeros, 0, below)
    kernels.choose_int128(below, negated(call), source.values, out)
    return out


def rounded(call: Call) -> Memory:
    """The numbers to fewer decimals, which are zeros then; a half goes to the even digit."""
    (source,) = call.arguments
    cut = call.type.scale - call.options["decimals"]
    if cut <= 0:
        return source.values
    if call.options["mode"] != "half_to_even":
        return _rounded_away(call, source.values, cut)
    limit = int128_words(call.type.range[1])
    fewer, out = allocate(2 * call.length, 8), allocate(2 * call.length, 8)
    call.fault(kernels.rescale_decimal, source.values, -cut, 1, *_LIMIT, int(Code.OUT_OF_RANGE), out=fewer)
    call.fault(kernels.rescale_decimal, fewer, cut, 1, *limit, int(Code.OUT_OF_RANGE), out=out)
    return out


def _rounded_away(call: Call, values: Memory, cut: int) -> Memory:
    """Halves go away from zero: half a step is added to the size, and the rest is cut off."""
    half, sizes = allocate(2 * call.length, 8), size(call)
    kernels.fill_int128(*int128_words(5 * 10 ** (cut - 1)), half)
    limit, code = int128_words(call.type.range[1]), int(Code.OUT_OF_RANGE)
    more, fewer, back, minus, below, out = (allocate(2 * call.length, 8) for _ in range(6))
    widest = int128_words((1 << 127) - 1)
    call.fault(kernels.add_int128, sizes, half, 0, *widest, out=more)
    call.fault(kernels.rescale_decimal, more, -cut, 0, *_LIMIT, code, out=fewer)
    call.fault(kernels.rescale_decimal, fewer, cut, 0, *limit, code, out=back)
    kernels.fill_int64(0, half)
    call.fault(kernels.add_int128, half, back, 1, *widest, out=minus)
    negative = below.part(0, call.length, 1)
    kernels.less_decimal(values, half, 0, negative)
    kernels.choose_int128(negative, minus, back, out)
    return out
