"""The engine: the law of the account, selections, rejects, joins; a pipeline over records and over rows agree."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import UsageError
from millstream.expr import col, lit, when
from millstream.grammar import parse
from millstream.outcome import Outcome
from millstream.pipeline import Pipeline
from millstream.schema import Column
from millstream.tables import lookup
from tests import guard


def check_account(outcome: Outcome) -> None:
    """The law, and that the parts of an outcome agree with one another."""
    counts = outcome.counts
    assert counts["delivered"] == sum(counts[key] for key in ("kept", "filtered", "duplicate", "rejected", "failed"))
    assert counts["delivered"] == len(outcome.disposition)
    found = outcome.disposition.to_pylist()
    assert [found.count(code) for code in range(5)] == [
        counts[key] for key in ("kept", "filtered", "duplicate", "rejected", "failed")
    ]
    assert counts["rows"] == outcome.batch.num_rows == len(outcome.row_source)
    assert all(found[at] == 0 for at in outcome.row_source.to_pylist())
    positions = outcome.rejects["position"].to_pylist()
    assert positions == sorted(set(positions)) == [at for at, one in enumerate(found) if one == 3]
    assert sum(counts["rejected_by_code"].values()) == counts["rejected"]
    outcome.batch.validate(full=True)


JOB = (
    Pipeline({"i": "int64", "s": "string", "f": "float64", "unused": "string"})
    .drop_nulls("f")
    .filter(col("f") > -50, col("i").is_null() | (col("i") != 7))
    .with_columns(n=col("s").cast("int8"), big=col("i") * 3)
    .with_columns(total=when(col("n") > 0).then(col("n") + col("i")), key=col("s").str.strip_chars())
    .join(lookup(pa.table({"k": ["1", "2", None], "name": ["one", "two", "none"]}), key="k"), on="key")
    .select("i", "name", "total", both=col("big").fill_null(0))
)

ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "i": st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(5, 8),
            "s": st.none() | st.sampled_from(["1", "2", "-3", "x", "300", " 1"]),
            "f": st.none() | st.floats(-99, 99),
            "unused": st.text(),
        },
    ),
    max_size=30,
)


def oracle(row: dict[str, Any]) -> dict[str, Any] | str | None:
    """A row of the job's result, the code it is rejected with, or None for a filtered one."""
    i, s, f = row.get("i"), row.get("s"), row.get("f")
    if f is None or not f > -50 or i == 7:
        return None
    if s is not None and not s.lstrip("-").isdigit():
        return "BAD_NUMBER"
    n = None if s is None else int(s)
    if n is not None and not -128 <= n <= 127:
        return "OUT_OF_RANGE"
    if i is not None and not -(1 << 63) <= i * 3 < 1 << 63:
        return "OUT_OF_RANGE"
    total = n + i if n is not None and n > 0 and i is not None else None
    if total is not None and not -(1 << 63) <= total < 1 << 63:
        return "OUT_OF_RANGE"
    return {"i": i, "name": {"1": "one", "2": "two"}.get(s or ""), "total": total, "both": 0 if i is None else i * 3}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS)
def test_a_job_over_records_and_over_rows_is_what_plain_python_says(rows: list[dict[str, Any]]) -> None:
    expected = [oracle(row) for row in rows]
    records = JOB.run([json.dumps(row).encode() for row in rows])
    schema = pa.schema([("i", pa.int64()), ("s", pa.string()), ("f", pa.float64())])
    batch = JOB.run(pa.RecordBatch.from_pylist(rows, schema=schema))
    for outcome in (records, batch):
        check_account(outcome)
        assert outcome.batch.to_pylist() == [one for one in expected if isinstance(one, dict)]
        assert outcome.rejects["code"].to_pylist() == [one for one in expected if isinstance(one, str)]
        assert outcome.row_source.to_pylist() == [at for at, one in enumerate(expected) if isinstance(one, dict)]
    payloads = [json.dumps(row).encode() for row, one in zip(rows, expected, strict=True) if isinstance(one, str)]
    assert records.rejects["payload"].to_pylist() == payloads
    assert set(batch.rejects["payload"].to_pylist()) <= {None}


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS)
def test_decoding_only_what_is_used_changes_nothing(rows: list[dict[str, Any]]) -> None:
    schema = {"i": "int64", "s": "string", "f": "float64"}
    part = Pipeline(schema).filter(col("i") > 6).select("s").run([json.dumps(row).encode() for row in rows])
    whole = Pipeline(schema).filter(col("i") > 6).run([json.dumps(row).encode() for row in rows])
    assert part.batch["s"].to_pylist() == whole.batch["s"].to_pylist()
    assert part.disposition.equals(whole.disposition)


def test_a_reject_names_its_code_column_and_step_but_no_value() -> None:
    outcome = Pipeline({"s": "string"}).with_columns(n=col("s").cast("int64")).run([b'{"s":"secret"}', b'{"s":"1"}', b"{"])
    check_account(outcome)
    first, second = outcome.rejects.to_pylist()
    assert first == {
        "position": 0, "code": "BAD_NUMBER", "column": "n", "offset": -1, "message": "step 1 (with_columns): the text is no number",
        "payload": b'{"s":"secret"}',
    }  # fmt: skip
    assert (second["position"], second["code"], second["payload"]) == (2, "BAD_JSON", b"{")


def test_an_error_in_a_predicate_rejects_even_beside_false() -> None:
    rows = pa.record_batch({"s": ["x", "5", "9", None]})
    outcome = Pipeline({"s": "string"}).filter((col("s") == "5") & (col("s").cast("int64") > 1)).run(rows)
    assert outcome.disposition.to_pylist() == [3, 0, 1, 1]
    outcome = Pipeline({"s": "string"}).filter(col("s") == "5", col("s").cast("int64") > 1).run(rows)
    assert outcome.disposition.to_pylist() == [3, 0, 1, 1]


def test_when_passes_on_only_errors_of_the_branch_it_takes() -> None:
    rows = pa.record_batch({"s": ["x", "5", None]})
    number = when(col("s") != "x").then(col("s").cast("int64")).otherwise(-1)
    assert Pipeline({"s": "string"}).select(n=number).run(rows).batch["n"].to_pylist() == [-1, 5, -1]


def test_steps_see_columns_as_they_were_before_the_step() -> None:
    rows = pa.record_batch({"a": [1], "b": [2]})
    swapped = Pipeline({"a": "int64", "b": "int64"}).with_columns(a=col("b"), b=col("a")).run(rows)
    assert swapped.batch.to_pylist() == [{"a": 2, "b": 1}]
    renamed = Pipeline({"a": "int64", "b": "int64"}).rename({"a": "b", "b": "a"}).run(rows)
    assert renamed.batch.to_pylist() == [{"b": 1, "a": 2}]


def test_a_column_that_may_not_be_null_rejects_rows_of_a_batch() -> None:
    pipeline = Pipeline({"a": Column("int64", nullable=False), "b": "string"})
    outcome = pipeline.run(pa.record_batch({"a": [1, None, 3], "b": ["x", "y", None]}))
    check_account(outcome)
    assert outcome.rejects["code"].to_pylist() == ["NOT_NULL"]
    assert outcome.batch.to_pylist() == [{"a": 1, "b": "x"}, {"a": 3, "b": None}]


def test_a_batch_with_other_columns_is_refused() -> None:
    with pytest.raises(UsageError, match="has no column 'a'"):
        Pipeline({"a": "int64"}).run(pa.record_batch({"b": [1]}))
    with pytest.raises(UsageError, match="cannot be read as int64"):
        Pipeline({"a": "int64"}).run(pa.record_batch({"a": ["x"]}))
    with pytest.raises(UsageError, match="run takes"):
        Pipeline({"a": "int64"}).run("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("records", [[], b"", b"\n\n"])
def test_nothing_in_nothing_out(records: Any) -> None:
    outcome = JOB.run(records)
    check_account(outcome)
    assert outcome.counts["delivered"] == 0
    assert outcome.batch.schema == JOB.plan().schema


def test_all_filtered() -> None:
    outcome = JOB.filter(lit(False)).run([b'{"f":1}', b'{"f":2}'])
    check_account(outcome)
    assert outcome.counts["filtered"] == 2


KEYS = st.none() | st.sampled_from(["", "a", "b", "日本", "a" * 9, "a" * 8]) | st.text(max_size=9)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(KEYS, unique=True, max_size=12), st.lists(KEYS, max_size=20), st.sampled_from(["left", "inner", "anti"]))
def test_joins_on_text(keys: list[str | None], stream: list[str | None], how: str) -> None:
    table = pa.table(
        {"v": pa.array(range(len(keys)), pa.int64()), "k": pa.array(keys, pa.string()), "s": pa.array(keys, pa.string())}
    )
    outcome = (
        Pipeline({"s": "string"})
        .join(lookup(table, key="k"), on="s", how=how)
        .run(pa.record_batch({"s": pa.array(stream, pa.string())}))
    )
    check_account(outcome)
    found = {key: at for at, key in enumerate(keys) if key is not None}
    expected = [{"s": s, "v": found.get(s), "s_right": s if s in found else None} for s in stream]  # type: ignore[arg-type]
    if how == "inner":
        expected = [one for one in expected if one["v"] is not None]
    if how == "anti":
        expected = [{"s": one["s"]} for one in expected if one["v"] is None]
    assert outcome.batch.to_pylist() == expected


@pytest.mark.parametrize("kind", ["int64", "int16", "uint64", "date32", "timestamp[us, UTC]", "bool"])
def test_joins_on_other_types(kind: str) -> None:
    arrow = Pipeline({"k": kind}).schema.arrow.field("k").type
    whole = pa.array([0, 1], pa.int64()) if kind != "date32" else pa.array([0, 1], pa.int32())
    table = pa.table({"k": whole.cast(arrow), "v": ["zero", "one"]})
    stream = pa.record_batch({"k": pa.concat_arrays([table["k"].combine_chunks(), pa.nulls(1, arrow)])})
    outcome = Pipeline({"k": kind}).join(lookup(table, key="k"), on="k").run(stream)
    assert outcome.batch["v"].to_pylist() == ["zero", "one", None]


def test_many_keys_that_collide_are_found() -> None:
    count = 50_000
    keys = pa.array([at << 40 for at in range(count)], pa.int64())
    table = pa.table({"k": keys, "v": pa.array(range(count))})
    outcome = Pipeline({"k": "int64"}).join(lookup(table, key="k"), on="k", how="inner").run(pa.record_batch({"k": keys}))
    assert outcome.batch["v"].equals(table["v"].combine_chunks())


def test_numbers_in_neighbouring_strings_do_not_run_together() -> None:
    texts = ["1.5", "2.5", "-0", "007", "1", None, "e5", "9" * 25, "9" * 25, ".5"]
    outcome = Pipeline({"s": "string"}).select(x=col("s").cast("float64", strict=False)).run(pa.record_batch({"s": texts}))
    assert outcome.batch["x"].to_pylist() == [1.5, 2.5, -0.0, None, 1.0, None, None, 1e25, 1e25, None]


def test_a_value_of_a_batch_that_does_not_fit_rejects_its_record() -> None:
    outcome = Pipeline({"a": "int8", "t": "timestamp[ns]"}).run(
        pa.record_batch({"a": [1, 300, None], "t": pa.array([0, 1, 1 << 62], pa.timestamp("ms"))})
    )
    check_account(outcome)
    assert outcome.rejects["code"].to_pylist() == ["OUT_OF_RANGE", "OUT_OF_RANGE"]
    assert outcome.rejects["column"].to_pylist() == ["a", "t"]
    assert outcome.batch["a"].to_pylist() == [1]


def test_columns_of_a_batch_as_dictionaries_and_nulls() -> None:
    rows = pa.record_batch({"s": pa.array(["x", None, "x"]).dictionary_encode(), "i": pa.nulls(3)})
    assert Pipeline({"s": "string", "i": "int64"}).run(rows).batch.to_pylist() == [
        {"s": one, "i": None} for one in ("x", None, "x")
    ]


def test_a_batch_with_a_column_twice_and_a_list_of_text_are_refused() -> None:
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(UsageError, match="has 2 columns 'a'"):
        Pipeline({"a": "int64"}).run(twice)
    with pytest.raises(UsageError, match="a list with a str in it"):
        Pipeline({"a": "int64"}).run(["{}"])  # type: ignore[list-item]


@pytest.mark.parametrize("text", ['d.dt.truncate("999999999y")', 'd.dt.truncate("999999999w")', "s.dt.year()"])
def test_times_beyond_their_type_reject(text: str) -> None:
    rows = pa.record_batch({"d": pa.array([-1], pa.date32()), "s": pa.array([1 << 62], pa.timestamp("s"))})
    outcome = Pipeline(rows.schema).select(x=parse(text)).run(rows)
    assert outcome.rejects["code"].to_pylist() == ["OUT_OF_RANGE"]


def test_literals_of_all_integer_types_meet_exactly() -> None:
    pick = when(col("i") == 1).then(1).when(col("i") == 2).then(-1).otherwise(1 << 63)
    rows = pa.record_batch({"i": [1, 2, 3], "f": pa.array([None, 1, 2], pa.float32())})
    outcome = Pipeline(rows.schema).select(x=pick, y=col("f").fill_null(0.1) * 1).run(rows)
    assert outcome.batch["x"].to_pylist() == [1.0, -1.0, 2.0**63]
    assert outcome.batch["y"][0].as_py() == pa.scalar(0.1, pa.float32()).as_py()  # a float32 column holds float32


def test_a_join_with_a_column_without_nulls_gives_nulls_where_nothing_matches() -> None:
    table = pa.table({"k": [1], "i": [5], "b": [True], "s": ["x"], "f": [0.5]})
    outcome = Pipeline({"k": "int64"}).join(lookup(table, key="k"), on="k").run(pa.record_batch({"k": [2, 1, None]}))
    nothing = {"i": None, "b": None, "s": None, "f": None}
    assert outcome.batch.to_pylist() == [
        {"k": 2, **nothing},
        {"k": 1, "i": 5, "b": True, "s": "x", "f": 0.5},
        {"k": None, **nothing},
    ]


def test_five_hundred_columns_and_a_hundred_steps() -> None:
    names = [f"c{at}" for at in range(500)]
    pipeline = Pipeline(dict.fromkeys(names, "int64"))
    for at in range(100):
        pipeline = pipeline.with_columns(**{name: col(name) + 1 for name in names[at : at + 5]}).filter(col(names[at]) > 0)
    outcome = pipeline.run(pa.record_batch({name: [1, 2, -9] for name in names}))
    check_account(outcome)
    assert outcome.counts["filtered"] == 1
    assert outcome.batch["c50"].to_pylist() == [6, 7]
    assert outcome.batch["c499"].to_pylist() == [1, 2]


def test_the_engine_on_guarded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    guard.install(monkeypatch)
    test_a_job_over_records_and_over_rows_is_what_plain_python_says()
    test_joins_on_text()
    test_decoding_only_what_is_used_changes_nothing()
    test_numbers_in_neighbouring_strings_do_not_run_together()
    test_a_join_with_a_column_without_nulls_gives_nulls_where_nothing_matches()
