"""A record that is broken, of any kind, at any place of a batch: it changes nothing else."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream import col
from millstream.aws import kinesis_handler, sqs_handler
from millstream.native.bind import kernels
from millstream.pipeline import Pipeline
from millstream.sinks.store import Stored
from tests.aws import events
from tests.aws.events import CANARY
from tests.conftest import SHARE

COUNT = 100
PIPELINE = Pipeline({"id": "int64", "price": "float64", "at": "timestamp[us, UTC]", "kind": "string"}, name="poison").filter(
    col("price") > 10
)

# As text, so that a message of SQS can hold it; Kinesis has four more that are no text.
TEXTS = {
    "no JSON": f"no JSON {CANARY}",
    "cut short": f'{{"kind":"{CANARY}","price":20',
    "no object": "17",
    "a list with one bad item": f'[{{"id":-1,"price":20}},"{CANARY}"]',
    "a number out of range": '{"id":99999999999999999999,"price":20}',
    "another type": f'{{"id":"{CANARY}","price":20}}',
    "no time": f'{{"id":1,"price":20,"at":"{CANARY}"}}',
    "a lone surrogate": f'{{"id":1,"price":20,"kind":"{CANARY}\\ud800"}}',
    "a NUL": "\x00",
    "nothing": "",
}
BYTES = {
    "no UTF-8": b'{"id":1,"price":20,"kind":"%s\xff\xfe"}' % CANARY.encode(),
    "a corrupt aggregate": events.kpl_aggregate([b'{"id":-1,"price":20}'])[:-1] + b"?",
    "compressed and cut short": gzip.compress(b'{"id":-1,"price":20}')[:-9],
    "an aggregate with a bad record": events.kpl_aggregate([CANARY.encode()]),
}


class MemoryStore:
    """A store that keeps what is put there."""

    url, threads = "memory:", 1

    def __init__(self):
        self.objects = {}

    def put(self, name, body, *rest, **more):
        self.objects[name] = pa.py_buffer(bytes(memoryview(body)))
        return Stored(name, len(memoryview(body)), True)

    def rows(self):
        return [row for body in self.objects.values() for row in pq.read_table(pa.BufferReader(body)).to_pylist()]


def good(i):
    return json.dumps({"id": i, "price": i / 2, "at": "2026-11-24T10:00:00Z", "kind": f"{CANARY}{i}"}).encode()


def kinesis_batch(payloads):
    return events.kinesis(*payloads), [str(events.FIRST + i) for i in range(len(payloads))]


def sqs_batch(payloads):
    return events.sqs(*payloads), [events.message_id(i) for i in range(len(payloads))]


def fifo_batch(payloads):
    return events.sqs_fifo(*((f"g{i % 7}", one) for i, one in enumerate(payloads))), [
        events.message_id(i) for i in range(len(payloads))
    ]


SOURCES = {
    "kinesis": (kinesis_handler, kinesis_batch, {**dict(list(TEXTS.items())[:6]), **BYTES}),
    "sqs": (sqs_handler, sqs_batch, TEXTS),
    "fifo": (sqs_handler, fifo_batch, TEXTS),
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "CRITICAL")


def test_there_are_ten_kinds_for_each_source():
    assert [len(kinds) for _, _, kinds in SOURCES.values()] == [10, 10, 10]


@pytest.mark.parametrize("kind", range(10))
@pytest.mark.parametrize("source", SOURCES)
def test_a_poison_record_anywhere_changes_nothing_else(tmp_path, source, kind):
    make, batch, kinds = SOURCES[source]
    name, poison = list(kinds.items())[kind]
    poison = poison if isinstance(poison, bytes) else poison.encode()
    handler = make(PIPELINE, sink=tmp_path / "out", rejects=tmp_path / "bad")
    handler.sink, handler.rejects = MemoryStore(), (rejects := Rejected())
    payloads = [good(i) for i in range(COUNT)]
    step = (
        7 if kernels.load().name == "checked" else 1 if SHARE == 1 else 3
    )  # as shipped, all hundred places where all is drawn
    for place in range(0, COUNT, step):
        handler.sink.objects.clear()
        rejects.rows.clear()
        event, names = batch([*payloads[:place], poison, *payloads[place:]])
        raw = place % 2 == 0
        assert handler(events.to_bytes(event) if raw else event) == {"batchItemFailures": []}
        rows = sorted(row["id"] for row in handler.sink.rows() if row["id"] >= 0)
        assert rows == list(range(21, COUNT)), (name, place)
        assert {row["identity"] for row in rejects.rows} == {names[place]}, (name, place)


class Rejected:
    """Takes rejects in their stored form."""

    url = "memory:"

    def __init__(self):
        self.rows = []

    def write(self, batch, *rest, **more):
        self.rows += batch.to_pylist()
