"""Text to records: the same for every chunk size, beside a slow reading of the rules."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.decode.compression import FileSource, open_stream
from millstream.decode.framing import Text, frame, told_by
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, from_numbers
from tests.guard import guarded, guarded_bytes

BLANKS = b" \t\r\n"


def read(path, form="concatenated", chunk_bytes=1 << 20, record_bytes=1 << 20, compression="none"):
    """Records and faults, in order."""
    found = []
    with open_stream(FileSource(path), compression) as stream:
        for piece in frame(Text(stream), form, chunk_bytes, record_bytes):
            found += [piece.payloads.payload(i) for i in range(piece.payloads.count)]
            found += [(fault.code.name, fault.payload) for fault in piece.faults]
    return found


def objects(text):
    """What docs/reference/json.md says of concatenated objects, byte by byte."""
    found, at = [], 0
    while True:
        while at < len(text) and text[at] in BLANKS:
            at += 1
        if at == len(text):
            return found
        start, depth, quoted = at, 0, False
        lost = text[at] != ord("{")
        while not lost and at < len(text):
            byte = text[at : at + 1]
            if quoted and byte == b"\n":
                lost = True
                break
            if byte == b"\\":
                escaped = text[at + 1 : at + 2]  # outside of strings, where it is an error, it hides a quote alone
                at += 2 if escaped and (escaped in b'"\\' or (quoted and escaped != b"\n")) else 1
                continue
            if byte == b'"':
                quoted = not quoted
            elif not quoted and byte in b"[{":
                before = text[:at].rstrip(BLANKS)[-1:]
                if depth and byte == b"{" and text[at - 1 : at] == b"\n" and before not in b":,[":
                    lost = True
                    break
                depth += 1
            elif not quoted and byte in b"]}":
                depth -= 1
            at += 1
            if depth == 0:
                break
        if lost:
            at = text.find(b"\n{", max(start, at - 1))
            at = len(text) if at < 0 else at + 1
        found.append(text[start:at].rstrip(BLANKS) if lost or depth else text[start:at])


GOOD = [
    {"a": 1},
    {},
    {"b": 'x]},"\\{[\n{'},
    {"c": {"d": [[], [1, {"e": "\\\\\\"}]]}},
    {"k": "\\" * 7 + "é" * 40},
    {"t": "line\nbreak", "n": None},
]
JOINED = {
    "adjacent": b"".join(json.dumps(one).encode() for one in GOOD),
    "lines": b"\n".join(json.dumps(one).encode() for one in GOOD) + b"\n",
    "CRLF and blank lines": b"\r\n\r\n".join(json.dumps(one).encode() for one in GOOD),
    "over several lines": b"\n".join(json.dumps(one, indent=2, ensure_ascii=False).encode() for one in GOOD),
    "over several lines, adjacent": b"".join(json.dumps(one, indent=1).encode() for one in GOOD),
    "no indent": b" ".join(json.dumps(one, indent=0).encode() for one in GOOD),
}


@pytest.mark.parametrize("how", JOINED)
def test_objects_are_the_same_for_every_chunk_size(tmp_path, how):
    path = tmp_path / "in.json"
    path.write_bytes(b"\n " + JOINED[how])
    for size in range(1, len(JOINED[how]) + 5):
        assert [json.loads(one) for one in read(path, chunk_bytes=size)] == GOOD, size


@pytest.mark.parametrize("how", JOINED)
def test_what_a_file_is_its_first_bytes_tell(tmp_path, how):
    assert told_by(JOINED[how]) == ("ndjson" if how in ("lines", "CRLF and blank lines") else "concatenated")
    path = tmp_path / "in.json"
    path.write_bytes(b"\xef\xbb\xbf" + JOINED[how])
    for size in (1, 7, 64, 1000):
        assert [json.loads(one) for one in read(path, "json", size)] == GOOD


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"", "ndjson"),
        (b" \n [1]", "array"),
        (b"5\n6", "ndjson"),
        (b'{"a":1}', "ndjson"),
        (b'{"a":1} \r\n{"a":2}', "ndjson"),
        (b'{"a":1}  {"a":2}', "concatenated"),
        (b'{"a":1},{"a":2}', "ndjson"),
        (b'{\n"a":1}', "concatenated"),
        (b'{"a":\n1', "concatenated"),
        # The first line is broken, and the others are not lost with it.
        (b'{"a":\n{"a":2}\n{"a":3}\n', "ndjson"),
        (b'{"a":1,\n{"a":2}\n', "ndjson"),
        (b'{"a":[1\n{"a":2}\n', "ndjson"),
        (b'{"a":"x\n{"a":2}\n', "ndjson"),
        (b'{"a":1}}\n{"a":2}\n', "ndjson"),
        (b'{"a":[\n{"b":1},\n{"b":2}\n]}\n{"a":[]}', "concatenated"),
    ],
)
def test_how_a_file_starts(head, form):
    assert told_by(head) == form


@pytest.mark.parametrize(
    ("text", "records"),
    [
        # What is broken goes up to the next line that starts with a brace; what stands before and after it is whole.
        (b'{"a":1}{"a":{"b":2}\n{"a":3}{"a":4}', [b'{"a":1}', b'{"a":{"b":2}', b'{"a":3}', b'{"a":4}']),
        (b'{"a":"x\n{"a":2}', [b'{"a":"x', b'{"a":2}']),
        (b'{"a":"x\\\n{"a":2}', [b'{"a":"x\\', b'{"a":2}']),
        (b'{"a":1}}\n{"a":2}', [b'{"a":1}', b"}", b'{"a":2}']),
        (b'{"a":1}, {"a":2}\n {"a":3}\n{"a":4}', [b'{"a":1}', b', {"a":2}\n {"a":3}', b'{"a":4}']),
        (b'[1]\n5\n{"a":2}', [b"[1]\n5", b'{"a":2}']),
        (
            b'{\n "a": "x,\n "b": [\n  {"c": 1}\n ]\n}\n{\n "a": 2\n}',
            [b'{\n "a": "x,\n "b": [\n  {"c": 1}\n ]\n}', b'{\n "a": 2\n}'],
        ),
        (b'{"a":[\n{"b":1},\n{"b":2}\n]}', [b'{"a":[\n{"b":1},\n{"b":2}\n]}']),
        (b'{"a":1} \n {"a": \n ', [b'{"a":1}', b'{"a":']),
        (b"\xef\xbb\xbf{}", [b"{}"]),
    ],
)
def test_after_a_broken_record(tmp_path, text, records):
    path = tmp_path / "in.json"
    path.write_bytes(text)
    for size in range(1, len(text) + 3):
        assert read(path, chunk_bytes=size) == records, size
    if text[:1] != b"\xef":
        assert objects(text) == records


PARTS = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b"\n", b" ", b",", b":", b"a", b'{"a":1}', b'{"a":[{}]}', b"x" * 61]),
    max_size=40,
).map(b"".join)


@settings(max_examples=400)
@given(PARTS, st.integers(1, 90))
@example(b'{"\\"\n{}', 3)
@example(b"{" + b"\n" * 70 + b"{}", 64)
def test_any_text_is_framed_as_the_rules_say(tmp_path_factory, text, size):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(text)
    assert read(path, chunk_bytes=size) == objects(text)
    assert read(path) == objects(text)


def test_the_kernels_stay_within_their_memory():
    """Every split of a text, each piece before a forbidden page (native) or with range checks (checked)."""
    text = JOINED["over several lines"] + b'{"a": "x\n' + JOINED["adjacent"][:150]
    for split in range(len(text) + 1):
        state = from_numbers("q", [0, 0, 0, 0, -1, 0, 0, 0])
        found = []
        for begin, end in ((0, split), (split, len(text))):
            starts, ends = guarded(60, 8), guarded(60, 8)
            count = kernels.frame_objects(guarded_bytes(bytes(text[:end]) + bytes(PADDING)), begin, end, state, starts, ends)
            found += [text[a:b] for a, b in list(zip(starts.tolist(), ends.tolist(), strict=True))[:count]]
        assert found == objects(text)[: len(found)]
        assert len(found) >= len(objects(text)) - 1


@pytest.mark.parametrize("form", ["ndjson", "json", "concatenated"])
@pytest.mark.parametrize("long", [100, 101, 102, 163, 1000])
def test_what_is_too_long_is_the_same_for_every_chunk_size(tmp_path, form, long):
    """Exactly those longer than the limit, and none of their neighbours."""
    around = {"ndjson": (b"", b"\n", b""), "json": (b"[", b", ", b"]"), "concatenated": (b"", b"", b"")}[form]
    record = b'{"s":"' + b"}" * (long - 8) + b'"}'
    path = tmp_path / "in.json"
    path.write_bytes(around[0] + around[1].join([b"{}", record, b'{"a":1}', record, b"{}"]) + around[2])
    instead = record if long <= 100 else ("TOO_LONG", record)
    for size in (1, 3, 10, 33, 64, 100, 101, 150, 5000):
        found = [(one[0], record[: len(one[1])]) if isinstance(one, tuple) else one for one in read(path, form, size, 100)]
        expected = [b"{}", instead, b'{"a":1}', instead, b"{}"]
        assert [one if isinstance(one, bytes) else one[0] for one in found] == [
            one if isinstance(one, bytes) else one[0] for one in expected
        ], (size, found)


def test_a_broken_record_that_is_too_long(tmp_path):
    path = tmp_path / "in.json"
    path.write_bytes(b'{}{"a":' * 1 + b'{"a":' * 100 + b"\n{}\n{}{}")
    for size in (1, 10, 64, 100, 5000):
        found = read(path, "concatenated", size, 100)
        assert found[:1] == [b"{}"]
        assert found[1][0] == "TOO_LONG"
        assert found[2:] == [b"{}", b"{}"], size  # the first {} follows a colon: it may be a value


def test_utf_16_is_named(tmp_path):
    path = tmp_path / "in.json"
    path.write_bytes('{"a": 1}\n'.encode("utf-16"))
    (fault,) = read(path, "json")
    assert fault[0] == "BAD_UTF8"


def test_lines_are_split_anywhere(tmp_path):
    rng = random.Random(3)
    lines = [b" " * rng.randrange(3) + bytes(rng.choices(b'ab{}"\\ \t\r', k=rng.randrange(150))) for _ in range(60)]
    for end in (b"", b"\n", b"\n\n"):
        path = tmp_path / "in.ndjson"
        path.write_bytes(b"\n".join(lines) + end)
        expected = [line for line in lines if line.strip(b" \t\r")]
        for size in range(1, 300, 7):
            assert read(path, "ndjson", size) == expected, size
