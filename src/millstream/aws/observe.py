"""The one log line of a batch, through Powertools. No record's bytes are ever in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from millstream._version import __version__
from millstream.native.bind import kernels
from millstream.sinks.landing import Landed


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
    import os

    from aws_lambda_powertools import Logger

    return Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME") or service)


def log_batch(batch: Batch, landed: Landed) -> None:
    """Write the line: at level error if the batch failed, else info."""
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
    logger = _logger(batch.pipeline)
    if landed.error is not None:
        logger.error("batch", extra={**fields, "error": str(landed.error)})
    else:
        logger.info("batch", extra=fields)
