"""gzip'd JSON lines: the whole way to columns beside the decompressor alone and the decoder alone."""

from __future__ import annotations

import measure

measure.one_thread_each()

import gzip
import os
import tempfile
from pathlib import Path

import orders

from millstream import Schema
from millstream.decode.chunks import read_chunks
from millstream.decode.compression import FileSource, open_stream
from millstream.decode.json import JsonDecoder

BAR = 1.15


def main() -> None:
    records = orders.records(100_000)
    lines = b"\n".join(records) + b"\n"
    decoder = JsonDecoder(list(Schema(orders.SCHEMA).values()))
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        plain, packed = Path(place, "orders.ndjson"), Path(place, "orders.ndjson.gz")
        plain.write_bytes(lines)
        packed.write_bytes(gzip.compress(lines, 6))

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
        runs = {
            "both": lambda: decode(packed),
            "decompressor": decompress,
            "decoder": lambda: decode(plain),
        }
        taken = measure.medians(runs, 15)
        size = packed.stat().st_size
    names = {
        "both": "gzip JSON lines to columns",
        "decompressor": "the decompressor alone",
        "decoder": "plain JSON lines to columns: the decoder alone",
    }
    print(measure.table(f"gzip: {len(lines) / 1e6:.1f} MB of orders in {size / 1e6:.1f} MB", len(lines), taken, names, []))
    ratio = taken["both"] / (taken["decompressor"] + taken["decoder"])
    print(f"  bar {BAR:g} x the two together: {'met' if ratio <= BAR else 'MISSED'} with {ratio:.2f}")


if __name__ == "__main__":
    main()
