"""Which way a request to DynamoDB goes: by a `Wire` where all is usual, else by botocore's client.

Usual is a client of botocore's own that nobody listens in on, static settings that `Wire` knows all of, and credentials that can stand in
a header. What cannot be told counts as unusual: botocore keeps some of it to itself, and may keep it elsewhere one day.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

from botocore.client import BaseClient
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from millstream.ledger.wire import Keys, Wire
from millstream.sinks import clients

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]", re.ASCII)
_HEADER = re.compile(r"[!-~]+", re.ASCII)
_OPERATIONS = {"get_item": "GetItem", "put_item": "PutItem"}

_last: tuple[Any, Wire | None] = None, None
"""The client that was asked for last, and its wire."""


def ask(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """An answer of DynamoDB's to an operation, as a client names it. Raises the errors of botocore's client."""
    client = clients.client("dynamodb")
    name = _OPERATIONS.get(operation)
    wire = None if name is None else wire_of(client, name)
    keys = None if wire is None else _keys()
    if name is None or wire is None or keys is None:
        found: dict[str, Any] = getattr(client, operation)(**request)
        return found
    return wire.ask(name, request, keys)


def wire_of(client: Any, operation: str) -> Wire | None:
    """A client's wire; None where its requests of this kind go by itself. It is made once, and closed when there is another client."""
    global _last
    known, wire = _last
    if known is not client:
        if wire is not None:
            wire.close()
        wire = _made(client)
        _last = client, wire
    return None if wire is None or _is_watched(client, operation) else wire


def _made(client: Any) -> Wire | None:
    if not isinstance(client, BaseClient):
        return None
    config, url = client.meta.config, client.meta.endpoint_url
    try:
        parts = urlsplit(url)
        verify = client._endpoint.http_session._verify  # as AWS_CA_BUNDLE, a profile or REQUESTS_CA_BUNDLE tell it
        usual = (
            parts.scheme in ("http", "https")
            and _HOST.fullmatch(parts.netloc.partition(":")[0]) is not None
            and parts.port != 0
            and url.rstrip("/") == f"{parts.scheme}://{parts.netloc}"
            and _REGION.fullmatch(client.meta.region_name) is not None
            and config.signature_version == "v4"
            and not (config.use_fips_endpoint or config.use_dualstack_endpoint or config.client_cert)
            and not get_environ_proxies(url).keys() - {"no"}  # NO_PROXY is among them
        )
    except (AttributeError, TypeError, ValueError):
        return None
    authority = get_cert_path(verify)
    if not usual or not (isinstance(authority, str) and os.path.isfile(authority)):
        return None
    try:
        return Wire(url, client.meta.region_name, authority, config.connect_timeout, config.read_timeout)
    except OSError:  # no certificates are in that file: botocore tells it
        return None


def _is_watched(client: Any, operation: str) -> bool:
    """Does somebody answer in DynamoDB's place, as moto does, or see each call, as tracers do?"""
    call: Any = BaseClient._make_api_call
    try:
        if type(call) is not FunctionType or not call.__globals__["__name__"].startswith("botocore."):
            return True
        return bool(client.meta.events._emitter._handlers.prefix_search(f"before-send.dynamodb.{operation}"))
    except (AttributeError, KeyError):
        return True


def _keys() -> Keys | None:
    """The credentials of now; None where botocore has to say what is wrong, or to find another endpoint by them."""
    credentials = clients.credentials()
    if credentials is None:
        return None
    found = credentials.get_frozen_credentials()
    return _keys_of(found.access_key or "", found.secret_key or "", found.token or "", getattr(found, "account_id", None))


@lru_cache(1)
def _keys_of(access: str, secret: str, token: str, account: str | None) -> Keys | None:
    keys = Keys(access, secret, token)
    # botocore may ask an endpoint of the account's. What no header can hold, it refuses in its own way.
    usual = not account and access and all(_HEADER.fullmatch(one) for one in keys if one)
    return keys if usual else None
