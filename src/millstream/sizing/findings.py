"""What `millstream rightsize` found: as a profile for `millstream forecast`, as JSON, and to read."""

from __future__ import annotations

from typing import Any

from millstream.classes import dataclass, replace
from millstream.sizing import limits
from millstream.sizing.choice import HEADROOM, Choice, milliseconds
from millstream.sizing.prices import Prices
from millstream.sizing.profile import ARCHITECTURES, CHOICES
from millstream.sizing.sweep import Size, Sweep, cold_cost, cost, recommend

VERSION = 1
S3_MS = 40
"""What a batch waits for S3, where nobody told: an assumption, as `millstream forecast` has it. It is used for a remark alone."""


@dataclass(frozen=True)
class Findings:
    """machine: the architecture that was measured on; chosen: that whose prices the choice is by. recorded: were the events?"""

    pipeline: str
    fingerprint: str
    source: str
    sink: str
    machine: str
    cpu: str
    cores: int
    chosen: str
    sweep: Sweep
    prices: Prices
    latency_ms: float
    notes: tuple[str, ...] = ()

    @property
    def choice(self) -> Choice | None:
        return recommend(self.sweep, self.prices.lambda_gb_second[self.chosen], self.prices.lambda_request)

    @property
    def choice_waiting(self) -> Choice | None:
        """The recommendation if each batch waited `S3_MS` longer."""
        sizes = tuple(replace(one, model_ms=one.model_ms + S3_MS) for one in self.sweep.sizes)
        gb_second = self.prices.lambda_gb_second[self.chosen]
        return recommend(replace(self.sweep, sizes=sizes), gb_second, self.prices.lambda_request)

    def cost(self, size: Size, architecture: str) -> float:
        """USD of a million records."""
        return cost(size, self.sweep.told.records, self.prices.lambda_gb_second[architecture], self.prices.lambda_request)

    def cold(self, size: Size, architecture: str) -> float:
        """USD of a cold start and its batch."""
        return cold_cost(size, self.prices.lambda_gb_second[architecture], self.prices.lambda_request)

    def profile(self) -> dict[str, Any]:
        """What `millstream forecast --profile` reads."""
        told, choice = self.sweep.told, self.choice
        return {
            "version": VERSION,
            "pipeline": self.pipeline,
            "fingerprint": self.fingerprint,
            "source": self.source,
            "architecture": self.machine,
            "records": round(told.records),
            "bytes_in": round(told.bytes_in),
            "bytes_out": round(told.bytes_out),
            "objects": round(told.files),
            "memory": [_measured(one) for one in self.sweep.sizes],
            "recommended": choice.mb if choice is not None else dict.fromkeys(CHOICES),
        }

    def to_dict(self) -> dict[str, Any]:
        """The profile, and what it costs and why."""
        found, choice, waiting = self.profile(), self.choice, self.choice_waiting
        for one, size in zip(found["memory"], self.sweep.sizes, strict=True):
            one |= {"vcpu": round(limits.share(size.mb), 3)}
            if not size.killed:
                one |= {
                    "model_ms": round(size.model_ms, 3),
                    "quota_ms": None if size.quota_ms is None else round(size.quota_ms, 3),
                    "off": None if size.off is None else round(size.off, 3),
                    "usd_a_million_records": {name: round(self.cost(size, name), 6) for name in ARCHITECTURES},
                    "usd_a_cold_start": {name: round(self.cold(size, name), 9) for name in ARCHITECTURES},
                }
        return found | {
            "reasons": choice.reasons if choice is not None else {},
            f"recommended_if_s3_takes_{S3_MS}_ms": waiting.mb if waiting is not None else None,
            "priced_as": self.chosen,
            "prices": {"date": str(self.prices.date), "region": self.prices.region},
            "durations": "model" if self.sweep.without_quota or self.sweep.is_busy else "quota",
            "machine": {"cpu": self.cpu, "cores": self.cores, "busy": round(self.sweep.busy, 3)},
            "event_bytes": self.sweep.event_bytes,
            "batches": self.sweep.batches,
            "processes": self.sweep.runs,
            "latency_ms": self.latency_ms,
            "sink": self.sink,
            "notes": list(self.notes),
        }

    def render(self) -> str:
        return "\n".join([*self._head(), "", *self._table(), "", *self._chosen(), "", *self._small()])

    def _head(self) -> list[str]:
        told, whole = self.sweep.told, self.sweep.whole
        records = f"{told.records:,.0f} records" if told.records != 1 else "1 record"
        event = f"{_bytes(told.bytes_in)} in an event of {_bytes(self.sweep.event_bytes)}"
        objects = f"{told.files:.3g} object{'' if told.files == 1 else 's'}"
        batches = f"{self.sweep.batches:,} batches on {self.cpu}, {self.cores} cores"
        return [
            f"pipeline {self.pipeline}, fingerprint {self.fingerprint}, {self.source}",
            f"  a batch: {records}, {event}; {told.rows:,.0f} rows in {objects}, {_bytes(told.bytes_out)}",
            f"  its work: {milliseconds(whole.cpu * 1e3)} of CPU time, {milliseconds(whole.wait * 1e3)} of waiting; {batches}",
        ]

    def _table(self) -> list[str]:
        has_quota = not self.sweep.without_quota
        head = ["memory", "vCPU", "init", "first", "p50", "p95", "p99", *(["quota", "÷ model"] if has_quota else []), "peak"]
        head += ["$ x86_64", "$ arm64 ◇" if self.machine == "x86_64" else "$ arm64", "cold start"]
        if self.machine != "x86_64":
            head[head.index("$ x86_64")] += " ◇"
        units = ["MB", "", "ms", "ms", "ms", "ms", "ms", *(["ms", ""] if has_quota else []), "MB"]
        rows = [head, [*units, "a million", "a million", f"$ {self.chosen}"]]
        told: dict[int, str] = {}
        for size in self.sweep.sizes:
            if size.killed:
                told[len(rows)] = f"killed {size.killed}: {size.peak_mb:,.1f} MB were in use"
                rows.append([f"{size.mb:,}", f"{limits.share(size.mb):.2f}", *[""] * (len(head) - 2)])
                continue
            times = (size.init_ms, size.first_ms, *size.warm_ms)
            rows.append(
                [
                    f"{size.mb:,}",
                    f"{limits.share(size.mb):.2f}",
                    *(f"{one:,.1f}" if one < 100 else f"{one:,.0f}" for one in times),
                ]
                + ([f"{size.quota_ms:,.1f}", f"{size.off:.2f}"] if size.quota_ms is not None else [])
                + [f"{size.peak_mb:,.0f}", *(f"{self.cost(size, one):.6f}" for one in ARCHITECTURES)]
                + [f"{self.cold(size, self.chosen):.7f}"]
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = []
        for number, row in enumerate(rows):
            cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  ".join(cells[:2]) + "  " + told[number] if number in told else "  ".join(cells))
        return lines

    def _chosen(self) -> list[str]:
        choice = self.choice
        if choice is None:
            return ["nothing is recommended"]
        width = max(len(f"{one:,}") for one in choice.mb.values())
        return [f"{name:<9} {choice.mb[name]:>{width},} MB  {choice.reasons[name]}" for name in CHOICES]

    def refused(self) -> str:
        """Why nothing is recommended."""
        most = max(one.peak_mb for one in self.sweep.sizes)
        return (
            f"no size that was tried leaves {1 - HEADROOM:.0%} of its memory free ({most:,.0f} MB were in use): "
            "name larger ones by --memory"
        )

    def _small(self) -> list[str]:
        """What is behind the figures."""
        swept, by_model = self.sweep, "by the model: CPU time ÷ share, and waiting added"
        if swept.without_quota:
            how = f"all durations {by_model} ({swept.without_quota})"
        elif swept.is_busy:
            how = (
                f"all durations {by_model}. quota: the mean of a batch under the kernel's quota of CPU; it tells little, for other work "
                f"of this machine had the CPU for {swept.busy:.0%} of a batch's time even without a quota"
            )
        else:
            how = (
                f"init to p99, and their mean, under the kernel's quota of CPU, by {limits.PERIOD * 1e3:.0f} ms; costs and the choice "
                f"{by_model}"
            )
        other = "arm64" if self.machine == "x86_64" else "x86_64"
        lines = [
            how,
            "peak: the most that was resident; a process that is over its memory is killed. Lambda's own runtime client is not in it",
            f"◇ not measured: the same durations at the prices of {other}",
            f"prices of {self.prices.region}, {self.prices.date}, list, no free tier; durations are this machine's, not Lambda's",
        ]
        waiting = self.choice_waiting
        if self.sink != "s3" or self.latency_ms or waiting is None:
            return [*lines, *self.notes]
        told = ", ".join(f"{name} {waiting.mb[name]:,} MB" for name in CHOICES)
        return [*lines, *self.notes, f"◇ if a batch waited {S3_MS} ms for S3: {told}"]


def _measured(size: Size) -> dict[str, Any]:
    """What a profile has of a size of memory. What was killed has no times."""
    if size.killed:
        times = dict.fromkeys(("init_ms", "first_ms", "warm_ms", "cpu_ms"))
        return {"mb": size.mb, **times, "peak_mb": round(size.peak_mb, 1), "killed": True}
    return {
        "mb": size.mb,
        "init_ms": round(size.init_ms, 3),
        "first_ms": round(size.first_ms, 3),
        "warm_ms": {f"p{at}": round(one, 3) for at, one in zip((50, 95, 99), size.warm_ms, strict=True)},
        "cpu_ms": round(size.cpu_ms, 3),
        "peak_mb": round(size.peak_mb, 1),
        "killed": False,
    }


def _bytes(count: float) -> str:
    return f"{count:,.0f} bytes" if count < 1000 else f"{count / 1e3:,.1f} kB" if count < 1e6 else f"{count / 1e6:,.2f} MB"
