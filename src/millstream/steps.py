"""The steps of a pipeline as users write them. `millstream.plan` checks them; `millstream.spec` reads and writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from millstream.classes import dataclass
from millstream.expr import Expr, user_functions
from millstream.schema import Type
from millstream.tables import Lookup

How = Literal["left", "inner", "semi", "anti"]
HOWS = ("left", "inner", "semi", "anti")
Keep = Literal["any", "first", "last", "none"]
Action = Literal["reject", "drop", "flag", "fail"]


@dataclass(frozen=True, eq=False)
class WithColumns:
    """Add columns, or replace those of the same name. All see the columns as they were before the step."""

    columns: tuple[tuple[str, Expr], ...]
    name = "with_columns"


@dataclass(frozen=True, eq=False)
class Filter:
    """Keep the rows for which every predicate is true; false and null filter."""

    predicates: tuple[Expr, ...]
    name = "filter"


@dataclass(frozen=True, eq=False)
class DropNulls:
    """Keep the rows without a null in these columns; in any column where none is named."""

    columns: tuple[str, ...]
    name = "drop_nulls"


@dataclass(frozen=True, eq=False)
class Select:
    """Only these columns, in this order."""

    columns: tuple[tuple[str, Expr], ...]
    name = "select"


@dataclass(frozen=True, eq=False)
class Drop:
    """All columns but these."""

    columns: tuple[str, ...]
    name = "drop"


@dataclass(frozen=True, eq=False)
class Rename:
    """New names, in place; pairs of old and new."""

    names: tuple[tuple[str, str], ...]
    name = "rename"


@dataclass(frozen=True, eq=False)
class Join:
    """Columns of a small table, by keys or by the range that a value lies in.

    on: one column for each of `Lookup.asks`. on_missing: see `millstream.lookups.matching.Policy`.
    """

    lookup: Lookup
    on: tuple[str, ...]
    how: How = "left"
    on_missing: str | tuple[tuple[str, Any], ...] = "null"
    name = "join"


@dataclass(frozen=True, eq=False)
class Enrich:
    """Columns that a function gives, called with the different keys of a batch. Seconds.

    on_missing: of keys that it gives nothing for; on_failure: of a batch for which it could not be called. failures: after so many
    calls that failed one after another it is not called for `pause`.
    """

    function: Callable[[list[Any]], Any]
    key: tuple[str, ...]
    columns: tuple[tuple[str, Type], ...]
    on_missing: str | tuple[tuple[str, Any], ...]
    on_failure: Literal["fail", "null", "reject"]
    timeout: float
    retries: int
    failures: int
    pause: float
    name = "enrich"


@dataclass(frozen=True, eq=False)
class Cast:
    """Columns as other types, in place; pairs of a name and a type's name."""

    columns: tuple[tuple[str, str], ...]
    strict: bool = True
    name = "cast"


@dataclass(frozen=True, eq=False)
class Unique:
    """One row of those with the same values in some columns, of all where none is named: the first, the last by `order_by`, none."""

    subset: tuple[str, ...] = ()
    keep: Keep = "any"
    order_by: tuple[str, ...] = ()
    name = "unique"


@dataclass(frozen=True, eq=False)
class Expect:
    """A rule that every row should keep, and what is done about a row that does not; null does not keep it."""

    rule: Expr
    action: Action = "reject"
    called: str = ""
    name = "expect"


@dataclass(frozen=True, eq=False)
class Explode:
    """A row for every item of a list. An empty list gives none, or one with null; a null list one with null, or none."""

    column: str
    empty_as_null: bool = False
    keep_nulls: bool = True
    name = "explode"


@dataclass(frozen=True, eq=False)
class GroupBy:
    """One row for the rows of a batch that have the same keys, with aggregates of their values."""

    keys: tuple[tuple[str, Expr], ...]
    aggregates: tuple[tuple[str, Expr], ...]
    name = "group_by"


Step = WithColumns | Filter | DropNulls | Select | Drop | Rename | Join | Enrich | Cast | Unique | Expect | Explode | GroupBy


def functions_of(steps: Iterable[Step]) -> list[Any]:
    """The users' functions that the expressions of steps call, each once, in order."""
    return list(dict.fromkeys(one for step in steps for one in user_functions(tuple(vars(step).values()))))
