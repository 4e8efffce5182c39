"""SQS batches in, Parquet out: a message is a record, an array of records, or a notification of S3's that an object came."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from millstream import clock
from millstream.aws.envelope import Deliveries, Listed, Shape, find_fields, records_in, source_of, text_of
from millstream.aws.handler import KEPT_IF, TOO_LARGE, Answer, Event, Handler, answer, milliseconds_since, origin_of
from millstream.aws.notification import ObjectRef, text_objects
from millstream.aws.observe import warn
from millstream.decode.payloads import Payloads
from millstream.decode.records import records_of
from millstream.errors import RunError, SettingsError, UsageError
from millstream.native.bind import kernels
from millstream.native.memory import allocate
from millstream.sinks.landed import Landed

if TYPE_CHECKING:
    from millstream.aws.messages import Keys
    from millstream.ledger.messages import Standing

SHAPE = Shape(
    outer=("eventSource", "eventSourceARN", "messageId", "body"),
    nested="attributes",
    inner=("SentTimestamp", "MessageGroupId"),
    optional=("SentTimestamp", "MessageGroupId"),
)
_SOURCE = "aws:sqs"
_EXPECTED = (
    "expected an SQS event, {'Records': [{'eventSource': 'aws:sqs', 'messageId': ..., 'body': ..., 'attributes': {...}, ...}]}"
)


class SqsHandler(Handler):
    """Runs SQS batches through a pipeline; see `millstream.aws.sqs_handler`."""

    source = "sqs"
    expected = _EXPECTED
    only_notifications = False
    keys: Keys | None = None

    def _open_ledger(self) -> None:
        super()._open_ledger()
        if self.settings.sqs_once and not self.only_notifications:
            if self.ledger is None:
                raise SettingsError("MILLSTREAM_SQS_ONCE is 1, and there is no ledger: set MILLSTREAM_LEDGER=dynamodb://TABLE")
            from millstream.aws.messages import Keys

            self.keys = Keys(self, self.ledger)

    def restored(self) -> None:
        super().restored()
        if self.keys is not None:
            self.keys.forget()

    def __call__(self, event: Event, context: Any = None) -> Answer:
        """Land a batch. Answers the ids of the messages that must come again, as Lambda wants it.

        Raises UsageError for an event of another kind, RunError where the whole batch must come again.
        """
        started = time.perf_counter()
        until = self.until(context)
        queues: list[Deliveries] = self.opened(event, sqs_text, sqs_event)
        return self.land_queues(queues, milliseconds_since(started) / len(queues), until, context)

    def land_queues(self, queues: Sequence[Deliveries], envelope: float, until: float, context: Any) -> Answer:
        """Land what queues delivered."""
        failed: list[str] = []
        reasons: list[str] = []
        for deliveries in queues:
            batch = _Batch(self, deliveries, until, context)
            batch.land(envelope)
            names = deliveries.identities.all()
            failed += [names[i] for i in sorted(batch.failed)]
            reasons += batch.reasons
        return answer(failed, sum(one.count for one in queues) - len(failed), reasons)


class _Batch:
    """The messages of one queue on their way; `failed` are those that must come again."""

    def __init__(self, handler: SqsHandler, deliveries: Deliveries, until: float, context: Any) -> None:
        self.handler, self.deliveries, self.until, self.context = handler, deliveries, until, context
        self.failed: set[int] = set()
        self.reasons: list[str] = []
        self.groups: dict[str, int] = {}
        self.is_fifo = deliveries.source.endswith(".fifo")

    def fail(self, positions: Iterable[int], reason: str) -> None:
        """These must come again; and of a FIFO queue, those behind them in their groups."""
        self.failed.update(positions)
        self.reasons.append(reason)
        if self.is_fifo and len(self.failed) < self.deliveries.count:
            groups = self.deliveries.groups.all()
            firsts: dict[str, int] = {}
            for i in sorted(self.failed):
                firsts.setdefault(groups[i], i)
            self.failed.update(i for i, name in enumerate(groups) if i > firsts.get(name, len(groups)))

    def land(self, envelope: float) -> None:
        handler, deliveries = self.handler, self.deliveries
        if clock.monotonic() >= self.until:
            self.fail(range(deliveries.count), handler.late())
            handler.report(handler.line(deliveries, {"envelope": envelope}), Landed.failed(deliveries.count))
            return
        notified = self._notifications()
        for number, turn in enumerate(self._turns(notified)):
            left = [i for i in turn if i not in self.failed] if self.failed else turn
            if number % 2:
                for i in left:
                    self._land_objects(i, notified[i])
            elif left:
                self._land_records(left, envelope)
                envelope = 0.0

    def _turns(self, notified: Mapping[int, Sequence[ObjectRef]]) -> list[list[int]]:
        """The messages in turns: first of records, then of objects. Of a FIFO queue it goes on so, for as long as a group has one kind
        behind the other: what is behind a message that failed must not be landed.
        """
        order = self._order()
        if not notified:
            return [order]
        turns: list[list[int]] = [[]]
        groups = self.deliveries.groups.all() if self.is_fifo else None
        reached: dict[str, int] = {}
        for i in order:
            turn = int(i in notified)
            if groups is not None:
                before = reached.get(groups[i], 0)
                turn = reached[groups[i]] = before + (before + turn) % 2
            if turn == len(turns):
                turns.append([])
            turns[turn].append(i)
        return turns

    def _order(self) -> list[int]:
        """The messages in an order that is the same however they were delivered: what is written is, then.

        Of a FIFO queue, by group, each in its order; else by the time they were sent.
        """
        deliveries = self.deliveries
        places = range(deliveries.count)
        if self.is_fifo:
            groups = deliveries.groups.all()
            return sorted(places, key=groups.__getitem__)
        keys = list(map("\0".join, zip(deliveries.arrivals.all(), deliveries.identities.all(), strict=True)))
        return sorted(places, key=keys.__getitem__)

    def _notifications(self) -> dict[int, list[ObjectRef]]:
        """The messages that tell of objects, by position."""
        payloads = self.deliveries.payloads
        places: Iterable[int] = range(payloads.count)
        if not self.handler.only_notifications:
            found_at = allocate(payloads.count, 8)
            count = kernels.find_notices(payloads.text, payloads.starts, payloads.ends, found_at)
            places = found_at.part(0, count, 8).tolist()
        found: dict[int, list[ObjectRef]] = {}
        for i in places:
            try:
                objects = text_objects(payloads.payload(i))
                if objects is None and self.handler.only_notifications:
                    raise UsageError(f"the message is no notification of S3's; {self.handler.expected}")
            except UsageError as error:
                self.fail([i], str(error))
                self._warn(i, error)
                continue
            if objects is not None:
                found[i] = objects
        return found

    def _land_records(self, plain: Sequence[int], envelope: float) -> None:
        """Land messages of records, those that were not landed before where that is known."""
        handler, chosen = self.handler, self._only(plain)
        line = handler.line(chosen, stages := {"envelope": envelope})
        if handler.keys is None or handler.ledger is None:  # it has none where it is warmed
            handler.report(line, self._land_fresh(plain, chosen, stages, None))
            return
        try:
            standing, landed, fresh = handler.keys.look(chosen, stages, self.until)
        except RunError as error:
            landed, fresh = Landed.failed(chosen.count), []
            landed.error = error
            self.fail(plain, str(error))
        if fresh:
            left = [plain[i] for i in fresh]
            landed.add(self._land_fresh(left, self._only(left), stages, standing))
        handler.report(line, landed)

    def _only(self, positions: Sequence[int]) -> Deliveries:
        everything = list(range(self.deliveries.count))
        return self.deliveries if positions == everything else self.deliveries.only(positions)

    def _land_fresh(
        self, plain: Sequence[int], chosen: Deliveries, stages: dict[str, float], standing: Standing | None
    ) -> Landed:
        handler, begun = self.handler, time.perf_counter()
        records = records_of(chosen.payloads, handler.pipeline.input)
        stages["envelope"] += milliseconds_since(begun)
        prepared = handler.prepared(records)
        left_out = chosen.count - records.deliveries
        self.fail_last(plain, left_out)
        if handler.fails and prepared.rejects.num_rows:
            hit = {plain[records.delivery(position)] for position in prepared.rejects.column(0).to_pylist()}
            self.fail(hit, f"a record is rejected ({prepared.rejects.column(1)[0]}){KEPT_IF}")
            kept = [i for i in plain if i not in self.failed]
            whole, chosen = records.count, self.deliveries.only(kept)
            records = records_of(chosen.payloads, handler.pipeline.input)
            prepared = handler.prepared(records)
            left_out += whole - records.count
        prepared.fail(left_out)
        stages |= prepared.stage_ms
        begun, before = time.perf_counter(), stages.get("ledger", 0.0)
        names = _base(chosen)
        if not records.count:
            landed = Landed(dict(prepared.counts))
        elif standing is None or handler.keys is None:
            landed = handler.land(prepared, origin_of(chosen, records, names, names), self.until)
        else:
            landed = handler.keys.attempt(standing, prepared, chosen, records, names, stages, self.until)
        if landed.error is not None:
            self.fail(plain, str(landed.error))
        stages["write"] = milliseconds_since(begun) - (stages.get("ledger", 0.0) - before)
        return landed

    def fail_last(self, plain: Sequence[int], count: int) -> None:
        if count:
            self.fail(plain[len(plain) - count :], TOO_LARGE)

    def _land_objects(self, position: int, objects: Sequence[ObjectRef]) -> None:
        if position in self.failed:  # behind a message of its group that failed
            return
        from millstream.aws.objects import Objects  # with boto3's client, which batches of records do without

        runner = Objects(self.handler, self.until, self.context)
        try:
            for one in objects:
                runner.land(one)
        except (RunError, UsageError) as error:
            self.fail([position], str(error))
            self._warn(position, error)

    def _warn(self, position: int, error: Exception) -> None:
        warn(self.handler.pipeline.name, f"message {self.deliveries.identities(position)} must come again: {error}")


def _base(deliveries: Deliveries) -> str:
    """The start of the names of objects that hold these messages, in whatever order they came."""
    return hashlib.sha256("\n".join(sorted(deliveries.identities.all())).encode()).hexdigest()[:32]


def sqs_event(event: Mapping[str, Any]) -> list[Deliveries]:
    """The event's messages by queue, each in its order. A batch is of one queue; events made by hand may be of more."""
    queues: dict[str, list[_Message]] = {}
    for number, record in enumerate(records_in(event, _EXPECTED)):
        arn, found = _read(source_of(record, number, _SOURCE, _EXPECTED), f"Records[{number}]")
        queues.setdefault(arn, []).append(found)
    return [_delivered(arn, found) for arn, found in queues.items()]


class _Message(NamedTuple):
    id: str
    body: bytes
    sent: str
    group: str


def _read(record: Mapping[str, Any], place: str) -> tuple[str, _Message]:
    arn, name, body = (text_of(record, key, place, _EXPECTED) for key in ("eventSourceARN", "messageId", "body"))
    attributes = record.get("attributes")
    if not isinstance(attributes, Mapping):
        raise UsageError(f"{place} has no 'attributes' object; {_EXPECTED}")
    sent, group = (
        text_of(attributes, key, f"{place}.attributes", _EXPECTED) if key in attributes else ""
        for key in ("SentTimestamp", "MessageGroupId")
    )
    return arn, _Message(name, body.encode("utf-8", "surrogatepass"), sent, group)


def _delivered(arn: str, messages: list[_Message]) -> Deliveries:
    return Deliveries(
        source=arn,
        shard="",
        payloads=Payloads.of_records([one.body for one in messages]),
        identities=Listed([one.id for one in messages]),
        arrivals=Listed([one.sent for one in messages]),
        per_second=1000,
        groups=Listed([one.group for one in messages]),
    )


def sqs_text(text: bytes) -> list[Deliveries] | None:
    """The event's messages by its text; None if it is not as Lambda makes them, of one queue."""
    fields = find_fields(text, SHAPE)
    if fields is None or not fields.same("eventSource") or not fields.same("eventSourceARN"):
        return None
    if fields.texts("eventSource")(0) != _SOURCE:
        return None
    return [
        Deliveries(
            source=fields.texts("eventSourceARN")(0),
            shard="",
            payloads=Payloads.of_spans(fields.text, *fields.spans("body")),
            identities=fields.texts("messageId"),
            arrivals=fields.texts("SentTimestamp"),
            per_second=1000,
            groups=fields.texts("MessageGroupId"),
            raw=True,
        )
    ]
