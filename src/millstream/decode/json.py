"""JSON payloads to columns: the tables that `kernels/json.py` works by, and what it leaves to Python."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa

from millstream.columns import Vector, close, literal_bits
from millstream.decode.payloads import Payloads
from millstream.decode.rejects import Reject, reject, to_batch
from millstream.errors import RunError
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_bytes, from_numbers
from millstream.schema import Code, Column, Field, Schema, Type

# The layouts of kernels/json.py.
_KEY, _COLUMN, _REJECT, _FIXUP, _STATE = 8, 15, 4, 4, 8
_ROWS, _REJECTS, _HEAP, _FIXUPS, _KEYS, _KEY_BYTES, _OTHER_KEYS, _CHECK_ABSENT = range(8)
_NULLED = 11
_MAX_DEPTH = 1024
_PROBES = 32

_EPOCH = 16
_COERCIONS = {"numbers": 1, "bools": 2, "empty": 4, "text": 8, "epoch_s": _EPOCH, "epoch_ms": _EPOCH}
_PLACES = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MASK = (1 << 64) - 1

UNKNOWN_KEYS = 1024
"""How many distinct unknown keys of one batch are told apart; the rest are counted together."""
OTHER = "…"
"""The name that counts unknown keys beyond that."""
_SLOTS = 4096
_UNKNOWN_BYTES = 65536
_FIXUP_ROOM = 1024


@dataclass(slots=True)
class Decoded:
    """What a batch of payloads became.

    columns: `length` rows each; row_source: int64, the payload of each row; rejects: the payloads that gave none;
    nulls_on_error: values made null, by column; unknown_keys: keys that no column reads, by path.
    """

    columns: dict[str, Vector]
    length: int
    row_source: Memory
    rejects: list[Reject]
    nulls_on_error: dict[str, int]
    unknown_keys: dict[str, int]


def _signed(value: int) -> int:
    """The int64 with the low 64 bits of a number."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _kind(kind: Type) -> int:
    if kind.family == "float":
        return 3 if kind.bits == 64 else 4
    if kind.physical == "uint64":
        return 2
    if kind.name == "json":
        return 8
    return {"bool": 0, "int": 1, "string": 5, "timestamp": 6, "date": 7}[kind.family]


def _coerce(one: Field) -> int:
    """The kernel's word for what a column takes beside its own JSON type."""
    flags = 0
    for name in one.coerce:
        flags |= _COERCIONS[name]
    if flags & _EPOCH:  # the power of ten from the number to ticks
        flags |= _PLACES[one.type.unit] - (3 if "epoch_ms" in one.coerce else 0) + 32 << 8
    return flags


def _slot(node: int, key: bytes, mask: int) -> int:
    """`key_slot` of kernels/json.py."""
    head = int.from_bytes(key[:8], "little")
    tail = int.from_bytes(key[-8:], "little") if len(key) > 8 else 0
    mixed = (head ^ _signed(tail * -7046029254386353131) ^ _signed(node * 0x9E3779B1 + len(key))) & _MASK
    return ((mixed * -4417276706812531889 & _MASK) >> 32) & mask


class _Keys:
    """The key entries of a schema's paths: each path is a walk from node 0, the record, to a column."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.nodes: list[tuple[str, ...]] = [()]
        self.parents = [-1]
        self.entries: list[tuple[int, bytes, int]] = [(-1, b"", -1)]
        ids: dict[tuple[str, ...], int] = {(): 0}
        paths = sorted((path, column) for column, one in enumerate(fields) for path in one.paths)
        depth = max((len(path) for path, _ in paths), default=1)
        for length in range(1, depth):  # parents before children: the kernel relies on it
            for path, _ in paths:
                prefix = path[:length]
                if len(path) > length and prefix not in ids:
                    ids[prefix] = len(self.nodes)
                    self.nodes.append(prefix)
                    self.parents.append(ids[prefix[:-1]])
                    self.entries.append((ids[prefix[:-1]], prefix[-1].encode(), -2 - ids[prefix]))
        self.node_of: dict[int, int] = {}
        for path, column in paths:
            node = ids[path[:-1]]
            self.node_of.setdefault(column, node)
            self.entries.append((node, path[-1].encode(), column))

    def tables(self) -> tuple[bytes, bytes, bytes]:
        """The key entries, their names, and the hash slots, as the kernel reads them."""
        words: list[int] = []
        names = b""
        size = _SLOTS
        while True:
            slots = [-1] * size
            if all(self._insert(slots, entry) for entry in range(1, len(self.entries))):
                break
            size *= 2
        for node, key, target in self.entries:
            head = int.from_bytes(key[:8], "little")
            tail = int.from_bytes(key[-8:], "little") if len(key) > 8 else 0
            words += [node, len(key), _signed(head), _signed(tail), target, 0, 0, len(names)]
            names += key
        return from_numbers("q", words).tobytes(), names, from_numbers("i", slots).tobytes()

    def _insert(self, slots: list[int], entry: int) -> bool:
        node, key, _ = self.entries[entry]
        mask = len(slots) - 1
        at = _slot(node, key, mask)
        for _ in range(_PROBES // 2):
            if slots[at] < 0:
                slots[at] = entry
                return True
            at = (at + 1) & mask
        return False


class JsonDecoder:
    """Decodes payloads, each one JSON object, to the columns of `fields`. Holds no state of a batch: threads may share it."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._keys = _Keys(self.fields)
        entries, names, slots = self._keys.tables()
        self._known = len(self._keys.entries)
        self._entries = entries + bytes(_KEY * 8 * UNKNOWN_KEYS)
        self._name_bytes = len(names)
        self._names = names + bytes(_UNKNOWN_BYTES)
        self._slots = slots
        self._nodes = [word for parent in self._keys.parents for word in (parent, 0)]
        self._defaults = b"".join(str(one.default).encode() for one in self._string_defaults())
        self._check_absent = int(any(one.default is not None or not one.nullable for one in self.fields))

    def _string_defaults(self) -> list[Field]:
        return [one for one in self.fields if one.type.physical == "string" and one.default is not None]

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode a batch; every payload becomes a row or a reject, in order."""
        count = payloads.count
        heap = payloads.size + PADDING
        if payloads.text.count < heap + len(self._defaults) + PADDING:
            payloads.grow(len(self._defaults) + PADDING)
        table, out, valid_at = self._columns_table(count, heap)
        if self._defaults:
            ctypes.memmove(payloads.text.address + heap, self._defaults, len(self._defaults))
        columns = from_numbers("q", table)
        keys, names, slots = from_bytes(self._entries, 8), from_bytes(self._names), from_bytes(self._slots, 4)
        nodes = from_numbers("q", self._nodes)
        index = allocate(kernels.longest_span(payloads.starts, payloads.ends) + 128, 4)
        stack = allocate(_MAX_DEPTH + 1, 8)
        source, rejects = allocate(count, 8), allocate(count * _REJECT, 8)
        fixups = allocate((_FIXUP_ROOM + len(self.fields)) * _FIXUP, 8)
        state_words = [0] * _STATE
        state_words[_HEAP] = heap + len(self._defaults)
        state_words[_KEYS], state_words[_KEY_BYTES] = self._known, self._name_bytes
        state_words[_CHECK_ABSENT] = self._check_absent
        state = from_numbers("q", state_words)
        done = 0
        while True:
            done = kernels.decode_json(
                payloads.text, payloads.starts, payloads.ends, done, keys, names, slots, nodes, columns,
                index, stack, state, source, rejects, fixups, out,
            )  # fmt: skip
            fixed = state.tolist()[_FIXUPS]
            self._settle(payloads, fixups.part(0, fixed * _FIXUP, 8).tolist(), table, out)
            if done == count:
                break
            _poke(state, _FIXUPS, 0)
            if not fixed:
                payloads.grow(payloads.text.count)
        final = state.tolist()
        rows = final[_ROWS]
        return Decoded(
            self._vectors(payloads, table, out, valid_at, rows),
            rows,
            source.part(0, rows, 8),
            self._rejects(rejects.part(0, final[_REJECTS] * _REJECT, 8).tolist()),
            self._nulled(columns.tolist()),
            self._unknown(keys, names, final),
        )

    def _columns_table(self, count: int, heap: int) -> tuple[list[int], Memory, list[int]]:
        """The kernel's column table for `count` rows, the memory for all columns, and where each one's validity is."""
        stride = (count + 63) // 64 * 64
        size = len(self.fields) * stride
        words: list[int] = []
        valid_at = [i * stride for i in range(len(self.fields))]
        for i, one in enumerate(self.fields):
            least, greatest = one.type.range if one.type.family == "int" else (0, 0)
            default = 0
            if one.type.physical == "string" and one.default is not None:
                length = len(str(one.default).encode())
                default = heap | length << 32
                heap += length
            elif one.default is not None:
                default = literal_bits(one.type, one.default)
            words += [
                _kind(one.type), int(one.nullable), int(one.on_error == "null"), size, valid_at[i],
                least, _signed(greatest), _TICKS.get(one.type.unit, 0), int(bool(one.type.zone)),
                self._keys.node_of[i], 0, 0, int(one.default is not None), default, _coerce(one),
            ]  # fmt: skip
            size += stride if one.type.physical == "bool" else 8 * stride
        out = allocate(size + PADDING, 1)
        kernels.fill_uint8(0, out.part(0, len(self.fields) * stride, 1))
        return words, out, valid_at

    def _vectors(self, payloads: Payloads, table: list[int], out: Memory, valid_at: list[int], rows: int) -> dict[str, Vector]:
        vectors: dict[str, Vector] = {}
        for i, one in enumerate(self.fields):
            values_at = table[i * _COLUMN + 3]
            values = out.part(values_at, rows, 1 if one.type.physical == "bool" else 8)
            valid: Memory | None = out.part(valid_at[i], rows, 1)
            if kernels.count_invalid(valid) == 0:
                valid = None
            elif one.type.physical != "bool":
                kernels.clear_invalid(valid, values)  # no kernel meets a view that points nowhere
            data = payloads.text if one.type.physical == "string" else None
            vectors[one.name] = Vector(one.holds, rows, values, valid, data)
        return vectors

    def _settle(self, payloads: Payloads, fixups: list[int], table: list[int], out: Memory) -> None:
        """The few floats whose digits beyond the 19th decide: Python's float is exact."""
        for at in range(0, len(fixups), _FIXUP):
            row, column, start, end = fixups[at : at + _FIXUP]
            if row < 0:
                continue
            text = payloads.text.part(start, end - start, 1).tobytes().decode()
            value = float(text) if self.fields[column].type.bits == 64 else _nearest_single(text)
            ctypes.c_double.from_address(out.address + table[column * _COLUMN + 3] + 8 * row).value = value

    def _rejects(self, words: list[int]) -> list[Reject]:
        found = []
        for at in range(0, len(words), _REJECT):
            position, code, column, offset = words[at : at + _REJECT]
            found.append(reject(position, Code(code), self.fields[column].name if column >= 0 else None, offset))
        return found

    def _nulled(self, columns: list[int]) -> dict[str, int]:
        counts = {one.name: columns[i * _COLUMN + _NULLED] for i, one in enumerate(self.fields)}
        return {name: count for name, count in counts.items() if count}

    def _unknown(self, keys: Memory, names: Memory, state: list[int]) -> dict[str, int]:
        unknown: dict[str, int] = {}
        fresh = keys.part(8 * _KEY * self._known, _KEY * (state[_KEYS] - self._known), 8).tolist()
        for at in range(0, len(fresh), _KEY):
            node, length, count, start = fresh[at], fresh[at + 1], fresh[at + 6], fresh[at + 7]
            key = names.part(start, length, 1).tobytes().decode("utf-8", "replace")
            unknown[".".join((*self._keys.nodes[node], key))] = count
        if state[_OTHER_KEYS]:
            unknown[OTHER] = state[_OTHER_KEYS]
        return unknown


def _poke(words: Memory, at: int, value: int) -> None:
    ctypes.c_int64.from_address(words.address + 8 * at).value = value


def _nearest_single(text: str) -> float:
    """The float32 nearest to a decimal, ties to even, as a float; an exact comparison of fractions."""
    wanted = Fraction(text)
    near = ctypes.c_float(float(text)).value
    bits = ctypes.c_uint32.from_buffer(ctypes.c_float(near)).value
    candidates = []
    for pattern in (bits - 1, bits, bits + 1):
        word = ctypes.c_uint32(pattern & 0xFFFFFFFF)
        value = ctypes.c_float.from_buffer(word).value
        if value - value == 0:
            candidates.append((abs(Fraction(value) - wanted), pattern & 1, value))
    return min(candidates)[2] if candidates else near


def decode_json(
    records: list[bytes] | bytes, schema: Schema | pa.Schema | dict[str, str | Column]
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """JSON objects to a RecordBatch of the schema, and the records that are none, with code, column and byte offset.

    records: one object each, or bytes of JSON lines. Raises PlanError for a bad schema, RunError for over 4 GiB of text.
    """
    checked = Schema(schema)
    payloads = Payloads.of_lines(records) if isinstance(records, bytes) else Payloads.of_records(records)
    if payloads.size >= 1 << 31:
        raise RunError("a batch holds more than 2 GiB of text; make it smaller")
    decoded = JsonDecoder(list(checked.values())).decode(payloads)
    columns = [close(decoded.columns[name]) for name in checked]
    return pa.record_batch(columns, checked.arrow), to_batch(decoded.rejects, payloads.payload)
