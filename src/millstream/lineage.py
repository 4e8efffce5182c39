"""From rows back to records: whose rows were kept, and what goes with a row that is rejected.

At first a row is one record's, and has its number. Steps that make several rows of a record give them all that number. Steps that make one
row of several give each row made so a number of its own, its unit, and pairs say which records feed which unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from millstream.classes import dataclass
from millstream.columns import filled_bytes
from millstream.grouping import FIRST, Groups, exploded, flags, in_order, pick, views_of
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers
from millstream.schema import Disposition


@dataclass(frozen=True)
class Feeds:
    """Pairs of a record and a unit that it feeds, 0 to `count` - 1."""

    records: Memory
    units: Memory
    count: int

    def spread(self, gone: dict[int, int]) -> dict[int, int]:
        """The records that feed these units, and all units that those feed, and so on. A record has the value of the unit it was
        found by, and the units found are added with it. A step for each pair."""
        units_of: dict[int, list[int]] = {}
        records_of: dict[int, list[int]] = {}
        for record, unit in zip(self.records.tolist(), self.units.tolist(), strict=True):
            units_of.setdefault(record, []).append(unit)
            records_of.setdefault(unit, []).append(record)
        records: dict[int, int] = {}
        waiting = deque(gone)
        while waiting:
            unit = waiting.popleft()
            for record in records_of.get(unit, ()):
                if record in records:
                    continue
                records[record] = gone[unit]
                fresh = [one for one in units_of[record] if one not in gone]
                gone.update(dict.fromkeys(fresh, gone[unit]))
                waiting.extend(fresh)
        return records


@dataclass(frozen=True)
class Lineage:
    """The number of each row (int64): its record, or its unit where there are `feeds`. shared: several rows may have one number."""

    numbers: Memory
    feeds: Feeds | None = None
    shared: bool = False

    def __init__(self, numbers: Memory, feeds: Feeds | None = None, shared: bool = False) -> None:
        state = self.__dict__
        state["numbers"], state["feeds"], state["shared"] = numbers, feeds, shared

    @property
    def is_plain(self) -> bool:
        """Has every row one record, and every record one row at most?"""
        return self.feeds is None and not self.shared

    def kept(self) -> Memory:
        """The records that have a row; some may be told twice."""
        if self.feeds is None:
            return self.numbers
        alive, found = flags(self.numbers, self.feeds.count), allocate(self.feeds.units.count, 1)
        kernels.take_uint8(alive, self.feeds.units, found)
        pairs = allocate(found.count + 1, 8)
        count = kernels.filter_indices(found, found, pairs)
        return _taken(self.feeds.records, pairs.part(0, count, 8))

    def first_records(self) -> Memory:
        """The record of each row; the first of those that a row was made from."""
        if self.feeds is None:
            return self.numbers
        firsts = _taken(self.feeds.records, pick((), self.feeds.units, self.feeds.count, FIRST))
        return _taken(firsts, self.numbers)

    def dispositions(self, delivered: int, rejected: Sequence[int]) -> Memory:
        """The `Disposition` of each record that was delivered, a byte: what neither has a row nor is rejected was filtered."""
        made = filled_bytes(int(Disposition.FILTERED), delivered)
        kernels.scatter_uint8(int(Disposition.KEPT), self.kept(), made)
        if rejected:
            kernels.scatter_uint8(int(Disposition.REJECTED), from_numbers("q", rejected), made)
        return made

    def grouped(self, groups: Groups) -> Lineage:
        """That of the groups' rows, one for each."""
        feeds = self.feeds
        if feeds is None:
            made = Feeds(self.numbers, groups.ids, groups.count)
        else:
            # Every record goes to the groups of all rows of its units.
            order, ends = in_order(self.numbers, feeds.count)
            parents, items = exploded(_taken(views_of(ends), feeds.units), None, False, False)
            made = Feeds(_taken(feeds.records, parents), _taken(groups.ids, _taken(order, items)), groups.count)
        numbers = allocate(groups.count, 8)
        kernels.fill_sequence(numbers)
        return Lineage(numbers, made)

    def together(self, rows: Iterable[int]) -> tuple[dict[int, int], list[int]]:
        """What goes when these rows go: the records, each with one of the rows, and all rows that hold something of one.

        A record is written or rejected as a whole, so that running its rejects again completes the work and doubles nothing.
        """
        if self.is_plain:
            chosen = from_numbers("q", list(rows))
            positions = _taken(self.numbers, chosen).tolist()
            return dict(zip(positions, chosen.tolist(), strict=True)), chosen.tolist()
        numbers = self.numbers.tolist()
        gone: dict[int, int] = {}
        for row in rows:
            gone.setdefault(numbers[row], row)
        records = gone if self.feeds is None else self.feeds.spread(gone)
        return records, [row for row, number in enumerate(numbers) if number in gone]


def _taken(words: Memory, indices: Memory) -> Memory:
    out = allocate(indices.count, 8)
    kernels.take_int64(words, indices, out)
    return out
