"""What is done with a layer's files: bytecode, the list of parts, sums, and the zip, all the same bytes each time."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from layer import LayerError

# Where Lambda mounts a layer: what stands in tracebacks.
MOUNT = "/opt/python"
ABOUT = "millstream-layer"
"""The folder of the list of parts and the sums. Its name is no module's."""


@cache
def interpreter(version: str) -> Path | None:
    """A CPython of this version: the one that runs, on PATH, of pyenv or beside the one that runs; None where none of these runs."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    beside = Path(sys.base_prefix).parent
    found = [Path(sys.executable)] if sys.version_info[:2] == tuple(map(int, version.split("."))) else []
    found += [Path(one) for one in [shutil.which(name)] if one] + [
        path for folder in (pyenv, beside) for path in sorted(folder.glob(f"{version}.*/bin/{name}"))
    ]
    for path in found:
        # A shim of pyenv stands on PATH whether or not that version is chosen.
        command = [str(path), "-I", "-S", "-c", "import sys; print(sys.implementation.name, *sys.version_info[:2], sep='.')"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == f"cpython.{version}":
            return path
    return None


def compile_all(root: Path, python: Path) -> None:
    """Put bytecode beside every source, by the Python that will run it. It is not checked against the source at a start."""
    mode = ["--invalidation-mode", "unchecked-hash"]
    command = [str(python), "-I", "-S", "-m", "compileall", "-q", "-f", *mode, "-s", str(root), "-p", MOUNT, str(root)]
    # Hashes of text are random in each process, and with them the order of a set.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONHASHSEED": "0", "PATH": os.defpath})
    if done.returncode:
        raise LayerError(
            f"{python.name} could not compile the sources: {done.stdout.strip()[-500:]}{done.stderr.strip()[-500:]}"
        )


def normal_modes(root: Path) -> None:
    """Files may be read by all and written by their owner, whatever the umask and the wheels say."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def write_parts(root: Path, packages: list[dict[str, Any]], target: str) -> None:
    """The list of parts, in CycloneDX 1.6. Its serial number is left out: it would differ each time."""
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{one['name']}@{one['version']}",
            "name": one["name"],
            "version": one["version"],
            "purl": f"pkg:pypi/{one['name']}@{one['version']}",
            **({"licenses": [_licence(one["license"])]} if one["license"] else {}),
            **({"hashes": [{"alg": "SHA-256", "content": one["sha256"]}]} if one.get("sha256") else {}),
        }
        for one in sorted(packages, key=lambda one: one["name"])
    ]
    told = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "layer", "name": f"millstream-layer-{target}"}},
        "components": components,
    }
    (root / ABOUT).mkdir(exist_ok=True)
    (root / ABOUT / "sbom.cdx.json").write_text(json.dumps(told, indent=1) + "\n")


def _licence(text: str) -> dict[str, Any]:
    """An SPDX expression as such; a classifier's words as a name."""
    return {"license": {"name": text}} if "License" in text else {"expression": text}


def write_sums(root: Path) -> None:
    """The SHA-256 of every other file, for `sha256sum --check` in the folder python/."""
    sums = root / ABOUT / "SHA256SUMS"
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path != sums)
    sums.write_text("".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in files))


def moment() -> tuple[int, int, int, int, int, int]:
    """The time of every entry: SOURCE_DATE_EPOCH, else the earliest that a zip can tell."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not text.isdigit():
        raise LayerError(f"SOURCE_DATE_EPOCH is {text!r}; it is a number of seconds since 1970")
    return max(time.gmtime(int(text or 0))[:6], (1980, 1, 1, 0, 0, 0))


def write_zip(root: Path, out: Path) -> None:
    """Pack the folder as python/, files in order, without folders of their own. The file appears whole or not at all."""
    when = moment()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(
                (path for path in root.rglob("*") if path.is_file()), key=lambda path: path.relative_to(root).as_posix()
            ):
                entry = zipfile.ZipInfo(f"python/{path.relative_to(root).as_posix()}", when)
                entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
                entry.external_attr = (0o100000 | path.stat().st_mode & 0o777) << 16
                archive.writestr(entry, path.read_bytes(), compresslevel=9)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
