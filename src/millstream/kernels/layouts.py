"""Dates and times by a layout that the user writes, `%d.%m.%Y %H:%M`: parsed from text and written to it.

A layout is a program of two words a step: what, and a number. Only ASCII letters name months and days, in English.
"""

import numpy as np
from numba import int64, uint64

from millstream.kernels.calendar import civil_from_days, days_from_civil, days_in_month, fits_nanoseconds
from millstream.kernels.divide import floor_by, reciprocal
from millstream.kernels.format import count_digits, put_digits
from millstream.kernels.number import is_digit
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel, outlined

BAD_TIME, OUT_OF_RANGE = 12, 11

# The steps: a byte as it is, then what its name says. The number: of BYTE the byte, of FRACTION and POINT digits, of OFFSET 1 with a colon.
BYTE, YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, FRACTION, POINT, SHORT_YEAR, SHORT_MONTH, LONG_MONTH = range(12)
DAY_OF_YEAR, HOUR_12, HALF, OFFSET, PADDED_DAY, SHORT_DAY, LONG_DAY, EPOCH, DAY_OF_WEEK = range(12, 21)

_MONTHS = b"january february march april may june july august september october november december "
_DAYS = b"monday tuesday wednesday thursday friday saturday sunday "


def _table(names):
    """Names of one length, filled with zeros."""
    return np.array([list(name.ljust(10, b"\0")) for name in names.split()], np.uint8).ravel()


_WIDTH = 10
MONTH_NAMES = _table(_MONTHS)
DAY_NAMES = _table(_DAYS)


@inlined
def read_number(data, p, end, most):
    """Up to `most` digits in data[p:end]: (position behind them, or -1 where there is none; their value)."""
    value = int64(0)
    q = p
    while q < end and q - p < most and is_digit(data[q]):
        value = value * 10 + int64(data[q]) - 48
        q += 1
    return (q if q > p else int64(-1)), value


@inlined
def read_fraction(data, p, end, digits):
    """Digits behind a point as nanoseconds: exactly so many, or one to nine where `digits` is 0, and more, which are cut off."""
    value = int64(0)
    place = int64(1_000_000_000)
    q = p
    while q < end and is_digit(data[q]) and (digits == 0 or q - p < digits):
        place = place // 10
        value += (int64(data[q]) - 48) * place
        q += 1
    return (q if q > p and (digits == 0 or q - p == digits) else int64(-1)), value


@helper
def starts_with_name(data, p, end, names, at, length):
    """Do the first letters of a name stand at data[p], small or capital?"""
    if p + length > end:
        return False
    for i in range(length):
        if (data[p + i] | 0x20) != names[at + i]:
            return False
    return True


@helper
def read_name(data, p, end, names):
    """A name or its first three letters at data[p]: (position behind it, or -1; which one, from 0)."""
    for one in range(len(names) // _WIDTH):
        at = one * _WIDTH
        if starts_with_name(data, p, end, names, at, 3):
            length = int64(3)
            while length < _WIDTH and names[at + length] != 0:
                length += 1
            return (p + length if starts_with_name(data, p, end, names, at, length) else p + 3), int64(one)
    return int64(-1), int64(0)


@inlined
def read_shift(data, p, end):
    """`Z`, `+HH`, `+HHMM` or `+HH:MM` in data[p:end], or with a minus: (position behind it, or -1; seconds east of Greenwich)."""
    if p >= end:
        return int64(-1), int64(0)
    mark = data[p]
    if mark == 90 or mark == 122:
        return p + 1, int64(0)
    q, hours = read_number(data, p + 1, end, 2)
    if (mark != 43 and mark != 45) or q != p + 3 or hours > 23:
        return int64(-1), int64(0)
    minutes = int64(0)
    if q < end and data[q] == 58:
        q += 1
        if q >= end or not is_digit(data[q]):
            return int64(-1), int64(0)
    if q < end and is_digit(data[q]):
        begun = q
        q, minutes = read_number(data, q, end, 2)
        if q != begun + 2 or minutes > 59:
            return int64(-1), int64(0)
    shift = (hours * 60 + minutes) * 60
    return q, -shift if mark == 45 else shift


@helper
def read_layout(data, p, end, steps, ticks):
    """A time in data[p:end]: (0 or a code, ticks since 1970, of which `ticks` make a second; days where that is 0)."""
    year = month = day = int64(1)
    of_year = hour = minute = second = nanos = shift = epoch = int64(0)
    half = int64(-1)
    known = False
    for step in range(0, len(steps), 2):
        what = steps[step]
        number = steps[step + 1]
        if what == BYTE:
            p = p + 1 if p < end and data[p] == number else int64(-1)
        elif what == YEAR:
            q, year = read_number(data, p, end, 4)
            p = q if q == p + 4 else int64(-1)
        elif what == MONTH:
            p, month = read_number(data, p, end, 2)
        elif what == DAY or what == PADDED_DAY:
            if what == PADDED_DAY and p < end and data[p] == 32:
                p += 1
            p, day = read_number(data, p, end, 2)
        elif what == HOUR or what == HOUR_12:
            p, hour = read_number(data, p, end, 2)
            if what == HOUR_12 and (hour < 1 or hour > 12):
                return BAD_TIME, int64(0)
        elif what == MINUTE:
            p, minute = read_number(data, p, end, 2)
        elif what == SECOND:
            p, second = read_number(data, p, end, 2)
        elif what == FRACTION:
            p, nanos = read_fraction(data, p, end, number)
        elif what == POINT:
            if number > 0 or (p < end and data[p] == 46):
                p, nanos = read_fraction(data, p + 1, end, number) if p < end and data[p] == 46 else (int64(-1), nanos)
        elif what == SHORT_YEAR:
            p, year = read_number(data, p, end, 2)
            year += 2000 if year < 70 else 1900
        elif what == SHORT_MONTH or what == LONG_MONTH:
            p, month = read_name(data, p, end, MONTH_NAMES)
            month += 1
        elif what == SHORT_DAY or what == LONG_DAY:
            p, _day = read_name(data, p, end, DAY_NAMES)
        elif what == DAY_OF_YEAR:
            p, of_year = read_number(data, p, end, 3)
            if of_year < 1:
                return BAD_TIME, int64(0)
        elif what == HALF:
            fine = p + 1 < end and (data[p + 1] | 0x20) == 109 and ((data[p] | 0x20) == 97 or (data[p] | 0x20) == 112)
            half = 1 if fine and (data[p] | 0x20) == 112 else 0
            p = p + 2 if fine else int64(-1)
        elif what == OFFSET:
            p, shift = read_shift(data, p, end)
        elif what == EPOCH:
            known = True
            negative = p < end and data[p] == 45
            p, epoch = read_number(data, p + 1 if negative else p, end, 18)
            epoch = -epoch if negative else epoch
        if p < 0:
            return BAD_TIME, int64(0)
    if p != end:
        return BAD_TIME, int64(0)
    if half >= 0:
        hour = hour % 12 + 12 * half
    if month < 1 or month > 12 or day < 1 or day > days_in_month(year, month) or hour > 23 or minute > 59 or second > 59:
        return BAD_TIME, int64(0)
    days = days_from_civil(year, month, day)
    if of_year > 0:
        if of_year > 337 + days_in_month(year, int64(2)):
            return BAD_TIME, int64(0)
        days = days_from_civil(year, int64(1), int64(1)) + of_year - 1
    seconds = epoch if known else days * 86400 + hour * 3600 + minute * 60 + second
    if ticks == 0:  # the date that is written, wherever it is
        days = seconds // 86400
        return (0 if -2147483648 <= days <= 2147483647 else OUT_OF_RANGE), days
    seconds -= shift
    if ticks == 1_000_000_000:
        if not fits_nanoseconds(seconds, nanos):
            return OUT_OF_RANGE, int64(0)
    elif seconds > 9223372036854 or seconds < -9223372036854:
        return OUT_OF_RANGE, int64(0)
    return 0, seconds * ticks + nanos // (1_000_000_000 // ticks)


@kernel
def parse_layout(data: U8, views: I64, steps: I64, ticks: INT, strict: INT, valid: U8, out: I64):
    """Text by a layout to ticks since 1970, or to days where `ticks` is 0. Other text gets BAD_TIME or OUT_OF_RANGE; 0 unless strict."""
    faults = 0
    for i in range(len(out)):
        out[i] = 0
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            code, value = read_layout(data, start, start + (views[i] >> 32), steps, ticks)
            out[i] = value
            if code != 0:
                valid[i] = code * strict
                faults += 1
    return faults


@inlined
def put_two(value, out, at):
    """A number below 100 as two digits. Returns the position behind it."""
    return put_digits(uint64(value), 2, out, at)


@helper
def put_number(value, digits, out, at):
    """A number that is not negative, with zeros in front to so many digits. Returns the position behind it."""
    return put_digits(uint64(value), max(digits, count_digits(uint64(value))), out, at)


@inlined
def put_year(year, out, at):
    """A year as four digits; one with more, or before the year 0, gets a sign."""
    if uint64(year) < uint64(10_000):
        return put_digits(uint64(year), 4, out, at)
    out[at] = 45 if year < 0 else 43
    return put_number(-year if year < 0 else year, 4, out, at + 1)


@inlined
def put_name(names, one, short, out, at):
    """A name with a capital, or its first three letters. Returns the position behind it."""
    i = int64(0)
    while i < _WIDTH and names[one * _WIDTH + i] != 0 and (short == 0 or i < 3):
        out[at + i] = names[one * _WIDTH + i] - (32 if i == 0 else 0)
        i += 1
    return at + i


@inlined
def put_fraction(nanos, digits, out, at):
    """The first 3, 6 or 9 digits of a fraction."""
    for _ in range(digits // 3):
        at = put_digits(uint64(nanos // 1_000_000), 3, out, at)
        nanos = nanos % 1_000_000 * 1000
    return at


@outlined
def put_rare(what, number, days, clock, nanos, shift, year, month, day, out, at):
    """A step that is written less often. Returns the position behind it.

    Of its own, for what a loop over steps does not change is computed before the loop, whether a layout has such a step or not.
    """
    if what == FRACTION:
        at = put_fraction(nanos, number, out, at)
    elif what == POINT:
        digits = number
        if number == 0 and nanos != 0:
            digits = int64(3) if nanos % 1_000_000 == 0 else (int64(6) if nanos % 1000 == 0 else int64(9))
        if digits > 0:
            out[at] = 46
            at = put_fraction(nanos, digits, out, at + 1)
    elif what == SHORT_YEAR:
        at = put_two(year % 100, out, at)
    elif what == SHORT_MONTH or what == LONG_MONTH:
        at = put_name(MONTH_NAMES, month - 1, 1 if what == SHORT_MONTH else 0, out, at)
    elif what == DAY_OF_YEAR:
        at = put_number(days - days_from_civil(year, int64(1), int64(1)) + 1, 3, out, at)
    elif what == HOUR_12:
        at = put_two((clock // 3600 + 11) % 12 + 1, out, at)
    elif what == HALF:
        out[at] = 80 if clock >= 43200 else 65
        out[at + 1] = 77
        at += 2
    elif what == OFFSET:
        out[at] = 45 if shift < 0 else 43
        shift = -shift if shift < 0 else shift
        at = put_two(shift // 3600, out, at + 1)
        if number == 1:
            out[at] = 58
            at += 1
        at = put_two(shift // 60 % 60, out, at)
    elif what == PADDED_DAY:
        if day < 10:
            out[at] = 32
            at += 1
        at = put_number(day, 1, out, at)
    elif what == SHORT_DAY or what == LONG_DAY:
        at = put_name(DAY_NAMES, (days + 3) % 7, 1 if what == SHORT_DAY else 0, out, at)
    elif what == DAY_OF_WEEK:
        out[at] = 49 + (days + 3) % 7
        at += 1
    elif what == EPOCH:
        instant = days * 86400 + clock - shift
        if instant < 0:
            out[at] = 45
            at += 1
        at = put_number(-instant if instant < 0 else instant, 1, out, at)
    return at


@kernel
def format_layout(values: I64, shifts: I64, valid: U8, ticks: INT, steps: I64, out: U8, views: I64):
    """Ticks since 1970, or days where `ticks` is 0, as text by a layout. Returns the bytes used.

    shifts: for each row, or none, the seconds that its clock is before UTC's; it was added before. `out` has room for the most that
    each step writes, as functions/formats.py has it.
    """
    at = int64(0)
    factor, shift_by = reciprocal(max(ticks, 1))
    scale = 1_000_000_000 // max(ticks, 1)
    year, month, day = civil_from_days(int64(0))
    last = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            seconds = values[i] * 86400 if ticks == 0 else floor_by(values[i], ticks, factor, shift_by)
            nanos = int64(0) if ticks == 0 else (values[i] - seconds * ticks) * scale
            days = seconds // 86400
            clock = seconds - days * 86400
            if days != last:
                year, month, day = civil_from_days(days)
                last = days
            for step in range(0, len(steps), 2):
                what = steps[step]
                number = steps[step + 1]
                if what == BYTE:
                    out[at] = number
                    at += 1
                elif what == YEAR:
                    at = put_year(year, out, at)
                elif what == MONTH:
                    at = put_two(month, out, at)
                elif what == DAY:
                    at = put_two(day, out, at)
                elif what == HOUR:
                    at = put_two(clock // 3600, out, at)
                elif what == MINUTE:
                    at = put_two(clock // 60 % 60, out, at)
                elif what == SECOND:
                    at = put_two(clock % 60, out, at)
                else:
                    shift = shifts[i] if len(shifts) > 0 else int64(0)
                    at = put_rare(what, number, days, clock, nanos, shift, year, month, day, out, at)
        views[i] = begun | (at - begun) << 32
    return at
