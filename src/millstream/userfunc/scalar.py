"""A compiled function over columns: which rows it is called for, and what becomes of those that it fails for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.columns import Vector, has_errors
from millstream.functions.function import Call, Form, Function, Policy, merged_validity
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate
from millstream.native.user_load import Loaded, Wanted, functions
from millstream.userfunc.arguments import brought

if TYPE_CHECKING:
    from millstream.userfunc.declared import UserFunction

PREFIX = "udf:"
"""What stands before a user's function's name, so that it is never taken for one of the catalogue."""


def wanted(one: UserFunction) -> Wanted:
    """A function as the loader is asked for it. Raises PlanError."""
    return Wanted(one.digest, one.name, one.code, one.file, len(one.signature.parameters))


def loaded(one: UserFunction) -> Loaded:
    """Its compiled loop. Raises PlanError or BackendError."""
    return functions.load(wanted(one))


def bound(one: UserFunction) -> Function:
    """What the engine calls."""
    optional = [value.null for value in one.signature.parameters]
    call = loaded(one).call

    def compute(over: Call) -> Memory:
        is_bool = over.type.physical == "bool"
        out = over.bytes() if is_bool else over.numbers()
        valid, dense = over.bytes(), over.valid is None
        if over.valid is not None:
            kernels.copy_uint8(over.valid, valid)
        words: list[int] = []
        owners: list[Memory] = []
        for vector, is_optional in zip(over.arguments, optional, strict=True):
            owners.append(vector.validity() if is_optional else vector.values)
            words += (vector.values.address, owners[-1].address)
        if call(over.length, dense, valid.address, out.address, *words):
            over.valid = valid
        return out

    def compute_nulls(over: Call) -> Vector:
        """Where None is taken only errors keep the function from being called, and nulls of the arguments that do not take it."""
        over.valid = merged_validity(
            [errors_alone(vector) if null else vector for vector, null in zip(over.arguments, optional, strict=True)],
            over.length,
        )
        out = compute(over)
        return Vector(over.type, over.length, out, over.valid)

    takes = f"{', '.join(str(value) for value in one.signature.parameters)} -> {one.signature.result}"
    return Function(
        PREFIX + one.name,
        takes,
        one.__doc__ or "",
        brought(one.name, one.signature),
        compute_nulls if any(optional) else compute,
        (),
        (),
        policy=Policy.INSPECT if any(optional) else Policy.PROPAGATE,
        form=Form.FUNCTION,
    )


def errors_alone(vector: Vector) -> Vector:
    """The same with nulls valid, and rows in error as they are."""
    if not has_errors(vector.valid):
        return Vector(vector.type, vector.length, vector.values)
    marked = allocate(vector.length, 1)
    kernels.replace_uint8(0, 1, vector.valid, marked)
    return Vector(vector.type, vector.length, vector.values, marked)
