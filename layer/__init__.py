"""The builder of the Lambda layer: `python -m layer.build`, or `make layer`. docs/reference/layer.md tells how and what."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "layer"
DIST = ROOT / "layer" / "dist"

PYTHONS = ("3.12", "3.13", "3.14")
# As Lambda names an architecture: as ELF, wheels and the kernels' build name it.
ARCHES = {"x86_64": "x86_64", "arm64": "aarch64"}


class LayerError(Exception):
    """A layer cannot be built: told with the reason and the remedy."""


@dataclass(frozen=True)
class Target:
    """A Python version and an architecture of Lambda's."""

    python: str
    arch: str

    @property
    def tag(self) -> str:
        return "py" + self.python.replace(".", "")

    @property
    def name(self) -> str:
        return f"{self.tag}-{self.arch}"

    @property
    def machine(self) -> str:
        return ARCHES[self.arch]

    @property
    def zip_name(self) -> str:
        return f"millstream-{self.name}.zip"


def targets(pythons: str, arches: str) -> list[Target]:
    """The targets of two lists with commas, as people write them: 3.12 or py312 or 312, arm64 or aarch64. Raises LayerError."""
    versions = [
        _one(word, {p: p for p in PYTHONS} | {p.replace(".", ""): p for p in PYTHONS}, "Python") for word in _words(pythons)
    ]
    machines = [
        _one(word, {a: a for a in ARCHES} | {m: a for a, m in ARCHES.items()}, "architecture") for word in _words(arches)
    ]
    return [Target(version, arch) for version in dict.fromkeys(versions) for arch in dict.fromkeys(machines)]


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _one(word: str, known: dict[str, str], what: str) -> str:
    found = known.get(word.removeprefix("python").removeprefix("py"))
    if found is None:
        raise LayerError(f"no layer is built for {what} {word!r}; there are {', '.join(dict.fromkeys(known.values()))}")
    return found
