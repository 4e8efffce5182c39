"""How a CSV text is written: the settings of an input whose format is csv, checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from reprlib import repr as shown
from typing import Any

from millstream.classes import dataclass
from millstream.errors import PlanError
from millstream.native.memory import Memory, from_numbers

SETTINGS = ("delimiter", "quote", "escape", "header", "comment", "null_values", "ragged", "encoding")
"""The input settings that are for CSV alone."""
RAGGED = ("reject", "pad", "truncate", "fit")
ENCODINGS = ("utf-8", "latin-1")
_MOST_TOKENS, _LONGEST_TOKEN = 64, 256


@dataclass(frozen=True)
class Dialect:
    """How cells and records are told apart, and what cells are null.

    delimiter, quote, escape, comment: one ASCII character each; the last three may be None. header: True where the first record names the
    columns, a tuple of names where none does, False where cells are in the order of the schema. null_values: cells that are null. ragged:
    what becomes of a row with another count of cells. encoding: of the text.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    header: bool | tuple[str, ...] = True
    comment: str | None = None
    null_values: tuple[str, ...] = ("",)
    ragged: str = "reject"
    encoding: str = "utf-8"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Dialect:
        """From an input's settings, or a function's options. Raises PlanError."""
        given = {name: settings[name] for name in SETTINGS if name in settings}
        for name in ("delimiter", "quote", "escape", "comment"):
            if name in given:
                _check_character(name, given[name])
        if given.get("escape") == given.get("quote", '"'):
            given["escape"] = None  # doubled quotes are read anyway
        for name, allowed in (("ragged", RAGGED), ("encoding", ENCODINGS)):
            if name in given and given[name] not in allowed:
                raise PlanError(f"input: {name} is {shown(given[name])}; write one of {', '.join(allowed)}")
        given["header"] = _header(given.get("header", True))
        made = cls(**given | {"null_values": _tokens(given.get("null_values", ("",)), given.get("encoding", "utf-8"))})
        roles = {"delimiter": made.delimiter, "quote": made.quote, "escape": made.escape, "comment": made.comment}
        taken: dict[str, str] = {}
        for name, character in roles.items():
            if character is None:
                continue
            if character in taken:
                raise PlanError(
                    f"input: {taken[character]} and {name} are both {character!r}; give one of them another character"
                )
            taken[character] = name
        return made

    @cached_property
    def words(self) -> Memory:
        """What kernels/csv_scan.py reads."""
        sizes = [min(len(one), 63) for one in self._encoded]
        numbers = [min(len(one), 63) for one in self._encoded if one and one[0] in b"-0123456789"]
        characters = [-1 if one is None else ord(one) for one in (self.delimiter, self.quote, self.escape, self.comment)]
        return from_numbers(
            "q",
            [
                *characters,
                int(self.encoding == "latin-1"),
                int(self.ragged in ("pad", "fit")),
                int(self.ragged in ("truncate", "fit")),
                _mask(sizes),
                _mask(numbers),
            ],
        )

    @cached_property
    def tokens(self) -> Memory:
        """The null tokens, each its length and its bytes as words."""
        words: list[int] = []
        for one in self._encoded:
            words.append(len(one))
            words += [int.from_bytes(one[at : at + 8], "little", signed=len(one) - at >= 8) for at in range(0, len(one), 8)]
        return from_numbers("q", words)

    @cached_property
    def _encoded(self) -> list[bytes]:
        return [one.encode(self.encoding) for one in self.null_values]

    def names(self, header: bytes) -> list[str] | None:
        """The names that a header line gives; None where it is no CSV record, or not of the encoding."""
        import csv  # for few: most inputs are no CSV

        try:
            rows = list(
                csv.reader(
                    [header.decode(self.encoding)],
                    delimiter=self.delimiter,
                    quotechar=self.quote,
                    escapechar=self.escape,
                    quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
                    strict=True,
                )
            )
        except (csv.Error, UnicodeDecodeError):
            return None
        return [one.strip() for one in rows[0]] if len(rows) == 1 else None


def _mask(sizes: list[int]) -> int:
    mask = 0
    for size in sizes:
        mask |= 1 << size
    return mask - (1 << 64) if mask >> 63 else mask


def _check_character(name: str, given: Any) -> None:
    if given is None and name != "delimiter":
        return
    fits = isinstance(given, str) and len(given) == 1 and given.isascii() and given not in "\r\n\0"
    if not fits or (name == "delimiter" and (given.isalnum() or given in "+-.")):
        none = "" if name == "delimiter" else ", or null for none"
        raise PlanError(f"input: {name} is {shown(given)}; write one ASCII character such as {_SUCH[name]}{none}")


_SUCH = {"delimiter": "',', ';' or a tab", "quote": "'\"'", "escape": "'\\'", "comment": "'#'"}


def _header(given: Any) -> bool | tuple[str, ...]:
    if isinstance(given, bool):
        return given
    names = tuple(given) if isinstance(given, list | tuple) else ()
    if not names or not all(isinstance(one, str) for one in names):
        raise PlanError(f"input: header is {shown(given)}; write true, false or a list of the columns' names")
    return names


def _tokens(given: Any, encoding: str) -> tuple[str, ...]:
    tokens = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else (None,)
    try:
        fits = len(tokens) <= _MOST_TOKENS and all(len(one.encode(encoding)) <= _LONGEST_TOKEN for one in tokens)
    except (AttributeError, UnicodeEncodeError):
        fits = False
    if not fits:
        raise PlanError(
            f"input: null_values is {shown(given)}; write a list of up to {_MOST_TOKENS} texts in quotes, each of up to "
            f"{_LONGEST_TOKEN} bytes in the input's encoding: ['', 'NA']"
        )
    return tokens
