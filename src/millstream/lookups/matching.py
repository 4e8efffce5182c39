"""What every lookup answers for a batch, and what becomes of rows that it has nothing for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from reprlib import repr as shown
from typing import Any, NamedTuple

import pyarrow as pa

from millstream.classes import Protocol
from millstream.columns import Vector
from millstream.errors import PlanError
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers
from millstream.schema import Code, Type, check_literal
from millstream.values import from_text

Policy = str | tuple[tuple[str, Any], ...]
"""What becomes of a row without a match: "null", "reject", or the values that its columns get instead."""

_is_rehearsal: ContextVar[bool] = ContextVar("millstream_is_rehearsal", default=False)


@contextmanager
def rehearsal() -> Iterator[None]:
    """Nobody is asked for anything meanwhile: what is not in memory is not found."""
    before = _is_rehearsal.set(True)
    try:
        yield
    finally:
        _is_rehearsal.reset(before)


def is_rehearsal() -> bool:
    """Are made-up records run, to load what the first batch needs?"""
    return _is_rehearsal.get()


class Matched(NamedTuple):
    """What was found for a batch's rows.

    rows: for each row of the batch a row of `columns`, negative where it has none. valid: a byte a row: 1, or the `Code` by which its
    record is rejected; None where none is.
    """

    rows: Memory
    columns: Mapping[str, Vector]
    valid: Memory | None = None


class Matcher(Protocol):
    """Something that rows are looked up in. fields: the columns that it adds, by name. Threads may share it."""

    fields: Mapping[str, Type]

    def match(self, keys: Sequence[Vector]) -> Matched:
        """Look the rows of these columns up, in the order of `Lookup.asks`. Raises RunError where nobody answers."""


def checked_policy(given: Any, what: str) -> Policy:
    """`on_missing` as users write it. Raises PlanError."""
    if isinstance(given, Mapping):
        if not given or not all(isinstance(name, str) for name in given):
            raise PlanError(f"{what}: on_missing is a mapping of columns to values: {{'tier': 'none'}}")
        return tuple(given.items())
    if given not in ("null", "reject"):
        raise PlanError(f"{what}: on_missing is {shown(given)}; write 'null', 'reject' or a mapping of columns to values")
    return str(given)


def defaults_of(policy: Policy, fields: Mapping[str, Type], what: str) -> dict[str, Any] | None:
    """The value of every column in a row that has no match, or None where none is declared. Raises PlanError."""
    if isinstance(policy, str):
        return None
    values: dict[str, Any] = dict.fromkeys(fields)
    for name, value in policy:
        if name not in fields:
            raise PlanError(f"on_missing: {what} adds no column {name!r}; it adds {', '.join(fields) or 'none'}")
        kind = fields[name]
        if kind.is_nested and value is not None:
            raise PlanError(f"on_missing: column {name!r} is {kind}, which takes no default; leave it out: it is null then")
        if isinstance(value, str):
            try:
                value = from_text(kind, value)
            except ValueError as error:
                raise PlanError(f"on_missing: column {name!r} is {kind}: {error}") from None
        if value is not None:
            check_literal(kind, value, f"on_missing: column {name!r}")
        values[name] = value
    return values


def with_defaults(array: pa.Array, value: Any) -> pa.Array:
    """A column with one more row, for the rows that have no match."""
    return pa.concat_arrays([array, pa.array([value], array.type)])


def settle(rows: Memory, policy: Policy, default_row: int) -> Memory | None:
    """Do with rows that have no match as the policy says; the validity of `Matched`.

    default_row: where the declared values are.
    """
    if not isinstance(policy, str):
        kernels.fill_missing(default_row, rows)
    if policy != "reject":
        return None
    valid = allocate(rows.count, 1)
    kernels.find_missing(rows, 1, valid)
    if not kernels.count_invalid(valid):
        return None
    kernels.replace_uint8(0, int(Code.NO_MATCH), valid, valid)
    return valid


def placed(
    numbers: Memory, places: Sequence[int], codes: Mapping[int, int], policy: Policy, default_row: int
) -> tuple[Memory, Memory | None]:
    """The rows and the validity of `Matched`, of keys that were asked for one by one.

    numbers: for each row of the batch its key's number, -1 for a null key; it is changed. places: for each key a row of the columns, -1
    where there is none. codes: why records are rejected, by their key's number.
    """
    count = len(places)
    kernels.fill_missing(count, numbers)  # null keys have a place behind the others, with nothing in it
    rows = allocate(numbers.count, 8)
    kernels.take_int64(from_numbers("q", [*places, -1]), numbers, rows)
    valid = settle(rows, policy, default_row)
    if codes:
        worse = allocate(numbers.count, 1)
        kernels.take_uint8(from_numbers("B", [codes.get(number, 1) for number in range(count + 1)]), numbers, worse)
        if valid is not None:
            kernels.merge_validity(worse, valid, valid)
        else:
            valid = worse
    return rows, valid
