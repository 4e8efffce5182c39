"""The whole path of a batch: from an event's bytes, as the Lambda Runtime API gives them, to the bytes of a Parquet file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import handlers
import pytest
import simplejson


@pytest.mark.parametrize("made", [handlers.many, handlers.aggregated, handlers.few, handlers.queued])
def bench_handler(made: Callable[[], handlers.Batch], contest: Any) -> None:
    assert simplejson.scanner.c_make_scanner is not None, "simplejson is without its C speedups, which the runtime client has"
    batch = made()
    runs = batch.runs()
    handlers.check(batch, runs)
    written = handlers.expected(batch.records)
    runs["simplejson"] = lambda: simplejson.loads(batch.event)
    runs["parquet"] = lambda: handlers.encode(written)
    count = len(batch.records)
    contest(
        f"{batch.name}, {count:,} records of ~{sum(map(len, batch.records)) // count} B",
        runs,
        names=handlers.NAMES,
        yardsticks=handlers.YARDSTICKS,
        size=len(batch.event),
        bars=batch.bars,
        settle=True,
        seconds=10,
    )
