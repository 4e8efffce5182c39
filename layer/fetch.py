"""Fetch the wheels of the lock file for a target, whatever this machine is, and refresh the lock file.

    python -m layer.fetch --lock        # resolve requirements.in for every target and write requirements.lock

A wheel is used only where its SHA-256 stands in the lock file; what was fetched is kept under .cache/layer/wheels.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from layer import ARCHES, CACHE, PYTHONS, ROOT, LayerError, Target

WANTED = ROOT / "layer" / "requirements.in"
LOCK = ROOT / "layer" / "requirements.lock"
# Amazon Linux 2023, on which Lambda's Pythons from 3.12 on run, has glibc 2.34.
GLIBC_MINORS = range(34, 16, -1)
HEAD = "# Written by `python -m layer.fetch --lock` from requirements.in: one wheel a target, where one does not serve all.\n"


def locked(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Of each package in a lock file: its version and the hashes of its wheels."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, version, hashes = re.fullmatch(r"\s*([\w.-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line).groups()  # type: ignore[union-attr]
        found[_normal(name)] = (version, frozenset(re.findall(r"[0-9a-f]{64}", hashes)))
    return found


def wheels(target: Target, lock: Path = LOCK) -> list[Path]:
    """The wheels of a target, each checked against the lock file; fetched first if need be. Raises LayerError."""
    text = lock.read_text()
    folder = CACHE / "wheels" / target.name
    kept = _checked(folder, locked(text), target)
    if kept is None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.whl"):
            old.unlink()
        print(f"fetching the wheels of {target.name}", file=sys.stderr, flush=True)
        _pip("download", "--require-hashes", "-r", str(lock), "--dest", str(folder), *_options(target))
        kept = _checked(folder, locked(text), target)
    if kept is None:
        raise LayerError(f"{folder} does not hold what {lock.name} lists: delete it and build again")
    return kept


def unpack(target: Target, into: Path) -> None:
    """Lay the wheels of a target into a folder as an installer would. Raises LayerError where one writes outside."""
    for wheel in wheels(target):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                path = Path(entry.filename)
                if path.is_absolute() or ".." in path.parts:
                    raise LayerError(f"{wheel.name} holds {entry.filename!r}, which lies outside of its folder")
                if not path.parts[0].endswith(".data"):  # scripts, which a function has no use for
                    archive.extract(entry, into)


def _checked(folder: Path, known: dict[str, tuple[str, frozenset[str]]], target: Target) -> list[Path] | None:
    """The folder's wheels where they are all that the lock lists, hash for hash, and for this target; else None."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, *_, python, abi, platform = path.stem.split("-")
        name = _normal(name)
        if name not in known or name in found or version != known[name][0]:
            return None
        if hashlib.sha256(path.read_bytes()).hexdigest() not in known[name][1]:
            return None
        if not fits(python, abi, platform, target):
            return None
        found[name] = path
    return list(found.values()) if found.keys() == known.keys() else None


def fits(python: str, abi: str, platform: str, target: Target) -> bool:
    """Do a wheel's tags say that it runs on the target?"""
    own = "cp" + target.python.replace(".", "")
    if platform == "any":
        return abi == "none" and "py3" in python.split(".")
    of_python = (own in python.split(".") and abi == own) or abi == "abi3"
    return of_python and all(one.endswith("_" + target.machine) for one in platform.split("."))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _options(target: Target) -> list[str]:
    platforms = [f"manylinux_2_{minor}_{target.machine}" for minor in GLIBC_MINORS] + [f"manylinux2014_{target.machine}"]
    return [
        "--only-binary=:all:",
        f"--python-version={target.python}",
        "--implementation=cp",
        f"--abi=cp{target.python.replace('.', '')}",
        "--abi=abi3",
        "--abi=none",
        *(f"--platform={platform}" for platform in platforms),
    ]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise LayerError(
            f"pip {arguments[0]} failed: {' '.join(told[-2:]) or done.stderr.strip()[-500:] or 'it does not say why'}"
        )


def resolve(target: Target, pins: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Of each package that requirements.in comes to on a target: its version and its wheel's hash. `pins` hold versions."""
    with tempfile.TemporaryDirectory() as scratch:
        report, constraints = Path(scratch) / "report.json", Path(scratch) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        options = [*_options(target), "--target", scratch, "--report", str(report), "-r", str(WANTED), "-c", str(constraints)]
        _pip("install", "--dry-run", "--ignore-installed", *options)
        told: dict[str, Any] = json.loads(report.read_text())
    return {
        _normal(one["metadata"]["name"]): (one["metadata"]["version"], one["download_info"]["archive_info"]["hashes"]["sha256"])
        for one in told["install"]
    }


def lock() -> str:
    """A lock file's text: the newest versions that requirements.in allows, the same for every target."""
    pins: dict[str, str] = {}
    hashes: dict[str, set[str]] = {}
    for target in [Target(python, arch) for python in PYTHONS for arch in ARCHES]:
        for name, (version, digest) in resolve(target, pins).items():
            if pins.setdefault(name, version) != version:
                raise LayerError(f"{name} is {version} on {target.name}, {pins[name]} elsewhere: pin it in {WANTED.name}")
            hashes.setdefault(name, set()).add(digest)
    lines = [
        f"{name}=={pins[name]}" + "".join(f" \\\n    --hash=sha256:{one}" for one in sorted(hashes[name]))
        for name in sorted(pins)
    ]
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m layer.fetch", description="Refresh the lock file of the layer.")
    parser.add_argument("--lock", action="store_true", required=True, help=f"write {LOCK.name} from {WANTED.name}")
    parser.parse_args()
    try:
        LOCK.write_text(lock())
    except LayerError as error:
        raise SystemExit(f"layer: {error}") from None


if __name__ == "__main__":
    main()
