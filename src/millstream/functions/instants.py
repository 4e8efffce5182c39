"""Points in time and spans between them: sums and differences, `now()`, `from_epoch`.

A duration has microseconds. Times of a coarser unit become ones of microseconds when a duration is added; of two times of nanoseconds
the difference is cut to microseconds, towards the past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.columns import Vector, constant
from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Form, Function, Operand, Signature
from millstream.functions.signatures import column_of, described, ticks_per_day
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import INT64, TYPES, Code, Type
from millstream.types import in_unit

_SPAN = TYPES["duration[us]"]


def signature(symbol: str, operands: Sequence[Operand]) -> Signature | None:
    """The types of a sum, difference or product with a time or a duration; None where no side is one."""
    left, right = (one.type for one in operands)
    if not any(kind.is_temporal or kind.family == "duration" for kind in (left, right)):
        return None
    result = _result(symbol, left, right)
    if result is None:
        found = f"{symbol} of {described(operands[0])} and {described(operands[1])}"
        raise PlanError(f"{found} makes no sense here; {_advice(symbol, left, right)}")
    return Signature((left, right), result)


def _result(symbol: str, left: Type, right: Type) -> Type | None:
    families = (left.family, right.family)
    if symbol == "-" and left.is_temporal and families[0] == families[1] and bool(left.zone) == bool(right.zone):
        return _SPAN
    if families == ("timestamp", "duration") and symbol in ("+", "-"):
        return _in_micros(left)
    if families == ("duration", "timestamp") and symbol == "+":
        return _in_micros(right)
    if families == ("duration", "duration") and symbol in ("+", "-"):
        return _SPAN
    whole = "int" in families and "uint64" not in (left.physical, right.physical)
    return _SPAN if whole and symbol == "*" and "duration" in families else None


def _in_micros(kind: Type) -> Type:
    """The type that holds the sum of a timestamp and microseconds."""
    return kind if kind.unit in ("us", "ns") else in_unit(kind, "us")


def _advice(symbol: str, left: Type, right: Type) -> str:
    families = {left.family, right.family}
    if families == {"date", "duration"}:
        return "cast the date to timestamp[us], or use .dt.offset_by('1d')"
    if "string" in families:
        return 'write a time as datetime("2024-01-31T12:00:00"), a duration as duration("PT1H"), or cast the column'
    if "duration" in families and families & {"float", "int"}:
        return "take .dt.total_seconds() of the duration first"
    if families <= {"date", "timestamp"}:
        return "cast both to one type with or without a zone"
    return "take the difference of two times, or add a duration to one"


def compute(symbol: str, call: Call) -> Memory:
    """left + right, left - right or left * right in one unit."""
    left, right = call.arguments
    out = call.numbers()
    if symbol == "*":
        call.fault(kernels.multiply_int64, left.values, right.values, out=out)
        return out
    kernel = kernels.add_int64 if symbol == "+" else kernels.subtract_int64
    fine = "ns" in (left.type.unit, right.type.unit)
    unit = "ns" if fine else "us"
    call.fault(kernel, in_ticks(call, left, unit), in_ticks(call, right, unit), out=out)
    if fine and call.type is _SPAN:
        micros = call.numbers()
        call.fault(kernels.rescale_int64, out, 1, TICKS["ns"] // TICKS["us"], int(Code.OUT_OF_RANGE), out=micros)
        return micros
    return out


def in_ticks(call: Call, source: Vector, unit: str) -> Memory:
    """A date, time or duration as ticks of a unit, towards the past; what is beyond an int64 is out of range."""
    if unit == "d":
        before, after = ticks_per_day(source.type), 1
    elif source.type.family == "date":
        before, after = 1, 86400 * TICKS[unit]
    else:
        before, after = TICKS[source.type.unit], TICKS[unit]
    if before == after:
        return source.values
    out = call.numbers()
    factors = (max(after // before, 1), max(before // after, 1))
    call.fault(kernels.rescale_int64, source.values, *factors, int(Code.OUT_OF_RANGE), out=out)
    return out


def _now(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    return Signature((), TYPES["timestamp[us, UTC]"])


def _bound_when_run(call: Call) -> Vector:
    return constant(call.type, call.options["began"], call.length)


def _from_epoch_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    column_of(("int",), "from_epoch", operands[0])
    unit = options["time_unit"]
    if unit not in ("d", *TICKS):
        raise PlanError(f"from_epoch: time_unit is {unit!r}; write 'd', 's', 'ms', 'us' or 'ns'")
    if operands[0].type.physical == "uint64":
        raise PlanError("from_epoch needs a number of 64 bits with a sign, found uint64; cast it to int64 first")
    return Signature((INT64,), TYPES["date32" if unit == "d" else "timestamp[us]" if unit == "s" else f"timestamp[{unit}]"])


def _from_epoch(call: Call) -> Memory:
    (source,) = call.arguments
    if call.type.family == "date":
        call.fault(kernels.refuse_outside, source.values, *call.type.range, int(Code.OUT_OF_RANGE))
        return source.values
    return in_ticks(call, Vector(TYPES[f"timestamp[{call.options['time_unit']}]"], call.length, source.values), call.type.unit)


_SECONDS: Columns = {"n": ("int64", [1700000000, -1, None])}

FUNCTIONS = (
    Function(
        "now",
        "-> timestamp[us, UTC]",
        "When the batch began to run, the same in every row. A batch that is run again has another, and so other rows.",
        _now,
        _bound_when_run,
        (
            Example(
                "(now() - t).dt.total_days() > 0", {"t": ("timestamp[us, UTC]", ["2024-01-01T00:00:00", None])}, [True, None]
            ),
            Example("now().dt.year() > 2023", {"n": ("int64", [1])}, [True]),
        ),
        (),
        form=Form.FUNCTION,
    ),
    Function(
        "from_epoch",
        "int -> timestamp[us]",
        "The time so many seconds, 'ms', 'us' or 'ns' after 1970, or the date so many days ('d') after.",
        _from_epoch_signature,
        _from_epoch,
        (
            Example("from_epoch(n)", _SECONDS, ["2023-11-14T22:13:20", "1969-12-31T23:59:59", None]),
            Example('from_epoch(n, "ms")', _SECONDS, ["1970-01-20T16:13:20", "1969-12-31T23:59:59.999000", None]),
        ),
        ("rescale_int64",),
        'expr: Value, time_unit: str = "s"',
        form=Form.FUNCTION,
    ),
)
