"""Optimised is unoptimised: rows, dispositions, rejects and counts, for any pipeline; and what is moved, and what is not."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from millstream import engine
from millstream.errors import RunError
from millstream.expr import Expr, col, when
from millstream.pipeline import Pipeline
from millstream.plan import plan
from millstream.tables import lookup

SCHEMA = {"a": "int64", "b": "int64", "f": "float64", "s": "string", "t": "string", "l": "list<int64>"}
SMALL = lookup(pa.table({"k": ["1", "x"], "v": [1, None]}), key="k")
NUMBERS = st.sampled_from([0, 1, -1, 7, 300, (1 << 63) - 1, -(1 << 63)])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "a": NUMBERS,
    "b": NUMBERS,
    "f": st.sampled_from([0.0, 1.5, -3.0, float("inf")]),
    "s": st.sampled_from(["", "1", "x", "Xx", "300"]),
    "t": st.sampled_from(["1", "y"]),
    "l": st.lists(st.integers(0, 3), max_size=3),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    count = draw(st.integers(0, 12))
    rows = [{name: draw(st.none() | values) for name, values in VALUES.items()} for _ in range(count)]
    return pa.RecordBatch.from_pylist(rows, schema=Pipeline(SCHEMA).schema.arrow)


class Maker:
    """Draws expressions over the columns there are, by kind: what can fail and what cannot."""

    def __init__(self, draw: st.DrawFn, kinds: dict[str, str]) -> None:
        self.draw, self.kinds = draw, kinds

    def of(self, kind: str) -> Expr | None:
        names = [name for name, other in self.kinds.items() if other == kind]
        return col(self.draw(st.sampled_from(names))) if names else None

    def value(self) -> tuple[Expr, str] | None:
        kind = self.draw(st.sampled_from(["int", "float", "string"]))
        one, other = self.of(kind), self.of(kind)
        if one is None or other is None:
            return None
        made: dict[str, list[tuple[Expr, str]]] = {
            "int": [(one + other, "int"), (one * 3, "int"), (one, "int"), (one.cast("int8"), "int"), (one % 2, "int"),
                    (one.cast("int8", strict=False), "int"), (one / 2, "float"), (one.fill_null(0), "int"),
                    (when(one > 0).then(other), "int")],
            "float": [(one + other, "float"), (one.cast("int64"), "int"), (one, "float"), (one * 2, "float")],
            "string": [(one.str.to_lowercase(), "string"), (one, "string"), (one.cast("int64"), "int"), (one.fill_null("1"), "string")],
        }  # fmt: skip
        return self.draw(st.sampled_from(made[kind]))

    def test(self) -> Expr:
        found = self.value()
        if found is None:
            return col(next(iter(self.kinds))).is_not_null()
        expr, kind = found
        tests = [expr.is_null(), expr.is_not_null()]
        tests += [expr > 1, expr <= 0] if kind in ("int", "float") else [expr == "1", expr.str.starts_with("x")]
        test = self.draw(st.sampled_from(tests))
        return test & self.test() if self.draw(st.integers(0, 3)) == 0 else test


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    pipeline, kinds = Pipeline(SCHEMA), {"a": "int", "b": "int", "f": "float", "s": "string", "t": "string", "l": "list"}
    steps = [
        "with_columns",
        "filter",
        "filter",
        "select",
        "rename",
        "drop_nulls",
        "drop",
        "join",
        "unique",
        "expect",
        "explode",
        "cast",
        "group_by",
    ]
    for number in range(draw(st.integers(1, 7))):
        maker, names = Maker(draw, kinds), list(kinds)
        flat = [name for name, kind in kinds.items() if kind != "list"]
        match draw(st.sampled_from(steps)):
            case "with_columns":
                made = {draw(st.sampled_from([f"c{number}", *names])): maker.value() for _ in range(2)}
                columns = {name: one for name, one in made.items() if one}
                if columns:
                    pipeline = pipeline.with_columns(**{name: one for name, (one, _) in columns.items()})
                    kinds = kinds | {name: kind for name, (_, kind) in columns.items()}
            case "filter":
                pipeline = pipeline.filter(*(maker.test() for _ in range(draw(st.integers(1, 2)))))
            case "select":
                kept = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
                pipeline, kinds = pipeline.select(*kept), {name: kinds[name] for name in kept}
            case "rename":
                old, new = draw(st.sampled_from(names)), draw(st.sampled_from([f"r{number}", *names]))
                both = {old: new} if new not in kinds else {old: new, new: old}
                pipeline = pipeline.rename(both)
                kinds = {both.get(name, name): kind for name, kind in kinds.items()}
            case "drop_nulls":
                pipeline = pipeline.drop_nulls(draw(st.sampled_from(names)))
            case "drop" if len(kinds) > 1:
                name = draw(st.sampled_from(names))
                pipeline, kinds = pipeline.drop(name), {one: kind for one, kind in kinds.items() if one != name}
            case "join" if "v" not in kinds:
                texts = [name for name, kind in kinds.items() if kind == "string"]
                if texts:
                    how = draw(st.sampled_from(["left", "inner", "anti"]))
                    pipeline = pipeline.join(SMALL, on=draw(st.sampled_from(texts)), how=how)
                    kinds = kinds | ({"v": "int"} if how != "anti" else {})
            case "unique" if flat:
                pipeline = pipeline.unique(draw(st.sampled_from(flat)), keep=draw(st.sampled_from(["first", "last", "none"])))
            case "expect":
                action = draw(st.sampled_from(["reject", "drop", "flag", "fail"]))
                pipeline = pipeline.expect(maker.test(), action, name=f"e{number}")
                kinds = kinds | ({f"e{number}": "bool"} if action == "flag" else {})
            case "explode" if "list" in kinds.values():
                name = next(name for name, kind in kinds.items() if kind == "list")
                keep = draw(st.booleans())
                pipeline, kinds = pipeline.explode(name, empty_as_null=not keep, keep_nulls=keep), kinds | {name: "int"}
            case "cast":
                name = draw(st.sampled_from(flat or names))
                if kinds[name] in ("int", "string"):
                    pipeline, kinds = pipeline.cast({name: "int16"}, strict=draw(st.booleans())), kinds | {name: "int"}
            case "group_by" if flat:
                by, of = draw(st.sampled_from(flat)), draw(st.sampled_from(flat))
                pipeline = pipeline.group_by(by).agg(**{f"n{number}": col(of).len(), f"m{number}": col(of).max()})
                kinds = {by: kinds[by], f"n{number}": "int", f"m{number}": kinds[of]}
    return pipeline


def outcome(pipeline: Pipeline, batch: pa.RecordBatch, optimise: bool) -> Any:
    planned = plan(pipeline.schema, pipeline.steps, pipeline.output, optimise=optimise)
    try:
        made = engine.run(planned, batch)
    except RunError as error:
        return str(error)
    made.batch.validate(full=True)
    counts = made.counts
    assert counts["delivered"] == sum(counts[name] for name in ("kept", "filtered", "rejected"))
    return (
        made.batch.to_pylist(), made.batch.schema, made.row_source.to_pylist(), made.disposition.to_pylist(), made.rejects.to_pylist(), counts,
    )  # fmt: skip


@settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck))
@given(pipelines(), batches())
def test_optimised_is_unoptimised(pipeline: Pipeline, batch: pa.RecordBatch) -> None:
    note(str([(step.name, vars(step)) for step in pipeline.steps]))
    assert outcome(pipeline, batch, True) == outcome(pipeline, batch, False)


P = Pipeline(SCHEMA)
TIMES = Pipeline({"l": "list<int64>", "t": "timestamp[us, UTC]"})


@pytest.mark.parametrize(
    ("pipeline", "order"),
    [
        (P.with_columns(x=col("f") * 2).filter(col("a") > 1), [2, 1]),
        (P.rename({"a": "z"}).filter(col("z") > 1), [2, 1]),
        (P.rename({"a": "b", "b": "a"}).filter(col("a") > 1), [2, 1]),
        (P.select("a", c=col("s").str.to_lowercase()).filter(col("a") > 1), [2, 1]),
        (P.explode("l").filter(col("a") > 1), [2, 1]),
        (P.with_columns(x=col("f") * 2).filter(col("a") > 1, col("x") > 1), [2, 1, 2]),
        (P.with_columns(x=col("f") * 2).filter((col("a") > 1) & (col("x") > 1)), [2, 1, 2]),
        (P.filter(col("b") > 1).with_columns(x=col("f") * 2).filter(col("a") > 1), [1, 2]),  # and merged
        # Not past what may reject a record, nor what it needs, nor what chooses among rows.
        (P.with_columns(x=col("a") * 2).filter(col("b") > 1), [1, 2]),
        (P.cast({"s": "int64"}).filter(col("b") > 1), [1, 2]),
        (P.with_columns(a=col("f") * 2).filter(col("a") > 1), [1, 2]),
        (P.explode("l").filter(col("l") > 1), [1, 2]),
        (P.explode("l").filter(col("s").cast("int64") > 1), [1, 2]),
        (P.explode("l").filter(col("s").str.contains("a", literal=True)), [2, 1]),
        (P.explode("l").filter(col("s").str.contains("a+")), [1, 2]),
        (TIMES.explode("l").filter(col("t").dt.month() == 1), [2, 1]),
        (
            TIMES.with_columns(t=col("t").dt.convert_time_zone("Europe/Oslo"))
            .explode("l")
            .filter(col("t").dt.month() == 1)
            .drop("t"),
            [1, 2, 3],
        ),
        (P.unique("a").filter(col("a") > 1), [1, 2]),
        (P.expect(col("a") > 1).filter(col("b") > 1), [1, 2]),
        # The test that stays could reject a record that the other one drops.
        (P.with_columns(x=col("f") * 2).filter(col("a") > 1, col("x").cast("int8") > 1), [1, 2]),
    ],
)
def test_filters_move_where_nothing_is_changed(pipeline: Pipeline, order: list[int]) -> None:
    assert [int(step.where.split()[1]) for step in pipeline.plan().steps] == order
