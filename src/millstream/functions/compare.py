"""Comparisons, and membership in a set of literals.

Strings compare by their UTF-8 bytes. NaN equals itself and is greater than every other number, as in Polars. Integers meet floats
as float64. Integers of all types compare exactly, and so do timestamps of different units, and dates beside timestamps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.columns import Vector
from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Form, Function, Operand, Policy, Signature, written_with
from millstream.functions.signatures import comparison, ticks_per_day
from millstream.hashing import Literals
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, allocate
from millstream.schema import BOOL, INT64


def _as_signs(left: Vector, right: Vector) -> tuple[Vector, Vector]:
    """Times of different units, or int64 and uint64, as columns that compare as they do: the comparison's sign, and zeros."""
    sign, zeros = allocate(left.length, 8), allocate(left.length, 8)
    kernels.fill_int64(0, zeros)
    signs, nothing = Vector(INT64, left.length, sign), Vector(INT64, left.length, zeros)
    if left.type.is_temporal:
        a, b = ticks_per_day(left.type), ticks_per_day(right.type)
        if a < b:
            kernels.compare_scaled(left.values, right.values, b // a, sign)
            return signs, nothing
        kernels.compare_scaled(right.values, left.values, a // b, sign)
        return nothing, signs
    if left.type is INT64:
        kernels.compare_mixed(left.values, right.values, sign)
        return signs, nothing
    kernels.compare_mixed(right.values, left.values, sign)
    return nothing, signs


def _comparison(verb: str, swap: bool, flip: int) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        left, right = call.arguments
        if left.type.is_temporal:
            alike = ticks_per_day(left.type) == ticks_per_day(right.type)
        else:
            alike = left.type.physical == right.type.physical
        if not alike:
            left, right = _as_signs(left, right)
        if swap:
            left, right = right, left
        out = call.bytes()
        if left.type.physical == "string":
            ones, others = left.one or left.values, right.one or right.values
            getattr(kernels, f"{verb}_string")(left.data or EMPTY, ones, right.data or EMPTY, others, flip, out)
            return out
        physical = {"bool": "uint8", "uint64": "int64" if verb == "equal" else "uint64"}.get(
            left.type.physical, left.type.physical
        )
        getattr(kernels, f"{verb}_{physical}")(left.one or left.values, right.one or right.values, flip, out)
        return out

    return compute


def _between(value: Any, lower_bound: Any, upper_bound: Any, closed: str) -> Any:
    if closed not in ("both", "left", "right", "none"):
        raise PlanError(f"is_between: closed is {closed!r}; write 'both', 'left', 'right' or 'none'")
    above = value >= lower_bound if closed in ("both", "left") else value > lower_bound
    return above & (value <= upper_bound if closed in ("both", "right") else value < upper_bound)


def _member(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    return Signature((operands[0].type,), BOOL)


def _is_in(call: Call) -> Memory:
    literals: Literals = call.options["literals"]
    out = call.bytes()
    literals.find(call.arguments[0], out)
    return out


_PAIR: Columns = {"a": ("int64", [1, 2, None]), "b": ("float64", [1.0, 2.5, 3.0])}
_TEXT: Columns = {"s": ("string", ["US", "DE", None])}

# name, symbol, kernel, sides swapped, answer flipped, doc, result of `a ? b` over _PAIR, result of `s ? "FR"` over _TEXT
_OPERATORS = (
    ("eq", "==", "equal", False, 0, "Are both the same?", [True, False, None], [False, False, None]),
    ("ne", "!=", "equal", False, 1, "Do they differ?", [False, True, None], [True, True, None]),
    ("lt", "<", "less", False, 0, "Is the left one less?", [False, True, None], [False, True, None]),
    ("le", "<=", "less", True, 1, "Is the left one less, or the same?", [True, True, None], [False, True, None]),
    ("gt", ">", "less", True, 0, "Is the left one greater?", [False, False, None], [True, False, None]),
    ("ge", ">=", "less", False, 1, "Is the left one greater, or the same?", [True, False, None], [True, False, None]),
)

FUNCTIONS = (
    *(
        Function(
            name,
            "any, any -> bool",
            doc,
            comparison,
            _comparison(verb, swap, flip),
            (Example(f"a {symbol} b", _PAIR, numbers), Example(f's {symbol} "FR"', _TEXT, strings)),
            (f"{verb}_float64", f"{verb}_string"),
            "other: Value",
            form=Form.OPERATOR,
        )
        for name, symbol, verb, swap, flip, doc, numbers, strings in _OPERATORS
    ),
    Function(
        "is_in",
        "plain -> bool",
        "Is the value one of these literals?",
        _member,
        _is_in,
        (
            Example('s in ("US", "FR")', _TEXT, [True, False, None]),
            Example('s in ("US", "elsewhere")', _TEXT, [True, False, None]),
            Example("a not in (2, 3)", _PAIR, [True, False, None]),
        ),
        ("pack_short", "find_among", "hash_rows", "build_rows", "probe_rows"),
        "values: Iterable[object]",
    ),
    written_with(
        "is_between",
        "plain, plain, plain -> bool",
        "Is the value between these two? They are among them, or closed is 'left', 'right' or 'none'.",
        _between,
        (
            Example("a.is_between(1, 2)", _PAIR, [True, True, None]),
            Example('b.is_between(1, 2.5, "left")', _PAIR, [True, False, False]),
        ),
        ("less_int64", "and_kleene"),
        parameters='lower_bound: Value, upper_bound: Value, closed: str = "both"',
        policy=Policy.KLEENE,
    ),
)
