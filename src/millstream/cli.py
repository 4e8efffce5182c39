"""The command line: `millstream run`, `millstream infer`, `millstream doctor`. Exit status 0 done, 1 the run failed, 2 usage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from millstream.errors import MillstreamError, RunError, UsageError

DONE, FAILED, USAGE = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream", description="Records in, clean Parquet out.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a pipeline over files",
        description="Run a pipeline over JSON files (an array or lines; .gz and .zst of them); write the rows to a folder.",
    )
    run.add_argument("pipeline", metavar="PIPELINE", help="file.yaml, or file.py:name")
    run.add_argument("inputs", metavar="INPUT", nargs="+", help="files, folders or glob patterns")
    run.add_argument("--out", metavar="DIR", required=True, help="the folder to write to; made if need be")
    run.add_argument(
        "--rejects", metavar="DIR", help="the folder for rejected records (default: DIR-rejects, beside the output)"
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
    doctor = commands.add_parser("doctor", help="tell what runs on this machine and what is off")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(call=_doctor)
    return parser


def _print_json(value: Any) -> None:
    import orjson

    print(orjson.dumps(value).decode())


class _Progress:
    """A line on stderr while a run goes on, by tqdm if it is installed and someone is there to see it."""

    def __init__(self) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() or os.environ.get("MILLSTREAM_PROGRESS") == "1":
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
        _print_json(report.to_dict())
    else:
        print(report.render())
    if error is not None:
        raise error
    return DONE


def _infer(arguments: argparse.Namespace) -> int:
    from millstream.local.infer import infer

    if arguments.records < 1:
        raise UsageError(f"--records is {arguments.records}; write 1 or more")
    found = infer(arguments.inputs, arguments.records)
    if arguments.json:
        _print_json(found.to_dict())
    else:
        print(found.render())
    return DONE


def _doctor(arguments: argparse.Namespace) -> int:
    from millstream.doctor import examine, render

    found = examine()
    if arguments.json:
        _print_json(found)
    else:
        print(render(found))
    return FAILED if found["problems"] else DONE


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    arguments = _parser().parse_args(words)
    call: Callable[[argparse.Namespace], int] = arguments.call
    try:
        status = call(arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        return _complain(error, USAGE)
    except (RunError, MillstreamError) as error:
        return _complain(error, FAILED)
    except BrokenPipeError:  # whoever read our output stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("millstream: stopped; running again completes the work", file=sys.stderr)
        return 130


def _complain(error: MillstreamError, status: int) -> int:
    sys.stdout.flush()
    print("millstream: error:", " ".join(str(error).split("\n")), file=sys.stderr)
    return status
