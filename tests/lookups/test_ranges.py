"""Ranges of numbers, times and IP addresses, against plain comparisons and Python's `ipaddress`."""

import ipaddress
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.columns import open_array
from millstream.errors import PlanError
from millstream.lookups.ranges import _addresses
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, allocate
from millstream.pipeline import Pipeline
from millstream.tables import lookup
from millstream.types import parse_type
from tests import guard

KINDS: dict[str, Any] = {
    "int64": lambda n: n,
    "int8": lambda n: n,
    "uint64": lambda n: n + (1 << 63),
    "float64": lambda n: n / 2,
    "float32": lambda n: n / 2,
    "decimal128(38, 2)": lambda n: Decimal(n).scaleb(-2) + (1 << 80) * (n % 3 - 1),
    "date32": lambda n: n,
    "timestamp[us, UTC]": lambda n: n,
}
HOLDS = {
    "left": lambda low, value, high: low <= value < high,
    "right": lambda low, value, high: low < value <= high,
    "both": lambda low, value, high: low <= value <= high,
    "none": lambda low, value, high: low < value < high,
}


def find(table: pa.Table, values: pa.Array, kind: str, closed: Any) -> list[int | None]:
    rows = pa.record_batch({"x": values})
    return (  # type: ignore[no-any-return]
        Pipeline({"x": kind}).join(lookup(table, range=("low", "high"), closed=closed), on="x").run(rows).batch["v"].to_pylist()
    )


@settings(max_examples=80)
@given(
    st.sampled_from(list(KINDS)),
    st.sampled_from(list(HOLDS)),
    st.lists(st.integers(-30, 30), unique=True, max_size=12).map(sorted),
    st.lists(st.none() | st.integers(-40, 40), max_size=60),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_range_that_holds_a_value(
    kind: str, closed: str, cuts: list[int], asked: list[Any], is_open: bool, chance: Any
) -> None:
    made, arrow = KINDS[kind], parse_type(kind).arrow
    cuts = sorted(map(made, cuts))
    ranges: list[tuple[Any, Any]] = list(zip(cuts[:-1:2], cuts[1::2], strict=False))
    if ranges and is_open:
        ranges[0] = (None, ranges[0][1])
        ranges[-1] = (ranges[-1][0], None)
    if closed == "none":  # between two neighbours there may be nothing, which is refused
        ranges = [one for one in ranges if None in one or "float" in kind or one[1] - one[0] > 1]
    chance.shuffle(ranges)
    table = pa.table(
        {
            "low": pa.array([low for low, _ in ranges], arrow),
            "high": pa.array([high for _, high in ranges], arrow),
            "v": pa.array(range(len(ranges)), pa.int64()),
        }
    )
    values = [None if one is None else made(one) for one in asked]
    least, most = -math.inf, math.inf
    expected = [
        next(
            (at for at, (low, high) in enumerate(ranges) if value is not None and HOLDS[closed](least if low is None else low, value, most if high is None else high)),
            None,
        )
        for value in values
    ]  # fmt: skip
    assert find(table, pa.array([made(0), *values], arrow)[1:], kind, closed) == expected


def test_extremes_infinities_and_nan() -> None:
    table = pa.table({"low": [-math.inf, 0.0], "high": [0.0, math.inf], "v": [0, 1]})
    values = pa.array([-math.inf, -5e-324, -0.0, 0.0, 5e-324, 1e308, math.inf, math.nan])
    assert find(table, values, "float64", "left") == [0, 0, 1, 1, 1, 1, None, None]
    table = pa.table({"low": pa.array([None, 0], pa.int64()), "high": pa.array([0, None], pa.int64()), "v": [0, 1]})
    assert find(table, pa.array([-(1 << 63), -1, 0, (1 << 63) - 1]), "int64", "left") == [0, 0, 1, 1]
    whole = pa.table({"low": pa.nulls(1), "high": pa.nulls(1), "v": [0]})
    assert find(whole, pa.array([0, (1 << 64) - 1], pa.uint64()), "uint64", "none") == [0, 0]


def test_prices_that_were_valid_at_a_time() -> None:
    """A key and a range: what is known as a slowly changing dimension."""
    days = [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 11)]
    table = pa.table(
        {
            "sku": ["b", "a", "a", None, "b"],
            "from": [days[0], days[4], days[0], days[0], days[2]],
            "to": [days[2], None, days[4], days[9], days[8]],
            "price": [10, 21, 20, 99, 11],
        }
    )
    rows = [
        ("a", 3, 20),
        ("a", 4, 21),
        ("a", 9, 21),
        ("b", 0, 10),
        ("b", 2, 11),
        ("b", 8, None),
        ("c", 1, None),
        (None, 1, None),
    ]
    batch = pa.record_batch(
        {
            "item": pa.array([one[0] for one in rows]),
            "at": pa.array([days[one[1]] for one in rows], pa.timestamp("us", "UTC")),
        }
    )
    known = lookup(table, key="sku", range=("from", "to"))
    pipeline = Pipeline({"item": "string", "at": "timestamp[us, UTC]"})
    outcome = pipeline.join(known, on=["item", "at"]).run(batch)
    assert outcome.batch["price"].to_pylist() == [one[2] for one in rows]
    assert outcome.batch.schema.names == ["item", "at", "price"]
    filled = pipeline.join(known, on=["item", "at"], on_missing={"price": 0}).run(batch)
    assert filled.batch["price"].to_pylist() == [one[2] or 0 for one in rows]
    rejected = pipeline.join(known, on=["item", "at"], on_missing="reject").run(batch)
    assert rejected.counts["rejected_by_code"] == {"NO_MATCH": 3}
    for how, count in (("inner", 5), ("semi", 5), ("anti", 3)):
        assert pipeline.join(known, on=["item", "at"], how=how).run(batch).batch.num_rows == count


# --- IP addresses --------------------------------------------------------------------------------------------------------


def mapped(text: str) -> int | None:
    """An address as IPv6 has it, by Python's own reading; None for what is none."""
    if "%" in text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return int(found) | (0xFFFF00000000 if found.version == 4 else 0)


def read(texts: list[str | None]) -> list[int | None]:
    words, valid = _addresses(open_array(pa.array(texts, pa.string())))
    numbers = words.tolist("Q")
    return [
        ((numbers[2 * at + 1] ^ (1 << 63)) << 64 | numbers[2 * at]) if fine == 1 else None
        for at, fine in enumerate(valid.tolist("B"))
    ]


GROUPS = st.lists(st.sampled_from(["0", "1", "ffff", "DB8", "00a0", "12345", "g", ""]), min_size=1, max_size=9)
QUADS = st.lists(st.sampled_from(["0", "1", "10", "255", "256", "01", "1000", "", "x"]), min_size=1, max_size=5).map(".".join)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda one: one.exploded),
    QUADS,
    st.builds(lambda groups, quad: ":".join([*groups, *quad]), GROUPS, st.lists(QUADS, max_size=1)),
    st.text("0123456789abcf:./", max_size=20),
)


@settings(max_examples=100)
@given(st.lists(st.none() | ADDRESSES, max_size=30))
def test_addresses_are_read_as_python_reads_them(texts: list[str | None]) -> None:
    assert read(texts) == [None if text is None else mapped(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    ["::", "::1", "1::", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::1.2.3.4",
     ":", ":::", "1:", ":1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "1::2::3", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::1.2.3",
     "1.2.3.4.", ".1.2.3.4", "1.2.3", "1.2.3.4 ", "", "fe80::1%eth0", "12345::", "::1.2.3.4.5", "1" * 60, "0.0.0.0", "255.255.255.255"],
)  # fmt: skip
def test_addresses_of_every_form(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guard.install(monkeypatch)
    assert read([text]) == [mapped(text)]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.builds("{}/{}".format, st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(0, 130)),
    st.builds(lambda value, bits: str(ipaddress.ip_network((value, bits), strict=False)), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(lambda value, bits: str(ipaddress.ip_network((value, bits), strict=False)), st.integers(2**32, 2**128 - 1), st.integers(0, 128)),
    st.ip_addresses().map(str), st.sampled_from(["10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/0x8", "/8", "::/0", "0.0.0.0/0", "1.2.3.4/032"])), max_size=20))  # fmt: skip
def test_networks_are_read_as_python_reads_them(texts: list[str]) -> None:
    vector = open_array(pa.array(texts, pa.string()))
    firsts, lasts, valid = allocate(2 * len(texts), 8), allocate(2 * len(texts), 8), allocate(len(texts), 1)
    kernels.parse_addresses(vector.data or EMPTY, vector.values, vector.validity(), 1, firsts, lasts, valid)
    low, high, fine = firsts.tolist("Q"), lasts.tolist("Q"), valid.tolist("B")
    for at, text in enumerate(texts):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            assert fine[at] == 0, text
            continue
        shift = 0xFFFF00000000 if network.version == 4 else 0
        got = [((words[2 * at + 1] ^ (1 << 63)) << 64) | words[2 * at] for words in (low, high)]
        assert fine[at] == 1, text
        assert got == [int(network[0]) | shift, int(network[-1]) | shift], text


NETWORKS = pa.table({"net": ["10.0.0.0/8", "192.168.0.0/16", "2001:db8::/32", "11.0.0.0/32"], "site": ["a", "b", "c", "d"]})
ASKED = [
    "10.255.0.1",
    "192.168.3.4",
    "192.169.0.0",
    "2001:db8:1::5",
    "::ffff:10.0.0.1",
    "11.0.0.0",
    "11.0.0.1",
    "nonsense",
    None,
]
SITES = ["a", "b", None, "c", "a", "d", None, None, None]


def test_networks_that_hold_an_address() -> None:
    rows = pa.record_batch({"ip": ASKED})
    outcome = Pipeline({"ip": "string"}).join(lookup(NETWORKS, cidr="net"), on="ip").run(rows)
    assert outcome.batch["site"].to_pylist() == SITES


def test_ranges_of_addresses_as_text_and_as_integers() -> None:
    texts = pa.table({"first": ["10.0.0.0", "10.0.1.0"], "last": ["10.0.0.255", "10.0.1.0"], "site": ["a", "b"]})
    numbers = [[int(ipaddress.ip_address(text)) for text in texts[name].to_pylist()] for name in ("first", "last")]
    integers = pa.table(
        {"first": pa.array(numbers[0], pa.uint32()), "last": pa.array(numbers[1], pa.uint32()), "site": ["a", "b"]}
    )
    asked = ["10.0.0.0", "10.0.0.255", "10.0.1.0", "10.0.1.1"]
    for table in (texts, integers):
        known = lookup(table, ip_range=("first", "last"))
        outcome = Pipeline({"ip": "string"}).join(known, on="ip").run(pa.record_batch({"ip": asked}))
        assert outcome.batch["site"].to_pylist() == ["a", "a", "b", None]
        values = pa.array([*(int(ipaddress.ip_address(one)) for one in asked), -1, 1 << 32], pa.int64())
        outcome = Pipeline({"ip": "int64"}).join(known, on="ip").run(pa.record_batch({"ip": values}))
        assert outcome.batch["site"].to_pylist() == ["a", "a", "b", None, None, None]


def tiers(low: list[Any], high: list[Any]) -> pa.Table:
    return pa.table({"low": low, "high": high, "v": range(len(low))})


@pytest.mark.parametrize(
    ("kind", "known", "words"),
    [
        ("int64", lambda: lookup(tiers([5, 0], [9, 6]), range=("low", "high")), "the ranges in rows 0 and 1 overlap"),
        ("int64", lambda: lookup(tiers([0, 3], [3, 3]), range=("low", "high")), "the range in row 1 holds nothing"),
        ("int64", lambda: lookup(tiers([0, 9], [3, 5]), range=("low", "high"), closed="both"), "the range in row 1 holds nothing"),
        ("float64", lambda: lookup(tiers([0.0, math.nan], [3.0, 4.0]), range=("low", "high")), "'low': row 1 holds NaN"),
        ("int64", lambda: lookup(tiers([0.5], [3.0]), range=("low", "high")), "'low' is double|'low' is float64"),
        ("int64", lambda: lookup(tiers(["a"], ["b"]), range=("low", "high")), "'low' is string, the column it is joined on is int64"),
        ("string", lambda: lookup(tiers(["a"], ["b"]), range=("low", "high")), "for IP addresses write ip_range or cidr"),
        ("bool", lambda: lookup(tiers([0], [1]), range=("low", "high")), "bool has no ranges"),
        ("float64", lambda: lookup(NETWORKS, cidr="net"), "float64 holds no IP addresses"),
        ("string", lambda: lookup(NETWORKS, cidr="network"), "has no column 'network' to be its cidr"),
        ("string", lambda: lookup(pa.table({"net": ["10.0.0.1/8"]}), cidr="net"), "'net': row 0 holds no network"),
        ("string", lambda: lookup(pa.table({"net": [8]}), cidr="net"), "networks are text"),
        ("string", lambda: lookup(tiers(["10.0.0.0", None], ["10.0.0.9", "11.0.0.0"]), ip_range=("low", "high")), "row 1 holds no IP address"),
        ("string", lambda: lookup(tiers([True], [True]), ip_range=("low", "high")), "IP addresses are text"),
        ("string", lambda: lookup(pa.table({"net": ["10.0.0.0/8", "10.1.0.0/16"]}), cidr="net"), "rows 0 and 1 overlap"),
    ],
)  # fmt: skip
def test_ranges_that_cannot_be_are_refused(kind: str, known: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Pipeline({"x": kind}).join(known(), on="x").plan()


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: lookup(NETWORKS, range=("low",)), "range is two columns"),
        (lambda: lookup(NETWORKS, cidr=["a", "b"]), "cidr is one column"),
        (lambda: lookup(NETWORKS, cidr="net", ip_range=("a", "b")), "both given"),
        (lambda: lookup(NETWORKS, cidr="net", closed="left"), "closed is for range and ip_range"),
        (lambda: lookup(NETWORKS, range=("a", "b"), closed="open"), "closed is 'open'"),
        (lambda: lookup(NETWORKS, range=("a", "b"), keep="last"), "ranges must not overlap"),
    ],
)
def test_ranges_that_make_no_sense(mistake: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()


def test_integers_beyond_ipv4_are_told() -> None:
    table = pa.table({"a": pa.array([1 << 63], pa.uint64()), "b": pa.array([1 << 63], pa.uint64()), "v": [1]})
    with pytest.raises(PlanError, match="no IP addresses"):
        Pipeline({"ip": "int64"}).join(lookup(table, ip_range=("a", "b")), on="ip").plan()
