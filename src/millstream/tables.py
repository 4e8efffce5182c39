"""Lookups as users write them: a small table, its keys or ranges, and when it is looked at again. `millstream.lookups` reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from reprlib import repr as shown
from typing import Any, Literal

import pyarrow as pa

from millstream.classes import dataclass
from millstream.errors import PlanError
from millstream.schema import Column, Schema, Type

Closed = Literal["left", "right", "both", "none"]
Keep = Literal["none", "first", "last"]

CLOSED = ("left", "right", "both", "none")
KEEP = ("none", "first", "last")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SCHEME = re.compile(r"([a-z0-9+.-]+)://", re.IGNORECASE)
SCHEMES = ("file", "s3", "dynamodb")


@dataclass(frozen=True)
class Range:
    """Which columns of a lookup make ranges: two of values or of IP addresses, or one of networks in CIDR notation.

    closed: which of the two ends belong to a range.
    """

    form: Literal["range", "ip_range", "cidr"]
    columns: tuple[str, ...]
    closed: Closed = "left"


@dataclass(frozen=True)
class Lookup:
    """A table to look rows up in. Make it with `lookup(...)`.

    source: a pyarrow table, a path or a URL. key: the key columns. range: what of a row is a range. keep: which row counts where a key
    comes more than once; "none" refuses that. refresh: after how many seconds it is looked whether the source has changed.
    """

    source: Any
    key: tuple[str, ...]
    range: Range | None = None
    keep: Keep = "none"
    refresh: float | None = None
    schema: Schema | None = None

    @property
    def scheme(self) -> str:
        """What the source is read by: "" for a table in memory, "file", "s3" or "dynamodb"."""
        if not isinstance(self.source, str):
            return ""
        found = _SCHEME.match(self.source)
        return found[1].lower() if found else "file"

    @property
    def told(self) -> str:
        """What messages call it."""
        return f"the lookup {self.source!r}" if isinstance(self.source, str) else "the lookup"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that say which row it is."""
        return self.key + (self.range.columns if self.range else ())

    @property
    def asks(self) -> tuple[str, ...]:
        """What a row that looks up has to give, in this order: its keys, then the value that a range holds."""
        return (*self.key, f"a value within {self.range.form}") if self.range else self.key


def lookup(
    source: pa.Table | pa.RecordBatch | str | os.PathLike[str],
    key: str | Sequence[str] | None = None,
    *,
    range: tuple[str, str] | None = None,  # noqa: A002 (as users think of it)
    ip_range: tuple[str, str] | None = None,
    cidr: str | None = None,
    closed: Closed | None = None,
    keep: Keep = "none",
    refresh: str | float | timedelta | None = None,
    schema: Schema | Mapping[str, str | Column | Type] | pa.Schema | None = None,
) -> Lookup:
    """A small table for `Pipeline.join`.

    source: a pyarrow table; the path, file:// or s3:// URL of a .csv, .parquet, .json or .ndjson file; or dynamodb://TABLE.
    key: the column that is looked up, or several; each key is once in the table, unless keep is "first" or "last".
    range: two columns, the start and the end of values; ip_range: of IP addresses, both ends included; cidr: a column of networks. Ranges
    of one key do not overlap. closed: which ends belong to a range, "left" (from <= value < to), "right", "both" or "none".
    refresh: how long the table is used before it is looked whether its source has changed: "15m", or seconds; None: for ever.
    schema: the columns to read and their types; DynamoDB needs it.
    Raises PlanError for what is no lookup.
    """
    if not isinstance(source, pa.Table | pa.RecordBatch | str | os.PathLike):
        raise PlanError(
            f"lookup takes a pyarrow table or a path, not {type(source).__name__}; for a mapping write pa.table({{...}})"
        )
    keys = _names("key", key)
    ranges = [
        _range(form, given, closed) for form, given in (("range", range), ("ip_range", ip_range), ("cidr", cidr)) if given
    ]
    if len(ranges) > 1:
        raise PlanError(f"lookup: {ranges[0].form} and {ranges[1].form} are both given; keep one of them")
    if not keys and not ranges:
        raise PlanError(f"lookup: key is the name of a column, not {key!r}")
    if closed is not None and (not ranges or ranges[0].form == "cidr"):
        raise PlanError("lookup: closed is for range and ip_range; drop it")
    if keep not in KEEP:
        raise PlanError(
            f"lookup: keep is {shown(keep)}; write 'first' or 'last', or leave it out: a key that is doubled is an error"
        )
    if keep != "none" and ranges:
        raise PlanError("lookup: keep is for keys, not for ranges; drop it: ranges must not overlap")
    one = Lookup(
        source if isinstance(source, pa.Table | pa.RecordBatch) else os.fspath(source),
        keys,
        ranges[0] if ranges else None,
        keep,
        None if refresh is None else seconds_of(refresh, "lookup: refresh"),
        None if schema is None else Schema(schema),
    )
    _check(one)
    return one


def _check(one: Lookup) -> None:
    """What does not go together."""
    if len(set(one.columns)) < len(one.columns):
        raise PlanError(f"lookup: {', '.join(one.columns)} names a column twice")
    if not one.scheme and one.refresh is not None:
        raise PlanError("lookup: refresh is for files and URLs; a table in memory does not change: drop it")
    if one.scheme not in ("", *SCHEMES):
        raise PlanError(
            f"a lookup by {one.scheme}:// cannot be read; write a path, or a URL of {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    if one.schema is not None:
        if not one.scheme:
            raise PlanError("lookup: schema is for files and URLs; a table in memory has its own: drop it")
        for name in one.columns:
            if name not in one.schema:
                raise PlanError(f"lookup: {name!r} is not in its schema, which has {', '.join(one.schema)}; add it there")
    if one.scheme == "dynamodb":
        if one.schema is None:
            raise PlanError("lookup: DynamoDB's items have no types: write schema={'id': 'string', 'name': 'string', …}")
        for what, is_given in (("range", one.range), ("keep", one.keep != "none"), ("refresh", one.refresh is not None)):
            if is_given:
                raise PlanError(f"lookup: {what} is not for DynamoDB, which is asked for each batch's keys; drop it")
        if len(one.key) > 2:
            raise PlanError("lookup: the key of a DynamoDB table is its partition key, and its sort key if it has one")


def _names(what: str, given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    listed = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else (None,)
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise PlanError(f"lookup: {what} is the name of a column, or of several, not {shown(given)}")
    return listed


def _range(form: Any, given: Any, closed: Closed | None) -> Range:
    names = _names(form, given)
    if len(names) != (1 if form == "cidr" else 2):
        wanted = "one column: cidr='network'" if form == "cidr" else f"two columns: {form}=('from', 'to')"
        raise PlanError(f"lookup: {form} is {wanted}; not {shown(given)}")
    if closed is not None and closed not in CLOSED:
        raise PlanError(f"lookup: closed is {shown(closed)}; write one of {', '.join(CLOSED)}")
    return Range(form, names, closed or ("left" if form == "range" else "both"))


def seconds_of(given: Any, what: str) -> float:
    """A length of time in seconds: of a number of them, '30s', '15m', '1h', '1d' or a timedelta. Raises PlanError."""
    if isinstance(given, timedelta):
        seconds = given.total_seconds()
    elif isinstance(given, str) and (found := re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", given.strip(), re.ASCII)):
        seconds = float(found[1]) * _SECONDS[found[2]]
    elif isinstance(given, int | float) and not isinstance(given, bool):
        seconds = float(min(given, 1e300))
    else:
        seconds = -1.0
    if not 0 < seconds < 1e300:
        raise PlanError(f"{what} is {shown(given)}; write a length of time: '30s', '15m', '1h' or '1d'")
    return seconds


def seconds_to_text(seconds: float) -> str | float:
    """A length of time as `seconds_of` takes it back: '15m' for 900."""
    for unit, size in reversed(_SECONDS.items()):
        if seconds % size == 0:
            return f"{int(seconds) // size}{unit}"
    return seconds
