"""Where to go on in a stream, what may be forgotten of it, and how many invocations there are at a time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from millstream.errors import SettingsError
from millstream.local.emulator.answers import Answer
from millstream.local.emulator.messages import Queue
from millstream.local.emulator.queues import QueueMapping, QueueSettings
from millstream.local.emulator.shards import Shard, Stream
from millstream.local.emulator.streams import Place, StreamMapping, StreamSettings
from tests.local.emulated import World, naming, seen

pytestmark = pytest.mark.once

SETTINGS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 5),
        "parallelization": st.integers(1, 3),
        "bisect_on_error": st.booleans(),
        "maximum_retries": st.integers(0, 2),
        "report_batch_item_failures": st.booleans(),
        "concurrency": st.integers(1, 4),
    }
)


def worked(draw, settings, trims, until=float("inf")):
    """A stream that is split on the way, worked at by a function that fails by chance, until a time: the world."""
    random = Random(draw)
    stream = Stream.of(2)
    mapping = StreamMapping(StreamSettings(**settings), stream.shards if not trims else list(stream.shards), Random(draw))

    def behave(invocation):
        ids = [one["kinesis"]["sequenceNumber"] for one in invocation.event["Records"]]
        return random.choice([Answer(), Answer(error="E"), naming(random.choice(ids))])

    world = World(mapping, behave, lambda: random.uniform(0.0, 0.5))
    for i in range(20):
        world.at(i / 10, lambda i=i: stream.put(b"%d" % i, str(random.randrange(9)), world.now))

    def split():
        mapping.shards += [one for one in stream.split("shardId-000000000000") if trims]

    world.at(1.0, split)
    if trims:
        world.on_start = lambda _: mapping.trim()
    return stream, world.run(until)


@settings_of(max_examples=40)
@given(st.integers(), SETTINGS)
def test_what_is_forgotten_changes_nothing(draw, settings):
    (_, kept), (_, trimmed) = worked(draw, settings, False), worked(draw, settings, True)
    assert seen(kept) == seen(trimmed)
    assert kept.mapping.acknowledged == trimmed.mapping.acknowledged
    assert trimmed.mapping.backlog == kept.mapping.backlog == trimmed.mapping.held == 0
    trimmed.mapping.trim()
    assert not any(one.records for one in trimmed.mapping.shards)
    assert "shardId-000000000000" not in {one.name for one in trimmed.mapping.shards}


@settings_of(max_examples=40)
@given(st.integers(), SETTINGS, st.floats(0.0, 4.0))
def test_whoever_goes_on_at_its_places_misses_nothing(draw, settings, until):
    stream, world = worked(draw, settings, False, until)
    mapping = world.mapping
    done = {one.sequence for one in mapping.acknowledged}
    done |= {one.sequence for gone in mapping.given_up for one in gone.records}
    places = mapping.places()
    for shard in stream.shards:
        for record in shard.records:
            place = places.get(shard.name)
            passed = place is not None and int(record.sequence) < int(place.sequence) + place.after
            assert record.sequence in done or not passed


@settings_of(max_examples=40)
@given(st.integers(), SETTINGS, st.floats(0.0, 4.0))
def test_no_more_invocations_than_settings_say(draw, settings, until):
    _, world = worked(draw, settings, True, until)
    mapping = world.mapping
    assert mapping.in_flight == len(world.flying) <= settings["concurrency"]
    assert mapping.held == sum(mapping.held_of(one.name)[0] for one in mapping.shards)
    assert all(size >= 100 * count for count, size in (mapping.held_of(one.name) for one in mapping.shards))


def test_shards_take_turns_where_only_one_is_invoked_at_a_time():
    stream = Stream.of(3)
    random = Random(5)
    for _ in range(30):
        stream.put(b"x", str(random.random()), 0.0)
    mapping = StreamMapping(StreamSettings(batch_size=1, concurrency=1), stream.shards, Random(1))
    world = World(mapping, lambda _: Answer()).run()
    first = [one.shard for one in world.log[:9]]
    assert len(set(first)) == 3
    assert first == first[:3] * 3


def test_places():
    shard = Shard("a")
    stream = Stream(shards=[shard])
    records = [stream.put(b"x", "k", 0.0) for _ in range(3)]
    mapping = StreamMapping(StreamSettings(batch_size=2), stream.shards, Random(1))
    assert mapping.places() == {}
    (batch,) = mapping.poll(0.0)
    assert mapping.places() == {"a": Place(records[0].sequence, False)}
    mapping.answer(batch, Answer(), 0.0)
    assert mapping.places() == {"a": Place(records[2].sequence, False)}
    mapping.answer(mapping.poll(0.0)[0], Answer(), 0.0)
    assert mapping.places() == {"a": Place(records[2].sequence, True)}


@pytest.mark.parametrize("value", [0, 10_001])
def test_a_concurrency_that_cannot_be(value):
    with pytest.raises(SettingsError, match=f"concurrency is {value}: it is from 1 to 10000"):
        StreamSettings(concurrency=value)


@given(st.integers(), st.integers(1, 10), st.booleans(), st.sampled_from([0.0, 1.0]))
def test_every_receipt_of_a_queue_is_accounted_for(draw, batch_size, fifo, window):
    random = Random(draw)
    queue = Queue(Random(draw), arn=f"arn:aws:sqs:us-east-1:123456789012:q{'.fifo' * fifo}", visibility=2.0, duplicates=0.2)
    settings = QueueSettings(
        batch_size=batch_size, window=0.0 if fifo else window, report_batch_item_failures=True, concurrency=2
    )
    mapping = QueueMapping(settings, queue, Random(draw))

    def behave(invocation):
        ids = [one["messageId"] for one in invocation.event["Records"]]
        return random.choice([Answer(), Answer(), Answer(error="E"), naming(random.choice(ids))])

    world = World(mapping, behave, lambda: random.uniform(0.0, 3.0))
    for i in range(12):
        world.at(i / 4, lambda i=i: queue.send(f"{i}", world.now, group="ab"[i % 2] if fifo else None))
    for until in (0.5, 1.5, 4.0):
        world.run(until)
        accounted = len(mapping.acknowledged) + mapping.filtered + mapping.returned + mapping.held
        assert mapping.received == accounted
    held = mapping.held - sum(len(one.records) for one in world.flying.values())
    assert len(mapping.release()) == held
    assert mapping.received == len(mapping.acknowledged) + mapping.returned + mapping.held
