"""Tables of items: SQLite's file and DynamoDB's table do the same, whatever is asked of them, and tell what stands in their way."""

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from millstream import clock
from millstream.classes import replace
from millstream.errors import LedgerError, SettingsError
from millstream.ledger.dynamodb import DynamoTable, _packed, _unpacked
from millstream.ledger.item import Intent, Item, Shard, base_of, is_behind, sequence
from millstream.ledger.sqlite import SqliteTable
from millstream.ledger.table import checked_ledger, open_table
from millstream.sinks import clients
from tests.servers import lost_after, lost_before, passes, refusal

pytestmark = pytest.mark.once

FIRST = "49590338271490256608559692538361571095921575989136588898"
LAST = "49590338271490256608559692538361571095921575989136593897"
ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
INTENT = Intent(
    attempt=1,
    token="0123456789abcdef0123456789abcdef",
    first=FIRST,
    last=LAST,
    folders=("country=DE", "country=US"),
    manifest=None,
    suffix=".parquet",
    rejects="date=2026-11-24",
    rejects_at="0123456789ab",
    fingerprint="0123456789ab",
    at="2026-11-24T12:00:00.123456+00:00",
)
ONE = Item().intended(INTENT)


@pytest.fixture(params=["sqlite", "dynamodb"])
def items(request, tmp_path):
    """A table with nothing in it."""
    if request.param == "sqlite":
        return SqliteTable(str(tmp_path / "ledger.db"))
    return DynamoTable(request.getfixturevalue("table"))


def swap(items, after, name="a"):
    return items.swap(name, after, math.inf)


def read(items, name="a"):
    return items.read(name, math.inf)


def put(items, name, found):
    """What somebody else wrote there."""
    if isinstance(items, SqliteTable):
        with closing(sqlite3.connect(items.path)) as file, file:
            text = found if isinstance(found, str) else json.dumps(found)
            file.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, '')", (name, 1, text))
    else:
        clients.client("dynamodb").put_item(
            TableName=items.name, Item={"id": {"S": name}, **{one: _typed(value) for one, value in found.items()}}
        )


def _typed(value):
    return {"N": repr(value)} if isinstance(value, float) else {"NULL": True} if value is None else _packed(value)


# --- what a table does ---------------------------------------------------------------------------------------------------


def test_nothing_there(items):
    assert read(items) == Item(0, None, 0, None)
    assert list(items.all("", math.inf)) == []
    assert items.remove("a", 1, math.inf)  # perhaps a call before this one did it, and its answer was lost


def test_an_item_on_its_way(items):
    after = ONE
    for step in (lambda one: one, Item.given_up, lambda one: one.intended(replace(INTENT, attempt=2)), Item.settled):
        after = step(after)
        assert swap(items, after) == after
        assert read(items) == after
    assert (after.version, after.committed, after.attempt, after.intent) == (4, LAST, 2, None)
    assert read(items, "b") == Item()


def test_what_is_lost_tells_what_stands_there(items):
    assert swap(items, Item(2, "5", 1)) == Item()
    assert read(items) == Item()
    swap(items, ONE)
    other = Item().intended(replace(INTENT, token="f" * 32))
    for late in (other, Item(3, "7", 1)):
        assert swap(items, late) == ONE
    assert read(items) == ONE
    swap(items, ONE.settled())
    assert swap(items, ONE.given_up()) == ONE.settled()


def test_the_same_write_twice_is_one(items):
    """As when an answer is lost, and the client writes again."""
    assert swap(items, ONE) == ONE
    assert swap(items, ONE) == ONE
    swap(items, ONE.settled())
    assert swap(items, ONE.settled()) == ONE.settled()
    assert read(items).version == 2


def test_listed_by_the_start_of_their_ids(items):
    made = {
        name: Item(1, str(number), 1) for number, name in enumerate(("main#a#1", "main#a#2", "main#b#1", "main%a", "Main#a#1"))
    }
    for name, one in made.items():
        swap(items, one, name)
    assert dict(items.all("main#a#", math.inf)) == {name: made[name] for name in ("main#a#1", "main#a#2")}
    assert dict(items.all("main", math.inf)) == {name: one for name, one in made.items() if name != "Main#a#1"}
    assert dict(items.all("", math.inf)) == made
    assert dict(items.all("%", math.inf)) == {}


def test_removed_while_it_is_the_same(items):
    swap(items, ONE)
    swap(items, ONE.settled())
    assert not items.remove("a", 1, math.inf)
    assert read(items) == ONE.settled()
    assert items.remove("a", 2, math.inf)
    assert read(items) == Item()
    assert items.remove("a", 2, math.inf)
    assert swap(items, ONE) == ONE


def test_pages_of_a_table(table, dynamodb_faults):
    items = DynamoTable(table)
    long = ONE.intended(replace(INTENT, folders=("x" * 200_000,)))
    for number in range(8):  # a page of DynamoDB's ends at 1 MB
        put(items, f"a{number}", long.to_dict())
    put(items, "of-somebody-else", {"data": "x"})
    assert dict(items.all("", math.inf)) == {f"a{number}": long for number in range(8)}
    assert dynamodb_faults.calls.count("Scan") == 2


# --- items ---------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLACE = TEXT.map(lambda text: text.lstrip("/").replace("..", "").replace("\0", ""))
SEQUENCE = st.integers(0, 10**129 - 1).map(str)
NUMBER = st.integers(0, 2**53 - 1)
INTENTS = st.builds(
    Intent,
    attempt=NUMBER,
    token=TEXT,
    first=SEQUENCE,
    last=SEQUENCE,
    folders=st.lists(PLACE, max_size=4).map(tuple),
    manifest=st.none() | PLACE,
    suffix=TEXT,
    rejects=st.none() | PLACE,
    rejects_at=st.none() | TEXT,
    fingerprint=TEXT,
    at=TEXT,
    dead=st.booleans(),
)
ITEMS = st.builds(Item, NUMBER, st.none() | SEQUENCE, NUMBER, st.none() | INTENTS)


@given(ITEMS)
@example(Item(1, "0", 0, replace(INTENT, folders=("",), rejects=None)))
def test_items_are_read_as_they_were_written(item):
    assert Item.of(item.to_dict(), "here") == item
    assert Item.of(json.loads(json.dumps(item.to_dict())), "here") == item
    assert Item.of({name: _unpacked(_packed(value)) for name, value in item.to_dict().items()}, "here") == item


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=ITEMS)
def test_tables_give_items_as_they_were_written(items, item):
    name = uuid.uuid4().hex
    first = replace(item, version=1)
    assert swap(items, first, name) == first
    assert read(items, name) == first
    assert swap(items, first, name) == first


NO_ITEM = [
    {},
    {"version": "x", "attempt": 0},
    {"version": 1},
    {"version": -1, "attempt": 0},
    {"version": True, "attempt": 0},
    {"version": 2**63, "attempt": 0},
    {"version": 1.5, "attempt": 0},
    {"version": 1, "attempt": 1.5},
    {"version": 1, "attempt": 0, "committed": 5},
    {"version": 1, "attempt": 0, "committed": "-5"},
    {"version": 1, "attempt": 0, "committed": "05"},
    {"version": 1, "attempt": 0, "committed": "५"},
    {"version": 1, "attempt": 0, "committed": "9" * 130},
    {"version": 1, "attempt": 1, "intent": "x"},
    {"version": 1, "attempt": 1, "intent": ["x"]},
    {"version": 1, "attempt": 1, "intent": {}},
    *(
        {"version": 1, "attempt": 1, "intent": ONE.to_dict()["intent"] | change}
        for change in (
            {"folders": "country=DE"},
            {"folders": [1]},
            {"folders": {}},
            {"folders": ["../secret"]},
            {"folders": ["/etc"]},
            {"manifest": 1},
            {"manifest": "../x"},
            {"manifest": ["x"]},
            {"rejects": 1},
            {"rejects": "../x"},
            {"dead": "false"},
            {"dead": 0},
            {"token": 1},
            {"first": "x"},
            {"last": 1},
            {"suffix": 1},
            {"attempt": "1"},
        )
    ),
]


@pytest.mark.parametrize("found", NO_ITEM, ids=range(len(NO_ITEM)))
def test_what_is_no_item_is_told(items, found):
    read(items)  # makes SQLite's file
    put(items, "a", found)
    for act in (lambda: read(items), lambda: swap(items, ONE)):
        with pytest.raises(
            LedgerError, match=rf"'a' in {items.url} is no item of a ledger: restore the table, or use one"
        ) as raised:
            act()
        assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "1", "x", '{"version": 1e999, "attempt": 0}', "[" * 100_000, '"' + "x" * 1000], ids=range(8)
)
def test_what_is_no_item_of_sqlite(tmp_path, text):
    items = SqliteTable(str(tmp_path / "x.db"))
    read(items)
    put(items, "a", text)
    with pytest.raises(LedgerError, match="is no item of a ledger") as raised:
        read(items)
    assert "xxxx" not in str(raised.value)


def test_sequence_numbers_are_compared_by_their_value():
    assert is_behind("5", None)
    assert is_behind("10", "9")
    assert not is_behind("9", "10")
    assert not is_behind("9", "9")
    for text in ("0", "9" * 129):
        assert sequence(text) == text
    for text in ("", "00", "1 ", "1\n", "+1", "1" * 130, None, 1, "१"):
        with pytest.raises(ValueError):
            sequence(text)


def test_what_an_item_is_called_by():
    shard = Shard("main", "orders", "s3://lake/orders/", ARN, "shardId-000000000006")
    assert shard.id.startswith("main#orders#")
    assert shard.id.endswith(f"#{ARN}#shardId-000000000006")
    assert shard.base("1", "2", 3) == base_of(shard.short, "shardId-000000000006", "1", "2", 3)
    assert shard.base("1", "2", 3).endswith("-shardId-000000000006-1-2-a3")
    others = {replace(shard, **{name: "x"}).id for name in ("namespace", "pipeline", "sink", "source", "shard")}
    assert len(others | {shard.id}) == 6
    assert shard.marker.startswith("_")  # readers pass over it
    assert shard.marker != replace(shard, shard="x").marker


def _bytes(value):
    """What DynamoDB counts an attribute's value as."""
    match value:
        case bool():
            return 1
        case int():
            return len(str(value)) // 2 + 2
        case str():
            return len(value.encode())
        case list():
            return 3 + sum(1 + _bytes(one) for one in value)
        case dict():
            return 3 + sum(1 + len(name) + _bytes(one) for name, one in value.items())


@pytest.mark.parametrize("folders", [1, 20])
def test_a_write_of_an_intent_is_one_unit(folders):
    """A write unit is 1 KB."""
    shard = Shard("main", "orders", "s3://lake/orders/", ARN, "shardId-000000000006")
    names = ("",) if folders == 1 else tuple(f"country={i:02}" for i in range(folders))
    item = Item(4711, str(int(FIRST) - 1), 2355).intended(replace(INTENT, attempt=2356, folders=names)).given_up()
    written = {"id": shard.id, **item.to_dict(), "updated_at": INTENT.at}
    size = sum(len(name) + _bytes(value) for name, value in written.items())
    assert 500 < size <= 1024, size


# --- writers at once -----------------------------------------------------------------------------------------------------


def test_of_threads_one_wins_each_version(items):
    won = []

    def run(number):
        item = read(items)
        while item.version < 12:
            after = Item(item.version + 1, str(number), item.attempt + 1)
            item = swap(items, after)
            if item == after:
                won.append((item.version, number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(1, 5)))
    assert sorted(version for version, _ in won) == list(range(1, 13))
    assert read(items).attempt == 12
    assert read(items).committed == str(dict(won)[12])


_RACE = """
import math, sys
from millstream.ledger.item import Item
from millstream.ledger.sqlite import SqliteTable
items, number = SqliteTable(sys.argv[1]), sys.argv[2]
item = items.read("a", math.inf)
sys.stdin.readline()
while item.version < 60:
    after = Item(item.version + 1, number, item.attempt + 1)
    item = items.swap("a", after, math.inf)
    if item == after:
        print(item.version)
"""


def test_of_processes_one_wins_each_version(tmp_path):
    path = tmp_path / "ledger.db"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, str(path), str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(1, 4)
    ]
    won = [int(version) for one in running for version in one.communicate("\n", timeout=60)[0].split()]
    assert [one.returncode for one in running] == [0, 0, 0]
    assert sorted(won) == list(range(1, 61))
    assert read(SqliteTable(str(path))).attempt == 60


# --- faults --------------------------------------------------------------------------------------------------------------

SWAPS = [
    ("lost before", [lost_before], 2),
    ("lost after", [lost_after], 2),
    ("lost after, twice", [lost_after, lost_after], 3),
    ("throttled", [refusal("ProvisionedThroughputExceededException"), refusal("ThrottlingException")], 3),
    ("their fault", [refusal("InternalServerError", 500)], 2),
]


@pytest.mark.parametrize(("faults", "calls"), [one[1:] for one in SWAPS], ids=[one[0] for one in SWAPS])
def test_a_write_that_goes_wrong_and_is_done(table, dynamodb_faults, faults, calls):
    items = DynamoTable(table)
    dynamodb_faults.on("PutItem", *faults)
    assert swap(items, ONE) == ONE
    assert dynamodb_faults.calls == ["PutItem"] * calls
    dynamodb_faults.on("PutItem", *faults)
    assert swap(items, ONE.settled()) == ONE.settled()
    dynamodb_faults.on("DeleteItem", *faults)
    assert items.remove("a", 2, math.inf)
    dynamodb_faults.on("GetItem", *faults)
    assert read(items) == Item()


def test_a_lost_answer_and_another_writer(table, dynamodb_faults):
    """The call had its effect, and then somebody went on from there: this write is told as lost, which its owner can live with."""
    items = DynamoTable(table)

    def lost_and_overtaken(request):
        with pytest.raises(Exception, match="timeout"):
            lost_after(request)
        swap(items, ONE.settled())
        return refusal("InternalServerError", 500)(request)

    dynamodb_faults.on("PutItem", lost_and_overtaken, passes)
    assert swap(items, ONE) == ONE.settled()


DENIED = [
    ("AccessDeniedException", "allow dynamodb:PutItem to the role"),
    ("ResourceNotFoundException", "create the table"),
    ("ValidationException", "a table whose partition key is id, a string, without a sort key"),
    ("ExpiredTokenException", "get new credentials"),
    ("UnrecognizedClientException", "check AWS_ACCESS_KEY_ID"),
]


@pytest.mark.parametrize(("code", "says"), DENIED)
def test_what_ends_a_call_is_told(table, dynamodb_faults, code, says):
    dynamodb_faults.on("PutItem", refusal(code))
    with pytest.raises(LedgerError, match=rf"cannot use the ledger dynamodb://{table}: the answer is {code}.*{says}") as raised:
        swap(DynamoTable(table), ONE)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert dynamodb_faults.calls == ["PutItem"]


def test_a_call_that_never_goes_well(table, dynamodb_faults, monkeypatch):
    monkeypatch.setattr(clock.source, "sleep", lambda seconds: None)
    dynamodb_faults.on("GetItem", *[refusal("InternalServerError", 500)] * 20)
    with pytest.raises(LedgerError, match=r"InternalServerError \(500\).*after 8 attempts; run again later"):
        read(DynamoTable(table))


def test_a_table_that_is_not_there(aws):
    for act in (read, lambda items: swap(items, ONE), lambda items: list(items.all("", math.inf))):
        with pytest.raises(
            LedgerError, match=r"dynamodb://not-there: the answer is ResourceNotFoundException.*create the table"
        ):
            act(DynamoTable("not-there"))


def test_a_table_with_another_key(aws):
    clients.client("dynamodb").create_table(
        TableName="other-key",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for act in (read, lambda items: swap(items, ONE)):
        with pytest.raises(LedgerError, match="partition key is id"):
            act(DynamoTable("other-key"))


@pytest.mark.parametrize(
    "act", [read, lambda items: swap(items, ONE), lambda items: list(items.all("", 0)), lambda items: items.remove("a", 1, 0)]
)
def test_time_that_is_up(items, act, monkeypatch):
    monkeypatch.setattr("math.inf", 0.0)
    with pytest.raises(LedgerError, match=rf"cannot use the ledger {items.url}: time is up"):
        act(items)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"order 66 is secret. " * 100)
    with pytest.raises(
        LedgerError, match=r"sqlite://.*x.db: file is not a database; write sqlite:///path .* file that SQLite wrote"
    ) as raised:
        read(SqliteTable(str(tmp_path / "x.db")))
    assert "secret" not in str(raised.value)


def test_a_database_of_somebody_else(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db")) as file, file:
        file.execute("CREATE TABLE ledger (amount REAL)")
    with pytest.raises(LedgerError, match="no such column"):
        read(SqliteTable(str(tmp_path / "x.db")))


@pytest.mark.parametrize("name", ["no/folder/x.db", "", "a\0b.db"], ids=["no folder", "a folder", "NUL"])
def test_a_path_where_nothing_can_be(tmp_path, name):
    with pytest.raises(LedgerError, match=r"cannot use the ledger .*; write sqlite:///path in a folder"):
        read(SqliteTable(f"{tmp_path}/{name}"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_one_may_not_write_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerError, match="write sqlite:///path in a folder that this user may write to"):
        read(SqliteTable(str(tmp_path / "x.db")))


def test_a_file_that_is_held_by_another(tmp_path):
    items = SqliteTable(str(tmp_path / "x.db"))
    swap(items, ONE)
    with closing(sqlite3.connect(items.path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=r"database is locked; another process holds it"):
            items.read("a", clock.monotonic() + 0.05)
        waits = threading.Timer(0.05, file.execute, ["COMMIT"])
        waits.run()
    assert read(items) == ONE


# --- URLs ----------------------------------------------------------------------------------------------------------------


def test_tables_by_their_urls(tmp_path):
    assert open_table(f"sqlite://{tmp_path}/a%20b.db").path == tmp_path / "a b.db"
    assert open_table("dynamodb://orders-1").name == "orders-1"
    assert open_table("dynamodb://orders-1/").url == "dynamodb://orders-1"
    for url in (
        "",
        "orders",
        "dynamodb://",
        "dynamodb://a b",
        "dynamodb://x@y/z",
        "sqlite://host/x",
        "sqlite:///",
        "sqlite:///x?mode=ro",
        "dynamodb://orders#1",
    ):
        with pytest.raises(ValueError, match="write dynamodb://TABLE or sqlite:///path"):
            checked_ledger(url)
        with pytest.raises(SettingsError, match="write dynamodb://TABLE or sqlite:///path"):
            open_table(url)
