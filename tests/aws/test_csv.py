"""CSV through the handlers: objects in chunks and read on, payloads of streams and queues."""

import gzip
import json
from types import SimpleNamespace

import pytest

from millstream.aws import kinesis_handler, objects, ranges, s3_handler, sqs_handler
from millstream.errors import RunError
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.aws.test_s3 import Ticks, ids, keys, put, rows

pytestmark = pytest.mark.once

SCHEMA = {"id": "int64", "kind": "string"}


def handler_for(make, bucket, sink="out", **given):
    job = Pipeline(SCHEMA, name="orders", input={"format": "csv", **given})
    return make(job, sink=f"s3://{bucket}/{sink}/", rejects=f"s3://{bucket}/bad/")


def text_of(count):
    return b"kind,id,more\r\n" + b"".join(
        b'"%d,\n""x""",%s,\r\n' % (i, b"x" if i % 100 == 5 else b"%d" % i) for i in range(count)
    )


@pytest.fixture
def small(monkeypatch):
    """Chunks and blocks of a few kilobytes."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 2048)
    monkeypatch.setattr(objects, "FILE_CHUNKS", 2)
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 3000)


@pytest.mark.parametrize("form", ["csv", "csv.gz"])
def test_when_time_is_up_an_object_goes_on_where_it_was(bucket, small, form, monkeypatch):
    text = text_of(1000)
    event = events.s3(put(bucket, f"in.{form}", gzip.compress(text) if form.endswith("gz") else text))
    handler_for(s3_handler, bucket, "whole")(event)
    rejects = sorted(rows(bucket, "bad/"), key=lambda row: row["position"])
    handler = handler_for(s3_handler, bucket)
    stops = 0
    while True:
        monkeypatch.setattr(objects, "monotonic", Ticks(5))
        try:
            handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
        except RunError:
            stops += 1
            continue
        break
    assert stops == 2
    assert ids(bucket) == ids(bucket, "whole/") == [i for i in range(1000) if i % 100 != 5]
    assert [key.removeprefix("out/") for key in keys(bucket, "out/")] == [
        key.removeprefix("whole/") for key in keys(bucket, "whole/")
    ]
    assert [(row["position"], row["payload"]) for row in rejects] == [(i, b'"%d,\n""x""",x,' % i) for i in range(5, 1000, 100)]
    assert {(row["context"], row["format"], row["code"]) for row in rejects} == {(b"kind,id,more", "csv", "BAD_NUMBER")}
    assert sorted(row["position"] for row in rows(bucket, "bad/")) == [row["position"] for row in rejects]


PAYLOADS = [b"1,a\n2,b\n", b"3,c", b"", gzip.compress(b"4,d\n5,e\nx,f\n"), b'6,"two\nlines"\r\n', b"[7,g\n", b'8,h\n"9,i']


def test_payloads_of_a_stream_hold_any_number_of_lines(bucket):
    handler_for(kinesis_handler, bucket, header=False)(events.kinesis(*PAYLOADS))
    assert ids(bucket) == [1, 2, 3, 4, 5, 6, 8]
    rejects = sorted(rows(bucket, "bad/"), key=lambda row: row["position"])
    assert [(row["position"], row["sub"], row["code"], row["payload"]) for row in rejects] == [
        (5, 2, "BAD_NUMBER", b"x,f"), (7, 0, "BAD_NUMBER", b"[7,g"), (9, 1, "BAD_CSV", b'"9,i'),
    ]  # fmt: skip
    assert {row["context"] for row in rejects} == {None}


def test_user_records_of_an_aggregate_are_payloads(bucket):
    handler_for(kinesis_handler, bucket, header=["kind", "id"])(
        events.kinesis(b"a,1", events.kpl_aggregate([b"b,2\nc,3", b"d,4"]), b"e,5")
    )
    assert ids(bucket) == [1, 2, 3, 4, 5]


def test_messages_of_a_queue_with_headers_of_their_own(bucket):
    bodies = ["id,kind\n1,a\n2,b\n", "kind,id\nc,3\nd,y\n", "id;kind\n4;d\n", "id,kind\n5,e\n"]
    answer = handler_for(sqs_handler, bucket)(events.sqs(*bodies))
    assert answer == {"batchItemFailures": []}
    assert ids(bucket) == [1, 2, 3, 5]
    rejects = sorted(rows(bucket, "bad/"), key=lambda row: row["position"])
    assert [(row["code"], row["payload"], row["context"]) for row in rejects] == [
        ("BAD_NUMBER", b"d,y", b"kind,id"),
        ("BAD_CSV", b"4;d", b"id;kind"),
    ]
    assert json.dumps([row["message"] for row in rejects]).count("header") == 1
