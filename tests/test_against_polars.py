"""Random pipelines over random data, beside Polars: the same steps and expressions, written once for both.

What Polars means otherwise (docs/reference/expressions.md lists it) is kept out of the generated expressions, or brought to our
meaning where a column is read: Polars sees narrow integers as Int64 and Float32 as Float64, as our arithmetic does.
Rows that we reject are left out of the comparison.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from millstream import expr
from millstream.pipeline import Pipeline
from millstream.tables import lookup

pl = pytest.importorskip("polars", reason="NOT TESTED: Polars is not installed; pip install -e '.[dev]'")

EPOCH = datetime(1970, 1, 1)
LETTERS = "ab AB\t\u2003éÉ日0-"
TEXTS = st.sampled_from(["", "ab", "aB", "é", " ab\u2003", "12", "-7", "x"]) | st.text(LETTERS, max_size=9)
FLOATS = st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 1e300]) | st.floats(-99, 99)
WHOLE = st.sampled_from([0, 1, -1, 2, 7, 10**12, (1 << 63) - 1, -(1 << 63)]) | st.integers(-99, 99)
MICROS = st.integers(-62000000000 * 10**6, 253000000000 * 10**6) | st.integers(-(10**9), 10**9)
TIMES = MICROS.map(lambda value: EPOCH + timedelta(microseconds=value))
DATES = st.dates(date(1, 1, 8)) | st.dates(date(1969, 12, 1), date(1970, 2, 1))

# Columns by kind: name, type, values. An expression of a kind begins with one of them.
COLUMNS: dict[str, list[tuple[str, str, st.SearchStrategy[Any]]]] = {
    "int": [("i", "int64", WHOLE), ("j", "int64", st.integers(-3, 3)), ("n", "int8", st.integers(-128, 127)),
            ("w", "uint32", st.integers(0, (1 << 32) - 1))],
    "float": [("f", "float64", FLOATS), ("g", "float32", st.sampled_from([0.5, -2.0, math.nan, math.inf]) | st.floats(width=32))],
    "bool": [("p", "bool", st.booleans()), ("q", "bool", st.booleans())],
    "string": [("s", "string", TEXTS), ("t", "string", TEXTS)],
    "time": [("a", "timestamp[us]", TIMES), ("b", "timestamp[us]", TIMES)],
    "date": [("d", "date32", DATES)],
}  # fmt: skip
TYPES = {name: kind for group in COLUMNS.values() for name, kind, _ in group}
ARROW = {"int64": pa.int64(), "int8": pa.int8(), "uint32": pa.uint32(), "float64": pa.float64(), "float32": pa.float32(),
         "bool": pa.bool_(), "string": pa.string(), "timestamp[us]": pa.timestamp("us"), "date32": pa.date32()}  # fmt: skip
WIDE = {"int": pl.Int64, "float": pl.Float64}
LITERALS = {"int": st.integers(-9, 9), "float": st.sampled_from([0.0, 0.5, -3.0, math.inf]), "string": TEXTS,
            "bool": st.booleans(), "time": TIMES, "date": DATES}  # fmt: skip
DTYPES = {
    "int": pl.Int64,
    "float": pl.Float64,
    "string": pl.String,
    "bool": pl.Boolean,
    "time": pl.Datetime("us"),
    "date": pl.Date,
}


class Both(NamedTuple):
    """One expression, ours and Polars'."""

    ours: Any
    theirs: Any


def both(function: Callable[..., Any], *arguments: Both) -> Both:
    """The same operators and methods on either side."""
    return Both(function(*(one.ours for one in arguments)), function(*(one.theirs for one in arguments)))


class Maker:
    """Draws typed expressions over the columns there are: name to kind."""

    def __init__(self, draw: st.DrawFn, columns: dict[str, str]) -> None:
        self.draw, self.columns = draw, columns

    def one(self, *choices: Callable[[], Both]) -> Both:
        return self.draw(st.sampled_from(choices))()

    def leaf(self, kind: str) -> Both:
        names = [name for name, other in self.columns.items() if other == kind]
        if names and self.draw(st.integers(0, 3)):
            name = self.draw(st.sampled_from(names))
            theirs = pl.col(name)
            return Both(expr.col(name), theirs.cast(WIDE[kind]) if kind in WIDE else theirs)
        value = self.draw(LITERALS[kind])
        # Polars gives one row for what is made of literals alone, and not always spreads it: tie the literal to the rows.
        return Both(expr.lit(value), pl.when(pl.col("row") >= 0).then(pl.lit(value, dtype=DTYPES[kind])))

    def make(self, kind: str, depth: int) -> Both:
        """An expression of a kind; below depth 0 a column or a literal."""
        if depth <= 0:
            return self.leaf(kind)
        common = [lambda: self.leaf(kind), lambda: self.choice(kind, depth), lambda: self.filled(kind, depth)]
        return self.one(*common, *getattr(self, f"_{kind}")(depth - 1))

    def choice(self, kind: str, depth: int) -> Both:
        test, yes, no = self.make("bool", depth - 1), self.make(kind, depth - 1), self.make(kind, depth - 1)
        if self.draw(st.booleans()):
            return Both(expr.when(test.ours).then(yes.ours), pl.when(test.theirs).then(yes.theirs))
        return Both(
            expr.when(test.ours).then(yes.ours).otherwise(no.ours), pl.when(test.theirs).then(yes.theirs).otherwise(no.theirs)
        )

    def filled(self, kind: str, depth: int) -> Both:
        return both(lambda a, b: a.fill_null(b), self.make(kind, depth - 1), self.make(kind, depth - 1))

    def pair(self, function: Callable[..., Any], left: str, right: str, depth: int) -> Callable[[], Both]:
        return lambda: both(function, self.make(left, depth), self.make(right, depth))

    def single(self, function: Callable[..., Any], kind: str, depth: int) -> Callable[[], Both]:
        return lambda: both(function, self.make(kind, depth))

    def cast(self, source: str, name: str, theirs: Any, wide: Any, depth: int) -> Callable[[], Both]:
        def made() -> Both:
            inner = self.make(source, depth)
            cast = inner.theirs.cast(theirs, strict=False)
            return Both(inner.ours.cast(name, strict=False), cast if wide is None else cast.cast(wide))

        return made

    def _int(self, depth: int) -> list[Callable[[], Both]]:
        operators = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod]
        return [
            *(self.pair(one, "int", "int", depth) for one in operators),
            self.single(operator.neg, "int", depth),
            self.cast("float", "int64", pl.Int64, None, depth),
            self.cast("float", "uint8", pl.UInt8, pl.Int64, depth),
            self.cast("int", "int16", pl.Int16, pl.Int64, depth),
            self.cast("bool", "int64", pl.Int64, None, depth),
            self.cast("date", "int64", pl.Int64, None, depth),
            self.cast("time", "int64", pl.Int64, None, depth),
            lambda: self.part(depth),
        ]

    def part(self, depth: int) -> Both:
        inner = self.make(self.draw(st.sampled_from(["time", "date"])), depth)
        name = self.draw(st.sampled_from(["year", "month", "day"]))
        return Both(getattr(inner.ours.dt, name)(), getattr(inner.theirs.dt, name)().cast(pl.Int64))

    def _float(self, depth: int) -> list[Callable[[], Both]]:
        operators = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod]
        return [
            *(self.pair(one, "float", "float", depth) for one in operators),
            *(self.pair(one, "int", "float", depth) for one in operators[:4]),
            self.pair(operator.truediv, "int", "int", depth),
            self.single(operator.neg, "float", depth),
            self.cast("int", "float64", pl.Float64, None, depth),
            self.cast("float", "float32", pl.Float32, pl.Float64, depth),
        ]

    def _bool(self, depth: int) -> list[Callable[[], Both]]:
        compares = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
        kind = self.draw(st.sampled_from(["int", "float", "string", "time", "date", "bool"]))
        return [
            *(self.pair(one, kind, kind, depth) for one in compares),
            *(self.pair(one, "int", "float", depth) for one in compares[:3]),
            *(self.pair(one, "date", "time", depth) for one in compares[2:4]),
            *(self.pair(one, "bool", "bool", depth) for one in (operator.and_, operator.or_)),
            self.single(operator.invert, "bool", depth),
            self.single(lambda a: a.is_null(), kind, depth),
            self.single(lambda a: a.is_not_null(), kind, depth),
            lambda: self.between(kind, depth),
            lambda: self.member(kind, depth),
            lambda: self.search(depth),
            self.cast("int", "bool", pl.Boolean, None, depth),
        ]

    def between(self, kind: str, depth: int) -> Both:
        closed = self.draw(st.sampled_from(["both", "left", "right", "none"]))
        arguments = (self.make(kind, depth) for _ in range(3))
        return both(lambda a, b, c: a.is_between(b, c, closed=closed), *arguments)

    def member(self, kind: str, depth: int) -> Both:
        values = self.draw(st.lists(LITERALS[kind], max_size=4))
        inner = self.make(kind, depth)
        return Both(inner.ours.is_in(values), inner.theirs.is_in(pl.Series(values, dtype=DTYPES[kind]).implode()))

    def search(self, depth: int) -> Both:
        text = self.draw(TEXTS)
        functions = [
            lambda a: a.str.starts_with(text),
            lambda a: a.str.ends_with(text),
            lambda a: a.str.contains(text, literal=True),
        ]
        return both(self.draw(st.sampled_from(functions)), self.make("string", depth))

    def _string(self, depth: int) -> list[Callable[[], Both]]:
        return [
            self.single(lambda a: a.str.strip_chars(), "string", depth),
            self.single(lambda a: a.str.strip_chars("aé "), "string", depth),
            self.single(lambda a: a.str.to_lowercase(), "string", depth),
            self.single(lambda a: a.str.to_uppercase(), "string", depth),
            self.cast("int", "string", pl.String, None, depth),
        ]

    def truncated(self, kind: str, windows: list[str], depth: int) -> Callable[[], Both]:
        def made() -> Both:
            every = self.draw(st.sampled_from(windows))
            return both(lambda a: a.dt.truncate(every), self.make(kind, depth))

        return made

    def _time(self, depth: int) -> list[Callable[[], Both]]:
        windows = ["1us", "7ms", "5s", "15m", "7h", "1d", "3d", "1w", "1mo", "1q", "1y"]
        return [self.truncated("time", windows, depth), self.cast("date", "timestamp[us]", pl.Datetime("us"), None, depth)]

    def _date(self, depth: int) -> list[Callable[[], Both]]:
        return [
            self.truncated("date", ["1d", "3d", "1w", "1mo", "1q", "1y"], depth),
            self.cast("time", "date32", pl.Date, None, depth),
        ]


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    """All columns; some without a null, all sliced out of longer arrays."""
    count, skip = draw(st.sampled_from([0, 1, 2, 7, 20, 20])), draw(st.integers(0, 9))
    arrays = []
    for group in COLUMNS.values():
        for _, kind, values in group:
            items = values if draw(st.booleans()) else values | st.none()
            arrays.append(pa.array(draw(st.lists(items, min_size=count + skip, max_size=count + skip)), ARROW[kind]))
    return pa.RecordBatch.from_arrays(arrays, names=list(TYPES)).slice(skip)


LOOKUP = pa.table({"k": ["ab", "é", None, "12"], "v": [1, None, 3, 4], "s": ["x", "y", "z", None]})


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Pipeline, Callable[[Any], Any], list[str]]:
    """A pipeline, what does the same to a frame of Polars, and its steps in words."""
    pipeline = Pipeline(TYPES)
    columns = {name: kind for kind, group in COLUMNS.items() for name, _, _ in group}
    steps: list[Callable[[Any], Any]] = []
    for number in range(draw(st.integers(1, 4))):
        maker = Maker(draw, dict(columns))
        kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
        step = draw(st.sampled_from(["with_columns"] * 4 + ["filter"] * 2 + ["select", "drop", "rename", "drop_nulls", "join"]))
        if step in ("with_columns", "select"):
            made = {f"{kind[0]}{number}{at}": maker.make(kind, 3) for at, kind in enumerate(kinds)}
            if step == "select":
                kept = draw(st.lists(st.sampled_from(list(columns)), unique=True))
                pipeline = pipeline.select(*kept, **{name: one.ours for name, one in made.items()})
                columns = {name: columns[name] for name in kept}
            else:
                kept = None
                pipeline = pipeline.with_columns(**{name: one.ours for name, one in made.items()})
            columns |= dict(zip(made, kinds, strict=True))
            steps.append(_computed({name: one.theirs for name, one in made.items()}, kept))
        elif step == "filter":
            tests = [maker.make("bool", 3) for _ in kinds[:2]]
            pipeline = pipeline.filter(*(one.ours for one in tests))
            steps.append(_method("filter", *(one.theirs for one in tests)))
        elif step == "drop" and len(columns) > 1:
            name = draw(st.sampled_from(list(columns)))
            pipeline, columns = pipeline.drop(name), {other: kind for other, kind in columns.items() if other != name}
            steps.append(_method("drop", name))
        elif step == "rename":
            name = draw(st.sampled_from(list(columns)))
            pipeline = pipeline.rename({name: f"r{number}"})
            columns = {f"r{number}" if other == name else other: kind for other, kind in columns.items()}
            steps.append(_method("rename", {name: f"r{number}"}))
        elif step == "drop_nulls":
            name = draw(st.sampled_from(list(columns)))
            pipeline = pipeline.drop_nulls(name)
            steps.append(_method("drop_nulls", name))
        elif step == "join" and "v" not in columns and "s_right" not in columns:
            names = [name for name, kind in columns.items() if kind == "string"]
            if names:
                on, how = draw(st.sampled_from(names)), draw(st.sampled_from(["left", "inner", "anti"]))
                pipeline = pipeline.join(lookup(LOOKUP, key="k"), on=on, how=how)
                if how != "anti":
                    columns |= {"v": "int", "s_right" if "s" in columns else "s": "string"}
                steps.append(_joined(on, how))
    return pipeline, lambda frame: _all(steps, frame), list(columns)


def _all(steps: list[Callable[[Any], Any]], frame: Any) -> Any:
    for step in steps:
        frame = step(frame)
    return frame


def _method(name: str, *arguments: Any) -> Callable[[Any], Any]:
    return lambda frame: getattr(frame, name)(*arguments)


def _computed(made: dict[str, Any], kept: list[str] | None) -> Callable[[Any], Any]:
    names = None if kept is None else ["row", *kept, *(name for name in made if name not in kept)]
    return lambda frame: frame.with_columns(**made) if names is None else frame.with_columns(**made).select(names)


def _joined(on: str, how: str) -> Callable[[Any], Any]:
    table = pl.from_arrow(LOOKUP)

    def join(frame: Any) -> Any:
        other = table.lazy() if isinstance(frame, pl.LazyFrame) else table
        return frame.join(other, left_on=on, right_on="k", how=how)

    return join


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, float) and isinstance(right, float) and math.isfinite(left):
        return math.isclose(left, right, rel_tol=1e-12)  # Polars multiplies by the inverse of a divisor that is one value
    return type(left) is type(right) and bool(left == right)


@settings(max_examples=250, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), jobs(), st.booleans())
def test_pipelines_give_what_polars_gives(batch: pa.RecordBatch, job: Any, lazy: bool) -> None:
    pipeline, theirs, columns = job
    note(str(pipeline.steps))
    outcome = pipeline.run(batch)
    outcome.batch.validate(full=True)
    frame = pl.from_arrow(batch).with_row_index("row")
    frame = theirs(frame.lazy()).collect() if lazy else theirs(frame)
    rejected = outcome.rejects["position"].to_pylist()
    frame = frame.filter(~pl.col("row").is_in(pl.Series(rejected, dtype=pl.UInt32).implode())).sort("row")
    assert outcome.row_source.to_pylist() == frame["row"].to_list()
    assert outcome.batch.schema.names == columns
    for name in columns:
        for got, wanted in zip(outcome.batch[name].to_pylist(), frame[name].to_list(), strict=True):
            assert same(got, wanted), (name, got, wanted)
