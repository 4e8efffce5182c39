"""The table of rows that a report shows."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal

import pyarrow as pa

from millstream.local.report import table


def test_every_type_is_shown_as_it_is_written() -> None:
    batch = pa.record_batch(
        {
            "m": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
            "y": [b"\0\xff", b""],
            "t": pa.array([time(1, 2, 3), None], pa.time64("us")),
            "l": pa.array([timedelta(hours=25), None], pa.duration("us")),
            "list": [["a", None], None],
            "s": [{"a": [Decimal("0.1")]}, {"a": None}],
        }
    )
    assert table(batch) == [
        "     m  y     t         l       list        s",
        '  1.50  AP8=  01:02:03  P1DT1H  ["a",null]  {"a":[0.1]}',
        '  null        null      null    null        {"a":null}',
    ]
