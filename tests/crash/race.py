"""Many containers with one batch at once: one result, and whoever comes later finds it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.crash.forked import Forked, Plan, prepare
from tests.crash.place import Place
from tests.crash.server import make_bucket, make_table, running

LEFT = 0.3
"""How often an attempt was left behind before."""


def race(rounds: Iterable[int], processes: int, seed: int, say: Any = print) -> list[str]:
    """Run rounds, and tell of them. What is wrong, line by line."""
    began, count, wrong, done = time.monotonic(), Counter[str](), list[str](), 0
    succeeded: Counter[int] = Counter()
    with running():
        bucket, table = make_bucket(), make_table()
        prepare(Place(bucket, table, "prepare"))
        for number in rounds:
            done += 1
            place = Place(bucket, table, f"round-{number}")
            found, trace = _round(place, random.Random(f"race {seed} {number}"), processes, count, succeeded)
            if found:
                wrong += found
                say(f"round {number}: python -m tests.crash race --seed {seed} --processes {processes} --round {number}")
                for line in (*trace, *found):
                    say(f"    {line}")
            if done % 50 == 0:
                say(f"  {done} rounds, {len(wrong)} violations", flush=True)
    told = ", ".join(f"{many} in {times} rounds" for many, times in sorted(succeeded.items()))
    say(f"race: seed {seed}, {done:,} rounds of {processes} processes in {time.monotonic() - began:,.0f} s")
    say(
        f"  answers {count['answers']:,}: success {count['success']:,}, to come again {count['again']:,}, in part {count['in part']:,}; successes: {told}"
    )
    say(
        f"  before it, an attempt was left behind in {count['left']:,} rounds; after it, records were written in {count['after']:,}, all old in {count['old']:,}"
    )
    say(
        f"  records {count['records']:,}, attempts {count['attempts']:,}, objects {count['objects']:,}, of them claims {count['claims']:,}"
    )
    say(f"  violations {len(wrong)}", flush=True)
    return wrong


def _round(
    place: Place, draw: random.Random, processes: int, count: Counter[str], succeeded: Counter[int]
) -> tuple[list[str], list[str]]:
    total, wrong, wrote = draw.randint(5, 60), list[str](), 0
    batch = place.batch(0, total)
    was_left = draw.random() < LEFT
    if was_left:
        left = Forked(place, place.batch(0, draw.randint(1, total)), Plan("after", draw.randrange(1, 7)))
        left.go()
        count["left"] += left.meet() == "killed"
    children = [Forked(place, batch) for _ in range(processes)]
    for child in children:
        child.go()
    trace, won = [], 0
    for child in children:
        met, result = child.meet(), child.result
        trace.append(f"{met} {result}")
        count["answers"] += 1
        if "broken" in result or met != "answered":
            wrong.append(f"{met} {result.get('broken', '')}")
        elif "again" in result:
            count["again"] += 1
        elif result["answer"]["batchItemFailures"]:
            count["in part"] += 1
            if not was_left:  # else that was whole, and shorter
                wrong.append(f"an answer in part: {result}")
        else:
            count["success"] += 1
            won += 1
            wrote += result["counts"]["written"] > 0
    succeeded[won] += 1
    if wrote > 1:
        wrong.append(f"{wrote} processes tell that they wrote the batch")
    again = Forked(place, batch)
    again.go()
    again.meet()
    trace.append(f"again: {again.result}")
    counts = again.result.get("counts", {})
    if again.result.get("answer") != {"batchItemFailures": []}:
        wrong.append(f"delivered again: {again.result}")
    elif won and counts["duplicate"] != total:
        wrong.append(f"it was done, and delivered again it is {counts}")
    else:
        count["old" if counts["duplicate"] == total else "after"] += 1
    found = place.judge(total)
    if len(found.tokens) > 1 + was_left:  # what was left behind may have been whole
        wrong.append(f"rows of {len(found.tokens)} attempts")
    count.update(records=total, objects=found.objects, claims=found.claims, attempts=found.attempts)
    return wrong + found.violations, trace
