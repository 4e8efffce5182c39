"""Deployed functions, run from the layer in roots of their own, and `millstream emulate` before each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.crash.server import ROOT
from tests.e2e.stack import Function
from tests.lambda_runtime.fetch import Parts
from tests.lambda_runtime.runtime import LambdaRuntime
from tests.lambda_runtime.sandbox import Sandbox
from tests.sam.stack import TEMPLATE

LAW = ("written", "filtered", "duplicate", "rejected", "failed")


def runtime(
    function: Function, code: Path, layer: Path | Sandbox, parts: Parts, endpoints: dict[str, str], timeout: int
) -> LambdaRuntime:
    """The function's execution environment, with what it was deployed with but for its timeout."""
    return LambdaRuntime(
        function.handler,
        task_root=code,
        layer=layer,
        parts=parts,
        environment=function.environment | endpoints,
        timeout=timeout,
        memory=function.memory,
        name=function.name,
    )


class Poller:
    """`millstream emulate` of one source, as a process."""

    def __init__(self, source: str, logical: str, runtime: LambdaRuntime, endpoints: dict[str, str], *options: str) -> None:
        self.runtime = runtime
        command = [sys.executable, "-m", "millstream", "emulate", source, "--invoke", runtime.url]
        command += ["--template", str(TEMPLATE), "--function", logical, "--json", *options]
        self.process = subprocess.Popen(
            command, env=os.environ | endpoints, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ended(self, seconds: float) -> dict[str, Any]:
        """Its report, when it has been idle. Raises SystemExit with what it told, where it did not end well."""
        try:
            out, told = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise SystemExit(f"emulate did not end in {seconds:.0f} s") from None
        if self.process.returncode:
            raise SystemExit(f"emulate ended with {self.process.returncode}: {told[-2000:]}")
        found: dict[str, Any] = json.loads(out)
        return found

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def kill_at_work(runtime: LambdaRuntime, seconds: float) -> bool:
    """Kill the runtime's process by SIGKILL while it computes, after its first batch. False if it did not in that time."""
    deadline = time.monotonic() + seconds
    while not unbalanced(runtime.lines)[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    while time.monotonic() < deadline:
        for pid in runtime.processes():
            with suppress(OSError):
                if b"awslambdaric" not in Path(f"/proc/{pid}/cmdline").read_bytes() or _is_parent(pid):
                    continue
                before = _ticks(pid)
                time.sleep(0.03)
                if _ticks(pid) > before:
                    os.kill(pid, signal.SIGKILL)
                    return True
        time.sleep(0.005)
    return False


def _is_parent(pid: int) -> bool:
    """bwrap and the emulator name the runtime in their own command lines."""
    return b"python" not in Path(f"/proc/{pid}/comm").read_bytes()


def _ticks(pid: int) -> int:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def unbalanced(lines: list[str]) -> tuple[int, list[str]]:
    """How many batches a function logged, and those whose counts do not close."""
    batches, told = 0, []
    for line in lines:
        if not line.startswith("{") or (fields := json.loads(line)).get("message") != "batch":
            continue
        batches += 1
        counts = fields["counts"]
        if counts["delivered"] != sum(counts[one] for one in LAW):
            told.append(f"a log line's counts do not close: {counts}")
    return batches, told
