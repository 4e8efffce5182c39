"""The steps of a pipeline as users write them. `millstream.plan` checks them; `millstream.spec` reads and writes them."""

from __future__ import annotations

from typing import Literal

from millstream.classes import dataclass
from millstream.expr import Expr
from millstream.tables import Lookup

How = Literal["left", "inner", "anti"]


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
    """Columns of a small table, by a key."""

    lookup: Lookup
    on: str
    how: How = "left"
    name = "join"


Step = WithColumns | Filter | DropNulls | Select | Drop | Rename | Join
