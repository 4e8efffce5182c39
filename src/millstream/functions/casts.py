"""cast: from one type to another.

Strict, as is usual, a value that does not fit rejects the record: OUT_OF_RANGE, BAD_NUMBER, BAD_TIME or BAD_VALUE. With
strict=False it becomes null. Floats lose their fraction on the way to integers; times lose what a coarser unit cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.classes import replace
from millstream.columns import Vector, filled_bytes, has_errors, int128_words, ones, room_for_text
from millstream.encode.text import as_text
from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import castable, described, no_function, ticks_per_day
from millstream.functions.walls import to_wall
from millstream.functions.written import whole_text
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate
from millstream.schema import BOOL, FLOAT64, INT64, NULL, STRING, Code, Type, parse_type
from millstream.types import MOST_DIGITS, without_json

_SCRATCH = 256
"""The words that kernels/floats.py counts in for numbers of many digits."""


def widened(vector: Vector, kind: Type) -> Vector:
    """A column brought to a type that holds all its values, as signatures ask for: wider integers, floats."""
    if vector.type.physical == kind.physical or kind.physical != "float64":
        return Vector(kind, vector.length, vector.values, vector.valid, vector.data, vector.children, vector.one)
    out = allocate(vector.length, 8)
    kernel = kernels.convert_uint64_float64 if vector.type.physical == "uint64" else kernels.convert_int64_float64
    kernel(vector.values, out)
    return Vector(kind, vector.length, out, vector.valid)


def _signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    (operand,) = operands
    target = parse_type(options["dtype"])
    if without_json(target) != target:
        raise PlanError("json is a type of input columns, not of casts; cast to string")
    if operand.type is NULL:
        return Signature((target,), target)
    if not castable(operand.type, target):
        raise PlanError(f"{described(operand)} cannot be cast to {target}; {_instead(operand.type, target)}")
    return Signature((operand.type,), target)


def _instead(source: Type, target: Type) -> str:
    """What to do where there is no such cast."""
    if target is BOOL:
        return "compare it with something instead"
    if target.is_nested or source.is_nested:
        return no_function(source)
    return f"go by way of {INT64 if castable(source, INT64) and castable(INT64, target) else STRING}"


def _cast(call: Call) -> Memory | Vector:
    (source,) = call.arguments
    return _between(call, source, source.type, call.type, call.options["strict"])


def _between(call: Call, source: Vector, old: Type, new: Type, strict: bool) -> Memory | Vector:
    if old is new or old == new:
        return source
    if new.family == "binary":
        return replace(source, type=new)
    if old.family == "binary":
        return _decoded(call, source, strict)
    if old.family == "string":
        return _from_text(call, source, new, strict)
    if new.family == "string":
        return as_text(source)
    if old.is_temporal and new.is_temporal:
        return _retime(call, to_wall(call, source) if new.family == "date" else source.values, old, new, strict)
    if new is BOOL:
        return _to_bool(call, source)
    if "decimal" in (old.family, new.family):
        return _decimal(call, source, old, new, strict)
    if old is BOOL:
        values = call.numbers()
        kernels.convert_uint8_int64(source.values, values)
        return widened(Vector(INT64, call.length, values), new).values
    code = int(Code.OUT_OF_RANGE) if strict else 0
    if new.family == "float":
        return _to_float(call, source, old, new, code)
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
    if new.bits == 64 and new.physical == "int64" and old.physical != "uint64" and new.family != "time":
        return
    if old.family == "int" and old.physical == "int64" and old.range[0] >= low and old.range[1] <= high:
        return
    call.fault(kernels.refuse_outside, values, low, high, code)


def _decimal(call: Call, source: Vector, old: Type, new: Type, strict: bool) -> Memory:
    """From and to decimals: digits that the new scale has not are rounded half to even; to an integer they are cut off."""
    code = int(Code.OUT_OF_RANGE) if strict else 0
    if new.family == "float":  # by its digits: that is rounded once
        return _from_text(call, as_text(source), new, strict)
    if old.family == "float":
        return _from_digits(call, source, new, strict)
    values = source.values
    if old.family != "decimal":
        values = allocate(2 * call.length, 8)
        kernels.widen_int128(source.values, int(old.physical == "uint64"), values)
    limits = int128_words(10 ** (new.precision or MOST_DIGITS) - 1)
    scaled, nearest = allocate(2 * call.length, 8), int(new.family == "decimal")
    call.fault(kernels.rescale_decimal, values, new.scale - old.scale, nearest, *limits, code, out=scaled)
    if new.family == "decimal":
        return scaled
    out, unsigned = call.numbers(), new.physical == "uint64"
    call.fault(kernels.narrow_int128, scaled, int(unsigned), code, out=out)
    _refuse_misfits(call, out, new if unsigned else INT64, new, code)
    return out


def _from_digits(call: Call, source: Vector, new: Type, strict: bool) -> Memory:
    """Floats to decimals by the digits that they are written in; NaN and infinities, which have none, do not fit."""
    before = call.valid
    if has_errors(before):
        call.valid = _without_errors(before)
    scaled = _from_text(call, as_text(source, json=True), new, strict=True)
    assert call.valid is not None
    status = call.bytes()
    kernels.replace_uint8(int(Code.BAD_NUMBER), int(Code.OUT_OF_RANGE), call.valid, status)
    if not strict:
        kernels.forgive_errors(before or filled_bytes(1, call.length), status)
    call.valid = status
    call.also(before)
    return scaled


def _without_errors(valid: Memory) -> Memory:
    """Validity in which what is in error is null."""
    out = allocate(valid.count, 1)
    kernels.copy_uint8(valid, out)
    kernels.forgive_errors(ones(valid.count), out)
    return out


def _decoded(call: Call, source: Vector, strict: bool) -> Vector:
    """Binary strings as text, where they are UTF-8."""
    apart, found = _separated(source), call.numbers()
    kernels.find_invalid_utf8(apart.data, apart.values, found)
    call.fault(kernels.refuse_outside, found, -1, -1, int(Code.BAD_UTF8) if strict else 0)
    return replace(source, type=STRING)


def _to_float(call: Call, source: Vector, old: Type, new: Type, code: int) -> Memory:
    """Floats and integers to the nearest float of a type; a number that float32 does not reach does not fit."""
    if new.bits == 64:
        return source.values if old.family == "float" else widened(source, FLOAT64).values
    out = call.numbers()
    if old.family == "float":
        call.fault(kernels.round_float32, source.values, code, out=out)
    else:  # not by way of float64: that would round twice
        kernels.convert_int64_float32(source.values, int(old.physical == "uint64"), out)
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
    data, views = room_for_text(whole_text(source) + source.length + PADDING), allocate(source.length, 8)
    kernels.separate_strings(source.data, source.values, source.validity(), data, views)
    return Vector(STRING, source.length, views, source.valid, data)


def _from_text(call: Call, source: Vector, new: Type, strict: bool) -> Memory:
    data = source.data
    assert data is not None
    if new.family == "bool":
        out = call.bytes()
        call.fault(kernels.parse_bool, data, source.values, int(strict), out=out)
        return out
    if new.family == "decimal":
        return _from_separated(call, _separated(source), new, strict, allocate(2 * call.length, 8))
    out = call.numbers()
    if new.family == "int":
        call.fault(getattr(kernels, f"parse_{new.physical}"), data, source.values, int(strict), out=out)
        _refuse_misfits(call, out, INT64 if new.physical == "int64" else new, new, int(Code.OUT_OF_RANGE) if strict else 0)
        return out
    return _from_separated(call, _separated(source), new, strict, out)


def _from_separated(call: Call, source: Vector, new: Type, strict: bool, out: Memory) -> Memory:
    """Floats, decimals, dates and times, by the kernels that decode them from JSON too: they write a status instead of a validity."""
    assert source.data is not None
    valid = call.valid or filled_bytes(1, call.length)
    status = call.bytes()
    if new.family == "float":
        kernels.parse_float64(source.data, source.values, valid, int(new.bits == 32), allocate(_SCRATCH, 8), out, status)
    elif new.family == "decimal":
        kernels.parse_decimal(source.data, source.values, valid, new.precision, new.scale, out, status)
    elif new.family == "date":
        kernels.parse_date(source.data, source.values, valid, out, status)
    elif new.family == "time":
        kernels.parse_time(source.data, source.values, valid, TICKS[new.unit], out, status)
    elif new.family == "duration":
        kernels.parse_duration(source.data, source.values, valid, TICKS[new.unit], out, status)
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
        "any -> any",
        "The value as another type. A value that does not fit rejects the record, or is null with strict=False.",
        _signature,
        _cast,
        (
            Example('x.cast("int64")', _N, [1, -1, None]),
            Example('s.cast("int64", strict=False)', _N, [12, None, None]),
            Example('i.cast("int8", strict=False)', _N, [1, None, None]),
        ),
        ("convert_float64_int64", "parse_int64"),
        "dtype: str | Type, *, strict: bool = True",
    ),
)
