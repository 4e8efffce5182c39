"""Millstream: records in, columns through compiled kernels, Parquet out.

The public names are below; each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from millstream._version import __version__

if TYPE_CHECKING:
    from millstream.across import (
        all_horizontal,
        any_horizontal,
        coalesce,
        concat_str,
        from_epoch,
        max_horizontal,
        min_horizontal,
        now,
    )
    from millstream.decode.csv import decode_csv
    from millstream.decode.json import decode_json
    from millstream.errors import (
        BackendError,
        LedgerError,
        MillstreamError,
        PlanError,
        RunError,
        SettingsError,
        SinkError,
        SourceError,
        SpecError,
        UsageError,
    )
    from millstream.expr import col, lit, when
    from millstream.local.report import Report
    from millstream.local.run import run_files
    from millstream.outcome import Outcome
    from millstream.pipeline import Pipeline
    from millstream.schema import Column, Schema
    from millstream.tables import lookup
    from millstream.userfunc.declared import udf

_HOMES = {
    "Schema": "schema",
    "Column": "schema",
    "Pipeline": "pipeline",
    "Outcome": "outcome",
    "Report": "local.report",
    "col": "expr",
    "lit": "expr",
    "when": "expr",
    **dict.fromkeys(
        (
            "all_horizontal", "any_horizontal", "coalesce", "concat_str", "from_epoch", "max_horizontal", "min_horizontal", "now",
        ),
        "across",
    ),
    "lookup": "tables",
    "udf": "userfunc.declared",
    "decode_csv": "decode.csv",
    "decode_json": "decode.json",
    "run_files": "local.run",
    "MillstreamError": "errors",
    "UsageError": "errors",
    "PlanError": "errors",
    "SpecError": "errors",
    "SettingsError": "errors",
    "RunError": "errors",
    "SinkError": "errors",
    "SourceError": "errors",
    "LedgerError": "errors",
    "BackendError": "errors",
}  # fmt: skip

__all__ = [
    "BackendError",
    "Column",
    "LedgerError",
    "MillstreamError",
    "Outcome",
    "Pipeline",
    "PlanError",
    "Report",
    "RunError",
    "Schema",
    "SettingsError",
    "SinkError",
    "SourceError",
    "SpecError",
    "UsageError",
    "__version__",
    "all_horizontal",
    "any_horizontal",
    "coalesce",
    "col",
    "concat_str",
    "decode_csv",
    "decode_json",
    "from_epoch",
    "lit",
    "lookup",
    "max_horizontal",
    "min_horizontal",
    "now",
    "run_files",
    "udf",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'millstream' has no attribute {name!r}")
    value = getattr(import_module(f"millstream.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
