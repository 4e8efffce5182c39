"""Compiled functions give what the Python functions give, row by row, or reject the record."""

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream import Pipeline, col, lit, run_files
from millstream.userfunc.declared import prepare
from tests.udf import functions

pytestmark = pytest.mark.slow

LOW, HIGH = -(1 << 63), (1 << 63) - 1
EPOCH = date(1970, 1, 1).toordinal()


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    prepare(functions.FUNCTIONS)


class Whole(int):
    """A Python integer of 64 bits: an operation whose result does not fit raises OverflowError."""

    is_unsigned = False


class Unsigned(Whole):
    is_unsigned = True


def _operation(name: str) -> Any:
    plain = getattr(int, name)

    def operation(self: Any, *others: Any) -> Any:
        if name in ("__lshift__", "__rlshift__") and abs(int(others[0] if name == "__lshift__" else self)) > 200 and self:
            raise OverflowError
        if name == "__pow__" and not abs(int(self)) <= 1 and others[0] > 64:
            raise OverflowError
        if name == "__pow__" and others[0] < 0:
            raise ValueError
        if name == "__pow__" and abs(int(self)) <= 1:
            return Whole(plain(self, others[0] % 2 + 2 if others[0] else 0))
        found = plain(self, *others)
        if found is NotImplemented or isinstance(found, float):
            return found
        kind = Unsigned if self.is_unsigned or any(getattr(one, "is_unsigned", False) for one in others) else Whole
        if not (0 <= found < 1 << 64 if kind is Unsigned else LOW <= found <= HIGH):
            raise OverflowError
        return kind(found)

    return operation


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv", "mod", "rmod", "lshift", "rshift", "and", "or",
              "xor", "pow", "rpow", "neg", "abs", "invert"):  # fmt: skip
    setattr(Whole, f"__{_name}__", _operation(f"__{_name}__"))
Whole.__divmod__ = lambda self, other: (self // other, self % other)  # type: ignore[method-assign,assignment]


def seen(kind: Any, value: Any) -> Any:
    """A value as a function sees it."""
    if kind.family == "int":
        return (Unsigned if kind.name == "uint64" else Whole)(value)
    return value


def expected(function: Any, row: tuple[Any, ...]) -> Any:
    """What becomes of a row by the plain Python function: a value, None, or a code."""
    for value, one in zip(row, function.signature.parameters, strict=True):
        if value is None and not one.null:
            return None
    given = [
        None if value is None else seen(one.type, value) for value, one in zip(row, function.signature.parameters, strict=True)
    ]
    try:
        found = function(*given)
    except Exception:
        return "UDF_FAILED"
    if isinstance(found, complex):
        return "UDF_FAILED"
    result = function.signature.result.type
    if found is None or result.family == "float":
        return found if found is None else single(float(found)) if result.bits == 32 else float(found)
    if result.family == "bool":
        return bool(found)
    if not LOW <= found < 1 << 64 or (found > HIGH and result.name != "uint64"):
        return "UDF_FAILED"  # no 64-bit integer
    return int(found) if result.range[0] <= found <= result.range[1] else "OUT_OF_RANGE"


def single(value: float) -> float:
    return pa.scalar(value, pa.float64()).cast(pa.float32()).as_py()  # type: ignore[no-any-return]


def found(function: Any, rows: list[tuple[Any, ...]]) -> list[Any]:
    """What becomes of rows in a pipeline; they lie within a larger batch."""
    columns = list(zip(*rows, strict=True))
    kinds = [one.type for one in function.signature.parameters]
    names = [f"c{number}" for number in range(len(kinds))]
    arrays = [pa.array([values[0], *values, None], kind.arrow) for values, kind in zip(columns, kinds, strict=True)]
    batch = pa.record_batch(arrays, names).slice(1, len(rows))
    schema = {name: kind.name for name, kind in zip(names, kinds, strict=True)}
    outcome = Pipeline(schema).select(made=function(*map(col, names))).run(batch)
    made: list[Any] = ["?"] * len(rows)
    for at, value in zip(outcome.row_source.to_pylist(), outcome.batch["made"].to_pylist(), strict=True):
        made[at] = value.toordinal() - EPOCH if isinstance(value, date) else value
    for one in outcome.rejects.to_pylist():
        made[one["position"]] = one["code"]
    return made


def check(function: Any, rows: list[tuple[Any, ...]], tolerance: float = 0.0) -> None:
    if not rows:
        return
    for row, ours in zip(rows, found(function, rows), strict=True):
        theirs = expected(function, row)
        close = isinstance(ours, float) and isinstance(theirs, float) and math.isclose(ours, theirs, rel_tol=tolerance)
        assert close or same(ours, theirs), (function.name, row, ours, theirs)


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return (math.isnan(ours) and math.isnan(theirs)) or ours == theirs
    return type(ours) is type(theirs) and ours == theirs


EDGES = [LOW, LOW + 1, -65, -1, 0, 1, 2, 3, 62, 63, 64, 1 << 31, 3037000500, HIGH - 1, HIGH]
INTS = st.one_of(st.none(), st.sampled_from(EDGES), st.integers(-100, 100), st.integers(LOW, HIGH))
SMALL = st.one_of(st.integers(-3, 70), st.sampled_from(EDGES))
FLOATS = st.one_of(
    st.none(),
    st.sampled_from(
        [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -1.0, 2.675, 2.5, 1e15, 2.0**52, 2.0**63]
    ),
    st.floats(),
    st.floats(-1000, 1000),
    st.decimals(-9999, 9999, places=3).map(float),
)


def rows_of(*columns: Any) -> Any:
    return st.lists(st.tuples(*columns), min_size=1, max_size=40)


@given(rows=rows_of(FLOATS, INTS))
@settings(max_examples=60)
def test_floats_and_integers(rows: list[Any]) -> None:
    check(functions.tax, rows)
    check(functions.share, rows)
    check(functions.maybe, [(n, x) for x, n in rows])


@given(rows=rows_of(INTS, INTS))
@settings(max_examples=100)
@example([(LOW, -1), (LOW, 1), (HIGH, HIGH), (7, 0)])
def test_integers_do_not_wrap_around(rows: list[Any]) -> None:
    check(functions.whole, rows)


@given(rows=rows_of(st.integers(0, 6), INTS, SMALL))
@example(rows=[(5, LOW, 0), (5, LOW, 6), (5, -12, 18)])
@settings(max_examples=100)
@example([(3, -1, HIGH), (3, 0, 0), (3, 2, 63), (3, -2, 63), (3, 0, -1), (0, 0, 200), (0, 1, 63), (1, -1, 200), (5, LOW, -1)])
def test_bits_and_powers(rows: list[Any]) -> None:
    check(functions.bits, rows)


@given(rows=rows_of(st.one_of(st.none(), st.integers(0, (1 << 64) - 1)), SMALL))
@settings(max_examples=60)
@example([((1 << 64) - 1, 0), ((1 << 64) - 1, 1), (1, -1), (2, -1)])
def test_unsigned_and_signed_integers_meet(rows: list[Any]) -> None:
    check(functions.unsigned, rows)


@given(rows=rows_of(FLOATS, FLOATS))
@settings(max_examples=100)
def test_floats(rows: list[Any]) -> None:
    check(functions.floats, rows, 1e-15)


@given(rows=rows_of(st.integers(0, 13), FLOATS, FLOATS))
@settings(max_examples=120)
@example(
    [
        (12, 1.7976931348623157e308, 0.0),
        (4, 1e308, 1.5e308),
        (1, 710.0, 0.0),
        (7, 0.0, -1.0),
        (7, -8.0, 1 / 3),
        (2, 0.0, 0.0),
        (5, 8.0, 1.0),
    ]
)
def test_mathematics_with_pythons_errors(rows: list[Any]) -> None:
    # Whole numbers of any size are Python's, and of 64 bits ours.
    check(functions.mathematics, [row for row in rows if row[0] != 11 or all(abs(x or 0) < 1 << 60 for x in row[1:])], 1e-13)


@given(rows=rows_of(FLOATS))
@settings(max_examples=120)
@example(
    [
        (2.675,),
        (0.5,),
        (1.5,),
        (-0.5,),
        (-2.5,),
        (1e22,),
        (45035996273704.965,),
        (-0.001,),
        (0.285,),
        (1.005,),
        (4503599627370497.5,),
    ]
)
def test_floats_become_integers_and_lose_digits_as_in_python(rows: list[Any]) -> None:
    for function in (functions.cut, functions.nearest, functions.cents):
        check(function, rows)


@given(rows=rows_of(st.one_of(st.none(), st.booleans()), st.one_of(st.none(), st.booleans())))
@settings(max_examples=20)
def test_truth_values(rows: list[Any]) -> None:
    check(functions.both, rows)


@given(rows=rows_of(st.one_of(st.none(), st.integers(-(1 << 15), (1 << 15) - 1)), st.one_of(st.none(), st.integers(0, 255))))
@settings(max_examples=30)
@example([(127, 0), (128, 0), (-128, 0), (-128, 1), (0, 255)])
def test_a_result_outside_its_type_is_out_of_range(rows: list[Any]) -> None:
    check(functions.small, rows)


@given(
    rows=rows_of(
        st.one_of(st.none(), st.integers(-(1 << 62), 1 << 62)), st.one_of(st.integers(-5, 5), st.integers(-(1 << 40), 1 << 40))
    )
)
@settings(max_examples=30)
def test_times_are_their_integers(rows: list[Any]) -> None:
    kept = []
    for ticks, days in rows:
        result = None if ticks is None else ticks // 86_400_000_000 + days
        kept += [(ticks, days)] if result is None or abs(result) < 700_000 or abs(result) > 1 << 31 else []
    if kept:
        check(functions.day_of, kept)


@given(rows=rows_of(st.one_of(st.none(), st.floats(width=32))), counts=rows_of(st.one_of(st.none(), st.integers(-10, 10**6))))
@settings(max_examples=30)
def test_single_floats_and_loops(rows: list[Any], counts: list[Any]) -> None:
    check(functions.third, rows)
    check(functions.steps, counts)


def test_what_becomes_of_records() -> None:
    pipeline = (
        Pipeline({"n": "int64", "x": "float64", "at": "timestamp[us, UTC]"})
        .with_columns(made=functions.maybe(col("n"), col("x")), day=functions.day_of(col("at"), 1))
        .filter(functions.share(col("x"), col("n")) > 0)
    )
    outcome = pipeline.run(
        [
            b'{"n": 1, "x": 2.5, "at": "2024-01-31T12:00:00Z"}',
            b'{"n": 3, "x": 2.5}',
            b'{"n": 0, "x": 2.5}',
            b'{"n": null, "x": 2.5}',
            b'{"n": 9, "x": 2.5}',
        ]
    )
    assert [(one["made"], one["day"]) for one in outcome.batch.to_pylist()] == [(3.5, date(2024, 2, 1)), (None, None)]
    told = [(one["position"], one["code"], one["column"], one["message"]) for one in outcome.rejects.to_pylist()]
    assert told == [
        (1, "UDF_FAILED", "made", "step 1 (with_columns): the function failed"),
        (2, "UDF_FAILED", "x", "step 2 (filter): the function failed"),
    ]
    counts = outcome.counts
    assert (counts["kept"], counts["filtered"], counts["rejected"]) == (2, 1, 2)


def test_an_error_of_an_argument_comes_before_the_function() -> None:
    bad = col("n") * (1 << 62)  # too large
    for made in (functions.maybe(bad, col("x")), functions.share(col("x"), bad)):
        outcome = (
            Pipeline({"n": "int64", "x": "float64"}).with_columns(made=made).run([b'{"n": 4, "x": 1}', b'{"n": 1, "x": 1}'])
        )
        assert [one["code"] for one in outcome.rejects.to_pylist()] == ["OUT_OF_RANGE"]


def test_a_branch_that_is_not_taken_rejects_nothing() -> None:
    from millstream import when

    pipeline = Pipeline({"n": "int64", "x": "float64"}).select(y=when(col("n") != 0).then(functions.share(col("x"), col("n"))))
    outcome = pipeline.run([b'{"n": 0, "x": 1}', b'{"n": 2, "x": 1}'])
    assert outcome.batch["y"].to_pylist() == [None, 0.5]


def test_an_empty_batch() -> None:
    batch = pa.record_batch({"x": pa.array([], pa.float64()), "n": pa.array([], pa.int64())})
    assert Pipeline({"x": "float64", "n": "int64"}).select(y=functions.share(col("x"), col("n"))).run(batch).batch.num_rows == 0


def test_literals_and_narrow_columns_come_to_the_signature() -> None:
    pipeline = Pipeline({"n": "int8", "x": "float32"}).select(y=functions.tax(col("n"), 2), z=functions.tax(col("x"), col("n")))
    assert pipeline.run([b'{"n": 4, "x": 0.5}']).batch.to_pylist() == [{"y": 6.0, "z": 1.5}]
    pipeline = Pipeline({"x": "float64"}).select(
        y=functions.maybe(None, col("x")), z=functions.day_of(lit("2024-01-31T00:00:00Z"), 0)
    )
    assert pipeline.run([b'{"x": 0.5}']).batch.to_pylist() == [{"y": 0.5, "z": date(2024, 1, 31)}]


@pytest.mark.parametrize("optimise", [True, False])
def test_filters_are_not_moved_past_a_function_that_rejects(optimise: bool) -> None:
    from millstream import engine
    from millstream.decode.payloads import Payloads
    from millstream.plan import plan
    from millstream.schema import Schema

    pipeline = (
        Pipeline(Schema({"n": "int64", "x": "float64"}))
        .with_columns(y=functions.share(col("x"), col("n")))
        .filter(col("n") > 0)
    )
    planned = plan(pipeline.schema, pipeline.steps, pipeline.output, optimise=optimise)
    outcome = engine.run(planned, Payloads.of_lines(b'{"n": 0, "x": 1}\n{"n": 1, "x": 1}\n{"n": -1, "x": 1}\n'))
    assert (outcome.counts["kept"], outcome.counts["filtered"], outcome.counts["rejected"]) == (1, 1, 1)


def test_datetimes_are_what_they_were() -> None:
    at = datetime.fromisoformat("2024-01-31T23:59:59.999999+00:00")
    assert found(functions.day_of, [(int(at.timestamp() * 1e6), 0)]) == [date(2024, 1, 31).toordinal() - EPOCH]


def test_threads_share_a_function(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.ndjson").write_text("".join(f'{{"x": {n}, "n": {number}}}\n' for n in range(2000)))
    pipeline = Pipeline({"x": "float64", "n": "int64"}, output={"format": "ndjson"}).select(
        y=functions.share(col("x"), col("n"))
    )
    report = run_files(pipeline, [tmp_path], sink=tmp_path / "out", jobs=4)
    assert report.counts["written"] == 7 * 2000
    assert report.rejected_by_code == {"UDF_FAILED": 2000}


def test_nan_is_one_whatever_made_it() -> None:
    """What x86-64 makes of infinity less infinity has a sign, arm64's has none."""
    outcome = (
        Pipeline({"x": "float64"}).select(made=functions.floats(col("x"), lit(1.0))).run(pa.record_batch({"x": [math.inf]}))
    )
    (bits,) = outcome.batch["made"].view(pa.uint64()).to_pylist()
    assert bits == 0x7FF8000000000000
