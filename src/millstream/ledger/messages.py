"""Messages of queues: each is in one attempt that is settled, however a queue groups what it delivers again.

A message has an item that points to an attempt at a batch; it may be pointed elsewhere only when that attempt is dead and claimed.
The protocol, and why it is as it is: docs/decisions/0017-message-keys.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from millstream import clock
from millstream.errors import LedgerError, RunError
from millstream.ledger.dynamodb import MOST
from millstream.ledger.item import QUEUES, Item, Shard, place_of
from millstream.ledger.turn import StaleError, Turn, expiration

if TYPE_CHECKING:
    from millstream.ledger.dynamodb import DynamoTable
    from millstream.ledger.turn import Ledger


class Standing(NamedTuple):
    """How things stand with messages. done: those that are settled. dead: where the others' items point to, of those that have one."""

    done: frozenset[str]
    dead: Mapping[str, str]


class Messages:
    """The messages that one pipeline writes to one sink. Their ids are unique across queues: a dead-letter queue keeps them."""

    def __init__(self, ledger: Ledger, table: DynamoTable) -> None:
        self.ledger, self.table = ledger, table

    def look(self, names: Sequence[str], until: float) -> Standing:
        """How things stand with these, each named once: attempts that somebody left behind are ended. Raises RunError."""
        self.ledger.forget()
        found = self.table.pointers([self._id(name) for name in names], until)
        told = {name: found[id] for name in names if (id := self._id(name)) in found}  # noqa: A001
        settled = self._settled(list(dict.fromkeys(told.values())), until)
        done = frozenset(name for name, token in told.items() if token in settled)
        return Standing(done, {name: token for name, token in told.items() if name not in done})

    def begin(self, until: float) -> Turn:
        """An attempt at a batch, which is not written down yet."""
        return Turn(self.ledger, self._shard(clock.token()), Item(), until, remembered=False)

    def point(self, turn: Turn, names: Sequence[str], dead: Mapping[str, str]) -> None:
        """Have messages point to an attempt that was begun: from here on it may write. Raises RunError, and the attempt is dead then."""
        try:
            for at in range(0, len(names), MOST):
                some = {self._id(name): dead.get(name) for name in names[at : at + MOST]}
                if not self.table.point(some, turn.shard.shard, expiration(), turn.until):
                    raise LedgerError("another function works on some of these messages: what is left comes again")
        except RunError:
            with suppress(RunError):  # else whoever comes next has to claim its names, under which nothing is
                turn.drop()
            raise

    def _settled(self, tokens: Sequence[str], until: float) -> set[str]:
        """Those whose attempt is settled; the others are dead by then, and claimed."""
        shards = [self._shard(token) for token in tokens]
        items = self.table.items([one.id for one in shards], until)
        settled = set()
        for shard in shards:
            item = items.get(shard.id)
            if item is None:
                raise LedgerError(
                    f"{self.table.url} has messages of an attempt, {shard.id}, and nothing of the attempt itself: it was lost, and nobody "
                    "knows whether they are written. Restore the table; or, to process them anew, set another MILLSTREAM_NAMESPACE"
                )
            if self._ended(shard, item, until).committed is not None:
                settled.add(shard.shard)
        return settled

    def _ended(self, shard: Shard, item: Item, until: float) -> Turn:
        """The turn of an attempt that is over, or was ended just now."""
        self.ledger.remember(shard, item)
        try:
            turn = self.ledger.turn(shard.source, shard.shard, until)
        except StaleError:  # another function ended it meanwhile
            turn = self.ledger.turn(shard.source, shard.shard, until)
        with suppress(LedgerError):  # where it is dead: nobody has to claim its names again
            turn.drop()
        return turn

    def _id(self, name: str) -> str:
        return f"{self._prefix}#message#{name}"

    @property
    def _prefix(self) -> str:
        ledger = self.ledger
        return f"{ledger.namespace}#{ledger.pipeline}#{place_of(ledger.sink.url)}"

    def _shard(self, token: str) -> Shard:
        ledger = self.ledger
        return Shard(ledger.namespace, ledger.pipeline, ledger.sink.url, QUEUES, token)
