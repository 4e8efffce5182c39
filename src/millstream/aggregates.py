"""Aggregates: the type each gives, and how it is computed over groups, whole or from partial states.

A state is what is kept of some rows so that more can be added: a column, or two, with a row for each group. Whatever way rows are split,
the states of the parts give what the whole gives, to the last bit: sums are exact until they are read (kernels/aggregate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millstream.classes import dataclass
from millstream.columns import Vector, filled_bytes, int128_words, ones, take
from millstream.errors import PlanError
from millstream.functions import CATALOGUE
from millstream.grouping import FIRST, LAST, MAX, MIN, Groups, both, exploded, group, in_order, pick, table_of, views_of
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate
from millstream.schema import BINARY, FLOAT64, INT64, UINT64, Code, Type
from millstream.types import MOST_DIGITS, decimal_of, list_of

_INTEGER = 4  # words of a sum of integers, all of them digits
_FLOAT, _LIMBS = 71, 68  # words of a sum of floats, and those of them that are digits
_AT_ONCE = 256
"""How many groups' sums of floats are kept at a time where nobody asks for the sums themselves."""
_WHOLE = decimal_of(MOST_DIGITS, 0)


@dataclass(frozen=True)
class Aggregate:
    """An aggregate. result: the type that it gives for a column's type; None where it does not take that type.

    start: the state of a column's groups; join: that of groups of states' rows; finish: the values, for the column's type.
    whole: the values at once, where that is quicker.
    """

    result: Callable[[Type], Type | None]
    start: Callable[[Vector, Groups], list[Vector]]
    join: Callable[[Sequence[Vector], Groups], list[Vector]]
    finish: Callable[[Sequence[Vector], Type], Vector]
    whole: Callable[[Vector, Groups], Vector] | None = None

    def of(self, column: Vector, groups: Groups) -> Vector:
        """The value of each group. Some rows may hold a code in place of a validity."""
        if self.whole is not None:
            return self.whole(column, groups)
        return self.finish(self.start(column, groups), column.type)


def result_type(function: str, kind: Type) -> Type:
    """The type of an aggregate of a column. Raises PlanError where there is none."""
    result = AGGREGATES[function].result(kind)
    if result is None:
        advice = "count it, or take the first or last" if kind.is_nested else "cast the column to a number first"
        raise PlanError(f"there is no {function} of {kind}; {advice}")
    return result


# --- counts ------------------------------------------------------------------------------------------------------------


def _count(valid: Memory, groups: Groups) -> Vector:
    out = allocate(groups.count, 8)
    kernels.count_groups(valid, groups.ids, out)
    return Vector(INT64, groups.count, out)


def _add_counts(counts: Sequence[Vector], groups: Groups) -> list[Vector]:
    return [_sum_of_integers(_start_integers(one, groups), one.type) for one in counts]


def _only(states: Sequence[Vector], kind: Type) -> Vector:
    """The state is the value."""
    return states[0]


# --- sums --------------------------------------------------------------------------------------------------------------


def _sum_type(kind: Type) -> Type | None:
    match kind.family:
        case "bool":
            return INT64
        case "int":
            return UINT64 if kind.physical == "uint64" else INT64
        case "float":
            return FLOAT64
        case "decimal":
            return decimal_of(MOST_DIGITS, kind.scale)
        case "duration":
            return kind
    return None


def _as_state(words: Memory, width: int, count: int) -> Vector:
    """Sums of `width` words as binary values."""
    views = allocate(count, 8)
    kernels.view_fixed(8 * width, views)
    return Vector(BINARY, count, views, None, words.part(0, 8 * width * count, 1))


def _words(state: Vector, width: int) -> Memory:
    """The words of sums that are binary values, one after another."""
    assert state.data is not None
    first = state.values.word(0) & 0xFFFFFFFF if state.length else 0
    return state.data.part(first, width * state.length, 8)


def _zeros(count: int) -> Memory:
    out = allocate(count, 8)
    kernels.fill_int64(0, out)
    return out


def _start_integers(column: Vector, groups: Groups) -> Memory:
    state = _zeros(_INTEGER * groups.count)
    kernels.add_integers(table_of([column]), groups.ids, state)
    return state


def _start_floats(column: Vector, groups: Groups) -> Memory:
    state = _zeros(_FLOAT * groups.count)
    kernels.add_floats(column.values, column.validity(), groups.ids, state)
    return state


def _start_sum(column: Vector, groups: Groups) -> list[Vector]:
    if column.type.family == "float":
        return [_as_state(_start_floats(column, groups), _FLOAT, groups.count)]
    return [_as_state(_start_integers(column, groups), _INTEGER, groups.count)]


def _join_sum(states: Sequence[Vector], groups: Groups) -> list[Vector]:
    (state,) = states
    width = (state.values.word(0) >> 35) if state.length else _INTEGER  # a view's length is in its high half, in bytes
    out = _zeros(width * groups.count)
    kernels.merge_sums(_words(state, width), width, _LIMBS if width == _FLOAT else width, groups.ids, out)
    return [_as_state(out, width, groups.count)]


def _finish_sum(states: Sequence[Vector], kind: Type) -> Vector:
    (state,) = states
    if kind.family == "float":
        words, out = _copied(_words(state, _FLOAT)), allocate(state.length, 8)
        kernels.settle_floats(words, out)
        return Vector(FLOAT64, state.length, out)
    return _sum_of_integers(_copied(_words(state, _INTEGER)), kind)


def _copied(words: Memory) -> Memory:
    """To be settled, which writes to them."""
    out, rows = allocate(words.count, 8), allocate(words.count, 8)
    kernels.fill_sequence(rows)
    kernels.take_int64(words, rows, out)
    return out


def _settled(state: Memory) -> Vector:
    """Sums of integers as whole numbers of 128 bits; those beyond have a code."""
    count = state.count // _INTEGER
    valid, words = allocate(count, 1), allocate(2 * count, 8)
    faults = kernels.settle_integers(state, valid, words)
    return Vector(_WHOLE, count, words, valid if faults else None)


def _sum_of_integers(state: Memory, kind: Type) -> Vector:
    whole, result = _settled(state), _sum_type(kind)
    assert result is not None
    valid = whole.valid if whole.valid is not None else filled_bytes(1, whole.length)
    code = int(Code.OUT_OF_RANGE)
    if result.family == "decimal":
        out = allocate(2 * whole.length, 8)
        limits = int128_words(10**MOST_DIGITS - 1)
        faults = kernels.rescale_decimal(whole.values, 0, 0, *limits, code, valid, out)
    else:
        out = allocate(whole.length, 8)
        faults = kernels.narrow_int128(whole.values, int(result.physical == "uint64"), code, valid, out)
    return Vector(result, whole.length, out, valid if faults or whole.valid is not None else None)


def _sum(column: Vector, groups: Groups) -> Vector:
    if column.type.family != "float":
        return _sum_of_integers(_start_integers(column, groups), column.type)
    out = allocate(groups.count, 8)
    if groups.count <= _AT_ONCE:
        kernels.settle_floats(_start_floats(column, groups), out)
    else:
        order, ends = groups.order
        kernels.sum_floats(column.values, column.validity(), groups.ids, order, ends, allocate(_FLOAT * _AT_ONCE, 8), out)
    return Vector(FLOAT64, groups.count, out)


# --- means -------------------------------------------------------------------------------------------------------------


def _mean_type(kind: Type) -> Type | None:
    return FLOAT64 if kind.family in ("bool", "int", "float", "decimal") else None


def _start_mean(column: Vector, groups: Groups) -> list[Vector]:
    return [*_start_sum(column, groups), _count(column.validity(), groups)]


def _join_mean(states: Sequence[Vector], groups: Groups) -> list[Vector]:
    return [*_join_sum(states[:1], groups), *_add_counts(states[1:], groups)]


def _finish_mean(states: Sequence[Vector], kind: Type) -> Vector:
    state, counts = states
    if kind.family == "float":
        return _divided(_finish_sum([state], kind), counts)
    return _divided(_dividend(_copied(_words(state, _INTEGER)), kind), counts, kind.scale)


def _mean(column: Vector, groups: Groups) -> Vector:
    counts = _count(column.validity(), groups)
    if column.type.family == "float":
        return _divided(_sum(column, groups), counts)
    return _divided(_dividend(_start_integers(column, groups), column.type), counts, column.type.scale)


def _dividend(state: Memory, kind: Type) -> Vector:
    """Sums as whole numbers: of decimals what a decimal holds, of integers what 128 bits do, which is any."""
    return _sum_of_integers(state, kind) if kind.family == "decimal" else _settled(state)


def _divided(sums: Vector, counts: Vector, scale: int = 0) -> Vector:
    """Sums, rounded to float64, by counts; null where there is none. `scale`: the digits behind the point of sums that are integers."""
    if sums.type is not FLOAT64:
        sums = _as_floats(sums, scale)
    out, valid = allocate(counts.length, 8), allocate(counts.length, 1)
    kernels.divide_sums(sums.values, sums.validity(), counts.values, out, valid)
    return Vector(FLOAT64, counts.length, out, valid)


def _as_floats(sums: Vector, scale: int) -> Vector:
    """Each rounded once."""
    if scale == 0:
        small, valid, out = allocate(sums.length, 8), filled_bytes(1, sums.length), allocate(sums.length, 8)
        if not kernels.narrow_int128(sums.values, 0, int(Code.OUT_OF_RANGE), valid, small):
            kernels.convert_int64_float64(small, out)
            return Vector(FLOAT64, sums.length, out, sums.valid)
    digits = Vector(decimal_of(MOST_DIGITS, scale), sums.length, sums.values, sums.valid)
    return CATALOGUE["cast"].evaluate([digits], {"strict": True}, FLOAT64, sums.length)


# --- one row of each group ---------------------------------------------------------------------------------------------


def _picked(mode: int) -> Aggregate:
    def start(column: Vector, groups: Groups) -> list[Vector]:
        by = [column] if mode in (MIN, MAX) else []
        return [take(column, pick(by, groups.ids, groups.count, mode), gaps=True)]

    def result(kind: Type) -> Type | None:
        return None if kind.is_nested and mode in (MIN, MAX) else kind

    return Aggregate(result, start, lambda states, groups: start(states[0], groups), _only)


# --- different values --------------------------------------------------------------------------------------------------


def _distinct(column: Vector, groups: Groups) -> Groups:
    """The rows that are in the same group and have the same value."""
    return both(groups, group([column], column.length), column.length)


def _homes(groups: Groups, pairs: Groups) -> Memory:
    """The group of each pair of a group and a value."""
    out = allocate(pairs.count, 8)
    kernels.take_int64(groups.ids, pairs.firsts, out)
    return out


def _start_unique(column: Vector, groups: Groups) -> list[Vector]:
    """The state: a list of each group's different values."""
    pairs = _distinct(column, groups)
    order, ends = in_order(_homes(groups, pairs), groups.count)
    rows = allocate(pairs.count, 8)
    kernels.take_int64(pairs.firsts, order, rows)
    return [Vector(list_of(column.type), groups.count, views_of(ends), None, None, (take(column, rows),))]


def _join_unique(states: Sequence[Vector], groups: Groups) -> list[Vector]:
    (lists,) = states
    parents, items = exploded(lists.values, None, False, False)
    ids = allocate(parents.count, 8)
    kernels.take_int64(groups.ids, parents, ids)
    return _start_unique(take(lists.children[0], items), Groups(groups.count, groups.firsts, ids))


def _finish_unique(states: Sequence[Vector], kind: Type) -> Vector:
    (lists,) = states
    lengths = allocate(lists.length, 8)
    kernels.rescale_int64(lists.values, 1, 1 << 32, 0, ones(lists.length), lengths)  # a view has its length in the high half
    return Vector(INT64, lists.length, lengths)


def _unique(column: Vector, groups: Groups) -> Vector:
    pairs = _distinct(column, groups)
    return _count(ones(pairs.count), Groups(groups.count, groups.firsts, _homes(groups, pairs)))


def _flat(result: Type) -> Callable[[Type], Type | None]:
    return lambda kind: None if kind.is_nested else result


AGGREGATES: dict[str, Aggregate] = {
    "len": Aggregate(lambda _: INT64, lambda column, groups: [_count(ones(column.length), groups)], _add_counts, _only),
    "count": Aggregate(lambda _: INT64, lambda column, groups: [_count(column.validity(), groups)], _add_counts, _only),
    "sum": Aggregate(_sum_type, _start_sum, _join_sum, _finish_sum, _sum),
    "mean": Aggregate(_mean_type, _start_mean, _join_mean, _finish_mean, _mean),
    "min": _picked(MIN),
    "max": _picked(MAX),
    "first": _picked(FIRST),
    "last": _picked(LAST),
    "n_unique": Aggregate(_flat(INT64), _start_unique, _join_unique, _finish_unique, _unique),
}
"""Every aggregate by its name, as `millstream.reductions` has them."""
