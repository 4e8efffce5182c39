"""DynamoDB's update expressions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tests.faults.expressions import Item, Names, Parser, Place, Read, Wrong, get
from tests.faults.values import Value, number, stored, told_number

Change = Callable[[Item, Item], None]
"""Changes the second item by what the first, which is as it was before, holds."""


def update(text: str | None, names: Names) -> tuple[Change, set[str]]:
    """What an expression does to an item, and the attributes that it names first."""
    if text is None:
        return lambda before, item: None, set()
    changes, changed = names.read(_update, text)

    def run(before: Item, item: Item) -> None:
        scope = names.scope(before)
        for change in changes:
            change(scope, item)

    return run, changed


@lru_cache(maxsize=1000)
def _update(text: str, names: tuple[tuple[str, str], ...]) -> Read:
    parser = _Updates(text, names)
    changes: list[Change] = []
    places: list[Place] = []
    clauses: set[str] = set()
    while parser.next:
        clause = parser.take("SET", "REMOVE", "ADD", "DELETE").upper()
        if clause in clauses:
            raise Wrong(f'The "{clause}" section can only be used once in an update expression;')
        clauses.add(clause)
        while True:
            place, change = parser.change(clause)
            places.append(place)
            changes.append(change)
            if parser.next != ",":
                break
            parser.take()
    if not changes:
        raise Wrong("Invalid UpdateExpression: The expression can not be empty;")
    if any(one[: len(other)] == other for one in places for other in places if one is not other):
        raise Wrong("Invalid UpdateExpression: Two document paths overlap with each other;")
    return parser.end((changes, {place[0] for place in places}))


class _Updates(Parser):
    def change(self, clause: str) -> tuple[Place, Change]:
        place = self.path()
        if any(isinstance(part, int) for part in place):
            raise NotImplementedError("dynamodb: an update of a list's element")
        if clause == "REMOVE":
            return place, lambda before, item: _remove(item, place)
        if clause == "SET":
            self.take("=")
            value = self.sum()
            return place, lambda before, item: _set(item, place, _there(value(before)))
        operand = self.operand()
        change = _add if clause == "ADD" else _delete
        return place, lambda before, item: change(item, place, _there(operand(before)))

    def sum(self) -> Callable[[Item], Value | None]:
        one = self.term()
        if self.next not in ("+", "-"):
            return one
        sign = 1 if self.take() == "+" else -1
        other = self.term()
        return lambda item: _sum(_there(one(item)), _there(other(item)), sign)

    def term(self) -> Callable[[Item], Value | None]:
        if self.next not in ("if_not_exists", "list_append") or self._tokens[self._at + 1] != "(":
            return self.operand()
        name = self.take()
        self.take("(")
        if name == "if_not_exists":
            place = self.path()
            self.take(",")
            other = self.sum()
            self.take(")")
            return lambda item: get(item, place) or other(item)
        one = self.term()
        self.take(",")
        other = self.term()
        self.take(")")
        return lambda item: {"L": [*_list(one(item)), *_list(other(item))]}


def _there(value: Value | None) -> Value:
    if value is None:
        raise Wrong("The provided expression refers to an attribute that does not exist in the item")
    return value


def _list(value: Value | None) -> list[Value]:
    found = _there(value)
    if "L" not in found:
        raise Wrong("An operand in the update expression has an incorrect data type")
    return found["L"]


def _sum(one: Value, other: Value, sign: int) -> Value:
    if "N" not in one or "N" not in other:
        raise Wrong("An operand in the update expression has an incorrect data type")
    return {"N": told_number(number(one["N"]) + sign * number(other["N"]))}


def _above(item: Item, place: Place) -> Any:
    """The map that a place is in."""
    if len(place) == 1:
        return item
    above = get(item, place[:-1])
    if above is None or "M" not in above:
        raise Wrong("The document path provided in the update expression is invalid for update")
    return above["M"]


def _set(item: Item, place: Place, value: Value) -> None:
    _above(item, place)[place[-1]] = stored(value)


def _remove(item: Item, place: Place) -> None:
    _above(item, place).pop(place[-1], None)


def _add(item: Item, place: Place, value: Value) -> None:
    ((kind, held),) = value.items()
    if kind not in ("N", "SS", "NS", "BS"):
        raise Wrong("Incorrect operand type for operator or function; operator: ADD")
    found = get(item, place)
    if found is None:
        _set(item, place, value)
    elif kind not in found:
        raise Wrong("An operand in the update expression has an incorrect data type")
    elif kind == "N":
        _set(item, place, _sum(found, value, 1))
    else:
        _set(item, place, {kind: [*found[kind], *(one for one in held if one not in found[kind])]})


def _delete(item: Item, place: Place, value: Value) -> None:
    ((kind, held),) = value.items()
    found = get(item, place)
    if kind not in ("SS", "NS", "BS") or (found is not None and kind not in found):
        raise Wrong("An operand in the update expression has an incorrect data type")
    left = [one for one in found[kind] if one not in held] if found else []
    if left:
        _set(item, place, {kind: left})
    elif found is not None:
        _remove(item, place)
