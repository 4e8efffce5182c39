"""Kinesis and SQS events as deliveries: payloads, identities, times of arrival.

An event's text is read by a kernel: `find_fields`. A dict, or a text of a shape that the kernel does not expect, goes through Python
objects: `records_in`. Both give the same.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any

from millstream.classes import Protocol, dataclass
from millstream.decode.payloads import Payloads
from millstream.errors import UsageError
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_bytes, from_numbers

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799_000
_NAME = 32
_NAMED = r"(?a)[A-Za-z][\w:. -]{0,39}"
_DEPTH = 1024
_STRING, _NUMBER, _OPTIONAL = 0, 1, 2


class Texts(Protocol):
    """A text of each delivery: of one by its position, or of all."""

    def __call__(self, position: int) -> str: ...

    def all(self) -> list[str]: ...


@dataclass(frozen=True)
class Listed:
    """Texts in a list."""

    texts: list[str]

    def __call__(self, position: int) -> str:
        return self.texts[position]

    def all(self) -> list[str]:
        return self.texts


class Spans:
    """Texts as spans of one buffer; one that is not there is from -1 to -1, and empty."""

    def __init__(self, text: Memory, starts: Memory, ends: Memory) -> None:
        self.text, self.starts, self.ends = text, starts, ends
        self._all: list[str] | None = None
        self._known: dict[int, str] = {}

    def __call__(self, position: int) -> str:
        found = self._known.get(position)
        if found is None:  # the first and the last are asked for again and again
            start, end = self.starts.word(position), self.ends.word(position)
            found = "" if start < 0 else self.text.part(start, end - start, 1).tobytes().decode()
            self._known[position] = found
        return found

    def all(self) -> list[str]:
        if self._all is None:
            self._all = self._read()
        return self._all

    def rise(self, most: int) -> bool:
        """Are these whole numbers of up to so many digits, without zeros in front, each beyond the one before?"""
        return bool(kernels.count_rising(self.text, self.starts, self.ends, most) == self.starts.count)

    def _read(self) -> list[str]:
        count = self.starts.count
        room = kernels.sum_spans(self.starts, self.ends) + count
        sizes, out = allocate(count, 8), allocate(room + PADDING, 1)
        whole = out.part(0, kernels.gather_spans(self.text, self.starts, self.ends, out, sizes), 1).tobytes()
        if whole.count(b"\n") == count:
            return whole.decode().split("\n")[:-1]
        ends = accumulate(size + 1 for size in sizes.tolist())
        return [whole[end - size - 1 : end - 1].decode() for end, size in zip(ends, sizes.tolist(), strict=True)]


@dataclass(frozen=True)
class Chosen:
    """The texts of some deliveries."""

    texts: Texts
    positions: Sequence[int]

    def __call__(self, position: int) -> str:
        return self.texts(self.positions[position])

    def all(self) -> list[str]:
        every = self.texts.all()
        return [every[i] for i in self.positions]


@dataclass
class Deliveries:
    """What one shard or one queue delivered, in order.

    payloads: their bytes; of those in `broken`, whose base64 is none, the text as it came. identities: what Lambda calls them by.
    arrivals: when each came to its source, as text, in units of which `per_second` are a second. raw: read by the kernel.
    groups: of a FIFO queue's messages.
    """

    source: str
    shard: str
    payloads: Payloads
    identities: Texts
    arrivals: Texts
    per_second: int
    broken: Sequence[int] = ()
    raw: bool = False
    groups: Texts = Listed([])

    @property
    def count(self) -> int:
        return self.payloads.count

    def only(self, positions: Sequence[int]) -> Deliveries:
        """Some of the deliveries, in their order."""
        hit = set(self.broken)
        return Deliveries(
            source=self.source,
            shard=self.shard,
            payloads=self.payloads.only(positions),
            identities=Chosen(self.identities, positions),
            arrivals=Chosen(self.arrivals, positions),
            per_second=self.per_second,
            broken=[i for i, position in enumerate(positions) if position in hit],
            raw=self.raw,
            groups=Chosen(self.groups, positions),
        )

    def arrived(self, position: int) -> datetime:
        """When a delivery came to its source, by the source's clock. What is no time counts as 1970."""
        return _EPOCH + timedelta(milliseconds=self.milliseconds(position))

    def milliseconds(self, position: int) -> int:
        """The same in milliseconds since 1970."""
        try:
            found = float(self.arrivals(position)) * 1000 / self.per_second
        except ValueError:
            return 0
        return round(found) if 0 <= found <= _LATEST else 0


@dataclass(frozen=True)
class Shape:
    """Where a source's events have what. Fields stand in the record, or in its one object `nested`."""

    outer: tuple[str, ...]
    nested: str
    inner: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*self.outer, self.nested, *self.inner)

    @cached_property
    def tables(self) -> tuple[Memory, Memory, Memory]:
        """Names, their lengths and kinds, as the kernel wants them."""
        names = [one.encode() for one in (*self.names, "Records")]
        kinds = [_NUMBER if one in self.numbers else _OPTIONAL if one in self.optional else _STRING for one in self.names]
        return (
            from_bytes(b"".join(one.ljust(_NAME, b"\0") for one in names)),
            from_numbers("q", map(len, names)),
            from_numbers("q", kinds),
        )


class Fields:
    """The places of the fields of an event's records, in a copy of its text."""

    def __init__(self, shape: Shape, text: Memory, room: int, found: Memory, count: int) -> None:
        self.shape, self.text, self.count = shape, text, count
        self._room, self._found = room, found

    def spans(self, name: str) -> tuple[Memory, Memory]:
        """Where a field starts and ends, of each record."""
        at = 16 * self._room * self.shape.names.index(name)
        return self._found.part(at, self.count, 8), self._found.part(at + 8 * self._room, self.count, 8)

    def texts(self, name: str) -> Spans:
        """A field's texts."""
        return Spans(self.text, *self.spans(name))

    def same(self, name: str, size: int = -1) -> bool:
        """Do all records have the same text in a field, or the same first `size` bytes of it?"""
        return bool(kernels.count_same(self.text, *self.spans(name), size) == self.count)


def find_fields(raw: bytes, shape: Shape) -> Fields | None:
    """The fields of an event's text, escapes decoded; None if it is not of that shape."""
    size = len(raw)
    text, stack = allocate(2 * (size + PADDING), 1), allocate(_DEPTH, 8)
    ctypes.memmove(text.address, raw, size)
    ctypes.memset(text.address + size, 0, PADDING)
    names, lengths, kinds = shape.tables
    nested = len(shape.outer)
    room = size // 512 + 16
    while True:
        found = allocate(2 * room * len(shape.names), 8)
        count = kernels.find_deliveries(text, size, names, lengths, kinds, nested, room, stack, found)
        if count >= 0:
            break
        if count != -1:
            return None
        room *= 4
    fields = Fields(shape, text, room, found, count)
    behind = size + PADDING
    if b"\\" not in raw:  # no string has an escape
        return fields
    for name in shape.names:
        if name != shape.nested and name not in shape.numbers:
            behind = kernels.unescape_spans(text, *fields.spans(name), behind)
            if behind < 0:
                return None
    return fields


def records_in(event: Mapping[str, Any], expected: str) -> list[Any]:
    """The records of a parsed event. Raises UsageError for an event that has none."""
    records = event.get("Records")
    if not isinstance(records, list) or not records:
        raise UsageError(f"the event has no list of Records (its keys: {keys_of(event)}); {expected}")
    return records


def keys_of(event: Mapping[str, Any]) -> str:
    """The first keys of an event, as an error tells them."""
    return ", ".join(plain(one) or "…" for one in sorted(map(str, event))[:8]) or "none"


def plain(name: Any) -> str:
    """A name as an error may tell it: empty if it is longer, or of other characters, than AWS's own names."""
    return name if isinstance(name, str) and re.fullmatch(_NAMED, name) else ""


def source_of(record: Any, number: int, wanted: str, expected: str) -> Mapping[str, Any]:
    """A record, if it comes from the source that is wanted. Raises UsageError."""
    place = f"Records[{number}]"
    if not isinstance(record, Mapping):
        raise UsageError(f"{place} is a {type(record).__name__}; {expected}")
    source = record.get("eventSource") or record.get("EventSource")
    if source != wanted:
        raise UsageError(f"{place} comes from {plain(source) or 'an unknown source'}; {expected}")
    return record


def text_of(holder: Mapping[str, Any], name: str, place: str, expected: str) -> str:
    """A field that is a string. Raises UsageError."""
    value = holder.get(name)
    if not isinstance(value, str):
        raise UsageError(f"{place}.{name} is missing or no string; {expected}")
    return value
