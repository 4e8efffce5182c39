"""What a run did, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from millstream.classes import dataclass, field
from millstream.columns import open_array
from millstream.encode.json import texts
from millstream.sinks.landed import NAMES, Landed, add_counts, check_law
from millstream.sinks.store import near

LISTED_FILES = 1000
"""How many files a report lists; it counts them all."""
PREVIEW_ROWS = 5
_SHOWN_FILES = 4
_CELL = 27


class File(NamedTuple):
    """One file that holds output."""

    url: str
    rows: int
    bytes: int


@dataclass
class Report:
    """Counts of a run; the law holds in `counts`. `seconds` is wall-clock time, `remaining` what a deadline left undone."""

    pipeline: str
    fingerprint: str
    source: str
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    deliveries: int = 0
    rows: int = 0
    rejected_by_code: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    files: list[File] = field(default_factory=list)
    files_total: int = 0
    remaining: Any = None
    preview: pa.RecordBatch | None = None
    rejects: str | None = None
    failed_by_rule: dict[str, int] = field(default_factory=dict)

    def add(self, landed: Landed, bytes_in: int) -> None:
        """Count one landed batch."""
        for name, count in landed.counts.items():
            self.counts[name] += count
        add_counts(self.rejected_by_code, landed.rejected_by_code)
        add_counts(self.failed_by_rule, landed.failed_by_rule)
        self.rows += landed.rows
        self.bytes_in += bytes_in
        self.bytes_out += landed.bytes_out
        self.files_total += len(landed.files)
        room = LISTED_FILES - len(self.files)
        self.files += [File(stored.url, rows, stored.bytes) for stored, rows in landed.files[:room]]
        check_law(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """The report as the contract's JSON object."""
        return {
            "version": 1,
            "pipeline": self.pipeline,
            "fingerprint": self.fingerprint,
            "source": self.source,
            "counts": dict(self.counts),
            "deliveries": self.deliveries,
            "rows": self.rows,
            "rejected_by_code": dict(sorted(self.rejected_by_code.items())),
            **({"failed_by_rule": dict(sorted(self.failed_by_rule.items()))} if self.failed_by_rule else {}),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "seconds": round(self.seconds, 3),
            "files": [one._asdict() for one in self.files],
            "files_total": self.files_total,
            "remaining": self.remaining,
        }

    def render(self) -> str:
        """A summary to read."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        counts = self.counts
        width = max(len(f"{count:,}") for count in counts.values())
        yield f"pipeline {self.pipeline}, fingerprint {self.fingerprint}"
        for name in NAMES:
            codes = ""
            if name == "rejected" and self.rejected_by_code:
                codes = "   " + ", ".join(f"{code} {count:,}" for code, count in sorted(self.rejected_by_code.items()))
            yield f"  {name:<10}{counts[name]:>{width},}{codes}"
        for rule, broken in sorted(self.failed_by_rule.items()):
            yield f"  {broken:,} row{'' if broken == 1 else 's'} broke the rule {rule}"
        rate = counts["delivered"] / self.seconds if self.seconds > 0 else 0.0
        yield f"  {_size(self.bytes_in)} in, {_size(self.bytes_out)} out, {self.seconds:.2f} s, {rate:,.0f} records a second"
        yield f"  {self.rows:,} rows in {self.files_total:,} file{'' if self.files_total == 1 else 's'}"
        for one in self.files[:_SHOWN_FILES]:
            yield f"    {near(one.url)}  {one.rows:,} rows, {_size(one.bytes)}"
        if self.files_total > _SHOWN_FILES:
            yield f"    and {self.files_total - _SHOWN_FILES:,} more"
        if self.rejects and counts["rejected"]:
            yield f"  rejected records are in {near(self.rejects)}"
        if self.preview is not None and self.preview.num_rows:
            yield "first rows:"
            yield from table(self.preview)


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def table(batch: pa.RecordBatch, width: int = 120) -> list[str]:
    """Rows as an aligned table of at most `width` characters; columns that do not fit are counted."""
    columns = []
    for field_, column in zip(batch.schema, batch.columns, strict=True):
        cells = [field_.name, *(_cell(value) for value in _values(column))]
        right = any(test(field_.type) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))
        columns.append(_aligned([cell if len(cell) <= _CELL else cell[: _CELL - 1] + "…" for cell in cells], right))
    shown: list[list[str]] = []
    used = 2
    for column in columns:
        used += len(column[0]) + 2
        if used > width - 12 and shown:
            break
        shown.append(column)
    more = len(columns) - len(shown)
    lines = ["  " + "  ".join(cells).rstrip() for cells in zip(*shown, strict=True)]
    if more:
        lines[0] += f"  … {more} more"
    return lines


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_duration(column.type):
        made = texts(open_array(column))  # as JSON has them, without quotes
        data = made.data.tobytes()
        found = (data[view & 0xFFFFFFFF :][: view >> 32] for view in made.views.tolist())
        return [one.decode().strip('"') if one else None for one in found]
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):  # times that Python's datetime cannot hold
        return [str(one) for one in column]


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat(" ").replace("+00:00", "Z")
    return "".join(one if one.isprintable() else "·" for one in str(value))


def _aligned(cells: Sequence[str], right: bool) -> list[str]:
    width = max(len(cell) for cell in cells)
    return [cell.rjust(width) if right else cell.ljust(width) for cell in cells]
