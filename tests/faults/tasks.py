"""Tasks that take turns: each is a thread, and one runs at a time."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.world import World


class Killed(BaseException):
    """Its container is gone: raised at the point where it stood, and at each one that it comes to afterwards."""


class Task:
    """Something that a container does. Tasks that it starts are of the same container: they freeze and die with it."""

    def __init__(self, world: World, name: str, function: Callable[[], Any], parent: Task | None = None) -> None:
        self.world, self.name, self._function = world, name, function
        self.container = self if parent is None else parent.container
        self.done = self.killed = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended: list[Task] = []
        """Those that wait for its end."""
        self.turn = 0
        """Counts its waits, so that what would have ended an earlier one is told from what ends this one."""
        # A container's own.
        self.members = [self] if parent is None else []
        self.children = 0
        self.frozen = False
        self.frost = 0
        self.skew = 0.0
        """How far its clock is ahead of the world's. Waits are as long as everywhere."""
        self.held: list[Task] = []
        """Those that would be ready, were it not frozen."""
        if parent is not None:
            self.container.members.append(self)
        self.worker = _worker()
        self.worker.task = self

    def __repr__(self) -> str:
        state = "killed" if self.killed else "done" if self.done else "frozen" if self.container.frozen else "alive"
        return f"<Task {self.name}: {state}>"

    @property
    def is_over(self) -> bool:
        """Have all threads of its container ended?"""
        return all(one.done for one in self.container.members)

    def kill(self) -> None:
        """Its container is gone, here and now."""
        self.world.kill(self)

    def freeze(self, seconds: float | None = None) -> None:
        """Its container stands still for so long, or until it is thawed."""
        self.world.freeze(self, seconds)

    def thaw(self) -> None:
        self.world.thaw(self)

    def value(self) -> Any:
        """What it gave. Raises what it raised."""
        assert self.done, self
        if self.error is not None:
            raise self.error
        return self.result

    def run(self) -> None:
        """All of it, on its thread."""
        function, self._function = self._function, None
        try:
            if self.killed:
                raise Killed
            self.result = function()
        except Killed:
            self.killed = True
        except BaseException as error:
            self.error = error
        self.done = True


class _Worker(threading.Thread):
    """A thread that lives on for other tasks: threads are dear to start."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="world")
        self.baton = _thread.allocate_lock()
        self.baton.acquire()
        self.task: Task | None = None

    def run(self) -> None:
        while True:
            self.baton.acquire()
            task, self.task = self.task, None
            world = task.world
            world.enter()
            task.run()
            del task  # what it holds goes now, while this thread has the baton
            world.leave(self)


_idle: list[_Worker] = []


def _worker() -> _Worker:
    if _idle:
        return _idle.pop()
    worker = _Worker()
    worker.start()
    return worker


def give_back(worker: _Worker) -> None:
    _idle.append(worker)
