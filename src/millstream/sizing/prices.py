"""What AWS asks for, from a dated file."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.documents import loads
from millstream.errors import SpecError, UsageError

FILE = Path(__file__).parent / "prices.yaml"
ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True)
class Prices:
    """In USD. lambda_gb_second: by architecture."""

    date: str
    region: str
    source: str
    lambda_request: float
    lambda_gb_second: dict[str, float]


def load(path: str | os.PathLike[str] | None = None) -> Prices:
    """The prices that come with Millstream, or those of a file of the same form. Raises UsageError."""
    file = FILE if path is None else Path(path)
    try:
        found = loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the prices {file}: {error.strerror}") from None
    except (SpecError, UnicodeDecodeError) as error:
        raise UsageError(f"the prices {file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"the prices {file} are no mapping; write date, region, source and lambda")
    told = found.get("lambda")
    seconds = told.get("gb_second") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(seconds, dict):
        raise UsageError(f"the prices {file} have no lambda: {{request: …, gb_second: {{x86_64: …, arm64: …}}}}")
    return Prices(
        str(found.get("date", "not told")),
        str(found.get("region", "not told")),
        str(found.get("source", "not told")),
        _price(told.get("request"), "lambda.request", file),
        {one: _price(seconds.get(one), f"lambda.gb_second.{one}", file) for one in ARCHITECTURES},
    )


def _price(value: Any, name: str, file: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise UsageError(f"{name} in the prices {file} is {value!r}; write a number of USD, 0 or more")
    return float(value)
