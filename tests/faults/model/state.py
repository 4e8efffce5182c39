"""What the world is made of: tuples all through, so that a state is its own name. None of them holds None, so that they have an order."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

NONE = ()
"""No item, no intent: less than any other tuple."""


class Intent(NamedTuple):
    """What an attempt is about to write. Its keys follow from its range."""

    attempt: int
    token: int
    first: int
    last: int
    dead: bool


class Item(NamedTuple):
    """A shard's item in the ledger."""

    version: int
    committed: int
    attempt: int
    intent: Intent | tuple[()]


class Thing(NamedTuple):
    """An object in the store: the data of a part, or a claim in its place."""

    first: int
    last: int
    attempt: int
    part: int
    token: int
    data: bool


class Container(NamedTuple):
    """One step machine: a function's container, or the collector where `first` is 0."""

    phase: str
    first: int = 0
    last: int = 0
    item: Item | tuple[()] = NONE
    """The item as last learned: what it works with, and what it remembers when it is idle."""
    warm: bool = False
    """The item was remembered, and nothing has failed yet."""
    token: int = 0
    """Its own, where the answer to the taking of an attempt was lost."""
    at: int = 0
    """The key that it is at; of a writer the keys that are done, as bits."""
    seen: int = 0
    """A resolver has seen a claim; a writer looks at this key."""
    ghost: bool = False
    """Only a request under way: it lands once, and nobody hears the answer."""


class Left(NamedTuple):
    """How often each may still happen."""

    deliveries: int = 0
    stale: int = 0
    """Deliveries of what is before the checkpoint."""
    stops: int = 0
    """A container dies, or gives up because calls fail without effect."""
    lost: int = 0
    late: int = 0
    """Requests that land at any later time."""
    given: int = 0
    collectors: int = 0
    deletions: int = 0
    compactions: int = 0


class State(NamedTuple):
    """The whole world. Sets of records and of tokens are bits."""

    item: Item
    objects: tuple[Thing, ...]
    compacted: int
    checkpoint: int
    acknowledged: int
    given: int
    containers: tuple[Container, ...]
    tokens: int
    landed: int
    """Tokens of attempts that were committed. No container sees these; compaction knows by its catalogue."""
    dead: int
    left: Left


class Rules(NamedTuple):
    """Each rule of the protocol, to be left out one at a time."""

    claims_are_not_data: bool = True
    attempt_in_name: bool = True
    attempt_rises: bool = True
    intent_first: bool = True
    data_before_commit: bool = True
    standing_is_not_success: bool = True
    acknowledges: str = "last"
    takes_by_swap: str = "version"
    commits_by_swap: bool = True
    settles_by_swap: bool = True
    decides_by: str = "all keys"
    claims_first: bool = True
    claims_where_free: bool = True
    writes_where_free: bool = True
    gone_is_not_data: bool = True
    marks_dead: bool = True
    buries: bool = True
    newcomer_buries: bool = True
    collector_settles: bool = True
    resolves: bool = True
    skips_done: bool = True
    claims_wait: bool = True
    compaction: str = "waits"
    late_counts: bool = True
    own_swap: bool = True
    own_object: bool = True
    starts_over_taking: bool = True
    starts_over_settling: bool = True


class Bounds(NamedTuple):
    """One configuration."""

    records: int
    parts: int
    containers: int
    left: Left
    alone: bool = False
    """Nothing but lost answers happens: then no container may give up."""


@lru_cache(None)
def rows(first: int, last: int, part: int, parts: int) -> int:
    """The records of a range that belong to a part, as bits."""
    return sum(1 << (record - 1) for record in range(first, last + 1) if record % parts == part)


@lru_cache(None)
def names(intent: Intent, parts: int, with_attempt: bool) -> tuple[tuple[int, int, int, int], ...]:
    """The keys of an intent: range, attempt, part."""
    attempt = intent.attempt if with_attempt else 0
    there = [part for part in range(parts) if rows(intent.first, intent.last, part, parts)]
    return tuple((intent.first, intent.last, attempt, part) for part in there)


def standing(objects: tuple[Thing, ...], name: tuple[int, int, int, int]) -> Thing | None:
    for thing in objects:
        if thing[:4] == name:
            return thing
    return None


def placed(objects: tuple[Thing, ...], thing: Thing) -> tuple[Thing, ...]:
    """With one object put, in place of what stood there."""
    return tuple(sorted([*(one for one in objects if one[:4] != thing[:4]), thing]))


def start(bounds: Bounds) -> State:
    return State(Item(0, 0, 0, NONE), (), 0, 0, 0, 0, (), 0, 0, 0, bounds.left)
