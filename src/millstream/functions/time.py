"""The .dt methods for the parts of dates and times, and the start of the window that they lie in.

A timestamp of another zone has the parts that the clocks there show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import one_of, ticks_per_day
from millstream.functions.walls import to_wall, to_zone
from millstream.native.bind import kernels
from millstream.native.memory import Memory
from millstream.schema import BOOL, TYPES, Code, Type

_LENGTH = re.compile(r"(?a)(\d{1,9})(ns|us|ms|s|m|h|d|w|mo|q|y)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_MONDAY = 4  # 1970-01-05 began the first whole week
# What `calendar_part` knows, in its order.
_PARTS = (
    "year", "month", "day", "quarter", "ordinal_day", "weekday", "week", "iso_year", "is_leap_year", "days_in_month", "month_start",
    "month_end",
)  # fmt: skip


def _calendar_part(number: int) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        out = call.numbers()
        kernels.calendar_part(to_wall(call, source), ticks_per_day(source.type), number, out)
        if call.type is BOOL:
            flags, zeros = call.bytes(), call.numbers()
            kernels.fill_int64(0, zeros)
            kernels.equal_int64(out, zeros, 1, flags)
            return flags
        if call.type.bits == 32 and source.type.unit == "s":  # seconds of 64 bits reach years beyond int32
            call.fault(kernels.refuse_outside, out, *call.type.range, int(Code.OUT_OF_RANGE))
        return out

    return compute


def _month_edge(number: int) -> Callable[[Call], Memory]:
    """The first or the last day of the month, at the same time of day."""

    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        wall, day = to_wall(call, source), ticks_per_day(source.type)
        edge = call.numbers()
        kernels.calendar_part(wall, day, number, edge)
        if source.type.family == "date":
            call.fault(kernels.refuse_outside, edge, *call.type.range, int(Code.OUT_OF_RANGE))
            return edge
        start, clock, out = call.numbers(), call.numbers(), call.numbers()
        call.fault(kernels.rescale_int64, edge, day, 1, int(Code.OUT_OF_RANGE), out=start)
        kernels.clock_part(wall, day, 1, 1, clock)
        call.fault(kernels.add_int64, start, clock, out=out)
        return to_zone(call, source.type, out)

    return compute


def _clock_part(modulus: str, divisor: str) -> Callable[[Call], Memory]:
    """What is left of a longer unit, in a shorter one."""

    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        second = TICKS[source.type.unit]
        sizes = {"day": 86400 * second, "hour": 3600 * second, "minute": 60 * second, "second": second}
        out = call.numbers()
        parts = 1 if divisor in sizes else TICKS[divisor]  # of a second
        if divisor in sizes:
            multiplier, by = 1, sizes[divisor]
        else:
            multiplier, by = max(parts // second, 1), max(second // parts, 1)
        kernels.clock_part(to_wall(call, source), sizes[modulus], multiplier, by, out)
        return out

    return compute


@lru_cache(256)
def length_of(text: str, kind: Type) -> tuple[int, int]:
    """(ticks, 0) or (0, months) that a length of time lasts. Raises PlanError for a text that is none, or finer than the column."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise PlanError(f"{text!r} is no length of time; write a count and one of s, m, h, d, w, mo, q, y: '15m', '1h', '1mo'")
    count, unit = int(match[1]), match[2]
    if unit in _MONTHS:
        return 0, count * _MONTHS[unit]
    if kind.family == "date":
        if unit not in ("d", "w"):
            raise PlanError(f"a date has no hours for {text!r}; cast it to timestamp[us], or use d, w, mo, q, y")
        return count * _SECONDS[unit] // 86400, 0
    ticks = TICKS[kind.unit]
    numerator, denominator = (_SECONDS[unit] * ticks, 1) if unit in _SECONDS else (ticks, TICKS[unit])
    if (count * numerator) % denominator:
        raise PlanError(f"{text!r} is finer than {kind}; cast the column to a finer timestamp")
    length = count * numerator // denominator
    if length >= 1 << 62:
        raise PlanError(f"{text!r} is longer than {kind} can tell; use a shorter one")
    return length, 0


def _window(every: str, kind: Type) -> tuple[int, int]:
    ticks, months = length_of(every, kind)
    if not ticks and not months:
        raise PlanError(f"{every!r} is no length of time; write at least 1 of s, m, h, d, w, mo, q, y")
    return ticks, months


def _truncated(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    signature = one_of(("date", "timestamp"), ".dt.truncate")(operands, options)
    _window(options["every"], signature.result)
    return signature


def _truncate(call: Call) -> Memory:
    (source,) = call.arguments
    ticks, months = _window(call.options["every"], call.type)
    wall, out, day = to_wall(call, source), call.numbers(), ticks_per_day(call.type)
    if months:
        call.fault(kernels.truncate_months, wall, day, months, out=out)
    else:
        origin = _MONDAY * day if call.options["every"].endswith("w") else 0
        call.fault(kernels.truncate_ticks, wall, ticks, origin, out=out)
    if call.type.family == "date":
        call.fault(kernels.refuse_outside, out, *call.type.range, int(Code.OUT_OF_RANGE))
    return to_zone(call, call.type, out)


_TIMES: Columns = {"t": ("timestamp[us, UTC]", ["2024-05-17T13:45:10.250000", "1969-12-31T23:59:59", None])}
_DAYS: Columns = {"d": ("date32", ["2024-02-29", None])}


def _calendar(name: str, result: str, times: list[Any], days: list[Any], doc: str) -> Function:
    """A part of the calendar."""
    return Function(
        f"dt.{name}",
        f"date|timestamp -> {result}",
        doc,
        one_of(("date", "timestamp"), f".dt.{name}", TYPES[result]),
        _calendar_part(_PARTS.index(name)),
        (Example(f"t.dt.{name}()", _TIMES, times), Example(f"d.dt.{name}()", _DAYS, days)),
        ("calendar_part",),
    )


_CLOCKS: Columns = {"c": ("time64[us]", [1, None])}


def _clock(name: str, modulus: str, divisor: str, result: str, times: list[Any], doc: str, of_clock: int = 0) -> Function:
    """A part of the clock's time."""
    return Function(
        f"dt.{name}",
        f"timestamp|time -> {result}",
        doc,
        one_of(("time", "timestamp"), f".dt.{name}", TYPES[result]),
        _clock_part(modulus, divisor),
        (Example(f"t.dt.{name}()", _TIMES, times), Example(f"c.dt.{name}()", _CLOCKS, [of_clock, None])),
        ("clock_part",),
    )


def _edge(name: str, times: list[Any], days: list[Any], doc: str) -> Function:
    return Function(
        f"dt.{name}",
        "date|timestamp -> same",
        doc,
        one_of(("date", "timestamp"), f".dt.{name}"),
        _month_edge(_PARTS.index(name)),
        (Example(f"t.dt.{name}()", _TIMES, times), Example(f"d.dt.{name}()", _DAYS, days)),
        ("calendar_part", "clock_part"),
    )


def _date(call: Call) -> Memory:
    (source,) = call.arguments
    if source.type.family == "date":
        return source.values
    days = call.numbers()
    call.fault(kernels.rescale_int64, to_wall(call, source), 1, ticks_per_day(source.type), int(Code.OUT_OF_RANGE), out=days)
    if source.type.unit not in ("us", "ns"):  # of those all days fit
        call.fault(kernels.refuse_outside, days, *call.type.range, int(Code.OUT_OF_RANGE))
    return days


def _time_of_day(call: Call) -> Memory:
    return _clock_part("day", "us")(call)


FUNCTIONS = (
    _calendar("year", "int32", [2024, 1969, None], [2024, None], "The year. One beyond 32 bits rejects the record (OUT_OF_RANGE)."),
    _calendar("iso_year", "int32", [2024, 1970, None], [2024, None], "The year that the ISO week belongs to."),
    _calendar("quarter", "int8", [2, 4, None], [1, None], "The quarter, 1 to 4."),
    _calendar("month", "int8", [5, 12, None], [2, None], "The month, 1 to 12."),
    _calendar("week", "int8", [20, 1, None], [9, None], "The ISO week, 1 to 53; it begins on Monday."),
    _calendar("weekday", "int8", [5, 3, None], [4, None], "The day of the week, 1 for Monday to 7 for Sunday."),
    _calendar("day", "int8", [17, 31, None], [29, None], "The day of the month, 1 to 31."),
    _calendar("ordinal_day", "int16", [138, 365, None], [60, None], "The day of the year, 1 to 366."),
    _calendar("days_in_month", "int8", [31, 31, None], [29, None], "How many days the month has."),
    _calendar("is_leap_year", "bool", [True, False, None], [True, None], "Has the year 366 days?"),
    _edge("month_start", ["2024-05-01T13:45:10.250000", "1969-12-01T23:59:59", None], ["2024-02-01", None],
          "The first day of the month, at the same time of day."),
    _edge("month_end", ["2024-05-31T13:45:10.250000", "1969-12-31T23:59:59", None], ["2024-02-29", None],
          "The last day of the month, at the same time of day."),
    _clock("hour", "day", "hour", "int8", [13, 23, None], "The hour, 0 to 23."),
    _clock("minute", "hour", "minute", "int8", [45, 59, None], "The minute, 0 to 59."),
    _clock("second", "minute", "second", "int8", [10, 59, None], "The second, 0 to 59."),
    _clock("millisecond", "second", "ms", "int32", [250, 0, None], "The milliseconds of the second, 0 to 999."),
    _clock("microsecond", "second", "us", "int32", [250000, 0, None], "The microseconds of the second, 0 to 999,999.", 1),
    _clock("nanosecond", "second", "ns", "int32", [250000000, 0, None], "The nanoseconds of the second, 0 to 999,999,999.", 1000),
    Function(
        "dt.date",
        "date|timestamp -> date32",
        "The date.",
        one_of(("date", "timestamp"), ".dt.date", TYPES["date32"]),
        _date,
        (Example("t.dt.date()", _TIMES, ["2024-05-17", "1969-12-31", None]), Example("d.dt.date()", _DAYS, ["2024-02-29", None])),
        ("rescale_int64",),
    ),
    Function(
        "dt.time",
        "timestamp|time -> time64[us]",
        "The time of day, to the microsecond.",
        one_of(("time", "timestamp"), ".dt.time", TYPES["time64[us]"]),
        _time_of_day,
        (
            Example('t.dt.time().cast("string")', _TIMES, ["13:45:10.250000", "23:59:59", None]),
            Example("t.dt.time() > time(\"20:00\")", _TIMES, [False, True, None]),
        ),
        ("clock_part",),
    ),
    Function(
        "dt.truncate",
        "date|timestamp -> same",
        "The start of the window of time it lies in: '15m', '1h', '1d', '1w' (Mondays), '1mo', '1q', '1y', counted from 1970.",
        _truncated,
        _truncate,
        (
            Example('t.dt.truncate("1h")', _TIMES, ["2024-05-17T13:00:00", "1969-12-31T23:00:00", None]),
            Example('d.dt.truncate("1mo")', _DAYS, ["2024-02-01", None]),
        ),
        ("truncate_ticks", "truncate_months"),
        "every: str",
    ),
)  # fmt: skip
