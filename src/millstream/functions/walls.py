"""The clock on the wall of a time zone, and back to UTC. UTC's own, and what has no zone, is what it is."""

from __future__ import annotations

from functools import lru_cache

from millstream.columns import Vector
from millstream.functions.constants import TICKS
from millstream.functions.function import Call
from millstream.native.bind import kernels
from millstream.native.memory import Memory, from_numbers
from millstream.schema import Code, Type

EARLIEST, LATEST = 2, 3
"""Of two instants with the same clock time, which; as kernels/zones.py has it."""


@lru_cache(64)
def table_of(zone: str) -> tuple[int, Memory, Memory]:
    """A zone for kernels: from when it repeats, its starts and its offsets."""
    from millstream.functions.tzdata import load_zone

    found = load_zone(zone)
    return found.since, from_numbers("q", found.starts), from_numbers("q", found.offsets)


def to_wall(call: Call, source: Vector) -> Memory:
    """The ticks of a date or timestamp as clocks of its zone show them."""
    if source.type.zone in ("", "UTC"):
        return source.values
    out = call.numbers()
    call.fault(kernels.local_of_utc, source.values, TICKS[source.type.unit], *table_of(source.type.zone), out=out)
    return out


def to_zone(call: Call, kind: Type, wall: Memory, twice: int = EARLIEST, never: int = int(Code.BAD_TIME)) -> Memory:
    """The ticks of instants whose clock times in a type's zone these are. One that is there twice is the earlier one."""
    if kind.zone in ("", "UTC"):
        return wall
    out = call.numbers()
    call.fault(kernels.utc_of_local, wall, TICKS[kind.unit], *table_of(kind.zone), twice, never, out=out)
    return out
