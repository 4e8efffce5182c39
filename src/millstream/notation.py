"""How an expression is written: operators between their sides, methods behind what they are of, parentheses where they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.classes import Protocol
from millstream.literals import literal_text, literals
from millstream.reductions import NAMES as REDUCTIONS

if TYPE_CHECKING:
    from millstream.functions.parameters import Parameter

# Operators that stand between their arguments: symbol and how tightly it binds (as in Python).
_INFIX = {
    "or": ("or", 1), "and": ("and", 2),
    "eq": ("==", 4), "ne": ("!=", 4), "lt": ("<", 4), "le": ("<=", 4), "gt": (">", 4), "ge": (">=", 4),
    "xor": ("^", 5),
    "add": ("+", 6), "sub": ("-", 6), "mul": ("*", 7), "truediv": ("/", 7), "floordiv": ("//", 7), "mod": ("%", 7),
}  # fmt: skip
_NOT, _COMPARES, _SIGN, ATOM = 3, 4, 8, 9
"""How tightly what is no such operator binds; an atom needs no parentheses."""


class Written(Protocol):
    """An expression, as far as its text goes."""

    def text(self, binding: int = 0) -> str: ...


class Called(Protocol):
    """A function over arguments."""

    function: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]


def applied_text(of: Called) -> tuple[str, int]:
    """The canonical text of a function over arguments, and how tightly it binds."""
    name, arguments = of.function, of.arguments
    if name in _INFIX:
        symbol, own = _INFIX[name]
        left = arguments[0].text(own + 1 if own == _COMPARES else own)
        return f"{left} {symbol} {arguments[1].text(own + 1)}", own
    if name == "neg":
        return f"-{arguments[0].text(_SIGN)}", _SIGN
    if name == "is_in":
        return f"{arguments[0].text(_COMPARES + 1)} in {literals(of.options['values'])}", _COMPARES
    if name == "not":
        (inner,) = arguments
        if getattr(inner, "function", "") == "is_in":
            return f"{inner.arguments[0].text(_COMPARES + 1)} not in {literals(inner.options['values'])}", _COMPARES
        return f"not {inner.text(_NOT)}", _NOT
    if name == "when":
        return _when_text(arguments), ATOM
    if name in REDUCTIONS:
        return f"{arguments[0].text(ATOM)}.{name}()", ATOM
    from millstream.functions import CATALOGUE, Form

    function = CATALOGUE[name]
    is_method = function.form is Form.METHOD
    inside = _inside(function.arguments, [one.text() for one in arguments[is_method:]], of.options)
    return f"{arguments[0].text(ATOM)}.{name}({inside})" if is_method else f"{name}({inside})", ATOM


def _inside(takes: Sequence[Parameter], values: Sequence[str], options: Mapping[str, Any]) -> str:
    """What a function is given, in order; by its name what may be left out and is not the first."""
    from millstream.functions.parameters import REQUIRED

    left = iter(values)
    inside: list[str] = []
    for number, one in enumerate(takes):
        if one.many:
            inside += left
        elif one.is_value:
            inside.append(next(left))
        elif one.name in options:
            said = literal_text(options[one.name])
            by_name = one.keyword or (number > 0 and one.default is not REQUIRED)
            inside.append(f"{one.name}={said}" if by_name else said)
    return ", ".join(inside)


def _when_text(arguments: Sequence[Written]) -> str:
    parts = []
    for at in range(0, len(arguments) - 1, 2):
        parts.append(f"when({arguments[at].text()}).then({arguments[at + 1].text()})")
    if len(arguments) % 2:
        parts.append(f"otherwise({arguments[-1].text()})")
    return ".".join(parts)
