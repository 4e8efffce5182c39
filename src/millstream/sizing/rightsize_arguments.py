"""The words of `millstream rightsize`. Nothing else is imported until it is run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.sizing.findings import Findings


def add_rightsize(commands: Any) -> argparse.ArgumentParser:
    """Add the command; its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "rightsize",
        help="measure a function at sizes of memory, and tell which to take",
        description="Run a pipeline's handler in processes with the memory and the share of CPU that Lambda gives a function, measure "
        "durations and memory, and tell which size is cheapest, fastest and balanced. Nothing is asked of AWS.",
    )
    parser.add_argument("pipeline", metavar="PIPELINE", help="file.yaml, or file.py:name")
    parser.add_argument(
        "--events", metavar="PATH", required=True, help="recorded events, one a file, or data files; a file or a folder"
    )
    made = parser.add_argument_group("what is run")
    made.add_argument(
        "--source",
        choices=("kinesis", "sqs", "s3"),
        help="what data files become events of (default: kinesis); s3: each an object",
    )
    made.add_argument(
        "--batch", metavar="N", type=int, default=1000, help="records of an event made of data files (default: 1000)"
    )
    made.add_argument("--memory", metavar="MB,MB", help="sizes to try (default: 128,256,512,1024,1769,2048,3008)")
    made.add_argument("--rounds", metavar="N", type=int, default=3, help="processes of each size (default: 3)")
    made.add_argument("--batches", metavar="N", type=int, default=20, help="batches of a process after its first (default: 20)")
    made.add_argument(
        "--cpu",
        choices=("auto", "quota", "model"),
        default="auto",
        help="how a share of CPU is held: by the kernel's quota, or computed from CPU time (default: the quota where it is allowed)",
    )
    made.add_argument("--latency", metavar="MS", type=float, default=0.0, help="how long S3 takes to answer (default: 0)")
    made.add_argument(
        "--sink",
        metavar="URL",
        help="a folder or s3://bucket/prefix/ to write to (default: an S3 of its own, which keeps nothing)",
    )
    made.add_argument(
        "--with-numpy", action="store_true", help="numpy and pandas are in the function's package; else they cannot be imported"
    )
    told = parser.add_argument_group("what is told")
    told.add_argument(
        "--architecture", choices=("x86_64", "arm64"), help="whose prices the choice is by (default: this machine's)"
    )
    told.add_argument("--prices", metavar="FILE", help="other prices than those that come with Millstream")
    told.add_argument("--plot", metavar="FILE", help="draw duration and cost over memory: .svg, .png or .pdf")
    told.add_argument("--profile", metavar="FILE", help="write what was measured, for millstream forecast")
    told.add_argument("--json", action="store_true", help="print one JSON object")
    write = parser.add_argument_group("what is written")
    write.add_argument(
        "--write", metavar="FILE", help="set the memory in a samconfig.toml (with --env), or in a YAML file of parameters"
    )
    write.add_argument("--env", metavar="NAME", help="the environment of the samconfig.toml")
    write.add_argument(
        "--choose", choices=("cheapest", "fastest", "balanced"), default="balanced", help="which size (default: balanced)"
    )
    write.add_argument(
        "--parameter", metavar="NAME", default="MemorySize", help="the template's parameter (default: MemorySize)"
    )
    return parser


def run_rightsize(arguments: argparse.Namespace, progress: Any) -> tuple[Findings, list[str]]:
    """Run the command: what was found, and what was written, to read. Raises UsageError and RunError."""
    from millstream.sizing.rightsize import rightsize

    return rightsize(arguments, progress)
