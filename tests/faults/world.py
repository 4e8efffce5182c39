"""The world that handlers are put in: its time, its chance, and whose turn it is come from a seed."""

from __future__ import annotations

import _thread
import hashlib
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from threading import get_ident
from typing import Any

from tests.faults import faults as kinds
from tests.faults import install
from tests.faults.dynamodb import DynamoDB
from tests.faults.s3 import S3
from tests.faults.services import Client, Lambda
from tests.faults.sqs import SQS
from tests.faults.tasks import Killed, Task, give_back

START = 1_767_225_600.0
"""2026-01-01T00:00:00Z, when every world begins."""
CALL_SECONDS = 0.005
"""What a call takes. Time stands still while anything else is done."""


class World:
    """One world. It is also where time and chance come from: a `millstream.clock.Source`.

    Threads of code under test, as far as `installed` knows them, are tasks too. Any other thread that calls is refused.
    """

    def __init__(self, seed: int | str, faults: Callable[[kinds.Call], kinds.Fault | None] = kinds.Faults.none) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed}/turns")
        self._chance = random.Random(f"{seed}/chance")
        self._names = random.Random(f"{seed}/names")
        self.time = START
        self.call_seconds = CALL_SECONDS
        self.faults = faults
        self.calls = 0
        self.steps = 0
        self.most_steps = 1_000_000
        self.trace: list[tuple[Any, ...]] = []
        self.tasks: list[Task] = []
        self.s3, self.dynamodb, self.sqs, self.lambda_ = S3(self), DynamoDB(self), SQS(self), Lambda(self)
        self.clients = {one.service: Client(self, one) for one in (self.s3, self.dynamodb, self.sqs, self.lambda_)}
        self.current: Task | None = None
        self._thread = get_ident()
        self._main = _thread.allocate_lock()
        self._main.acquire()
        self._ready: list[Task] = []
        self._doomed: list[Task] = []
        self._timers: list[tuple[float, int, Task | Callable[[], Any], int]] = []
        self._sequence = 0
        self._until = -math.inf
        self._is_inline = False

    # What a clock.Source is.

    def monotonic(self) -> float:
        return self.time - START + 1000

    def now(self) -> float:
        """Also by the clock of a container that goes wrong."""
        task = self.current
        return self.time if task is None else self.time + task.container.skew

    def uniform(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)

    def token(self) -> str:
        return f"{self._names.getrandbits(128):032x}"

    def sleep(self, seconds: float) -> None:
        task = self._at_point()
        if task is None:
            self.time += seconds
            return
        self.trace.append((task.name, "world", "sleep", round(seconds, 6), None, ""))
        self._timer(self.time + max(0.0, seconds), task, task.turn)
        self._switch(task)

    # Tasks.

    def spawn(self, name: str, function: Callable[[], Any]) -> Task:
        """A container that does this, from when it is its turn on. Started by a task, it is still a container of its own."""
        return self._start(Task(self, name, function))

    def child(self, function: Callable[[], Any]) -> Task:
        """A thread of the container whose turn it is."""
        parent = self._at_point()
        assert parent is not None
        parent.container.children += 1
        return self._start(Task(self, f"{parent.container.name}/{parent.container.children}", function, parent))

    def _start(self, task: Task) -> Task:
        self.tasks.append(task)
        self._make_ready(task)
        return task

    def kill(self, task: Task) -> None:
        """A container is gone: what it was about has no effect any more. Nobody else has a turn until its threads have ended."""
        container = task.container
        if container.killed or container.is_over:
            return
        self.trace.append((container.name, "world", "kill", "", None, ""))
        container.frozen, container.held = False, []
        self._ready = [one for one in self._ready if one.container is not container]
        container.killed = True
        for one in container.members:
            if not one.done:
                one.killed = True
                one.turn += 1
                if one is not self.current:
                    self._doomed.append(one)

    def freeze(self, task: Task, seconds: float | None = None) -> None:
        container = task.container
        if container.is_over:
            return
        self.trace.append((container.name, "world", "freeze", seconds, None, ""))
        container.frozen = True
        container.frost += 1
        container.held += [one for one in self._ready if one.container is container]
        self._ready = [one for one in self._ready if one.container is not container]
        if seconds is not None:
            frost = container.frost
            self.at(self.time + seconds, lambda: container.frost == frost and self.thaw(container))

    def thaw(self, task: Task) -> None:
        container = task.container
        if container.frozen:
            self.trace.append((container.name, "world", "thaw", "", None, ""))
            container.frozen = False
            held, container.held = container.held, []
            self._ready += held

    def at(self, when: float, callback: Callable[[], Any]) -> None:
        """Call it at that time, or, if that is over, before the next turn."""
        self._timer(when, callback, 0)

    # Turns.

    def step(self) -> bool:
        """One turn of a task that is ready, up to its next point; or one timer. False if nothing is left to do."""
        assert self.current is None
        self._until, self._is_inline = math.inf, False
        return self._turn()

    def run(self, until: float | Callable[[], bool] | None = None) -> None:
        """All turns until nothing is left, until that time, or until that is so."""
        assert self.current is None
        if callable(until):
            while not until() and self.step():
                pass
            return
        self._until, self._is_inline = math.inf if until is None else until, True
        while self._turn():
            pass
        if until is not None:
            self.time = max(self.time, until)

    def _turn(self) -> bool:
        task = self._next()
        if task is not None:
            self._hand(task)
            self._main.acquire()
            return True
        if self.steps > self.most_steps:
            raise RuntimeError(f"no end after {self.steps:,} turns: {self.tasks}")
        if self._timers and (self._timers[0][0] <= self._until):
            self._advance()
            return True
        return False

    def _next(self) -> Task | None:
        """Whose turn it is; None where the outside has something to do."""
        while True:
            if self._doomed:
                return self._doomed.pop(0)
            while self._timers and self._timers[0][0] <= self.time:
                if not isinstance(self._timers[0][2], Task):
                    return None
                self._advance()
            ready = self._ready
            if ready:
                self.steps += 1
                if self.steps > self.most_steps or self.time > self._until:
                    return None
                at = int(self.random.random() * len(ready))
                ready[at], ready[-1] = ready[-1], ready[at]
                return ready.pop()
            if not (self._timers and self._is_inline) or self._timers[0][0] > self._until:
                return None
            self.time = max(self.time, self._timers[0][0])

    def _advance(self) -> None:
        when, _, what, turn = heappop(self._timers)
        self.time = max(self.time, when)
        if not isinstance(what, Task):
            what()
        elif what.turn == turn and not what.done:
            self._make_ready(what)

    def _timer(self, when: float, what: Task | Callable[[], Any], turn: int) -> None:
        self._sequence += 1
        heappush(self._timers, (when, self._sequence, what, turn))

    def _make_ready(self, task: Task) -> None:
        if not task.killed:
            task.turn += 1
            (task.container.held if task.container.frozen else self._ready).append(task)

    def _hand(self, task: Task | None) -> None:
        self.current = task
        (self._main if task is None else task.worker.baton).release()

    def _switch(self, task: Task) -> None:
        """Have others take turns until it is its own again. It has been put where it waits."""
        following = self._next() if self._is_inline else None
        if following is not task:
            baton = task.worker.baton
            self._hand(following)
            baton.acquire()
            self._ident = get_ident()
        if task.killed:
            raise Killed

    def enter(self) -> None:
        """A task begins, on its thread."""
        self._ident = get_ident()

    def leave(self, worker: Any) -> None:
        """A task has ended."""
        self.wake(self.current.ended)
        if self.current.error is not None:
            self.trace.append((self.current.name, "world", "raises", type(self.current.error).__name__, None, ""))
        following = self._next() if self._is_inline else None
        give_back(worker)
        self._hand(following)

    # Points.

    def _at_point(self) -> Task | None:
        """Who calls; None for the outside."""
        task = self.current
        if get_ident() != (self._thread if task is None else self._ident):
            raise RuntimeError("a thread that the world does not know calls it: its turns would not be the seed's")
        if task is not None and task.killed:
            raise Killed
        return task

    def block(self, waiting: list[Task]) -> None:
        """Wait with those for whom that is made so. Loop around it: others may have been quicker when it ends."""
        task = self._at_point()
        if task is None:
            raise RuntimeError("the outside would wait for ever: only tasks wait")
        waiting.append(task)
        self._switch(task)

    def wake(self, waiting: list[Task]) -> None:
        for task in waiting:
            self._make_ready(task)
        waiting.clear()

    def call(self, service: Any, operation: str, key: str, effect: Callable[[], Any]) -> Any:
        """A call of a client. The outside's goes straight through, and nothing befalls it."""
        task = self._at_point()
        if task is None:
            return effect()
        self._make_ready(task)
        self._switch(task)
        self.time += self.call_seconds
        call = kinds.Call(self.calls, task.name, service.service, operation, key)
        self.calls += 1
        fault = self.faults(call)
        outcome = "lost"
        try:
            try:
                answer = effect() if fault is None else kinds.befall(self, task, service, call, fault, effect)
                outcome = service.told(operation, answer)
                return answer
            except Exception as error:
                response = getattr(error, "response", None)
                outcome = response["Error"]["Code"] if response else type(error).__name__
                raise
        finally:
            self.trace.append((task.name, service.service, operation, key, fault and fault.kind.name, outcome))

    def pause(self) -> None:
        """A point, and nothing else."""
        task = self._at_point()
        if task is not None:
            self._make_ready(task)
            self._switch(task)

    # The whole.

    def digest(self) -> str:
        """What happened, as a number: the same for the same seed."""
        return hashlib.sha256(repr((self.trace, self.time)).encode()).hexdigest()

    def close(self) -> None:
        """Kill what is still alive, so that its threads end."""
        if self.current is not None:  # the outside was interrupted while it waited
            self._is_inline = False
            self._main.acquire()
        for task in list(self.tasks):
            if not task.done:
                self.kill(task)
        self._is_inline = False
        while self._doomed:
            self._hand(self._doomed.pop(0))
            self._main.acquire()

    @contextmanager
    def installed(self) -> Iterator[World]:
        """This world in the place of time, chance, clients and threads; all is as before afterwards, and its tasks have ended."""
        with install.replaced(self):
            try:
                yield self
            finally:
                self.close()
