"""Services behind the interface of botocore's clients, and the errors that they answer."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.faults.faults import Kind

if TYPE_CHECKING:
    from tests.faults.world import World

Operation = Callable[..., dict[str, Any]]

_classes: dict[str, type[ClientError]] = {}


def camel(operation: str) -> str:
    """`put_object` as ClientError tells it, PutObject."""
    return "".join(part.capitalize() for part in operation.split("_"))


def error_class(code: str) -> type[ClientError]:
    """The class of errors that a client raises for a code. It is also an attribute of `client.exceptions`."""
    name = code.rpartition(".")[2]
    return _classes.get(name) or _classes.setdefault(name, type(name, (ClientError,), {}))


class _Exceptions:
    ClientError = ClientError

    def __getattr__(self, name: str) -> type[ClientError]:
        return error_class(name)


class _Events:
    """A client's events: nothing is sent, so nobody is told."""

    def register(self, *_: Any, **__: Any) -> None: ...

    register_first = register_last = unregister = register


class _Meta:
    def __init__(self, service: str) -> None:
        self.events = _Events()
        self.region_name = "us-east-1"
        self.endpoint_url = f"https://{service}.simulated"


class Service:
    """One service's state. Its operations are the methods that `operations` names; they do not know of turns or faults."""

    service = ""
    operations: tuple[str, ...] = ()
    expired = "ExpiredTokenException", 400
    denied = "AccessDeniedException", 400
    throttled = "ThrottlingException", 400
    internal = "InternalFailure", 500

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls: Counter[str] = Counter()
        self.requests = 0
        self.operation = ""
        self.is_part = False

    def perform(self, name: str, operation: Operation, asked: dict[str, Any]) -> dict[str, Any]:
        self.operation = name
        self.calls[name] += 1
        return operation(**asked)

    def partly(self, effect: Callable[[], Any]) -> Any:
        """The effect, of which only a part is to come about."""
        self.is_part = True
        try:
            return effect()
        finally:
            self.is_part = False

    def answer(self, status: int = 200, **told: Any) -> dict[str, Any]:
        return {"ResponseMetadata": self._metadata(status), **told}

    def error(self, code: str, status: int = 400, message: str = "", operation: str = "", **told: Any) -> ClientError:
        response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": self._metadata(status), **told}
        return (error_class(code) if code and not code.isdigit() else ClientError)(response, camel(operation or self.operation))

    def _metadata(self, status: int) -> dict[str, Any]:
        self.requests += 1
        return {"RequestId": f"{self.service.upper()}{self.requests:012X}", "HTTPStatusCode": status, "RetryAttempts": 0}

    def refusal(self, kind: Kind, operation: str) -> ClientError | None:
        """What the service answers in the place of the call, where that is what befalls it."""
        match kind:
            case Kind.SLOW_DOWN:
                code, status = "SlowDown", 503
            case Kind.INTERNAL_ERROR:
                code, status = self.internal
            case Kind.THROTTLED:
                code, status = self.throttled
            case Kind.EXPIRED_TOKEN:
                code, status = self.expired
            case Kind.DENIED:
                code, status = self.denied
            case Kind.EMPTY_CODE:
                code, status = "", 400
            case Kind.CONFLICT:
                return self.conflict(operation)
            case _:
                return None
        return self.error(code, status, f"a fault: {kind.name}", operation)

    def conflict(self, operation: str) -> ClientError:
        raise NotImplementedError(operation)

    def key(self, asked: dict[str, Any]) -> str:
        """What a call is about, for traces."""
        return ""

    def told(self, operation: str, answer: dict[str, Any]) -> str:
        """What came of it, for traces."""
        return "ok"


@cache
def _modelled(service: type[Service], operation: str) -> frozenset[str]:
    """The parameters of an operation."""
    return frozenset(inspect.signature(getattr(service, operation)).parameters) - {"self"}


class Client:
    """A client of a service in a world. What is not modelled raises NotImplementedError."""

    def __init__(self, world: World, service: Service) -> None:
        self._world, self._service = world, service
        self.meta = _Meta(service.service)
        self.exceptions = _Exceptions()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        service, world = self._service, self._world
        if name not in service.operations:
            raise NotImplementedError(f"{service.service}: {name}")
        operation: Operation = getattr(service, name)
        modelled = _modelled(type(service), name)

        def call(**asked: Any) -> dict[str, Any]:
            if not asked.keys() <= modelled:
                raise NotImplementedError(f"{service.service}: {name} with {sorted(asked.keys() - modelled)}")
            return world.call(service, name, service.key(asked), lambda: service.perform(name, operation, asked))

        setattr(self, name, call)
        return call

    def close(self) -> None: ...


class Lambda(Service):
    """The one thing that is asked of Lambda. `factors`: by function and source."""

    service = "lambda"
    operations = ("list_event_source_mappings",)
    throttled = "TooManyRequestsException", 429
    internal = "ServiceException", 500
    denied = "AccessDeniedException", 403
    expired = "ExpiredTokenException", 403

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.factors: dict[tuple[str, str], int] = {}

    def key(self, asked: dict[str, Any]) -> str:
        return f"{asked.get('FunctionName')}/{asked.get('EventSourceArn')}"

    def list_event_source_mappings(self, *, FunctionName: str) -> dict[str, Any]:
        mappings = [
            {"EventSourceArn": source, "State": "Enabled", "ParallelizationFactor": factor}
            for (function, source), factor in self.factors.items()
            if function == FunctionName
        ]
        return self.answer(EventSourceMappings=mappings)
