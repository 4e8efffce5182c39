"""DynamoDB's writes, alone and several at once: each is looked at first, then all are done or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from tests.faults.expressions import Item, Names, Wrong, condition
from tests.faults.services import Service
from tests.faults.tables import ITEM_BYTES, Key, Table, write_units
from tests.faults.updates import update
from tests.faults.values import Value, copied, item_size, stored

T = TypeVar("T")
SAME_SECONDS = 600
"""How long a transaction's token is known."""

_TRANSACTED = {
    "Put": ("put", {"TableName", "Item"}),
    "Update": ("update", {"TableName", "Key", "UpdateExpression"}),
    "Delete": ("delete", {"TableName", "Key"}),
    "ConditionCheck": ("check", {"TableName", "Key"}),
}
_COMMON = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}


@dataclass
class Write:
    """A write that was looked at: does its condition hold, and what comes of it."""

    table: Table
    key: Key
    before: Item | None
    after: Item | None
    holds: bool
    units: int
    is_check: bool = False


class Transactions(Service):
    service = "dynamodb"
    throttled = "ProvisionedThroughputExceededException", 400
    internal = "InternalServerError", 500

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.tables: dict[str, Table] = {}
        self._tokens: dict[str, tuple[float, Any]] = {}

    def key(self, asked: dict[str, Any]) -> str:
        if "TransactItems" in asked:
            return ",".join(self.key(one) for item in asked["TransactItems"] for one in item.values())
        if "RequestItems" in asked:
            return ",".join(asked["RequestItems"])
        held = asked.get("Key") or asked.get("Item") or {}
        table = self.tables.get(asked.get("TableName", ""))
        parts = [str(next(iter(held[name].values()))) for name in table.names if name in held] if table else []
        return "/".join([str(asked.get("TableName")), *parts])

    def perform(self, name: str, operation: Callable[..., dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
        for table in {asked.get("TableName"), *asked.get("RequestItems", ())}:
            if table in self.tables:
                self.tables[table].calls[name] += 1
        return super().perform(name, operation, asked)

    # What all of them need.

    def invalid(self, message: str) -> ClientError:
        return self.error("ValidationException", 400, message)

    def valid(self, read: Callable[[], T], names: Names | None = None) -> T:
        """What that reads. With names: all of them must have been used by then."""
        try:
            found = read()
            if names is not None:
                names.finish()
            return found
        except Wrong as wrong:
            raise self.invalid(str(wrong)) from None

    def table(self, name: str) -> Table:
        found = self.tables.get(name)
        if found is None:
            raise self.error("ResourceNotFoundException", 400, "Requested resource not found")
        return found

    def key_in(self, table: Table, key: Item) -> Key:
        return self._checked(table, {name: stored(value) for name, value in key.items()}, True)

    def _checked(self, table: Table, item: Item, is_key: bool) -> Key:
        fault = table.fault(item, is_key)
        if fault is not None:
            raise self.invalid(fault)
        return table.key_of(item)

    # Looked at.

    def put(
        self,
        name: str,
        item: Item,
        text: str | None,
        names_of: Mapping[str, str] | None,
        values_of: Mapping[str, Value] | None,
    ) -> Write:
        table = self.table(name)
        names = Names(names_of, values_of)
        judge = self.valid(lambda: condition(text, names), names)
        after = {name: stored(value) for name, value in item.items()}
        return self._write(table, self._checked(table, after, False), judge, lambda before: after)

    def update(
        self,
        name: str,
        key: Item,
        change_text: str | None,
        text: str | None,
        names_of: Mapping[str, str] | None,
        values_of: Mapping[str, Value] | None,
    ) -> Write:
        table = self.table(name)
        names = Names(names_of, values_of)
        change, changed = self.valid(lambda: update(change_text, names))
        judge = self.valid(lambda: condition(text, names), names)
        part = next((name for name in table.names if name in changed), None)
        if part is not None:
            raise self.invalid(
                f"One or more parameter values were invalid: Cannot update attribute {part}. This attribute is part of the key"
            )

        def after(before: Item | None) -> Item:
            item = copied(before) if before is not None else {name: stored(value) for name, value in key.items()}
            self.valid(lambda: change(before or {}, item))
            return item

        return self._write(table, self.key_in(table, key), judge, after)

    def delete(
        self,
        name: str,
        key: Item,
        text: str | None,
        names_of: Mapping[str, str] | None,
        values_of: Mapping[str, Value] | None,
    ) -> Write:
        table = self.table(name)
        names = Names(names_of, values_of)
        judge = self.valid(lambda: condition(text, names), names)
        return self._write(table, self.key_in(table, key), judge, lambda before: None)

    def check(self, *asked: Any) -> Write:
        found = self.delete(*asked)
        found.is_check = True
        return found

    def _write(self, table: Table, key: Key, judge: Any, after: Callable[[Item | None], Item | None]) -> Write:
        before = table.items.get(key)
        holds = judge is None or judge(before or {})
        made = after(before) if holds else before
        if item_size(made) > ITEM_BYTES:
            raise self.invalid("Item size has exceeded the maximum allowed size")
        return Write(table, key, before, made, holds, write_units(before, made))

    def fulfil(self, write: Write) -> None:
        if write.is_check:
            return
        if write.after is None:
            write.table.items.pop(write.key, None)
        else:
            write.table.items[write.key] = write.after

    # Several at once.

    def conflict(self, operation: str) -> ClientError:
        return self._cancelled([{"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}], operation)

    def _cancelled(self, reasons: list[dict[str, Any]], operation: str = "") -> ClientError:
        codes = ", ".join(one["Code"] for one in reasons)
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        return self.error("TransactionCanceledException", 400, message, operation, CancellationReasons=reasons)

    def transact_write_items(
        self, *, TransactItems: list[dict[str, Any]], ClientRequestToken: str | None = None
    ) -> dict[str, Any]:
        asked = json.dumps(TransactItems, sort_keys=True, default=repr)
        since, known = self._tokens.get(ClientRequestToken or "", (0.0, None))
        if known is not None and self.world.time - since < SAME_SECONDS:
            if known != asked:
                raise self.error("IdempotentParameterMismatchException", 400, "Another request came with this token")
            return self.answer()
        if not 1 <= len(TransactItems) <= 100:
            raise self.invalid("Member must have length less than or equal to 100")
        writes, shown = [], []
        for item in TransactItems:
            ((kind, one),) = item.items()
            method, own = _TRANSACTED[kind]
            if not one.keys() <= own | _COMMON | {"ReturnValuesOnConditionCheckFailure"}:
                raise NotImplementedError(f"dynamodb: transact_write_items with {sorted(one)}")
            what = [one.get(name) for name in ("TableName", "Item" if kind == "Put" else "Key")]
            what += [one.get("UpdateExpression")] if kind == "Update" else []
            what += [one.get(name) for name in ("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues")]
            writes.append(getattr(self, method)(*what))
            shown.append(one.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD")
        if len({(one.table.name, one.key) for one in writes}) < len(writes):
            raise self.invalid("Transaction request cannot include multiple operations on one item")
        for write in writes:
            write.table.calls["transact_write_items"] += 1
            write.table.write_units += 2 * write.units
        if not all(write.holds for write in writes):
            raise self._cancelled([_reason(*one) for one in zip(writes, shown, strict=True)])
        for write in writes:
            self.fulfil(write)
        if ClientRequestToken is not None:
            self._tokens[ClientRequestToken] = self.world.time, asked
        return self.answer()


def _reason(write: Write, is_shown: bool) -> dict[str, Any]:
    if write.holds:
        return {"Code": "None"}
    item = {"Item": copied(write.before)} if is_shown and write.before is not None else {}
    return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", **item}
