"""Payloads of a batch, side by side in one buffer."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_numbers

_JOINED = 256


@dataclass(slots=True)
class Payloads:
    """`count` payloads, each text[starts[i]:ends[i]] of one writable buffer of this batch alone.

    text: the payloads' bytes, 64 zero bytes, then room where a decoder puts strings that it unescapes.
    size: where the payloads' bytes end. The byte after each payload may be the first of the next one.
    bytes_in: bytes as delivered.
    """

    text: Memory
    size: int
    starts: Memory
    ends: Memory
    bytes_in: int

    @property
    def count(self) -> int:
        return self.starts.count

    def payload(self, position: int) -> bytes:
        """A copy of one payload's bytes."""
        start = self.starts.part(8 * position, 1, 8).tolist()[0]
        end = self.ends.part(8 * position, 1, 8).tolist()[0]
        return self.text.part(start, end - start, 1).tobytes()

    @classmethod
    def of_records(cls, records: Sequence[bytes]) -> Payloads:
        """One payload a record."""
        count = len(records)
        size = sum(map(len, records)) + count
        text = allocate(size + PADDING + _room(size), 1)
        at = text.address
        for first in range(0, count, _JOINED):  # a few at a time: what is joined stays in the cache
            piece = b"\n".join(records[first : first + _JOINED])
            ctypes.memmove(at, piece, len(piece))
            at += len(piece) + 1
            ctypes.memset(at - 1, 10, 1)
        ctypes.memset(at, 0, PADDING)
        starts, ends = allocate(count, 8), allocate(count, 8)
        if kernels.count_newlines(text, 0, size) == count:
            kernels.frame_lines(text, 0, size - 1, 1, starts, ends) if count else 0
        else:  # some payload holds a newline of its own
            kernels.spans_of_lengths(from_numbers("q", map(len, records)), 1, starts, ends)
        return cls(text, size, starts, ends, size - count)

    @classmethod
    def of_lines(cls, data: bytes | bytearray | memoryview) -> Payloads:
        """One payload a line; blank lines are none."""
        buffer = pa.py_buffer(data)
        size = buffer.size
        text = allocate(size + PADDING + _room(size), 1)
        ctypes.memmove(text.address, buffer.address, size)
        ctypes.memset(text.address + size, 0, PADDING)
        most = kernels.count_newlines(text, 0, size) + 1
        starts, ends = allocate(most, 8), allocate(most, 8)
        count = kernels.frame_lines(text, 0, size, 0, starts, ends)
        return cls(text, size, starts.part(0, count, 8), ends.part(0, count, 8), size)

    def grow(self, room: int) -> None:
        """Copy the buffer to one with `room` more bytes for unescaped strings."""
        larger = allocate(self.text.count + room, 1)
        ctypes.memmove(larger.address, self.text.address, self.text.count)
        self.text = larger


def _room(size: int) -> int:
    """Bytes to keep for unescaped strings: few records have any."""
    return size // 8 + 4096
