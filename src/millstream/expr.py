"""Expressions: what users write, as immutable trees. `col("price") * 0.1` computes nothing; it says what to compute.

Names and meaning are Polars', with one difference: a bare string in `then`, `otherwise`, `coalesce`, `is_between`, beside an operator
or wherever else a value is taken is always that value, never a column. What methods there are says `millstream.functions`.

`str(expression)` is its canonical text, the one that pipeline files are written in: `price > 10 and country in ("US", "DE")`.
`millstream.grammar` reads it back.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NoReturn

from millstream.classes import Protocol
from millstream.errors import UsageError
from millstream.literals import literal_text, quoted
from millstream.methods import Lists, Methods, Struct, Text, Time
from millstream.notation import ATOM, applied_text
from millstream.reductions import Reductions
from millstream.schema import Type
from millstream.values import LITERALS

Name = str
"""Inside `Expr`, `str` is the namespace of text methods."""

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

MOST_DEPTH, MOST_NODES = 200, 10_000
"""How deep and how large an expression may grow: what walks it recurses."""


class Expr(Methods, Reductions):
    """An expression. Combine it with + - * / // % **, comparisons, & | ^ ~ (for and, or, xor, not), and its methods."""

    __slots__ = ()
    depth: int
    size: int

    def _apply(self, function: Name, *others: Any, **options: Any) -> Expr:
        return Apply(function, (self, *(as_expr(other) for other in others)), MappingProxyType(options))

    def __add__(self, other: Any) -> Expr:
        return self._apply("add", other)

    def __radd__(self, other: Any) -> Expr:
        return as_expr(other)._apply("add", self)

    def __sub__(self, other: Any) -> Expr:
        return self._apply("sub", other)

    def __rsub__(self, other: Any) -> Expr:
        return as_expr(other)._apply("sub", self)

    def __mul__(self, other: Any) -> Expr:
        return self._apply("mul", other)

    def __rmul__(self, other: Any) -> Expr:
        return as_expr(other)._apply("mul", self)

    def __truediv__(self, other: Any) -> Expr:
        return self._apply("truediv", other)

    def __rtruediv__(self, other: Any) -> Expr:
        return as_expr(other)._apply("truediv", self)

    def __floordiv__(self, other: Any) -> Expr:
        return self._apply("floordiv", other)

    def __rfloordiv__(self, other: Any) -> Expr:
        return as_expr(other)._apply("floordiv", self)

    def __mod__(self, other: Any) -> Expr:
        return self._apply("mod", other)

    def __rmod__(self, other: Any) -> Expr:
        return as_expr(other)._apply("mod", self)

    def __neg__(self) -> Expr:
        return self._apply("neg")

    def __pos__(self) -> Expr:
        return self

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return self._apply("eq", other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return self._apply("ne", other)

    def __lt__(self, other: Any) -> Expr:
        return self._apply("lt", other)

    def __le__(self, other: Any) -> Expr:
        return self._apply("le", other)

    def __gt__(self, other: Any) -> Expr:
        return self._apply("gt", other)

    def __ge__(self, other: Any) -> Expr:
        return self._apply("ge", other)

    def __and__(self, other: Any) -> Expr:
        return self._apply("and", other)

    def __rand__(self, other: Any) -> Expr:
        return as_expr(other)._apply("and", self)

    def __or__(self, other: Any) -> Expr:
        return self._apply("or", other)

    def __ror__(self, other: Any) -> Expr:
        return as_expr(other)._apply("or", self)

    def __xor__(self, other: Any) -> Expr:
        return self._apply("xor", other)

    def __rxor__(self, other: Any) -> Expr:
        return as_expr(other)._apply("xor", self)

    def __pow__(self, exponent: Any) -> Expr:
        return self._apply("pow", exponent)

    def __rpow__(self, base: Any) -> Expr:
        return as_expr(base)._apply("pow", self)

    def __invert__(self) -> Expr:
        return self._apply("not")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise UsageError(
            f"the expression `{self}` has no truth value before it runs: write & for and, | for or, ~ for not (with parentheses "
            "around each side), .is_in([...]) for in, and .is_between(low, high) for low <= x <= high"
        )

    def __contains__(self, item: object) -> NoReturn:
        raise UsageError("`in` does not work on an expression: write .is_in([...]), or .str.contains('...', literal=True)")

    def __iter__(self) -> Iterator[NoReturn]:
        raise UsageError(f"the expression `{self}` cannot be iterated: it stands for a column that is not there yet")

    def is_in(self, values: Iterable[Any]) -> Expr:
        """True where the value is one of these literals."""
        if isinstance(values, Name | bytes | Expr) or not isinstance(values, Iterable):
            raise UsageError("is_in takes a list of literals: write .is_in(['US', 'DE'])")
        return self._apply("is_in", values=tuple(Lit(value).value for value in values))

    def is_between(self, lower_bound: Any, upper_bound: Any, closed: Name = "both") -> Expr:
        """True where lower <= value <= upper; `closed` is both, left, right or none."""
        if closed not in ("both", "left", "right", "none"):
            raise UsageError(f"is_between: closed is {closed!r}; write 'both', 'left', 'right' or 'none'")
        return self._apply("is_between", lower_bound, upper_bound, **({} if closed == "both" else {"closed": closed}))

    def cast(self, dtype: Name | Type, *, strict: bool = True) -> Expr:
        """The value as another type. One that does not fit rejects the record, or is null with strict=False."""
        if not isinstance(strict, bool):
            raise UsageError(f"cast: strict is {strict!r}; write True or False")
        return self._apply("cast", dtype=Name(dtype), **({} if strict else {"strict": False}))

    def alias(self, name: Name) -> Expr:
        """The same values under another name."""
        if not isinstance(name, Name) or not name:
            raise UsageError(f"alias takes a name, not {name!r}")
        return Alias(self, name)

    @property
    def str(self) -> Text:
        """Methods for text."""
        return Text(self)

    @property
    def dt(self) -> Time:
        """Methods for dates, times and durations."""
        return Time(self)

    @property
    def list(self) -> Lists:
        """Methods for lists."""
        return Lists(self)

    @property
    def struct(self) -> Struct:
        """Methods for structs."""
        return Struct(self)

    @property
    def output_name(self) -> Name | None:
        """The column it makes: its alias, else its first column's name; None where it has neither."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[Name, ...]:
        """The names of the columns it reads, each once, in order."""
        raise NotImplementedError

    def text(self, binding: int = 0) -> Name:
        """Canonical text; with parentheses where it binds less tightly than `binding`."""
        raise NotImplementedError

    def __str__(self) -> Name:
        return self.text()

    def __repr__(self) -> Name:
        return f"<Expr {self.text()}>"


def _set(node: Expr, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(node, name, value)


class _Node(Expr):
    __slots__ = ()
    depth = size = 1

    def _grow(self, *inner: Expr) -> None:
        depth, size = 1 + max((one.depth for one in inner), default=0), 1 + sum(one.size for one in inner)
        if depth > MOST_DEPTH or size > MOST_NODES:
            raise UsageError(
                f"an expression nests at most {MOST_DEPTH} levels and holds at most {MOST_NODES} parts: "
                "compute a part of it as a column of its own, in a with_columns before"
            )
        _set(self, depth=depth, size=size)

    def __setattr__(self, name: Name, value: Any) -> NoReturn:
        raise AttributeError("expressions are immutable")


class Col(_Node):
    """A column by its name."""

    __slots__ = ("name",)
    name: Name

    def __init__(self, name: Name) -> None:
        if not isinstance(name, Name) or not name:
            raise UsageError(f"col takes a column's name, not {name!r}")
        _set(self, name=name)

    @property
    def output_name(self) -> Name | None:
        return self.name

    @property
    def columns(self) -> tuple[Name, ...]:
        return (self.name,)

    def text(self, binding: int = 0) -> Name:
        bare = self.name.isascii() and self.name.isidentifier() and not keyword.iskeyword(self.name)
        return self.name if bare else f"col({quoted(self.name)})"


_PLAIN: tuple[Any, ...] = (bool, int, float, Name, bytes)


class Lit(_Node):
    """A literal: a number, a Decimal, a string, bytes, a bool, a date, datetime, time or timedelta, or None."""

    __slots__ = ("value",)
    value: Any

    def __init__(self, value: Any) -> None:
        if not (value is None or isinstance(value, bool | int | float | Name | bytes | Decimal | date | time | timedelta)):
            raise UsageError(f"a {type(value).__name__} cannot be a literal; use {LITERALS}")
        if isinstance(value, Decimal) and not value.is_finite():
            raise UsageError(f"a decimal is never {value}; write it as a float")
        if isinstance(value, time) and value.tzinfo is not None:
            raise UsageError("a time of day has no zone; leave it out")
        for plain in _PLAIN:  # a NumPy float, an IntEnum: what is written down is the value alone
            if isinstance(value, plain):
                value = plain(value)
                break
        _set(self, value=value)

    @property
    def output_name(self) -> Name | None:
        return None

    @property
    def columns(self) -> tuple[Name, ...]:
        return ()

    def __neg__(self) -> Expr:
        if isinstance(self.value, Decimal):
            return Lit(self.value.copy_negate())  # - would round it
        if isinstance(self.value, int | float | timedelta) and not isinstance(self.value, bool):
            return Lit(-self.value)
        return super().__neg__()

    def text(self, binding: int = 0) -> Name:
        return f"lit({literal_text(self.value)})" if binding == ATOM else literal_text(self.value)


class Alias(_Node):
    """An expression under another name."""

    __slots__ = ("depth", "inner", "name", "size")
    inner: Expr
    name: Name

    def __init__(self, inner: Expr, name: Name) -> None:
        _set(self, inner=inner, name=name)
        self._grow(inner)

    @property
    def output_name(self) -> Name | None:
        return self.name

    @property
    def columns(self) -> tuple[Name, ...]:
        return self.inner.columns

    def text(self, binding: int = 0) -> Name:
        return f"{self.inner.text(ATOM)}.alias({quoted(self.name)})"


class Apply(_Node):
    """A function of the catalogue over arguments, with options that are plain values; or an aggregate (`millstream.reductions`)."""

    __slots__ = ("arguments", "depth", "function", "options", "size")
    function: Name
    arguments: tuple[Expr, ...]
    options: Mapping[Name, Any]

    def __init__(self, function: Name, arguments: tuple[Expr, ...], options: Mapping[Name, Any] = NO_OPTIONS) -> None:
        _set(self, function=function, arguments=arguments, options=options)
        self._grow(*arguments, *(arguments[:1] if function == "is_between" else ()))  # its value is compared twice

    @property
    def output_name(self) -> Name | None:
        values = self.arguments
        if self.function == "when":  # named after its first value, not after its test
            values = values[1:2]
        return next((one.output_name for one in values if one.output_name is not None), None)

    @property
    def columns(self) -> tuple[Name, ...]:
        return tuple(dict.fromkeys(name for one in self.arguments for name in one.columns))

    def text(self, binding: int = 0) -> Name:
        text, own = applied_text(self)
        return f"({text})" if own < binding else text


class Own(Protocol):
    """A user's function, as far as expressions know it (`millstream.userfunc`)."""

    name: Name


class UserCall(_Node):
    """A user's function over arguments."""

    __slots__ = ("arguments", "depth", "function", "size")
    function: Own
    arguments: tuple[Expr, ...]

    def __init__(self, function: Own, arguments: tuple[Expr, ...]) -> None:
        _set(self, function=function, arguments=arguments)
        self._grow(*arguments)

    @property
    def output_name(self) -> Name | None:
        return next((one.output_name for one in self.arguments if one.output_name is not None), None)

    @property
    def columns(self) -> tuple[Name, ...]:
        return tuple(dict.fromkeys(name for one in self.arguments for name in one.columns))

    def text(self, binding: int = 0) -> Name:
        return f"{self.function.name}({', '.join(one.text() for one in self.arguments)})"


def user_functions(values: Any) -> Iterator[Any]:
    """The users' functions that are called in expressions, which may stand in tuples; one may come twice."""
    waiting = [values]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += reversed(one)
        elif isinstance(one, Alias):
            waiting.append(one.inner)
        elif isinstance(one, Apply | UserCall):
            if isinstance(one, UserCall):
                yield one.function
            waiting += reversed(one.arguments)


class When:
    """`when(test)`: say with `.then(value)` what it gives."""

    __slots__ = ("_before", "_test")

    def __init__(self, before: tuple[Expr, ...], test: Any) -> None:
        self._before = before
        self._test = as_expr(test)

    def then(self, value: Any) -> Then:
        """The value where the test is true. A bare string is a value, not a column."""
        return Then((*self._before, self._test, as_expr(value)))


class Then(Apply):
    """`when(test).then(value)`: an expression that is null elsewhere, until `.otherwise(value)` says otherwise."""

    __slots__ = ()

    def __init__(self, branches: tuple[Expr, ...]) -> None:
        super().__init__("when", branches)

    def when(self, test: Any) -> When:
        """A further test, where none before was true."""
        return When(self.arguments, test)

    def otherwise(self, value: Any) -> Expr:
        """The value where no test is true."""
        return Apply("when", (*self.arguments, as_expr(value)))


def col(name: str) -> Expr:
    """A column by its name."""
    return Col(name)


def lit(value: Any) -> Expr:
    """A literal: a number, a Decimal, a string, bytes, a bool, a date, datetime, time or timedelta, or None."""
    return Lit(value)


def when(test: Any) -> When:
    """`when(test).then(value).otherwise(other)`; more `.when(…).then(…)` may follow. Without otherwise, null."""
    return When((), test)


def as_expr(value: Any) -> Expr:
    """An expression as it is; anything else as a literal."""
    if isinstance(value, When):
        raise UsageError("when(…) needs a .then(…)")
    return value if isinstance(value, Expr) else Lit(value)


def same(left: Expr, right: Expr) -> bool:
    """Are two expressions written alike? (== makes a new expression.)"""
    return left.text() == right.text()
