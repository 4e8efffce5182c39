"""An HTTP answer, read off a connection that stays open behind it."""

from __future__ import annotations

import http.client
import io
import socket
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

MOST_BYTES = 16 << 20
"""No answer is longer: an item has 400 KB at most."""
_HEAD_BYTES = 64 << 10
_RECORD = 16 << 10
"""What TLS gives at once."""


class Answer(NamedTuple):
    """headers: their names in small letters. keeps: is the connection of use for another request?"""

    status: int
    headers: dict[str, str]
    body: bytes
    keeps: bool


class LostError(Exception):
    """What came is no answer, or not all of it."""


def receive(one: socket.socket, seconds: float) -> Answer:
    """The answer that comes next, which may take so long in all. Raises OSError, TimeoutError among them, and LostError."""
    until = time.monotonic() + seconds

    def more() -> bytes:
        one.settimeout(max(0.001, until - time.monotonic()))
        return one.recv(_RECORD)

    data = one.recv(_RECORD)
    while (end := data.find(b"\r\n\r\n")) < 0:
        came = more()
        if not came or len(data) > _HEAD_BYTES:
            raise LostError
        data += came
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if headers.setdefault(name := name.lower(), value := value.strip()) != value:
            headers[name] += f", {value}"
    length = headers.get("content-length", "")
    status = first[9:12]
    usual = first.startswith("HTTP/1.1 ") and status.isdecimal() and first[12:13] in ("", " ") and status[0] in "2345"
    if not usual or not (length.isdecimal() and length.isascii()) or "transfer-encoding" in headers:
        return _checked(_unusual(data, more))
    size = int(length) if len(length) < 12 else MOST_BYTES + 1
    if size > MOST_BYTES:
        raise LostError
    pieces, left = [data[end + 4 :]], size - (len(data) - end - 4)
    while left > 0:
        came = more()
        if not came:
            raise LostError
        pieces.append(came)
        left -= len(came)
    keeps = left == 0 and headers.get("connection", "keep-alive").lower() == "keep-alive"
    return _checked(Answer(int(status), headers, b"".join(pieces)[:size], keeps))


def _checked(answer: Answer) -> Answer:
    """DynamoDB tells the checksum of each body. Raises LostError where it is another one."""
    told = answer.headers.get("x-amz-crc32")
    if told is not None and told != str(zlib.crc32(answer.body)):
        raise LostError
    return answer


def _unusual(data: bytes, more: Callable[[], bytes]) -> Answer:
    """The same by Python's own client: chunks, interim answers, an end that is the connection's. What stands in for DynamoDB may do so."""
    response = http.client.HTTPResponse(_Rest(data, more), method="POST")  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read(MOST_BYTES + 1)
    except (http.client.HTTPException, ValueError):
        raise LostError from None
    if len(body) > MOST_BYTES or response.length:
        raise LostError
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body, False)


class _Rest(io.RawIOBase):
    """What came, then what else comes: the part of a socket that `HTTPResponse` uses."""

    def __init__(self, data: bytes, more: Callable[[], bytes]) -> None:
        self._data, self._more = data, more

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, out: memoryview) -> int:  # type: ignore[override]
        if not self._data:
            self._data = self._more()
        part, self._data = self._data[: len(out)], self._data[len(out) :]
        out[: len(part)] = part
        return len(part)
