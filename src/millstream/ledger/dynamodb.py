"""Items in a DynamoDB table with a string key named id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from millstream import clock
from millstream.errors import LedgerError
from millstream.ledger import way
from millstream.ledger.item import Item
from millstream.sinks.clients import client
from millstream.sinks.retry import Again, Backoff, code_of, retry

T = TypeVar("T")

_BACKOFF = Backoff(base=0.025, cap=1.0)
_NAMES = {"#version": "version"}
"""DynamoDB keeps many words to itself; what stands behind a # is none of them."""
MOST = 100
"""So many items are read, or written, at once."""
_LATER = frozenset(
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "InternalServerError"]
)
"""Why a transaction was cancelled, where another one is worth it."""
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
        way.wire_of(client("dynamodb"), "PutItem")

    def read(self, id: str, until: float) -> Item:  # noqa: A002
        answer: Any = self._call(
            "get_item", "dynamodb:GetItem", until, TableName=self.name, Key={"id": {"S": id}}, ConsistentRead=True
        )
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
                TableName=self.name,
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

    def items(self, ids: Sequence[str], until: float) -> dict[str, Item]:
        """Items as they are now, those that are there. Raises LedgerError."""
        return {id: self._item(id, one) for id, one in self._many(ids, until)}  # noqa: A001

    def pointers(self, ids: Sequence[str], until: float) -> dict[str, str]:
        """Where messages' items point to now, of those that are there. Raises LedgerError."""
        return {id: _token(one) for id, one in self._many(ids, until)}  # noqa: A001

    def point(self, pointers: Mapping[str, str | None], token: str, expiration: int, until: float) -> bool:
        """Have all of up to `MOST` messages' items point to a token, each in the place of the token that is given, or of no item.

        Do they? Also if another attempt of this very call wrote them, whose answer was lost. Else nothing was written. Raises LedgerError.
        """

        def call(answer: Callable[[], Any]) -> bool:
            try:
                answer()
            except ClientError as error:
                code = code_of(error)
                if code == "TransactionInProgressException":
                    raise Again("the same transaction is under way") from None
                if code != "TransactionCanceledException":
                    raise
                reasons = error.response.get("CancellationReasons") or ()
                refused = [one for one in reasons if one.get("Code") == "ConditionalCheckFailed"]
                if refused:  # all or none were written: where one is ours, all are
                    return all(_token(one.get("Item") or {}) == token for one in refused)
                codes = sorted({str(one.get("Code")) for one in reasons} - {"None"})
                if not codes or _LATER.intersection(codes):
                    raise Again(f"the transaction was cancelled ({', '.join(codes) or 'it is not told why'})") from None
                raise LedgerError(
                    f"cannot use the ledger {self.url}: the transaction was cancelled: {', '.join(codes)}"
                ) from None
            return True

        writes = [{"Put": self._pointer(id, before, token, expiration)} for id, before in pointers.items()]  # noqa: A001
        return self._call("transact_write_items", "dynamodb:PutItem", until, call, TransactItems=writes)

    def _pointer(self, id: str, before: str | None, token: str, expiration: int) -> dict[str, Any]:  # noqa: A002
        """A message's item, in the place of none, or of one that points to another token."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if before is not None:
            condition = {
                "ConditionExpression": "#token = :before",
                "ExpressionAttributeNames": {"#token": "token"},
                "ExpressionAttributeValues": {":before": {"S": before}},
            }
        item = {"id": id, "token": token, "expiration": expiration}
        return {
            "TableName": self.name,
            "Item": {name: _packed(value) for name, value in item.items()},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **condition,
        }

    def _many(self, ids: Sequence[str], until: float) -> Iterator[tuple[str, dict[str, Any]]]:
        for at in range(0, len(ids), MOST):
            asked: dict[str, Any] = {"Keys": [{"id": {"S": id}} for id in ids[at : at + MOST]], "ConsistentRead": True}  # noqa: A001
            found: list[dict[str, Any]] = []

            def call(answer: Callable[[], Any], asked: dict[str, Any] = asked, found: list[dict[str, Any]] = found) -> None:
                told = answer()
                found += told["Responses"].get(self.name, ())
                asked["Keys"] = told.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                if asked["Keys"]:
                    raise Again("not all items were read")

            self._call("batch_get_item", "dynamodb:BatchGetItem", until, call, RequestItems={self.name: asked})
            for one in found:
                yield one["id"]["S"], one

    def _item(self, id: str, found: Mapping[str, Any]) -> Item:  # noqa: A002
        return Item.of({name: _unpacked(value) for name, value in found.items()}, f"{id!r} in {self.url}")

    def _conditional(self, operation: str, action: str, until: float, **request: Any) -> dict[str, Any] | None:
        """None if the write was done; else what stood in its way, empty if nothing did."""

        def call(answer: Callable[[], Any]) -> dict[str, Any] | None:
            try:
                answer()
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return dict(error.response.get("Item") or {})
            return None

        return self._call(
            operation, action, until, call, TableName=self.name, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request
        )

    def _call(
        self,
        operation: str,
        action: str,
        until: float,
        around: Callable[[Callable[[], Any]], T] = lambda answer: answer(),
        **request: Any,
    ) -> T:
        doing = f"cannot use the ledger {self.url}"

        def attempt() -> T:
            try:
                return around(lambda: way.ask(operation, request))
            except ClientError as error:
                code = code_of(error)
                if code not in _ADVICE:
                    raise
                raise LedgerError(f"{doing}: the answer is {code}; {_ADVICE[code]}") from None

        return retry(attempt, _BACKOFF, until, doing=doing, action=action, error=LedgerError)


def _token(found: Mapping[str, Any]) -> str:
    """Where a message's item points to; nowhere if it is none."""
    return str(found.get("token", {}).get("S", ""))


def _packed(value: Any) -> dict[str, Any]:
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is bool:
        return {"BOOL": value}
    if kind is int:
        return {"N": str(value)}
    if kind is list:
        return {"L": [_packed(one) for one in value]}
    if kind is dict:
        return {"M": {name: _packed(one) for name, one in value.items()}}
    raise TypeError(f"a {kind.__name__} cannot be in an item")


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
