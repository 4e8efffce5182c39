"""Events as bytes: what stands for them, and how the runtime is told to hand them over."""

import json
import sys
import types
from collections.abc import Mapping
from functools import wraps

import pytest

from millstream.aws import kinesis_handler, raw
from millstream.aws.raw import RawEvent, handler_takes_raw, install
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.aws.events import CANARY

pytestmark = pytest.mark.once
EVENT = events.kinesis(CANARY.encode())
TEXT = events.to_bytes(EVENT)


def test_an_event_is_a_mapping_that_is_parsed_when_it_is_looked_into():
    event = RawEvent(TEXT)
    assert isinstance(event, Mapping)
    assert event._parsed is None
    assert event["Records"] == EVENT["Records"]
    assert (len(event), list(event), dict(event), "Records" in event, event.get("x")) == (1, ["Records"], EVENT, True, None)
    assert event.parsed() is event.parsed()
    assert event == EVENT
    assert event.raw is TEXT


def test_nothing_of_an_event_is_in_what_is_printed_of_it():
    event = RawEvent(TEXT)
    assert repr(event) == str(event) == f"RawEvent({len(TEXT):,} bytes)"
    with pytest.raises(TypeError) as raised:
        json.dumps(event)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(("text", "error"), [(b"", ValueError), (b"{", ValueError), (b"[1]", TypeError), (b"null", TypeError)])
def test_what_is_no_object_is_told_when_it_is_looked_into(text, error):
    event = RawEvent(text)
    for _ in range(2):
        with pytest.raises(error):
            event["Records"]


class Inner:
    """The runtime's own marshaller."""

    def unmarshal_request(self, request, content_type="application/json"):
        return "inner", json.loads(request) if content_type == "application/json" else request

    def marshal_response(self, response):
        return json.dumps(response), "application/json"


@pytest.fixture(params=["LambdaRuntimeClient", "BaseLambdaRuntimeClient"])
def runtime(request, monkeypatch):
    """A runtime client as in versions 2 and 3, and as in version 4, whose base class holds the marshaller."""
    base = type(request.param, (), {"marshaller": Inner()})
    module = types.SimpleNamespace(**{request.param: base})
    module.LambdaRuntimeClient = type("LambdaRuntimeClient", (base,), {})
    if request.param == "LambdaRuntimeClient":
        module.LambdaRuntimeClient = base
    monkeypatch.setitem(sys.modules, "awslambdaric.lambda_runtime_client", module)
    return module.LambdaRuntimeClient


@pytest.fixture
def function(monkeypatch):
    """function(one) makes it the handler of the function that is running."""
    module = types.ModuleType("code.orders")
    monkeypatch.setitem(sys.modules, "code.orders", module)

    def configure(handler):
        module.handler = handler
        monkeypatch.setenv("_HANDLER", "code/orders.handler")

    return configure


@pytest.fixture
def handler(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_RAW_EVENTS", "0")  # not installed by this
    return kinesis_handler(Pipeline({"id": "int64"}), sink=tmp_path / "out", on_reject="fail")


def test_without_a_runtime_there_is_nothing_to_tell(monkeypatch):
    monkeypatch.delitem(sys.modules, "awslambdaric.lambda_runtime_client", raising=False)
    assert install() is False
    for odd in (types.SimpleNamespace(), types.SimpleNamespace(LambdaRuntimeClient=type("C", (), {"marshaller": None}))):
        monkeypatch.setitem(sys.modules, "awslambdaric.lambda_runtime_client", odd)
        assert install() is False


def test_a_runtime_is_told_once(runtime, function, handler):
    function(handler)
    inner = runtime.marshaller
    assert install() is True
    told = runtime.marshaller
    assert told is not inner
    assert install() is True
    assert runtime.marshaller is told
    event = runtime().marshaller.unmarshal_request(TEXT, "application/json")
    assert isinstance(event, RawEvent)
    assert event.raw is TEXT
    assert told.unmarshal_request(TEXT).raw is TEXT  # a runtime that does not say what the content is
    assert told.marshal_response({"a": 1}) == ('{"a": 1}', "application/json")


@pytest.mark.parametrize("flag", ["0", "1"])
def test_a_handler_that_is_made_tells_the_runtime_unless_it_may_not(runtime, tmp_path, monkeypatch, flag):
    monkeypatch.setenv("MILLSTREAM_RAW_EVENTS", flag)
    kinesis_handler(Pipeline({"id": "int64"}), sink=tmp_path / "out", on_reject="fail")
    assert isinstance(runtime.marshaller, raw._Marshaller) is (flag == "1")


@pytest.mark.parametrize(
    ("request_body", "content_type"),
    [
        (TEXT, "application/octet-stream"),
        (TEXT, "text/plain"),
        (TEXT, "application/json; charset=utf-8"),
        (TEXT, None),
        (TEXT.decode(), "application/json"),
    ],
)
def test_other_content_is_left_to_the_runtime(runtime, function, handler, request_body, content_type):
    function(handler)
    install()
    found = runtime.marshaller.unmarshal_request(request_body, content_type)
    assert found == ("inner", EVENT if content_type == "application/json" else request_body)


def test_events_of_other_functions_are_left_to_the_runtime(runtime, function, handler):
    function(lambda event, context: handler(event, context))
    install()
    assert runtime.marshaller.unmarshal_request(TEXT, "application/json") == ("inner", EVENT)
    function(handler)  # what a function's handler is does not change while it runs
    assert runtime.marshaller.unmarshal_request(TEXT, "application/json") == ("inner", EVENT)


def wrapped(handler, times):
    for _ in range(times):

        @wraps(handler)
        def decorated(event, context, inner=handler):
            return inner(event, context)

        handler = decorated
    return handler


class Circle:
    """A wrapper of itself."""

    @property
    def __wrapped__(self):
        return self


@pytest.mark.parametrize(
    ("made", "takes"),
    [
        (lambda handler: handler, True),
        (lambda handler: wrapped(handler, 1), True),
        (lambda handler: wrapped(handler, 15), True),
        (lambda handler: wrapped(handler, 16), False),
        (lambda handler: wrapped(lambda event, context: None, 3), False),
        (lambda handler: type(handler), False),
        (lambda handler: Circle(), False),
        (lambda handler: None, False),
    ],
)
def test_a_handler_is_known_through_its_decorators(function, handler, made, takes):
    function(made(handler))
    assert handler_takes_raw() is takes


@pytest.mark.parametrize("name", ["", "orders", "code/orders.other", "not_loaded.handler", ".handler", "code.orders."])
def test_a_handler_that_is_not_there_takes_none(function, handler, monkeypatch, name):
    function(handler)
    monkeypatch.setenv("_HANDLER", name)
    assert handler_takes_raw() is False
    monkeypatch.delenv("_HANDLER")
    assert handler_takes_raw() is False
