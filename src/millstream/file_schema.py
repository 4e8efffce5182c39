"""The JSON Schema of pipeline files, by which editors complete and check them while they are written.

It knows keys, words and shapes. What needs the columns (names, types, expressions) is told by `millstream plan`.
"""

from __future__ import annotations

from typing import Any

from millstream import spec, step_forms
from millstream.decode.dialect import ENCODINGS, RAGGED
from millstream.plan import COMPRESSIONS, FORMATS
from millstream.schema import COERCIONS
from millstream.step_forms import COLUMNS, EXPRESSION, NAME, NAMES
from millstream.steps import HOWS
from millstream.tables import CLOSED, KEEP


def file_schema() -> dict[str, Any]:
    """A JSON Schema (2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Millstream pipeline",
        "type": "object",
        "required": ["version", "schema"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": spec.VERSION},
            "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"},
            "input": _input(),
            "schema": _schema(),
            "functions": NAMES,
            "steps": {"type": "array", "items": {"anyOf": [_step(kind, one) for kind, one in _steps().items()]}},
            "output": _output(),
        },
    }


def _input() -> dict[str, Any]:
    return _closed({**{key: {"enum": list(words)} for key, words in spec.INPUT.items()}, **_limits(), **_csv()})


def _csv() -> dict[str, Any]:
    """The settings of input that are for CSV alone."""
    character, texts = {"type": "string", "minLength": 1, "maxLength": 1}, {"type": "array", "items": {"type": "string"}}
    or_none = {"anyOf": [character, {"type": "null"}]}
    return {
        "delimiter": character,
        "quote": or_none,
        "escape": or_none,
        "header": {"anyOf": [{"type": "boolean"}, {**texts, "minItems": 1}]},
        "comment": or_none,
        "null_values": {"anyOf": [{"type": "string"}, texts]},
        "ragged": {"enum": list(RAGGED)},
        "encoding": {"enum": list(ENCODINGS)},
    }


def _limits() -> dict[str, Any]:
    return {key: {"type": "integer", "minimum": 1} for key in spec.LIMITS}


def _closed(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A mapping with these keys alone."""
    made = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": list(required)} if required else made


def _schema() -> dict[str, Any]:
    return {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [NAME, _column()]}}


def _column() -> dict[str, Any]:
    coercion = {"enum": list(COERCIONS)}
    return _closed(
        {
            "type": NAME,
            "path": NAMES,
            "aliases": {"anyOf": [NAME, {"type": "array", "items": NAMES}]},
            "default": {},
            "nullable": {"type": "boolean"},
            "on_error": {"enum": ["reject", "null"]},
            "coerce": {"anyOf": [coercion, {"type": "array", "items": coercion}]},
        },
        ("type",),
    )


def _steps() -> dict[str, Any]:
    """What stands behind each step's name."""
    own = {
        "with_columns": {"type": "object", "additionalProperties": EXPRESSION, "minProperties": 1},
        "filter": {"anyOf": [EXPRESSION, {"type": "array", "items": EXPRESSION, "minItems": 1}]},
        "drop_nulls": {"anyOf": [*NAMES["anyOf"], {"type": "null"}]},
        "select": COLUMNS,
        "drop": NAMES,
        "rename": {"type": "object", "additionalProperties": NAME},
        "join": _join(),
    }
    return own | {kind: step_forms.schema(kind) for kind in step_forms.FORMS}


def _join() -> dict[str, Any]:
    pair = {"type": "array", "items": NAME, "minItems": 2, "maxItems": 2}
    joined = _closed(
        {
            "lookup": NAME,
            "key": NAMES,
            "range": pair,
            "ip_range": pair,
            "cidr": NAME,
            "closed": {"enum": list(CLOSED)},
            "keep": {"enum": list(KEEP)},
            "on": NAMES,
            "how": {"enum": list(HOWS)},
            "on_missing": {"anyOf": [{"enum": ["null", "reject"]}, {"type": "object", "minProperties": 1}]},
            "refresh": {"anyOf": [NAME, {"type": "number", "exclusiveMinimum": 0}]},
            "schema": _schema(),
        },
        ("lookup", "on"),
    )
    return joined | {"anyOf": [{"required": [name]} for name in ("key", "range", "ip_range", "cidr")]}


def _step(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return _closed({kind: value}, (kind,))


def _output() -> dict[str, Any]:
    return _closed({"format": {"enum": list(FORMATS)}, "compression": {"enum": list(COMPRESSIONS)}, "partition_by": NAMES})
