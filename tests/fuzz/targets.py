"""What is fuzzed: each target draws one input from a seeded generator, and judges what became of an input by another's word.

A judge returns None when all is well, else what is wrong in words. Findings are files in `findings/<target>/`, which
`test_findings.py` judges again in every test run.
"""

from __future__ import annotations

import io
import math
import random
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from millstream.decode.framing import Text, frame
from millstream.decode.json import decode_json
from millstream.schema import Column
from tests.decode.test_framing import objects
from tests.decode.test_json import KNOWN, accepted, corrupted, expected, huge_number, nearest_single, same
from tests.fuzz.csv import draw_csv, judge_csv
from tests.fuzz.deliveries import draw_aggregate, draw_event, draw_payload, judge_aggregate, judge_event, judge_payload
from tests.fuzz.functions import draw_text, judge_text
from tests.fuzz.groups import draw_groups, judge_groups
from tests.fuzz.lookups import draw_address, draw_join, draw_range, judge_address, judge_join, judge_range
from tests.fuzz.nested import draw_nested, judge_nested
from tests.fuzz.parquet import draw_columns, judge_columns

Draw = random.Random
NEIGHBOUR = b'{"i":7,"f":0.5,"s":"\\u00e9 fine","b":true,"o":{"n":"x"}}'


class Target(NamedTuple):
    """One thing to fuzz: how an input is drawn, and how its outcome is judged."""

    draw: Callable[[Draw], bytes]
    judge: Callable[[bytes], str | None]


def tree(draw: Draw, depth: int) -> Any:
    kind = draw.randrange(9 if depth else 6)
    if kind == 0:
        return None
    if kind == 1:
        return draw.random() < 0.5
    if kind == 2:
        return draw.choice([0, -1, 2**63 - 1, -(2**63), 2**64 - 1, draw.randrange(-(10**6), 10**6)])
    if kind == 3:
        return draw.choice([0.1, 1e300, -2.5e-8, 3.0, draw.random() * 10 ** draw.randrange(-20, 20)])
    if kind in (4, 5):
        return "".join(draw.choice('ab"\\\n\t\u20acé😀\x7f/ {}[]:,') for _ in range(draw.randrange(0, 90)))
    if kind in (6, 7):
        keys = ["i", "f", "s", "b", "o", "n", "k" * draw.randrange(1, 40), "é", ""]
        return {draw.choice(keys): tree(draw, depth - 1) for _ in range(draw.randrange(6))}
    return [tree(draw, depth - 1) for _ in range(draw.randrange(5))]


def draw_record(draw: Draw) -> bytes:
    value = tree(draw, 4)
    text = orjson.dumps(value if isinstance(value, dict) else {"x": value})
    return corrupted(text, draw) if draw.random() < 0.9 else text


def judge_record(record: bytes) -> str | None:
    """Accepted or not as by orjson; neighbours as ever; with wanted columns never more is accepted, and values are orjson's."""
    batch, rejects = decode_json([NEIGHBOUR, record, NEIGHBOUR], {"nothing": "int64"})
    batch.validate(full=True)
    valid = rejects.num_rows == 0
    if valid != accepted(record) and not huge_number(record) and b"\\ud" not in record.lower():
        return f"{'accepted' if valid else 'rejected'}, orjson says otherwise"
    batch, rejects = decode_json([NEIGHBOUR, record, NEIGHBOUR], KNOWN)
    batch.validate(full=True)
    rows = batch.to_pylist()
    fine = expected(orjson.loads(NEIGHBOUR))
    if rows[0] != fine or rows[-1] != fine or batch.num_rows + rejects.num_rows != 3:
        return "a neighbour was changed"
    if rejects.num_rows:
        return None
    if not valid:
        return "accepted with columns, rejected without"
    try:
        wanted = orjson.loads(record)
    except orjson.JSONDecodeError:
        return None
    nested = wanted.get("o")
    row = expected({**wanted, "o": nested if isinstance(nested, dict) else {}})
    # A float column takes integers; an integer column takes integral floats.
    number = row["f"]
    row["f"] = float(number) if isinstance(number, int) and not isinstance(number, bool) else number
    whole = rows[1]["i"]
    if isinstance(row["i"], float) and whole is not None and float(whole) == row["i"]:
        row["i"] = whole  # with an exponent orjson reads a float, which may be rounded
    return None if same(rows[1], row) or rows[1] == row else "values differ from orjson's"


def draw_number(draw: Draw) -> bytes:
    kind = draw.randrange(5)
    if kind == 0:
        text = repr(struct.unpack("d", struct.pack("Q", draw.getrandbits(64)))[0])
    elif kind == 1:
        text = f"{draw.getrandbits(draw.randrange(1, 130))}e{draw.randrange(-400, 320)}"
    elif kind == 2:
        text = f"{draw.randrange(10**6)}.{'0' * draw.randrange(40)}{draw.getrandbits(draw.randrange(1, 90))}"
    elif kind == 3:  # beside the middle between two floats
        low = struct.unpack("d", struct.pack("Q", draw.randrange(1, 0x7FE0000000000000)))[0]
        exact = f"{(low + math.nextafter(low, math.inf)) / 2:.1f}" if abs(low) > 1e17 else f"{low:.60e}"
        text = exact + draw.choice(["", "1", "0000000001"]) if "e" not in exact else exact
    else:
        text = "".join(draw.choice("0123456789.eE+-") for _ in range(draw.randrange(1, 12)))
    return text.encode()


def judge_number(text: bytes) -> str | None:
    """float64 and float32 as Python and exact fractions have them; integers as Python's."""
    record = b'{"a":' + text + b"}"
    valid = accepted(record) or huge_number(record)
    for kind, nearest in (("float64", float), ("float32", nearest_single)):
        batch, rejects = decode_json([record], {"a": kind})
        if valid and abs(_exponent(text)) < 5000:
            wanted = nearest(text.decode())
            got = batch["a"].to_pylist()
            if math.isfinite(wanted) and [struct.pack("d", one) for one in got] != [struct.pack("d", wanted)]:
                return f"{kind} is {got}, not {wanted}"
            if not math.isfinite(wanted) and rejects["code"].to_pylist() != ["OUT_OF_RANGE"]:
                return f"{kind} beyond range was {got}"
        elif not valid and rejects.num_rows != 1:
            return f"{kind}: no number, but {batch.to_pylist()}"
    return None


def _exponent(text: bytes) -> int:
    tail = text.lower().partition(b"e")[2]
    return int(tail) if tail.lstrip(b"+-").isdigit() else 0


def draw_time(draw: Draw) -> bytes:
    moment = datetime(1, 1, 2) + timedelta(microseconds=draw.randrange(3 * 10**17))
    text = moment.isoformat(sep=draw.choice("T tx"), timespec=draw.choice(["seconds", "milliseconds", "microseconds"]))
    text += draw.choice(["Z", "z", "", "+00:00", "-23:59", f"+{draw.randrange(30):02d}:{draw.randrange(70):02d}"])
    letters = list(text)
    for _ in range(draw.randrange(3)):
        letters[draw.randrange(len(letters))] = draw.choice("0123456789-:.TZ+ ")
    return "".join(letters).encode()


def judge_time(text: bytes) -> str | None:
    """ISO 8601 with an offset is taken, with the value that Python's datetime has, and nothing else."""
    batch, rejects = decode_json([orjson.dumps({"a": text.decode()})], {"a": "timestamp[us, UTC]"})
    wanted = _instant(text.decode())
    got = batch["a"].cast("int64").to_pylist()
    if wanted is None:
        return None if rejects["code"].to_pylist() == ["BAD_TIME"] else f"no time, but {got}"
    return None if got == [wanted] else f"{got}, not {wanted}"


_OFFSET = r"(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)"
_EXTENDED = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?" + _OFFSET, re.ASCII)
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)[Tt](\d\d)(?:(\d\d)(?:(\d\d)(?:[.,](\d+))?)?)?" + _OFFSET, re.ASCII)


def _instant(text: str) -> int | None:
    """Microseconds since 1970 by a slow reading of ISO 8601 with an offset, or None."""
    found = _EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(one or 0) for one in found.groups()[:6])
    fraction, sign, off_hour, off_minute = found.groups()[6:]
    if sign and (int(off_hour) > 23 or int(off_minute or 0) > 59):
        return None
    stand_in = 2000 + year % 400  # datetime has no year 0, and the calendar repeats after 400 years
    try:
        moment = datetime(stand_in, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) + (year - stand_in) // 400 * 146097 * 86400
    if sign:
        offset = (int(off_hour) * 60 + int(off_minute or 0)) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * 10**6 + int((fraction or "0")[:6].ljust(6, "0"))


def draw_lines(draw: Draw) -> bytes:
    pieces = [draw_record(draw) if draw.random() < 0.7 else b'{"i":%d}' % draw.randrange(100) for _ in range(draw.randrange(8))]
    return b"".join(piece + draw.choice([b"\n", b"\r\n", b"\n\n", b" \n", b"\n\t\n"]) for piece in pieces)[
        : draw.choice([None, -1, -2])
    ]


def judge_lines(data: bytes) -> str | None:
    """Lines give what their records give one by one."""
    schema = {"i": Column("int64", on_error="null"), "s": Column("string", on_error="null")}
    batch, rejects = decode_json(data, schema)
    records = [line for line in data.split(b"\n") if line.strip(b" \t\r")]
    alone, refused = decode_json(records, schema)
    if not batch.equals(alone):
        return "rows differ from the records' own"
    if (
        rejects["position"].to_pylist() != refused["position"].to_pylist()
        or rejects["code"].to_pylist() != refused["code"].to_pylist()
    ):
        return "rejects differ from the records' own"
    return None


def draw_objects(draw: Draw) -> bytes:
    """A chunk size in one byte, then objects that stand close, apart or over several lines, some of them broken."""
    options = [0, orjson.OPT_INDENT_2]
    pieces = [
        draw_record(draw) if draw.random() < 0.5 else orjson.dumps({"i": tree(draw, 3)}, option=draw.choice(options))
        for _ in range(draw.randrange(8))
    ]
    text = b"".join(piece + draw.choice([b"", b"", b" ", b"\n", b"\r\n\n"]) for piece in pieces)
    return bytes([draw.randrange(1, 256)]) + text


class _Bytes(io.BytesIO):
    """A stream without a fault."""

    fault = None


def judge_objects(data: bytes) -> str | None:
    """The records are those of the rules, read byte by byte, for chunks of a size and for one chunk."""
    text = data[1:].removeprefix(b"\xef\xbb\xbf")
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    for size in (max(1, sum(data[:1])), 1 << 20):
        stream: Any = _Bytes(data[1:])
        found = [
            piece.payloads.payload(i)
            for piece in frame(Text(stream), "concatenated", size, 1 << 20)
            for i in range(piece.payloads.count)
        ]
        if found != objects(text):
            return f"other records in chunks of {size}"
    return None


TARGETS = {
    "record": Target(draw_record, judge_record),
    "number": Target(draw_number, judge_number),
    "time": Target(draw_time, judge_time),
    "lines": Target(draw_lines, judge_lines),
    "objects": Target(draw_objects, judge_objects),
    "nested": Target(draw_nested, judge_nested),
    "text": Target(draw_text, judge_text),
    "event": Target(draw_event, judge_event),
    "aggregate": Target(draw_aggregate, judge_aggregate),
    "payload": Target(draw_payload, judge_payload),
    "parquet": Target(draw_columns, judge_columns),
    "csv": Target(draw_csv, judge_csv),
    "join": Target(draw_join, judge_join),
    "range": Target(draw_range, judge_range),
    "address": Target(draw_address, judge_address),
    "groups": Target(draw_groups, judge_groups),
}
