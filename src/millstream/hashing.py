"""A set of keys that columns are looked up in: for joins, and for membership in a list of literals."""

from __future__ import annotations

from millstream.columns import Vector, as_bytes
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, allocate
from millstream.schema import INT64


class Table:
    """Keys of one column, hashed. NaN is one key, and so are 0.0 and -0.0.

    duplicate: the first row whose key an earlier row has, or None. Null keys are left out. It is filled once and read by
    any number of batches.
    """

    def __init__(self, keys: Vector) -> None:
        keys = _as_words(keys)
        size = 4
        while size < 2 * keys.length:
            size *= 2
        self._keys = keys
        self._hashes = allocate(keys.length, 8)
        self._slots = allocate(size, 8)
        if keys.type.physical == "string":
            row = kernels.build_string(keys.data or EMPTY, keys.values, keys.validity(), self._hashes, self._slots)
        else:
            row = kernels.build_int64(keys.values, keys.validity(), self._hashes, self._slots)
        self.duplicate: int | None = row if row >= 0 else None

    def probe(self, column: Vector) -> Memory:
        """For each row of a column of the keys' physical kind, the row of the table with that key, -1 where there is none."""
        out = allocate(column.length, 8)
        keys, column = self._keys, _as_words(column)
        if keys.type.physical == "string":
            kernels.probe_string(
                column.data or EMPTY,
                column.values,
                column.validity(),
                keys.data or EMPTY,
                keys.values,
                self._hashes,
                self._slots,
                out,
            )
        else:
            kernels.probe_int64(column.values, column.validity(), keys.values, self._slots, out)
        return out


def _as_words(column: Vector) -> Vector:
    """The column with 8 bytes a key, equal where keys are, or as strings."""
    if column.type.physical == "decimal":
        return as_bytes(column)
    if column.type.physical not in ("bool", "float64"):
        return column
    words = allocate(column.length, 8)
    (kernels.convert_uint8_int64 if column.type.physical == "bool" else kernels.key_float64)(column.values, words)
    return Vector(INT64, column.length, words, column.valid)
