"""Values to text: against Python's repr, numpy-free float32 and datetime; every float reads back as itself."""

from __future__ import annotations

import ctypes
import math
import struct
from datetime import UTC, date, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.columns import filled_bytes
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers


def texts(out: Memory, views: Memory) -> list[str]:
    data = out.tobytes()
    return [data[view & 0xFFFFFFFF :][: view >> 32].decode() for view in views.tolist()]


def formatted(name: str, values: Memory, width: int, *options: int) -> list[str]:
    out, views = allocate(values.count * width, 1), allocate(values.count, 8)
    used = kernels.__getattr__(name)(values, filled_bytes(1, values.count), *options, out, views)
    assert used <= out.count
    return texts(out, views)


FLOATS = st.one_of(
    st.floats(),
    st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0]),
    st.integers(-(2**60), 2**60).map(float),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FLOATS, max_size=50))
@example(
    [
        0.0,
        -0.0,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        9007199254740993.0,
        1e16,
        1e15,
        1e-5,
        1e-4,
        2.0**-1074 * 3,
    ]
)
def test_floats_are_pythons_digits(values: list[float]) -> None:
    for text, value in zip(formatted("format_float64", from_numbers("d", values), 25, 0, 0), values, strict=True):
        assert (math.isnan(value) and text == "NaN") or float(text) == value
        digits = text.lstrip("-").partition("e")[0].replace(".", "").strip("0")
        wanted = repr(value).lstrip("-").partition("e")[0].replace(".", "").strip("0")
        assert digits == wanted or not math.isfinite(value)
        assert text.startswith("-") == (math.copysign(1, value) < 0) or math.isnan(value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
@example([1, 0x007FFFFF, 0x00800000, 0x00800001, 0x7F7FFFFF, 0x3F800000, 0x4B000000, 0x80000001])
def test_singles_read_back_and_are_short(patterns: list[int]) -> None:
    values = [v for v in (struct.unpack("f", struct.pack("I", bits))[0] for bits in patterns) if math.isfinite(v)]
    for text, value in zip(formatted("format_float64", from_numbers("d", values), 25, 1, 0), values, strict=True):
        assert ctypes.c_float(float(text)).value == value
        digits = text.lstrip("-").partition("e")[0].replace(".", "").strip("0")
        assert len(digits) <= 9
        shorter = f"{value:.{max(len(digits) - 2, 0)}e}"
        assert len(digits) <= 1 or ctypes.c_float(float(shorter)).value != value


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
@example([-(2**63), 2**63 - 1, 0, -1])
def test_integers(values: list[int]) -> None:
    assert formatted("format_int64", from_numbers("q", values), 20, 0) == [str(value) for value in values]
    assert formatted("format_int64", from_numbers("q", values), 20, 1) == [str(value % 2**64) for value in values]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.datetimes(), max_size=30))
def test_times_and_dates(values: list[datetime]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ticks = [(value.replace(tzinfo=UTC) - epoch) // timedelta(microseconds=1) for value in values]
    got = formatted("format_timestamp", from_numbers("q", ticks), 40, 10**6, 6, 1)
    assert got == [value.isoformat() + "Z" for value in values]
    days = [(value.date() - date(1970, 1, 1)).days for value in values]
    assert formatted("format_date", from_numbers("q", days), 20) == [value.date().isoformat() for value in values]


def test_years_beyond_four_digits() -> None:
    assert formatted("format_timestamp", from_numbers("q", [2**63 - 1, -(2**63)]), 40, 1, 0, 0)[0].startswith(
        "+292277026596-12-04T15:30:07"
    )
    assert formatted("format_date", from_numbers("q", [-719529, 2932897, -719163 - 366]), 20) == [
        "-0001-12-31",
        "+10000-01-01",
        "-0001-12-31",
    ]


def test_the_longest_durations_and_times_of_day() -> None:
    durations = from_numbers("q", [-(2**63), 2**63 - 1, 0])
    assert formatted("format_duration", durations, 32) == ["-P106751991DT4H54.775808S", "P106751991DT4H54.775807S", "PT0S"]
    assert formatted("format_time", from_numbers("q", [0, 86_399_999_999]), 15) == ["00:00:00", "23:59:59.999999"]
    for outside in (-(2**63), -1, 2**63 - 1):  # no time of day, but an Arrow array may hold it
        assert len(formatted("format_time", from_numbers("q", [outside]), 15)[0]) <= 15
