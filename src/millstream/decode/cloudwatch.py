"""Subscriptions of CloudWatch Logs: one compressed payload holds the events of one log stream."""

from __future__ import annotations

import orjson

from millstream.columns import Vector
from millstream.decode.framing import Fault
from millstream.decode.json import JsonDecoder
from millstream.decode.payloads import Payloads
from millstream.native.bind import kernels
from millstream.native.memory import allocate, from_bytes
from millstream.schema import Code, Schema

SUBSCRIPTION = b'{"messageType":"'
"""How the text of a subscription's payload starts."""

_OWN = ("owner", "logGroup", "logStream")
_FIELDS = Schema({"messageType": "string", **dict.fromkeys(_OWN, "string"), "logEvents": "list<json>"})
_KEPT = 4096


def log_events(text: bytes, max_bytes: int) -> Payloads | Fault:
    """Each log event as a record: the event's own keys behind owner, logGroup and logStream. A control message has none.

    max_bytes: so much may be put before the events, for what a sender writes once is there as often as there are events.
    """
    decoded = JsonDecoder(tuple(_FIELDS.values())).decode(Payloads.of_records([text]))
    if decoded.rejects:
        return Fault(decoded.rejects[0].code, decoded.rejects[0].message, text[:_KEPT])
    columns = decoded.columns
    kind = _text(columns["messageType"])
    if kind == "CONTROL_MESSAGE":
        return Payloads.of_records([])
    events = columns["logEvents"].children[0]
    if kind != "DATA_MESSAGE" or columns["logEvents"].valid is not None or events.valid is not None or events.data is None:
        return Fault(Code.BAD_VALUE, "this is no message of a CloudWatch Logs subscription", text[:_KEPT])
    prefix = orjson.dumps({name: _text(columns[name]) for name in _OWN})[:-1] + b","
    added = events.length * (len(prefix) + 1)
    if added > max_bytes:
        message = f"owner, logGroup and logStream take more than {max_bytes:,} bytes, once in each log event; none is read"
        return Fault(Code.TOO_LARGE, message, text[:_KEPT])
    starts, ends = allocate(events.length, 8), allocate(events.length, 8)
    out = allocate(added + len(text), 1)
    end = kernels.prepend_text(from_bytes(prefix), events.data, events.values, 0, out, starts, ends)
    return Payloads(out, end, starts, ends, end)


def _text(column: Vector) -> str | None:
    if column.valid is not None or column.data is None:
        return None
    (view,) = column.values.tolist()
    return column.data.part(view & 0xFFFFFFFF, view >> 32, 1).tobytes().decode()
