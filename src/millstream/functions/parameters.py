"""What a function takes, as it is written down: `pattern: str, *, literal: bool = False`.

`Value` is an expression or a literal, `*exprs: Value` any number of them. All others are plain values that are known when a pipeline is
described: `str`, `int`, `float`, `bool`, `Type`; `| None` may be left empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from millstream.errors import UsageError

REQUIRED: Any = ("required",)
"""The default of a parameter that has none."""

_MOST = 1 << 61
_WORDS = {"None": None, "True": True, "False": False}
_PLAIN: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}
_CALLED = {"str": "a plain string", "int": "a whole number", "float": "a number", "bool": "True or False"}


class Parameter(NamedTuple):
    """One of them. kind: `Value`, or what a plain value must be; many: any number of values; keyword: only by its name."""

    name: str
    kind: str
    default: Any
    many: bool
    keyword: bool

    @property
    def is_value(self) -> bool:
        return self.kind.startswith("Value")


def _default(said: str) -> Any:
    if said in _WORDS:
        return _WORDS[said]
    return said[1:-1] if said[0] == '"' else float(said) if "." in said else int(said)


def parameters(text: str) -> tuple[Parameter, ...]:
    """What a text says."""
    found, keyword = [], False
    for piece in text.split(", ") if text else ():
        if piece == "*":
            keyword = True
            continue
        name, _, rest = piece.partition(": ")
        kind, equals, said = rest.partition(" = ")
        default = _default(said) if equals else REQUIRED
        found.append(Parameter(name.lstrip("*"), kind, default, name.startswith("*"), keyword))
        keyword = keyword or found[-1].many
    return tuple(found)


def assign(
    called: str, takes: Sequence[Parameter], given: Sequence[Any], named: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The values in order, and the plain values that are not the default, of a call. Raises UsageError with what is wrong with it."""
    places = [one for one in takes if not one.keyword]
    many = next((one for one in places if one.many), None)
    if len(given) > len(places) and many is None:
        most = f"at most {len(places)}" if places else "no"
        raise UsageError(f"{called} takes {most} argument{'s'[: len(places) != 1]} without a name, not {len(given)}")
    left = dict(named)
    values: list[Any] = []
    options: dict[str, Any] = {}
    for number, one in enumerate(takes):
        if one.many:
            values += given[number:]
            if not values:
                raise UsageError(f"{called} needs at least one value")
            continue
        if not one.keyword and number < len(given):
            if one.name in left:
                raise UsageError(f"{called} is given {one.name} twice")
            value = given[number]
        else:
            value = left.pop(one.name, one.default)
        if value is REQUIRED:
            raise UsageError(f"{called} needs {one.name}, {_wanted(one)}")
        if one.is_value:
            values.append(value)
            continue
        _check(called, one, value)
        if value != one.default or type(value) is not type(one.default):
            options[one.name] = value
    if left:
        name = next(iter(left))
        there = f"there are {', '.join(one.name for one in takes)}" if takes else "it takes nothing"
        raise UsageError(f"{called} has no argument {name}; {there}")
    return values, options


def _wanted(one: Parameter) -> str:
    kind = one.kind.removesuffix(" | None")
    return _CALLED.get(kind, "a value or an expression")


def _check(called: str, one: Parameter, value: Any) -> None:
    if value is None and one.kind.endswith(" | None"):
        return
    kind = one.kind.removesuffix(" | None")
    if not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
        found = f"`{value}`" if hasattr(value, "output_name") else type(value).__name__
        raise UsageError(f"{called}: {one.name} is {_CALLED[kind]}, known when the pipeline is described; found {found}")
    if isinstance(value, int) and abs(value) > _MOST:
        raise UsageError(
            f"{called}: {one.name} is a number of {value.bit_length()} bits, beyond what any column holds; write a smaller one"
        )
    if isinstance(value, str) and not _is_text(value):
        raise UsageError(
            f"{called}: {one.name} holds half of a surrogate pair, which no text holds; write the character itself"
        )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
