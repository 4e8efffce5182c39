"""What is told of a batch, through Powertools: one log line, and metrics. No record's bytes are ever in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from millstream._version import __version__
from millstream.classes import dataclass, field
from millstream.native.bind import kernels
from millstream.sinks.landed import Landed

NAMESPACE = "Millstream"

_is_silent: ContextVar[bool] = ContextVar("millstream_is_silent", default=False)


@contextmanager
def silence() -> Iterator[None]:
    """Nothing is told of what is done meanwhile; what it takes to tell is loaded all the same."""
    before = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(before)


@dataclass
class Batch:
    """What the log says of one batch, besides what landed. Stages in milliseconds."""

    pipeline: str
    fingerprint: str
    source: str
    source_id: str
    shard: str
    first: str
    last: str
    deliveries: int
    bytes_in: int
    iterator_age_ms: int
    raw: bool = False
    stage_ms: dict[str, float] = field(default_factory=dict)


@cache
def _logger(service: str) -> Any:
    """Made on first use: importing Powertools takes a part of a cold start."""
    from aws_lambda_powertools import Logger

    return Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME") or service)


def load(service: str) -> None:
    """Have the logger ready."""
    _logger(service)


def warn(service: str, text: str) -> None:
    """Warn of something."""
    if not _is_silent.get():
        _logger(service).warning(text)


def draw_sample(service: str) -> None:
    """Decide anew whether this logger writes debug lines, where POWERTOOLS_LOGGER_SAMPLE_RATE has a share of them do so."""
    if os.environ.get("POWERTOOLS_LOGGER_SAMPLE_RATE"):
        _logger(service).refresh_sample_rate_calculation()


@cache
def say(service: str, text: str) -> None:
    """Warn of something, once."""
    warn(service, text)


def report_batch(batch: Batch, landed: Landed) -> None:
    """Write the line, at level error if the batch failed, else info; in a function, metrics too."""
    fields: dict[str, Any] = {
        "pipeline": batch.pipeline,
        "fingerprint": batch.fingerprint,
        "source": batch.source,
        "source_id": batch.source_id,
        "shard": batch.shard,
        "first": batch.first,
        "last": batch.last,
        "deliveries": batch.deliveries,
        "counts": landed.counts,
        "rejected_by_code": landed.rejected_by_code,
        "rows": landed.rows,
        "bytes_in": batch.bytes_in,
        "bytes_out": landed.bytes_out,
        "files": len(landed.files),
        "stage_ms": {name: round(value, 3) for name, value in batch.stage_ms.items()},
        "iterator_age_ms": batch.iterator_age_ms,
        "raw": batch.raw,
        "backend": kernels.load().name,
        "version": __version__,
    }
    if landed.failed_by_rule:  # of pipelines that have rules
        fields["failed_by_rule"] = landed.failed_by_rule
    logger = _logger(batch.pipeline)
    if _is_silent.get():
        if measures():
            _load_metrics()
        return
    if landed.error is not None:
        logger.error("batch", extra={**fields, "error": str(landed.error)})
    else:
        logger.info("batch", extra=fields)
    if measures():
        emit_metrics(batch, landed)


def measures() -> bool:
    """Are metrics wanted: in a function, or where a namespace is set?"""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or os.environ.get("POWERTOOLS_METRICS_NAMESPACE"))


def _load_metrics() -> tuple[Any, Any]:
    """Imported on first use, as the logger is."""
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    return EphemeralMetrics, MetricUnit


def emit_metrics(batch: Batch, landed: Landed) -> None:
    """CloudWatch metrics in the embedded metric format: dimensions service and source; code only on rejected records by code."""
    EphemeralMetrics, MetricUnit = _load_metrics()
    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or NAMESPACE
    service = os.environ.get("POWERTOOLS_SERVICE_NAME") or batch.pipeline
    metrics = EphemeralMetrics(namespace=namespace, service=service)
    metrics.add_dimension("source", batch.source)
    for name, count in landed.counts.items():
        metrics.add_metric(name.capitalize(), MetricUnit.Count, count)
    metrics.add_metric("Deliveries", MetricUnit.Count, batch.deliveries)
    metrics.add_metric("Rows", MetricUnit.Count, landed.rows)
    metrics.add_metric("BytesIn", MetricUnit.Bytes, batch.bytes_in)
    metrics.add_metric("BytesOut", MetricUnit.Bytes, landed.bytes_out)
    metrics.add_metric("IteratorAge", MetricUnit.Milliseconds, batch.iterator_age_ms)
    metrics.add_metric("Duration", MetricUnit.Milliseconds, sum(batch.stage_ms.values()))
    for stored, _ in landed.files:
        metrics.add_metric("BytesPerObject", MetricUnit.Bytes, stored.bytes)
    metrics.flush_metrics()
    for code, count in landed.rejected_by_code.items():
        metrics = EphemeralMetrics(namespace=namespace, service=service)
        metrics.add_dimension("source", batch.source)
        metrics.add_dimension("code", code)
        metrics.add_metric("RejectedByCode", MetricUnit.Count, count)
        metrics.flush_metrics()
