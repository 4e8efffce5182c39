"""Functions of pyarrow.compute over whole columns. It is imported when the first of them is used: that takes as long as a small batch."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from millstream.columns import Vector, close, open_array, too_much_text
from millstream.errors import PlanError, RunError
from millstream.functions.function import Call


def by_arrow(call: Call, name: str, *columns: Vector, **options: Any) -> Vector:
    """What a function of pyarrow.compute gives for columns, null where the call's arguments are not valid."""
    import pyarrow.compute

    arrays = [_closed(call, one) for one in columns]
    try:
        return open_array(getattr(pyarrow.compute, name)(*arrays, **options))
    except pa.ArrowException as error:
        raise _refused(name, error) from None


def extracted(call: Call, column: Vector, pattern: str) -> Vector:
    """What the one named group of a regular expression matches in each text; null where nothing does, or the group took no part."""
    import pyarrow.compute as pc

    array = _closed(call, column)
    try:
        found, places = pc.extract_regex(array, pattern), pc.extract_regex_span(array, pattern)
        return open_array(pc.if_else(pc.is_valid(pc.struct_field(places, [0])), pc.struct_field(found, [0]), None))
    except pa.ArrowException as error:
        raise _refused("extract_regex", error) from None


def _closed(call: Call, column: Vector) -> pa.Array:
    return close(Vector(column.type, column.length, column.values, call.valid, column.data))


def _refused(name: str, error: pa.ArrowException) -> RunError:
    """Arrow's word on a column, without its values."""
    if isinstance(error, pa.ArrowCapacityError):
        return too_much_text()
    return RunError(f"pyarrow.compute.{name} cannot be done for a batch: {type(error).__name__}")


def check_pattern(method: str, pattern: str) -> None:
    """Raises PlanError where a text is no regular expression of RE2."""
    import pyarrow.compute

    try:
        pyarrow.compute.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        reason = str(error).partition("Invalid regular expression: ")[2] or str(error)
        raise PlanError(
            f"{method}: {pattern!r} is no regular expression of RE2: {reason}; for the text itself write literal=True, or \\ before signs"
        ) from None
