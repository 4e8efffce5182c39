"""Text to expressions: `price > 10 and country in ("US", "DE")`, with bare column names.

The text is parsed by Python's `ast` and never evaluated: every node is either on the list below or refused with its place.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from types import MappingProxyType
from typing import Any

from millstream import across
from millstream.errors import SpecError, UsageError
from millstream.expr import Apply, Col, Expr, Lit, Then, When, as_expr, col, lit, when
from millstream.methods import SPACES, method_names, no_method
from millstream.reductions import NAMES as REDUCTIONS
from millstream.types import BINARY, TYPES, Type, decimal_of
from millstream.values import from_text

MOST_CHARACTERS = 20_000

_BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.FloorDiv: "floordiv", ast.Mod: "mod",
    ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor", ast.Pow: "pow",
}  # fmt: skip
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
_OWN = ("alias", *REDUCTIONS)
"""Methods that are no function of the catalogue."""
_WHEN = ("then", "when", "otherwise")


def _literal(kind: Type) -> Callable[[str], Any]:
    """What reads a literal of a type from its text."""
    return lambda text: from_text(kind, text)


def _float(text: str) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise UsageError('float takes "nan", "inf" or "-inf"')
    return float(text)


_CALLS: dict[str, Callable[..., Any]] = {
    "col": col,
    "lit": lit,
    "when": when,
    "date": _literal(TYPES["date32"]),
    "datetime": _literal(TYPES["timestamp[us]"]),
    "time": _literal(TYPES["time64[us]"]),
    "duration": _literal(TYPES["duration[us]"]),
    "decimal": _literal(decimal_of(38, 0)),
    "binary": _literal(BINARY),
    "float": _float,
    **{
        one.__name__: one
        for one in (
            across.coalesce, across.concat_str, across.min_horizontal, across.max_horizontal, across.all_horizontal,
            across.any_horizontal, across.from_epoch, across.now,
        )
    },
}  # fmt: skip


OWN_NAMES = tuple(_CALLS)
"""The functions of expressions, whose names no user's function may have."""

_users: ContextVar[Mapping[str, Callable[..., Expr]]] = ContextVar("millstream_users_functions", default=MappingProxyType({}))


@contextmanager
def with_functions(functions: Mapping[str, Callable[..., Expr]]) -> Iterator[None]:
    """Users' functions may be called by these names in what is parsed meanwhile."""
    before = _users.set(functions)
    try:
        yield
    finally:
        _users.reset(before)


def parse(text: str) -> Expr:
    """The expression that a text stands for. Raises SpecError with the place of what cannot be read."""
    if len(text) > MOST_CHARACTERS:
        raise SpecError(f"an expression of {len(text)} characters is too long; the limit is {MOST_CHARACTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text.strip(), mode="eval")
        return _Reader(text.strip()).expression(tree.body)
    except SpecError:
        raise
    except UsageError as error:
        raise SpecError(f"`{_short(text)}`: {error}") from None
    except SyntaxError as error:
        place = f" at character {error.offset}" if error.offset else ""
        raise SpecError(f"`{_short(text)}` cannot be read{place}: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, MemoryError | RecursionError) else str(error)
        raise SpecError(f"`{_short(text)}` cannot be read: {reason}") from None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "…"


class _Reader:
    """One walk over a syntax tree. `read` gives an Expr, a plain value for a literal, a list of them, or a When."""

    def __init__(self, text: str) -> None:
        self._text = text

    def refuse(self, node: ast.expr, why: str) -> SpecError:
        lines = self._text.splitlines(keepends=True)
        before = sum(map(len, lines[: node.lineno - 1])) + len(lines[node.lineno - 1].encode()[: node.col_offset].decode())
        return SpecError(f"`{_short(self._text)}` at character {before + 1}: {why}")

    def read(self, node: ast.expr) -> Any:
        method = getattr(self, f"_read_{type(node).__name__.lower()}", None)
        if method is None:
            piece = ast.get_source_segment(self._text, node) or type(node).__name__
            raise self.refuse(
                node, f"`{_short(piece)}` is not allowed; use columns, literals, operators, .methods() and when(…).then(…)"
            )
        return method(node)

    def expression(self, node: ast.expr) -> Expr:
        return self._as_expression(node, self.read(node))

    def _as_expression(self, node: ast.expr, value: Any) -> Expr:
        if isinstance(value, tuple):
            raise self.refuse(node, "a list stands only after in, not in or inside .is_in(…)")
        if isinstance(value, When):
            raise self.refuse(node, "when(…) needs a .then(…)")
        return as_expr(value)

    def _read_name(self, node: ast.Name) -> Expr:
        if self._text.isascii():
            return Col(node.id)
        return Col(ast.get_source_segment(self._text, node) or node.id)  # `id` is normalised, column names are not

    def _read_constant(self, node: ast.Constant) -> Any:
        if node.value is None or type(node.value) in (bool, int, float, str):
            return node.value
        raise self.refuse(
            node, f"a {type(node.value).__name__} is no literal here; use a number, a string, True, False or None"
        )

    def _read_tuple(self, node: ast.Tuple | ast.List) -> tuple[Any, ...]:
        values = [self.read(one) for one in node.elts]
        for one, value in zip(node.elts, values, strict=True):
            if isinstance(value, Lit):
                continue
            if isinstance(value, Expr | When | tuple):
                raise self.refuse(one, "a list holds only literals")
        return tuple(one.value if isinstance(one, Lit) else one for one in values)

    _read_list = _read_tuple

    def _read_binop(self, node: ast.BinOp) -> Expr:
        function = _BINARY.get(type(node.op))
        if function is None:
            raise self.refuse(node, "the operators are + - * / // % ** ^, comparisons, and or not")
        return Apply(function, (self.expression(node.left), self.expression(node.right)))

    def _read_boolop(self, node: ast.BoolOp) -> Expr:
        function = "and" if isinstance(node.op, ast.And) else "or"
        return reduce(lambda left, right: Apply(function, (left, right)), [self.expression(one) for one in node.values])

    def _read_unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.read(node.operand)
        if isinstance(node.op, ast.USub):
            if isinstance(value, int | float) and not isinstance(value, bool):
                return -value
            return -self._as_expression(node.operand, value)
        if isinstance(node.op, ast.UAdd):
            return value
        return ~self._as_expression(node.operand, value)

    def _read_compare(self, node: ast.Compare) -> Expr:
        sides = [(one, self.read(one)) for one in (node.left, *node.comparators)]
        parts = [self._comparison(one, op, other) for one, op, other in zip(sides, node.ops, sides[1:], strict=False)]
        return reduce(lambda left, right: Apply("and", (left, right)), parts)

    def _comparison(self, left: tuple[ast.expr, Any], op: ast.cmpop, right: tuple[ast.expr, Any]) -> Expr:
        value = self._as_expression(*left)
        node, other = right
        if isinstance(op, ast.Is | ast.IsNot):
            if other is not None:
                raise self.refuse(node, "`is` goes only with None; write == for a value")
            return value.is_null() if isinstance(op, ast.Is) else value.is_not_null()
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(other, tuple):
                raise self.refuse(node, 'after in stands a list of literals: country in ("US", "DE")')
            return value.is_in(other) if isinstance(op, ast.In) else ~value.is_in(other)
        return Apply(_COMPARE[type(op)], (value, self._as_expression(node, other)))

    def _read_attribute(self, node: ast.Attribute) -> Any:
        piece = ast.get_source_segment(self._text, node) or node.attr
        if node.attr in (*_OWN, *_WHEN) or any(node.attr in method_names(space) for space in ("", *SPACES)):
            raise self.refuse(node, f"write .{node.attr}(…) with parentheses")
        raise self.refuse(node, f'`{_short(piece)}` is no method; a column with a dot in its name is col("{_short(piece)}")')

    def _read_call(self, node: ast.Call) -> Any:
        if any(keyword.arg is None for keyword in node.keywords) or any(isinstance(one, ast.Starred) for one in node.args):
            raise self.refuse(node, "* and ** are not allowed")
        target = self._target(node.func)
        arguments = [self.read(one) for one in node.args]
        options = {str(keyword.arg): self.read(keyword.value) for keyword in node.keywords}
        try:
            return target(*arguments, **options)
        except SpecError:
            raise
        except (TypeError, ValueError) as error:
            raise self.refuse(node, str(error).replace("Expr.", "")) from None
        except UsageError as error:
            raise self.refuse(node, str(error)) from None

    def _target(self, node: ast.expr) -> Callable[..., Any]:
        if isinstance(node, ast.Name):
            if node.id in _CALLS:
                return _CALLS[node.id]
            users = _users.get()
            if node.id in users:
                return users[node.id]
            own = f"; your own: {', '.join(users)}" if users else ""
            raise self.refuse(
                node,
                f"there is no function {node.id!r}; functions are methods: price.cast('int64'), name.str.to_lowercase(){own}",
            )
        if not isinstance(node, ast.Attribute):
            raise self.refuse(node, "only methods can be called")
        space = ""
        if isinstance(node.value, ast.Attribute) and node.value.attr in SPACES:
            space = node.value.attr
            owner: Any = getattr(self.expression(node.value.value), space)
        else:
            value = self.read(node.value)
            if isinstance(value, When):
                if node.attr != "then":
                    raise self.refuse(node, f"there is no method .{node.attr} of when(…); write .then(…)")
                return value.then
            owner = self._as_expression(node.value, value)
        if not space and node.attr in ("when", "otherwise") and isinstance(owner, Then):
            return getattr(owner, node.attr)  # type: ignore[no-any-return]
        if node.attr not in method_names(space) and (space or node.attr not in _OWN):
            raise self.refuse(node, no_method(space, node.attr))
        method: Callable[..., Any] = getattr(owner, node.attr)
        return method
