"""DynamoDB beside moto's: the same operations, drawn by a seed, have the same outcomes, and cost what AWS says.

Where moto is not as AWS is, the simulation is as AWS says, and the difference is told here.
"""

import random
import uuid

import pytest

from millstream import clock
from tests.faults.expressions import Names, Wrong, condition
from tests.faults.pair import Pair, refused
from tests.faults.tables import ITEM_BYTES
from tests.faults.values import item_size, told_number
from tests.faults.world import World

pytestmark = pytest.mark.once


@pytest.fixture
def tables(aws):
    pair = Pair(World(0), "dynamodb")
    pair.table = f"table-{uuid.uuid4().hex[:12]}"
    pair.sorted = pair.table + "-s"
    for name, keys in ((pair.table, {"id": "HASH"}), (pair.sorted, {"id": "HASH", "at": "RANGE"})):
        pair.call(
            "create_table",
            TableName=name,
            KeySchema=[{"AttributeName": one, "KeyType": kind} for one, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S" if one == "id" else "N"} for one in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    return pair


CONDITIONS = [
    (None, {}, []),
    ("attribute_not_exists(id)", {}, []),
    ("attribute_exists(#v)", {"#v": "v"}, []),
    ("#v = :v", {"#v": "v"}, [":v"]),
    ("#v <> :v", {"#v": "v"}, [":v"]),
    ("NOT #v = :v", {"#v": "v"}, [":v"]),
    ("NOT (v < :v) AND (v <= :w OR attribute_not_exists(m))", {}, [":v", ":w"]),
    ("v > :v OR v >= :w", {}, [":v", ":w"]),
    ("v BETWEEN :v AND :w", {}, [":v", ":w"]),
    ("v IN (:v, :w)", {}, [":v", ":w"]),
    ("begins_with(t, :t)", {}, [":t"]),
    ("m.#n = :v OR m.o.p = :w", {"#n": "n"}, [":v", ":w"]),
    ("attribute_exists(m.o) AND attribute_not_exists(m.n)", {}, []),
    ("attribute_exists(t) AND size(t) > :one", {}, [":one"]),
    ("contains(t, :t)", {}, [":t"]),
]
UPDATES = [
    ("SET v = :v", [":v"]),
    ("SET v = v + :w, t = :t", [":w", ":t"]),
    ("SET v = if_not_exists(v, :v) - :w REMOVE t", [":v", ":w"]),
    ("ADD v :w", [":w"]),
    ("SET m = :m", [":m"]),
    ("SET m.n = :v", [":v"]),
    ("REMOVE m.n, t", []),
    ("SET l = list_append(if_not_exists(l, :l), :l)", [":l"]),
]


def drawn(draw, used):
    """Values of those names."""
    number = {"N": draw.choice(["1", "2", "10"])}
    chosen = {
        ":v": number,
        ":w": {"N": draw.choice(["1", "9", "-2"])},
        ":t": {"S": draw.choice(["a", "ab", "b"])},
        ":m": {"M": {"n": number, "o": {"M": {"p": number}}}},
        ":l": {"L": [number]},
        ":one": {"N": "1"},
    }
    return {name: chosen[name] for name in used}


def asked_of(draw, names=None, values=None):
    """A condition, with the names and values that it needs."""
    text, own, used = draw.choice(CONDITIONS)
    names, values = {**own, **(names or {})}, {**drawn(draw, used), **(values or {})}
    asked = {"ConditionExpression": text, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    return {name: one for name, one in asked.items() if one}


def item_of(draw, key):
    item = {**key, **{name: one for name, one in drawn(draw, [":v", ":t", ":m"]).items() if draw.random() < 0.7}}
    return {name.strip(":"): one for name, one in item.items()}


@pytest.mark.parametrize("seed", range(2))
def test_items(tables, seed):
    draw = random.Random(seed)
    for _ in range(60):
        key = {"id": {"S": draw.choice("abc")}}
        at = {"TableName": tables.table}
        shown = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if draw.random() < 0.6 else {}
        shown |= {"ReturnValues": "ALL_OLD"} if draw.random() < 0.5 else {}
        match draw.choice(["put", "put", "update", "update", "delete", "get", "batch", "transact", "scan"]):
            case "put":
                tables.call("put_item", **at, Item=item_of(draw, key), **asked_of(draw), **shown)
            case "update":
                text, used = draw.choice(UPDATES)
                tables.call(
                    "update_item", **at, Key=key, UpdateExpression=text, **asked_of(draw, {}, drawn(draw, used)), **shown
                )
            case "delete":
                tables.call("delete_item", **at, Key=key, **asked_of(draw), **shown)
            case "get":
                tables.call("get_item", **at, Key=key, ConsistentRead=draw.random() < 0.5)
            case "batch":
                keys = [{"id": {"S": one}} for one in draw.sample("abcd", 2)]
                tables.call("batch_get_item", RequestItems={tables.table: {"Keys": keys}})
            case "transact":
                writes = [{"Put": {**at, "Item": item_of(draw, key), **asked_of(draw)}}]
                writes += [
                    {"ConditionCheck": {**at, "Key": {"id": {"S": "x"}}, "ConditionExpression": "attribute_not_exists(id)"}}
                ]
                tables.call("transact_write_items", TransactItems=writes)
            case "scan":
                asked = {"FilterExpression": "begins_with(t, :t)", "ExpressionAttributeValues": drawn(draw, [":t"])}
                tables.call("scan", **at, **(asked if draw.random() < 0.7 else {}))


def test_pages(tables):
    at = {"TableName": tables.sorted}
    for number in range(8):
        item = {"id": {"S": "ab"[number % 2]}, "at": {"N": str(number)}, "t": {"S": "xy"[number // 2 % 2]}}
        tables.call("put_item", **at, Item=item)
    for asked in (  # where a page ends with the last item, moto tells the end and AWS another page: see below
        {"Limit": 3, "KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "a"}}},
        {
            "Limit": 3,
            "KeyConditionExpression": "id = :id AND #a > :n",
            "ExpressionAttributeValues": {":id": {"S": "a"}, ":n": {"N": "2"}},
        },
        {
            "Limit": 2,
            "KeyConditionExpression": "id = :id AND #a BETWEEN :n AND :m",
            "ExpressionAttributeValues": {":id": {"S": "b"}, ":n": {"N": "1"}, ":m": {"N": "5"}, ":t": {"S": "x"}},
            "FilterExpression": "begins_with(t, :t)",
        },
    ):
        names = {"ExpressionAttributeNames": {"#a": "at"}} if "#a" in asked["KeyConditionExpression"] else {}
        for forward in (True, False):
            page = {}
            for _ in range(5):
                found = tables.call("query", **at, **asked, **names, **page, ScanIndexForward=forward)
                if "LastEvaluatedKey" not in found:
                    break
                page = {"ExclusiveStartKey": found["LastEvaluatedKey"]}
            else:
                pytest.fail("no end")


def test_the_ledger(tables):
    """Powertools' own layer on both, in one time."""
    from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

    world = World(5)
    pair = Pair(world, "dynamodb")
    pair.clients[0].create_table(
        TableName=tables.table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )

    class Context:
        def __init__(self, seconds):
            self.get_remaining_time_in_millis = lambda: 1000 * seconds
            self.function_name = self.invoked_function_arn = self.aws_request_id = "f"
            self.memory_limit_in_mb = 128

    def outcome(side, key, ends, seconds):
        config = IdempotencyConfig(expires_after_seconds=100, hash_function="sha256")
        config.register_lambda_context(Context(seconds))

        def work(*, identity):
            if ends is not None:
                raise ends
            return {"made": seconds}

        once = idempotent_function(
            work,
            data_keyword_argument="identity",
            persistence_store=DynamoDBPersistenceLayer(table_name=tables.table, boto3_client=pair.clients[side]),
            config=config,
            key_prefix="ledger",
        )
        try:
            found = once(identity={"key": key})
        except (Exception, KeyboardInterrupt) as error:  # who is interrupted leaves it in progress
            found = type(error).__name__
        items = pair.clients[side].scan(TableName=tables.table)["Items"]
        return found, sorted(items, key=repr)

    draw = random.Random(1)
    seen = set()
    with world.installed():
        for _ in range(40):
            asked = draw.choice("ab"), draw.choice([None, None, ValueError(), KeyboardInterrupt()]), draw.choice([10, 20])
            mine, other = (outcome(side, *asked) for side in (0, 1))
            assert mine == other
            seen.add(str(mine[0]))
            clock.sleep(draw.choice([1, 2, 5, 20, 60]))
    assert seen == {"ValueError", "KeyboardInterrupt", "IdempotencyAlreadyInProgressError", "{'made': 10}", "{'made': 20}"}


def test_dynamodb_as_aws_says_and_not_as_moto_does():
    world = World(0)
    one = world.clients["dynamodb"]
    keys = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}
    one.create_table(TableName="t", **keys, AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    at = {"TableName": "t", "Item": {"id": {"S": "a"}, "v": {"N": "01.50"}}}
    one.put_item(**at)
    assert world.dynamodb.tables["t"].items["a",]["v"] == {"N": "1.5"}
    invalid = "ValidationException", 400
    value = {":v": {"N": "1"}}
    assert refused(one.put_item, **at, ConditionExpression="v = ") == invalid
    assert refused(one.put_item, **at, ConditionExpression="v = :missing", ExpressionAttributeValues=value) == invalid
    assert refused(one.put_item, **at, ConditionExpression="status = :v", ExpressionAttributeValues=value) == invalid
    assert refused(one.put_item, **at, ConditionExpression="#v = :v", ExpressionAttributeValues=value) == invalid
    assert refused(one.put_item, **at, ConditionExpression="size(t) > :v", ExpressionAttributeValues=value)[0].startswith(
        "Cond"
    )
    assert refused(one.put_item, TableName="t", Item={"id": {"S": ""}}) == invalid
    assert refused(one.put_item, TableName="t", Item={"id": {"N": "1"}}) == invalid
    big = {"id": {"S": "b"}, "v": {"S": "x" * (ITEM_BYTES - 4)}}
    one.put_item(TableName="t", Item=big)
    big["v"] = {"S": "x" * (ITEM_BYTES - 3)}
    assert refused(one.put_item, TableName="t", Item=big) == invalid
    assert refused(one.get_item, TableName="other", Key={"id": {"S": "a"}}) == ("ResourceNotFoundException", 400)
    assert len(one.scan(TableName="t")["Items"]) == 2
    page = one.scan(TableName="t", Limit=2)
    assert one.scan(TableName="t", Limit=2, ExclusiveStartKey=page["LastEvaluatedKey"])["Items"] == []
    write = {"Put": {"TableName": "t", "Item": {"id": {"S": "c"}}}}
    one.transact_write_items(TransactItems=[write], ClientRequestToken="1")
    one.delete_item(TableName="t", Key={"id": {"S": "c"}})
    one.transact_write_items(TransactItems=[write], ClientRequestToken="1")
    assert ("c",) not in world.dynamodb.tables["t"].items
    assert (
        refused(one.transact_write_items, TransactItems=[], ClientRequestToken="1")[0] == "IdempotentParameterMismatchException"
    )


def test_what_is_paid_for():
    world = World(0)
    one, table = world.clients["dynamodb"], None
    keys = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}
    one.create_table(TableName="t", **keys, AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    table = world.dynamodb.tables["t"]
    key = {"id": {"S": "a"}}

    def cost(operation, **asked):
        before = table.write_units, table.read_units
        getattr(one, operation)(TableName="t", **asked)
        return table.write_units - before[0], table.read_units - before[1]

    assert cost("get_item", Key=key) == (0, 0.5)
    assert cost("put_item", Item=key) == (1, 0)
    assert cost("put_item", Item={**key, "v": {"S": "x" * 5000}}) == (5, 0)
    assert cost("get_item", Key=key, ConsistentRead=True) == (0, 2)
    assert cost("scan") == (0, 1)
    assert cost("put_item", Item=key) == (5, 0)  # what was there counts
    assert cost("delete_item", Key=key) == (1, 0)
    before = table.write_units
    one.transact_write_items(TransactItems=[{"Put": {"TableName": "t", "Item": {**key, "v": {"S": "x" * 1500}}}}])
    assert table.write_units - before == 4
    with pytest.raises(one.exceptions.ConditionalCheckFailedException):
        one.put_item(TableName="t", Item=key, ConditionExpression="attribute_not_exists(id)")
    assert table.write_units - before == 6  # what fails is paid for too
    assert table.calls["put_item"] == 4
    one.update_time_to_live(TableName="t", TimeToLiveSpecification={"AttributeName": "end", "Enabled": True})
    one.put_item(TableName="t", Item={**key, "end": {"N": "5"}})
    assert (table.expire(5), table.expire(6), table.items) == (0, 1, {})


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"id": {"S": "é"}}, 4),
        ({"n": {"N": "0"}}, 2),
        ({"n": {"N": "-123"}}, 5),
        ({"n": {"N": "1000"}}, 3),
        ({"n": {"N": "12345.678"}}, 6),
        ({"b": {"B": b"123"}, "t": {"BOOL": True}, "0": {"NULL": True}}, 8),
        ({"l": {"L": [{"S": "a"}, {"S": "b"}]}}, 8),
        ({"m": {"M": {"ab": {"S": "a"}}}}, 8),
        ({"s": {"SS": ["a", "bc"]}}, 4),
    ],
)
def test_sizes(item, size):
    assert item_size(item) == size


def test_numbers_are_told_short():
    from decimal import Decimal

    told = [told_number(Decimal(one)) for one in ("1.0", "100", "1e3", "-0", "0.00120", "007")]
    assert told == ["1", "100", "1000", "0", "0.0012", "7"]


def test_conditions_bind_as_they_should():
    names = Names({}, {":a": {"N": "1"}, ":b": {"N": "2"}})
    judge = condition("x = :a OR x = :b AND NOT (y = :a OR y = :b)", names)
    assert [judge({"x": {"N": x}, "y": {"N": y}}) for x in "123" for y in "13"] == [True, True, False, True, False, False]
    for text in ("x", "x =", "(x = :a", "x = :a)", "x = :a :b", "x ! :a", "x IN :a", "AND", "nothing(x, :a)", "a..b = :a"):
        with pytest.raises(Wrong):
            condition(text, names)
