"""The builder that users write. Every method gives a new pipeline; nothing is checked against the schema before `plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from millstream import spec
from millstream.errors import PlanError, UsageError
from millstream.expr import Expr, as_expr, col
from millstream.schema import Column, Schema, Type
from millstream.steps import (
    Cast,
    Drop,
    DropNulls,
    Expect,
    Explode,
    Filter,
    GroupBy,
    Rename,
    Select,
    Step,
    Unique,
    WithColumns,
)

# What plans and runs a pipeline is imported when that is done: to describe one takes much less.
if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from millstream.decode.payloads import Payloads
    from millstream.outcome import Outcome
    from millstream.plan import Plan
    from millstream.tables import Lookup

Columns: TypeAlias = Mapping[str, str | Column | Type] | pa.Schema | Schema

Records: TypeAlias = "list[bytes] | bytes | pa.RecordBatch | Payloads"

_TAKES = "run takes a list of bytes, bytes of JSON lines or CSV, or a pyarrow.RecordBatch, not {}"


class Pipeline:
    """A schema and ordered steps.

        Pipeline({"price": "float64"}).filter(col("price") > 10).with_columns(discount=col("price") * 0.1)

    schema: a `Schema`, a mapping of names to types, or a pyarrow.Schema. name: letters, digits, - and _. input: {"format": "auto" |
    "json" | "ndjson" | "concatenated" | "csv", "compression": "auto" | "gzip" | …}, and limits (docs/reference/json.md), and how CSV is
    written (docs/reference/csv.md). output: {"format":
    "parquet" | "json" | "ndjson", "partition_by": [columns], "compression": "zstd"}.
    """

    def __init__(
        self,
        schema: Columns,
        *,
        name: str = "pipeline",
        input: Mapping[str, Any] | None = None,  # noqa: A002 (the contract's name)
        output: Mapping[str, Any] | None = None,
    ) -> None:
        self.schema = schema if isinstance(schema, Schema) else Schema(schema)
        self.name = spec.checked_name(name)
        self.input = spec.checked_input(input or {})
        self.output = spec.checked_output(output or {})
        self.steps: tuple[Step, ...] = ()
        self._file: spec.File | None = None
        self._plan: Plan | None = None

    def __repr__(self) -> str:
        return (
            f"Pipeline({self.name!r}, {len(self.schema)} columns, steps: {', '.join(one.name for one in self.steps) or 'none'})"
        )

    def _with(self, step: Step) -> Pipeline:
        after = Pipeline(self.schema, name=self.name, input=self.input, output=self.output)
        after.steps, after._file = (*self.steps, step), self._file
        return after

    def with_columns(self, *exprs: Expr, **named: Any) -> Pipeline:
        """Add columns, or replace those of the same name: `with_columns((col("a") + 1).alias("b"), c=col("a") * 2)`."""
        columns = [*_named("with_columns", exprs), *((name, as_expr(one)) for name, one in named.items())]
        if not columns:
            raise PlanError("with_columns needs at least one column: with_columns(total=col('price') * col('quantity'))")
        return self._with(WithColumns(tuple(columns)))

    def filter(self, *predicates: Expr) -> Pipeline:
        """Keep the rows for which all are true; false and null filter."""
        if not predicates or not all(isinstance(one, Expr) for one in predicates):
            raise PlanError("filter takes expressions: filter(col('price') > 10)")
        return self._with(Filter(predicates))

    def drop_nulls(self, *columns: str | Sequence[str]) -> Pipeline:
        """Keep the rows without a null in these columns; in any column where none is named."""
        return self._with(DropNulls(_names("drop_nulls", columns)))

    def select(self, *columns: str | Expr, **named: Any) -> Pipeline:
        """Only these columns, in this order: names or expressions."""
        exprs = [col(one) if isinstance(one, str) else one for one in columns]
        chosen = [*_named("select", exprs), *((name, as_expr(one)) for name, one in named.items())]
        if not chosen:
            raise PlanError("select needs at least one column: select('price', total=col('price') * 2)")
        return self._with(Select(tuple(chosen)))

    def drop(self, *columns: str | Sequence[str]) -> Pipeline:
        """All columns but these."""
        return self._with(Drop(_names("drop", columns)))

    def rename(self, names: Mapping[str, str]) -> Pipeline:
        """New names in place: rename({"old": "new"})."""
        if not isinstance(names, Mapping) or not all(isinstance(one, str) and one for pair in names.items() for one in pair):
            raise PlanError("rename takes a mapping of old names to new ones: rename({'old': 'new'})")
        return self._with(Rename(tuple(names.items())))

    def join(
        self,
        lookup: Lookup,
        on: str | Sequence[str],
        how: str = "left",
        on_missing: str | Mapping[str, Any] = "null",
    ) -> Pipeline:
        """Add a small table's columns by its key, or by the range that a value lies in.

        on: the columns that are looked up, in the order of the lookup's key columns; the value for its ranges last.
        how: left keeps all rows, inner and semi those with a match, anti those without; semi and anti add no columns.
        on_missing, of left: a row without a match gets "null", or values, {"tier": "none"}; "reject" rejects its record (NO_MATCH).
        """
        from millstream.lookups.described import joined

        return self._with(joined(lookup, _names("join", (on,)), how, on_missing))

    def enrich(
        self,
        function: Callable[[list[Any]], Mapping[Any, Any]],
        key: str | Sequence[str],
        columns: Mapping[str, str | Type],
        *,
        on_missing: str | Mapping[str, Any] = "null",
        on_failure: str = "fail",
        timeout: str | float | timedelta = "5s",
        retries: int = 2,
        failures: int = 5,
        pause: str | float | timedelta = "30s",
    ) -> Pipeline:
        """Add columns that a function gives. It is called with a list of a batch's different keys: `millstream.lookups.callout`.

        columns: names and types. on_missing: as of `join`, for keys that it gives nothing for. A call may take `timeout`, and is made again
        `retries` times. failures, pause: after so many failed calls in a row none is made for so long. on_failure, where no call succeeded:
        "fail" the batch, "null", or "reject" its records (UDF_FAILED).
        """
        from millstream.lookups.described import enriched

        settings = {"on_missing": on_missing, "on_failure": on_failure, "timeout": timeout, "retries": retries}
        step = enriched(function, _names("enrich", (key,)), columns, **settings, failures=failures, pause=pause)
        return self._with(step)

    def cast(self, dtypes: Mapping[str, str | Type], *, strict: bool = True) -> Pipeline:
        """Columns as other types, in place: cast({"price": "decimal128(10, 2)"}). A value that does not fit rejects the record, or
        is null with strict=False.
        """
        if not isinstance(dtypes, Mapping) or not dtypes or not all(isinstance(name, str) for name in dtypes):
            raise PlanError("cast takes a mapping of names to types: cast({'price': 'float64'})")
        return self._with(Cast(tuple((name, str(kind)) for name, kind in dtypes.items()), _flag("cast", "strict", strict)))

    def unique(
        self,
        subset: str | Sequence[str] | None = None,
        *,
        keep: str = "any",
        order_by: str | Sequence[str] = (),
    ) -> Pipeline:
        """One row of those in a batch that are the same in `subset`, in all columns where it is None; rows keep their order.

        keep: "first", "last", "any" (which is the first), or "none" of them. order_by: by which columns they are put in order to tell which
        is first and which last, nulls before all values; the order of arrival decides where these are the same, too.
        """
        if keep not in ("any", "first", "last", "none"):
            raise PlanError(f"unique: keep is {keep!r}; write 'any', 'first', 'last' or 'none'")
        names, order = _names("unique", () if subset is None else (subset,)), _names("unique", (order_by,))
        if subset is not None and not names:
            raise PlanError("unique: subset names no column; leave it out to compare all")
        return self._with(Unique(names, keep, order))  # type: ignore[arg-type]

    def expect(self, rule: Expr, action: str = "reject", *, name: str | None = None) -> Pipeline:
        """A rule that every row should keep: expect(col("price") > 0). False and null break it.

        action: "reject" the record (RULE_FAILED), "drop" the row, "flag" it: add a column `name` that tells whether the rule holds, or
        "fail", which raises RunError for the batch. How many rows broke it is in `counts["failed_by_rule"]`, by `name`, else by its text.
        """
        if not isinstance(rule, Expr):
            raise PlanError("expect takes an expression: expect(col('price') > 0)")
        if action not in ("reject", "drop", "flag", "fail"):
            raise PlanError(f"expect: action is {action!r}; write 'reject', 'drop', 'flag' or 'fail'")
        if name is not None and (not isinstance(name, str) or not name):
            raise PlanError(f"expect: name is {name!r}; write some text")
        return self._with(Expect(rule, action, name or ""))  # type: ignore[arg-type]

    def explode(self, column: str, *, empty_as_null: bool = False, keep_nulls: bool = True) -> Pipeline:
        """A row for every item of a list column, which becomes a column of items.

        empty_as_null: a row with null for an empty list, in place of none. keep_nulls: a row with null for a null, in place of none.
        """
        if not isinstance(column, str):
            raise PlanError("explode takes a column's name: explode('lines')")
        flags = [_flag("explode", name, one) for name, one in (("empty_as_null", empty_as_null), ("keep_nulls", keep_nulls))]
        return self._with(Explode(column, *flags))

    def group_by(self, *keys: str | Expr | Sequence[str]) -> Groups:
        """The rows of a batch that have the same keys, as one row: group_by("country").agg(col("price").sum())."""
        listed = [one for given in keys for one in ([given] if isinstance(given, str | Expr) else given)]
        named = _named("group_by", [col(one) if isinstance(one, str) else one for one in listed])
        if not named:
            raise PlanError("group_by needs at least one key: group_by('country')")
        return Groups(self, named)

    def plan(self) -> Plan:
        """The checked pipeline; lookups are read here, once. Raises PlanError with the step and what to write instead."""
        if self._plan is None:
            from millstream.plan import plan

            try:
                self._plan = plan(self.schema, self.steps, self.output, self.input)
            except PlanError as error:
                if self._file is None:
                    raise
                raise PlanError(f"{self._file.place(error)}{error}").within(of=error) from None
        return self._plan

    def run(self, records: Records) -> Outcome:
        """Records in, an `Outcome` out: a list of payloads, JSON lines or CSV as bytes, or rows as a pyarrow.RecordBatch.

        A payload is one JSON object, or lines of CSV.
        """
        from millstream import engine
        from millstream.decode.payloads import Payloads

        planned = self.plan()
        if isinstance(records, pa.RecordBatch | Payloads):
            return engine.run(planned, records)
        if isinstance(records, list | bytes) and planned.dialect is not None:
            from millstream.decode.csv_framing import split_texts

            texts = _payloads(records if isinstance(records, list) else [records])
            return engine.run(planned, split_texts(texts, planned.dialect)[0])
        if isinstance(records, list):
            return engine.run(planned, _payloads(records))
        if isinstance(records, bytes):
            return engine.run(planned, Payloads.of_lines(records))
        raise UsageError(_TAKES.format(type(records).__name__))

    def to_spec(self) -> dict[str, Any]:
        """The pipeline as plain data, as pipeline files have it. Raises UsageError for a lookup that is no file."""
        return spec.written(self.name, self.input, self.schema, self.steps, self.output)

    @classmethod
    def from_spec(cls, source: Mapping[str, Any] | str | os.PathLike[str]) -> Pipeline:
        """A pipeline from plain data, or from a YAML or JSON file. Raises SpecError naming the file and the place."""
        parts = spec.read(source)
        made = cls(parts.schema, name=parts.name, input=parts.input, output=parts.output)
        made.steps, made._file = parts.steps, parts.file
        return made

    @property
    def fingerprint(self) -> str:
        """12 hex digits that say what the pipeline does, not where its files are."""
        import hashlib
        import json

        text = json.dumps(spec.written(self.name, self.input, self.schema, self.steps, self.output, urls=False), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Groups:
    """Rows by their keys, on their way to become one row each; see `Pipeline.group_by`."""

    def __init__(self, pipeline: Pipeline, keys: Sequence[tuple[str, Expr]]) -> None:
        self._pipeline, self._keys = pipeline, tuple(keys)

    def agg(self, *aggregates: Expr, **named: Expr) -> Pipeline:
        """The keys, and these: `agg(col("price").sum(), orders=col("price").len())`, a row for each group of a batch.

        Groups come in the order in which they are first met.
        """
        made = [*_named("agg", aggregates), *((name, as_expr(one)) for name, one in named.items())]
        if not made:
            raise PlanError("agg needs at least one aggregate: agg(col('price').sum())")
        return self._pipeline._with(GroupBy(self._keys, tuple(made)))


def _payloads(records: list[bytes]) -> Payloads:
    from millstream.decode.payloads import Payloads

    try:
        return Payloads.of_records(records)
    except TypeError:
        wrong = next((one for one in records if not isinstance(one, bytes | bytearray | memoryview)), None)
        raise UsageError(_TAKES.format(f"a list with a {type(wrong).__name__} in it; encode text with .encode()")) from None


def _flag(step: str, name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise PlanError(f"{step}: {name} is {value!r}; write True or False")
    return value


def _named(step: str, exprs: Iterable[Any]) -> list[tuple[str, Expr]]:
    named = []
    for one in exprs:
        if not isinstance(one, Expr):
            advice = f"col({one!r})" if isinstance(one, str) else f"name=lit({one!r})"
            raise PlanError(f"{step} takes expressions, not {type(one).__name__}; write {advice}")
        name = one.output_name
        if name is None:
            raise PlanError(f"{step}: `{one}` has no name; write {step}(name=…) or .alias('name')")
        named.append((name, one))
    return named


def _names(step: str, given: Iterable[Any]) -> tuple[str, ...]:
    names: list[str] = []
    for one in given:
        names += [one] if isinstance(one, str) else list(one) if isinstance(one, list | tuple) else [one]
    if not all(isinstance(one, str) for one in names):
        raise PlanError(f"{step} takes column names: {step}('price')")
    if step == "drop" and not names:
        raise PlanError("drop needs at least one column name")
    return tuple(names)
