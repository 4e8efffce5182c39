"""SQS with a ledger of messages: each message's rows are in the sink once, however it is delivered again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from millstream.aws.once import attempt, duplicate, timed
from millstream.errors import RunError
from millstream.ledger.dynamodb import DynamoTable
from millstream.ledger.messages import Messages, Standing
from millstream.ledger.table import open_table
from millstream.ledger.turn import Ledger
from millstream.sinks.landed import Landed

if TYPE_CHECKING:
    from millstream.aws.envelope import Deliveries
    from millstream.aws.handler import Handler
    from millstream.decode.records import Records
    from millstream.sinks.landing import Prepared


class Keys:
    """What a handler of queues does with its ledger. ledger: its URL, of DynamoDB."""

    def __init__(self, handler: Handler, ledger: str) -> None:
        self.handler = handler
        table = open_table(ledger)
        assert isinstance(table, DynamoTable)  # a handler of queues takes no other
        of = (handler.settings.namespace, handler.pipeline, handler.output.partition_by, handler.sink, handler.rejects)
        self.messages = Messages(Ledger.of(table, *of), table)

    def forget(self) -> None:
        """Remember nothing."""
        self.messages.ledger.forget()

    def look(self, deliveries: Deliveries, stages: dict[str, float], until: float) -> tuple[Standing, Landed, Sequence[int]]:
        """How things stand with messages; what counts as landed before; the positions of the others. Raises RunError."""
        names = deliveries.identities.all()
        firsts: dict[str, int] = {}
        for i, name in enumerate(names):  # a standard queue may deliver a message twice in a batch
            firsts.setdefault(name, i)
        with timed(stages):
            standing = self.messages.look(list(firsts), until)
        fresh = [i for name, i in firsts.items() if name not in standing.done]
        if len(fresh) == len(names):
            return standing, Landed(), fresh
        left = set(fresh)
        return standing, duplicate(self.handler, deliveries, [i for i in range(len(names)) if i not in left]), fresh

    def attempt(
        self,
        standing: Standing,
        prepared: Prepared,
        deliveries: Deliveries,
        records: Records,
        spare: str,
        stages: dict[str, float],
        until: float,
    ) -> Landed:
        """Write a batch of messages, each named once, as an attempt, and settle it; see `once.attempt`. `error` says why it is not."""
        names = deliveries.identities.all()[: records.deliveries]
        turn = self.messages.begin(until)
        try:
            return attempt(
                self.handler,
                turn,
                prepared,
                deliveries,
                records,
                ("1", str(len(names))),
                spare,
                stages,
                lambda: self.messages.point(turn, names, standing.dead),
            )
        except RunError as error:  # nothing was written
            landed = Landed(dict(prepared.counts))
            landed.undo(error)
            return landed
