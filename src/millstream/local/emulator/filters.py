"""Which records a mapping's filters let through: the Lambda guide's "Control which events Lambda sends to your function".

A pattern names fields and, for each, rules of which one must hold. Where the guide is silent it is as in EventBridge, whose rules these
are: an array stands for its elements, and an object or an empty array is no value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

from millstream.classes import dataclass
from millstream.errors import SettingsError

MOST_FILTERS = 10
"""Filters of one mapping. Five unless the account's quota was raised; nobody here knows that quota."""
MOST_CHARACTERS = 4096
MOST_NUMBER = Decimal(5_000_000_000)

Kind = Literal["kinesis", "sqs"]
_PAYLOAD: dict[Kind, str] = {"kinesis": "data", "sqs": "body"}
_RULES = "null, text, a number, true, false, exists, prefix, suffix, equals-ignore-case, anything-but, numeric"


class Number(NamedTuple):
    """A number as it was written: to a rule 300, 300.0 and 3e2 are three values, but for `numeric`."""

    text: str


class Text(NamedTuple):
    """A payload that is no JSON object or array."""

    text: str


Test = Callable[[Any], bool]


class _Leaf(NamedTuple):
    """The rules of one field. absent: one of them asks that it is not there."""

    tests: tuple[Test, ...]
    absent: bool


class _Fields(NamedTuple):
    """What must hold of an object's fields; `either`: of these one each."""

    fields: tuple[tuple[str, _Leaf | _Fields], ...]
    either: tuple[tuple[_Fields, ...], ...]

    @property
    def names(self) -> set[str]:
        """The fields that are spoken of, also in $or."""
        return {name for name, _ in self.fields} | {name for one in self.either for way in one for name in way.names}


@dataclass(frozen=True)
class Filters:
    """A mapping's filters: a record passes that satisfies one of them.

    metadata: the fields apart from the payload that patterns name. The guide once told of such filters, and tells today that only the
    payload's are supported.
    """

    kind: Kind
    patterns: tuple[_Fields, ...]
    metadata: tuple[str, ...]

    @classmethod
    def of(cls, patterns: Sequence[str], kind: Kind) -> Filters:
        """Filters by their patterns, which are JSON. Raises SettingsError."""
        if len(patterns) > MOST_FILTERS:
            raise SettingsError(
                f"there are {len(patterns)} filters: a mapping has at most {MOST_FILTERS}, and 5 unless a quota was raised"
            )
        found = tuple(_Reader(kind, f"filter {i + 1}").pattern(one) for i, one in enumerate(patterns))
        names = {name for one in found for name in one.names}
        return cls(kind, found, tuple(sorted(names - {_PAYLOAD[kind]})))

    def match(self, record: Mapping[str, Any]) -> bool:
        """Does a record, as an event holds it, pass?"""
        value: dict[str, Any] = {}
        if self.metadata:
            # A stream's record is flat to a filter: the guide's own example names partitionKey and data side by side.
            value = loads(json.dumps(dict(record) | record.get("kinesis", {})))
        if self.kind == "kinesis":
            value["data"] = _json_of(base64.b64decode(record["kinesis"]["data"]))
        else:
            value["body"] = _json_of(record["body"])
        return any(_holds(one, value, [value]) for one in self.patterns)


def loads(text: str) -> Any:
    """JSON, its numbers as they are written. Raises ValueError."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _json_of(payload: str | bytes) -> Any:
    """A payload's JSON object or array; else the text that it is. The guide does not tell of JSON that is but a number or a text."""
    try:
        found = loads(payload if isinstance(payload, str) else payload.decode())
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict | list):
        return found
    return Text(payload if isinstance(payload, str) else payload.decode(errors="replace"))


def _holds(pattern: _Fields, value: Any, beside: Sequence[Any]) -> bool:
    """Is a pattern satisfied by a value? beside: all values there, of which it is one: what must be absent is absent from each."""
    for name, wanted in pattern.fields:
        found = list(_elements(value[name])) if isinstance(value, dict) and name in value else []
        everywhere = [x for one in beside if isinstance(one, dict) and name in one for x in _elements(one[name])]
        if isinstance(wanted, _Fields):
            # A field below one that is not there, or is no object, is not there.
            objects = [one for one in found if isinstance(one, dict)] or [{}]
            if any(isinstance(one, Text) for one in found) or not any(_holds(wanted, one, everywhere) for one in objects):
                return False
        elif not any(test(one) for test in wanted.tests for one in found if not isinstance(one, dict)) and not (
            wanted.absent and all(isinstance(one, dict) for one in everywhere)
        ):
            return False
    return all(any(_holds(one, value, beside) for one in ways) for ways in pattern.either)


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _elements(one)
    else:
        yield value


class _Reader:
    """Reads one pattern, and says what is wrong with it."""

    def __init__(self, kind: Kind, place: str) -> None:
        self.kind, self.place = kind, place

    def refused(self, path: str, why: str) -> SettingsError:
        return SettingsError(f"{self.place} cannot be used: {path + ': ' if path else ''}{why}")

    def pattern(self, text: str) -> _Fields:
        if len(text) > MOST_CHARACTERS:
            raise self.refused("", f"it has {len(text):,} characters; a pattern has at most {MOST_CHARACTERS:,}")
        try:
            value = loads(text)
        except RecursionError:
            raise self.refused("", "it is nested too deeply") from None
        except ValueError as error:
            raise self.refused("", f"it is no JSON: {error}") from None
        return self.fields(value, "")

    def fields(self, value: Any, path: str) -> _Fields:
        if not isinstance(value, dict):
            raise self.refused(path, 'a pattern is an object, like {"body": {"kind": ["a"]}}')
        if not value:
            raise self.refused(path, "it names no field")
        fields: list[tuple[str, _Leaf | _Fields]] = []
        either = []
        for name, wanted in value.items():
            below = f"{path}.{name}" if path else name
            if name == "$or":
                if not isinstance(wanted, list) or len(wanted) < 2:
                    raise self.refused(below, "it is a list of two patterns or more")
                either.append(tuple(self.fields(one, below) for one in wanted))
            elif isinstance(wanted, dict):
                fields.append((name, self.fields(wanted, below)))
            elif isinstance(wanted, list):
                if self.kind == "kinesis" and below == "data":
                    raise self.refused(below, "the pattern for a stream's data is an object, since only JSON is filtered")
                fields.append((name, self.leaf(wanted, below)))
            else:
                raise self.refused(below, "write a list of rules, or an object with fields")
        return _Fields(tuple(fields), tuple(either))

    def leaf(self, rules: list[Any], path: str) -> _Leaf:
        if not rules:
            raise self.refused(path, "the list of rules is empty")
        tests, absent = [], False
        for one in rules:
            if isinstance(one, dict) and one.get("exists") is False and len(one) == 1:
                absent = True
            else:
                tests.append(self.rule(one, path))
        if path == "body":  # a list of rules is for a body that is no JSON
            tests = [_of_text(test) for test in tests]
        return _Leaf(tuple(tests), absent)

    def rule(self, rule: Any, path: str) -> Test:
        if isinstance(rule, list):
            raise self.refused(path, "a list of rules holds no list")
        if not isinstance(rule, dict):
            return _equals(rule)
        if len(rule) != 1:
            raise self.refused(path, f"a rule has one key, not {len(rule)}")
        ((name, wanted),) = rule.items()
        match name:
            case "exists":
                if wanted is not True:
                    raise self.refused(path, "exists is true or false")
                return lambda value: True
            case "anything-but":
                return self.anything_but(wanted, path)
            case "numeric":
                return self.numeric(wanted, path)
            case "prefix" | "suffix" | "equals-ignore-case":
                return self.textual(name, wanted, path)
        raise self.refused(path, f"there is no rule {name}; there are {_RULES}")

    def textual(self, name: str, wanted: Any, path: str) -> Test:
        if not isinstance(wanted, str):
            raise self.refused(path, f"{name} takes a text")
        if name == "equals-ignore-case":
            folded = wanted.lower()
            return lambda value: isinstance(value, str) and value.lower() == folded
        if not wanted:
            raise self.refused(path, f"{name} takes a text that is not empty")
        if name == "prefix":
            return lambda value: isinstance(value, str) and value.startswith(wanted)
        return lambda value: isinstance(value, str) and value.endswith(wanted)

    def anything_but(self, wanted: Any, path: str) -> Test:
        if isinstance(wanted, dict):
            if len(wanted) != 1 or not wanted.keys() <= {"prefix", "suffix"}:
                raise self.refused(path, "anything-but takes a text, a number, a list of either, or a prefix or suffix")
            ((name, text),) = wanted.items()
            test = self.textual(name, text, path)
            return lambda value: not test(value)
        listed = wanted if isinstance(wanted, list) else [wanted]
        if not listed or not (all(isinstance(x, str) for x in listed) or all(isinstance(x, Number) for x in listed)):
            raise self.refused(path, "anything-but takes a text, a number, or a list of either, not of both")
        tests = [_equals(one) for one in listed]
        return lambda value: not any(test(value) for test in tests)

    def numeric(self, wanted: Any, path: str) -> Test:
        form = 'numeric takes a comparison or a range, like [">", 0, "<=", 5]'
        if not isinstance(wanted, list) or len(wanted) not in (2, 4):
            raise self.refused(path, form)
        signs, bounds = wanted[::2], [_decimal(one) if isinstance(one, Number) else None for one in wanted[1::2]]
        if not all(one is not None and -MOST_NUMBER <= one <= MOST_NUMBER for one in bounds):
            raise self.refused(path, f"numeric compares with numbers from -{MOST_NUMBER:,} to {MOST_NUMBER:,}")
        if len(signs) == 1 and signs[0] in _COMPARE:
            ((sign, bound),) = zip(signs, bounds, strict=True)
            return lambda value: _compares(value, sign, bound)
        if len(signs) == 2 and signs[0] in (">", ">=") and signs[1] in ("<", "<="):
            (low, high), (above, below) = bounds, signs
            if low >= high:  # type: ignore[operator]
                raise self.refused(path, "the range of numeric is empty")
            return lambda value: _compares(value, above, low) and _compares(value, below, high)
        raise self.refused(path, form)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def _compares(value: Any, sign: str, bound: Any) -> bool:
    return isinstance(value, Number) and (number := _decimal(value)) is not None and _COMPARE[sign](number, bound)


def _decimal(number: Number) -> Decimal | None:
    """None of a number that is beyond all that a rule can compare with."""
    try:
        return Decimal(number.text)
    except InvalidOperation:
        return None


def _of_text(test: Test) -> Test:
    return lambda value: isinstance(value, Text) and test(value.text)


def _equals(wanted: Any) -> Test:
    # By type too: to Python True is 1, and a NamedTuple of a text is another one's equal.
    return lambda value: type(value) is type(wanted) and value == wanted
