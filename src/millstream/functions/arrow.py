"""Functions of pyarrow.compute over whole columns. It is imported when the first of them is used: that takes as long as a small batch."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from millstream.columns import Vector, close, open_array
from millstream.errors import PlanError
from millstream.functions.function import Call


def by_arrow(call: Call, name: str, *columns: Vector, **options: Any) -> Vector:
    """What a function of pyarrow.compute gives for columns, null where the call's arguments are not valid."""
    import pyarrow.compute

    arrays = [close(Vector(one.type, one.length, one.values, call.valid, one.data)) for one in columns]
    made = getattr(pyarrow.compute, name)(*arrays, **options)
    return open_array(made)


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
