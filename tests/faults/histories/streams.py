"""Histories of a Kinesis stream: shards, a mapping, containers with a ledger, faults, until nothing is left."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from millstream import Pipeline
from millstream.aws import kinesis_handler
from millstream.aws.redrive import redrive
from millstream.ledger.collect import collect
from millstream.ledger.table import open_table
from millstream.ledger.turn import Ledger
from millstream.local.emulator.answers import Invocation
from millstream.local.emulator.shards import Stream
from millstream.local.emulator.streams import StreamMapping, StreamSettings
from millstream.sinks.rejects import open_rejects
from millstream.sinks.store import open_store
from tests.faults.faults import Faults
from tests.faults.histories.driven import TABLE, Driven, new_table
from tests.faults.histories.fed import Delivery, delivery, pipeline
from tests.faults.histories.judge import BUCKET, REJECTS, SINK, Lake, Violation, check_rejects, check_rows
from tests.faults.histories.runtime import Containers, installed
from tests.faults.world import START, World

FAILED = "failed/"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/rejects"


@dataclass(frozen=True)
class Plan:
    """What a seed draws of settings."""

    settings: StreamSettings
    shards: int
    form: str
    partitioned: bool
    rejects: str
    on_reject: str | None
    deliveries: int
    fault_rate: float
    chaos: float
    puts_until: float
    asks: bool

    @classmethod
    def drawn(cls, draw: random.Random) -> Plan:
        on_reject = draw.choice((None, None, None, "fail", "drop-and-count"))
        endless = on_reject != "fail" and draw.random() < 0.6
        settings = StreamSettings(
            batch_size=draw.randrange(1, 7),
            window=draw.choice((0.0, 0.0, 3.0)),
            bisect_on_error=draw.random() < 0.4,
            maximum_retries=-1 if endless else draw.randrange(0, 6),
            maximum_age=-1.0 if draw.random() < 0.8 else 120.0,
            report_batch_item_failures=True,
            destination="s3",
            timeout=draw.choice((8.0, 20.0, 60.0)),
        )
        return cls(
            settings=settings,
            shards=draw.choice((1, 1, 2)),
            form=draw.choice(("parquet", "parquet", "parquet", "json", "ndjson")),
            partitioned=draw.random() < 0.5,
            rejects="" if on_reject else draw.choice(("store", "store", "queue")),
            on_reject=on_reject,
            deliveries=draw.randrange(3, 13),
            fault_rate=draw.choice((0.0, 0.03, 0.08, 0.15, 0.3)),
            chaos=draw.choice((0.0, 0.1, 0.3)),
            puts_until=draw.choice((0.0, 20.0, 120.0)),
            asks=draw.random() < 0.2,
        )


class History(Driven):
    """One stream's history. `run` works it off, and judges it."""

    def __init__(self, seed: int | str, plan: Plan | None = None, chooser: Any = None) -> None:
        super().__init__()
        self.draw = random.Random(f"{seed}/history")
        self.plan = plan or Plan.drawn(self.draw)
        self.world = World(seed, self.until_calm(chooser or Faults.random(self.plan.fault_rate, seed=seed)))
        self.world.call_seconds = self.draw.choice((0.005, 0.05, 0.4))
        self.world.s3.create_bucket(Bucket=BUCKET)
        new_table(self.world)
        if self.plan.rejects == "queue":
            self.world.sqs.create(QUEUE)
        self.stream = Stream.of(self.plan.shards)
        self.mapping = StreamMapping(self.plan.settings, self.stream.shards, random.Random(f"{seed}/mapping"))
        self.lake = Lake(self.world)
        self.sent: dict[str, Delivery] = {}
        self.margin = self.draw.choice((0, 500, 2000))
        self.redriven: set[int] = set()
        made = pipeline(self.plan.form, self.plan.partitioned)
        self.containers = Containers(self.world, lambda: self.handler(made))
        if self.plan.asks:
            self.world.lambda_.factors[self.plan.settings.function, self.stream.arn] = 1

    def handler(self, made: Pipeline) -> Any:
        """A handler as a container makes it."""
        kept = {"store": f"s3://{BUCKET}/{REJECTS}", "queue": f"sqs+{QUEUE}", "": None}[self.plan.rejects]
        return kinesis_handler(
            made, sink=f"s3://{BUCKET}/{SINK}", rejects=kept, on_reject=self.plan.on_reject, ledger=f"dynamodb://{TABLE}"
        )

    def run(self) -> History:
        """Work it off. Raises Violation."""
        environment = {"MILLSTREAM_DEADLINE_MARGIN_MS": str(self.margin)}
        if not self.plan.asks:
            environment["MILLSTREAM_PARALLELIZATION"] = "1"
        with installed(self.world, **environment) as self.lines:
            self._feed()
            self.work_off()
            if self.draw.random() < 0.5:
                self._go_on()
        return self

    def _go_on(self) -> None:
        """What an operator does then: what was given up is run again, twice; days later what is left behind is collected."""
        for one in self.mapping.given_up:
            body = json.dumps(one.document).encode()
            self.world.clients["s3"].put_object(Bucket=BUCKET, Key=f"{FAILED}{one.key}", Body=body)
        if self.mapping.given_up:
            self.redriven = {
                number for one in self.mapping.given_up for record in one.records for number in self.sent[record.sequence].ids
            }
            for _ in range(2):
                self._redrive()
        self.world.time += 2 * 86400
        found = collect(self._ledger(), older_than=86400, delete=True)
        if found.found["doubled"] or found.found["lost"] or found.errors:
            raise Violation(f"gc finds what must not be: {found.to_dict()}")
        self.judge(final=True)
        left = [key for key, one in self.lake.objects(SINK).items() if not one.rows]
        if left:
            raise Violation(f"{len(left)} claims are left after gc")

    def _redrive(self) -> None:
        run = redrive(
            f"s3://{BUCKET}/{FAILED}",
            pipeline=pipeline(self.plan.form, self.plan.partitioned),
            sink=f"s3://{BUCKET}/{SINK}",
            rejects=f"s3://{BUCKET}/{REJECTS}",
            ledger=f"dynamodb://{TABLE}",
        )
        if run.problems:
            raise Violation(f"a redrive fails: {run.problems}")
        self.judge(final=True)

    def _ledger(self) -> Ledger:
        """As `millstream gc` opens it."""
        made = pipeline(self.plan.form, self.plan.partitioned)
        sink = open_store(f"s3://{BUCKET}/{SINK}", "the sink")
        rejects = open_rejects(f"s3://{BUCKET}/{REJECTS}", "the rejects", sink)
        by = ["k"] if self.plan.partitioned else []
        return Ledger.of(open_table(f"dynamodb://{TABLE}"), "main", made, by, sink, rejects)

    def judge(self, final: bool = False) -> None:
        """Look at all that is there."""
        everything = [one for sent in self.sent.values() for one in sent.records]
        acknowledged = {number for record in self.mapping.acknowledged for number in self.sent[record.sequence].ids}
        check_rows(self.lake, everything, acknowledged | self.redriven)
        if self.plan.rejects:
            check_rejects(self.lake, everything, acknowledged | self.redriven, at_least=self.plan.rejects == "queue")
        if final and self.mapping.backlog:
            raise Violation(f"{self.mapping.backlog} deliveries are neither done nor given up")

    def _feed(self) -> None:
        number = 1
        times = sorted(self.draw.uniform(0, self.plan.puts_until) for _ in range(self.plan.deliveries))
        for at in times:
            made, number = delivery(self.draw, number)
            key = str(self.draw.randrange(1000))
            self.world.at(START + at, lambda made=made, key=key: self._put(made, key))
        if self.plan.puts_until and self.draw.random() < 0.4:
            self.world.at(START + self.draw.uniform(0, self.plan.puts_until), self._reshard)

    def _put(self, made: Delivery, key: str) -> None:
        self.sent[self.stream.put(made.data, key, self.world.time).sequence] = made

    def _reshard(self) -> None:
        names = [one.name for one in self.stream.shards if not one.closed]
        if len(names) > 1 and self.draw.random() < 0.5:
            self.stream.merge(*names[:2])
        else:
            self.stream.split(self.draw.choice(names))

    def invoke(self, invocation: Invocation) -> None:
        """A batch to a container; with some chaos to another one too, or an old one once more, or its retry in another extent."""
        self.containers.invoke(invocation)
        if not self.is_calm and self.draw.random() < self.plan.chaos:
            match self.draw.randrange(3):
                case 0:
                    self.containers.invoke(self.mapping.again(invocation, self.world.time))
                case 1 if self.past:
                    self.containers.invoke(self.mapping.again(self.draw.choice(self.past), self.world.time))
                case 2:
                    self.mapping.regroup(invocation.shard, self.draw.randrange(1, 8))
