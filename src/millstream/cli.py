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

from millstream.arguments import parser
from millstream.errors import MillstreamError, RunError, UsageError
from millstream.glue import command as glue
from millstream.local.emulate.arguments import run_emulate
from millstream.sizing.forecast_arguments import run_forecast
from millstream.sizing.rightsize_arguments import run_rightsize

DONE, FAILED, USAGE = 0, 1, 2
STOPPED = 128  # and the number of the signal, as shells count


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
    refused = RunError(found.refused()) if found.choice is None else None
    return _told(arguments, found.to_dict, lambda: "\n".join([found.render(), *([""] if written else []), *written]), refused)


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


_CALLS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "gc": _gc,
    "replay": _replay,
    "redrive": _redrive,
    "infer": _infer,
    "functions": _functions,
    "glue": _glue,
    "settings": _settings,
    "plan": _plan,
    "build": _build,
    "doctor": _doctor,
    "emulate": _emulate,
    "rightsize": _rightsize,
    "forecast": _forecast,
    "layer": _publish,
}


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    arguments = parser().parse_args(words)
    try:
        signal.signal(signal.SIGTERM, _stop)
        return _CALLS[arguments.command](arguments)
    except UsageError as error:
        return _complain(str(error), USAGE)
    except (MillstreamError, _Unwritable) as error:
        return _complain(str(error), FAILED)
    except OSError as error:
        if error.filename is None:
            raise
        return _complain(f"cannot use {error.filename}: {error.strerror}", USAGE)
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
