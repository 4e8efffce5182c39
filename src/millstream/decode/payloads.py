"""Payloads of a batch, side by side in one buffer."""

from __future__ import annotations

import ctypes
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TypeAlias

import pyarrow as pa

from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_buffer, from_numbers

_JOINED = 256

Headers: TypeAlias = tuple[tuple[int, bytes], ...]


class Payloads:
    """`count` payloads, each text[starts[i]:ends[i]] of one buffer.

    text: the payloads' bytes; it is only read, and may be somebody else's.
    size: no fewer than the payloads' bytes. bytes_in: bytes as delivered.
    headers: of CSV, each with the position of the first payload under it; empty where there is none.
    """

    __slots__ = (
        "bytes_in",
        "ends",
        "headers",
        "size",
        "starts",
        "text",
    )

    def __init__(self, text: Memory, size: int, starts: Memory, ends: Memory, bytes_in: int) -> None:
        self.text = text
        self.size = size
        self.starts = starts
        self.ends = ends
        self.bytes_in = bytes_in
        self.headers: Headers = ()

    @property
    def count(self) -> int:
        return self.starts.count

    def payload(self, position: int) -> bytes:
        """A copy of one payload's bytes."""
        start, end = self.starts.word(position), self.ends.word(position)
        return self.text.part(start, end - start, 1).tobytes()

    def only(self, positions: Sequence[int]) -> Payloads:
        """Some of the payloads, in their order; nothing is copied."""
        indices = from_numbers("q", positions)
        starts, ends = allocate(len(positions), 8), allocate(len(positions), 8)
        kernels.take_int64(self.starts, indices, starts)
        kernels.take_int64(self.ends, indices, ends)
        some = Payloads.of_spans(self.text, starts, ends)
        some.headers = tuple((bisect_left(positions, first), header) for first, header in self.headers)
        return some

    def part(self, first: int, count: int) -> Payloads:
        """`count` payloads from one on; nothing is copied."""
        some = Payloads.of_spans(self.text, self.starts.part(8 * first, count, 8), self.ends.part(8 * first, count, 8))
        some.headers = tuple((min(max(at - first, 0), count), header) for at, header in self.headers)
        return some

    def header(self, position: int) -> bytes | None:
        """The header that a payload is under."""
        at = bisect_right(self.headers, position, key=itemgetter(0))
        return self.headers[at - 1][1] if at else None

    @classmethod
    def of_spans(cls, text: Memory, starts: Memory, ends: Memory) -> Payloads:
        """One payload a span of a text that may hold other things too."""
        size = kernels.sum_spans(starts, ends)
        return cls(text, size, starts, ends, size)

    @classmethod
    def of_records(cls, records: Sequence[bytes | bytearray | memoryview]) -> Payloads:
        """One payload a record."""
        # Copies, of what may be changed meanwhile or holds larger items than bytes.
        own = tuple(records) if set(map(type, records)) <= {bytes} else tuple(bytes(one) for one in records)
        count = len(own)
        starts, ends = allocate(count, 8), allocate(count, 8)
        size = kernels.spans_of_lengths(from_numbers("q", map(len, own)), 1, starts, ends)
        text = allocate(size + PADDING, 1)
        at = text.address
        for first in range(0, count, _JOINED):  # a few at a time: what is joined stays in the cache
            piece = b"\n".join(own[first : first + _JOINED])
            ctypes.memmove(at, piece, len(piece))
            at += len(piece) + 1
            ctypes.memset(at - 1, 10, 1)
        return cls(text, size, starts, ends, size - count)

    @classmethod
    def of_lines(cls, data: bytes | bytearray | memoryview) -> Payloads:
        """One payload a line; blank lines are none."""
        source = from_buffer(pa.py_buffer(data))
        size = source.count
        return cls(source, size, *spans_of_lines(source, 0, size), size)


def spans_of_lines(text: Memory, begin: int, end: int) -> tuple[Memory, Memory]:
    """Where the lines of text[begin:end] that are not blank start and end."""
    for shortest in (64, 2):  # bytes of a line: guessed, then with a byte and a newline
        room = (end - begin) // shortest + 64
        starts, ends = allocate(room, 8), allocate(room, 8)
        count = kernels.frame_lines(text, begin, end, starts, ends)
        if count >= 0:
            break
    return starts.part(0, count, 8), ends.part(0, count, 8)
