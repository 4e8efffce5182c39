"""DynamoDB: tables whose items are written on conditions, and paid for by their size. All reads are of the newest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.faults.expressions import Item, Names, condition, projection
from tests.faults.tables import PAGE_BYTES, Table, read_units
from tests.faults.transactions import Transactions
from tests.faults.values import Value, copied, item_size

NamesOf = Mapping[str, str] | None
ValuesOf = Mapping[str, Value] | None


class DynamoDB(Transactions):
    """`tables[name]`, each with `write_units`, `read_units` and `calls`."""

    operations = (
        *("create_table", "update_time_to_live", "get_item", "put_item", "update_item", "delete_item", "query", "scan"),
        *("batch_get_item", "transact_write_items"),
    )

    def create_table(
        self,
        *,
        TableName: str,
        KeySchema: list[dict[str, str]],
        AttributeDefinitions: list[dict[str, str]],
        BillingMode: str = "PAY_PER_REQUEST",
    ) -> dict[str, Any]:
        if TableName in self.tables:
            raise self.error("ResourceInUseException", 400, f"Table already exists: {TableName}")
        types = {one["AttributeName"]: one["AttributeType"] for one in AttributeDefinitions}
        names = tuple(one["AttributeName"] for one in sorted(KeySchema, key=lambda one: one["KeyType"]))
        self.tables[TableName] = Table(TableName, names, tuple(types[name] for name in names))
        return self.answer(TableDescription={"TableName": TableName, "TableStatus": "ACTIVE"})

    def update_time_to_live(self, *, TableName: str, TimeToLiveSpecification: dict[str, Any]) -> dict[str, Any]:
        self.table(TableName).ttl = TimeToLiveSpecification["AttributeName"] if TimeToLiveSpecification["Enabled"] else None
        return self.answer(TimeToLiveSpecification=TimeToLiveSpecification)

    # One item.

    def get_item(
        self,
        *,
        TableName: str,
        Key: Item,
        ConsistentRead: bool = False,
        ProjectionExpression: str | None = None,
        ExpressionAttributeNames: NamesOf = None,
    ) -> dict[str, Any]:
        table = self.table(TableName)
        names = Names(ExpressionAttributeNames, None)
        shown = self.valid(lambda: projection(ProjectionExpression, names), names)
        found = table.items.get(self.key_in(table, Key))
        table.read_units += read_units(item_size(found), ConsistentRead)
        return self.answer(**({} if found is None else {"Item": copied(shown(found))}))

    def put_item(
        self,
        *,
        TableName: str,
        Item: Item,
        ConditionExpression: str | None = None,
        ExpressionAttributeNames: NamesOf = None,
        ExpressionAttributeValues: ValuesOf = None,
        ReturnValues: str = "NONE",
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> dict[str, Any]:
        write = self.put(TableName, Item, ConditionExpression, ExpressionAttributeNames, ExpressionAttributeValues)
        return self._written(write, ReturnValues, ReturnValuesOnConditionCheckFailure, ("NONE", "ALL_OLD"))

    def update_item(
        self,
        *,
        TableName: str,
        Key: Item,
        UpdateExpression: str | None = None,
        ConditionExpression: str | None = None,
        ExpressionAttributeNames: NamesOf = None,
        ExpressionAttributeValues: ValuesOf = None,
        ReturnValues: str = "NONE",
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> dict[str, Any]:
        write = self.update(
            TableName, Key, UpdateExpression, ConditionExpression, ExpressionAttributeNames, ExpressionAttributeValues
        )
        return self._written(write, ReturnValues, ReturnValuesOnConditionCheckFailure, ("NONE", "ALL_OLD", "ALL_NEW"))

    def delete_item(
        self,
        *,
        TableName: str,
        Key: Item,
        ConditionExpression: str | None = None,
        ExpressionAttributeNames: NamesOf = None,
        ExpressionAttributeValues: ValuesOf = None,
        ReturnValues: str = "NONE",
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> dict[str, Any]:
        write = self.delete(TableName, Key, ConditionExpression, ExpressionAttributeNames, ExpressionAttributeValues)
        return self._written(write, ReturnValues, ReturnValuesOnConditionCheckFailure, ("NONE", "ALL_OLD"))

    def _written(self, write: Any, shown: str, on_failure: str, modelled: tuple[str, ...]) -> dict[str, Any]:
        if shown not in modelled or on_failure not in ("NONE", "ALL_OLD"):
            raise NotImplementedError(f"dynamodb: {shown}, {on_failure}")
        write.table.write_units += write.units
        if not write.holds:
            item = {"Item": copied(write.before)} if on_failure == "ALL_OLD" and write.before is not None else {}
            raise self.error("ConditionalCheckFailedException", 400, "The conditional request failed", **item)
        self.fulfil(write)
        told = {"ALL_OLD": write.before, "ALL_NEW": write.after}.get(shown)
        return self.answer(**({} if told is None else {"Attributes": copied(told)}))

    # Many.

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        FilterExpression: str | None = None,
        ProjectionExpression: str | None = None,
        ExpressionAttributeNames: NamesOf = None,
        ExpressionAttributeValues: ValuesOf = None,
        ConsistentRead: bool = False,
        ScanIndexForward: bool = True,
        Limit: int | None = None,
        ExclusiveStartKey: Item | None = None,
    ) -> dict[str, Any]:
        table = self.table(TableName)
        names = Names(ExpressionAttributeNames, ExpressionAttributeValues)
        wanted = self.valid(lambda: condition(KeyConditionExpression, names))
        read = {place[0] for place in names.places}
        if table.names[0] not in read or not read <= set(table.names):
            raise self.invalid("Query condition missed key schema element")
        judge = self.valid(lambda: condition(FilterExpression, names))
        shown = self.valid(lambda: projection(ProjectionExpression, names), names)
        ordered = table.in_order(not ScanIndexForward)
        # By its place among all, not by itself: it may be gone.
        rows = [item for item in _after(table, ordered, ExclusiveStartKey, not ScanIndexForward) if wanted(table.key(item))]
        return self._page(table, rows, judge, shown, ConsistentRead, Limit)

    def scan(
        self,
        *,
        TableName: str,
        FilterExpression: str | None = None,
        ProjectionExpression: str | None = None,
        ExpressionAttributeNames: NamesOf = None,
        ExpressionAttributeValues: ValuesOf = None,
        ConsistentRead: bool = False,
        Limit: int | None = None,
        ExclusiveStartKey: Item | None = None,
    ) -> dict[str, Any]:
        table = self.table(TableName)
        names = Names(ExpressionAttributeNames, ExpressionAttributeValues)
        judge = self.valid(lambda: condition(FilterExpression, names))
        shown = self.valid(lambda: projection(ProjectionExpression, names), names)
        return self._page(table, _after(table, table.in_order(), ExclusiveStartKey, False), judge, shown, ConsistentRead, Limit)

    def _page(
        self, table: Table, rows: list[Item], judge: Any, shown: Callable[[Item], Item], is_consistent: bool, limit: int | None
    ) -> dict[str, Any]:
        if limit is not None and limit < 1:
            raise self.invalid(f"Value '{limit}' at 'limit' failed to satisfy constraint")
        size, read = 0, []
        for item in rows:
            read.append(item)
            size += item_size(item)
            if len(read) == limit or size >= PAGE_BYTES:
                break
        table.read_units += read_units(size, is_consistent)
        found = [copied(shown(item)) for item in read if judge is None or judge(item)]
        # Where the limit was reached there may be more: also where there is none.
        is_cut = len(read) < len(rows) or len(read) == limit
        told = {"LastEvaluatedKey": copied(table.key(read[-1]))} if is_cut else {}
        return self.answer(Items=found, Count=len(found), ScannedCount=len(read), **told)

    def batch_get_item(self, *, RequestItems: dict[str, dict[str, Any]]) -> dict[str, Any]:
        responses: dict[str, list[Item]] = {}
        left: dict[str, dict[str, Any]] = {}
        if sum(len(one["Keys"]) for one in RequestItems.values()) > 100:
            raise self.invalid("Too many items requested for the BatchGetItem call")
        for name, asked in RequestItems.items():
            if not asked.keys() <= {"Keys", "ConsistentRead"}:
                raise NotImplementedError(f"dynamodb: batch_get_item with {sorted(asked)}")
            table = self.table(name)
            keys = [self.key_in(table, key) for key in asked["Keys"]]
            if len(set(keys)) < len(keys):
                raise self.invalid("Provided list of item keys contains duplicates")
            answered = len(keys) // 2 if self.is_part else len(keys)
            if answered < len(keys):
                left[name] = {**asked, "Keys": asked["Keys"][answered:]}
            found = [table.items.get(key) for key in keys[:answered]]
            table.read_units += sum(read_units(item_size(item), asked.get("ConsistentRead", False)) for item in found)
            responses[name] = [copied(item) for item in found if item is not None]
        return self.answer(Responses=responses, UnprocessedKeys=left)


def _after(table: Table, rows: list[Item], start: Item | None, is_backward: bool) -> list[Item]:
    """What comes after a key, which itself may be gone."""
    if start is None:
        return rows
    probe = Table(table.name, table.names, table.types, {table.key_of(item): item for item in [*rows, start]})
    ordered = probe.in_order(is_backward)
    place = next(at for at, item in enumerate(ordered) if table.key_of(item) == table.key_of(start))
    return ordered[place + 1 :]
