"""What may happen next: a container's step with each fault it may meet, and what source, collector, age and compaction do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tests.faults.model.protocol import (
    BURY,
    CLAIM,
    COMMIT,
    IDLE,
    PUT,
    READ,
    SETTLE,
    TAKE,
    WRITES,
    Protocol,
    spelled,
)
from tests.faults.model.state import Bounds, Container, Left, Rules, State, placed, rows

CHANGES = {TAKE, CLAIM, SETTLE, BURY, PUT, COMMIT}
"""Calls whose lost answer matters. One that is not repeated is a container that stops; so is one to the source."""
LATE = CHANGES - {TAKE}
"""An attempt that is taken late is one taken by a container that then stops."""


@lru_cache(None)
def less(left: Left, what: str) -> Left:
    return left._replace(**{what: getattr(left, what) - 1})


class World:
    """One configuration under given rules."""

    def __init__(self, bounds: Bounds, rules: Rules) -> None:
        self.bounds = bounds
        self.rules = rules
        self.protocol = Protocol(rules, bounds.parts)

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        """What happens, and the state after it. Interchangeable containers move once."""
        before = None
        for index, one in enumerate(state.containers):
            if one == before:
                continue
            before = one
            others = state.containers[:index] + state.containers[index + 1 :]
            if one.phase != IDLE:
                yield from self.moves(state, one, others)
        if state.left.deliveries:
            yield from self.deliveries(state)
        yield from self.surroundings(state)

    def moves(self, state: State, one: Container, others: tuple[Container, ...]) -> Iterator[tuple[str, State]]:
        who, left = who_is(one), state.left
        for step in self.protocol.step(state, one):
            changed = step.state is not state
            then = None if one.ghost else step.then
            yield f"{who} {step.says}", crowd(step.state, others, then)
            if left.lost and changed and one.phase in CHANGES and not one.ghost:
                lost = step.state._replace(left=less(left, "lost"))
                yield f"{who} {step.says}; the answer is lost", crowd(lost, others, step.again)
        if left.late and one.phase in LATE and not one.ghost:
            for ghost in self.requests(one):
                late = state._replace(left=less(left, "late"))
                yield f"{who} sends a request that is late ({one.phase}), and repeats it", crowd(late, (*others, ghost), one)
        if left.stops and not one.ghost:
            stopped = state._replace(left=less(left, "stops"))
            yield f"{who} stops", crowd(stopped, others, self.protocol.idle(one, one.item))

    def requests(self, one: Container) -> Iterator[Container]:
        """The requests that a step may have under way: a writer's for each key that is not done."""
        if one.phase != PUT:
            yield one._replace(ghost=True, warm=False)
            return
        count = len(self.protocol.keys(one.item.intent))
        for index in range(count):
            if not one.at >> index & 1:
                yield one._replace(ghost=True, warm=False, at=(1 << count) - 1 - (1 << index))

    def deliveries(self, state: State) -> Iterator[tuple[str, State]]:
        left, records = less(state.left, "deliveries"), self.bounds.records
        extents = [(state.checkpoint + 1, last) for last in range(state.checkpoint + 1, records + 1)]
        for first, last in extents:
            yield from self.given_to(state._replace(left=left), first, last)
        if left.stale:
            left = less(left, "stale")
            for first in range(1, state.checkpoint + 1):
                for last in range(first, records + 1):
                    yield from self.given_to(state._replace(left=left), first, last)

    def given_to(self, state: State, first: int, last: int) -> Iterator[tuple[str, State]]:
        """A batch for a warm container, or for a new one where there is room, or else in the place of a warm one."""
        full = sum(1 for one in state.containers if one.first or one.phase == IDLE) >= self.bounds.containers
        if not full:
            new = Container(READ, first, last)
            yield f"records {first}..{last} come to a new container", crowd(state, state.containers, new)
        before = None
        for index, one in enumerate(state.containers):
            if one.phase != IDLE or one == before:
                continue
            before = one
            others = state.containers[:index] + state.containers[index + 1 :]
            if one.item:
                warm = self.protocol.deliver(first, last, one.item)
                remembered = f"version {one.item.version}"
                yield f"records {first}..{last} come to a warm container ({remembered})", crowd(state, others, warm)
            if full:
                new = Container(READ, first, last)
                yield f"records {first}..{last} come to a new container for a warm one", crowd(state, others, new)

    def surroundings(self, state: State) -> Iterator[tuple[str, State]]:
        left = state.left
        if left.given:
            for last in range(state.checkpoint + 1, self.bounds.records + 1):
                lost = rows(state.checkpoint + 1, last, 0, 1)
                new = state._replace(checkpoint=last, given=state.given | lost, left=less(left, "given"))
                yield f"the source gives up {state.checkpoint + 1}..{last}", new
        if left.collectors:
            new = state._replace(left=less(left, "collectors"))
            yield "the collector comes", crowd(new, state.containers, Container(READ))
        if not (left.deletions or left.compactions):
            return
        writing = 0
        for one in state.containers:
            if one.phase in WRITES and (self.rules.late_counts or not one.ghost):
                writing |= 1 << one.item.intent.token
            writing |= 1 << one.token
        for thing in state.objects:
            waits = writing >> thing.token & 1
            others = tuple(one for one in state.objects if one is not thing)
            if left.deletions and not thing.data and not (waits and self.rules.claims_wait):
                new = state._replace(objects=others, left=less(left, "deletions"))
                yield f"the claim at {spelled(thing[:4])} is deleted", new
            done = thing.data and state.landed >> thing.token & 1
            if left.compactions and done and not (waits and self.rules.compaction == "waits"):
                there = state.compacted | rows(thing.first, thing.last, thing.part, self.bounds.parts)
                if self.rules.compaction == "leaves a claim":
                    others = placed(others, thing._replace(data=False))
                new = state._replace(objects=others, compacted=there, left=less(left, "compactions"))
                yield f"compaction moves the rows of {spelled(thing[:4])}", new


def crowd(state: State, others: tuple[Container, ...], one: Container | None) -> State:
    """With these containers, in the one order that stands for all."""
    there = tuple(sorted(others if one is None else (*others, one)))
    return tuple.__new__(State, (*state[:6], there, *state[7:]))  # _replace takes thrice as long


def who_is(one: Container) -> str:
    """A container has no name: its batch, and the version of the item that it works with, say which."""
    if one.ghost:
        return "  (late)"
    if not one.first:
        return "the collector"
    known = f"v{one.item.version}" if one.item else "new"
    return f"[{one.first}..{one.last} {known}]"
