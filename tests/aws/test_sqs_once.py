"""SQS with a ledger of messages: each message's rows are in the sink once, however it is delivered again."""

import hashlib
import json
import math
import threading
from collections import Counter
from contextlib import suppress

import pytest

from millstream import clock
from millstream.aws import s3_handler, sqs_handler
from millstream.errors import RunError, SettingsError
from millstream.expr import col
from millstream.ledger import messages, turn
from millstream.ledger.collect import collect
from millstream.ledger.item import QUEUES
from millstream.ledger.names import is_ours, parse
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from tests.aws import events
from tests.faults.histories.runtime import installed
from tests.faults.histories.streams import TABLE, new_table
from tests.faults.world import World as Simulated
from tests.ledger.world import World, bad, good, payload
from tests.servers import lost_after, lost_before, refusal

pytestmark = pytest.mark.once

ALL_DONE = {"batchItemFailures": []}
OPERATIONS = ("BatchGetItem", "PutItem", "TransactWriteItems")


class Queue(World):
    """A queue, a sink, its rejects and a table; containers that work on it."""

    def container(self, **other):
        options = {"sink": self.sink, "rejects": self.rejects, "ledger": self.ledger} | other
        made = sqs_handler(options.pop("pipeline", self.pipeline), **options)
        made.sink.threads = 1
        return made

    def rejected(self):
        """Of rejects that are kept, which message each was."""
        numbers = {events.message_id(number): number for number in range(2000)}
        rows = [row for body in self.objects(self.rejects).values() for row in self._rows(body)]
        return sorted(numbers[row["identity"]] for row in rows)

    def table(self):
        """All items, by kind: those of messages, those of attempts."""
        name = self.ledger.removeprefix("dynamodb://")
        found = [
            one for page in clients.client("dynamodb").get_paginator("scan").paginate(TableName=name) for one in page["Items"]
        ]
        return [one for one in found if "token" in one], [one for one in found if "version" in one]


def batch(*numbers, queue=events.QUEUE, group=None):
    return {"Records": [events.sqs_message(payload(i), i, queue=queue, group=group and group[i % 2]) for i in numbers]}


@pytest.fixture(autouse=True)
def _once(monkeypatch):
    monkeypatch.setenv("MILLSTREAM_SQS_ONCE", "1")


@pytest.fixture
def world(bucket, table, s3_faults, dynamodb_faults, monkeypatch):
    monkeypatch.setattr(clock.source, "sleep", lambda seconds: None)
    return Queue("", bucket=bucket, table=table)


def counts(capsys):
    """What is not zero, of each line."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"batch"' in line]
    for line in found:
        told = dict(line["counts"])
        assert told.pop("delivered") == sum(told.values())
    return [{name: count for name, count in line["counts"].items() if count} for line in found]


# --- batches -------------------------------------------------------------------------------------------------------------


def test_messages_that_are_grouped_anew_are_duplicates(world, capsys):
    container = world.container()
    for one in (batch(*range(8)), batch(*range(4)), batch(*range(4, 12)), batch(*range(12))):
        assert container(one, None) == ALL_DONE
        container = world.container()
    assert counts(capsys) == [
        {"delivered": 8, "written": 6, "rejected": 2},
        {"delivered": 4, "duplicate": 4},
        {"delivered": 8, "duplicate": 4, "written": 3, "rejected": 1},
        {"delivered": 12, "duplicate": 12},
    ]
    assert (world.ids(), world.rejected()) == (good(0, 12), bad(0, 12))


def test_records_of_a_message_are_counted(world, capsys):
    body = json.dumps([{"id": i, "kind": "a"} for i in range(5)])
    for _ in range(2):
        assert world.container()(events.sqs(body, payload(9)), None) == ALL_DONE
    assert counts(capsys) == [{"delivered": 6, "written": 6}, {"delivered": 6, "duplicate": 6}]


def test_a_message_that_is_twice_in_a_batch_is_written_once(world, capsys):
    assert world.container()(batch(0, 1, 0), None) == ALL_DONE
    assert counts(capsys) == [{"delivered": 3, "duplicate": 1, "written": 2}]
    assert world.ids() == [0, 1]


def test_a_dead_letter_queue_keeps_the_ids(world):
    assert world.container()(batch(0, 1), None) == ALL_DONE
    assert world.container()(batch(0, 1, 2, queue=f"{events.QUEUE}-dead"), None) == ALL_DONE
    assert world.ids() == [0, 1, 2]


def test_a_fifo_queue(world, capsys):
    container = world.container(rejects=None, on_reject="fail")
    given = batch(0, 1, 2, 3, 4, 5, queue=events.FIFO_QUEUE, group="xy")
    failing = {"batchItemFailures": [{"itemIdentifier": events.message_id(i)} for i in (3, 5)]}
    for _ in range(2):
        assert container(given, None) == failing
    assert world.ids() == [0, 1, 2, 4]
    first, second = counts(capsys)
    assert first == {"delivered": 6, "written": 4, "failed": 2}
    assert second == {"delivered": 6, "duplicate": 4, "failed": 2}


def test_a_fifo_queue_of_records_and_notifications(world, capsys):
    """A record behind an object that is not there is written when that came, once; the one before it is a duplicate then."""
    bucket = world.sink.split("/")[2]
    body = b'{"id": 77, "kind": "a"}'
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    notice = json.dumps(events.s3(events.Stored("in.ndjson", len(body), bucket, etag)))
    given = events.sqs_fifo(("x", payload(0)), ("x", notice), ("x", payload(1)), ("y", payload(2)))
    held = {"batchItemFailures": [{"itemIdentifier": events.message_id(i)} for i in (1, 2)]}
    container = world.container()
    for _ in range(2):
        assert container(given, None) == held
        assert world.ids() == [0, 2]
    clients.client("s3").put_object(Bucket=bucket, Key="in.ndjson", Body=body)
    given["Records"] = [one for one in given["Records"] if one["messageId"] in map(events.message_id, (0, 1, 2))]
    capsys.readouterr()
    for _ in range(2):
        assert container(given, None) == ALL_DONE
        assert world.ids() == [0, 1, 2, 77]
    told = [one for one in counts(capsys) if one != {"delivered": 1, "written": 1}]
    assert told == [{"delivered": 1, "duplicate": 1}] * 4


def test_where_nothing_is_written_there_are_no_items(world):
    container = world.container(pipeline=world.pipeline.filter(col("id") < 0))
    assert container(batch(0, 1), None) == ALL_DONE
    assert world.table() == ([], [])


# --- two containers ------------------------------------------------------------------------------------------------------


def meanwhile(container, name, at, what):
    """Have something happen before a call of the container's table."""
    table, number = container.keys.messages.table, 0
    real = getattr(table, name)

    def call(*arguments):
        nonlocal number
        number += 1
        if number == at:
            what()
        return real(*arguments)

    setattr(table, name, call)


@pytest.mark.parametrize(("name", "at"), [("pointers", 1), ("swap", 1), ("point", 1), ("swap", 2)])
def test_another_container_is_quicker_with_some_of_the_messages(world, capsys, name, at):
    """Before each call. One of them may have to come again; nothing is there twice."""
    slow, quick = world.container(), world.container()

    def other():
        assert quick(batch(2, 3, 4, 5), None) == ALL_DONE

    meanwhile(slow, name, at, other)
    with suppress(RunError):
        slow(batch(0, 1, 2, 3), None)
    assert world.container()(batch(*range(6)), None) == ALL_DONE
    assert (world.ids(), world.rejected()) == (good(0, 6), bad(0, 6))
    assert all("expiration" in one for kind in world.table() for one in kind)


def test_two_at_once(world):
    """Threads, as they come."""
    containers = [world.container() for _ in range(2)]

    def work(container, numbers):
        for _ in range(10):
            try:
                container(batch(*numbers), None)
            except RunError:
                continue
            return

    threads = [threading.Thread(target=work, args=one) for one in zip(containers, ([0, 1, 2, 4], [2, 4, 5, 6]), strict=True)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert world.container()(batch(0, 1, 2, 4, 5, 6), None) == ALL_DONE
    assert world.ids() == [0, 1, 2, 4, 5, 6]


def test_a_container_that_dies_with_its_objects_half_written(world, s3_faults, capsys):
    s3_faults.on("PutObject", lambda request: None, refusal("AccessDenied", 403))
    with pytest.raises(RunError):
        world.container()(batch(*range(6)), None)
    assert world.container()(batch(3, 4), None) == ALL_DONE
    assert world.container()(batch(0, 1, 2, 5, 6), None) == ALL_DONE
    assert (world.ids(), world.rejected()) == (good(0, 7), bad(0, 7))
    failed, *_ = counts(capsys)
    assert failed == {"delivered": 6, "failed": 6}
    assert len([one for one in world.table()[1] if "committed" not in one]) == 1


def test_what_was_wholly_written_is_settled_by_the_next(world, dynamodb_faults, capsys):
    container = world.container()
    dynamodb_faults.on("PutItem", lambda request: None, *[refusal("AccessDeniedException")])
    with pytest.raises(RunError):
        container(batch(0, 1, 2), None)
    objects = world.objects()
    assert world.container()(batch(2, 4), None) == ALL_DONE
    assert objects.items() <= world.objects().items()
    assert world.ids() == [0, 1, 2, 4]
    assert counts(capsys)[-1] == {"delivered": 2, "duplicate": 1, "written": 1}


# --- calls ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", [lost_before, lost_after, refusal("ProvisionedThroughputExceededException")])
@pytest.mark.parametrize("before", [0, 1])
def test_a_call_that_is_lost_is_made_again(world, dynamodb_faults, operation, fault, before):
    assert world.container()(batch(0), None) == ALL_DONE
    dynamodb_faults.on(operation, *[lambda request: None] * before, fault)
    assert world.container()(batch(0, 1, 2, 4), None) == ALL_DONE
    assert world.container()(batch(0, 1, 2, 4), None) == ALL_DONE
    assert world.ids() == [0, 1, 2, 4]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_call_that_is_refused_fails_the_batch(world, dynamodb_faults, operation, capsys):
    dynamodb_faults.on(operation, refusal("AccessDeniedException"))
    action = {"TransactWriteItems": "PutItem"}.get(operation, operation)
    with pytest.raises(RunError, match=f"allow dynamodb:{action}"):
        world.container()(batch(*range(4)), None)
    assert counts(capsys) == [{"delivered": 4, "failed": 4}]
    assert world.objects() == {}
    assert world.container()(batch(*range(4)), None) == ALL_DONE
    assert world.ids() == good(0, 4)


def test_a_lost_attempt_is_refused(world):
    world.container()(batch(0), None)
    for one in world.table()[1]:
        clients.client("dynamodb").delete_item(TableName=world.ledger.removeprefix("dynamodb://"), Key={"id": one["id"]})
    with pytest.raises(RunError, match=r"it was lost.* Restore the table"):
        world.container()(batch(0, 1), None)
    assert world.ids() == [0]


def test_items_expire(world):
    """All do, once the attempt is over."""
    world.container()(batch(0, 1), None)
    pointers, attempts = world.table()
    assert (len(pointers), len(attempts)) == (2, 1)
    for one in (*pointers, *attempts):
        assert int(one["expiration"]["N"]) - clock.now() == pytest.approx(turn.KEPT_SECONDS, abs=600)


def test_part_of_many_messages_was_pointed_elsewhere(world, monkeypatch):
    """The first transaction is done, the second is refused: the attempt is dead, and its messages are free."""
    monkeypatch.setattr(messages, "MOST", 2)
    slow, quick = world.container(), world.container()
    meanwhile(slow, "point", 2, lambda: quick(batch(4), None))
    with pytest.raises(RunError, match="another function works on some of these messages"):
        slow(batch(0, 1, 2, 4), None)
    assert world.container()(batch(0, 1, 2, 4), None) == ALL_DONE
    assert world.ids() == [0, 1, 2, 4]


@pytest.mark.parametrize(("batches", "size", "dollars"), [(1, 1000, 1.376), (100, 10, 1.5)])
def test_what_messages_cost(batches, size, dollars):
    """A message: a read unit, and two write units, for it is in a transaction. A batch: two write units, and a call a hundred messages."""
    world = Simulated("units")
    world.s3.create_bucket(Bucket="lake")
    new_table(world)
    service, table = world.dynamodb, world.dynamodb.tables[TABLE]
    with installed(world, MILLSTREAM_SQS_ONCE="1"):
        made = Pipeline({"id": "int64", "kind": "string"}, name="orders")
        handler = sqs_handler(made, sink="s3://lake/rows/", rejects="s3://lake/rejects/", ledger=f"dynamodb://{TABLE}")
        for first in range(0, batches * size, size):
            records = [events.sqs_message(json.dumps({"id": i, "kind": "a"}), i) for i in range(first, first + size)]
            assert handler({"Records": records}, None) == ALL_DONE
        assert (table.read_units, table.write_units) == (batches * size, 2 * batches * size + 2 * batches)
        many = batches * -(-size // 100)
        # The first read is of what is not there, so that no attempt is read.
        assert service.calls - Counter(create_table=1) == {
            "batch_get_item": many,
            "put_item": 2 * batches,
            "transact_write_items": many,
        }
        service.calls.clear()
        assert handler({"Records": records}, None) == ALL_DONE  # the last batch again
        assert service.calls == {"batch_get_item": -(-size // 100) + 1}
    million = 1e6 / (batches * size) * (0.125e-6 * batches * size + 0.625e-6 * (2 * batches * size + 2 * batches))
    assert million == pytest.approx(dollars, abs=0.001)


# --- settings, and what is left behind -----------------------------------------------------------------------------------


def test_it_needs_a_ledger_of_dynamodb(world, tmp_path):
    with pytest.raises(SettingsError, match=r"set MILLSTREAM_LEDGER=dynamodb://TABLE"):
        world.container(ledger=None)
    with pytest.raises(SettingsError, match=r"write dynamodb://TABLE"):
        world.container(ledger=f"sqlite://{tmp_path}/ledger.db")
    assert s3_handler(world.pipeline, sink=world.sink, rejects=world.rejects).keys is None


def test_without_the_setting_nothing_is_kept(world, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_SQS_ONCE", "0")
    assert world.container()(batch(0), None) == ALL_DONE
    assert world.table() == ([], [])


def test_it_is_warmed_without_a_call(world, dynamodb_faults):
    container = world.container()
    dynamodb_faults.calls.clear()
    assert container.warm()
    assert dynamodb_faults.calls == []


def test_names_are_known_to_gc(world):
    world.container()(batch(*range(4)), None)
    for name in world.objects():
        assert parse(name).range.endswith(":1-4")
    assert all(is_ours(name, rejects=True) for name in world.objects(world.rejects))


def test_gc_ends_what_nobody_goes_on_with(world, s3_faults, monkeypatch):
    """Its messages are free then: they were never written."""
    s3_faults.on("PutObject", lambda request: None, refusal("AccessDenied", 403))
    container = world.container()
    with pytest.raises(RunError):
        container(batch(0, 2), None)
    real = clock.source.now
    monkeypatch.setattr(clock.source, "now", lambda: real() + 7200)
    found = collect(container.keys.messages.ledger, older_than=3600, delete=True)
    assert [one.done for one in found.found["attempts"]] == [True]
    assert found.error is None
    assert all("intent" not in one for one in world.table()[1])
    assert world.ids() == []
    assert world.container()(batch(0, 2), None) == ALL_DONE
    assert world.ids() == [0, 2]
    prefix = f"main#orders#{container.keys.messages._prefix.rpartition('#')[2]}#{QUEUES}#"
    assert len(list(container.keys.messages.table.all(prefix, math.inf))) == 2
