"""Time zones of the IANA database as tables: when the offset from UTC changes, and to what.

They are read from the system's files, or from the package `tzdata` where it has none, as `zoneinfo` does; AWS Lambda's system has
none for some runtimes. Nothing else is asked for on the way: no zone, no import.
"""

from __future__ import annotations

import re
from typing import IO, NamedTuple

from millstream.errors import PlanError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*)*")
_LEAST, _NEVER = -(1 << 63), 1 << 62
_HEADER = 44


class Zone(NamedTuple):
    """From starts[k] on, in seconds since 1970, clocks are offsets[k] seconds before UTC's. From `since` on it repeats each 400 years."""

    since: int
    starts: list[int]
    offsets: list[int]


def load_zone(name: str) -> Zone:
    """The table of a zone. Raises PlanError where there is no such zone, or no database."""
    starts, offsets, rule = _parsed(_read(name))
    if rule is None:
        return Zone(_NEVER, starts, offsets)
    first = _year(max(starts[-1], 0))
    for moment, offset in sorted(change for year in range(first - 1, first + 402) for change in rule.changes(year)):
        if moment > starts[-1]:
            starts.append(moment)
            offsets.append(offset)
    return Zone(_of_year(first + 1), starts, offsets)


def _read(name: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise PlanError(f"{name!r} is no time zone; write a name such as 'Europe/Berlin'")
    file = _opened(name)
    if file is None:
        if _opened("Europe/Berlin") is None:
            raise PlanError(
                f"the time zone {name!r} cannot be found: there is no time zone database here; add the package tzdata to the function "
                "(pip install tzdata), or set PYTHONTZPATH to a folder that has one"
            )
        raise PlanError(f"there is no time zone {name!r}; write an IANA name such as 'Europe/Berlin' or 'America/New_York'")
    with file:
        data = file.read()
    if data[:4] != b"TZif":
        raise PlanError(f"the file of the time zone {name!r} is none of the IANA database")
    return data


def _opened(name: str) -> IO[bytes] | None:
    import os
    import zoneinfo

    for folder in zoneinfo.TZPATH:
        try:
            return open(os.path.join(folder, name), "rb")
        except OSError:
            continue
    try:
        from importlib import resources

        place = resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
        return place.open("rb")
    except (ImportError, OSError, ValueError):
        return None


def _parsed(data: bytes) -> tuple[list[int], list[int], Rule | None]:
    """What a TZif file (RFC 9636) says: changes, and the rule after the last of them. Times of 64 bits are read where it has them."""
    import struct

    def counts(at: int) -> tuple[int, ...]:
        return struct.unpack(">6l", data[at + 20 : at + _HEADER])

    at, width = 0, 4
    isutc, isstd, leap, times, kinds, chars = counts(0)
    if data[4:5] >= b"2":
        at, width = _HEADER + times * 5 + kinds * 6 + chars + leap * 8 + isstd + isutc, 8
        isutc, isstd, leap, times, kinds, chars = counts(at)
    at += _HEADER
    moments = struct.unpack(f">{times}{'q' if width == 8 else 'l'}", data[at : at + width * times])
    at += width * times
    which = data[at : at + times]
    at += times
    shifts = [struct.unpack_from(">lBB", data, at + 6 * kind) for kind in range(kinds)]
    at += 6 * kinds + chars + leap * (width + 4) + isstd + isutc
    starts, offsets = [_LEAST], [shifts[0][0]]
    for moment, kind in zip(moments, which, strict=True):
        starts.append(moment)
        offsets.append(shifts[kind][0])
    footer = data[at:].strip(b"\n").decode("ascii") if width == 8 else ""
    return starts, offsets, _rule(footer) if footer else None


class _Change(NamedTuple):
    """A day of each year and a time of day, in seconds: `Mm.w.d`, `Jn` or `n` of POSIX's TZ."""

    form: str
    numbers: tuple[int, ...]
    seconds: int

    def local(self, year: int) -> int:
        """Its clock time in a year, in seconds since 1970."""
        start = _days(year)
        leap = _days(year + 1) - start == 366
        if self.form == "M":
            month, week, weekday = self.numbers
            lengths = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            first = start + sum(lengths[: month - 1])
            day = first + (weekday - (first + 4)) % 7 + 7 * (week - 1)  # 1970-01-01 was a Thursday, 4 from Sunday
            day -= 7 * (day >= first + lengths[month - 1])
        elif self.form == "J":
            day = start + self.numbers[0] - 1 + (leap and self.numbers[0] >= 60)
        else:
            day = start + self.numbers[0]
        return day * 86400 + self.seconds


class Rule(NamedTuple):
    """What clocks do every year: the offsets of standard and of summer time, and the changes to and from the latter, if there is one."""

    standard: int
    summer: int
    to_summer: _Change | None
    to_standard: _Change | None

    def changes(self, year: int) -> list[tuple[int, int]]:
        """(when, to what offset) in a year."""
        if self.to_summer is None or self.to_standard is None:
            return []
        return [
            (self.to_summer.local(year) - self.standard, self.summer),
            (self.to_standard.local(year) - self.summer, self.standard),
        ]


_ABBREVIATION = r"(?:<[A-Za-z0-9+-]+>|[A-Za-z]+)"
_OFFSET = r"([+-]?\d{1,3}(?::\d\d){0,2})"
_RULE = re.compile(rf"{_ABBREVIATION}{_OFFSET}(?:{_ABBREVIATION}{_OFFSET}?,([^,]+),([^,]+))?")
_DAY = re.compile(rf"(?:(M)(\d+)\.(\d)\.(\d)|(J)(\d+)|(\d+))(?:/{_OFFSET})?")


def _rule(text: str) -> Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise PlanError(f"the time zone's rule {text!r} cannot be read")
    standard = -_seconds(match[1])
    if match[3] is None:
        return Rule(standard, standard, None, None)
    summer = -_seconds(match[2]) if match[2] else standard + 3600
    return Rule(standard, summer, _change(match[3]), _change(match[4]))


def _change(text: str) -> _Change:
    match = _DAY.fullmatch(text)
    if match is None:
        raise PlanError(f"the time zone's rule has the day {text!r}, which cannot be read")
    form = match[1] or match[5] or ""
    numbers = tuple(int(one) for one in match.groups()[1:7] if one is not None and one not in ("M", "J"))
    return _Change(form, numbers, _seconds(match[8]) if match[8] else 2 * 3600)


def _seconds(text: str) -> int:
    """`-3:30` as seconds."""
    size: int = sum(int(one) * 60 ** (2 - place) for place, one in enumerate(text.lstrip("+-").split(":")))
    return -size if text[0] == "-" else size


def _days(year: int) -> int:
    """The days from 1970-01-01 to a year's first."""
    before = year - 1
    return 365 * (year - 1970) + before // 4 - before // 100 + before // 400 - 477


def _of_year(year: int) -> int:
    return _days(year) * 86400


def _year(seconds: int) -> int:
    """The year of a time, since 1970."""
    year = 1970 + seconds // 31556952
    return year if _of_year(year) <= seconds else year - 1
