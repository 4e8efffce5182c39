"""The .str methods for what text stands for otherwise: digests, base64 and hexadecimal digits, JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.columns import Vector, constant, filled_bytes, ones, room_for_text, take
from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.logic import choose
from millstream.functions.pieces import Signer
from millstream.functions.signatures import column_of, one_of
from millstream.functions.written import whole_text
from millstream.hashing import Table
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, allocate, from_numbers
from millstream.schema import BINARY, BOOL, INT64, STRING, Code, Column, Schema

if TYPE_CHECKING:
    from millstream.decode.payloads import Payloads
    from millstream.decode.rejects import Reject

_DIGEST = 64
_STEP = re.compile(r"""\.([A-Za-z_][A-Za-z0-9_-]*)|\[(?:'([^'\\]*)'|"([^"\\]*)")\]""")


def _sha256(call: Call) -> Vector:
    (source,) = call.arguments
    data, views = room_for_text(_DIGEST * call.length), call.numbers()
    kernels.digest_sha256(source.data, source.values, allocate(128, 1), allocate(64, 4), allocate(8, 4), data)
    kernels.view_fixed(_DIGEST, views)
    return Vector(STRING, call.length, views, None, data)


def _coded(method: str) -> Signer:
    """The signature of a method with the name of a code."""

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        if options["encoding"] not in ("base64", "hex"):
            raise PlanError(f"{method}: encoding is {options['encoding']!r}; write 'base64' or 'hex'")
        kind = column_of(("binary", "string") if method == ".str.encode" else ("string",), method, operands[0])
        return Signature((kind,), STRING if method == ".str.encode" else BINARY)

    return signature


def _encode(call: Call) -> Vector:
    (source,) = call.arguments
    valid, views = call.valid or source.validity(), call.numbers()
    if call.options["encoding"] == "hex":
        data = room_for_text(2 * whole_text(source))
        kernels.encode_hex(source.data, source.values, valid, data, views)
        return Vector(STRING, call.length, views, None, data)
    data, quoted = room_for_text(kernels.measure_base64(source.values, valid)), call.numbers()
    kernels.encode_base64(source.data, source.values, valid, data, quoted)
    kernels.slice_string(data, quoted, 1, -1, views)  # without its quotes
    return Vector(STRING, call.length, views, None, data)


def _decode(call: Call) -> Vector:
    (source,) = call.arguments
    heap = whole_text(source) + call.length
    data, texts, views = room_for_text(2 * heap + PADDING), call.numbers(), call.numbers()
    kernels.separate_strings(source.data, source.values, call.valid or source.validity(), data, texts)
    kernels.parse_binary(data, texts, int(call.options["encoding"] == "hex"), heap, views)
    code = int(Code.BAD_VALUE) if call.options["strict"] else 0
    call.fault(kernels.refuse_outside, views, 0, (1 << 63) - 1, code)
    if call.valid is not None:
        kernels.clear_invalid(call.valid, views)
    return Vector(BINARY, call.length, views, None, data)


def _path(json_path: str) -> list[str]:
    """The keys of a path. Raises PlanError for what is no plain path."""
    keys, at = [], 1
    while json_path.startswith("$") and (step := _STEP.match(json_path, at)):
        keys.append(next(one for one in step.groups() if one is not None))
        at = step.end()
    if not keys or at != len(json_path):
        raise PlanError(f".str.json_path_match: {json_path!r} is no path of keys; write '$.a.b' or \"$.a['b c']\"")
    return keys


def _json_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    _path(options["json_path"])
    return one_of(("string",), ".str.json_path_match")(operands, options)


def _json_path_match(call: Call) -> Vector:
    """The decoder reads it as text; what is no text, as it is written. Null where the text is no object, in error where it is no JSON."""
    from millstream.decode.payloads import Payloads

    (source,) = call.arguments
    valid = call.valid or ones(call.length)
    texts = choose(Vector(BOOL, call.length, valid, valid), source, constant(STRING, "{}", call.length))
    lengths, starts, ends = call.numbers(), call.numbers(), call.numbers()
    kernels.view_lengths(texts.values, lengths)
    kernels.spans_of_lengths(lengths, 0, starts, ends)
    assert texts.data is not None
    payloads = Payloads.of_spans(texts.data, starts, ends)
    path = tuple(_path(call.options["json_path"]))
    found, others, rejects = _read(payloads, Column("string", path=path, coerce="text", on_error="null"))
    if others:
        written, _, _ = _read(payloads, Column("json", path=path))
        known = found.validity()
        found = choose(Vector(BOOL, call.length, known, ones(call.length)), found, written)
    if rejects:
        status = filled_bytes(1, call.length)
        for code in {one.code for one in rejects}:
            rows = from_numbers("q", [one.position for one in rejects if one.code is code])
            kernels.scatter_uint8(0 if code is Code.NOT_OBJECT else int(code), rows, status)
        call.also(status)
    call.also(found.valid)
    return found


def _read(payloads: Payloads, column: Column) -> tuple[Vector, int, list[Reject]]:
    """A column of JSON objects, a row each, null where an object is refused; its values that are of another type; what was refused."""
    from millstream.decode.json import JsonDecoder

    decoded = JsonDecoder(list(Schema({"found": column}).values())).decode(payloads)
    found = decoded.columns["found"]
    if decoded.length < payloads.count:
        sequence = allocate(payloads.count, 8)
        kernels.fill_sequence(sequence)
        rows = Table(Vector(INT64, decoded.length, decoded.row_source)).probe(Vector(INT64, payloads.count, sequence))
        found = take(found, rows, gaps=True)
    return found, decoded.nulls_on_error.get("found", 0), decoded.rejects


_S: Columns = {"s": ("string", ["Ab", "é", None])}
_CODED: Columns = {"s": ("string", ["aGk=", "*", None])}
_JSON: Columns = {"s": ("string", ['{"a": {"b": "x", "n": [1, 2]}}', '{"a": 5}', None])}
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

FUNCTIONS = (
    Function(
        "str.sha256",
        "string|binary -> string",
        "The SHA-256 of the bytes, in 64 hexadecimal digits.",
        one_of(("binary", "string"), ".str.sha256", STRING),
        _sha256,
        (
            Example("s.str.sha256()", {"s": ("string", ["", None])}, [_EMPTY_SHA256, None]),
            Example("s.str.sha256().str.head(8)", _S, ["025b5573", "4a99557e", None]),
        ),
        ("digest_sha256",),
    ),
    Function(
        "str.encode",
        "string|binary -> string",
        "The bytes in 'base64', padded, or in 'hex', small letters.",
        _coded(".str.encode"),
        _encode,
        (
            Example('s.str.encode("base64")', _S, ["QWI=", "w6k=", None]),
            Example('s.str.encode("hex")', _S, ["4162", "c3a9", None]),
        ),
        ("encode_base64", "encode_hex"),
        "encoding: str",
    ),
    Function(
        "str.decode",
        "string -> binary",
        "What base64 (of either alphabet, padded or not) or hex digits stand for. Others reject (BAD_VALUE); strict=False: null.",
        _coded(".str.decode"),
        _decode,
        (
            Example('s.str.decode("base64", strict=False).cast("string")', _CODED, ["hi", None, None]),
            Example('s.str.decode("hex", strict=False)', {"s": ("string", ["6869", "686", None])}, [b"hi", None, None]),
        ),
        ("parse_binary",),
        "encoding: str, *, strict: bool = True",
    ),
    Function(
        "str.json_path_match",
        "string -> same",
        "What is at a path of keys in JSON text, a string without its quotes; null where there is nothing. No JSON: BAD_JSON.",
        _json_signature,
        _json_path_match,
        (
            Example('s.str.json_path_match("$.a.b")', _JSON, ["x", None, None]),
            Example("s.str.json_path_match(\"$['a']['n']\")", _JSON, ["[1, 2]", None, None]),
        ),
        ("decode_json",),
        "json_path: str",
    ),
)
