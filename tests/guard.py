"""Memory that ends at a page nobody may touch: an access past the padding is a segmentation fault, not luck."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

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


def guarded_text(buffer: bytearray) -> Memory:
    """A copy of a payload buffer, whose own length has the padding already, before a forbidden page."""
    pages = _Pages(len(buffer))
    ctypes.memmove(pages.address, bytes(buffer), len(buffer))
    return Memory(pages, pages.address, len(buffer), 1)


def guarded_bytes(data: bytes, itemsize: int = 1) -> Memory:
    """Like `from_bytes`, before a forbidden page."""
    memory = guarded(len(data) // itemsize, itemsize)
    ctypes.memmove(memory.address, data, len(data))
    ctypes.memset(memory.address + len(data), 0, PADDING)
    return memory


def install(monkeypatch: Any) -> None:
    """Make every buffer that decoding and columns allocate a guarded one."""
    import millstream.columns
    import millstream.decode.json
    import millstream.decode.payloads

    for module in (millstream.columns, millstream.decode.json, millstream.decode.payloads):
        monkeypatch.setattr(module, "allocate", guarded)
    for module in (millstream.columns, millstream.decode.json):
        monkeypatch.setattr(module, "from_bytes", guarded_bytes)
    monkeypatch.setattr(millstream.decode.payloads, "_over", guarded_text)
