"""From what the user wrote to what the engine does: every name resolved, every type checked, every error told.

with_columns, select, rename and cast become `Assign`; filter and drop_nulls become `Keep`; join and enrich become `Probe`; drop needs
nothing; the steps of `millstream.planned` are for rows. Each step carries the columns that are still needed after it, so that what no
later step and no output reads is neither decoded nor moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from millstream import steps as written
from millstream.binding import Bound, Input, bind, inputs, unknown
from millstream.classes import dataclass, replace
from millstream.decode.json import JsonDecoder
from millstream.errors import PlanError
from millstream.expr import col
from millstream.planned import NOTHING, Rows, cast_columns, check_known, check_rules, named, planned, predicate
from millstream.schema import Field, Schema, Type

if TYPE_CHECKING:
    from millstream.decode.csv import CsvDecoder
    from millstream.decode.dialect import Dialect
    from millstream.lookups.matching import Matcher


@dataclass(frozen=True)
class Assign:
    """Compute columns, all from the columns before the step."""

    where: str
    columns: tuple[tuple[str, Bound], ...]
    live: frozenset[str] = NOTHING


@dataclass(frozen=True)
class Keep:
    """Keep the rows for which all predicates are true. Each has a name, for rejects. also: filters that are done here too."""

    where: str
    predicates: tuple[tuple[str, Bound], ...]
    live: frozenset[str] = NOTHING
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """Look the columns `on` up; `added` are the new columns' names, each with its column of the lookup."""

    where: str
    on: tuple[str, ...]
    how: written.How
    lookup: Matcher
    added: tuple[tuple[str, str], ...]
    live: frozenset[str] = NOTHING


Step = Assign | Keep | Probe | Rows


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
        read = {one.name for one in self.decoded}
        return JsonDecoder(self.decoded, [one for one in self.fields if one.name not in read])

    @cached_property
    def schema(self) -> pa.Schema:
        """The output as a pyarrow.Schema."""
        return pa.schema([(name, kind.arrow) for name, kind in self.output])


def plan(
    schema: Schema,
    steps: Iterable[written.Step],
    output: Mapping[str, Any],
    source: Mapping[str, Any] | None = None,
    *,
    optimise: bool = True,
) -> Plan:
    """Check a pipeline. Raises PlanError with the number and kind of the step, what was found there, and what to write.

    source: the input settings, which matter for CSV. Without `optimise` steps are done in the order in which they are written, and all
    columns are decoded and kept.
    """
    from millstream.optimise import optimised  # it takes the steps of this module apart

    steps = tuple(steps)
    called = written.functions_of(steps)
    if called:
        from millstream.userfunc.declared import prepare

        prepare(called)
    columns: dict[str, Type] = {one.name: one.holds for one in schema.values()}
    made: list[Step] = []
    names = set(columns)
    for number, step in enumerate(steps, 1):
        where = f"step {number} ({step.name})"
        try:
            one, columns = _planned(step, where, columns)
        except PlanError as error:
            raise PlanError(f"{where}: {error}").within("steps", number - 1, step.name, of=error) from None
        if not columns:
            raise PlanError(f"{where}: no column is left; keep at least one").within("steps", number - 1)
        made += [one] if one else []
        names.update(columns)
    check_rules(steps)
    _check_zones(columns)
    try:
        _check_output(output, columns)
    except PlanError as error:
        raise error.within("output") from None
    fields, live = tuple(schema.values()), frozenset(columns)
    dialect = _dialect(source or {}, fields)
    if not optimise:
        return Plan(fields, fields, tuple(replace(one, live=frozenset(names)) for one in made), tuple(columns.items()), dialect)
    ordered: list[Step] = []
    for one in reversed(optimised(made)):
        one, live = _needed(one, live)
        ordered.insert(0, one)
    decoded = tuple(one for one in fields if one.name in live or not one.nullable) or fields[:1]
    return Plan(fields, decoded, tuple(ordered), tuple(columns.items()), dialect)


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
            made = named(step.columns, columns)
            return Assign(where, made), columns | {name: one.type for name, one in made}
        case written.Select():
            made = named(step.columns, columns)
            return Assign(where, made), {name: one.type for name, one in made}
        case written.Filter():
            return Keep(where, tuple(predicate(one, columns) for one in step.predicates)), columns
        case written.DropNulls():
            names = step.columns or tuple(columns)
            return Keep(where, tuple((name, bind(col(name).is_not_null(), columns)) for name in names)), columns
        case written.Drop():
            check_known(step.columns, columns)
            return None, {name: kind for name, kind in columns.items() if name not in step.columns}
        case written.Rename():
            return _renamed(dict(step.names), where, columns)
        case written.Join():
            return _joined(step, where, columns)
        case written.Enrich():
            return _enriched(step, where, columns)
        case written.Cast():
            made = cast_columns(step, columns)
            return Assign(where, made), columns | {name: one.type for name, one in made}
    return planned(step, where, columns)


def _renamed(names: dict[str, str], where: str, columns: dict[str, Type]) -> tuple[Step, dict[str, Type]]:
    check_known(names, columns)
    after: dict[str, Type] = {}
    for name, kind in columns.items():
        new = names.get(name, name)
        if new in after:
            raise PlanError(f"two columns would be called {new!r}; drop one of them first")
        after[new] = kind
    return Assign(where, tuple((new, Input(columns[old], old)) for old, new in names.items())), after


def _joined(step: written.Join, where: str, columns: dict[str, Type]) -> tuple[Step, dict[str, Type]]:
    from millstream.lookups.live import matcher_of

    check_known(step.on, columns)
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

    check_known(step.key, columns)
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
    return step.needed(live)


def _check_zones(columns: Mapping[str, Type]) -> None:
    """What leaves a pipeline has the types that a schema has: no other zone than UTC."""
    for name, kind in columns.items():
        if kind.zone not in ("", "UTC"):
            raise PlanError(
                f"the output's column {name!r} is {kind}, and rows have times in UTC or without a zone; "
                "end with .dt.convert_time_zone('UTC'), or .dt.replace_time_zone(None) for what clocks show there"
            )


FORMATS, COMPRESSIONS = ("parquet", "json", "ndjson"), ("zstd", "snappy", "gzip", "lz4", "none")
PARTITION_FAMILIES = ("string", "int", "bool", "decimal", "date", "timestamp")
OUTPUT_KEYS = ("format", "partition_by", "compression")


def _check_output(output: Mapping[str, Any], columns: Mapping[str, Type]) -> None:
    for key in output:
        if key not in OUTPUT_KEYS:
            raise PlanError(f"output: {unknown(str(key), OUTPUT_KEYS, 'key')}")
    for key, allowed in (("format", FORMATS), ("compression", COMPRESSIONS)):
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
