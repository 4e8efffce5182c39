"""Whether batches of a shard come one after another: Lambda is asked for its event source mapping, or one is told."""

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from millstream.aws import once
from millstream.errors import LedgerError, SettingsError
from millstream.sinks import clients
from tests.aws import events
from tests.ledger.world import World, batch, good

pytestmark = pytest.mark.once

ALL_DONE = {"batchItemFailures": []}
FUNCTION = f"arn:aws:lambda:us-east-1:{events.ACCOUNT}:function:orders"


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    return World(tmp_path)


class Lambda:
    """What is asked of it, and what it says: pages of mappings, or an error."""

    def __init__(self, *pages):
        self.pages, self.asked = list(pages), []

    def list_event_source_mappings(self, **request):
        self.asked.append(request)
        found = self.pages.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def mapping(factor=1, arn=events.STREAM):
    told = {"EventSourceArn": arn, "State": "Enabled"}
    return told if factor is None else told | {"ParallelizationFactor": factor}


@pytest.fixture
def asks(world, monkeypatch):
    """A container that asks a Lambda which answers so."""

    def make(*pages):
        monkeypatch.delenv("MILLSTREAM_PARALLELIZATION", raising=False)
        made = Lambda(*pages)
        monkeypatch.setitem(clients._clients, ("lambda", None), made)
        return world.container(), made, SimpleNamespace(invoked_function_arn=FUNCTION)

    return make


FINE = {
    "one": [[mapping()]],
    "no factor": [[mapping(None)]],
    "another stream's": [[mapping(), mapping(10, events.STREAM + "2")]],
    "a consumer's": [[mapping(1, f"{events.STREAM}/consumer/a:1")]],
    "pages": [[mapping(2, events.QUEUE)], [mapping()]],
}


def paged(pages):
    return [{"EventSourceMappings": page, **({"NextMarker": "m"} if page is not pages[-1] else {})} for page in pages]


@pytest.mark.parametrize("pages", FINE.values(), ids=FINE)
def test_a_factor_of_one_is_fine(world, asks, pages):
    container, told, context = asks(*paged(pages))
    for _ in range(2):
        assert container(batch(0, 4), context) == ALL_DONE
    assert told.asked == [{"FunctionName": FUNCTION}, {"FunctionName": FUNCTION, "Marker": "m"}][: len(pages)]
    assert world.ids() == good(0, 4)


def error(code, status=400):
    return ClientError({"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "x")


REFUSED = {
    "two": (
        [{"EventSourceMappings": [mapping(2)]}],
        SettingsError,
        r"that of arn:.*stream/orders has 2: set it to 1, or leave the",
    ),
    "one of two": ([{"EventSourceMappings": [mapping(), mapping(3)]}], SettingsError, "has 3: set it to 1"),
    "a consumer's": (
        [{"EventSourceMappings": [mapping(2, f"{events.STREAM}/consumer/a:1")]}],
        SettingsError,
        "has 2: set it to 1",
    ),
    "none": (
        [{"EventSourceMappings": []}],
        SettingsError,
        "knows of none from arn.* to arn.*: set MILLSTREAM_PARALLELIZATION=1",
    ),
    "none of the stream": ([{"EventSourceMappings": [mapping(1, events.QUEUE)]}], SettingsError, "knows of none from"),
    "no permission": (
        [error("AccessDeniedException", 403)],
        SettingsError,
        "set MILLSTREAM_PARALLELIZATION=1 if it has that, or allow lambda:ListEventSourceMappings",
    ),
    "throttled": ([error("TooManyRequestsException", 429)], LedgerError, "TooManyRequestsException.*it is asked again"),
    "their fault": ([error("ServiceException", 500)], LedgerError, "it is asked again"),
    "no answer": ([ReadTimeoutError(endpoint_url="https://secret")], LedgerError, "no answer came in time; it is"),
    "garbled": ([ResponseParserError("secret")], LedgerError, "the connection was lost; it is asked again"),
}


@pytest.mark.parametrize(("pages", "kind", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_loudly(world, asks, pages, kind, says):
    container, told, context = asks(*pages, {"EventSourceMappings": [mapping()]})
    with pytest.raises(kind, match=says) as raised:
        container(batch(0, 4), context)
    assert "ParallelizationFactor 1" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert world.objects() == {}
    assert container(batch(0, 4), context) == ALL_DONE  # it is asked at each batch until it is fine
    assert len(told.asked) == 2


def test_outside_of_lambda_one_must_tell(world, asks):
    container, told, _ = asks()
    with pytest.raises(SettingsError, match="outside Lambda nobody can be asked: set MILLSTREAM_PARALLELIZATION=1"):
        container(batch(0, 4), None)
    assert told.asked == []


def test_a_function_without_a_context_has_its_name(asks, monkeypatch):
    container, told, _ = asks({"EventSourceMappings": [mapping()]})
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    assert container(batch(0, 4), None) == ALL_DONE
    assert told.asked == [{"FunctionName": "orders"}]


def test_it_is_asked_again_after_a_quarter_of_an_hour(asks, now):
    answers = [{"EventSourceMappings": [mapping(factor)]} for factor in (1, 1, 2)]
    container, told, context = asks(*answers)
    for later, asked in ((0, 1), (899, 1), (1, 2), (899, 2)):
        now.time += later
        assert container(batch(0, 4), context) == ALL_DONE
        assert len(told.asked) == asked
    now.time += 1
    with pytest.raises(SettingsError, match="has 2"):
        container(batch(0, 4), context)


def test_who_is_told_does_not_ask(world, monkeypatch):
    monkeypatch.setattr(once, "_factors", None)
    assert world.container()(batch(0, 4), SimpleNamespace(invoked_function_arn=FUNCTION)) == ALL_DONE


def test_lambda_itself_is_asked(world, aws, monkeypatch):
    """moto's, which knows no such function."""
    monkeypatch.delenv("MILLSTREAM_PARALLELIZATION")
    with pytest.raises((SettingsError, LedgerError), match="ParallelizationFactor 1, and Lambda "):
        world.container()(batch(0, 4), SimpleNamespace(invoked_function_arn=FUNCTION))
