"""Kinesis with a ledger: what a batch does to the sink, to its log line and to the ledger, whatever goes wrong."""

import copy
import json
import math
import os
import re
from itertools import accumulate, pairwise
from types import SimpleNamespace

import pytest
import snapshot_restore_py
from hypothesis import example, given
from hypothesis import strategies as st

from millstream import clock
from millstream.aws import entry, once
from millstream.aws.envelope import Spans
from millstream.errors import RunError, SettingsError, UsageError
from millstream.expr import col
from millstream.ledger.item import SEQUENCE_DIGITS
from millstream.native.memory import from_bytes, from_numbers
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from tests.aws import events
from tests.aws.events import CANARY
from tests.ledger.world import Dead, World, bad, batch, dying, frozen, good
from tests.servers import answer, lost_after, lost_before, refusal

pytestmark = pytest.mark.once

ALL_DONE = {"batchItemFailures": []}
FUNCTION = f"arn:aws:lambda:us-east-1:{events.ACCOUNT}:function:orders"


@pytest.fixture(autouse=True)
def _told(monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def cloud(bucket, table, s3_faults, dynamodb_faults, monkeypatch):
    """A world in AWS, where no time goes by between attempts."""
    monkeypatch.setattr(clock.source, "sleep", lambda seconds: None)
    return World("", bucket=bucket, table=table)


def lines(capsys):
    """The log's, for which the law holds: what is delivered is the sum of the rest."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"batch"' in line]
    for line in found:
        counts = dict(line["counts"])
        assert counts.pop("delivered") == sum(counts.values())
        assert all(taken >= 0 for taken in line["stage_ms"].values()), line["stage_ms"]
        assert CANARY not in json.dumps(line)
    return found


def counts(line):
    """What is not zero."""
    return {name: count for name, count in line["counts"].items() if count}


def uncommitted(line, failed, **other):
    """A line of a batch of which nothing counts."""
    assert counts(line) == {"delivered": failed + sum(other.values()), "failed": failed, **other}
    assert (line["files"], line["rows"], line["bytes_out"], line["rejected_by_code"]) == (0, 0, 0, {})
    assert line["level"] == "ERROR"
    assert line["error"]
    return True


# --- batches -------------------------------------------------------------------------------------------------------------


def test_a_batch_and_its_redelivery(world, capsys):
    container = world.container()
    for made in (container, container, world.container()):
        assert made(batch(0, 8), None) == ALL_DONE
    first, *again = lines(capsys)
    assert counts(first) == {"delivered": 8, "written": 6, "rejected": 2}
    assert (first["files"], first["rows"], first["level"]) == (2, 6, "INFO")
    assert set(first["stage_ms"]) >= {"envelope", "decode", "write", "ledger"}
    for line in again:
        assert counts(line) == {"delivered": 8, "duplicate": 8}
        assert (line["files"], line["rows"], line["level"]) == (0, 0, "INFO")
    assert (world.ids(), world.rejected()) == (good(0, 8), bad(0, 8))
    assert world.item().committed == str(events.FIRST + 7)


def test_text_does_what_a_dict_does(tmp_path, capsys):
    told = []
    for make in (events.to_bytes, copy.deepcopy):
        world = World(tmp_path)
        for first, last in ((0, 8), (4, 12), (0, 12)):
            assert world.container()(make(batch(first, last)), None) == ALL_DONE
        told.append(
            (
                world.ids(),
                world.rejected(),
                sorted(name.rpartition("/")[2][8:] for name in world.objects()),
                world.item().committed,
            )
        )
    assert told[0] == told[1]
    found = lines(capsys)
    assert [one["raw"] for one in found] == [True] * 3 + [False] * 3
    assert [counts(one) for one in found[:3]] == [counts(one) for one in found[3:]]


def test_old_and_new_in_one_batch(world, capsys):
    container = world.container()
    container(batch(0, 6), None)
    assert container(batch(2, 11), None) == ALL_DONE
    line = lines(capsys)[-1]
    assert counts(line) == {"delivered": 9, "duplicate": 4, "written": 4, "rejected": 1}
    assert (line["first"], line["last"]) == (str(events.FIRST + 2), str(events.FIRST + 10))
    assert (world.ids(), world.rejected()) == (good(0, 11), bad(0, 11))


def test_records_of_aggregates_are_counted(world, capsys):
    rows = iter(range(100))
    packed = [
        events.kpl_aggregate([json.dumps({"id": next(rows), "kind": CANARY}).encode() for _ in range(size)])
        for size in (3, 1, 5)
    ]
    records = [events.kinesis_record(data, i) for i, data in enumerate([*packed, b"{"])]
    container = world.container()
    assert container({"Records": records[:2]}, None) == ALL_DONE
    assert container({"Records": records}, None) == ALL_DONE
    first, second = lines(capsys)
    assert (first["deliveries"], counts(first)) == (2, {"delivered": 4, "written": 4})
    assert (second["deliveries"], counts(second)) == (4, {"delivered": 10, "duplicate": 4, "written": 5, "rejected": 1})
    assert world.ids() == list(range(9))


def test_broken_base64_that_was_done_is_a_duplicate(world, capsys):
    given = batch(0, 3)
    given["Records"][1]["kinesis"]["data"] = f"%{CANARY}%"
    for _ in range(2):
        assert world.container()(given, None) == ALL_DONE
    assert counts(lines(capsys)[-1]) == {"delivered": 3, "duplicate": 3}
    assert world.ids() == [0, 2]


def test_what_comes_before_a_failure_is_committed(world, capsys):
    container = world.container(rejects=None, on_reject="fail")
    failing = {"batchItemFailures": [{"itemIdentifier": str(events.FIRST + 3)}]}
    for made in (container, container, world.container(rejects=None, on_reject="fail")):
        assert made(batch(0, 8), None) == failing
        assert world.item().committed == str(events.FIRST + 2)
        assert world.item().intent is None
    first, *again = lines(capsys)
    assert counts(first) == {"delivered": 8, "written": 3, "failed": 5}
    assert [counts(one) for one in again] == [{"delivered": 8, "duplicate": 3, "failed": 5}] * 2
    with pytest.raises(RunError, match=r"the whole batch must come again: a record is rejected \(BAD_JSON\)"):
        container(batch(3, 8), None)
    assert world.ids() == good(0, 3)


def test_shards_have_items_of_their_own(world):
    other = "shardId-000000000007"
    given = {"Records": [*batch(0, 2)["Records"], *(events.kinesis_record(b'{"id": 50}', i, shard=other) for i in range(2))]}
    container = world.container()
    for _ in range(2):
        assert container(given, None) == ALL_DONE
    assert world.ids() == [0, 1, 50, 50]
    assert len(list(container.once.ledger.table.all("main#orders#", math.inf))) == 2


def test_where_nothing_is_written_the_ledger_is_not(world, capsys):
    container = world.container(pipeline=world.pipeline.filter(col("id") < 0))
    for _ in range(2):
        assert container(batch(0, 3), None) == ALL_DONE
    assert list(container.once.ledger.table.all("", math.inf)) == []
    assert [counts(line) for line in lines(capsys)] == [{"delivered": 3, "filtered": 3}] * 2


def test_rejects_alone_are_an_attempt_where_they_are_stored(world):
    for _ in range(2):
        assert world.container()(batch(3, 4), None) == ALL_DONE
    assert (world.ids(), world.rejected()) == ([], [3])
    assert world.item().committed == str(events.FIRST + 3)


def test_rejects_alone_of_two_batches_both_reach_a_fifo_queue(world, aws):
    made = clients.client("sqs").create_queue(QueueName="bad.fifo", Attributes={"FifoQueue": "true"})
    world.queue, world.rejects = made["QueueUrl"], f"sqs+{made['QueueUrl']}"
    container = world.container()
    for number in (3, 7, 3):
        assert container(batch(number, number + 1), None) == ALL_DONE
    received = clients.client("sqs").receive_message(QueueUrl=world.queue, MaxNumberOfMessages=10)["Messages"]
    assert {json.loads(one["Body"])["identity"] for one in received} <= {str(events.FIRST + number) for number in (3, 7)}
    told = clients.client("sqs").get_queue_attributes(QueueUrl=world.queue, AttributeNames=["All"])["Attributes"]
    assert int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesNotVisible"]) == 2


@pytest.mark.parametrize("make", [events.to_bytes, dict], ids=["text", "dict"])
def test_a_number_that_is_none_is_refused_alone_too(world, make):
    """What is committed is a number, or the shard's item could not be read again."""
    event = batch(0, 1)
    event["Records"][0]["kinesis"]["sequenceNumber"] = "x1"
    with pytest.raises(UsageError, match=r"kinesis\.sequenceNumber is not of the form"):
        world.container()(make(event), None)


@pytest.mark.parametrize(
    "order",
    [[0, 2, 1], [1, 0], [0, 0], [0, 1, 1]],
    ids=str,
)
@pytest.mark.parametrize("make", [events.to_bytes, dict], ids=["text", "dict"])
def test_records_out_of_order_are_refused(world, order, make):
    records = batch(0, 3)["Records"]
    with pytest.raises(UsageError, match=r"not in the order of their sequence numbers: .* ParallelizationFactor 1"):
        world.container()(make({"Records": [records[i] for i in order]}), None)
    assert world.objects() == {}


@pytest.mark.parametrize("number", [CANARY, "007", "1" * 130, "-5", "१"])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_sequence_number_is_refused(world, number, place):
    given = batch(0, 3)
    given["Records"][place]["kinesis"]["sequenceNumber"] = number
    for made in (given, events.to_bytes(given)):
        with pytest.raises(UsageError):
            world.container()(made, None)
    assert world.objects() == {}


NUMBERS = st.lists(
    st.integers(0, 10**4).map(str) | st.sampled_from(["", "01", "x", "1\n2", "१", "\ud800", "1" * 130]), min_size=1
)


@given(NUMBERS)
@example(["1" * 129, "2" * 129])
@example(["", "1"])
@example(["12", "3", "456"])
@example(["123", "4", "56789"])
def test_the_quick_way_tells_no_order_that_is_none(numbers):
    """It may not see one that is there, but for numbers of one length."""
    good = all(re.fullmatch(r"0|[1-9]\d{0,128}", one, re.ASCII) for one in numbers)
    in_order = good and all(int(one) < int(other) for one, other in pairwise(numbers))
    if once._plainly_in_order(numbers):
        assert in_order
    else:
        assert not in_order or len(set(map(len, numbers))) > 1 or numbers[0] == "0"
    assert spans_of(numbers).rise(SEQUENCE_DIGITS) == in_order


LONG = st.integers(0, 129).flatmap(lambda size: st.integers(10 ** max(0, size - 1), max(1, 10**size - 1)))


@given(
    st.lists(LONG, min_size=1, max_size=12, unique=True).map(lambda found: list(map(str, sorted(found)))),
    st.data(),
)
def test_numbers_rise_but_for_one_that_does_not(numbers, data):
    assert spans_of(numbers).rise(SEQUENCE_DIGITS)
    place = data.draw(st.integers(0, len(numbers) - 1))
    at = data.draw(st.integers(0, len(numbers[place]) - 1))
    byte = data.draw(st.characters(codec="ascii") | st.sampled_from("0123456789"))
    numbers[place] = numbers[place][:at] + byte + numbers[place][at + 1 :]
    good = all(re.fullmatch(r"0|[1-9]\d{0,128}", one, re.ASCII) for one in numbers)
    assert spans_of(numbers).rise(SEQUENCE_DIGITS) == (good and all(int(a) < int(b) for a, b in pairwise(numbers)))


def spans_of(texts):
    """As an event's text has them, something else between them."""
    encoded = [one.encode(errors="surrogatepass") for one in texts]
    starts = list(accumulate((len(one) + 3 for one in encoded), initial=3))[:-1]
    ends = [start + len(one) for start, one in zip(starts, encoded, strict=True)]
    text = b"".join(b'1":' + one for one in encoded) + bytes(32)
    return Spans(from_bytes(text), from_numbers("q", starts), from_numbers("q", ends))


def test_sequence_numbers_of_many_lengths(world):
    given = batch(0, 3)
    for record, number in zip(given["Records"], ("9", "10", "100"), strict=True):
        record["kinesis"]["sequenceNumber"] = number
    for _ in range(2):
        assert world.container()(given, None) == ALL_DONE
    assert world.ids() == [0, 1, 2]
    assert world.item().committed == "100"


# --- deploys and namespaces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(6))
def test_a_deploy_between_an_attempt_and_its_redelivery(world, at):
    """Another fingerprint, other columns: the old attempt ends as it would have, the new one has its own."""
    with pytest.raises(Dead):
        dying(world, at, True)(batch(0, 8), None)
    now = Pipeline({"id": "int64", "more": "string"}, name="orders")
    assert now.fingerprint != world.pipeline.fingerprint
    for first, last in ((0, 8), (4, 10)):
        assert world.container(pipeline=now)(batch(first, last), None) == ALL_DONE
    assert (world.ids(), world.rejected()) == (good(0, 10), bad(0, 10))


def test_another_namespace_processes_anew(world, tmp_path, monkeypatch):
    world.container()(batch(0, 8), None)
    monkeypatch.setenv("MILLSTREAM_NAMESPACE", "again")
    assert world.container(sink=tmp_path / "again", rejects=tmp_path / "again-bad")(batch(0, 8), None) == ALL_DONE
    world.sink = f"{tmp_path}/again"
    assert world.ids() == good(0, 8)


def test_pipelines_and_sinks_have_items_of_their_own(world, tmp_path):
    container = world.container()
    container(batch(0, 4), None)
    for number, other in enumerate(({"pipeline": Pipeline({"id": "int64"}, name="others")}, {})):
        container = world.container(sink=tmp_path / f"x{number}", rejects=tmp_path / f"x{number}-bad", **other)
        assert container(batch(0, 4), None) == ALL_DONE
    assert len(list(container.once.ledger.table.all("", math.inf))) == 3


# --- faults --------------------------------------------------------------------------------------------------------------

DENIED, S3_DENIED = refusal("AccessDeniedException"), answer("AccessDenied", 403)
FAULTS = {
    "read": ("dynamodb", "GetItem", [DENIED]),
    "intent": ("dynamodb", "PutItem", [DENIED]),
    "note": ("s3", "PutObject", [S3_DENIED]),
    "rejects": ("s3", "PutObject", [lambda request: None, S3_DENIED]),
    "first object": ("s3", "PutObject", [lambda request: None] * 2 + [S3_DENIED]),
    "second object": ("s3", "PutObject", [lambda request: None] * 3 + [S3_DENIED]),
    "commit": ("dynamodb", "PutItem", [lambda request: None, DENIED]),
    "commit, lost": ("dynamodb", "PutItem", [lambda request: None, *[lost_after] * 8]),
    "intent, lost": ("dynamodb", "PutItem", [lost_after] * 8),
}


@pytest.mark.parametrize(("service", "operation", "faults"), FAULTS.values(), ids=FAULTS)
def test_a_fault_at_each_stage(cloud, s3_faults, dynamodb_faults, capsys, service, operation, faults):
    container = cloud.container()
    {"s3": s3_faults, "dynamodb": dynamodb_faults}[service].on(operation, *faults)
    with pytest.raises(RunError, match="the whole batch must come again: cannot"):
        container(batch(0, 8), None)
    (line,) = lines(capsys)
    assert uncommitted(line, 8)
    assert container(batch(0, 8), None) == ALL_DONE
    assert (cloud.ids(), cloud.rejected()) == (good(0, 8), bad(0, 8))


@pytest.mark.parametrize("fault", [lost_before, lost_after, refusal("InternalServerError", 500)])
@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_a_fault_that_passes(cloud, dynamodb_faults, capsys, operation, fault):
    dynamodb_faults.on(operation, fault)
    assert cloud.container()(batch(0, 8), None) == ALL_DONE
    (line,) = lines(capsys)
    assert counts(line) == {"delivered": 8, "written": 6, "rejected": 2}
    assert cloud.ids() == good(0, 8)


def test_what_was_done_before_a_fault_is_told(cloud, s3_faults, capsys):
    """Old records are duplicates, and the answer names the first new one."""
    container = cloud.container()
    container(batch(0, 5), None)
    s3_faults.on("PutObject", S3_DENIED)
    assert container(batch(2, 9), None) == {"batchItemFailures": [{"itemIdentifier": str(events.FIRST + 5)}]}
    assert uncommitted(lines(capsys)[-1], 4, duplicate=3)
    assert container(batch(5, 9), None) == ALL_DONE
    assert (cloud.ids(), cloud.rejected()) == (good(0, 9), bad(0, 9))


STAGES = ["read", "intent", "note", "rejects", "first object", "second object", "commit"]


@pytest.mark.parametrize("stage", range(len(STAGES)), ids=STAGES)
def test_time_is_up_before_each_stage(world, now, capsys, stage):
    """What is all but done ends well: a commit takes its second out of the margin."""
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)

    def late():
        now.time += 9

    if stage == 0:
        container = world.container()
        turn = container.once.ledger.turn
        container.once.ledger.turn = lambda *arguments: (late(), turn(*arguments))[1]
    else:
        container = frozen(world, max(0, stage - 2), stage > 1, late)
    if stage <= STAGES.index("second object"):
        with pytest.raises(RunError, match="time is up"):
            container(batch(0, 8), context)
        assert uncommitted(*lines(capsys), 8)
    else:
        assert container(batch(0, 8), context) == ALL_DONE
        assert counts(*lines(capsys)) == {"delivered": 8, "written": 6, "rejected": 2}
    assert world.container()(batch(0, 8), context) == ALL_DONE
    assert (world.ids(), world.rejected()) == (good(0, 8), bad(0, 8))


def test_no_time_at_all(world, capsys):
    with pytest.raises(RunError, match="time is up, within 2,000 ms"):
        world.container()(batch(0, 8), SimpleNamespace(get_remaining_time_in_millis=lambda: 1000))
    assert counts(*lines(capsys)) == {"delivered": 8, "failed": 8}
    assert world.objects() == {}


# --- what it costs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [4, 400])
def test_calls_of_a_batch(cloud, dynamodb_faults, count):
    """Whatever its size."""
    container, calls = cloud.container(), dynamodb_faults.calls
    container(batch(0, count), None)
    assert calls == ["GetItem", "PutItem", "PutItem"]
    calls.clear()
    container(batch(count, 2 * count), None)
    assert calls == ["PutItem", "PutItem"]
    calls.clear()
    container(batch(0, 2 * count), None)
    assert calls == []


@pytest.mark.parametrize("at", [1, 4, 5], ids=["an intent", "some objects", "no commit"])
def test_calls_of_a_recovery(cloud, dynamodb_faults, at):
    with pytest.raises(Dead):
        dying(cloud, at, False)(batch(0, 8), None)
    dynamodb_faults.calls.clear()
    cloud.container()(batch(0, 9), None)
    assert dynamodb_faults.calls == ["GetItem", "PutItem", "PutItem", "PutItem"]


def test_calls_where_another_container_went_on(cloud, dynamodb_faults, monkeypatch):
    """What is remembered is old; a refused write tells what is so. The pipeline runs once."""
    container, other = cloud.container(), cloud.container()
    container(batch(0, 4), None)
    other(batch(4, 8), None)
    ran = []
    prepared = container.prepared
    container.prepared = lambda records: (ran.append(records.count), prepared(records))[1]
    dynamodb_faults.calls.clear()
    assert container(batch(8, 12), None) == ALL_DONE
    assert dynamodb_faults.calls == ["PutItem"] * 3
    assert ran == [4]
    other(batch(12, 16), None)
    assert container(batch(10, 20), None) == ALL_DONE  # some of it is done: the rest is another batch
    assert ran == [4, 8, 4]
    assert (cloud.ids(), cloud.rejected()) == (good(0, 20), bad(0, 20))


def test_other_containers_at_each_write(world):
    """Whatever is written meanwhile: this one fails, and the shard is not blocked."""
    container = world.container()
    container(batch(0, 4), None)
    for start in (4, 12):
        swap = container.once.ledger.table.swap

        def raced(*arguments, start=start, swap=swap):
            container.once.ledger.table.swap = swap
            world.container()(batch(start, start + 4), None)
            return swap(*arguments)

        container.once.ledger.table.swap = raced
        assert container(batch(start, start + 8), None) == ALL_DONE
    assert (world.ids(), world.rejected()) == (good(0, 20), bad(0, 20))


# --- handlers ------------------------------------------------------------------------------------------------------------


def test_a_snapshot_remembers_nothing(world, monkeypatch):
    before, after = [], []
    monkeypatch.setattr(snapshot_restore_py, "_before_snapshot_registry", before)
    monkeypatch.setattr(snapshot_restore_py, "_after_restore_registry", after)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    container = world.container()
    container(batch(0, 4), None)
    assert container.once.ledger._known
    for function, arguments, named in after:
        function(*arguments, **named)
    assert not container.once.ledger._known
    assert not container.once._asked
    assert container(batch(0, 8), None) == ALL_DONE
    assert world.ids() == good(0, 8)


def test_a_warm_up_leaves_the_ledger_alone(world, monkeypatch):
    rehearsed = []
    monkeypatch.setattr(clients, "rehearse", rehearsed.append)
    assert world.container().warm()
    assert rehearsed == []
    monkeypatch.delenv("MILLSTREAM_PARALLELIZATION")
    for ledger, loaded in ((world.ledger, ["lambda"]), ("dynamodb://orders", ["dynamodb", "lambda"])):
        container = world.container(ledger=ledger)
        assert container.warm()
        assert rehearsed == loaded
        assert not container.once.ledger._known
        rehearsed.clear()
    assert not os.path.exists(world.ledger.removeprefix("sqlite://"))
    assert world.objects() == {}


def test_a_function_loads_what_it_will_ask(cloud, dynamodb_faults, monkeypatch):
    monkeypatch.delenv("MILLSTREAM_PARALLELIZATION")
    monkeypatch.setattr(clients, "_clients", dict(clients._clients))
    clients._clients.pop(("lambda", None), None)
    cloud.container().load()
    assert ("lambda", None) in clients._clients
    assert dynamodb_faults.calls == []


def test_without_code(world, monkeypatch, tmp_path):
    (tmp_path / "orders.yaml").write_text("version: 1\nname: orders\nschema: {id: int64, kind: string}\n")
    for name, value in {
        "PIPELINE": "orders.yaml",
        "SINK": world.sink,
        "REJECTS": world.rejects,
        "LEDGER": world.ledger,
    }.items():
        monkeypatch.setenv(f"MILLSTREAM_{name}", value)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    monkeypatch.delitem(vars(entry), "kinesis", raising=False)
    for _ in range(2):
        assert entry.kinesis(batch(0, 4), None) == ALL_DONE
    assert (world.ids(), world.item().committed) == (good(0, 4), str(events.FIRST + 3))


@pytest.mark.parametrize("ledger", ["s3://b/k", "orders", "dynamodb://a b", "sqlite:///"])
def test_what_is_no_ledger_is_told_when_the_handler_is_made(world, ledger):
    with pytest.raises(SettingsError, match="write dynamodb://TABLE or sqlite:///path"):
        world.container(ledger=ledger)
