"""Build the zips of the Lambda layer, for any of Lambda's CPUs and Pythons, on one Linux machine without Docker.

    python -m layer.build [--python 3.12,3.13] [--arch x86_64,arm64] [--out DIR]

Says a line for each zip. A layer that does not pass the gates is not written.
"""

import argparse
import email.parser
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layer import ARCHES, DIST, PYTHONS, ROOT, LayerError, Target, elf, fetch, gates, pack, targets, trace

SOURCE = ROOT / "src" / "millstream"
# Not of use in a function: the kernels' sources, which only their build imports, and the command line.
LEFT_OUT = ("kernels", "sizing", "arguments.py", "cli.py", "__main__.py")
_MODULE = re.compile(r"(?P<name>[^.]+)(?:\.py|\.cpython-\w+-[\w-]+\.so|\.abi3\.so|\.so)")
_ABOUT = re.compile(r"[^/]+\.dist-info/(METADATA|LICEN[CS]E\S*|NOTICE\S*|licenses/.+|sboms/.+)")


@dataclass(frozen=True)
class Built:
    """A zip that was made. `bytecode`: the Python that compiled it, None where it holds none."""

    path: Path
    zipped: int
    unzipped: int
    sha256: str
    bytecode: str | None

    def __str__(self) -> str:
        sizes = f"{self.zipped / 1e6:.1f} MB zipped  {self.unzipped / 1e6:.1f} MB unzipped"
        return f"{self.path.name}  {sizes}  {'with' if self.bytecode else 'without'} .pyc  sha256 {self.sha256}"


def module_of(path: str) -> str | None:
    """The module that a file of a wheel is, by its path; None for another file."""
    *folders, name = path.split("/")
    found = _MODULE.fullmatch(name)
    if found is None:
        return None
    own = [] if found["name"] == "__init__" else [found["name"]]
    return ".".join([*folders, *own])


def choose(root: Path, kept: frozenset[str]) -> dict[str, list[str]]:
    """Delete what no kept module is or needs; of each shared object that stays, the links that are to be cut.

    Raises LayerError where a kept module is not there.
    """
    modules: dict[str, Path] = {}
    libraries: dict[Path, dict[str, elf.Elf]] = defaultdict(dict)
    for path in gates.files(root):
        name = path.relative_to(root).as_posix()
        module = module_of(name)
        found = elf.read(path) if path.suffix != ".py" and elf.is_elf(path) else None
        if module in kept:
            modules[module] = path
        elif found is not None and found.soname == path.name:
            pass  # a library, under the name by which it is loaded; it stays if something that stays needs it
        elif not _ABOUT.fullmatch(name):
            path.unlink()
            continue
        if found is not None:
            libraries[path.parent][path.name] = found
    if kept - modules.keys():
        missing = ", ".join(sorted(kept - modules.keys()))
        raise LayerError(f"the wheels no longer hold {missing}: run python -m layer.trace --write")
    cuts: dict[str, list[str]] = {}
    for folder, found_there in sorted(libraries.items()):
        roots = [path.name for path in modules.values() if path.parent == folder and path.name in found_there]
        own = {name: elf.unused(name, found_there) for name in found_there}
        loaded = elf.closure(roots, elf.without(found_there, own))
        for name in found_there.keys() - set(loaded):
            (folder / name).unlink()
        cuts |= {(folder / name).relative_to(root).as_posix(): own[name] for name in loaded}
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return cuts


def add_millstream(root: Path, objects: Path, target: Target) -> None:
    """Put the package in, as a function needs it, with the kernels compiled for the target's CPU."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE)
        if name.parts[0] not in LEFT_OUT:
            into = root / "millstream" / name
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into)
    place = root / "millstream" / "native" / "objects" / target.machine
    place.mkdir(parents=True)
    for file in ("kernels.so", "manifest.json"):
        shutil.copyfile(objects / file, place / file)
    about = root / f"millstream-{version()}.dist-info"
    (about / "licenses").mkdir(parents=True)
    shutil.copyfile(ROOT / "LICENSE", about / "licenses" / "LICENSE")
    told = f"Metadata-Version: 2.4\nName: millstream\nVersion: {version()}\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n"
    (about / "METADATA").write_text(told)


def version() -> str:
    found = re.search(r'__version__ = "([^"]+)"', (SOURCE / "_version.py").read_text())
    assert found is not None
    return found[1]


def packages(root: Path, hashes: dict[str, str]) -> list[dict[str, Any]]:
    """What is in a layer, by the metadata of its packages. Raises LayerError for one without a licence's text."""
    told = []
    for about in sorted(root.glob("*.dist-info")):
        fields = email.parser.Parser().parsestr((about / "METADATA").read_text())
        if not any(path.is_file() and re.match("(?i)licen[cs]e|notice|copying", path.name) for path in about.rglob("*")):
            raise LayerError(f"{fields['Name']} brings no text of its licence")
        name = re.sub(r"[-_.]+", "-", str(fields["Name"])).lower()
        one = {"name": name, "version": fields["Version"], "license": fields["License-Expression"] or fields["License"]}
        told.append(one | ({"sha256": hashes[name]} if name in hashes else {}))
    return told


def compiled_kernels(machine: str) -> Path:
    """The folder of the kernels for a CPU, compiled if their source has changed since. Raises LayerError."""
    from millstream.errors import MillstreamError
    from millstream.native import bind

    if not Path(bind.__file__).is_relative_to(SOURCE):
        raise LayerError(f"the millstream that is installed is not that of {ROOT}: run make layer there")
    try:
        folder, manifest = bind.build_into_cache(False, machine)
    except MillstreamError as error:
        raise LayerError(str(error)) from None
    if manifest["shared"] is None:
        raise LayerError(f"no linker was there when the kernels for {machine} were compiled: delete {folder} and build again")
    return folder


def build(target: Target, out: Path) -> Built:
    """Build one zip into a folder. Raises LayerError with all that is wrong with it."""
    from millstream.native.build import ALLOWED_SYMBOLS

    tool = elf.tools(target.machine)
    objects = compiled_kernels(target.machine)
    python = pack.interpreter(target.python)
    with tempfile.TemporaryDirectory(prefix="millstream-layer-") as folder:
        root = Path(folder) / "python"
        root.mkdir()
        fetch.unpack(target, root)
        cuts = choose(root, trace.kept())
        for path in gates.files(root):
            if elf.is_elf(path):
                elf.trim(path, cuts.get(path.relative_to(root).as_posix(), ()), tool)
        add_millstream(root, objects, target)
        hashes = {re.sub(r"[-_.]+", "-", one.name.split("-")[0]).lower(): one for one in fetch.wheels(target)}
        parts = packages(root, {name: hashlib.sha256(one.read_bytes()).hexdigest() for name, one in hashes.items()})
        if python is not None:
            pack.compile_all(root, python)
        pack.write_parts(root, parts, target.name)
        pack.write_sums(root)
        pack.normal_modes(root)
        wrong = [
            *gates.foreign(root),
            *gates.kinds(root),
            *gates.twice(root),
            *gates.contents(root, [ROOT, Path(folder), Path.home()]),
            *gates.links(root, target.machine, ALLOWED_SYMBOLS),
            *gates.sizes(root),
        ]
        if wrong:
            raise refusal(target, wrong)
        if python is not None and platform.machine() == target.machine and sys.platform == "linux":
            trace.work(python, [root])
        packed = Path(folder) / target.zip_name
        pack.write_zip(root, packed)
        wrong = gates.sizes(root, packed.stat().st_size)
        if wrong:
            raise refusal(target, wrong)
        out.mkdir(parents=True, exist_ok=True)
        temporary = out / f".{target.zip_name}"
        shutil.copyfile(packed, temporary)
        temporary.replace(out / target.zip_name)
        unzipped = sum(path.stat().st_size for path in gates.files(root))
        digest = hashlib.sha256(packed.read_bytes()).hexdigest()
        return Built(out / target.zip_name, packed.stat().st_size, unzipped, digest, target.python if python else None)


def refusal(target: Target, wrong: Iterable[str]) -> LayerError:
    told = list(wrong)
    more = f"\n  and {len(told) - 20} more" if len(told) > 20 else ""
    return LayerError(f"{target.zip_name} is refused:\n  " + "\n  ".join(told[:20]) + more)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m layer.build", description="Build the zips of the Lambda layer.")
    parser.add_argument("--python", default=",".join(PYTHONS), help="versions with commas between (%(default)s)")
    parser.add_argument("--arch", default=",".join(ARCHES), help="Lambda's names of CPUs (%(default)s)")
    parser.add_argument("--out", type=Path, default=DIST, help="the folder for the zips (layer/dist)")
    arguments = parser.parse_args()
    try:
        wanted = targets(arguments.python, arguments.arch)
        if sys.platform != "linux":
            raise LayerError("a layer is built on Linux")
        # Once for each CPU before the builds go side by side; the tools first, for without a linker there is no object.
        for machine in dict.fromkeys(target.machine for target in wanted):
            elf.tools(machine)
            compiled_kernels(machine)
        for python in dict.fromkeys(target.python for target in wanted):
            if pack.interpreter(python) is None:
                print(f"no Python {python} here: its layers hold no .pyc, which costs each cold start", file=sys.stderr)
        with ThreadPoolExecutor(2) as pool:
            for built in pool.map(lambda target: build(target, arguments.out), wanted):
                print(built, flush=True)
    except LayerError as error:
        raise SystemExit(f"layer: {error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemExit(f"layer: {error}") from None


if __name__ == "__main__":
    main()
