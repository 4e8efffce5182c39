"""JSON records to rows the slow way: the standard library's parser, then one Python value after another."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

from millstream.schema import Field, Schema
from millstream.types import Type
from millstream.values import duration_from_text
from tests.decode.test_json import nearest_single

MOST_DEPTH = 1024


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object as it is written, keys that come twice too."""


class MisfitError(Exception):
    """A value does not fit its column."""


class UnsureError(Exception):
    """A text of a form that this reference does not read."""


def parse(record: bytes) -> Any:
    """The record as Numbers, Pairs, lists, strings, bools and None. Raises ValueError for what is no JSON of valid Unicode."""
    value = json.loads(
        record.decode(), object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
    )
    for text in _texts(value):
        text.encode()
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Pairs):
        for key, inner in value:
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def row_of(record: bytes, schema: Schema) -> dict[str, Any] | None:
    """The row that the record becomes, None where it is rejected. Raises UnsureError."""
    try:
        value = parse(record)
    except ValueError:
        return None
    if not isinstance(value, Pairs):
        return None
    row = {}
    try:
        for one in schema.values():
            row[one.name] = _column(one, value)
    except MisfitError:
        return None
    return row


def _column(one: Field, record: Pairs) -> Any:
    found, value = _at(record, one.paths[0])
    if not found:
        if one.default is None and not one.nullable:
            raise MisfitError
        return one.default
    try:
        if isinstance(value, _Wrong):
            raise MisfitError
        read = None if value is None else _value(one.type, value, one.coerce)
        if read is None and not one.nullable:
            raise MisfitError
        return read
    except MisfitError:
        if one.on_error == "null":
            return None
        raise


class _Wrong:
    """No object stands where a path leads through one."""


def _at(record: Pairs, path: tuple[str, ...]) -> tuple[bool, Any]:
    values = [value for key, value in record if key == path[0]]
    if not values:
        return False, None
    if len(path) == 1:
        return True, values[-1]
    if isinstance(values[-1], Pairs):
        return _at(values[-1], path[1:])
    return (False, None) if values[-1] is None else (True, _Wrong())


def _value(kind: Type, value: Any, coerce: tuple[str, ...]) -> Any:
    if value is None:
        return None
    match kind.family:
        case "list":
            if not isinstance(value, list) or isinstance(value, Pairs):
                raise MisfitError
            return [_value(kind.children[0][1], one, coerce) for one in value]
        case "map":
            if not isinstance(value, Pairs):
                raise MisfitError
            return list({key: _value(kind.children[1][1], one, coerce) for key, one in value}.items())
        case "struct":
            if not isinstance(value, Pairs):
                raise MisfitError
            row: dict[str, Any] = dict.fromkeys(name for name, _ in kind.children)
            kinds = dict(kind.children)
            for key, one in value:
                if key in kinds:
                    row[key] = _value(kinds[key], one, coerce)
            return row
        case "bool":
            if not isinstance(value, bool):
                raise MisfitError
            return value
    if isinstance(value, str) and not isinstance(value, Number):
        if value == "" and "empty" in coerce:
            return None
        if kind.is_numeric or kind.family == "decimal":
            if "numbers" not in coerce or not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", value, re.ASCII):
                raise MisfitError
            return _number(kind, value, coerce)
        return _text(kind, value, coerce)
    if isinstance(value, Number) and (kind.is_numeric or kind.family == "decimal"):
        return _number(kind, value, coerce)
    raise MisfitError


def _number(kind: Type, text: str, coerce: tuple[str, ...]) -> Any:
    if kind.family == "float":
        number = float(text)
        if kind.bits == 32 and number and math.isfinite(number):  # beyond, an exact fraction could be endless
            number = nearest_single(text)
        if math.isinf(number):
            raise MisfitError
        return number
    digits, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > 5000:
        if not Fraction(digits):
            return 0 if kind.family == "int" else Decimal(0).scaleb(-kind.scale)
        raise MisfitError if int(exponent) > 0 or "round" not in coerce else UnsureError
    number = Fraction(text)
    unscaled = number * 10**kind.scale if kind.family == "decimal" else number
    if unscaled.denominator != 1:
        if "round" not in coerce:
            raise MisfitError
        unscaled = Fraction(round(unscaled))
    least, greatest = kind.range if kind.family == "int" else (1 - 10**kind.precision, 10**kind.precision - 1)
    if not least <= unscaled <= greatest:
        raise MisfitError
    return int(unscaled) if kind.family == "int" else Decimal(f"{int(unscaled)}e-{kind.scale}")


def _text(kind: Type, text: str, coerce: tuple[str, ...]) -> Any:
    match kind.family:
        case "string":
            return text
        case "binary":
            try:
                if "hex" in coerce:
                    if not re.fullmatch("([0-9a-fA-F]{2})*", text):
                        raise MisfitError
                    return bytes.fromhex(text)
                if "=" in text and len(text) % 4:
                    raise MisfitError
                plain = text.rstrip("=").replace("-", "+").replace("_", "/")
                whole = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
                if base64.b64encode(whole).decode().rstrip("=") != plain or (plain != text and len(text) % 4 and "=" in text):
                    raise MisfitError
                return whole
            except (binascii.Error, ValueError):
                raise MisfitError from None
        case "date":
            return _exactly(text, date.fromisoformat, date.isoformat)
        case "time":
            return _exactly(text, time.fromisoformat, time.isoformat)
        case "timestamp":
            moment = _exactly(text.removesuffix("Z"), datetime.fromisoformat, datetime.isoformat)
            if bool(kind.zone) != text.endswith("Z"):
                raise MisfitError
            return moment.replace(tzinfo=UTC) if kind.zone else moment
        case "duration":
            try:
                return duration_from_text(text)
            except ValueError:
                raise UnsureError from None
    raise MisfitError


def _exactly(text: str, read: Any, write: Any) -> Any:
    try:
        value = read(text)
    except ValueError:
        raise UnsureError from None  # some other form of ISO 8601, or none
    if write(value) != text:
        raise UnsureError
    return value
