"""Handlers under faults: seeded histories, every fault at every call, every deadline at every stage, and bugs that must be found."""

from itertools import product

import pytest

from tests.conftest import SHARE
from tests.faults.faults import ALL, Fault, Kind, fits
from tests.faults.histories.campaign import campaign, played
from tests.faults.histories.fixed import At, ThreeBatches
from tests.faults.histories.planted import BUGS, planted

pytestmark = pytest.mark.once

SEEDS = 1000
STEP_MS, LAST_MS = (50 if SHARE == 1 else 500), 2000
KINDS = {
    "fifo_not_returned": "fifo",
    "first_member_only": "objects",
    "pointed_without_condition": "standard",
    "pending_passed_over": "standard",
    "settled_before_put": "standard",
    "refusal_ignored": "standard",
}
"""Which history a planted bug is looked for in, where it is not one of a stream."""
LASTS = (Kind.TIMEOUT_LATE, Kind.KILL_LATE, Kind.FREEZE_BEFORE, Kind.FREEZE_AFTER)
SECONDS = (0.01, 30.0, 200.0)
"""How late, or how long: before the batch comes again, meanwhile, and long after."""


def calls_of_three_batches():
    """The calls of three batches that nothing befalls."""
    calm = At()
    ThreeBatches(calm).run()
    return calm.calls


CALLS = calls_of_three_batches()


def test_three_batches_take_so_many_calls():
    """A read and a look for lost rows, once; then intent and commit of each, around its objects."""
    assert [one.operation for one in CALLS if one.service == "dynamodb"] == ["get_item", *["put_item"] * 6]
    assert len(CALLS) == 18


def test_histories():
    found = [told for told in campaign(0, SEEDS, jobs=1) if told.violation]
    assert not found, "\n".join(
        f"{told.violation}: python -m tests.faults --seed {told.seed} --kind {told.kind}" for told in found
    )


@pytest.mark.parametrize("index", range(len(CALLS)))
def test_every_fault_at_every_call(index):
    for kind in ALL:
        if fits(kind, CALLS[index].operation):
            for seconds in SECONDS if kind in LASTS else SECONDS[:1]:
                ThreeBatches(At(index, Fault(kind, seconds))).run()


@pytest.mark.parametrize("kind", [Kind.FREEZE_BEFORE, Kind.FREEZE_AFTER])
def test_every_deadline_at_every_stage(kind):
    """One call takes two seconds, before its effect or after it; time is up at each moment of these."""
    stages = next(i for i, one in enumerate(CALLS) if [c.operation for c in CALLS[:i]].count("put_item") == 2)
    for index, deadline in product(range(stages), range(0, LAST_MS + 1, STEP_MS)):
        ThreeBatches(At(index, Fault(kind, LAST_MS / 1000)), timeout=deadline / 1000, margin=200).run()


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug):
    with planted(bug):
        assert any(played(seed, KINDS.get(bug, "stream")).violation for seed in range(SEEDS))


@pytest.mark.parametrize("kind", ["stream", "objects"])
def test_the_same_input_makes_the_same_names_and_rows(kind):
    """Turns and tokens are others; what stands in the sink is the same."""
    from tests.faults.histories.judge import SINK
    from tests.faults.histories.queues import QueueHistory

    if kind == "stream":
        told = []
        for chosen in (1, 2):
            one = ThreeBatches(At())
            one.world._names.seed(chosen)
            one.world.random.seed(chosen)
            told.append({name: sorted(held.rows) for name, held in one.run().lake.objects(SINK).items()})
    else:
        told = []
        for chosen in (1, 2):
            other = QueueHistory(7, "objects", chooser=At())
            other.world._names.seed(chosen)
            other.world.random.seed(chosen)
            told.append({name: sorted(held.rows) for name, held in other.run().lake.objects(SINK).items()})
    assert told[0] == told[1]
    assert told[0]
