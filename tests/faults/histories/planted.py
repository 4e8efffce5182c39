"""Bugs that were planted: each is a rule of the handlers' left out. The histories must find every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from millstream import clock
from millstream.aws import kinesis, once, sqs
from millstream.aws.kinesis import KinesisHandler
from millstream.aws.sqs import SqsHandler
from millstream.classes import replace
from millstream.decode import compression
from millstream.errors import RunError
from millstream.ledger import claims, item
from millstream.ledger.claims import Names
from millstream.ledger.dynamodb import DynamoTable
from millstream.ledger.item import Shard
from millstream.ledger.messages import Messages
from millstream.ledger.turn import Turn
from millstream.local.emulator.streams import StreamMapping
from millstream.sinks import s3
from millstream.sinks.store import Stored

Bug = Callable[[ExitStack], None]


def _put(stack: ExitStack, where: Any, name: str, what: Any) -> None:
    stack.enter_context(mock.patch.object(where, name, what))


def acknowledge_before_commit(stack: ExitStack) -> None:
    """What was not written is acknowledged all the same."""

    def attempt(self: Any, turn: Any, prepared: Any, deliveries: Any, records: Any, done: int, stages: Any) -> Any:
        landed = real(self, turn, prepared, deliveries, records, done, stages)
        if landed.error is not None:
            landed.error = None
        return landed

    real = once.Once.attempt
    _put(stack, once.Once, "attempt", attempt)


def random_names(stack: ExitStack) -> None:
    """Objects are called by chance: whoever comes later cannot find them."""
    _put(stack, Shard, "base", lambda self, first, last, attempt: f"x-{clock.token()}-a{attempt}")


def none_on_error(stack: ExitStack) -> None:
    """An error is swallowed, and the answer is None: success, to an event source mapping."""

    def called(real: Any) -> Any:
        def call(self: Any, event: Any, context: Any = None) -> Any:
            try:
                return real(self, event, context)
            except RunError:
                return None

        return call

    for handler in (KinesisHandler, SqsHandler):
        _put(stack, handler, "__call__", called(handler.__call__))


def taken_ignored(stack: ExitStack) -> None:
    """Whatever stands under a name is taken for what was to be written."""
    _put(stack, s3._Put, "_standing", lambda self: Stored(self.url, self.body.nbytes, False))


def commit_before_put(stack: ExitStack) -> None:
    """The ledger is told first, then it is written."""
    intend = Turn.intend

    def early(self: Any, *rest: Any) -> Any:
        found = intend(self, *rest)
        commit(self)
        return found

    commit = Turn.commit
    _put(stack, Turn, "intend", early)
    _put(stack, Turn, "commit", lambda self: None)


def claim_counts_as_landed(stack: ExitStack) -> None:
    """A name that could be claimed counts as written."""
    claim = Names.claim

    def claimed(self: Any, until: float) -> bool:
        claim(self, until)
        return True

    _put(stack, claims.Names, "claim", claimed)


def names_used_again(stack: ExitStack) -> None:
    """Attempts at the same range write under the same names."""
    _put(stack, Shard, "base", lambda self, first, last, attempt: item.base_of(self.source, self.shard, first, last, 1))


def pointed_without_condition(stack: ExitStack) -> None:
    """A message's item is pointed to an attempt, whatever it pointed to."""
    real = DynamoTable._pointer

    def pointer(self: Any, *rest: Any) -> Any:
        found = real(self, *rest)
        return {name: value for name, value in found.items() if name in ("TableName", "Item")}

    _put(stack, DynamoTable, "_pointer", pointer)


def pending_passed_over(stack: ExitStack) -> None:
    """An attempt at messages that is under way is taken for one that is dead."""

    def ended(self: Any, shard: Any, item: Any, until: float) -> Any:
        return real(self, shard, item, until) if item.intent is None else Turn(self.ledger, shard, item, until, remembered=True)

    real = Messages._ended
    _put(stack, Messages, "_ended", ended)


def settled_before_put(stack: ExitStack) -> None:
    """An attempt at messages is settled first, then it is written."""
    point = Messages.point

    def early(self: Any, turn: Any, *rest: Any) -> None:
        point(self, turn, *rest)
        commit(turn)

    commit = Turn.commit
    _put(stack, Messages, "point", early)
    _put(stack, Turn, "commit", lambda self: None)


def refusal_ignored(stack: ExitStack) -> None:
    """An attempt goes on, also where its messages are another's."""
    real = DynamoTable.point
    _put(stack, DynamoTable, "point", lambda self, *rest: real(self, *rest) or True)


def ids_mixed_up(stack: ExitStack) -> None:
    """Not the failed delivery is named, but its neighbour."""

    def answer(failed: Any, done: int, reasons: Any) -> Any:
        told = real(failed, done, reasons)
        for one in told["batchItemFailures"]:
            text = one["itemIdentifier"]
            if text.isdigit():
                one["itemIdentifier"] = str(int(text) + (1 << 20))
        return told

    real = kinesis.answer
    _put(stack, kinesis, "answer", answer)


def fifo_not_returned(stack: ExitStack) -> None:
    """Of a FIFO queue only what failed comes again, not what stands behind it in its group."""

    def fail(self: Any, positions: Any, reason: str) -> None:
        self.failed.update(positions)
        self.reasons.append(reason)

    _put(stack, sqs._Batch, "fail", fail)


def first_member_only(stack: ExitStack) -> None:
    """Of gzip's members only the first one is read."""

    def read(self: Any, size: int) -> bytes:
        if getattr(self, "has_ended", False):
            return b""
        piece: bytes = real(self, size)
        self.has_ended = self.member is None
        return piece

    real = compression._Members.read
    _put(stack, compression._Members, "read", read)


def factor_of_two(stack: ExitStack) -> None:
    """The mapping has a parallelisation factor of 2, and the handler is told that it is 1."""

    def init(self: Any, settings: Any, shards: Any, draw: Any) -> None:
        real(self, replace(settings, parallelization=2), shards, draw)

    real = StreamMapping.__init__
    _put(stack, StreamMapping, "__init__", init)


BUGS: dict[str, Bug] = {
    one.__name__: one
    for one in (
        acknowledge_before_commit,
        random_names,
        none_on_error,
        taken_ignored,
        commit_before_put,
        claim_counts_as_landed,
        names_used_again,
        pointed_without_condition,
        pending_passed_over,
        settled_before_put,
        refusal_ignored,
        ids_mixed_up,
        fifo_not_returned,
        first_member_only,
        factor_of_two,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With that bug."""
    with ExitStack() as stack:
        BUGS[name](stack)
        yield
