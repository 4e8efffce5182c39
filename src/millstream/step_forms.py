"""How steps stand in pipeline files: what each of their keys takes, which of them may be left out, and the short forms.

One table reads, writes, and tells editors. The steps that `millstream.spec` reads itself are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from reprlib import repr as shown
from typing import Any

from millstream.classes import dataclass, field
from millstream.errors import SpecError, UsageError
from millstream.expr import Col, Expr, as_expr
from millstream.grammar import parse
from millstream.steps import Cast, Expect, Explode, GroupBy, Step, Unique

REQUIRED: Any = object()


@dataclass(frozen=True)
class Part:
    """What stands under one key: what reads it, what writes it, its JSON Schema, and what it is where it is left out."""

    read: Callable[[Any], Any]
    schema: Mapping[str, Any]
    default: Any = REQUIRED
    write: Callable[[Any], Any] = field(default=lambda value: value)


@dataclass(frozen=True)
class Form:
    """The keys of a step by the step's own names for them: (key, what it takes). short: which of them may stand alone.

    alone: may a value stand alone? Any that is no mapping, unless told.
    """

    make: Callable[..., Step]
    parts: Mapping[str, tuple[str, Part]]
    short: str
    alone: Callable[[Any], bool] = field(default=lambda value: not isinstance(value, Mapping))
    example: str = ""


def _name(said: Any) -> str:
    if not isinstance(said, str) or not said:
        raise SpecError(f"write a name, not {shown(said)}")
    return said


def _names(said: Any) -> tuple[str, ...]:
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise SpecError(f"write a name or a list of names, not {shown(said)}")
    return tuple(listed)


def _flag(said: Any) -> bool:
    if not isinstance(said, bool):
        raise SpecError(f"write true or false, not {shown(said)}")
    return said


def _one_of(*words: str) -> Part:
    def read(said: Any) -> str:
        if said not in words:
            raise SpecError(f"write one of {', '.join(words)}, not {shown(said)}")
        return str(said)

    return Part(read, {"enum": list(words)}, words[0])


def expression(said: Any) -> Expr:
    """An expression, of text or of a plain value."""
    if isinstance(said, str):
        return parse(said)
    if isinstance(said, bool | int | float):
        return as_expr(said)
    raise SpecError(f"write an expression as text, not {shown(said)}")


def _types(said: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(said, Mapping) or not said or not all(isinstance(one, str) for pair in said.items() for one in pair):
        raise SpecError(f"write names and types, {{price: float64}}, not {shown(said)}")
    return tuple(said.items())


def _columns(said: Any) -> tuple[tuple[str, Expr], ...]:
    """Names with expressions; in a list, expressions that have a name."""
    if isinstance(said, Mapping) and said:
        made = []
        for name, one in said.items():
            try:
                made.append((_name(name), expression(one)))
            except UsageError as error:
                raise error.within(str(name)) from None
        return tuple(made)
    named = [(one.output_name, one) for one in map(parse, _names(said))]
    if not named or any(name is None for name, _ in named):
        raise SpecError(f"write names and expressions, {{total: price.sum()}}, not {shown(said)}")
    return tuple((str(name), one) for name, one in named)


def _written_columns(columns: tuple[tuple[str, Expr], ...]) -> Any:
    if all(isinstance(one, Col) and one.name == name for name, one in columns):
        return [str(one) for _, one in columns]
    return {name: str(one) for name, one in columns}


NAME = {"type": "string", "minLength": 1}
NAMES: dict[str, Any] = {"anyOf": [NAME, {"type": "array", "items": NAME}]}
EXPRESSION = {"type": ["string", "number", "boolean"]}
COLUMNS = {"anyOf": [*NAMES["anyOf"], {"type": "object", "additionalProperties": EXPRESSION, "minProperties": 1}]}
_BOOLEAN = {"type": "boolean"}
_NAMES = Part(_names, NAMES, (), list)
_COLUMNS = Part(_columns, COLUMNS, REQUIRED, _written_columns)
_OFF, _ON = Part(_flag, _BOOLEAN, False), Part(_flag, _BOOLEAN, True)

FORMS: dict[str, Form] = {
    "cast": Form(
        Cast,
        {
            "columns": ("columns", Part(_types, {"type": "object", "additionalProperties": NAME, "minProperties": 1}, REQUIRED, dict)),
            "strict": ("strict", _ON),
        },
        "columns",
        lambda value: not (isinstance(value, Mapping) and isinstance(value.get("columns"), Mapping)),
        "{price: float64}",
    ),
    "unique": Form(
        Unique,
        {"subset": ("subset", _NAMES), "keep": ("keep", _one_of("any", "first", "last", "none")), "order_by": ("order_by", _NAMES)},
        "subset",
        example="{subset: [id], keep: last, order_by: updated_at}",
    ),
    "expect": Form(
        Expect,
        {
            "rule": ("rule", Part(expression, EXPRESSION, REQUIRED, str)),
            "action": ("action", _one_of("reject", "drop", "flag", "fail")),
            "called": ("name", Part(_name, NAME, "")),
        },
        "rule",
        example="{rule: price > 0, action: reject, name: has_price}",
    ),
    "explode": Form(
        Explode,
        {"column": ("column", Part(_name, NAME)), "empty_as_null": ("empty_as_null", _OFF), "keep_nulls": ("keep_nulls", _ON)},
        "column",
        example="lines",
    ),
    "group_by": Form(
        GroupBy,
        {"keys": ("keys", _COLUMNS), "aggregates": ("agg", _COLUMNS)},
        "keys",
        example="{keys: country, agg: {total: price.sum(), orders: price.len()}}",
    ),
}  # fmt: skip


def read(kind: str, said: Any) -> Step:
    """A step of FORMS as it stands in a file. Raises SpecError, with the key that it is about."""
    form = FORMS[kind]
    if form.alone(said):
        said = {form.parts[form.short][0]: said}
    keys = {key: (name, part) for name, (key, part) in form.parts.items()}
    for key in said:
        if key not in keys:
            raise SpecError(f"there is no key {shown(key)}; there are {', '.join(keys)}").within(str(key))
    values = {}
    for key, (name, part) in keys.items():
        if key in said:
            try:
                values[name] = part.read(said[key])
            except UsageError as error:
                raise SpecError(f"{key}: {error}" if len(said) > 1 else str(error)).within(key) from None
        elif part.default is REQUIRED:
            raise SpecError(f"{key} is missing; write {kind}: {form.example}")
    return form.make(**values)


def written(step: Step) -> Any:
    """A step of FORMS as plain data, that `read` takes back."""
    form = FORMS[step.name]
    said = {}
    for name, (key, part) in form.parts.items():
        value = getattr(step, name)
        if part.default is REQUIRED or value != part.default:
            said[key] = part.write(value)
    alone = form.parts[form.short][0]
    return said[alone] if said.keys() == {alone} and form.alone(said[alone]) else said


def schema(kind: str) -> dict[str, Any]:
    """A step of FORMS as JSON Schema."""
    form = FORMS[kind]
    parts = {key: dict(part.schema) for key, part in form.parts.values()}
    required = [key for key, part in form.parts.values() if part.default is REQUIRED]
    whole = {
        "type": "object",
        "properties": parts,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }
    return {"anyOf": [parts[form.parts[form.short][0]], whole]}
