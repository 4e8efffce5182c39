"""What runs on this machine, and what to do when something is off."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

from millstream._version import __version__
from millstream.errors import MillstreamError
from millstream.native.bind import cache_folder, kernels, missing_cpu_features

_NEEDED = ("pyarrow", "orjson", "aws-lambda-powertools", "PyYAML")
_OPTIONAL = ("numba", "llvmlite", "numpy", "boto3", "tqdm")
_LEAST_PYTHON = (3, 11)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def examine() -> dict[str, Any]:
    """The state of this installation. `problems` says what is off and what to do about each; empty if all is well."""
    problems: list[str] = []
    found: dict[str, Any] = {
        "millstream": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "backend": None,
        "reason": None,
        "cpu_target": None,
        "missing_cpu_features": [],
        "kernels": 0,
        "kernels_folder": None,
        "cache_folder": str(cache_folder()),
    }
    if sys.version_info < _LEAST_PYTHON:
        problems.append("Python is older than 3.11: install Python 3.11 or later")
    try:
        backend = kernels.load()
        manifest = backend.manifest
        found.update(
            backend=backend.name,
            reason=backend.reason,
            cpu_target=manifest["cpu"],
            missing_cpu_features=missing_cpu_features(manifest["cpu"]),
            kernels=len(manifest["kernels"]),
            kernels_folder=str(backend.folder),
        )
    except MillstreamError as error:
        problems.append(str(error))
    found["packages"] = {name: _version(name) for name in (*_NEEDED, *_OPTIONAL)}
    missing = [name for name in _NEEDED if found["packages"][name] is None]
    if missing:
        problems.append(f"{', '.join(missing)} not installed: pip install {' '.join(missing)}")
    folder = cache_folder()
    existing = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if found["reason"] != "it came with the installed package" and not os.access(existing, os.W_OK):
        problems.append(f"the cache folder {folder} cannot be written to: set MILLSTREAM_CACHE_DIR to a folder of yours")
    found["problems"] = problems
    return found


def render(found: dict[str, Any]) -> str:
    """The same to read."""
    lines = [f"millstream {found['millstream']}, Python {found['python']}, {found['platform']}"]
    if found["backend"]:
        lines.append(f"  backend       {found['backend']}: {found['kernels']} kernels, {found['reason']}")
        missing = ", ".join(found["missing_cpu_features"])
        lines.append(
            f"  CPU target    {found['cpu_target']}, "
            + (f"this machine lacks {missing}" if missing else "this machine has all it needs")
        )
        lines.append(f"  kernels from  {found['kernels_folder']}")
    else:
        lines.append("  backend       none")
    lines.append(f"  cache folder  {found['cache_folder']}")
    for name, version in found["packages"].items():
        if version or name in _NEEDED:
            lines.append(f"  {name:<13} {version or 'not installed'}")
    lines += [f"problem: {one}" for one in found["problems"]]
    lines.append("something is off: see above" if found["problems"] else "all is well")
    return "\n".join(lines)
