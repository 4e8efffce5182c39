"""JSON bodies, against the json module."""

import datetime as dt
import json

import pyarrow as pa

from millstream.sinks.text import difference, encode_array, encode_lines

BATCH = pa.record_batch(
    {
        "i": pa.array([1, None, -3], pa.int8()),
        "f": pa.array([0.1, float("nan"), float("-inf")]),
        "s": pa.array(['a\n"\\', None, "ü🌿"]),
        "b": pa.array([True, None, False]),
        "d": pa.array([dt.date(2026, 11, 23), None, dt.date(1969, 1, 1)]),
        "u": pa.array([1_500_000, None, -1], pa.timestamp("us", "UTC")),
        "p": pa.array([0, None, 1], pa.timestamp("s")),
        "n": pa.array([1, None, 10**9], pa.timestamp("ns", "UTC")),
    }
)
ROWS = [
    {
        "i": 1,
        "f": 0.1,
        "s": 'a\n"\\',
        "b": True,
        "d": "2026-11-23",
        "u": "1970-01-01T00:00:01.500000Z",
        "p": "1970-01-01T00:00:00",
        "n": "1970-01-01T00:00:00.000000001Z",
    },
    dict.fromkeys(BATCH.schema.names),
    {
        "i": -3,
        "f": None,
        "s": "ü🌿",
        "b": False,
        "d": "1969-01-01",
        "u": "1969-12-31T23:59:59.999999Z",
        "p": "1970-01-01T00:00:01",
        "n": "1970-01-01T00:00:01Z",
    },
]


def test_an_array_and_lines():
    assert json.loads(encode_array(BATCH)) == ROWS
    assert [json.loads(line) for line in encode_lines(BATCH).decode().splitlines()] == ROWS
    assert encode_lines(BATCH).endswith(b"}\n")


def test_no_rows():
    assert json.loads(encode_array(BATCH.slice(0, 0))) == []
    assert encode_lines(BATCH.slice(0, 0)) == b""


def test_more_rows_than_a_slice():
    batch = pa.record_batch({"i": pa.array(range(20_000))})
    assert json.loads(encode_array(batch)) == batch.to_pylist()


def test_times_that_rfc_3339_cannot_say_are_null():
    batch = pa.record_batch({"t": pa.array([2**50, None, 0], pa.timestamp("s")), "d": pa.array([2**30, 0, None], pa.date32())})
    assert json.loads(encode_array(batch)) == [
        {"t": None, "d": None},
        {"t": None, "d": "1970-01-01"},
        {"t": "1970-01-01T00:00:00", "d": None},
    ]


def test_difference(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"[]")
    assert difference(path, b"[]") is None
    assert difference(path, b"[1]") == "it holds other rows"
