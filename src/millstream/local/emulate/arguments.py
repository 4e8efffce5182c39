"""The words of `millstream emulate`. Nothing else is imported until it is run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.local.emulate.live import Report


def add_emulate(commands: Any) -> argparse.ArgumentParser:
    """Add the command; its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "emulate",
        help="poll a stream or a queue and invoke a function, as Lambda does",
        description="Poll a Kinesis stream or an SQS queue and invoke a function by Lambda's Invoke API, as an event source mapping "
        "does. Ctrl-C ends it once what is in flight has ended.",
    )
    parser.add_argument("source", metavar="SOURCE", help="a stream's name or ARN, or a queue's URL or ARN")
    parser.add_argument("--invoke", metavar="URL", help="where functions are invoked (default: where the AWS settings say)")
    parser.add_argument("--name", metavar="NAME", help="the function's name or ARN (default with --invoke: function)")
    parser.add_argument(
        "--timeout", metavar="S", type=float, help="the function's, in seconds (default: the template's, or 30)"
    )
    parser.add_argument("--concurrency", metavar="N", type=int, default=1, help="invocations at a time (default: 1)")
    template = parser.add_argument_group("settings of the mapping", "What is given here goes before what the template says.")
    template.add_argument("--template", metavar="FILE", help="a SAM or CloudFormation template to read these settings from")
    template.add_argument("--function", metavar="LOGICAL_ID", help="which function of the template")
    template.add_argument("--batch-size", metavar="N", type=int, help="records of an event (default: 100, of a queue 10)")
    template.add_argument("--window", metavar="S", type=float, help="seconds in which a batch is gathered (default: 0)")
    template.add_argument(
        "--report-batch-item-failures",
        action="store_const",
        const=True,
        help="take the function's word for which records failed",
    )
    template.add_argument("--filter", metavar="PATTERN", nargs="+", help="records that match one of these are delivered")
    stream = parser.add_argument_group("settings of a stream's mapping")
    stream.add_argument(
        "--starting-position",
        metavar="WHERE",
        help="TRIM_HORIZON, LATEST or a time like 2026-01-31T12:00:00Z (default: TRIM_HORIZON)",
    )
    stream.add_argument("--parallelization", metavar="N", type=int, help="batches of a shard at a time, 1 to 10 (default: 1)")
    stream.add_argument("--bisect", action="store_const", const=True, help="split a batch that failed in two")
    stream.add_argument("--maximum-retries", metavar="N", type=int, help="of a batch that failed; -1 without end (default: -1)")
    stream.add_argument("--maximum-age", metavar="S", type=float, help="of a record that is delivered; -1 any (default: -1)")
    stream.add_argument("--backoff-limit", metavar="S", type=float, help="the longest wait between retries (default: 60)")
    stream.add_argument(
        "--destination",
        metavar="URL",
        help="what is told of records given up: s3://BUCKET, a queue's URL or ARN, a topic's ARN; or none",
    )
    stream.add_argument("--checkpoints", metavar="FILE", help="where to go on is kept here")
    parser.add_argument(
        "--until-idle", metavar="S", type=float, help="end when nothing came for S seconds and nothing is in flight"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    return parser


def run_emulate(arguments: argparse.Namespace) -> Report:
    """Run the command. Raises UsageError, and RunError before anything was done."""
    from millstream.sinks.store import require_boto3

    require_boto3("millstream emulate")
    from millstream.local.emulate.command import emulate

    return emulate(arguments)
