"""A handler's first batch, before there is one: made-up records through its own code, written nowhere, told to nobody."""

from __future__ import annotations

import base64
import bz2
import gzip
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from millstream.aws.handler import Event, Handler
from millstream.aws.observe import silence, warn
from millstream.aws.raw import RawEvent
from millstream.classes import dataclass, replace
from millstream.decode.compression import BytesSource
from millstream.decode.dialect import Dialect
from millstream.errors import RunError
from millstream.lookups.matching import rehearsal
from millstream.pipeline import Pipeline
from millstream.planned import Check
from millstream.schema import Field, Type
from millstream.sinks import clients
from millstream.sinks.rejects import StoredRejects
from millstream.sinks.store import Found, Store, Stored

RECORDS = 64
"""Of a batch. 1,200, which columns are written of in another way, leave the first real batch as quick: what counts is what is loaded."""
KINDS = 8
"""So many records are different, then they come again: where rows are partitioned, it is by few values."""

_ACCOUNT = "us-east-1:000000000000"
_STREAM = f"arn:aws:kinesis:{_ACCOUNT}:stream/millstream-warm"
_QUEUE = f"arn:aws:sqs:{_ACCOUNT}:millstream-warm"
_BUCKET, _KEY = "millstream-warm", "warm"
_TEXTS = (
    "alpha",
    " Beta ",
    "2024-01-31",
    "42",
    "é ü",
    "true",
    "a text that is longer than what a register holds, by a little",
    "x",
)
_COMPRESS: dict[str, Callable[[bytes], Any]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "zstd": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    "lz4": lambda data: pa.Codec("lz4").compress(data, asbytes=True),
}


def warm(handler: Handler) -> bool:
    """See `Handler.warm`."""
    try:
        with silence(), rehearsal():
            _load_clients(handler)
            _rehearse(handler)
    except Exception as error:  # whatever it is, the function may work without
        warn(handler.pipeline.name, f"the warm-up failed, and the function works without: {type(error).__name__}: {error}")
        return False
    return True


def _load_clients(handler: Handler) -> None:
    """What boto3 loads to make the clients that the handler will need."""
    urls = [handler.sink.url, *([] if handler.rejects is None else [handler.rejects.url])]
    needed = {
        "s3": handler.source == "s3" or any(url.startswith("s3://") for url in urls),
        "sqs": any(url.startswith("sqs") for url in urls),
        "dynamodb": (handler.ledger or "").startswith("dynamodb:"),
        "lambda": handler.source == "kinesis" and handler.ledger is not None and handler.settings.parallelization is None,
    }
    for service, is_needed in needed.items():
        if is_needed:
            clients.rehearse(service)
    if needed["dynamodb"]:
        import millstream.ledger.way  # noqa: F401
    if handler.ledger is not None and handler.source != "kinesis":
        import aws_lambda_powertools.utilities.idempotency  # noqa: F401


def _rehearse(handler: Handler) -> None:
    """A batch through the handler. Where its steps leave no row, rows as the output has them are written as well."""
    nowhere = _Nowhere(handler.sink)
    twin = copy(handler)
    vars(twin).update(
        sink=nowhere,
        rejects=None if handler.rejects is None else StoredRejects(_Nowhere(handler.sink)),
        fails=False,  # a reject is no reason to stop here
        ledger=None,
        settings=replace(handler.settings, file_pattern=None),
    )
    may_fail = any(isinstance(step, Check) and step.action == "fail" for step in handler.pipeline.plan().steps)
    with suppress(RunError) if may_fail else nullcontext():  # made records break any rule
        _run(twin)
    if not nowhere.has_rows:
        # By name: a struct's fields and the output's columns have types of their own, not those of the source.
        twin.pipeline = Pipeline(
            dict(handler.pipeline.plan().output), name=handler.pipeline.name, output=handler.pipeline.output
        )
        _run(twin)


def _run(twin: Handler) -> None:
    pipeline = twin.pipeline
    if pipeline.input.get("format") == "csv":
        header, records = csv_records(pipeline.schema.values(), Dialect.of(pipeline.input), RECORDS)
        if twin.source != "s3":  # each delivery is a text of its own
            records = [header + one for one in records]
    else:
        header, records = b"", list(made_records(pipeline.schema.values(), RECORDS))
    compress = _COMPRESS.get(str(pipeline.input.get("compression")), bytes)
    if twin.source == "s3":
        source = _Object(compress(header + b"\n".join(records)))
        vars(twin)["open_object"] = lambda ref, until: source
    twin(_EVENTS[twin.source](records, compress))


# --- records -------------------------------------------------------------------------------------------------------------


def made_records(fields: Iterable[Field], count: int) -> Iterable[bytes]:
    """Records that decode to rows of these columns: JSON objects, of `KINDS` different kinds."""
    own = list(fields)
    kinds = [orjson.dumps(_record(own, number)) for number in range(KINDS)]
    return (kinds[number % KINDS] for number in range(count))


def csv_records(fields: Iterable[Field], dialect: Dialect, count: int) -> tuple[bytes, list[bytes]]:
    """The line that names the columns, empty where none does, and rows of the same values as `made_records` has."""
    own = list(fields)
    columns = [one.paths[0][0] for one in own if not one.rest]
    names = list(dialect.header) if isinstance(dialect.header, tuple) else columns
    rows = [_record(own, number) for number in range(KINDS)]
    kinds = [_line((_cell(row.get(name), dialect) for name in names), dialect) for row in rows]
    header = _line((_quoted(name, dialect) for name in names), dialect) + b"\n" if dialect.header is True else b""
    return header, [kinds[number % KINDS] for number in range(count)]


def _cell(value: Any, dialect: Dialect) -> str:
    if value is None:  # in quotes it would be text
        return dialect.null_values[0] if dialect.null_values else ""
    return _quoted(value if isinstance(value, str) else orjson.dumps(value).decode(), dialect)


def _quoted(text: str, dialect: Dialect) -> str:
    if dialect.quote is None:  # what would need one is of no matter here
        return text.replace(dialect.delimiter, "")
    return dialect.quote + text.replace(dialect.quote, dialect.quote * 2) + dialect.quote


def _line(cells: Iterable[str], dialect: Dialect) -> bytes:
    return dialect.delimiter.join(cells).encode(dialect.encoding)


def _record(fields: Iterable[Field], number: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for one in fields:
        if one.rest:
            record.setdefault("millstream-warm", number)
            continue
        inside = record
        *way, key = one.paths[0]
        for name in way:
            inside = inside.setdefault(name, {})
        is_null = one.nullable and number == KINDS - 1
        inside[key] = None if is_null else _value(one.type, number, one.coerce)
    return record


def _value(kind: Type, number: int, coerce: tuple[str, ...] = ()) -> Any:
    """A value that a column of this type takes."""
    match kind.family:
        case "bool":
            return number % 2 == 0
        case "int":
            return number + 1
        case "float":
            return 12.25 * number
        case "decimal":
            return orjson.Fragment(f"{Decimal(number + 1).scaleb(-kind.scale):f}")
        case "string":
            return {"a": [number, "b"]} if kind.name == "json" else _TEXTS[number % len(_TEXTS)]
        case "binary":
            return "6869" if "hex" in coerce else "aGk="
        case "date":
            return f"2024-01-{number + 1:02}"
        case "timestamp":
            return f"2024-01-{number + 1:02}T12:30:00.25{'Z' if kind.zone else ''}"
        case "time":
            return f"{number + 1:02}:30:00.25"
        case "duration":
            return f"P{number}DT1.5S"
        case "list":
            return [_value(kind.children[0][1], one, coerce) for one in (number, 0)]
        case "map":
            return {"a": _value(kind.children[1][1], number, coerce)}
        case "struct":
            return {name: _value(one, number, coerce) for name, one in kind.children}
    raise NotImplementedError(kind.name)


# --- events --------------------------------------------------------------------------------------------------------------


def _kinesis(records: list[bytes], compress: Callable[[bytes], bytes]) -> Event:
    shard = "shardId-000000000000"
    return _event(
        {
            "kinesis": {
                "partitionKey": "0",
                "sequenceNumber": str(number),
                "data": base64.b64encode(compress(record)).decode(),
                "approximateArrivalTimestamp": 1704067200.25,
            },
            "eventSource": "aws:kinesis",
            "eventID": f"{shard}:{number}",
            "eventSourceARN": _STREAM,
        }
        for number, record in enumerate(records, 1)
    )


def _sqs(records: list[bytes], compress: Callable[[bytes], bytes]) -> Event:
    """Bodies are text, and so never compressed."""
    return _event(
        {
            "messageId": f"warm-{number:08}",
            "body": record.decode(errors="replace"),  # a text of another encoding
            "attributes": {"SentTimestamp": "1704067200250"},
            "eventSource": "aws:sqs",
            "eventSourceARN": _QUEUE,
        }
        for number, record in enumerate(records)
    )


def _s3(records: list[bytes], compress: Callable[[bytes], bytes]) -> Event:
    """The object that it tells of is `_Object`."""
    told = {"bucket": {"name": _BUCKET}, "object": {"key": _KEY, "eTag": "0"}}
    return _event([{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": told}])


def _event(records: Iterable[Mapping[str, Any]]) -> Event:
    return RawEvent(orjson.dumps({"Records": list(records)}))


_EVENTS: dict[str, Callable[[list[bytes], Callable[[bytes], bytes]], Event]] = {"kinesis": _kinesis, "sqs": _sqs, "s3": _s3}


# --- places --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Object(BytesSource):
    """An object of S3 that is in memory: what `millstream.aws.ranges.S3Source` has."""

    version: str = "0"
    changed: datetime = datetime(2024, 1, 1, tzinfo=UTC)

    @property
    def head(self) -> bytes:
        return self.data

    def close(self) -> None: ...


class _Nowhere:
    """A store that keeps nothing. has_rows: was anything put?"""

    def __init__(self, store: Store) -> None:
        self.url = "nowhere"
        self.threads = store.threads
        self.has_rows = False

    def load(self) -> None: ...

    def covers(self, other: Store) -> bool:
        return False

    def put(
        self,
        name: str,
        body: Any,
        tags: Mapping[str, str],
        difference: Callable[[Path], str | None],
        until: float = math.inf,
    ) -> Stored:
        self.has_rows = True
        return Stored(f"{self.url}/{name}", memoryview(body).nbytes, True)

    def replace(self, name: str, body: bytes, until: float, tags: Mapping[str, str] | None = None) -> None: ...

    def noted(self, name: str, until: float) -> bytes | None:
        return None

    def forget(self, name: str, until: float) -> None: ...

    def listed(self, until: float) -> Iterator[Found]:
        return iter(())

    def tags(self, name: str, until: float) -> dict[str, str] | None:
        return None

    def read(self, name: str, until: float) -> bytes:
        return b""

    def remove(self, name: str, until: float) -> None: ...

    def unfinished(self, until: float) -> Iterator[Found]:
        return iter(())

    def abandon(self, found: Found, until: float) -> None: ...
