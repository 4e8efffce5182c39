"""Aggregates of parts: what a part of the rows comes to, parts joined, and their values.

Parts are Arrow batches of keys and states, a row for each group, so that they can be kept and sent. However rows are split into parts,
and in whatever order parts of the same rows are joined, the values are those of the whole; `first` and `last` go by the order of parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from millstream.aggregates import AGGREGATES
from millstream.columns import Vector, close, open_array, take_all
from millstream.grouping import Groups, group
from millstream.planned import Gather


def start(step: Gather, columns: Mapping[str, Vector], length: int) -> pa.RecordBatch:
    """The part of `length` rows. columns: the values of the step's keys and of what it aggregates, by their names."""
    keys = [columns[name] for name, _ in step.keys]
    groups = group(keys, length)
    states = [AGGREGATES[function].start(columns[name], groups) for name, function, _ in step.aggregates]
    return _part(keys, groups, states)


def join(step: Gather, parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One part for several of the same step, at least one."""
    whole = pa.concat_batches(parts)
    keys, states = _opened(step, whole)
    groups = group(keys, whole.num_rows)
    joined = [AGGREGATES[function].join(state, groups) for (_, function, _), state in zip(step.aggregates, states, strict=True)]
    return _part(keys, groups, joined)


def finish(step: Gather, part: pa.RecordBatch) -> dict[str, Vector]:
    """The keys and the aggregates of a part, by their names. Some rows may hold a code in place of a validity."""
    keys, states = _opened(step, part)
    values = {name: key for (name, _), key in zip(step.keys, keys, strict=True)}
    for (name, function, of), state in zip(step.aggregates, states, strict=True):
        values[name] = AGGREGATES[function].finish(state, of.type)
    return values


def _part(keys: Sequence[Vector], groups: Groups, states: Sequence[Sequence[Vector]]) -> pa.RecordBatch:
    columns = {f"key {number}": one for number, one in enumerate(take_all(keys, groups.firsts))}
    for number, state in enumerate(states):
        columns |= {f"{number} {place}": one for place, one in enumerate(state)}
    return pa.RecordBatch.from_arrays([close(one) for one in columns.values()], names=list(columns))


def _opened(step: Gather, part: pa.RecordBatch) -> tuple[list[Vector], list[list[Vector]]]:
    """The keys, and the state of each aggregate."""
    columns = {name: open_array(array) for name, array in zip(part.schema.names, part.columns, strict=True)}
    keys = [columns[f"key {number}"] for number in range(len(step.keys))]
    states = [[one for name, one in columns.items() if name.startswith(f"{number} ")] for number in range(len(step.aggregates))]
    return keys, states
