"""Files to chunks: every record once, wherever a chunk ends, whatever is wrong with the file."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.decode.chunks import read_chunks
from millstream.decode.compression import BytesSource, FileSource
from millstream.decode.dialect import Dialect
from millstream.errors import SourceError, UsageError
from millstream.local.source import find_files

RECORDS = [
    {"a": 1},
    {},
    {"b": 'x]},"\\{['},
    {"c": {"d": [[], [1, {"e": "\\\\\\"}]]}},
    {"k": "\\" * 7 + "é" * 40},
    {"t": "line\nbreak", "n": None},
]


def read(path, **options):
    """Payloads and faults of a file, in order; blank lines and chunk bounds gone."""
    payloads, faults = [], []
    (file,) = find_files([str(path)])
    expected_first = 0
    for number, chunk in enumerate(read_chunks(FileSource(file.path), **options)):
        assert (chunk.number, chunk.first) == (number, expected_first)
        expected_first += chunk.records
        payloads += [chunk.payloads.payload(i) for i in range(chunk.payloads.count)]
        faults += [(fault.code.name, fault.payload) for fault in chunk.faults]
    return payloads, faults


def chunks(data, name="in.ndjson", **options):
    """The chunks of a file in memory: start, records, and code and message of each fault."""
    return [
        (one.start, [one.payload(i) for i in range(one.records)], [(fault.code.name, fault.message) for fault in one.faults])
        for one in read_chunks(BytesSource(data, name), **options)
    ]


def values(payloads):
    return [json.loads(one) for one in payloads]


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_the_same_for_every_chunk_size(tmp_path, indent):
    text = json.dumps(RECORDS, indent=indent).encode()
    path = write(tmp_path, "in.json", b" \n" + text + b"\n")
    for size in range(1, len(text) + 5):
        payloads, faults = read(path, chunk_bytes=size, max_record_bytes=1000)
        assert (values(payloads), faults) == (RECORDS, []), size


def test_lines_are_the_same_for_every_chunk_size(tmp_path):
    text = b"\n".join(json.dumps(one).encode() for one in RECORDS)
    for end in (b"", b"\n", b"\n\n"):
        path = write(tmp_path, "in.ndjson", b"\n" + text + end)
        for size in range(1, len(text) + 5):
            payloads, faults = read(path, chunk_bytes=size, max_record_bytes=1000)
            assert (values(payloads), faults) == (RECORDS, []), size


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(json_values, max_size=12), st.integers(1, 300), st.sampled_from([None, 2]), st.booleans())
def test_any_array_is_framed(tmp_path_factory, records, size, indent, ascii_only):
    path = tmp_path_factory.mktemp("framed") / "in.json"
    path.write_text(json.dumps(records, indent=indent, ensure_ascii=ascii_only))
    payloads, faults = read(path, chunk_bytes=size, max_record_bytes=100_000)
    assert (values(payloads), faults) == (records, [])


@pytest.mark.parametrize(
    ("text", "found", "fault"),
    [
        (b"", [], None),
        (b" \n\t\n", [], None),
        (b"[]", [], None),
        (b"\xef\xbb\xbf[1]", [b"1"], None),
        (b"\xef\xbb\xbf1\n2", [b"1", b"2"], None),
        (b"[1,,2,]", [b"1", b"", b"2", b""], None),
        (b"[1 2]", [b"1 2"], None),
        (b"[1] \n\n", [b"1"], None),
        (b"[1] x", [b"1"], ("BAD_JSON", b"x")),
        (b"[1][2]", [b"1"], ("BAD_JSON", b"[2]")),
        (b"[", [], ("BAD_JSON", b"")),
        (b"[1, 2", [b"1"], ("BAD_JSON", b"2")),
        (b"[1, ", [b"1"], ("BAD_JSON", b"")),
        (b'[{"a":1}, {"a"', [b'{"a":1}'], ("BAD_JSON", b'{"a"')),
        (b"[1}, 2]", [], ("BAD_JSON", b"1}, 2]")),
    ],
)
def test_what_is_wrong_with_an_array_is_one_rejected_record(tmp_path, text, found, fault):
    path = write(tmp_path, "in.json", text)
    for size in (1, 2, 3, 5, 64, 1 << 20):
        payloads, faults = read(path, chunk_bytes=size, max_record_bytes=1000)
        assert (payloads, faults) == (found, [fault] if fault else []), size


def test_ndjson_files_are_lines_even_if_they_start_like_an_array(tmp_path):
    path = write(tmp_path, "in.ndjson", b"[1]\n[2]\n")
    assert read(path) == ([b"[1]", b"[2]"], [])
    assert read(path, form="json")[0] == [b"1"]


def test_a_line_that_is_too_long_is_rejected_and_its_neighbours_are_not(tmp_path):
    for long in (101, 150, 1000):
        for end in (b"\n3\n", b"\n3", b""):
            path = write(tmp_path, "in.ndjson", b"1\n2\n" + b"x" * long + end)
            for size in (10, 33, 100):
                payloads, faults = read(path, chunk_bytes=size, max_record_bytes=100)
                assert payloads == ([b"1", b"2", b"3"] if end else [b"1", b"2"]), (long, end, size)
                assert [code for code, _ in faults] == ["TOO_LONG"]
                assert b"x" * long == faults[0][1].ljust(long, b"x")
    path = write(tmp_path, "in.ndjson", b"1\n" + b"x" * 100 + b"\n3\n")
    assert read(path, chunk_bytes=10, max_record_bytes=100) == ([b"1", b"x" * 100, b"3"], [])


def test_an_element_that_is_too_long_is_rejected_and_its_neighbours_are_not(tmp_path):
    path = write(tmp_path, "in.json", b'[1, {"x": "' + b"]" * 1000 + b'"}, 3]')
    for size in (10, 33, 100):
        payloads, faults = read(path, chunk_bytes=size, max_record_bytes=100)
        assert (payloads, [code for code, _ in faults]) == ([b"1", b"3"], ["TOO_LONG"])


def test_folders_and_patterns(tmp_path):
    for name in ("b.json", "a.ndjson.gz", "c.jsonl.zst", "d.csv", ".hidden.json", "_x.json", "notes.txt"):
        write(tmp_path, name, b"")
    (tmp_path / "sub.json").mkdir()
    assert [file.path.name for file in find_files([str(tmp_path)])] == ["a.ndjson.gz", "b.json", "c.jsonl.zst"]
    assert [file.path.name for file in find_files([f"{tmp_path}/*.js*"])] == ["_x.json", "b.json", "c.jsonl.zst"]
    assert find_files([tmp_path / "b.json", str(tmp_path)])[0].path.name == "b.json"
    assert len(find_files([str(tmp_path), tmp_path / "b.json"])) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.json", "not found"), ("*.nope", "no file matches"), ("empty", "has no input"), ("x.csv", "cannot read")],
)
def test_input_that_is_not_there_is_named(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    write(tmp_path, "x.csv", b"a,b")
    with pytest.raises(UsageError, match=message) as raised:
        find_files([str(tmp_path / name)])
    assert name in str(raised.value)
    with pytest.raises(UsageError, match="no input"):
        find_files([])


def test_the_identity_is_that_of_a_version(tmp_path):
    path = write(tmp_path, "in.json", b"[]")
    one = find_files([path])[0].identity
    assert one == find_files([path])[0].identity
    assert len(one) == 32
    os.utime(path, ns=(1, 1))
    assert find_files([path])[0].identity != one


def test_pipes_and_devices_are_no_input(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for name in (tmp_path / "pipe.json", "/dev/null"):
        with pytest.raises(UsageError, match="a pipe or a device"):
            find_files([name])
    for name in ("-", "", "a\0b"):
        with pytest.raises(UsageError, match="no name of a file"):
            find_files([name])


def test_a_name_that_cannot_be_looked_at(tmp_path):
    with pytest.raises(SourceError, match="File name too long"):
        find_files([tmp_path / ("x" * 300)])
    (tmp_path / "loop.json").symlink_to("loop.json")
    with pytest.raises(UsageError, match="not found"):
        find_files([tmp_path / "loop.json"])


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"])
def test_a_chunk_that_starts_like_a_byte_order_mark_is_text(mark):
    data = b'{"n":1}\n' * 4 + mark + b"\n" + b'{"n":2}\n' * 8
    whole = chunks(data, chunk_bytes=32)
    assert [fault for _, _, faults in whole for fault in faults] == []
    for i, (start, records, _) in enumerate(whole):
        assert chunks(data, chunk_bytes=32, start=start) == whole[i:]
        assert (i == 1) == (records[0] == mark)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("blanks", [b"", b"\n", b"\n" * 4, b" \r\n \r\n", b"\n" * 50, b" \n" * (1 << 19) + b"\n" * 9])
def test_a_chunk_of_a_file_that_begins_with_blanks_is_the_same_from_its_start(mark, blanks):
    lines = [b'{"n":%d}' % i for i in range(40)]
    data = mark + blanks + b"\n".join(lines)
    whole = chunks(data, "in.json", chunk_bytes=64)
    assert [one for _, records, _ in whole for one in records] == lines
    for i, (start, _, _) in enumerate(whole):
        assert chunks(data, "in.json", chunk_bytes=64, start=start) == whole[i:]
        assert data[start.offset :].startswith(whole[i][1][0]) or not i


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("most", [31, 32, 33, 50, 64, 90, 96, 97])
def test_a_limit_on_the_text_counts_what_is_before_the_chunk_where_reading_goes_on(form, most):
    settings = {"form": form, "dialect": Dialect() if form == "csv" else None, "chunk_bytes": 32, "max_bytes": most}
    data = b'{"n":1}\n' * 12
    whole = chunks(data, **settings)
    assert [code for _, _, faults in whole for code, _ in faults] == (["TOO_LARGE"] if most < len(data) else [])
    for i, (start, _, _) in enumerate(whole):
        assert chunks(data, **settings, start=start) == whole[i:]
