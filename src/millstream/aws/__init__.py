"""Handlers for AWS Lambda: each wires an event source to a pipeline and a sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.aws.kinesis import kinesis_handler as kinesis_handler

__all__ = ["kinesis_handler"]


def __getattr__(name: str) -> Any:
    if name == "kinesis_handler":
        from millstream.aws.kinesis import kinesis_handler

        return kinesis_handler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
