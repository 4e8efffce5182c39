"""Functions for tests of handlers: `lambda_function(source)` runs one as Lambda does."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from millstream.errors import BackendError
from tests.lambda_runtime.fetch import CLIENTS, FetchError, Parts, fetch, supported
from tests.lambda_runtime.runtime import LambdaRuntime, make_layer
from tests.servers import CREDENTIALS


def _absent(reason: str) -> NoReturn:
    """Skip, loudly; where these tests must run, as in CI, fail."""
    if os.environ.get("LAMBDA_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def lambda_parts() -> Parts:
    """AWS's emulator and runtime clients, fetched if need be."""
    try:
        return fetch()
    except FetchError as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with its kernels, as a function finds it."""
    try:
        return make_layer(tmp_path_factory.mktemp("layer"))
    except BackendError as error:
        _absent(str(error))


@pytest.fixture(params=CLIENTS)
def runtime_version(request: pytest.FixtureRequest) -> str:
    """Each major version of awslambdaric in turn."""
    version: str = request.param
    if version not in supported():
        pytest.skip(f"awslambdaric {version} has no wheel for this Python, and no Lambda runtime has both")
    return version


@pytest.fixture
def lambda_function(lambda_parts: Parts, layer: Path, tmp_path: Path) -> Iterator[Callable[..., LambdaRuntime]]:
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
            return running.enter_context(LambdaRuntime(handler, environment=CREDENTIALS | dict(environment or {}), **options))

        yield start
