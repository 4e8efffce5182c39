"""unique, cast, expect, explode: beside Polars, and what becomes of each record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.aws import kinesis_handler
from millstream.errors import PlanError, RunError
from millstream.expr import col
from millstream.lineage import Feeds, Lineage
from millstream.local.run import run_files
from millstream.native.memory import from_numbers
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.test_engine import check_account

pl = pytest.importorskip("polars", reason="NOT TESTED: Polars is not installed; pip install -e '.[dev]'")

SCHEMA = {"i": "int64", "s": "string", "f": "float64", "b": "bool", "l": "list<string>"}
P = Pipeline(SCHEMA)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(0, 3),
    "s": st.sampled_from(["", "a", "é"]),
    "f": st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf]),
    "b": st.booleans(),
    "l": st.lists(st.none() | st.sampled_from(["x", "y"]), max_size=3),
}
FLAT = ("i", "s", "f", "b")


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    count, skip = draw(st.integers(0, 20)), draw(st.integers(0, 3))
    rows = [{name: draw(st.none() | values) for name, values in VALUES.items()} for _ in range(count + skip)]
    return pa.RecordBatch.from_pylist(rows, schema=P.schema.arrow).slice(skip)


def frame(batch: pa.RecordBatch) -> Any:
    return pl.from_arrow(batch).with_row_index("row")


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batches(),
    st.lists(st.sampled_from(FLAT), min_size=1, max_size=3, unique=True),
    st.sampled_from(["any", "first", "last", "none"]),
    st.lists(st.sampled_from(FLAT), max_size=2, unique=True),
)
def test_unique_is_that_of_polars(batch: pa.RecordBatch, subset: list[str], keep: str, order: list[str]) -> None:
    if keep not in ("first", "last"):
        order = []
    outcome = P.unique(subset, keep=keep, order_by=order).run(batch)
    check_account(outcome)
    theirs = frame(batch)
    theirs = theirs.sort(order, maintain_order=True) if order else theirs
    theirs = theirs.unique(subset, keep="first" if keep == "any" else keep, maintain_order=True)
    assert outcome.row_source.to_pylist() == sorted(theirs["row"].to_list())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), st.booleans(), st.booleans(), st.booleans())
def test_explode_is_that_of_polars(batch: pa.RecordBatch, empty: bool, nulls: bool, filtered: bool) -> None:
    pipeline = P.filter(col("i") > 1) if filtered else P
    outcome = pipeline.explode("l", empty_as_null=empty, keep_nulls=nulls).run(batch)
    check_account(outcome)
    theirs = frame(batch).filter(pl.col("i") > 1) if filtered else frame(batch)
    theirs = theirs.explode("l", empty_as_null=empty, keep_nulls=nulls)
    assert outcome.row_source.to_pylist() == theirs["row"].to_list()
    for name in ("i", "s", "l"):
        assert outcome.batch[name].to_pylist() == theirs[name].to_list()
    fed = set(theirs["row"].to_list())
    assert [one == 0 for one in outcome.disposition.to_pylist()] == [at in fed for at in range(batch.num_rows)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), st.lists(st.sampled_from(FLAT), min_size=1, max_size=2, unique=True))
def test_groups_are_those_of_polars(batch: pa.RecordBatch, keys: list[str]) -> None:
    names = ("len", "count", "sum", "min", "max", "first", "last", "n_unique")
    outcome = P.group_by(keys).agg(**{name: getattr(col("i"), name)() for name in names}, mean=col("i").mean()).run(batch)
    theirs = frame(batch).group_by(keys, maintain_order=True)
    found = theirs.agg(
        **{name: getattr(pl.col("i"), name)() for name in names}, mean=pl.col("i").mean(), row=pl.col("row").first()
    )
    assert outcome.row_source.to_pylist() == found["row"].to_list()
    for name in (*names, "mean"):
        assert outcome.batch[name].to_pylist() == found[name].to_list(), name


RECORDS = [
    b'{"i": 1, "s": "1", "l": ["x", "y"]}',
    b'{"i": -2, "s": "x", "l": []}',
    b'{"s": "2", "l": null}',
    b'{"i": 4, "s": "x", "l": ["1", "z"]}',
]


@pytest.mark.parametrize(
    ("pipeline", "disposition", "rows"),
    [
        (P.expect(col("i") > 0), [0, 3, 3, 0], [1, 4]),
        (P.expect(col("i") > 0, "drop"), [0, 1, 1, 0], [1, 4]),
        (P.expect(col("i") > 0, "flag", name="ok").filter(~col("ok")), [1, 0, 0, 1], [-2, None]),
        (P.expect(col("s").cast("int64") > 0, "drop"), [0, 3, 0, 3], [1, None]),  # where it cannot be computed, it rejects
        (P.expect((col("i") > 0) | col("i").is_null()), [0, 3, 0, 0], [1, None, 4]),
        (P.cast({"s": "int64"}), [0, 3, 0, 3], [1, None]),
        (P.cast({"s": "int64"}, strict=False), [0, 0, 0, 0], [1, -2, None, 4]),
        (P.unique("s"), [0, 0, 0, 1], [1, -2, None]),
        # All rows of a record go with one that is rejected; a record is written when some row of it is.
        (P.explode("l").expect(col("l") != "y"), [3, 1, 3, 0], [4, 4]),
        (P.explode("l").filter(col("l") != "y"), [0, 1, 1, 0], [1, 4, 4]),
        (P.explode("l").cast({"l": "int64"}), [3, 1, 0, 3], [None]),
        (P.explode("l").filter(col("l").cast("int64") > 0), [3, 1, 1, 3], []),
        (P.explode("l").unique("s"), [0, 1, 0, 0], [1, None, 4]),
        (P.filter(col("i") > 3).explode("l"), [1, 1, 1, 0], [4, 4]),
    ],
)  # fmt: skip
def test_what_becomes_of_records(pipeline: Pipeline, disposition: list[int], rows: list[Any]) -> None:
    outcome = pipeline.run(RECORDS)
    check_account(outcome)
    assert outcome.disposition.to_pylist() == disposition
    assert outcome.batch["i"].to_pylist() == rows


def test_explode_of_lists_in_lists_multiplies() -> None:
    pipeline = Pipeline({"o": "list<struct<n: int64, m: list<int64>>>"}).explode("o").explode("o")
    with pytest.raises(PlanError, match="explode is for lists"):
        pipeline.plan()
    outcome = (
        Pipeline({"o": "list<list<int64>>", "i": "int64"}).explode("o").explode("o").run([b'{"o": [[1, 2], [], [3]], "i": 7}'])
    )
    assert outcome.batch.to_pylist() == [{"o": 1, "i": 7}, {"o": 2, "i": 7}, {"o": 3, "i": 7}]


def test_rules_are_counted_and_named() -> None:
    pipeline = (
        P.expect(col("i") > 0, "drop", name="positive").expect(col("s") == "1", "flag", name="one").expect(col("b").is_null())
    )
    outcome = pipeline.run(RECORDS)
    assert outcome.counts["failed_by_rule"] == {"positive": 2, "one": 1, "b.is_null()": 0}
    (reject,) = P.expect(col("i") < 4, name="small").run(RECORDS[3:]).rejects.to_pylist()
    assert (reject["code"], reject["column"], reject["message"]) == (
        "RULE_FAILED",
        "i",
        "step 1 (expect): the rule 'small' is broken",
    )
    (reject,) = P.expect(col("i") + col("b").cast("int64") == 4, name="two").run(RECORDS[3:]).rejects.to_pylist()
    assert reject["column"] is None


def test_a_rule_that_fails_the_batch_raises_without_a_value() -> None:
    pipeline = P.expect(col("i") > 0, "fail", name="positive")
    with pytest.raises(RunError, match=r"step 1 \(expect\): 2 of 4 rows break the rule 'positive', so none is written"):
        pipeline.run(RECORDS)
    assert pipeline.run(RECORDS[:1]).counts["kept"] == 1


def test_rules_are_in_the_report_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(RECORDS))
    pipeline = P.expect(col("i") > 0, "drop", name="positive").select("i")
    report = run_files(pipeline, [tmp_path / "in.ndjson"], sink=tmp_path / "out")
    assert report.to_dict()["failed_by_rule"] == {"positive": 2}
    assert "2 rows broke the rule positive" in report.render()
    assert "failed_by_rule" not in run_files(P.select("i"), [tmp_path / "in.ndjson"], sink=tmp_path / "other").to_dict()


def test_rules_are_in_the_log_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = P.expect(col("i") > 0, "drop", name="positive").select("i")
    handler = kinesis_handler(pipeline, sink=tmp_path / "out", rejects=tmp_path / "bad")
    handler(json.loads(events.to_bytes(events.kinesis(*RECORDS))), None)
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["failed_by_rule"], line["counts"]["filtered"]) == ({"positive": 2}, 2)


def test_a_rule_that_fails_batches_does_not_fail_the_warm_up(tmp_path: Path) -> None:
    handler = kinesis_handler(P.expect(col("i") > 1 << 60, "fail").select("i"), sink=tmp_path / "out", rejects=tmp_path / "bad")
    assert handler.warm()
    with pytest.raises(RunError, match="break the rule"):
        handler(json.loads(events.to_bytes(events.kinesis(*RECORDS))), None)


def test_a_row_that_names_no_folder_takes_its_record_s_other_rows_along(tmp_path: Path) -> None:
    rows = [{"i": 1, "l": ["x", ""]}, {"i": 2, "l": ["x"]}, {"i": 3, "l": ["y"]}]
    (tmp_path / "in.ndjson").write_text("\n".join(map(json.dumps, rows)))
    exploded = Pipeline(SCHEMA, output={"partition_by": ["l"]}).explode("l").select("i", "l")
    counts = run_files(exploded, [tmp_path / "in.ndjson"], sink=tmp_path / "a").to_dict()
    assert (counts["counts"]["written"], counts["counts"]["rejected"], counts["rows"]) == (2, 1, 2)
    grouped = exploded.group_by("l").agg(col("i").sum())
    counts = run_files(grouped, [tmp_path / "in.ndjson"], sink=tmp_path / "b").to_dict()
    # Records 1 and 2 share the row of x, and record 1 feeds that of "" too.
    assert (counts["counts"]["written"], counts["rejected_by_code"], counts["rows"]) == (1, {"BAD_PARTITION": 2}, 1)


def test_what_goes_along_with_a_row_and_was_filtered_is_counted_once(tmp_path: Path) -> None:
    """A record that fed only a group that was filtered counted as filtered; it is rejected with the record that fed that group, too."""
    rows = [{"l": ["a" * 2000, "b"]}, {"l": ["b"]}, {"l": ["c"]}]
    (tmp_path / "in.ndjson").write_text("\n".join(map(json.dumps, rows)))
    pipeline = Pipeline({"l": "list<string>"}, output={"partition_by": ["l"]}).explode("l").group_by("l").agg(n=col("l").len())
    counts = run_files(pipeline.filter(col("n") < 2), [tmp_path / "in.ndjson"], sink=tmp_path / "out").to_dict()
    assert (counts["counts"]["written"], counts["counts"]["filtered"], counts["counts"]["rejected"]) == (1, 0, 2)
    assert (counts["rejected_by_code"], counts["rows"]) == ({"BAD_PARTITION": 2}, 1)


def test_a_chain_of_records_and_groups_goes_in_a_step_for_each_pair() -> None:
    count = 20_000  # record i feeds groups i and i + 1; some minutes where each link is looked for among all pairs
    records = from_numbers("q", [i for i in range(count) for _ in range(2)])
    units = from_numbers("q", [i + one for i in range(count) for one in range(2)])
    numbers = from_numbers("q", range(count + 1))
    culprits, gone = Lineage(numbers, Feeds(records, units, count + 1)).together([count])
    assert culprits == dict.fromkeys(range(count), count)
    assert gone == list(range(count + 1))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: P.unique("x").plan(), "there is no column 'x'"),
        (lambda: P.unique().plan(), "the column 'l' is list<string>, which cannot be compared; name the columns"),
        (lambda: P.unique("i", order_by="l", keep="last").plan(), "cannot be put in order"),
        (lambda: P.unique("i", order_by="s").plan(), "keep 'any' takes neither"),
        (lambda: P.unique("i", keep="lst"), "write 'any', 'first'"),
        (lambda: P.unique([]), "names no column"),
        (lambda: P.cast({"x": "int64"}).plan(), "there is no column 'x'"),
        (lambda: P.cast({"l": "int64"}).plan(), "cannot be cast"),
        (lambda: P.cast({"i": "int65"}).plan(), "unknown type 'int65'"),
        (lambda: P.cast("int64"), "cast takes a mapping"),
        (lambda: P.expect("i > 0"), "expect takes an expression"),
        (lambda: P.expect(col("i")).plan(), "`i` is int64, not true or false"),
        (lambda: P.expect(col("i") > 0, "flag").plan(), "flag adds a column, which needs a name"),
        (lambda: P.expect(col("i") > 0, "warn"), "write 'reject', 'drop'"),
        (
            lambda: P.expect(col("i") > 0).expect(col("i") > 0, "drop").plan(),
            r"step 2 \(expect\): step 1 has a rule called 'i > 0'",
        ),
        (lambda: P.explode("i").plan(), "the column 'i' is int64; explode is for lists"),
        (lambda: P.explode("l", keep_nulls=1), "keep_nulls is 1"),
    ],
)
def test_mistakes_are_told(mistake: Callable[[], Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()
