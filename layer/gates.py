"""What a layer must be before it is let out. Each gate tells what it found wrong; the build refuses a layer with any."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from layer import elf

MOST_UNZIPPED = 95_000_000
MOST_ZIPPED = 34_000_000

# Each with words of which one is in it, in small letters: they are looked for first, which is much quicker.
_SECRETS = {
    "an access key's id": (rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", (b"akia", b"asia")),
    "a secret access key": (
        rb"(?i)secret_?access_?key[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
        (b"access_key", b"accesskey"),
    ),
    "a private key": (rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{100}", (b"private key-----",)),
    "a token": (rb"\b(?:ghp|gho|ghs)_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{80}", (b"ghp_", b"gho_", b"ghs_", b"pypi-")),
}
# Keys of AWS's documentation, in the doc strings of data classes.
_EXAMPLES = re.compile(rb"EXAMPLE")


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file())


def sizes(root: Path, zipped: int | None = None) -> list[str]:
    """How much a layer may weigh: of the 250 MB that a function and its layers may, most is left to the user."""
    unzipped = sum(path.lstat().st_size for path in files(root))
    told = [f"{unzipped / 1e6:.1f} MB unzipped, at most {MOST_UNZIPPED / 1e6:.0f}"] if unzipped > MOST_UNZIPPED else []
    if zipped is not None and zipped > MOST_ZIPPED:
        told.append(f"{zipped / 1e6:.1f} MB zipped, at most {MOST_ZIPPED / 1e6:.0f}")
    return told


def links(root: Path, machine: str, allowed: frozenset[str] = frozenset()) -> list[str]:
    """Every shared object is for the CPU, finds what it asks for, and asks for nothing newer than the runtime has."""
    told: list[str] = []
    folders: dict[Path, dict[str, elf.Elf]] = defaultdict(dict)
    for path in files(root):
        if not path.is_symlink() and elf.is_elf(path):
            folders[path.parent][path.name] = elf.read(path)
    for found in folders.values():
        told += [f"{name} is for {one.machine}, not {machine}" for name, one in found.items() if one.machine != machine]
        told += elf.problems(found, allowed)
    return told


def kinds(root: Path) -> list[str]:
    """Plain files that their owner alone may write."""
    told: list[str] = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_symlink():
            told.append(f"{name} is a symbolic link")
        elif not (path.is_file() or path.is_dir()):
            told.append(f"{name} is no plain file")
        elif path.stat().st_mode & 0o022:
            told.append(f"{name} can be written by others")
    return told


def twice(root: Path) -> list[str]:
    """No file is there twice, but for empty ones and licences."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in files(root):
        name = path.relative_to(root)
        if not path.is_symlink() and path.stat().st_size and not any(part.endswith(".dist-info") for part in name.parts):
            found[hashlib.sha256(path.read_bytes()).hexdigest()].append(str(name))
    return [f"{' and '.join(names)} are the same file" for names in found.values() if len(names) > 1]


def contents(root: Path, places: Iterable[Path]) -> list[str]:
    """No path of the machine that built it (`places`), and nothing that looks like a secret."""
    told: list[str] = []
    sought = [str(place).encode() for place in places if place.name]
    for path in files(root):
        if path.is_symlink():
            continue
        data, name = path.read_bytes(), path.relative_to(root)
        small = data.lower()
        for place in sought:
            # A name of its own: /root is no part of /opt/rh/root/usr.
            if place in data and re.search(rb"(?<![\w.-])" + re.escape(place) + rb"(?![\w.-])", data):
                told.append(f"{name} names {place.decode()}, a folder of the machine that built it")
        for what, (pattern, words) in _SECRETS.items():
            found = re.finditer(pattern, data) if any(word in small for word in words) else ()
            if any(not _EXAMPLES.search(one.group()) for one in found):
                told.append(f"{name} holds what looks like {what}")
    return told


def foreign(root: Path) -> list[str]:
    """Nothing that a layer is promised to be without: it would be paid by every start, or shadow the runtime's own."""
    never = ("numpy", "numba", "llvmlite", "pandas", "boto3", "botocore", "s3transfer", "urllib3")
    endings = (".h", ".hpp", ".pxd", ".pyx", ".pxi", ".pyi", ".a", ".o", ".exe")
    told = [f"{name} is in it" for name in never if (root / name).exists()]
    told += [f"{path.relative_to(root)} has no use in a function" for path in files(root) if path.name.endswith(endings)]
    return told
