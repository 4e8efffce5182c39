"""Literals as the text of expressions has them."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from millstream.values import to_text

# A datetime is a date, so it comes first.
_CALLS = (
    (datetime, "datetime"),
    (date, "date"),
    (time, "time"),
    (timedelta, "duration"),
    (Decimal, "decimal"),
    (bytes, "binary"),
)


def quoted(text: str) -> str:
    """A string literal in double quotes, which Python and JSON read alike."""
    import json

    return json.dumps(text, ensure_ascii=False)


def literal_text(value: Any) -> str:
    """A literal as text that reads back as the same value."""
    if isinstance(value, str):
        return quoted(value)
    for kind, name in _CALLS:
        if isinstance(value, kind):
            return f'{name}("{to_text(value)}")'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, tuple):
        return literals(value)
    return repr(value)


def literals(values: tuple[Any, ...]) -> str:
    """A list of literals, in parentheses."""
    inside = ", ".join(literal_text(one) for one in values)
    return f"({inside},)" if len(values) == 1 else f"({inside})"
