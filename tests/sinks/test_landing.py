"""Parts by several threads: in their order, a bounded number at once, all ended when landing returns."""

import datetime as dt
import math
import threading
import time
from types import SimpleNamespace

import pytest

from millstream import clock
from millstream.errors import SinkError
from millstream.pipeline import Pipeline
from millstream.sinks import parquet
from millstream.sinks.landing import Output, land, prepare
from millstream.sinks.origin import Origin
from millstream.sinks.rejects import StoredRejects
from millstream.sinks.store import DirectoryStore, Stored

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
ORIGIN = Origin(base="b", range="0+1", source="s", identity=str, arrived=lambda position: NOW, arrival=NOW.date())
PARTS = 40


class SlowStore:
    """Takes a moment for each put, and fails for some names; counts what goes on at once."""

    url = "slow"

    def __init__(self, threads, fails=()):
        self.threads, self.fails = threads, fails
        self.lock = threading.Lock()
        self.names, self.now, self.most, self.done = [], 0, 0, 0

    def put(self, name, body, tags, difference, until=math.inf):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002 if hash(name) % 3 else 0.006)
        with self.lock:
            self.now -= 1
            self.done += 1
            self.names.append(name)
        if name.partition("/")[0].removeprefix("k=") in self.fails:
            raise SinkError(f"cannot write {name}")
        return Stored(name, memoryview(body).nbytes, True)


def prepared(parts=PARTS, extra=()):
    pipeline = Pipeline({"id": "int64", "k": "string"}, output={"partition_by": ["k"]})
    records = [b'{"id": %d, "k": "%d"}' % (i, i % parts) for i in range(2 * parts)] + list(extra)
    output = Output.of(dict(pipeline.output), pipeline.plan().schema)
    return prepare(pipeline.run(records), output, records.__getitem__), output


def landed(sink, rejects=None, until=math.inf, **made):
    batch, output = prepared(**made)
    return land(batch, ORIGIN, output, "f", sink, rejects, until)


@pytest.mark.parametrize("threads", [1, 4])
def test_files_are_in_the_order_of_parts(threads):
    sink = SlowStore(threads)
    found = landed(sink)
    assert [stored.url for stored, _ in found.files] == [f"k={i}/b-0000.parquet" for i in range(PARTS)]
    assert [rows for _, rows in found.files] == [2] * PARTS
    assert (found.counts["written"], found.rows, found.error) == (2 * PARTS, 2 * PARTS, None)
    assert sink.most == threads if threads == 1 else 1 < sink.most <= threads


def test_few_bodies_are_held(monkeypatch):
    sink, held = SlowStore(3), []
    encode, encoded = parquet.encode, [0]

    def count(*arguments):
        encoded[0] += 1
        held.append(encoded[0] - sink.done)
        return encode(*arguments)

    monkeypatch.setattr(parquet, "encode", count)
    landed(sink)
    assert 3 < max(held) <= 6


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_error_by_parts_counts(threads):
    sink = SlowStore(threads, fails={"11", "13", "12"})
    found = landed(sink)
    assert str(found.error) == "cannot write k=11/b-0000.parquet"
    assert (found.counts["written"], found.counts["failed"]) == (0, 2 * PARTS)
    assert sink.now == 0
    assert sink.done < PARTS
    urls = [stored.url for stored, _ in found.files]
    assert urls[:11] == [f"k={i}/b-0000.parquet" for i in range(11)]
    assert sorted(urls) == sorted(name for name in sink.names if name.partition("/")[0][2:] not in sink.fails)
    assert found.rows == 2 * len(urls)
    assert threading.active_count() == 1 or not [one for one in threading.enumerate() if "millstream-put" in one.name]


def test_an_error_of_ours_passes_and_no_thread_is_left():
    class Broken(SlowStore):
        def put(self, *arguments):
            super().put(*arguments)
            raise KeyError("x")

    sink = Broken(4)
    with pytest.raises(KeyError):
        landed(sink)
    assert sink.now == 0
    assert sink.done <= 8


@pytest.mark.parametrize("threads", [1, 4])
def test_no_part_is_begun_when_time_is_up(threads, monkeypatch):
    sink = SlowStore(threads)
    found = landed(sink, until=-math.inf)
    assert (sink.done, found.files) == (0, [])
    assert found.counts["failed"] == 2 * PARTS
    assert "time is up after 0 of 40 files" in str(found.error)
    sink = SlowStore(threads)
    monkeypatch.setattr(clock, "source", SimpleNamespace(monotonic=lambda: float(sink.done), now=time.time))
    found = landed(sink, until=100.0, parts=400)
    assert 0 < len(found.files) < 400
    assert f"time is up after {len(found.files)} of 400 files" in str(found.error)


def test_rejects_are_told_the_time_and_stored_with_their_sub(tmp_path):
    class Late(DirectoryStore):
        def put(self, name, body, tags, difference, until=math.inf):
            assert until == 7e9
            return super().put(name, body, tags, difference, until)

    rejects = StoredRejects(Late(tmp_path / "bad"))
    found = landed(SlowStore(4), rejects, until=7e9, extra=[b"bad"])
    assert (found.counts["written"], found.counts["rejected"]) == (2 * PARTS, 1)
    assert [path.name for path in (tmp_path / "bad").rglob("*.parquet")] == ["b.parquet"]
