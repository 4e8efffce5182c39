"""A digest of rows: the same rows have the same one, whatever wrote them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from millstream.columns import Vector, as_bytes, laid_out, rows_of
from millstream.native.bind import kernels
from millstream.native.memory import allocate


def digest_rows(names: Sequence[str], columns: Sequence[Vector], first: int, rows: int) -> str:
    """32 hex digits from names, types and values of `rows` rows from `first` on."""
    whole = hashlib.sha256(str(rows).encode())
    for name, column in zip(names, columns, strict=True):
        whole.update(f"\0{name}\0{column.type}\0{_digest(column, first, rows)}".encode())
    return whole.hexdigest()[:32]


def _digest(column: Vector, first: int, rows: int) -> str:
    """Of a nested column: of which rows are null, how many items lists have, and of what is inside, in the order of rows."""
    if column.type.is_nested:
        column = rows_of(column, first, rows)
        valid, own = column.validity(), allocate(rows, 8)
        if column.type.physical == "list":
            kernels.measure_views(column.values, own)
            _, children = laid_out(column)
        else:
            kernels.fill_int64(0, own)
            children = column.children
        return "/".join(
            [
                str(kernels.digest_int64(own, valid, 0, rows, 0)),
                *(_digest(child, 0, child.length) for child in children),
            ]
        )
    return str(_flat(as_bytes(column) if column.type.physical == "decimal" else column, first, rows))


def _flat(column: Vector, first: int, rows: int) -> int:
    values, valid = column.values, column.validity()
    if column.type.physical == "string":
        return int(kernels.digest_string(column.data, values, valid, first, rows, 0))
    if column.type.physical == "bool":
        wide = allocate(column.length, 8)
        kernels.widen_unsigned(values, 1, wide)
        values = wide
    return int(kernels.digest_int64(values, valid, first, rows, 0))
