"""and, or, not; null tests; choosing between values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.columns import Vector, filled_bytes, has_errors, nulls, ones, room_for_text, room_for_validity
from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Form, Function, Operand, Policy, Signature, kleene
from millstream.functions.signatures import common, described, logical
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, Nulls, allocate
from millstream.schema import BOOL, NULL


def _not(call: Call) -> Memory:
    out = call.bytes()
    kernels.not_uint8(call.arguments[0].values, out)
    return out


def _any(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    return Signature((operands[0].type,), BOOL)


def _null_test(call: Call, flip: int) -> Vector:
    (source,) = call.arguments
    if source.valid is None:
        return Vector(BOOL, call.length, filled_bytes(flip, call.length))
    out, valid = call.bytes(), call.bytes()
    kernels.find_nulls(source.valid, flip, out, valid)
    # Where no row is in error all are valid.
    return Vector(BOOL, call.length, out, None if type(source.valid) is Nulls else valid)


def _is_null(call: Call) -> Vector:
    return _null_test(call, 0)


def _is_not_null(call: Call) -> Vector:
    return _null_test(call, 1)


def _filling(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    kind = common(operands)
    if kind is NULL:
        raise PlanError("fill_null of None with None has no type; cast one of them: lit(None).cast('int64')")
    return Signature((kind, kind), kind)


def _fill_null(call: Call) -> Vector:
    return filled(*call.arguments)


def filled(source: Vector, other: Vector) -> Vector:
    """Each row of `source`, or of `other` where that is null; an error stays one."""
    if source.valid is None:
        return source
    if other.valid is None and not has_errors(source.valid):
        return _chosen(source.valid, source, other, None)
    return choose(_is_not_null(Call((source,), {}, BOOL, source.length)), source, other)


def _branches(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    """Operands: test, value, test, value, …, and the value of otherwise where there is one."""
    tests = operands[0 : len(operands) - len(operands) % 2 : 2]
    for test in tests:
        if test.type.family not in ("bool", "null"):
            raise PlanError(f"when needs true or false, found {described(test)}; compare it with something")
    values = [*operands[1::2], *([operands[-1]] if len(operands) % 2 else [])]
    kind = common(values)
    if kind is NULL:
        raise PlanError("when … then gives nothing but None; cast one of its values to a type: lit(None).cast('int64')")
    arguments = [BOOL, kind] * len(tests) + ([kind] if len(operands) % 2 else [])
    return Signature(tuple(arguments), kind)


def _when(call: Call) -> Vector:
    arguments = list(call.arguments)
    result = arguments.pop() if len(arguments) % 2 else nulls(call.type, call.length)
    while arguments:
        value = arguments.pop()
        result = choose(arguments.pop(), value, result)
    return result


def choose(test: Vector, yes: Vector, no: Vector) -> Vector:
    """Each row from `yes` where the test is true, else from `no`, with that row's null or error. Chosen strings are copied."""
    length, picked, known = test.length, test.values, None
    if not (test.valid is None and yes.valid is None and no.valid is None):
        picked, known = allocate(length, 1), room_for_validity(length, test.valid, yes.valid, no.valid)
        kernels.choose_validity(test.values, test.validity(), yes.validity(), no.validity(), picked, known)
    return _chosen(picked, yes, no, known)


def _chosen(picked: Memory, yes: Vector, no: Vector, known: Memory | None) -> Vector:
    """Each row from `yes` where `picked` is 1, else from `no`, with the validity that is known of it."""
    length = picked.count
    if yes.type.physical == "bool":
        out = allocate(length, 1)
        kernels.choose_uint8(picked, yes.values, no.values, out)
        return Vector(yes.type, length, out, known)
    if yes.type.physical == "decimal":
        out = allocate(2 * length, 8)
        kernels.choose_int128(picked, yes.values, no.values, out)
        return Vector(yes.type, length, out, known)
    out = allocate(length, 8)
    if yes.type.physical != "string":
        kernels.choose_int64(picked, yes.one or yes.values, no.one or no.values, out)
        return Vector(yes.type, length, out, known)
    data = room_for_text(kernels.measure_choice(picked, known or ones(length), yes.values, no.values, out))
    kernels.choose_string(picked, yes.data or EMPTY, yes.values, no.data or EMPTY, no.values, out, data)
    return Vector(yes.type, length, out, known, data)


_BOOLS: Columns = {"p": ("bool", [True, False, None]), "q": ("bool", [None, None, None])}
_X: Columns = {"x": ("float64", [1.5, None, 60.0]), "s": ("string", ["a", None, "b"])}

FUNCTIONS = (
    Function(
        "and",
        "bool, bool -> bool",
        "True where both are; false where one is, even beside a null.",
        logical,
        kleene("and_kleene", "and_uint8"),
        (Example("p and q", _BOOLS, [None, False, None]), Example("p and p", _BOOLS, [True, False, None])),
        ("and_kleene",),
        parameters="other: Value",
        policy=Policy.KLEENE,
        form=Form.OPERATOR,
    ),
    Function(
        "or",
        "bool, bool -> bool",
        "True where one is, even beside a null; false where both are.",
        logical,
        kleene("or_kleene", "or_uint8"),
        (Example("p or q", _BOOLS, [True, None, None]), Example("p or p", _BOOLS, [True, False, None])),
        ("or_kleene",),
        parameters="other: Value",
        policy=Policy.KLEENE,
        form=Form.OPERATOR,
    ),
    Function(
        "not",
        "bool -> bool",
        "True becomes false and false true.",
        logical,
        _not,
        (Example("not p", _BOOLS, [False, True, None]), Example("not q", _BOOLS, [None, None, None])),
        ("not_uint8",),
        form=Form.OPERATOR,
    ),
    Function(
        "is_null",
        "any -> bool",
        "Is there no value?",
        _any,
        _is_null,
        (Example("x.is_null()", _X, [False, True, False]), Example("x is None", _X, [False, True, False])),
        ("find_nulls",),
        policy=Policy.INSPECT,
    ),
    Function(
        "is_not_null",
        "any -> bool",
        "Is there a value?",
        _any,
        _is_not_null,
        (Example("x.is_not_null()", _X, [True, False, True]), Example("s is not None", _X, [True, False, True])),
        ("find_nulls",),
        policy=Policy.INSPECT,
    ),
    Function(
        "fill_null",
        "plain, same -> same",
        "The value, or another where there is none.",
        _filling,
        _fill_null,
        (
            Example("x.fill_null(0)", _X, [1.5, 0.0, 60.0]),
            Example('s.fill_null("?")', _X, ["a", "?", "b"]),
            Example(
                "x.fill_null(y)", {"x": ("float64", [1.5, None, 60.0]), "y": ("float64", [None, None, 1.0])}, [1.5, None, 60.0]
            ),
        ),
        ("choose_validity", "choose_int64"),
        parameters="value: Value",
        policy=Policy.INSPECT,
    ),
    Function(
        "when",
        "bool, plain -> same",
        "The value of the first test that is true; else that of otherwise, or null. A null test is not true.",
        _branches,
        _when,
        (
            Example("when(x > 50).then(x * 0.1)", _X, [None, None, 6.0]),
            Example('when(x > 50).then("high").when(x > 1).then("low").otherwise(s)', _X, ["low", None, "high"]),
        ),
        ("choose_validity", "choose_int64"),
        policy=Policy.INSPECT,
        form=Form.OPERATOR,
    ),
)
