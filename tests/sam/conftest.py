"""Tools of others, fetched once."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.sam import tools


def _absent(reason: str) -> NoReturn:
    """Skip, loudly; where these tests must run, fail."""
    if os.environ.get("LAMBDA_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def absent() -> Callable[[str], NoReturn]:
    return _absent


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """Where a tool of tests/sam/tools.py is."""

    def find(name: str) -> Path:
        try:
            return tools.fetch(name)[name]
        except tools.FetchError as error:
            _absent(str(error))

    return find


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command, with variables, and wait for what it says."""

    def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        whole = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"} | variables
        return subprocess.run(
            [str(one) for one in command], env=whole, capture_output=True, text=True, timeout=500, check=False
        )

    return run
