"""Handlers without a line of Python: `millstream.aws.entry.kinesis`, `.sqs` and `.s3`, all told by the environment.

Each is made when it is first asked for; `millstream settings` lists what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.aws.kinesis import KinesisHandler
    from millstream.aws.s3 import S3Handler
    from millstream.aws.sqs import SqsHandler

    kinesis: KinesisHandler
    sqs: SqsHandler
    s3: S3Handler

__all__ = ["kinesis", "s3", "sqs"]


def __getattr__(name: str) -> Any:
    from millstream import aws

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no handler {name!r}; there are {', '.join(__all__)}")
    made = getattr(aws, f"{name}_handler")()
    globals()[name] = made
    return made


def __dir__() -> list[str]:
    return __all__
