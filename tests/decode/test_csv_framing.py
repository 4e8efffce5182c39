"""Where CSV records end: any split of the input gives the same, by a reference and by Python's csv module."""

import csv
import gzip
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.decode.chunks import Start, read_chunks
from millstream.decode.compression import BytesSource
from millstream.decode.csv_framing import split_texts
from millstream.decode.dialect import Dialect
from millstream.decode.payloads import Payloads
from tests.decode import csv_reference

DIALECTS = [
    Dialect(header=False),
    Dialect(header=False, comment="#"),
    Dialect(header=False, delimiter=";", quote="'", escape="\\"),
    Dialect(header=False, escape="\\", comment="#"),
    Dialect(header=False, delimiter="\t", quote=None),
]

HOSTILE = st.lists(
    st.sampled_from(
        [
            b'"',
            b",",
            b";",
            b"\t",
            b"'",
            b"\\",
            b"#",
            b"\n",
            b"\r\n",
            b"\r",
            b"a",
            b"\xc3\xa9",
            b"x" * 61,
            b'"",',
            b'\n"',
            b',"',
            b'",',
        ]
    ),
    max_size=60,
).map(b"".join)


def framed(text: bytes, dialect: Dialect) -> list[bytes]:
    payloads, _ = split_texts(Payloads.of_records([text]), dialect)
    return [payloads.payload(i) for i in range(payloads.count)]


def chunked(text: bytes, chunk_bytes: int, dialect: Dialect, **more: Any) -> tuple[list[bytes], list[str]]:
    payloads, faults = [], []
    chunks = read_chunks(BytesSource(text), form="csv", dialect=dialect, chunk_bytes=chunk_bytes, **more)
    for number, chunk in enumerate(chunks):
        assert (chunk.number, chunk.first) == (number, len(payloads) + len(faults))
        payloads += [chunk.payload(i) for i in range(chunk.payloads.count)]
        faults += [one.code.name for one in chunk.faults]
    return payloads, faults


@settings(max_examples=400, deadline=None)
@given(HOSTILE, st.sampled_from(DIALECTS), st.integers(1, 200))
def test_records_are_those_of_the_reference_however_the_text_is_cut(text: bytes, dialect: Dialect, size: int) -> None:
    wanted = csv_reference.split(text, dialect)
    assert framed(text, dialect) == wanted
    assert chunked(text, size, dialect) == (wanted, [])


@settings(max_examples=200, deadline=None)
@given(HOSTILE, st.sampled_from([DIALECTS[0], DIALECTS[3], DIALECTS[4]]))
def test_the_reference_reads_as_python_does(text: bytes, dialect: Dialect) -> None:
    text = (
        text.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"#", b"")
    )  # Python ends a record at each \r, and knows no comments
    reader = csv.reader(
        io.StringIO(text.decode("latin-1"), newline=""),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )
    rows = [row for row in reader if row]
    found = csv_reference.records(text, dialect)
    if dialect.escape and any(record.cells is None for record in found):
        return  # behind a quote that closes, where only rubbish can be, an escape character is none to Python
    assert len(rows) == len(found)
    for row, record in zip(rows, found, strict=True):
        if record.cells is not None:
            assert [cell.decode("latin-1") for cell, _ in record.cells] == row


@settings(max_examples=150, deadline=None)
@given(st.lists(HOSTILE, max_size=6), st.sampled_from(DIALECTS), st.booleans())
def test_each_of_several_texts_begins_anew(texts: list[bytes], dialect: Dialect, headers: bool) -> None:
    bom = b"\xef\xbb\xbf"
    given_texts = [bom + text if i % 2 else text for i, text in enumerate(texts)]
    if headers:
        dialect = Dialect(dialect.delimiter, dialect.quote, dialect.escape, True, dialect.comment)
    payloads, counts = split_texts(Payloads.of_records(given_texts), dialect)
    wanted = [csv_reference.split(text, dialect) for text in texts]
    found, at = [], 0
    for number, count in enumerate(counts):
        records = [payloads.payload(i) for i in range(at, at + count)]
        if headers and wanted[number]:
            assert all(payloads.header(i) == wanted[number][0] for i in range(at, at + count))
            records.insert(0, wanted[number][0])
        found.append(records)
        at += count
    assert found == wanted
    assert at == payloads.count


@settings(max_examples=150, deadline=None)
@given(HOSTILE, st.integers(1, 120), st.sampled_from(DIALECTS), st.booleans())
def test_text_goes_on_at_any_chunk(text: bytes, size: int, dialect: Dialect, header: bool) -> None:
    """As an S3 object is read on that was not done in time."""
    if header:
        dialect = Dialect(dialect.delimiter, dialect.quote, dialect.escape, True, dialect.comment)
    source = BytesSource(text)
    whole = list(read_chunks(source, form="csv", dialect=dialect, chunk_bytes=size))
    for begin in range(1, len(whole)):
        start = whole[begin].start
        for at in (start, Start(start.number, start.first, 0)):
            rest = list(read_chunks(source, form="csv", dialect=dialect, chunk_bytes=size, start=at))
            assert len(rest) == len(whole) - begin
            for one, other in zip(rest, whole[begin:], strict=True):
                assert (one.number, one.first, one.records) == (other.number, other.first, other.records)
                assert [one.payload(i) for i in range(one.records)] == [other.payload(i) for i in range(other.records)]
                assert one.header(0) == other.header(0)


@pytest.mark.parametrize("size", [1, 3, 10, 33, 1000])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_a_record_that_is_too_long_is_rejected_and_its_neighbours_are_not(size: int, ending: bytes) -> None:
    for long in (b"x" * 101, b'"' + b"\n," * 60 + b'"', b'"' + b"x" * 500):
        text = b"a,1\n" + long + (ending + b"b,2\n" if ending and not long.startswith(b'"x') else b"")
        payloads, faults = chunked(text, size, Dialect(header=False), max_record_bytes=100)
        assert (payloads, faults) == ([b"a,1", b"b,2"] if text.endswith(b"b,2\n") else [b"a,1"], ["TOO_LONG"])


def test_what_is_under_a_header_that_is_too_long_is_one_fault() -> None:
    for size in (10, 64, 1000):
        payloads, faults = chunked(b"h" * 300 + b"\n1\n2\n", size, Dialect(), max_record_bytes=100)
        assert (payloads, faults) == ([], ["TOO_LONG"])


def test_a_comment_may_be_longer_than_a_record() -> None:
    text = b"# " + b'x"' * 300 + b"\na,1\n#" + b"y" * 500 + b"\nb,2\n#" + b"z" * 300
    for size in (10, 64, 10_000):
        assert chunked(text, size, Dialect(header=False, comment="#"), max_record_bytes=100) == ([b"a,1", b"b,2"], [])


def test_a_stream_that_is_cut_short_gives_what_was_whole() -> None:
    whole = gzip.compress(b"".join(b'%d,"x\ny"\n' % i for i in range(20_000)))
    payloads, faults = chunked(whole[: len(whole) // 2], 4096, Dialect(header=False))
    assert payloads
    assert payloads == [b'%d,"x\ny"' % i for i in range(len(payloads))]
    assert faults == ["BAD_COMPRESSION"]


def test_no_text_no_records() -> None:
    for text in (b"", b"\n\r\n", b"\xef\xbb\xbf", b"a,b\n"):
        assert chunked(text, 100, Dialect()) == ([], [])


def test_utf_16_is_one_reject() -> None:
    assert chunked("a,b\n".encode("utf-16"), 100, Dialect()) == ([], ["BAD_UTF8"])
