"""A stream's shard and where it goes: what is delivered of it, and what has to stand in the bucket in the end."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from millstream.aws import kinesis_handler
from millstream.ledger.item import Shard
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.crash.server import delete, objects, own

BAD = 5
"""Each fifth record is none."""
PIPELINE = Pipeline(
    {"id": "int64", "kind": "string", "text": "string"},
    name="orders",
    output={"format": "parquet", "partition_by": ["kind"]},
)


def payload(number: int) -> bytes:
    if _is_bad(number):
        return b'{"id": %d, "kind"' % number
    return json.dumps({"id": number, "kind": _kind(number), "text": f"text of {number}"}).encode()


def _is_bad(number: int) -> bool:
    return number % BAD == BAD - 1


def _kind(number: int) -> str:
    return "abc"[number % 3]


class Found(NamedTuple):
    """What stands there. violations: what should not be so. tokens: of the attempts whose rows or rejects stand there."""

    violations: list[str]
    objects: int
    claims: int
    attempts: int
    tokens: set[str]


class Place:
    """One shard's sink, rejects and item, apart from all others'."""

    def __init__(self, bucket: str, table: str, prefix: str) -> None:
        self.bucket, self.table, self.prefix = bucket, table, prefix
        self.sink, self.rejects = f"s3://{bucket}/{prefix}/out/", f"s3://{bucket}/{prefix}/bad/"

    def container(self) -> Any:
        """One that was just started."""
        made = kinesis_handler(PIPELINE, sink=self.sink, rejects=self.rejects, ledger=f"dynamodb://{self.table}")
        made.load()
        return made

    def batch(self, first: int, last: int) -> bytes:
        """Records of the shard from one number up to another, without that."""
        return events.to_bytes({"Records": [events.kinesis_record(payload(number), number) for number in range(first, last)]})

    def judge(self, total: int) -> Found:
        """Compare what stands there with the first `total` records, all of which were acknowledged; remove it."""
        rows: Counter[tuple[str, int, str]] = Counter()
        rejects: Counter[tuple[str, bytes]] = Counter()
        wrong: list[str] = []
        keys, claims, tokens = [], 0, set()
        for name, body, tags in objects(self.bucket, f"{self.prefix}/"):
            keys.append(f"{self.prefix}/{name}")
            # Without threads of Arrow's: this process forks.
            found = pq.ParquetFile(io.BytesIO(body), pre_buffer=False).read(use_threads=False).to_pylist()
            place, _, rest = name.partition("/")
            told = {key.removeprefix("millstream-"): value for key, value in tags.items()}
            if told.get("claim"):
                claims += 1
                if found:
                    wrong.append(f"the claim {name} has rows")
                continue
            tokens.add(told["token"])
            if place == "bad":
                rejects.update((one["identity"], one["payload"]) for one in found)
            else:
                kind = rest.partition("/")[0].removeprefix("kind=")
                rows.update((kind, one["id"], one["text"]) for one in found)
        numbers = range(total)
        good = Counter((_kind(one), one, f"text of {one}") for one in numbers if not _is_bad(one))
        bad = Counter((str(events.FIRST + one), payload(one)) for one in numbers if _is_bad(one))
        for what, stands, should in (("row", rows, good), ("reject", rejects, bad)):
            wrong += [f"{what} {one} is lost" for one in should - stands]
            wrong += [f"{what} {one} is there {count} times too often" for one, count in (stands - should).items()]
        item = self._item()
        if item.get("committed") != {"S": str(events.FIRST + total - 1)} or "intent" in item:
            wrong.append(f"the ledger's item is {item}")
        if not wrong:  # else somebody may want to see it
            delete(self.bucket, keys)
        return Found(wrong, len(keys), claims, int(item.get("attempt", {"N": "0"})["N"]), tokens)

    def _item(self) -> dict[str, Any]:
        shard = Shard("main", PIPELINE.name, self.sink, events.STREAM, events.SHARD)
        found = own("dynamodb").get_item(TableName=self.table, Key={"id": {"S": shard.id}}, ConsistentRead=True)
        return dict(found.get("Item", {}))
