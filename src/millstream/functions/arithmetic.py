"""+ - * / // % and the sign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.columns import Vector
from millstream.errors import PlanError
from millstream.functions import decimals, instants
from millstream.functions.choice import joined
from millstream.functions.function import Call, Columns, Example, Form, Function, Operand, Signature
from millstream.functions.signatures import arithmetic, described, to_number, wide
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import STRING, UINT64

_REPEATING = ("add", "subtract", "multiply", "divide")
"""Verbs whose kernels for floats know of literals on the right."""


def _signature(symbol: str, always_float: bool = False) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """The first of texts, times, decimals and numbers that both sides are."""
    numbers = arithmetic(symbol, always_float)

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        for signed in (_texts, instants.signature, decimals.signature):
            found = signed(symbol, operands)
            if found is not None:
                return found
        return numbers(operands, options)

    return signature


def _texts(symbol: str, operands: Sequence[Operand]) -> Signature | None:
    if symbol != "+" or {one.type.family for one in operands} - {"null"} != {"string"}:
        return None
    return Signature((STRING, STRING), STRING)


def _binary(verb: str, symbol: str) -> Callable[[Call], Memory | Vector]:
    def compute(call: Call) -> Memory | Vector:
        left, right = call.arguments
        families = (left.type.family, right.type.family)
        if "decimal" in families:
            return decimals.compute(symbol, call)
        if left.type.is_temporal or "duration" in families:
            return instants.compute(symbol, call)
        if call.type.family == "string":
            return joined(call, call.arguments, "")
        out = call.numbers()
        kernel = getattr(kernels, f"{verb}_{call.type.physical}")
        if call.type.physical == "float64":
            if left.one is not None and verb in ("add", "multiply"):
                left, right = right, left
            kernel(left.values, right.one or right.values if verb in _REPEATING else right.values, out)
        else:
            call.fault(kernel, left.values, right.values, out=out)
        return out

    return compute


def _sign(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    (operand,) = operands
    if operand.type.family in ("decimal", "duration"):
        return Signature((operand.type,), operand.type)
    if not operand.type.is_numeric or operand.type is UINT64:
        advice = "cast it to int64 or float64 first" if operand.type.is_numeric else to_number(operand.type)
        raise PlanError(f"- needs a signed number, found {described(operand)}; {advice}")
    kind = wide(operand.type)
    return Signature((kind,), kind)


def _negate(call: Call) -> Memory:
    (source,) = call.arguments
    if call.type.physical == "decimal":
        return decimals.negated(call)
    out = call.numbers()
    if call.type.physical == "float64":
        kernels.negate_float64(source.values, out)
    else:
        call.fault(kernels.negate_int64, source.values, out=out)
    return out


_INTS: Columns = {"a": ("int64", [7, -7, None]), "b": ("int64", [2, 2, 2])}
_FLOATS: Columns = {"x": ("float64", [1.5, None, -2.0])}

FUNCTIONS = (
    Function(
        "add",
        "int|float|decimal|string|date|timestamp|duration, any -> any",
        "The sum, of texts joined, of a time and a duration a time. A number beyond its type rejects the record (OUT_OF_RANGE).",
        _signature("+"),
        _binary("add", "+"),
        (
            Example("a + b", _INTS, [9, -5, None]),
            Example("x + 1", _FLOATS, [2.5, None, -1.0]),
            Example('s + "!"', {"s": ("string", ["ä", None])}, ["ä!", None]),
        ),
        ("add_int64", "add_float64", "concat_strings"),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "sub",
        "int|float|decimal|date|timestamp|duration, any -> any",
        "The difference, of two times a duration. A number beyond its type, below 0 for uint64, rejects the record (OUT_OF_RANGE).",
        _signature("-"),
        _binary("subtract", "-"),
        (Example("a - b", _INTS, [5, -9, None]), Example("x - 1", _FLOATS, [0.5, None, -3.0])),
        ("subtract_int64", "subtract_float64"),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "mul",
        "int|float|decimal|duration, any -> any",
        "The product. An integer, decimal or duration beyond its type rejects the record (OUT_OF_RANGE).",
        _signature("*"),
        _binary("multiply", "*"),
        (Example("a * b", _INTS, [14, -14, None]), Example("x * 2", _FLOATS, [3.0, None, -4.0])),
        ("multiply_int64", "multiply_float64"),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "truediv",
        "int|float, int|float -> float64",
        "The quotient, always float64. Division by zero gives an infinity or NaN, as IEEE 754 has it.",
        _signature("/", always_float=True),
        _binary("divide", "/"),
        (Example("a / b", _INTS, [3.5, -3.5, None]), Example("x / 0", _FLOATS, [float("inf"), None, float("-inf")])),
        ("divide_float64",),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "floordiv",
        "int|float, int|float -> number",
        "The quotient rounded towards minus infinity. An integer divided by 0 is null.",
        _signature("//"),
        _binary("floor_divide", "//"),
        (Example("a // b", _INTS, [3, -4, None]), Example("a // 0", _INTS, [None, None, None])),
        ("floor_divide_int64",),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "mod",
        "int|float, int|float -> number",
        "What a floor division leaves; it has the divisor's sign. An integer modulo 0 is null.",
        _signature("%"),
        _binary("modulo", "%"),
        (Example("a % b", _INTS, [1, 1, None]), Example("x % 1", _FLOATS, [0.5, None, 0.0])),
        ("modulo_int64", "modulo_float64"),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "neg",
        "int|float|decimal|duration -> same",
        "The number with its sign turned. The least int64 rejects the record (OUT_OF_RANGE).",
        _sign,
        _negate,
        (Example("-a", _INTS, [-7, 7, None]), Example("-x", _FLOATS, [-1.5, None, 2.0])),
        ("negate_int64", "negate_float64"),
        form=Form.OPERATOR,
    ),
)
