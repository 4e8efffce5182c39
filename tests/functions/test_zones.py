"""Time zones: our tables say what zoneinfo says; what is not there is told."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from millstream.errors import PlanError
from millstream.expr import col
from millstream.functions.tzdata import Zone, load_zone
from millstream.pipeline import Pipeline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SOME = (
    "Europe/Berlin", "America/New_York", "America/St_Johns", "Africa/Casablanca", "Africa/Cairo", "Asia/Kolkata", "Asia/Gaza", "Asia/Tehran",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "America/Nuuk", "Europe/Dublin", "America/Santiago", "Asia/Kathmandu",
    "Etc/GMT+5", "UTC", "EST5EDT", "Antarctica/Troll",
)  # fmt: skip


def offset_at(zone: Zone, seconds: int) -> int:
    """As kernels/zones.py finds it, slowly."""
    era = 12622780800
    seconds -= (seconds - zone.since) // era * era if seconds >= zone.since else 0
    return next(offset for start, offset in zip(reversed(zone.starts), reversed(zone.offsets), strict=True) if start <= seconds)


def compare(name: str) -> None:
    zone, theirs, draw = load_zone(name), zoneinfo.ZoneInfo(name), Random(name)
    assert zone.starts == sorted(set(zone.starts))
    moments = [start + step for start in draw.sample(zone.starts[1:], min(60, len(zone.starts) - 1)) for step in (-1, 0, 1)]
    moments += [draw.randrange(-(5 * 10**9), 2 * 10**11) for _ in range(60)]
    for seconds in moments:
        moment = EPOCH + timedelta(seconds=seconds)
        if seconds < min(zone.starts[1:], default=seconds):
            continue  # zoneinfo takes standard time for what RFC 9636 leaves open, before the first change
        wanted = moment.astimezone(theirs).utcoffset()
        assert wanted is not None
        assert timedelta(seconds=offset_at(zone, seconds)) == wanted, (name, moment)


@pytest.mark.once
@pytest.mark.parametrize("name", SOME)
def test_a_zone_is_zoneinfo_s(name: str) -> None:
    compare(name)


@pytest.mark.once
@pytest.mark.long
def test_every_zone_is_zoneinfo_s() -> None:
    for name in sorted(zoneinfo.available_timezones() - {"localtime"}):
        compare(name)


def refused(zone: str) -> str:
    pipeline = Pipeline({"t": "timestamp[us, UTC]"}).with_columns(h=col("t").dt.convert_time_zone(zone).dt.hour())
    with pytest.raises(PlanError) as told:
        pipeline.plan()
    return str(told.value)


def test_a_zone_that_is_not_there_is_told() -> None:
    assert "there is no time zone 'Europe/Berlyn'; write an IANA name" in refused("Europe/Berlyn")
    assert "is no time zone; write a name such as 'Europe/Berlin'" in refused("../../etc/passwd")


def test_where_there_is_no_database_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr("importlib.resources.files", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)))
    assert "there is no time zone database here; add the package tzdata" in refused("Asia/Tokyo")


def test_a_column_that_leaves_is_in_utc_or_has_no_zone() -> None:
    local = col("t").dt.convert_time_zone("Asia/Tokyo")
    pipeline = Pipeline({"t": "timestamp[us, UTC]"})
    with pytest.raises(PlanError, match=r"'t' is timestamp\[us, Asia/Tokyo\].*end with .dt.convert_time_zone"):
        pipeline.with_columns(t=local).plan()
    assert str(pipeline.with_columns(t=local.dt.convert_time_zone("UTC")).plan().output[0][1]) == "timestamp[us, UTC]"
