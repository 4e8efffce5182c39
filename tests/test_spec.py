"""Pipeline files: what is written comes back, and what is wrong is told with file, step and place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from millstream.documents import loads
from millstream.errors import SpecError, UsageError
from millstream.expr import col, when
from millstream.pipeline import Pipeline
from millstream.schema import Column
from millstream.tables import lookup

ORDERS = """
version: 1
name: orders
input: {format: auto, compression: auto}
schema:
  {order_id: string, customer_id: int64, price: float64, event_time: "timestamp[us, UTC]",
   session_id: {type: string, path: session.id}, country: string}
steps:
  - drop_nulls: [price]
  - filter: price > 10
  - with_columns: {discount: when(price > 50).then(price * 0.1)}
  - join: {lookup: countries.csv, key: code, on: country, how: left}
output: {format: parquet, partition_by: [country], compression: zstd}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "countries.csv").write_text("code,name\nNO,Norway\n07,Seven\n")
    (tmp_path / "orders.yaml").write_text(ORDERS)
    return tmp_path


def test_the_file_of_the_contract(folder: Path) -> None:
    pipeline = Pipeline.from_spec(folder / "orders.yaml")
    assert (pipeline.name, pipeline.output["partition_by"]) == ("orders", ["country"])
    outcome = pipeline.run(
        [b'{"price":60,"country":"NO","session":{"id":"s"}}', b'{"price":1}', b'{"price":null}', b'{"price":11,"country":"07"}']
    )
    assert outcome.batch["name"].to_pylist() == ["Norway", "Seven"]
    assert outcome.batch["discount"].to_pylist() == [6.0, None]
    assert outcome.batch["session_id"].to_pylist() == ["s", None]


def test_a_pipeline_comes_back_from_its_spec(folder: Path) -> None:
    pipeline = (
        Pipeline(
            {"a": "int64", "odd name": "string", "c": Column("date32", path=("x.y", "z"), aliases=("q",), nullable=False)},
            name="all",
        )
        .with_columns(col("odd name").str.strip_chars().alias("b"), x=when(col("a") > 1).then("yes"))
        .filter(col("a") > 1, col("b") != "é")
        .drop_nulls()
        .drop_nulls("a")
        .rename({"b": "d"})
        .join(lookup(folder / "countries.csv", key="code"), on="d", how="anti")
        .drop("x")
        .select("a", col("odd name"), col("c").dt.year())
        .select("a", y=col("c") + 1)
    )
    said = pipeline.to_spec()
    assert json.loads(json.dumps(said)) == said
    again = Pipeline.from_spec(said)
    assert again.to_spec() == said
    assert again.fingerprint == pipeline.fingerprint
    assert again.plan().schema == pipeline.plan().schema
    (folder / "all.json").write_text(json.dumps(said))
    assert Pipeline.from_spec(folder / "all.json").to_spec() == said


def test_the_fingerprint_says_what_the_pipeline_does_not_where_files_are(folder: Path) -> None:
    one = Pipeline({"a": "string"}).join(lookup("x.csv", key="k"), on="a")
    assert one.fingerprint == Pipeline({"a": "string"}).join(lookup("y.csv", key="k"), on="a").fingerprint
    assert one.fingerprint != one.drop("a").fingerprint
    assert len(one.fingerprint) == 12
    table = Pipeline({"a": "string"}).join(lookup(pa.table({"k": ["a"]}), key="k"), on="a")
    assert table.fingerprint == one.fingerprint
    with pytest.raises(UsageError, match="table in memory"):
        table.to_spec()


def told(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        Pipeline.from_spec(loads(text))
    return str(caught.value)


HEAD = "version: 1\nschema: {a: int64, s: string}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a pipeline is a mapping"),
        ("version: 2\nschema: {a: int64}", "write version: 1"),
        ("version: 1", "there is no schema"),
        ("version: 1\nschema: [a]", "schema is a mapping"),
        (HEAD + "setps: []", "no key 'setps'"),
        (HEAD + "steps: {filter: a > 1}", "steps is a list"),
        (HEAD + "steps: [{filtr: a > 1}]", "step 1: there is no step 'filtr'"),
        (HEAD + "steps: [{filter: a > 1, drop: a}]", "step 1 is one key"),
        (HEAD + "steps: [{drop: a}, {filter: a >}]", "step 2 (filter): `a >` cannot be read"),
        (HEAD + "steps: [{filter: [[a]]}]", "an expression is text, not a list"),
        (HEAD + "steps: [{with_columns: a + 1}]", "write names and expressions"),
        (HEAD + "steps: [{select: [1]}]", "a list of names"),
        (HEAD + "steps: [{join: {lookup: x.csv, key: k}}]", "join needs on"),
        (HEAD + "steps: [{join: {lookup: x.csv, key: k, on: s, how: outer}}]", "how is 'outer'"),
        (HEAD + "a: &x [1]\nb: *x", "aliases"),
        (HEAD + "version: 1", "stands twice"),
        ("version: 1\nschema: {a: {type: int64, typ: 1}}", "no key 'typ'"),
        ("version: 1\nschema: {a: {path: x}}", "has no type"),
        ("a: " + "[" * 50 + "]" * 50, "nested"),
        ("a: !!python/object/apply:os.system [x]", "tags ("),
        ("a: [", "line "),
        ("a:\n\t- b", "'\\t' that cannot start"),
        ("a: \0", "special characters"),
        ("---\na: 1\n---\na: 2", "another document"),
        ("&a [*a]", "aliases"),
        ("a: !!bool maybe", "tags"),
        ("a: !!binary aGk=", "tags"),
        ("{? [a] : b}", "a key is a plain name"),
        ("version: " + "9" * 4000, "write version: 1"),
        ("version: " + "9" * 5000, "cannot be read"),
        (HEAD + "input: auto", "input is a mapping, not text"),
        (HEAD + "output: [parquet]", "output is a mapping, not a list"),
        (HEAD + "name:", "a pipeline's name"),
        ("version: 1\nschema: {a: {type: int64, nullable: no}}", "nullable is 'no'; write true or false"),
        ("version: 1\nschema: {a: {type: int64, path: 5}}", "path 5"),
        ("version: 1\nschema: {a: {type: int64, aliases: 5}}", "aliases is 5"),
        ("version: 1\nschema: {a: {type: int64, coerce: 5}}", "coerce 5"),
        ("version: 1\nschema: {a: {type: date32, default: soon}}", "default is 'soon'"),
    ],
)
def test_mistakes_in_files_are_told(text: str, words: str) -> None:
    assert words in told(text)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(HEAD + "steps:\n  - filter: a >\n")
    with pytest.raises(SpecError, match=r"bad\.yaml: line 4, column 5: step 1 \(filter\)"):
        Pipeline.from_spec(path)
    with pytest.raises(SpecError, match="No such file"):
        Pipeline.from_spec(tmp_path / "none.yaml")
    path.write_bytes(b"\xff")
    with pytest.raises(SpecError, match="UTF-8"):
        Pipeline.from_spec(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(SpecError, match="larger than"):
        Pipeline.from_spec(path)
    twice = tmp_path / "twice.json"
    twice.write_text('{"version": 1, "version": 1}')
    with pytest.raises(SpecError, match="stands twice"):
        Pipeline.from_spec(twice)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: no", {"on": "no"}),
        ("a: 12:30", {"a": "12:30"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: true", {"a": True}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: 010", {"a": 10}),
        ("a: ~", {"a": None}),
    ],
)
def test_yaml_scalars_mean_what_they_say(text: str, value: Any) -> None:
    assert loads(text) == value


def test_defaults_that_are_times_come_back_from_a_spec() -> None:
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    pipeline = Pipeline({"d": Column("date32", default=at.date()), "t": Column("timestamp[us, UTC]", default=at)})
    again = Pipeline.from_spec(json.loads(json.dumps(pipeline.to_spec())))
    assert again.run([b"{}"]).batch.to_pylist() == [{"d": at.date(), "t": at}]


def test_every_type_and_path_comes_back_from_a_spec() -> None:
    pipeline = Pipeline(
        {
            "b": Column("binary", default=b"\0\xff", coerce="hex"),
            "d": Column("decimal128(38, 2)", default=Decimal("-1E+5"), coerce=("round", "numbers")),
            "t": Column("time64[us]", default=time(1, 2, 3, 4)),
            "l": Column("duration[us]", default=timedelta(1, -5, 7), coerce="seconds"),
            "n": Column('struct<a: list<map<string, json>>, "b:c": int8>', path=("*",)),
            "*": Column("list<json>", path="s.t"),
            "rest": Column("json", path="*"),
        }
    )
    said = json.loads(json.dumps(pipeline.to_spec()))
    assert said["schema"]["rest"] == {"type": "json", "path": "*"}
    assert said["schema"]["n"]["path"] == ["*"]
    again = Pipeline.from_spec(said)
    assert list(again.schema.values()) == list(pipeline.schema.values())
    assert again.to_spec() == said


def test_hostile_files_end_soon(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"version": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(SpecError, match="line 1, column 32: nested more than 20 levels"):
        Pipeline.from_spec(path)
    path.write_text("[" * 500_000)
    with pytest.raises(SpecError, match="nested more than 20 levels"):
        Pipeline.from_spec(path)
    with pytest.raises(SpecError, match="larger than"):
        Pipeline.from_spec("/dev/zero")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(50 << 20)
    with pytest.raises(SpecError, match="larger than"):
        Pipeline.from_spec(tmp_path / "large.yaml")
