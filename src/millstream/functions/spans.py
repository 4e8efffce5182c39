"""The .dt methods that move times, tell how long durations are, and count from 1970."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.instants import in_ticks
from millstream.functions.signatures import one_of, ticks_per_day
from millstream.functions.time import length_of
from millstream.functions.walls import to_wall, to_zone
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import INT64, Code, Type


def _steps(by: str, kind: Type) -> tuple[int, int, int]:
    """What "-1mo2d3h" adds: months, days, and ticks of the clock. Raises PlanError for a text that is none."""
    import re

    body = by[1:] if by[:1] in ("+", "-") else by
    pieces = re.findall(r"(?a)\d+(?:ns|us|ms|mo|s|m|h|d|w|q|y)", body)
    if not pieces or "".join(pieces) != body:
        raise PlanError(f".dt.offset_by: {by!r} is no length of time; write counts and s, m, h, d, w, mo, q, y: '1h', '-1mo2d'")
    months = days = ticks = 0
    for piece in pieces:
        more, month = length_of(piece, kind)
        months += month
        if piece[-1] in "dw" or kind.family == "date":
            days += more // ticks_per_day(kind)
        else:
            ticks += more
    sign = -1 if by[0] == "-" else 1
    if max(months, days) >= 1 << 40 or ticks >= 1 << 62:
        raise PlanError(f".dt.offset_by: {by!r} is longer than {kind} can tell; use a shorter one")
    return sign * months, sign * days, sign * ticks


def _offset_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    signature = one_of(("date", "timestamp"), ".dt.offset_by")(operands, options)
    _steps(options["by"], signature.result)
    return signature


def _offset_by(call: Call) -> Memory:
    """Months and days by the clock on the wall of the zone, what is shorter by time that passes."""
    (source,) = call.arguments
    months, days, ticks = _steps(call.options["by"], call.type)
    values, day = source.values, ticks_per_day(call.type)
    if months or days:
        values = to_wall(call, source)
        if months:
            later = call.numbers()
            call.fault(kernels.add_months, values, day, months, out=later)
            values = later
        if days:
            values = _moved(call, values, days * day)
        values = to_zone(call, call.type, values)
    if ticks:
        values = _moved(call, values, ticks)
    if call.type.family == "date":
        call.fault(kernels.refuse_outside, values, *call.type.range, int(Code.OUT_OF_RANGE))
    return values


def _moved(call: Call, values: Memory, by: int) -> Memory:
    for _ in range(3):  # after so many of the most that is added at once no row has room left
        part = max(-(1 << 63), min(by, (1 << 63) - 1))
        shift, out = call.numbers(), call.numbers()
        kernels.fill_int64(part, shift)
        call.fault(kernels.add_int64, values, shift, out=out)
        values, by = out, by - part
        if not by:
            break
    return values


_MICROS = {
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
    "milliseconds": 1000,
    "microseconds": 1,
}


def _total(unit: str, values: list[int | None], small: int) -> Function:
    """How many whole units a duration has."""
    name, micros = f"dt.total_{unit}", _MICROS[unit]

    def compute(call: Call) -> Memory:
        out = call.numbers()
        kernels.cut_int64(call.arguments[0].values, micros, out)
        return out

    return Function(
        name,
        "duration -> int64",
        f"How many whole {unit} the duration has; what is less is cut off, towards zero.",
        one_of(("duration",), f".{name}", INT64),
        compute,
        (
            Example(f"(b - a).{name}()", _PAIR, values),
            Example(f'(n * duration("PT0.5S")).{name}()', {"n": ("int64", [-3, None])}, [small, None]),
        ),
        ("cut_int64",),
    )


def _epoch_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    unit = options["time_unit"]
    if unit not in ("d", *TICKS):
        raise PlanError(f".dt.epoch: time_unit is {unit!r}; write 'd', 's', 'ms', 'us' or 'ns'")
    return one_of(("date", "timestamp"), ".dt.epoch", INT64)(operands, options)


def _epoch(call: Call) -> Memory:
    return in_ticks(call, call.arguments[0], call.options["time_unit"])


_PAIR: Columns = {
    "a": ("timestamp[us]", ["2024-01-01T00:00:00", "2024-01-02T00:00:00", None]),
    "b": ("timestamp[us]", ["2024-01-03T01:02:03", "2024-01-01T23:59:59", None]),
}
_TIMES: Columns = {"t": ("timestamp[us, UTC]", ["2024-01-31T12:00:00", None])}
_DAYS: Columns = {"d": ("date32", ["2024-03-31", None])}

FUNCTIONS = (
    Function(
        "dt.offset_by",
        "date|timestamp -> same",
        "The time so much later, or earlier with a minus: '1h', '-1mo2d'. Of months that are too short the last day.",
        _offset_signature,
        _offset_by,
        (
            Example('t.dt.offset_by("1mo2h")', _TIMES, ["2024-02-29T14:00:00", None]),
            Example('d.dt.offset_by("-1mo")', _DAYS, ["2024-02-29", None]),
        ),
        ("add_months", "add_int64"),
        "by: str",
    ),
    _total("days", [2, 0, None], 0),
    _total("hours", [49, 0, None], 0),
    _total("minutes", [2942, 0, None], 0),
    _total("seconds", [176523, -1, None], -1),
    _total("milliseconds", [176523000, -1000, None], -1500),
    _total("microseconds", [176523000000, -1000000, None], -1500000),
    Function(
        "dt.epoch",
        "date|timestamp -> int64",
        "The time since 1970 in microseconds, or in 'd', 's', 'ms' or 'ns', rounded to the past.",
        _epoch_signature,
        _epoch,
        (
            Example('t.dt.epoch("s")', _TIMES, [1706702400, None]),
            Example('d.dt.epoch("d")', _DAYS, [19813, None]),
        ),
        ("rescale_int64",),
        'time_unit: str = "us"',
    ),
)
