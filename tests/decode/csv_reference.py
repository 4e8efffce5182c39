"""CSV byte by byte, written another way than the kernels: what the records of a text are, and what their cells hold."""

from __future__ import annotations

from typing import NamedTuple

from millstream.decode.dialect import Dialect


class Record(NamedTuple):
    """A record's bytes, and its cells, each with whether it was in quotes; None where the record is no CSV."""

    raw: bytes
    cells: list[tuple[bytes, bool]] | None


def _character(given: str | None) -> bytes:
    return given.encode() if given is not None else b"none"


def records(text: bytes, dialect: Dialect) -> list[Record]:
    """All records of a text without a byte order mark, the header among them."""
    return [Record(raw, cells(raw, dialect)) for raw in split(text, dialect)]


def split(text: bytes, dialect: Dialect) -> list[bytes]:
    """The text of each record, without the newline that ends it."""
    delimiter, quote, escape, comment = map(_character, (dialect.delimiter, dialect.quote, dialect.escape, dialect.comment))
    found: list[bytes] = []
    start = at = 0
    quoted = False  # in quotes
    head = True  # where a quote opens
    while start < len(text):
        if at == start and text[at : at + 1] == comment:
            newline = text.find(b"\n", at)
            start = at = len(text) if newline < 0 else newline + 1
            head = True
            continue
        one = text[at : at + 1]
        if one == b"" or (one == b"\n" and not quoted):
            raw = text[start:at]
            if raw.endswith(b"\r") and not quoted:
                raw = raw[:-1]
            if raw:
                found.append(raw)
            start = at = at + 1
            quoted, head = False, True
            continue
        at += 1
        if one == escape:
            at = min(at + 1, len(text))
            head = False
        elif quoted:
            if one == quote:
                if text[at : at + 1] == quote:
                    at += 1
                else:
                    quoted = False
                    head = False
        elif one == quote and head:
            quoted = True
        else:
            head = one == delimiter
    return found


def cells(raw: bytes, dialect: Dialect) -> list[tuple[bytes, bool]] | None:
    """The cells of a record, or None where it is no CSV."""
    delimiter, quote, escape = map(_character, (dialect.delimiter, dialect.quote, dialect.escape))
    found: list[tuple[bytes, bool]] = []
    at = 0
    while True:
        made = b""
        quoted = raw[at : at + 1] == quote
        at += quoted
        while True:
            one = raw[at : at + 1]
            at += 1
            if one == escape:
                if at >= len(raw):
                    return None
                made += raw[at : at + 1]
                at += 1
            elif quoted and one == quote:
                if raw[at : at + 1] != quote:
                    break
                made += quote
                at += 1
            elif one == b"":
                if quoted:
                    return None
                at -= 1
                break
            elif one == delimiter and not quoted:
                at -= 1
                break
            else:
                made += one
        found.append((made, quoted))
        if at >= len(raw):
            return found
        if raw[at : at + 1] != delimiter:
            return None  # text behind a closing quote
        at += 1
