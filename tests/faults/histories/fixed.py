"""Three batches of one shard, always the same: what is tried at each of their calls, with each fault, at each deadline."""

from __future__ import annotations

from typing import Any

from millstream.local.emulator.answers import Invocation
from millstream.local.emulator.streams import StreamSettings
from tests.aws.events import kpl_aggregate
from tests.faults.faults import Call, Fault
from tests.faults.histories.fed import FILTERED, REJECTED, WRITTEN, Delivery, Fed, poisoned, told, written
from tests.faults.histories.streams import History, Plan

DELIVERIES = 9
PLAN = Plan(
    settings=StreamSettings(batch_size=3, report_batch_item_failures=True, destination="s3", timeout=60.0),
    shards=1,
    form="parquet",
    partitioned=True,
    rejects="store",
    on_reject=None,
    deliveries=DELIVERIES,
    fault_rate=0.0,
    chaos=0.0,
    puts_until=0.0,
    asks=False,
)


def _fed(number: int) -> Fed:
    """Every fifth is poison, every fourth is filtered."""
    k = "abc"[number % 3]
    if number % 5 == 0:
        return Fed(number, poisoned(number % 4, told(number, k, 20.0)), REJECTED)
    if number % 4 == 0:
        return Fed(number, written(told(number, k, 5.0)), FILTERED)
    return Fed(number, written(told(number, k, 10.5 + number)), WRITTEN, _row(number, k))


def _row(number: int, k: str) -> tuple[Any, ...]:
    price = 10.5 + number
    return (number, k, price, told(number, k, price)["note"], price * 0.1)


class ThreeBatches(History):
    """The same records in each: of one shard, in three batches; the fourth delivery holds three records.

    timeout: of the first invocation, in seconds: the handler is told so, and is killed then.
    """

    def __init__(self, chooser: Any, timeout: float | None = None, margin: int = 2000) -> None:
        super().__init__("three batches", PLAN, chooser)
        self.world.call_seconds = 0.001
        self.margin, self.timeout = margin, timeout

    def _feed(self) -> None:
        number = 1
        for i in range(DELIVERIES):
            records = [_fed(number + j) for j in range(3 if i == 3 else 1)]
            number += len(records)
            data = records[0].data if len(records) == 1 else kpl_aggregate([one.data for one in records])
            self._put(Delivery(data, records), str(i))

    def invoke(self, invocation: Invocation) -> None:
        if self.timeout is None:
            super().invoke(invocation)
            return
        due, self.timeout = self.world.time + self.timeout, None
        task = self.containers.invoke(invocation._replace(due=due))
        self.world.at(due, task.kill)


class At:
    """A fault at one call of the handlers', by its index; what calls there are."""

    def __init__(self, index: int | None = None, fault: Fault | None = None) -> None:
        self.index, self.fault = index, fault
        self.calls: list[Call] = []

    def __call__(self, call: Call) -> Fault | None:
        self.calls.append(call)
        return self.fault if call.index == self.index else None
