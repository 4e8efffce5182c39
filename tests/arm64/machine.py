"""Python for arm64 under qemu-user, with Millstream from this checkout and its kernels compiled for arm64.

    python -m tests.arm64.machine ARGUMENTS         # as `python3.11 ARGUMENTS`; MILLSTREAM_BACKEND=checked for range checks

It emulates the very CPU that the kernels are compiled for, so that an instruction which that one lacks is a fault.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from millstream.native import bind, build
from tests.arm64.fetch import CPU, FOLDER, FetchError, Parts, fetch

ROOT = Path(__file__).parents[2]
EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")


class MissingError(Exception):
    """Something that an arm64 program needs is not on this machine: told with the remedy."""


def emulator() -> str:
    """The program that runs arm64's. Raises MissingError."""
    for name in EMULATORS:
        found = shutil.which(name)
        if found:
            return found
    raise MissingError("qemu-aarch64 is not installed (apt-get install qemu-user)")


def compiled(checked: bool = False, folder: Path = FOLDER) -> Path:
    """The folder of the kernels for arm64, made of the source as it stands; without kernels.so where no linker is."""
    kernels = folder / "kernels"
    made = kernels / f"{build.source_hash()[:16]}-aarch64{'-checked' if checked else ''}"
    if not (made / "kernels.so").exists():
        for path in (folder, kernels):  # bind loads nothing from where others can write
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
        kept = bind.cache_folder() / "kernels" / "families"
        build.build_in_child(made, "aarch64", checked, kept if kept.is_dir() else None)
    return made


def linked(checked: bool = False, folder: Path = FOLDER) -> Path:
    """The same. Raises MissingError where no linker is."""
    made = compiled(checked, folder)
    if not (made / "kernels.so").exists():
        raise MissingError("no linker for arm64 is installed (apt-get install binutils-aarch64-linux-gnu)")
    return made


def command(parts: Parts, *arguments: str) -> list[str]:
    return [emulator(), "-cpu", CPU, "-L", str(parts.root), str(parts.python), *arguments]


def environment(parts: Parts, folder: Path = FOLDER) -> dict[str, str]:
    left_out = ("PYTHONHOME", "PYTEST_ADDOPTS", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in left_out and not name.startswith("PYTEST_XDIST")}
    path = os.pathsep.join(str(one) for one in (ROOT / "src", ROOT, parts.packages))
    return kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "MILLSTREAM_CACHE_DIR": str(folder)}


def main() -> int:
    try:
        parts = fetch()
        linked(os.environ.get("MILLSTREAM_BACKEND") == "checked")
        return subprocess.run(command(parts, *sys.argv[1:]), env=environment(parts), check=False).returncode
    except (FetchError, MissingError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
