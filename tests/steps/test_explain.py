"""`millstream plan`: steps as they are done, with types, nulls and kernels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from millstream import engine
from millstream.cli import main
from millstream.errors import RunError
from millstream.explain import explain
from millstream.expr import col, when
from millstream.native.bind import kernels
from millstream.pipeline import Pipeline
from millstream.schema import Column
from tests.steps.test_optimise import batches, pipelines

FILE = """version: 1
name: orders
schema: {id: {type: int64, nullable: false}, country: string, price: float64, note: string}
steps:
  - drop_nulls: [price]
  - with_columns: {total: price * 1.2}
  - filter: id > 10 and country == "NO"
  - group_by: {keys: [country], agg: {total: total.sum(), orders: id.len()}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "orders.yaml"
    path.write_text(FILE)
    return str(path)


def test_a_plan_is_told(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pipeline orders, fingerprint ")
    assert lines[1:] == [
        "decodes 3 of 4 columns",
        "  id       int64",
        "  country  string",
        "  price    float64",
        "  checked to be JSON and skipped: note",
        "step 1 (drop_nulls): [price]",
        "step 2 (with_columns): {total: price * 1.2}",
        "  total  float64",
        "step 4 (group_by): {keys: [country], agg: {total: total.sum(), orders: id.len()}}",
        "  country  string",
        "  total    float64",
        "  orders   int64",
        "writes 3 columns",
        "  country  string",
        "  total    float64",
        "  orders   int64",
    ]


def test_a_plan_is_explained(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file, "--explain"]) == 0
    told = capsys.readouterr().out
    for words in (
        "  id       int64    never null\n",
        "  country  string   may be null\n",
        "  rows are chosen once for it and step 3 (filter)\n  no longer null: country, price\n  kernels: find_nulls, ",
        "  total  float64  never null\n  kernels: fill_int64, multiply_float64",
        "group_string",
        "decode_json",
    ):
        assert words in told, told


def test_a_plan_is_explained_the_same_again(file: str) -> None:
    pipeline = Pipeline({"x": "int64"}).with_columns(y=col("x").fill_null(0) + 1)
    told = [explain(pipeline) for _ in range(2)]
    assert told[0] == told[1]
    assert "fill_uint8" in str(told[0])


def test_a_plan_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["columns"][3] == {"name": "note", "type": "string", "nullable": True, "decoded": False}
    assert [one["step"] for one in told["steps"]] == ["step 1 (drop_nulls)", "step 2 (with_columns)", "step 4 (group_by)"]
    assert told["steps"][0]["also"] == ["step 3 (filter)"]
    assert told["output"][2] == {"name": "orders", "type": "int64", "nullable": False}
    assert "multiply_float64" in told["steps"][1]["kernels"]


def test_a_filter_that_moved_is_told(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(file).write_text(FILE.replace("  - drop_nulls: [price]\n", ""))
    assert main(["plan", file, "--explain"]) == 0
    assert "step 2 (filter): " in (told := capsys.readouterr().out)
    assert "  moved before step 1 (with_columns): nothing is rejected there" in told


@pytest.mark.parametrize(("words", "says"), [([], "plan takes a pipeline"), (["x.yaml", "--schema"], "plan takes a pipeline")])
def test_what_plan_takes(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_mistake_in_the_file_is_one_line(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(file).write_text(FILE.replace("id > 10", "idd > 10"))
    assert main(["plan", file]) == 2
    told = capsys.readouterr().err
    assert f"{file}: line 7, column 5: step 3 (filter): there is no column 'idd'; did you mean 'id'?" in told
    assert told.count("\n") == 1


def test_kernels_are_themselves_again(file: str) -> None:
    before = kernels.filter_indices
    explain(Pipeline.from_spec(file))
    assert kernels.filter_indices is before


P = Pipeline({"a": "int64", "b": Column("int64", nullable=False), "s": "string", "f": "float64"})


@pytest.mark.parametrize(
    ("expression", "nullable"),
    [
        (col("a"), True),
        (col("b") + 1, False),
        (col("b") + col("a"), True),
        (col("b") // 2, True),
        (col("b") % 2, True),
        (col("b") / 2, False),
        (col("a").is_null(), False),
        (col("a").fill_null(0), False),
        (col("a").fill_null(col("a")), True),
        (when(col("a") > 0).then(1), True),
        (when(col("a") > 0).then(1).otherwise(2), False),
        (when(col("b") > 0).then(1).otherwise(None), True),
        (col("b").cast("string"), False),
        (col("b").cast("int8", strict=False), True),
        ((col("b") > 0) & (col("a") > 0), True),
    ],
)
def test_what_may_be_null(expression: Any, nullable: bool) -> None:
    assert explain(P.select(x=expression)).output == [
        {"name": "x", "type": str(P.select(x=expression).plan().output[0][1]), "nullable": nullable}
    ]


@settings(max_examples=35, deadline=None, suppress_health_check=list(HealthCheck))
@given(pipelines(), batches())
def test_what_is_told_to_be_never_null_never_is(pipeline: Pipeline, batch: pa.RecordBatch) -> None:
    told = {one["name"]: one["nullable"] for one in explain(pipeline).output}
    try:
        made = engine.run(pipeline.plan(), batch).batch
    except RunError:
        return
    assert [name for name in made.schema.names if made[name].null_count and not told[name]] == []
