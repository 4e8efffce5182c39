"""JSON payloads to columns: what `kernels/json.py` is called with, and what it gives."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from millstream import seed
from millstream.columns import close
from millstream.decode.batch import OTHER, UNKNOWN_KEYS, BatchColumns, Decoded
from millstream.decode.json_layout import COLUMN_WORDS, KEY_WORDS, VALID, VALUES, Layout
from millstream.decode.payloads import Payloads
from millstream.decode.rejects import Reject, reject, to_batch
from millstream.errors import RunError
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY_WORDS, PADDING, allocate, from_bytes, from_numbers
from millstream.schema import Code, Column, Field, Schema

# Places in the state of kernels/json.py, and what it stops for beside a level.
_STATE = 17
_ROWS, _REJECTS, _HEAP, _WANTED, _KEYS, _KEY_BYTES, _OTHER_KEYS, _CHECK_ABSENT, _REST, _SPANS, _SEED, _FIELDS = range(12)
_SPARE, _NOWHERE, _KNOWN = 13, 14, 16
_MORE_HEAP, _MORE_SPANS = -1, 0
_REJECT, _SPAN, _LEVEL = 4, 3, 4
_AHEAD = 65536
_WORDS = 1100

_UNKNOWN_BYTES = 2 * UNKNOWN_KEYS * 264
"""Room for the names of all unknown keys: longer ones are not told apart."""


class _Keys:
    """The key entries that a call of the kernel works with, and what it has learned of the keys that come."""

    def __init__(self, layout: Layout) -> None:
        room = layout.known + 2 * UNKNOWN_KEYS
        self.entries = allocate(room * KEY_WORDS, 8)
        ctypes.memmove(self.entries.address, layout.entries, len(layout.entries))
        self.names = allocate(len(layout.names) + _UNKNOWN_BYTES, 1)
        ctypes.memmove(self.names.address, layout.names, len(layout.names))
        self.slots = from_bytes(layout.slots, 4)
        self.counts = from_bytes(bytes(8 * room), 8)
        self.words = allocate(_WORDS, 8)
        self.count, self.bytes = layout.known, len(layout.names)
        self.labels: list[str] = []

    def take_counts(self, layout: Layout, state: Sequence[int]) -> dict[str, int]:
        """How often each unknown key came; the counts begin anew."""
        self.count, self.bytes = state[_KEYS], state[_KEY_BYTES]
        for entry in range(layout.known + len(self.labels), self.count):
            node, length, _, _, _, start = self.entries.part(8 * KEY_WORDS * entry, 6, 8).tolist()
            key = self.names.part(start, length, 1).tobytes().decode("utf-8", "replace")
            path = layout.paths[node]
            self.labels.append(f"{path}.{key}" if path else key)
        fresh = self.counts.part(8 * layout.known, self.count - layout.known, 8)
        seen = fresh.tolist()
        ctypes.memset(self.counts.address, 0, 8 * self.count)
        unknown: dict[str, int] = {}
        for label, count in zip(self.labels, seen, strict=True):
            if count:
                unknown[label] = unknown.get(label, 0) + count
        named = list(unknown)[UNKNOWN_KEYS:]
        others = state[_OTHER_KEYS] + sum(unknown.pop(label) for label in named)
        if others:
            unknown[OTHER] = others
        return unknown


class JsonDecoder:
    """Decodes payloads, each one JSON object, to the columns of `fields`. Threads may share it.

    unread: fields of the schema that nobody needs; their values are skipped, but they are no unknown keys.
    """

    def __init__(self, fields: Sequence[Field], unread: Sequence[Field] = ()) -> None:
        self.fields = tuple(fields)
        self._layout = Layout(self.fields, unread)
        self._check_absent = int(any(one.default is not None or not one.nullable for one in self.fields))
        self._seed = seed.SEED if self._layout.has_maps else 0
        self._idle: list[_Keys] = []
        self._elements = [0.0] * self._layout.levels

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode a batch; every payload becomes a row or a reject, in order."""
        try:
            keys = self._idle.pop()
        except IndexError:
            keys = _Keys(self._layout)
        batch = _Batch(self, payloads, keys)
        batch.run()
        decoded = batch.decoded()
        if keys.count - self._layout.known <= UNKNOWN_KEYS:  # else there is not room for as many new ones
            self._idle.append(keys)
        return decoded


class _Batch(BatchColumns):
    """One batch on its way through the kernel."""

    def __init__(self, decoder: JsonDecoder, payloads: Payloads, keys: _Keys) -> None:
        self.decoder, self.payloads, self.keys, self.layout = decoder, payloads, keys, decoder._layout
        count, layout = payloads.count, self.layout
        longest = kernels.longest_span(payloads.starts, payloads.ends)
        self.text = allocate(2 * (longest + PADDING), 1)
        spare = min(longest // 2, _AHEAD) + 64
        most = payloads.size // 2  # an element has two bytes or more, whatever the batch before was like
        rooms = [count, *(min(int(each * count), most) + spare for each in decoder._elements[1:])]
        super().__init__(decoder.fields, layout.columns, layout.words, rooms, payloads.size + 2 * longest + PADDING)
        state = [0] * _STATE
        state[_HEAP] = self.heap
        state[_KEYS], state[_KEY_BYTES] = keys.count, keys.bytes
        state[_CHECK_ABSENT], state[_REST], state[_FIELDS] = decoder._check_absent, layout.rest, len(decoder.fields)
        state[_SEED] = decoder._seed
        state[_NOWHERE], state[_KNOWN] = layout.nowhere, layout.known
        state[_SPARE] = longest + PADDING
        self.state = from_numbers("q", state)
        self.levels = from_numbers("q", [word for room in self.rooms for word in (0, room, 0, 0)])
        self.nodes = from_numbers("q", layout.nodes)
        self.source, self.rejects = allocate(count, 8), allocate(count * _REJECT, 8)
        self.spans = allocate(4096 * _SPAN, 8) if layout.rest >= 0 else EMPTY_WORDS
        self.scratch = keys.words
        if layout.has_maps and longest > _WORDS:
            self.scratch = allocate(max(_WORDS, 1 << (longest // 2).bit_length()), 8)  # an entry has five bytes or more

    def run(self) -> None:
        """Call the kernel until every payload is done, with more room each time it stops."""
        payloads, keys = self.payloads, self.keys
        done = 0
        while True:
            done = kernels.decode_json(
                payloads.text, payloads.starts, payloads.ends, done, self.text, self.strings,
                keys.entries, keys.names, keys.slots, keys.counts, self.nodes, self.columns, self.levels, self.spans,
                self.scratch, self.state, self.source, self.rejects, self.out,
            )  # fmt: skip
            if done == payloads.count:
                return
            wanted = self.state.tolist()[_WANTED]
            if wanted == _MORE_HEAP:
                self.grow_strings()
            elif wanted == _MORE_SPANS:
                self.spans = allocate(2 * self.spans.count, 8)
            else:
                self._grow_level(wanted)

    def _rows(self) -> list[int]:
        """The rows of each level so far."""
        return [self.state.tolist()[_ROWS], *self.levels.tolist()[_LEVEL::_LEVEL]]

    def _grow_level(self, level: int) -> None:
        before, old, rows = self.out, self.columns.tolist(), self._rows()
        self.rooms[level] *= 2
        self.words = old
        places = [(old[i * COLUMN_WORDS + VALID], old[i * COLUMN_WORDS + VALUES]) for i in range(len(self.layout.columns))]
        self.place_columns()
        for i, one in enumerate(self.layout.columns):
            valid_at, values_at = places[i]
            to = self.out.address
            count = rows[one.level]
            ctypes.memmove(to + self.words[i * COLUMN_WORDS + VALID], before.address + valid_at, count)
            ctypes.memmove(to + self.words[i * COLUMN_WORDS + VALUES], before.address + values_at, count * one.width)
        levels = self.levels.tolist()
        levels[level * _LEVEL + 1] = self.rooms[level]
        self.levels = from_numbers("q", levels)

    def decoded(self) -> Decoded:
        """The batch's columns, rejects and counts."""
        state, rows = self.state.tolist(), self._rows()
        count = self.payloads.count
        for level in range(1, len(rows)):
            self.decoder._elements[level] = 1.125 * rows[level] / count if count else 0.0
        fields = self.decoder.fields
        self.settle(rows)
        columns = {one.name: self.vector(i, one.holds, rows) for i, one in enumerate(fields)}
        return Decoded(
            columns,
            rows[0],
            self.source.part(0, rows[0], 8),
            self._rejected(self.rejects.part(0, state[_REJECTS] * _REJECT, 8).tolist()),
            self.nulls_on_error(),
            self.keys.take_counts(self.layout, state),
        )

    def _rejected(self, words: list[int]) -> list[Reject]:
        found = []
        for at in range(0, len(words), _REJECT):
            position, code, column, offset = words[at : at + _REJECT]
            name = self.decoder.fields[self.layout.columns[column].field].name if column >= 0 else None
            found.append(reject(position, Code(code), name, offset))
        return found


_decoder = lru_cache(16)(JsonDecoder)


def decode_json(
    records: list[bytes] | bytes, schema: Schema | pa.Schema | dict[str, str | Column]
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """JSON objects to a RecordBatch of the schema, and the records that are none, with code, column and byte offset.

    records: one object each, or bytes of JSON lines. Raises PlanError for a bad schema, RunError for over 2 GiB of text.
    """
    checked = Schema(schema)
    payloads = Payloads.of_lines(records) if isinstance(records, bytes) else Payloads.of_records(records)
    if payloads.size >= 1 << 31:
        raise RunError("a batch holds more than 2 GiB of text; make it smaller")
    fields = tuple(checked.values())
    told_apart = all(one.default is None for one in fields)  # 0.0 and -0.0 are equal
    decoded = (_decoder(fields) if told_apart else JsonDecoder(fields)).decode(payloads)
    columns = [close(decoded.columns[name]) for name in checked]
    return pa.record_batch(columns, checked.arrow), to_batch(decoded.rejects, payloads.payload)
