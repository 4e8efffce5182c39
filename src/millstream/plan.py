"""From what the user wrote to what the engine does: every name resolved, every type checked, every error told.

The engine knows three kinds of step. with_columns, select and rename become `Assign`; filter and drop_nulls become `Keep`;
join and enrich become `Probe`; drop needs none. Each step carries the columns that are still needed after it, so that what no later step
and no output reads is neither decoded nor moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from millstream import steps as written
from millstream.binding import Applied, Bound, Input, Widened, bind, inputs, unknown
from millstream.classes import dataclass, replace
from millstream.decode.json import JsonDecoder
from millstream.errors import PlanError
from millstream.expr import Expr, col
from millstream.lookups.matching import Matcher
from millstream.schema import BOOL, Field, Schema, Type

if TYPE_CHECKING:
    from millstream.decode.csv import CsvDecoder
    from millstream.decode.dialect import Dialect

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Assign:
    """Compute columns, all from the columns before the step."""

    where: str
    columns: tuple[tuple[str, Bound], ...]
    live: frozenset[str] = NOTHING


@dataclass(frozen=True)
class Keep:
    """Keep the rows for which all predicates are true. Each has a name, for rejects."""

    where: str
    predicates: tuple[tuple[str, Bound], ...]
    live: frozenset[str] = NOTHING


@dataclass(frozen=True)
class Probe:
    """Look the columns `on` up; `added` are the new columns' names, each with its column of the lookup."""

    where: str
    on: tuple[str, ...]
    how: written.How
    lookup: Matcher
    added: tuple[tuple[str, str], ...]
    live: frozenset[str] = NOTHING


Step = Assign | Keep | Probe


@dataclass(frozen=True)
class Plan:
    """A checked pipeline.

    fields: the source's columns; decoded: those that are read, by a step, by the output, or because they may not be null;
    steps: what the engine does, in order; output: the columns that come out, with their types; dialect: of CSV, else None.
    """

    fields: tuple[Field, ...]
    decoded: tuple[Field, ...]
    steps: tuple[Step, ...]
    output: tuple[tuple[str, Type], ...]
    dialect: Dialect | None = None

    @cached_property
    def decoder(self) -> JsonDecoder | CsvDecoder:
        """Reads the decoded columns from JSON or CSV."""
        if self.dialect is not None:
            from millstream.decode.csv import CsvDecoder

            return CsvDecoder(self.decoded, self.fields, self.dialect)
        return JsonDecoder(self.decoded, [one for one in self.fields if one not in self.decoded])

    @cached_property
    def schema(self) -> pa.Schema:
        """The output as a pyarrow.Schema."""
        return pa.schema([(name, kind.arrow) for name, kind in self.output])


def plan(
    schema: Schema, steps: Iterable[written.Step], output: Mapping[str, Any], source: Mapping[str, Any] | None = None
) -> Plan:
    """Check a pipeline. Raises PlanError with the number and kind of the step, what was found there, and what to write."""
    columns: dict[str, Type] = {one.name: one.holds for one in schema.values()}
    planned: list[Step] = []
    for number, step in enumerate(steps, 1):
        where = f"step {number} ({step.name})"
        try:
            one, columns = _planned(step, where, columns)
        except PlanError as error:
            raise PlanError(f"{where}: {error}") from None
        if not columns:
            raise PlanError(f"{where}: no column is left; keep at least one")
        planned += [one] if one else []
    _check_zones(columns)
    _check_output(output, columns)
    live = frozenset(columns)
    ordered: list[Step] = []
    for one in reversed(_merged(planned)):
        one, live = _needed(one, live)
        ordered.insert(0, one)
    fields = tuple(schema.values())
    decoded = tuple(one for one in fields if one.name in live or not one.nullable) or fields[:1]
    return Plan(fields, decoded, tuple(ordered), tuple(columns.items()), _dialect(source or {}, fields))


def _dialect(source: Mapping[str, Any], fields: tuple[Field, ...]) -> Dialect | None:
    """How CSV is written, where the source is CSV."""
    if source.get("format") != "csv":
        return None
    from millstream.decode.csv import check_fields
    from millstream.decode.dialect import Dialect

    dialect = Dialect.of(source)
    check_fields(fields, dialect)
    return dialect


def _planned(step: written.Step, where: str, columns: dict[str, Type]) -> tuple[Step | None, dict[str, Type]]:
    """A step as the engine does it, and the columns after it."""
    match step:
        case written.WithColumns():
            made = _bound(step.columns, columns)
            return Assign(where, made), columns | {name: one.type for name, one in made}
        case written.Select():
            made = _bound(step.columns, columns)
            return Assign(where, made), {name: one.type for name, one in made}
        case written.Filter():
            return Keep(where, tuple(_predicate(one, columns) for one in step.predicates)), columns
        case written.DropNulls():
            names = step.columns or tuple(columns)
            return Keep(where, tuple((name, bind(col(name).is_not_null(), columns)) for name in names)), columns
        case written.Drop():
            _check_known(step.columns, columns)
            return None, {name: kind for name, kind in columns.items() if name not in step.columns}
        case written.Rename():
            return _renamed(dict(step.names), where, columns)
        case written.Join():
            return _joined(step, where, columns)
        case written.Enrich():
            return _enriched(step, where, columns)


_PLAIN = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "is_null", "is_not_null", "and", "or", "not"))
"""Functions that are quick and make no errors."""


def _merged(steps: Iterable[Step]) -> list[Step]:
    """Rows are chosen once where one filter comes after another, and the later one is of plain tests.

    What it tests is in rows that the first drops, too: that must neither reject their records nor take long.
    """
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, Keep) and isinstance(last, Keep) and all(_is_plain(one) for _, one in step.predicates):
            merged[-1] = replace(last, predicates=last.predicates + step.predicates)
        else:
            merged.append(step)
    return merged


def _is_plain(bound: Bound) -> bool:
    match bound:
        case Applied():
            return bound.function.name in _PLAIN and all(map(_is_plain, bound.arguments))
        case Widened():
            return _is_plain(bound.inner)
    return True


def _bound(exprs: Iterable[tuple[str, Expr]], columns: Mapping[str, Type]) -> tuple[tuple[str, Bound], ...]:
    made: dict[str, Bound] = {}
    for name, expr in exprs:
        if name in made:
            raise PlanError(f"two columns are called {name!r}; give one another name with .alias('…')")
        made[name] = bind(expr, columns)
    return tuple(made.items())


def _predicate(expr: Expr, columns: Mapping[str, Type]) -> tuple[str, Bound]:
    bound = bind(expr, columns)
    if bound.type is not BOOL:
        raise PlanError(f"`{expr}` is {bound.type}, not true or false; compare it with something")
    return expr.output_name or "", bound


def _check_known(names: Iterable[str], columns: Mapping[str, Type]) -> None:
    for name in names:
        if name not in columns:
            raise unknown(name, columns)


def _renamed(names: dict[str, str], where: str, columns: dict[str, Type]) -> tuple[Step, dict[str, Type]]:
    _check_known(names, columns)
    after: dict[str, Type] = {}
    for name, kind in columns.items():
        new = names.get(name, name)
        if new in after:
            raise PlanError(f"two columns would be called {new!r}; drop one of them first")
        after[new] = kind
    return Assign(where, tuple((new, Input(columns[old], old)) for old, new in names.items())), after


def _joined(step: written.Join, where: str, columns: dict[str, Type]) -> tuple[Step, dict[str, Type]]:
    from millstream.lookups.live import matcher_of

    _check_known(step.on, columns)
    lookup = matcher_of(step.lookup, [columns[name] for name in step.on], step.on_missing)
    after, added = dict(columns), []
    if step.how in ("left", "inner"):
        for name, kind in lookup.fields.items():
            new = name + "_right" if name in columns else name
            if new in after:
                raise PlanError(f"the lookup's column {name!r} would be a second {new!r}; rename one of them")
            after[new] = kind
            added.append((new, name))
    return Probe(where, step.on, step.how, lookup, tuple(added)), after


def _enriched(step: written.Enrich, where: str, columns: dict[str, Type]) -> tuple[Step, dict[str, Type]]:
    from millstream.lookups.callout import CallMatcher

    _check_known(step.key, columns)
    for name, _ in step.columns:
        if name in columns:
            raise PlanError(f"there is a column {name!r} before; give the new one another name, or drop that one first")
    lookup = CallMatcher(step, [columns[name] for name in step.key])
    return Probe(where, step.key, "left", lookup, tuple((name, name) for name, _ in step.columns)), columns | dict(step.columns)


def _needed(step: Step, live: frozenset[str]) -> tuple[Step, frozenset[str]]:
    """The step with the columns that are needed after it, and the columns that are needed before it."""
    match step:
        case Assign():
            # A computed column that nobody reads is computed still: what it rejects must not depend on later steps.
            kept = tuple((name, one) for name, one in step.columns if name in live or not isinstance(one, Input))
            before = (live - {name for name, _ in kept}).union(*(inputs(one) for _, one in kept))
            return replace(step, columns=kept, live=live), before
        case Keep():
            return replace(step, live=live), live.union(*(inputs(one) for _, one in step.predicates))
        case Probe():
            added = tuple((new, name) for new, name in step.added if new in live)
            return replace(step, added=added, live=live), (live - {new for new, _ in step.added}) | set(step.on)


def _check_zones(columns: Mapping[str, Type]) -> None:
    """What leaves a pipeline has the types that a schema has: no other zone than UTC."""
    for name, kind in columns.items():
        if kind.zone not in ("", "UTC"):
            raise PlanError(
                f"the output's column {name!r} is {kind}, and rows have times in UTC or without a zone; "
                "end with .dt.convert_time_zone('UTC'), or .dt.replace_time_zone(None) for what clocks show there"
            )


_FORMATS, _COMPRESSIONS = ("parquet", "json", "ndjson"), ("zstd", "snappy", "gzip", "lz4", "none")
PARTITION_FAMILIES = ("string", "int", "bool", "decimal", "date", "timestamp")
OUTPUT_KEYS = ("format", "partition_by", "compression")


def _check_output(output: Mapping[str, Any], columns: Mapping[str, Type]) -> None:
    for key in output:
        if key not in OUTPUT_KEYS:
            raise PlanError(f"output: {unknown(str(key), OUTPUT_KEYS, 'key')}")
    for key, allowed in (("format", _FORMATS), ("compression", _COMPRESSIONS)):
        if key in output and output[key] not in allowed:
            raise PlanError(f"output: {key} is {output[key]!r}; write one of {', '.join(allowed)}")
    partitions = output.get("partition_by", [])
    if not isinstance(partitions, list | tuple) or not all(isinstance(name, str) for name in partitions):
        raise PlanError(f"output: partition_by is a list of column names, not {partitions!r}")
    for name in partitions:
        if name not in columns:
            raise PlanError(f"output: partition_by: {unknown(name, columns)}")
        if columns[name].family not in PARTITION_FAMILIES:
            texts = columns[name].family in ("float", "time", "duration")
            advice = "cast it to int64 or string" if texts else "partition by another column"
            raise PlanError(f"output: partition_by: {name!r} is {columns[name]}, which makes no stable folder name; {advice}")
    if len(set(partitions)) != len(partitions):
        raise PlanError("output: partition_by names a column twice")
    if partitions and len(partitions) == len(columns):
        raise PlanError("output: partition_by takes every column, so the files would be empty; keep one out")
