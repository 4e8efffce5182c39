"""What was found to be wrong once, by comparing with Polars, RE2 and exact arithmetic."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pytest

from millstream.errors import MillstreamError, RunError
from millstream.grammar import parse
from millstream.pipeline import Pipeline
from millstream.schema import parse_type

S = "string"
EDGE = 1 << 63


def run(text: str, columns: dict[str, tuple[str, list[Any]]]) -> list[Any]:
    """The results, and the codes of rejects in their place."""
    pipeline = Pipeline({name: kind for name, (kind, _) in columns.items()}).select(made=parse(text))
    outcome = pipeline.run(
        pa.record_batch({name: pa.array(values, parse_type(kind).arrow) for name, (kind, values) in columns.items()})
    )
    found = dict(zip(outcome.row_source.to_pylist(), outcome.batch["made"].to_pylist(), strict=True))
    found |= dict(zip(outcome.rejects["position"].to_pylist(), outcome.rejects["code"].to_pylist(), strict=True))
    return [found[at] for at in sorted(found)]


@pytest.mark.parametrize(
    ("text", "columns", "wanted"),
    [
        (r's.str.replace("a\\B", "X")', {"s": (S, ["ab", "zzz"])}, ["Xb", "zzz"]),
        (r's.str.replace("(\\bfoo)|(foo)", "<$1|$2>")', {"s": (S, ["xfoo"])}, ["x<|foo>"]),
        (r's.str.replace("\\Bfoo|f", "<$0>")', {"s": (S, ["xfoo"])}, ["x<foo>"]),
        (r's.str.replace("\\Qa.", "\\")', {"s": (S, ["ba.a."])}, ["b\\a."]),
        ('s.str.replace("(a)(b)(c)(d)(e)(f)(g)", "$7$1")', {"s": (S, ["xabcdefgh"])}, ["xgah"]),
        ('s.str.replace("a", "$0$0", n=2)', {"s": (S, ["aaa", None])}, ["aaaaa", None]),
        ('s.str.count_matches("^a")', {"s": (S, ["aaa", None])}, [1, None]),
        (r's.str.count_matches("\\bfoo")', {"s": (S, ["foofoo"])}, [1]),
        ('s.str.count_matches("x*")', {"s": (S, ["xaéa"])}, [4]),
        ('s.str.extract("(z)?a")', {"s": (S, ["aaa", "za", "b", None])}, [None, "z", None, None]),
        ('s.str.contains("a{02}")', {"s": (S, ["aa", "a{02}"])}, [False, True]),
        ('s.cast("float64").cast("decimal128(10, 2)")', {"s": (S, ["x", "1e300", None])}, ["BAD_NUMBER", "OUT_OF_RANGE", None]),
        ('s.cast("float64").cast("decimal128(10, 2)", strict=False)', {"s": (S, ["x", "1e300"])}, ["BAD_NUMBER", None]),
        ('s.str.to_date("%F %T%z")', {"s": (S, ["2024-01-31 00:30:00+0100"])}, [dt.date(2024, 1, 31)]),
        ('a.clip(1, s.cast("int64"))', {"a": ("int64", [0, 9]), "s": (S, ["x", "x"])}, ["BAD_NUMBER", "BAD_NUMBER"]),
        (
            't.dt.offset_by("50000d50000d50000d").dt.epoch("ns")',
            {"t": ("timestamp[ns]", [-1, 5, 1 - EDGE])},
            ["OUT_OF_RANGE", "OUT_OF_RANGE", 1 - EDGE + 150_000 * 86_400 * 10**9],
        ),
        (
            "t == b",
            {"t": ("timestamp[ns]", [-EDGE]), "b": ("timestamp[us]", [-9223372036854776])},
            [False],
        ),
        ('x.cast("float32")', {"x": ("float64", [1e300, -1e300, 3.5e38, float("inf"), 1.5])}, ["OUT_OF_RANGE"] * 3 + [float("inf"), 1.5]),
        ('x.cast("float32", strict=False)', {"x": ("float64", [1e300, 1.5])}, [None, 1.5]),
        ('x.cast("float32")', {"x": ("int64", [2**60 + 2**36 + 1])}, [1.1529216420458004e18]),
        ('x.cast("float32")', {"x": ("uint64", [2**64 - 1, 2**63 + 2**39 + 1])}, [2.0**64, 2.0**63 + 2.0**40]),
        ("x.fill_null(16777217)", {"x": ("float32", [None, 1.0])}, [16777217.0, 1.0]),
    ],
)  # fmt: skip
def test_it_is_right_now(text: str, columns: dict[str, tuple[str, list[Any]]], wanted: list[Any]) -> None:
    assert run(text, columns) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('s.str.replace("^a", "b", n=2)', "stands around a match"),
        (r's.str.replace("[a]\\b", "b", n=3)', "stands around a match"),
        ("s.str.slice(9223372036854775808)", "64 bits"),
        ("s.str.slice(-4611686018427387909)", "63 bits"),
        ('s.str.replace("(a)(b)(c)(d)(e)(f)(g)(h)", "$8")', r"write \$1 to \$7"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_planned(text: str, told: str) -> None:
    with pytest.raises(MillstreamError, match=told):
        Pipeline({"s": "string"}).select(made=parse(text)).plan()


def test_half_a_character_is_refused() -> None:
    from millstream import col

    with pytest.raises(MillstreamError, match="surrogate"):
        Pipeline({"s": "string"}).select(made=col("s").str.starts_with("\ud800")).plan()


@pytest.mark.parametrize("text", ['s.str.replace("[$^]x|a\\\\$", "b", n=2)', 's.str.replace("\\\\Q^a\\\\E|b", "b", n=2)'])
def test_signs_that_stand_for_themselves_look_at_nothing_around(text: str) -> None:
    assert run(text, {"s": (S, ["b"])}) == ["b"]


def test_one_text_has_less_than_2_gib() -> None:
    """Its length has 31 bits: with one more it would be negative."""
    pipeline = Pipeline({"s": "string"}).select(
        made=parse(f's.str.replace_all(",", "{"x" * 2049}", literal=True).str.sha256()')
    )
    with pytest.raises(RunError, match="over 2 GiB"):
        pipeline.run([orjson.dumps({"s": "," * ((1 << 20) + 1)})])


def test_replacing_and_counting_are_those_of_polars() -> None:
    draw = random.Random(11)
    pieces = ["a", "b", "ab", "^", "$", r"\b", r"\B", "(a)", "(b)?", "a*", "b+?", "[ab]", "x|", ".", "(?:ab)*", "é"]
    texts = ["", "a", "ab", "ba", "aab b", "abab", "é a", "b é", "xab a"]
    for _ in range(60):
        pattern = "".join(draw.choice(pieces) for _ in range(draw.randrange(1, 4)))
        try:
            theirs = pl.DataFrame({"s": texts}).select(
                first=pl.col("s").str.replace(pattern, "<$0>"), count=pl.col("s").str.count_matches(pattern)
            )
        except pl.exceptions.ComputeError:
            continue
        quoted = pattern.replace("\\", "\\\\")
        ascii_only = [
            at for at, text in enumerate(texts) if text.isascii() or ("\\" not in pattern)
        ]  # RE2's \b knows ASCII alone
        first = run(f's.str.replace("{quoted}", "<$0>")', {"s": (S, texts)})
        count = run(f's.str.count_matches("{quoted}")', {"s": (S, texts)})
        for at in ascii_only:
            assert (first[at], count[at]) == (theirs["first"][at], theirs["count"][at]), (pattern, texts[at])
