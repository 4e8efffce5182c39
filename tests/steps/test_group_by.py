"""group_by: beside plain Python, exact to the last bit; parts of any split joined; and what becomes of the records."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from millstream import partials
from millstream.columns import open_array
from millstream.errors import PlanError
from millstream.expr import col, when
from millstream.pipeline import Pipeline
from millstream.planned import Gather
from millstream.reductions import NAMES
from tests import guard
from tests.steps.oracle import EXACT, bits, expected, float_sum, key, same
from tests.test_engine import check_account

INT64 = st.sampled_from([0, 1, -1, (1 << 63) - 1, -(1 << 63)]) | st.integers(-9, 9)
FLOATS = (
    st.sampled_from(
        [0.0, -0.0, 0.1, 1e16, -1e16, 5e-324, -5e-324, 2.0**-1022, 1.7976931348623157e308, math.nan, math.inf, -math.inf]
    )
    | st.floats(allow_nan=False)
    | st.floats(-9, 9)
)
COLUMNS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "i": ("int64", INT64),
    "n": ("int8", st.integers(-128, 127)),
    "u": ("uint64", st.sampled_from([0, 1, (1 << 64) - 1]) | st.integers(0, 9)),
    "f": ("float64", FLOATS),
    "g": ("float32", st.floats(width=32)),
    "b": ("bool", st.booleans()),
    "s": ("string", st.sampled_from(["", "a", "é", "日本", "aaaaaaaaab", "aaaaaaaaaa"])),
    "y": ("binary", st.binary(max_size=9)),
    "d": ("decimal128(38, 2)", st.integers(1 - 10**38, 10**38 - 1).map(lambda one: Decimal(one).scaleb(-2, EXACT))),
    "t": ("timestamp[us]", st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))),
    "l": ("duration[us]", st.timedeltas(timedelta(-9), timedelta(9))),
    "x": ("list<int64>", st.lists(st.none() | st.integers(0, 3), max_size=3)),
}
KEYS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "k": ("int64", st.integers(0, 3)),
    "q": ("string", st.sampled_from(["", "a", "b"])),
    "z": ("float64", st.sampled_from([0.0, -0.0, math.nan, 1.5])),
    "p": ("bool", st.booleans()),
}
ALL = {**KEYS, **COLUMNS}
SUMMED = {"i", "n", "u", "f", "g", "b", "d", "l"}
MEANT = SUMMED - {"l"}


@st.composite
def batches(draw: st.DrawFn, most: int = 25) -> pa.RecordBatch:
    """All columns, with nulls, sliced out of longer ones."""
    count, skip = draw(st.integers(0, most)), draw(st.integers(0, 3))
    arrays = []
    for kind, values in ALL.values():
        items = draw(st.lists(st.none() | values, min_size=count + skip, max_size=count + skip))
        arrays.append(pa.array(items, Pipeline({"c": kind}).schema.arrow.field(0).type))
    return pa.RecordBatch.from_arrays(arrays, names=list(ALL)).slice(skip)


@st.composite
def aggregates(draw: st.DrawFn) -> dict[str, tuple[str, str]]:
    """Some aggregates, by the name that their columns get: function and column."""
    possible = [
        (function, name)
        for name in COLUMNS
        for function in NAMES
        if not (function == "sum" and name not in SUMMED)
        and not (function == "mean" and name not in MEANT)
        and not (function in ("min", "max", "n_unique") and name == "x")
    ]
    chosen = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=6))
    return {f"a{number}": one for number, one in enumerate(chosen)}


@settings(max_examples=35, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3, unique=True), aggregates())
def test_groups_are_those_of_plain_python(batch: pa.RecordBatch, keys: list[str], chosen: dict[str, tuple[str, str]]) -> None:
    pipeline = Pipeline({name: kind for name, (kind, _) in ALL.items()})
    pipeline = pipeline.group_by(keys).agg(**{name: getattr(col(of), function)() for name, (function, of) in chosen.items()})
    outcome = pipeline.run(batch)
    check_account(outcome)
    rows, groups = batch.to_pylist(), {}
    for number, row in enumerate(rows):
        groups.setdefault(tuple(key(row[name]) for name in keys), []).append(number)
    wanted, rejected = [], set()
    for numbers in groups.values():
        try:
            values = {
                name: expected(function, ALL[of][0], [rows[number][of] for number in numbers])
                for name, (function, of) in chosen.items()
            }
            wanted.append((numbers, values))
        except OverflowError:
            rejected.update(numbers)
    note(str(wanted))
    found = outcome.batch.to_pylist()
    assert outcome.row_source.to_pylist() == [numbers[0] for numbers, _ in wanted]
    for got, (numbers, values) in zip(found, wanted, strict=True):
        assert all(same(key(got[name]), key(rows[numbers[0]][name])) for name in keys)
        for name, value in values.items():
            assert same(got[name], value), (chosen[name], got[name], value)
    assert outcome.rejects["position"].to_pylist() == sorted(rejected)
    assert set(outcome.rejects["code"].to_pylist()) <= {"OUT_OF_RANGE"}


def gather(pipeline: Pipeline) -> Gather:
    step = pipeline.plan().steps[-1]
    assert isinstance(step, Gather)
    return step


@settings(max_examples=35, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), aggregates(), st.lists(st.integers(0, 25), max_size=4), st.booleans())
def test_parts_of_any_split_joined_in_any_tree_give_the_whole(
    batch: pa.RecordBatch, chosen: dict[str, tuple[str, str]], cuts: list[int], twice: bool
) -> None:
    pipeline = Pipeline({name: kind for name, (kind, _) in ALL.items()})
    step = gather(
        pipeline.group_by("k", "q").agg(**{name: getattr(col(of), function)() for name, (function, of) in chosen.items()})
    )

    def part(rows: pa.RecordBatch) -> pa.RecordBatch:
        columns = {name: open_array(rows[name]) for name in ("k", "q")}
        columns |= {name: open_array(rows[of]) for name, (_, of) in chosen.items()}
        return partials.start(step, columns, rows.num_rows)

    places = [0, *sorted(min(one, batch.num_rows) for one in cuts), batch.num_rows]
    parts = [part(batch.slice(first, last - first)) for first, last in pairwise(places)]
    if twice and len(parts) > 2:
        parts = [partials.join(step, parts[:2]), partials.join(step, parts[2:])]
    joined, whole = partials.finish(step, partials.join(step, parts)), partials.finish(step, part(batch))
    for name, one in whole.items():
        assert bits(joined[name]) == bits(one), name


@settings(max_examples=40, deadline=None)
@given(st.lists(FLOATS, max_size=40), st.randoms())
def test_a_sum_of_floats_is_exact_and_knows_no_order(values: list[float], random: Any) -> None:
    pipeline = Pipeline({"f": "float64", "k": "int64"}).group_by("k").agg(col("f").sum())
    shuffled = random.sample(values, len(values))
    sums = [
        pipeline.run(pa.record_batch({"f": pa.array(one, pa.float64()), "k": pa.array([1] * len(one), pa.int64())}))
        .batch["f"]
        .to_pylist()
        for one in (values, shuffled)
    ]
    wanted = [float_sum(values)] if values else []
    assert all(same(one, other) for found in sums for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("cent", "kept"), [("0.00", 2), ("0.01", 0), ("0.02", 0)])
@pytest.mark.parametrize("function", ["sum", "mean"])
def test_a_sum_of_decimals_beyond_their_digits_rejects_its_group(function: str, cent: str, kept: int) -> None:
    """10**36 has one digit more than decimal128(38, 2) holds, and is a mean's sum no more than a sum."""
    records = [b'{"d": %s}' % one.encode() for one in ("9" * 36 + ".99", cent)]
    pipeline = Pipeline({"k": "int64", "d": "decimal128(38, 2)"}).group_by("k").agg(a=getattr(col("d"), function)())
    counts = pipeline.run(records).counts
    assert (counts["kept"], counts["rejected_by_code"]) == (kept, {} if kept else {"OUT_OF_RANGE": 2})


def test_many_groups_of_floats() -> None:
    """More than are summed at a time."""
    count = 1500
    batch = pa.record_batch(
        {"k": pa.array([i * 7 % count for i in range(3 * count)]), "f": pa.array([i * 0.1 for i in range(3 * count)])}
    )
    outcome = Pipeline({"k": "int64", "f": "float64"}).group_by("k").agg(col("f").sum(), n=col("f").len()).run(batch)
    groups: dict[int, list[float]] = {}
    for row in batch.to_pylist():
        groups.setdefault(row["k"], []).append(row["f"])
    assert outcome.batch.to_pylist() == [{"k": one, "f": math.fsum(values), "n": len(values)} for one, values in groups.items()]


def failing_at_three(name: str) -> Any:
    """0, and an error where a column is 3."""
    return when(col(name) == 3).then(1000).otherwise(0).cast("int8")


ROWS = Pipeline({"k": "string", "v": "int64", "w": "list<string>"})


@pytest.mark.parametrize(
    ("pipeline", "disposition", "rows"),
    [
        (ROWS.group_by("k").agg(col("v").sum()), [0, 0, 0, 0], [{"k": "a", "v": 11}, {"k": "b", "v": 5}]),
        (ROWS.group_by("k").agg(col("v").sum()).filter(col("v") > 9), [0, 1, 0, 0], [{"k": "a", "v": 11}]),
        (ROWS.filter(col("v") < 7).group_by("k").agg(n=col("v").len()), [0, 0, 0, 1], [{"k": "a", "n": 2}, {"k": "b", "n": 1}]),
        (ROWS.group_by("k").agg(col("v").sum()).with_columns(x=(col("v") * 20).cast("int8")), [3, 0, 3, 3], [{"k": "b", "v": 5, "x": 100}]),
        # A record that is in two groups goes with the one that is rejected, and all that it is in goes with it.
        (
            ROWS.explode("w").group_by("w").agg(col("v").sum()).with_columns(x=failing_at_three("v")),
            [3, 3, 3, 0],
            [{"w": None, "v": 8, "x": 0}],
        ),
        (ROWS.explode("w").group_by("w").agg(n=col("v").len()), [0, 0, 0, 0], [{"w": "x", "n": 2}, {"w": "y", "n": 2}, {"w": None, "n": 1}]),
        (ROWS.group_by("k").agg(col("v").sum()).group_by("v").agg(n=col("k").len()), [0, 0, 0, 0], [{"v": 11, "n": 1}, {"v": 5, "n": 1}]),
        (
            ROWS.explode("w").group_by("w").agg(n=col("v").len()).group_by("n").agg(m=col("w").len()).filter(col("n") == 1),
            [1, 1, 1, 0],
            [{"n": 1, "m": 1}],
        ),
    ],
)  # fmt: skip
def test_records_share_the_fate_of_their_group(pipeline: Pipeline, disposition: list[int], rows: list[dict[str, Any]]) -> None:
    records = [
        b'{"k": "a", "v": 1, "w": ["x", "y"]}', b'{"k": "b", "v": 5, "w": ["y"]}',
        b'{"k": "a", "v": 2, "w": ["x"]}', b'{"k": "a", "v": 8}',
    ]  # fmt: skip
    outcome = pipeline.run(records)
    check_account(outcome)
    assert outcome.disposition.to_pylist() == disposition
    assert outcome.batch.to_pylist() == rows


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: ROWS.group_by("k").agg(x=col("k").sum()).plan(), "there is no sum of string; cast the column"),
        (lambda: ROWS.group_by("k").agg(col("w").max()).plan(), "there is no max of list<string>; count it"),
        (lambda: ROWS.group_by("w").agg(col("v").sum()).plan(), "cannot be a key"),
        (lambda: ROWS.group_by("k").agg(k=col("v").sum()).plan(), "two columns would be called 'k'"),
        (lambda: ROWS.group_by("k").agg(col("v")).plan(), "`v` is no aggregate"),
        (lambda: ROWS.group_by("k").agg(x=col("v").sum() + 1).plan(), "is no aggregate; write one alone"),
        (lambda: ROWS.filter(col("v").sum() > 1).plan(), r"it stands alone in group_by\(…\)\.agg\(…\)"),
        (lambda: ROWS.group_by(), "at least one key"),
        (lambda: ROWS.group_by("k").agg(), "at least one aggregate"),
    ],
)
def test_mistakes_are_told(mistake: Callable[[], Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()


def test_kernels_stay_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    guard.install(monkeypatch)
    batch = pa.record_batch(
        {name: pa.nulls(40, Pipeline({"c": kind}).schema.arrow.field(0).type) for name, (kind, _) in ALL.items()}
    )
    pipeline = Pipeline({name: kind for name, (kind, _) in ALL.items()})
    made = {f"{function}_{of}": getattr(col(of), function)() for of in MEANT for function in NAMES}
    assert pipeline.group_by(list(KEYS)).agg(**made).run(batch).counts["rows"] == 1
