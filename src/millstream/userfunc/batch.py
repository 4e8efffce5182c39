"""A batch function: pyarrow Arrays in, one out. It is Python, called once a batch; nulls are its own business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from millstream.columns import Vector, close, nulls, open_array
from millstream.errors import RunError
from millstream.functions.function import Call, Form, Function, Policy, merged_validity
from millstream.lookups.matching import is_rehearsal
from millstream.types import Type, from_arrow
from millstream.userfunc.arguments import brought
from millstream.userfunc.scalar import PREFIX, errors_alone
from millstream.userfunc.source import line_of

if TYPE_CHECKING:
    from millstream.userfunc.declared import UserFunction


def bound(one: UserFunction) -> Function:
    """What the engine calls."""
    result = one.signature.result.type

    def compute(over: Call) -> Vector:
        if is_rehearsal():  # made-up values are not for a user's function, which may do anything
            return nulls(result, over.length)
        arrays = [close(vector) for vector in over.arguments]
        made = open_array(_checked(one, _called(one, arrays), over.length))
        # Rows that an argument is in error for stay so; their values are null to the function.
        valid = merged_validity([made, *map(errors_alone, over.arguments)], over.length)
        return Vector(result, over.length, made.values, valid, made.data, made.children)

    takes = f"{', '.join(str(value) for value in one.signature.parameters)} -> {result}"
    return Function(
        PREFIX + one.name, takes, one.__doc__ or "", brought(one.name, one.signature), compute, (), (), policy=Policy.INSPECT,
        form=Form.FUNCTION,
    )  # fmt: skip


def _called(one: UserFunction, arrays: list[pa.Array]) -> Any:
    """What the function gives. What it raises fails the batch; its message may hold values, so only its kind and place are told."""
    try:
        return one.__wrapped__(*arrays)
    except Exception as error:
        raise RunError(f"the function {one.name} raised {type(error).__name__}{_place(error, one)}") from None


def _place(error: Exception, one: UserFunction) -> str:
    line = line_of(error, one.file)
    return f" ({one.file.name}{line})" if line else ""


def _checked(one: UserFunction, given: Any, length: int) -> pa.Array:
    """What the function gave as an array of the declared type. Raises RunError without values."""
    kind = one.signature.result.type
    if isinstance(given, pa.ChunkedArray):
        given = given.combine_chunks() if given.num_chunks != 1 else given.chunk(0)
    if not isinstance(given, pa.Array):
        if given is None or isinstance(given, pa.Scalar | str | bytes) or not hasattr(given, "__iter__"):
            raise RunError(f"the function {one.name} gave {type(given).__name__}; return an Array of {length:,} values")
        try:
            given = pa.array(given, kind.arrow)
        except Exception:  # a generator's own errors among them
            raise RunError(f"the function {one.name} gave values that are no {kind}; return an Array of that type") from None
    if len(given) != length:
        raise RunError(
            f"the function {one.name} gave {len(given):,} values for {length:,} rows; return one for each row, null for none"
        )
    if pa.types.is_dictionary(given.type):
        given = given.dictionary_decode()
    if pa.types.is_null(given.type):
        return pa.nulls(length, kind.arrow)
    found = from_arrow(given.type)
    if found is None or not _same(found, kind):
        raise RunError(f"the function {one.name} gave {given.type}, and {kind} is declared; cast it, or declare what it gives")
    return given


def _same(found: Type, kind: Type) -> bool:
    return found == kind or found.arrow.equals(kind.arrow)
