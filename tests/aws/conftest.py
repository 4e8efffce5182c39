"""What tests of handlers share: functions run as Lambda does, a logger of each test's own, and a canary.

With LAMBDA_LAYER=PATH, a layer's zip, `lambda_function` runs from it, in a root where nothing else is, on the Python that it is for.

The canary: payloads hold `events.CANARY`, AWS is talked to with `servers.CREDENTIALS`, and after each test none of them may be found in
what it wrote to stdout and stderr, in a log record, in an error that a handler raised or in what a function wrote.
"""

import base64
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import pytest

from millstream import clock
from millstream.aws.handler import Handler
from millstream.aws.kinesis import KinesisHandler
from millstream.aws.s3 import S3Handler
from millstream.aws.sqs import SqsHandler
from millstream.errors import BackendError
from tests.aws.events import CANARY
from tests.lambda_runtime.fetch import CLIENTS, FetchError, Parts, fetch, supported
from tests.lambda_runtime.runtime import LambdaRuntime, make_layer
from tests.lambda_runtime.sandbox import Sandbox, SandboxError, unzip
from tests.servers import CREDENTIALS


def _forms(text: str) -> set[str]:
    """A text as it is, and as it stands in base64 wherever it begins there."""
    found = {text}
    for before, first in enumerate((0, 2, 3)):
        encoded = base64.b64encode(bytes(before) + text.encode()).decode()
        found.add(encoded[first : 8 * (before + len(text)) // 6])
    return found


_KEPT_SECRET = {form: name for name, text in {"the canary": CANARY, **CREDENTIALS}.items() for form in _forms(text)}


class Watch:
    """What was said in a test, and what of it must not have been. `is_expected`: set by a test that says it itself."""

    def __init__(self) -> None:
        self.is_expected = False
        self._leaks: list[str] = []

    def hear(self, where: str, text: str) -> None:
        """Something that was said."""
        self._leaks += [f"{name} is in {where}" for form, name in _KEPT_SECRET.items() if form in text]

    @property
    def leaks(self) -> list[str]:
        """What must not have been said, each once."""
        return list(dict.fromkeys(self._leaks))

    def listening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose errors are heard."""

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return function(*arguments, **named)
            except BaseException as error:
                self.hear(f"an error of {function.__qualname__}", "".join(traceback.format_exception(error)))
                raise

        return call


_WATCH = pytest.StashKey[Watch]()


@pytest.fixture(autouse=True)
def canary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watch for the canary and for credentials; the test fails at its end where they were found."""
    watch = request.node.stash[_WATCH] = Watch()
    handle, read = logging.Logger.handle, pytest.CaptureFixture.readouterr

    def hear_record(logger: logging.Logger, record: logging.LogRecord) -> None:
        watch.hear(f"a record of the logger {logger.name}", f"{record.getMessage()} {vars(record)}")
        handle(logger, record)

    def hear_output(capsys: Any) -> Any:
        found = read(capsys)
        watch.hear("stdout", str(found.out))
        watch.hear("stderr", str(found.err))
        return found

    monkeypatch.setattr(logging.Logger, "handle", hear_record)
    monkeypatch.setattr(pytest.CaptureFixture, "readouterr", hear_output)
    for owner, name in (
        (Handler, "__init__"),
        (KinesisHandler, "__call__"),
        (SqsHandler, "__call__"),
        (S3Handler, "__call__"),
    ):
        monkeypatch.setattr(owner, name, watch.listening(getattr(owner, name)))
    return watch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    watch = item.stash.get(_WATCH, None)
    if report.when == "teardown" and watch is not None and not watch.is_expected:
        for name, text in report.sections:
            watch.hear(name, text)
        if watch.leaks and report.passed:
            report.outcome = "failed"
            report.longrepr = "This must not be said:\n" + "\n".join(watch.leaks)
    return report


class Now:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.time, self._machine = 1000.0, clock.source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    made = Now()
    monkeypatch.setattr(clock, "source", made)
    return made


def _absent(reason: str) -> NoReturn:
    """Skip, loudly; where these tests must run, as in CI, fail."""
    if os.environ.get("LAMBDA_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def lambda_parts(layer: Path | Sandbox) -> Parts:
    """AWS's emulator and runtime clients, fetched if need be."""
    try:
        return fetch(other=layer.python if isinstance(layer, Sandbox) else None)
    except FetchError as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path | Sandbox:
    """The package with its kernels, as a function finds it."""
    try:
        if path := os.environ.get("LAMBDA_LAYER"):
            return unzip(Path(path), tmp_path_factory.mktemp("layer"))
        return make_layer(tmp_path_factory.mktemp("layer"))
    except (BackendError, SandboxError) as error:
        _absent(str(error))


@pytest.fixture(params=CLIENTS)
def runtime_version(request: pytest.FixtureRequest, layer: Path | Sandbox) -> str:
    """Each major version of awslambdaric in turn."""
    return _runs(request, layer)


@pytest.fixture(params=[*(pytest.param(one, marks=pytest.mark.long) for one in list(CLIENTS)[:-1]), list(CLIENTS)[-1]])
def recent_runtime_version(request: pytest.FixtureRequest, layer: Path | Sandbox) -> str:
    """The newest; the others where all that takes long runs."""
    return _runs(request, layer)


def _runs(request: pytest.FixtureRequest, layer: Path | Sandbox) -> str:
    version: str = request.param
    if version not in (supported(layer.python.minor) if isinstance(layer, Sandbox) else supported()):
        pytest.skip(f"awslambdaric {version} has no wheel for this Python, and no Lambda runtime has both")
    return version


@pytest.fixture
def function_tmp(layer: Path | Sandbox, tmp_path: Path) -> Path:
    """A folder in which a function may write, under the function's name for it: see LambdaRuntime.seen."""
    return Path("/tmp") if isinstance(layer, Sandbox) else tmp_path


@pytest.fixture
def lambda_function(
    lambda_parts: Parts, layer: Path | Sandbox, tmp_path: Path, canary: Watch
) -> Iterator[Callable[..., LambdaRuntime]]:
    """Start a function, ended after the test.

    lambda_function(source) runs the `handler` of a module with that source; lambda_function(handler="a.b.c") one that is
    there already. `files`: more files of the function's, by name. More options: see LambdaRuntime.
    """
    with ExitStack() as running:

        def start(
            source: str = "",
            handler: str = "function.handler",
            *,
            files: Mapping[str, str] | None = None,
            environment: Mapping[str, str] | None = None,
            **options: Any,
        ) -> LambdaRuntime:
            task_root = tmp_path / "task"
            task_root.mkdir(exist_ok=True)
            for name, text in {"function.py": source, **(files or {})}.items():
                (task_root / name).write_text(text)
            options |= {"task_root": task_root, "layer": layer, "parts": lambda_parts}
            function = LambdaRuntime(handler, environment=CREDENTIALS | dict(environment or {}), **options)
            running.callback(lambda: canary.hear("what the function wrote", "\n".join(function.lines)))
            return running.enter_context(function)

        yield start
