"""A container's steps. Each is one call to the ledger, the store or the source, and what is thought until the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.faults.model.state import NONE, Container, Intent, Item, Rules, State, Thing, names, placed, rows, standing

IDLE, READ, CLAIM, HEAD, SETTLE, BURY, CLEAR = "idle", "read", "claim", "head", "settle", "bury", "clear"
TAKE, PUT, LOOK, COMMIT, ACKNOWLEDGE = "take", "put", "look", "commit", "acknowledge"
WRITES = (PUT, LOOK, COMMIT)
GIVES_UP = "gives up: "


class Step(NamedTuple):
    """One call that had its effect."""

    says: str
    state: State
    """The world after it, without what the container became."""
    then: Container | None
    """The container when it has the answer; None: it is gone."""
    again: Container
    """The container when the answer is lost: it repeats the call."""


class Protocol:
    """The steps by given rules, with records spread over so many parts."""

    def __init__(self, rules: Rules, parts: int) -> None:
        self.rules = rules
        self.parts = parts
        self.steps = {
            READ: self.read,
            CLAIM: self.claim,
            HEAD: self.head,
            SETTLE: self.settle,
            BURY: self.bury,
            CLEAR: self.clear,
            TAKE: self.take,
            PUT: self.put,
            LOOK: self.look,
            COMMIT: self.commit,
            ACKNOWLEDGE: self.acknowledge,
        }

    def step(self, state: State, one: Container) -> Iterator[Step]:
        """Each call that a container may make next."""
        return self.steps[one.phase](state, one)

    def deliver(self, first: int, last: int, remembered: Item | tuple[()]) -> Container:
        """A container that was given a batch."""
        one = Container(READ, first, last, remembered, warm=bool(remembered))
        return self.begin(one) if remembered else one

    # What is thought between calls

    def begin(self, one: Container) -> Container | None:
        """Step 2: a pending intent first."""
        one = one._replace(token=0, at=0, seen=0)
        intent = one.item.intent
        if not intent:
            return self.resolved(one)
        if not self.rules.resolves:
            return self.resolved(one)
        if not one.first and not self.rules.collector_settles:
            return one._replace(phase=CLEAR)
        if not intent.dead:
            return one._replace(phase=CLAIM)
        return one._replace(phase=BURY) if self.rules.buries and self.rules.newcomer_buries else self.resolved(one)

    def resolved(self, one: Container) -> Container | None:
        """Step 3: what is left of the batch."""
        one = one._replace(at=0, seen=0)
        if not one.first:
            return one._replace(phase=CLEAR) if one.item.intent else None
        return one._replace(phase=TAKE if self.todo(one) <= one.last else ACKNOWLEDGE)

    def todo(self, one: Container) -> int:
        return max(one.first, one.item.committed + 1) if self.rules.skips_done else one.first

    def idle(self, one: Container, item: Item | tuple[()]) -> Container | None:
        """It is done with a batch, and remembers; a collector ends."""
        return Container(IDLE, item=item) if one.first else None

    def keys(self, intent: Intent) -> tuple[tuple[int, int, int, int], ...]:
        return names(intent, self.parts, self.rules.attempt_in_name)

    # Calls

    def read(self, state: State, one: Container) -> Iterator[Step]:
        yield Step("reads the item", state, self.begin(one._replace(item=state.item)), one)

    def claim(self, state: State, one: Container) -> Iterator[Step]:
        """Step 2a."""
        name = self.keys(one.item.intent)[one.at]
        found = standing(state.objects, name)
        if not self.rules.claims_first:
            free = found is None or not found.data
            yield Step(f"looks at {spelled(name)}: {told(found)}", state, self.next_key(one, free), one)
        elif found is None or not self.rules.claims_where_free:
            put = self.put_claim(state, one, name)
            yield Step(f"claims {spelled(name)}", put, self.next_key(one, True), one)
        else:
            yield Step(f"cannot claim {spelled(name)}", state, one._replace(phase=HEAD), one)

    def head(self, state: State, one: Container) -> Iterator[Step]:
        name = self.keys(one.item.intent)[one.at]
        found = standing(state.objects, name)
        says = f"looks at {spelled(name)}: {told(found)}"
        if found is None and self.rules.gone_is_not_data:
            yield Step(GIVES_UP + says, state, self.idle(one, one.item), one)
        else:
            yield Step(says, state, self.next_key(one, found is not None and not found.data), one)

    def next_key(self, one: Container, claim: bool) -> Container:
        seen = one.seen or int(claim and self.rules.claims_are_not_data)
        by = self.rules.decides_by
        ends = one.at + 1 == len(self.keys(one.item.intent)) or by == "first key" or (by == "first claim" and seen)
        return one._replace(phase=SETTLE if ends else CLAIM, at=one.at + 1, seen=seen)

    def settle(self, state: State, one: Container) -> Iterator[Step]:
        """Step 2b."""
        item, intent = one.item, one.item.intent
        if one.seen and not self.rules.marks_dead:
            yield Step("thinks the attempt dead", state, self.buried(one), one)
            return
        if one.seen:
            after = item._replace(version=item.version + 1, intent=intent._replace(dead=True))
        else:
            after = Item(item.version + 1, intent.last, item.attempt, NONE)
        new, done = self.swap(state, item, after, self.rules.settles_by_swap)
        what = "marks dead" if one.seen else "commits for it"
        if not done:
            yield Step(*self.refused(state, one, what, self.rules.starts_over_settling), one)
        elif one.seen:
            new = new._replace(dead=new.dead | 1 << intent.token)
            yield Step(f"{what}: attempt {intent.attempt}", new, self.buried(one._replace(item=after)), one)
        else:
            new = new._replace(landed=new.landed | 1 << intent.token)
            yield Step(f"{what}: attempt {intent.attempt}", new, self.resolved(one._replace(item=after)), one)

    def buried(self, one: Container) -> Container | None:
        return one._replace(phase=BURY, at=0, seen=0) if self.rules.buries else self.resolved(one)

    def bury(self, state: State, one: Container) -> Iterator[Step]:
        """Step 2c."""
        keys = self.keys(one.item.intent)
        then = one._replace(at=one.at + 1) if one.at + 1 < len(keys) else self.resolved(one)
        yield Step(f"replaces {spelled(keys[one.at])} by a claim", self.put_claim(state, one, keys[one.at]), then, one)

    def clear(self, state: State, one: Container) -> Iterator[Step]:
        """The collector's last step."""
        item = one.item
        new, done = self.swap(state, item, item._replace(version=item.version + 1, intent=NONE))
        yield Step("clears the intent" if done else "cannot clear the intent", new, None, one)

    def take(self, state: State, one: Container) -> Iterator[Step]:
        """Step 4."""
        item, first = one.item, self.todo(one)
        token = one.token or state.tokens + 1
        attempt = item.attempt + 1 if self.rules.attempt_rises else 1
        after = Item(item.version + 1, item.committed, attempt, Intent(attempt, token, first, one.last, False))
        if not self.rules.intent_first:
            mine = one._replace(phase=PUT, item=after._replace(version=item.version), at=0)
            yield Step(f"begins attempt {attempt} in silence", state._replace(tokens=token), mine, one)
            return
        by = self.rules.takes_by_swap
        same = by == "nothing" or (by == "committed" and state.item.committed == item.committed)
        same = same or (by == "attempt" and state.item.attempt == item.attempt)
        same = same or (by == "both" and state.item[1:3] == item[1:3])
        new, done = self.swap(state, item, after, not same or by == "version")
        if not done:
            yield Step(*self.refused(state, one, "takes an attempt", self.rules.starts_over_taking), one)
            return
        new = new._replace(tokens=max(new.tokens, token))
        mine = one._replace(item=new.item, token=0, at=0)
        phase = PUT if self.rules.data_before_commit else COMMIT
        phase = ACKNOWLEDGE if self.rules.acknowledges == "before data" else phase
        says = f"takes attempt {attempt} for {first}..{one.last}"
        yield Step(says, new, mine._replace(phase=phase), one._replace(token=token))

    def put(self, state: State, one: Container) -> Iterator[Step]:
        """Step 5: the keys in any order, as threads would."""
        for index, name in enumerate(self.keys(one.item.intent)):
            if one.at >> index & 1:
                continue
            found = standing(state.objects, name)
            if found is None or not self.rules.writes_where_free:
                thing = Thing(*name, one.item.intent.token, True)
                new = state._replace(objects=placed(state.objects, thing))
                yield Step(f"puts data at {spelled(name)}", new, self.put_done(one, index), one)
            elif not self.rules.standing_is_not_success:
                yield Step(f"puts no data at {spelled(name)}: {told(found)}", state, self.put_done(one, index), one)
            else:
                yield Step(f"cannot put data at {spelled(name)}", state, one._replace(phase=LOOK, seen=index), one)

    def look(self, state: State, one: Container) -> Iterator[Step]:
        mine = one.item.intent
        name = self.keys(mine)[one.seen]
        found = standing(state.objects, name)
        says = f"looks at {spelled(name)}: {told(found)}"
        if found is not None and found.data and found.token == mine.token and self.rules.own_object:
            yield Step(says, state, self.put_done(one._replace(seen=0), one.seen), one)
        else:
            yield Step(GIVES_UP + says, state, self.idle(one, one.item), one)

    def put_done(self, one: Container, index: int) -> Container:
        at = one.at | 1 << index
        if at + 1 < 1 << len(self.keys(one.item.intent)):
            return one._replace(phase=PUT, at=at)
        phase = COMMIT if self.rules.data_before_commit else ACKNOWLEDGE
        phase = ACKNOWLEDGE if self.rules.acknowledges == "before commit" else phase
        return one._replace(phase=phase, at=at)

    def commit(self, state: State, one: Container) -> Iterator[Step]:
        """Step 6."""
        item, intent = one.item, one.item.intent
        after = Item(item.version + 1, intent.last, item.attempt, NONE)
        new, done = self.swap(state, item, after, self.rules.commits_by_swap)
        if not done:
            yield Step(*self.refused(state, one, "commits", False), one)
            return
        new = new._replace(landed=new.landed | 1 << intent.token)
        if not self.rules.data_before_commit:
            then = one._replace(phase=PUT, at=0)
        else:
            then = one._replace(phase=ACKNOWLEDGE, item=new.item, at=0)
        yield Step(f"commits {intent.first}..{intent.last}", new, then, one)

    def acknowledge(self, state: State, one: Container) -> Iterator[Step]:
        """Step 7, or 3."""
        batch = rows(one.first, one.last, 0, 1)
        new = state._replace(acknowledged=state.acknowledged | batch, checkpoint=max(state.checkpoint, one.last))
        says = f"acknowledges {one.first}..{one.last}"
        intent = one.item.intent
        if self.rules.acknowledges != "last" and intent and not intent.dead:
            then = one._replace(phase=COMMIT if self.rules.acknowledges == "before commit" else PUT)
        else:
            then = self.idle(one, one.item)
        yield Step(says, new, then, one)

    # The ledger and the store

    def swap(self, state: State, before: Item, after: Item, guarded: bool = True) -> tuple[State, bool]:
        """The world afterwards, and whether it is as wanted: also where an earlier try had the effect."""
        if state.item.version == before.version:
            return state._replace(item=after), True
        if self.rules.own_swap and state.item == after:
            return state, True
        if not guarded:
            return state._replace(item=after._replace(version=state.item.version + 1)), True
        return state, False

    def refused(self, state: State, one: Container, what: str, starts_over: bool) -> tuple[str, State, Container | None]:
        if one.warm and starts_over:
            return f"{what}: refused; starts over", state, self.begin(one._replace(item=state.item, warm=False))
        return f"{GIVES_UP}{what}: refused", state, self.idle(one, state.item)

    def put_claim(self, state: State, one: Container, name: tuple[int, int, int, int]) -> State:
        return state._replace(objects=placed(state.objects, Thing(*name, one.item.intent.token, False)))


def spelled(name: tuple[int, int, int, int]) -> str:
    first, last, attempt, part = name
    return f"{first}-{last}-a{attempt}-{part}"


def told(found: Thing | None) -> str:
    return "nothing" if found is None else f"{'data' if found.data else 'a claim'} of token {found.token}"
