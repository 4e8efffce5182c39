"""What an emulation shows: a line of counts while it goes on, and a report at its end."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from millstream import clock
from millstream.classes import dataclass, field
from millstream.errors import MillstreamError
from millstream.local.emulate.work import Counts

VERSION = 1
_EVERY = 0.2
_CLEAR = "\r\x1b[K"
_ALWAYS = ("received", "acknowledged", "invocations")


class Line:
    """One line on a terminal, written over and over; on anything else there is none. Notes are lines of their own, on both."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._is_terminal = stream is not None and stream.isatty()
        self._shown = -1.0

    @classmethod
    def on_stderr(cls) -> Line:
        return cls(sys.stderr)

    def show(self, counts: Counts, in_flight: int) -> None:
        now = clock.monotonic()
        if not self._is_terminal or 0 <= now - self._shown < _EVERY:
            return
        self._shown = now
        told = f"{counted(counts.to_dict())} · {in_flight} in flight"
        self._write(_CLEAR + told[: _width(self._stream) - 1])

    def note(self, text: str) -> None:
        self._write(f"{_CLEAR if self._is_terminal else ''}millstream: {' '.join(text.splitlines())}\n")

    def close(self) -> None:
        if self._is_terminal:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with suppress(OSError, ValueError):  # nobody reads it any more
                self._stream.write(text)
                self._stream.flush()


def _width(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def counted(counts: dict[str, int]) -> str:
    """Counts in words; most are told only where there is something to tell."""
    return " · ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in counts.items() if value or name in _ALWAYS)


@dataclass(frozen=True)
class Report:
    """ended: idle, signal or error. checkpoints: where to go on, by shard; empty of a queue. error: what ended it."""

    source: str
    function: str
    ended: str
    seconds: float
    counts: dict[str, int]
    checkpoints: dict[str, Any] = field(default_factory=dict)
    error: MillstreamError | None = None

    def to_dict(self) -> dict[str, Any]:
        names = ("source", "function", "ended", "seconds", "counts", "checkpoints")
        return {"version": VERSION} | {name: getattr(self, name) for name in names}

    def render(self) -> str:
        return f"{self.source} to {self.function}, {self.seconds:,.1f} s, ended: {self.ended}\n{counted(self.counts)}"
