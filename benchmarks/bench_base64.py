"""base64 texts side by side to their bytes, as a batch of Kinesis brings them."""

from __future__ import annotations

import base64
import ctypes
from typing import Any

import events
import polars as pl
import pyarrow as pa
import pytest
from pybase64 import b64decode

from millstream.native.bind import kernels
from millstream.native.memory import PADDING, allocate, from_buffer, from_numbers

NAMES = {
    "millstream": "millstream, in place, with a fresh copy of the texts",
    "pybase64": "pybase64, a text at a time",
    "standard": "the standard library, a text at a time",
    "polars": "polars, a column of texts",
}


@pytest.mark.parametrize(("count", "size"), [(5000, "400 B"), (100, "51,200 B")])
def bench_base64(count: int, size: str, contest: Any) -> None:
    if size == "400 B":
        payloads = events.orders(count)
    else:
        payloads = [packed for packed, _ in events.aggregates(events.orders(12_000))][:count]
    texts = [base64.b64encode(one) for one in payloads]
    joined = b"".join(texts)
    places = [0]
    for one in texts:
        places.append(places[-1] + len(one))
    given, text = from_buffer(pa.py_buffer(joined)), allocate(len(joined) + PADDING, 1)
    starts, ends = from_numbers("q", places[:-1]), from_numbers("q", places[1:])
    decoded = allocate(len(texts), 8)
    strings = [one.decode() for one in texts]
    column = pl.Series(strings, dtype=pl.String)

    def ours() -> None:
        ctypes.memmove(text.address, given.address, len(joined))
        assert kernels.decode_spans(text, starts, ends, decoded) == 0

    runs = {
        "millstream": ours,
        "pybase64": lambda: [b64decode(one, validate=True) for one in strings],
        "standard": lambda: [base64.b64decode(one, validate=True) for one in strings],
        "polars": lambda: column.str.decode("base64"),
    }
    ours()
    found = [text.part(start, decoded.word(i) - start, 1).tobytes() for i, start in enumerate(places[:-1])]
    assert found == runs["pybase64"]() == runs["standard"]() == runs["polars"]().to_list() == payloads
    contest(f"{len(texts):,} texts of ~{size}", runs, names=NAMES, size=len(joined), settle=True, seconds=2)
