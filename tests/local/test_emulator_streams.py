"""A mapping of a Kinesis stream: what is promised of every record, whatever the function answers, and each rule by itself."""

import json
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.errors import SettingsError, UsageError
from millstream.local.emulator.answers import THROTTLED, TIMED_OUT, Answer
from millstream.local.emulator.shards import FIRST, Stream, event_record
from millstream.local.emulator.streams import StreamMapping, StreamSettings
from tests.aws import events
from tests.local.emulated import World, identifiers, naming, seen

pytestmark = pytest.mark.once

GOOD, BAD = Answer(), Answer(error="Exception")


def mapped(count=0, shards=1, key=str, seed=1, **named):
    """A stream with `count` records, and its mapping."""
    stream = Stream.of(shards)
    mapping = StreamMapping(StreamSettings(jitter=0.0, **named), stream.shards, Random(seed))
    return stream, mapping, [stream.put(b"%d" % i, key(i), 0.0) for i in range(count)]


def extents(world):
    """The records of each invocation, by their number in the stream."""
    return [[(int(one) - FIRST) >> 20 for one in identifiers(invocation)] for invocation in world.log]


def failing(*numbers, by=naming):
    """A function that fails records: it names them, or raises."""
    bad = {str(FIRST + (number << 20)) for number in numbers}

    def function(invocation):
        found = [one for one in identifiers(invocation) if one in bad]
        return GOOD if not found else by(*found) if by is naming else BAD

    return function


def test_a_record_is_as_in_an_event_of_the_service():
    told = events.kinesis_record(b"x", 3)
    stream = Stream.of(1, arn=events.STREAM)
    record = stream.put(b"x", "3", told["kinesis"]["approximateArrivalTimestamp"])
    record = record._replace(shard=events.SHARD, sequence=told["kinesis"]["sequenceNumber"])
    ours = event_record(record, events.STREAM, told["invokeIdentityArn"])
    assert json.dumps(ours) == json.dumps(told)


def random_world(seed):
    """A stream that is put to, split and merged, and a function that fails at random for a while."""
    random = Random(seed)
    stream = Stream.of(random.randint(1, 3))
    setting = StreamSettings(
        batch_size=random.choice([1, 2, 5, 10]),
        window=random.choice([0.0, 0.0, 2.0]),
        bisect_on_error=random.random() < 0.5,
        maximum_retries=random.choice([-1, 0, 1, 3]),
        maximum_age=random.choice([-1.0, -1.0, 60.0]),
        report_batch_item_failures=random.random() < 0.7,
        parallelization=random.choice([1, 1, 3]),
        timeout=20.0,
        event_bytes=random.choice([1500, 6 << 20]),
    )
    mapping = StreamMapping(setting, stream.shards, Random(seed))

    def function(invocation):
        if world.now > 300 or random.random() < 0.5:
            return GOOD
        names = identifiers(invocation)
        answer = random.choice(
            [BAD, THROTTLED, naming(random.choice(names)), naming(*names[-2:]), naming("unknown"), TIMED_OUT]
        )
        if answer is THROTTLED:
            throttled.add(invocation.number)
        return answer

    world = World(mapping, function, lambda: random.choice([0.0, 0.5, 3.0, 30.0 if world.now < 300 else 1.0]))
    put, throttled = [], set()

    def reshard():
        names = [one.name for one in stream.shards if not one.closed]
        if random.random() < 0.5 or len(names) < 2:
            stream.split(random.choice(names))
        else:
            pair = sorted((one for one in stream.shards if not one.closed), key=lambda one: one.low)[:2]
            stream.merge(pair[0].name, pair[1].name)

    for _ in range(random.randint(1, 60)):
        world.at(random.uniform(0, 100), lambda: put.append(stream.put(b"x", str(random.randrange(9)), world.now)))
    for _ in range(random.randrange(4)):
        world.at(random.uniform(0, 100), reshard)
    return world, mapping, put, throttled


def ended(mapping):
    return [*mapping.acknowledged, *(record for one in mapping.given_up for record in one.records)]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 32))
@example(102555)  # a shard without a record, closed, between two that have some
def test_every_record_ends_once_and_none_overtakes_another_of_its_key(seed):
    world, mapping, put, throttled = random_world(seed)
    tried = {}

    def start(invocation):
        running = {(one.shard, one.lane) for one in world.flying.values() if one.due > world.now}
        assert (invocation.shard, invocation.lane) not in running, "one batch of a lane at a time"
        assert len(json.dumps(invocation.event, separators=(",", ":"))) <= mapping.settings.event_bytes
        assert len(invocation.records) <= mapping.settings.batch_size
        done = {*ended(mapping)}
        for record in invocation.records:
            earlier = [
                one for one in put if one.partition_key == record.partition_key and int(one.sequence) < int(record.sequence)
            ]
            assert done.issuperset(earlier)
            done.add(record)
        tried.setdefault(identifiers(invocation), []).append(invocation.number)

    world.on_start = start
    world.run()
    assert mapping.backlog == 0
    assert sorted(ended(mapping), key=lambda one: int(one.sequence)) == put, "each once"
    limit = mapping.settings.maximum_retries
    assert limit < 0 or all(len([one for one in numbers if one not in throttled]) <= limit + 1 for numbers in tried.values())
    if limit < 0 and mapping.settings.maximum_age < 0:
        assert not mapping.given_up


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_and_calls_give_the_same(seed):
    (first, one, _, _), (second, other, _, _) = random_world(seed), random_world(seed)
    assert seen(first.run()) == seen(second.run())
    assert (one.given_up, one.acknowledged) == (other.given_up, other.acknowledged)


def test_records_go_out_in_batches_in_their_order():
    _, mapping, records = mapped(5, batch_size=2)
    assert extents(World(mapping, failing()).run()) == [[0, 1], [2, 3], [4]]
    assert mapping.acknowledged == records


def test_a_partial_failure_brings_later_successes_again():
    _, mapping, _ = mapped(5, report_batch_item_failures=True, maximum_retries=1)
    assert extents(World(mapping, failing(2)).run()) == [[0, 1, 2, 3, 4], [2, 3, 4], [2, 3, 4]]
    assert [len(one.records) for one in mapping.given_up] == [3]


def test_the_lowest_that_is_named_counts():
    _, mapping, _ = mapped(4, report_batch_item_failures=True, maximum_retries=0)
    world = World(mapping, lambda one: naming(*reversed(identifiers(one)[1:])) if one.number == 1 else GOOD)
    assert extents(world.run()) == [[0, 1, 2, 3], [1, 2, 3]]


def test_what_is_named_counts_for_nothing_without_the_setting():
    _, mapping, records = mapped(3)
    World(mapping, failing(0)).run()
    assert mapping.acknowledged == records


def test_a_batch_is_split_till_the_bad_record_is_alone():
    """Splitting spends no retries: each half has all of them."""
    _, mapping, _ = mapped(4, bisect_on_error=True, maximum_retries=1)
    world = World(mapping, failing(1, by=None)).run()
    assert extents(world) == [[0, 1, 2, 3], [0, 1], [0], [1], [1], [2, 3]]
    (given_up,) = mapping.given_up
    assert given_up.message["KinesisBatchInfo"]["batchSize"] == 1
    assert given_up.message["requestContext"]["approximateInvokeCount"] == 4


def test_a_partial_failure_is_split_where_it_says():
    _, mapping, _ = mapped(4, bisect_on_error=True, maximum_retries=0, report_batch_item_failures=True)
    assert extents(World(mapping, failing(1)).run()) == [[0, 1, 2, 3], [1, 2, 3]]


def test_a_shard_goes_on_behind_what_was_given_up():
    _, mapping, records = mapped(4, batch_size=2, maximum_retries=2, destination="sqs")
    world = World(mapping, failing(0, by=None)).run()
    assert extents(world) == [[0, 1], [0, 1], [0, 1], [2, 3]]
    assert [one.started for one in world.log] == [0.0, 0.5, 1.5, 1.5]
    assert mapping.acknowledged == records[2:]
    assert mapping.given_up[0].records == tuple(records[:2])
    assert mapping.given_up[0].condition == "RetryAttemptsExhausted"
    assert "payload" not in mapping.given_up[0].message


def test_one_that_was_throttled_spends_no_retry():
    _, mapping, _ = mapped(1, maximum_retries=0)
    answers = [THROTTLED, THROTTLED, BAD]
    world = World(mapping, lambda one: answers[one.number - 1]).run()
    assert len(world.log) == 3
    assert mapping.given_up[0].message["requestContext"]["approximateInvokeCount"] == 1


def test_what_is_not_answered_in_time_is_an_error():
    _, mapping, _ = mapped(1, maximum_retries=1, timeout=5.0)
    world = World(mapping, lambda _: GOOD, lambda: 7.0).run()
    assert [one.started for one in world.log] == [0.0, 5.5]
    assert mapping.given_up[0].message["responseContext"]["functionError"] == "Unhandled"
    assert mapping.acknowledged == []


def test_a_batch_waits_for_its_window_unless_it_is_full():
    stream, mapping, _ = mapped(1, batch_size=2, window=10.0)
    assert mapping.poll(1.0) == []
    assert mapping.wake(1.0) == 11.0
    stream.put(b"x", "a", 4.0)
    assert [len(one.records) for one in mapping.poll(4.0)] == [2]
    stream, mapping, _ = mapped(1, batch_size=2, window=10.0)
    mapping.poll(1.0)
    assert [len(one.records) for one in mapping.poll(11.0)] == [1]


def test_an_event_holds_six_megabytes():
    stream, mapping, _ = mapped(batch_size=10_000)
    for i in range(8):
        stream.put(bytes(1_000_000), str(i), 0.0)
    assert [len(one.records) for one in World(mapping, failing()).run().log] == [4, 4]


@pytest.mark.parametrize(("less", "then"), [(0, [[0, 1]]), (1, [[0], [1]])])
def test_an_event_is_measured_to_the_byte(less, then):
    (whole,) = mapped(2, key=lambda _: "é")[1].poll(0.0)
    size = len(json.dumps(whole.event, separators=(",", ":"), ensure_ascii=False).encode())
    _, mapping, _ = mapped(2, key=lambda _: "é", event_bytes=size - less)
    assert extents(World(mapping, failing()).run()) == then


def test_a_record_that_no_event_holds_goes_alone():
    _, mapping, _ = mapped(2, event_bytes=10)
    assert extents(World(mapping, failing()).run()) == [[0], [1]]


def test_latest_begins_behind_what_is_there():
    stream, _, _ = mapped(3)
    mapping = StreamMapping(StreamSettings(starting_position="LATEST"), stream.shards, Random(1))
    assert (mapping.backlog, mapping.poll(0.0), mapping.wake(0.0)) == (0, [], None)
    stream.put(b"x", "a", 0.0)
    assert extents(World(mapping, failing()).run()) == [[3]]


def test_lanes_are_apart_and_keep_their_keys():
    stream, mapping, _ = mapped(40, key=lambda i: str(i % 8), parallelization=4)
    invocations = mapping.poll(0.0)
    assert len({one.lane for one in invocations}) == len(invocations) > 1
    lanes = {}
    for one in invocations:
        for record in one.records:
            assert lanes.setdefault(record.partition_key, one.lane) == one.lane
    for one in invocations[1:]:
        mapping.answer(one, GOOD, 0.0)
    stream.put(b"x", invocations[0].records[0].partition_key, 0.0)
    assert mapping.poll(0.0) == [], "its lane is busy"


def test_children_wait_for_their_parents():
    stream, mapping, _ = mapped(2, batch_size=1)
    stream.split("shardId-000000000000")
    stream.put(b"x", "a", 0.0)
    (first,) = mapping.poll(0.0)
    assert mapping.wake(0.0) == first.due
    mapping.answer(first, GOOD, 0.0)
    (second,) = mapping.poll(0.0)
    mapping.answer(second, BAD, 0.0)
    assert mapping.poll(0.0) == []
    (second,) = mapping.poll(60.0)
    mapping.answer(second, GOOD, 60.0)
    (third,) = mapping.poll(60.0)
    assert third.shard != first.shard
    mapping.answer(third, GOOD, 60.0)
    assert (mapping.backlog, mapping.wake(60.0)) == (0, None)


def test_a_merged_shard_waits_for_both():
    stream, mapping, _ = mapped(8, shards=2)
    child = stream.merge("shardId-000000000000", "shardId-000000000001")
    stream.put(b"x", "a", 0.0)
    both = mapping.poll(0.0)
    assert len(both) == 2
    mapping.answer(both[0], GOOD, 0.0)
    assert mapping.poll(0.0) == []
    mapping.answer(both[1], GOOD, 0.0)
    assert [one.shard for one in mapping.poll(0.0)] == [child.name]


def test_a_parent_that_is_gone_counts_as_read():
    stream, mapping, _ = mapped()
    stream.split("shardId-000000000000")
    del stream.shards[0]
    stream.put(b"x", "a", 0.0)
    assert len(mapping.poll(0.0)) == 1


def test_a_second_delivery_answers_for_nothing():
    _, mapping, records = mapped(2)
    (first,) = mapping.poll(0.0)
    other = mapping.again(first, 0.0)
    assert (other.event, other.again) == (first.event, first.number)
    assert other.event is not first.event
    assert not mapping.answer(other, GOOD, 0.0)
    assert mapping.acknowledged == []
    assert mapping.answer(first, GOOD, 0.0)
    assert not mapping.answer(first, BAD, 0.0)
    stale = mapping.again(first, 99.0)
    assert stale.records == tuple(records) == tuple(mapping.acknowledged)
    assert mapping.wake(99.0) is None


@pytest.mark.parametrize(
    ("count", "then"), [(1, [[0], [1, 2, 3]]), (4, [[0, 1, 2, 3]]), (99, [[0, 1, 2, 3]]), (0, [[0], [1, 2, 3]])]
)
def test_a_retry_may_have_another_extent(count, then):
    stream, mapping, _ = mapped(2, report_batch_item_failures=True)
    world = World(mapping, failing())
    (first,) = mapping.poll(0.0)
    assert mapping.regroup(first.shard, count) == 0, "nothing waits"
    mapping.answer(first, BAD, 0.0)
    for _ in range(2):
        stream.put(b"x", "a", 0.0)
    assert mapping.poll(0.0) == []
    assert mapping.regroup(first.shard, count) == len(then[0])
    assert extents(world.run()) == then


def test_what_cannot_be_is_refused():
    for named in ({"batch_size": 0}, {"parallelization": 11}, {"window": 301}):
        with pytest.raises(SettingsError, match=next(iter(named))):
            StreamSettings(**named)
    stream = Stream.of(3)
    with pytest.raises(UsageError, match="no neighbours"):
        stream.merge("shardId-000000000000", "shardId-000000000002")
    stream.split("shardId-000000000001")
    with pytest.raises(UsageError, match="no open shard"):
        stream.split("shardId-000000000001")
