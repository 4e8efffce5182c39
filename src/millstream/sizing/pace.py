"""How long a batch takes, by how many records it has: what each batch takes whatever it holds, and so much a record.

A profile is of batches of one size. With two profiles, of different sizes, both parts are measured; with one, the first part is FIXED_MS,
which was measured once, and grows as the share of a CPU falls. What is waited for stands apart: a profile's rows go to a folder, so the
requests to S3 and DynamoDB are added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from millstream.classes import dataclass
from millstream.errors import UsageError
from millstream.sizing.limits import MB_A_CPU
from millstream.sizing.profile import AtMemory, Profile

FIXED_MS = 2.0
"""CPU time of a Kinesis batch of one record into a folder, log line and metrics included: a 2-core machine, x86-64-v3, median of 9."""
PUT_MS, LEDGER_MS = 40.0, 6.0
"""What a put to S3, and a call to DynamoDB, are taken to be waited for. Not measured: nothing ran on AWS."""
PUTS_AT_ONCE = 8
BALANCED = "balanced"


@dataclass(frozen=True)
class Pace:
    """Milliseconds of a batch in a warm function. tail: the 99th percentile as a multiple of the median. init_ms: to begin, and what the
    first batch takes more than others. measured: records of the largest batch that was, or 0."""

    memory: int
    architecture: str
    fixed_ms: float
    per_record_ms: float
    init_ms: float
    tail: float = 1.0
    put_ms: float = 0.0
    ledger_ms: float = 0.0
    told: tuple[str, ...] = ()
    measured: int = 0

    def batch_ms(self, records: float, objects: float, calls: float) -> float:
        """The median of a batch that writes so many objects and calls DynamoDB so often."""
        waits = self.put_ms * math.ceil(objects / PUTS_AT_ONCE) + self.ledger_ms * calls
        return self.fixed_ms + self.per_record_ms * records + waits


def fixed_at(mb: int) -> float:
    """What each batch takes at a size of memory, where only one size of batch was measured."""
    return FIXED_MS * max(1.0, MB_A_CPU / mb)


def by_hand(duration_ms: float, records: float, memory: int, architecture: str, init_ms: float) -> Pace:
    """From the time of a batch of so many records, all that is waited for in it."""
    fixed = min(fixed_at(memory), duration_ms)
    told = f"a batch of {records:,.0f} records takes {duration_ms:g} ms at {memory:,} MB, as given: {fixed:.1f} ms of it whatever it holds"
    return Pace(memory, architecture, fixed, (duration_ms - fixed) / records, init_ms, told=(told,))


def of_profiles(
    profiles: Sequence[Profile], memory: int | None, architecture: str | None, put_ms: float | None, ledger_ms: float | None
) -> Pace:
    """From one profile, or from two of batches of different sizes. Raises UsageError where they do not fit together."""
    small, *more = sorted(profiles, key=lambda one: one.records)
    if len(more) > 1:
        raise UsageError(f"--profile was given {len(profiles)} times; give one, or two of batches of different sizes")
    large = more[0] if more else None
    if large is not None:
        if (small.fingerprint, small.source, small.architecture) != (large.fingerprint, large.source, large.architecture):
            raise UsageError(
                "the two profiles are of different pipelines, sources or architectures; measure one pipeline twice"
            )
        if small.records == large.records:
            raise UsageError(f"both profiles are of batches of {small.records:,} records; measure with another --batch")
    mb = memory if memory is not None else _recommended(small)
    first = _measured(small, mb)
    assert first.warm_ms is not None
    put, ledger = PUT_MS if put_ms is None else put_ms, LEDGER_MS if ledger_ms is None else ledger_ms
    told = []
    if large is None:
        fixed = min(fixed_at(mb), first.warm_ms.p50)
        slope = (first.warm_ms.p50 - fixed) / small.records
        tail = first.warm_ms.p99 / first.warm_ms.p50
        told.append(
            f"one profile, of {small.records:,} records a batch: {fixed:.1f} ms of it are taken to be whatever a batch holds "
            f"({FIXED_MS:g} ms of CPU at {MB_A_CPU:,} MB, measured once); a second --profile of another size measures it"
        )
    else:
        second = _measured(large, mb)
        assert second.warm_ms is not None
        slope = max((second.warm_ms.p50 - first.warm_ms.p50) / (large.records - small.records), 0.0)
        slope = min(slope, second.warm_ms.p50 / large.records)
        fixed = second.warm_ms.p50 - slope * large.records
        tail = max(one.warm_ms.p99 / one.warm_ms.p50 for one in (first, second) if one.warm_ms is not None)
        told.append(f"two profiles, of {small.records:,} and {large.records:,} records a batch: a line through their medians")
    chosen = architecture or small.architecture
    if chosen != small.architecture:
        told.append(f"◇ times were measured on {small.architecture} and are taken to be the same on {chosen}")
    if put or ledger:
        told.append(
            f"a profile's sink answers at once: {put:g} ms for each {PUTS_AT_ONCE} puts to S3 and {ledger:g} ms for each call to DynamoDB "
            "are added, which nobody measured (--put-ms, --ledger-ms)"
        )
    begin = (first.init_ms or 0.0) + max((first.first_ms or 0.0) - first.warm_ms.p50, 0.0)
    return Pace(mb, chosen, fixed, slope, begin, tail, put, ledger, tuple(told), (large or small).records)


def _recommended(profile: Profile) -> int:
    mb = profile.recommended[BALANCED]
    if mb is None:
        raise UsageError("the profile recommends no memory: all were too small; measure with more memory")
    return mb


def _measured(profile: Profile, mb: int) -> AtMemory:
    found = profile.at(mb)
    if found is None or found.killed or found.warm_ms is None:
        known = ", ".join(str(one.mb) for one in profile.memory if not one.killed) or "none"
        why = "was killed for its memory" if found is not None else "was not measured"
        raise UsageError(f"a function of {mb} MB {why} in the profile of {profile.records:,} records; choose one of: {known}")
    return found
