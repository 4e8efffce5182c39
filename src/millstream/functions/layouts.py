"""Layouts of dates and times, `%d.%m.%Y %H:%M`: the signs of Polars' formats, as steps for kernels/layouts.py."""

from __future__ import annotations

import re

from millstream.errors import PlanError

# As kernels/layouts.py numbers them.
(BYTE, YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, FRACTION, POINT, SHORT_YEAR, SHORT_MONTH, LONG_MONTH, DAY_OF_YEAR, HOUR_12, HALF, OFFSET,
 PADDED_DAY, SHORT_DAY, LONG_DAY, EPOCH, DAY_OF_WEEK) = range(21)  # fmt: skip

_SIGNS = {
    "Y": (YEAR, 0), "m": (MONTH, 0), "d": (DAY, 0), "H": (HOUR, 0), "M": (MINUTE, 0), "S": (SECOND, 0), "y": (SHORT_YEAR, 0),
    "b": (SHORT_MONTH, 0), "h": (SHORT_MONTH, 0), "B": (LONG_MONTH, 0), "j": (DAY_OF_YEAR, 0), "I": (HOUR_12, 0), "p": (HALF, 0),
    "z": (OFFSET, 0), ":z": (OFFSET, 1), "e": (PADDED_DAY, 0), "a": (SHORT_DAY, 0), "A": (LONG_DAY, 0), "s": (EPOCH, 0),
    "u": (DAY_OF_WEEK, 0), "3f": (FRACTION, 3), "6f": (FRACTION, 6), "9f": (FRACTION, 9), ".f": (POINT, 0), ".3f": (POINT, 3),
    ".6f": (POINT, 6), ".9f": (POINT, 9), "%": (BYTE, 37), "n": (BYTE, 10), "t": (BYTE, 9),
}  # fmt: skip
_LONGER = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}
_SIGN = re.compile(r"%(\.?[369]?f|:z|[A-Za-z%])")
_SIGN_LIST = "%Y %m %d %H %M %S %.f %3f %6f %9f %y %b %B %j %I %p %z %:z %e %a %A %s %F %T %R %D %%"
_DAYS = {YEAR, SHORT_YEAR, MONTH, SHORT_MONTH, LONG_MONTH, DAY, PADDED_DAY, DAY_OF_YEAR}
_CLOCK = {HOUR, MINUTE, SECOND, FRACTION, POINT, HOUR_12, HALF}
MOST_STEPS = 200


def steps_of(method: str, layout: str) -> list[tuple[int, int]]:
    """The steps of a layout. Raises PlanError with the sign that is none."""
    steps, at = list[tuple[int, int]](), 0
    for sign, longer in _LONGER.items():
        layout = re.sub(rf"(?<!%)((?:%%)*)%{sign}", lambda match, longer=longer: match[1] + longer, layout)  # type: ignore[misc]
    while at < len(layout):
        if layout[at] != "%":
            steps += ((BYTE, byte) for byte in layout[at].encode())
            at += 1
            continue
        match = _SIGN.match(layout, at)
        if match is None or match[1] not in _SIGNS:
            found = match[0] if match else layout[at : at + 2]
            better = "%.f with its point, or %3f, %6f, %9f" if found == "%f" else _SIGN_LIST
            raise PlanError(f"{method}: {found!r} in {layout!r} is no sign of a layout here; write {better}")
        steps.append(_SIGNS[match[1]])
        at = match.end()
    if not steps or len(steps) > MOST_STEPS:
        raise PlanError(f"{method}: a layout has 1 to {MOST_STEPS} signs and letters, not {len(steps)}")
    return steps


def check_complete(method: str, layout: str, steps: list[tuple[int, int]]) -> None:
    """Raises PlanError for a layout by which no time can be read: each part of a date must be there."""
    there = {what for what, _ in steps}
    if there & {DAY_OF_WEEK}:
        raise PlanError(f"{method}: %u in {layout!r} is only written, not read; leave it out")
    if EPOCH in there:
        return
    if not there & {YEAR, SHORT_YEAR}:
        raise PlanError(f"{method}: {layout!r} has no year; write %Y or %y")
    if DAY_OF_YEAR not in there and not (there & {MONTH, SHORT_MONTH, LONG_MONTH} and there & {DAY, PADDED_DAY}):
        raise PlanError(f"{method}: {layout!r} has no month or no day; write %m and %d, or %j")
    if (HOUR_12 in there) != (HALF in there):
        raise PlanError(f"{method}: {layout!r} has one of %I and %p; write both, or %H")


def has_clock(steps: list[tuple[int, int]]) -> bool:
    """Does it say more than a date?"""
    return any(what in _CLOCK for what, _ in steps)


def has_days(steps: list[tuple[int, int]]) -> bool:
    """Does it say anything of a date?"""
    return any(what in _DAYS or what in (SHORT_DAY, LONG_DAY, DAY_OF_WEEK, EPOCH) for what, _ in steps)


def flat(steps: list[tuple[int, int]]) -> list[int]:
    """The steps for a kernel."""
    return [number for step in steps for number in step]
