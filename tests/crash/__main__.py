"""Campaigns over real processes and a server: python -m tests.crash kill --times 300 --seed 0 | race --times 200 | soak --minutes 20.

`make crash` and `make soak` run them in full. What was found makes the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same rounds (%(default)s)")
    campaigns = parser.add_subparsers(dest="campaign", required=True)
    one = campaigns.add_parser("kill", help="kill processes at random moments, and deliver again")
    one.add_argument("--times", type=int, default=300)
    one.add_argument("--round", type=int, default=None, help="this round alone")
    one = campaigns.add_parser("race", help="processes with one batch at once")
    one.add_argument("--times", type=int, default=200)
    one.add_argument("--processes", type=int, default=8)
    one.add_argument("--round", type=int, default=None, help="this round alone")
    one = campaigns.add_parser("soak", help="one process for minutes")
    one.add_argument("--minutes", type=float, default=20)
    one.add_argument("--data", type=Path, default=Path("demo/input/flights.ndjson"), help="flights (%(default)s)")
    for each in campaigns.choices.values():
        each.add_argument("--seed", type=int, default=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.campaign == "soak":
        from tests.crash.soak import soak

        return bool(soak(arguments.minutes * 60, arguments.seed, arguments.data).violations)
    rounds = range(arguments.times) if arguments.round is None else [arguments.round]
    if arguments.campaign == "kill":
        from tests.crash.kill import kill

        return bool(kill(rounds, arguments.seed))
    from tests.crash.race import race

    return bool(race(rounds, arguments.processes, arguments.seed))


if __name__ == "__main__":
    sys.exit(main())
