"""Choosing between values of a row: the first that is there, the least, the greatest; and joining texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from millstream.columns import Vector, filled_bytes, has_errors, nulls, ones
from millstream.errors import PlanError
from millstream.functions.compare import FUNCTIONS as COMPARISONS
from millstream.functions.function import (
    Call,
    Columns,
    Example,
    Form,
    Function,
    Operand,
    Policy,
    Signature,
    merged_validity,
    written_with,
)
from millstream.functions.logic import choose, filled
from millstream.functions.signatures import column_of, common, comparable, described, logical
from millstream.functions.written import text_bytes, written
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, constant_bytes, from_numbers
from millstream.schema import BOOL, NULL, STRING

_LESS = next(one for one in COMPARISONS if one.name == "lt")
_EQUAL = next(one for one in COMPARISONS if one.name == "eq")


def _alike(name: str) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """The signature of a function of values that are brought to one type."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        kind = common(operands)
        if kind is NULL:
            raise PlanError(f"{name} of nothing but None has no type; cast one of them: lit(None).cast('int64')")
        return Signature((kind,) * len(operands), kind)

    return signature


def _ordered(name: str) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    alike = _alike(name)

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        made = alike(operands, options)
        if made.result is BOOL:
            raise PlanError(f"{name} needs values with an order, found bool; use any_horizontal or all_horizontal")
        return made

    return signature


def _without_nulls(valid: Memory) -> Memory:
    """Validity that has only errors: what is null counts as valid."""
    out = filled_bytes(1, valid.count)
    kernels.replace_uint8(0, 1, valid, out)
    return out


def _with_errors(made: Vector, *sources: Vector) -> Vector:
    """The errors of sources are the result's, whatever was chosen."""
    valid = made.valid
    for one in sources:
        if has_errors(one.valid):
            both = filled_bytes(1, made.length)
            kernels.merge_validity(_without_nulls(one.valid), valid or ones(made.length), both)
            valid = both
    return Vector(made.type, made.length, made.values, valid, made.data)


def _extreme(left: Vector, right: Vector, greatest: bool) -> Vector:
    """The lesser or the greater of two, of which a null is neither. Equal ones: the left."""
    pair = (left, right) if greatest else (right, left)
    right_wins = _LESS.compute(Call(pair, {}, BOOL, left.length))
    assert isinstance(right_wins, Memory)
    if greatest and left.type.family == "float":
        right_wins = _past_nan(left, right, right_wins)
    if left.valid is not None:
        missing, known = filled_bytes(0, left.length), filled_bytes(0, left.length)
        kernels.find_nulls(left.valid, 0, missing, known)
        either = filled_bytes(0, left.length)
        kernels.or_uint8(right_wins, missing, either)
        right_wins = either
    return _with_errors(choose(Vector(BOOL, left.length, right_wins, right.valid), right, left), left, right)


def _past_nan(left: Vector, right: Vector, right_wins: Memory) -> Memory:
    """A NaN, which is above all numbers, is the greatest only beside nulls and NaN."""
    number, nan, wins, either = (filled_bytes(0, left.length) for _ in range(4))
    kernels.test_float64(right.values, 1, number)
    kernels.test_float64(left.values, 0, nan)
    kernels.and_uint8(right_wins, number, wins)
    kernels.or_uint8(wins, nan, either)
    return either


def _horizontal(greatest: bool) -> Callable[[Call], Vector]:
    def compute(call: Call) -> Vector:
        return reduce(lambda left, right: _extreme(left, right, greatest), call.arguments)

    return compute


def _coalesce(call: Call) -> Vector:
    *others, last = call.arguments
    for one in reversed(others):
        last = filled(one, last)
    return last


def _clip_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    value = operands[0]
    column_of(("int", "float", "decimal", "date", "time", "duration", "timestamp"), ".clip", value)
    made = _alike(".clip")(operands, options)
    if made.result.is_numeric and made.result.family != value.type.family:
        found = " and ".join(described(one) for one in operands[1:])
        raise PlanError(f".clip of {described(value)} to {found} would change its type; cast the column first")
    return made


def _clip(call: Call) -> Vector:
    """As `_extreme`, but what is null or NaN stays. The lower bound wins over one that is below it."""
    source, low, high = call.arguments
    if call.type.physical in ("int64", "float64") and low.valid is None and high.valid is None:
        out = call.numbers()
        getattr(kernels, f"clip_{call.type.physical}")(source.values, low.values, high.values, out)
        return Vector(call.type, call.length, out, source.valid)
    made = source
    for bound, pair in ((high, (high, source)), (low, (source, low))):
        outside = _LESS.compute(Call(pair, {}, BOOL, call.length))
        assert isinstance(outside, Memory)
        if call.type.family == "float":
            for number in (source, bound):  # NaN, greater than all in comparisons, is no bound, and stays
                is_one, both = call.bytes(), call.bytes()
                kernels.test_float64(number.values, 1, is_one)
                kernels.and_uint8(outside, is_one, both)
                outside = both
        test = Vector(BOOL, call.length, outside, merged_validity((source, bound), call.length))
        made = _with_errors(choose(test, bound, made), bound)
    return _with_errors(made, source, low, high)


def _null_if_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    left, right = comparable(*operands)
    if left is NULL:
        raise PlanError("null_if of None has no type; cast it: lit(None).cast('int64')")
    return Signature((left, right), left)


def _null_if(call: Call) -> Vector:
    source = call.arguments[0]
    alike = _EQUAL.evaluate(call.arguments, {}, BOOL, call.length)
    return choose(alike, nulls(source.type, call.length), source)


def _fill_nan_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    column_of(("float",), ".fill_nan", operands[0])
    return _alike(".fill_nan")(operands, options)


def _fill_nan(call: Call) -> Vector:
    source, other = call.arguments
    nan = call.bytes()
    kernels.test_float64(source.values, 0, nan)
    return choose(Vector(BOOL, call.length, nan, source.valid), other, source)


def _xor(call: Call) -> Memory:
    left, right = call.arguments
    out = call.bytes()
    kernels.equal_uint8(left.values, right.values, 1, out)
    return out


def _text_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    for one in operands:
        if one.type is not NULL:
            column_of(("string",), "concat_str", one)
    return Signature((STRING,) * len(operands), STRING)


def joined(call: Call, columns: Sequence[Vector], separator: str) -> Vector:
    """The texts of a row behind one another, without those that are null; the call's validity says for which rows."""
    valid, views = call.valid or ones(call.length), call.numbers()
    between, table, kept = constant_bytes(separator.encode()), list[int](), list[Any]()
    guess = between.count * call.length * (len(columns) - 1)
    for one in columns:
        data, known = one.data or EMPTY, one.validity()
        table += (data.address, data.count, one.values.address, known.address)
        kept.append((data, known))  # the table has their addresses alone
        guess += text_bytes(one)
    places = from_numbers("q", table)
    data = written(guess, lambda out: kernels.concat_strings(places, valid, between, out, views))
    return Vector(STRING, call.length, views, call.valid, data)


def _concat_str(call: Call) -> Vector:
    call.valid = merged_validity(call.arguments, call.length)
    if call.options["ignore_nulls"] and call.valid is not None:
        rows = [one for one in call.arguments if one.valid is not None]
        call.valid = merged_validity(
            [Vector(one.type, one.length, one.values, _without_nulls(one.valid or EMPTY)) for one in rows], call.length
        )
    return joined(call, call.arguments, call.options["separator"])


_AB: Columns = {"a": ("int64", [None, 5, None]), "b": ("int64", [1, 2, None])}
_ST: Columns = {"s": ("string", ["a", "b", None]), "t": ("string", ["x", None, "z"])}
_X: Columns = {"x": ("float64", [-0.5, 0.25, 7.0, None])}
_PQ: Columns = {"p": ("bool", [True, True, None]), "q": ("bool", [True, False, False])}

_EACH = "*exprs: Value"

FUNCTIONS = (
    Function(
        "coalesce",
        "plain, same -> same",
        "The first of the values that is not null.",
        _alike("coalesce"),
        _coalesce,
        (
            Example("coalesce(a, b, 0)", _AB, [1, 5, 0]),
            Example('coalesce(t, s, "?")', _ST, ["x", "b", "z"]),
            Example("coalesce(s, t)", _ST, ["a", "b", "z"]),
        ),
        ("choose_validity", "choose_int64", "choose_string"),
        _EACH,
        Policy.INSPECT,
        Form.FUNCTION,
    ),
    Function(
        "null_if",
        "plain, same -> same",
        "Null where the value is this one, else the value.",
        _null_if_signature,
        _null_if,
        (Example("b.null_if(2)", _AB, [1, None, None]), Example('s.null_if("a")', _ST, [None, "b", None])),
        ("equal_int64", "choose_int64"),
        "value: Value",
        Policy.INSPECT,
    ),
    Function(
        "fill_nan",
        "float, same -> same",
        "The number, or another where it is NaN; null stays null.",
        _fill_nan_signature,
        _fill_nan,
        (
            Example("x.fill_nan(0)", {"x": ("float64", [float("nan"), 1.5, None])}, [0.0, 1.5, None]),
            Example("(x / x).fill_nan(None)", {"x": ("float64", [0.0, 2.0])}, [None, 1.0]),
        ),
        ("test_float64", "choose_int64"),
        "value: Value",
        Policy.INSPECT,
    ),
    Function(
        "clip",
        "int|float|decimal|date|time|duration|timestamp, same -> same",
        "The value, or the bound that it is beyond; None is no bound, and NaN stays.",
        _clip_signature,
        _clip,
        (Example("x.clip(0, 1)", _X, [0.0, 0.25, 1.0, None]), Example("b.clip(None, 1)", _AB, [1, 1, None])),
        ("clip_float64", "less_int64", "choose_int64"),
        "lower_bound: Value = None, upper_bound: Value = None",
        Policy.INSPECT,
    ),
    Function(
        "min_horizontal",
        "plain, same -> same",
        "The least of the values that are not null, nor NaN where another is not.",
        _ordered("min_horizontal"),
        _horizontal(False),
        (
            Example("min_horizontal(a, b)", _AB, [1, 2, None]),
            Example('min_horizontal(s, t, "m")', _ST, ["a", "b", "m"]),
        ),
        ("less_int64", "choose_int64"),
        _EACH,
        Policy.INSPECT,
        Form.FUNCTION,
    ),
    Function(
        "max_horizontal",
        "plain, same -> same",
        "The greatest of the values that are not null, nor NaN where another is not.",
        _ordered("max_horizontal"),
        _horizontal(True),
        (
            Example("max_horizontal(a, b)", _AB, [1, 5, None]),
            Example('max_horizontal(s, t, "m")', _ST, ["x", "m", "z"]),
        ),
        ("less_int64", "choose_int64"),
        _EACH,
        Policy.INSPECT,
        Form.FUNCTION,
    ),
    written_with(
        "all_horizontal",
        "bool, same -> bool",
        "True where all are true; false where one is, even beside a null.",
        lambda *exprs: reduce(lambda left, right: left & right, exprs),
        (Example("all_horizontal(p, q)", _PQ, [True, False, False]), Example("all_horizontal(p)", _PQ, [True, True, None])),
        ("and_kleene",),
        parameters=_EACH,
        policy=Policy.KLEENE,
        form=Form.FUNCTION,
    ),
    written_with(
        "any_horizontal",
        "bool, same -> bool",
        "True where one is, even beside a null; false where all are.",
        lambda *exprs: reduce(lambda left, right: left | right, exprs),
        (Example("any_horizontal(p, q)", _PQ, [True, True, None]), Example("any_horizontal(q)", _PQ, [True, False, False])),
        ("or_kleene",),
        parameters=_EACH,
        policy=Policy.KLEENE,
        form=Form.FUNCTION,
    ),
    Function(
        "xor",
        "bool, bool -> bool",
        "True where one of the two is true and the other false.",
        logical,
        _xor,
        (Example("p ^ q", _PQ, [False, True, None]), Example("p ^ True", _PQ, [False, False, None])),
        ("equal_uint8",),
        "other: Value",
        form=Form.OPERATOR,
    ),
    Function(
        "concat_str",
        "string, string -> string",
        "The texts of a row, a separator between them; null where one is null, unless ignore_nulls leaves nulls out.",
        _text_signature,
        _concat_str,
        (
            Example('concat_str(s, t, separator="-")', _ST, ["a-x", None, None]),
            Example('concat_str(s, "/", t, ignore_nulls=True)', _ST, ["a/x", "b/", "/z"]),
        ),
        ("concat_strings",),
        '*exprs: Value, separator: str = "", ignore_nulls: bool = False',
        Policy.INSPECT,
        Form.FUNCTION,
    ),
)
