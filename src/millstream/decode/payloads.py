"""Payloads of a batch, side by side in one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_numbers


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
        spare = bytes(PADDING + _room(len(records[0]) * count if count else 0))
        text = _over(bytearray(b"\n").join([*records, spare]))
        size = text.count - len(spare)
        starts, ends = allocate(count, 8), allocate(count, 8)
        if kernels.count_newlines(text, 0, size) == count:
            kernels.frame_lines(text, 0, size - 1, 1, starts, ends) if count else 0
        else:  # some payload holds a newline of its own
            kernels.spans_of_lengths(from_numbers("q", map(len, records)), 1, starts, ends)
        return cls(text, size, starts, ends, size - count)

    @classmethod
    def of_lines(cls, data: bytes | bytearray | memoryview) -> Payloads:
        """One payload a line; blank lines are none."""
        size = len(data)
        return cls.framed(bytearray().join((data, bytes(PADDING + _room(size)))), 0, size)

    @classmethod
    def framed(cls, buffer: bytearray, begin: int, end: int) -> Payloads:
        """One payload a line of buffer[begin:end], which has `PADDING` bytes and room for unescaped strings past its end."""
        text = _over(buffer)
        most = kernels.count_newlines(text, begin, end) + 1
        starts, ends = allocate(most, 8), allocate(most, 8)
        count = kernels.frame_lines(text, begin, end, 0, starts, ends)
        return cls(text, end, starts.part(0, count, 8), ends.part(0, count, 8), end - begin)

    def grow(self, room: int) -> None:
        """Copy the buffer to one with `room` more bytes for unescaped strings."""
        larger = bytearray(self.text.count + room)
        larger[: self.text.count] = memoryview(self.text.buffer())
        self.text = _over(larger)


def _room(size: int) -> int:
    """Bytes to keep for unescaped strings: few records have any."""
    return size // 8 + 4096


def _over(buffer: bytearray) -> Memory:
    owner = pa.py_buffer(buffer)
    return Memory(owner, owner.address, len(buffer), 1)
