"""Joins by one key or several, against a dict and against Polars; what becomes of rows without a match."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import PlanError
from millstream.pipeline import Pipeline
from millstream.tables import lookup
from millstream.types import parse_type
from tests import guard

TEXTS = ["", "a", "ab", "é", "日本", "x" * 40, "x" * 39 + "y"]
POOLS: dict[str, list[Any]] = {
    "string": TEXTS,
    "int64": [0, -1, 1, 1 << 62, -(1 << 63)],
    "uint64": [0, 1, (1 << 64) - 1],
    "int16": [0, 7, -7],
    "bool": [True, False],
    "date32": [date(1970, 1, 1), date(1969, 2, 3), date(2400, 2, 29)],
    "timestamp[us, UTC]": [0, -1, 1 << 50],
    "decimal128(20, 2)": [Decimal("0.00"), Decimal("-1.50"), Decimal("123456789012345678.99")],
    "binary": [b"", b"\0", b"\xff\xfe"],
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Types of key columns; the keys of a table, with nulls and each once; the keys that are looked up in it."""
    kinds = draw(st.lists(st.sampled_from(list(POOLS)), min_size=1, max_size=3))
    key = st.tuples(*(st.sampled_from([*POOLS[kind], None]) for kind in kinds))
    return kinds, draw(st.lists(key, unique=True, max_size=30)), draw(st.lists(key, max_size=70))


def column(kind: str, values: list[Any], skip: int = 0) -> pa.Array:
    """An array; with `skip` one that begins behind other values."""
    arrow = parse_type(kind).arrow
    return pa.array([POOLS[kind][0]] * skip + values, arrow)[skip:]


def check(kinds: list[str], keys: list[tuple[Any, ...]], asked: list[tuple[Any, ...]], skip: int) -> None:
    names = [f"k{at}" for at in range(len(kinds))]
    table = {
        name: column(kind, [key[at] for key in keys], skip) for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
    }
    rows = {f"a{at}": column(kind, [key[at] for key in asked], skip) for at, kind in enumerate(kinds)}
    known = lookup(pa.table({**table, "v": pa.array(range(len(keys)), pa.int64())}), key=names)
    found = {key: at for at, key in enumerate(keys) if None not in key}
    expected = [found.get(key) for key in asked]
    pipeline, batch = Pipeline({f"a{at}": kind for at, kind in enumerate(kinds)}), pa.record_batch(rows)
    for how, wanted in (
        ("left", expected),
        ("inner", [one for one in expected if one is not None]),
        ("semi", [at for at, one in enumerate(expected) if one is not None]),
        ("anti", [at for at, one in enumerate(expected) if one is None]),
    ):
        outcome = pipeline.join(known, on=list(rows), how=how).run(batch)
        counts = outcome.counts
        assert counts["delivered"] == len(asked) == counts["kept"] + counts["filtered"]
        got = outcome.batch["v"].to_pylist() if how in ("left", "inner") else outcome.row_source.to_pylist()
        assert got == wanted, how
    rejected = pipeline.join(known, on=list(rows), on_missing="reject").run(batch)
    assert rejected.rejects["position"].to_pylist() == [at for at, one in enumerate(expected) if one is None]
    assert set(rejected.rejects["code"].to_pylist()) <= {"NO_MATCH"}
    assert rejected.batch["v"].to_pylist() == [one for one in expected if one is not None]
    filled = pipeline.join(known, on=list(rows), on_missing={"v": -5}).run(batch)
    assert filled.batch["v"].to_pylist() == [-5 if one is None else one for one in expected]


@settings(max_examples=60)
@given(cases(), st.integers(0, 3))
def test_joins_are_those_of_a_dict(case: Any, skip: int) -> None:
    check(*case, skip)


def test_joins_on_guarded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    guard.install(monkeypatch)
    keys = [(text, number) for text in TEXTS for number in (0, 1, None)]
    check(["string", "int64"], keys, [*keys[::-1], ("b", 0), (None, 1)], 0)


@given(
    st.lists(st.tuples(st.sampled_from(TEXTS), st.integers(-3, 3)), unique=True, max_size=20),
    st.lists(st.tuples(st.sampled_from([*TEXTS, None]), st.none() | st.integers(-3, 3)), max_size=40),
    st.sampled_from(["left", "inner", "semi", "anti"]),
)
def test_joins_are_those_of_polars(keys: list[Any], asked: list[Any], how: Any) -> None:
    table = pa.table(
        {
            "s": column("string", [s for s, _ in keys]),
            "n": column("int64", [n for _, n in keys]),
            "v": pa.array(range(len(keys)), pa.int64()),
        }
    )
    rows = pa.record_batch({"s": column("string", [s for s, _ in asked]), "n": column("int64", [n for _, n in asked])})
    outcome = Pipeline({"s": "string", "n": "int64"}).join(lookup(table, key=["s", "n"]), on=["s", "n"], how=how).run(rows)
    left, right = pl.from_arrow(rows), pl.from_arrow(table)
    options = {"maintain_order": "left"} if how in ("left", "inner") else {}
    assert outcome.batch.to_pylist() == left.join(right, on=["s", "n"], how=how, **options).to_dicts()  # type: ignore[union-attr,arg-type]


def test_a_null_key_has_no_match_and_counts_as_missing() -> None:
    table = pa.table({"k": ["a", None], "v": [1, 2]})
    rows = pa.record_batch({"k": pa.array([None, "a"])})
    outcome = Pipeline({"k": "string"}).join(lookup(table, key="k"), on="k", on_missing="reject").run(rows)
    assert outcome.rejects.to_pylist()[0] | {"payload": None} == {
        "position": 0,
        "code": "NO_MATCH",
        "column": "k",
        "offset": -1,
        "message": "step 1 (join): the lookup has no row for the key",
        "payload": None,
    }
    assert outcome.counts["kept"] == 1


def test_defaults_of_every_type_and_of_columns_that_are_not_named() -> None:
    table = pa.table(
        {"k": [1], "s": ["x"], "d": pa.array([Decimal("1.5")], pa.decimal128(5, 2)), "t": [date(2024, 1, 1)], "n": [9]}
    )
    policy = {"s": "none", "d": "2.25", "t": "2000-01-31"}
    outcome = (
        Pipeline({"k": "int64"}).join(lookup(table, key="k"), on="k", on_missing=policy).run(pa.record_batch({"k": [2, 1]}))
    )
    assert outcome.batch.to_pylist() == [
        {"k": 2, "s": "none", "d": Decimal("2.25"), "t": date(2000, 1, 31), "n": None},
        {"k": 1, "s": "x", "d": Decimal("1.50"), "t": date(2024, 1, 1), "n": 9},
    ]


@pytest.mark.parametrize(("keep", "value"), [("first", "a"), ("last", "c")])
def test_a_doubled_key_may_be_kept_once(keep: Any, value: str) -> None:
    table = pa.table({"k": [1, 2, 1, 1], "v": ["a", "x", "b", "c"]})
    rows = pa.record_batch({"k": [1, 2]})
    outcome = Pipeline({"k": "int64"}).join(lookup(table, key="k", keep=keep), on="k").run(rows)
    assert outcome.batch["v"].to_pylist() == [value, "x"]


P = Pipeline({"s": "string", "i": "int64", "f": "float64"})
TABLE = pa.table({"code": ["a", "b", "a"], "n": [1, 2, 1], "v": [1, 2, 3]})


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: P.join(lookup(TABLE, key=["code", "n"]), on=["s", "i"]).plan(), "key 'code' and 'n' holds the same value more than once"),
        (lambda: P.join(lookup(TABLE, key=["code", "n"]), on="s"), "on is 2 columns, for code, n; not 1"),
        (lambda: P.join(lookup(TABLE, key=["code", "m"]), on=["s", "i"]).plan(), "has no column 'm' to be the key"),
        (lambda: P.join(lookup(TABLE, key=["code", "n"]), on=["s", "f"]).plan(), "a float cannot be a join key"),
        (lambda: P.join(lookup(TABLE, key=["n", "code"]), on=["s", "i"]).plan(), "key 'n' is int64, the column it is joined on is string"),
        (lambda: P.join(lookup(TABLE, key="code", keep="last"), on="s", on_missing={"w": 1}).plan(), "adds no column 'w'; it adds n, v"),
        (lambda: P.join(lookup(TABLE, key="code", keep="last"), on="s", on_missing={"v": "x"}).plan(), "column 'v' is 'x', which is no int64"),
        (lambda: P.join(lookup(TABLE, key="code"), on="s", on_missing="drop"), "on_missing is 'drop'; write 'null', 'reject' or"),
        (lambda: P.join(lookup(TABLE, key="code"), on="s", how="inner", on_missing="reject"), "on_missing is for how='left'"),
        (lambda: lookup(TABLE, key="code", keep="any"), "keep is 'any'"),
        (lambda: lookup(TABLE, key=["code", "code"]), "names a column twice"),
        (lambda: lookup(TABLE, key=[]), "key is the name of a column"),
        (lambda: lookup(TABLE), "key is the name of a column"),
        (lambda: lookup(TABLE, key="code", refresh="15m"), "a table in memory does not change"),
        (lambda: lookup(TABLE, key="code", schema={"code": "string"}), "a table in memory has its own"),
        (lambda: lookup("x.csv", key="code", refresh="soon"), "refresh is 'soon'; write a length of time"),
        (lambda: lookup("x.csv", key="code", schema={"n": "int64"}), "'code' is not in its schema"),
        (lambda: lookup("ftp://host/x.csv", key="code"), "cannot be read; write a path, or a URL of file://, s3://, dynamodb://"),
    ],
)  # fmt: skip
def test_mistakes_are_told(mistake: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()
