"""What became of the records of a batch, counted."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.classes import dataclass, field
from millstream.errors import RunError
from millstream.sinks.store import Stored

NAMES = ("delivered", "written", "filtered", "duplicate", "rejected", "failed")
"""What the law counts: the first is the sum of the rest."""


def check_law(counts: dict[str, int]) -> None:
    """Every record is accounted for, or this raises: it is a fault of ours."""
    if counts["delivered"] != sum(counts[name] for name in NAMES[1:]) or min(counts[name] for name in NAMES) < 0:
        raise AssertionError(f"records are not accounted for: {counts}")


def add_counts(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts by name to others."""
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _counts(**known: int) -> dict[str, int]:
    return dict.fromkeys(NAMES, 0) | known


@dataclass
class Landed:
    """What became of a batch. The law holds in `counts`. `error` is set if its rows, or its rejects, could not be written.

    failed_by_rule: how many rows broke each rule of `expect`, of what was landed without an error. bytes_in: what was read for it, where
    that is told here.
    """

    counts: dict[str, int] = field(default_factory=_counts)
    rows: int = 0
    rejected_by_code: dict[str, int] = field(default_factory=dict)
    files: list[tuple[Stored, int]] = field(default_factory=list)
    error: RunError | None = None
    bytes_in: int = 0
    failed_by_rule: dict[str, int] = field(default_factory=dict)

    @classmethod
    def duplicate(cls, records: int) -> Landed:
        """Of records that were landed before."""
        return cls(_counts(delivered=records, duplicate=records))

    @classmethod
    def failed(cls, records: int) -> Landed:
        """Of records that nothing was done with."""
        return cls(_counts(delivered=records, failed=records))

    def fail(self, name: str, error: RunError) -> None:
        """Count the records of one kind as failed."""
        self.counts["failed"] += self.counts[name]
        self.counts[name] = 0
        self.error = error

    def undo(self, error: RunError) -> None:
        """Nothing of it counts: what was written, rows and rejects, comes again under other names."""
        self.fail("written", error)
        self.fail("rejected", error)
        self.rejected_by_code.clear()
        self.failed_by_rule.clear()
        self.files.clear()
        self.rows = 0

    def add_rules(self, broken: Mapping[str, int]) -> None:
        """Count rows that broke rules, unless they come again."""
        if self.error is None:
            add_counts(self.failed_by_rule, broken)

    def add(self, other: Landed) -> None:
        """Count what became of more records of the same source."""
        for name, count in other.counts.items():
            self.counts[name] += count
        add_counts(self.rejected_by_code, other.rejected_by_code)
        add_counts(self.failed_by_rule, other.failed_by_rule)
        self.rows += other.rows
        self.files += other.files
        self.error = self.error or other.error

    @property
    def bytes_out(self) -> int:
        return sum(stored.bytes for stored, _ in self.files)
