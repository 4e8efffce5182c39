"""Random types, values and Arrow arrays of them, for property tests."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from millstream.types import STRING, TYPES, Type, decimal_of, list_of, map_of, struct_of

_EXACT = Context(prec=80)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "float": st.floats(width=32),
    "string": st.text(max_size=70),
    "binary": st.binary(max_size=70),
    "date": st.dates(),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
    "time": st.integers(0, 86_400_000_000 - 1),
    "duration": st.integers(-(2**63), 2**63 - 1),
}

decimals = st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: decimal_of(p, s)))
leaves = st.sampled_from([kind for kind in TYPES.values() if kind.name != "json"]) | decimals
fields = st.lists(st.sampled_from(["a", "b", "c d", "é", ""]), min_size=1, max_size=3, unique=True)


def _around(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    structs = fields.flatmap(lambda names: st.tuples(*(inner for _ in names)).map(lambda kinds: struct_of(zip(names, kinds))))  # noqa: B905
    return inner.map(list_of) | inner.map(map_of) | structs


def nested_of(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    """Types that hold others, in the end these."""
    return _around(st.recursive(inner, _around, max_leaves=4))


nested = nested_of(leaves)
"""Types that hold others."""


def values(kind: Type, nan: bool = True) -> st.SearchStrategy[Any]:
    """What `pa.array` takes for a row of this type; no nulls but inside."""
    inside = [st.none() | values(child, nan) for _, child in kind.children]
    match kind.family:
        case "int":
            return st.integers(*kind.range)
        case "float" if not nan:
            return st.floats(width=32, allow_nan=False)
        case "decimal":
            return st.integers(*kind.range).map(lambda digits: Decimal(digits).scaleb(-kind.scale, _EXACT))
        case "list":
            return st.lists(inside[0], max_size=4)
        case "map":
            return st.dictionaries(values(STRING), inside[1], max_size=3).map(lambda one: list(one.items()))
        case "struct":
            return st.fixed_dictionaries(dict(zip((name for name, _ in kind.children), inside, strict=True)))
    return VALUES[kind.family]


def arrays(kind: Type, most: int = 80, nan: bool = True) -> st.SearchStrategy[pa.Array]:
    """Arrays with nulls anywhere."""
    return st.lists(st.none() | values(kind, nan), max_size=most).map(lambda items: pa.array(items, kind.arrow))
