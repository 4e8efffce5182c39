"""The signature of a user's function as text: `float64(float64, int64?)`; a ? says that a value may be None."""

from __future__ import annotations

from reprlib import repr as shown
from typing import Any, NamedTuple

from millstream.errors import PlanError
from millstream.types import Type, parse_type, without_json

EXAMPLE = '@udf("float64(float64, int64)")'
_SCALAR = ("bool", "int", "float", "date", "timestamp", "time", "duration")
_MOST = 64


class Value(NamedTuple):
    """An argument or the result: its type, and whether it may be None."""

    type: Type
    null: bool = False

    def __str__(self) -> str:
        return f"{self.type}{'?' if self.null else ''}"


class Signature(NamedTuple):
    """What a function takes and gives."""

    result: Value
    parameters: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.result}({', '.join(map(str, self.parameters))})"


def read(text: Any, batch: bool) -> Signature:
    """The signature that a text stands for. Raises PlanError."""
    if not isinstance(text, str):
        raise PlanError(f"udf takes a signature as text, not {shown(text)}: write {EXAMPLE} above the function")
    whole = text.strip()
    open_at = _opened(whole)
    if open_at <= 0:
        raise PlanError(
            f"the signature {shown(text)} is not like float64(float64, int64): a type, and in ( ) the types of the arguments"
        )
    parameters = [_value(part, text, batch) for part in _parted(whole[open_at + 1 : -1])]
    if not 1 <= len(parameters) <= _MOST:
        raise PlanError(f"the signature {shown(text)} has {len(parameters)} arguments; a function takes 1 to {_MOST} columns")
    return Signature(_value(whole[:open_at], text, batch), tuple(parameters))


def _opened(text: str) -> int:
    """Where the arguments' ( stands, which the last ) closes; -1 where there is none."""
    depth = 0
    for at in range(len(text) - 1, -1, -1) if text.endswith(")") else ():
        depth += {")": 1, "(": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return -1


def _parted(text: str) -> list[str]:
    """What commas part that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        depth += 1 if sign in "([<" else -1 if sign in ")]>" else 0
        if sign == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]] if text.strip() else []


def _value(part: str, whole: str, batch: bool) -> Value:
    text = part.strip()
    null = text.endswith("?")
    try:
        kind = parse_type(text[:-1] if null else text)
    except PlanError as error:
        raise PlanError(f"the signature {shown(whole)}: {error}") from None
    if batch:
        if null:
            raise PlanError(f"the signature {shown(whole)}: a batch function gets arrays with their nulls; leave the ? out")
        return Value(without_json(kind))
    if kind.family not in _SCALAR:
        raise PlanError(
            f"the signature {shown(whole)}: a compiled function takes numbers, truth values and times, not {kind}; "
            f"for {kind} write a batch function: @udf({shown(whole)}, batch=True)"
        )
    return Value(kind, null)
