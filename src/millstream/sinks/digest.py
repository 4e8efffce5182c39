"""A digest of rows: the same rows have the same one, whatever wrote them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from millstream.columns import Vector
from millstream.native.bind import kernels
from millstream.native.memory import allocate


def digest_rows(names: Sequence[str], columns: Sequence[Vector], first: int, rows: int) -> str:
    """32 hex digits from names, types and values of `rows` rows from `first` on."""
    whole = hashlib.sha256(str(rows).encode())
    for name, column in zip(names, columns, strict=True):
        whole.update(f"\0{name}\0{column.type}\0{_digest(column, first, rows)}".encode())
    return whole.hexdigest()[:32]


def _digest(column: Vector, first: int, rows: int) -> int:
    values, valid = column.values, column.validity()
    if column.type.physical == "string":
        return int(kernels.digest_string(column.data, values, valid, first, rows, 0))
    if column.type.physical == "bool":
        wide = allocate(column.length, 8)
        kernels.widen_unsigned(values, 1, wide)
        values = wide
    return int(kernels.digest_int64(values, valid, first, rows, 0))
