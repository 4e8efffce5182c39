"""What code under test reaches of the machine, replaced by a world's own."""

from __future__ import annotations

import concurrent.futures
import datetime
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import base
from aws_lambda_powertools.utilities.idempotency.persistence import base as persistence_base
from aws_lambda_powertools.utilities.idempotency.persistence import datarecord, dynamodb

from millstream import clock
from millstream.aws import ranges
from millstream.sinks import clients
from tests.faults import threads

if TYPE_CHECKING:
    from tests.faults.world import World


class _Clients(dict):
    """Clients for every region: there is one."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def get(self, key: Any, default: Any = None) -> Any:
        found = self._world.clients.get(key[0])
        if found is None:
            raise NotImplementedError(f"the service {key[0]}")
        return found


class _Datetime:
    """The module `datetime`, with the world's time for `datetime.now`. It has a zone, so that no machine's own comes in."""

    def __init__(self, world: World) -> None:
        class now(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return datetime.datetime.fromtimestamp(world.now(), tz or datetime.UTC)

        self.datetime = now

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)


@contextmanager
def replaced(world: World) -> Iterator[None]:
    theirs = _Datetime(world)
    replacements = (
        (clock, "source", world),
        (clients, "_clients", _Clients(world)),
        *((module, "dt", theirs) for module in (base, persistence_base, dynamodb, datarecord)),
        (concurrent.futures, "ThreadPoolExecutor", partial(threads.Pool, world)),
        (ranges, "Thread", partial(threads.Thread, world)),
        (ranges, "Queue", partial(threads.Queue, world)),
    )
    before = [getattr(where, name) for where, name, _ in replacements]
    was_collecting = gc.isenabled()
    gc.disable()  # its finalizers would run whenever and in whose turn it likes
    try:
        for where, name, what in replacements:
            setattr(where, name, what)
        yield
    finally:
        for (where, name, _), what in zip(replacements, before, strict=True):
            setattr(where, name, what)
        if was_collecting:
            gc.enable()
