"""The whole pipeline on this machine: python -m tests.e2e --records 50000. `make e2e` runs it in full.

The SAM template is expanded as AWS does and deployed to moto's CloudFormation; its functions run from the built layer in roots of their own,
driven by AWS's Runtime Interface Emulator; `millstream emulate` polls a Kinesis stream (kinesis-local) and queues (moto). Real flights go through
Kinesis, both kinds of SQS queues and S3, with one record in a hundred spoiled, while a shard is split, S3 answers 503 for a while and each function's process
is killed once at its work. Then all Parquet is read back. What is wrong makes the exit status 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
from functools import partial
from pathlib import Path

from layer import DIST
from tests.e2e.campaign import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--records", type=int, default=50_000, help="through each source (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("demo/input/flights.ndjson"), help="flights (%(default)s)")
    parser.add_argument("--layer", type=Path, default=DIST / "millstream-py313-x86_64.zip", help="(%(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is stopped then
    return bool(campaign(arguments.records, arguments.data, arguments.layer, partial(print, flush=True)))


if __name__ == "__main__":
    sys.exit(main())
