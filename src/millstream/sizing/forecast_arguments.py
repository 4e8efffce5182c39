"""The words of `millstream forecast`. Nothing else is imported until it is run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.sizing.forecast import Forecast

SHARE_STORED = 0.2


def add_forecast(commands: Any) -> argparse.ArgumentParser:
    """Add the command; its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "forecast",
        help="tell what a workload needs and costs",
        description="Tell how many shards, which batch size, window and concurrency a workload needs, and what it costs a month, item by "
        "item, from a profile that `millstream rightsize --profile` wrote, or from a duration of yours; Firehose beside it.",
    )
    work = parser.add_argument_group("what comes in")
    work.add_argument("--workload", metavar="FILE", help="YAML with keys as these options, of which any is given first")
    work.add_argument("--records-per-second", metavar="N", type=float, help="a month's mean")
    work.add_argument("--record-bytes", metavar="N", type=float, help="of a record, as it comes in")
    work.add_argument("--source", metavar="NAME", help="kinesis, sqs, fifo or s3 (default: the profile's, or kinesis)")
    work.add_argument("--peak", metavar="N", type=float, help="how many times the mean the busiest minutes bring (default: 3)")
    work.add_argument("--latency", metavar="S", type=float, help="seconds until a record's row is in the sink (default: 60)")
    work.add_argument("--retention", metavar="H", type=float, help="hours that the source keeps records (default: 24)")
    work.add_argument("--per-delivery", metavar="N", type=int, help="records in a Kinesis record or a message (default: 1)")
    work.add_argument("--object-bytes", metavar="N", type=float, help="of an object that comes in by s3 (default: 64 MiB)")
    work.add_argument("--rejected", metavar="SHARE", type=float, help="of the records, 0 to 1 (default: 0)")
    function = parser.add_argument_group("the function")
    function.add_argument(
        "--profile", metavar="FILE", action="append", help="what rightsize measured; twice, of batches of two sizes, is surer"
    )
    function.add_argument("--memory", metavar="MB", type=int, help="one that was measured (default: the profile's balanced)")
    function.add_argument("--architecture", metavar="NAME", help="x86_64 or arm64 (default: the profile's, or x86_64)")
    function.add_argument(
        "--duration-ms", metavar="MS", type=float, help="without a profile: of a batch of --batch, with --memory"
    )
    function.add_argument("--init-ms", metavar="MS", type=float, help="without a profile: to begin (default: 1,000)")
    function.add_argument("--put-ms", metavar="MS", type=float, help="to wait for S3, beside a profile (default: 40)")
    function.add_argument("--ledger-ms", metavar="MS", type=float, help="to wait for DynamoDB, beside a profile (default: 6)")
    function.add_argument("--batch", metavar="N", type=int, help="the batch size, if you have decided it")
    function.add_argument("--window", metavar="S", type=int, help="the window, if you have decided it")
    function.add_argument("--parallelization", metavar="N", type=int, help="batches of a shard at a time (default: 1)")
    function.add_argument("--cold", metavar="SHARE", type=float, help="of invocations that begin anew (default: 0.01)")
    function.add_argument("--tmp-mb", metavar="MB", type=int, help="of /tmp; above 512 it is paid for (default: 512)")
    once = function.add_mutually_exclusive_group()
    once.add_argument("--once", action="store_const", const=True, help="with the ledger (default for kinesis and s3)")
    once.add_argument("--at-least-once", dest="once", action="store_const", const=False, help="without")
    around = parser.add_argument_group("what is around it")
    around.add_argument(
        "--mode", metavar="NAME", help="of the stream: provisioned, on-demand or auto, the cheaper (default: auto)"
    )
    around.add_argument("--readers", metavar="N", type=int, help="that read the stream, this one among them (default: 1)")
    around.add_argument(
        "--objects", metavar="N", type=int, help="that a batch is written to, one a partition (default: the profile's, or 1)"
    )
    around.add_argument(
        "--output-bytes", metavar="N", type=float, help="of a record as stored (default: the profile's, or a fifth)"
    )
    around.add_argument("--days", metavar="N", type=float, help="that rows are kept (default: 30)")
    around.add_argument("--storage", metavar="NAME", help="standard or intelligent-tiering (default: standard)")
    around.add_argument("--log-days", metavar="N", type=float, help="that logs are kept (default: 30)")
    around.add_argument("--alarms", metavar="N", type=int, help="metrics that alarms look at (default: 0)")
    around.add_argument("--dashboards", metavar="N", type=int, help="dashboards (default: 0)")
    around.add_argument("--keys", metavar="N", type=int, help="keys of KMS (default: 0)")
    parser.add_argument("--prices", metavar="FILE", help="prices that go before those of Millstream, some or all")
    parser.add_argument("--free-tier", action="store_true", help="take off what an account has for nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run_forecast(arguments: argparse.Namespace) -> Forecast:
    """Run the command. Raises UsageError."""
    import math

    from millstream.errors import UsageError
    from millstream.sizing.forecast import forecast
    from millstream.sizing.forecast_plan import FILE_BYTES
    from millstream.sizing.given import Place, number_of, one_of, whole_of
    from millstream.sizing.limits import LEAST_MB, MOST_MB
    from millstream.sizing.pace import by_hand, of_profiles
    from millstream.sizing.prices import load
    from millstream.sizing.profile import ARCHITECTURES, Profile
    from millstream.sizing.workload import FIFO, READ, S3, SQS, workload_of

    if arguments.architecture is not None:
        one_of(arguments.architecture, ARCHITECTURES, Place(("--architecture",)))
    for name in ("duration_ms", "init_ms", "put_ms", "ledger_ms"):
        if getattr(arguments, name) is not None:
            least = 0.001 if name == "duration_ms" else 0.0
            number_of(getattr(arguments, name), Place((f"--{name.replace('_', '-')}",)), least=least, most=900_000)
    if arguments.memory is not None:
        whole_of(arguments.memory, Place(("--memory",)), least=LEAST_MB, most=MOST_MB)
    profiles = [Profile.read(path) for path in arguments.profile or []]
    given, otherwise, assumed = {name: getattr(arguments, name, None) for name in READ}, {}, []
    if profiles:
        first = profiles[0]
        otherwise = {"source": first.source, "objects": max(first.objects, 1), "output_bytes": first.bytes_out / first.records}
        if first.source == S3:  # of one object, whose rows are as many files as it has chunks
            otherwise["objects"] = max(round(first.objects / max(math.ceil(first.bytes_in / FILE_BYTES), 1)), 1)
            otherwise["object_bytes"] = max(first.bytes_in, 1)
        if first.bytes_in:
            otherwise["record_bytes"] = first.bytes_in / first.records
    workload = workload_of(given, arguments.workload, otherwise)
    if not profiles and given["output_bytes"] is None and workload.output_bytes == 0:
        from millstream.classes import replace

        workload = replace(workload, output_bytes=workload.record_bytes * SHARE_STORED)
        assumed.append(f"a record is stored in {SHARE_STORED:.0%} of its bytes (--output-bytes)")
    if profiles:
        if arguments.duration_ms is not None or arguments.init_ms is not None:
            raise UsageError("--duration-ms and --init-ms are for use without --profile; leave out one or the other")
        if workload.source != profiles[0].source and not (workload.source == FIFO and profiles[0].source == SQS):
            raise UsageError(
                f"the profile is of a function of {profiles[0].source}, not {workload.source}; measure one with such events"
            )
        pace = of_profiles(profiles, arguments.memory, arguments.architecture, arguments.put_ms, arguments.ledger_ms)
    else:
        missing = [
            f"--{name.replace('_', '-')}" for name in ("duration_ms", "memory", "batch") if getattr(arguments, name) is None
        ]
        if missing:
            raise UsageError(
                f"without --profile FILE, which millstream rightsize writes, a forecast needs {' and '.join(missing)}: "
                "how long a batch of so many takes at which memory"
            )
        if arguments.put_ms is not None or arguments.ledger_ms is not None:
            raise UsageError("--put-ms and --ledger-ms go with --profile; --duration-ms holds all that is waited for")
        init = 1000.0 if arguments.init_ms is None else arguments.init_ms
        records = arguments.batch * workload.records_per_delivery
        if arguments.batch < 1:
            raise UsageError(f"--batch is {arguments.batch}; write 1 or more")
        pace = by_hand(arguments.duration_ms, records, arguments.memory, arguments.architecture or ARCHITECTURES[0], init)
    return forecast(
        workload, pace, load(arguments.prices), batch=arguments.batch, window=arguments.window, free_tier=arguments.free_tier,
        assumed=tuple(assumed),
    )  # fmt: skip
