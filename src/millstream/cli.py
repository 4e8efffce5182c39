"""The command line.

`millstream run`, `gc`, `replay`, `redrive`, `infer`, `glue`, `functions`, `settings`, `plan`, `build`, `doctor`, `emulate`,
`rightsize`, `forecast`, `layer publish`. Exit status 0 done, 1 the run failed, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from millstream.errors import MillstreamError, RunError, UsageError
from millstream.glue import command as glue
from millstream.local.emulate.arguments import add_emulate, run_emulate
from millstream.sizing.forecast_arguments import add_forecast, run_forecast
from millstream.sizing.rightsize_arguments import add_rightsize, run_rightsize

DONE, FAILED, USAGE = 0, 1, 2
STOPPED = 128  # and the number of the signal, as shells count
_NAMESPACE = "a part of the ledger's keys (default: main)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream", description="Records in, clean Parquet out.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
    run.set_defaults(call=_run)
    _add_again(commands)
    infer = commands.add_parser(
        "infer",
        help="tell a schema that fits some data",
        description="Look at the first records of JSON or CSV files and print a schema that takes them, with null shares and conflicts.",
    )
    infer.add_argument("inputs", metavar="INPUT", nargs="+", help="files, folders or glob patterns")
    infer.add_argument("--records", metavar="N", type=int, default=10_000, help="records to look at (default: 10,000)")
    infer.add_argument("--json", action="store_true", help="print one JSON object")
    infer.set_defaults(call=_infer)
    functions = commands.add_parser("functions", help="list the functions of expressions, or tell about one")
    functions.add_argument("name", metavar="NAME", nargs="?", help="a function (str.slice) or a namespace (str)")
    functions.add_argument("--json", action="store_true", help="print one JSON object")
    functions.set_defaults(call=_functions)
    table = commands.add_parser(
        "glue",
        help="tell the table by which Athena reads what a pipeline writes",
        description="Print the table of the AWS Glue catalogue for a pipeline's output, with partition projection, so that Athena reads "
        "it at once; or write it into a template.",
    )
    glue.add_arguments(table)
    table.set_defaults(call=_glue)
    settings = commands.add_parser(
        "settings",
        help="list what a function reads from its environment",
        description="List the MILLSTREAM_ variables that a function reads: value now, default, meaning. One that is misspelt, or "
        "cannot be read, is an error.",
    )
    settings.add_argument("--json", action="store_true", help="print one JSON object")
    settings.set_defaults(call=_settings)
    plan = commands.add_parser("plan", help="tell what a pipeline does, step by step, or the JSON Schema of pipeline files")
    plan.add_argument("pipeline", metavar="PIPELINE", nargs="?", help="file.yaml, or file.py:name")
    plan.add_argument("--explain", action="store_true", help="also kernels, what may be null, and where filters moved")
    plan.add_argument("--schema", action="store_true", help="print the JSON Schema by which editors check pipeline files")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    plan.set_defaults(call=_plan)
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
    build.set_defaults(call=_build)
    doctor = commands.add_parser("doctor", help="tell what runs on this machine and what is off")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(call=_doctor)
    add_emulate(commands).set_defaults(call=_emulate)
    add_rightsize(commands).set_defaults(call=_rightsize)
    add_forecast(commands).set_defaults(call=_forecast)
    _add_layer(commands)
    return parser


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
    for one, call in ((collect, _gc), (replay, _replay), (redrive, _redrive)):
        if one is not collect:
            one.add_argument("--pipeline", metavar="PIPELINE", required=True, help="file.yaml, or file.py:name")
        one.add_argument("--sink", metavar="URL", required=True, help="where its rows are: a folder, or s3://bucket/prefix/")
        beside = "" if one is collect else " (default: the sink's name with -rejects behind it)"
        one.add_argument("--rejects", metavar="URL", help=f"where its rejected records are{beside}")
        one.add_argument("--ledger", metavar="URL", required=True, help="the function's: dynamodb://TABLE, or sqlite:///path")
        one.add_argument("--namespace", metavar="NAME", default="main", help=_NAMESPACE)
        one.add_argument("--json", action="store_true", help="print the report as one JSON object")
        one.set_defaults(call=call)
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
    publish.set_defaults(call=_publish)


class _Unwritable(Exception):
    """Standard output took nothing more: its reader is gone, or its disk is full."""


def _say(text: str) -> None:
    """Print to standard output, now: what cannot be written there must not come up at exit, and is no fault of the run."""
    if sys.stdout is None:
        return
    try:
        print(
            text.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8"), flush=True
        )
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise _Unwritable(f"cannot write to standard output: {error.strerror}") from None


def _say_json(value: Any) -> None:
    _say(json.dumps(value, separators=(",", ":")))  # ASCII: any file name comes through


class _Progress:
    """A line on stderr while a run goes on, by tqdm if it is installed and someone is there to see it."""

    def __init__(self, unit: str = " records") -> None:
        self._bar: Any = None
        if (sys.stderr is not None and sys.stderr.isatty()) or os.environ.get("MILLSTREAM_PROGRESS") == "1":
            with suppress(ImportError):
                from tqdm import tqdm

                self._bar = tqdm(unit=unit, unit_scale=True, file=sys.stderr, leave=False)

    def __call__(self, bytes_in: int, records: int) -> None:
        if self._bar is not None:
            self._bar.update(records)

    def step(self, total: int, doing: str) -> None:
        """One of `total` steps begins."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.set_description(doing, refresh=False)
            self._bar.update(1)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _run(arguments: argparse.Namespace) -> int:
    from millstream.local.load import load_pipeline
    from millstream.local.run import attempt

    pipeline = load_pipeline(arguments.pipeline)
    progress = _Progress()
    try:
        report, error = attempt(
            pipeline,
            arguments.inputs,
            sink=arguments.out,
            rejects=arguments.rejects,
            ledger=arguments.ledger,
            namespace=arguments.namespace,
            jobs=arguments.jobs,
            progress=progress,
        )
    finally:
        progress.close()
    return _told(arguments, report.to_dict, report.render, error)


def _gc(arguments: argparse.Namespace) -> int:
    from millstream.ledger.collect import collect, seconds_of
    from millstream.ledger.table import open_table
    from millstream.ledger.turn import Ledger
    from millstream.local.load import load_pipeline
    from millstream.sinks.landing import Output
    from millstream.sinks.rejects import open_rejects
    from millstream.sinks.store import open_store

    older_than = seconds_of(arguments.older_than)
    pipeline = load_pipeline(arguments.pipeline)
    output = Output.of(dict(pipeline.output or {}), pipeline.plan().schema)
    sink = open_store(arguments.sink, "the sink")
    rejects = None if arguments.rejects is None else open_rejects(arguments.rejects, "the rejects' place", sink)
    table = open_table(arguments.ledger)
    ledger = Ledger.of(table, arguments.namespace, pipeline, output.partition_by, sink, rejects)
    found = collect(ledger, older_than=older_than, delete=arguments.delete, closed=arguments.closed)
    return _told(arguments, found.to_dict, found.render, found.error)


def _replay(arguments: argparse.Namespace) -> int:
    from millstream.local.replay import Selection, replay

    chosen = Selection.of(arguments.code, arguments.since, arguments.until)
    return _rerun(arguments, lambda **named: replay(arguments.source, selection=chosen, **named))


def _redrive(arguments: argparse.Namespace) -> int:
    from millstream.aws.redrive import redrive

    return _rerun(arguments, lambda **named: redrive(arguments.source, **named))


def _rerun(arguments: argparse.Namespace, call: Callable[..., Any]) -> int:
    from millstream.local.load import load_pipeline

    names = ("sink", "rejects", "ledger", "namespace")
    pipeline = load_pipeline(arguments.pipeline)
    progress = _Progress()
    try:
        run = call(pipeline=pipeline, progress=progress, **{name: getattr(arguments, name) for name in names})
    finally:
        progress.close()
    return _told(arguments, run.to_dict, run.report.render, run.error)


def _told(
    arguments: argparse.Namespace, to_dict: Callable[[], Any], render: Callable[[], str], error: MillstreamError | None
) -> int:
    """Print a report. Raises what went wrong on the way."""
    if arguments.json:
        _say_json(to_dict())
    else:
        _say(render())
    if error is not None:
        raise error
    return DONE


def _infer(arguments: argparse.Namespace) -> int:
    from millstream.local.infer import infer

    if arguments.records < 1:
        raise UsageError(f"--records is {arguments.records}; write 1 or more")
    found = infer(arguments.inputs, arguments.records)
    if arguments.json:
        _say_json(found.to_dict())
    else:
        _say(found.render())
    return DONE


def _functions(arguments: argparse.Namespace) -> int:
    from millstream.functions.told import as_object, chosen, tell

    if arguments.json:
        _say_json({"functions": [as_object(one) for one in chosen(arguments.name)]})
    else:
        _say(tell(arguments.name))
    return DONE


def _glue(arguments: argparse.Namespace) -> int:
    text = glue.glue(arguments)
    if text is not None:
        _say(text)
    return DONE


def _settings(arguments: argparse.Namespace) -> int:
    from millstream.aws.settings import Settings, render

    found = Settings.of()
    if arguments.json:
        _say_json({"settings": found.listed()})
    else:
        _say(render(found))
    return DONE


def _plan(arguments: argparse.Namespace) -> int:
    if (arguments.pipeline is None) != arguments.schema:
        raise UsageError("plan takes a pipeline, or --schema alone: millstream plan pipeline.yaml --explain")
    if arguments.schema:
        from millstream.file_schema import file_schema

        _say(json.dumps(file_schema(), indent=2))
        return DONE
    from millstream.explain import explain
    from millstream.local.load import load_pipeline

    found = explain(load_pipeline(arguments.pipeline))
    return _told(arguments, found.to_dict, lambda: found.render(arguments.explain), None)


def _build(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from millstream.local.load import load_pipeline
    from millstream.steps import functions_of
    from millstream.userfunc.building import build, targets_of

    targets = targets_of(arguments.target)
    built = build(functions_of(load_pipeline(arguments.pipeline).steps), Path(arguments.out), targets)
    return _told(arguments, built.to_dict, built.render, None)


def _doctor(arguments: argparse.Namespace) -> int:
    from millstream.doctor import examine, render

    found = examine()
    if arguments.json:
        _say_json(found)
    else:
        _say(render(found))
    return FAILED if found["problems"] else DONE


def _emulate(arguments: argparse.Namespace) -> int:
    found = run_emulate(arguments)
    return _told(arguments, found.to_dict, found.render, found.error)


def _rightsize(arguments: argparse.Namespace) -> int:
    progress = _Progress(" processes")
    try:
        found, written = run_rightsize(arguments, progress.step)
    finally:
        progress.close()
    if found.choice is None:
        return _told(arguments, found.to_dict, found.render, RunError(found.refused()))
    return _told(arguments, found.to_dict, lambda: "\n".join([found.render(), "", *written]), None)


def _forecast(arguments: argparse.Namespace) -> int:
    from millstream.sizing.forecast import render, to_dict

    found = run_forecast(arguments)
    return _told(arguments, lambda: to_dict(found), lambda: render(found), None)


def _publish(arguments: argparse.Namespace) -> int:
    from millstream._version import __version__
    from millstream.publish import Publication, Target, find_layers, publish

    names = ("name", "region", "bucket", "prefix", "public", "organization")
    target = Target(**{name: getattr(arguments, name) for name in names})
    layers = [Publication(one, target) for one in find_layers(arguments.zips)]
    error = publish(layers) if arguments.run else None
    if arguments.json:
        _say_json({"millstream": __version__, "layers": [one.to_dict() for one in layers]})
    else:
        done = [one.render() for one in layers if one.arn is not None or not arguments.run]
        if done:
            _say("\n".join(done))
    if error is not None:
        raise error
    return DONE


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    arguments = _parser().parse_args(words)
    call: Callable[[argparse.Namespace], int] = arguments.call
    try:
        signal.signal(signal.SIGTERM, _stop)
        return call(arguments)
    except UsageError as error:
        return _complain(str(error), USAGE)
    except (MillstreamError, _Unwritable) as error:
        return _complain(str(error), FAILED)
    except MemoryError:
        return _complain("there is not enough memory; fewer --jobs need less", FAILED)
    except KeyboardInterrupt as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough: nothing half-written stays
        return _complain(
            "stopped; running again completes the work", STOPPED + (error.args[0] if error.args else signal.SIGINT)
        )


def _stop(number: int, frame: object) -> None:
    """SIGTERM, as timeouts and container hosts send it, ends a run like Ctrl-C."""
    raise KeyboardInterrupt(number)


def _complain(message: str, status: int) -> int:
    if sys.stderr is not None:
        with suppress(OSError):
            print("millstream: error:", " ".join(message.split("\n")), file=sys.stderr, flush=True)
    return status
