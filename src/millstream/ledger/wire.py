"""One signed request to DynamoDB over a connection that stays open: what the ledger asks twice a batch.

botocore's client takes a millisecond or more for what takes a tenth of it here. It still says where to, by whom and for how long, and makes
all requests that are unusual: docs/decisions/0031-the-ledgers-requests.md. Errors are botocore's, so that `millstream.sinks.retry` judges
them as it does any other; no request is made twice here.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import ssl
import time
from collections.abc import Mapping
from hmac import digest
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from millstream import clock
from millstream._version import __version__
from millstream.ledger.answer import Answer, LostError, receive
from millstream.sinks import clients

_TYPE = "application/x-amz-json-1.0"


class Keys(NamedTuple):
    """Who asks. token: empty where the credentials have none."""

    access: str
    secret: str
    token: str = ""


class _Day(NamedTuple):
    """What is the same in all requests of a day. texts: by operation, what stands around a request's time and its signature."""

    keys: Keys
    day: str
    key: bytes
    scope: str
    texts: dict[str, tuple[str, str, str, str]]


class Signer:
    """Signs requests to one place: Signature Version 4 of `POST /` with the headers that DynamoDB asks for, and no others."""

    def __init__(self, host: str, region: str) -> None:
        self.host, self.region = host, region
        self._known: _Day | None = None

    def head(self, keys: Keys, now: float, operation: str, body: bytes) -> str:
        """The request's head, with the empty line behind it."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        known = self._known
        if known is None or known.keys != keys or known.day != stamp[:8]:
            known = self._known = self._of_day(keys, stamp[:8])
        texts = known.texts.get(operation)
        if texts is None:
            texts = known.texts[operation] = self._texts(known, operation)
        before, behind, head, rest = texts
        asked = f"{before}{stamp}{behind}{hashlib.sha256(body).hexdigest()}"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{known.scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        signature = digest(known.key, text.encode(), "sha256").hex()
        return f"{head}{stamp}{rest}{signature}\r\nContent-Length: {len(body)}\r\n\r\n"

    def _of_day(self, keys: Keys, day: str) -> _Day:
        key = f"AWS4{keys.secret}".encode()
        for part in (day, self.region, "dynamodb", "aws4_request"):
            key = digest(key, part.encode(), "sha256")
        return _Day(keys, day, key, f"{day}/{self.region}/dynamodb/aws4_request", {})

    def _texts(self, known: _Day, operation: str) -> tuple[str, str, str, str]:
        """Before and behind the time in what is signed; before it in the head, and from there to the signature."""
        keys, target = known.keys, f"DynamoDB_20120810.{operation}"
        token = names = sent = ""
        if keys.token:
            token, names = f"x-amz-security-token:{keys.token}\n", "x-amz-security-token;"
            sent = f"X-Amz-Security-Token: {keys.token}\r\n"
        names = f"content-type;host;x-amz-date;{names}x-amz-target"
        return (
            f"POST\n/\n\ncontent-type:{_TYPE}\nhost:{self.host}\nx-amz-date:",
            f"\n{token}x-amz-target:{target}\n\n{names}\n",
            (
                f"POST / HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: millstream/{__version__}\r\nContent-Type: {_TYPE}\r\n"
                f"X-Amz-Target: {target}\r\nX-Amz-Date: "
            ),
            f"\r\n{sent}Authorization: AWS4-HMAC-SHA256 Credential={keys.access}/{known.scope}, SignedHeaders={names}, Signature=",
        )


class Wire:
    """What asks DynamoDB at one endpoint. For all threads: each request has a connection of its own, which is used again.

    authority: a file of certificates, where the endpoint is https.
    """

    def __init__(self, url: str, region: str, authority: str | None, connect_seconds: float, read_seconds: float) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.url, self.name = url, parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        is_usual = self.port == (443 if parts.scheme == "https" else 80)
        self.signer = Signer(self.name if is_usual else f"{self.name}:{self.port}", region)
        self.connect_seconds, self.read_seconds = connect_seconds, read_seconds
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = ssl.create_default_context(cafile=authority)  # which verifies, names too
        self._idle: list[tuple[socket.socket, select.poll]] = []
        self._process = os.getpid()

    def ask(self, operation: str, request: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
        """DynamoDB's answer. Raises the errors of botocore's client."""
        body = orjson.dumps(request)
        message = self.signer.head(keys, clock.now(), operation, body).encode("ascii") + body
        answer = self._exchange(message)
        try:
            told: Any = orjson.loads(answer.body)
        except ValueError:
            told = None
        if answer.status >= 300:
            raise _refusal(answer, told if isinstance(told, dict) else {}, operation)
        if not isinstance(told, dict):
            raise ConnectionClosedError(endpoint_url=self.url)
        return told

    def close(self) -> None:
        """End the connections that nobody uses."""
        while self._idle:
            self._idle.pop()[0].close()

    def _exchange(self, message: bytes) -> Answer:
        found = self._taken()
        one, watch = self._connected() if found is None else found
        keeps = False
        try:
            if one.gettimeout() != self.read_seconds:
                one.settimeout(self.read_seconds)
            one.sendall(message)
            answer = receive(one, self.read_seconds)
            keeps = answer.keeps and len(self._idle) < clients.CONNECTIONS
        except TimeoutError:
            raise ReadTimeoutError(endpoint_url=self.url) from None
        except (OSError, LostError):
            self.close()  # the others are as old
            raise ConnectionClosedError(endpoint_url=self.url) from None
        finally:
            if not keeps:
                one.close()
        self._idle.append((one, watch))
        return answer

    def _taken(self) -> tuple[socket.socket, select.poll] | None:
        """A connection that is idle and open, as far as can be told."""
        if self._process != os.getpid():  # after a fork they are the parent's
            self.close()
            self._process = os.getpid()
        while self._idle:
            try:
                found = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if not found[1].poll(0):
                return found
            found[0].close()  # nothing was asked, so what came is its end
        return None

    def _connected(self) -> tuple[socket.socket, select.poll]:
        one: socket.socket | None = None
        try:
            one = socket.create_connection((self.name, self.port), self.connect_seconds)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                one = self._context.wrap_socket(one, server_hostname=self.name)
        except OSError as error:
            if one is not None:
                one.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError(endpoint_url=self.url) from None
            if isinstance(error, ssl.SSLError):
                raise SSLError(endpoint_url=self.url, error=error) from None
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from None
        watch = select.poll()
        watch.register(one, select.POLLIN)
        return one, watch


def _refusal(answer: Answer, told: dict[str, Any], operation: str) -> ClientError:
    """An answer that is an error, as botocore's client tells it."""
    code, message = told.pop("__type", ""), told.pop("message", told.pop("Message", ""))
    code = code.split(":")[0].rpartition("#")[2] if isinstance(code, str) else ""
    about = {
        "RequestId": answer.headers.get("x-amzn-requestid", ""),
        "HTTPStatusCode": answer.status,
        "HTTPHeaders": answer.headers,
        "RetryAttempts": 0,
    }
    response = {**told, "Error": {"Code": code or str(answer.status), "Message": str(message)}, "ResponseMetadata": about}
    return ClientError(response, operation)
