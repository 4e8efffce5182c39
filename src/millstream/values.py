"""Python values as the text that pipeline files have for them, and back."""

from __future__ import annotations

import binascii
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from millstream.types import Type

LITERALS = "a number, a Decimal, a string, bytes, a bool, a date, a datetime, a time, a timedelta or None"
"""The Python values that can be literals, for messages."""

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,9})?", re.ASCII)
_DURATION = re.compile(
    r"(-?)P(?=\d|T\d)(?:(\d{1,9})W|(?:(\d{1,9})D)?(?:T(?=\d)(?:(\d{1,12})H)?(?:(\d{1,12})M)?(?:(\d{1,12})(?:[.,](\d{1,6}))?S)?)?)",
    re.ASCII,
)


def from_text(kind: Type, text: str) -> Any:
    """The value of a column of this type that a text stands for. Raises ValueError where it stands for none.

    Dates and times in ISO 8601, durations too (`P1DT2H`), a decimal in digits, binary in base64; other types take no text.
    """
    match kind.family:
        case "date":
            return date.fromisoformat(text)
        case "timestamp":
            return datetime.fromisoformat(text)
        case "time":
            return time_from_text(text)
        case "duration":
            return duration_from_text(text)
        case "decimal":
            return decimal_from_text(text)
        case "binary":
            try:
                return binascii.a2b_base64(text, strict_mode=True)
            except ValueError:
                raise ValueError(f"{text!r} is no base64; write 'aGk='") from None
    return text


def to_text(value: Any) -> Any:
    """A value as `from_text` takes it back; numbers, truth values and text as they are."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_to_text(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return binascii.b2a_base64(value, newline=False).decode()
    return value


def time_from_text(text: str) -> time:
    """HH:MM, HH:MM:SS or with up to six digits of a fraction. Raises ValueError."""
    if not _CLOCK.fullmatch(text):
        raise ValueError(f"{text!r} is no time of day; write '12:30:00'")
    return time.fromisoformat(text)


def decimal_from_text(text: str) -> Decimal:
    """A number in digits, with an exponent or without. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no decimal number; write '12.50'")
    return Decimal(text)


def duration_from_text(text: str) -> timedelta:
    """ISO 8601 of weeks, or of days, hours, minutes and seconds, to the microsecond. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration; write ISO 8601 such as 'P1DT2H' or 'PT0.5S'")
    sign, *parts, fraction = found.groups()
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in parts)
    try:
        whole = timedelta(days, seconds, int((fraction or "").ljust(6, "0")), 0, minutes, hours, weeks)
    except OverflowError:
        raise ValueError(f"{text!r} is longer than a duration can be") from None
    return -whole if sign else whole


def duration_to_text(value: timedelta) -> str:
    """ISO 8601 with no part that is zero: `P1DT2H0.5S`, `-PT1S`, `PT0S`."""
    size = abs(value)
    hours, rest = divmod(size.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{size.microseconds:06}".rstrip("0") if size.microseconds else ""
    clock = "".join(f"{count}{letter}" for count, letter in ((hours, "H"), (minutes, "M")) if count)
    clock += f"{seconds}{fraction}S" if seconds or fraction else ""
    days = f"{size.days}D" if size.days else ""
    return (
        f"{'-' if value < timedelta() else ''}P{days}{'T' + clock if clock or not days else ''}{'' if clock or days else '0S'}"
    )
