"""The .dt methods. A UTC timestamp's parts are those of UTC."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import one_of, ticks_per_day
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import TYPES, Code, Type

_EVERY = re.compile(r"(?a)([1-9]\d{0,8})(ns|us|ms|s|m|h|d|w|mo|q|y)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_MONDAY = 4  # 1970-01-05 began the first whole week


def _part(number: int) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        out = call.numbers()
        kernels.calendar_part(source.values, ticks_per_day(source.type), number, out)
        if number == 0 and source.type.unit == "s":  # seconds of 64 bits reach years beyond int32
            call.fault(kernels.refuse_outside, out, *call.type.range, int(Code.OUT_OF_RANGE))
        return out

    return compute


def _window(every: str, kind: Type) -> tuple[int, int]:
    """(ticks, 0) or (0, months) that a window lasts. Raises PlanError for a text that is none, or finer than the column."""
    match = _EVERY.fullmatch(every)
    if match is None:
        raise PlanError(f"{every!r} is no length of time; write a count and one of s, m, h, d, w, mo, q, y: '15m', '1h', '1mo'")
    count, unit = int(match[1]), match[2]
    if unit in _MONTHS:
        return 0, count * _MONTHS[unit]
    if kind.family == "date":
        if unit not in ("d", "w"):
            raise PlanError(f"a date has no hours to truncate to {every!r}; cast it to timestamp[us], or use d, w, mo, q, y")
        return count * _SECONDS[unit] // 86400, 0
    ticks = TICKS[kind.unit]
    numerator, denominator = (_SECONDS[unit] * ticks, 1) if unit in _SECONDS else (ticks, TICKS[unit])
    if (count * numerator) % denominator:
        raise PlanError(f"{every!r} is finer than {kind}; cast the column to a finer timestamp")
    length = count * numerator // denominator
    if length >= 1 << 62:
        raise PlanError(f"{every!r} is longer than {kind} can tell; use a shorter one")
    return length, 0


def _truncated(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    signature = one_of(("date", "timestamp"), ".dt.truncate")(operands, options)
    _window(options["every"], signature.result)
    return signature


def _truncate(call: Call) -> Memory:
    (source,) = call.arguments
    ticks, months = _window(call.options["every"], call.type)
    out, day = call.numbers(), ticks_per_day(call.type)
    if months:
        call.fault(kernels.truncate_months, source.values, day, months, out=out)
    else:
        origin = _MONDAY * day if call.options["every"].endswith("w") else 0
        call.fault(kernels.truncate_ticks, source.values, ticks, origin, out=out)
    if call.type.family == "date":
        call.fault(kernels.refuse_outside, out, *call.type.range, int(Code.OUT_OF_RANGE))
    return out


_TIMES: Columns = {"t": ("timestamp[us, UTC]", ["2024-05-17T13:45:10", "1969-12-31T23:59:59", None])}
_DAYS: Columns = {"d": ("date32", ["2024-02-29", None])}


def _calendar(name: str, number: int, result: str, times: list[int | None], days: list[int | None], doc: str) -> Function:
    return Function(
        f"dt.{name}",
        doc,
        one_of(("date", "timestamp"), f".dt.{name}", TYPES[result]),
        _part(number),
        (Example(f"t.dt.{name}()", _TIMES, times), Example(f"d.dt.{name}()", _DAYS, days)),
    )


FUNCTIONS = (
    _calendar(
        "year", 0, "int32", [2024, 1969, None], [2024, None], "The year. One beyond 32 bits rejects the record (OUT_OF_RANGE)."
    ),
    _calendar("month", 1, "int8", [5, 12, None], [2, None], "The month, 1 to 12."),
    _calendar("day", 2, "int8", [17, 31, None], [29, None], "The day of the month, 1 to 31."),
    Function(
        "dt.truncate",
        "The start of the window of time it lies in: '15m', '1h', '1d', '1w' (Mondays), '1mo', '1q', '1y', counted from 1970.",
        _truncated,
        _truncate,
        (
            Example('t.dt.truncate("1h")', _TIMES, ["2024-05-17T13:00:00", "1969-12-31T23:00:00", None]),
            Example('d.dt.truncate("1mo")', _DAYS, ["2024-02-01", None]),
        ),
    ),
)
