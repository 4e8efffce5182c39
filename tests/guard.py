"""Memory that ends at a page nobody may touch: an access past the padding is a segmentation fault, not luck."""

from __future__ import annotations

import ctypes
import mmap
import sys
from array import array
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from millstream.native.memory import PADDING, Memory

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class _Pages:
    """An anonymous mapping whose last page is PROT_NONE. Unmapped with the object."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        usable = (size + page - 1) // page * page
        self.mapping = mmap.mmap(-1, usable + page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.mapping))
        if _LIBC.mprotect(start + usable, page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self.address = start + usable - size


def guarded(count: int, itemsize: int) -> Memory:
    """Like `allocate`: `count` items and the padding, right before a forbidden page (to 8 bytes, for alignment). Filled with 0xA5."""
    size = (count * itemsize + PADDING + 7) // 8 * 8
    pages = _Pages(size)
    ctypes.memset(pages.address, 0xA5, size)
    return Memory(pages, pages.address, count, itemsize)


def guarded_bytes(data: bytes, itemsize: int = 1) -> Memory:
    """Like `from_bytes`, before a forbidden page."""
    memory = guarded(len(data) // itemsize, itemsize)
    ctypes.memmove(memory.address, data, len(data))
    ctypes.memset(memory.address + len(data), 0, PADDING)
    return memory


def guarded_numbers(code: str, numbers: Iterable[Any]) -> Memory:
    """Like `from_numbers`, before a forbidden page."""
    values = array(code, numbers)
    return guarded_bytes(values.tobytes(), values.itemsize)


def guarded_buffer(buffer: pa.Buffer, itemsize: int = 1, offset: int = 0, count: int | None = None) -> Memory:
    """Like `from_buffer`, as a copy that begins where the items begin and ends at a forbidden page: Arrow promises no padding."""
    items = (buffer.size - offset) // itemsize if count is None else count
    data = bytes(buffer)[offset : offset + items * itemsize]
    size = (len(data) + 7) // 8 * 8  # aligned to 8 bytes
    pages = _Pages(size)
    ctypes.memmove(pages.address, data, len(data))
    return Memory(pages, pages.address, items, itemsize)


def content(memory: Memory) -> bytes:
    """A copy of all of a memory's items."""
    return ctypes.string_at(memory.address, memory.count * memory.itemsize)


def install(monkeypatch: Any) -> None:
    """Make every buffer that the package allocates a guarded one, in whatever module took the allocating functions."""
    from millstream.columns import filled_bytes
    from millstream.functions import function
    from millstream.native import memory

    memory.constant_bytes.cache_clear()  # what was made before is not guarded
    monkeypatch.setattr(function, "_take_spare", lambda count: filled_bytes(1, count))  # no more of them than there are rows
    monkeypatch.setattr(function, "_MOST_SPARE", 0)
    replaced = {
        "allocate": guarded,
        "from_bytes": guarded_bytes,
        "from_numbers": guarded_numbers,
        "from_buffer": guarded_buffer,
    }
    originals = {name: getattr(memory, name) for name in replaced}
    for module in [module for name, module in sys.modules.items() if name.startswith("millstream.")]:
        for name, original in originals.items():
            if getattr(module, name, None) is original:
                monkeypatch.setattr(module, name, replaced[name])
