"""Expressions and their text: what is written comes back, and what Python cannot say is refused with the right words."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import SpecError, UsageError
from millstream.expr import Expr, as_expr, col, lit, same, when
from millstream.grammar import parse
from millstream.pipeline import Pipeline

TEXTS = {
    'price > 10 and country in ("US", "DE")': (col("price") > 10) & col("country").is_in(["US", "DE"]),
    "a or b and not c": col("a") | (col("b") & ~col("c")),
    "(a or b) and c": (col("a") | col("b")) & col("c"),
    "not (a and b)": ~(col("a") & col("b")),
    'x not in ("a",)': ~col("x").is_in(["a"]),
    "a - (b - 1)": col("a") - (col("b") - 1),
    "a - b - 1": col("a") - col("b") - 1,
    "(a + 1) * 2": (col("a") + 1) * 2,
    "-(a + 1)": -(col("a") + 1),
    "-a * -5": -col("a") * -5,
    "(a == b) == c": (col("a") == col("b")) == col("c"),
    "10 - a": 10 - col("a"),
    "when(price > 50).then(price * 0.1)": when(col("price") > 50).then(col("price") * 0.1),
    'when(a).then("x").when(b).then("y").otherwise(None).alias("k")': (
        when(col("a")).then("x").when(col("b")).then("y").otherwise(None).alias("k")
    ),
    "email.str.strip_chars().str.to_lowercase()": col("email").str.strip_chars().str.to_lowercase(),
    's.str.contains("a\\"b", literal=True)': col("s").str.contains('a"b', literal=True),
    'x.cast("int64", strict=False)': col("x").cast("int64", strict=False),
    '(a + b).cast("int64")': (col("a") + col("b")).cast("int64"),
    'lit(5).cast("int8")': lit(5).cast("int8"),
    'col("odd name") + col("class")': col("odd name") + col("class"),
    'x.is_between(1, 5, closed="left")': col("x").is_between(1, 5, closed="left"),
    't >= datetime("2024-01-02T03:04:05+00:00")': col("t") >= datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    'd == date("2024-01-02")': col("d") == date(2024, 1, 2),
    'x == float("nan") or x < float("-inf")': (col("x") == float("nan")) | (col("x") < float("-inf")),
    't.dt.truncate("1h")': col("t").dt.truncate("1h"),
    't >= time("12:30:00")': col("t") >= time(12, 30),
    'a in (duration("-P1DT0.5S"), duration("PT0S"))': col("a").is_in([-timedelta(1, 0, 500_000), timedelta()]),
    'a > decimal("-12.50")': col("a") > Decimal("-12.50"),
    'a == binary("AP8=")': col("a") == b"\0\xff",
}


@pytest.mark.parametrize("text", TEXTS)
def test_an_expression_has_one_text_and_the_text_one_expression(text: str) -> None:
    assert str(TEXTS[text]) == text
    assert same(parse(text), TEXTS[text])


def extended(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    pair = st.tuples(inner, inner)
    binary = [
        "__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__",
        "__eq__", "__ne__", "__lt__", "__ge__", "__and__", "__or__",
    ]  # fmt: skip
    return st.one_of(
        *(pair.map(lambda two, name=name: getattr(two[0], name)(two[1])) for name in binary),
        inner.map(lambda one: -one),
        inner.map(lambda one: ~one),
        inner.map(lambda one: one.is_in([1, "a", None])),
        inner.map(lambda one: one.str.strip_chars("'\"\\")),
        inner.map(lambda one: one.alias("new name")),
        pair.map(lambda two: when(two[0]).then(two[1])),
        pair.map(lambda two: when(two[0]).then(two[1]).otherwise(two[0])),
        pair.map(lambda two: two[0].is_between(two[1], 3)),
    )


LITERALS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes()
LITERALS |= st.times() | st.timedeltas() | st.decimals(allow_nan=False, allow_infinity=False) | st.binary(max_size=9)
EXPRESSIONS = st.recursive(st.text(min_size=1, max_size=5).map(col) | LITERALS.map(as_expr), extended, max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS)
def test_any_expression_comes_back_from_its_text(expression: Expr) -> None:
    text = str(expression)
    assert str(parse(text)) == text


def test_a_chain_of_comparisons_is_a_conjunction() -> None:
    assert str(parse("0 < a <= 5")) == "0 < a and a <= 5"
    assert str(parse("a is None or b is not None")) == "a.is_null() or b.is_not_null()"


def test_names() -> None:
    assert (col("price") * col("quantity")).output_name == "price"
    assert (1 - col("b")).output_name == "b"
    assert when(col("test")).then(col("value")).output_name == "value"
    assert lit(1).output_name is None
    assert (col("a") + col("b") * col("a")).columns == ("a", "b")


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: bool(col("a") > 1),
        lambda: (col("a") > 1) and (col("b") > 1),
        lambda: col("a") in [col("b")],
        lambda: 1 < col("a") < 5,
        lambda: "x" in col("a"),
    ],
)
def test_python_words_are_refused_with_the_operators_to_write(mistake: Any) -> None:
    with pytest.raises(UsageError, match=r"\.is_in\("):
        mistake()


def test_expressions_are_immutable() -> None:
    with pytest.raises(AttributeError):
        col("a").name = "b"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('x')", "no function '__import__'"),
        ("a.__class__", "no method"),
        ("a.str.__init__()", "no method"),
        ("a.b > 1", r'col\("a.b"\)'),
        ("a >", "cannot be read"),
        ("a[0]", "not allowed"),
        ("[x for x in y]", "not allowed"),
        ("lambda: 1", "not allowed"),
        ("f'{a}'", "not allowed"),
        ("a if b else c", "not allowed"),
        ("a @ 2", r"operators are"),
        ("a in b", "list of literals"),
        ("a in (b,)", "only literals"),
        ("a is 1", "only with None"),
        ("a.is_null", "parentheses"),
        ("a.is_between(1)", "upper_bound"),
        ("a.cast(*b)", r"\*"),
        ("when(a)", r"\.then"),
        ("when(a).filter(1)", "there is no method"),
        ("a.str.contains(b)", "plain string"),
        ("(1, 2)", "list"),
        ("b'x'", "no literal"),
        ("a.when(1)", "there is no method"),
        ("date('2024-13-01')", "month"),
        ("time('24:00')", "hour"),
        ("time('noon')", "'noon' is no time of day; write '12:30:00'"),
        ("time(12)", "string"),
        ("duration('1 day')", "is no duration; write ISO 8601"),
        ("decimal('NaN')", "is no decimal number"),
        ("binary('é')", "is no base64"),
        ("not " * 3000 + "a", "cannot be read"),
        ("(" * 500 + "a" + ")" * 500, "cannot be read"),
        ("a" * 30_000, "too long"),
        ("a\0b", "cannot be read"),
    ],
)
def test_other_python_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "price.__class__", "price.__class__()", "lambda: 1", "[a for a in b]", "f'{a}'", "(a:=1)", "open('x')", "a[0]", "a if b else c",
        "(" * 10_000 + "a", "(" * 9_000 + "a" + ")" * 9_000, "9" * 19_000, "not " * 4000 + "a", "-" * 15_000 + "a",
        "a" + "+a" * 5000, "a and " * 3000 + "a", "a < " * 4000 + "a", "a" + ".cast('int64')" * 1000, "a.is_null()" + ".alias('b')" * 900,
        "a.is_between(0,1)" + ".is_between(False,True)" * 100, "a < (" * 90 + "a" + ") < a" * 90, "a.cast('int64', strict='no')",
        "\0", "", "#", "datetime('0001-01-01T00:00:00+25:00')", "yield a", "x" * 20_001,
    ],
    ids=lambda text: text[:30] + str(len(text)),
)  # fmt: skip
def test_hostile_text_is_refused_soon(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "when(s == 'a').then(0)" + ".when(s == 'b').then(1)" * 60 + ".otherwise(2)",
        "a" + ".abs()" * 60,
        "a" + ".fill_null(0)" * 60,
        "a" + ".cast('int64').abs()" * 30,
    ],
    ids=["when", "abs", "fill_null", "cast"],
)
def test_long_chains_are_read_once(text: str) -> None:
    started = process_time()
    parse(text)
    assert process_time() - started < 1


def test_an_expression_may_not_grow_without_end() -> None:
    deep = col("a")
    for _ in range(190):
        deep = deep + 1
    Pipeline({"a": "int64"}).with_columns(b=deep).plan()
    with pytest.raises(UsageError, match="nests at most"):
        reduce(lambda one, _: one + 1, range(20), deep)
    with pytest.raises(UsageError, match="holds at most"):
        reduce(lambda one, _: one + one, range(40), col("a"))


def test_names_are_read_as_they_are_written_and_places_count_characters() -> None:
    assert parse("µ > 1").columns == ("µ",)  # Python's own parser would read another letter
    with pytest.raises(SpecError, match="at character 9"):
        parse('"ééé" + open("x")')


def test_literals_are_plain_values() -> None:
    class Odd(float):
        def __repr__(self) -> str:
            return "odd"

    assert str(col("a") * Odd(0.5)) == "a * 0.5"
    assert str(col("a").is_in([Odd(0.5)])) == "a in (0.5,)"
    digits = "1234567890123456789012345678901234567890"
    assert same(parse(f'a == -decimal("{digits}")'), col("a") == Decimal("-" + digits))
    for odd in (Decimal("NaN"), Decimal("-inf"), time(1, tzinfo=UTC)):
        with pytest.raises(UsageError):
            lit(odd)
