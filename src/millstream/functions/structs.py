"""The .struct method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.columns import Vector
from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Function, Operand, Policy, Signature
from millstream.functions.signatures import described


def _field_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    kind, name = operands[0].type, options["name"]
    if kind.family != "struct":
        advice = "take an item of it first: .list.get(0)" if kind.family == "list" else "use it as it is"
        raise PlanError(f".struct.field needs a struct column, found {described(operands[0])}; {advice}")
    fields = dict(kind.children)
    if name not in fields:
        raise PlanError(f"there is no field {name!r} in {kind}; write one of {', '.join(map(repr, fields))}")
    return Signature((kind,), fields[name])


def _field(call: Call) -> Vector:
    (source,) = call.arguments
    names = [name for name, _ in source.type.children]
    found = source.children[names.index(call.options["name"])]
    call.valid = source.valid
    call.also(found.valid)
    return Vector(found.type, call.length, found.values, call.valid, found.data, found.children)


_S: Columns = {"s": ("struct<a: int64, b: string>", [{"a": 1, "b": "x"}, {"a": None, "b": "y"}, None])}

FUNCTIONS = (
    Function(
        "struct.field",
        "struct -> any",
        "The field with this name; null where the struct is.",
        _field_signature,
        _field,
        (
            Example('s.struct.field("a")', _S, [1, None, None]),
            Example('s.struct.field("b").str.to_uppercase()', _S, ["X", "Y", None]),
        ),
        (),
        "name: str",
        Policy.INSPECT,
    ),
)
