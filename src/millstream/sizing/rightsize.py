"""`millstream rightsize`: the parts put together."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millstream.errors import RunError, UsageError
from millstream.local.load import load_pipeline
from millstream.native.bind import kernels
from millstream.sizing import limits, prices
from millstream.sizing.events import Events, find_events
from millstream.sizing.findings import Findings
from millstream.sizing.measure import LAYER_LACKS, Work, bench, has_boto3
from millstream.sizing.overrides import changed, write_memory
from millstream.sizing.plot import check_plot, draw
from millstream.sizing.sweep import MEMORY, steps, sweep

_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def rightsize(arguments: Any, progress: Callable[[int, str], Any]) -> tuple[Findings, list[str]]:
    """See `millstream.sizing.rightsize_arguments.run_rightsize`. progress: told how many steps there are, and of each as it begins."""
    if sys.platform != "linux":
        raise UsageError(
            "rightsize measures processes by Linux's /proc, and Lambda's machines are Linux: run it on Linux or in a container"
        )
    memory = limits.checked_memory(arguments.memory) if arguments.memory is not None else MEMORY
    for name, most in (("rounds", 100), ("batches", 10_000)):
        if not 1 <= getattr(arguments, name) <= most:
            raise UsageError(f"--{name} is {getattr(arguments, name)}; write 1 to {most:,}")
    if not 0 <= arguments.latency <= 60_000:
        raise UsageError(f"--latency is {arguments.latency}; write milliseconds, 0 to 60,000")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    if arguments.profile is not None and not Path(arguments.profile).resolve().parent.is_dir():
        raise UsageError(f"--profile: there is no folder {Path(arguments.profile).resolve().parent}")
    if arguments.write is None and arguments.env is not None:
        raise UsageError("--env goes with --write: which file the memory is set in")
    if arguments.write is not None:
        changed(arguments.write, arguments.env, arguments.parameter, limits.LEAST_MB)  # what is wrong with it is told now
    asked = prices.load(arguments.prices)
    pipeline = load_pipeline(arguments.pipeline)
    pipeline.plan()
    events = find_events(arguments.events, pipeline, arguments.source, arguments.batch, arguments.batches + 1)
    _check_sink(arguments.sink, events, arguments.latency)
    place, why = (None, "--cpu model") if arguments.cpu == "model" else limits.place()
    if arguments.cpu == "quota" and place is None:
        raise UsageError(f"--cpu quota: {why}; leave it out to have the model")
    backend = kernels.load().name  # compiled here once, if they are not yet
    absent = () if arguments.with_numpy or backend != "native" else LAYER_LACKS
    sink = arguments.sink
    if sink is not None and not re.match(r"[a-z0-9]+:", sink):
        sink = os.path.abspath(sink)  # a process runs in a folder of its own
    work = Work(_absolute(arguments.pipeline), events, arguments.batches + 1, sink, arguments.latency / 1e3, absent)
    total = steps(memory, arguments.rounds, place is not None)
    with bench(work) as made:
        swept = sweep(made, memory, arguments.rounds, place, why, lambda step: progress(total, step))
    machine = _MACHINES.get(platform.machine().lower(), "x86_64")
    found = Findings(
        pipeline=pipeline.name,
        fingerprint=pipeline.fingerprint,
        source=events.source,
        sink=arguments.sink or ("s3" if has_boto3() else "folder"),
        machine=machine,
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        chosen=arguments.architecture or machine,
        sweep=swept,
        prices=asked,
        latency_ms=arguments.latency,
        notes=tuple(_notes(arguments, swept, backend)),
    )
    return found, _written(found, arguments)


def _check_sink(sink: str | None, events: Events, latency: float) -> None:
    if sink is not None and latency:
        raise UsageError("--latency is of the S3 that rightsize serves; with a --sink of your own leave it out")
    if events.source == "s3" and sink is not None:
        raise UsageError("objects of S3 are read from the S3 that rightsize serves, and written there: leave --sink out")
    if events.source == "s3" and events.recorded:
        raise UsageError(
            "recorded events of S3 tell of objects that are not here: name the data files instead, with --source s3"
        )
    if (events.source == "s3" or (sink or "").startswith("s3://")) and not has_boto3():
        raise UsageError("S3 needs boto3, which is not installed: pip install 'millstream[aws]'")


def _absolute(pipeline: str) -> str:
    """A pipeline's name from another folder."""
    file, colon, name = pipeline.rpartition(":")
    if not colon or not file.endswith(".py"):
        file, colon, name = pipeline, "", ""
    return str(Path(file).resolve()) + colon + name


def _cpu() -> str:
    """What the machine's CPU is called."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())
    except OSError:
        return platform.machine()


def _notes(arguments: Any, swept: Any, backend: str) -> list[str]:
    """What a reader has to know of this run besides."""
    notes = []
    if arguments.sink is None and has_boto3():
        wait = (
            f"which answers after {arguments.latency:g} ms"
            if arguments.latency
            else "which answers at once: --latency makes it wait"
        )
        notes.append(f"the sink: an S3 on this machine, {wait}. TLS and the network are not in it")
    elif arguments.sink is None:
        notes.append("the sink: a folder. boto3 is not installed, whose clients are most of a function's init")
    if swept.told.records and not swept.told.rows:
        notes.append("not one row was written: are these the pipeline's records?")
    if backend != "native":
        notes.append(f"kernels ran by {backend}, which no function does: init and memory are not a function's")
    cores = len(os.sched_getaffinity(0))
    if max(one.mb for one in swept.sizes) > limits.MB_A_CPU and cores < 2:
        notes.append("this machine has one core: what a second one brings above 1,769 MB was not seen")
    return notes


def _written(found: Findings, arguments: Any) -> list[str]:
    lines = []
    if arguments.profile is not None:
        try:
            Path(arguments.profile).write_text(json.dumps(found.profile(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"cannot write {arguments.profile}: {error.strerror}") from None
        lines.append(f"profile: {arguments.profile}")
    if arguments.plot is not None and not all(one.killed for one in found.sweep.sizes):
        draw(found, arguments.plot)
        lines.append(f"plot: {arguments.plot}")
    choice = found.choice
    if choice is None:
        return lines
    mb = choice.mb[arguments.choose]
    if arguments.write is not None:
        lines.append(write_memory(arguments.write, arguments.env, arguments.parameter, mb))
    else:
        lines.append(f'parameter_overrides = ["{arguments.parameter}={mb}"]')
    return lines
