"""The records in what was delivered: one, many in an aggregate or an array, or compressed ones.

A payload is one record if it is a plain JSON object; of CSV it is any number of lines. By its first bytes it may be an aggregate of the
Kinesis Producer Library, whose user records are payloads in turn; something compressed (gzip, zlib, zstd, bzip2, lz4), whose text is
framed; or an array. Nothing is unpacked twice over but records of aggregates.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from millstream.classes import dataclass, field
from millstream.decode.chunks import RECORD_BYTES, recorded_as
from millstream.decode.cloudwatch import SUBSCRIPTION, log_events
from millstream.decode.compression import BytesSource, open_stream
from millstream.decode.framing import Fault, Piece, Text, frame
from millstream.decode.payloads import Headers, Payloads
from millstream.decode.rejects import Reject
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY_WORDS, Memory, allocate, from_numbers
from millstream.schema import Code

if TYPE_CHECKING:
    from millstream.decode.dialect import Dialect

UNPACKED_BYTES = 64 << 20
"""So much text may come out of one compressed payload, unless the input's max_bytes says otherwise."""
BATCH_BYTES = 256 << 20
"""Once that much text has come out of compressed payloads, the batch ends: the deliveries behind go again. What is left of the first
one, which would be no smaller the next time, is rejected."""

_PLAIN, _AGGREGATE, _ARRAY = 0, 1, 2  # kernels/deliveries.py; the rest is compressed
_DONE = -1
_PIECE = 4 << 20
_SMALL = 1 << 16
_BROKEN = (Code.BAD_VALUE, "the data is not base64")
_BAD_AGGREGATE = (Code.BAD_AGGREGATE, "the aggregate of the Kinesis Producer Library is corrupt")
_NESTED = (Code.BAD_AGGREGATE, "the aggregate of the Kinesis Producer Library is in another one")


@dataclass
class Records:
    """The records of a batch, in the order of its deliveries.

    payloads: all of them, those too that are none. owner: the delivery of each (int64), None where each delivery is one record.
    faults: what is wrong with the records that are none. deliveries: how many of those given were taken; not all where the batch
    would have become too large. format: what a record is, json or csv.
    """

    payloads: Payloads
    owner: Memory | None
    deliveries: int
    faults: dict[int, tuple[Code, str]] = field(default_factory=dict)
    format: str = "json"

    @property
    def count(self) -> int:
        return self.payloads.count

    def delivery(self, position: int) -> int:
        """The delivery that a record came in."""
        return position if self.owner is None else self._owners[position]

    def sub(self, position: int) -> int:
        """The number of a record within its delivery: in an aggregate, its sub-sequence number."""
        return 0 if self.owner is None else self._numbers[position]

    @cached_property
    def _owners(self) -> list[int]:
        return [] if self.owner is None else self.owner.tolist()

    @cached_property
    def _numbers(self) -> list[int]:
        numbers = allocate(self.count, 8)
        kernels.number_within(self.owner, numbers)
        return numbers.tolist()

    def before(self, delivery: int) -> int:
        """How many records the deliveries before that one hold."""
        if self.owner is None:
            return min(delivery, self.count)
        return bisect_left(self._owners, delivery)

    def first(self, count: int) -> Records:
        """The first records alone."""
        owner = None if self.owner is None else self.owner.part(0, count, 8)
        faults = {position: fault for position, fault in self.faults.items() if position < count}
        return Records(self.payloads.part(0, count), owner, self.deliveries, faults, self.format)

    def good(self) -> tuple[Payloads, list[int] | None]:
        """The records that are some, and where they stand among all; None where that is all of them."""
        if not self.faults:
            return self.payloads, None
        positions = [i for i in range(self.count) if i not in self.faults]
        return self.payloads.only(positions), positions

    def rejects(self) -> list[Reject]:
        """The records that are none, as rejects."""
        return [Reject(position, code, None, -1, message) for position, (code, message) in self.faults.items()]


class _Items:
    """Spans of a text, each of a delivery. A mark points to what is wrong with one, from 1, or to its CSV header, from -1 down."""

    def __init__(self, text: Memory, starts: Memory, ends: Memory, marks: Memory, owner: Memory) -> None:
        self.text, self.starts, self.ends, self.marks, self.owner = text, starts, ends, marks, owner

    @property
    def count(self) -> int:
        return self.starts.count

    def spread(self, counts: Sequence[int], found: tuple[Memory, Memory, Memory]) -> None:
        """Put `counts[i]` of what was found in the place of item i; -1 leaves it."""
        total = sum(1 if one < 0 else one for one in counts)
        out = tuple(allocate(total, 8) for _ in range(4))
        kernels.spread_items(from_numbers("q", counts), self.starts, self.ends, self.marks, self.owner, *found, *out)
        self.starts, self.ends, self.marks, self.owner = out


def records_of(payloads: Payloads, settings: Mapping[str, Any], broken: Sequence[int] = ()) -> Records:
    """The records in a batch's payloads. `settings` are a pipeline's input; `broken` payloads could not be decoded from base64."""
    form = settings.get("format", "auto")
    kinds = allocate(payloads.count, 8)
    others = kernels.tell_kinds(payloads.text, payloads.starts, payloads.ends, kinds)
    if not others and not broken and form == "auto":
        return Records(payloads, None, payloads.count)
    faults: list[tuple[Code, str]] = [_BROKEN]
    marks, owner = allocate(payloads.count, 8), allocate(payloads.count, 8)
    kernels.fill_int64(0, marks)
    kernels.fill_sequence(owner)
    items = _Items(payloads.text, payloads.starts, payloads.ends, marks, owner)
    if broken:
        hit = set(broken)
        items.marks = from_numbers("q", [int(i in hit) for i in range(payloads.count)])
    _split_aggregates(items, kinds.tolist(), faults)
    dialect = None
    if form == "csv":
        from millstream.decode.dialect import Dialect

        dialect = Dialect.of(settings)
    unpacked = _Unpacked(dialect)
    deliveries = _unpack(items, unpacked, settings, faults, payloads.count)
    bad: dict[int, tuple[Code, str]] = {}
    if broken or len(faults) > 1:
        bad = {i: faults[mark - 1] for i, mark in enumerate(items.marks.tolist()) if mark > 0}
    found = Payloads.of_spans(items.text, items.starts, items.ends)
    if unpacked.headers:
        found.headers = _headers(items.marks.tolist(), unpacked.headers)
    return Records(found, items.owner, deliveries, bad, recorded_as(settings))


def _headers(marks: Sequence[int], headers: Sequence[bytes]) -> Headers:
    """Where each header begins to hold."""
    found: list[tuple[int, bytes]] = []
    for position, mark in enumerate(marks):
        if mark < 0 and (not found or found[-1][1] is not headers[-1 - mark]):
            found.append((position, headers[-1 - mark]))
    return tuple(found)


def _split_aggregates(items: _Items, kinds: Sequence[int], faults: list[tuple[Code, str]]) -> None:
    marks = items.marks.tolist()
    places = [i for i, kind in enumerate(kinds) if kind == _AGGREGATE and not marks[i]]
    if not places:
        return
    starts, ends = items.starts.tolist(), items.ends.tolist()
    text, digests = items.text.view(), _digests(items, [starts[i] for i in places], [ends[i] for i in places])
    whole: list[int] = []
    corrupt: list[int] = []
    for number, i in enumerate(places):
        digest = digests[16 * number : 16 * number + 16]
        (whole if digest == text[ends[i] - 16 : ends[i]] else corrupt).append(i)
    begins, stops = (from_numbers("q", [side[i] for i in whole]) for side in (starts, ends))
    counts = allocate(len(whole), 8)
    room = kernels.sum_spans(begins, stops) // 128 + 16
    found: list[tuple[Memory, Memory]] = []
    done = 0
    while done < len(whole):
        places_found = allocate(room, 8), allocate(room, 8)
        before = done
        done = kernels.split_aggregates(items.text, begins, stops, before, 0, counts, *places_found)
        if done == before:
            room *= 4
            continue
        some = sum(max(one, 0) for one in counts.part(8 * before, done - before, 8).tolist())
        found.append((places_found[0].part(0, some, 8), places_found[1].part(0, some, 8)))
    spread = [-1] * items.count
    for i, count in zip(whole, counts.tolist(), strict=True):
        spread[i] = count
        if count < 0:
            corrupt.append(i)
    _mark(items, corrupt, _BAD_AGGREGATE, faults)
    one = _joined(found)
    none = allocate(one[0].count, 8)
    kernels.fill_int64(0, none)
    items.spread(spread, (*one, none))


def _mark(items: _Items, places: Sequence[int], fault: tuple[Code, str], faults: list[tuple[Code, str]]) -> None:
    """Have the items at these places be rejected for a fault."""
    if places:
        faults.append(fault)
        marks = items.marks.tolist()
        for i in places:
            marks[i] = len(faults)
        items.marks = from_numbers("q", marks)


def _digests(items: _Items, starts: list[int], ends: list[int]) -> bytes:
    """The MD5 of the message in each aggregate, one after another."""
    count = len(starts)
    begins, stops, out = (from_numbers("q", starts), from_numbers("q", ends), allocate(16 * count, 1))
    kernels.shift_numbers(4, begins)
    kernels.shift_numbers(-16, stops)
    kernels.digest_md5(items.text, begins, stops, allocate(1024, 1), allocate(32, 4), allocate(8, 8), out)
    return out.tobytes()


def _joined(found: Sequence[tuple[Memory, Memory]]) -> tuple[Memory, Memory]:
    if len(found) == 1:
        return found[0]
    if not found:
        return EMPTY_WORDS, EMPTY_WORDS
    starts, ends = (from_numbers("q", [place for one in found for place in one[side].tolist()]) for side in (0, 1))
    return starts, ends


class _Unpacked:
    """Text that came out of payloads, to be put behind the batch's own. headers: of CSV, each once."""

    def __init__(self, dialect: Dialect | None = None) -> None:
        self.dialect = dialect
        self.headers: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        self.pieces: list[tuple[Memory, int, Memory, Memory, list[int]]] = []
        self.bytes = 0

    def add(self, text: Memory, size: int, starts: Memory, ends: Memory, marks: Sequence[int] = ()) -> int:
        """Take spans of text[:size]; how many they are."""
        if text.count * text.itemsize > 2 * size + _SMALL:  # a piece's buffer is for megabytes, and all are held until `placed`
            held = allocate(size, 1)
            ctypes.memmove(held.address, text.address, size)
            text = held
        self.pieces.append((text, size, starts, ends, list(marks) or [0] * starts.count))
        self.bytes += size
        return starts.count

    def mark(self, header: bytes | None) -> int:
        """The mark of records under a header."""
        if header is None:
            return 0
        if header not in self._numbers:
            self.headers.append(header)
            self._numbers[header] = -len(self.headers)
        return self._numbers[header]

    def add_faults(self, found: Sequence[Fault], faults: list[tuple[Code, str]]) -> int:
        for fault in found:
            faults.append((fault.code, fault.message))
            one = Payloads.of_records([fault.payload])
            self.add(one.text, one.size, one.starts, one.ends, [len(faults)])
        return len(found)

    def placed(self, text: Memory, size: int) -> tuple[Memory, tuple[Memory, Memory, Memory]]:
        """The batch's text with all that was taken behind it, and where that is: starts, ends, marks."""
        whole = allocate(size + self.bytes, 1)
        ctypes.memmove(whole.address, text.address, size)
        total = sum(starts.count for _, _, starts, _, _ in self.pieces)
        out = allocate(total, 8), allocate(total, 8)
        at = done = 0
        for piece, taken, starts, ends, _ in self.pieces:
            ctypes.memmove(whole.address + size + at, piece.address, taken)
            for side, places in zip(out, (starts, ends), strict=True):
                part = side.part(8 * done, places.count, 8)
                ctypes.memmove(part.address, places.address, 8 * places.count)
                kernels.shift_numbers(size + at, part)
            at += taken
            done += starts.count
        return whole, (*out, from_numbers("q", [mark for piece in self.pieces for mark in piece[4]]))


def _split_plain(items: _Items, unpacked: _Unpacked, kinds: list[int], dialect: Dialect) -> list[int]:
    """Replace what is CSV as it stands by its records; the kinds of all items then, `_DONE` where they are records."""
    marks = items.marks.tolist()
    places = [i for i, kind in enumerate(kinds) if not marks[i] and kind in (_PLAIN, _ARRAY)]
    if not places:
        return kinds
    from millstream.decode.csv_framing import split_texts

    texts = Payloads.of_spans(items.text, items.starts, items.ends).only(places)
    records, found = split_texts(texts, dialect)
    counts = [-1] * items.count
    for i, count in zip(places, found, strict=True):
        counts[i] = count
    stops = [first for first, _ in records.headers[1:]] + [records.count]
    told = [0] * records.count
    for (first, header), stop in zip(records.headers, stops, strict=False):
        told[first:stop] = [unpacked.mark(header)] * (stop - first)
    items.spread(counts, (records.starts, records.ends, from_numbers("q", told)))
    after: list[int] = []
    for kind, count in zip(kinds, counts, strict=True):
        after += [kind] if count < 0 else [_DONE] * count
    return after


def _unpack(
    items: _Items, unpacked: _Unpacked, settings: Mapping[str, Any], faults: list[tuple[Code, str]], deliveries: int
) -> int:
    """Replace what is compressed, or holds several records, by these. Returns how many deliveries are dealt with."""
    form = settings.get("format", "auto")
    told = allocate(items.count, 8)
    others = kernels.tell_kinds(items.text, items.starts, items.ends, told)
    if not others and form == "auto":
        return deliveries
    kinds = told.tolist()
    if unpacked.dialect is not None:
        _refuse_nested(items, kinds, faults)
        kinds = _split_plain(items, unpacked, kinds, unpacked.dialect)
        if not others:
            return deliveries
    counts = [-1] * items.count
    starts, ends, marks, owners = (one.tolist() for one in (items.starts, items.ends, items.marks, items.owner))
    left: list[int] = []
    for i, kind in enumerate(kinds):
        if marks[i] or kind in (_AGGREGATE, _DONE) or (kind == _PLAIN and form == "auto"):
            continue
        if unpacked.bytes > BATCH_BYTES:
            if owners[i]:
                deliveries = _cut(items, counts, owners, i)
                break
            left.append(i)
            continue
        payload = items.text.part(starts[i], ends[i] - starts[i], 1).tobytes()
        counts[i] = _take(unpacked, payload, kind > _ARRAY, settings, faults)
    _mark(
        items, left, (Code.TOO_LARGE, f"more than {BATCH_BYTES:,} bytes came out of what is before it in its delivery"), faults
    )
    size = max(items.ends.tolist(), default=0)
    items.text, found = unpacked.placed(items.text, size)
    items.spread(counts, found)
    return deliveries


def _refuse_nested(items: _Items, kinds: Sequence[int], faults: list[tuple[Code, str]]) -> None:
    """Mark the aggregates within aggregates: no CSV, under no header, they would be lost. Of other formats a decoder refuses them."""
    marks = items.marks.tolist()
    _mark(items, [i for i, kind in enumerate(kinds) if kind == _AGGREGATE and not marks[i]], _NESTED, faults)


def _cut(items: _Items, counts: list[int], owners: Sequence[int], end: int) -> int:
    """Leave out the deliveries from that of item `end` on; how many are left."""
    deliveries = owners[end]
    first = owners.index(deliveries)
    del counts[first:]
    items.starts, items.ends, items.marks, items.owner = (
        one.part(0, first, 8) for one in (items.starts, items.ends, items.marks, items.owner)
    )
    return deliveries


def _take(
    unpacked: _Unpacked, payload: bytes, compressed: bool, settings: Mapping[str, Any], faults: list[tuple[Code, str]]
) -> int:
    """Take a payload's records; how many."""
    form = settings.get("format", "auto")
    limits = {name: settings[name] for name in ("max_ratio",) if name in settings}
    compression = settings.get("compression", "auto") if compressed else "none"
    source = BytesSource(payload)
    count = 0
    max_bytes = settings.get("max_bytes", UNPACKED_BYTES)
    with open_stream(source, compression, max_bytes=max_bytes, **limits) as stream:
        text = Text(stream)
        if compressed and form == "auto" and text.peek(len(SUBSCRIPTION)).startswith(SUBSCRIPTION):
            return _take_log_events(unpacked, text, max_bytes, faults)
        if form == "auto":
            form = "array" if not compressed else "json"
        for piece in frame(text, form, _PIECE, settings.get("max_record_bytes", RECORD_BYTES), unpacked.dialect):
            count += _take_piece(unpacked, piece, faults)
    return count


def _take_piece(unpacked: _Unpacked, piece: Piece, faults: list[tuple[Code, str]]) -> int:
    payloads = piece.payloads
    marks = [unpacked.mark(payloads.header(0))] * payloads.count
    count = unpacked.add(payloads.text, payloads.size, payloads.starts, payloads.ends, marks) if payloads.count else 0
    return count + unpacked.add_faults(piece.faults, faults)


def _take_log_events(unpacked: _Unpacked, text: Text, max_bytes: int, faults: list[tuple[Code, str]]) -> int:
    pieces = []
    while data := text.stream.read(_PIECE):
        pieces.append(data)
    whole = text.peek(0) + b"".join(pieces)
    if text.fault is not None:
        return unpacked.add_faults([Fault(*text.fault, whole[:4096])], faults)
    found = log_events(whole, max_bytes)
    if isinstance(found, Fault):
        return unpacked.add_faults([found], faults)
    return unpacked.add(found.text, found.size, found.starts, found.ends) if found.count else 0
