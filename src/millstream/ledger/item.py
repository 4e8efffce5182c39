"""What the ledger keeps of one shard, and what it is called by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from millstream.classes import dataclass, replace
from millstream.errors import LedgerError

SEQUENCE_DIGITS = 129
QUEUES = "sqs"
"""The source of attempts at batches of queues, each of which is a shard of its own, by its token."""
_SEQUENCE = re.compile(r"0|[1-9]\d{0,128}", re.ASCII)


@dataclass(frozen=True)
class Intent:
    """An attempt that is on its way, or whose container is gone: what it writes, and where.

    first, last: its range of sequence numbers. folders: of the sink, one object each; or the name of a manifest that lists them.
    suffix: of the objects' names. rejects, rejects_at: the folder of its rejected records, if there are any, and `place_of` their store.
    dead: one of its names is claimed.
    """

    attempt: int
    token: str
    first: str
    last: str
    folders: tuple[str, ...]
    manifest: str | None
    suffix: str
    rejects: str | None
    rejects_at: str | None
    fingerprint: str
    at: str
    dead: bool = False


@dataclass(frozen=True)
class Item:
    """A shard's item. version: counts its writes; 0 is none yet. committed: the last sequence number that is done.

    expiration: when the table may remove it, in seconds since 1970; None: never.
    """

    version: int = 0
    committed: str | None = None
    attempt: int = 0
    intent: Intent | None = None
    expiration: int | None = None

    def intended(self, intent: Intent) -> Item:
        """With the next attempt on its way."""
        return Item(self.version + 1, self.committed, intent.attempt, intent)

    def settled(self) -> Item:
        """With its attempt done."""
        assert self.intent is not None
        return Item(self.version + 1, self.intent.last, self.attempt)

    def given_up(self) -> Item:
        """With its attempt dead for good: nothing of it is written any more, what is written is claimed next."""
        assert self.intent is not None
        return Item(self.version + 1, self.committed, self.attempt, replace(self.intent, dead=True))

    def dropped(self) -> Item:
        """Without its dead attempt."""
        return Item(self.version + 1, self.committed, self.attempt)

    def passed(self, last: str) -> Item:
        """With all up to a sequence number done, without an attempt."""
        return Item(self.version + 1, last, self.attempt)

    def to_dict(self) -> dict[str, Any]:
        """As tables keep it; what is None is left out."""
        told: dict[str, Any] = {"version": self.version, "attempt": self.attempt}
        if self.committed is not None:
            told["committed"] = self.committed
        if self.expiration is not None:
            told["expiration"] = self.expiration
        if self.intent is not None:
            told["intent"] = intent = {name: value for name, value in vars(self.intent).items() if value is not None}
            intent["folders"] = list(self.intent.folders)
        return told

    @classmethod
    def of(cls, told: Mapping[str, Any], where: str) -> Item:
        """From what a table keeps. Raises LedgerError for what is no item."""
        try:
            intent, committed = told.get("intent"), told.get("committed")
            if intent is not None:
                intent = Intent(
                    attempt=_number(intent["attempt"]),
                    token=_text(intent["token"]),
                    first=sequence(intent["first"]),
                    last=sequence(intent["last"]),
                    folders=folders(intent["folders"]),
                    manifest=None if intent.get("manifest") is None else _inside(intent["manifest"]),
                    suffix=_text(intent["suffix"]),
                    rejects=None if intent.get("rejects") is None else _inside(intent["rejects"]),
                    rejects_at=None if intent.get("rejects_at") is None else _text(intent["rejects_at"]),
                    fingerprint=_text(intent["fingerprint"]),
                    at=_text(intent["at"]),
                    dead=_flag(intent["dead"]),
                )
            committed = None if committed is None else sequence(committed)
            expiration = None if told.get("expiration") is None else _number(told["expiration"])
            return cls(_number(told["version"]), committed, _number(told["attempt"]), intent, expiration)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise LedgerError(
                f"{where} is no item of a ledger: restore the table, or use one that nobody else writes to"
            ) from None


def folders(told: Any) -> tuple[str, ...]:
    """Folders of a sink, by a list of them. Raises ValueError for what is none, or lies elsewhere."""
    if not isinstance(told, list):
        raise ValueError("no list")
    return tuple(map(_inside, told))


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("no number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _inside(value: Any) -> str:
    text = _text(value)
    if text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise ValueError("not in the sink")
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def sequence(text: Any) -> str:
    """A sequence number as Kinesis writes it. Raises ValueError."""
    if not isinstance(text, str) or not _SEQUENCE.fullmatch(text):
        raise ValueError("no sequence number")
    return text


def is_behind(text: str, other: str | None) -> bool:
    """Does a sequence number come after the other one? All do after None."""
    return other is None or (len(text), text) > (len(other), other)


@lru_cache(256)
def place_of(url: str) -> str:
    """A short text for a place."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def base_of(source: str, shard: str, first: str, last: str, attempt: int) -> str:
    """The start of the names of objects that hold a range of a shard. source: `short` of it."""
    return f"{source}-{shard}-{first}-{last}-a{attempt}"


@lru_cache(256)
def short(source: str) -> str:
    """A source as it stands in names."""
    return hashlib.sha256(source.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Shard:
    """What an item is of: what a pipeline writes of one shard of a source to one sink."""

    namespace: str
    pipeline: str
    sink: str
    source: str
    shard: str

    @property
    def id(self) -> str:
        """The item's key. Nothing that a deploy changes is in it."""
        return f"{self._stream}#{self.shard}"

    @property
    def is_batch(self) -> bool:
        """Is it a batch of a queue's: one attempt, which nobody asks for when its messages are too old to come again?"""
        return self.source == QUEUES

    @property
    def _stream(self) -> str:
        return f"{self.namespace}#{self.pipeline}#{place_of(self.sink)}#{self.source}"

    @property
    def short(self) -> str:
        """The stream as it stands in names: that of another namespace, pipeline or sink may write beside them, or keep rejects there."""
        return short(self._stream)

    def base(self, first: str, last: str, attempt: int) -> str:
        """The start of the names of an attempt's objects."""
        return base_of(self.short, self.shard, first, last, attempt)

    @property
    def marker(self) -> str:
        """The name of a note beside the rows: rows were written by this item. Not named as rows are: it stays, and some look for *.json."""
        return f"_millstream-ledger-{hashlib.sha256(self.id.encode()).hexdigest()[:32]}"
