"""Threads that code under test starts, as tasks of the container that starts them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from tests.faults.tasks import Killed, Task

if TYPE_CHECKING:
    from tests.faults.world import World


class Thread:
    """threading.Thread, as far as src uses it."""

    def __init__(
        self,
        world: World,
        *,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str = "",
        daemon: bool = False,
    ) -> None:
        self._world, self.name = world, name
        self._function = lambda: target(*args, **(kwargs or {}))
        self._task: Task | None = None

    def start(self) -> None:
        if self._world.current is None:
            raise RuntimeError("the outside starts no threads: spawn a task that does")
        self._task = self._world.child(self._function)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done and not self._task.killed

    def join(self, timeout: float | None = None) -> None:
        if not self.is_alive():
            return
        if timeout is not None:
            self._world.sleep(timeout)
            return
        while not self._task.done:
            self._world.block(self._task.ended)


class Queue:
    """queue.Queue, as far as src uses it: puts wait for room, gets for what comes."""

    def __init__(self, world: World, maxsize: int = 0) -> None:
        self._world, self._most = world, maxsize
        self._held: deque[Any] = deque()
        self._getters: list[Task] = []
        self._putters: list[Task] = []

    def put(self, item: Any) -> None:
        while self._most and len(self._held) >= self._most:
            self._world.block(self._putters)
        self._held.append(item)
        self._world.wake(self._getters)

    def get(self) -> Any:
        while not self._held:
            self._world.block(self._getters)
        item = self._held.popleft()
        self._world.wake(self._putters)
        return item

    def empty(self) -> bool:
        return not self._held


class Future:
    """concurrent.futures.Future, as far as src uses it."""

    def __init__(self, world: World, work: Callable[[], Any]) -> None:
        self._world, self._work = world, work
        self._state = "waiting"
        self._result: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Task] = []

    def run(self) -> None:
        if self._state != "waiting":
            return
        self._state = "running"
        try:
            self._result = self._work()
        except Killed:
            raise
        except BaseException as error:
            self._error = error
        self._end("done")

    def _end(self, state: str) -> None:
        self._state = state
        self._work = None
        self._world.wake(self._waiting)

    def cancel(self) -> bool:
        if self._state == "waiting":
            self._end("cancelled")
        return self._state == "cancelled"

    def cancelled(self) -> bool:
        return self._state == "cancelled"

    def done(self) -> bool:
        return self._state in ("done", "cancelled")

    def exception(self) -> BaseException | None:
        while not self.done():
            self._world.block(self._waiting)
        if self._state == "cancelled":
            raise CancelledError
        return self._error

    def result(self) -> Any:
        error = self.exception()
        if error is not None:
            raise error
        return self._result


class Pool:
    """concurrent.futures.ThreadPoolExecutor, as far as src uses it. Outside of tasks what is submitted is done at once."""

    def __init__(self, world: World, max_workers: int, thread_name_prefix: str = "") -> None:
        self._world, self._most = world, max_workers
        self._waiting: deque[Future] = deque()
        self._running = 0
        self._joining: list[Task] = []

    def map(self, function: Any, *iterables: Any) -> Any:
        return (one.result() for one in [self.submit(function, *given) for given in zip(*iterables, strict=False)])

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future = Future(self._world, lambda: function(*args, **kwargs))
        if self._world.current is None:
            future.run()
            return future
        self._waiting.append(future)
        if self._running < self._most:
            self._running += 1
            self._world.child(self._work)
        return future

    def _work(self) -> None:
        while self._waiting:
            self._waiting.popleft().run()
        self._running -= 1
        self._world.wake(self._joining)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for future in self._waiting:
                future.cancel()
        while wait and self._running:
            self._world.block(self._joining)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
