"""What may be declared, how functions are called, and what is said where they cannot be; nothing is compiled for it."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream import Pipeline, PlanError, SpecError, UsageError, col, lit, udf
from millstream.expr import UserCall
from millstream.grammar import parse, with_functions
from millstream.userfunc.signature import read
from tests.udf.functions import tax as compiled

FACTOR = 2
PAIR = (1, 2.5, (True, None))
LISTED = [1, 2]


class Own(Exception):
    pass


class Settings:
    rate = 0.5


def half(x):
    return x / FACTOR


@udf("float64(float64, int64)")
def tax(price, qty):
    """The tax."""
    return half(price) * qty


@pytest.mark.parametrize(
    ("text", "batch", "told"),
    [
        ("float64(float64, int64)", False, "float64(float64, int64)"),
        (" float64? ( float64 ,int64? ) ", False, "float64?(float64, int64?)"),
        ("bool(timestamp[us,UTC], date32)", False, "bool(timestamp[us, UTC], date32)"),
        ("duration[us](time64[us])", False, "duration[us](time64[us])"),
        (
            "decimal128(10, 2)(struct<a: int64, b: list<string>>, string)",
            True,
            "decimal128(10, 2)(struct<a: int64, b: list<string>>, string)",
        ),
        ("string(json)", True, "string(string)"),
    ],
)
def test_signatures(text: str, batch: bool, told: str) -> None:
    assert str(read(text, batch)) == told
    assert str(read(told, batch)) == told


@pytest.mark.parametrize(
    ("text", "batch", "says"),
    [
        ("float64", False, "is not like float64(float64, int64)"),
        ("", False, "is not like"),
        ("(int64)", False, "is not like"),
        ("float64()", False, "has 0 arguments; a function takes 1 to 64"),
        ("float64(flaot64)", False, "unknown type 'flaot64'"),
        ("float64(float)", False, "write 'float64'"),
        ("string(int64)", False, "takes numbers, truth values and times, not string; for string write a batch function: @udf('string(int64)', batch=True)"),
        ("int64(list<int64>)", False, "not list<int64>"),
        ("int64(decimal128(10, 2))", False, "not decimal128(10, 2)"),
        ("string(string?)", True, "leave the ? out"),
        ("float64(int64))", False, "is not like"),
        (7, False, "udf takes a signature as text, not 7"),
    ],
)  # fmt: skip
def test_signatures_that_are_none(text: str, batch: bool, says: str) -> None:
    with pytest.raises(UsageError) as error:
        udf(text, batch=batch)
    assert says in str(error.value)


@given(text=st.one_of(st.text(), st.text("intfloat6428?,()[]<> struct:", max_size=60)), batch=st.booleans())
@settings(max_examples=300)
@example("(" * 5000, False)
@example("list<" * 5000 + ")", True)
@example("int64(" + "int64," * 5000 + ")", False)
def test_any_text_is_a_signature_or_is_refused(text: str, batch: bool) -> None:
    try:
        found = read(text, batch)
    except UsageError:
        return
    assert read(str(found), batch) == found


def test_udf_wants_a_signature_and_a_function() -> None:
    with pytest.raises(UsageError, match="udf takes a signature: write @udf"):
        udf(half)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="stands above a function, not above int"):
        udf("int64(int64)")(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch is 1; write True or False"):
        udf("int64(int64)", batch=1)  # type: ignore[arg-type]


def test_a_call_with_a_column_is_an_expression_and_one_without_is_python() -> None:
    made = tax(col("price"), 2)
    assert isinstance(made, UserCall)
    assert str(made + 1) == "tax(price, 2) + 1"
    assert (made.output_name, made.columns) == ("price", ("price",))
    assert tax(4.0, 3) == 6.0
    assert (tax.__name__, tax.__doc__) == ("tax", "The tax.")
    with pytest.raises(UsageError, match=r"tax takes 2 arguments, float64\(float64, int64\), not 1"):
        tax(col("price"))
    with pytest.raises(UsageError, match="without names: tax"):
        tax(price=col("price"), qty=2)


def test_text_calls_functions_that_are_told() -> None:
    with with_functions({"tax": tax.of}):
        assert str(parse("tax(price, 2) > 1 and tax(1, 2) < 5")) == "tax(price, 2) > 1 and tax(1, 2) < 5"
        with pytest.raises(SpecError, match=r"no function 'tay'.*your own: tax"):
            parse("tay(price)")
        with pytest.raises(SpecError, match="tax takes 2 arguments"):
            parse("tax(price)")
    with pytest.raises(SpecError, match="no function 'tax'"):
        parse("tax(price, 2)")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (compiled(col("name"), 1), "argument 1 of tax is float64, found string; write .cast('float64')"),
        (compiled(col("price"), 1.5), "argument 2 of tax is int64, found a float64 literal"),
        (compiled(col("price"), col("price")), "argument 2 of tax is int64, found float64"),
        (compiled(col("price"), lit(1 << 63)), "argument 2 of tax is int64, found a uint64 literal"),
        (compiled(col("price"), col("tags")), "found list<int64>; give it another column"),
        (compiled(col("prise"), 1), "no column 'prise'; did you mean 'price'?"),
    ],
)
def test_types_that_do_not_fit(call: UserCall, says: str) -> None:
    pipeline = Pipeline({"price": "float64", "name": "string", "tags": "list<int64>"}).with_columns(new=call)
    with pytest.raises(PlanError) as error:
        pipeline.plan()
    assert str(error.value).startswith("step 1 (with_columns): ")
    assert "`tax(" in str(error.value)
    assert says in str(error.value)


# --- what the compiler is to see ------------------------------------------------------------------------------------------


def declared(function: object, takes: int = 1) -> object:
    return udf(f"float64({', '.join(['float64'] * takes)})")(function)  # type: ignore[arg-type]


def default(x, y=1):
    return x


def many(*x):
    return x


def two(x, y):
    return x


def made_by(factor):
    def inner(x):
        return x * factor

    return inner


def endless(x):
    return other(x)


def other(x):
    return endless(x)


def missing(x):
    return nowhere(x)  # noqa: F821


def listed(x):
    return LISTED[0] * x


def numbered(x):
    return pytest.approx(x)


def settings(x):
    return Settings.rate * x


def printed(x):
    print(x)
    return x


def yielded(x):
    yield x


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x, "is a lambda, which has no text of its own; write it with def"),
        (math.sqrt, "only functions written with def can be compiled"),
        (default, "has default values"),
        (many, "name each argument"),
        (two, "takes 2 arguments, and its signature 1"),
        (endless, "calls itself by way of endless"),
        (missing, "uses nowhere, which is not there when it is planned"),
        (
            listed,
            "uses LISTED, of type list; it may use numbers, truth values, tuples of them, math and functions: write it as a tuple",
        ),
        (numbered, "uses the module pytest"),
        (settings, "uses Settings, of type type"),
        (printed, "uses print, which a compiled function cannot"),
        (yielded, "a generator or async"),
    ],
)
def test_functions_that_are_refused_before_they_are_compiled(function: object, says: str) -> None:
    one = declared(function)
    with pytest.raises(PlanError) as error:
        Pipeline({"x": "float64"}).with_columns(y=one(col("x"))).plan()  # type: ignore[operator]
    assert says in str(error.value)


def test_text_that_is_not_at_hand() -> None:
    names: dict[str, object] = {}
    exec("def typed(x):\n    return x\n", names)
    with pytest.raises(PlanError, match="the text of typed is not at hand"):
        declared(names["typed"]).digest  # type: ignore[attr-defined]  # noqa: B018


def raising(x):
    if x > PAIR[0]:
        raise Own(f"too large: {x}")
    return half(x) + math.pi


def test_the_digest_is_of_all_that_is_compiled() -> None:
    one = declared(raising)
    code = one.code["code"]  # type: ignore[attr-defined]
    assert code["text"].startswith("def raising(x):\n    if x > PAIR[0]:\n")
    assert set(code["names"]) == {"PAIR", "Own", "half", "math"}
    assert code["names"]["half"][1]["names"] == {"FACTOR": ["int", "2"]}
    before = one.digest  # type: ignore[attr-defined]
    assert before == declared(raising).digest  # type: ignore[attr-defined]
    assert before != udf("float32(float64)")(raising).digest


def test_helpers_and_constants_change_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before, fingerprint = declared(raising).digest, Pipeline({"x": "float64"}).select(y=declared(raising)(col("x"))).fingerprint  # type: ignore[attr-defined,operator]
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert declared(raising).digest != before  # type: ignore[attr-defined]
    assert Pipeline({"x": "float64"}).select(y=declared(raising)(col("x"))).fingerprint != fingerprint  # type: ignore[operator]
    assert declared(made_by(2)).digest != declared(made_by(3)).digest  # type: ignore[attr-defined]
    assert declared(made_by(2)).digest != declared(made_by(2.0)).digest  # type: ignore[attr-defined]
