"""The cases of functions over dates, times, durations and time zones: tests/cases_catalogue.py takes them up."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.compute as pc

from millstream.schema import Code
from tests.cases import (
    D1,
    EPOCH,
    HIGH,
    I1,
    L1,
    L2,
    LOW,
    MICROSECOND,
    T1,
    T2,
    Case,
    by_polars,
    forgiven,
    polars,
    strict,
    whole,
)  # fmt: skip

UTC1, W1 = {"a": "timestamp[us, UTC]"}, {"a": "written times"}

LATER = {"a": "timestamp[us]", "b": "duration[us]"}


def moved(value: date, months: int) -> date:
    count = value.year * 12 + value.month - 1 + months
    year, month = divmod(count, 12)
    for day in range(value.day, 27, -1):
        try:
            return value.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return value.replace(year=year, month=month + 1)


def ticks(value: timedelta) -> int:
    return value // MICROSECOND


def cut_to(value: timedelta, micros: int) -> int:
    return abs(ticks(value)) // micros * (1 if value >= timedelta() else -1)


def instant(wall: datetime, zone: str, twice: int) -> Any:
    """The instant of a clock time by zoneinfo: what comes back as itself."""
    found = {wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    real = sorted(one for one in found if one.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall)
    return real[0 if twice == 0 else -1] if real else Code.BAD_TIME


def at(value: datetime, zone: str) -> datetime:
    return value.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def read(text: str, layout: str) -> Any:
    try:
        return datetime.strptime(text, layout)
    except ValueError:
        return Code.BAD_TIME


PARTS = [
    by_polars(f"a.dt.{name}()", columns, lambda a, name=name: getattr(a.dt, name)())
    for name, columns in (
        ("iso_year", T1), ("quarter", D1), ("week", T1), ("week", D1), ("weekday", T1), ("ordinal_day", D1), ("hour", T1), ("minute", T1),
        ("second", T1), ("millisecond", T1), ("microsecond", {"a": "timestamp[ms]"}), ("nanosecond", {"a": "timestamp[s]"}),
        ("nanosecond", T1), ("is_leap_year", D1), ("month_start", T1), ("month_end", D1), ("month_end", {"a": "timestamp[s]"}), ("date", T1),
        ("days_in_month", T1), ("hour", {"a": "time64[us]"}),
    )
]  # fmt: skip
TOTALS = [
    Case(f"a.dt.total_{name}()", L1, strict(lambda a, micros=micros: cut_to(a, micros)))
    for name, micros in (("days", 86400 * 10**6), ("hours", 3600 * 10**6), ("minutes", 60 * 10**6), ("seconds", 10**6),
                         ("milliseconds", 1000), ("microseconds", 1))
]  # fmt: skip


def after(a: datetime, b: timedelta, sign: int = 1) -> Any:
    micros = ticks(a - EPOCH) + sign * ticks(b)
    if not LOW <= micros <= HIGH:
        return Code.OUT_OF_RANGE
    return micros


ZONED = [
    Case(f'a.dt.convert_time_zone("{zone}").dt.replace_time_zone(None)', UTC1, strict(lambda a, zone=zone: at(a, zone)))
    for zone in ("Europe/Berlin", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Kolkata")
]
TIMES = [
    *PARTS,
    *TOTALS,
    *ZONED,
    Case("a.dt.time()", T1, strict(lambda a: a.time()), polars(lambda a: a.dt.time())),
    Case('a.dt.offset_by("-13mo")', {"a": "late dates"}, strict(lambda a: moved(a, -13)), polars(lambda a: a.dt.offset_by("-13mo"))),
    Case('a.dt.offset_by("1q")', {"a": "late times"}, strict(lambda a: moved(a, 3)), polars(lambda a: a.dt.offset_by("1q"))),
    Case('a.dt.offset_by("1w2h30m")', {"a": "late times"}, strict(lambda a: a + timedelta(days=7, hours=2, minutes=30))),
    Case('a.dt.offset_by("-90ms")', {"a": "late times"}, strict(lambda a: a - timedelta(milliseconds=90))),
    Case('a.dt.epoch("s")', T1, strict(lambda a: (a - EPOCH) // timedelta(seconds=1)), polars(lambda a: a.dt.epoch("s"))),
    Case("a.dt.epoch()", D1, strict(lambda a: (a - EPOCH.date()).days * 86400 * 10**6), polars(lambda a: a.dt.epoch("us"))),
    Case('from_epoch(a, "ms").dt.epoch("ms")', I1, strict(lambda a: a)),
    Case('from_epoch(a).dt.epoch("us")', I1, whole(lambda a: a * 10**6)),
    Case('from_epoch(a, "d").dt.epoch("d")', {"a": "uint32"}, strict(lambda a: a if a < 1 << 31 else Code.OUT_OF_RANGE)),
    Case("a - b", T2, strict(lambda a, b: a - b), pc.subtract),
    Case("a - b", {"a": "date32", "b": "date32"}, strict(lambda a, b: a - b)),
    Case("a - b", {"a": "timestamp[us]", "b": "timestamp[ms]"}, strict(lambda a, b: a - b)),
    Case('(a + b).dt.epoch("us")', LATER, strict(after)),
    Case('(a - b).dt.epoch("us")', {"a": "timestamp[s]", "b": "duration[us]"}, strict(lambda a, b: after(a, b, -1))),
    Case('(a + duration("PT1.5S"))', {"a": "late times"}, strict(lambda a: a + timedelta(seconds=1.5))),
    Case("(a + b).dt.total_microseconds()", L2, strict(lambda a, b: whole(lambda x, y: x + y)(ticks(a), ticks(b)))),
    Case("(a * b).dt.total_microseconds()", {"a": "duration[us]", "b": "int8"}, strict(lambda a, b: whole(lambda x, y: x * y)(ticks(a), b))),
    Case("(-a).dt.total_microseconds()", L1, strict(lambda a: -ticks(a))),
    Case("now() >= a", {"a": "timestamp[us, UTC]"}, strict(lambda a: a < datetime.now(UTC))),
    *(Case(f'a.dt.replace_time_zone("{zone}", ambiguous="{which}", non_existent="{never}").dt.convert_time_zone("UTC")', {"a": "clock changes"},
           strict(lambda a, zone=zone, number=number, never=never: forgiven(instant(a, zone, number)) if never == "null" else instant(a, zone, number)))
      for zone, which, number, never in (("Europe/Berlin", "earliest", 0, "raise"), ("America/New_York", "latest", 1, "null"))),
    Case('a.dt.replace_time_zone("Europe/Berlin").dt.truncate("1d").dt.replace_time_zone(None)', {"a": "late times"},
         strict(lambda a: Code.BAD_TIME if isinstance(instant(a, "Europe/Berlin", 0), Code) or instant(a, "Europe/Berlin", 0) != instant(a, "Europe/Berlin", 1)
                else datetime(a.year, a.month, a.day))),
    *(Case(f'a.str.to_datetime("{layout}")', W1, strict(lambda a, layout=layout: read(a, layout)))
      for layout in ("%d.%m.%Y %H:%M", "%d/%b/%Y:%H:%M:%S", "%B %d, %Y %I:%M %p")),
    Case('a.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False)', {"a": "stamps"},
         strict(lambda a: read_stamp(a))),
    Case('a.str.to_date("%Y-%m-%d")', {"a": "times"}, strict(lambda a: Code.BAD_TIME if isinstance(read_day(a), Code) else read_day(a))),
    Case('a.str.to_datetime("%s")', {"a": "numbers"}, strict(lambda a: EPOCH + timedelta(seconds=int(a)) if re.fullmatch("-?[0-9]{1,11}", a)
         else Code.BAD_TIME if not re.fullmatch("-?[0-9]{1,18}", a) else Code.OUT_OF_RANGE)),
    by_polars('a.dt.to_string("%d.%m.%Y %H:%M:%S%.3f %j %a %A %b %B %e %y %p %I %s")', {"a": "late times"},
              lambda a: a.dt.to_string("%d.%m.%Y %H:%M:%S%.3f %j %a %A %b %B %e %y %p %I %s")),
    by_polars('a.dt.to_string("%F %u%%")', D1, lambda a: a.dt.to_string("%F %u%%")),
    by_polars('a.dt.to_string("%T%.6f")', {"a": "time64[us]"}, lambda a: a.dt.to_string("%T%.6f")),
    Case('a.dt.convert_time_zone("Asia/Kolkata").dt.to_string("%FT%T%:z")', {"a": "late stamps"},
         strict(lambda a: a.astimezone(ZoneInfo("Asia/Kolkata")).isoformat(timespec="seconds"))),
    Case('a.dt.to_string("%FT%T%.6f").str.to_datetime("%FT%T%.6f")', {"a": "late times"}, strict(lambda a: a)),
]  # fmt: skip


def read_stamp(text: str) -> Any:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:?\d\d|Z)", text, re.ASCII):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except ValueError:
        return None


def read_day(text: str) -> Any:
    """As strptime, which takes digits of other scripts too."""
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", text, re.ASCII):
        return Code.BAD_TIME
    found = read(text, "%Y-%m-%d")
    return found.date() if isinstance(found, datetime) else found
