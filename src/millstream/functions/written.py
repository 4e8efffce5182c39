"""Room for text that a kernel writes."""

from __future__ import annotations

from collections.abc import Callable

from millstream.columns import Vector, room_for_text, too_much_text
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate


def text_bytes(source: Vector) -> int:
    """How many bytes the valid strings of a column have; -1 beyond 2 GiB, which a guess may be."""
    size: int = kernels.measure_strings(source.values, source.validity(), allocate(source.length + 1, 4))
    return size


def whole_text(source: Vector) -> int:
    """How many bytes the valid strings of a column have, each one's own. Raises RunError beyond 2 GiB."""
    size = text_bytes(source)
    if size < 0:
        raise too_much_text()
    return size


def written(guess: int, write: Callable[[Memory], int]) -> Memory:
    """The bytes that a kernel writes, which returns how many they are; it is called again where the guess was too low."""
    data = room_for_text(guess)
    size = write(data)
    if size > guess:
        data = room_for_text(size)
        write(data)
    return data
