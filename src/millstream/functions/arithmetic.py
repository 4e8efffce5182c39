"""+ - * / // % and the sign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import arithmetic, described, to_number, wide
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import UINT64


def _binary(verb: str) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        left, right = call.arguments
        out = call.numbers()
        kernel = getattr(kernels, f"{verb}_{call.type.physical}")
        if call.type.physical == "float64":
            kernel(left.values, right.values, out)
        else:
            call.fault(kernel, left.values, right.values, out=out)
        return out

    return compute


def _sign(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    (operand,) = operands
    if not operand.type.is_numeric or operand.type is UINT64:
        advice = "cast it to int64 or float64 first" if operand.type.is_numeric else to_number(operand.type)
        raise PlanError(f"- needs a signed number, found {described(operand)}; {advice}")
    kind = wide(operand.type)
    return Signature((kind,), kind)


def _negate(call: Call) -> Memory:
    (source,) = call.arguments
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
        "The sum. An integer sum beyond 64 bits rejects the record (OUT_OF_RANGE).",
        arithmetic("+"),
        _binary("add"),
        (Example("a + b", _INTS, [9, -5, None]), Example("x + 1", _FLOATS, [2.5, None, -1.0])),
    ),
    Function(
        "sub",
        "The difference. An integer beyond 64 bits, or below 0 for uint64, rejects the record (OUT_OF_RANGE).",
        arithmetic("-"),
        _binary("subtract"),
        (Example("a - b", _INTS, [5, -9, None]), Example("x - 1", _FLOATS, [0.5, None, -3.0])),
    ),
    Function(
        "mul",
        "The product. An integer product beyond 64 bits rejects the record (OUT_OF_RANGE).",
        arithmetic("*"),
        _binary("multiply"),
        (Example("a * b", _INTS, [14, -14, None]), Example("x * 2", _FLOATS, [3.0, None, -4.0])),
    ),
    Function(
        "truediv",
        "The quotient, always float64. Division by zero gives an infinity or NaN, as IEEE 754 has it.",
        arithmetic("/", always_float=True),
        _binary("divide"),
        (Example("a / b", _INTS, [3.5, -3.5, None]), Example("x / 0", _FLOATS, [float("inf"), None, float("-inf")])),
    ),
    Function(
        "floordiv",
        "The quotient rounded towards minus infinity. An integer divided by 0 is null.",
        arithmetic("//"),
        _binary("floor_divide"),
        (Example("a // b", _INTS, [3, -4, None]), Example("a // 0", _INTS, [None, None, None])),
    ),
    Function(
        "mod",
        "What a floor division leaves; it has the divisor's sign. An integer modulo 0 is null.",
        arithmetic("%"),
        _binary("modulo"),
        (Example("a % b", _INTS, [1, 1, None]), Example("x % 1", _FLOATS, [0.5, None, 0.0])),
    ),
    Function(
        "neg",
        "The number with its sign turned. The least int64 rejects the record (OUT_OF_RANGE).",
        _sign,
        _negate,
        (Example("-a", _INTS, [-7, 7, None]), Example("-x", _FLOATS, [-1.5, None, 2.0])),
    ),
)
