"""cast: from one type to another.

Strict, as is usual, a value that does not fit rejects the record: OUT_OF_RANGE, BAD_NUMBER, BAD_TIME or BAD_VALUE. With
strict=False it becomes null. Floats lose their fraction on the way to integers; times lose what a coarser unit cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.columns import Vector, filled_bytes, room_for_text
from millstream.encode.text import as_text
from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import TICKS, described, ticks_per_day
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate
from millstream.schema import BOOL, FLOAT64, INT64, NULL, STRING, Code, Type, parse_type

_SCRATCH = 256
"""The words that kernels/floats.py counts in for numbers of many digits."""


def widened(vector: Vector, kind: Type) -> Vector:
    """A column brought to a type that holds all its values, as signatures ask for: wider integers, floats."""
    if vector.type.physical == kind.physical or kind.physical != "float64":
        return Vector(kind, vector.length, vector.values, vector.valid, vector.data)
    out = allocate(vector.length, 8)
    kernel = kernels.convert_uint64_float64 if vector.type.physical == "uint64" else kernels.convert_int64_float64
    kernel(vector.values, out)
    return Vector(kind, vector.length, out, vector.valid)


def _possible(source: Type, target: Type) -> bool:
    plain = ("int", "float", "bool", "string")
    if source.family in plain and target.family in plain:
        return True
    if source.is_temporal:
        return target.is_temporal or target.family == "string" or (target.family == "int" and target.bits == 64)
    return target.is_temporal and (source.family == "string" or source.family == "int")


def _signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    (operand,) = operands
    target = parse_type(options["dtype"])
    if target.name == "json":
        raise PlanError("json is a type of input columns, not of casts; cast to string")
    if operand.type is NULL:
        return Signature((target,), target)
    if not _possible(operand.type, target):
        advice = "compare it with something instead" if target is BOOL else "go by way of int64"
        raise PlanError(f"{described(operand)} cannot be cast to {target}; {advice}")
    return Signature((operand.type,), target)


def _cast(call: Call) -> Memory | Vector:
    (source,) = call.arguments
    return _between(call, source, source.type, call.type, bool(call.options.get("strict", True)))


def _between(call: Call, source: Vector, old: Type, new: Type, strict: bool) -> Memory | Vector:
    if old == new:
        return source
    if old.family == "string":
        return _from_text(call, source, new, strict)
    if new.family == "string":
        return as_text(source)
    if old.is_temporal and new.is_temporal:
        return _retime(call, source.values, old, new, strict)
    if new is BOOL:
        return _to_bool(call, source)
    if old is BOOL:
        values = call.numbers()
        kernels.convert_uint8_int64(source.values, values)
        return widened(Vector(INT64, call.length, values), new).values
    if new.family == "float":
        return _narrow_float(call, widened(source, FLOAT64).values if old.family != "float" else source.values, new)
    code = int(Code.OUT_OF_RANGE) if strict else 0
    values = source.values
    if old.family == "float":
        values = call.numbers()
        to = "uint64" if new.physical == "uint64" else "int64"
        call.fault(getattr(kernels, f"convert_float64_{to}"), source.values, code, out=values)
    _refuse_misfits(call, values, old, new, code)
    return values


def _refuse_misfits(call: Call, values: Memory, old: Type, new: Type, code: int) -> None:
    """Integers that the new type does not hold get the code; the bits stay."""
    if old.physical == "uint64" or new.physical == "uint64":
        low, high = 0, min(new.range[1], (1 << 63) - 1)
        if old.physical == new.physical or (old.family == "float" and new.physical == "uint64"):
            return
    else:
        low, high = new.range
    if new.bits == 64 and new.physical == "int64" and old.physical != "uint64":
        return
    if old.family == "int" and old.physical == "int64" and old.range[0] >= low and old.range[1] <= high:
        return
    call.fault(kernels.refuse_outside, values, low, high, code)


def _narrow_float(call: Call, values: Memory, new: Type) -> Memory:
    if new.bits == 64:
        return values
    out = call.numbers()
    kernels.round_float32(values, out)
    return out


def _to_bool(call: Call, source: Vector) -> Memory:
    out, zeros = call.bytes(), call.numbers()
    kernels.fill_int64(0, zeros)
    kernel = kernels.equal_float64 if source.type.family == "float" else kernels.equal_int64
    kernel(source.values, zeros, 1, out)
    return out


def _retime(call: Call, values: Memory, old: Type, new: Type, strict: bool) -> Memory:
    """Ticks of one unit to another's, rounded to the past."""
    before, after = ticks_per_day(old), ticks_per_day(new)
    code = int(Code.OUT_OF_RANGE) if strict else 0
    out = values
    if before != after:
        out = call.numbers()
        call.fault(kernels.rescale_int64, values, max(after // before, 1), max(before // after, 1), code, out=out)
    if new.family == "date" and old.family != "date":
        call.fault(kernels.refuse_outside, out, *new.range, code)
    return out


def _separated(source: Vector) -> Vector:
    """The same strings in bytes of our own, a zero behind each and padding: parsing kernels read past a number, to what ends it."""
    valid = source.validity()
    size = kernels.measure_strings(source.values, valid, allocate(source.length + 1, 4))
    most = size + source.length + PADDING if size >= 0 else size
    data, views = room_for_text(most), allocate(source.length, 8)
    kernels.separate_strings(source.data, source.values, valid, data, views)
    return Vector(STRING, source.length, views, source.valid, data)


def _from_text(call: Call, source: Vector, new: Type, strict: bool) -> Memory:
    data = source.data
    assert data is not None
    if new.family == "bool":
        out = call.bytes()
        call.fault(kernels.parse_bool, data, source.values, int(strict), out=out)
        return out
    out = call.numbers()
    if new.family == "int":
        call.fault(getattr(kernels, f"parse_{new.physical}"), data, source.values, int(strict), out=out)
        _refuse_misfits(call, out, INT64 if new.physical == "int64" else new, new, int(Code.OUT_OF_RANGE) if strict else 0)
        return out
    return _from_separated(call, _separated(source), new, strict, out)


def _from_separated(call: Call, source: Vector, new: Type, strict: bool, out: Memory) -> Memory:
    """Floats, dates and timestamps, by the kernels that decode them from JSON too: they write a status instead of a validity."""
    assert source.data is not None
    valid = call.valid or filled_bytes(1, call.length)
    status = call.bytes()
    if new.family == "float":
        kernels.parse_float64(source.data, source.values, valid, int(new.bits == 32), allocate(_SCRATCH, 8), out, status)
    elif new.family == "date":
        kernels.parse_date(source.data, source.values, valid, out, status)
    else:
        kernels.parse_timestamp(source.data, source.values, valid, TICKS[new.unit], int(bool(new.zone)), out, status)
    if not strict:
        kernels.forgive_errors(valid, status)
    call.valid = status
    return out


_N: Columns = {"i": ("int64", [1, 300, None]), "s": ("string", ["12", "x", None]), "x": ("float64", [1.9, -1.9, None])}

FUNCTIONS = (
    Function(
        "cast",
        "The value as another type. A value that does not fit rejects the record, or is null with strict=False.",
        _signature,
        _cast,
        (
            Example('x.cast("int64")', _N, [1, -1, None]),
            Example('s.cast("int64", strict=False)', _N, [12, None, None]),
            Example('i.cast("int8", strict=False)', _N, [1, None, None]),
        ),
        options={"strict": True},
    ),
)
