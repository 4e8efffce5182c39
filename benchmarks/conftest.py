"""What all benchmarks share: one core and one thread for everybody, the fixture `contest`, and the table at the end."""

from __future__ import annotations

import measure

measure.one_thread_each()  # before a peer is imported

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import contest as contests
import pytest
import report
import turns

RESULTS = pytest.StashKey[list[contests.Result]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("millstream")
    group.addoption("--share", type=float, default=1.0, help="of the time that cases take, so much: 0.25 for a quick look")
    group.addoption(
        "--clock",
        choices=tuple(measure.CLOCKS),
        default="wall",
        help="what is counted: time as it passes, or the processor's time of this process, which a busy machine sways less",
    )
    group.addoption("--soak", type=float, metavar="MINUTES", help="run the soak too, whose memory has a bar: 20 of them")
    group.addoption("--markdown", type=Path, metavar="FILE", help="write the table into a file too")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []
    channel = turns.from_environment()
    if channel is not None:
        config.pluginmanager.register(channel, "turns")


def pytest_sessionstart(session: pytest.Session) -> None:
    try:
        measure.native()
    except SystemExit as refused:
        raise pytest.UsageError(str(refused)) from None
    import pyarrow as pa

    pa.set_cpu_count(1)
    measure.one_core()


@pytest.fixture
def told(request: pytest.FixtureRequest) -> measure.Told:
    """The clock of a case whose runs are processes that tell what they took."""
    return measure.Told(request.config.getoption("clock"))


@pytest.fixture
def contest(request: pytest.FixtureRequest) -> Any:
    """Runs a case, Millstream and its peers in turn; see contest.Contest. For `make bench-compare` Millstream's runs alone."""
    clock = measure.CLOCKS[request.config.getoption("clock")]
    for own in ("told", "processor"):
        clock = request.getfixturevalue(own) if own in request.fixturenames else clock
    channel = request.config.pluginmanager.getplugin("turns")
    if channel is not None:
        return channel.contest(request.node.nodeid, clock)
    request.node.add_marker(pytest.mark.benchmark(timer=clock))
    stage = request.node.path.stem.removeprefix("bench_").replace("_", " ")
    keep = request.config.stash[RESULTS].append
    return contests.Contest(request.getfixturevalue("benchmark"), stage, keep, clock, request.config.getoption("share"))


@pytest.fixture
def processor() -> Callable[[], float]:
    """The clock of a case whose bar is about the processor's time, whatever is counted elsewhere."""
    return measure.CLOCKS["cpu"]


@pytest.fixture
def in_memory() -> Iterator[Callable[[str, bytes], Path]]:
    """Writes files that no disk holds, where the system has such a place: name and bytes to a path."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:

        def write(name: str, text: bytes) -> Path:
            path = Path(folder, name)
            path.write_bytes(text)
            return path

        yield write


def _named(nodeid: str) -> str:
    """A case without its folder; what stands in its brackets may have slashes."""
    file, colons, rest = nodeid.partition("::")
    return f"{Path(file).name}{colons}{rest}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results:
        return
    skipped = []
    for one in terminalreporter.stats.get("skipped", ()):
        said = one.longrepr[2] if isinstance(one.longrepr, tuple) else str(one.longrepr)
        skipped.append((_named(one.nodeid), said.removeprefix("Skipped: ")))
    failed = [_named(one.nodeid) for kind in ("failed", "error") for one in terminalreporter.stats.get(kind, ())]
    head = report.header(config.getoption("clock"))
    terminalreporter.write_line("")
    for line in report.table(head, results, skipped, failed):
        terminalreporter.write_line(line)
    file = config.getoption("markdown")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(report.markdown(head, results, skipped, failed)) + os.linesep)
