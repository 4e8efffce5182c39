"""Batch functions: arrays in, one array out, and what is said of what does not fit."""

import pyarrow as pa
import pytest

from millstream import Pipeline, RunError, col, udf
from millstream.lookups.matching import rehearsal

CALLS: list[int] = []


@udf("string(string, int64)", batch=True)
def label(names, numbers):
    CALLS.append(len(names))
    return [
        None if name is None else f"{name}-{number}"
        for name, number in zip(names.to_pylist(), numbers.to_pylist(), strict=True)
    ]


def batch(signature: str, give):  # type: ignore[no-untyped-def]
    def function(values):  # type: ignore[no-untyped-def]
        return give(values)

    return udf(signature, batch=True)(function)


def made(one, values: list[object], kind: str = "int64") -> pa.Array:  # type: ignore[no-untyped-def]
    array = pa.array([None, *values], Pipeline({"x": kind}).schema["x"].type.arrow)
    return Pipeline({"x": kind}).select(y=one(col("x"))).run(pa.record_batch({"x": array}).slice(1)).batch["y"]


def test_nulls_are_the_functions_own_business() -> None:
    pipeline = Pipeline({"name": "string", "n": "int64"}).with_columns(label=label(col("name"), col("n")))
    outcome = pipeline.run([b'{"name": "a", "n": 1}', b'{"name": null, "n": 2}', b'{"name": "c"}'])
    assert outcome.batch["label"].to_pylist() == ["a-1", None, "c-None"]
    assert label(pa.array(["x"]), pa.array([1])) == ["x-1"]


@pytest.mark.parametrize(
    ("signature", "give", "result"),
    [
        ("int64(int64)", lambda x: x, [1, None, 3]),
        ("int64(int64)", lambda x: pa.chunked_array([x.slice(0, 1), x.slice(1)]), [1, None, 3]),
        ("int64(int64)", lambda x: pa.chunked_array([], pa.int64()) if not len(x) else pa.chunked_array([x]), [1, None, 3]),
        ("string(int64)", lambda x: x.cast(pa.large_string()), ["1", None, "3"]),
        ("string(int64)", lambda x: x.cast(pa.string()).dictionary_encode(), ["1", None, "3"]),
        ("float32(int64)", lambda x: pa.array([0.5, 1.5, None], pa.float32()), [0.5, 1.5, None]),
        ("int8(int64)", lambda x: x.cast(pa.int8()), [1, None, 3]),
        ("list<int64>(int64)", lambda x: [[1], None, []], [[1], None, []]),
        ("struct<a: int64>(int64)", lambda x: [{"a": 1}, None, {"a": None}], [{"a": 1}, None, {"a": None}]),
        ("bool(int64)", lambda x: pa.nulls(3), [None, None, None]),
    ],
)
def test_what_may_be_returned(signature: str, give, result) -> None:  # type: ignore[no-untyped-def]
    assert made(batch(signature, give), [1, None, 3]).to_pylist() == result


@pytest.mark.parametrize(
    ("signature", "give", "says"),
    [
        ("int64(int64)", lambda x: x.slice(1), "gave 2 values for 3 rows"),
        ("int64(int64)", lambda x: x.cast(pa.int32()), "gave int32, and int64 is declared"),
        ("int64(int64)", lambda x: None, "gave NoneType; return an Array of 3 values"),
        ("string(int64)", lambda x: "abc", "gave str; return an Array"),
        ("int64(int64)", lambda x: ["secret", 1, 2], "gave values that are no int64"),
        ("int64(int64)", lambda x: (1 // (one.as_py() and 0) for one in x), "gave values that are no int64"),
        ("int8(int64)", lambda x: [1000, 1, 2], "gave values that are no int8"),
        ("int64(int64)", lambda x: {}["secret"], "the function function raised KeyError (test_batch.py, line "),
    ],
)
def test_what_fails_the_batch(signature: str, give, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RunError) as error:
        made(batch(signature, give), [1, None, 3])
    assert says in str(error.value)
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_rows_in_error_are_null_to_it_and_stay_in_error() -> None:
    one = batch("int64(int64)", lambda x: [7 if value is None else value for value in x.to_pylist()])
    outcome = Pipeline({"x": "int64"}).select(y=one(col("x") * (1 << 62))).run([b'{"x": 1}', b'{"x": 4}', b"{}"])
    assert outcome.batch["y"].to_pylist() == [1 << 62, 7]
    assert [one["code"] for one in outcome.rejects.to_pylist()] == ["OUT_OF_RANGE"]


def test_a_rehearsal_does_not_call_it() -> None:
    pipeline = Pipeline({"name": "string"}).with_columns(label=label(col("name"), 1))
    CALLS.clear()
    with rehearsal():
        assert pipeline.run([b'{"name": "a"}']).batch["label"].to_pylist() == [None]
    assert CALLS == []


def test_its_code_is_part_of_the_fingerprint() -> None:
    def fingerprint(one) -> str:  # type: ignore[no-untyped-def]
        return Pipeline({"x": "int64"}).select(y=one(col("x"))).fingerprint

    @udf("int64(int64)", batch=True)
    def same(x):  # type: ignore[no-untyped-def]
        return x

    first = fingerprint(same)

    @udf("int64(int64)", batch=True)
    def same(x):  # type: ignore[no-untyped-def]
        return x.slice(0)

    assert fingerprint(same) != first
