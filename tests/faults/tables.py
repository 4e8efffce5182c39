"""DynamoDB's tables: items in order, and what was paid for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from tests.faults.expressions import Item, plain
from tests.faults.values import item_size, number

ITEM_BYTES = 400 << 10
PAGE_BYTES = 1 << 20

Key = tuple[Any, ...]


def write_units(before: Item | None, after: Item | None) -> int:
    """What a write costs: the larger of before and after counts, and nothing is for nothing."""
    return max(1, -(-max(item_size(before), item_size(after)) // 1024))


def read_units(size: int, is_consistent: bool) -> float:
    return max(1, -(-size // 4096)) * (1.0 if is_consistent else 0.5)


@dataclass
class Table:
    name: str
    names: tuple[str, ...]
    """Of the partition key, and of the sort key where there is one."""
    types: tuple[str, ...]
    items: dict[Key, Item] = field(default_factory=dict)
    write_units: float = 0
    read_units: float = 0
    calls: Counter[str] = field(default_factory=Counter)
    ttl: str | None = None

    def key_of(self, item: Item) -> Key:
        return tuple(next(iter(item[name].values())) for name in self.names)

    def key(self, item: Item) -> Item:
        return {name: item[name] for name in self.names}

    def fault(self, item: Item, is_key: bool) -> str | None:
        """What is wrong with an item's key."""
        if is_key and item.keys() != set(self.names):
            return "The provided key element does not match the schema"
        for name, kind in zip(self.names, self.types, strict=True):
            value = item.get(name)
            if value is None:
                return f"One or more parameter values were invalid: Missing the key {name} in the item"
            if kind not in value:
                if is_key:
                    return "The provided key element does not match the schema"
                return f"One or more parameter values were invalid: Type mismatch for key {name} expected: {kind} actual: {next(iter(value))}"
            if value[kind] == "" or value[kind] == b"":
                return f"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty value. Key: {name}"
        return None

    def in_order(self, is_backward: bool = False) -> list[Item]:
        """Partitions as they come by a hash, each in the order of its sort key, in either way."""
        found = sorted(
            self.items.values(), key=lambda item: [plain(item[name]) for name in self.names[1:]], reverse=is_backward
        )
        return sorted(found, key=self._partition)

    def _partition(self, item: Item) -> bytes:
        return md5(repr(item[self.names[0]]).encode()).digest()

    def expire(self, now: float) -> int:
        """Remove what has a time to live that is over. Returns how many items that were. Nothing else acts on it."""
        if self.ttl is None:
            return 0
        gone = [key for key, item in self.items.items() if number(item.get(self.ttl, {}).get("N", "Infinity")) < now]
        for key in gone:
            del self.items[key]
        return len(gone)
