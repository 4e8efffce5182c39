"""The tables that `kernels/json.py` works by: what a schema's columns, their elements and their keys are to the kernel.

Column c of the first `len(fields)` is field c; the elements of lists and maps and the fields of structs come behind them. Node 0 is the
record; then the objects that paths lead through, then the columns that are lists, maps and structs: parents before children.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from millstream.columns import literal_bits
from millstream.native.memory import from_numbers
from millstream.schema import COERCIONS, Field, Type

KEY_WORDS, COLUMN_WORDS = 24, 24
VALUES, VALID, NULLED, DEFAULT_BITS = 3, 4, 11, 13
_WAYS, _WAY_WORDS, _WAY_MASK, _NO_WAY = 8, 8, 2, 1 << 32
_NESTED, _OTHERWISE = 13, 32
_PATH, _STRUCT, _LIST, _MAP = range(4)
_PROBES = 32
_SLOTS = 8192

_KINDS = {
    "bool": 0, "int": 1, "string": 5, "timestamp": 6, "date": 7, "binary": 9, "decimal": 10, "time": 11, "duration": 12,
    "list": _NESTED, "map": _NESTED, "struct": _NESTED,
}  # fmt: skip
_WIDTHS = {"bool": 1, "decimal": 16, "struct": 0}
_COERCIONS = {
    "numbers": 1, "bools": 2, "empty": 4, "text": 8, "epoch_s": 16, "epoch_ms": 16, "seconds": 16, "milliseconds": 16,
    "hex": 32, "round": 64,
}  # fmt: skip
_PLACES = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_MASK = (1 << 64) - 1


class ColumnPlace:
    """A column of the kernel's table: its type, the field it belongs to, its level (0: a row a record), the node it is a value of, and
    the one that it is, if it is nested; `inner`: the columns of its elements or fields; `width`: bytes a row.
    """

    __slots__ = (
        "child",
        "field",
        "inner",
        "level",
        "node",
        "type",
        "width",
    )

    def __init__(self, type: Type, field: int, level: int, node: int, child: int = -1, inner: tuple[int, ...] = ()) -> None:  # noqa: A002
        self.type = type
        self.field = field
        self.level = level
        self.node = node
        self.child = child
        self.inner = inner
        self.width = _WIDTHS.get(type.physical, 8)


def signed(value: int) -> int:
    """The int64 with the low 64 bits of a number."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def column_words(place: ColumnPlace, index: int, field: Field) -> list[int]:
    """A column of the kernel's table."""
    kind, top = place.type, index == place.field
    least, greatest = kind.range if kind.family == "int" else (0, 0)
    coerce = _coerce(kind, field.coerce)
    default = _default_bits(kind, field.default) if top and field.default is not None else 0
    return [
        _kind(kind) + (_OTHERWISE if coerce else 0), int(field.nullable or not top), int(field.on_error == "null"), 0, 0,
        least, signed(greatest), 10 ** _PLACES.get(kind.unit, 0), int(bool(kind.zone)), place.node,
        0, 0, int(top and field.default is not None), signed(default), signed(default >> 64),
        coerce, place.level, place.child, kind.precision, kind.scale if kind.precision else _PLACES.get(kind.unit, 0),
        place.width, 0, 0, 0,
    ]  # fmt: skip


class Layout:
    """The tables of a schema's fields, as a call of the kernel begins with them.

    columns: places of all columns; levels: how many there are; nodes, entries: see the kernel; known: how many entries the schema has;
    nowhere: the entry that no way leads from.
    unread: fields of the schema that nobody needs; their values are skipped, but they are no unknown keys.
    """

    def __init__(self, fields: Sequence[Field], unread: Sequence[Field] = ()) -> None:
        self.columns = [ColumnPlace(one.type, i, 0, 0) for i, one in enumerate(fields)]
        self.levels = 1
        self._nodes: list[list[int]] = [self._node(-1, _PATH, -1, 0)]
        self._keys: list[tuple[int, bytes, int]] = []
        self.rest = next((i for i, one in enumerate(fields) if one.rest), -1)
        self._names = b""
        self._add_paths(fields, unread)
        for i in range(len(fields)):
            self._add_nested(i)
        self.paths = [""] * len(self._nodes)
        self.nowhere = len(self._nodes)
        self.known = self.nowhere + 1 + len(self._keys)
        self._number_entries()
        self.entries, self.names, self.slots = self._tables()
        self.nodes = [word for node in self._nodes for word in node]
        self.words = [
            word for i in range(len(self.columns)) for word in column_words(self.columns[i], i, fields[self.columns[i].field])
        ]
        self.has_maps = any(one.type.family == "map" for one in self.columns)

    @staticmethod
    def _node(parent: int, kind: int, column: int, level: int) -> list[int]:
        return [parent, 0, kind, column, -1, -1, level, 0, 0, -1, 0, 0]

    def _add_paths(self, fields: Sequence[Field], unread: Sequence[Field]) -> None:
        """A node for each object that a path leads through, a key for each step."""
        paths = sorted((path, column) for column, one in enumerate(fields) for path in one.paths)
        ids: dict[tuple[str, ...], int] = {(): 0}
        skipped = sorted(path for one in unread for path in one.paths)
        for path in [path for path, _ in paths] + (skipped if self.rest >= 0 else []):
            for length in range(1, len(path)):  # parents before children: the kernel relies on it
                if path[:length] not in ids:
                    self._add_object(ids, path[:length])
        for path, column in paths:
            self.columns[column].node = ids[path[:-1]]
            self._keys.append((ids[path[:-1]], path[-1].encode(), column))
        told = set()
        for path in skipped:
            length = max(length for length in range(len(path)) if path[:length] in ids)
            told.add((ids[path[:length]], path[length].encode(), -1))
        self._keys += sorted(told)

    def _add_object(self, ids: dict[tuple[str, ...], int], path: tuple[str, ...]) -> None:
        parent = ids[path[:-1]]
        ids[path] = node = len(self._nodes)
        self._nodes.append(self._node(parent, _PATH, -1, 0))
        self._keys.append((parent, path[-1].encode(), -2 - node))
        name = json.dumps(path[-1], ensure_ascii=False).encode() + b":{"
        self._nodes[node][10:] = [len(self._names), len(name)]
        self._names += name

    def _path(self, node: int, key: str) -> str:
        above = self.paths[node]
        return f"{above}.{key}" if above else key

    def _add_nested(self, index: int) -> None:
        """The node of a nested column, and the columns in it."""
        place = self.columns[index]
        kind = place.type
        if not kind.children:
            return
        level = place.level
        if kind.family != "struct":
            level = self.levels
            self.levels += 1
        node = place.child = len(self._nodes)
        which = {"struct": _STRUCT, "list": _LIST, "map": _MAP}[kind.family]
        self._nodes.append(self._node(place.node, which, index, level))
        first = len(self.columns)
        place.inner = tuple(range(first, first + len(kind.children)))
        self.columns += [ColumnPlace(one, place.field, level, node) for _, one in kind.children]
        if which == _STRUCT:
            self._keys += [(node, name.encode(), first + i) for i, (name, _) in enumerate(kind.children)]
        else:
            self._nodes[node][5] = place.inner[-1]
            self._nodes[node][9] = place.inner[0]
        for i in place.inner:
            self._add_nested(i)

    def _number_entries(self) -> None:
        """Tell each node which entry leads to it, and give nested nodes the names of where they are."""
        names: dict[int, str] = {}
        for number, (_, key, target) in enumerate(self._keys, self.nowhere + 1):
            child = -2 - target if target < 0 else self.columns[target].child
            if child >= 0:
                self._nodes[child][4] = number
                names[child] = key.decode()
        for node, words in enumerate(self._nodes[1:], 1):
            parent = words[0]
            self.paths[node] = self._path(parent, names[node]) if node in names else self.paths[parent] + "[]"

    def _tables(self) -> tuple[bytes, bytes, bytes]:
        """The key entries, the names, and the hash slots, as the kernel reads them."""
        ways = [0] * (KEY_WORDS - _WAYS)
        ways[_WAY_MASK] = ways[_WAY_WORDS + _WAY_MASK] = _NO_WAY
        words: list[int] = []
        for node in range(self.nowhere + 1):
            words += [node, -1, 0, 0, -1, 0, 0, 0, *ways]
        names = self._names
        for node, key, target in self._keys:
            head = int.from_bytes(key[:8], "little")
            tail = int.from_bytes(key[-8:], "little") if len(key) > 8 else 0
            words += [node, len(key), signed(head), signed(tail), target, len(names), 1, 0, *ways]
            names += key
        size = _SLOTS
        while (slots := self._slots(size)) is None:
            size *= 2
        return from_numbers("q", words).tobytes(), names, from_numbers("i", slots).tobytes()

    def _slots(self, size: int) -> list[int] | None:
        """Each key's entry at a free place behind its hash; None where one has to go too far."""
        slots = [-1] * size
        for number, (node, key, _) in enumerate(self._keys, self.nowhere + 1):
            at = _hash(node, key) & (size - 1)
            for _ in range(_PROBES // 2):
                if slots[at] < 0:
                    break
                at = (at + 1) & (size - 1)
            else:
                return None
            slots[at] = number
        return slots


def _mix(word: int) -> int:
    """`mix` of kernels/hash.py, of 64 bits without sign."""
    word = (word ^ word >> 30) * -4658895280553007687 & _MASK
    word = (word ^ word >> 27) * -7723592293110705685 & _MASK
    return word ^ word >> 31


def _hash(node: int, key: bytes) -> int:
    """`hash_bytes` of kernels/hash.py."""
    word = _mix(len(key) + 1 + node)
    for at in range(0, len(key) // 8 * 8, 8):
        word = _mix(word ^ int.from_bytes(key[at : at + 8], "little"))
    return _mix(word ^ int.from_bytes(key[len(key) // 8 * 8 :], "little"))


def _kind(kind: Type) -> int:
    if kind.family == "float":
        return 3 if kind.bits == 64 else 4
    if kind.physical == "uint64":
        return 2
    return 8 if kind.name == "json" else _KINDS[kind.family]


def _coerce(kind: Type, names: Sequence[str]) -> int:
    """The kernel's word for what a column takes beside its own JSON type."""
    flags = 0
    for name in names:
        if kind.family not in COERCIONS[name] or kind.name == "json":
            continue
        flags |= _COERCIONS[name]
        if _COERCIONS[name] == 16:  # and the power of ten from the number to ticks
            flags |= _PLACES[kind.unit] - (3 if name in ("epoch_ms", "milliseconds") else 0) + 32 << 8
    return flags


def text_default(field: Field) -> bytes | None:
    """The default of a string or binary column as bytes."""
    if field.default is None or field.type.physical != "string":
        return None
    return field.default if isinstance(field.default, bytes) else str(field.default).encode()


def _default_bits(kind: Type, value: Any) -> int:
    return 0 if kind.physical == "string" else literal_bits(kind, value)
