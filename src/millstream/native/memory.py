"""Memory that kernels read and write: an address, a count of items and the object that owns the bytes."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import pyarrow as pa

PADDING = 64
"""Readable bytes past the end of every buffer of ours, so that vector loads need no tail loop."""

_COPY = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)
_bytes_at: Callable[[int, int], bytes] = _COPY(("PyBytes_FromStringAndSize", ctypes.pythonapi))
"""As ctypes.string_at, which takes the size as a C int and does not look whether it is one, and without a call of Python more."""

_POISON = os.environ.get("MILLSTREAM_BACKEND") == "checked"
"""In checked runs fresh memory holds a pattern that leads nowhere, so that a read of what was never written shows."""


class Memory:
    """`count` items of `itemsize` bytes at `address`; `owner` keeps them alive. Never resized, never bounds-checked here."""

    __slots__ = ("address", "count", "itemsize", "owner")

    def __init__(self, owner: Any, address: int, count: int, itemsize: int) -> None:
        self.owner = owner
        self.address = address
        self.count = count
        self.itemsize = itemsize

    def part(self, offset: int, count: int, itemsize: int) -> Memory:
        """A view of `count` items from byte `offset` on. Raises ValueError outside this memory."""
        if offset < 0 or count < 0 or offset + count * itemsize > self.count * self.itemsize:
            raise ValueError(f"{count} items of {itemsize} bytes from {offset} lie outside {self.count * self.itemsize} bytes")
        return type(self)(self.owner, self.address + offset, count, itemsize)

    def buffer(self) -> pa.Buffer:
        """These bytes as an Arrow buffer that keeps the owner alive; no copy."""
        return pa.foreign_buffer(self.address, self.count * self.itemsize, self.owner)

    def view(self) -> memoryview:
        """These bytes, to be written; the view keeps the owner alive."""
        window = (ctypes.c_char * (self.count * self.itemsize)).from_address(self.address)
        window.owner = self.owner  # type: ignore[attr-defined]
        return memoryview(window).cast("B")

    def tobytes(self) -> bytes:
        """A copy of the bytes."""
        return _bytes_at(self.address, self.count * self.itemsize)

    def tolist(self, code: str = "q") -> list[Any]:
        """The items as Python numbers; `code` is an `array` type code of the same size."""
        return array(code, self.tobytes()).tolist()

    def word(self, index: int) -> int:
        """The int64 at an index. Raises IndexError outside this memory."""
        if not 0 <= 8 * index <= self.count * self.itemsize - 8:
            raise IndexError(f"word {index} lies outside {self.count * self.itemsize} bytes")
        return int(ctypes.c_int64.from_address(self.address + 8 * index).value)


class Nulls(Memory):
    """Validity bytes of which it is known that no error is among them, so that nobody need look."""

    __slots__ = ()


KEEP_FROM = 1 << 16
"""Smaller memory is a part of a slab."""
KEPT_BYTES = 128 << 20
"""How much memory that nobody uses is kept for the next batch."""
IDLE_TAKES = 1000
"""After how many blocks taken, none of them this one, a block is idle: tens of small batches."""


class _Pool:
    """Memory that nobody refers to any more, kept to be used again: a page that is new to a process is dear.

    Sizes are rounded up by at most an eighth, and a block serves any size down to half its own, so that batches of about one size share
    blocks. Before the process is made larger, blocks that nobody took for long are given up: batches whose sizes differ would else
    leave the most that any of them needed, of each size.
    """

    def __init__(self, most: int, idle: int) -> None:
        self._most = most
        self._idle = idle
        self._lock = threading.Lock()
        self._back: deque[pa.Buffer] = deque()
        """What came back. The collector may let it come inside one of these methods: nothing but this may change then."""
        self._free: dict[int, deque[tuple[int, pa.Buffer]]] = {}
        """By size; each with how many takes there were before it came back, the latest last."""
        self._bytes = 0
        self._takes = 0

    def take(self, size: int) -> pa.Buffer:
        step = size.bit_length() - 4
        size = (size + (1 << step) - 1) >> step << step
        with self._lock:
            if self._back:
                self._keep()
            self._takes += 1
            if not self._free.get(size):
                near = min((one for one, blocks in self._free.items() if blocks and size < one <= 2 * size), default=None)
                if near is None:
                    self._give_up(self._takes - self._idle)
                    return pa.allocate_buffer(size)
                size = near
            self._bytes -= size
            return self._free[size].pop()[1]

    def give(self, buffer: pa.Buffer) -> None:
        self._back.append(buffer)
        if self._lock.acquire(blocking=False):
            try:
                self._keep()
            finally:
                self._lock.release()

    def _keep(self) -> None:
        """Sort what came back; what came back first goes, where it is too much."""
        while self._back:
            buffer = self._back.popleft()
            self._free.setdefault(buffer.size, deque()).append((self._takes, buffer))
            self._bytes += buffer.size
        while self._bytes > self._most:
            oldest = min((blocks[0][0], size) for size, blocks in self._free.items() if blocks)[1]
            self._free[oldest].popleft()
            self._bytes -= oldest

    def _give_up(self, before: int) -> None:
        """The blocks that came back before a take."""
        for size, blocks in self._free.items():
            while blocks and blocks[0][0] < before:
                blocks.popleft()
                self._bytes -= size


_POOL = _Pool(KEPT_BYTES, IDLE_TAKES)


class _Block:
    """The owner of memory from the pool, which gets it back when no view of it is left."""

    __slots__ = ("_pool", "buffer")

    def __init__(self, size: int) -> None:
        self._pool = _POOL
        self.buffer = _POOL.take(size)

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        buffer = getattr(self, "buffer", None)  # there is none where taking it failed, or was interrupted
        if buffer is not None and not is_ending():
            self._pool.give(buffer)


_SLAB = 1 << 19
_slabs: list[tuple[Any, int, int]] = []
"""Blocks of which a part is free: the block, where that begins, where it ends. What a thread takes out is its own until it is back."""


def allocate(count: int, itemsize: int) -> Memory:
    """Uninitialised memory for `count` items, padded."""
    size = count * itemsize + PADDING
    if PADDING <= size < KEEP_FROM:
        try:
            owner, address, end = _slabs.pop()
        except IndexError:
            address = end = 0
        if address + size > end:
            owner = _Block(_SLAB)
            address = owner.buffer.address
            end = address + _SLAB
        _slabs.append((owner, address + size + 63 & -64, end))
    elif size >= KEEP_FROM:
        owner = _Block(size)
        address = owner.buffer.address
    else:
        raise ValueError(f"no memory has {count} items")
    if _POISON:
        ctypes.memset(address, 0xA5, size)
    return Memory(owner, address, count, itemsize)


_ZEROS = bytes(PADDING)


def from_numbers(code: str, numbers: Iterable[Any]) -> Memory:
    """A padded copy of Python numbers; `code` is an `array` type code such as "q" (int64) or "d" (float64)."""
    values = array(code, numbers)
    count = len(values)
    values.frombytes(_ZEROS)
    return Memory(values, values.buffer_info()[0], count, values.itemsize)


def from_bytes(data: bytes, itemsize: int = 1) -> Memory:
    """A padded copy of bytes, seen as items of `itemsize` bytes. The padding is zeros."""
    owner = pa.py_buffer(data + _ZEROS)
    return Memory(owner, owner.address, len(data) // itemsize, itemsize)


@lru_cache(128)
def constant_bytes(data: bytes) -> Memory:
    """The same of what a plan holds: made once, for one batch after another. Nobody writes to it."""
    return from_bytes(data)


def from_buffer(buffer: pa.Buffer, itemsize: int = 1, offset: int = 0, count: int | None = None) -> Memory:
    """The bytes of an Arrow buffer in place. They may have no padding: only kernels that ask for none may read them."""
    items = (buffer.size - offset) // itemsize if count is None else count
    if offset < 0 or items < 0 or offset + items * itemsize > buffer.size:
        raise ValueError(f"{items} items of {itemsize} bytes from {offset} lie outside a buffer of {buffer.size} bytes")
    return Memory(buffer, buffer.address + offset, items, itemsize)


EMPTY = from_bytes(b"")
"""No items, for a parameter that a call does not use."""
EMPTY_WORDS = from_bytes(b"", 8)
