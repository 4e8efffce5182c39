"""Steps in an order that does less: filters before what is computed for rows that they drop, and one selection of rows for several.

What comes out stays the same, and what becomes of each record: a filter is moved only past what rejects nothing, for it would drop records
that are rejected otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from millstream.binding import Applied, Bound, Input, Widened, inputs
from millstream.classes import replace
from millstream.plan import Assign, Keep, Step
from millstream.planned import Spread
from millstream.schema import FLOAT64

_PLAIN = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "is_null", "is_not_null", "and", "or", "not"))
"""Functions that are quick and make no errors."""
_SAFE = _PLAIN | {
    "is_in", "fill_null", "when", "truediv", "mod", "str.strip_chars", "str.to_lowercase", "str.to_uppercase", "str.starts_with",
    "str.ends_with",
}  # fmt: skip
"""Functions that make no errors. One that is not named here may make some, which only keeps filters where they are."""
_SAFE_IN_UTC = frozenset(("dt.month", "dt.day"))
"""What makes no errors where clocks show UTC, or no zone: other clocks may show a time beyond the type."""
_SAFE_FOR_FLOATS = frozenset(("add", "sub", "mul", "neg", "floordiv"))


def optimised(steps: Iterable[Step]) -> list[Step]:
    """The steps in the order that the engine takes them."""
    return _merged(_moved(_merged(map(_parted, steps))))


def _parted(step: Step) -> Step:
    """A filter by `a and b` as one by both, of which each may go its own way."""
    if not isinstance(step, Keep):
        return step
    return replace(step, predicates=tuple((name, one) for name, test in step.predicates for one in _conjuncts(test)))


def _conjuncts(test: Bound) -> list[Bound]:
    if isinstance(test, Applied) and test.function.name == "and":
        return [one for argument in test.arguments for one in _conjuncts(argument)]
    return [test]


def _merged(steps: Iterable[Step]) -> list[Step]:
    """Rows are chosen once where one filter comes after another, and the later one is of plain tests.

    What it tests is in rows that the first drops, too: that must neither reject their records nor take long.
    """
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, Keep) and isinstance(last, Keep) and all(_is_made_of(_PLAIN, one) for _, one in step.predicates):
            also = (*last.also, *(one for one in (step.where, *step.also) if one != last.where))
            merged[-1] = replace(last, predicates=last.predicates + step.predicates, also=also)
        else:
            merged.append(step)
    return merged


def _moved(steps: Iterable[Step]) -> list[Step]:
    """Filters as early as they may be. One of several tests is parted where some of them can go on alone."""
    moved: list[Step] = []
    for step in steps:
        place = len(moved)
        moved.append(step)
        while place > 0 and isinstance(step, Keep):
            before, after = _past(step, moved[place - 1])
            if before is None:
                break
            moved[place - 1 : place + 1] = [before, moved[place - 1], *([after] if after else [])]
            step, place = before, place - 1
    return moved


def _past(step: Keep, earlier: Step) -> tuple[Keep | None, Keep | None]:
    """What of a filter may come before the step that it comes after, and what must stay."""
    early: list[tuple[str, Bound]] = []
    late: list[tuple[str, Bound]] = []
    for name, test in step.predicates:
        found = _before(test, earlier)
        if found is None:
            late.append((name, test))
        else:
            early.append((name, found))
    if not early or not all(_is_safe(test) for _, test in late):
        return None, None  # what stays must not see fewer rows if it can reject some
    return replace(step, predicates=tuple(early)), replace(step, predicates=tuple(late)) if late else None


def _before(test: Bound, earlier: Step) -> Bound | None:
    """A test as it is before a step; None where it has to come after it."""
    match earlier:
        case Assign():
            made = dict(earlier.columns)
            if all(map(_is_safe, made.values())) and all(isinstance(made.get(name), Input | None) for name in inputs(test)):
                return _renamed(test, {name: one.name for name, one in made.items() if isinstance(one, Input)})
        case Spread():
            if earlier.column not in inputs(test) and _is_safe(test):  # it sees records that have no item, too
                return test
    return None


def _renamed(bound: Bound, names: Mapping[str, str]) -> Bound:
    """The same of columns under other names."""
    match bound:
        case Input():
            return replace(bound, name=names.get(bound.name, bound.name))
        case Widened():
            return replace(bound, inner=_renamed(bound.inner, names))
        case Applied():
            return replace(bound, arguments=tuple(_renamed(one, names) for one in bound.arguments))
    return bound


def _is_made_of(functions: frozenset[str], bound: Bound) -> bool:
    match bound:
        case Applied():
            return bound.function.name in functions and all(_is_made_of(functions, one) for one in bound.arguments)
        case Widened():
            return _is_made_of(functions, bound.inner)
    return True


def _is_safe(bound: Bound) -> bool:
    """Can it be told that this makes no errors?"""
    match bound:
        case Applied():
            name = bound.function.name
            fine = name in _SAFE or (name in _SAFE_FOR_FLOATS and bound.type is FLOAT64)
            fine = fine or (name in _SAFE_IN_UTC and bound.arguments[0].type.zone in ("", "UTC"))
            fine = fine or (name == "str.contains" and bound.options.get("literal") is True)
            fine = fine or (name == "cast" and bound.options.get("strict") is False)
            return fine and all(map(_is_safe, bound.arguments))
        case Widened():
            return _is_safe(bound.inner)
    return True
