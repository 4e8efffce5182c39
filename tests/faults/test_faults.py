"""What befalls calls is what was asked for; code that is to live with everything does."""

from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError, ResponseStreamingError

from millstream import clock
from millstream.aws import s3_handler
from millstream.errors import SinkError
from millstream.pipeline import Pipeline
from millstream.sinks.clients import client
from millstream.sinks.s3 import S3Store
from tests.aws import events
from tests.faults.faults import ALL, Fault, Faults, Kind, fits
from tests.faults.world import START, World

pytestmark = pytest.mark.once


def world_with(seed=1, chooser=Faults.none):
    world = World(seed, chooser)
    world.s3.create_bucket(Bucket="bucket")
    world.s3.least_part_bytes = 1
    return world


def attempt(kind, operation="put_object", **asked):
    world = world_with(1, Faults.at(0, kind, 20))
    world.s3.put_object(Bucket="bucket", Key="old", Body=b"0123456789")
    with world.installed():
        task = world.spawn("a", lambda: getattr(client("s3"), operation)(Bucket="bucket", **asked))
        world.run()
    return world, task


@pytest.mark.parametrize("kind", [kind for kind in ALL if fits(kind, "put_object")])
def test_what_befalls_a_put(kind):
    world, task = attempt(kind, Key="new", Body=b"1")
    stands = "new" in world.s3.keys("bucket")
    assert stands == (kind.name.endswith(("_AFTER", "_LATE")) or kind is Kind.FREEZE_BEFORE)
    assert task.done
    fails = not kind.name.startswith(("FREEZE", "KILL"))
    assert (task.error is not None) == fails
    if isinstance(task.error, ClientError):
        assert task.error.operation_name == "PutObject"
        assert task.error.response["ResponseMetadata"]["RequestId"]
    if kind is Kind.EMPTY_CODE:
        assert task.error.response["Error"]["Code"] == ""
    if kind is Kind.SLOW_DOWN:
        assert task.error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    if kind in (Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER):
        assert isinstance(task.error, ReadTimeoutError)
        assert world.time == pytest.approx(START + 10.005)


def test_a_body_is_cut():
    _, task = attempt(Kind.RESET_IN_BODY, "get_object", Key="old")
    body = task.value()["Body"]
    found = []
    with pytest.raises(ResponseStreamingError):
        found.extend(iter(lambda: body.read(3), b""))
    with pytest.raises(ResponseStreamingError):
        body.read()
    assert b"0123456789".startswith(b"".join(found))


def test_a_head_has_only_its_status():
    for kind, code in ((Kind.DENIED, "403"), (Kind.SLOW_DOWN, "503"), (Kind.EXPIRED_TOKEN, "400"), (Kind.EMPTY_CODE, "400")):
        _, task = attempt(kind, "head_object", Key="old")
        assert task.error.response["Error"]["Code"] == code


def test_what_does_not_fit_does_not_happen():
    _, task = attempt(Kind.CONFLICT, "head_object", Key="old")
    assert task.value()["ContentLength"] == 10
    assert not fits(Kind.TIMEOUT_LATE, "get_object")
    assert not fits(Kind.PARTIAL, "put_object")
    assert all(any(fits(kind, operation) for operation in ("put_object", "get_object", "send_message_batch")) for kind in ALL)
    world = world_with(1, lambda call: Fault(Kind.PARTIAL))
    with world.installed():
        task = world.spawn("a", lambda: client("s3").head_object(Bucket="bucket", Key="old"))
        world.run()
    assert isinstance(task.error, ValueError)


def test_the_store_lives_with_everything():
    """Every kind at every call of a put in parts: it stands whole, or there is an error, and no upload is open but of the dead."""
    for kind in ALL:
        for index in range(6):
            world = world_with(index, Faults.at(index, kind, 1))
            store = S3Store("bucket", "", multipart_bytes=10, part_bytes=20)
            with world.installed():
                task = world.spawn("a", lambda: store.put("x.json", b"y" * 50, {"digest": "1"}))  # noqa: B023
                world.run()
            stands = world.s3.keys("bucket") == ["x.json"]
            if stands:
                assert world.s3.body("bucket", "x.json") == b"y" * 50
            if task.killed:
                continue
            assert stands or isinstance(task.error, SinkError), (kind, index)
            opened = ["TIMEOUT_AFTER", "CLOSED_AFTER", "TIMEOUT_LATE"]  # whoever opened it never learnt its name
            assert not world.s3.buckets["bucket"].uploads or (index == 0 and kind.name in opened), (kind, index)


def test_what_is_not_modelled_says_so():
    world = world_with()
    with world.installed():
        for call in (
            lambda: client("s3").copy_object(Bucket="bucket"),
            lambda: client("s3").put_object(Bucket="bucket", Key="a", ACL="private"),
            lambda: client("s3").get_object(Bucket="bucket", Key="a", PartNumber=1),
            lambda: client("kinesis"),
            lambda: client("dynamodb").get_paginator("scan"),
        ):
            with pytest.raises(NotImplementedError):
                call()


# All of it.


def landed(seed):
    """An object that two containers are told of, again and again, while everything goes wrong; what was written of it."""
    world = World(seed, Faults.random(0.15, ALL, seed, 90))
    world.s3.create_bucket(Bucket="bucket")
    keys = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}
    world.dynamodb.create_table(TableName="table", **keys, AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    lines = b"".join(b'{"id":%d,"kind":"k"}\n' % number for number in range(9))
    found = world.s3.put_object(Bucket="bucket", Key="in.json", Body=lines)
    event = events.s3(events.Stored("in.json", len(lines), "bucket", found["ETag"].strip('"'), None))

    def container():
        end = clock.monotonic() + 60
        context = SimpleNamespace(
            get_remaining_time_in_millis=lambda: int(1000 * (end - clock.monotonic())),
            function_name="f",
            invoked_function_arn="arn",
            aws_request_id="1",
            memory_limit_in_mb=128,
        )
        pipeline = Pipeline({"id": "int64", "kind": "string"}, name="orders")
        return s3_handler(pipeline, sink="s3://bucket/out/", rejects="s3://bucket/bad/", ledger="dynamodb://table")(
            event, context
        )

    with world.installed():
        world.call_seconds = 0.05
        for attempt in range(40):
            tasks = [world.spawn(f"{name}{attempt}", container) for name in "ab"]
            for task in tasks:
                world.at(world.time + 70, task.kill)
            world.run()
            if any(task.error is None and not task.killed for task in tasks):
                break
            clock.sleep(100)
        else:
            pytest.fail(f"it never lands: {[task.error for task in tasks]}")
    (out,) = world.s3.keys("bucket", "out/")
    return world.digest(), pq.read_table(pa.BufferReader(world.s3.body("bucket", out))).column("id").to_pylist()


@pytest.mark.parametrize("seed", range(8))
def test_an_object_lands_once_whatever_happens(seed, capsys):
    (digest, rows), other = landed(seed), landed(seed)
    assert rows == list(range(9))
    assert (digest, rows) == other
