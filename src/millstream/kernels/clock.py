"""Times of day and durations out of ISO 8601 text."""

from numba import int64, uint64

from millstream.kernels.calendar import BAD_TIME, OUT_OF_RANGE, read_clock
from millstream.kernels.number import is_digit
from millstream.kernels.simd import multiply_high
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

_LIMIT = uint64(1 << 63)
"""The size of the least int64."""


@helper
def read_time_of_day(text, p, length, ticks):
    """`HH:MM[:SS[.f…]]` or `HHMM[SS[.f…]]` as all of text[p:p+length]: (0 or a code, ticks since midnight). ticks: of a second."""
    if length < 4:
        return BAD_TIME, int64(0)
    end = p + length
    q, seconds, fraction = read_clock(text, p, end, ticks, text[p + 2] == 58)
    if q != end:
        return BAD_TIME, int64(0)
    return 0, seconds * ticks + fraction


@inlined
def designator(character):
    """The place of a letter among W, D, H, M, S, or 9."""
    if character == 87:
        return 0
    if character == 68:
        return 1
    if character == 72:
        return 2
    if character == 77:
        return 3
    return 4 if character == 83 else 9


@inlined
def unit_seconds(place):
    if place == 0:
        return 604_800
    if place == 1:
        return 86_400
    if place == 2:
        return 3_600
    return 60 if place == 3 else 1


@helper
def read_fraction(text, p, end, unit):
    """The digits text[p:end], behind a point, of something that has `unit` ticks: (ticks, was anything cut off)."""
    # From the last digit: value = (digit + value) / 10. Whole ticks will do: what is cut off on the way never makes up one.
    ticks = int64(0)
    cut = False
    while end > p:
        end -= 1
        whole = (int64(text[end]) - 48) * unit + ticks
        cut = cut or whole % 10 != 0
        ticks = whole // 10
    return ticks, cut


@helper
def read_duration(text, p, length, ticks):
    """An ISO 8601 duration as all of text[p:p+length]: (0 or a code, ticks). ticks: of a second.

    `PnW`, or `P[nD][T[nH][nM][nS]]`, with a sign before it; the last number may have a fraction. Years and months have no fixed length:
    BAD_TIME. What is less than a tick is cut off, towards the past.
    """
    end = p + length
    negative = False
    if length > 0 and (text[p] == 45 or text[p] == 43):
        negative = text[p] == 45
        p += 1
    if p >= end or text[p] != 80:
        return BAD_TIME, int64(0)
    p += 1
    total = uint64(0)
    last = -1
    clock = False
    needed = True
    beyond = False
    cut = False
    while p < end:
        if text[p] == 84 and not clock:
            clock = True
            needed = True
            p += 1
            continue
        value = uint64(0)
        first = p
        while p < end and is_digit(text[p]):
            beyond = beyond or value > uint64(922337203685477580)
            value = value * uint64(10) + uint64(int64(text[p]) - 48)
            p += 1
        point = p
        if p == first or p >= end:
            return BAD_TIME, int64(0)
        if text[p] == 46 or text[p] == 44:
            p += 1
            while p < end and is_digit(text[p]):
                p += 1
            if p == point + 1 or p >= end:
                return BAD_TIME, int64(0)
        place = designator(text[p])
        if place > 4 or place <= last or clock != (place >= 2) or last == 0:
            return BAD_TIME, int64(0)
        last = place
        needed = False
        p += 1
        unit = unit_seconds(place) * ticks
        part = value * uint64(unit)
        beyond = beyond or multiply_high(value, uint64(unit)) != uint64(0) or part > _LIMIT
        fraction = int64(0)
        if p - 1 > point:
            if p != end:
                return BAD_TIME, int64(0)
            fraction, cut = read_fraction(text, point + 1, p - 1, int64(unit))
        part += uint64(fraction)
        beyond = beyond or part > _LIMIT - total
        total += part
    if needed:
        return BAD_TIME, int64(0)
    if negative and cut:
        total += uint64(1)
    if beyond or total > _LIMIT or (total == _LIMIT and not negative):
        return OUT_OF_RANGE, int64(0)
    return 0, -int64(total) if negative else int64(total)


@kernel
def parse_time(data: U8, views: I64, valid: U8, ticks: INT, out: I64, status: U8):
    """Times of day in views of `data` (64 bytes padding) to ticks. status: 1 parsed, 0 null in, 12 no such time."""
    for i in range(len(views)):
        out[i] = 0
        status[i] = valid[i]
        if valid[i] == 1:
            code, value = read_time_of_day(data, views[i] & 0xFFFFFFFF, views[i] >> 32, ticks)
            out[i] = value
            status[i] = code if code > 0 else 1
    return len(views)


@kernel
def parse_duration(data: U8, views: I64, valid: U8, ticks: INT, out: I64, status: U8):
    """ISO 8601 durations in views of `data` (64 bytes padding) to ticks. status: 1 parsed, 0 null in, 12 no duration, 11 out of range."""
    for i in range(len(views)):
        out[i] = 0
        status[i] = valid[i]
        if valid[i] == 1:
            code, value = read_duration(data, views[i] & 0xFFFFFFFF, views[i] >> 32, ticks)
            out[i] = value
            status[i] = code if code > 0 else 1
    return len(views)
