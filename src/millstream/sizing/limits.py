"""Lambda's rule about memory and CPU, and the kernel's quota by which a process gets its share of CPU."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from millstream.classes import dataclass
from millstream.errors import UsageError

MB_A_CPU = 1769
"""A function has one vCPU at so much memory, else in proportion: the Lambda guide, "Configure Lambda function memory"."""
LEAST_MB, MOST_MB = 128, 10_240
EVENT_BYTES = 6 << 20
"""The largest event that Lambda takes."""
PERIOD = 0.02
"""Seconds. A quota is of so much time: then a process waits for the next. Lambda does not tell its own."""
_LEAST_QUOTA = 0.001
_CGROUPS = Path("/sys/fs/cgroup")
_tries = 0


def share(mb: int) -> float:
    """How many vCPUs a function has that has so much memory."""
    return mb / MB_A_CPU


@dataclass(frozen=True)
class Place:
    """Where a group with a quota of CPU can be made. version: of the kernel's control groups."""

    folder: Path
    version: int


def place(groups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> tuple[Place | None, str]:
    """Where this process may make a group beneath its own; or None, and why not. Nothing is changed."""
    if sys.platform != "linux":
        return None, "only Linux has quotas of CPU"
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError as error:
        return None, f"{own} cannot be read: {error.strerror}"
    for _, controllers, path in lines:
        if "cpu" in controllers.split(","):
            for mounted in (controllers, "cpu"):
                folder = groups / mounted / path.lstrip("/")
                if (folder / "cpu.cfs_quota_us").exists() or folder == groups / mounted:
                    return _writable(Place(folder, 1))
            return None, f"the group {path} of the controller cpu is not mounted beneath {groups}"
    for _, controllers, path in lines:
        if not controllers:
            folder = groups / path.lstrip("/")
            with suppress(OSError):
                if "cpu" in (folder / "cgroup.subtree_control").read_text().split():
                    return _writable(Place(folder, 2))
            return None, f"groups beneath {path} have no controller cpu"
    return None, "this process is in no control group"


def _writable(found: Place) -> tuple[Place | None, str]:
    """A trial: permissions alone do not tell, for root may be refused by the mount."""
    try:
        with group(found, 1.0):
            return found, ""
    except OSError as error:
        return None, f"a group in {found.folder} cannot be made: {error.strerror}"


@contextmanager
def group(at: Place, cpus: float, period: float = PERIOD) -> Iterator[Path]:
    """A group with so many CPUs' time, for as long as this lasts; its file of processes is where one is put into it."""
    global _tries
    _tries += 1
    folder = at.folder / f"millstream-{os.getpid()}-{_tries}"
    # The kernel refuses a quota below a millisecond.
    period = max(period, _LEAST_QUOTA / cpus)
    quota, length = round(cpus * period * 1e6), round(period * 1e6)
    folder.mkdir()
    try:
        if at.version == 1:
            (folder / "cpu.cfs_period_us").write_text(str(length))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (folder / "cpu.max").write_text(f"{quota} {length}")
        yield folder / "cgroup.procs"
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """A group can be removed when its last process is quite gone."""
    for _ in range(200):
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.01)


def checked_memory(text: str) -> tuple[int, ...]:
    """Sizes of memory in MB, from `128,512`, each once, ascending. Raises UsageError."""
    found = set()
    for one in text.split(","):
        word = one.strip()
        if not (word.isascii() and word.isdigit() and len(word) <= 6 and LEAST_MB <= int(word) <= MOST_MB):
            raise UsageError(
                f"--memory has {word[:40]!r}; write numbers of MB from {LEAST_MB} to {MOST_MB:,} with commas: 256,512,1024"
            )
        found.add(int(word))
    return tuple(sorted(found))
