"""The modules of other packages that a layer holds: found by running the work over whole wheels, kept in keep.txt.

    python -m layer.trace [--write]      # compare keep.txt with a fresh trace, or write it anew

Needs one of Lambda's Pythons on this machine, whatever its architecture.
"""

import argparse
import json
import platform
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from layer import ARCHES, PYTHONS, ROOT, LayerError, Target
from layer.fetch import unpack
from layer.pack import interpreter

KEEP = ROOT / "layer" / "keep.txt"
WORK = ROOT / "layer" / "work.py"
HEAD = "# Written by `python -m layer.trace --write`: what the work of layer/work.py loads of the wheels, a module a line.\n"


def work(python: Path, folders: Iterable[Path]) -> dict[str, str]:
    """Run the work where nothing but these folders can be imported: each module of theirs that is loaded, with its file."""
    command = [str(python), "-I", "-S", "-B", str(WORK), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise LayerError(f"the work of a function failed in {python.name}:\n{done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout))


def host_target() -> Target:
    """A target whose Python runs here. Raises LayerError where there is none."""
    arch = next((arch for arch, machine in ARCHES.items() if machine == platform.machine()), None)
    if arch is not None:
        for version in PYTHONS:
            if interpreter(version) is not None:
                return Target(version, arch)
    raise LayerError(f"no Python {', '.join(PYTHONS)} of Linux is installed here to trace with")


def traced(target: Target) -> list[str]:
    """The modules that the work loads of the target's wheels, whole as they come."""
    python = interpreter(target.python)
    assert python is not None
    with tempfile.TemporaryDirectory() as folder:
        unpack(target, Path(folder))
        return sorted(name for name in work(python, [Path(folder), ROOT / "src"]) if name.partition(".")[0] != "millstream")


def kept() -> frozenset[str]:
    """The modules of the keep-list."""
    return frozenset(line for line in KEEP.read_text().splitlines() if line and not line.startswith("#"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m layer.trace", description="Compare the keep-list with a fresh trace.")
    parser.add_argument("--write", action="store_true", help="write it anew")
    arguments = parser.parse_args()
    try:
        fresh = traced(host_target())
    except LayerError as error:
        raise SystemExit(f"layer: {error}") from None
    if arguments.write:
        KEEP.write_text(HEAD + "".join(f"{name}\n" for name in fresh))
    elif kept() != set(fresh):
        raise SystemExit(f"layer: keep.txt lacks {sorted(set(fresh) - kept())}, holds unused {sorted(kept() - set(fresh))}")


if __name__ == "__main__":
    main()
