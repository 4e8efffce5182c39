"""Items in a DynamoDB table with a string key named id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from millstream import clock
from millstream.errors import LedgerError, SinkError
from millstream.ledger.item import Item

T = TypeVar("T")

_NAMES = {"#version": "version"}
"""DynamoDB keeps many words to itself; what stands behind a # is none of them."""
_ADVICE = {
    "ResourceNotFoundException": "create the table, or correct its name and the region",
    "ValidationException": "it takes a table whose partition key is id, a string, without a sort key",
}


class DynamoTable:
    """A table of DynamoDB's. A read is strongly consistent, a write conditional: one request each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = f"dynamodb://{name}"

    def load(self) -> None:
        from millstream.sinks.clients import client

        client("dynamodb")

    def read(self, id: str, until: float) -> Item:  # noqa: A002
        answer: Any = self._call("get_item", "dynamodb:GetItem", until, Key={"id": {"S": id}}, ConsistentRead=True)
        found = answer.get("Item")
        return Item() if found is None else self._item(id, found)

    def swap(self, id: str, after: Item, until: float) -> Item:  # noqa: A002
        written = {"id": id, **after.to_dict(), "updated_at": datetime.fromtimestamp(clock.now(), UTC).isoformat()}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if after.version > 1:
            condition = {
                "ConditionExpression": "#version = :before",
                "ExpressionAttributeNames": _NAMES,
                "ExpressionAttributeValues": {":before": {"N": str(after.version - 1)}},
            }
        item = {name: _packed(value) for name, value in written.items()}
        refused = self._conditional("put_item", "dynamodb:PutItem", until, Item=item, **condition)
        if refused is None:
            return after
        return self._item(id, refused) if refused else Item()

    def all(self, prefix: str, until: float) -> Iterator[tuple[str, Item]]:
        start: dict[str, Any] = {}
        while True:
            found: Any = self._call(
                "scan",
                "dynamodb:Scan",
                until,
                ConsistentRead=True,
                FilterExpression="begins_with(id, :prefix) AND attribute_exists(#version)",
                ExpressionAttributeNames=_NAMES,
                ExpressionAttributeValues={":prefix": {"S": prefix}},
                **start,
            )
            for one in found["Items"]:
                yield (name := one["id"]["S"]), self._item(name, one)
            if not found.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": found["LastEvaluatedKey"]}

    def remove(self, id: str, version: int, until: float) -> bool:  # noqa: A002
        refused = self._conditional(
            "delete_item",
            "dynamodb:DeleteItem",
            until,
            Key={"id": {"S": id}},
            ConditionExpression="#version = :version",
            ExpressionAttributeNames=_NAMES,
            ExpressionAttributeValues={":version": {"N": str(version)}},
        )
        return refused is None or not refused

    def _item(self, id: str, found: Mapping[str, Any]) -> Item:  # noqa: A002
        return Item.of({name: _unpacked(value) for name, value in found.items()}, f"{id!r} in {self.url}")

    def _conditional(self, operation: str, action: str, until: float, **request: Any) -> dict[str, Any] | None:
        """None if the write was done; else what stood in its way, empty if nothing did."""
        from botocore.exceptions import ClientError

        from millstream.sinks.retry import code_of

        def call(answer: Callable[[], Any]) -> dict[str, Any] | None:
            try:
                answer()
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return dict(error.response.get("Item") or {})
            return None

        return self._call(operation, action, until, call, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request)

    def _call(
        self,
        operation: str,
        action: str,
        until: float,
        around: Callable[[Callable[[], Any]], T] = lambda answer: answer(),
        **request: Any,
    ) -> T:
        from botocore.exceptions import ClientError

        from millstream.sinks.clients import client
        from millstream.sinks.retry import Backoff, code_of, retry

        doing = f"cannot use the ledger {self.url}"

        def attempt() -> T:
            try:
                return around(lambda: getattr(client("dynamodb"), operation)(TableName=self.name, **request))
            except ClientError as error:
                code = code_of(error)
                if code not in _ADVICE:
                    raise
                raise LedgerError(f"{doing}: the answer is {code}; {_ADVICE[code]}") from None

        try:
            return retry(attempt, Backoff(base=0.025, cap=1.0), until, doing=doing, action=action)
        except SinkError as error:
            raise LedgerError(str(error)) from None


def _packed(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [_packed(one) for one in value]}
        case dict():
            return {"M": {name: _packed(one) for name, one in value.items()}}
    raise TypeError(f"a {type(value).__name__} cannot be in an item")


def _unpacked(value: Mapping[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            return int(inner) if inner.isdecimal() else inner  # what is no whole number is of no item
        case "L":
            return [_unpacked(one) for one in inner]
        case "M":
            return {name: _unpacked(one) for name, one in inner.items()}
    return inner
