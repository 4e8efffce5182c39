"""Runs a handler in processes of its own, each with the memory and, where that is allowed, the share of CPU of a function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import millstream
from millstream.classes import dataclass, field
from millstream.errors import RunError, UsageError
from millstream.sizing import bucket, limits
from millstream.sizing.child import peak_in
from millstream.sizing.events import Events
from millstream.sizing.model import Sample

MB = 1 << 20
LOOK_SECONDS = 0.002
"""Between two looks at a process's memory. What it had at its peak is seen later too: the kernel keeps that."""
CHILD_SECONDS = 900
"""Lambda's longest timeout."""
LAYER_LACKS = ("numpy", "numba", "llvmlite", "pandas")
_START = "from millstream.sizing.child import main; import sys; main(sys.argv[1])"
_OWN = ("MILLSTREAM_", "AWS_", "POWERTOOLS_", "COV_", "PYTEST_")
_KEPT = ("MILLSTREAM_CACHE_DIR",)


@dataclass(frozen=True)
class Work:
    """What is measured. pipeline: as MILLSTREAM_PIPELINE names it. sink: None is the bucket that this machine serves, or a folder.

    batches: of a process, the first included. latency: seconds before each answer of that bucket. absent: modules that are not there.
    """

    pipeline: str
    events: Events
    batches: int
    sink: str | None = None
    latency: float = 0.0
    absent: tuple[str, ...] = LAYER_LACKS


@dataclass(frozen=True)
class Run:
    """What one process did. killed: when it was over its memory: "in its start", "in its first batch" or "in batch 7".

    failed: deliveries that the handler answered must come again.
    """

    mb: int
    peak_mb: float
    init: Sample | None = None
    first: Sample | None = None
    warm: tuple[Sample, ...] = ()
    killed: str | None = None
    failed: int = 0


@dataclass(frozen=True)
class Told:
    """What handlers logged of their batches: means of a batch. bytes_in: of its records."""

    records: float = 0.0
    bytes_in: float = 0.0
    rows: float = 0.0
    bytes_out: float = 0.0
    files: float = 0.0


@dataclass
class Bench:
    """Processes of one piece of work. event_bytes: of the median event."""

    work: Work
    folder: Path
    environment: dict[str, str]
    events: list[str]
    event_bytes: int
    runs: int = 0
    logs: list[Path] = field(default_factory=list)

    def run(self, mb: int | None, place: limits.Place | None = None, period: float = limits.PERIOD) -> Run:
        """One process from its start to its last batch. mb: its memory, None is any; place: where its share of CPU is held by.

        Raises UsageError and RunError where the handler cannot be made, or fails.
        """
        self.runs += 1
        folder = self.folder / f"run-{self.runs:03}"
        folder.mkdir()
        results, log = folder / "results", folder / "log"
        environment = self.environment | self._places(folder)
        if mb is not None:
            environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = str(mb)
        grouped = limits.group(place, limits.share(mb), period) if place is not None and mb is not None else nullcontext()
        with grouped as members, log.open("wb") as output, (folder / "errors").open("w+b") as errors:
            job = folder / "job.json"
            told = {"source": self.work.events.source, "events": self.events, "results": str(results)}
            job.write_text(json.dumps(told | {"absent": list(self.work.absent), "started": time.monotonic()}))
            command = [sys.executable, "-P", "-c", _START, str(job)]
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,  # so that what it starts itself ends with it
            )
            try:
                if members is not None:
                    members.write_text(str(process.pid))
                peak, is_over = _watch(process, None if mb is None else mb * MB)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            errors.seek(0)
            last = errors.read()[-2000:].decode("utf-8", "replace").strip().splitlines()[-1:]
        self.logs.append(log)
        return _read(results, mb or 0, peak, is_over, process.returncode, last, len(self.events))

    def _places(self, folder: Path) -> dict[str, str]:
        sink = self.work.sink
        if sink is None:
            sink = f"s3://{bucket.NAME}/" if "AWS_ENDPOINT_URL" in self.environment else str(folder)
        start = sink if sink.endswith("/") else sink + "/"
        own = "" if self.work.sink is None else f"rightsize-{self.folder.name.rpartition('-')[2]}-{self.runs}/"
        return {"MILLSTREAM_SINK": f"{start}{own}rows/", "MILLSTREAM_REJECTS": f"{start}{own}rejects/"}

    def error(self) -> str:
        """The last error that was logged of a batch."""
        found = [str(one["error"]) for log in self.logs for one in _batches(log) if "error" in one]
        return found[-1] if found else ""

    def told(self) -> Told:
        """What was logged so far."""
        lines = [one for log in self.logs for one in _batches(log)]
        if not lines:
            return Told()

        def mean(of: Callable[[Mapping[str, Any]], float]) -> float:
            return sum(map(of, lines)) / len(lines)

        return Told(
            mean(lambda one: one["counts"]["delivered"]),
            mean(lambda one: one["bytes_in"]),
            mean(lambda one: one["rows"]),
            mean(lambda one: one["bytes_out"]),
            mean(lambda one: one["files"]),
        )


def _batches(log: Path) -> Iterator[Mapping[str, Any]]:
    """The log lines of batches."""
    for line in log.read_bytes().splitlines():
        if b'"batch"' in line:
            try:
                found = json.loads(line)
            except ValueError:  # the process was killed while it wrote
                continue
            if isinstance(found, dict) and found.get("message") == "batch":
                yield found


@contextmanager
def bench(work: Work) -> Iterator[Bench]:
    """A place for processes, their events and their bucket, for as long as this lasts. Raises UsageError."""
    with TemporaryDirectory(prefix="millstream-rightsize-") as name:
        folder = Path(name)
        events, event_bytes = work.events.write(folder, work.batches)
        kept = {key: value for key, value in os.environ.items() if key in _KEPT or not key.startswith(_OWN)}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # in a layer compiled bytecode is there, or the image has it
        root = str(Path(millstream.__file__).parent.parent)
        environment = kept | {
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            "MILLSTREAM_PIPELINE": work.pipeline,
            "AWS_LAMBDA_FUNCTION_NAME": "rightsize",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }
        if work.sink is not None:
            own = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
            yield Bench(work, folder, own | environment, events, event_bytes)
        elif not has_boto3():
            yield Bench(work, folder, environment, events, event_bytes)
        else:
            with bucket.serving(folder, work.events.objects, work.latency) as aws:
                yield Bench(work, folder, environment | aws, events, event_bytes)


def has_boto3() -> bool:
    import importlib.util

    return importlib.util.find_spec("botocore") is not None


def _watch(process: subprocess.Popen[bytes], limit: int | None) -> tuple[int, bool]:
    """Wait for a process's end; end it when more of its memory was resident than the limit. The most that was seen, and whether it was.

    Raises RunError where it takes longer than a function may.
    """
    most, until = 0, time.monotonic() + CHILD_SECONDS
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            most = max(most, peak_in(status.read_bytes()))
        except OSError:  # it has ended
            continue
        if limit is not None and most > limit:
            return most, True
        if time.monotonic() > until:
            raise RunError(f"a process took longer than {CHILD_SECONDS} s, a function's longest timeout: take fewer batches")
        time.sleep(LOOK_SECONDS)
    return most, False


def _read(results: Path, mb: int, peak: int, is_over: bool, status: int, last: list[str], batches: int) -> Run:
    lines: list[dict[str, Any]] = []
    if results.exists():
        for line in results.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                lines.append(json.loads(line))
    for one in lines:
        if "error" in one:
            raise _failed(one)
    # The kernel's own figure, told by the process, is the last word: between two looks it may have been more.
    over = next((i for i, one in enumerate(lines) if mb and one["peak"] > mb * MB), None)
    done = lines if over is None else lines[:over]
    peak = max([peak, *(one["peak"] for one in lines)])
    killed = None
    if is_over or over is not None:
        killed = "in its start" if not done else "in its first batch" if len(done) == 1 else f"in batch {len(done)}"
    elif len(lines) <= batches:
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        raise RunError(
            f"a process ended {how} in {'its start' if not lines else f'batch {len(lines)}'}{''.join(f': {one}' for one in last)}"
        )
    samples = [Sample(one["wall"], one["cpu"], one["delay"]) for one in done]
    init, first = (samples[i] if len(samples) > i else None for i in (0, 1))
    return Run(mb, peak / MB, init, first, tuple(samples[2:]), killed, sum(one.get("failed", 0) for one in done))


def _failed(line: Mapping[str, Any]) -> Exception:
    """Of a handler's error: what it is to the caller."""
    told = str(line["error"])
    if line["stage"] == "init":
        hint = ""
        if any(f"import of {name} halted" in told for name in LAYER_LACKS):
            hint = "; it is not in the layer: if it is in your function's package, add --with-numpy"
        kind: type[Exception] = UsageError if line["usage"] else RunError
        return kind(f"the handler cannot be made: {told.partition(': ')[2] if line['usage'] else told}{hint}")
    kind = UsageError if line["usage"] else RunError
    return kind(f"the handler failed on an event: {told.partition(': ')[2] if line['usage'] else told}")
