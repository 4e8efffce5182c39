"""The .str methods that cut text, measure it, and put it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.columns import Vector
from millstream.errors import PlanError
from millstream.functions.arrow import by_arrow
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import one_of
from millstream.functions.written import text_bytes, written
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, constant_bytes
from millstream.schema import STRING, TYPES
from millstream.types import list_of

_EVERYTHING = (1 << 62) - 1
"""More characters than a text has."""
_AT_START, _AT_END, _AFTER_SIGN = 0, 1, 2

Signer = Callable[[Sequence[Operand], Mapping[str, Any]], Signature]


def _sliced(offset: int, length: int) -> Callable[[Call], Vector]:
    """Characters from an offset on, as `slice_string` takes them."""

    def compute(call: Call) -> Vector:
        (source,) = call.arguments
        out = call.numbers()
        kernels.slice_string(source.data, source.values, offset, length, out)
        return Vector(call.type, call.length, out, None, source.data)

    return compute


def _slice(call: Call) -> Vector:
    length = call.options["length"]
    return _sliced(call.options["offset"], _EVERYTHING if length is None else length)(call)


def _head(call: Call) -> Vector:
    return _sliced(0, call.options["n"])(call)


def _tail(call: Call) -> Vector:
    count = call.options["n"]
    return _sliced(-count, _EVERYTHING if count else 0)(call)


def _counted(kernel_name: str) -> Callable[[Call], Memory]:
    def compute(call: Call) -> Memory:
        (source,) = call.arguments
        out = call.numbers()
        if kernel_name == "view_lengths":
            kernels.view_lengths(source.values, out)
        else:
            kernels.count_characters(source.data, source.values, out)
        return out

    return compute


def _padded(call: Call, source: Vector, lengths: Memory, most: int, fill: str, where: int) -> Vector:
    """Text filled to some lengths, none above `most`."""
    valid, views, padding = call.valid or source.validity(), call.numbers(), constant_bytes(fill.encode())
    guess = text_bytes(source) + min(most, 64) * padding.count * source.length
    data = written(
        guess, lambda out: kernels.pad_string(source.data, source.values, valid, lengths, padding, where, out, views)
    )
    return Vector(STRING, call.length, views, None, data)


def _pad(where: int) -> Callable[[Call], Vector]:
    def compute(call: Call) -> Vector:
        length, lengths = call.options["length"], call.numbers()
        kernels.fill_int64(length, lengths)
        return _padded(call, call.arguments[0], lengths, length, call.options.get("fill_char", "0"), where)

    return compute


def _mask(call: Call) -> Vector:
    (source,) = call.arguments
    lengths, rest = call.numbers(), call.numbers()
    kernels.count_characters(source.data, source.values, lengths)
    keep = call.options["keep_last"]
    kernels.slice_string(source.data, source.values, -keep, _EVERYTHING if keep else 0, rest)
    kept = Vector(STRING, call.length, rest, source.valid, source.data)
    return _padded(call, kept, lengths, 32, call.options["char"], _AT_START)


def _checked_length(method: str, option: str, most: int = 1 << 20) -> Signer:
    """A method with a length, which must be sensible, and a character to fill with, which must be one."""
    base = one_of(("string",), method)

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        length = options[option]
        if not 0 <= length <= most:
            raise PlanError(f"{method}: {option} is {length}; write 0 to {most}")
        for name in ("fill_char", "char"):
            if len(options.get(name, " ")) != 1:
                raise PlanError(f"{method}: {name} is {options[name]!r}; write one character")
        return base(operands, options)

    return signature


def _split_signature(method: str) -> Signer:
    base = one_of(("string",), method)

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        if not options["by"]:
            raise PlanError(f"{method}: by is empty; write what stands between the pieces, such as ','")
        signature = base(operands, options)
        return Signature(signature.arguments, list_of(STRING)) if method.endswith("split") else signature

    return signature


def _split(call: Call) -> Vector:
    (source,) = call.arguments
    separator, lists = constant_bytes(call.options["by"].encode()), call.numbers()
    room = 4 * call.length
    for _ in range(2):
        items = allocate(room, 8)
        valid = call.valid or source.validity()
        count = kernels.split_string(source.data, source.values, valid, separator, lists, items)
        if count <= room:
            break
        room = count
    pieces = Vector(STRING, count, items.part(0, count, 8), None, source.data)
    return Vector(call.type, call.length, lists, None, None, (pieces,))


def _split_part(call: Call) -> Vector:
    (source,) = call.arguments
    out, separator = call.numbers(), constant_bytes(call.options["by"].encode())
    call.fault(kernels.part_string, source.data, source.values, separator, call.options["index"], out=out)
    return Vector(call.type, call.length, out, None, source.data)


def _reverse(call: Call) -> Vector:
    return by_arrow(call, "utf8_reverse", call.arguments[0])


_S: Columns = {"s": ("string", ["Straße", "ab", None])}
_CSV: Columns = {"s": ("string", ["a,b,c", "x", None])}
_N: Columns = {"s": ("string", ["-7", "123", None])}
_CARD: Columns = {"s": ("string", ["4111111111111111", "ab", None])}
_LENGTH, _FILL = "length: int", "length: int, fill_char: str = \" \""  # fmt: skip


def _piece(name: str, doc: str, compute: Callable[[Call], Vector], examples: tuple[Example, ...], by: tuple[str, ...], parameters: str,
           signature: Signer | None = None) -> Function:  # fmt: skip
    signer = signature or one_of(("string",), f".str.{name}")
    return Function(f"str.{name}", "string -> same", doc, signer, compute, examples, by, parameters)


FUNCTIONS = (
    _piece(
        "slice",
        "So many characters from an offset on; a negative offset counts from the end. Without a length, all the rest.",
        _slice,
        (
            Example("s.str.slice(1, 3)", _S, ["tra", "b", None]),
            Example("s.str.slice(-2)", _S, ["ße", "ab", None]),
        ),
        ("slice_string",),
        "offset: int, length: int | None = None",
    ),
    _piece(
        "head",
        "The first n characters; of a negative n all but the last.",
        _head,
        (Example("s.str.head(2)", _S, ["St", "ab", None]), Example("s.str.head(-1)", _S, ["Straß", "a", None])),
        ("slice_string",),
        "n: int",
    ),
    _piece(
        "tail",
        "The last n characters; of a negative n all but the first.",
        _tail,
        (Example("s.str.tail(2)", _S, ["ße", "ab", None]), Example("s.str.tail(-1)", _S, ["traße", "b", None])),
        ("slice_string",),
        "n: int",
    ),
    Function(
        "str.len_chars",
        "string -> uint32",
        "How many characters (code points) the text has.",
        one_of(("string",), ".str.len_chars", TYPES["uint32"]),
        _counted("count_characters"),
        (Example("s.str.len_chars()", _S, [6, 2, None]), Example("s.str.len_chars()", {"s": ("string", [""])}, [0])),
        ("count_characters",),
    ),
    Function(
        "str.len_bytes",
        "string -> uint32",
        "How many bytes the text has in UTF-8.",
        one_of(("string",), ".str.len_bytes", TYPES["uint32"]),
        _counted("view_lengths"),
        (Example("s.str.len_bytes()", _S, [7, 2, None]), Example("s.str.len_bytes()", {"s": ("string", [""])}, [0])),
        ("view_lengths",),
    ),
    _piece(
        "pad_start",
        "The text, filled at its start to so many characters.",
        _pad(_AT_START),
        (
            Example("s.str.pad_start(4)", _N, ["  -7", " 123", None]),
            Example('s.str.pad_start(3, "ä")', _S, ["Straße", "äab", None]),
        ),
        ("pad_string",),
        _FILL,
        _checked_length(".str.pad_start", "length"),
    ),
    _piece(
        "pad_end",
        "The text, filled at its end to so many characters.",
        _pad(_AT_END),
        (
            Example("s.str.pad_end(4)", _N, ["-7  ", "123 ", None]),
            Example('s.str.pad_end(3, ".")', _S, ["Straße", "ab.", None]),
        ),
        ("pad_string",),
        _FILL,
        _checked_length(".str.pad_end", "length"),
    ),
    _piece(
        "zfill",
        "The text, filled with zeros to so many characters, behind its sign.",
        _pad(_AFTER_SIGN),
        (Example("s.str.zfill(4)", _N, ["-007", "0123", None]), Example("s.str.zfill(2)", _N, ["-7", "123", None])),
        ("pad_string",),
        _LENGTH,
        _checked_length(".str.zfill", "length"),
    ),
    _piece(
        "mask",
        "The text with every character but the last few replaced.",
        _mask,
        (
            Example("s.str.mask(4)", _CARD, ["************1111", "ab", None]),
            Example('s.str.mask(0, "x")', _CARD, ["x" * 16, "xx", None]),
        ),
        ("count_characters", "slice_string", "pad_string"),
        'keep_last: int, char: str = "*"',
        _checked_length(".str.mask", "keep_last"),
    ),
    Function(
        "str.split",
        "string -> list<string>",
        "The pieces of the text between separators, as a list.",
        _split_signature(".str.split"),
        _split,
        (
            Example('s.str.split(",")', _CSV, [["a", "b", "c"], ["x"], None]),
            Example('s.str.split(",").list.get(-1)', _CSV, ["c", "x", None]),
        ),
        ("split_string",),
        "by: str",
    ),
    _piece(
        "split_part",
        "The piece with this index between separators, -1 the last; null where there are fewer pieces.",
        _split_part,
        (
            Example('s.str.split_part(",", 1)', _CSV, ["b", None, None]),
            Example('s.str.split_part(",", -1)', _CSV, ["c", "x", None]),
        ),
        ("part_string",),
        "by: str, index: int",
        _split_signature(".str.split_part"),
    ),
    _piece(
        "reverse",
        "The characters (code points) of the text from last to first.",
        _reverse,
        (Example("s.str.reverse()", _S, ["eßartS", "ba", None]), Example("s.str.reverse()", _N, ["7-", "321", None])),
        ("pyarrow.compute.utf8_reverse",),
        "",
    ),
)
