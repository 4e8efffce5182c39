"""Expressions meet a schema: names become columns, types are inferred, literals take their neighbour's type.

What comes out is a typed tree that the engine walks: `Input`, `Constant`, `Widened`, `Applied`, `Now`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa

from millstream.classes import dataclass
from millstream.columns import open_array
from millstream.errors import PlanError
from millstream.expr import Alias, Apply, Col, Expr, Lit, UserCall
from millstream.functions import CATALOGUE, Function
from millstream.functions.constants import counts, fits, literal_value, operand_of
from millstream.functions.function import Operand
from millstream.functions.signatures import described, no_function, wide
from millstream.hashing import Literals
from millstream.reductions import NAMES as REDUCTIONS
from millstream.schema import NULL, Type

T = TypeVar("T")


@dataclass(frozen=True)
class Input:
    """A column as it is."""

    type: Type
    name: str


@dataclass(frozen=True)
class Constant:
    """A literal. Times are already ticks or days."""

    type: Type
    value: Any

    @cached_property
    def key(self) -> tuple[str, str]:
        """The same for the same column, and for no other: 0.0 and -0.0 are two."""
        return self.type.name, repr(self.value)


@dataclass(frozen=True)
class Widened:
    """A value brought to a wider type, because its neighbour has that."""

    type: Type
    inner: Bound


@dataclass(frozen=True)
class Applied:
    """A function over arguments of the types that its signature asks for."""

    type: Type
    function: Function
    arguments: tuple[Bound, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Now:
    """When the batch began to run."""

    type: Type


Bound = Input | Constant | Widened | Applied | Now


def bind(expression: Expr, columns: Mapping[str, Type]) -> Bound:
    """The typed tree of an expression over these columns. Raises PlanError that names the expression, or the unknown column."""
    if not isinstance(expression, Col):
        for name in expression.columns:
            if name not in columns:
                raise PlanError(f"{unknown(name, columns)}, in `{_short(expression)}`")
    bound = _bind(expression, columns)
    if bound.type is NULL:
        raise PlanError(f"`{expression}` gives nothing but None, so it has no type; write lit(None).cast('string')")
    return _settled(bound, bound.type)


def inputs(bound: Bound) -> frozenset[str]:
    """The columns that a typed tree reads."""
    match bound:
        case Input():
            return frozenset((bound.name,))
        case Widened():
            return inputs(bound.inner)
        case Applied():
            return frozenset().union(*(inputs(one) for one in bound.arguments))
    return frozenset()


def unknown(name: str, known: Iterable[str], what: str = "column") -> PlanError:
    """The error for a name that is not there, with the nearest one that is."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return PlanError(f"there is no {what} {name!r}{hint} (there are {listed})")


def _bind(expression: Expr, columns: Mapping[str, Type]) -> Bound:
    match expression:
        case Col():
            if expression.name not in columns:
                raise unknown(expression.name, columns)
            return Input(columns[expression.name], expression.name)
        case Lit():
            return Constant(_told(expression, lambda: operand_of(expression.value)).type, expression.value)
        case Alias():
            return _bind(expression.inner, columns)
        case Apply() if expression.function in REDUCTIONS:
            raise PlanError(f"`{expression}` is one value of many rows; it stands alone in group_by(…).agg(…)")
        case Apply():
            rewrite = CATALOGUE[expression.function].rewrite
            if rewrite is not None:
                options = CATALOGUE[expression.function].settled(expression.options)
                return _bind(_told(expression, lambda: rewrite(*expression.arguments, **options)), columns)
            arguments = [_bind(one, columns) for one in expression.arguments]
            return _told(expression, lambda: _applied(expression, arguments))
        case UserCall():
            given = [_bind(one, columns) for one in expression.arguments]
            return _told(expression, lambda: _by_user(expression, given))
    raise PlanError(f"{type(expression).__name__} is no expression; write col('name') or lit(value)")


def _told(expression: Expr, attempt: Callable[[], T]) -> T:
    try:
        return attempt()
    except PlanError as error:
        raise PlanError(f"`{_short(expression)}`: {error}") from None


def _short(expression: Expr) -> str:
    text = str(expression)
    return text if len(text) <= 120 else text[:119] + "…"


def _applied(expression: Apply, arguments: list[Bound]) -> Bound:
    function = CATALOGUE[expression.function]
    if function.name == "is_in":
        return _member(function, arguments[0], expression.options["values"])
    options = function.settled(expression.options)
    if function.name == "now":
        return Now(function.signature((), options).result)
    signature = function.signature([_operand(one) for one in arguments], options)
    settled = tuple(_settled(one, kind) for one, kind in zip(arguments, signature.arguments, strict=True))
    return Applied(signature.result, function, settled, options)


def _by_user(expression: UserCall, arguments: list[Bound]) -> Bound:
    function: Function = expression.function.bound  # type: ignore[attr-defined]
    signature = function.signature([_operand(one) for one in arguments], {})
    settled = tuple(_settled(one, kind) for one, kind in zip(arguments, signature.arguments, strict=True))
    return Applied(signature.result, function, settled, {})


def _operand(bound: Bound) -> Operand:
    return Operand(bound.type, True, bound.value) if isinstance(bound, Constant) else Operand(bound.type)


def _settled(bound: Bound, kind: Type) -> Bound:
    """The same value as `kind`, which a signature chose so that it fits."""
    if isinstance(bound, Constant):
        return Constant(kind, literal_value(bound.value, kind))
    return bound if bound.type == kind else Widened(kind, bound)


def _member(function: Function, argument: Bound, values: tuple[Any, ...]) -> Bound:
    """is_in: the literals in the argument's type. A None among them never matches."""
    kind = wide(argument.type)
    if kind is NULL:
        raise PlanError("None has no type to compare values with; give it one: lit(None).cast('int64').is_in(…)")
    if kind.is_nested:
        raise PlanError(f"{kind} cannot be looked up in a list; {no_function(kind)}")
    wanted = [operand_of(value) for value in values if value is not None]
    for one in wanted:
        if not (fits(one, kind) or (counts(Operand(kind)) and counts(one))):
            raise PlanError(f"{described(one)} is never in a column of {kind}; write values of that type")
    if kind.family == "decimal":
        wanted = [one for one in wanted if fits(one, kind)]
    if kind.family == "int":  # a fraction, or a number beyond the type, is never found
        wanted = [operand_of(int(one.value)) for one in wanted if math.isfinite(one.value) and one.value == int(one.value)]
        wanted = [one for one in wanted if fits(one, kind)]
    keys = open_array(pa.array([literal_value(one.value, kind) for one in wanted], kind.arrow))
    signature = function.signature([Operand(kind)], {})
    return Applied(signature.result, function, (_settled(argument, kind),), {"literals": Literals(keys)})
