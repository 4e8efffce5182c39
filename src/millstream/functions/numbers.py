"""Functions of one number: rounding, sizes and signs, powers and logarithms, and what floats alone can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.columns import Vector, constant
from millstream.errors import PlanError
from millstream.functions import decimals
from millstream.functions.arrow import by_arrow
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature, written_with
from millstream.functions.signatures import arithmetic, column_of, wide
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import BOOL, FLOAT64, INT64, UINT64

_FLOOR, _CEIL, _ROOT, _SIZE, _SIGN = range(5)
_NAN, _NOT_NAN, _FINITE, _INFINITE = range(4)
_HALVES = ("half_to_even", "half_away_from_zero")
_NUMBERS = ("int", "float")


def _alike(method: str, *families: str) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """A method that gives a number of its column's kind, with 64 bits."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        kind = wide(column_of((*families, *_NUMBERS), method, operands[0]))
        return Signature((kind,), kind)

    return signature


def _as_float(method: str) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    """A method that gives a float of any number."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        column_of(_NUMBERS, method, operands[0])
        return Signature((FLOAT64,), FLOAT64)

    return signature


def _mapped(what: int) -> Callable[[Call], Memory | Vector]:
    """A function of floats by one kernel; whole numbers are their own floor and ceiling."""

    def compute(call: Call) -> Memory | Vector:
        (source,) = call.arguments
        if call.type.physical != "float64":
            return source
        out = call.numbers()
        kernels.map_float64(source.values, what, out)
        return out

    return compute


def _abs(call: Call) -> Memory | Vector:
    (source,) = call.arguments
    if call.type.physical == "decimal":
        return decimals.size(call)
    if call.type.physical != "int64":
        return _mapped(_SIZE)(call)
    out = call.numbers()
    call.fault(kernels.size_int64, source.values, out=out)
    return out


def _sign(call: Call) -> Memory | Vector:
    (source,) = call.arguments
    if call.type.physical == "float64":
        return _mapped(_SIGN)(call)
    out = call.numbers()
    kernels.sign_int64(source.values, int(call.type.physical == "uint64"), out)
    return out


def _round_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    if not 0 <= options["decimals"] <= 300:
        raise PlanError(f".round: decimals is {options['decimals']}; write 0 or more, and .bucket(100) for whole hundreds")
    if options["mode"] not in _HALVES:
        raise PlanError(f".round: mode is {options['mode']!r}; write {' or '.join(map(repr, _HALVES))}")
    return _alike(".round", "decimal")(operands, options)


def _round(call: Call) -> Memory | Vector:
    (source,) = call.arguments
    if call.type.physical == "decimal":
        return decimals.rounded(call)
    if call.type.physical != "float64":
        return source
    out = call.numbers()
    factor, away = 10.0 ** call.options["decimals"], int(call.options["mode"] == "half_away_from_zero")
    kernels.round_float64(source.values, factor, away, out)
    return out


def _power(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    base, exponent = operands
    signature = arithmetic(".pow")((base, exponent), options)
    if UINT64 in (base.type, exponent.type) and signature.result.family == "int":
        raise PlanError(".pow needs numbers with a sign, found uint64; cast it to int64 or float64 first")
    if signature.result.family == "int":
        kind = FLOAT64 if exponent.literal and exponent.value is not None and exponent.value < 0 else INT64
        return Signature((kind, kind), kind)
    return signature


def _pow(call: Call) -> Memory:
    base, exponent = call.arguments
    if call.type is FLOAT64:
        return by_arrow(call, "power", base, exponent).values
    out = call.numbers()
    call.fault(kernels.power_int64, base.values, exponent.values, out=out)
    return out


def _log(call: Call) -> Memory:
    (source,) = call.arguments
    base = float(call.options["base"])
    name = {math.e: "ln", 2.0: "log2", 10.0: "log10"}.get(base)
    if name:
        return by_arrow(call, name, source).values
    logs = by_arrow(call, "ln", source).values
    return _divided(call, logs, math.log(base))


def _divided(call: Call, values: Memory, by: float) -> Memory:
    out = call.numbers()
    kernels.divide_float64(values, constant(FLOAT64, by, call.length).values, out)
    return out


def _log_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    base = options["base"]
    if not (0 < base < math.inf) or base == 1:
        raise PlanError(f".log: base is {base}; write a number above 0 that is not 1")
    return _as_float(".log")(operands, options)


def _exp(call: Call) -> Memory:
    return by_arrow(call, "exp", call.arguments[0]).values


def _tested(name: str, what: int) -> Function:
    doc, values = {
        _NAN: ("Is the number NaN?", [False, True, False, None]),
        _NOT_NAN: ("Is the number not NaN?", [True, False, True, None]),
        _FINITE: ("Is the number neither infinite nor NaN?", [True, False, False, None]),
        _INFINITE: ("Is the number infinite?", [False, False, True, None]),
    }[what]

    def compute(call: Call) -> Memory:
        out = call.bytes()
        kernels.test_float64(call.arguments[0].values, what, out)
        return out

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        column_of(_NUMBERS, f".{name}", operands[0])
        return Signature((FLOAT64,), BOOL)

    return Function(
        name,
        "int|float -> bool",
        doc,
        signature,
        compute,
        (Example(f"x.{name}()", _ODD, values), Example(f"i.{name}()", _I, [values[0], values[0], None])),
        ("test_float64",),
    )


def _bucket(value: Any, width: float) -> Any:
    if not 0 < width < math.inf:
        raise PlanError(f".bucket: width is {width}; write a number above 0")
    return value // width * width


_X: Columns = {"x": ("float64", [2.5, -1.25, None])}
_I: Columns = {"i": ("int64", [7, -7, None])}
_ODD: Columns = {"x": ("float64", [1.0, math.nan, -math.inf, None])}


def _one(
    name: str, takes: str, doc: str, signature: Any, compute: Any, examples: tuple[Example, ...], *by: str, parameters: str = ""
) -> Function:
    return Function(name, takes, doc, signature, compute, examples, by, parameters)


FUNCTIONS = (
    _one(
        "abs",
        "int|float|decimal|duration -> same",
        "The number without its sign. The least int64 rejects the record (OUT_OF_RANGE).",
        _alike(".abs", "decimal", "duration"),
        _abs,
        (Example("x.abs()", _X, [2.5, 1.25, None]), Example("i.abs()", _I, [7, 7, None])),
        "map_float64",
        "size_int64",
    ),
    _one(
        "sign",
        "int|float -> same",
        "1, 0 or -1, as the number is above, at or below 0; NaN of NaN.",
        _alike(".sign"),
        _sign,
        (Example("x.sign()", _X, [1.0, -1.0, None]), Example("i.sign()", _I, [1, -1, None])),
        "map_float64",
        "sign_int64",
    ),
    _one(
        "round",
        "int|float|decimal -> same",
        "The number to so many decimals; a half goes to the even digit, or away from zero with mode='half_away_from_zero'.",
        _round_signature,
        _round,
        (
            Example("x.round()", _X, [2.0, -1.0, None]),
            Example('x.round(1, "half_away_from_zero")', _X, [2.5, -1.3, None]),
        ),
        "round_float64",
        parameters='decimals: int = 0, mode: str = "half_to_even"',
    ),
    _one(
        "floor",
        "int|float -> same",
        "The greatest whole number that is not above.",
        _alike(".floor"),
        _mapped(_FLOOR),
        (Example("x.floor()", _X, [2.0, -2.0, None]), Example("i.floor()", _I, [7, -7, None])),
        "map_float64",
    ),
    _one(
        "ceil",
        "int|float -> same",
        "The least whole number that is not below.",
        _alike(".ceil"),
        _mapped(_CEIL),
        (Example("x.ceil()", _X, [3.0, -1.0, None]), Example("i.ceil()", _I, [7, -7, None])),
        "map_float64",
    ),
    written_with(
        "bucket",
        "int|float -> same",
        "The start of the bucket of this width that the number lies in; one starts at 0.",
        _bucket,
        (Example("i.bucket(5)", _I, [5, -10, None]), Example("x.bucket(0.5)", _X, [2.5, -1.5, None])),
        ("floor_divide_int64", "multiply_int64", "floor_divide_float64"),
        parameters="width: float",
    ),
    _one(
        "sqrt",
        "int|float -> float64",
        "The square root; NaN of a number below 0.",
        _as_float(".sqrt"),
        _mapped(_ROOT),
        (
            Example("i.sqrt()", {"i": ("int64", [4, 0, None])}, [2.0, 0.0, None]),
            Example("x.sqrt()", {"x": ("float64", [2.25, -1.0])}, [1.5, math.nan]),
        ),
        "map_float64",
    ),
    _one(
        "exp",
        "int|float -> float64",
        "e to the power of the number.",
        _as_float(".exp"),
        _exp,
        (
            Example("i.exp()", {"i": ("int64", [0, None])}, [1.0, None]),
            Example("x.exp()", {"x": ("float64", [-math.inf, 1.0])}, [0.0, math.e]),
        ),
        "pyarrow.compute.exp",
    ),
    _one(
        "log",
        "int|float -> float64",
        "The logarithm to a base, e where none is named; -inf of 0, NaN of a number below 0.",
        _log_signature,
        _log,
        (
            Example("i.log(10)", {"i": ("int64", [1000, 0, None])}, [3.0, -math.inf, None]),
            Example("x.log()", {"x": ("float64", [1.0, -1.0])}, [0.0, math.nan]),
        ),
        "pyarrow.compute.ln",
        "pyarrow.compute.log2",
        "pyarrow.compute.log10",
        parameters="base: float = 2.718281828459045",
    ),
    _one(
        "pow",
        "int|float, int|float -> number",
        "The number to a power. Of integers an integer; beyond int64, or of a column's power below 0, OUT_OF_RANGE.",
        _power,
        _pow,
        (Example("i.pow(2)", _I, [49, 49, None]), Example("x ** 0.5", {"x": ("float64", [2.25, None])}, [1.5, None])),
        "power_int64",
        "pyarrow.compute.power",
        parameters="exponent: Value",
    ),
    _tested("is_nan", _NAN),
    _tested("is_not_nan", _NOT_NAN),
    _tested("is_finite", _FINITE),
    _tested("is_infinite", _INFINITE),
)
