"""A large object to Parquet: 200 MB of JSON lines, plain and gzip, from S3 by `millstream.aws.s3_handler`, rows put back there.

S3 is a server on this machine, in a process of its own on another core (`loopback.py`); the handler's client is boto3, as ever.
Peers read the same bytes from a local file and write another, which favours them: nobody sends them, and what they write
goes nowhere. Beside it they do what a function would have to: boto3 fetches the object to a file, and sends theirs.

Every run is a process of its own (`objects_work.py`), kept to one core: seconds are those of the work, without imports; memory is the
most that the process ever held, all in all, with the pages of a file that it maps.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loopback
import measure
import objects_work
import orders
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contest import faster, figure

PEAK, TWICE = "MB of memory", "MB of memory for twice as much text"
PEERS = [who for who in objects_work.CONTESTANTS if who != "millstream"]
NAMES = {"millstream": "millstream, from S3 to S3", "polars": "polars, a file to a file", "duckdb": "duckdb, a file to a file"}


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder that is served as S3, and the environment that leads there."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > 2 << 30
    with (
        tempfile.TemporaryDirectory(dir=shared if roomy else None) as folder,
        measure.other_cores(),
        loopback.serving(Path(folder)) as s3,
    ):
        measure.one_core()
        yield Path(folder), s3


@pytest.fixture(scope="module")
def texts() -> list[bytes]:
    return [b"\n".join(orders.records(100_000, seed)) + b"\n" for seed in range(5)]


def rows(out: Path) -> Any:
    """What was written, file by file in the order of their numbers."""
    plain = {"string": pa.string(), "timestamp[us, UTC]": pa.timestamp("us", "UTC"), "int64": pa.int64(), "bool": pa.bool_()}
    schema = pa.schema([(name, plain.get(kind, pa.float64())) for name, kind in {**orders.SCHEMA, "discount": ""}.items()])
    files = sorted(out.rglob("*.parquet"), key=lambda one: [int(part) for part in one.stem.split("-")[1:]])
    read = [pq.read_table(one).select(schema.names).cast(schema) for one in files]
    return pa.concat_tables(read).combine_chunks()


@pytest.mark.processes
@pytest.mark.large
@pytest.mark.parametrize("kind", ["JSON lines", "gzip"])
def bench_object(kind: str, place: Any, texts: list[bytes], contest: Any, told: measure.Told) -> None:
    folder, s3 = place
    path = folder / ("orders.ndjson" if kind == "JSON lines" else "orders.ndjson.gz")
    with path.open("wb") as file:
        for text in texts:
            file.write(text if kind == "JSON lines" else gzip.compress(text, 6))
    held = dict.fromkeys(objects_work.CONTESTANTS, 0)

    def run(who: str, out: Path = folder / "out") -> int:
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, objects_work.__file__, who, path, out]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | s3)
        seconds, used, most = json.loads(done.stdout.splitlines()[-1])
        told.add(seconds, used)
        held[who] = max(held[who], most)
        return most

    def figures(taken: Any) -> dict[str, float]:
        shown = {PEAK: held["millstream"] / 1e6} | {f"{PEAK}, {who}": held[who] / 1e6 for who in PEERS}
        with path.open("ab") as file:
            file.write(path.read_bytes())
        return shown | {TWICE: run("millstream") / 1e6}

    wanted = None
    for who in objects_work.CONTESTANTS:
        run(who, folder / loopback.KEPT)
        found = rows(folder / loopback.KEPT)
        wanted = found if wanted is None else wanted
        assert len(found), who
        assert found.equals(wanted), f"{who} writes other rows than millstream"
    del wanted, found
    contest(
        f"{kind}, an object of {path.stat().st_size / 1e6:.0f} MB",
        {who: lambda who=who: run(who) for who in objects_work.CONTESTANTS},
        names=NAMES,
        size=sum(map(len, texts)),
        bars=[*(faster(3, 3, who) for who in PEERS), figure(3, 200, PEAK), figure(3, 200, TWICE)],
        figures=figures,
        rounds=(3, 3),
        warm=False,
    )
    path.unlink()
