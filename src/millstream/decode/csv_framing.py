"""The records of CSV text, whole or in pieces. Their cells are not looked at, only where quotes open and close."""

from __future__ import annotations

from collections.abc import Iterator

from millstream.decode.dialect import Dialect
from millstream.decode.framing import KEPT_BYTES, Fault, Piece, Text, joined, no_payloads, too_long
from millstream.decode.payloads import Headers, Payloads
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers

# Phases of a scan, and what frame_csv is told of where texts end: see kernels/csv_scan.py and csv_frame.py.
_RECORD, _COMMENT = 0, 5
_GOES_ON, _CLOSED, _WHOLE = 0, 1, 2
_START: tuple[int, ...] = (_RECORD, 0, 0)


def _framed(
    text: Memory, begins: Memory, stops: Memory, how: int, dialect: Dialect, state: tuple[int, ...]
) -> tuple[Memory, Memory, Memory, tuple[int, ...]]:
    """Where records start and end, how many each text has, and where the scan stands then."""
    size = kernels.sum_spans(begins, stops)
    counts = allocate(begins.count, 8)
    for shortest in (64, 2):  # bytes of a record: guessed, then with a byte and a newline
        room = size // shortest + begins.count + 64
        starts, ends = allocate(room, 8), allocate(room, 8)
        words = from_numbers("q", state)
        count = kernels.frame_csv(text, begins, stops, how, dialect.words, words, starts, ends, counts)
        if count >= 0:
            break
    return starts.part(0, count, 8), ends.part(0, count, 8), counts, tuple(words.tolist())


def split_texts(texts: Payloads, dialect: Dialect) -> tuple[Payloads, list[int]]:
    """The records of whole texts, and how many each has. Where the dialect has headers, each text begins with its own."""
    starts, ends, counted, _ = _framed(texts.text, texts.starts, texts.ends, _WHOLE, dialect, _START)
    counts = counted.tolist()
    if dialect.header is not True:
        return Payloads.of_spans(texts.text, starts, ends), counts
    firsts: list[int] = []
    at = 0
    for count in counts:
        if count:
            firsts.append(at)
        at += count
    everything = Payloads.of_spans(texts.text, starts, ends)
    headers: Headers = tuple((first - number, everything.payload(first)) for number, first in enumerate(firsts))
    if len(firsts) == 1:
        records = everything.part(1, everything.count - 1)
    else:
        left_out = set(firsts)
        records = everything.only([i for i in range(everything.count) if i not in left_out])
    records.headers = headers
    return records, [max(count - 1, 0) for count in counts]


def csv_pieces(text: Text, dialect: Dialect, chunk_bytes: int, limit: int, header: bytes | None = None) -> Iterator[Piece]:
    """The records of a text, as many as a chunk holds. A record that is longer than a chunk is grown up to the limit.

    header: the text's, where it is read from a later record on.
    """
    awaited = dialect.header is True and header is None
    carry, state, skipping = b"", _START, False
    size, place = chunk_bytes, text.begin
    while True:
        memory, end = joined(carry, text, size)
        ended = end < size
        closed = ended and text.fault is None
        starts, ends, _, after = _framed(
            memory, from_numbers("q", [0]), from_numbers("q", [end]), _CLOSED if closed else _GOES_ON, dialect, state
        )
        phase, _, start = after
        if skipping:
            if starts.count and starts.word(0) == 0:  # the end of the one that is too long
                starts, ends = (one.part(8, one.count - 1, 8) for one in (starts, ends))
            skipping = start == 0 and phase != _RECORD
        faults: list[Fault] = []
        state, size = _START, chunk_bytes
        carry = b""
        if closed:
            pass
        elif skipping or phase == _COMMENT:  # nothing of it is kept, but where it stands
            state = after
        elif phase != _RECORD:
            carry = bytes(memory.view()[start:end])
            if len(carry) > limit and not ended:
                faults.append(too_long(carry, limit))
                carry, state, skipping = b"", after, True
            elif len(carry) >= chunk_bytes:
                size = len(carry) + chunk_bytes
        if ended and text.fault is not None:  # what follows the last whole record goes with the part that is lost
            faults.append(Fault(*text.fault, carry[:KEPT_BYTES]))
        place += end - len(carry)
        if awaited and starts.count:
            header, awaited = memory.part(starts.word(0), ends.word(0) - starts.word(0), 1).tobytes(), False
            starts, ends = (one.part(8, one.count - 1, 8) for one in (starts, ends))
            if len(header) > limit:
                faults = [too_long(header, limit)]
        if (awaited and faults) or (header is not None and len(header) > limit):
            yield Piece(no_payloads(), faults[:1])  # what is under a header that is too long cannot be read
            return
        if starts.count or faults:
            payloads = Payloads(memory, end, starts, ends, end)
            payloads.headers = ((0, header),) if header is not None else ()
            yield Piece(payloads, faults, place if state == _START else -1)
        if ended:
            return
