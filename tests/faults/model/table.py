"""The configurations that are searched, and what is left out of the protocol to see that it is noticed."""

from __future__ import annotations

from typing import NamedTuple

from tests.faults.model.state import Bounds, Left

# Records, parts, containers at once, and how often each thing may happen.
QUICK = {
    "alone": Bounds(3, 2, 1, Left(deliveries=3, lost=3), alone=True),
    "race": Bounds(2, 2, 2, Left(deliveries=3, stops=1, lost=1)),
    "compaction": Bounds(2, 2, 2, Left(deliveries=3, stops=1, compactions=2)),
    "collector": Bounds(2, 2, 2, Left(deliveries=2, stops=1, collectors=1, deletions=2)),
    "late": Bounds(2, 1, 2, Left(deliveries=2, stops=1, lost=1, late=1, deletions=1, compactions=1)),
    "three": Bounds(1, 1, 3, Left(deliveries=3, stops=1, lost=1, compactions=1)),
    "source": Bounds(3, 2, 2, Left(deliveries=2, stale=1, stops=1, given=1)),
    "stale": Bounds(3, 1, 2, Left(deliveries=3, stale=1, given=1)),
}

FULL = QUICK | {
    "race, more faults": Bounds(2, 2, 2, Left(deliveries=3, stops=2, lost=2)),
    "race, four deliveries": Bounds(2, 2, 2, Left(deliveries=4, stops=1, lost=1)),
    "compaction, lost answers": Bounds(2, 2, 2, Left(deliveries=3, stops=1, lost=1, compactions=2)),
    "collector, three deliveries": Bounds(2, 2, 2, Left(deliveries=3, stops=1, collectors=1, deletions=2)),
    "late, two parts": Bounds(2, 2, 2, Left(deliveries=2, stops=1, lost=1, late=1, deletions=2, compactions=2)),
    "three, two parts": Bounds(2, 2, 3, Left(deliveries=3, stops=1, lost=1)),
    "source, three deliveries": Bounds(3, 2, 2, Left(deliveries=3, stale=1, given=1)),
    "one after another": Bounds(4, 2, 1, Left(deliveries=4, stops=1, lost=1, collectors=1)),
}


class Omission(NamedTuple):
    """A protocol with something else than its rules."""

    rules: dict[str, object]
    where: str = ""
    """A quick configuration that notices."""
    breaks: str = ""
    """What it breaks there; nothing where S1 to S6 do not need the rule."""


OMISSIONS = {
    "a claim counts as data": Omission({"claims_are_not_data": False}, "race", "S2"),
    "no attempt in the name": Omission({"attempt_in_name": False}, "race", "S3"),
    "the attempt does not rise": Omission({"attempt_rises": False}, "alone", "S3"),
    "data without an intent": Omission({"intent_first": False}, "race", "S1"),
    "commit before data": Omission({"data_before_commit": False}, "alone", "S2"),
    "what stands at one's key is success": Omission({"standing_is_not_success": False}, "race", "S2"),
    "data over what stands": Omission({"writes_where_free": False}, "race", "S5"),
    "acknowledge before data": Omission({"acknowledges": "before data"}, "alone", "S2"),
    "acknowledge before commit, only look before deciding": Omission(
        {"acknowledges": "before commit", "claims_first": False}, "race", "S2"
    ),
    "an attempt is taken without a swap": Omission({"takes_by_swap": "nothing"}, "race", "S3"),
    "an attempt is taken where committed is as known": Omission({"takes_by_swap": "committed"}, "race", "S3"),
    "a writer commits without a swap": Omission({"commits_by_swap": False}, "race", "S3"),
    "a resolver settles without a swap": Omission({"settles_by_swap": False}, "race", "S3"),
    "a pending intent is passed over": Omission({"resolves": False}, "race", "S1"),
    "the first key decides": Omission({"decides_by": "first key"}, "race", "S2"),
    "claims over what stands": Omission({"claims_where_free": False}, "race", "S2"),
    "what is gone counts as data": Omission({"gone_is_not_data": False}, "collector", "S2"),
    "no dead mark": Omission({"marks_dead": False}, "compaction", "S2"),
    "no dead mark, only look before deciding": Omission({"marks_dead": False, "claims_first": False}, "race", "S2"),
    "data of the dead stays": Omission({"buries": False}, "race", "S5"),
    "who finds a dead mark does not bury": Omission({"newcomer_buries": False}, "race", "S5"),
    "the collector clears what it finds": Omission({"collector_settles": False}, "collector", "S1"),
    "what is done is written again": Omission({"skips_done": False}, "race", "S1"),
    "claims go while their writer lives": Omission({"claims_wait": False}, "collector", "S5"),
    "compaction does not wait for the writer": Omission({"compaction": "deletes"}, "late", "S1"),
    "age does not count late requests": Omission({"late_counts": False}, "late", "S1"),
    "one's own swap is not known again": Omission({"own_swap": False}, "alone", "S6"),
    "one's own object is not known again": Omission({"own_object": False}, "alone", "S6"),
    "a refused taking never starts over": Omission({"starts_over_taking": False}, "race", "S4"),
    "a refused settling never starts over": Omission({"starts_over_settling": False}, "race", "S4"),
    # What may be done otherwise.
    "acknowledge before commit": Omission({"acknowledges": "before commit"}),
    "an attempt is taken where the attempt is as known": Omission({"takes_by_swap": "attempt"}),
    "the first claim decides": Omission({"decides_by": "first claim"}),
    "only look before deciding": Omission({"claims_first": False}),
    "compaction leaves a claim": Omission({"compaction": "leaves a claim"}),
}
SAFETY = ("S1", "S2", "S3", "S5")
