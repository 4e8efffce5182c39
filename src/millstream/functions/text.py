"""The .str methods that look at text from its ends. What they give are views into the column's bytes, except where case changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from millstream.columns import Vector, room_for_text
from millstream.functions.arrow import by_arrow
from millstream.functions.function import Call, Columns, Example, Function
from millstream.functions.signatures import one_of
from millstream.native.bind import kernels
from millstream.native.memory import Memory, constant_bytes, from_bytes, from_numbers
from millstream.schema import BOOL

# What Unicode calls White_Space, and so Rust and Polars; Python's str.strip also takes U+001C to U+001F.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_START, _END = 1, 2


@lru_cache(64)
def _characters(characters: str | None) -> tuple[Memory, Memory]:
    """What is stripped, for the kernel: a flag for each character of ASCII, and the others; white space where none are given."""
    points = [ord(one) for one in (_SPACES if characters is None else characters)]
    table = bytearray(128)
    for point in points:
        if point < 128:
            table[point] = 1
    return from_bytes(bytes(table)), from_numbers("q", [point for point in points if point >= 128])


def _strip(ends: int) -> Callable[[Call], Vector]:
    def compute(call: Call) -> Vector:
        (source,) = call.arguments
        out = call.numbers()
        kernels.strip_string(source.data, source.values, *_characters(call.options["characters"]), ends, out)
        return Vector(call.type, call.length, out, None, source.data)

    return compute


def _strip_affix(option: str, at_end: int) -> Callable[[Call], Vector]:
    def compute(call: Call) -> Vector:
        (source,) = call.arguments
        out = call.numbers()
        kernels.strip_affix(source.data, source.values, constant_bytes(call.options[option].encode()), at_end, out)
        return Vector(call.type, call.length, out, None, source.data)

    return compute


def _search(kernel_name: str, option: str) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        out = call.bytes()
        getattr(kernels, kernel_name)(source.data, source.values, constant_bytes(call.options[option].encode()), out)
        return out

    return compute


def _case(first: int, arrow_function: str) -> Callable[[Call], Vector]:
    """ASCII in a kernel; a column with other letters goes through Arrow's Unicode tables as a whole."""

    def compute(call: Call) -> Vector:
        (source,) = call.arguments
        assert source.data is not None
        valid = source.validity()
        size = kernels.measure_ascii(source.data, source.values, valid)
        if size < 0:
            return by_arrow(call, arrow_function, source)
        data, views = room_for_text(size), call.numbers()
        kernels.fold_ascii(source.data, source.values, valid, first, data, views)
        return Vector(call.type, call.length, views, None, data)

    return compute


_S: Columns = {"s": ("string", [" Ab ", "xä", None])}
_CODE: Columns = {"s": ("string", ["sku-12", "12", None])}


def _text(
    name: str,
    doc: str,
    compute: Callable[[Call], Vector],
    examples: tuple[Example, ...],
    by: tuple[str, ...],
    parameters: str = "",
) -> Function:
    """A method that gives text."""
    return Function(
        f"str.{name}", "string -> same", doc, one_of(("string",), f".str.{name}"), compute, examples, by, parameters
    )


def _test(name: str, doc: str, kernel: str, option: str, examples: tuple[Example, ...]) -> Function:
    """A method that asks something of text."""
    signature = one_of(("string",), f".str.{name}", BOOL)
    return Function(
        f"str.{name}", "string -> bool", doc, signature, _search(kernel, option), examples, (kernel,), f"{option}: str"
    )


_CHARACTERS = "characters: str | None = None"

FUNCTIONS = (
    _text(
        "strip_chars",
        "The text without leading and trailing white space, or without the given characters.",
        _strip(_START | _END),
        (
            Example("s.str.strip_chars()", _S, ["Ab", "xä", None]),
            Example('s.str.strip_chars("x ä")', _S, ["Ab", "", None]),
        ),
        ("strip_string",),
        _CHARACTERS,
    ),
    _text(
        "strip_chars_start",
        "The text without leading white space, or without the given characters at its start.",
        _strip(_START),
        (
            Example("s.str.strip_chars_start()", _S, ["Ab ", "xä", None]),
            Example('s.str.strip_chars_start("x ")', _S, ["Ab ", "ä", None]),
        ),
        ("strip_string",),
        _CHARACTERS,
    ),
    _text(
        "strip_chars_end",
        "The text without trailing white space, or without the given characters at its end.",
        _strip(_END),
        (
            Example("s.str.strip_chars_end()", _S, [" Ab", "xä", None]),
            Example('s.str.strip_chars_end("ä")', _S, [" Ab ", "x", None]),
        ),
        ("strip_string",),
        _CHARACTERS,
    ),
    _text(
        "strip_prefix",
        "The text without this at its start, where it stands there.",
        _strip_affix("prefix", 0),
        (
            Example('s.str.strip_prefix("sku-")', _CODE, ["12", "12", None]),
            Example('s.str.strip_prefix("1")', _CODE, ["sku-12", "2", None]),
        ),
        ("strip_affix",),
        "prefix: str",
    ),
    _text(
        "strip_suffix",
        "The text without this at its end, where it stands there.",
        _strip_affix("suffix", 1),
        (
            Example('s.str.strip_suffix("-12")', _CODE, ["sku", "12", None]),
            Example('s.str.strip_suffix("2")', _CODE, ["sku-1", "1", None]),
        ),
        ("strip_affix",),
        "suffix: str",
    ),
    _text(
        "to_lowercase",
        "The text in small letters.",
        _case(65, "utf8_lower"),
        (
            Example("s.str.to_lowercase()", _S, [" ab ", "xä", None]),
            Example("s.str.to_lowercase()", {"s": ("string", ["AB1"])}, ["ab1"]),
        ),
        ("measure_ascii", "fold_ascii", "pyarrow.compute.utf8_lower"),
    ),
    _text(
        "to_uppercase",
        "The text in capitals.",
        _case(97, "utf8_upper"),
        (
            Example("s.str.to_uppercase()", _S, [" AB ", "XÄ", None]),
            Example("s.str.to_uppercase()", {"s": ("string", ["a1"])}, ["A1"]),
        ),
        ("measure_ascii", "fold_ascii", "pyarrow.compute.utf8_upper"),
    ),
    _test(
        "starts_with",
        "Does the text begin with this?",
        "starts_string",
        "prefix",
        (
            Example('s.str.starts_with("x")', _S, [False, True, None]),
            Example('s.str.starts_with("")', _S, [True, True, None]),
        ),
    ),
    _test(
        "ends_with",
        "Does the text end with this?",
        "ends_string",
        "suffix",
        (
            Example('s.str.ends_with("ä")', _S, [False, True, None]),
            Example('s.str.ends_with("  Ab ")', _S, [False, False, None]),
        ),
    ),
)
