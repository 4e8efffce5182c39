"""Steps as the engine does them that choose, check, multiply and gather rows; and what it takes to plan one.

Those that compute columns, filter and join are in `millstream.plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from millstream import steps as written
from millstream.binding import Bound, bind, inputs, unknown
from millstream.classes import dataclass, replace
from millstream.errors import PlanError
from millstream.expr import Alias, Apply, Expr, col
from millstream.reductions import NAMES as REDUCTIONS
from millstream.schema import BOOL, Type

NOTHING: frozenset[str] = frozenset()
Columns = dict[str, Type]


@dataclass(frozen=True)
class Distinct:
    """Keep one row of those that are the same in `by`, or none of them."""

    where: str
    by: tuple[str, ...]
    keep: written.Keep
    order_by: tuple[str, ...]
    live: frozenset[str] = NOTHING

    def needed(self, live: frozenset[str]) -> tuple[Distinct, frozenset[str]]:
        """The step with the columns that are needed after it, and the columns that are needed before it."""
        return replace(self, live=live), live.union(self.by, self.order_by)


@dataclass(frozen=True)
class Check:
    """Do something about rows for which a rule is not true. column: that of which a reject tells; None where the rule reads several."""

    where: str
    called: str
    rule: Bound
    action: written.Action
    column: str | None
    live: frozenset[str] = NOTHING

    def needed(self, live: frozenset[str]) -> tuple[Check, frozenset[str]]:
        made = (self.called,) if self.action == "flag" else ()
        return replace(self, live=live), live.difference(made) | inputs(self.rule)


@dataclass(frozen=True)
class Spread:
    """A row for every item of a list column, which becomes a column of items."""

    where: str
    column: str
    keep_empty: bool
    keep_nulls: bool
    live: frozenset[str] = NOTHING

    def needed(self, live: frozenset[str]) -> tuple[Spread, frozenset[str]]:
        return replace(self, live=live), live | {self.column}


@dataclass(frozen=True)
class Gather:
    """One row for the rows that have the same keys. aggregates: name, function, what it is of. types: of the columns it makes."""

    where: str
    keys: tuple[tuple[str, Bound], ...]
    aggregates: tuple[tuple[str, str, Bound], ...]
    types: tuple[tuple[str, Type], ...]
    live: frozenset[str] = NOTHING

    def needed(self, live: frozenset[str]) -> tuple[Gather, frozenset[str]]:
        # An aggregate that nobody reads is computed still: what it rejects must not depend on later steps.
        reads = (*(one for _, one in self.keys), *(one for _, _, one in self.aggregates))
        return replace(self, live=live), NOTHING.union(*map(inputs, reads))


Rows = Distinct | Check | Spread | Gather
"""Steps of this module."""


def named(exprs: Iterable[tuple[str, Expr]], columns: Mapping[str, Type]) -> tuple[tuple[str, Bound], ...]:
    """Typed expressions by the name of the column that each makes. Raises PlanError where two have one name."""
    made: dict[str, Bound] = {}
    for name, expr in exprs:
        if name in made:
            raise PlanError(f"two columns are called {name!r}; give one another name with .alias('…')").within(name)
        try:
            made[name] = bind(expr, columns)
        except PlanError as error:
            raise error.within(name) from None
    return tuple(made.items())


def predicate(expr: Expr, columns: Mapping[str, Type]) -> tuple[str, Bound]:
    """A typed test, and the column that a reject tells of. Raises PlanError where it is no test."""
    bound = bind(expr, columns)
    if bound.type is not BOOL:
        raise PlanError(f"`{expr}` is {bound.type}, not true or false; compare it with something")
    return expr.output_name or "", bound


def check_known(names: Iterable[str], columns: Mapping[str, Type]) -> None:
    """Raise PlanError where one of these is no column."""
    for name in names:
        if name not in columns:
            raise unknown(name, columns)


def cast_columns(step: written.Cast, columns: Columns) -> tuple[tuple[str, Bound], ...]:
    """The columns that a cast makes."""
    check_known((name for name, _ in step.columns), columns)
    return named(((name, col(name).cast(kind, strict=step.strict)) for name, kind in step.columns), columns)


def planned(step: written.Step, where: str, columns: Columns) -> tuple[Rows, Columns]:
    """A step as the engine does it, and the columns after it."""
    match step:
        case written.Unique():
            return _distinct(step, where, columns), columns
        case written.Expect():
            return _checked(step, where, columns)
        case written.Explode():
            return _spread(step, where, columns)
        case written.GroupBy():
            return _gathered(step, where, columns)
    raise AssertionError(f"nobody plans {step!r}")


def _distinct(step: written.Unique, where: str, columns: Columns) -> Distinct:
    check_known((*step.subset, *step.order_by), columns)
    if step.order_by and step.keep not in ("first", "last"):
        raise PlanError(f"order_by tells which row is first and which last; keep {step.keep!r} takes neither of them")
    by = step.subset or tuple(columns)
    _check_flat(by, columns, "compared", "name the columns to compare, subset=[…], without it")
    _check_flat(step.order_by, columns, "put in order", "order by another column")
    return Distinct(where, by, step.keep, step.order_by)


def _check_flat(names: Sequence[str], columns: Columns, what: str, instead: str) -> None:
    for name in names:
        if columns[name].is_nested:
            raise PlanError(f"the column {name!r} is {columns[name]}, which cannot be {what}; {instead}")


def _checked(step: written.Expect, where: str, columns: Columns) -> tuple[Check, Columns]:
    _, rule = predicate(step.rule, columns)
    if step.action == "flag" and not step.called:
        raise PlanError("flag adds a column, which needs a name; give the rule one: name='has_price'")
    called, reads = step.called or str(step.rule), sorted(inputs(rule))
    made = {called: BOOL} if step.action == "flag" else {}
    return Check(where, called, rule, step.action, reads[0] if len(reads) == 1 else None), columns | made


def _spread(step: written.Explode, where: str, columns: Columns) -> tuple[Spread, Columns]:
    check_known((step.column,), columns)
    kind = columns[step.column]
    if kind.family != "list":
        raise PlanError(f"the column {step.column!r} is {kind}; explode is for lists")
    after = columns | {step.column: kind.children[0][1]}
    return Spread(where, step.column, step.empty_as_null, step.keep_nulls), after


def _gathered(step: written.GroupBy, where: str, columns: Columns) -> tuple[Gather, Columns]:
    from millstream.aggregates import result_type  # it takes what only pipelines with this step need

    keys = named(step.keys, columns)
    after = {name: one.type for name, one in keys}
    _check_flat([name for name, _ in keys], after, "a key", "group by one of its values")
    aggregates = []
    for name, expr in step.aggregates:
        try:
            if name in after:
                raise PlanError(f"two columns would be called {name!r}; give one another name with .alias('…')")
            aggregate = expr.inner if isinstance(expr, Alias) else expr
            if not isinstance(aggregate, Apply) or aggregate.function not in REDUCTIONS:
                raise PlanError(f"`{expr}` is no aggregate; write one alone: col('price').sum()")
            of = bind(aggregate.arguments[0], columns)
            after[name] = result_type(aggregate.function, of.type)
        except PlanError as error:
            raise error.within("agg", name) from None
        aggregates.append((name, aggregate.function, of))
    return Gather(where, keys, tuple(aggregates), tuple(after.items())), after


def check_rules(steps: Iterable[written.Step]) -> None:
    """Raise PlanError where two rules have one name, since they are counted by it."""
    seen: dict[str, int] = {}
    for number, step in enumerate(steps, 1):
        if isinstance(step, written.Expect):
            called = step.called or str(step.rule)
            if called in seen:
                told = f"step {number} (expect): step {seen[called]} has a rule called {called!r} too; give one another name"
                raise PlanError(told).within("steps", number - 1, step.name)
            seen[called] = number
