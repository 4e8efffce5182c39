"""A set of keys that columns are looked up in: for joins, and for membership in a list of literals."""

from __future__ import annotations

from collections.abc import Sequence

from millstream import seed
from millstream.columns import Vector, as_bytes
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, allocate, from_numbers
from millstream.schema import INT64

_FEW = 8
"""Comparing with so many takes a third of the time of hashing."""
_LONG = -1


class Table:
    """Keys of one column or several, hashed. NaN is one key, and so are 0.0 and -0.0.

    duplicate: the first row whose key an earlier row has, or None; the earlier row is found, with `keep_last` the later one. Rows with
    a null in any column are left out. It is filled once and read by any number of batches.
    """

    def __init__(self, keys: Vector | Sequence[Vector], keep_last: bool = False) -> None:
        self._keys = [_as_words(one) for one in ([keys] if isinstance(keys, Vector) else keys)]
        size, length = 4, self._keys[0].length
        while size < 2 * length:
            size *= 2
        self._slots = allocate(size, 8)
        self._told, hashes, valid = _hashed(self._keys)
        row = kernels.build_rows(self._told, valid, hashes, int(keep_last), self._slots)
        self.duplicate: int | None = row if row >= 0 else None

    def probe(self, columns: Vector | Sequence[Vector]) -> Memory:
        """For each row of columns of the keys' physical kinds, the row of the table with these keys, -1 where there is none."""
        given = [_as_words(one) for one in ([columns] if isinstance(columns, Vector) else columns)]
        out, first = allocate(given[0].length, 8), given[0]
        if len(given) == 1 and first.type.physical != "string":
            kernels.probe_int64(first.values, first.validity(), self._keys[0].values, self._slots, seed.SEED, out)
        else:
            told, hashes, valid = _hashed(given)
            kernels.probe_rows(told, valid, hashes, self._told, self._slots, out)
        return out


class Literals:
    """What a column's values are looked up among: a few short ones are compared one by one, others are hashed."""

    def __init__(self, literals: Vector) -> None:
        words = _short_words(literals)
        few = literals.length <= _FEW and (literals.type.physical not in ("string", "decimal") or _LONG not in words.tolist())
        self._known: Memory | Table = words if few else Table(literals)

    def find(self, column: Vector, out: Memory) -> None:
        """out: 1 where the value is one of the literals; anything where it is null."""
        if isinstance(self._known, Table):
            kernels.find_missing(self._known.probe(column), 1, out)
        else:
            kernels.find_among(_short_words(column), self._known, out)


def number_keys(columns: Sequence[Vector]) -> tuple[Memory, Memory]:
    """Which keys there are in some rows: the first row with each, and for each row its key's place among these, -1 for nulls."""
    length = columns[0].length
    rows, numbers = allocate(length, 8), allocate(length, 8)
    count = kernels.number_keys(Table(columns).probe(columns), rows, numbers)
    return rows.part(0, count, 8), numbers


def _hashed(keys: Sequence[Vector]) -> tuple[Memory, Memory, Memory]:
    """Key columns as kernels are told of them, with their rows' hashes and validity."""
    table: list[int] = []
    for one in keys:
        data = one.data or EMPTY
        table += (
            int(one.type.physical == "string"),
            one.values.address,
            one.length,
            0 if one.valid is None else one.valid.address,
            data.address,
            data.count * data.itemsize,
        )
    told, length = from_numbers("q", table), keys[0].length
    hashes, valid = allocate(length, 8), allocate(length, 1)
    kernels.hash_rows(told, seed.SEED, hashes, valid)
    return told, hashes, valid


def _short_words(column: Vector) -> Memory:
    """A word for each value, equal where they are; of strings beyond seven bytes `_LONG`, which no shorter one is."""
    column = _as_words(column)
    if column.type.physical != "string":
        return column.values
    words = allocate(column.length, 8)
    kernels.pack_short(column.data or EMPTY, column.values, words)
    return words


def _as_words(column: Vector) -> Vector:
    """The column with 8 bytes a key, equal where keys are, or as strings."""
    if column.type.physical == "decimal":
        return as_bytes(column)
    if column.type.physical not in ("bool", "float64"):
        return column
    words = allocate(column.length, 8)
    (kernels.convert_uint8_int64 if column.type.physical == "bool" else kernels.key_float64)(column.values, words)
    return Vector(INT64, column.length, words, column.valid)
