"""What may befall a call: errors, silence, and the end of who calls."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from millstream.sinks.clients import CONNECT_SECONDS, READ_SECONDS
from tests.faults.tasks import Killed, Task

if TYPE_CHECKING:
    from tests.faults.world import World


class Kind(Enum):
    SLOW_DOWN = auto()
    """S3's 503."""
    INTERNAL_ERROR = auto()
    """500."""
    THROTTLED = auto()
    """By the service's own code; of S3 it is KMS's."""
    CONNECT_TIMEOUT = auto()
    UNREACHABLE = auto()
    """No connection can be made."""
    TIMEOUT_BEFORE = auto()
    TIMEOUT_AFTER = auto()
    """The call has its effect, its answer does not come."""
    TIMEOUT_LATE = auto()
    """Its answer does not come, and it has its effect later than that: `seconds` after it was given up."""
    CLOSED_BEFORE = auto()
    CLOSED_AFTER = auto()
    RESET_IN_BODY = auto()
    """The connection is lost in the midst of an object, after `seconds` as a share of it."""
    PARTIAL = auto()
    """Only the first part of a batch is taken, or answered."""
    CONFLICT = auto()
    """Another conditional write of this key, or another transaction, is under way."""
    EXPIRED_TOKEN = auto()
    DENIED = auto()
    EMPTY_CODE = auto()
    """A 400 that does not say why."""
    KILL_BEFORE = auto()
    KILL_AFTER = auto()
    KILL_LATE = auto()
    """The container goes while the call is under way: it has its effect `seconds` later."""
    FREEZE_BEFORE = auto()
    """The container stands still before it sends: the effect comes when it is thawed."""
    FREEZE_AFTER = auto()
    """The container stands still before it has read the answer."""


ALL = list(Kind)

READS = frozenset(
    (
        *("get_object", "head_object", "list_objects_v2", "list_multipart_uploads"),
        *("get_item", "query", "scan", "batch_get_item", "list_event_source_mappings"),
    )
)
_S3 = frozenset(
    (
        *("create_bucket", "put_bucket_versioning", "put_object", "get_object", "head_object", "delete_object"),
        *("list_objects_v2", "create_multipart_upload", "upload_part", "complete_multipart_upload"),
        *("abort_multipart_upload", "list_multipart_uploads"),
    )
)
_ONLY = {
    Kind.SLOW_DOWN: _S3,
    Kind.RESET_IN_BODY: frozenset(["get_object"]),
    Kind.PARTIAL: frozenset(["send_message_batch", "batch_get_item"]),
    Kind.CONFLICT: frozenset(["put_object", "complete_multipart_upload", "transact_write_items"]),
}
_WRITES_ONLY = (Kind.TIMEOUT_LATE, Kind.KILL_LATE)


class Call(NamedTuple):
    """A call, when it is its turn. `index` counts those of all tasks."""

    index: int
    task: str
    service: str
    operation: str
    key: str


class Fault(NamedTuple):
    kind: Kind
    seconds: float = 30.0
    """How long a freeze lasts, or how late an effect is."""


Chooser = Callable[[Call], Fault | None]


def fits(kind: Kind, operation: str) -> bool:
    """May that befall this operation? Where it makes no difference to its caller, another kind stands for it."""
    if kind in _WRITES_ONLY:
        return operation not in READS
    return kind not in _ONLY or operation in _ONLY[kind]


class Faults:
    """Choosers of faults."""

    @staticmethod
    def none(call: Call) -> Fault | None:
        return None

    @staticmethod
    def at(index: int, kind: Kind, seconds: float = 30.0) -> Chooser:
        """That, at one call; nothing if it does not fit there."""
        return Faults.list({index: Fault(kind, seconds)})

    @staticmethod
    def list(faults: dict[int, Fault]) -> Chooser:
        def choose(call: Call) -> Fault | None:
            found = faults.get(call.index)
            return found if found is not None and fits(found.kind, call.operation) else None

        return choose

    @staticmethod
    def random(rate: float, kinds: Iterable[Kind] = ALL, seed: int | str = 0, seconds: float = 60.0) -> Chooser:
        """One of these at so large a part of all calls. What lasts, lasts up to `seconds`."""
        draw = random.Random(f"{seed}/faults")
        chosen: Sequence[Kind] = [*kinds]

        def choose(call: Call) -> Fault | None:
            if draw.random() >= rate:
                return None
            fitting = [kind for kind in chosen if fits(kind, call.operation)]
            return Fault(draw.choice(fitting), draw.uniform(0, seconds)) if fitting else None

        return choose


def befall(world: World, task: Task, service: Any, call: Call, fault: Fault, effect: Callable[[], Any]) -> Any:
    """A call's answer, where that befalls it."""
    kind, seconds = fault
    if not fits(kind, call.operation):
        raise ValueError(f"{kind} does not fit {call.operation}")
    answer = service.refusal(kind, call.operation)
    if answer is not None:
        raise answer
    if kind in (Kind.RESET_IN_BODY, Kind.PARTIAL):
        return service.partly(effect)
    if kind in (Kind.FREEZE_BEFORE, Kind.FREEZE_AFTER):
        answer = _quietly(effect) if kind is Kind.FREEZE_AFTER else None
        world.freeze(task, seconds)
        world.pause()
        return effect() if answer is None else answer()
    if kind in (Kind.TIMEOUT_AFTER, Kind.CLOSED_AFTER, Kind.KILL_AFTER):
        _quietly(effect)
    if kind in (Kind.TIMEOUT_LATE, Kind.KILL_LATE):
        wait = READ_SECONDS if kind is Kind.TIMEOUT_LATE else 0
        world.at(world.time + wait + seconds, lambda: _late(world, call, effect))
    if kind in (Kind.KILL_BEFORE, Kind.KILL_AFTER, Kind.KILL_LATE):
        world.kill(task)
        raise Killed
    url = f"https://{call.service}.simulated"
    if kind is Kind.UNREACHABLE:
        raise EndpointConnectionError(endpoint_url=url)
    if kind is Kind.CONNECT_TIMEOUT:
        world.sleep(CONNECT_SECONDS)
        raise ConnectTimeoutError(endpoint_url=url)
    if kind in (Kind.CLOSED_BEFORE, Kind.CLOSED_AFTER):
        world.pause()
        raise ConnectionClosedError(endpoint_url=url)
    world.sleep(READ_SECONDS)
    raise ReadTimeoutError(endpoint_url=url)


def _quietly(effect: Callable[[], Any]) -> Callable[[], Any]:
    """Have the effect; what gives its answer, or raises it."""
    try:
        answer = effect()
    except Exception as error:
        failed = error

        def give() -> Any:
            raise failed

        return give
    return lambda: answer


def _late(world: World, call: Call, effect: Callable[[], Any]) -> None:
    outcome = "ok"
    try:
        effect()
    except Exception as error:
        outcome = type(error).__name__
    world.trace.append((call.task, call.service, call.operation, call.key, "LATE", outcome))
