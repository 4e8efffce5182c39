"""What Lambda is to a handler: containers that are made, used again, frozen and killed; a context; log lines that are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from millstream.aws import observe
from millstream.errors import MillstreamError
from millstream.local.emulator.answers import Answer, Invocation
from tests.faults.histories.judge import Violation, check_line, check_text
from tests.faults.tasks import Task
from tests.faults.world import World

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:orders"


class Lines:
    """The log: each line is checked when it is written."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def info(self, message: str, extra: dict[str, Any]) -> None:
        check_line(extra)
        self.batches.append(extra)

    error = info

    def warning(self, text: str) -> None:
        check_text(text)
        self.warnings.append(text)


class Containers:
    """Containers of one function, and the invocations that are at work in them."""

    def __init__(self, world: World, make: Callable[[], Callable[..., Any]]) -> None:
        self.world, self.make = world, make
        self._idle: list[Callable[..., Any]] = []
        self.working: list[tuple[Task, Invocation, Callable[..., Any]]] = []
        self.started = 0

    def invoke(self, invocation: Invocation) -> Task:
        """Give a batch to a container: one that is idle, or a new one."""
        draw = self.world.random
        handler = self._idle.pop(draw.randrange(len(self._idle))) if self._idle and draw.random() < 0.8 else self.make()
        event: Any = invocation.event
        if draw.random() < 0.5:
            event = json.dumps(event, separators=(",", ":")).encode()
        context = SimpleNamespace(
            get_remaining_time_in_millis=lambda: int(1000 * (invocation.due - self.world.time)),
            invoked_function_arn=FUNCTION,
        )
        self.started += 1
        task = self.world.spawn(f"{self.started}", lambda: handler(event, context))
        self.working.append((task, invocation, handler))
        return task

    def finished(self) -> Iterator[tuple[Invocation, Answer]]:
        """What was answered since. A killed container's answer is that it is gone."""
        done = [one for one in self.working if one[0].done]
        self.working = [one for one in self.working if not one[0].done]
        for task, invocation, handler in done:
            if task.killed:
                yield invocation, Answer(error="Runtime exited")
                continue
            self._idle.append(handler)
            if task.error is None:
                yield invocation, Answer(json.loads(json.dumps(task.result)))
                continue
            if not isinstance(task.error, MillstreamError):
                raise Violation(f"the handler raised {task.error!r}") from task.error
            check_text(str(task.error))
            yield invocation, Answer(error=str(task.error))

    def expire(self, draw: Any) -> None:
        """Lambda ends what is past its timeout; now and then something of it lives on."""
        for task, invocation, _ in self.working:
            if invocation.due <= self.world.time and not task.done and not task.container.frozen and draw.random() < 0.7:
                task.kill()


@contextmanager
def installed(world: World, **environment: str) -> Iterator[Lines]:
    """A world in which handlers can be made and called, and their log."""
    lines = Lines()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MILLSTREAM_", "POWERTOOLS_", "AWS_"))}
    kept = {name: value for name, value in os.environ.items() if name in ("MILLSTREAM_BACKEND", "MILLSTREAM_CACHE_DIR")}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, plain | kept | environment, clear=True))
        stack.enter_context(mock.patch.object(observe, "_logger", return_value=lines))
        stack.enter_context(world.installed())
        yield lines
