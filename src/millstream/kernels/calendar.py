"""Calendar text to days and ticks: ISO 8601 dates and times, RFC 3339's among them, in the proleptic Gregorian calendar."""

from numba import int64, uint64

from millstream.kernels.number import is_digit
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

BAD_TIME, OUT_OF_RANGE = 12, 11


@inlined
def days_from_civil(year, month, day):
    """Days since 1970-01-01; after H. Hinnant, "chrono-compatible low-level date algorithms"."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


_ERAS = 14_700
"""Eras of 400 years that make each day of 32 bits one after 0000-03-01."""


@helper
def civil_from_days(days):
    """(year, month, day) of a day since 1970-01-01; of days of 32 bits after C. Neri and L. Schneider, "Euclidean affine functions"."""
    if days < -2147483648 or days > 2147483647:
        return civil_from_far_days(days)
    quarters = uint64(4 * (days + 719468 + _ERAS * 146097) + 3)
    century = quarters // uint64(146097)
    product = uint64(2939745) * ((quarters % uint64(146097)) | uint64(3))
    of_year = (product & uint64(0xFFFFFFFF)) // uint64(2939745) // uint64(4)
    shifted = uint64(2141) * of_year + uint64(197913)
    late = int64(1) if of_year >= uint64(306) else int64(0)  # January and February, which end a year that begins in March
    year = int64(uint64(100) * century + (product >> uint64(32))) + late - 400 * _ERAS
    month = int64(shifted >> uint64(16)) - 12 * late
    return year, month, int64((shifted & uint64(0xFFFF)) // uint64(2141)) + 1


@helper
def civil_from_far_days(days):
    """The same of any day; after H. Hinnant, too."""
    z = days + 719468
    era = z // 146097
    of_era = z - era * 146097
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400
    return (year + 1 if month <= 2 else year), month, day


@inlined
def days_in_month(year, month):
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@inlined
def two_digits(text, p):
    """The number at text[p:p+2], or a negative one where these are no digits."""
    if is_digit(text[p]) and is_digit(text[p + 1]):
        return (int64(text[p]) - 48) * 10 + int64(text[p + 1]) - 48
    return int64(-100_000)


@inlined
def read_date(text, p):
    """`YYYY-MM-DD` at text[p], or `YYYYMMDD`: (position after it, or -1 where no day is named; days since 1970-01-01)."""
    year = two_digits(text, p) * 100 + two_digits(text, p + 2)
    dash = int64(1) if text[p + 4] == 45 else int64(0)
    month = two_digits(text, p + 4 + dash)
    day = two_digits(text, p + 6 + 2 * dash)
    fine = (year >= 0) & (month >= 1) & (month <= 12) & (day >= 1) & ((dash == 0) | (text[p + 7] == 45))
    if not fine or day > days_in_month(year, month):
        return int64(-1), int64(0)
    return p + 8 + 2 * dash, days_from_civil(year, month, day)


@inlined
def read_clock(text, p, end, ticks, extended):
    """`HH[:MM[:SS[.f…]]]` in text[p:end], without colons where not extended: (position after it or -1, seconds, ticks of the fraction).

    Digits of the fraction beyond the tick are cut off.
    """
    hour = two_digits(text, p)
    seconds = hour * 3600
    fraction = int64(0)
    gap = int64(1) if extended else int64(0)
    q = p + 2
    minute = int64(0)
    second = int64(0)
    if q < end and (is_digit(text[q]) if gap == 0 else text[q] == 58):
        minute = two_digits(text, q + gap)
        q += 2 + gap
        if q < end and (is_digit(text[q]) if gap == 0 else text[q] == 58):
            second = two_digits(text, q + gap)
            q += 2 + gap
            if q < end and (text[q] == 46 or text[q] == 44):
                q += 1
                begun = q
                place = ticks
                while q < end and is_digit(text[q]):
                    place = place // 10
                    fraction += (int64(text[q]) - 48) * place
                    q += 1
                if q == begun:
                    return int64(-1), seconds, fraction
    fine = (hour >= 0) & (hour <= 23) & (minute >= 0) & (minute <= 59) & (second >= 0) & (second <= 59) & (q <= end)
    return q if fine else int64(-1), seconds + minute * 60 + second, fraction


@inlined
def read_offset(text, p, end):
    """`Z`, `±HH`, `±HH:MM` or `±HHMM` in text[p:end]: (position after it or -1, seconds east of Greenwich)."""
    mark = text[p]
    if p < end and (mark == 90 or mark == 122):
        return p + 1, int64(0)
    if p >= end or (mark != 43 and mark != 45):
        return int64(-1), int64(0)
    hour = two_digits(text, p + 1)
    minute = int64(0)
    q = p + 3
    if q < end:
        q += 1 if text[q] == 58 else 0
        minute = two_digits(text, q)
        q += 2
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or q > end:
        return int64(-1), int64(0)
    offset = (hour * 60 + minute) * 60
    return q, -offset if mark == 45 else offset


@inlined
def fits_nanoseconds(seconds, fraction):
    """Are seconds and nanoseconds an int64 of nanoseconds?"""
    return (seconds < 9223372036 or (seconds == 9223372036 and fraction <= 854775807)) and (
        seconds > -9223372037 or (seconds == -9223372037 and fraction >= 145224192)
    )


@helper
def read_timestamp(text, p, length, ticks, zoned):
    """ISO 8601 date and time in text[p:p+length] as ticks since 1970: (0 or a code, int64). RFC 3339 is a part of it.

    ticks: how many make a second (1, 10**3, 10**6, 10**9). zoned: an offset or Z must be there, and must not otherwise. A
    second of 60 is refused: POSIX time has no leap seconds. 20 more bytes can be read.
    """
    end = p + length
    if length < 11:
        return BAD_TIME, int64(0)
    extended = text[p + 4] == 45
    q, days = read_date(text, p)
    if q < 0:
        return BAD_TIME, int64(0)
    between = text[q]
    if between != 84 and between != 116 and (between != 32 or not extended):
        return BAD_TIME, int64(0)
    q, seconds, fraction = read_clock(text, q + 1, end, ticks, extended)
    if q < 0:
        return BAD_TIME, int64(0)
    offset = int64(0)
    if zoned:
        q, offset = read_offset(text, q, end)
    if q != end:
        return BAD_TIME, int64(0)
    seconds += days * 86400 - offset
    if ticks == 1_000_000_000 and not fits_nanoseconds(seconds, fraction):
        return OUT_OF_RANGE, int64(0)
    return 0, seconds * ticks + fraction


@inlined
def read_day(text, p, length):
    """A date that is all of text[p:p+length]: (0 or a code, days since 1970-01-01)."""
    q, days = read_date(text, p)
    if q != p + length:
        return BAD_TIME, int64(0)
    return 0, days


@kernel
def parse_timestamp(data: U8, views: I64, valid: U8, ticks: INT, zoned: INT, out: I64, status: U8):
    """ISO 8601 in views of `data` (64 bytes padding) to ticks. status: 1 parsed, 0 null in, 12 no such time, 11 out of range."""
    for i in range(len(views)):
        out[i] = 0
        status[i] = valid[i]
        if valid[i] == 1:
            code, value = read_timestamp(data, views[i] & 0xFFFFFFFF, views[i] >> 32, ticks, zoned == 1)
            out[i] = value
            status[i] = code if code > 0 else 1
    return len(views)


@kernel
def parse_date(data: U8, views: I64, valid: U8, out: I64, status: U8):
    """`YYYY-MM-DD` or `YYYYMMDD` in views of `data` (64 bytes padding) to days. status: 1 parsed, 0 null in, 12 no such day."""
    for i in range(len(views)):
        out[i] = 0
        status[i] = valid[i]
        if valid[i] == 1:
            code, days = read_day(data, views[i] & 0xFFFFFFFF, views[i] >> 32)
            out[i] = days
            status[i] = code if code > 0 else 1
    return len(views)
