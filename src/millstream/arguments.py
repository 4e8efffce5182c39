"""What the command line takes."""

from __future__ import annotations

import argparse
from typing import Any

from millstream.glue import command as glue
from millstream.local.emulate.arguments import add_emulate
from millstream.sizing.forecast_arguments import add_forecast
from millstream.sizing.rightsize_arguments import add_rightsize

_NAMESPACE = "a part of the ledger's keys (default: main)"


def parser() -> argparse.ArgumentParser:
    """All commands; which one it is stands in `command`."""
    whole = argparse.ArgumentParser(prog="millstream", description="Records in, clean Parquet out.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a pipeline over files",
        description="Run a pipeline over files of JSON (lines, an array, or objects one after another) or CSV; plain, or compressed "
        "with gzip, zlib, zstd, bzip2 or lz4. Write the rows to a folder, whole files only: Ctrl-C leaves nothing half-written, and "
        "running again completes the work.",
    )
    run.add_argument("pipeline", metavar="PIPELINE", help="file.yaml, or file.py:name")
    run.add_argument("inputs", metavar="INPUT", nargs="+", help="files, folders or glob patterns")
    run.add_argument(
        "--out", metavar="DIR", required=True, help="the folder to write to, made if need be; or s3://bucket/prefix/"
    )
    run.add_argument(
        "--rejects",
        metavar="DIR",
        help="where rejected records go, a folder, s3://bucket/prefix/ or sqs+https://QUEUE_URL (default: DIR-rejects)",
    )
    run.add_argument(
        "--ledger",
        metavar="URL",
        help="where files that were done are remembered, so that they are not read again: sqlite:///path or dynamodb://TABLE",
    )
    run.add_argument("--namespace", metavar="NAME", default="main", help=_NAMESPACE)
    run.add_argument("--jobs", metavar="N", type=int, default=1, help="threads; the files are the same for any N (default: 1)")
    run.add_argument("--json", action="store_true", help="print the report as one JSON object")
    _add_again(commands)
    infer = commands.add_parser(
        "infer",
        help="tell a schema that fits some data",
        description="Look at the first records of JSON or CSV files and print a schema that takes them, with null shares and conflicts.",
    )
    infer.add_argument("inputs", metavar="INPUT", nargs="+", help="files, folders or glob patterns")
    infer.add_argument("--records", metavar="N", type=int, default=10_000, help="records to look at (default: 10,000)")
    infer.add_argument("--json", action="store_true", help="print one JSON object")
    functions = commands.add_parser("functions", help="list the functions of expressions, or tell about one")
    functions.add_argument("name", metavar="NAME", nargs="?", help="a function (str.slice) or a namespace (str)")
    functions.add_argument("--json", action="store_true", help="print one JSON object")
    table = commands.add_parser(
        "glue",
        help="tell the table by which Athena reads what a pipeline writes",
        description="Print the table of the AWS Glue catalogue for a pipeline's output, with partition projection, so that Athena reads "
        "it at once; or write it into a template.",
    )
    glue.add_arguments(table)
    settings = commands.add_parser(
        "settings",
        help="list what a function reads from its environment",
        description="List the MILLSTREAM_ variables that a function reads: value now, default, meaning. One that is misspelt, or "
        "cannot be read, is an error.",
    )
    settings.add_argument("--json", action="store_true", help="print one JSON object")
    plan = commands.add_parser("plan", help="tell what a pipeline does, step by step, or the JSON Schema of pipeline files")
    plan.add_argument("pipeline", metavar="PIPELINE", nargs="?", help="file.yaml, or file.py:name")
    plan.add_argument("--explain", action="store_true", help="also kernels, what may be null, and where filters moved")
    plan.add_argument("--schema", action="store_true", help="print the JSON Schema by which editors check pipeline files")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    build = commands.add_parser(
        "build",
        help="compile a pipeline's own functions for Lambda",
        description="Compile the functions under @udf that a pipeline calls, ahead of time, into DIR/millstream_udf/, which goes into the "
        "Lambda function's folder. It takes numba; what runs them does not.",
    )
    build.add_argument("pipeline", metavar="PIPELINE", help="file.yaml, or file.py:name")
    build.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="the folder that is deployed, where the pipeline's file is"
    )
    build.add_argument(
        "--target", metavar="CPU", action="append", default=[], help="x86_64 or arm64; may come twice (default: both)"
    )
    build.add_argument("--json", action="store_true", help="print one JSON object")
    doctor = commands.add_parser("doctor", help="tell what runs on this machine and what is off")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    add_emulate(commands)
    add_rightsize(commands)
    add_forecast(commands)
    _add_layer(commands)
    return whole


def _add_again(commands: Any) -> None:
    """What goes on with what functions left."""
    collect = commands.add_parser(
        "gc",
        help="collect what attempts left behind in a sink",
        description="List what the ledger's attempts left behind: objects without rows that claim names, attempts that nobody goes "
        "on with, lists, half-written objects. With --delete, collect it. Only what was left alone for longer than --older-than is "
        "touched.",
    )
    collect.add_argument("pipeline", metavar="PIPELINE", help="file.yaml, or file.py:name")
    replay = commands.add_parser(
        "replay",
        help="run rejected records through a corrected pipeline",
        description="Run stored rejects through a pipeline, each record at most once. What is rejected again goes to --rejects, with "
        "the source and the identity that it had.",
    )
    replay.add_argument("source", metavar="REJECTS", help="a folder or s3://bucket/prefix/ of stored rejects")
    replay.add_argument("--code", metavar="CODE", nargs="+", default=[], help="only records rejected with one of these codes")
    replay.add_argument("--since", metavar="DATE", help="only those of this day or later, by the folder date=YYYY-MM-DD")
    replay.add_argument("--until", metavar="DATE", help="only those of this day or before")
    redrive = commands.add_parser(
        "redrive",
        help="run batches of a stream that Lambda gave up",
        description="Run the objects that Lambda stored in S3 of Kinesis batches it gave up, each record at most once. What the function "
        "had written before is not written again.",
    )
    redrive.add_argument("source", metavar="SOURCE", help="a folder, a file, s3://bucket/prefix/ or s3://bucket/key")
    for one in (collect, replay, redrive):
        if one is not collect:
            one.add_argument("--pipeline", metavar="PIPELINE", required=True, help="file.yaml, or file.py:name")
        one.add_argument("--sink", metavar="URL", required=True, help="where its rows are: a folder, or s3://bucket/prefix/")
        beside = "" if one is collect else " (default: the sink's name with -rejects behind it)"
        one.add_argument("--rejects", metavar="URL", help=f"where its rejected records are{beside}")
        one.add_argument("--ledger", metavar="URL", required=True, help="the function's: dynamodb://TABLE, or sqlite:///path")
        one.add_argument("--namespace", metavar="NAME", default="main", help=_NAMESPACE)
        one.add_argument("--json", action="store_true", help="print the report as one JSON object")
    collect.add_argument("--older-than", metavar="TIME", default="24h", help="like 90m, 24h or 7d; at least 1h (default: 24h)")
    collect.add_argument("--closed", action="store_true", help="also items of shards that their stream no longer has")
    collect.add_argument("--delete", action="store_true", help="collect what is found; without it nothing is changed")


def _add_layer(commands: Any) -> None:
    layer = commands.add_parser("layer", help="publish the Lambda layers")
    publish = layer.add_subparsers(dest="layer_command", required=True, metavar="COMMAND").add_parser(
        "publish",
        help="print the commands that publish layers, or publish them",
        description="Check the zips of layers and print the commands of the AWS CLI that publish them, for a shell to read; with "
        "--run publish them. What is published already, with the same content, is left as it is.",
    )
    publish.add_argument(
        "zips", metavar="ZIP", nargs="*", help="millstream-PYTHON-CPU.zip, or folders with such (default: layer/dist)"
    )
    publish.add_argument("--run", action="store_true", help="publish, by boto3, and print what each version is called")
    publish.add_argument("--name", default="millstream", help="the start of the layers' names (default: millstream)")
    publish.add_argument("--region", help="the region to publish in (default: that of the AWS settings)")
    publish.add_argument(
        "--bucket", help="a bucket of that region which zips go to first: above 50 MB Lambda takes them from there"
    )
    publish.add_argument("--prefix", default="", help="where in the bucket")
    shared = publish.add_mutually_exclusive_group()
    shared.add_argument("--public", action="store_true", help="let every AWS account use the layers")
    shared.add_argument("--organization", metavar="ID", help="let the accounts of an AWS organization use the layers")
    publish.add_argument("--json", action="store_true", help="print one JSON object")
