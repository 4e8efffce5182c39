"""Which columns may be null after a step. Where it cannot be told, one may be."""

from __future__ import annotations

from millstream.binding import Applied, Bound, Constant, Input, Widened
from millstream.functions.function import Policy
from millstream.plan import Assign, Keep, Probe, Step
from millstream.planned import Check, Gather, Spread
from millstream.schema import FLOAT64

Names = frozenset[str]

_NO_NEW_NULLS = frozenset(
    (
        "add", "sub", "mul", "truediv", "neg", "eq", "ne", "lt", "le", "gt", "ge", "is_in", "not", "str.strip_chars", "str.to_lowercase",
        "str.to_uppercase", "str.starts_with", "str.ends_with", "dt.year", "dt.month", "dt.day", "dt.truncate",
    )
)  # fmt: skip
"""Functions that give a value for values."""
_NEVER_NULL = ("len", "count", "sum", "n_unique")


def may_be_null(bound: Bound, nullable: Names) -> bool:
    """May a value of this be null, where these columns may?"""
    match bound:
        case Input():
            return bound.name in nullable
        case Widened():
            return may_be_null(bound.inner, nullable)
        case Applied():
            name, found = bound.function.name, [may_be_null(one, nullable) for one in bound.arguments]
            if name in ("is_null", "is_not_null"):
                return False
            if name == "fill_null":
                return all(found)
            if name == "when":
                return len(found) % 2 == 0 or any((*found[1::2], found[-1]))
            known = name in _NO_NEW_NULLS or name in ("and", "or") or (name in ("floordiv", "mod") and bound.type is FLOAT64)
            known = known or (name == "str.contains" and bound.options.get("literal") is True)
            known = known or (name == "cast" and bound.options.get("strict", True))
            return not known or any(found)
    return isinstance(bound, Constant) and bound.value is None


def _proved(test: Bound) -> Names:
    """The columns that are not null where a test is true."""
    if isinstance(test, Applied) and test.function.name == "and":
        return _proved(test.arguments[0]) | _proved(test.arguments[1])
    if isinstance(test, Applied) and test.function.name == "is_not_null":
        return _carried(test.arguments[0])
    return _carried(test)


def _carried(bound: Bound) -> Names:
    """The columns whose null makes this null."""
    match bound:
        case Input():
            return frozenset((bound.name,))
        case Widened():
            return _carried(bound.inner)
        case Applied() if bound.function.policy is Policy.PROPAGATE:
            return frozenset[str]().union(*map(_carried, bound.arguments))
    return frozenset()


def after(step: Step, nullable: Names) -> Names:
    """The columns that may be null after a step, of those that may be before it."""
    match step:
        case Assign():
            return nullable.difference(name for name, _ in step.columns) | {
                name for name, one in step.columns if may_be_null(one, nullable)
            }
        case Keep():
            return nullable.difference(*(_proved(test) for _, test in step.predicates))
        case Check():
            return nullable - ({step.called} if step.action == "flag" else _proved(step.rule))
        case Spread():
            return nullable | {step.column}
        case Gather():
            keys = {name for name, one in step.keys if may_be_null(one, nullable)}
            of = {name for name, function, one in step.aggregates if function not in _NEVER_NULL and may_be_null(one, nullable)}
            return frozenset(keys | of)
        case Probe():
            return nullable | {name for name, _ in step.added}
    return nullable
