"""Which requests of the ledger go by its wire, and which by botocore's client; and that it makes no difference."""

import math
import ssl
from unittest import mock

import pytest
from botocore import handlers
from botocore.client import BaseClient

from millstream.errors import LedgerError
from millstream.ledger import way
from millstream.ledger.dynamodb import DynamoTable
from millstream.ledger.item import Item
from millstream.ledger.wire import Keys, Wire
from millstream.sinks import clients
from tests.servers import CREDENTIALS

pytestmark = pytest.mark.once


@pytest.fixture
def usual(aws, monkeypatch):
    """The environment of a usual client; call it for the client's wire."""
    way._last = None, None
    # Where other tests imported moto it listens in on every client of this process.
    own = [
        one
        for one in handlers.BUILTIN_HANDLERS
        if not getattr(one[1], "__module__", type(one[1]).__module__).startswith("moto")
    ]
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", own)
    clients.forget()

    def find(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
        clients.forget()
        return way.wire_of(clients.client("dynamodb"), "PutItem")

    yield find
    clients.forget()


def test_a_usual_client_has_a_wire_for_as_long_as_it_is_used(usual):
    found = usual()
    assert isinstance(found, Wire)
    assert way.wire_of(clients.client("dynamodb"), "PutItem") is found
    clients.forget()  # a snapshot was restored
    other = way.wire_of(clients.client("dynamodb"), "PutItem")
    assert other is not found
    real = usual(AWS_ENDPOINT_URL=None, AWS_DEFAULT_REGION="eu-central-1")
    assert (real.url, real.signer.host) == (
        "https://dynamodb.eu-central-1.amazonaws.com",
        "dynamodb.eu-central-1.amazonaws.com",
    )
    assert real._context.check_hostname
    assert real._context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "environment",
    [
        {"HTTP_PROXY": "http://proxy:8080", "NO_PROXY": ""},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1/behind"},
        {"AWS_ENDPOINT_URL": "http://[::1]:1"},
        {"AWS_ENDPOINT_URL": "https://localhost", "AWS_CA_BUNDLE": "/nowhere.pem"},
        {"AWS_ENDPOINT_URL": "https://localhost", "AWS_CA_BUNDLE": __file__},
        {"AWS_ENDPOINT_URL": None, "AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_ENDPOINT_URL": None, "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_DEFAULT_REGION": "local"},
    ],
    ids=str,
)
def test_what_is_unusual_goes_by_the_client(usual, environment):
    assert usual(**environment) is None


class Wrapper:
    """A function as tracers wrap it: it looks like what is inside."""

    def __init__(self, inside):
        self._inside = inside

    def __get__(self, owner, kind):
        return self

    def __call__(self, *args, **named):
        return self._inside(*args, **named)

    def __getattr__(self, name):
        return getattr(self._inside, name)


def test_who_listens_in_on_the_client_hears_all(usual, monkeypatch):
    assert usual() is not None
    client = clients.client("dynamodb")
    heard = lambda **_: None  # noqa: E731
    client.meta.events.register("before-send.dynamodb", heard)
    assert way.wire_of(client, "PutItem") is None
    client.meta.events.unregister("before-send.dynamodb", heard)
    assert way.wire_of(client, "PutItem") is not None
    original = BaseClient._make_api_call
    monkeypatch.setattr(BaseClient, "_make_api_call", lambda *args: original(*args))
    assert way.wire_of(client, "PutItem") is None
    monkeypatch.setattr(BaseClient, "_make_api_call", Wrapper(original))
    assert BaseClient._make_api_call.__globals__["__name__"].startswith("botocore.")
    assert way.wire_of(client, "PutItem") is None
    monkeypatch.undo()
    assert way.wire_of(object(), "PutItem") is None


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_SESSION_TOKEN": "a\r\nX-Injected: 1"},
        {"AWS_ACCESS_KEY_ID": "a b"},
        {"AWS_ACCESS_KEY_ID": "é"},
        {"AWS_ACCOUNT_ID": "123456789012"},
    ],
    ids=str,
)
def test_credentials_that_no_header_can_hold_go_by_the_client(usual, environment):
    assert usual() is not None
    assert way._keys() == Keys(*CREDENTIALS.values())
    usual(**environment)
    assert way._keys() is None


def test_credentials_are_those_of_now(usual):
    found = usual(AWS_SESSION_TOKEN=None)
    assert found is not None
    assert way._keys() == Keys(*list(CREDENTIALS.values())[:2])
    with mock.patch.object(clients.credentials(), "get_frozen_credentials") as frozen:  # a role's, renewed
        frozen.return_value = mock.Mock(access_key="new", secret_key="new", token="new", account_id=None)
        assert way._keys() == Keys("new", "new", "new")


def test_the_way_makes_no_difference(usual, table, monkeypatch):
    assert usual() is not None
    items, found = DynamoTable(table), []
    for by_wire in (True, False):
        if not by_wire:
            monkeypatch.setattr(way, "wire_of", lambda *_: None)
        name, one = f"a{by_wire}", Item(1, "4" * 56, 3)
        calls = [
            items.read(name, math.inf),
            items.swap(name, one, math.inf),
            items.swap(name, one, math.inf),
            items.swap(name, Item(1, "5"), math.inf),
            items.swap(name, Item(9, "5"), math.inf),
            items.swap("none", Item(9, "5"), math.inf),
            items.read(name, math.inf),
        ]
        with pytest.raises(LedgerError) as error:
            DynamoTable("another-table").read("a", math.inf)
        found.append((calls, str(error.value)))
    assert found[0] == found[1]
    assert found[0][0] == [Item(), one, one, one, one, Item(), one]
