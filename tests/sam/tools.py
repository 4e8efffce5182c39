"""Fetch the programs that look at a template: the SAM command line, checkov and cfn-guard with AWS's rules.

    python -m tests.sam.tools [FOLDER]      # .cache/sam in the checkout unless told

The first two come from PyPI into an environment each, for what they need is not what the tests need; cfn-guard comes from npm, inside
a validator for the CDK that carries its program and Control Tower's rules. Some 670 MB in all. A tool that is whole has a file `done`,
and is not fetched again.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "sam"

SAM_CLI = "1.170.0"
CHECKOV = "3.3.30"
CFN_GUARD = "0.0.62"


class FetchError(Exception):
    """A tool cannot be had: told with the reason."""


@dataclass(frozen=True)
class Tools:
    """Where the tools are: two programs, and the folder with cfn-guard's node_modules."""

    sam: Path
    checkov: Path
    guard: Path


def fetch(folder: Path = FOLDER) -> Tools:
    """Make sure that all tools are there. Raises FetchError."""
    homes = {
        folder / f"aws-sam-cli-{SAM_CLI}": lambda into: _from_pypi(into, f"aws-sam-cli=={SAM_CLI}"),
        folder / f"checkov-{CHECKOV}": lambda into: _from_pypi(into, f"checkov=={CHECKOV}"),
        folder / f"cfn-guard-{CFN_GUARD}": lambda into: _from_npm(into, f"@cdklabs/cdk-validator-cfnguard@{CFN_GUARD}"),
    }
    missing = [path for path in homes if not (path / "done").exists()]
    if missing:
        print("Fetching", ", ".join(path.name for path in missing), "from PyPI and npm ...", file=sys.stderr, flush=True)
        with ThreadPoolExecutor(len(missing)) as pool:
            list(pool.map(lambda path: _place(path, homes[path]), missing))
    sam, checkov, guard = homes
    return Tools(sam / "bin" / "sam", checkov / "bin" / "checkov", guard)


def _place(path: Path, make: Callable[[Path], None]) -> None:
    """Make a folder in its place, for an environment cannot be moved; the file `done` tells that it is whole."""
    path.mkdir(parents=True, exist_ok=True)
    make(path)
    (path / "done").touch()


def _from_pypi(into: Path, wanted: str) -> None:
    venv.create(into, clear=True, symlinks=True, with_pip=True)  # a copy of Python may be busy still when it is run
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"]
    _run(wanted, [str(into / "bin" / "python"), "-m", "pip", "install", *options, wanted])


def _from_npm(into: Path, wanted: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("cfn-guard comes from npm, and there is no npm on PATH: install Node.js (Debian: npm)")
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=into) as cache:
        options = ["--prefix", str(into), "--cache", cache, "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps"]
        _run(wanted, [npm, "install", *options, wanted])


def _run(wanted: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise FetchError(f"cannot fetch {wanted}: {told[-1] if told else 'no word of why'}")


if __name__ == "__main__":
    try:
        found = fetch(Path(sys.argv[1]).absolute() if sys.argv[1:] else FOLDER)
    except FetchError as error:
        sys.exit(str(error))
    print(found.sam, found.checkov, found.guard, sep="\n")
