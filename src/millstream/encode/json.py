"""Rows as JSON objects, written column by column: no Python object is made per row.

Numbers are written in the fewest digits that read back the same, decimals with all digits of their scale, times in RFC 3339 (a zoned
one with Z), dates, times of day and durations in ISO 8601, binary in base64, maps and structs as objects; NaN and infinities become
null, for JSON has no words for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson
import pyarrow as pa

from millstream.columns import VIEWED, Vector, open_array, room_for_text
from millstream.encode.text import base64_strings, json_strings, json_texts
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_bytes

SLICE_ROWS = 65_536
"""Rows encoded at one time: what bounds the memory beside the output."""

_ANY = 1 << 62
_LIST, _OBJECT = b"[]", b"{}"


class Texts(NamedTuple):
    """A column as JSON: views into bytes, an empty one for null; quote: 1 where each text still needs quotes."""

    data: Memory
    views: Memory
    quote: int = 0


def encode_lines(batch: pa.RecordBatch) -> bytes:
    """One object a line, each line ended."""
    return b"".join(_encoded(batch.slice(at, SLICE_ROWS), b"", b"\n") for at in range(0, batch.num_rows, SLICE_ROWS))


def encode_array(batch: pa.RecordBatch) -> bytes:
    """A whole JSON array, one object a line."""
    pieces = [_encoded(batch.slice(at, SLICE_ROWS), b",\n", b"") for at in range(0, batch.num_rows, SLICE_ROWS)]
    return b"".join([b"[", *(piece if i else piece[1:] for i, piece in enumerate(pieces)), b"\n]\n"]) if pieces else b"[]\n"


def _encoded(batch: pa.RecordBatch, before: bytes, after: bytes) -> bytes:
    """Every row as an object, with `before` ahead of each and `after` behind it."""
    rows: int = batch.num_rows
    if not batch.num_columns:
        return (before + b"{}" + after) * rows
    columns = [texts(open_array(column)) for column in batch.columns]
    out, _ = _appended(_members(batch.schema.names, columns, before, after), rows, _ANY)
    text: bytes = out.tobytes()
    return text


def texts(vector: Vector) -> Texts:
    """A column of any type as JSON. Raises RunError where what is inside its lists and structs is over 2 GiB of text."""
    kind = vector.type
    match kind.family:
        case "string":
            return Texts(*json_strings(vector))
        case "binary":
            return Texts(*base64_strings(vector))
        case "list":
            return _joined(vector, texts(vector.children[0]), _LIST)
        case "map":
            keys, values = (texts(child) for child in vector.children)
            pairs = (from_bytes(b""), keys, from_bytes(b":")), (from_bytes(b""), values, from_bytes(b""))
            return _joined(vector, _viewed(pairs, vector.children[0]), _OBJECT)
        case "struct":
            names = [name for name, _ in kind.children]
            return _viewed(_members(names, [texts(child) for child in vector.children], b"", b""), vector)
    return Texts(*json_texts(vector), int(kind.is_temporal or kind.family in ("time", "duration")))


_Piece = tuple[Memory, Texts, Memory]


def _members(names: Sequence[str], columns: Sequence[Texts], before: bytes, after: bytes) -> list[_Piece]:
    """The columns as the members of an object: what stands before each text, and behind it."""
    last = len(names) - 1
    return [
        (
            from_bytes((b"," if i else before + b"{") + orjson.dumps(name) + b":"),
            column,
            from_bytes(b"}" + after if i == last else b""),
        )
        for i, (name, column) in enumerate(zip(names, columns, strict=True))
    ]


def _appended(pieces: Sequence[_Piece], rows: int, most: int) -> tuple[Memory, Memory]:
    """Each row's pieces one after another: the bytes, and where each row ends in them. Raises RunError beyond `most` bytes."""
    cursors = allocate(rows, 8)
    kernels.fill_int64(0, cursors)
    for opening, one, closing in pieces:
        kernels.add_lengths(one.views, opening.count + closing.count, 2 * one.quote, cursors)
    out = room_for_text(kernels.starts_of_lengths(cursors), most)
    for opening, one, closing in pieces:
        kernels.append_texts(opening, one.data, one.views, one.quote, closing, cursors, out)
    return out, cursors


def _viewed(pieces: Sequence[_Piece], of: Vector) -> Texts:
    """Each row's pieces as one text; of rows that are null, none."""
    out, ends = _appended(pieces, of.length, VIEWED)
    views = allocate(of.length, 8)
    kernels.view_appended(ends, of.validity(), views)
    return Texts(out, views)


def _joined(vector: Vector, items: Texts, brackets: bytes) -> Texts:
    """The items of each list, in brackets."""
    valid = vector.validity()
    out = room_for_text(kernels.measure_lists(vector.values, valid, items.views, 2 * items.quote))
    views = allocate(vector.length, 8)
    kernels.join_texts(vector.values, valid, items.data, items.views, items.quote, *brackets, out, views)
    return Texts(out, views)
