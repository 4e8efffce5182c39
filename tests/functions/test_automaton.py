"""Tables of regular expressions beside RE2, which pyarrow.compute has: over expressions drawn at random, and over hostile ones."""

from __future__ import annotations

import random
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from millstream import engine
from millstream.expr import col
from millstream.functions.automaton import automaton
from tests import guard
from tests.functions.test_blocks import results
from tests.functions.test_cases import GUARDED

ATOMS = [
    "a", "b", "c", "é", "\U0001f600", ".", "[ab]", "[^a]", "[a-c]", "[^é]", "[éb]", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"[\d]",
    r"[^\w]", r"[\Wa]", "^", "$", r"\.", "1", "-", "{", "}", "]", "[]a]", "[^]a]", "[--a]", "[a-c-e]", "[-a]", "[a-]", r"[a\-b]", "[.]",
    r"\n", "\n", "\t", r"[^\n]", "_", " ", "[[a]", "a{", "{,2}", "\x00", r"\/", r"[\]]", r"[^\Wa]", "ab", "b1", r"\b", "[[:alpha:]]", r"\pL", r"\x41",
]  # fmt: skip
CHARACTERS = "abcdéü\U0001f6001-\n. {}][_2\x00/\\,\x7f\u0800"
COUNTS = ["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?", "??", "{0}", "{3}?", "{2,1}"]


@pytest.fixture(autouse=True, params=GUARDED, ids=["guarded" if one else "checked" for one in GUARDED])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.forget_literals()
    if request.param:
        guard.install(monkeypatch)


def drawn(draw: random.Random, depth: int) -> str:
    """An expression."""
    shape = draw.random()
    if depth == 0 or shape < 0.3:
        return draw.choice(ATOMS)
    if shape < 0.6:
        return "".join(drawn(draw, depth - 1) for _ in range(draw.randrange(4)))
    if shape < 0.7:
        return f"({draw.choice(['', '?:'])}{drawn(draw, depth - 1)})"
    if shape < 0.82:
        return f"{drawn(draw, depth - 1)}|{drawn(draw, depth - 1)}"
    return (f"({drawn(draw, depth - 1)})" if draw.random() < 0.7 else draw.choice(ATOMS)) + draw.choice(COUNTS)


def test_tables_agree_with_re2() -> None:
    draw, known = random.Random(5), 0
    for _ in range(250):
        pattern = drawn(draw, draw.randrange(1, 5))
        texts = ["".join(draw.choice(CHARACTERS) for _ in range(draw.randrange(9))) for _ in range(25)]
        texts += ["", "x" * 70 + "ab1", "é" * 40 + texts[0]]
        try:
            wanted = pc.match_substring_regex(pa.array(texts), pattern).to_pylist()
        except pa.ArrowInvalid:
            assert automaton(pattern) is None, pattern  # RE2 is asked why
            continue
        known += automaton(pattern) is not None
        assert results(col("a").str.contains(pattern), "string", a=[*texts, None]) == [*wanted, None], pattern
    assert known > 150


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|b)*a(a|b){12}", "((((){900}){900}){900}){900}", "(" * 60 + "a" + ")" * 60, "(" * 3000, "(((a{9}){9}){9}){9}", "é{300}",
        "|".join(f"word{at}" for at in range(200)), "a{99999999999999999999}", "(a?){300}a{300}", ".*" * 400, "a{2,1}", "a**", "*", "a|*", "(?i)a",
        "[", "[a", "[^", r"a\ "[:-1], "(?P<n>a)", "[b-a]", r"[a-\d]", "a{1001}", "^*",
    ],
)  # fmt: skip
def test_what_has_no_table_is_known_soon(pattern: str) -> None:
    automaton.cache_clear()
    began = time.process_time()
    assert automaton(pattern) is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "pattern", ["", "^", "$", "^$", "a*", r"^\d{1,3}(\.\d{1,3}){3}$", "Chrome/[0-9]+", "[^@ ]+@[a-z]+\\.(com|org)"]
)
def test_what_pipelines_ask_has_a_table(pattern: str) -> None:
    assert automaton(pattern) is not None
