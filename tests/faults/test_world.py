"""The world itself: the same seed is the same world; who is killed does nothing more; who is frozen, nothing yet."""

import math
import random

import pytest

from millstream import clock
from millstream.aws.notification import ObjectRef
from millstream.aws.ranges import S3Source
from millstream.sinks.clients import client
from millstream.sinks.s3 import S3Store
from tests.faults.faults import ALL, Fault, Faults, Kind
from tests.faults.tasks import Killed
from tests.faults.world import START, World

pytestmark = pytest.mark.once


def world_with(seed=1, chooser=Faults.none):
    world = World(seed, chooser)
    world.s3.create_bucket(Bucket="bucket")
    world.s3.least_part_bytes = 1
    return world


def writer(name):
    """A container that puts, waits and reads."""

    def work():
        for number in range(5):
            client("s3").put_object(Bucket="bucket", Key=f"{name}-{number}", Body=name.encode())
            clock.sleep(clock.uniform(0, 2))
            client("s3").put_object(Bucket="bucket", Key="shared", Body=f"{name} {number} {clock.token()}".encode())
        return client("s3").get_object(Bucket="bucket", Key="shared")["Body"].read()

    return work


def played(seed, chooser=Faults.none):
    world = world_with(seed, chooser)
    with world.installed():
        tasks = [world.spawn(name, writer(name)) for name in "abc"]
        world.run()
    return world, tasks


def test_the_same_seed_is_the_same_world():
    digests = set()
    for seed in range(5):
        for rate in (0, 0.2):
            (one, _), (other, _) = (played(seed, Faults.random(rate, ALL, seed)) for _ in range(2))
            assert one.trace == other.trace
            assert one.digest() == other.digest()
            digests.add(one.digest())
    assert len(digests) == 10


def test_steps_are_as_good_as_a_run():
    world, tasks = played(3)
    stepped = world_with(3)
    with stepped.installed():
        spawned = [stepped.spawn(name, writer(name)) for name in "abc"]
        while stepped.step():
            pass
    assert stepped.trace == world.trace
    assert [one.value() for one in spawned] == [one.value() for one in tasks]


def test_time_goes_on_by_sleeping_and_nothing_is_waited_for():
    world = world_with()
    seen = []
    with world.installed():
        task = world.spawn("a", lambda: (clock.sleep(3600), clock.now(), clock.monotonic())[1:])
        world.at(START + 100, lambda: seen.append(world.time))
        world.run(until=START + 1800)
        assert not task.done
        assert world.time == START + 1800
        world.run()
    assert seen == [START + 100]
    assert task.value() == (START + 3600, 1000 + 3600)


def test_a_containers_clock_may_be_wrong():
    world = world_with()
    with world.installed():
        task = world.spawn("a", lambda: (clock.now(), clock.monotonic()))
        task.skew = -3.0
        world.run()
    assert task.value() == (START - 3, 1000)


def test_what_was_replaced_is_back():
    import concurrent.futures
    import gc

    from aws_lambda_powertools.utilities.idempotency.persistence import dynamodb

    from millstream.aws import ranges
    from millstream.sinks import clients

    def state():
        return (clock.source, clients._clients, dynamodb.dt, concurrent.futures.ThreadPoolExecutor, ranges.Thread, ranges.Queue)

    before = state()
    world = world_with()
    with world.installed():
        assert all(one is not other for one, other in zip(before, state(), strict=True))
        assert dynamodb.dt.datetime.now().timestamp() == START
    assert all(one is other for one, other in zip(before, state(), strict=True))
    assert gc.isenabled()


def test_who_is_killed_does_nothing_more():
    world = world_with()
    seen = []

    def work():
        try:
            client("s3").put_object(Bucket="bucket", Key="before", Body=b"")
            clock.sleep(10)
            client("s3").put_object(Bucket="bucket", Key="after", Body=b"")
        except Exception:
            seen.append("caught")
        finally:
            for call in (lambda: client("s3").delete_object(Bucket="bucket", Key="before"), lambda: clock.sleep(1)):
                try:
                    call()
                except Killed:
                    seen.append("killed")

    with world.installed():
        task = world.spawn("a", work)
        world.at(START + 5, task.kill)
        world.run()
        late = world.spawn("b", lambda: 1)
        world.run()
        late.kill()
    assert late.value() == 1
    assert not late.killed
    assert task.done
    assert task.killed
    assert seen == ["killed", "killed"]
    assert world.s3.keys("bucket") == ["before"]


@pytest.mark.parametrize(("kind", "stands"), [(Kind.KILL_BEFORE, False), (Kind.KILL_AFTER, True), (Kind.KILL_LATE, True)])
def test_a_call_kills(kind, stands):
    world = world_with(1, Faults.at(0, kind))
    with world.installed():
        task = world.spawn("a", lambda: client("s3").put_object(Bucket="bucket", Key="key", Body=b"1"))
        world.run(until=lambda: task.done)
        assert bool(world.s3.keys("bucket")) == (kind is Kind.KILL_AFTER)
        world.run()
    assert task.killed
    assert task.result is None
    assert bool(world.s3.keys("bucket")) == stands


def test_who_is_frozen_goes_on_when_it_is_thawed():
    world = world_with(1, Faults.list({0: Fault(Kind.FREEZE_BEFORE, 50)}))
    times = {}

    def work(name):
        client("s3").put_object(Bucket="bucket", Key=name, Body=b"")
        times[name] = clock.now()

    with world.installed():
        first = world.spawn("a", lambda: work("a"))
        world.run()
        world.spawn("b", lambda: work("b"))
        world.run()
        assert first.value() is None
        third = world.spawn("c", lambda: work("c"))
        third.freeze()
        world.run()
        assert not third.done
        third.thaw()
        world.run()
    assert times["a"] == pytest.approx(START + 50.005)
    assert third.done


def test_what_still_lives_ends_with_the_world():
    world = world_with()
    with world.installed():
        asleep = world.spawn("a", lambda: clock.sleep(math.inf))
        world.step()
        unborn = world.spawn("b", lambda: None)
        frozen = world.spawn("c", lambda: clock.sleep(1))
        frozen.freeze()
    assert all(one.done and one.killed for one in (asleep, unborn, frozen))


def test_an_error_is_the_tasks_and_no_end_is_an_error():
    world = world_with()
    world.most_steps = 1000

    def forever():
        while True:
            clock.sleep(1)

    with world.installed():
        task = world.spawn("a", lambda: 1 / 0)
        world.run()
        with pytest.raises(ZeroDivisionError):
            task.value()
        world.spawn("b", forever)
        with pytest.raises(RuntimeError, match="no end after"):
            world.run()


def test_unknown_threads_are_refused():
    import threading

    world = world_with()
    found = []

    def call():
        try:
            client("s3").head_object(Bucket="bucket", Key="a")
        except RuntimeError as error:
            found.append(error)

    def work():
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    with world.installed():
        world.spawn("a", work)
        world.run()
    assert len(found) == 1


# What src starts threads for.


def put_many(count=12):
    from concurrent.futures import ThreadPoolExecutor

    store = S3Store("bucket", "out/", multipart_bytes=64, part_bytes=40)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(store.put, f"{at}.json", b"x" * at * 10, {"digest": str(at)}) for at in range(count)]
        return [future.result().url for future in futures]


def test_a_pool_of_puts_is_tasks_of_its_container():
    traces = []
    for _ in range(2):
        world = world_with(7)
        with world.installed():
            task = world.spawn("a", lambda: put_many())
            world.run()
            assert task.value() == [f"s3://bucket/out/{at}.json" for at in range(12)]
        assert len(world.tasks) == 5
        traces.append(world.trace)
        assert not world.s3.buckets["bucket"].uploads
        assert [one for one, *_ in world.trace] != sorted(one for one, *_ in world.trace)
    assert traces[0] == traces[1]


def test_a_pool_dies_with_its_container():
    for index in range(0, 30, 3):
        world = world_with(index, Faults.at(index, Kind.KILL_BEFORE))
        with world.installed():
            task = world.spawn("a", lambda: put_many())
            world.run()
        assert task.killed
        assert all(one.done for one in world.tasks)
        assert world.calls == index + 1


def test_a_pool_of_the_outside_is_done_at_once():
    world = world_with()
    with world.installed():
        assert len(put_many()) == 12


@pytest.mark.parametrize("chooser", [Faults.none, Faults.random(0.4, [Kind.RESET_IN_BODY, Kind.TIMEOUT_BEFORE], 3, 1)])
def test_a_reader_reads_ahead_in_a_task_of_its_own(chooser):
    world = world_with(4, chooser)
    data = random.Random(1).randbytes(9_000_000)
    world.s3.put_object(Bucket="bucket", Key="in", Body=data)

    def read(most):
        source = S3Source(ObjectRef("bucket", "in", None, None, 0), math.inf)
        with source.open() as reader:
            found = b""
            while len(found) < most and (block := reader.read(700_000)):
                found += block
        source.close()
        return found

    with world.installed():
        whole, part = world.spawn("a", lambda: read(math.inf)), world.spawn("b", lambda: read(3_000_000))
        world.run()
    assert whole.value() == data
    assert data.startswith(part.value())
    assert len(part.value()) < len(data)
    assert len(world.tasks) == 4
    assert all(one.done and not one.error for one in world.tasks)
