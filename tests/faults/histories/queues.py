"""Histories of SQS queues: standard, FIFO, and queues that tell of S3's objects; until nothing is left."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from typing import Any
from unittest import mock

from millstream import Pipeline
from millstream.aws import objects, s3_handler, sqs_handler
from millstream.ledger import dynamodb, messages
from millstream.local.emulator.answers import Answer, Invocation, judge
from millstream.local.emulator.messages import Queue
from millstream.local.emulator.queues import QueueMapping, QueueSettings
from tests.faults.faults import Faults
from tests.faults.histories.driven import TABLE, Driven, new_table
from tests.faults.histories.fed import Fed, fed, pipeline
from tests.faults.histories.judge import BUCKET, REJECTS, SINK, Lake, Violation, check_rejects, check_rows
from tests.faults.histories.runtime import Containers, installed
from tests.faults.world import START, World

SOURCE = "uploads"
ARN = "arn:aws:sqs:us-east-1:123456789012:orders"
KINDS = ("standard", "fifo", "objects")


@dataclass(frozen=True)
class Plan:
    """What a seed draws of settings."""

    kind: str
    settings: QueueSettings
    visibility: float
    duplicates: float
    form: str
    partitioned: bool
    on_reject: str | None
    messages: int
    fault_rate: float
    chaos: float
    ledger: bool
    once: bool

    @classmethod
    def drawn(cls, draw: random.Random, kind: str) -> Plan:
        timeout = draw.choice((8.0, 30.0, 60.0))
        window = draw.choice((0.0, 2.0)) if kind != "fifo" else 0.0
        settings = QueueSettings(
            batch_size=1 if kind == "objects" else draw.randrange(1, 9),
            window=0.0 if kind == "objects" else window,
            report_batch_item_failures=True,
            concurrency=draw.choice((2, 5)),
            timeout=timeout,
        )
        return cls(
            kind=kind,
            settings=settings,
            visibility=draw.choice((6.0, 1.0)) * timeout,  # less than the timeout is refused by Lambda
            duplicates=draw.choice((0.0, 0.1)) if kind != "fifo" else 0.0,
            form=draw.choice(("parquet", "parquet", "ndjson")),
            partitioned=draw.random() < 0.4,
            on_reject=draw.choice((None, None, None, "fail")) if kind != "objects" else None,
            messages=draw.randrange(1, 4) if kind == "objects" else draw.randrange(3, 14),
            fault_rate=draw.choice((0.0, 0.03, 0.1, 0.2)),
            chaos=draw.choice((0.0, 0.2)),
            ledger=(has_ledger := draw.random() < 0.6),
            once=kind != "objects" and has_ledger and draw.random() < 0.7,
        )


class QueueHistory(Driven):
    """One queue's history. `run` works it off, and judges it."""

    def __init__(self, seed: int | str, kind: str | None = None, chooser: Any = None) -> None:
        super().__init__()
        self.draw = random.Random(f"{seed}/history")
        kind = kind or self.draw.choice(KINDS)
        self.plan = plan = Plan.drawn(self.draw, kind)
        self.world = World(seed, self.until_calm(chooser or Faults.random(plan.fault_rate, seed=seed)))
        # An object takes many calls: where each takes long, no timeout is long enough for containers that take turns.
        self.world.call_seconds = self.draw.choice((0.005, 0.05) if kind == "objects" else (0.005, 0.05, 0.4))
        for bucket in (BUCKET, SOURCE):
            self.world.s3.create_bucket(Bucket=bucket)
        new_table(self.world)
        # Of what is rejected, and of what nobody can write, somebody must get rid: after so many receipts it is a dead letter.
        most = 12 if plan.on_reject == "fail" else 0
        self.queue = Queue(
            random.Random(f"{seed}/queue"),
            arn=f"{ARN}.fifo" if kind == "fifo" else ARN,
            visibility=plan.visibility,
            maximum_receives=most,
            duplicates=plan.duplicates,
            reordering=0.2 if kind != "fifo" else 0.0,
        )
        self.mapping = QueueMapping(plan.settings, self.queue, random.Random(f"{seed}/mapping"))
        self.lake = Lake(self.world)
        self.sent: dict[str, list[Fed]] = {}
        self.groups: dict[str, list[str]] = {}
        self.done: list[str] = []
        """Messages in the order in which the function said that they are done. Their deletion may have been lost."""
        made = pipeline(plan.form, plan.partitioned)
        self.containers = Containers(self.world, lambda: self.handler(made))

    def handler(self, made: Pipeline) -> Any:
        """A handler as a container makes it."""
        make = s3_handler if self.plan.kind == "objects" else sqs_handler
        return make(
            made,
            sink=f"s3://{BUCKET}/{SINK}",
            rejects=None if self.plan.on_reject else f"s3://{BUCKET}/{REJECTS}",
            on_reject=self.plan.on_reject,
            ledger=f"dynamodb://{TABLE}" if self.plan.ledger else None,
        )

    def run(self) -> QueueHistory:
        """Work it off. Raises Violation."""
        environment = {"MILLSTREAM_DEADLINE_MARGIN_MS": str(self.draw.choice((0, 500, 2000)))}
        environment["MILLSTREAM_SQS_ONCE"] = str(int(self.plan.once))
        small = mock.patch.multiple(objects, CHUNK_BYTES=self.draw.choice((300, 2000)), FILE_CHUNKS=self.draw.choice((1, 3)))
        # Few at once are many calls: where each takes long, no timeout is long enough for them.
        most = self.draw.choice((1, 2, 3, 100)) if self.world.call_seconds < 0.1 else 100
        few = (mock.patch.object(where, "MOST", most) for where in (dynamodb, messages))
        with installed(self.world, **environment), small, next(few), next(few):
            self._feed()
            self.work_off()
        return self

    def judge(self, final: bool = False) -> None:
        """Look at all that is there. A queue's messages may be written again in other company, but not with keys; objects never."""
        everything = [one for records in self.sent.values() for one in records]
        done = {one.id for name in self.mapping.acknowledged for one in self.sent[name]}
        at_least = self.plan.kind != "objects" and not self.plan.once
        check_rows(self.lake, everything, done, at_least=at_least)
        if not self.plan.on_reject:
            check_rejects(self.lake, everything, done, at_least=at_least)
        place = {name: i for i, name in enumerate(self.done)}
        dead = {one.id for one in self.queue.dead}
        for names in self.groups.values():
            order = [place.get(name, len(place)) for name in names if name not in dead]
            if order != sorted(order):
                raise Violation("a message of a FIFO queue was done before one that came before it in its group")
        if final and self.mapping.backlog:
            raise Violation(f"{self.mapping.backlog} messages are neither done nor dead")
        if final and not self.plan.on_reject and len(self.mapping.acknowledged) < len(self.sent):
            raise Violation("a message is neither acknowledged nor dead")

    def _feed(self) -> None:
        number, draw = 1, self.draw
        for one in range(self.plan.messages):
            count = draw.randrange(1, 60) if self.plan.kind == "objects" else 1
            records = [fed(draw, number + i) for i in range(count)]
            number += count
            if self.plan.kind != "objects":  # what is no text cannot be a message
                records = [one for one in records if one.data.isascii()]
                if not records:
                    continue
            self.world.at(START + draw.choice((0.0, 30.0)) * one, lambda records=records, one=one: self._send(records, one))

    def _send(self, records: list[Fed], number: int) -> None:
        body, group = records[0].data.decode(errors="replace"), None
        if self.plan.kind == "objects":
            body = self._upload(records, f"in/{number}")
        elif self.plan.kind == "fifo":
            group = self.draw.choice("xyz")
        message = self.queue.send(body, self.world.time, group=group, deduplication=str(number) if group else None)
        self.sent[message.id] = records
        if group is not None:
            self.groups.setdefault(group, []).append(message.id)

    def _upload(self, records: list[Fed], key: str) -> str:
        """An object of lines, plain or as gzip of several members; what tells of it."""
        lines = [one.data + b"\n" for one in records]
        body = b"".join(lines)
        match self.draw.randrange(3):
            case 0:
                key += ".ndjson"
            case 1:
                key, body = f"{key}.ndjson.gz", gzip.compress(body, mtime=0)
            case _:
                cut = self.draw.randrange(len(lines) + 1)
                members = (b"".join(lines[:cut]), b"".join(lines[cut:]))
                key, body = f"{key}.ndjson.gz", b"".join(gzip.compress(one, mtime=0) for one in members)
        put = self.world.s3.put_object(Bucket=SOURCE, Key=key, Body=body)
        told = {
            "eventSource": "aws:s3",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": SOURCE},
                "object": {"key": key, "size": len(body), "eTag": put["ETag"].strip('"'), "sequencer": "00"},
            },
        }
        return json.dumps({"Records": [told]})

    def answer(self, invocation: Invocation, answer: Answer) -> bool:
        """The deletion of some messages may be lost on its way."""
        lost = [one.id for one in invocation.records if not self.is_calm and self.draw.random() < self.plan.chaos / 4]
        counts = self.mapping.answer(invocation, answer, self.world.time, lost=lost)
        if counts:
            ids = [one.id for one in invocation.records]
            failed = judge(answer, ids, True).failed
            self.done += [name for i, name in enumerate(ids) if i not in failed and name not in self.done]
        return counts

    def invoke(self, invocation: Invocation) -> None:
        self.containers.invoke(invocation)
        if not self.is_calm and self.draw.random() < self.plan.chaos:
            other = self.draw.choice(self.past) if self.past and self.draw.random() < 0.5 else invocation
            self.containers.invoke(self.mapping.again(other, self.world.time))
