"""Pipeline files that call functions of Python files."""

import json
from pathlib import Path

import pytest

from millstream import Pipeline, SpecError, col
from millstream.cli import main
from millstream.file_schema import file_schema
from tests.udf import functions
from tests.udf.functions import tax

PRICING = '''
from millstream import udf

@udf("string(string)", batch=True)
def loud(names):
    """Capitals."""
    return [None if one is None else one.upper() for one in names.to_pylist()]
'''
ORDERS = """
version: 1
name: orders
schema: {item: string, price: float64}
functions: pricing.py
steps:
  - filter: loud(item) != "PEN"
  - with_columns: {item: loud(item)}
  - expect: {rule: loud(item) == item, action: flag, name: is_loud}
  - group_by: {keys: {name: loud(item)}, agg: {total: price.sum()}}
output: {format: ndjson}
"""


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    (tmp_path / "pricing.py").write_text(PRICING)
    (tmp_path / "orders.yaml").write_text(ORDERS)
    return tmp_path / "orders.yaml"


def test_a_file_runs_and_comes_back(orders: Path) -> None:
    pipeline = Pipeline.from_spec(orders)
    outcome = pipeline.run([b'{"item": "desk", "price": 2}', b'{"item": "pen", "price": 1}', b'{"item": "Desk", "price": 3}'])
    assert outcome.batch.to_pylist() == [{"name": "DESK", "total": 5.0}]
    said = pipeline.to_spec()
    assert said["functions"] == str(orders.parent / "pricing.py")
    again = Pipeline.from_spec(json.loads(json.dumps(said)))
    assert again.to_spec() == said
    assert again.fingerprint == pipeline.fingerprint
    (orders.parent / "pricing.py").write_text(PRICING.replace("one.upper()", "one.upper().strip()"))
    assert Pipeline.from_spec(orders).fingerprint != pipeline.fingerprint


def test_a_pipeline_without_functions_has_no_such_key() -> None:
    assert "functions" not in Pipeline({"x": "int64"}).to_spec()
    assert file_schema()["properties"]["functions"]


def test_functions_of_modules_have_a_text_form() -> None:
    pipeline = Pipeline({"x": "float64", "n": "int64"}).select(y=tax(col("x"), col("n")))
    assert pipeline.to_spec()["functions"] == str(Path(functions.__file__))
    assert Pipeline.from_spec(pipeline.to_spec()).fingerprint == pipeline.fingerprint


def test_functions_that_are_no_globals_have_none() -> None:
    from millstream import udf

    @udf("int64(int64)", batch=True)
    def hidden(x):  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(SpecError, match="hidden is no global of a Python file"):
        Pipeline({"x": "int64"}).select(y=hidden(col("x"))).to_spec()


@pytest.mark.parametrize(
    ("functions", "python", "says"),
    [
        ("[pricing.py, other.py]", PRICING, "line 5, column 1: functions: there is no file"),
        ("5", PRICING, "functions is a Python file with functions under @udf, or a list of them, not 5"),
        ("[]", PRICING, "or a list of them, not []"),
        ("s3://bucket/pricing.py", PRICING, "is no Python file; write functions: pricing.py"),
        ("pricing.yaml", PRICING, "is no Python file"),
        ("pricing.py", "x = 1\n", "there is no function under @udf in"),
        ("pricing.py", PRICING.replace("loud", "when"), "has a function when, which expressions know as their own"),
        ("pricing.py", "1 / 0\n", "pricing.py, line 1: ZeroDivisionError"),
        ("pricing.py", "def f(:\n", "pricing.py, line 1: "),
        ("pricing.py", "import sys\nsys.exit()\n", "line 2: it ends the program"),
        ("pricing.py", PRICING.replace("string(string)", "text(string)"), "unknown type 'text'"),
        ("pricing.py", PRICING.replace("loud", "quiet"), "there is no function 'loud'"),
    ],
)
def test_mistakes(orders: Path, functions: str, python: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    orders.write_text(ORDERS.replace("functions: pricing.py", f"functions: {functions}"))
    (orders.parent / "pricing.py").write_text(python)
    assert main(["plan", str(orders)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_two_files_with_one_name(orders: Path) -> None:
    (orders.parent / "more.py").write_text(PRICING.replace("upper", "title"))
    orders.write_text(ORDERS.replace("functions: pricing.py", "functions: [pricing.py, more.py]"))
    with pytest.raises(SpecError, match="both have a function loud"):
        Pipeline.from_spec(orders)
    (orders.parent / "more.py").write_text("from pricing import loud\n")  # the same one
    assert Pipeline.from_spec(orders).steps


def test_a_plan_tells_of_it(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(orders), "--explain"]) == 0
    assert "  loud: string(string), Python, once a batch" in capsys.readouterr().out
