"""The types of what a user's function is given, against its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.constants import fits
from millstream.functions.function import Operand
from millstream.functions.function import Signature as Brought
from millstream.functions.signatures import castable, described
from millstream.types import NULL, Type
from millstream.userfunc.signature import Signature


def brought(name: str, signature: Signature) -> Any:
    """What checks operands, as `millstream.functions.Function.signature` does. It raises PlanError."""
    types = tuple(one.type for one in signature.parameters)

    def check(operands: Sequence[Operand], options: Mapping[str, Any]) -> Brought:
        for number, (operand, kind) in enumerate(zip(operands, types, strict=True), 1):
            if not _takes(kind, operand):
                advice = f"write .cast('{kind}')" if castable(operand.type, kind) else "give it another column"
                raise PlanError(f"argument {number} of {name} is {kind}, found {described(operand)}; {advice}")
        return Brought(types, signature.result.type)

    return check


def _takes(kind: Type, operand: Operand) -> bool:
    """Does a value come to this type with nothing lost? Integers come to floats, as everywhere."""
    given = operand.type
    if given is NULL or given == kind:
        return True
    if operand.literal:
        try:
            return fits(operand, kind)
        except PlanError:
            return False
    if kind.family == "int" and given.family == "int":
        low, high = kind.range
        return low <= given.range[0] and given.range[1] <= high and kind.physical == given.physical
    if kind.family == "float":
        return given.family == "int" or (given.family == "float" and kind.bits >= given.bits)
    return False
