"""Breadth first through all states of a configuration, each once."""

from __future__ import annotations

import gc
import time
from typing import NamedTuple

from tests.faults.model.invariants import Invariants
from tests.faults.model.state import Bounds, Rules, State, start
from tests.faults.model.world import World


class Found(NamedTuple):
    """What a search saw."""

    states: int
    transitions: int
    depth: int
    seconds: float
    broken: str
    """The invariant that does not hold, or nothing."""
    trace: list[str]
    """The steps to it, none of which can be spared."""


def explore(bounds: Bounds, rules: Rules | None = None, safety: bool = False) -> Found:
    """Search until something is broken or all is seen; `safety`: without S4 and S6."""
    collects = gc.isenabled()
    gc.disable()  # nothing here refers to itself, and there are millions of tuples to go through
    try:
        return _explore(World(bounds, rules or Rules()), safety)
    finally:
        if collects:
            gc.enable()


def _explore(world: World, safety: bool) -> Found:
    bounds = world.bounds
    invariants = Invariants(world, safety)
    began = time.monotonic()
    first = start(bounds)
    parents: dict[State, State | None] = {first: None}
    level, depth, transitions = [first], 0, 0

    def found(broken: str = "", trace: list[str] | None = None) -> Found:
        return Found(len(parents), transitions, depth, time.monotonic() - began, broken, trace or [])

    while level:
        following = []
        for state in level:
            for says, after in world.successors(state):
                transitions += 1
                broken = invariants.step(state, says, after)
                if after not in parents:
                    parents[after] = state
                    following.append(after)
                    broken = broken or invariants.state(after)
                if broken:
                    depth += 1
                    return found(broken, [*retrace(world, parents, state), says])
        level = following
        depth += bool(following)
    return found()


def retrace(world: World, parents: dict[State, State | None], state: State) -> list[str]:
    """What happened up to a state, read again from its parents."""
    said: list[str] = []
    parent = parents[state]
    while parent is not None:
        said.append(next(says for says, after in world.successors(parent) if after == state))
        state, parent = parent, parents[parent]
    return said[::-1]
