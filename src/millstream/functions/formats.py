"""The .dt method that writes dates and times by a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.columns import Vector, room_for_text
from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.layouts import EPOCH, OFFSET, flat, has_clock, has_days, steps_of
from millstream.functions.signatures import one_of
from millstream.functions.walls import to_wall
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY_WORDS, from_numbers
from millstream.schema import STRING, Code

_WIDEST = (1, 20, 2, 2, 2, 2, 2, 9, 10, 2, 3, 9, 3, 2, 2, 6, 2, 3, 9, 21, 1)
"""The most bytes that a step writes, as kernels/layouts.py numbers them."""


def _signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    signature = one_of(("date", "time", "timestamp"), ".dt.to_string", STRING)(operands, options)
    (kind,) = signature.arguments
    steps = steps_of(".dt.to_string", options["format"])
    signs = {what for what, _ in steps}
    if kind.family == "date" and has_clock(steps):
        raise PlanError(
            f".dt.to_string: {options['format']!r} has a time of day, and a date has none; cast it to timestamp[us]"
        )
    if kind.family == "time" and has_days(steps):
        raise PlanError(f".dt.to_string: {options['format']!r} has a date, and a time of day has none; leave it out")
    if OFFSET in signs and not kind.zone:
        raise PlanError(
            f".dt.to_string: {options['format']!r} has an offset, and {kind} has no zone; use .dt.replace_time_zone('UTC')"
        )
    return signature


def _to_string(call: Call) -> Vector:
    (source,) = call.arguments
    steps = steps_of("", call.options["format"])
    ticks = 0 if source.type.family == "date" else TICKS[source.type.unit]
    values, shifts = to_wall(call, source), EMPTY_WORDS
    if values is not source.values and {OFFSET, EPOCH} & {what for what, _ in steps}:
        before, shifts = call.numbers(), call.numbers()
        kernels.subtract_int64(values, source.values, call.bytes(), before)
        call.fault(kernels.rescale_int64, before, 1, ticks, int(Code.OUT_OF_RANGE), out=shifts)
    views = call.numbers()
    data = room_for_text(call.length * sum(_WIDEST[what] for what, _ in steps))
    valid = call.valid or source.validity()
    kernels.format_layout(values, shifts, valid, ticks, from_numbers("q", flat(steps)), data, views)
    return Vector(STRING, call.length, views, None, data)


_T: Columns = {"t": ("timestamp[us, UTC]", ["2024-01-05T13:05:09.250000", None])}
_D: Columns = {"d": ("date32", ["2024-01-05", None])}

FUNCTIONS = (
    Function(
        "dt.to_string",
        "date|time|timestamp -> string",
        "The text of the time by a layout, '%Y-%m-%d %H:%M:%S'; months and days are in English.",
        _signature,
        _to_string,
        (
            Example('t.dt.to_string("%d.%m.%Y %H:%M:%S%.3f%z")', _T, ["05.01.2024 13:05:09.250+0000", None]),
            Example('d.dt.to_string("%a, %e %b %Y")', _D, ["Fri,  5 Jan 2024", None]),
            Example('c.dt.to_string("%H:%M:%S%.6f")', {"c": ("time64[us]", [1, None])}, ["00:00:00.000001", None]),
        ),
        ("format_layout",),
        "format: str",
    ),
)
