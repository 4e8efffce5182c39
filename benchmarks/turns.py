"""A worker of `compare.py`: a pytest process in which each case runs Millstream's side alone, one run whenever it is told to.

Lines of JSON go over two pipes whose numbers stand in the environment. The worker says which cases it has, then of each that it is ready,
and after every "go" how many seconds the run took, until "next"; of a case that fails or skips, that it is gone and why.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from contest import OURS

VARIABLE = "MILLSTREAM_BENCHMARK_TURNS"
WARM = 2


class Turns:
    """The worker's end, a plugin of pytest's."""

    def __init__(self, reading: int, writing: int) -> None:
        self._asked = os.fdopen(reading, "r", encoding="utf-8")
        self._answers = os.fdopen(writing, "w", encoding="utf-8")

    def say(self, **what: Any) -> None:
        self._answers.write(json.dumps(what) + "\n")
        self._answers.flush()

    def contest(self, nodeid: str, clock: Callable[[], float]) -> Callable[..., None]:
        """What stands in the place of a contest."""

        def run(
            case: str,
            runs: Mapping[str, Callable[[], Any]],
            *,
            settle: bool = False,
            prepare: Callable[[], Any] = lambda: None,
            **rest: Any,
        ) -> None:
            ours = runs[OURS]
            for _ in range(WARM):
                prepare()
                ours()
            self.say(ready=nodeid, case=case)
            gc.collect()
            gc.disable()
            try:
                while self._asked.readline().strip() == "go":
                    prepare()
                    if settle:
                        ours()
                    started = clock()
                    ours()
                    self.say(took=clock() - started)
                    gc.collect()
            finally:
                gc.enable()

        return run

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        import millstream

        self.say(cases=[item.nodeid for item in session.items], source=os.path.dirname(millstream.__file__))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown" and not report.passed:
            crash = getattr(report.longrepr, "reprcrash", None)
            if crash is not None:
                why = crash.message
            else:
                why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
            self.say(gone=report.nodeid, why=why.strip().splitlines()[0])

    def pytest_sessionfinish(self) -> None:
        self.say(end=True)


def from_environment() -> Turns | None:
    """The worker's end, where this process is one."""
    pipes = os.environ.pop(VARIABLE, None)
    return None if pipes is None else Turns(*map(int, pipes.split(",")))
