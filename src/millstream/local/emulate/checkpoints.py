"""Where to go on in the shards of a stream, in a file that one emulator has at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from millstream.errors import RunError, UsageError
from millstream.local.emulator.streams import Place

VERSION = 1
Places = Mapping[str, Place | None]
"""By shard; None is done."""


class Checkpoints:
    """The checkpoints of one stream. Without a path they are kept in memory alone. `places`: what was found, then what was saved."""

    def __init__(self, path: str | None, stream: str) -> None:
        self.path, self.stream = path, stream
        self.places: dict[str, Place | None] = {}
        self._lock: int | None = None
        if path is not None:
            self._lock = _locked(path)
            try:
                self.places = self._load(path)
            except BaseException:
                self.close()
                raise

    def save(self, places: Places) -> None:
        """Keep these, whole or not at all. Raises RunError."""
        if places == self.places:
            return
        if self.path is None:
            self.places = dict(places)
            return
        text = json.dumps({"version": VERSION, "stream": self.stream, "shards": _listed(places)}, indent=1)
        beside = f"{self.path}.new"
        try:
            with open(beside, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as error:
            raise RunError(f"cannot write the checkpoints {self.path}: {error.strerror}") from None
        self.places = dict(places)

    def to_dict(self) -> dict[str, Any]:
        """By shard: {"at": number}, {"after": number} or {"done": true}."""
        return _listed(self.places)

    def close(self) -> None:
        """Let another emulator have the file. May be called again."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _load(self, path: str) -> dict[str, Place | None]:
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsageError(f"cannot read the checkpoints {path}: {error.strerror}") from None
        except ValueError:
            raise UsageError(f"{path} holds no checkpoints: it is no JSON; remove it to start anew") from None
        shards = found.get("shards") if isinstance(found, dict) and found.get("version") == VERSION else None
        if not isinstance(shards, dict):
            raise UsageError(f"{path} holds no checkpoints of this version of millstream; remove it to start anew")
        if found.get("stream") != self.stream:
            raise UsageError(
                f"{path} holds the checkpoints of {found.get('stream')}, not of {self.stream}; give another --checkpoints"
            )
        try:
            return {name: _read(place) for name, place in shards.items()}
        except (ValueError, TypeError, AttributeError):
            raise UsageError(f"{path} holds checkpoints that cannot be read; remove it to start anew") from None


def _listed(places: Places) -> dict[str, Any]:
    return {name: _written(place) for name, place in sorted(places.items())}


def _written(place: Place | None) -> dict[str, Any]:
    return {"done": True} if place is None else {"after" if place.after else "at": place.sequence}


def _read(written: Any) -> Place | None:
    if written == {"done": True}:
        return None
    ((key, sequence),) = written.items()
    if key not in ("at", "after") or not isinstance(sequence, str) or not sequence.isdigit():
        raise ValueError
    return Place(sequence, key == "after")


def _locked(path: str) -> int:
    """Lock a file beside it, for it is itself replaced at each save. The lock goes when the process does."""
    try:
        found = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write the checkpoints {path}: {error.strerror}") from None
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with suppress(OSError):
            os.close(found)
        raise UsageError(f"another millstream emulate uses the checkpoints {path}; give each a file of its own") from None
    return found
