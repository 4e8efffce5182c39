"""Fetch what runs Python for arm64 here under qemu-user: Debian's python3.11 and its libraries, and wheels from PyPI.

    python -m tests.arm64.fetch [FOLDER]      # .cache/arm64 in the checkout unless told

Each part appears whole or not at all, and is not fetched again. apt-get works in folders of its own: the machine's packages
and architectures stay as they are, and no root rights are needed. qemu-aarch64 itself comes from Debian's qemu-user.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.lambda_runtime.fetch import FetchError, place

FOLDER = Path(__file__).parents[2] / ".cache" / "arm64"

SUITE = "bookworm"
SOURCE = f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {SUITE} main"
PYTHON = "3.11"
DEBS = (
    f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib",
    "libc6", "libstdc++6", "libgcc-s1", "zlib1g", "libexpat1", "libffi8", "libssl3", "libbz2-1.0", "liblzma5", "libuuid1",
    "libsqlite3-0",
)  # fmt: skip

# What runs here natively runs there too: the versions are those of this environment.
WHEELS = (
    "pyarrow", "orjson", "PyYAML", "aws-lambda-powertools", "boto3", "isal", "hypothesis", "pytest", "moto",
)  # fmt: skip
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


# What Linux says of a Neoverse N1. qemu-user shows a program this file in place of the machine's own, which is another CPU's.
CPU = "neoverse-n1"
CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
"""


@dataclass(frozen=True)
class Parts:
    """Where the parts are: the system root (for qemu's -L), and the folder of wheels (for PYTHONPATH)."""

    root: Path
    packages: Path

    @property
    def python(self) -> Path:
        return self.root / "usr" / "bin" / f"python{PYTHON}"


def wheels() -> list[str]:
    """The wheels to install, with the versions of this environment."""
    try:
        return [f"{name}=={version(name)}" for name in WHEELS]
    except PackageNotFoundError as error:
        raise FetchError(f"{error.name} is not installed here, so its version is not known: make test sets up .venv") from None


def fetch(folder: Path = FOLDER) -> Parts:
    """Make sure that all parts are there. Raises FetchError."""
    wanted = wheels()
    digests = [hashlib.sha256(" ".join(names).encode()).hexdigest()[:8] for names in ((*DEBS, SOURCE, CPUINFO), wanted)]
    parts = Parts(folder / f"root-{SUITE}-{digests[0]}", folder / f"packages-{digests[1]}")
    work: dict[Path, Callable[[Path], None]] = {parts.root: _root, parts.packages: lambda into: _packages(into, wanted)}
    for path, make in work.items():
        if not path.exists():
            print("Fetching", path.name, "...", file=sys.stderr, flush=True)
            place(path, make)
    return parts


def _root(into: Path) -> None:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise FetchError(
                f"{program} is not there: the arm64 system root is made of Debian's packages, on Debian or its kin"
            )
    apt = into.parent / "apt"
    for name in ("lists/partial", "archives/partial", "parts"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(SOURCE + "\n")
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",  # the folder may be one that only its owner can read
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": apt / "parts",
    }
    command = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    _run([*command, "update"], "cannot read Debian's list of arm64 packages")
    _run([*command, "download", *DEBS], "cannot fetch arm64 packages of Debian", apt / "archives")
    for package in sorted((apt / "archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(into)], f"cannot unpack {package.name}")
    (into / "proc").mkdir(exist_ok=True)
    (into / "proc" / "cpuinfo").write_text(CPUINFO)


def _packages(into: Path, wanted: list[str]) -> None:
    where = [option for platform in PLATFORMS for option in ("--platform", platform)]
    _run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1",
         "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *where, "--target", str(into), *wanted],
        "cannot fetch aarch64 wheels from PyPI",
    )  # fmt: skip


def _run(command: list[str], otherwise: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError(f"{otherwise}: {told[-1] if told else 'no reason given'}")


if __name__ == "__main__":
    try:
        found = fetch(Path(sys.argv[1]).absolute() if sys.argv[1:] else FOLDER)
    except FetchError as error:
        sys.exit(str(error))
    print(found.root, found.packages, sep="\n")
