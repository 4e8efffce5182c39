"""Calendar text to days and ticks: RFC 3339 dates and times in the proleptic Gregorian calendar."""

from numba import int64

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
    """`YYYY-MM-DD` at text[p]: (does it name a day, days since 1970-01-01)."""
    year = two_digits(text, p) * 100 + two_digits(text, p + 2)
    month = two_digits(text, p + 5)
    day = two_digits(text, p + 8)
    fine = (year >= 0) & (month >= 1) & (month <= 12) & (day >= 1) & (text[p + 4] == 45) & (text[p + 7] == 45)
    if not fine or day > days_in_month(year, month):
        return False, int64(0)
    return True, days_from_civil(year, month, day)


@helper
def read_timestamp(text, p, length, ticks, zoned):
    """RFC 3339 in text[p:p+length] as ticks since 1970: (0 or a code, int64).

    ticks: how many make a second (1, 10**3, 10**6, 10**9); digits beyond are cut off, towards the past. zoned: an offset or Z must be
    there, and must not otherwise. A second of 60 is refused: POSIX time has no leap seconds. At least 20 bytes can be read
    from p on.
    """
    if length < 19:
        return BAD_TIME, int64(0)
    fine, days = read_date(text, p)
    hour = two_digits(text, p + 11)
    minute = two_digits(text, p + 14)
    second = two_digits(text, p + 17)
    between = text[p + 10]
    fine = (
        fine
        & ((between == 84) | (between == 116) | (between == 32))
        & (text[p + 13] == 58)
        & (text[p + 16] == 58)
        & (hour >= 0)
        & (hour <= 23)
        & (minute >= 0)
        & (minute <= 59)
        & (second >= 0)
        & (second <= 59)
    )
    if not fine:
        return BAD_TIME, int64(0)
    q = p + 19
    end = p + length
    fraction = int64(0)
    if q < end and text[q] == 46:
        q += 1
        begun = q
        place = ticks
        while q < end and is_digit(text[q]):
            place = place // 10
            fraction += (int64(text[q]) - 48) * place
            q += 1
        if q == begun:
            return BAD_TIME, int64(0)
    offset = int64(0)
    if zoned:
        if q >= end:
            return BAD_TIME, int64(0)
        mark = text[q]
        if mark == 90 or mark == 122:
            q += 1
        elif mark == 43 or mark == 45:
            if end - q != 6 or text[q + 3] != 58:
                return BAD_TIME, int64(0)
            off_hour = two_digits(text, q + 1)
            off_minute = two_digits(text, q + 4)
            if off_hour < 0 or off_hour > 23 or off_minute < 0 or off_minute > 59:
                return BAD_TIME, int64(0)
            offset = (off_hour * 60 + off_minute) * 60
            if mark == 45:
                offset = -offset
            q += 6
    if q != end:
        return BAD_TIME, int64(0)
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    if ticks == 1_000_000_000 and (seconds < -9223372036 or seconds > 9223372035):
        return OUT_OF_RANGE, int64(0)
    return 0, seconds * ticks + fraction


@kernel
def parse_timestamp(data: U8, views: I64, valid: U8, ticks: INT, zoned: INT, out: I64, status: U8):
    """RFC 3339 in views of `data` (64 bytes padding) to ticks. status: 1 parsed, 0 null in, 12 no such time, 11 out of range."""
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
    """`YYYY-MM-DD` in views of `data` (64 bytes padding) to days. status: 1 parsed, 0 null in, 12 no such day."""
    for i in range(len(views)):
        out[i] = 0
        status[i] = valid[i]
        if valid[i] == 1:
            fine = False
            days = int64(0)
            if views[i] >> 32 == 10:
                fine, days = read_date(data, views[i] & 0xFFFFFFFF)
            out[i] = days
            status[i] = 1 if fine else BAD_TIME
    return len(views)
