"""Attempts that somebody left behind, at any call: whoever comes next ends them, and each record is in the sink once."""

import io
import json
import math
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import duckdb
import orjson
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from millstream.errors import LedgerError, RunError
from millstream.ledger.claims import Names
from millstream.ledger.item import Item
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from millstream.sinks.store import DirectoryStore
from millstream.types import TYPES
from tests.aws import events
from tests.ledger.world import Dead, World, bad, batch, count_calls, dying, frozen, good

pytestmark = pytest.mark.once

GIVEN = (0, 8)
AGAIN = {
    "the same": [(0, 8)],
    "a shorter one": [(0, 3), (3, 8)],
    "a longer one": [(0, 13)],
    "one that begins before": [(0, 8), (5, 10)],
}
"""Batches that come instead of the one that failed."""


@pytest.fixture(autouse=True)
def _told(monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where that can be: hundreds of small files are made sure of here, each on its own."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


@pytest.fixture
def queue(aws):
    return clients.client("sqs").create_queue(QueueName="bad")["QueueUrl"]


FOLDERS = [
    {"form": form, "partitioned": partitioned, "rejects": rejects}
    for form, partitioned, rejects in [
        ("parquet", True, "stored"),
        ("parquet", False, None),
        ("json", True, "stored"),
        ("ndjson", False, "stored"),
        ("ndjson", True, None),
    ]
]


def settle(world, last, delivered=((0, 0),)):
    """Deliver all once more, as to a container that knows nothing. Each record is there once, and a claim holds none."""
    last = max(last, *(one for _, one in delivered))
    assert world.container()(batch(0, last), None) == {"batchItemFailures": []}
    assert world.ids() == good(0, last)
    if world.rejects and world.rejects.startswith("sqs"):
        assert set(world.rejected()) == set(bad(0, last))  # at least once
    elif world.rejects:
        assert world.rejected() == bad(0, last)
    item = world.item()
    assert item.committed == str(events.FIRST + last - 1)
    assert item.intent is None


def deliver(container, *ranges):
    for first, last in ranges:
        assert container(batch(first, last), None) == {"batchItemFailures": []}


def sweep(make, ranges, ends=(False, True)):
    """An attempt that ends before or after each of its calls, then other batches."""
    for at in range(len(count_calls(make(), batch(*GIVEN)))):
        for after in ends:
            world = make()
            with suppress(Dead):
                dying(world, at, after)(batch(*GIVEN), None)
            deliver(world.container(), *ranges)
            settle(world, 8, ranges)


CASES = [(FOLDERS[0], ranges) for ranges in AGAIN] + [(kind, "a longer one") for kind in FOLDERS[1:]]


def each(cases):
    return pytest.mark.parametrize(
        ("kind", "ranges"),
        [(kind, AGAIN[ranges]) for kind, ranges in cases],
        ids=["-".join(map(str, (*kind.values(), ranges))) for kind, ranges in cases],
    )


@each(CASES)
def test_left_behind_in_a_folder(tmp_path, kind, ranges):
    sweep(lambda: World(tmp_path, **kind), ranges)


@pytest.mark.parametrize(
    ("form", "partitioned", "rejects", "ranges"),
    [
        ("parquet", True, "stored", "a shorter one"),
        ("json", True, None, "a longer one"),
        ("parquet", False, "queue", "the same"),
    ],
)
def test_left_behind_in_s3(bucket, table, queue, form, partitioned, rejects, ranges):
    options = {"form": form, "partitioned": partitioned, "rejects": rejects}
    sweep(lambda: World("", bucket=bucket, table=table, queue=queue, **options), AGAIN[ranges], (False,))


def test_what_calls_are_made(tmp_path):
    """So that the tests above stop at these: the rejects come first, all under an intent."""
    world = World(tmp_path)
    calls = ["table swap", "sink replace", "rejects put", "sink put", "sink put", "table swap"]
    assert count_calls(world, batch(*GIVEN)) == calls
    assert count_calls(world, batch(0, 8)) == []
    assert count_calls(world, batch(4, 12)) == [one for one in calls if one != "sink replace"]


@pytest.mark.parametrize("at", [2, 4, 5], ids=["an intent", "some objects", "no commit"])
def test_who_ends_it_is_gone_too(tmp_path, at):
    """At each call: half claimed, dead, half overwritten, at its own attempt."""

    def make():
        world = World(tmp_path)
        with suppress(Dead):
            dying(world, at, False)(batch(*GIVEN), None)
        return world

    for second in range(len(count_calls(make(), batch(0, 9)))):
        for after in (False, True):
            world = make()
            with suppress(Dead):
                dying(world, second, after)(batch(0, 9), None)
            deliver(world.container(), (0, 7), (7, 11))
            settle(world, 11)


@each(CASES[:-1])
def test_the_old_one_goes_on(tmp_path, kind, ranges):
    """It stood still at a call, was taken for dead, and now writes what it still has to."""
    for at in range(len(count_calls(World(tmp_path, **kind), batch(*GIVEN)))):
        for after in (False, True):
            world = World(tmp_path, **kind)
            old = frozen(world, at, after, lambda world=world: deliver(world.container(), *ranges))
            with suppress(RunError):
                old(batch(*GIVEN), None)
            settle(world, 8, ranges)
            for first, last in ranges:  # it lives on, and knows better than it thought
                deliver(old, (first, last))
            deliver(old, (max(last for _, last in ranges), 16))
            settle(world, 16)


def test_the_old_one_goes_on_in_s3(bucket, table):
    for at in range(6):
        world = World("", bucket=bucket, table=table)
        old = frozen(world, at, False, lambda world=world: deliver(world.container(), (0, 10)))
        with suppress(RunError):
            old(batch(*GIVEN), None)
        settle(world, 10)


def test_two_that_end_the_same_attempt(tmp_path):
    """One stands still at each call of its recovery, while another one ends the attempt and goes on."""

    def make():
        world = World(tmp_path)
        with suppress(Dead):
            dying(world, 4, False)(batch(*GIVEN), None)
        return world

    for at in range(len(count_calls(make(), batch(*GIVEN)))):
        for after in (False, True):
            world = make()
            old = frozen(world, at, after, lambda world=world: deliver(world.container(), (0, 6), (6, 12)))
            with suppress(RunError):
                old(batch(*GIVEN), None)
            settle(world, 12)


def test_what_a_dead_attempt_is_told(tmp_path):
    """Its container finds its names claimed, and says so."""
    world = World(tmp_path)
    old = frozen(world, 4, False, lambda: deliver(world.container(), (0, 8)))
    with pytest.raises(RunError, match="another invocation took this one for dead and claimed the name"):
        old(batch(*GIVEN), None)
    world = World(tmp_path)
    old = frozen(world, 5, False, lambda: deliver(world.container(), (0, 8), (4, 16)))
    with pytest.raises(RunError, match=r"another function works on arn:aws:kinesis.* shardId-.*: what is left comes again"):
        old(batch(*GIVEN), None)


# --- many folders --------------------------------------------------------------------------------------------------------


def many(count, size=1):
    """A batch whose rows are of so many folders."""
    rows = [json.dumps({"id": i, "kind": f"{i:0{size}}"}).encode() for i in range(count)]
    return {"Records": [events.kinesis_record(row, i) for i, row in enumerate(rows)]}


def notes(world, start="_millstream-manifest"):
    """In the sink."""
    return sorted(path for path in Path(world.sink).glob(f"{start}*"))


MANY = {"by number": (201, 1), "by size": (120, 140)}


@pytest.mark.parametrize(("count", "size"), MANY.values(), ids=MANY)
def test_many_folders_are_listed_beside_the_rows(tmp_path, count, size):
    world, event = World(tmp_path, rejects=None), many(count, size)
    with suppress(Dead):
        dying(world, 5, True)(event, None)
    intent = world.item().intent
    assert intent.folders == ()
    (manifest,) = notes(world)
    assert manifest.name == intent.manifest
    assert len(orjson.loads(manifest.read_bytes())) == count
    assert len(orjson.dumps(world.item().to_dict())) < 1000
    assert world.container()(event, None) == {"batchItemFailures": []}
    assert world.ids() == list(range(count))
    assert notes(world) == []


def test_as_many_folders_as_an_item_takes(tmp_path):
    world = World(tmp_path, rejects=None)
    with suppress(Dead):
        dying(world, 1, False)(many(200), None)
    assert len(world.item().intent.folders) == 200
    assert notes(world) == []


@pytest.mark.parametrize("at", [0, 1, 2, 5, 202, 203], ids=str)
def test_many_folders_left_behind(tmp_path, at):
    world, event = World(tmp_path, rejects=None), many(201)
    with suppress(Dead):
        dying(world, at, True)(event, None)
    assert world.container()(event, None) == {"batchItemFailures": []}
    assert world.ids() == list(range(201))


GONE = {
    "gone": (lambda path: path.unlink(), "is gone: restore it"),
    "no JSON": (lambda path: path.write_bytes(b"{secret"), "does not list what an attempt wrote: restore it"),
    "no list": (lambda path: path.write_bytes(b'{"secret": 1}'), "does not list what an attempt wrote: restore it"),
    "elsewhere": (lambda path: path.write_bytes(b'["../secret"]'), "does not list what an attempt wrote: restore it"),
}


@pytest.mark.parametrize(("change", "says"), GONE.values(), ids=GONE)
def test_a_manifest_that_is_none(tmp_path, change, says):
    world, event = World(tmp_path, rejects=None), many(201)
    with suppress(Dead):
        dying(world, 5, True)(event, None)
    before = world.objects()
    change(*notes(world))
    with pytest.raises(RunError, match=says) as raised:
        world.container()(event, None)
    assert "secret" not in str(raised.value)
    assert world.objects() == before


def test_a_manifest_that_is_gone_for_its_attempt_was_ended(tmp_path):
    """This container remembers its own attempt, which another one ended meanwhile."""
    world, event = World(tmp_path, rejects=None), many(201)
    old = world.container()
    put = old.sink.put
    old.sink.put = lambda *arguments: (_ for _ in ()).throw(OSError)  # an error of no kind that is known here
    with pytest.raises(OSError):
        old(event, None)
    old.sink.put = put
    assert world.container()(event, None) == {"batchItemFailures": []}
    assert notes(world) == []
    assert old(event, None) == {"batchItemFailures": []}
    assert world.ids() == list(range(201))


# --- what must not be ----------------------------------------------------------------------------------------------------


def test_a_lost_item_beside_rows_is_refused(tmp_path):
    world = World(tmp_path)
    deliver(world.container(), (0, 8))
    world.ledger += "x"  # as after a restore of nothing
    before = world.objects()
    for _ in range(2):
        with pytest.raises(RunError) as raised:
            world.container()(batch(0, 8), None)
        for part in ("has nothing of arn:aws:kinesis", "the item was lost", "Restore the table", "write to another sink"):
            assert part in str(raised.value)
    assert world.objects() == before


def test_an_item_that_is_lost_under_a_container_is_refused(tmp_path):
    world = World(tmp_path)
    container = world.container()
    deliver(container, (0, 8))
    table = container.once.ledger.table
    assert [name for name, _ in table.all("", math.inf)] == [world.shard.id]
    assert table.remove(world.shard.id, world.item().version, math.inf)
    with pytest.raises(RunError, match="the item was lost"):
        container(batch(0, 12), None)
    assert world.ids() == good(0, 8)


def test_an_item_that_was_never_used_is_none_that_is_lost(tmp_path):
    """It was gone before a row was written."""
    world = World(tmp_path)
    with suppress(Dead):
        dying(world, 0, True)(batch(0, 8), None)
    world.ledger += "x"
    deliver(world.container(), (0, 8))
    assert world.ids() == good(0, 8)


@pytest.mark.parametrize("place", ["folder", "s3"])
@pytest.mark.parametrize("kind", [{"form": "parquet"}, {"form": "ndjson", "rejects": None}], ids=["parquet", "ndjson"])
def test_another_object_under_a_name_is_no_row_of_ours(request, tmp_path, place, kind):
    """Neither replaced nor taken for rows that were written."""
    if place == "folder" and kind["form"] != "parquet":
        pytest.skip("text in a folder has nothing to tell whose it is")
    real = {name: request.getfixturevalue(name) for name in ("bucket", "table")} if place == "s3" else {}
    world = World(tmp_path, partitioned=False, **kind, **real)
    with suppress(Dead):
        dying(world, 2 if world.rejects is None else 3, False)(batch(0, 8), None)
    container = world.container()
    intent = world.item().intent
    name = f"{world.shard.base(intent.first, intent.last, 1)}-0000{intent.suffix}"
    if place == "s3":
        clients.client("s3").put_object(
            Bucket=world.bucket, Key=world.sink.removeprefix(f"s3://{world.bucket}/") + name, Body=b"theirs"
        )
    else:
        (container.sink.root / name).write_bytes(b"theirs")
    for _ in range(2):
        with pytest.raises(RunError, match="is not of the attempt that the ledger tells"):
            container(batch(0, 8), None)
    assert world.objects()[name] == b"theirs"
    assert world.item().committed is None


def test_two_ledgers_for_one_sink_are_refused(tmp_path):
    world = World(tmp_path)
    deliver(world.container(), (0, 8))
    with pytest.raises(RunError, match="holds rows that were written by it"):
        world.container(ledger=f"sqlite://{tmp_path}/other.db")(batch(0, 8), None)
    assert world.ids() == good(0, 8)


def test_two_ledgers_that_began_at_once(tmp_path):
    """The one finds the other's rows under its names; it neither takes them for its own nor replaces them."""
    world = World(tmp_path)
    other = World(tmp_path)
    other.sink, other.rejects = world.sink, world.rejects
    old = frozen(other, 1, False, lambda: deliver(world.container(), (0, 8)))
    with pytest.raises(RunError, match="stands there already and is another object: its attempt is"):
        old(batch(0, 8), None)
    with pytest.raises(RunError, match="two ledgers are used for one sink"):
        other.container()(batch(0, 8), None)
    assert world.ids() == good(0, 8)
    assert world.rejected() == bad(0, 8)


def test_rejects_that_nobody_keeps_any_more(tmp_path):
    """The attempt kept some, the next version of the function drops them."""
    world = World(tmp_path)
    with suppress(Dead):
        dying(world, 4, False)(batch(0, 8), None)
    with pytest.raises(RunError, match="set MILLSTREAM_REJECTS, or --rejects, as it was"):
        world.container(rejects=None)(batch(0, 8), None)
    deliver(world.container(), (0, 8))
    settle(world, 8)


def test_an_attempt_of_a_version_that_wrote_otherwise(tmp_path):
    """Another format, other columns, other folders: its names are claimed in its own form."""
    world = World(tmp_path, form="json")
    with suppress(Dead):
        dying(world, 4, False)(batch(0, 8), None)
    now = Pipeline({"id": "int64"}, name="orders")
    assert world.container(pipeline=now)(batch(0, 8), None) == {"batchItemFailures": []}
    found = world.objects()
    assert {body for name, body in found.items() if name.endswith(".json")} == {b"[]"}
    (rows,) = [pq.ParquetFile(io.BytesIO(body)).read() for name, body in found.items() if name.endswith(".parquet")]
    assert rows.column("id").to_pylist() == good(0, 8)


def test_an_attempt_in_a_form_of_a_later_version(tmp_path):
    world = World(tmp_path)
    with suppress(Dead):
        dying(world, 4, False)(batch(0, 8), None)
    container = world.container()
    ledger = container.once.ledger
    read = ledger.table.read

    def later(name, until):
        item = read(name, until)
        return Item.of({**item.to_dict(), "intent": {**item.to_dict()["intent"], "suffix": ".avro"}}, "")

    ledger.table.read = later
    with pytest.raises(RunError, match=r"names end in '.avro', which this version does not know: run the version"):
        container(batch(0, 8), None)


# --- readers -------------------------------------------------------------------------------------------------------------


def claimed(tmp_path, form, partitioned):
    """A sink with claims and rows."""
    world = World(tmp_path, form=form, partitioned=partitioned, rejects=None)
    with suppress(Dead):
        dying(world, 2, False)(batch(0, 8), None)
    deliver(world.container(), (0, 8), (8, 12))
    return world


@pytest.mark.parametrize("partitioned", [True, False])
def test_readers_of_parquet_find_no_row_in_claims(tmp_path, partitioned):
    world = claimed(tmp_path, "parquet", partitioned)
    claims = [body for body in world.objects().values() if pq.read_metadata(io.BytesIO(body)).num_rows == 0]
    assert len(claims) == (2 if partitioned else 1)
    for body in claims:
        told = pq.read_metadata(io.BytesIO(body))
        assert told.metadata[b"millstream.claim"] == b"1"
        assert told.schema.to_arrow_schema().names == (["id"] if partitioned else ["id", "kind"])
    assert sorted(ds.dataset(world.sink, partitioning="hive").to_table().column("id").to_pylist()) == good(0, 12)
    pattern = f"{world.sink}**/*.parquet"
    found = duckdb.sql(
        f"SELECT id, kind FROM read_parquet('{pattern}', hive_partitioning = {partitioned}) ORDER BY id"
    ).fetchall()
    assert [number for number, _ in found] == good(0, 12)
    assert all(kind == "ab"[number // 2 % 2] for number, kind in found)
    assert pl.read_parquet(pattern, hive_partitioning=partitioned)["id"].sort().to_list() == good(0, 12)


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_readers_of_text_find_no_row_in_claims(tmp_path, form):
    world = claimed(tmp_path, form, partitioned=False)
    claims = [body for body in world.objects().values() if body in (b"[]", b"")]
    assert len(claims) == 1
    pattern = f"{world.sink}*.{form}"  # the ledger's note has no such name
    assert [
        one for (one,) in duckdb.sql(f"SELECT id FROM read_json('{pattern}') WHERE id IS NOT NULL ORDER BY id").fetchall()
    ] == good(0, 12)
    if form == "ndjson":
        assert pl.scan_ndjson(pattern).collect()["id"].sort().to_list() == good(0, 12)


def test_claims_of_every_type_are_read(tmp_path):
    kinds = [*TYPES, "decimal128(38, 10)", "list<struct<a: int8, b: json>>", "map<string, list<date32>>"]
    schema = Pipeline({f"c{i}": kind for i, kind in enumerate(kinds)}).plan().schema
    store = DirectoryStore(tmp_path)
    names = Names(store, ["x.parquet"], ".parquet", schema, "t")
    assert names.claim(math.inf) is False
    assert names.claim(math.inf) is False
    assert pq.ParquetFile(tmp_path / "x.parquet").read().num_rows == 0
    assert duckdb.sql(f"SELECT * FROM '{tmp_path}/x.parquet'").fetchall() == []
    assert pl.read_parquet(tmp_path / "x.parquet").height == 0
    with pytest.raises(LedgerError, match="not of the attempt"):
        Names(store, ["x.parquet"], ".parquet", schema, "u").claim(math.inf)
