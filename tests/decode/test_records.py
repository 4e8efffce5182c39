"""What deliveries hold: records, aggregates, arrays, compressed text, log events."""

import base64
import bz2
import gzip
import json
import random
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from millstream.decode import cloudwatch
from millstream.decode import records as room
from millstream.decode.payloads import Payloads
from millstream.decode.records import records_of
from millstream.pipeline import Pipeline
from tests.aws import events

KPL = json.loads((Path(__file__).parent.parent / "aws/data/kpl/real_kpl_records.json").read_text())


def taken(*deliveries, broken=(), **settings):
    return records_of(Payloads.of_records(list(deliveries)), settings, broken)


def read(*deliveries, **settings):
    """(delivery, sub, payload or (code, payload)) of each record."""
    found = taken(*deliveries, **settings)
    return [
        (
            found.delivery(i),
            found.sub(i),
            (found.faults[i][0].name, found.payloads.payload(i)) if i in found.faults else found.payloads.payload(i),
        )
        for i in range(found.count)
    ]


def packed(kind, data):
    if kind == "gzip":
        return gzip.compress(data)
    if kind == "zlib":
        return zlib.compress(data)
    if kind == "bzip2":
        return bz2.compress(data)
    return pa.Codec(kind).compress(data).to_pybytes() if kind == "zstd" else pa.compress(data, "lz4", asbytes=True)


def test_plain_objects_are_one_record_each_and_nothing_is_copied():
    deliveries = Payloads.of_records([b'{"a":1}', b" {}", b"nonsense", b"", b"\x00"])
    found = records_of(deliveries, {})
    assert found.payloads is deliveries
    assert [found.delivery(i) for i in range(5)] == list(range(5))
    assert not found.faults


@pytest.mark.parametrize(("name", "count"), [("kpl_generated_rec_with_ehks", 4), ("kpl_generated_rec_no_ehks", 8)])
def test_records_of_the_real_producer_library(name, count):
    found = read(base64.b64decode(KPL[name]["kinesis"]["data"]))
    assert [(delivery, sub) for delivery, sub, _ in found] == [(0, i) for i in range(count)]
    assert all(payload.startswith(b"RECORD ") for _, _, payload in found)
    assert [int(payload.split()[1]) for _, _, payload in found] == list(
        range(int(found[0][2].split()[1]), int(found[0][2].split()[1]) + count)
    )


def test_aggregates_between_other_deliveries():
    draw = random.Random(3)
    deliveries, wanted = [], []
    for number in range(200):
        inside = [json.dumps({"n": i, "t": "x" * draw.randrange(300)}).encode() for i in range(draw.randrange(0, 40))]
        if draw.random() < 0.5:
            some = [events.UserRecord(one, str(i % 5), str(i) if i % 3 else None) for i, one in enumerate(inside)]
            deliveries.append(events.kpl_aggregate(some))
            wanted += [(number, i, one) for i, one in enumerate(inside)]
        else:
            deliveries.append(b"{}")
            wanted.append((number, 0, b"{}"))
    assert read(*deliveries) == wanted


def corrupted():
    whole = events.kpl_aggregate([b"one", b"two"])
    message = whole[4:-16]

    def sealed(changed):
        import hashlib

        return events.KPL_MAGIC + changed + hashlib.md5(changed, usedforsecurity=False).digest()

    yield "a byte changed", whole[:10] + b"\xff" + whole[11:]
    yield "its digest cut", whole[:-1]
    yield "a message cut", sealed(message[:-1])
    yield "a length beyond the end", sealed(message + b"\x1a\x7f")
    yield "a varint without end", sealed(message + b"\xff" * 12)
    yield "a record without data", sealed(message + b"\x1a\x02\x08\x00")
    yield "a record without a key", sealed(message + b"\x1a\x03\x1a\x01x")
    yield "a key that is not in the table", sealed(message + b"\x1a\x05\x08\x09\x1a\x01x")
    yield "a key of the table's size", sealed(message + b"\x1a\x05\x08\x01\x1a\x01x")
    yield "the highest key", sealed(message + b"\x1a\x0d\x08" + b"\xff" * 8 + b"\x7f\x1a\x01x")
    yield "the highest key and no table", sealed(b"\x1a\x0d\x08" + b"\xff" * 8 + b"\x7f\x1a\x01x")
    yield "a group", sealed(message + b"\x0b")
    yield "a length of 2**63", sealed(message + b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")


@pytest.mark.parametrize(("what", "aggregate"), list(corrupted()))
def test_a_corrupt_aggregate_is_rejected_whole(what, aggregate):
    good = events.kpl_aggregate([b"{}"])
    assert read(b'{"a":1}', aggregate, good) == [
        (0, 0, b'{"a":1}'),
        (1, 0, ("BAD_AGGREGATE", aggregate)),
        (2, 0, b"{}"),
    ]


NESTED = events.kpl_aggregate([b"{}"])
TABLE = b"a,b\n1,2\n3,4\n"


@pytest.mark.parametrize("header", [True, False, ["a", "b"]])
@pytest.mark.parametrize(
    "inside", [[NESTED], [NESTED, TABLE], [TABLE, NESTED], [NESTED, gzip.compress(TABLE), NESTED, TABLE, NESTED + b",7"]]
)
def test_an_aggregate_within_an_aggregate_is_rejected_in_its_place(inside, header):
    settings = {"format": "csv", "header": header}
    table = TABLE.splitlines()[header is True :]
    wanted = []
    for one in inside:
        wanted += table if TABLE in (one, one[:2] == b"\x1f\x8b" and gzip.decompress(one)) else [("BAD_AGGREGATE", one)]
    assert read(TABLE, events.kpl_aggregate(inside), TABLE, **settings) == [
        *((0, i, one) for i, one in enumerate(table)),
        *((1, i, one) for i, one in enumerate(wanted)),
        *((2, i, one) for i, one in enumerate(table)),
    ]
    pipeline = Pipeline({"a": "string", "b": "string"}, name="t", input=settings)
    found = taken(events.kpl_aggregate(inside), **pipeline.input)
    outcome = pipeline.run(found.good()[0])
    assert outcome.batch.num_rows == outcome.counts["delivered"] == found.count - len(found.faults)
    assert [one.position for one in found.rejects()] == [i for i, one in enumerate(wanted) if isinstance(one, tuple)]


@pytest.mark.parametrize("form", ["auto", "ndjson", "concatenated"])
def test_of_json_an_aggregate_within_an_aggregate_is_no_record(form):
    pipeline = Pipeline({"a": "int64"}, name="t", input={"format": form})
    payloads, _ = taken(events.kpl_aggregate([NESTED, b'{"a":1}']), **pipeline.input).good()
    outcome = pipeline.run(payloads)
    assert (outcome.batch.to_pylist(), [one["code"] for one in outcome.rejects.to_pylist()]) == ([{"a": 1}], ["BAD_JSON"])


def test_fields_that_are_new_to_an_aggregate_are_skipped():
    message = (
        b"\x0a\x01a" + b"\x1a\x05\x08\x00\x1a\x01x" + b"\x22\x02hi" + b"\x28\x05" + b"\x31" + bytes(8) + b"\x3d" + bytes(4)
    )
    import hashlib

    sealed = events.KPL_MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()
    assert read(sealed) == [(0, 0, b"x")]


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd", "bzip2", "lz4"])
def test_compressed_payloads(kind):
    lines = [json.dumps({"i": i}).encode() for i in range(50)]
    for text in (b"\n".join(lines), b"[" + b",".join(lines) + b"]", b" ".join(lines)):
        whole = packed(kind, text)
        assert read(b"{}", whole, b'{"z":1}') == [
            (0, 0, b"{}"),
            *((1, i, one) for i, one in enumerate(lines)),
            (2, 0, b'{"z":1}'),
        ]
    inside = events.kpl_aggregate([packed(kind, lines[0]), lines[1], packed(kind, lines[2] + b"\n" + lines[3])])
    assert read(inside) == [(0, i, one) for i, one in enumerate(lines[:4])]


def test_what_is_whole_before_a_fault_is_kept():
    whole = gzip.compress(
        b'{"i":1}\n' * 1000 + b"".join(b'{"i":%d}\n' % random.Random(5).randrange(10**9) for _ in range(9000))
    )
    found = read(b"{}", whole[: len(whole) // 2], b'{"z":1}')
    assert found[0] == (0, 0, b"{}")
    assert found[-1] == (2, 0, b'{"z":1}')
    assert found[-2][2][0] == "BAD_COMPRESSION"
    assert all(delivery == 1 for delivery, _, _ in found[1:-1])
    assert len(found) > 1000


def test_too_much_text_is_rejected():
    bomb = gzip.compress(b'{"a":"' + b"x" * (65 << 20) + b'"}')
    found = [(code, len(kept)) for delivery, _, (code, kept) in read(bomb, b"")[:-1]]
    assert found == [("TOO_LONG", 4096), ("TOO_LARGE", 0)]


def test_a_batch_of_too_much_text_ends_before_that(monkeypatch):
    monkeypatch.setattr(room, "BATCH_BYTES", 1000)
    big = gzip.compress(b'{"a":"' + b"x" * 600 + b'"}')
    found = taken(*[big] * 5)
    assert (found.deliveries, found.count) == (2, 2)
    aggregate = events.kpl_aggregate([big] * 5)
    found = taken(aggregate, b"{}")
    assert (found.deliveries, found.count) == (2, 6)  # one delivery is never parted
    found = taken(b"{}", aggregate, b"{}")
    assert (found.deliveries, found.count) == (1, 1)


@pytest.mark.parametrize("many", [1, 5])
def test_what_is_left_of_a_delivery_of_too_much_text_is_rejected_in_its_place(monkeypatch, many):
    monkeypatch.setattr(room, "BATCH_BYTES", 1000)
    text = [b'{"a":"%b"}' % (b"x" * (600 // many))] * many
    big, array = gzip.compress(b"\n".join(text)), b'[{"z":1}]'
    aggregate = events.kpl_aggregate([b"{}", big, b'{"i":1}', big, array, b'{"i":2}', big, NESTED])
    unpacked = [b"{}", *text, b'{"i":1}', *text, ("TOO_LARGE", array), b'{"i":2}', ("TOO_LARGE", big), NESTED]
    assert read(aggregate, b'{"b":1}', events.kpl_aggregate([b"1", b"2"])) == [
        *((0, i, one) for i, one in enumerate(unpacked)),
        (1, 0, b'{"b":1}'),
        (2, 0, b"1"),
        (2, 1, b"2"),
    ]
    found = taken(aggregate, b"{}", big, b"{}")
    assert (found.deliveries, found.count, len(found.faults)) == (2, len(unpacked) + 1, 2)
    assert [one.position for one in found.rejects()] == [i for i, one in enumerate(unpacked) if isinstance(one, tuple)]
    assert [(found.delivery(i), found.sub(i)) for i in range(found.count)][-2:] == [(0, len(unpacked) - 1), (1, 0)]
    found = taken(b"{}", aggregate)
    assert (found.deliveries, found.count, found.faults) == (1, 1, {})


def test_what_is_left_of_a_delivery_of_too_much_csv_is_rejected_in_its_place(monkeypatch):
    monkeypatch.setattr(room, "BATCH_BYTES", 1000)
    row = b"1," + b"x" * 600
    big = gzip.compress(b"a,b\n" + row)
    found = read(events.kpl_aggregate([big, TABLE, big, big, TABLE]), TABLE, format="csv")
    table = TABLE.splitlines()[1:]
    inside = [row, *table, row, ("TOO_LARGE", big), *table]
    assert found == [*((0, i, one) for i, one in enumerate(inside)), *((1, i, one) for i, one in enumerate(table))]


def test_arrays_and_declared_formats():
    assert read(b'[{"a":1}, {"a":2}]', b" []", b"{}") == [(0, 0, b'{"a":1}'), (0, 1, b'{"a":2}'), (2, 0, b"{}")]
    assert read(b'{"a":1}\n\n{"a":2}', b"{}", format="ndjson") == [(0, 0, b'{"a":1}'), (0, 1, b'{"a":2}'), (1, 0, b"{}")]
    assert read(b'{"a":1}{"a":2}', format="concatenated") == [(0, 0, b'{"a":1}'), (0, 1, b'{"a":2}')]
    assert [one[2] if isinstance(one[2], bytes) else one[2][0] for one in read(b'[{"a":1}, {"a"')] == [b'{"a":1}', "BAD_JSON"]


def test_broken_base64_is_a_reject_in_its_place():
    found = taken(b"{}", b"%%%", events.kpl_aggregate([b"1", b"2"]), broken=[1])
    assert [found.delivery(i) for i in range(found.count)] == [0, 1, 2, 2]
    assert {i: code.name for i, (code, _) in found.faults.items()} == {1: "BAD_VALUE"}
    payloads, positions = found.good()
    assert [payloads.payload(i) for i in range(payloads.count)] == [b"{}", b"1", b"2"]
    assert positions == [0, 2, 3]
    first = found.first(found.before(2))
    assert (first.count, first.rejects()[0].position) == (2, 1)


def test_log_events_of_a_subscription():
    found = read(events.cloudwatch_logs("one", 'tw"o', group="/g", stream="s"), events.cloudwatch_logs_control(), b"{}")
    assert [(delivery, sub) for delivery, sub, _ in found] == [(0, 0), (0, 1), (2, 0)]
    one, two = (json.loads(payload) for _, _, payload in found[:2])
    assert one["message"] == "one"
    assert two["message"] == 'tw"o'
    assert {key: two[key] for key in ("owner", "logGroup", "logStream")} == {
        "owner": events.ACCOUNT,
        "logGroup": "/g",
        "logStream": "s",
    }
    assert set(one) == {"owner", "logGroup", "logStream", "id", "timestamp", "message"}
    assert list(read(events.cloudwatch_logs())) == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"messageType":"X","logEvents":[]}',
        b'{"messageType":"DATA_MESSAGE"}',
        b'{"messageType":"DATA_MESSAGE","logEvents":[null]}',
        b'{"messageType":"DATA_MESSAGE","logEvents":{}}',
        b'{"messageType":"',
    ],
)
def test_what_is_no_subscription_is_one_reject(text):
    ((_, _, (code, payload)),) = read(gzip.compress(text))
    assert code in ("BAD_VALUE", "BAD_JSON", "BAD_TYPE")
    assert payload == text


def test_what_log_events_share_may_not_grow_without_bound(monkeypatch):
    """A payload of some kilobytes: gigabytes, were its owner put before each event."""
    text = b'{"messageType":"DATA_MESSAGE","owner":"%b","logGroup":"g","logStream":"s","logEvents":[%b]}' % (
        b"x" * (1 << 20),
        b",".join([b'{"a":1}'] * 20_000),
    )
    monkeypatch.setattr(cloudwatch, "allocate", lambda *_: pytest.fail("there is room made for it"))
    assert read(b"{}", gzip.compress(text), b"{}") == [(0, 0, b"{}"), (1, 0, ("TOO_LARGE", text[:4096])), (2, 0, b"{}")]


@pytest.mark.parametrize("count", [20, 500])
def test_what_log_events_share_may_be_as_long_as_a_payload_unpacked(count):
    shared = b'{"owner":"o","logGroup":"/a/group","logStream":"2018/12/17/stream"'
    text = b'{"messageType":"DATA_MESSAGE",%b,"logEvents":[%b]}' % (shared[1:], b",".join([b'{"a":1}'] * count))
    whole, most = gzip.compress(text), count * (len(shared) + 2)
    assert read(whole, max_bytes=most) == [(0, i, shared + b',"a":1}') for i in range(count)]
    assert read(whole, max_bytes=most - 1) == [(0, 0, ("TOO_LARGE", text[:4096]))]


@pytest.mark.parametrize(("pack", "settings"), [(bytes, {"format": "ndjson"}), (gzip.compress, {})])
def test_many_small_payloads_take_little_memory(pack, settings):
    """Each comes out into a buffer that is made for megabytes."""
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        assert records_of(Payloads.of_records([pack(b'{"id": 1}\n')] * 200), settings).count == 200
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 32 << 20
