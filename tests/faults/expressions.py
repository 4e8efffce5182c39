"""DynamoDB's expressions, parsed and evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.faults.values import Value, number

Item = dict[str, Value]
Place = tuple[Any, ...]

_TOKEN = re.compile(r"\s*(?:(<>|<=|>=|[=<>(),.+\-\[\]])|([#:][A-Za-z0-9_]+)|(\d+)|([A-Za-z_][A-Za-z0-9_]*))")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class Wrong(Exception):
    """An expression is not valid: what ValidationException says."""


@lru_cache(maxsize=1)
def _reserved() -> frozenset[str]:
    """Words that must be written as #names. Of moto only the list is read."""
    spec = find_spec("moto")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "dynamodb/parsing/reserved_keywords.txt").read_text()
    return frozenset(text.split())


VALUES = object()
"""Where an item that is judged also holds the values of the call, which no attribute can be named."""

Read = tuple[Any, frozenset[str], tuple[Place, ...]]
"""What an expression does, the names and values that it is written with, and the places that it is about."""


class Names:
    """The names and values that expressions of one call are written with. Each must be used by one of them."""

    def __init__(self, names: Mapping[str, str] | None, values: Mapping[str, Value] | None) -> None:
        self.names, self.values = names or {}, values or {}
        self._unused = {*self.names, *self.values}
        self.places: list[Place] = []

    def read(self, how: Callable[[str, tuple[tuple[str, str], ...]], Read], text: str) -> Any:
        """What an expression does. One that was read before with the same names is not read again."""
        found, used, places = how(text, tuple(self.names.items()))
        self._unused -= used
        self.places += places
        for token in used:
            if token.startswith(":") and token not in self.values:
                raise Wrong(f"An expression attribute value used in expression is not defined; attribute value: {token}")
        return found

    def scope(self, item: Item) -> dict[Any, Any]:
        return {**item, VALUES: self.values}

    def finish(self) -> None:
        if self._unused:
            raise Wrong(f"Value provided in expression attributes unused in expressions: {sorted(self._unused)}")


def get(item: Item, path: Place) -> Value | None:
    """What stands at a path."""
    found: Any = {"M": item}
    for part in path:
        if isinstance(part, int):
            inner = found.get("L")
            found = inner[part] if inner is not None and part < len(inner) else None
        else:
            found = found.get("M", {}).get(part)
        if found is None:
            return None
    return found


class Parser:
    """Reads one expression; what it gives are functions of an item in its scope."""

    def __init__(self, text: str, names: tuple[tuple[str, str], ...]) -> None:
        self._names = dict(names)
        self._used: set[str] = set()
        self._places: list[Place] = []
        self._tokens: list[str] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise Wrong(f"Syntax error; near: {text[at : at + 10]!r}")
            self._tokens.append(found[found.lastindex or 0])
            at = found.end()
        self._tokens.append("")
        self._at = 0

    # Tokens.

    @property
    def next(self) -> str:
        return self._tokens[self._at]

    def _is(self, *words: str) -> bool:
        return self.next.upper() in words

    def take(self, *words: str) -> str:
        token = self.next
        if words and token.upper() not in words:
            raise Wrong(f"Syntax error; token: {token or '<EOF>'!r}")
        self._at += 1
        return token

    def end(self, found: Any) -> Read:
        self.take("")
        return found, frozenset(self._used), tuple(self._places)

    # Conditions, from what binds least.

    def condition(self) -> Callable[[Item], bool]:
        one = self._and()
        while self._is("OR"):
            self.take()
            one = _either(one, self._and())
        return one

    def _and(self) -> Callable[[Item], bool]:
        one = self._not()
        while self._is("AND"):
            self.take()
            one = _both(one, self._not())
        return one

    def _not(self) -> Callable[[Item], bool]:
        if self._is("NOT"):
            self.take()
            inner = self._not()
            return lambda item: not inner(item)
        if self._is("("):
            self.take()
            inner = self.condition()
            self.take(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Callable[[Item], bool]:
        if self._tokens[self._at + 1] == "(" and not self._is("SIZE"):
            return self._function()
        one = self.operand()
        word = self.take("=", "<>", "<", "<=", ">", ">=", "BETWEEN", "IN").upper()
        if word == "BETWEEN":
            low = self.operand()
            self.take("AND")
            high = self.operand()
            return lambda item: _compare(">=", one(item), low(item)) and _compare("<=", one(item), high(item))
        if word == "IN":
            self.take("(")
            others = self._list(self.operand)
            return lambda item: any(_compare("=", one(item), other(item)) for other in others)
        other = self.operand()
        return lambda item: _compare(word, one(item), other(item))

    def _list(self, read: Callable[[], Any]) -> list[Any]:
        found = [read()]
        while self.take(",", ")") == ",":
            found.append(read())
        return found

    def _function(self) -> Callable[[Item], bool]:
        name = self.take()
        self.take("(")
        path = self.path()
        if name in ("attribute_exists", "attribute_not_exists"):
            self.take(")")
            wanted = name == "attribute_exists"
            return lambda item: (get(item, path) is not None) == wanted
        self.take(",")
        operand = self.operand()
        self.take(")")
        if name == "begins_with":
            return lambda item: _begins(get(item, path), operand(item))
        if name == "contains":
            return lambda item: _contains(get(item, path), operand(item))
        if name == "attribute_type":
            return lambda item: (operand(item) or {}).get("S") in (get(item, path) or {})
        raise Wrong(f"Invalid function name; function: {name}")

    def operand(self) -> Callable[[Item], Value | None]:
        if self.next.startswith(":"):
            token = self.take()
            self._used.add(token)
            return lambda item: item[VALUES][token]
        if self._is("SIZE") and self._tokens[self._at + 1] == "(":
            self.take()
            self.take("(")
            path = self.path()
            self.take(")")
            return lambda item: _size(get(item, path))
        path = self.path()
        return lambda item: get(item, path)

    def path(self) -> Place:
        parts: list[Any] = [self._name()]
        while self.next in (".", "["):
            if self.take() == ".":
                parts.append(self._name())
            else:
                parts.append(int(self.take()))
                self.take("]")
        self._places.append(tuple(parts))
        return tuple(parts)

    def _name(self) -> str:
        token = self.take()
        if not re.fullmatch(r"#?\w+", token) or token.isdigit():
            raise Wrong(f"Syntax error; token: {token or '<EOF>'!r}")
        if not token.startswith("#"):
            if token.upper() in _reserved():
                raise Wrong(f"Attribute name is a reserved keyword; reserved keyword: {token}")
            return token
        self._used.add(token)
        if token not in self._names:
            raise Wrong(f"An expression attribute name used in the document path is not defined; attribute name: {token}")
        return self._names[token]


def condition(text: str | None, names: Names) -> Callable[[Item], bool] | None:
    """An item's judge."""
    if text is None:
        return None
    found = names.read(_condition, text)
    return lambda item: found(names.scope(item))


@lru_cache(maxsize=1000)
def _condition(text: str, names: tuple[tuple[str, str], ...]) -> Read:
    parser = Parser(text, names)
    return parser.end(parser.condition())


def projection(text: str | None, names: Names) -> Callable[[Item], Item]:
    """What is told of an item."""
    return dict if text is None else names.read(_projection, text)


@lru_cache(maxsize=1000)
def _projection(text: str, names: tuple[tuple[str, str], ...]) -> Read:
    parser = Parser(text, names)
    paths = [parser.path()]
    while parser.next == ",":
        parser.take()
        paths.append(parser.path())
    if any(len(path) > 1 for path in paths):
        raise NotImplementedError(f"dynamodb: the projection {text}")
    return parser.end(lambda item: {path[0]: item[path[0]] for path in paths if path[0] in item})


def _both(one: Callable[[Item], bool], other: Callable[[Item], bool]) -> Callable[[Item], bool]:
    return lambda item: one(item) and other(item)


def _either(one: Callable[[Item], bool], other: Callable[[Item], bool]) -> Callable[[Item], bool]:
    return lambda item: one(item) or other(item)


def plain(value: Value) -> Any:
    """A value as Python compares it."""
    ((kind, held),) = value.items()
    if kind == "N":
        return number(held)
    if kind in ("SS", "BS"):
        return frozenset(held)
    if kind == "NS":
        return frozenset(map(number, held))
    if kind == "L":
        return [(*one, plain(one)) for one in held]
    if kind == "M":
        return {name: (*one, plain(one)) for name, one in held.items()}
    return held.encode() if kind == "S" else held  # by its bytes


def _compare(word: str, one: Value | None, other: Value | None) -> bool:
    """What is missing, or of another type, is unequal, and neither less nor more."""
    is_same_type = one is not None and other is not None and one.keys() == other.keys()
    if word in ("=", "<>"):
        return (is_same_type and plain(one) == plain(other)) == (word == "=")
    return is_same_type and next(iter(one)) in ("S", "N", "B") and _ORDER[word](plain(one), plain(other))


def _begins(one: Value | None, other: Value | None) -> bool:
    if one is None or other is None or one.keys() != other.keys() or not one.keys() <= {"S", "B"}:
        return False
    return plain(one).startswith(plain(other))


def _contains(one: Value | None, other: Value | None) -> bool:
    if one is None or other is None:
        return False
    ((kind, held),) = one.items()
    if kind in ("S", "B"):
        return kind in other and plain(other) in plain(one)
    if kind == "L":
        return any(_compare("=", each, other) for each in held)
    return kind in ("SS", "NS", "BS") and kind[0] in other and plain(other) in plain(one)


def _size(one: Value | None) -> Value | None:
    if one is None:
        return None
    ((kind, held),) = one.items()
    if kind == "S":
        return {"N": str(len(held.encode()))}
    return {"N": str(len(held))} if kind in ("B", "SS", "NS", "BS", "L", "M") else None
