"""What `millstream rightsize` measured of a pipeline, as JSON that `millstream forecast` reads.

    {"version": 1, "pipeline": "orders", "fingerprint": "4c709976fb4b", "source": "kinesis", "architecture": "x86_64",
     "records": 1000, "bytes_in": 394000, "bytes_out": 61000, "objects": 1,
     "memory": [{"mb": 512, "init_ms": 900.0, "first_ms": 210.0, "warm_ms": {"p50": 31.0, "p95": 36.0, "p99": 44.0},
                 "cpu_ms": 9.0, "peak_mb": 140.0, "killed": false}],
     "recommended": {"cheapest": 512, "fastest": 1769, "balanced": 1024}}

`records`, `bytes_in`, `bytes_out` and `objects` are a batch's. A memory that was too small is `killed`, and its times are null; a
recommendation that there is none of is null.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.documents import loads
from millstream.errors import SpecError
from millstream.sizing.given import Place, flag_of, known_keys, mapping_of, number_of, one_of, read_text, text_of, whole_of
from millstream.sizing.limits import LEAST_MB, MOST_MB

SOURCES = ("kinesis", "sqs", "s3")
ARCHITECTURES = ("x86_64", "arm64")
CHOICES = ("cheapest", "fastest", "balanced")
_MOST_MS = 900_000.0
"""Lambda's longest timeout."""
_MOST_MEMORIES = 200
_TIMES = ("init_ms", "first_ms", "cpu_ms", "peak_mb")
_KEYS = ("version", "pipeline", "fingerprint", "source", "architecture", "records", "bytes_in", "bytes_out", "objects", "memory",
         "recommended")  # fmt: skip


@dataclass(frozen=True)
class Warm:
    """Milliseconds of a batch in a function that has begun."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class AtMemory:
    """What was measured at one size of memory. Times and the peak are None where the process was killed for its memory."""

    mb: int
    init_ms: float | None
    first_ms: float | None
    warm_ms: Warm | None
    cpu_ms: float | None
    peak_mb: float | None
    killed: bool = False


@dataclass(frozen=True)
class Profile:
    """A pipeline's measured profile. recommended: memory by CHOICES, None where there is none."""

    pipeline: str
    fingerprint: str
    source: str
    architecture: str
    records: int
    bytes_in: int
    bytes_out: int
    objects: int
    memory: tuple[AtMemory, ...]
    recommended: dict[str, int | None]

    @classmethod
    def read(cls, path: str | Path) -> Profile:
        """A profile from a file. Raises UsageError for what is none."""
        try:
            return cls.from_json(read_text(path, "profile"))
        except SpecError as error:
            raise SpecError(f"profile {path}: {error}") from None

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """A profile from its JSON. Raises SpecError that names the key."""
        told = mapping_of(loads(text, is_json=True), Place(), "a profile as millstream rightsize --profile writes it")
        known_keys(told, _KEYS, Place())
        if told.get("version") != 1 or isinstance(told.get("version"), bool):
            raise SpecError(f"version is {str(told.get('version'))[:60]}; this Millstream reads 1: measure anew")
        memory = told.get("memory")
        if not isinstance(memory, list) or not 1 <= len(memory) <= _MOST_MEMORIES:
            raise SpecError(f"memory is no list of 1 to {_MOST_MEMORIES} measurements")
        points = tuple(_point(one, Place(("memory",)) / number) for number, one in enumerate(memory))
        sizes = [one.mb for one in points]
        if len(set(sizes)) != len(sizes):
            raise SpecError("memory has the same mb twice")
        return cls(
            text_of(told.get("pipeline"), Place(("pipeline",))),
            text_of(told.get("fingerprint"), Place(("fingerprint",))),
            one_of(told.get("source"), SOURCES, Place(("source",))),
            one_of(told.get("architecture"), ARCHITECTURES, Place(("architecture",))),
            whole_of(told.get("records"), Place(("records",)), least=1),
            whole_of(told.get("bytes_in"), Place(("bytes_in",))),
            whole_of(told.get("bytes_out"), Place(("bytes_out",))),
            whole_of(told.get("objects"), Place(("objects",))),
            points,
            _recommended(told.get("recommended"), {one.mb for one in points if not one.killed}),
        )

    def at(self, mb: int) -> AtMemory | None:
        """What was measured at a size of memory; None where nothing was."""
        return next((one for one in self.memory if one.mb == mb), None)


def _point(told: Any, at: Place) -> AtMemory:
    one = mapping_of(told, at, "a measurement")
    known_keys(one, ("mb", "warm_ms", "killed", *_TIMES), at)
    killed = flag_of(one.get("killed", False), at / "killed")
    times = {
        name: None
        if killed and one.get(name) is None
        else number_of(one.get(name), at / name, most=MOST_MB * 4 if name == "peak_mb" else _MOST_MS)
        for name in _TIMES
    }
    warm = None
    if not killed or one.get("warm_ms") is not None:
        given = mapping_of(one.get("warm_ms"), at / "warm_ms", "p50, p95 and p99")
        known_keys(given, ("p50", "p95", "p99"), at / "warm_ms")
        warm = Warm(*(number_of(given.get(name), at / "warm_ms" / name, most=_MOST_MS) for name in ("p50", "p95", "p99")))
        if not 0 < warm.p50 <= warm.p95 <= warm.p99:
            raise SpecError(
                f"{at / 'warm_ms'} has p50 {warm.p50:g}, p95 {warm.p95:g}, p99 {warm.p99:g}; they go up from above 0"
            )
    return AtMemory(whole_of(one.get("mb"), at / "mb", least=LEAST_MB, most=MOST_MB), warm_ms=warm, killed=killed, **times)


def _recommended(told: Any, measured: set[int]) -> dict[str, int | None]:
    place = Place(("recommended",))
    given = mapping_of(told, place, ", ".join(CHOICES))
    known_keys(given, CHOICES, place)
    chosen: dict[str, int | None] = {}
    for name in CHOICES:
        mb = given.get(name)
        chosen[name] = None if mb is None else whole_of(mb, place / name)
        if mb is not None and mb not in measured:
            raise SpecError(f"{place / name} is {mb}, which is no memory that was measured and not killed")
    return chosen
