"""Joins in pipeline files: read, written, and what of them a fingerprint holds."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from millstream.errors import SpecError
from millstream.pipeline import Pipeline
from millstream.schema import Column
from millstream.tables import lookup

HEAD: dict[str, Any] = {"version": 1, "name": "p", "schema": {"s": "string", "i": "int64"}}
FULL = "{lookup: t.csv, key: [code, n], on: [s, i], how: left, keep: last, refresh: 15m, on_missing: {rate: 0}, schema: {code: string, n: int64, rate: int64}}"
P = Pipeline({"s": "string", "i": "int64"}, name="p")

JOINS = [
    (lambda: P.join(lookup("/t.csv", key="code"), on="s"), {"lookup": "/t.csv", "key": "code", "on": "s", "how": "left"}),
    (
        lambda: P.join(lookup("s3://b/t.csv", key=["code", "n"], keep="first", refresh=90), on=["s", "i"], on_missing="reject"),
        {"lookup": "s3://b/t.csv", "key": ["code", "n"], "keep": "first", "on": ["s", "i"], "how": "left", "on_missing": "reject", "refresh": "90s"},
    ),
    (
        lambda: P.join(lookup("file:///t.csv", key="code", range=("a", "b")), on=["s", "i"], how="semi"),
        {"lookup": "file:///t.csv", "key": "code", "range": ["a", "b"], "on": ["s", "i"], "how": "semi"},
    ),
    (
        lambda: P.join(lookup("/t.csv", ip_range=("a", "b"), closed="left"), on="s"),
        {"lookup": "/t.csv", "ip_range": ["a", "b"], "closed": "left", "on": "s", "how": "left"},
    ),
    (lambda: P.join(lookup("/t.csv", cidr="net"), on="s", how="anti"), {"lookup": "/t.csv", "cidr": "net", "on": "s", "how": "anti"}),
    (
        lambda: P.join(
            lookup("dynamodb://t", key="id", schema={"id": "string", "d": Column("decimal128(5, 2)", path="a.b")}), on="s", on_missing={"d": "1.50"}
        ),
        {
            "lookup": "dynamodb://t", "key": "id", "on": "s", "how": "left", "on_missing": {"d": "1.50"},
            "schema": {"id": "string", "d": {"type": "decimal128(5, 2)", "path": "a.b"}},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), JOINS)
def test_joins_are_written_and_read(make: Any, said: dict[str, Any]) -> None:
    pipeline = make()
    assert pipeline.to_spec()["steps"] == [{"join": said}]
    again = Pipeline.from_spec(pipeline.to_spec())
    assert again.to_spec() == pipeline.to_spec()
    assert again.fingerprint == pipeline.fingerprint


def test_a_join_in_a_file_is_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("code,n,rate\na,1,5\na,1,6\n")
    (tmp_path / "p.yaml").write_text(f"version: 1\nschema: {{s: string, i: int64}}\nsteps:\n  - join: {FULL}\n")
    outcome = Pipeline.from_spec(tmp_path / "p.yaml").run(pa.record_batch({"s": ["a", "b"], "i": [1, 1]}))
    assert outcome.batch["rate"].to_pylist() == [6, 0]


def test_a_fingerprint_holds_what_a_join_does_and_not_where_or_when() -> None:
    def of(source: Any = "/t.csv", on_missing: Any = "null", **settings: Any) -> str:
        return P.join(lookup(source, **{"key": "code"} | settings), on="s", on_missing=on_missing).fingerprint

    plain = of()
    assert of("s3://b/other.parquet") == of(refresh="15m") == of(pa.table({"code": ["a"]})) == plain
    others = [of(key="kode"), of(keep="last"), of(schema={"code": "string"}), of(on_missing="reject"), of(on_missing={"x": 1})]
    assert len({plain, *others}) == 6


def test_fingerprints_from_before_stay() -> None:
    """Of joins that were possible before there were others: objects that are written carry them."""
    assert P.join(lookup("/t.csv", key="code"), on="s").fingerprint == BEFORE


BEFORE = "09d046d47152"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"key": "k", "on": "s"}, "join needs lookup"),
        ({"lookup": "x.csv", "key": "k"}, "join needs on"),
        ({"lookup": "x.csv", "on": "s"}, "join needs key, range, ip_range or cidr"),
        ({"lookup": "x.csv", "key": "k", "on": ["s", 1]}, "on is a column's name, or a list"),
        ({"lookup": "x.csv", "key": "k", "on": "s", "how": "outer"}, "how is 'outer'; write left, inner, semi or anti"),
        ({"lookup": "x.csv", "key": "k", "on": "s", "refersh": "1m"}, "join has no key 'refersh'"),
        ({"lookup": "x.csv", "key": 5, "on": "s"}, "key is the name of a column"),
        ({"lookup": "x.csv", "key": "k", "on": ["s", "i"]}, "on is one column, for k; not 2"),
        ({"lookup": "x.csv", "key": "k", "on": "s", "refresh": "later"}, "refresh is 'later'"),
        ({"lookup": "x.csv", "key": "k", "on": "s", "schema": "all"}, "schema is a mapping"),
        ({"lookup": "gs://b/x.csv", "key": "k", "on": "s"}, "cannot be read; write a path, or a URL"),
        ({"lookup": "dynamodb://t", "key": "k", "on": "s"}, "have no types"),
    ],
)
def test_mistakes_in_files(said: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=rf"^step 1 \(join\): .*{words}"):
        Pipeline.from_spec(HEAD | {"steps": [{"join": said}]})
