"""What comes in, and what is wanted of it: given by options, by a YAML file, or by both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.documents import loads, place_of
from millstream.errors import SpecError, UsageError
from millstream.sizing.given import Place, flag_of, known_keys, mapping_of, number_of, one_of, read_text, whole_of

KINESIS, SQS, FIFO, S3 = "kinesis", "sqs", "fifo", "s3"
PROVISIONED, ON_DEMAND, AUTO = "provisioned", "on-demand", "auto"
STANDARD, TIERED = "standard", "intelligent-tiering"
MOST_DELIVERY = 1 << 20
"""Bytes that a Kinesis record or an SQS message holds."""
DAY = 86_400.0
MONTH_HOURS = 730.0
MONTH = MONTH_HOURS * 3600
"""Seconds that AWS's own calculators count for a month."""


@dataclass(frozen=True)
class Workload:
    """What comes in. Rates are a month's mean; `peak` is how much more comes in the busiest minutes.

    per_delivery: records in a Kinesis record or an SQS message. object_bytes: of objects that come in, where S3 is the source.
    retention: hours that the source keeps. latency: seconds from arrival until rows are in the sink. readers: functions and others that
    read the stream. output_bytes: of a record, as stored. objects: that a batch is written to, one a partition. rejected: the share of
    records that are. days: that rows are kept. once: with the ledger, or with keys of messages. parallelization: batches of a shard at a
    time. cold: the share of invocations that begin in a new environment. tmp_mb: of /tmp. alarms: metrics that
    alarms look at.
    """

    records_per_second: float
    record_bytes: float
    source: str = KINESIS
    peak: float = 3.0
    retention: float = 24.0
    latency: float = 60.0
    mode: str = AUTO
    per_delivery: int = 1
    object_bytes: float = 64 * 2.0**20
    readers: int = 1
    parallelization: int = 1
    once: bool = True
    output_bytes: float = 0.0
    objects: int = 1
    rejected: float = 0.0
    days: float = 30.0
    storage: str = STANDARD
    log_days: float = 30.0
    cold: float = 0.01
    tmp_mb: int = 512
    alarms: int = 0
    dashboards: int = 0
    keys: int = 0

    def __post_init__(self) -> None:
        if self.source in (KINESIS, SQS, FIFO) and self.delivery_bytes > MOST_DELIVERY:
            raise UsageError(
                f"a delivery of {self.delivery_bytes:,.0f} bytes is more than the {MOST_DELIVERY:,} of a {self.source} message or record; "
                "make record_bytes or per_delivery less, or choose the source s3"
            )
        if self.source in (SQS, FIFO) and self.retention > 336:
            raise UsageError(f"retention is {self.retention:g} hours; SQS keeps messages for 336, 14 days, at most")
        if self.source == KINESIS and self.retention < 24:
            raise UsageError(f"retention is {self.retention:g} hours; a Kinesis stream keeps records for 24 at least")
        if self.source == KINESIS and self.once and self.parallelization > 1:
            raise UsageError("the ledger needs parallelization 1; or leave the ledger out: --at-least-once")
        if self.source == S3 and self.object_bytes < self.record_bytes:
            raise UsageError(
                f"object_bytes is {self.object_bytes:g}, less than record_bytes; an object holds a record at least"
            )

    @property
    def records(self) -> float:
        """A month's."""
        return self.records_per_second * MONTH

    @property
    def records_per_delivery(self) -> float:
        """In a Kinesis record, an SQS message or an object."""
        return self.object_bytes / self.record_bytes if self.source == S3 else float(self.per_delivery)

    @property
    def delivery_bytes(self) -> float:
        """Of a Kinesis record, an SQS message or an object."""
        return self.object_bytes if self.source == S3 else self.record_bytes * self.per_delivery

    @property
    def deliveries_per_second(self) -> float:
        """Kinesis records, SQS messages or objects."""
        return self.records_per_second / self.records_per_delivery

    @property
    def bytes_per_second(self) -> float:
        """What comes in."""
        return self.records_per_second * self.record_bytes


def _number(least: float, most: float) -> Callable[[Any, Place], float]:
    return lambda value, place: number_of(value, place, least=least, most=most)


def _whole(least: int, most: int) -> Callable[[Any, Place], int]:
    return lambda value, place: whole_of(value, place, least=least, most=most)


def _name(*names: str) -> Callable[[Any, Place], str]:
    return lambda value, place: one_of(value, names, place)


READ: dict[str, Callable[[Any, Place], Any]] = {
    "records_per_second": _number(1e-6, 1e9),
    "record_bytes": _number(1, 2.0**40),
    "source": _name(KINESIS, SQS, FIFO, S3),
    "peak": _number(1, 1000),
    "retention": _number(0, 8760),
    "latency": _number(0.001, 86_400),
    "mode": _name(AUTO, PROVISIONED, ON_DEMAND),
    "per_delivery": _whole(1, 1_000_000),
    "object_bytes": _number(1, 5 * 2.0**40),
    "readers": _whole(1, 50),
    "parallelization": _whole(1, 10),
    "once": flag_of,
    "output_bytes": _number(0, 2.0**40),
    "objects": _whole(1, 10_000),
    "rejected": _number(0, 1),
    "days": _number(0, 36_500),
    "storage": _name(STANDARD, TIERED),
    "log_days": _number(0, 3653),
    "cold": _number(0, 1),
    "tmp_mb": _whole(512, 10_240),
    "alarms": _whole(0, 100_000),
    "dashboards": _whole(0, 1000),
    "keys": _whole(0, 10_000),
}
"""How each key of a workload is read."""


def workload_of(
    given: Mapping[str, Any], path: str | Path | None = None, otherwise: Mapping[str, Any] | None = None
) -> Workload:
    """A workload from options, which are None where they were not given; then from a file; then from `otherwise`.

    Raises UsageError that names the option or the key.
    """
    told = {} if path is None else _of_file(path)
    for name, value in given.items():
        if value is not None:
            try:
                told[name] = READ[name](value, Place((f"--{name.replace('_', '-')}",)))
            except SpecError as error:
                raise UsageError(str(error)) from None
    found = {**(otherwise or {}), **told}
    for name in ("records_per_second", "record_bytes"):
        if name not in found:
            raise UsageError(f"there is no {name}; write --{name.replace('_', '-')} N, or {name} in --workload FILE")
    if "once" not in found:  # the template's defaults: the ledger for streams and objects, no keys of messages
        found["once"] = found.get("source", KINESIS) in (KINESIS, S3) and found.get("parallelization", 1) == 1
    return Workload(**found)


def _of_file(path: str | Path) -> dict[str, Any]:
    text = read_text(path, "workload")
    try:
        told = mapping_of(loads(text), Place(), f"keys such as {', '.join(tuple(READ)[:3])}")
        known_keys(told, tuple(READ), Place())
        return {name: READ[name](value, Place((name,))) for name, value in told.items()}
    except SpecError as error:
        where = place_of(text, error.at) if error.at else ""
        raise SpecError(f"workload {path}: {where}{error}") from None
