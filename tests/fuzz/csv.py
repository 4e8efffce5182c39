"""CSV of any dialect, hostile bytes among it: judged by a reference that reads byte by byte, and by Python's own numbers."""

from __future__ import annotations

import random
import re
from decimal import Decimal

from millstream.decode.chunks import read_chunks
from millstream.decode.compression import BytesSource
from millstream.decode.csv import decode_csv
from millstream.decode.csv_framing import split_texts
from millstream.decode.dialect import Dialect
from millstream.decode.payloads import Payloads
from tests.decode import csv_reference

Draw = random.Random

DIALECTS = (
    {},
    {"comment": "#", "null_values": ["", "NA", "-1"]},
    {"delimiter": ";", "quote": "'", "escape": "\\", "ragged": "fit"},
    {"escape": "\\", "comment": "#", "ragged": "pad", "encoding": "latin-1"},
    {"delimiter": "\t", "quote": None, "ragged": "truncate"},
    {"delimiter": "|", "encoding": "latin-1", "null_values": []},
)
_CELLS = (
    "", "NA", "-1", "1", " 12 ", "+7", "007", ".5", "5.", "1e5", "1e400", "-0.0", "12345678901234567890", "0.1234567890123456789", "x",
    "2024-02-29T12:00:00Z", "2013-01-01 05:00:00", "true", "FALSE", "é日本", "\xff", "x" * 70, "aGk=", "[1, {}]", '"', '""', "\\", "#", "a\nb", "\r",
)  # fmt: skip
TYPES = {
    "i": "int64",
    "f": "float64",
    "s": "string",
    "t": "timestamp[us, UTC]",
    "d": "decimal128(12, 3)",
    "b": "bool",
    "j": "json",
    "x": "binary",
}
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def draw_csv(draw: Draw) -> bytes:
    """A dialect and a chunk size in one byte each, then text."""
    which, size = draw.randrange(len(DIALECTS)), draw.randrange(1, 200)
    options = Dialect.of(DIALECTS[which])
    quote = options.quote or '"'
    rows = []
    for _ in range(draw.randrange(8)):
        cells = []
        for _ in range(draw.choice([len(TYPES)] * 6 + [1, 3, 9])):
            text = draw.choice(_CELLS) if draw.random() < 0.7 else repr(draw.random() * 10 ** draw.randrange(-9, 9))
            if draw.random() < 0.4:
                text = quote + text.replace(quote, quote * draw.randrange(1, 4)) + quote + draw.choice(["", "", "", " ", "x"])
            cells.append(text)
        rows.append(options.delimiter.join(cells))
    if draw.random() < 0.8:
        rows.insert(0, options.delimiter.join(TYPES))
    text = (
        draw.choice(["\n", "\r\n", "\n\n", "\n#"]).join(rows).encode("utf-8" if draw.random() < 0.7 else "latin-1", "replace")
    )
    if draw.random() < 0.5:
        noise = bytes(draw.choice(b"\",;|\t'\\#\n\r \x00\xff0a") for _ in range(draw.randrange(1, 6)))
        at = draw.randrange(len(text) + 1)
        text = text[:at] + noise + text[at + draw.randrange(4) :]
    return bytes([which, size]) + text


def judge_csv(data: bytes) -> str | None:
    """What is wrong with the records, however they are cut, or with the cells' values."""
    which, size, text = data[0] % len(DIALECTS), max(data[1], 1), data[2:].removeprefix(b"\xef\xbb\xbf")
    dialect = Dialect.of(DIALECTS[which])
    wanted = csv_reference.records(text, dialect)
    raws = [one.raw for one in wanted]
    whole, _ = split_texts(Payloads.of_records([text]), dialect)
    if [whole.payload(i) for i in range(whole.count)] != raws[1:]:
        return "other records"
    if text[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        chunks = list(read_chunks(BytesSource(text), form="csv", compression="none", dialect=dialect, chunk_bytes=size))
        found = [chunk.payload(i) for chunk in chunks for i in range(chunk.records)]
        if found != raws[1:] or any(chunk.header(0) != raws[0] for chunk in chunks):
            return f"other records in chunks of {size}"
    return _judge_cells(wanted[1:], DIALECTS[which] | {"header": list(TYPES)}, dialect)


def _judge_cells(records: list[csv_reference.Record], options: dict[str, object], dialect: Dialect) -> str | None:
    lines = [one.raw + b"\r\n" for one in records]  # what a record ends with may be an escape character
    batch, rejects = decode_csv(b"".join(lines), TYPES, **options)
    batch.validate(full=True)
    if batch.num_rows + rejects.num_rows != len(records):
        return "records are lost, or come twice"
    bad = dict(zip(rejects["position"].to_pylist(), rejects["code"].to_pylist(), strict=True))
    rows = iter(batch.to_pylist())
    for position, record in enumerate(records):
        code = bad.get(position)
        row = next(rows) if code is None else None
        alone, alone_rejects = decode_csv(lines[position], TYPES, **options)
        if (alone_rejects["code"].to_pylist() or [None])[0] != code or (row is not None and alone.to_pylist() != [row]):
            return "a record is another one among its neighbours"
        if record.cells is None:
            if code != "BAD_CSV":
                return "no CSV, and not told so"
            continue
        few, many = len(record.cells) < len(TYPES), len(record.cells) > len(TYPES)
        if dialect.encoding == "utf-8" and not _is_utf8(record.raw):
            if code != "BAD_UTF8":
                return "no UTF-8, and not told so"
        elif (few and dialect.ragged not in ("pad", "fit")) or (many and dialect.ragged not in ("truncate", "fit")):
            if code != "BAD_CSV":
                return "a ragged row, and not told so"
        elif code == "BAD_CSV":
            return "CSV, and told to be none"
        elif row is not None and (fault := _judge_row(row, record.cells, dialect)):
            return fault
    return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _judge_row(row: dict[str, object], cells: list[tuple[bytes, bool]], dialect: Dialect) -> str | None:
    nulls = [one.encode(dialect.encoding) for one in dialect.null_values]
    for name, (text, quoted) in zip(TYPES, cells, strict=False):
        value, bare = row[name], text.strip(b" \t")
        if name == "s":
            expected = None if text in nulls and not quoted else text.decode(dialect.encoding)
            if value != expected:
                return "another string"
        elif text in nulls or bare in nulls:
            if value is not None:
                return "a null token is not null"
        elif value is None:
            return "a value is null"
        elif name in ("i", "f", "d"):
            if not _NUMBER.fullmatch(bare):
                return "a number out of nothing"
            same = {"i": int(Decimal(bare.decode())) if name == "i" else 0, "f": float(bare), "d": Decimal(bare.decode())}[name]
            if value != same:
                return f"another value of {TYPES[name]}"
        elif name == "b" and (value is True) != (bare.lower() == b"true"):
            return "another bool"
    return None
