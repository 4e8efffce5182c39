"""Calendar parts and truncation of days and ticks since 1970-01-01, in the proleptic Gregorian calendar."""

from numba import int64

from millstream.kernels.arithmetic import product_overflows
from millstream.kernels.calendar import civil_from_days, days_from_civil, days_in_month
from millstream.kernels.divide import floor_by, reciprocal
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

OUT_OF_RANGE = 11


@helper
def days_of_month(months):
    """Days since 1970-01-01 of the first day of the month that is `months` after January 1970."""
    return days_from_civil(1970 + months // 12, months % 12 + 1, 1)


# The parts that `calendar_part` knows.
YEAR, MONTH, DAY, QUARTER, DAY_OF_YEAR, DAY_OF_WEEK, ISO_WEEK, ISO_YEAR, LEAP, DAYS_IN_MONTH, MONTH_START, MONTH_END = range(12)


@inlined
def part_of_day(days, part):
    """A part of the date that is so many days after 1970-01-01."""
    if part == DAY_OF_WEEK:
        return (days + 3) % 7 + 1
    if part == ISO_WEEK or part == ISO_YEAR:
        thursday = days - (days + 3) % 7 + 3  # a week belongs to the year that its Thursday is in
        year, month, day = civil_from_days(thursday)
        return year if part == ISO_YEAR else (thursday - days_from_civil(year, 1, 1)) // 7 + 1
    year, month, day = civil_from_days(days)
    if part == QUARTER:
        return (month + 2) // 3
    if part == DAY_OF_YEAR:
        return days - days_from_civil(year, 1, 1) + 1
    if part == LEAP:
        return days_in_month(year, int64(2)) - 28
    if part == DAYS_IN_MONTH:
        return days_in_month(year, month)
    return days - day + (1 if part == MONTH_START else days_in_month(year, month))


@kernel
def calendar_part(source: I64, ticks: INT, part: INT, out: I64):
    """A part of each date, of which `ticks` of the source make a day. Starts and ends of months are days since 1970-01-01."""
    factor, shift = reciprocal(ticks)
    for i in range(len(out)):
        out[i] = floor_by(source[i], ticks, factor, shift)
    if part <= DAY:  # what is asked most, in a loop without the other parts
        for i in range(len(out)):
            year, month, day = civil_from_days(out[i])
            out[i] = year if part == YEAR else (month if part == MONTH else day)
    else:
        for i in range(len(out)):
            out[i] = part_of_day(out[i], part)
    return len(out)


@kernel
def clock_part(source: I64, modulus: INT, multiplier: INT, divisor: INT, out: I64):
    """What is left of each row by `modulus`, times `multiplier`, by `divisor`: hours of a day, milliseconds of a second."""
    factor, shift = reciprocal(modulus)
    by, places = reciprocal(divisor)
    for i in range(len(out)):
        rest = source[i] - floor_by(source[i], modulus, factor, shift) * modulus
        out[i] = floor_by(rest * multiplier, divisor, by, places)
    return len(out)


@kernel
def cut_int64(source: I64, divisor: INT, out: I64):
    """source / divisor, which is above 0, cut off towards 0."""
    for i in range(len(out)):
        whole = source[i] // divisor
        out[i] = whole + 1 if (whole < 0) & (whole * divisor != source[i]) else whole
    return len(out)


@kernel
def add_months(source: I64, ticks: INT, months: INT, valid: U8, out: I64):
    """So many months later, the last day of a month where there is no such day. Beyond an int64: OUT_OF_RANGE."""
    faults = 0
    for i in range(len(out)):
        days = source[i] // ticks
        year, month, day = civil_from_days(days)
        count = (year - 1970) * 12 + month - 1 + months
        year = 1970 + count // 12
        month = count % 12 + 1
        later = days_from_civil(year, month, min(day, days_in_month(year, month)))
        start = later * ticks
        rest = source[i] - days * ticks
        out[i] = start + rest
        beyond = (product_overflows(int64(later), ticks) != 0) | (start + rest < start)
        if beyond & (valid[i] == 1):
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults


@kernel
def truncate_ticks(source: I64, every: INT, origin: INT, valid: U8, out: I64):
    """The start of each row's window of `every` ticks, where one starts at `origin`. Before the first int64: OUT_OF_RANGE."""
    factor, shift = reciprocal(every)
    later = origin % every
    least = int64(0)
    for i in range(len(out)):
        least = min(least, source[i])
        rest = source[i] - floor_by(source[i], every, factor, shift) * every - later
        out[i] = source[i] - (rest + every if rest < 0 else rest)
    faults = 0
    if least < int64(-9223372036854775808) + every:
        for i in range(len(out)):
            if out[i] > source[i] and valid[i] == 1:
                valid[i] = OUT_OF_RANGE
                faults += 1
    return faults


@kernel
def truncate_months(source: I64, ticks: INT, every: INT, valid: U8, out: I64):
    """The start of each row's window of `every` months, counted from January 1970; `ticks` make a day."""
    faults = 0
    factor, shift = reciprocal(ticks)
    for i in range(len(out)):
        year, month, _day = civil_from_days(floor_by(source[i], ticks, factor, shift))
        months = (year - 1970) * 12 + month - 1
        days = days_of_month(months // every * every)
        out[i] = days * ticks
        if product_overflows(int64(days), ticks) != 0 and valid[i] == 1:
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults
