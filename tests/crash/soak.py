"""Flights through one container for minutes, with duplicates, poison and faults: all that it wrote is compared, its memory is measured.

What stands in the bucket is compared, in windows of some batches, with what plain Python makes of the same lines, and then removed.
"""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from millstream.ledger import names
from tests.aws import events
from tests.crash.child import PIPELINE
from tests.crash.server import ROOT, delete, make_bucket, make_table, objects, resident_mb, running

BATCH = 200
WINDOW = 25
WARM = 500
"""Invocations before memory is measured."""
EACH = 100
DUPLICATES, POISON, FAULTS = 0.05, 0.01, 0.02
BAR = 1.0
"""MB for each 1,000 invocations."""
KEPT = 30
COLUMNS = [
    "day",
    "time_hour",
    "airline",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
    "air_time",
    "speed",
    "dep_delay",
    "arr_delay",
    "made_up",
    "late",
]


class Flights:
    """Lines of flights, over and over, and what becomes of them: written down once more, without Millstream."""

    def __init__(self, path: Path, seed: int, most: int | None = None) -> None:
        with path.open("rb") as file:
            self.lines = [line.rstrip() for _, line in zip(range(most or 1 << 30), file, strict=False)]
        with (ROOT / PIPELINE).with_name("airlines.csv").open(newline="") as table:
            self.airlines = {row["carrier"]: row["name"] for row in csv.DictReader(table)}
        self.random = random.Random(f"flights {seed}")

    def payload(self, number: int) -> tuple[bytes, bool]:
        """Of a record of the stream; is it poison?"""
        line = self.lines[number % len(self.lines)]
        if self.random.random() >= POISON:
            return line, False
        return self.random.choice(
            [
                line[: len(line) // 2],
                b"[" + line + b"]",
                line.replace(b'"distance":', b'"distance":"far","was":'),
                line.replace(b'"month":', b'"month":300,"was":'),
                line.replace(b'"carrier":"', b'"carrier":"\xff'),
                b"\0" * 40,
            ]
        ), True

    def row(self, line: bytes) -> tuple[Any, ...] | None:
        """Its row, the month first; None if it is filtered."""
        one = json.loads(line)
        departed, arrived, minutes = one["dep_delay"], one["arr_delay"], one["air_time"]
        if departed is None or arrived is None or minutes is None or not one["distance"] > 100:
            return None
        made = {
            "time_hour": datetime.fromisoformat(one["time_hour"]),
            "airline": self.airlines.get(one["carrier"]),
            "speed": one["distance"] / (minutes / 60),
            "made_up": departed - arrived,
            "late": arrived > 15,
        }
        return (one["month"], *((one | made)[name] for name in COLUMNS))


class Window:
    """What some batches should have written."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[Any, ...]] = Counter()
        self.rejects: Counter[tuple[str, bytes]] = Counter()
        self.filtered = self.records = self.batches = 0
        self.first = self.last = 0


class Container:
    """The process that is measured."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.crash.child", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    def __call__(self, event: bytes) -> dict[str, Any]:
        given, told = self.process.stdin, self.process.stdout
        assert given is not None
        assert told is not None
        given.write(len(event).to_bytes(4, "big") + event)
        given.flush()
        line = told.readline()
        if not line:
            raise SystemExit("the container ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Soak:
    def __init__(self, container: Container, bucket: str, flights: Flights, seed: int) -> None:
        self.container, self.bucket, self.flights = container, bucket, flights
        self.random = random.Random(f"soak {seed}")
        self.window = Window()
        self.kept: deque[list[dict[str, Any]]] = deque(maxlen=KEPT)
        self.number = 0
        self.total: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.violations: list[str] = []
        self.samples: list[tuple[int, float]] = []
        self.told: dict[str, Any] = {}

    def batch(self) -> list[dict[str, Any]]:
        """The next records of the shard; what they should become is noted."""
        window, made = self.window, []
        for number in range(self.number, self.number + BATCH):
            payload, poison = self.flights.payload(number)
            made.append(_record(payload, number))
            if poison:
                window.rejects[(str(events.FIRST + number), payload)] += 1
                continue
            row = self.flights.row(payload)
            if row is None:
                window.filtered += 1
            else:
                window.rows[row] += 1
        self.number += BATCH
        window.last = self.number
        window.records += BATCH
        window.batches += 1
        return made

    def step(self) -> None:
        fresh, given = self.batch(), 0
        if self.kept and self.random.random() < DUPLICATES:  # with the end of the one before, or that one's like alone
            self.total["duplicates"] += 1
            if self.random.random() < 0.3:
                given = self.random.randrange(1, BATCH)
            else:
                self.deliver(self.random.choice(self.kept), old=True)
        self.deliver((self.kept[-1][-given:] if given else []) + fresh)
        self.kept.append(fresh)
        if self.window.batches >= WINDOW:
            self.compare()

    def deliver(self, records: list[dict[str, Any]], old: bool = False) -> None:
        """Until it is acknowledged."""
        for _ in range(50):
            self.told = told = self.container(events.to_bytes({"Records": records}))
            self.total["invocations"] += 1
            self.total["delivered"] += len(records)
            if self.total["invocations"] % EACH == 0 and self.total["invocations"] >= WARM:
                self.samples.append((self.total["invocations"], resident_mb(self.container.process.pid)))
            for counts in told["counts"]:
                self.counted.update(counts)
                # One whose records were all filtered left nothing, and is filtered again.
                if old and len(records) not in (counts["duplicate"], counts["filtered"]) and "answer" in told:
                    self.violations.append(f"a batch that was done is {counts}")
            if "broken" in told:
                self.violations.append(told["broken"])
                return
            if "again" in told:
                self.total["again"] += 1
                continue
            failed = told["answer"]["batchItemFailures"]
            if not failed:
                return
            self.total["in part"] += 1
            names = [one["kinesis"]["sequenceNumber"] for one in records]
            records = records[names.index(failed[0]["itemIdentifier"]) :]
        self.violations.append("a batch came 50 times")

    def compare(self) -> None:
        """What stands in the bucket with what should; then it is forgotten."""
        window, keys = self.window, []
        rows: Counter[tuple[Any, ...]] = Counter()
        rejects: Counter[tuple[str, bytes]] = Counter()
        for place in ("out/", "bad/"):
            for name, body, tags in objects(self.bucket, place):
                keys.append(place + name)
                told = names.parse(name, rejects=place == "bad/")
                if told is None or not window.first <= told.first - events.FIRST <= told.last - events.FIRST < window.last:
                    self.violations.append(f"{name} is of none of these batches")
                found = pq.ParquetFile(io.BytesIO(body)).read()
                if "claim" in " ".join(tags):
                    self.total["claims"] += 1
                    if found.num_rows:
                        self.violations.append(f"the claim {name} has rows")
                elif place == "bad/":
                    rejects.update(
                        (one["identity"], one["payload"]) for one in found.select(["identity", "payload"]).to_pylist()
                    )
                else:
                    month = int(name.partition("/")[0].removeprefix("month="))
                    columns = [found.column(one).to_pylist() for one in COLUMNS]
                    rows.update(zip([month] * found.num_rows, *columns, strict=True))
        for what, found_, expected in (("row", rows, window.rows), ("reject", rejects, window.rejects)):
            self.violations += [f"{what} lost {count} times: {one}" for one, count in (expected - found_).items()]
            self.violations += [f"{what} too often, {count} times: {one}" for one, count in (found_ - expected).items()]
        self.total.update(
            records=window.records,
            rows=rows.total(),
            rejects=rejects.total(),
            filtered=window.filtered,
            objects=len(keys),
        )
        if window.records != rows.total() + rejects.total() + window.filtered:
            self.violations.append(f"{window.records} records are {rows.total()} + {rejects.total()} + {window.filtered}")
        delete(self.bucket, keys)
        self.window = Window()
        self.window.first = self.number


def _record(payload: bytes, number: int) -> dict[str, Any]:
    return events.kinesis_record(payload, number)


def slope(samples: list[tuple[int, float]]) -> float:
    """MB for each 1,000 invocations, by least squares."""
    if len(samples) < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return 1000 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def soak(seconds: float, seed: int, data: Path, most: int | None = None, say: Any = print) -> Soak:
    """Run, and tell of it: `violations` is what is wrong, line by line."""
    with running() as server:
        bucket, table = make_bucket(), make_table()
        places = (f"s3://{bucket}/out/", f"s3://{bucket}/bad/", f"dynamodb://{table}")
        container = Container(str(seed), str(FAULTS), *places)
        try:
            made = Soak(container, bucket, Flights(data, seed, most), seed)
            _run(made, seconds, server, say)
        finally:
            container.end()
    return made


def _run(made: Soak, seconds: float, server: int, say: Any) -> None:
    began = told = time.monotonic()
    while (now := time.monotonic()) < began + seconds and not made.violations:
        made.step()
        if now > told + 60:
            told = now
            say(
                f"{now - began:5.0f} s: {made.total['invocations']:,} invocations, {made.samples[-1:]}, server {resident_mb(server):.0f} MB",
                flush=True,
            )
    if not made.violations:
        made.compare()
    for line in _summary(made, time.monotonic() - began, seconds):
        say(line, flush=True)


def _summary(made: Soak, took: float, seconds: float) -> Iterator[str]:
    total, faults, memory = made.total, made.told["faults"], [one for _, one in made.samples]
    yield f"soak: {took:,.0f} s, {total['invocations']:,} invocations, {total['records']:,} records in batches of {BATCH}"
    yield f"  rows {total['rows']:,}, rejected {total['rejects']:,}, filtered {total['filtered']:,}; {total['objects']:,} objects, {total['claims']:,} of them claims"
    yield f"  delivered {total['delivered']:,}: {total['duplicates']:,} batches had old records; duplicates {made.counted['duplicate']:,}, failed {made.counted['failed']:,}"
    yield f"  calls {made.told['calls']:,}, faults {sum(faults.values()):,}: " + ", ".join(
        f"{kind} {count:,}" for kind, count in sorted(faults.items())
    )
    yield f"  came again {total['again']:,}, in part {total['in part']:,}"
    if memory:
        half = made.samples[len(made.samples) // 2 :]
        yield f"  memory: first {memory[0]:.1f} MB, last {memory[-1]:.1f} MB, most {max(memory):.1f} MB, {len(memory)} samples after {WARM} invocations"
        yield f"  slope {slope(made.samples):+.3f} MB for 1,000 invocations, second half {slope(half):+.3f}"
        if seconds >= 300 and slope(made.samples) >= BAR:
            made.violations.append(f"memory grows by {BAR} MB or more for 1,000 invocations")
    yield f"  violations {len(made.violations)}"
    for one in made.violations[:20]:
        yield f"    {one}"
