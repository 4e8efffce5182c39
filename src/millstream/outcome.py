"""What became of a batch of records: the rows, the rejects, and an account that always adds up."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

import pyarrow as pa

from millstream.classes import dataclass, field
from millstream.columns import Vector, close, rows_of
from millstream.decode.rejects import Reject
from millstream.lineage import Lineage
from millstream.schema import Code

MEANING = {
    Code.BAD_JSON: "the text is no JSON",
    Code.OUT_OF_RANGE: "the value does not fit the type",
    Code.BAD_NUMBER: "the text is no number",
    Code.BAD_TIME: "the text is no such date or time",
    Code.BAD_UTF8: "the bytes are no UTF-8",
    Code.BAD_VALUE: "the text is no value of the type",
    Code.NOT_NULL: "null in a column that is not nullable",
    Code.NO_MATCH: "the lookup has no row for the key",
    Code.UDF_FAILED: "the function failed",
}
"""What a code means when a step rejects."""


@dataclass(frozen=True)
class Outcome:
    """What a pipeline made of a batch.

    batch: the rows that came out, of `schema`; columns: the same as the engine has them. row_source: the input record of each row
    (int64). rejects: position, code, column, offset, message, payload of each rejected record. disposition: one `Disposition` a
    record (uint8). counts: delivered = kept + filtered + duplicate + rejected + failed, in records, and rows, bytes_in,
    rejected_by_code, nulls_on_error, unknown_keys, missing_columns, failed_by_rule. seconds: what decode and steps took. lineage: of rows
    that were made from several records, which; `row_source` has the first.
    """

    schema: pa.Schema
    columns: tuple[Vector, ...]
    rejects: pa.RecordBatch
    counts: dict[str, Any]
    lineage: Lineage
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def row_source(self) -> pa.Array:
        """Made when it is first asked for."""
        return pa.Array.from_buffers(pa.int64(), self.counts["rows"], [None, self.lineage.first_records().buffer()])

    @cached_property
    def disposition(self) -> pa.Array:
        """Made when it is first asked for."""
        delivered = self.counts["delivered"]
        made = self.lineage.dispositions(delivered, self.rejects.column(0).to_pylist())
        return pa.Array.from_buffers(pa.uint8(), delivered, [None, made.buffer()])

    @cached_property
    def batch(self) -> pa.RecordBatch:
        """Made when it is first asked for. Raises RunError where one column's text is over 2 GiB."""
        return pa.RecordBatch.from_arrays([close(one) for one in self.columns], schema=self.schema)

    def head(self, rows: int) -> pa.RecordBatch:
        """The first rows alone."""
        count = min(rows, self.counts["rows"])
        return pa.RecordBatch.from_arrays([close(rows_of(one, 0, count)) for one in self.columns], schema=self.schema)


@dataclass
class Account:
    """What happened to the records so far."""

    delivered: int
    bytes_in: int
    rejects: list[Reject] = field(default_factory=list)
    nulls_on_error: dict[str, int] = field(default_factory=dict)
    unknown_keys: dict[str, int] = field(default_factory=dict)
    missing_columns: dict[str, int] = field(default_factory=dict)
    failed_by_rule: dict[str, int] = field(default_factory=dict)

    def counts(self, kept: int, rows: int) -> dict[str, Any]:
        """The numbers of an `Outcome`. What was neither kept nor rejected was filtered."""
        rejected = len(self.rejects)
        by_code = (
            {Code(code).name: count for code, count in Counter(one.code for one in self.rejects).items()} if rejected else {}
        )
        return {
            "delivered": self.delivered,
            "kept": kept,
            "filtered": self.delivered - kept - rejected,
            "duplicate": 0,
            "rejected": rejected,
            "failed": 0,
            "rows": rows,
            "bytes_in": self.bytes_in,
            "rejected_by_code": by_code,
            "nulls_on_error": self.nulls_on_error,
            "unknown_keys": self.unknown_keys,
            "missing_columns": self.missing_columns,
            "failed_by_rule": self.failed_by_rule,
        }
