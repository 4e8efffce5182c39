"""The configurations that are searched, and the rules that are left out of the protocol to see that it is noticed."""

from __future__ import annotations

from typing import NamedTuple

from tests.faults.model.state import Bounds, Left

QUICK = {
    "race": Bounds(2, 2, 2, Left(deliveries=3, stops=1, lost=1)),
}


class Omission(NamedTuple):
    """A protocol with one thing wrong."""

    rules: dict[str, object]
    breaks: str
    """What that breaks, as the first letters of the complaint; nothing where the rule is not needed for any of S1 to S6."""


OMISSIONS = {
    "a claim counts as data": Omission({"claims_are_not_data": False}, "S2"),
    "no attempt in the name": Omission({"attempt_in_name": False}, "S3"),
    "the attempt does not rise": Omission({"attempt_rises": False}, "S3"),
    "commit before data": Omission({"data_before_commit": False}, "S2"),
    "what stands at one's key is success": Omission({"standing_is_not_success": False}, "S2"),
    "acknowledge before data": Omission({"acknowledges": "before data"}, "S2"),
    "acknowledge before commit": Omission({"acknowledges": "before commit"}, ""),
    "acknowledge before commit, no claims first": Omission({"acknowledges": "before commit", "claims_first": False}, "S2"),
    "an attempt is taken without a swap": Omission({"takes_by_swap": "nothing"}, "S"),
    "an attempt is taken where committed is as known": Omission({"takes_by_swap": "committed"}, "S"),
    "an attempt is taken where the attempt is as known": Omission({"takes_by_swap": "attempt"}, "S"),
    "an attempt is taken where committed and attempt are as known": Omission({"takes_by_swap": "both"}, ""),
    "a writer commits without a swap": Omission({"commits_by_swap": False}, "S"),
    "a resolver settles without a swap": Omission({"settles_by_swap": False}, "S"),
    "the first key decides": Omission({"decides_by": "first key"}, "S2"),
    "the first claim decides": Omission({"decides_by": "first claim"}, ""),
    "no claims before deciding": Omission({"claims_first": False}, ""),
    "claims over what stands": Omission({"claims_where_free": False}, "S"),
    "data over what stands": Omission({"writes_where_free": False}, "S"),
    "what is gone counts as data": Omission({"gone_is_not_data": False}, "S2"),
    "no dead mark": Omission({"marks_dead": False}, "S2"),
    "data of the dead stays": Omission({"buries": False}, "S"),
    "who finds a dead mark does not bury": Omission({"newcomer_buries": False}, "S"),
    "the collector clears what it finds": Omission({"collector_settles": False}, "S"),
    "a pending intent is passed over": Omission({"resolves": False}, "S"),
    "what is done is written again": Omission({"skips_done": False}, "S1"),
    "claims go while their writer lives": Omission({"claims_wait": False}, "S"),
    "compaction does not wait for the writer": Omission({"compaction_waits": False}, "S1"),
    "one's own swap is not known again": Omission({"own_swap": False}, "S6"),
    "one's own object is not known again": Omission({"own_object": False}, "S6"),
    "a refused attempt never starts over": Omission({"starts_over_taking": False}, "S4"),
    "a refused settling never starts over": Omission({"starts_over_settling": False}, "S4"),
}
