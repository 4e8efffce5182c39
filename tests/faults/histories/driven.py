"""What drives a history of any source: turns of the world, answers to its mapping, faults until it is calm."""

from __future__ import annotations

import random
from typing import Any

from millstream.local.emulator.answers import Answer, Invocation
from tests.faults.faults import Call, Fault
from tests.faults.histories.judge import Violation
from tests.faults.histories.runtime import Containers
from tests.faults.world import START, World

CALM_SECONDS = 400.0
"""From then on nothing fails any more."""
PATIENCE_SECONDS = 40_000.0
"""So long after that everything must be done."""
TABLE = "ledger"


class Driven:
    """A history that is worked off turn by turn; a source's own says what is invoked, and what an answer means."""

    draw: random.Random
    world: World
    mapping: Any
    containers: Containers

    def __init__(self) -> None:
        self.past: list[Invocation] = []
        self._judged = 0

    def invoke(self, invocation: Invocation) -> None:
        """Give a batch to a container, with whatever chaos there is."""
        raise NotImplementedError

    def answer(self, invocation: Invocation, answer: Answer) -> bool:
        """Tell the mapping. False where the answer counts for nothing."""
        return bool(self.mapping.answer(invocation, answer, self.world.time))

    def judge(self, final: bool = False) -> None:
        """Look at all that is there. Raises Violation."""
        raise NotImplementedError

    @property
    def is_calm(self) -> bool:
        return self.world.time >= START + CALM_SECONDS

    def until_calm(self, chooser: Any) -> Any:
        """A chooser of faults that chooses none once it is calm."""

        def choose(call: Call) -> Fault | None:
            return None if self.is_calm else chooser(call)

        return choose

    def work_off(self) -> None:
        """All turns, until nothing is left."""
        while self._turn():
            pass
        self.judge(final=True)

    def _turn(self) -> bool:
        """One turn of the world, and what the mapping makes of it. False when all is done."""
        world, mapping, containers = self.world, self.mapping, self.containers
        for invocation in mapping.poll(world.time):
            self.invoke(invocation)
            self.past.append(invocation)
        containers.expire(self.draw)
        moved = world.step()
        for invocation, answer in list(containers.finished()):
            # Acknowledged means durable: now, not in the end.
            if self.answer(invocation, answer) and len(mapping.acknowledged) > self._judged:
                self._judged = len(mapping.acknowledged)
                self.judge()
        if moved:
            return True
        wake = mapping.wake(world.time)
        if wake is None:
            return bool(containers.working)
        if wake > START + CALM_SECONDS + PATIENCE_SECONDS:
            raise Violation(f"after {PATIENCE_SECONDS:,.0f} s without faults there is still work: {mapping.backlog} deliveries")
        world.time = max(world.time, wake)
        return True


def new_table(world: World) -> None:
    """The table of the ledger, and of Powertools Idempotency."""
    world.dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
