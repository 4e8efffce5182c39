"""Literals as the text of expressions has them."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any


def quoted(text: str) -> str:
    """A string literal in double quotes, which Python and JSON read alike."""
    import json

    return json.dumps(text, ensure_ascii=False)


def literal_text(value: Any) -> str:
    """A literal as text that reads back as the same value."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, datetime):
        return f'datetime("{value.isoformat()}")'
    if isinstance(value, date):
        return f'date("{value.isoformat()}")'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, tuple):
        return literals(value)
    return repr(value)


def literals(values: tuple[Any, ...]) -> str:
    """A list of literals, in parentheses."""
    inside = ", ".join(literal_text(one) for one in values)
    return f"({inside},)" if len(values) == 1 else f"({inside})"
