"""What works on blocks of rows or of bytes, at the edges of blocks: beside plain Python, on memory that ends at a forbidden page."""

from __future__ import annotations

import math
import operator
import random
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from millstream import engine
from millstream.errors import RunError
from millstream.expr import Expr, col
from millstream.functions.required import required
from millstream.grammar import parse
from millstream.native.bind import kernels
from millstream.native.memory import allocate, from_numbers
from millstream.pipeline import Pipeline
from tests import guard
from tests.functions.test_cases import GUARDED

LENGTHS = (0, 1, 7, 31, 32, 33, 64, 100)
INTEGERS = [0, 1, -1, 9, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
UNSIGNED = [0, 1, 9, 2**53 + 1, 2**63, 2**64 - 1]
FLOATS = [0.0, -0.0, 1.5, -2.0, math.inf, -math.inf, math.nan, 5e-324]
TEXTS = ["", "a", "ab", "eight678", "eight679", "é", "z" * 70]
NUMBERS = {"int64": INTEGERS, "uint64": UNSIGNED, "float64": FLOATS}
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@pytest.fixture(autouse=True, params=GUARDED, ids=["guarded" if one else "checked" for one in GUARDED])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.forget_literals()
    if request.param:
        guard.install(monkeypatch)


def results(expression: Expr | str, kind: str, **columns: list[Any]) -> list[Any]:
    """What an expression gives for columns of one type."""
    bound = parse(expression) if isinstance(expression, str) else expression
    pipeline = Pipeline(dict.fromkeys(columns, kind)).select(result=bound)
    arrow = next(iter(pipeline.schema.values())).holds.arrow
    given = pa.record_batch({name: pa.array(values, arrow) for name, values in columns.items()})
    made = pipeline.run(given).batch
    made.validate(full=True)
    return made["result"].to_pylist()  # type: ignore[no-any-return]


def ranked(value: Any) -> Any:
    """NaN is the same as itself and above all."""
    return (math.isnan(value), 0.0 if math.isnan(value) else value) if isinstance(value, float) else value


@pytest.mark.parametrize("kind", [*NUMBERS, "string"])
@pytest.mark.parametrize("symbol", OPERATORS)
def test_columns_and_literals_compare(kind: str, symbol: str) -> None:
    draw, test = random.Random(f"{kind} {symbol}"), OPERATORS[symbol]
    values = NUMBERS.get(kind, TEXTS)
    finite = [one for one in values if not isinstance(one, float) or math.isfinite(one)]
    for length in LENGTHS:
        a, b = ([draw.choice(values) for _ in range(length)] for _ in "ab")
        literal = draw.choice(finite)
        assert results(f"a {symbol} b", kind, a=a, b=b) == [test(ranked(x), ranked(y)) for x, y in zip(a, b, strict=True)]
        if isinstance(literal, int) and not 0 <= literal < 2**63:
            continue  # such a literal has the column beside it widened
        assert results(f"a {symbol} {literal!r}", kind, a=a) == [test(ranked(x), ranked(literal)) for x in a]
        assert results(f"{literal!r} {symbol} a", kind, a=a) == [test(ranked(literal), ranked(x)) for x in a]


@pytest.mark.parametrize("kind", [*NUMBERS, "string", "bool", "binary", "decimal128(4, 1)"])
def test_members_of_few_and_of_many(kind: str) -> None:
    draw = random.Random(kind)
    values: list[Any] = (
        NUMBERS.get(kind)
        or {
            "string": [*TEXTS, "a\0", "\0", "sieben7", "siebenß", "-1", "\xff" * 3],
            "bool": [True, False],
            "binary": [b"", b"\0", b"\xff" * 7, b"\xff" * 8, b"a", b"a\0"],
            "decimal128(4, 1)": [Decimal("0.0"), Decimal("-0.1"), Decimal("99.9")],
        }[kind]
    )
    known = [one for one in values if not (isinstance(one, float) and not math.isfinite(one))]
    more = {"int64": range(100, 110), "uint64": range(100, 110), "string": map(str, range(100, 110))}.get(kind, ())
    for length in LENGTHS:
        a = [draw.choice([*values, None]) for _ in range(length)]
        few = draw.sample(known, draw.randrange(len(known) + 1))
        for literals in (few[:8], [*few, *more]):
            wanted = [None if one is None else one in literals for one in a]
            assert results(col("a").is_in(literals), kind, a=a) == wanted, literals


def test_a_window_that_begins_before_all_times_is_refused() -> None:
    least, hour = -(2**63), 3_600_000_000_000
    first = -(-least // hour) * hour
    ticks = [least, first - 1, first, first + 1, 0, None]
    moments = pa.array(ticks, pa.timestamp("ns"))
    bound = Pipeline({"a": "timestamp[ns]"}).select(result=parse('a.dt.truncate("1h")'))
    ran = bound.run(pa.record_batch({"a": moments}))
    assert ran.batch["result"].cast(pa.int64()).to_pylist() == [first, first, 0, None]
    assert ran.rejects.num_rows == 2


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/"])
def test_floats_with_literals(symbol: str) -> None:
    done = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[symbol]
    draw = random.Random(symbol)
    for length in LENGTHS:
        a = [draw.uniform(0.5, 9.0) for _ in range(length)]
        assert results(f"a {symbol} 0.1", "float64", a=a) == [done(x, 0.1) for x in a]
        assert results(f"0.1 {symbol} a", "float64", a=a) == [done(0.1, x) for x in a]


def test_choices_of_columns_and_literals() -> None:
    draw = random.Random(1)
    for length in LENGTHS:
        a = [draw.choice([None, *range(9)]) for _ in range(length)]
        is_high = [x is not None and x > 4 for x in a]
        assert results("when(a > 4).then(a).otherwise(7)", "int64", a=a) == [
            x if h else 7 for x, h in zip(a, is_high, strict=True)
        ]
        assert results("when(a > 4).then(7).otherwise(a)", "int64", a=a) == [
            7 if h else x for x, h in zip(a, is_high, strict=True)
        ]
        assert results("when(a > 4).then(7).otherwise(8)", "int64", a=a) == [7 if h else 8 for h in is_high]
        assert results("a.fill_null(3)", "int64", a=a) == [3 if x is None else x for x in a]


@pytest.mark.parametrize(
    "pattern",
    ["ab", "b", "ab[0-9]+", "ab.*c", "[0-9]ab", "^ab", "ab$", "a?ab", "ba{2}", r"a\.b", "(ab|c)b", "ab|c", "(?i)AB", r"\bab", "", "éa+b", "b()ab"],
)  # fmt: skip
def test_searches_find_what_python_finds(pattern: str) -> None:
    draw = random.Random(pattern)
    texts = [
        "".join(draw.choice("ab.c1é ") for _ in range(draw.choice([0, 1, 2, 5, 40, 63, 64, 65, 66, 130]))) for _ in range(60)
    ]
    texts += ["x" * size + "ab1c" + "x" * draw.randrange(3) for size in range(58, 68)]
    texts += [one for one in texts if one.startswith("x")] + ["a", "ab", ""]
    assert results(f"a.str.contains({pattern!r})", "string", a=[*texts, None]) == [
        re.search(pattern, one, re.ASCII) is not None for one in texts
    ] + [None]
    if pattern:
        escaped = re.escape(pattern)
        counts = [len(re.findall(escaped, one)) for one in texts]
        assert results(f"a.str.count_matches({pattern!r}, literal=True)", "string", a=texts) == counts
        assert results(f"a.str.contains({pattern!r}, literal=True)", "string", a=texts) == [one > 0 for one in counts]
        found = [one.encode().find(pattern.encode()) for one in texts]
        assert results(f"a.str.find({pattern!r}, literal=True)", "string", a=texts) == [None if at < 0 else at for at in found]
        changed = [one.replace(pattern, "<>") for one in texts]
        assert results(f"a.str.replace_all({pattern!r}, '<>', literal=True)", "string", a=texts) == changed
        changed = [one.replace(pattern, "", 1) for one in texts]
        assert results(f"a.str.replace({pattern!r}, '', literal=True)", "string", a=texts) == changed


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        ("Chrome", ("Chrome", True, True)), ("Chrome/[0-9]+", ("Chrome/", True, False)), ("ab+c", ("ab", True, False)), ("a*bc", ("bc", False, False)),
        ("Ch?rome", ("rome", False, False)), ("^abc$", ("abc", False, False)), (r"\.com$", (".com", True, False)), ("(a|b)cde", ("cde", False, False)),
        ("ab|cd", ("", False, False)), ("(?i)abc", ("", False, False)), ("(?P<n>a)bc", ("", False, False)), (r"\Qa|b\E", ("", False, False)),
        (r"\pLabc", ("", False, False)), ("[]a|]bcd", ("bcd", False, False)), (r"[\]|]bcd", ("bcd", False, False)), ("a{0}bc", ("bc", False, False)),
        (r"([)(]|\))def", ("def", False, False)), ("[[:alpha:]]+xyz", ("xyz", False, False)), ("", ("", False, False)), (".*", ("", True, False)),
    ],
)  # fmt: skip
def test_what_a_pattern_needs(pattern: str, needed: tuple[str, bool, bool]) -> None:
    assert required(pattern) == needed


PIECES = [
    "a", "b", "ab", "é", ".", r"\.", "[ab]", "[^a]", "[]a]", "[[:alpha:]]", "(a|b)", "(?:ab)", "a*", "b+", "a?", "(ab)?", "a{2}", "b{0,1}", "{", "}", "^", "$",
    r"\b", r"\d", "|", "-", r"\(", "[(]", "[)|]", r"\n", "a+?", ")", "(", r"\x61", r"\pL", "{2}", r"\Qa|\E", "(?i)",
]  # fmt: skip


def test_what_is_needed_changes_no_answer() -> None:
    """RE2 over whole texts is what RE2 is to find in what is left of them."""
    draw, used = random.Random(5), 0
    while used < 150:
        pattern = "".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 8)))
        texts = [
            "".join(draw.choice(["a", "b", "é", "-", "(", "\n", "{2}", "1", "|"]) for _ in range(draw.randrange(9)))
            for _ in range(20)
        ]
        try:
            wanted = pc.match_substring_regex(pa.array(texts), pattern).to_pylist()
        except pa.ArrowInvalid:
            continue
        assert results(col("a").str.contains(pattern), "string", a=texts) == wanted, pattern
        used += bool(required(pattern).text)


DIVISORS = [1, 2, 3, 7, 1000, 3600, 86_400, 86_400_000_000, 2**32 + 1, 2**61 - 1, 2**62, 2**62 + 3]


@pytest.mark.parametrize("divisor", DIVISORS)
def test_division_rounds_towards_minus_infinity(divisor: int) -> None:
    draw = random.Random(divisor)
    values = [
        0,
        1,
        -1,
        2**63 - 1,
        -(2**63),
        2**62,
        *(draw.randrange(-(2**63), 2**63) >> draw.randrange(64) for _ in range(200)),
    ]
    values += [min(max(k * divisor + d, -(2**63)), 2**63 - 1) for k in (-3, -2, -1, 1, 2, 3) for d in (-1, 0, 1)]
    source, out, valid = from_numbers("q", values), allocate(len(values), 8), from_numbers("B", [1] * len(values))
    kernels.rescale_int64(source, 1, divisor, 11, valid, out)
    assert out.tolist() == [one // divisor for one in values]
    kernels.clock_part(source, divisor, 1, 1, out)
    assert out.tolist() == [one % divisor for one in values]
    origin = divisor // 3
    kernels.truncate_ticks(source, divisor, origin, valid, out)
    starts = [one - (one - origin) % divisor for one in values]
    fine = [at for at, one in enumerate(starts) if one >= -(2**63)]
    assert [out.tolist()[at] for at in fine] == [starts[at] for at in fine]
    assert [at for at, one in enumerate(valid.tolist("B")) if one == 1] == fine


@pytest.mark.parametrize(("kind", "least", "most"), [("int64", -(2**63), 2**63 - 1), ("uint64", 0, 2**64 - 1)])
def test_whole_numbers_in_text(kind: str, least: int, most: int) -> None:
    draw = random.Random(2)
    texts = [f"{draw.choice(['', '-', '+'])}{draw.randrange(10**size)}" for size in range(1, 22) for _ in range(8)]
    odd = [one[:at] + draw.choice("x/:. é") + one[at + 1 :] for one in texts for at in [draw.randrange(len(one))]]
    given = [
        *texts,
        *odd,
        "",
        "-",
        "-0",
        "-00000000",
        "-000000001",
        "00000000012",
        "0" * 30 + "7",
        "12345678",
        "123456789",
        "1234567890123456",
        "12345678901234567",
    ]

    def number(text: str) -> int | None:
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) and least <= int(text) <= most else None

    assert results(f'a.cast("{kind}", strict=False)', "string", a=given) == [number(one) for one in given]
    for one in given:  # alone, so that nothing lies behind it
        assert results(f'a.cast("{kind}", strict=False)', "string", a=[one]) == [number(one)]


def test_case_of_long_and_short_text() -> None:
    draw = random.Random(3)
    texts = ["".join(draw.choice("aZ@[`{z09 ") for _ in range(size)) for size in [*range(70), 127, 128, 129]]
    for given in (texts, [*texts, "É" + texts[40]], ["x" * 64 + "É"]):
        assert results("a.str.to_lowercase()", "string", a=given) == [one.lower() for one in given]
        assert results("a.str.to_uppercase()", "string", a=given) == [one.upper() for one in given]


def test_bitmaps_from_any_bit_on() -> None:
    draw = random.Random(4)
    flags = [draw.random() < 0.5 for _ in range(200)]
    for skip in (0, 1, 7, 8, 9, 63):
        for length in (0, 1, 6, 7, 8, 9, 17, 130):
            part = pa.array(flags, pa.bool_()).slice(skip, length)
            assert (
                Pipeline({"a": "bool"}).run(pa.record_batch({"a": part})).batch["a"].to_pylist() == flags[skip : skip + length]
            )


@pytest.mark.parametrize(
    "text",
    [
        's.str.decode("hex", strict=False)',
        's.str.decode("base64", strict=False)',
        's.str.encode("hex")',
        's.cast("float64", strict=False)',
        's.cast("timestamp[us]", strict=False)',
    ],
)
def test_text_beyond_what_offsets_tell_is_refused(text: str) -> None:
    """One text stands in many rows, whose copies would have more than 2 GiB."""
    pipeline = Pipeline({"s": "string", "l": "list<int64>"}).explode("l").select(made=parse(text))
    record = orjson.dumps({"s": "ab" * (1 << 19), "l": list(range(2100))})
    with pytest.raises(RunError, match="over 2 GiB"):
        pipeline.run([record])
