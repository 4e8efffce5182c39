"""Fetch what runs a function as Lambda does: AWS's Runtime Interface Emulator and its runtime client, both from PyPI.

    python -m tests.lambda_runtime.fetch [FOLDER]      # .cache/lambda in the checkout unless told

Each part appears whole or not at all, and is not fetched again. The emulator is one file of the aws-sam-cli wheel. For another
interpreter, in which nothing is installed, boto3 is fetched too: Lambda's runtimes bring it.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FOLDER = Path(__file__).parents[2] / ".cache" / "lambda"

SAM = "1.170.0"

# Three major versions of the client, whose insides differ. Lambda's runtimes run one of them each.
# Version: the last Python 3 minor that it has wheels for.
CLIENTS = {"2.2.1": 12, "3.1.1": 14, "4.2.2": 14}

# Not the newest: that of Lambda's runtimes is older than PyPI's.
BOTO3 = "1.40.4"


class FetchError(Exception):
    """A part cannot be had: told with the reason."""


@dataclass(frozen=True)
class Interpreter:
    """A Python 3: its program and the folder that it is installed in."""

    executable: Path
    prefix: Path
    tag: str
    minor: int

    @property
    def version(self) -> str:
        return f"3.{self.minor}"

    @classmethod
    def at(cls, program: Path) -> Self:
        """What a program says of itself: it may be pyenv's shim or stand in a virtual environment."""
        source = (
            "import json, sys; "
            "print(json.dumps([sys._base_executable, sys.base_prefix, sys.implementation.cache_tag, sys.version_info.minor]))"
        )
        done = subprocess.run([str(program), "-I", "-S", "-c", source], capture_output=True, text=True, check=True)
        executable, prefix, tag, minor = json.loads(done.stdout)
        return cls(Path(executable), Path(prefix), tag, minor)


@dataclass(frozen=True)
class Parts:
    """Where the parts are: the emulator's program, the client's folder (for PYTHONPATH) by version, and boto3's if fetched."""

    emulator: Path
    clients: dict[str, Path]
    boto3: Path | None = None


def supported(minor: int = sys.version_info.minor) -> tuple[str, ...]:
    """The client's versions that have a wheel for a Python 3, the one that runs unless told."""
    return tuple(version for version, last in CLIENTS.items() if minor <= last)


def fetch(folder: Path = FOLDER, other: Interpreter | None = None) -> Parts:
    """Make sure that all parts are there, for the interpreter that runs or another. Raises FetchError."""
    arch = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    if sys.platform != "linux" or arch is None:
        raise FetchError("AWS's Runtime Interface Emulator runs on Linux, on x86_64 and aarch64, alone")
    emulator = folder / f"aws-lambda-rie-{SAM}-{arch}"
    python = other or Interpreter.at(Path(sys.executable))
    clients = {version: folder / f"awslambdaric-{version}-{python.tag}-{arch}" for version in supported(python.minor)}
    boto3 = folder / f"boto3-{BOTO3}-{python.tag}" if other else None
    work: dict[Path, Callable[[Path], None]] = {emulator: lambda into: _emulator(into, arch)}
    for version, path in clients.items():
        work[path] = lambda into, version=version: _packages(into, f"awslambdaric=={version}", python)
    if boto3:
        work[boto3] = lambda into: _packages(into, f"boto3=={BOTO3}", python)
    missing = [path for path in work if not path.exists()]
    if missing:
        print("Fetching", ", ".join(path.name for path in missing), "from PyPI ...", file=sys.stderr, flush=True)
        with ThreadPoolExecutor(len(missing)) as pool:
            list(pool.map(lambda path: place(path, work[path]), missing))
    return Parts(emulator, clients, boto3)


def place(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file or folder beside its place, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as scratch:
        made = Path(scratch) / path.name
        make(made)
        try:
            made.rename(path)
        except OSError:
            if not path.exists():
                raise  # else another process was faster


def _emulator(into: Path, arch: str) -> None:
    _pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(into.parent), f"aws-sam-cli=={SAM}")
    (wheel,) = into.parent.glob("*.whl")
    name = f"samcli/local/rapid/aws-lambda-rie-{arch}"
    with zipfile.ZipFile(wheel) as archive, archive.open(name) as source, open(into, "wb") as target:
        shutil.copyfileobj(source, target)
    into.chmod(0o755)


def _packages(into: Path, wanted: str, python: Interpreter) -> None:
    # Without wheels the client would be compiled, which takes a C++ compiler, CMake and minutes; and for another Python not at all.
    options = ["--only-binary=:all:", "--no-compile", "--implementation=cp", f"--python-version={python.version}"]
    _pip("install", *options, "--target", str(into), wanted)
    # By the Python that will run it, which may write nothing there.
    subprocess.run([str(python.executable), "-I", "-S", "-m", "compileall", "-q", str(into)], capture_output=True, check=False)


def _pip(*arguments: str) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"]
    done = subprocess.run([sys.executable, "-m", "pip", *arguments, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(f"cannot fetch {arguments[-1]} from PyPI: {told[-1] if told else 'pip failed'}")


if __name__ == "__main__":
    try:
        found = fetch(Path(sys.argv[1]).absolute() if sys.argv[1:] else FOLDER)
    except FetchError as error:
        sys.exit(str(error))
    print(found.emulator, *found.clients.values(), sep="\n")
