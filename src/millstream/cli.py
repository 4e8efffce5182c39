"""The command line: `millstream run`, `infer`, `settings`, `doctor`, `layer publish`. Exit status 0 done, 1 the run failed, 2 usage."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from millstream.errors import MillstreamError, UsageError

DONE, FAILED, USAGE = 0, 1, 2
STOPPED = 128  # and the number of the signal, as shells count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream", description="Records in, clean Parquet out.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a pipeline over files",
        description="Run a pipeline over JSON files: lines, an array, or objects one after another; plain, or compressed with "
        "gzip, zlib, zstd, bzip2 or lz4. Write the rows to a folder, whole files only: Ctrl-C leaves nothing half-written, and "
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
    run.add_argument("--ledger", metavar="URL", help="a record of what was committed; comes with a later version")
    run.add_argument("--jobs", metavar="N", type=int, default=1, help="threads; the files are the same for any N (default: 1)")
    run.add_argument("--json", action="store_true", help="print the report as one JSON object")
    run.set_defaults(call=_run)
    infer = commands.add_parser(
        "infer",
        help="tell a schema that fits some data",
        description="Look at the first records of JSON files and print a schema that takes them, with null shares and conflicts.",
    )
    infer.add_argument("inputs", metavar="INPUT", nargs="+", help="files, folders or glob patterns")
    infer.add_argument("--records", metavar="N", type=int, default=10_000, help="records to look at (default: 10,000)")
    infer.add_argument("--json", action="store_true", help="print one JSON object")
    infer.set_defaults(call=_infer)
    settings = commands.add_parser(
        "settings",
        help="list what a function reads from its environment",
        description="List the MILLSTREAM_ variables that a function reads: value now, default, meaning. One that is misspelt, or "
        "cannot be read, is an error.",
    )
    settings.add_argument("--json", action="store_true", help="print one JSON object")
    settings.set_defaults(call=_settings)
    doctor = commands.add_parser("doctor", help="tell what runs on this machine and what is off")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(call=_doctor)
    _add_layer(commands)
    return parser


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

    def __init__(self) -> None:
        self._bar: Any = None
        if (sys.stderr is not None and sys.stderr.isatty()) or os.environ.get("MILLSTREAM_PROGRESS") == "1":
            with suppress(ImportError):
                from tqdm import tqdm

                self._bar = tqdm(unit=" records", unit_scale=True, file=sys.stderr, leave=False)

    def __call__(self, bytes_in: int, records: int) -> None:
        if self._bar is not None:
            self._bar.update(records)

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
            jobs=arguments.jobs,
            progress=progress,
        )
    finally:
        progress.close()
    if arguments.json:
        _say_json(report.to_dict())
    else:
        _say(report.render())
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


def _settings(arguments: argparse.Namespace) -> int:
    from millstream.aws.settings import Settings, render

    found = Settings.of()
    if arguments.json:
        _say_json({"settings": found.listed()})
    else:
        _say(render(found))
    return DONE


def _doctor(arguments: argparse.Namespace) -> int:
    from millstream.doctor import examine, render

    found = examine()
    if arguments.json:
        _say_json(found)
    else:
        _say(render(found))
    return FAILED if found["problems"] else DONE


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
