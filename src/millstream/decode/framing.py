"""Records out of a stream of text: JSON lines, the elements of an array, objects one after another, or CSV (`csv_framing`).

Memory is bounded by a chunk and the longest record. Where a chunk ends changes nothing but which records come together.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from millstream.classes import dataclass, field
from millstream.decode.compression import Stream
from millstream.decode.payloads import Payloads, spans_of_lines
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY_WORDS, PADDING, Memory, allocate, from_bytes, from_numbers
from millstream.schema import Code

if TYPE_CHECKING:
    from millstream.decode.dialect import Dialect

KEPT_BYTES = 4096
"""How much of something that is no record goes to the rejects."""
LOOKED_AT = 1 << 20
"""How much of a file tells what it is, if its first record is not shorter."""

_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = b"\xff\xfe", b"\xfe\xff"

# Places in the state of kernels/frame.py, and phases of an array.
_PHASE, _START, _LAST, _AT = 0, 4, 5, 7
_BEFORE, _WITHIN, _PAST = 0, 1, 2


@dataclass(frozen=True)
class Fault:
    """A piece of input that is no record and counts as one rejected record; `payload` is how it starts."""

    code: Code
    message: str
    payload: bytes


@dataclass
class Piece:
    """Records of one stretch of text; faults come after the payloads.

    end: where in the text the next piece starts, if framing can begin anew there; else -1.
    """

    payloads: Payloads
    faults: list[Fault] = field(default_factory=list)
    end: int = -1


class Text:
    """A stream of text that can be looked at before it is read. A byte order mark at its start is left out; `begin` is past it
    and past blanks that were skipped.

    begins: whether the stream is at the start of a file, where alone a mark is one.
    """

    def __init__(self, stream: Stream, begins: bool = True) -> None:
        self.stream = stream
        self.taken = self.begin = 0
        self._head = b""
        self.is_utf16 = begins and self.peek(3)[:2] in _UTF16_BOMS
        if begins and self._head.startswith(_BOM):
            self.begin, self._head = 3, self._head[3:]

    @property
    def fault(self) -> tuple[Code, str] | None:
        return self.stream.fault

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        pieces, have = [self._head], len(self._head)
        while have < size and (data := self.stream.read(size - have)):
            pieces.append(data)
            have += len(data)
        self._head = b"".join(pieces)
        return self._head

    def skip_blanks(self) -> None:
        """Leave out blanks, however many."""
        while not self._head.lstrip(_BLANKS):
            self.begin += len(self._head)
            self._head = b""
            if not self.peek(LOOKED_AT):
                return

    def fill(self, view: memoryview) -> int:
        """Read until `view` is full or the stream ends. Returns how many bytes."""
        at = 0
        while at < len(view):
            if self._head:
                data, self._head = self._head[: len(view) - at], self._head[len(view) - at :]
                view[at : at + len(data)] = data
                at += len(data)
            elif count := self.stream.readinto(view[at:]):
                at += count
            else:
                break
        self.taken += at
        return at


def frame(
    text: Text, form: str, chunk_bytes: int, record_bytes: int, dialect: Dialect | None = None, header: bytes | None = None
) -> Iterator[Piece]:
    """The records of a text: `form` is ndjson, json (by the first bytes: an array, lines or objects), concatenated or csv.

    dialect: of CSV; header: its first record, where the text begins behind it.
    """
    if text.is_utf16:
        yield Piece(no_payloads(), [Fault(Code.BAD_UTF8, "the file is UTF-16 text; save it as UTF-8", text.peek(4))])
        return
    if form == "json":
        text.skip_blanks()
        form = told_by(text.peek(LOOKED_AT))
    if dialect is not None:
        from millstream.decode.csv_framing import csv_pieces

        pieces = csv_pieces(text, dialect, chunk_bytes, record_bytes, header)
    elif form == "ndjson":
        pieces = _lines(text, chunk_bytes, record_bytes)
    else:
        pieces = _values(text, chunk_bytes, record_bytes, is_array=form == "array")
    for piece in pieces:
        yield from _without_long(piece, record_bytes)


def told_by(head: bytes) -> str:
    """What a text is by its first bytes: array, ndjson or concatenated.

    Objects are lines if the first one stands alone on its line. If it goes on over several, they are concatenated, unless it
    is broken and the next line starts like a record of its own.
    """
    head = head.lstrip(_BLANKS)
    if head[:1] == b"[":
        return "array"
    if head[:1] != b"{":
        return "ndjson"
    memory = from_bytes(head + bytes(PADDING))
    state = _state()
    starts, ends = allocate(1, 8), allocate(1, 8)
    whole = kernels.frame_objects(memory, 0, len(head), _over(state, 8), starts, ends)
    end = ends.tolist()[0] if whole else len(head)
    newline = head.find(b"\n", 0, end)
    if newline < 0:
        return "concatenated" if head[end:].lstrip(b" \t\r")[:1] == b"{" else "ndjson"
    if head[newline:].lstrip(_BLANKS)[:1] == b"{" and not _is_json(head[:end]):
        return "ndjson"
    return "concatenated"


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def no_payloads() -> Payloads:
    return Payloads(_buffer(0), 0, EMPTY_WORDS, EMPTY_WORDS, 0)


def too_long(text: bytes, limit: int) -> Fault:
    return Fault(Code.TOO_LONG, f"the record is longer than {limit:,} bytes; only its start is kept", text[:KEPT_BYTES])


def _without_long(piece: Piece, limit: int) -> Iterator[Piece]:
    """A piece, parted after each record that is longer than `limit`: that one is a fault."""
    payloads = piece.payloads
    if kernels.longest_span(payloads.starts, payloads.ends) <= limit:
        yield piece
        return
    starts, ends = payloads.starts.tolist(), payloads.ends.tolist()
    first = 0
    for i in [i for i in range(payloads.count) if ends[i] - starts[i] > limit]:
        kept = payloads.text.part(starts[i], min(KEPT_BYTES, ends[i] - starts[i]), 1).tobytes()
        yield Piece(payloads.part(first, i - first), [too_long(kept, limit)])
        first = i + 1
    if first < payloads.count or piece.faults:
        yield Piece(payloads.part(first, payloads.count - first), piece.faults, piece.end)


def _over(owner: Any, itemsize: int) -> Memory:
    """Writable memory in place."""
    buffer = pa.py_buffer(owner)
    return Memory(buffer, buffer.address, buffer.size // itemsize, itemsize)


def _state() -> array[int]:
    return array("q", [0, 0, 0, 0, -1, 0, 0, 0])


def _buffer(size: int) -> Memory:
    """A buffer for `size` bytes of text and padding."""
    return allocate(size + PADDING, 1)


def joined(carry: bytes, text: Text, size: int) -> tuple[Memory, int]:
    """A buffer with what was carried over, then text until it holds `size` bytes; how many it holds."""
    memory = _buffer(size)
    view = memory.view()
    view[: len(carry)] = carry
    end = len(carry) + text.fill(view[len(carry) : size])
    view[end : end + PADDING] = bytes(PADDING)
    return memory, end


def _lines(text: Text, chunk_bytes: int, limit: int) -> Iterator[Piece]:
    """Whole lines, as many as a chunk holds. A line that is longer than a chunk is grown up to the limit."""
    carry, skipping = b"", False
    size, place = chunk_bytes, text.begin
    while True:
        memory, end = joined(carry, text, size)
        view = memory.view()
        ended = end < size
        begin = 0
        if skipping:
            begin = _newline(view, 0, end) + 1
            skipping = not begin
            begin = begin or end
        cut = _last_newline(view, begin, end) + 1 or begin
        faults: list[Fault] = []
        carry = bytes(view[cut:end])
        size = chunk_bytes
        if ended:
            if text.fault is not None:  # what follows the last whole line goes with the part that is lost
                faults.append(Fault(*text.fault, carry[:KEPT_BYTES]))
            else:
                cut = end
        elif len(carry) > limit:
            if carry.strip(_BLANKS):
                faults.append(too_long(carry, limit))
                skipping = True
            carry = b""
        elif len(carry) >= chunk_bytes:
            size = len(carry) + chunk_bytes
        place += end - len(carry)
        if cut > begin or faults:
            starts, ends = spans_of_lines(memory, begin, cut)
            if starts.count or faults:
                yield Piece(Payloads(memory, end, starts, ends, end), faults, -1 if skipping else place)
        if ended:
            return


def _newline(view: memoryview, begin: int, end: int) -> int:
    """Where the first newline is, or -1."""
    for at in range(begin, end, 1 << 16):
        found = bytes(view[at : min(at + (1 << 16), end)]).find(b"\n")
        if found >= 0:
            return at + found
    return -1


def _last_newline(view: memoryview, begin: int, end: int) -> int:
    """Where the last newline is, or -1."""
    while end > begin:
        at = max(begin, end - (1 << 16))
        found = bytes(view[at:end]).rfind(b"\n")
        if found >= 0:
            return at + found
        end = at
    return -1


def _spans(framer: Callable[..., int], text: Memory, begin: int, end: int, state: array[int]) -> tuple[Memory, Memory]:
    """Where the records that end within text[begin:end] start and end."""
    room = (end - begin) // 64 + 64
    found: list[tuple[Memory, Memory]] = []
    while True:
        starts, ends = allocate(room, 8), allocate(room, 8)
        count = framer(text, begin, end, _over(state, 8), starts, ends)
        begin = state[_AT]
        found.append((starts.part(0, count, 8), ends.part(0, count, 8)))
        if count < room:
            break
    if len(found) == 1:
        return found[0]
    starts, ends = (from_numbers("q", [place for one in found for place in one[side].tolist()]) for side in (0, 1))
    return starts, ends


def _values(text: Text, chunk_bytes: int, limit: int, *, is_array: bool) -> Iterator[Piece]:
    """Elements of one array, or objects one after another. A scan goes on where the last one stopped: no byte is looked at twice."""
    framer = kernels.frame_array if is_array else kernels.frame_objects
    state = _state()
    carry, size = b"", chunk_bytes
    skipping = False
    while True:
        memory, end = joined(carry, text, size)
        ended = end < size
        starts, ends = _spans(framer, memory, len(carry), end, state)
        if skipping and starts.count:  # the first to end is the one that is too long
            starts, ends = (one.part(8, one.count - 1, 8) for one in (starts, ends))
            skipping = False
        closed = is_array and state[_PHASE] not in (_BEFORE, _WITHIN)
        start = state[_START]
        rest = end if start < 0 else start
        if closed:
            rest = start if start >= 0 else state[_AT]
        carry = b"" if skipping and not closed else bytes(memory.view()[rest:end])
        faults: list[Fault] = []
        if not closed and len(carry) > limit and start >= 0:
            faults.append(too_long(carry, limit))
            skipping, carry = True, b""
        if starts.count or faults:
            yield Piece(Payloads(memory, end, starts, ends, end), faults)
        if closed or ended:
            break
        if start >= 0:  # the record at hand starts where the next text does
            state[_START] = 0
            if is_array:
                state[_LAST] -= end - len(carry)
        size = len(carry) + chunk_bytes if len(carry) >= chunk_bytes else chunk_bytes
    if is_array:
        tail = _array_tail(text, state[_PHASE], carry)
    elif text.fault is not None:
        tail = Fault(*text.fault, carry[:KEPT_BYTES])
    else:
        if carry:  # it has no end: the decoder says what is wrong with it
            yield Piece(Payloads.of_records([carry.rstrip(_BLANKS)]))
        tail = None
    if tail is not None:
        yield Piece(no_payloads(), [tail])


def _array_tail(text: Text, phase: int, rest: bytes) -> Fault | None:
    """What is wrong past the last whole element, if anything is."""
    if phase in (_BEFORE, _WITHIN):
        if text.fault is not None:
            return Fault(*text.fault, rest[:KEPT_BYTES])
        return Fault(Code.BAD_JSON, "the array has no end", rest[:KEPT_BYTES])
    rest = rest.lstrip(_BLANKS)
    block = memoryview(bytearray(1 << 16))
    while count := text.fill(block):  # to the end: the stream may be corrupt there
        if len(rest) < KEPT_BYTES:
            rest = (rest + bytes(block[:count])).lstrip(_BLANKS)[:KEPT_BYTES]
    kept = rest.rstrip(_BLANKS)[:KEPT_BYTES]
    if text.fault is not None:
        return Fault(*text.fault, kept)
    if phase != _PAST:
        return Fault(Code.BAD_JSON, "a brace closes the array; what follows is lost", kept)
    return Fault(Code.BAD_JSON, "there is text after the end of the array", kept) if kept else None
