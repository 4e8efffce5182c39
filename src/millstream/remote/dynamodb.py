"""A lookup that is a DynamoDB table: each batch asks for the items of its own keys, each once, up to a hundred a request."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import orjson
from botocore.exceptions import ClientError

from millstream.classes import dataclass
from millstream.columns import Vector, close, open_array, take
from millstream.decode.json import JsonDecoder
from millstream.decode.payloads import Payloads
from millstream.errors import PlanError, SourceError
from millstream.hashing import number_keys
from millstream.lookups.matching import Matched, Policy, defaults_of, is_rehearsal, placed, with_defaults
from millstream.schema import Field, Type
from millstream.sinks.clients import client, rehearse
from millstream.sinks.retry import Again, Backoff, code_of, retry
from millstream.tables import Lookup

MOST = 100
"""So many keys may be in one request."""
THREADS = 8
"""So many requests are made at a time."""
PATIENCE_SECONDS = 20.0
"""No attempt is begun after so long: then the batch fails, and comes again."""

_MOST_BYTES = (2048, 1024)
"""How long a partition key and a sort key may be."""
_ADVICE = {
    "ResourceNotFoundException": "there is no such table; create it, or correct its name and the region",
    "ValidationException": "it takes the table's partition key, and its sort key if it has one, by their names and types",
}
_KEY_FORMS = {"string": "S", "binary": "B", "int": "N", "decimal": "N"}


@dataclass(frozen=True)
class _Found:
    """What became of the keys of a batch: rows of columns by key, and the code of items that do not fit the schema."""

    columns: Mapping[str, Vector]
    places: Sequence[int]
    codes: Mapping[int, int]


class ItemMatcher:
    """The items of a table, by partition key or by partition and sort key. requests: how many were made."""

    def __init__(self, one: Lookup, kinds: Sequence[Type], policy: Policy, backoff: Backoff | None = None) -> None:
        schema = one.schema
        assert schema is not None
        self._told, self._policy, self._backoff = one.told, policy, backoff or Backoff()
        self.table = one.source.partition("://")[2].strip("/")
        if not self.table or "/" in self.table:
            raise PlanError(f"{one.told} is no table; write dynamodb://TABLE")
        for name, kind in zip(one.key, kinds, strict=True):
            own = schema[name].holds
            if kind.family not in _KEY_FORMS or own.family != kind.family:
                raise PlanError(
                    f"{one.told}: key {name!r} is {own}, the column it is joined on is {kind}; "
                    "both are string, binary, integers or decimals: cast the column"
                )
        self._keys = tuple((name, _KEY_FORMS[kind.family]) for name, kind in zip(one.key, kinds, strict=True))
        fields = [field for name, field in schema.items() if name not in one.key]
        if not fields:
            raise PlanError(f"{one.told}: its schema has the key alone; add the columns that a join is to give")
        self._decoder = JsonDecoder(fields)
        self._projection = _projection(one.key, fields)
        # A key is no rest of an item; a column may read it by its path all the same.
        self._read_too = {path[0] for field in fields for path in field.paths}
        self.fields: Mapping[str, Type] = {field.name: field.holds for field in fields}
        self._defaults = defaults_of(policy, self.fields, one.told)
        self.requests = 0

    def match(self, keys: Sequence[Vector]) -> Matched:
        """See `Matcher`. Raises SourceError where DynamoDB does not answer."""
        firsts, numbers = number_keys(keys)
        values = _key_values(keys, firsts)
        if is_rehearsal():
            rehearse("dynamodb")
            values = []
        found = self._found(values) if values else self._decoded([], [-1] * firsts.count)
        columns = found.columns
        count = next(iter(columns.values())).length
        if self._defaults is not None:
            arrays = {name: with_defaults(close(one), self._defaults[name]) for name, one in columns.items()}
            columns = {name: open_array(array) for name, array in arrays.items()}
        rows, valid = placed(numbers, found.places, found.codes, self._policy, count)
        return Matched(rows, columns, valid)

    def _found(self, values: Sequence[tuple[Any, ...]]) -> _Found:
        """The items of these keys."""
        numbers: dict[tuple[Any, ...], int] = {}
        asked = []
        for number, key in enumerate(values):
            if all(_can_be(one, most) for one, most in zip(key, _MOST_BYTES, strict=False)):
                asked.append({name: _packed(form, one) for (name, form), one in zip(self._keys, key, strict=True)})
                numbers[_unpacked(asked[-1])] = number
        parts = [asked[at : at + MOST] for at in range(0, len(asked), MOST)]
        if len(parts) <= 1:
            items = self._read(parts[0]) if parts else []
        else:
            client("dynamodb")  # before threads ask for it
            with ThreadPoolExecutor(min(THREADS, len(parts)), "millstream-lookup") as pool:
                items = [item for some in pool.map(self._read, parts) for item in some]
        places, texts = [-1] * len(values), list[bytes]()
        for item in items:
            own = {name: item[name] if name in self._read_too else item.pop(name) for name, _ in self._keys}
            places[numbers[_unpacked(own)]] = len(texts)
            texts.append(orjson.dumps({name: _plain(value) for name, value in item.items()}))
        return self._decoded(texts, places)

    def _decoded(self, texts: list[bytes], places: list[int]) -> _Found:
        """Items as columns, by the rules for JSON. places: of each key its text, -1 where it has none."""
        decoded = self._decoder.decode(Payloads.of_records(texts))
        rows = {text: row for row, text in enumerate(decoded.row_source.tolist())}
        wrong = {one.position: int(one.code) for one in decoded.rejects}
        codes = {number: wrong[text] for number, text in enumerate(places) if text in wrong}
        return _Found(decoded.columns, [rows.get(text, -1) for text in places], codes)

    def _read(self, keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items that are there, of up to `MOST` keys. What a request leaves out is asked for again."""
        asked = {"Keys": keys, **self._projection}
        items: list[dict[str, Any]] = []

        def attempt() -> None:
            self.requests += 1
            try:
                answer = client("dynamodb").batch_get_item(RequestItems={self.table: asked})
            except ClientError as error:
                if code_of(error) in _ADVICE:
                    raise SourceError(f"cannot ask {self._told}: {_ADVICE[code_of(error)]}") from None
                raise
            items.extend(answer["Responses"].get(self.table, ()))
            asked["Keys"] = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            if asked["Keys"]:
                raise Again("some keys were not processed")

        until = self._backoff.clock() + PATIENCE_SECONDS
        doing = f"cannot ask {self._told}"
        while True:
            before = len(asked["Keys"])
            try:
                retry(attempt, self._backoff, until, doing=doing, action="dynamodb:BatchGetItem", error=SourceError)
            except SourceError:
                if not 0 < len(asked["Keys"]) < before:  # large items come a few at a time: that is no fault
                    raise
            else:
                return items


def _projection(key: Sequence[str], fields: Sequence[Field]) -> dict[str, Any]:
    """What of an item is wanted: the attributes that columns are in; all, where one takes what is left."""
    if any(field.rest for field in fields):
        return {}
    names = dict.fromkeys([*key, *(path[0] for field in fields for path in field.paths)])
    places = {f"#{at}": name for at, name in enumerate(names)}  # many words are reserved
    return {"ProjectionExpression": ",".join(places), "ExpressionAttributeNames": places}


def _key_values(keys: Sequence[Vector], firsts: Any) -> list[tuple[Any, ...]]:
    columns = [close(take(one, firsts)).to_pylist() for one in keys]
    return list(zip(*columns, strict=True))


def _can_be(value: Any, most: int) -> bool:
    """May an item have this key? One that is empty or too long would have the whole request refused."""
    if isinstance(value, str | bytes):
        return 0 < len(value if isinstance(value, bytes) else value.encode()) <= most
    return True


def _packed(form: str, value: Any) -> dict[str, Any]:
    return {form: f"{value:f}" if isinstance(value, Decimal) else str(value) if form == "N" else value}


def _unpacked(key: Mapping[str, Any]) -> tuple[Any, ...]:
    """A key by which an item is known again: a number may be written in several ways."""
    return tuple(
        Decimal(text) if form == "N" else bytes(text) if form == "B" else text
        for one in key.values()
        for form, text in one.items()
    )


def _plain(value: Mapping[str, Any]) -> Any:
    """A value of DynamoDB's as JSON has it; numbers keep all their digits, binary becomes base64."""
    ((form, held),) = value.items()
    match form:
        case "N":
            return orjson.Fragment(held)
        case "B":
            return base64.b64encode(bytes(held)).decode()
        case "NULL":
            return None
        case "L":
            return [_plain(one) for one in held]
        case "M":
            return {name: _plain(one) for name, one in held.items()}
        case "NS":
            return [orjson.Fragment(one) for one in held]
        case "BS":
            return [base64.b64encode(bytes(one)).decode() for one in held]
    return held if form != "SS" else list(held)
