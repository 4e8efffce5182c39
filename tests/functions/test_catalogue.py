"""What the catalogue says of its functions is so: the types they take, what they stand on, how they are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc
import pytest

from millstream import clock
from millstream.binding import bind
from millstream.errors import PlanError, UsageError
from millstream.expr import Apply, Col, Expr, Lit, col
from millstream.functions import CATALOGUE, Form, Function
from millstream.functions.parameters import parameters
from millstream.grammar import parse
from millstream.native.bind import kernels
from millstream.pipeline import Pipeline
from millstream.types import parse_type
from tests.functions.test_cases import run_example
from tests.functions.test_every_type import VALUES

FAMILIES = {parse_type(kind).family for kind in VALUES}
PLAIN = FAMILIES - {"list", "struct", "map"}


def uses(expression: Expr, name: str) -> Iterator[Apply]:
    """Where an expression calls a function."""
    inner = getattr(expression, "arguments", ())
    if isinstance(expression, Apply) and expression.function == name:
        yield expression
    for one in inner:
        yield from uses(one, name)


def takes(one: Function, kind: str) -> bool:
    """Does it take a column of a type, with the options of one of its examples?"""
    for example in one.examples:
        for call in uses(parse(example.text), one.name):
            others = [other for other in call.arguments[1:] if isinstance(other, Lit)]
            if len(others) == len(call.arguments) - 1:
                try:
                    bind(Apply(one.name, (Col("a"), *others), call.options), {"a": parse_type(kind)})
                except PlanError:
                    continue
                return True
    return False


ALONE = [one for one in CATALOGUE.values() if not any(each.is_value for each in one.arguments) and one.form is Form.METHOD]


@pytest.mark.parametrize("name", [one.name for one in ALONE])
def test_a_method_takes_what_it_says_and_refuses_the_rest(name: str) -> None:
    one = CATALOGUE[name]
    said = one.takes.partition(" -> ")[0].split("|")
    families = FAMILIES if "any" in said else PLAIN if "plain" in said else set(said)
    assert families <= FAMILIES
    found = {kind: takes(one, kind) for kind in VALUES}
    if "list" in families:  # of some lists: .list.join takes list<string> alone
        found.pop("list<int64>")
        families = families - {"list"}
    if name in ("cast", "is_in"):  # it depends on what the column is cast to, or looked up in
        return
    assert {parse_type(kind).family for kind, fine in found.items() if fine} == families
    assert not [kind for kind, fine in found.items() if fine and parse_type(kind).family not in families]


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_function_stands_on_what_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, called = CATALOGUE[name], set()

    def noted(kernel: str) -> Any:
        function = getattr(kernels, kernel)

        def call(*arguments: Any) -> int:
            called.add(kernel)
            return function(*arguments)

        return call

    told = [each for each in one.by if "." not in each]
    for each in told:
        monkeypatch.setitem(kernels.__dict__, each, noted(each))
    for example in one.examples:
        run_example(example)
    assert called == set(told)
    for each in set(one.by) - set(told):
        assert each.startswith("pyarrow.compute.")
        assert hasattr(pc, each.rpartition(".")[2])


def test_there_are_as_many_as_are_promised() -> None:
    assert len(CATALOGUE) >= 70


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: col("s").str.slice(), r"\.str\.slice needs offset, a whole number"),
        (lambda: col("s").str.slice("1"), "offset is a whole number, known when the pipeline is described; found str"),
        (lambda: col("s").str.slice(col("n")), "found `n`"),
        (lambda: col("s").str.slice(1, 2, 3), "at most 2 arguments without a name, not 3"),
        (lambda: col("s").str.slice(1, offset=2), "is given offset twice"),
        (lambda: col("s").str.slice(1, size=2), "has no argument size; there are offset, length"),
        (lambda: col("s").str.len_chars(1), "takes no arguments without a name"),
        (lambda: col("s").str.head(True), "n is a whole number"),
        (
            lambda: Pipeline({"x": "int64"}).select(b=col("x").bucket(0)).plan(),
            r"`x.bucket\(0\)`: .*width is 0; write a number above 0",
        ),
        (lambda: parse("concat_str()"), "needs at least one value"),
    ],
)
def test_a_wrong_call_is_told(mistake: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        mistake()


def test_a_method_that_is_not_there_is_told_with_the_one_that_is() -> None:
    for wrong, words in (("to_lower", "to_lowercase"), ("year", r"\.dt\.year")):
        with pytest.raises(AttributeError, match=f"did you mean .*{words}"):
            getattr(col("s").str, wrong)
    with pytest.raises(AttributeError, match=r"did you mean \.str\.len_chars"):
        _ = col("s").len_chars
    assert "slice" in dir(col("s").str)
    assert "offset: int" in col("s").str.slice.__doc__


def test_parameters_are_read_as_they_are_written() -> None:
    found = parameters('a: Value, b: str | None = None, *rest: Value, c: float = 0.5, d: bool = False, e: str = ""')
    assert [(one.name, one.default, one.many, one.keyword) for one in found[1:]] == [
        ("b", None, False, False), ("rest", found[0].default, True, False), ("c", 0.5, False, True), ("d", False, False, True), ("e", "", False, True)
    ]  # fmt: skip


def test_now_is_the_clock_s_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    moments = iter([1.5, 99.0])
    monkeypatch.setattr(clock, "source", SimpleNamespace(now=lambda: next(moments), monotonic=lambda: 0.0))
    job = Pipeline({"a": "int64"}).with_columns(n=parse("now()"), m=parse('now() + duration("PT1S")')).select("n", "m")
    for seconds in (1.5, 99.0):
        rows = job.run(b'{"a": 1}\n{"a": 2}\n').batch.to_pylist()
        assert [one["n"].timestamp() for one in rows] == [seconds] * 2
        assert [one["m"].timestamp() for one in rows] == [seconds + 1] * 2


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ("%s %u", "%u in '%s %u' is only written, not read"),
        ("%F %u", "%u in '%F %u' is only written, not read"),
        ("%m-%d", "'%m-%d' has no year"),
        ("%Y-%d", "'%Y-%d' has no month or no day"),
        ("%F %I:%M", "'%F %I:%M' has one of %I and %p"),
    ],
)
def test_a_layout_by_which_no_time_is_read_is_told(layout: str, words: str) -> None:
    with pytest.raises(PlanError) as told:
        Pipeline({"s": "string"}).select(col("s").str.to_datetime(layout)).plan()
    assert words in str(told.value)
