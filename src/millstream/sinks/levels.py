"""Columns with lists, structs and maps in them as flat ones, with the levels that tell how to put them together again.

Definition and repetition levels are those of the Dremel paper, as the Parquet format has them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from millstream.classes import dataclass
from millstream.columns import Vector, take
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate


class Leaf:
    """A column without others in it. path: its name after those it is in. most_defined, most_repeated: its greatest levels.

    entries: how many levels it has. defined, repeated: these, int64; None where all are the greatest, or none is there.
    values: of a flat column its rows, null or not; else those that are not null.
    """

    __slots__ = (
        "defined",
        "entries",
        "most_defined",
        "most_repeated",
        "path",
        "repeated",
        "values",
    )

    def __init__(
        self,
        path: tuple[str, ...],
        values: Vector,
        most_defined: int,
        most_repeated: int,
        entries: int,
        defined: Memory | None = None,
        repeated: Memory | None = None,
    ) -> None:
        self.path = path
        self.values = values
        self.most_defined = most_defined
        self.most_repeated = most_repeated
        self.entries = entries
        self.defined = defined
        self.repeated = repeated


def leaves_of(name: str, column: Vector, nullable: bool) -> Iterator[Leaf]:
    """The flat columns of a nested column."""
    places, repeated, defined = (allocate(column.length, 8) for _ in range(3))
    kernels.fill_sequence(places)
    kernels.fill_int64(0, repeated)
    kernels.fill_int64(0, defined)
    yield from _Entries(places, repeated, defined).shred((name,), column, nullable, 0, 0)


@dataclass
class _Entries:
    """What comes one after another at some level: the row of each, -1 where it ended above; its levels so far."""

    places: Memory
    repeated: Memory
    defined: Memory

    def copy(self) -> _Entries:
        return _Entries(_copied(self.places), self.repeated, _copied(self.defined))

    def shred(self, path: tuple[str, ...], column: Vector, nullable: bool, defined: int, repeated: int) -> Iterator[Leaf]:
        if nullable:
            defined += 1
            kernels.define_entries(column.validity(), defined, self.places, self.defined)
        kind = column.type
        if kind.physical == "struct":
            for (name, _), child in zip(kind.children, column.children, strict=True):
                yield from self.copy().shred((*path, name), child, True, defined, repeated)
        elif kind.family == "list":
            inside = self.spread(column, defined + 1, repeated + 1)
            yield from inside.shred((*path, "list", "element"), column.children[0], True, defined + 1, repeated + 1)
        elif kind.family == "map":
            inside = self.spread(column, defined + 1, repeated + 1)
            for name, child in zip(("key", "value"), column.children, strict=True):
                own = inside.copy()
                yield from own.shred((*path, "key_value", name), child, name == "value", defined + 1, repeated + 1)
        else:
            live = allocate(self.places.count, 8)
            live = live.part(0, kernels.live_places(self.places, live), 8)
            values = take(column, live)
            values.valid = None
            yield Leaf(path, values, defined, repeated, self.places.count, self.defined, self.repeated)

    def spread(self, column: Vector, defined: int, repeated: int) -> _Entries:
        count = kernels.count_entries(column.values, self.places)
        out = tuple(allocate(count, 8) for _ in range(3))
        kernels.spread_entries(column.values, self.places, self.repeated, self.defined, repeated, defined, *out)
        return _Entries(*out)


def _copied(memory: Memory) -> Memory:
    made = allocate(memory.count, memory.itemsize)
    ctypes.memmove(made.address, memory.address, memory.count * memory.itemsize)
    return made
