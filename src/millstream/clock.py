"""Time and chance, for all that waits, gives up, or names something once. `source` may be another: simulations put theirs here."""

from __future__ import annotations

import os
import random
import time

from millstream.classes import Protocol


class Source(Protocol):
    """Where time and chance come from."""

    def monotonic(self) -> float: ...

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def uniform(self, low: float, high: float) -> float: ...

    def token(self) -> str: ...


class _Machine:
    """This machine's own."""

    monotonic = staticmethod(time.monotonic)
    now = staticmethod(time.time)
    sleep = staticmethod(time.sleep)
    uniform = staticmethod(random.uniform)

    def token(self) -> str:
        return os.urandom(16).hex()


source: Source = _Machine()


def monotonic() -> float:
    """Seconds, by a clock that only goes on. What is called `until` is a time by it."""
    return source.monotonic()


def now() -> float:
    """Seconds since 1970."""
    return source.now()


def sleep(seconds: float) -> None:
    source.sleep(seconds)


def uniform(low: float, high: float) -> float:
    """A random number, for waits."""
    return source.uniform(low, high)


def token() -> str:
    """32 hexadecimal digits that nobody else has."""
    return source.token()
