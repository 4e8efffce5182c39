"""What must hold, in every state and over every step."""

from __future__ import annotations

from tests.faults.model.protocol import GIVES_UP, IDLE
from tests.faults.model.state import NONE, Item, State, names, rows, standing
from tests.faults.model.world import World

MOST_STEPS = 60
"""One delivery in peace takes fewer."""


def table(state: State, parts: int) -> tuple[int, int]:
    """Records that are in the table, and those that are there more than once."""
    there, twice = state.compacted, 0
    for thing in state.objects:
        if thing.data:
            new = rows(thing.first, thing.last, thing.part, parts)
            twice |= there & new
            there |= new
    return there, twice


class Invariants:
    """Says what is broken, or nothing."""

    def __init__(self, world: World, safety: bool = False) -> None:
        self.world = world
        self.safety = safety
        """Only S1, S2, S3 and S5."""
        self.parts = world.bounds.parts
        self.seen: dict[tuple, str] = {}

    def step(self, before: State, says: str, after: State) -> str:
        """S3, and S6, over one step."""
        old, new = before.item, after.item
        if new is not old:
            if new.committed < old.committed:
                return f"S3: committed goes back from {old.committed} to {new.committed}"
            if new.attempt < old.attempt or (after.tokens > before.tokens and new.attempt == old.attempt):
                return f"S3: attempt {new.attempt} comes after {old.attempt}"
            if after.tokens > before.tokens:
                for name in names(new.intent, self.parts, self.world.rules.attempt_in_name):
                    found = standing(before.objects, name)
                    if found is not None and found.token != new.intent.token:
                        return f"S3: a key of token {found.token} is used again"
        if self.world.bounds.alone and not self.safety and GIVES_UP in says:
            return "S6: a container that nothing but lost answers befalls gives up"
        return ""

    def state(self, state: State) -> str:
        """S1, S2, S5, and S4 where nothing runs."""
        there, twice = table(state, self.parts)
        if twice:
            return f"S1: twice in the table: {listed(twice)}"
        if lost := state.acknowledged & ~state.given & ~there:
            return f"S2: acknowledged and not in the table: {listed(lost)}"
        if lost := rows(1, state.item.committed, 0, 1) & ~state.given & ~there:
            return f"S2: committed and not in the table: {listed(lost)}"
        if state.dead:
            for thing in state.objects:
                if thing.data and state.dead >> thing.token & 1 and state.tokens > thing.token:
                    return f"S5: data of dead token {thing.token} stands beside token {state.tokens}"
        if not self.safety and all(one.phase == IDLE for one in state.containers):
            return self.peace(state)
        return ""

    def peace(self, state: State) -> str:
        """S4: one delivery of all that is left ends it, whatever container it comes to."""
        if state.checkpoint == self.world.bounds.records:
            return ""  # S1 and S2 say the rest
        memories: set[Item | tuple[()]] = {one.item for one in state.containers}
        for remembered in sorted(memories | {NONE}):
            now = (state.item, state.objects, state.compacted, state.checkpoint, state.given, remembered)
            if now not in self.seen:
                self.seen[now] = self.one_delivery(state, remembered)
            if self.seen[now]:
                return self.seen[now]
        return ""

    def one_delivery(self, state: State, remembered: Item | tuple[()]) -> str:
        protocol, last = self.world.protocol, self.world.bounds.records
        one = protocol.deliver(state.checkpoint + 1, last, remembered)
        said = []
        for _ in range(MOST_STEPS):
            step = next(protocol.step(state, one))
            said.append(step.says)
            state, one = step.state, step.then
            if one is None or one.phase == IDLE:
                break
        container = f"a container that remembers {tuple(remembered)}" if remembered else "a new container"
        if state.checkpoint != last:
            return f"S4: in peace, {container} does not acknowledge: {'; '.join(said)}"
        there, twice = table(state, self.parts)
        if wrong := twice | (rows(1, last, 0, 1) & ~state.given & ~there):
            return f"S4: in peace, {container} leaves these not once in the table: {listed(wrong)}"
        return ""


def listed(records: int) -> str:
    return ", ".join(str(record + 1) for record in range(records.bit_length()) if records >> record & 1)
