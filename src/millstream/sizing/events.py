"""The events that a function is measured with: recorded ones, or such as are made from the records of data files.

Each batch of a process is another one: what comes again has other sequence numbers, message ids or ETags, as new deliveries have, so
that it is written anew.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote_plus

from millstream.classes import dataclass
from millstream.decode.compression import FileSource
from millstream.errors import UsageError
from millstream.sizing.bucket import SOURCE
from millstream.sizing.limits import EVENT_BYTES

MOST_BATCH = 10_000
_SOURCES = {"aws:kinesis": "kinesis", "aws:sqs": "sqs", "aws:s3": "s3"}
_START = 1_796_083_200.0
_ACCOUNT = "us-east-1:123456789012"
_SHOWN = "write a Kinesis, SQS or S3 event, {'Records': [...]}, as Lambda gives it; or data files of records"


@dataclass(frozen=True)
class Events:
    """source: kinesis, sqs or s3. records: of a batch, as far as it is told beforehand; objects: data files, by key, that S3 has to give.

    recorded: as they were, else made from data files.
    """

    source: str
    templates: tuple[dict[str, Any], ...]
    objects: dict[str, Path]
    recorded: bool

    def write(self, folder: Path, count: int) -> tuple[list[str], int]:
        """So many events as files of a folder; their names, and the median one's bytes. Raises UsageError for one that is too large."""
        names, sizes = [], []
        for number, template in enumerate(islice(cycle(self.templates), count)):
            event = _renewed(template, self.source, number)
            try:
                data = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise UsageError("an event has half a surrogate pair, which no JSON in UTF-8 holds: record it again") from None
            if len(data) > EVENT_BYTES:
                raise UsageError(
                    f"an event of {len(template['Records']):,} records has {len(data):,} bytes, and Lambda takes {EVENT_BYTES:,}: "
                    "write a smaller --batch"
                )
            path = folder / f"event-{number:04}.json"
            path.write_bytes(data)
            names.append(str(path))
            sizes.append(len(data))
        return names, sorted(sizes)[len(sizes) // 2]


def find_events(path: str, pipeline: Any, source: str | None, batch: int, wanted: int) -> Events:
    """What a file or folder holds, as events. source, batch: of those that are made, `wanted` at the most. Raises UsageError."""
    files = _files(path)
    recorded = [(file, event) for file in files if (event := _event(file)) is not None]
    if recorded and len(recorded) < len(files):
        other = next(file for file in files if file not in {one for one, _ in recorded})
        raise UsageError(f"{path} has recorded events and others: {other.name} is none; keep them in folders of their own")
    if recorded:
        return _recorded(recorded, source)
    if source == "s3":
        objects = {f"in/{file.name}": file for file in files}
        return Events("s3", tuple(_notification(key, file) for key, file in objects.items()), objects, False)
    if not 1 <= batch <= MOST_BATCH:
        raise UsageError(f"--batch is {batch}; write 1 to {MOST_BATCH:,}")
    records = list(islice(_records(files, pipeline), batch * wanted))
    if not records:
        raise UsageError(f"{path} has no record; {_SHOWN}")
    again = cycle(records)
    make = _kinesis if source in (None, "kinesis") else _sqs
    count = min(wanted, -(-len(records) // batch))
    made = tuple(make([next(again) for _ in range(batch)], number * batch) for number in range(count))
    return Events(source or "kinesis", made, {}, False)


def _files(path: str) -> list[Path]:
    found = Path(path)
    if not found.exists():
        raise UsageError(f"--events: there is no {path}; {_SHOWN}")
    if found.is_dir():
        files = sorted(one for one in found.iterdir() if one.is_file() and one.name[0] not in "._")
        if not files:
            raise UsageError(f"--events: the folder {path} has no file; {_SHOWN}")
        return files
    if not found.is_file():
        raise UsageError(f"--events: {path} is a pipe or a device; write its bytes to a file first")
    return [found]


def _event(file: Path) -> dict[str, Any] | None:
    """A file's event; None where it holds something else."""
    try:
        with file.open("rb") as opened:
            if file.suffix.lower() != ".json" or opened.read(64).lstrip()[:1] != b"{":
                return None
            found = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"--events: cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError):  # lines, perhaps
        return None
    records = found.get("Records") if isinstance(found, dict) else None
    return found if isinstance(records, list) else None


def _recorded(events: list[tuple[Path, dict[str, Any]]], source: str | None) -> Events:
    sources = {file: _source_of(event, file) for file, event in events}
    found = sorted(set(sources.values()))
    if len(found) > 1:
        shown = ", ".join(f"{file.name} of {one}" for file, one in sources.items())
        raise UsageError(f"--events has events of several sources ({shown}): a function has one; name its file")
    if source not in (None, found[0]):
        raise UsageError(f"--source is {source}, but the events are of {found[0]}; leave it out")
    return Events(found[0], tuple(event for _, event in events), {}, True)


def _source_of(event: Mapping[str, Any], file: Path) -> str:
    records = event["Records"]
    first = records[0] if records and isinstance(records[0], dict) else {}
    source = _SOURCES.get(str(first.get("eventSource")))
    if source is None:
        raise UsageError(f"{file}: Records[0] has the eventSource {first.get('eventSource')!r}; {_SHOWN}")
    return source


def _records(files: list[Path], pipeline: Any) -> Iterator[bytes]:
    """The records of data files, as the pipeline's input reads them; of CSV with a header, each with its own."""
    from millstream.decode.chunks import read_chunks, settings_of

    settings = settings_of(pipeline.input)
    for file in files:
        for chunk in read_chunks(FileSource(file), **settings):
            for position in range(chunk.payloads.count):
                header = chunk.header(position)
                payload = bytes(chunk.payload(position))
                yield payload if header is None else header.rstrip(b"\r\n") + b"\n" + payload


# --- events that are made ------------------------------------------------------------------------------------------------


def _kinesis(records: list[bytes], first: int) -> dict[str, Any]:
    from millstream.local.emulator.shards import FIRST, Record, event_record

    stream, role = f"arn:aws:kinesis:{_ACCOUNT}:stream/rightsize", "arn:aws:iam::123456789012:role/lambda-role"
    draw = Random(first)  # noqa: S311 (the same events each time)
    return {
        "Records": [
            event_record(
                Record("shardId-000000000000", str(FIRST + ((first + i) << 20)), _uuid(draw), one, _START + (first + i) / 1000),
                stream,
                role,
            )
            for i, one in enumerate(records)
        ]
    }


def _sqs(records: list[bytes], first: int) -> dict[str, Any]:
    from millstream.local.emulator.messages import Message, event_message

    draw = Random(first)  # noqa: S311 (the same events each time)
    made = []
    for i, one in enumerate(records):
        try:
            body = one.decode()
        except UnicodeDecodeError:
            raise UsageError(f"record {first + i} is no UTF-8 text, which a message of SQS has to be") from None
        sent = _START + (first + i) / 1000
        message = Message(_uuid(draw), body, sent, receives=1, first_received=sent, receipt=_uuid(draw) * 8)
        made.append(event_message(message, f"arn:aws:sqs:{_ACCOUNT}:rightsize"))
    return {"Records": made}


def _notification(key: str, file: Path) -> dict[str, Any]:
    tag = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    told = {"key": quote_plus(key, safe="/"), "size": file.stat().st_size, "eTag": tag}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": "us-east-1"}
    return {"Records": [{**record, "s3": {"bucket": {"name": SOURCE}, "object": told}}]}


def _uuid(draw: Random) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


# --- events that come again ----------------------------------------------------------------------------------------------


def _renewed(event: dict[str, Any], source: str, number: int) -> dict[str, Any]:
    """An event as another delivery."""
    return {**event, "Records": [_RENEWED[source](record, number) for record in event["Records"]]}


def _again_kinesis(record: Any, number: int) -> Any:
    told: Any = record.get("kinesis") if isinstance(record, dict) else None
    sequence = told.get("sequenceNumber") if isinstance(told, dict) else None
    if not isinstance(sequence, str) or not sequence.isdigit() or len(sequence) > 100:
        return record  # the handler tells what is wrong with it
    new = str(int(sequence) + (number << 80))
    shard = str(record.get("eventID")).partition(":")[0]
    return {**record, "kinesis": {**told, "sequenceNumber": new}, "eventID": f"{shard}:{new}"}


def _again_sqs(record: Any, number: int) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get("messageId"), str):
        return record
    return {**record, "messageId": f"{record['messageId']}-{number}"}


def _again_s3(record: Any, number: int) -> Any:
    told: Any = record.get("s3") if isinstance(record, dict) else None
    named = told.get("object") if isinstance(told, dict) else None
    if not isinstance(named, dict):
        return record
    kept = {key: value for key, value in named.items() if key != "versionId"}
    return {**record, "s3": {**told, "object": {**kept, "eTag": f"{str(named.get('eTag', ''))[:24]}{number:08x}"}}}


_RENEWED = {"kinesis": _again_kinesis, "sqs": _again_sqs, "s3": _again_s3}
