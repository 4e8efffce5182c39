"""Timestamps in the form that machines write, `2026-11-01T08:30:00.25Z`, eight characters at a time."""

import numpy as np
from numba import int64

from millstream.kernels.calendar import days_from_civil, days_in_month, fits_nanoseconds, read_timestamp
from millstream.kernels.number import read_digits
from millstream.kernels.simd import load_word, shift_right
from millstream.kernels.spec import inlined, outlined

_TENS = np.array([10**i for i in range(10)], np.int64)


def _form(text):
    """A form, `0` for a digit, as a word; and what carries a character into its top bit where it is not of the form."""
    nines = bytes(0x76 if byte == 48 else 0x7F for byte in text.encode())
    return int.from_bytes(text.encode(), "little"), int.from_bytes(nines, "little")


_DAY, _DAY_NINES = _form("0000-00-")
_CLOCK, _CLOCK_NINES = _form("00T00:00")
_SECOND, _SECOND_NINES = _form(":00")


@inlined
def is_form(word, nines):
    """Is a text, XORed with a form, of that form? Its bytes are digits then, and 0 between them."""
    return (((word + nines) | word) & -0x7F7F7F7F7F7F7F80) == 0


@outlined
def read_other_timestamp(text, p, length, ticks, zoned):
    return read_timestamp(text, p, length, ticks, zoned)


@inlined
def read_instant(text, p, length, ticks, places, zoned):
    """`read_timestamp`, quick where text[p:] is of that form. places: digits of a second that are kept (ticks is 10**places)."""
    day_word = load_word(text, p) ^ _DAY
    clock_word = load_word(text, p + 8) ^ _CLOCK
    second_word = (load_word(text, p + 16) & 0xFFFFFF) ^ _SECOND
    if (
        length >= 19
        and is_form(day_word, _DAY_NINES)
        and is_form(clock_word, _CLOCK_NINES)
        and is_form(second_word, _SECOND_NINES)
    ):
        day_word = day_word * 10 + shift_right(day_word, 8)  # each byte: the number of this digit and the next
        clock_word = clock_word * 10 + shift_right(clock_word, 8)
        second = shift_right(second_word * 10 + shift_right(second_word, 8), 8) & 0xFF
        year = (day_word & 0xFF) * 100 + (shift_right(day_word, 16) & 0xFF)
        month = shift_right(day_word, 40) & 0xFF
        day = clock_word & 0xFF
        hour = shift_right(clock_word, 24) & 0xFF
        minute = shift_right(clock_word, 48) & 0xFF
        q = p + 19
        fraction = int64(0)
        count = int64(0)
        if text[q] == 46:
            count, fraction = read_digits(text, q + 1)
            if count <= places:
                fraction *= _TENS[places - count]
            else:
                fraction //= _TENS[count - places]
            q += 1 + count
            count = 8 if count == 0 else count
        if zoned:
            q += 1 if text[q] == 90 else 2 * length  # an offset is for the other one
        fine = (month >= 1) & (month <= 12) & (day >= 1) & (hour <= 23) & (minute <= 59) & (second <= 59) & (count < 8)
        if fine and q == p + length and (day <= 28 or day <= days_in_month(year, month)):
            seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
            if places < 9 or fits_nanoseconds(seconds, fraction):
                return 0, seconds * ticks + fraction
    return read_other_timestamp(text, p, length, ticks, zoned)
