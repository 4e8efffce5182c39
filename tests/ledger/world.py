"""A stream's shard, a sink, its rejects and a ledger, all real; containers that work on them, and can stop at any call."""

import io
import json
import math
import uuid
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from millstream.aws import kinesis_handler
from millstream.aws.once import Once
from millstream.ledger.item import Shard
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from millstream.sinks.s3 import S3Store
from tests.aws import events

SCHEMA = {"id": "int64", "kind": "string"}
BAD = 4
"""Each fourth record is none."""
CALLS = (("sink", "put"), ("sink", "replace"), ("rejects", "put"), ("rejects", "replace"), ("table", "swap"))


def payload(number):
    if number % BAD == BAD - 1:
        return b"{bad %d" % number
    return json.dumps({"id": number, "kind": "ab"[number // 2 % 2]}).encode()


def batch(first, last):
    """Records of the shard, as Lambda delivers them: from one number up to another, without that."""
    return {"Records": [events.kinesis_record(payload(number), number) for number in range(first, last)]}


def good(first, last):
    return [number for number in range(first, last) if number % BAD != BAD - 1]


def bad(first, last):
    return [number for number in range(first, last) if number % BAD == BAD - 1]


@cache
def _pipeline(form, partitioned):
    return Pipeline(SCHEMA, name="orders", output={"format": form, "partition_by": ["kind"] if partitioned else []})


class Dead(BaseException):
    """A container is gone."""


class World:
    """place: folder, with a ledger in SQLite, or s3, with one in DynamoDB. rejects: stored, queue, or None: they are dropped."""

    def __init__(self, root, *, form="parquet", partitioned=True, rejects="stored", bucket=None, table=None, queue=None):
        name = uuid.uuid4().hex[:12]
        self.bucket, self.queue = bucket, queue
        start = f"s3://{bucket}/{name}" if bucket else f"{root}/{name}"
        self.sink, self.form = f"{start}/out/", form
        self.rejects = f"{start}/bad/" if rejects == "stored" else f"sqs+{queue}" if rejects == "queue" else None
        self.ledger = f"dynamodb://{table}" if bucket else f"sqlite://{root}/{name}.db"
        self.pipeline = _pipeline(form, partitioned)

    def container(self, **other):
        """One that was just started."""
        options = {"sink": self.sink, "rejects": self.rejects, "ledger": self.ledger} | other
        if options["rejects"] is None:
            options.setdefault("on_reject", "drop-and-count")
        made = kinesis_handler(options.pop("pipeline", self.pipeline), **options)
        made.sink.threads = 1  # so that calls have an order
        return made

    def objects(self, place=None):
        """What stands in the sink, but for notes: bytes by name."""
        place = place or self.sink
        if not self.bucket:
            root = Path(place)
            found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        else:
            client, prefix = clients.client("s3"), place.removeprefix(f"s3://{self.bucket}/")
            listed = [one["Key"] for one in client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", ())]
            store = S3Store(self.bucket, "")  # which asks again where an answer is lost
            found = {key.removeprefix(prefix): store.noted(key, math.inf) for key in listed}
        return {name: body for name, body in found.items() if not name.rpartition("/")[2].startswith(("_", "."))}

    def ids(self):
        """Of all rows in the sink."""
        return sorted(row["id"] for body in self.objects().values() for row in self._rows(body))

    def _rows(self, body):
        if self.form == "parquet":
            return pq.ParquetFile(io.BytesIO(body)).read().to_pylist()
        return json.loads(body) if self.form == "json" else [json.loads(line) for line in body.splitlines() if line]

    def rejected(self):
        """The numbers of all rejects that are kept."""
        if self.rejects is None:
            return []
        if self.rejects.startswith("sqs"):
            kept = []
            while found := clients.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
                kept += [json.loads(one["Body"]) for one in found]
        else:
            kept = [
                row
                for body in self.objects(self.rejects).values()
                for row in pq.ParquetFile(io.BytesIO(body)).read().to_pylist()
            ]
        return sorted(int(one["identity"]) - events.FIRST for one in kept)

    def item(self, container=None):
        """The shard's, as the ledger has it."""
        ledger = (container or self.container()).once.ledger
        return ledger.table.read(self.shard.id, math.inf)

    @property
    def shard(self):
        """What the item is called by."""
        return Shard("main", "orders", self.sink if self.bucket else self.sink.rstrip("/"), events.STREAM, events.SHARD)


def calls_of(container, meet):
    """Have `meet(number, name, call)` make a container's calls that leave something behind: counted from 0, by name."""
    once: Once = container.once
    stores = {"sink": container.sink, "rejects": getattr(container.rejects, "store", None), "table": once.ledger.table}
    number = 0

    def watched(owner, name, told):
        call = getattr(owner, name)

        def made(*arguments, **named):
            nonlocal number
            number += 1
            return meet(number - 1, told, lambda: call(*arguments, **named))

        setattr(owner, name, made)

    for what, name in CALLS:
        if stores[what] is not None:
            watched(stores[what], name, f"{what} {name}")


def count_calls(world, event):
    """How many calls a container makes for a batch."""
    seen = []
    container = world.container()
    calls_of(container, lambda number, told, call: (seen.append(told), call())[1])
    container(event, None)
    return seen


def dying(world, at, after):
    """A container that is gone before, or after, one of its calls."""
    container = world.container()

    def meet(number, told, call):
        if number > at or (number == at and not after):
            raise Dead
        found = call()
        if number == at:
            raise Dead
        return found

    calls_of(container, meet)
    return container


def frozen(world, at, after, meanwhile):
    """A container that stands still before, or after, one of its calls, while something happens; then it goes on."""
    container = world.container()

    def meet(number, told, call):
        if number == at and not after:
            meanwhile()
        found = call()
        if number == at and after:
            meanwhile()
        return found

    calls_of(container, meet)
    return container
