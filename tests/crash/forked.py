"""A container in a process of its own, forked from one that has imported all, and killed, or stopped, at a chosen moment.

A child can be forked at any time: no other thread of Python's runs here, and the clients that a child inherits have no connections.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import select
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from botocore.httpsession import URLLib3Session

from millstream.errors import RunError
from millstream.ledger.wire import Wire
from millstream.sinks import clients
from tests.crash.place import Place

PATIENCE = 60.0
"""Seconds for an invocation that nothing disturbs: backing off is part of it."""


class Plan(NamedTuple):
    """When a child is killed or stopped. at: seconds, of "time"; else the number of a call to AWS, counted from 0.

    "time": so long after its start. "before", "after": before the call is sent, or when its answer is there. "on its way": while it is,
    after `delay` seconds. "stop before", "stop after": it is stopped there.
    """

    kind: str
    at: float
    delay: float = 0.0


def prepare(place: Place) -> None:
    """Load here what each child would have to, up to its first call to AWS."""
    container = place.container()
    if not container.warm() or threading.active_count() > 1:
        raise AssertionError("this process cannot be forked")


class Forked:
    """A child that is ready for its event. `result`: what it answered, once it did."""

    def __init__(self, place: Place, event: bytes, plan: Plan | None = None) -> None:
        self.plan, self.result = plan, dict[str, Any]()
        self.seconds = 0.0
        self._told = b""
        heard, tell = os.pipe()
        begin, go = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # Python 3.12 counts threads of libraries, which do nothing here
            self.pid = os.fork()
        if not self.pid:
            try:
                _work(place, event, plan, tell, begin)
            finally:
                os._exit(0)
        os.close(tell)
        os.close(begin)
        self._heard, self._go = heard, go

    def go(self) -> None:
        """Let it begin; first wait until it is ready."""
        if (line := self._line(PATIENCE)) != "ready":
            raise AssertionError(f"a child did not get ready: {line}")
        self._began = time.monotonic()
        os.write(self._go, b"g")

    def meet(self) -> str:
        """How it ended: "killed", "stopped", "answered"; "late" if it did not."""
        plan, until = self.plan, self._began + PATIENCE
        if plan is not None and plan.kind == "time":
            line = self._line(self._began + plan.at - time.monotonic())
        else:
            line = self._line(until - time.monotonic())
        if line == "stop":
            os.waitpid(self.pid, os.WUNTRACED)
            return "stopped"
        if line == "call":
            assert plan is not None
            time.sleep(plan.delay)
            line = None
        elif line is None and not (plan is not None and plan.kind == "time"):
            self.kill()
            return "late"
        if line is None or line == "":
            self.kill()
            return "killed"
        self.seconds = time.monotonic() - self._began
        self.result = json.loads(line)
        self.kill()
        return "answered"

    def resume(self) -> None:
        """After it was stopped."""
        self.plan, self._began = None, time.monotonic()
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # it is not waited for yet, so its number is nobody else's
        os.waitpid(self.pid, 0)
        os.close(self._heard)
        os.close(self._go)

    def _line(self, seconds: float) -> str | None:
        """The next that it tells; "" if it is gone, None if nothing came in time."""
        until = time.monotonic() + seconds
        while b"\n" not in self._told:
            if not select.select([self._heard], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            found = os.read(self._heard, 65536)
            if not found:
                return ""
            self._told += found
        line, _, self._told = self._told.partition(b"\n")
        return line.decode()


def _work(place: Place, event: bytes, plan: Plan | None, tell: int, begin: int) -> None:
    """A child's life."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it does not outlive its parent
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # the log
    random.seed()  # waits are each child's own
    try:
        container = place.container()
        counts: dict[str, int] = {}
        report = container.report

        def reported(batch: Any, landed: Any) -> None:
            counts.update(landed.counts)
            report(batch, landed)

        container.report = reported
        calls = _watch(plan, tell)
        os.write(tell, b"ready\n")
        os.read(begin, 1)
        told: dict[str, Any] = {}
        try:
            told["answer"] = container(event, None)
        except RunError as error:
            told["again"] = str(error)
        told |= {"counts": counts, "calls": calls}
    except BaseException:
        told = {"broken": traceback.format_exc()}
    os.write(tell, json.dumps(told).encode() + b"\n")
    signal.pause()


def _watch(plan: Plan | None, tell: int) -> list[str]:
    """Let the plan come true; the calls so far."""
    calls: list[str] = []

    def meet(name: str, send: Callable[[], Any]) -> Any:
        calls.append(name)
        if plan is None or plan.kind == "time" or len(calls) - 1 != plan.at:
            return None
        found = send() if plan.kind.endswith("after") else None
        if plan.kind == "on its way":
            os.write(tell, b"call\n")
        elif plan.kind.startswith("stop"):
            os.write(tell, b"stop\n")
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def met(request: Any, event_name: str, **_: Any) -> Any:
        return meet(event_name.rpartition(".")[2], lambda: URLLib3Session().send(request))

    def exchange(wire: Wire, message: bytes) -> Any:
        name = message.partition(b"X-Amz-Target: DynamoDB_20120810.")[2].partition(b"\r\n")[0].decode()
        found = meet(name, lambda: by_wire(wire, message))
        return by_wire(wire, message) if found is None else found

    by_wire, Wire._exchange = Wire._exchange, exchange  # type: ignore[method-assign]
    clients.client("s3").meta.events.register("before-send.s3", met)
    for name in ("Scan", "DeleteItem", "BatchGetItem", "TransactWriteItems"):  # which botocore's client sends
        clients.client("dynamodb").meta.events.register(f"before-send.dynamodb.{name}", met)
    return calls
