"""Prices: the file that comes with Millstream, a user's own, and files that are none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.documents import loads
from millstream.errors import UsageError
from millstream.sizing.prices import FILE, KEYS, load

pytestmark = pytest.mark.once
PRICES = load()


def test_every_shipped_price_has_a_unit_and_a_source_with_its_date():
    assert set(PRICES.by_key) == set(KEYS)
    for price in PRICES.by_key.values():
        assert price.usd > 0, price
        assert price.unit, price
        assert price.url.startswith("https://"), price
        assert price.read, price
    assert (PRICES.region, PRICES.currency) == ("us-east-1", "USD")
    assert PRICES.date == "2026-11-30"
    told = loads(FILE.read_text())
    used = {
        source for source, one in told["sources"].items() if any(one["url"] == price.url for price in PRICES.by_key.values())
    }
    assert used == set(told["sources"]), "a source that nothing names"
    assert {key for key in KEYS if PRICES[key].read == "remembered"} == set(PRICES.remembered)


def test_what_rightsize_takes_of_them():
    assert PRICES.lambda_gb_second == {"x86_64": 0.0000166667, "arm64": 0.0000133334}
    assert PRICES.lambda_request == pytest.approx(2e-7)


def test_a_users_file_replaces_what_it_names(tmp_path):
    path = tmp_path / "eu.yaml"
    path.write_text(
        "date: 2027-01-15\nregion: eu-central-1\nsource: our contract\n"
        "lambda: {request: 0.0000003, gb_second: {arm64: {tiers: [{up_to: 10, usd: 2}, {usd: 1}]}}}\n"
        "s3: {put: {usd: 0.0054, per: 1000, free: 2000}}\n"
    )
    found = load(path)
    assert (found.date, found.region) == ("2027-01-15", "eu-central-1")
    assert found.overridden == ("lambda.request", "lambda.gb_second.arm64", "s3.put")
    assert found["lambda.request"].cost(1e6) == pytest.approx(0.3)
    assert (found["lambda.request"].url, found["lambda.request"].free) == ("our contract", 1_000_000)
    assert found["lambda.gb_second.arm64"].cost(15) == pytest.approx(10 * 2 + 5 * 1)
    assert found["s3.put"].cost(3000, free_tier=True) == pytest.approx(0.0054)
    assert found["sqs.fifo"] == PRICES["sqs.fifo"]
    assert "lambda.request" not in found.remembered
    path.write_text(FILE.read_text())
    assert load(path).overridden == KEYS


@pytest.mark.parametrize("key", [key for key in KEYS if len(PRICES[key].tiers) > 1])
def test_tiers_join(key):
    price = PRICES[key]
    for up_to, _ in price.tiers[:-1]:
        assert price.cost(up_to * (1 + 1e-12)) == pytest.approx(price.cost(up_to), rel=1e-9)
    assert math.isinf(price.tiers[-1][0])
    assert [usd for _, usd in price.tiers] == sorted((usd for _, usd in price.tiers), reverse=True)


@given(st.sampled_from(KEYS), st.floats(0, 1e13), st.floats(0, 1e13), st.booleans())
def test_more_costs_more_and_never_more_than_the_first_tier(key, one, other, free):
    price = PRICES[key]
    less, more = sorted((one, other))
    low, high = (price.cost(quantity, free_tier=free) for quantity in (less, more))
    assert 0 <= low <= high * (1 + 1e-12)
    assert high <= more * price.usd * (1 + 1e-12)
    assert price.cost(price.free, free_tier=True) == 0


HOSTILE = [
    ("- 1", "the file is a list; write a mapping of services and their prices"),
    ("lambda: 5", "line 1, column 1: lambda is 5; write services and their prices"),
    ("lambda:\n  requests: 1", "line 2, column 3: there is no price 'lambda.requests'; there are gb_second, request, tmp_gb_second"),
    ("lamda: {request: 1}", "line 1, column 1: there is no price 'lamda'; there are cloudwatch, dynamodb"),
    ("sqs:\n  fifo: -0.1", "line 2, column 3: sqs.fifo.usd is -0.1; write 0 to 1e+06"),
    ("sqs: {fifo: .nan}", "sqs.fifo.usd is nan"),
    ("sqs: {fifo: .inf}", "sqs.fifo.usd is inf"),
    ("sqs: {fifo: true}", "sqs.fifo.usd is True; write a number"),
    ("sqs: {fifo: '1'}", "sqs.fifo.usd is '1'; write a number"),
    ("sqs: {fifo: null}", "sqs.fifo.usd is missing; write a number"),
    ("sqs: {fifo: " + "9" * 400 + "}", "sqs.fifo.usd is 9999"),
    ("sqs: {fifo: " + "9" * 5000 + "}", "cannot be read"),
    ("sqs: {fifo: {usd: 1, per: 0}}", "sqs.fifo.per is 0"),
    ("sqs: {fifo: {usd: 1, tiers: [{usd: 1}]}}", "sqs.fifo has usd and tiers; write one of them"),
    ("sqs: {fifo: {unit: requests}}", "sqs.fifo has neither usd nor tiers"),
    ("sqs: {fifo: {usd: 1, prise: 2}}", "sqs.fifo has an unknown key 'prise'"),
    ("sqs: {fifo: {usd: 1, source: x}}", "sqs.fifo names the source 'x', which is not under `sources`"),
    ("sqs: {fifo: {tiers: []}}", "tiers are a list of 1 to 20 mappings"),
    ("sqs: {fifo: {tiers: [{usd: 1}, {usd: 2}]}}", "a tier that is not the last has an up_to"),
    ("sqs: {fifo: {tiers: [{up_to: 5, usd: 1}]}}", "the last tier has no up_to"),
    ("sqs: {fifo: {tiers: [{up_to: 5, usd: 1}, {up_to: 5, usd: 1}, {usd: 1}]}}", "tiers go up, and the one before ends at 5"),
    ("version: 2", "version is 2; this Millstream reads 1"),
    ("currency: EUR", "currency is 'EUR'; prices are in USD"),
    ("sources: {a: {url: x}}", "sources.a.read is missing"),
    ("date: [1]", "date is a list; write a line of text"),
    ("date: ''", "date is ''"),
    ("a: &x 1\nb: *x", "aliases"),
    ("sqs: {fifo: 1, fifo: 2}", "the key 'fifo' stands twice"),
    ("lambda: !!python/object:os.system {}", "tags"),
    ("[" * 3000, "nested more than"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), HOSTILE, ids=[text[:30] for text, _ in HOSTILE])
def test_what_is_no_prices_is_refused_with_its_place(text, says, tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"##")
    for name, says in (
        ("absent", "No such file"),
        ("", "Is a directory"),
        ("binary", "no UTF-8"),
        ("large", "larger than 1 MiB"),
        ("a\0b", "no name"),
    ):
        with pytest.raises(UsageError, match=says):
            load(f"{tmp_path}/{name}")


def test_the_wheel_has_the_file():
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="NOT TESTED: hatchling is not installed")
    packed = {one.distribution_path for one in wheel.WheelBuilder(str(FILE.parents[3])).recurse_included_files()}
    assert "millstream/sizing/prices.yaml" in packed


def test_a_file_that_leaves_a_price_out_is_not_shipped(tmp_path, monkeypatch):
    path = tmp_path / "prices.yaml"
    path.write_text("\n".join(line for line in FILE.read_text().splitlines() if not line.startswith("  fifo:")))
    monkeypatch.setattr("millstream.sizing.prices.FILE", path)
    with pytest.raises(UsageError, match=r"the price sqs\.fifo is missing"):
        load()
