"""A digest of rows: the same rows have the same one, whatever wrote them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

from millstream.columns import Vector, laid_out, rows_of
from millstream.native.bind import kernels
from millstream.native.memory import from_numbers

# A row of the table of `digest_columns` in kernels/group.py.
_COLUMN, _DIGEST = 7, 6
_WORDS, _FLAGS, _STRINGS, _DECIMALS, _SIZES, _NOTHING = range(6)
_FORMS = {"bool": _FLAGS, "string": _STRINGS, "decimal": _DECIMALS, "list": _SIZES, "struct": _NOTHING}

_Tree: TypeAlias = "tuple[int, list[_Tree]]"
"""Where a column stands in the table, and the same of what is inside it."""


def digest_rows(names: Sequence[str], columns: Sequence[Vector], first: int, rows: int) -> str:
    """32 hex digits from names, types and values of `rows` rows from `first` on."""
    pieces = [str(rows)]
    table: list[int] = []
    held: list[Vector] = []
    trees = [_place(rows_of(one, first, rows) if one.length != rows else one, table, held) for one in columns]
    told = from_numbers("q", table)
    kernels.digest_columns(told)
    digests = told.tolist()[_DIGEST::_COLUMN]
    for name, column, tree in zip(names, columns, trees, strict=True):
        pieces.append(f"\0{name}\0{column.type.name}\0{_text(tree, digests)}")
    return hashlib.sha256("".join(pieces).encode()).hexdigest()[:32]


def _place(column: Vector, table: list[int], held: list[Vector]) -> _Tree:
    """Put a column into the table, and what is inside it in the order of its rows. What was made for that is held."""
    number, form = len(table) // _COLUMN, _FORMS.get(column.type.physical, _WORDS)
    values, valid = column.values, column.valid
    data = values if form == _DECIMALS else column.data
    table += (
        form,
        values.address,
        column.length,
        0 if valid is None else valid.address,
        0 if data is None else data.address,
        0 if data is None else data.count * data.itemsize,
        0,
    )
    held.append(column)
    children = laid_out(column)[1] if form == _SIZES else column.children
    return number, [_place(child, table, held) for child in children]


def _text(tree: _Tree, digests: Sequence[int]) -> str:
    """Of a nested column: of which rows are null, how many items lists have, and of what is inside."""
    number, children = tree
    if not children:
        return str(digests[number])
    return "/".join([str(digests[number]), *(_text(child, digests) for child in children)])
