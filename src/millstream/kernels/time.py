"""Calendar parts and truncation of days and ticks since 1970-01-01, in the proleptic Gregorian calendar."""

from numba import int64

from millstream.kernels.arithmetic import product_overflows
from millstream.kernels.calendar import civil_from_days, days_from_civil
from millstream.kernels.spec import I64, INT, U8, helper, kernel

OUT_OF_RANGE = 11


@helper
def days_of_month(months):
    """Days since 1970-01-01 of the first day of the month that is `months` after January 1970."""
    return days_from_civil(1970 + months // 12, months % 12 + 1, 1)


@kernel
def calendar_part(source: I64, ticks: INT, part: INT, out: I64):
    """The year (part 0), month (1) or day of the month (2); `ticks` of the source make a day."""
    for i in range(len(out)):
        year, month, day = civil_from_days(source[i] // ticks)
        out[i] = year if part == 0 else (month if part == 1 else day)
    return len(out)


@kernel
def truncate_ticks(source: I64, every: INT, origin: INT, valid: U8, out: I64):
    """The start of each row's window of `every` ticks, where one starts at `origin`. Before the first int64: OUT_OF_RANGE."""
    faults = 0
    for i in range(len(out)):
        rest = (source[i] % every - origin % every) % every
        start = source[i] - rest
        out[i] = start
        if start > source[i] and valid[i] == 1:
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults


@kernel
def truncate_months(source: I64, ticks: INT, every: INT, valid: U8, out: I64):
    """The start of each row's window of `every` months, counted from January 1970; `ticks` make a day."""
    faults = 0
    for i in range(len(out)):
        year, month, _day = civil_from_days(source[i] // ticks)
        months = (year - 1970) * 12 + month - 1
        days = days_of_month(months // every * every)
        out[i] = days * ticks
        if product_overflows(int64(days), ticks) != 0 and valid[i] == 1:
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults
