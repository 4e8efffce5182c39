"""What all tests share: a clean environment, child interpreters, and slow tests last."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from millstream import engine
from millstream.aws import observe
from millstream.errors import MillstreamError
from millstream.functions import function
from millstream.native import bind

pytest_plugins = ["tests.servers"]

ROOT = Path(__file__).parent.parent

# A loaded machine is no failure: no deadline for one example.
settings.register_profile("millstream", deadline=None, print_blob=True)
settings.load_profile("millstream")

SHARE = float(os.environ.get("EXAMPLES", "1"))
"""How many of the examples that tests name are drawn: `make test` draws some of them, pytest by itself all."""
if SHARE != 1:
    # Past the class of settings' own guard: also for tests that make theirs while they run.
    type.__setattr__(settings, "max_examples", property(lambda self: max(3, round(self._max_examples * SHARE))))

Child = Callable[..., subprocess.CompletedProcess[str]]


def pytest_report_header() -> str:
    """Say which back end the kernels run on; compile them first where that is still to be done."""
    try:
        backend = bind.kernels.load()
    except MillstreamError as error:
        return f"kernels: none: {error}"
    return f"kernels: {backend.name}, {backend.manifest['cpu']}, {backend.reason}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests last; first where several processes share the work, so that none is left alone with them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None, reverse=hasattr(config, "workerinput"))


@pytest.fixture(autouse=True)
def _outside_of_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _sound(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the engine takes for granted: no column of a batch has errors, and bytes of 1 that serve one call after another are 1."""
    advance = engine.advance

    def watched(step: Any, batch: engine.Batch, account: Any) -> None:
        advance(step, batch, account)
        for name, one in batch.columns.items():
            assert one.valid is None or max(one.valid.tobytes(), default=0) < 2, f"{name} has errors after {step.where}"

    monkeypatch.setattr(engine, "advance", watched)
    yield
    assert all(one.tobytes() == b"\1" * one.count for one in function._spare)


@pytest.fixture(autouse=True)
def _fresh_loggers() -> None:
    """Powertools' loggers keep the stdout of the test that made them."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if getattr(logger, "init", False):  # set by Powertools
            del logging.root.manager.loggerDict[name]
    observe._logger.cache_clear()
    observe.say.cache_clear()


@pytest.fixture
def child() -> Child:
    """Run Python source in a fresh interpreter: child(source, NAME="value", OTHER=None to unset)."""

    def run(source: str, check: bool = True, **environment: str | None) -> subprocess.CompletedProcess[str]:
        whole = {k: v for k, v in os.environ.items() if k != "MILLSTREAM_BACKEND"} | environment
        done = subprocess.run(
            [sys.executable, "-c", source],
            env={k: v for k, v in whole.items() if v is not None},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
