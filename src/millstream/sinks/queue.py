"""Rejected records as messages of an SQS queue."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow as pa

from millstream.errors import SettingsError, SinkError
from millstream.sinks.clients import client
from millstream.sinks.origin import Origin
from millstream.sinks.retry import Again, Backoff, retry

MESSAGE_BYTES = 1_048_576
"""What SQS takes in a message, and in all messages of a batch together."""
BATCH_MESSAGES = 10
BINARY = ("payload", "context")
"""Columns of bytes: as text if they are UTF-8, else as base64; `<column>_encoding` says which."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REGION = re.compile(r"(?:^|\.)sqs(?:-fips)?\.([a-z]+(?:-[a-z]+)+-\d+)\.|^([a-z]+(?:-[a-z]+)+-\d+)\.queue\.", re.ASCII)
_THROTTLED = re.compile("throttl|slowdown", re.IGNORECASE)


class QueueRejects:
    """Rejects as messages of one queue, a record each."""

    def __init__(self, url: str, *, backoff: Backoff | None = None) -> None:
        self.url = url
        self._queue = url.removeprefix("sqs+")
        self._fifo = self._queue.endswith(".fifo")
        found = _REGION.search(urlsplit(self._queue).hostname or "")
        self._region = found and (found[1] or found[2])
        self._backoff = backoff or Backoff()

    def load(self) -> None:
        client("sqs", self._region)

    def write(self, batch: pa.RecordBatch, origin: Origin, fingerprint: str, until: float) -> None:
        """Send rejects (in their stored form). Raises SinkError: some may have been sent then, and come again.

        A FIFO queue drops those that come again within five minutes.
        """
        # Without its zone: for UTC too pyarrow asks the system's list of zones, which a function's system may not have.
        place = batch.schema.get_field_index("arrived_at")
        plain = batch.set_column(place, "arrived_at", batch.column(place).view(pa.timestamp("ms")))
        entries = [self._entry(number, row, origin) for number, row in enumerate(plain.to_pylist())]
        for group in _batches(entries):
            self._send(group, until)

    def _entry(self, number: int, row: dict[str, Any], origin: Origin) -> dict[str, str]:
        body = message(row)
        size = len(body.encode())
        if size > MESSAGE_BYTES:
            raise SinkError(
                f"cannot send to {self.url}: the rejected record at position {row['position']} makes a message of {size:,} bytes, "
                f"and SQS takes {MESSAGE_BYTES:,}; write rejects to s3://bucket/prefix/ instead"
            )
        entry = {"Id": str(number), "MessageBody": body}
        if self._fifo:
            source = origin.source
            plain = re.fullmatch(r"[!-~]{1,128}", source, re.ASCII)
            entry["MessageGroupId"] = source if plain else hashlib.sha256(source.encode()).hexdigest()
            entry["MessageDeduplicationId"] = hashlib.sha256(f"{origin.base}/{row['position']}".encode()).hexdigest()
        return entry

    def _send(self, entries: list[dict[str, str]], until: float) -> None:
        waiting = {entry["Id"]: entry for entry in entries}

        def attempt() -> None:
            answer = client("sqs", self._region).send_message_batch(QueueUrl=self._queue, Entries=list(waiting.values()))
            for one in answer.get("Successful", ()):
                waiting.pop(one["Id"], None)
            codes: dict[str, None] = {}
            for one in answer.get("Failed", ()):
                code = re.sub(r"[^\w.-]", "", one.get("Code", ""), flags=re.ASCII)
                codes[code] = None
                if one.get("SenderFault") and not _THROTTLED.search(code):
                    raise SinkError(
                        f"{doing}: the queue does not take a message ({code}); look at its MaximumMessageSize and its KMS key, "
                        "or write rejects to s3://bucket/prefix/ instead"
                    )
            if waiting:
                raise Again(f"{len(waiting)} of {len(entries)} messages were not taken ({', '.join(codes) or 'no reason'})")

        doing = f"cannot send to {self.url}"
        retry(attempt, self._backoff, until, doing=doing, action="sqs:SendMessage")


def message(row: dict[str, Any]) -> str:
    """One stored reject as JSON."""
    for name in BINARY:
        value, how = row[name], None
        if value is not None:
            try:
                value, how = value.decode(), "utf-8"
            except UnicodeDecodeError:
                value, how = base64.b64encode(value).decode(), "base64"
        row = {**row, name: value, f"{name}_encoding": how}
    text = orjson.dumps(row, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC).decode()
    # Both are characters of JSON and not of XML, which SQS holds to.
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _batches(entries: Iterable[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    group: list[dict[str, str]] = []
    size = 0
    for entry in entries:
        own = len(entry["MessageBody"].encode())
        if group and (len(group) == BATCH_MESSAGES or size + own > MESSAGE_BYTES):
            yield group
            group, size = [], 0
        group.append(entry)
        size += own
    if group:
        yield group


def check_queue(url: str, what: str) -> None:
    """Raise SettingsError for what is no URL of a queue."""
    try:
        parts = urlsplit(url.removeprefix("sqs+"))
        host = parts.hostname
        parts.port  # noqa: B018 - raises ValueError
    except ValueError:
        host = None
    names = [] if host is None else parts.path.split("/")[1:]
    good = host is not None and parts.scheme in ("https", "http") and len(names) >= 2 and all(names)
    if not good or parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingsError(f"{what} is {url!r}; write sqs+https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE, the queue's URL")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise SettingsError(f"{what} is {url!r}: records are sent without encryption only on this machine; write sqs+https://")
