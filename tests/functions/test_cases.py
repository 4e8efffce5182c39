"""Every case of the table over generated columns, against plain Python and against Arrow; every example of the catalogue."""

from __future__ import annotations

import math
import os
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.functions import CATALOGUE
from millstream.grammar import parse
from millstream.pipeline import Pipeline
from millstream.schema import Code, parse_type
from tests import guard
from tests.cases import EPOCH, EXACT, Case
from tests.cases_catalogue import CASES
from tests.functions.kinds import KINDS

TEXTS = [
    "",
    "ab",
    "é",
    " ab\u2003",
    "true",
    "false",
    "12",
    "-7",
    "+3",
    "99999999999999999999",
    "1" * 40,
    "日本語ab",
    "aé aé",
    "\x00",
]


TEXTUAL = {"ascii": "string", "numbers": "string", "times": "string", "clocks": "string", "finite": "float64"} | {
    name: kind.type for name, kind in KINDS.items()
}
"""Kinds of values that are no type's own name: the type that holds them."""


def values(kind: str) -> st.SearchStrategy[Any]:
    """Values of a type, extremes often."""
    if kind in KINDS:
        return st.sampled_from(KINDS[kind].edges) | st.randoms().map(KINDS[kind].make)
    if kind == "bool":
        return st.booleans()
    if kind == "string":
        return st.sampled_from(TEXTS) | st.text(max_size=20)
    if kind == "ascii":
        return st.text(st.characters(max_codepoint=127), max_size=70)
    if kind == "numbers":  # text that is a number, or nearly
        odd = [
            "",
            "-",
            "+3",
            "007",
            "-0",
            ".5",
            "5.",
            "1e",
            "1e5",
            "-1E-7",
            "1e400",
            "1e39",
            "3.4028236e38",
            "NaN",
            "inf",
            " 1",
            "1" * 25,
        ]
        ties = [
            "0.1234567890123456789012345",
            "9007199254740993",
            "16777217",
            "1.00000017881393432617187499",
            "5e-324",
            "2e-324",
            "1e-46",
        ]
        return st.sampled_from(odd + ties) | st.floats().map(repr) | st.floats(-99, 99).map(lambda one: f"{one:.22f}")
    if kind == "times":
        odd = ["", "2024-02-30", "2023-02-29", "2024-13-01", "2024-01-02T24:00:00", "2024-01-02T03:04:60", "2024-1-2",
               "2024-01-02T03:04:05", "2024-01-02 03:04:05.1234567", "2024-01-02t03:04:05.z", "2024-01-02T03:04:05.5+01:30",
               "1969-12-31T23:59:59.999Z", "2024-01-02T03:04:05+24:00", "2024-01-02T03:04:05z",
               "٢٠٢٤-٠١-٠٢"]  # fmt: skip
        known = values("timestamp[us]").map(lambda one: one.isoformat()) | st.dates().map(date.isoformat)
        return st.sampled_from(odd) | known | known.map(lambda one: one + "Z")
    if kind == "clocks":
        odd = [
            "",
            "1:02",
            "24:00",
            "23:60",
            "23:59:60",
            "12",
            "12:30",
            "1230",
            "123045,5",
            "12:3045",
            "12:30:45.1234567",
            "12:30:45Z",
            "noon",
        ]
        return st.sampled_from(odd) | st.times().map(time.isoformat)
    if kind == "finite":
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind == "float32":
        return st.floats(width=32)
    if kind.startswith("float"):
        return (
            st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, 2.0**63, -(2.0**63)])
            | st.floats()
            | st.floats(-9, 9)
        )
    if kind == "date32":
        return st.sampled_from([date(2000, 2, 29), date(1970, 1, 1), date(1969, 12, 31)]) | st.dates(date(2, 1, 1))
    if kind.startswith("timestamp"):
        step = {"s": 10**6, "ms": 10**3, "us": 1}[kind[10:-1]]
        micros = st.integers(-62100000000 * 10**6, 253402300799 * 10**6)
        edges = st.sampled_from([0, -1, 1, 10**15, -86400 * 10**6])
        return (micros | edges).map(lambda value: datetime_of(value // step * step))
    if kind == "time64[us]":
        return st.sampled_from([time(0), time(1, 2, 3), time(23, 59, 59, 999999)]) | st.times()
    if kind == "duration[us]":
        bound = timedelta(days=(1 << 63) // (86400 * 10**6) - 1)
        return st.sampled_from([timedelta(), timedelta(1), timedelta(seconds=-1.5)]) | st.timedeltas(-bound, bound)
    if kind == "binary":
        return st.sampled_from([b"", b"\0\xff", b"\0", "é日本".encode(), b"\xed\xa0\x80"]) | st.binary(max_size=20)
    low, high = parse_type(kind).range
    if kind.startswith("decimal"):
        scale = parse_type(kind).scale
        edges = [one for one in (0, 1, -1, 5, 50, 150, -250, 105 * 10**scale // 10, low, high) if low <= one <= high]
        return (st.sampled_from(edges) | st.integers(low, high) | st.integers(-999, 999)).map(
            lambda one: Decimal(one).scaleb(-scale, EXACT)
        )
    edges = st.sampled_from([one for one in (0, 1, -1, 2, 6, low, low + 1, high - 1, high) if low <= one <= high])
    return edges | st.integers(low, high) | st.integers(max(low, -9), min(high, 9))


def datetime_of(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


GUARDED = [os.environ.get("MILLSTREAM_BACKEND") != "checked"]
"""With range checks no forbidden pages are needed around what is read."""


@st.composite
def batches(draw: st.DrawFn, case: Case) -> pa.RecordBatch:
    """Columns for a case, some with nulls, some sliced out of longer arrays."""
    count, skip = draw(st.integers(0, 24)), draw(st.integers(0, 9))
    arrays = []
    for kind in case.columns.values():
        items = values(kind) if draw(st.booleans()) else values(kind) | st.none()
        drawn = draw(st.lists(items, min_size=count + skip, max_size=count + skip))
        arrays.append(pa.array(drawn, parse_type(TEXTUAL.get(kind, kind)).arrow).slice(skip))
    return pa.RecordBatch.from_arrays(arrays, names=list(case.columns))


def same(left: Any, right: Any, near: float = 0.0) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    if near and isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=near, abs_tol=5e-324)
    return bool(left == right) and (left is None) == (right is None)


@pytest.mark.parametrize("case", CASES, ids=lambda one: f"{one.text} {'/'.join(one.columns.values())}")
@pytest.mark.parametrize("guarded", GUARDED)
def test_case(case: Case, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if guarded:
        guard.install(monkeypatch)
    schema = {name: TEXTUAL.get(kind, kind) for name, kind in case.columns.items()}
    pipeline = Pipeline(schema).select(*schema, result=parse(case.text))

    @settings(max_examples=8 if guarded else 15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(batches(case))
    def check(batch: pa.RecordBatch) -> None:
        rows = [tuple(row.values()) for row in batch.to_pylist()]
        arrow = None
        if case.arrow is not None:
            arrow = case.arrow(*(batch[name] for name in schema)).to_pylist()
        expected = [case.oracle(*row) for row in rows] if case.oracle is not None else arrow
        assert expected is not None
        outcome = pipeline.run(batch)
        codes = dict(zip(outcome.rejects["position"].to_pylist(), outcome.rejects["code"].to_pylist(), strict=True))
        assert codes == {at: one.name for at, one in enumerate(expected) if isinstance(one, Code)}
        wanted = [one for one in expected if not isinstance(one, Code)]
        got = outcome.batch["result"].to_pylist()
        assert len(got) == len(wanted)
        for one, other, at in zip(got, wanted, outcome.row_source.to_pylist(), strict=True):
            assert same(one, other, case.near), (rows[at], one, other)
        outcome.batch.validate(full=True)
        for name in schema:  # the inputs come out as they went in
            kept = batch[name].take(outcome.row_source)
            assert all(same(one, other) for one, other in zip(outcome.batch[name].to_pylist(), kept.to_pylist(), strict=True))
        if arrow is not None:
            assert all(same(one, other, case.near) for one, other in zip(got, arrow, strict=True)), (rows, got, arrow)

    check()


EXAMPLES = [(one.name, example) for one in CATALOGUE.values() for example in one.examples]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{name}: {one.text}" for name, one in EXAMPLES])
def test_examples_of_the_catalogue(name: str, example: Any) -> None:
    got = run_example(example)
    assert len(got) == len(example.result)
    assert all(same(one, other) for one, other in zip(got, example.result, strict=True)), got


def run_example(example: Any) -> list[Any]:
    """What an example of the catalogue gives, dates and times as text."""
    readers = {"timestamp": datetime.fromisoformat, "date": date.fromisoformat}
    arrays = {}
    for column, (kind, items) in example.columns.items():
        read = readers.get(parse_type(kind).family, lambda one: one)
        arrays[column] = pa.array([None if one is None else read(one) for one in items], parse_type(kind).arrow)
    pipeline = Pipeline({column: kind for column, (kind, _) in example.columns.items()}).select(result=parse(example.text))
    outcome = pipeline.run(pa.record_batch(arrays))
    outcome.batch.validate(full=True)
    return [
        one.isoformat().replace("+00:00", "") if isinstance(one, date) else one for one in outcome.batch["result"].to_pylist()
    ]


def test_every_function_has_a_doc_and_two_examples() -> None:
    for one in CATALOGUE.values():
        assert one.doc.endswith((".", "?"))
        assert len(one.examples) >= 2, one.name


SYMBOLS = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "add": "+", "sub": "-", "mul": "*",
    "truediv": "/", "floordiv": "//", "mod": "%", "neg": "-a", "is_in": " in (", "xor": "^",
}  # fmt: skip


def test_every_function_has_a_case() -> None:
    texts = " ".join(str(parse(one.text)) for one in CASES)
    for name in CATALOGUE:
        method = name.split(".")[-1]
        assert SYMBOLS.get(name, method) in texts, name
