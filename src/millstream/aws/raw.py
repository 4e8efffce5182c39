"""Events as the Lambda runtime has them: bytes, which are parsed only if someone asks.

The runtime client parses each event before a handler sees it, which costs as much as all that Millstream does with a batch. Its
marshaller is meant to be replaced: ours hands on the bytes, but only where the function's handler is Millstream's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import orjson


class RawEvent(Mapping[str, Any]):
    """An event that is parsed when it is first looked into; `raw` holds its bytes."""

    __slots__ = ("_parsed", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._parsed: dict[str, Any] | None = None

    def parsed(self) -> dict[str, Any]:
        """The event as a dict. Raises ValueError where it is no JSON, TypeError where it is no object."""
        if self._parsed is None:
            found = orjson.loads(self.raw)
            if not isinstance(found, dict):
                raise TypeError(f"the event is a JSON {type(found).__name__}, not an object")
            self._parsed = found
        return self._parsed

    def __getitem__(self, key: str) -> Any:
        return self.parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parsed())

    def __len__(self) -> int:
        return len(self.parsed())

    def __repr__(self) -> str:
        return f"RawEvent({len(self.raw):,} bytes)"  # an event's content is nobody's log's


TAKES_RAW_EVENTS = "_millstream_takes_raw_events"
"""An attribute that is true on a handler which reads a RawEvent's bytes."""


_HARMLESS = tuple(f"aws_lambda_powertools.{one}." for one in ("logging", "metrics", "tracing"))
"""Modules whose decorators hand an event on without wanting it to be a dict. Others may write it as JSON, or ask for its type."""


def handler_takes_raw() -> bool:
    """Is the function's configured handler one of Millstream's, bare or in decorators that do not mind?"""
    module, _, name = os.environ.get("_HANDLER", "").rpartition(".")
    loaded = sys.modules.get(module.replace("/", "."))
    handler = getattr(loaded, name, None) if loaded is not None else None
    for _ in range(16):
        if getattr(type(handler), TAKES_RAW_EVENTS, False):
            return True
        decorator = getattr(handler, "__globals__", {}).get("__name__", "")
        if not decorator.startswith(_HARMLESS):
            return False
        handler = getattr(handler, "__wrapped__", None)
    return False


def install() -> bool:
    """Have the runtime hand its events over as they are. Returns whether there is a runtime that was told so."""
    client = sys.modules.get("awslambdaric.lambda_runtime_client")
    owner = getattr(client, "BaseLambdaRuntimeClient", None) or getattr(client, "LambdaRuntimeClient", None)
    current = getattr(owner, "marshaller", None)
    if owner is None or not hasattr(current, "unmarshal_request"):
        return False
    if not isinstance(current, _Marshaller):
        owner.marshaller = _Marshaller(current)
    return True


class _Marshaller:
    """The runtime's own marshaller, but for events of Millstream's handlers."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._raw: bool | None = None

    def unmarshal_request(self, request: Any, content_type: str | None = "application/json") -> Any:
        if self._raw is None:
            self._raw = handler_takes_raw()
        if self._raw and content_type == "application/json" and isinstance(request, bytes):
            return RawEvent(request)
        return self._inner.unmarshal_request(request, content_type)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
