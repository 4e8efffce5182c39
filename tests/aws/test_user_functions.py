"""A user's functions in Lambda's own runtime: compiled by `millstream build`, loaded from the function's folder; no numba is there."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from millstream.cli import main
from millstream.native import build
from tests.aws import events

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or shutil.which("ld") is None, reason="NOT TESTED: needs Linux and ld"),
]

PRICING = """
import math

from millstream import udf

@udf("float64(float64, int64)")
def tax(price, qty):
    if price < 0:
        raise ValueError("negative")
    return math.sqrt(price) * qty

@udf("string(string)", batch=True)
def loud(names):
    return [None if one is None else one.upper() for one in names.to_pylist()]
"""
ORDERS = """
version: 1
name: orders
schema: {item: string, price: float64, qty: int64}
functions: pricing.py
steps:
  - with_columns: {tax: "tax(price, qty)", item: loud(item)}
output: {format: ndjson}
"""
RECORDS = [b'{"item": "desk", "price": 16, "qty": 2}', b'{"item": "pen", "price": -1, "qty": 2}', b'{"item": "cup"}']


def start(lambda_function, tmp_path: Path, function_tmp: Path, compiled: bool):  # type: ignore[no-untyped-def]
    task = tmp_path / "task"
    task.mkdir()
    (task / "pricing.py").write_text(PRICING)
    (task / "orders.yaml").write_text(ORDERS)
    if compiled:
        assert main(["build", str(task / "orders.yaml"), "-o", str(task), "--target", build.host_target()]) == 0
    told = {"PIPELINE": "orders.yaml", "SINK": str(function_tmp / "out"), "REJECTS": str(function_tmp / "bad")}
    return lambda_function(
        "", "millstream.aws.entry.kinesis", environment={f"MILLSTREAM_{name}": one for name, one in told.items()}
    )


def test_compiled_functions_run_from_the_functions_folder(lambda_function, tmp_path: Path, function_tmp: Path) -> None:
    function = start(lambda_function, tmp_path, function_tmp, compiled=True)
    answer = function.invoke(events.kinesis(*RECORDS))
    assert (answer.function_error, answer.body) == (None, {"batchItemFailures": []})
    (line,) = answer.logged("batch")
    assert (line["counts"]["written"], line["rejected_by_code"]) == (2, {"UDF_FAILED": 1})
    (written,) = Path(function.seen(str(function_tmp / "out"))).rglob("*.ndjson")
    rows = [json.loads(one) for one in written.read_text().splitlines()]
    assert [(row["item"], row["tax"]) for row in rows] == [("DESK", 8.0), ("CUP", None)]


def test_without_them_the_function_does_not_start(lambda_function, tmp_path: Path, function_tmp: Path) -> None:
    function = start(lambda_function, tmp_path, function_tmp, compiled=False)
    answer = function.invoke(events.kinesis(*RECORDS))
    assert answer.function_error is not None
    assert answer.body["errorType"] == "BackendError"
    assert "the function tax of pricing.py has no compiled object for" in answer.body["errorMessage"]
    assert "run `millstream build PIPELINE -o DIR`" in answer.body["errorMessage"]
