"""Lookups in DynamoDB: a batch's keys, each once, under throttling and with keys left out."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from millstream.errors import PlanError, SourceError
from millstream.lookups.matching import rehearsal
from millstream.pipeline import Pipeline
from millstream.remote.dynamodb import ItemMatcher
from millstream.schema import Column
from millstream.sinks import clients
from millstream.sinks.retry import Backoff
from millstream.tables import lookup
from millstream.types import parse_type
from tests.servers import Faults, lost_before, refusal

pytestmark = pytest.mark.once

BATCH = "BatchGetItem"
SCHEMA: dict[str, Any] = {"id": "string", "name": "string", "tier": "int64"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.remote.dynamodb.Backoff", lambda: Backoff(base=0.001, cap=0.002, attempts=5))


def make(*keys: tuple[str, str]) -> str:
    """A table with these keys: names and types."""
    name = f"lookup-{uuid.uuid4().hex[:12]}"
    clients.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": one, "KeyType": kind} for (one, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": kind} for one, kind in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def customers(aws: str) -> Iterator[str]:
    """A table of three customers."""
    name = make(("id", "S"))
    for at, one in enumerate(["a", "b", "é"]):
        put(name, id={"S": one}, name={"S": f"n{at}"}, tier={"N": str(at)}, size={"S": "unread"})
    yield name
    clients.client("dynamodb").delete_table(TableName=name)


def put(table: str, **item: Any) -> None:
    clients.client("dynamodb").put_item(TableName=table, Item=item)


def joined(table: str, keys: list[Any], *, schema: Any = SCHEMA, kind: str = "string", **settings: Any) -> Any:
    pipeline = Pipeline({"k": kind}).join(lookup(f"dynamodb://{table}", key="id", schema=schema), on="k", **settings)
    return pipeline.run(pa.record_batch({"k": pa.array(keys, parse_type(kind).arrow)}))


def names(outcome: Any) -> list[Any]:
    return outcome.batch["name"].to_pylist()  # type: ignore[no-any-return]


def test_the_items_of_a_batchs_keys(customers: str, dynamodb_faults: Faults) -> None:
    requests: list[Any] = []
    events = clients.client("dynamodb").meta.events
    note = lambda request, **_: requests.append(orjson.loads(request.body))  # noqa: E731
    events.register(f"before-send.dynamodb.{BATCH}", note)
    outcome = joined(customers, ["b", "x", None, "b", "é", ""])
    events.unregister(f"before-send.dynamodb.{BATCH}", note)
    assert outcome.batch.schema.names == ["k", "name", "tier"]
    assert names(outcome) == ["n1", None, None, "n1", "n2", None]
    assert outcome.batch["tier"].to_pylist() == [1, None, None, 1, 2, None]
    (asked,) = requests
    part = asked["RequestItems"][customers]
    assert part["Keys"] == [{"id": {"S": one}} for one in ("b", "x", "é")], "each once; an empty one cannot be asked for"
    assert sorted(part["ExpressionAttributeNames"].values()) == ["id", "name", "tier"]


def test_every_way_of_a_join(customers: str) -> None:
    keys = ["b", "x", None, "a"]
    assert names(joined(customers, keys, how="inner")) == ["n1", "n0"]
    assert joined(customers, keys, how="semi").batch["k"].to_pylist() == ["b", "a"]
    assert joined(customers, keys, how="anti").batch["k"].to_pylist() == ["x", None]
    assert names(joined(customers, keys, on_missing={"name": "none"})) == ["n1", "none", "none", "n0"]
    rejected = joined(customers, keys, on_missing="reject")
    assert rejected.rejects["code"].to_pylist() == ["NO_MATCH", "NO_MATCH"]
    assert names(rejected) == ["n1", "n0"]


def test_a_hundred_keys_a_request(customers: str, dynamodb_faults: Faults) -> None:
    dynamodb_faults.calls.clear()
    outcome = joined(customers, [f"k{at}" for at in range(299)] + ["a"] * 50)
    assert names(outcome) == [None] * 299 + ["n0"] * 50
    assert dynamodb_faults.calls == [BATCH] * 3


def test_throttling_and_lost_requests_are_made_again(customers: str, dynamodb_faults: Faults) -> None:
    dynamodb_faults.calls.clear()
    dynamodb_faults.on(
        BATCH, refusal("ProvisionedThroughputExceededException"), lost_before, refusal("InternalServerError", 500)
    )
    assert names(joined(customers, ["a"])) == ["n0"]
    assert dynamodb_faults.calls == [BATCH] * 4
    dynamodb_faults.on(BATCH, *[refusal("ThrottlingException")] * 5)
    with pytest.raises(
        SourceError, match=r"cannot ask the lookup 'dynamodb://.*': the answer is ThrottlingException .*after 5 attempts"
    ):
        joined(customers, ["a"])


class Partly:
    """Leaves keys of each request unprocessed: all but the first `done`."""

    def __init__(self, done: int) -> None:
        self.done, self.asked = done, list[int]()
        self._client = clients.client("dynamodb")

    def __enter__(self) -> "Partly":
        self._client.meta.events.register(f"before-parameter-build.dynamodb.{BATCH}", self._cut)
        self._client.meta.events.register(f"after-call.dynamodb.{BATCH}", self._tell)
        return self

    def __exit__(self, *_: Any) -> None:
        self._client.meta.events.unregister(f"before-parameter-build.dynamodb.{BATCH}", self._cut)
        self._client.meta.events.unregister(f"after-call.dynamodb.{BATCH}", self._tell)

    def _cut(self, params: Any, **_: Any) -> Any:
        ((table, part),) = params["RequestItems"].items()
        self._left = {table: part | {"Keys": part["Keys"][self.done :]}} if len(part["Keys"]) > self.done else {}
        self.asked.append(len(part["Keys"]))
        # Of none at all the first is asked for, and what comes is thrown away.
        return params | {"RequestItems": {table: part | {"Keys": part["Keys"][: max(1, self.done)]}}}

    def _tell(self, parsed: Any, **_: Any) -> None:
        if self.done == 0:
            parsed["Responses"] = {}
        parsed["UnprocessedKeys"] = self._left


def test_keys_that_were_not_processed_are_asked_for_again(customers: str) -> None:
    keys = ["a", "x1", "x2", "b", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "é"]
    with Partly(1) as partly:  # more rounds than there are attempts: each gets further
        assert names(joined(customers, keys)) == ["n0", None, None, "n1", *[None] * 9, "n2"]
    assert partly.asked == list(range(14, 0, -1))
    with Partly(0) as partly, pytest.raises(SourceError, match="some keys were not processed, after 5 attempts"):
        joined(customers, keys)
    assert partly.asked == [14] * 5


def test_attributes_of_all_types(aws: str) -> None:
    table = make(("id", "N"))
    put(
        table, id={"N": "7"}, d={"N": "123456789012345678.25"}, s={"S": 'q"é'}, b={"BOOL": True}, y={"B": b"\0\xff"}, z={"NULL": True},
        l={"L": [{"N": "1"}, {"N": "2"}]}, m={"M": {"x": {"S": "in"}}}, t={"S": "2024-01-31T12:00:00Z"}, ss={"SS": ["p"]}, ns={"NS": ["5"]}, bs={"BS": [b"a"]},
    )  # fmt: skip
    schema = {
        "id": "int64", "d": "decimal128(20, 2)", "s": "string", "b": "bool", "y": "binary", "z": "int64", "l": "list<int64>", "x": Column("string", path="m.x"),
        "t": "timestamp[us, UTC]", "ss": "list<string>", "ns": "list<int64>", "bs": "list<binary>", "gone": "string",
    }  # fmt: skip
    outcome = joined(table, [7, 8], schema=schema, kind="int64")
    found, nothing = outcome.batch.to_pylist()
    assert found.pop("t").isoformat() == "2024-01-31T12:00:00+00:00"
    assert found == {
        "k": 7, "d": Decimal("123456789012345678.25"), "s": 'q"é', "b": True, "y": b"\0\xff", "z": None, "l": [1, 2], "x": "in", "ss": ["p"], "ns": [5], "bs": [b"a"],
        "gone": None,
    }  # fmt: skip
    assert set(nothing.values()) == {8, None}


def test_a_partition_and_a_sort_key(aws: str) -> None:
    table = make(("id", "S"), ("at", "N"))
    for at, text in enumerate(["1.5", "2", "30"]):
        put(table, id={"S": "a"}, at={"N": text}, v={"N": str(at)})
    known = lookup(f"dynamodb://{table}", key=["id", "at"], schema={"id": "string", "at": "decimal128(9, 2)", "v": "int64"})
    rows = pa.record_batch(
        {
            "k": ["a", "a", "b", None],
            "n": pa.array([Decimal("1.50"), Decimal("2.00"), Decimal("2.00"), Decimal("30.00")], pa.decimal128(9, 2)),
        }
    )
    outcome = Pipeline({"k": "string", "n": "decimal128(9, 2)"}).join(known, on=["k", "n"]).run(rows)
    assert outcome.batch["v"].to_pylist() == [0, 1, None, None]


def test_an_item_that_does_not_fit_rejects_the_records_that_ask_for_it(customers: str) -> None:
    put(customers, id={"S": "bad"}, name={"S": "x"}, tier={"S": "gold"})
    for settings in ({}, {"on_missing": {"name": "none"}}):
        outcome = joined(customers, ["a", "bad", "b", "bad"], **settings)
        assert outcome.rejects["position"].to_pylist() == [1, 3]
        assert outcome.rejects["code"].to_pylist() == ["BAD_TYPE", "BAD_TYPE"]
        assert names(outcome) == ["n0", "n1"]
    for how, left in (("inner", ["a", "b"]), ("semi", ["a", "b"]), ("anti", ["x"])):
        outcome = joined(customers, ["a", "bad", "x", "b"], how=how)
        assert outcome.rejects["position"].to_pylist() == [1]
        assert outcome.batch["k"].to_pylist() == left
        assert outcome.counts["filtered"] == 3 - len(left)
    strict = {"id": "string", "name": Column("string", nullable=False), "tier": Column("int64", on_error="null")}
    put(customers, id={"S": "less"}, tier={"N": "1"})
    outcome = joined(customers, ["less", "bad", "x"], schema=strict)
    assert outcome.rejects["code"].to_pylist() == ["MISSING"]
    assert outcome.batch["tier"].to_pylist() == [None, None]


def test_nobody_is_asked_in_a_rehearsal(customers: str, dynamodb_faults: Faults) -> None:
    dynamodb_faults.calls.clear()
    with rehearsal():
        assert names(joined(customers, ["a", None])) == [None, None]
    assert names(joined(customers, [None])) == [None]
    assert dynamodb_faults.calls == []


def test_tables_that_cannot_be_asked(customers: str, dynamodb_faults: Faults) -> None:
    with pytest.raises(SourceError, match="there is no such table; create it, or correct its name"):
        joined("not-there", ["a"])
    dynamodb_faults.on(BATCH, refusal("ValidationException"))
    with pytest.raises(SourceError, match="it takes the table's partition key, and its sort key"):
        joined(customers, ["a"])
    dynamodb_faults.on(BATCH, refusal("AccessDeniedException"))
    with pytest.raises(SourceError, match="allow dynamodb:BatchGetItem to the role"):
        joined(customers, ["a"])


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: lookup("dynamodb://t", key="id"), "DynamoDB's items have no types: write schema="),
        (lambda: lookup("dynamodb://t", key="id", schema=SCHEMA, refresh="1m"), "refresh is not for DynamoDB"),
        (lambda: lookup("dynamodb://t", key="id", schema=SCHEMA, keep="last"), "keep is not for DynamoDB"),
        (lambda: lookup("dynamodb://t", range=("id", "tier"), schema=SCHEMA), "range is not for DynamoDB"),
        (lambda: lookup("dynamodb://t", key=["id", "name", "tier"], schema=SCHEMA), "its partition key, and its sort key"),
        (lambda: joined("t/x", ["a"]), "write dynamodb://TABLE"),
        (lambda: joined("t", [1], kind="int64"), "key 'id' is string, the column it is joined on is int64"),
        (
            lambda: joined("t", [True], kind="bool", schema={"id": "bool", "v": "string"}),
            "both are string, binary, integers or decimals",
        ),
        (lambda: joined("t", ["a"], schema={"id": "string"}), "its schema has the key alone"),
    ],
)
def test_mistakes_are_told(mistake: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()


def test_it_is_made_by_the_url(customers: str) -> None:
    pipeline = Pipeline({"k": "string"}).join(lookup(f"dynamodb://{customers}", key="id", schema=SCHEMA), on="k")
    (step,) = pipeline.plan().steps
    assert isinstance(step.lookup, ItemMatcher)  # type: ignore[union-attr]
