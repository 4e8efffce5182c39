"""Containers killed at random moments, their batches delivered again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from tests.aws import events
from tests.crash.forked import Forked, Plan, prepare
from tests.crash.place import Place
from tests.crash.server import make_bucket, make_table, running

CALLS = 12
"""A batch makes seven or eight calls to AWS; one that ends an attempt before, some more."""
KILLED_AGAIN = 0.3
OLD = 0.25
MOST = 40
"""Deliveries of one round: more, and it does not get through."""


class Round:
    """Some batches of a shard, until all are acknowledged."""

    def __init__(self, place: Place, name: str, usual: deque[float], count: Counter[str]) -> None:
        self.place, self.draw, self.usual, self.count = place, random.Random(name), usual, count
        self.trace: list[str] = []
        self.wrong: list[str] = []
        self.stopped: list[tuple[int, Forked]] = []

    def run(self) -> list[str]:
        draw, cuts = self.draw, [0]
        for _ in range(draw.randint(1, 3)):
            cuts.append(cuts[-1] + draw.randint(5, 40))
        done, total, last, fresh, deliveries = 0, cuts[-1], cuts[1], True, 0
        while done < total:
            deliveries += 1
            if deliveries > MOST:
                self.wrong.append(f"it does not get through: {MOST} deliveries")
                break
            if done and draw.random() < 0.1:  # all of it is old
                first = draw.randrange(done)
                self._deliver(first, draw.randint(first + 1, done), None, deliveries)
            first = draw.randrange(done) if done and draw.random() < OLD else done
            plan = self._plan() if fresh or draw.random() < KILLED_AGAIN else None
            result = self._deliver(first, last, plan, deliveries)
            fresh = False
            if "answer" in result:
                failed = result["answer"]["batchItemFailures"]
                done = int(failed[0]["itemIdentifier"]) - events.FIRST if failed else last
                if not failed:
                    last, fresh = next((cut for cut in cuts if cut > done), total), True
                continue
            how = draw.choice(["same", "shorter", "longer"])
            if how == "shorter" and last > done + 1:
                last = draw.randrange(done + 1, last)
            elif how == "longer":
                last = draw.randint(last, total)
        for _, child in self.stopped:
            child.resume()
            self._heed(child, child.meet(), "it went on")
        if not self.wrong:
            found = self.place.judge(total)
            self.wrong += found.violations
            self.count.update(records=total, objects=found.objects, claims=found.claims, attempts=found.attempts)
        return self.wrong

    def _deliver(self, first: int, last: int, plan: Plan | None, deliveries: int) -> dict[str, Any]:
        """To a new container; one that stands still goes on beside it, when its time has come."""
        child = Forked(self.place, self.place.batch(first, last), plan)
        child.go()
        beside = [one for when, one in self.stopped if when <= deliveries]
        self.stopped = [(when, one) for when, one in self.stopped if when > deliveries]
        for one in beside:
            one.resume()
        met = child.meet()
        self.count["deliveries"] += 1
        if plan is None and child.result.get("counts", {}).get("written") and not beside:
            self.usual.append(child.seconds)
        self._heed(child, met, f"{first}..{last} {tuple(plan) if plan else ''}")
        if met == "stopped":
            self.stopped.append((deliveries + self.draw.randint(1, 3), child))
        for one in beside:
            self._heed(one, one.meet(), "it went on")
        return child.result

    def _heed(self, child: Forked, met: str, told: str) -> None:
        self.count[met] += 1
        result = child.result
        outcome = result.get("answer") or result.get("again") or result.get("broken") or ""
        self.trace.append(f"{told}: {met} {outcome} {result.get('counts', '')} {result.get('calls', '')}")
        if "broken" in result:
            self.wrong.append(result["broken"])
        if met == "late":
            self.wrong.append("an invocation does not end")
        if "again" in result:
            self.count["again"] += 1

    def _plan(self) -> Plan:
        draw = self.draw
        if draw.random() < 0.5:
            return Plan("time", draw.uniform(0, 1.2) * statistics.median(self.usual))
        kind = draw.choice(["before", "after", "on its way", "on its way", "stop before", "stop after"])
        return Plan(kind, draw.randrange(CALLS), draw.uniform(0, 0.01))


def kill(rounds: Iterable[int], seed: int, say: Any = print) -> list[str]:
    """Run rounds, and tell of them. What is wrong, line by line."""
    began, count, wrong, done = time.monotonic(), Counter[str](), list[str](), 0
    with running():
        bucket, table = make_bucket(), make_table()
        prepare(Place(bucket, table, "prepare"))
        usual = deque((_undisturbed(Place(bucket, table, f"usual-{number}")) for number in range(7)), maxlen=21)
        for number in rounds:
            done += 1
            one = Round(Place(bucket, table, f"round-{number}"), f"kill {seed} {number}", usual, count)
            found = one.run()
            if found:
                wrong += found
                say(f"round {number}: python -m tests.crash kill --seed {seed} --round {number}")
                for line in (*one.trace, *found):
                    say(f"    {line}")
            if done % 50 == 0:
                say(f"  {done} rounds, {count['killed']} killed, {len(wrong)} violations", flush=True)
    say(
        f"kill: seed {seed}, {done:,} rounds in {time.monotonic() - began:,.0f} s; an undisturbed invocation takes {statistics.median(usual) * 1000:.0f} ms"
    )
    say(
        f"  deliveries {count['deliveries']:,}: killed {count['killed']:,}, stopped {count['stopped']:,}, answered {count['answered']:,}, of them to come again {count['again']:,}"
    )
    say(
        f"  records {count['records']:,}, attempts {count['attempts']:,}, objects {count['objects']:,}, of them claims {count['claims']:,}"
    )
    say(f"  violations {len(wrong)}", flush=True)
    return wrong


def _undisturbed(place: Place) -> float:
    child = Forked(place, place.batch(0, 22))
    child.go()
    if child.meet() != "answered" or "answer" not in child.result:
        raise AssertionError(f"an undisturbed invocation: {child.result}")
    return child.seconds
