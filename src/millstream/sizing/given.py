"""What users give to the commands of sizing: files of plain data, checked value by value, with the place of what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.errors import SpecError, UsageError

MOST_BYTES = 1 << 20
"""Of a file of prices, a profile or a workload."""


@dataclass(frozen=True)
class Place:
    """Where a value stands: the keys and list places that lead there."""

    keys: tuple[str | int, ...] = ()

    def __truediv__(self, key: Any) -> Place:
        return Place((*self.keys, key if isinstance(key, int) else str(key)))

    def __str__(self) -> str:
        return ".".join(map(str, self.keys)) or "the file"


def read_text(path: str | Path, what: str) -> str:
    """A file's text. Raises UsageError for what is no such file."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror}; name a file that can be read") from None
    except ValueError:  # a NUL in the name
        raise UsageError(f"{what} {str(path)!r}: that is no name of a file") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{what} {path}: it is larger than {MOST_BYTES >> 20} MiB, and so no such file")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} {path}: byte {error.start} is no UTF-8; name a text file") from None


def mapping_of(value: Any, place: Place, what: str) -> dict[Any, Any]:
    """A mapping, or SpecError."""
    if not isinstance(value, dict):
        raise SpecError(f"{place} is {_told(value)}; write {what}").within(*place.keys)
    return value


def known_keys(value: dict[Any, Any], known: Sequence[str], place: Place) -> None:
    """Raise SpecError for a key that is not known."""
    for key in value:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise SpecError(f"{place} has an unknown key {str(key)[:60]!r}; {advice}").within(*place.keys, str(key))


def number_of(value: Any, place: Place, *, least: float = 0.0, most: float = math.inf) -> float:
    """A finite number in a range, or SpecError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecError(f"{place} is {_told(value)}; write a number").within(*place.keys)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not least <= number <= most:
        upper = f" to {most:g}" if math.isfinite(most) else " or more"
        raise SpecError(f"{place} is {_told(value)}; write {least:g}{upper}").within(*place.keys)
    return number


def whole_of(value: Any, place: Place, *, least: int = 0, most: int = 1 << 53) -> int:
    """A whole number in a range, or SpecError."""
    number = number_of(value, place, least=least, most=most)
    if not number.is_integer():
        raise SpecError(f"{place} is {_told(value)}; write a whole number").within(*place.keys)
    return int(number)


def text_of(value: Any, place: Place, most: int = 500) -> str:
    """Text of one line that is not empty, or SpecError."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > most:
        raise SpecError(f"{place} is {_told(value)}; write a line of text").within(*place.keys)
    return value


def one_of(value: Any, names: Sequence[str], place: Place) -> str:
    """One of some names, or SpecError."""
    if not isinstance(value, str) or value not in names:
        raise SpecError(f"{place} is {_told(value)}; write {' or '.join(names)}").within(*place.keys)
    return value


def flag_of(value: Any, place: Place) -> bool:
    """True or false, or SpecError."""
    if not isinstance(value, bool):
        raise SpecError(f"{place} is {_told(value)}; write true or false").within(*place.keys)
    return value


def _told(value: Any) -> str:
    """A value in a message: short, whatever it is."""
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "too large a number"
    return text if len(text) <= 60 else f"{text[:57]}…"
