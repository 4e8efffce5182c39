"""Fuzz the decoder: python -m tests.fuzz --seconds 60 [--target record] [--seed 1]. `make fuzz SECONDS=60` runs all targets.

A finding is written to tests/fuzz/findings/<target>/ and makes the exit status 1; it stays there as a regression test.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from pathlib import Path

from millstream.native.bind import kernels
from tests.fuzz.targets import TARGETS

FINDINGS = Path(__file__).parent / "findings"


def fuzz(name: str, seconds: float, seed: int) -> tuple[int, list[str]]:
    """Inputs judged and what was found, for a target over some time."""
    target, draw = TARGETS[name], random.Random(f"{name} {seed}")
    end, count, found = time.monotonic() + seconds, 0, []
    while time.monotonic() < end and len(found) < 5:
        data = target.draw(draw)
        count += 1
        try:
            fault = target.judge(data)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault is not None:
            path = FINDINGS / name / hashlib.sha256(data).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            found.append(f"{path}: {fault}")
    return count, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="in all, shared by the targets (%(default)s)")
    parser.add_argument("--target", choices=TARGETS, action="append", help="one target, or several; all unless told")
    parser.add_argument(
        "--seed", type=int, default=None, help="the same seed draws the same inputs; a new one each run unless told"
    )
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    names = arguments.target or list(TARGETS)
    print(f"kernels: {kernels.load().name}, seed {seed}")
    status = 0
    for name in names:
        count, found = fuzz(name, arguments.seconds / len(names), seed)
        print(f"{name:8} {count:>9,} inputs, {len(found)} findings")
        for one in found:
            print("  " + one)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
