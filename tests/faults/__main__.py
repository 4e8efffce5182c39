"""Seeded histories with faults: `python -m tests.faults --seeds 10000`; `--seed N` runs one and prints what happened."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.faults.histories.campaign import KINDS, campaign, history, kind_of
from tests.faults.histories.judge import Violation

MOST_VIOLATIONS = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default: 10,000)")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--kind", choices=KINDS, help="only of that kind (default: each seed has its own)")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seed", type=int, help="run this one alone, and print each call")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _one(arguments.seed, arguments.kind)
    started, kinds, calls, invocations, violations = time.monotonic(), Counter[str](), 0, 0, 0
    for told in campaign(arguments.first, arguments.seeds, arguments.kind, arguments.jobs):
        kinds[told.kind] += 1
        calls, invocations = calls + told.calls, invocations + told.invocations
        if told.violation is not None:
            violations += 1
            print(f"seed {told.seed} ({told.kind}): {told.violation}")
            print(f"  replay: python -m tests.faults --seed {told.seed} --kind {told.kind}", flush=True)
            if violations == MOST_VIOLATIONS:
                break
    seconds = time.monotonic() - started
    drawn = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"{sum(kinds.values()):,} histories ({drawn}), {invocations:,} invocations, {calls:,} calls: {violations} violations",
        end="",
    )
    print(f"; {seconds:,.0f} s")
    return 1 if violations else 0


def _one(seed: int, kind: str | None) -> int:
    kind = kind or kind_of(seed)
    one = history(seed, kind)
    print(f"seed {seed}, {kind}: {one.plan}")
    try:
        one.run()
    except Violation as found:
        violation: Violation | None = found
    else:
        violation = None
    for line in one.world.trace:
        print(*line)
    print("no violation" if violation is None else f"violation: {violation}")
    return 0 if violation is None else 1


if __name__ == "__main__":
    sys.exit(main())
