"""A mapping of an SQS queue: what is promised of every message, whatever the function answers, and each rule by itself."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import SettingsError, UsageError
from millstream.local.emulator.answers import THROTTLED, Answer
from millstream.local.emulator.messages import Queue, event_message
from millstream.local.emulator.queues import QueueMapping, QueueSettings
from tests.aws import events
from tests.local.emulated import World, identifiers, naming, seen

pytestmark = pytest.mark.once

GOOD, BAD = Answer(), Answer(error="Exception")


def mapped(bodies=(), fifo=False, seed=1, visibility=30.0, maximum_receives=0, duplicates=0.0, reordering=0.0, **named):
    """A queue of messages, by their bodies, or by group and body; and its mapping."""
    queue = Queue(
        Random(seed),
        arn=events.FIFO_QUEUE if fifo else events.QUEUE,
        visibility=visibility,
        maximum_receives=maximum_receives,
        duplicates=duplicates,
        reordering=reordering,
    )
    for one in bodies:
        queue.send(one[1], 0.0, group=one[0]) if fifo else queue.send(one, 0.0)
    return queue, QueueMapping(QueueSettings(**named), queue, Random(seed))


def bodies(invocation):
    return "".join(one["body"] for one in invocation.event["Records"])


@pytest.mark.parametrize("group", [None, "a"])
@pytest.mark.parametrize("attributes", [None, {"n": ("Number", "6"), "b": ("Binary", "aGk=")}])
def test_a_message_is_as_in_an_event_of_the_service(group, attributes):
    arn = events.FIFO_QUEUE if group else events.QUEUE
    told = events.sqs_message("é", 3, queue=arn, group=group, attributes=attributes, receives=2)
    queue = Queue(Random(1), arn=arn)
    sent = int(told["attributes"]["SentTimestamp"]) / 1000
    message = queue.send("é", sent, group=group, attributes=attributes)
    message.id, message.receipt, message.receives = told["messageId"], told["receiptHandle"], 2
    message.first_received, message.sequence = sent + 0.012, told["attributes"].get("SequenceNumber")
    assert json.dumps(event_message(message, arn)) == json.dumps(told)


def random_world(seed, fifo):
    """A queue that is sent to, and a function that fails, is late or loses deletions at random for a while."""
    random = Random(seed)
    queue, mapping = mapped(
        fifo=fifo,
        seed=seed,
        visibility=random.choice([5.0, 40.0]),
        maximum_receives=random.choice([0, 3]),
        duplicates=random.choice([0.0, 0.3]),
        reordering=random.choice([0.0, 0.5]),
        batch_size=random.choice([1, 3, 10]) if fifo else random.choice([1, 3, 10, 50]),
        window=0.0 if fifo else 2.0,
        report_batch_item_failures=random.random() < 0.7,
        concurrency=random.choice([1, 2, 5]),
        timeout=20.0,
        event_bytes=random.choice([2500, 6 << 20]),
    )

    def function(invocation):
        if world.now > 300 or random.random() < 0.5:
            return GOOD
        names = identifiers(invocation)
        return random.choice([BAD, THROTTLED, naming(random.choice(names)), naming(*names[-2:]), naming("unknown")])

    world = World(mapping, function, lambda: random.choice([0.0, 0.5, 3.0, 30.0 if world.now < 300 else 1.0]))
    sent = []
    for i in range(random.randint(1, 60)):
        group = random.choice("abc") if fifo else None
        world.at(random.uniform(0, 100), lambda i=i, group=group: sent.append(queue.send(str(i), world.now, group=group)))
    return world, queue, mapping, sent, random


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 1 << 32), st.booleans())
def test_every_message_ends_once(seed, fifo):
    world, queue, mapping, sent, random = random_world(seed, fifo)
    plain = mapping.answer

    def answer(invocation, answer, now):
        lost = [one for one in identifiers(invocation) if world.now < 300 and random.random() < 0.1]
        return plain(invocation, answer, now, lost=lost)

    mapping.answer = answer
    delivered = set()

    def start(invocation):
        assert len(json.dumps(invocation.event, separators=(",", ":"))) <= mapping.settings.event_bytes
        assert len({*identifiers(invocation)}) == len(invocation.records) <= mapping.settings.batch_size
        assert len(world.flying) < mapping.settings.concurrency or any(one.due <= world.now for one in world.flying.values())
        for record in invocation.event["Records"]:
            assert int(record["attributes"]["ApproximateReceiveCount"]) <= (queue.maximum_receives or 1e9)
            delivered.add(record["messageId"])

    world.on_start = start
    world.run()
    assert mapping.backlog == 0
    ended = [one.id for one in queue.deleted] + [one.id for one in queue.dead]
    assert sorted(ended) == sorted(one.id for one in sent)
    assert mapping.acknowledged == [one.id for one in queue.deleted]
    assert delivered <= {*ended}
    if mapping.settings.event_bytes > 2500:  # else a message may be received often, and never get into an event
        assert delivered == {*ended}
    assert queue.maximum_receives or not queue.dead


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 1 << 32))
def test_none_overtakes_another_of_its_group(seed):
    """As long as the function answers while its messages are invisible."""
    world, queue, mapping, sent, _ = random_world(seed, True)
    queue.visibility = 40.0
    # A function that names one message and not those behind it asks for disorder; this one is as careful as it should be.
    inner = world.function

    def function(invocation):
        found = inner(invocation)
        names = identifiers(invocation)
        if not isinstance(found.value, dict) or found.value["batchItemFailures"][0]["itemIdentifier"] not in names:
            return found
        return naming(*names[names.index(found.value["batchItemFailures"][0]["itemIdentifier"]) :])

    world.function = function

    def start(invocation):
        groups = {one.group for one in invocation.records}
        flying = [one for one in world.flying.values() if one.due > world.now]
        assert groups.isdisjoint(record.group for one in flying for record in one.records)
        done = {one.id for one in (*queue.deleted, *queue.dead)}
        for record in invocation.records:
            place = next(i for i, one in enumerate(sent) if one.id == record.id)
            assert done.issuperset(one.id for one in sent[:place] if one.group == record.group)
            done.add(record.id)

    world.on_start = start
    world.run()
    assert mapping.backlog == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_and_calls_give_the_same(seed):
    (first, one, *_), (second, other, *_) = random_world(seed, seed % 2 == 0), random_world(seed, seed % 2 == 0)
    assert seen(first.run()) == seen(second.run())
    assert [vars(message) for message in one.deleted] == [vars(message) for message in other.deleted]


def test_what_failed_comes_again_when_it_is_visible():
    queue, mapping = mapped("abc", report_batch_item_failures=True)
    world = World(mapping, lambda one: naming(identifiers(one)[1]) if one.number == 1 else GOOD).run()
    assert [bodies(one) for one in world.log] == ["abc", "b"]
    assert [one.started for one in world.log] == [0.0, 30.0]
    assert [one["attributes"]["ApproximateReceiveCount"] for one in world.log[1].event["Records"]] == ["2"]
    assert [one.body for one in queue.deleted] == ["a", "c", "b"]


def test_an_answer_that_names_counts_for_nothing_without_the_setting():
    queue, mapping = mapped("abc")
    World(mapping, lambda one: naming(*identifiers(one))).run()
    assert len(queue.deleted) == 3


def test_too_many_receives_make_a_dead_letter():
    queue, mapping = mapped("ab", maximum_receives=3, batch_size=1)
    world = World(mapping, lambda one: BAD if bodies(one) == "a" else GOOD).run()
    assert [bodies(one) for one in world.log] == ["a", "b", "a", "a"]
    assert [one.body for one in queue.dead] == ["a"]
    assert mapping.wake(world.now) is None


def test_a_slow_function_has_its_messages_twice():
    """They are visible again while it is at work; its own answer, by an older receipt, deletes nothing."""
    _, mapping = mapped("a", visibility=10.0, timeout=60.0)
    (first,) = mapping.poll(0.0)
    (second,) = mapping.poll(10.0)
    assert identifiers(first) == identifiers(second)
    assert mapping.answer(first, GOOD, 11.0)
    assert mapping.backlog == 1
    mapping.answer(second, GOOD, 12.0)
    assert (mapping.backlog, len(mapping.acknowledged)) == (0, 1)


def test_a_late_answer_counts_for_nothing():
    _, mapping = mapped("a", timeout=5.0)
    (first,) = mapping.poll(0.0)
    assert mapping.wake(0.0) == 5.0
    mapping.poll(5.0)
    assert not mapping.answer(first, GOOD, 6.0)
    assert mapping.backlog == 1


def test_a_lost_deletion_brings_it_again():
    _, mapping = mapped("a")
    (first,) = mapping.poll(0.0)
    mapping.answer(first, GOOD, 1.0, lost=identifiers(first))
    (second,) = mapping.poll(30.0)
    assert identifiers(first) == identifiers(second)


def test_a_window_gathers_more_than_one_receipt_has():
    _, mapping = mapped([str(i) for i in range(25)], batch_size=20, window=5.0)
    assert [len(one.records) for one in mapping.poll(0.0)] == [20]
    assert mapping.wake(0.0) == 5.0
    assert [len(one.records) for one in mapping.poll(5.0)] == [5]


def test_without_a_window_a_batch_is_one_receipt_and_five_run_at_a_time():
    _, mapping = mapped([str(i) for i in range(95)])
    first = mapping.poll(0.0)
    assert [len(one.records) for one in first] == [10] * 5
    assert mapping.poll(0.0) == []
    mapping.answer(first[0], GOOD, 1.0)
    assert len(mapping.poll(1.0)) == 1


def test_an_event_holds_six_megabytes():
    _, mapping = mapped(["x" * 1_000_000] * 10)
    assert [len(one.records) for one in mapping.poll(0.0)] == [6, 4]
    _, mapping = mapped([("a", "x" * 1_000_000 + str(i)) for i in range(10)], fifo=True)
    (first,) = mapping.poll(0.0)
    assert mapping.poll(0.0) == [], "the rest are of the group that is busy"
    mapping.answer(first, GOOD, 1.0)
    assert [len(one.records) for one in mapping.poll(1.0)] == [4]


@pytest.mark.parametrize(("less", "then"), [(0, ["éé"]), (1, ["é", "é"])])
def test_an_event_is_measured_to_the_byte(less, then):
    (whole,) = mapped("éé")[1].poll(0.0)
    size = len(json.dumps(whole.event, separators=(",", ":"), ensure_ascii=False).encode())
    assert [bodies(one) for one in mapped("éé", event_bytes=size - less)[1].poll(0.0)] == then


@pytest.mark.parametrize("fifo", [False, True])
def test_only_a_standard_queue_deletes_what_is_visible_again(fifo):
    queue, mapping = mapped([("a", "1")] if fifo else "1", fifo=fifo, visibility=10.0, timeout=60.0, concurrency=1)
    (first,) = mapping.poll(0.0)
    mapping.answer(first, GOOD, 10.0)
    assert mapping.backlog == len(queue.messages) == fifo


def test_what_one_event_did_not_take_does_not_overtake_what_failed():
    _, mapping = mapped([("a", "x" * 1_000_000 + str(i)) for i in range(10)], fifo=True)
    (first,) = mapping.poll(0.0)
    mapping.answer(first, BAD, 1.0)
    assert mapping.poll(1.0) == []
    assert identifiers(mapping.poll(30.0)[0]) == identifiers(first)


def test_a_group_waits_for_its_message_and_others_do_not():
    _, mapping = mapped([("a", "1"), ("a", "2"), ("b", "3")], fifo=True, batch_size=1)
    first = mapping.poll(0.0)
    assert [bodies(one) for one in first] == ["1", "3"]
    mapping.answer(first[0], BAD, 1.0)
    assert mapping.poll(1.0) == []
    assert mapping.wake(1.0) == first[1].due
    assert [bodies(one) for one in mapping.poll(30.0)] == ["1", "3"]


def test_a_batch_may_mix_groups():
    _, mapping = mapped([("a", "1"), ("b", "2"), ("a", "3")], fifo=True)
    assert [bodies(one) for one in mapping.poll(0.0)] == ["123"]


def test_a_dead_letter_lets_its_group_go_on():
    queue, mapping = mapped([("a", "1"), ("a", "2")], fifo=True, batch_size=1, maximum_receives=1)
    world = World(mapping, lambda one: BAD if bodies(one) == "1" else GOOD).run()
    assert [bodies(one) for one in world.log] == ["1", "2"]
    assert [one.body for one in queue.dead] == ["1"]


def test_the_same_message_within_five_minutes_is_one():
    queue, _ = mapped(fifo=True)
    first = queue.send("x", 0.0, group="a", deduplication="d")
    assert queue.send("y", 299.0, group="a", deduplication="d") is first
    assert queue.send("y", 300.0, group="a", deduplication="d") is not first
    assert queue.send("z", 0.0, group="a") is queue.send("z", 1.0, group="b")
    assert len(queue.messages) == 3


def test_a_standard_queue_may_hand_out_twice_and_in_any_order():
    queue, mapping = mapped([str(i) for i in range(50)], duplicates=0.5, reordering=1.0)
    world = World(mapping, lambda _: GOOD, lambda: 1.0).run()
    taken = [one for invocation in world.log for one in identifiers(invocation)]
    assert len(taken) > len({*taken}) == 50
    assert "".join(map(bodies, world.log))[:10] != "0123456789"
    assert len(queue.deleted) == 50


def test_a_second_delivery_answers_for_nothing():
    _, mapping = mapped("ab")
    (first,) = mapping.poll(0.0)
    other = mapping.again(first, 0.0)
    assert (other.event, other.again) == (first.event, first.number)
    assert not mapping.answer(other, GOOD, 0.0)
    assert mapping.backlog == 2


def test_what_cannot_be_is_refused():
    for named in ({"batch_size": 0}, {"batch_size": 11}, {"concurrency": 0}):
        with pytest.raises(SettingsError, match=next(iter(named))):
            QueueSettings(**named)
    with pytest.raises(SettingsError, match="FIFO"):
        mapped(fifo=True, window=1.0)
    for fifo in (False, True):
        with pytest.raises(UsageError, match="group"):
            mapped(fifo=fifo)[0].send("x", 0.0, group=None if fifo else "a")
