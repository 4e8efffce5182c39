"""gzip'd JSON lines: the whole way to columns beside the decompressor alone and the decoder alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orders
from contest import takes

from millstream import Schema
from millstream.decode.chunks import read_chunks
from millstream.decode.compression import FileSource, open_stream
from millstream.decode.json import JsonDecoder

NAMES = {
    "millstream": "gzip JSON lines to columns",
    "the decompressor": "the decompressor alone",
    "the decoder": "plain JSON lines to columns: the decoder alone",
}


def bench_decode_gzip(contest: Any, in_memory: Any) -> None:
    records = orders.records(100_000)
    lines = b"\n".join(records) + b"\n"
    decoder = JsonDecoder(list(Schema(orders.SCHEMA).values()))
    plain, packed = in_memory("orders.ndjson", lines), in_memory("orders.ndjson.gz", gzip.compress(lines, 6))

    def decode(path: Path) -> int:
        return sum(decoder.decode(chunk.payloads).length for chunk in read_chunks(FileSource(path)))

    def decompress() -> int:
        count, block = 0, memoryview(bytearray(1 << 18))
        with open_stream(FileSource(packed)) as stream:
            while size := stream.readinto(block):
                count += size
        return count

    assert decode(plain) == decode(packed) == len(records)
    assert decompress() == len(lines)
    contest(
        f"{len(records):,} orders, of {packed.stat().st_size / 1e6:.1f} MB",
        {"millstream": lambda: decode(packed), "the decompressor": decompress, "the decoder": lambda: decode(plain)},
        names=NAMES,
        yardsticks=("the decompressor", "the decoder"),
        size=len(lines),
        bars=[takes(2, 1.15, "the decompressor", "the decoder")],
    )
