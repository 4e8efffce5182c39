"""DynamoDB's values: how they are stored, and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

Value = dict[str, Any]

_EXACT = Context(prec=38)


def number(text: str) -> Decimal:
    return Decimal(text)


def told_number(value: Decimal) -> str:
    """A number as it is told again: no zeros before or after it."""
    if not value:
        return "0"
    text = f"{_EXACT.plus(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def stored(value: Value) -> Value:
    """A value as it is kept: a copy, with numbers as they are told."""
    ((kind, held),) = value.items()
    match kind:
        case "N":
            return {"N": told_number(number(held))}
        case "NS":
            return {"NS": [told_number(number(one)) for one in held]}
        case "L":
            return {"L": [stored(one) for one in held]}
        case "M":
            return {"M": {name: stored(one) for name, one in held.items()}}
        case "S" | "BOOL" | "NULL":
            return {kind: held}
        case "B":
            return {"B": bytes(held)}
        case "SS" | "BS":
            return {kind: list(held)}
    raise NotImplementedError(f"dynamodb: a value of type {kind}")


def copied(item: Mapping[str, Value]) -> dict[str, Value]:
    """An item that shares nothing that may change with another."""
    return {name: _copied(one) for name, one in item.items()}


def _copied(value: Value) -> Value:
    ((kind, held),) = value.items()
    if kind == "M":
        return {"M": copied(held)}
    if kind == "L":
        return {"L": [_copied(one) for one in held]}
    return {kind: list(held) if kind in ("SS", "NS", "BS") else held}


def item_size(item: Mapping[str, Value] | None) -> int:
    """The bytes of an item, as they are paid for."""
    return sum(len(name.encode()) + value_size(one) for name, one in (item or {}).items())


def value_size(value: Value) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return _number_size(held)
        case "B":
            return len(held)
        case "SS":
            return sum(len(one.encode()) for one in held)
        case "NS":
            return sum(map(_number_size, held))
        case "BS":
            return sum(map(len, held))
        case "L":
            return 3 + sum(1 + value_size(one) for one in held)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(one) for name, one in held.items())
    return 1


def _number_size(text: str) -> int:
    """One byte for two digits that matter, one more, and one for a minus: about, says AWS."""
    value = number(text)
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    return -(-len(digits) // 2) + 1 + (value < 0)
