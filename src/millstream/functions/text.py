"""The .str methods. What they give are views into the column's bytes, except where case changes."""

from __future__ import annotations

from collections.abc import Callable

from millstream.columns import Vector, close, open_array, room_for_text
from millstream.functions.function import Call, Columns, Example, Function
from millstream.functions.signatures import one_of
from millstream.native.bind import kernels
from millstream.native.memory import Memory, from_bytes, from_numbers
from millstream.schema import BOOL

# What Unicode calls White_Space, and so Rust and Polars; Python's str.strip also takes U+001C to U+001F.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


def _strip(call: Call) -> Vector:
    (source,) = call.arguments
    characters = call.options.get("characters")
    points = [ord(one) for one in (_SPACES if characters is None else characters)]
    table = bytearray(128)
    for point in points:
        if point < 128:
            table[point] = 1
    out = call.numbers()
    others = from_numbers("q", [point for point in points if point >= 128])
    kernels.strip_string(source.data, source.values, from_bytes(bytes(table)), others, out)
    return Vector(call.type, call.length, out, None, source.data)


def _search(kernel_name: str, option: str) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        out = call.bytes()
        getattr(kernels, kernel_name)(source.data, source.values, from_bytes(call.options[option].encode()), out)
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
            import pyarrow.compute

            return open_array(getattr(pyarrow.compute, arrow_function)(close(source)))
        data, views = room_for_text(size), call.numbers()
        kernels.fold_ascii(source.data, source.values, valid, first, data, views)
        return Vector(call.type, call.length, views, None, data)

    return compute


_S: Columns = {"s": ("string", [" Ab ", "xä", None])}

FUNCTIONS = (
    Function(
        "str.strip_chars",
        "The text without leading and trailing white space, or without the given characters.",
        one_of(("string",), ".str.strip_chars"),
        _strip,
        (
            Example("s.str.strip_chars()", _S, ["Ab", "xä", None]),
            Example('s.str.strip_chars("x ä")', _S, ["Ab", "", None]),
        ),
        options={"characters": None},
    ),
    Function(
        "str.to_lowercase",
        "The text in small letters.",
        one_of(("string",), ".str.to_lowercase"),
        _case(65, "utf8_lower"),
        (
            Example("s.str.to_lowercase()", _S, [" ab ", "xä", None]),
            Example("s.str.to_lowercase()", {"s": ("string", ["ÀB"])}, ["àb"]),
        ),
    ),
    Function(
        "str.to_uppercase",
        "The text in capitals.",
        one_of(("string",), ".str.to_uppercase"),
        _case(97, "utf8_upper"),
        (
            Example("s.str.to_uppercase()", _S, [" AB ", "XÄ", None]),
            Example("s.str.to_uppercase()", {"s": ("string", ["a1"])}, ["A1"]),
        ),
    ),
    Function(
        "str.starts_with",
        "Does the text begin with this?",
        one_of(("string",), ".str.starts_with", BOOL),
        _search("starts_string", "prefix"),
        (
            Example('s.str.starts_with("x")', _S, [False, True, None]),
            Example('s.str.starts_with("")', _S, [True, True, None]),
        ),
    ),
    Function(
        "str.ends_with",
        "Does the text end with this?",
        one_of(("string",), ".str.ends_with", BOOL),
        _search("ends_string", "suffix"),
        (
            Example('s.str.ends_with("ä")', _S, [False, True, None]),
            Example('s.str.ends_with("  Ab ")', _S, [False, False, None]),
        ),
    ),
    Function(
        "str.contains",
        "Is this in the text, letter by letter?",
        one_of(("string",), ".str.contains", BOOL),
        _search("contains_string", "pattern"),
        (
            Example('s.str.contains("b", literal=True)', _S, [True, False, None]),
            Example('s.str.contains("xä", literal=True)', _S, [False, True, None]),
        ),
        options={"literal": False},
    ),
)
