"""Time zones: from UTC to the clock on the wall, and back.

A zone is a table: from `starts[k]` on, in seconds since 1970, its clocks are `offsets[k]` seconds before UTC's. The first start is the
least int64. After `since` the table repeats every 400 years, as the calendar does.
"""

from numba import int64

from millstream.kernels.spec import I64, INT, U8, inlined, kernel

ERA = 12622780800
"""The seconds of 400 years."""
_WIDEST = 2 * 86400
"""More than any zone is away from UTC, in seconds."""

NULL, BAD_TIME = 0, 12
# What becomes of a clock time that there is twice: an error, null, the earlier one, the later one.
EARLIEST, LATEST = 2, 3


@inlined
def era_of(seconds, since):
    """What to take from a time to find it in the table, a multiple of 400 years."""
    return (seconds - since) // ERA * ERA if seconds >= since else int64(0)


@inlined
def interval_of(seconds, starts, guess):
    """The k with starts[k] <= seconds < starts[k + 1], tried first at `guess`."""
    if starts[guess] <= seconds and (guess + 1 == len(starts) or seconds < starts[guess + 1]):
        return guess
    low = int64(0)
    high = int64(len(starts))
    while high - low > 1:
        middle = (low + high) >> 1
        if starts[middle] <= seconds:
            low = middle
        else:
            high = middle
    return low


@kernel
def local_of_utc(source: I64, ticks: INT, since: INT, starts: I64, offsets: I64, valid: U8, out: I64):
    """The clock time of each instant, both in ticks, of which `ticks` make a second. Beyond an int64: OUT_OF_RANGE."""
    faults = 0
    k = int64(0)
    for i in range(len(out)):
        seconds = source[i] // ticks
        k = interval_of(seconds - era_of(seconds, since), starts, k)
        shift = offsets[k] * ticks
        out[i] = source[i] + shift
        beyond = (out[i] < source[i]) if shift > 0 else (out[i] > source[i])
        if beyond & (valid[i] == 1):
            valid[i] = 11
            faults += 1
    return faults


@kernel
def utc_of_local(source: I64, ticks: INT, since: INT, starts: I64, offsets: I64, twice: INT, never: INT, valid: U8, out: I64):
    """The instant of each clock time. Where there are two, `twice` says which, or is a validity byte, as `never` is where there is none."""
    faults = 0
    k = int64(0)
    for i in range(len(out)):
        seconds = source[i] // ticks
        era = era_of(seconds - _WIDEST, since)
        seconds -= era
        k = interval_of(seconds - _WIDEST, starts, k)
        count = 0
        earliest = int64(0)
        latest = int64(0)
        j = k
        while j < len(starts) and (j == k or starts[j] <= seconds + _WIDEST):
            instant = seconds - offsets[j]
            if starts[j] <= instant and (j + 1 == len(starts) or instant < starts[j + 1]):
                earliest = offsets[j] if count == 0 else earliest
                latest = offsets[j]
                count += 1
            j += 1
        shift = (latest if twice == LATEST else earliest) * ticks
        out[i] = source[i] - shift
        fault = int64(1)
        if count == 0:
            fault = never
        elif count > 1 and twice != EARLIEST and twice != LATEST:
            fault = twice
        elif (out[i] > source[i]) if shift > 0 else (out[i] < source[i]):
            fault = 11
        if fault != 1 and valid[i] == 1:
            valid[i] = fault
            faults += 1
    return faults
