"""Lookups and calls among the steps that make several rows of a record, or one of several."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from millstream import Pipeline, col, lookup
from millstream.explain import explain

RATES = lookup(pa.table({"code": ["a", "b"], "rate": [1, 2]}), key="code")
P = Pipeline({"k": "string", "l": "list<string>", "n": "int64"})


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_all_rows_of_a_record_go_with_one_that_has_no_match() -> None:
    outcome = (
        P.explode("l").join(RATES, on="l", on_missing="reject").run(lines({"l": ["a", "x"]}, {"l": ["b", "a"]}, {"l": []}))
    )
    assert outcome.batch.select(["l", "rate"]).to_pylist() == [{"l": "b", "rate": 2}, {"l": "a", "rate": 1}]
    assert outcome.row_source.to_pylist() == [1, 1]
    assert outcome.disposition.to_pylist() == [3, 0, 1]
    assert outcome.rejects.select(["position", "code", "column"]).to_pylist() == [
        {"position": 0, "code": "NO_MATCH", "column": "l"}
    ]


def test_all_records_of_a_group_go_with_its_row() -> None:
    pipeline = P.group_by("k").agg(total=col("n").sum()).join(RATES, on="k", on_missing="reject")
    outcome = pipeline.run(lines({"k": "a", "n": 1}, {"k": "x", "n": 2}, {"k": "x", "n": 3}))
    assert outcome.batch.to_pylist() == [{"k": "a", "total": 1, "rate": 1}]
    assert outcome.disposition.to_pylist() == [0, 3, 3]
    assert outcome.counts["rejected_by_code"] == {"NO_MATCH": 2}


@pytest.mark.parametrize(("how", "rows"), [("semi", ["a", "b"]), ("anti", ["x"]), ("inner", ["a", "b"])])
def test_rows_with_and_without_a_match_are_chosen_alone(how: str, rows: list[str]) -> None:
    outcome = P.explode("l").join(RATES, on="l", how=how).run(lines({"l": ["a", "x", "b"]}))
    assert outcome.batch["l"].to_pylist() == rows
    assert outcome.disposition.to_pylist() == [0]


def test_to_explain_a_pipeline_calls_nobody() -> None:
    calls = []

    def call(keys: Sequence[Any]) -> dict[Any, Any]:
        calls.append(keys)
        return {}

    explained = explain(P.join(RATES, on="k").enrich(call, key="k", columns={"tier": "string"}))
    assert [one["makes"] for one in explained.steps] == [
        [{"name": "rate", "type": "int64", "nullable": True}],
        [{"name": "tier", "type": "string", "nullable": True}],
    ]
    assert calls == []


def test_a_plan_of_csv_is_explained() -> None:
    explained = explain(Pipeline({"a": "int64", "b": "string"}, input={"format": "csv"}).select("a"))
    assert "decode_csv" in explained.decode
    assert "  not read: b" in explained.render().splitlines()
