"""The columns of a batch while a kernel fills them: memory for them, more of it, and what they are in the end."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from millstream.columns import Vector
from millstream.decode.json_layout import COLUMN_WORDS, DEFAULT_BITS, NULLED, VALID, VALUES, ColumnPlace, text_default
from millstream.decode.rejects import Reject
from millstream.errors import RunError
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY_WORDS, PADDING, Memory, Nulls, allocate, from_numbers
from millstream.schema import Field, Type

_NULLS, _SETTLED = 4, 5

UNKNOWN_KEYS = 1024
"""How many distinct unknown keys of one batch are told apart; the rest are counted together."""
OTHER = "…"
"""The name that counts unknown keys beyond that."""


class Decoded:
    """What a batch of payloads became.

    columns: `length` rows each; row_source: int64, the payload of each row; rejects: the payloads that gave none;
    nulls_on_error: values made null, by column; unknown_keys: keys that no column reads, by path; missing_columns: of CSV,
    how many records have a header without a column, by its name.
    """

    __slots__ = (
        "columns",
        "length",
        "missing_columns",
        "nulls_on_error",
        "rejects",
        "row_source",
        "unknown_keys",
    )

    def __init__(
        self,
        columns: dict[str, Vector],
        length: int,
        row_source: Memory,
        rejects: list[Reject],
        nulls_on_error: dict[str, int],
        unknown_keys: dict[str, int],
        missing_columns: dict[str, int] | None = None,
    ) -> None:
        self.columns = columns
        self.length = length
        self.row_source = row_source
        self.rejects = rejects
        self.nulls_on_error = nulls_on_error
        self.unknown_keys = unknown_keys
        self.missing_columns = missing_columns or {}


class BatchColumns:
    """Memory for columns, as kernels fill it.

    words: the kernel's table of columns, which comes out as `columns`; out: validity and values of all columns, `rooms[level]` rows each;
    strings: what string columns view, from `heap` on, behind the defaults.
    """

    def __init__(
        self, fields: Sequence[Field], places: Sequence[ColumnPlace], words: Sequence[int], rooms: list[int], room_for_text: int
    ) -> None:
        self.fields, self.places, self.words, self.rooms = fields, places, list(words), rooms
        defaults = [text_default(one) for one in fields]
        text = b"".join(one or b"" for one in defaults)
        self.strings = allocate(room_for_text + len(text), 1)
        ctypes.memmove(self.strings.address, text, len(text))
        self.heap = 0
        for i, one in enumerate(defaults):
            if one is not None:
                self.words[i * COLUMN_WORDS + DEFAULT_BITS] = self.heap | len(one) << 32
                self.heap += len(one)
        self.nulls: list[int] = []
        self.place_columns()

    def place_columns(self) -> None:
        """Memory for all columns, each with the room of its level; validity first, all null."""
        strides = [(room + 63) // 64 * 64 for room in self.rooms]
        at = 0
        for i, one in enumerate(self.places):
            self.words[i * COLUMN_WORDS + VALID] = at
            at += strides[one.level]
        blank = at
        for i, one in enumerate(self.places):
            self.words[i * COLUMN_WORDS + VALUES] = at
            at += one.width * strides[one.level]
        self.out = allocate(at + PADDING, 1)
        kernels.fill_uint8(0, self.out.part(0, blank, 1))
        self.columns = from_numbers("q", self.words)

    def grow_strings(self) -> None:
        """Twice the room for strings. Raises RunError where views cannot tell so many bytes apart."""
        before = self.strings
        if before.count > 1 << 31:  # a view has 32 bits for where it begins
            raise RunError("a batch holds more than 2 GiB of text; make it smaller")
        self.strings = allocate(2 * before.count, 1)
        ctypes.memmove(self.strings.address, before.address, before.count)

    def settle(self, rows: Sequence[int]) -> None:
        """Count nulls. No kernel meets a view that points nowhere, and nobody sees what was in this memory before."""
        self.words = self.columns.tolist()
        table: list[int] = []
        for i, place in enumerate(self.places):
            at = i * COLUMN_WORDS
            table += (place.width, rows[place.level], self.words[at + VALID], self.words[at + VALUES], 0)
        settled = from_numbers("q", table)
        kernels.settle_columns(settled, self.out)
        self.nulls = settled.tolist()[_NULLS::_SETTLED]

    def vector(self, index: int, kind: Type, rows: Sequence[int]) -> Vector:
        """A column, once it is settled; of a list, map or struct with those inside."""
        place, at = self.places[index], index * COLUMN_WORDS
        count = rows[place.level]
        width, out = place.width, self.out
        valid = Nulls(out.owner, out.address + self.words[at + VALID], count, 1) if self.nulls[index] else None
        values = EMPTY_WORDS
        if width:
            values = Memory(out.owner, out.address + self.words[at + VALUES], count * max(width // 8, 1), min(width, 8))
        children: tuple[Vector, ...] = ()
        if place.inner:
            children = tuple(self.vector(i, inner, rows) for i, (_, inner) in zip(place.inner, kind.children, strict=True))
        data = self.strings if kind.physical == "string" else None
        return Vector(kind, count, values, valid, data, children)

    def nulls_on_error(self) -> dict[str, int]:
        """How many values of each field were made null because they did not fit, once columns are settled."""
        nulled = {one.name: self.words[i * COLUMN_WORDS + NULLED] for i, one in enumerate(self.fields)}
        return {name: number for name, number in nulled.items() if number}
