"""What AWS asks for, from one dated file; a user's own file replaces some of it or all.

    prices = load()                                    # us-east-1, as of the date that the file tells
    prices["sqs.standard"].cost(1_500_000_000)         # USD, through the tiers
    load("eu.yaml")                                    # the same, with what eu.yaml says

A key is a service and a thing: `kinesis.shard_hour`. `KEYS` is all that there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.documents import loads, place_of
from millstream.errors import SpecError
from millstream.sizing.given import Place, known_keys, mapping_of, number_of, read_text, text_of

FILE = Path(__file__).with_name("prices.yaml")
REMEMBERED = "remembered"
_MOST_USD = 1_000_000.0
_MOST_UNITS = 1e18
_HEADER = ("version", "date", "region", "currency", "source", "sources")
_LEAF = ("usd", "per", "tiers", "unit", "free", "source")

KEYS = (
    "lambda.request",
    "lambda.gb_second.x86_64",
    "lambda.gb_second.arm64",
    "lambda.tmp_gb_second",
    "kinesis.shard_hour",
    "kinesis.put_unit",
    "kinesis.retention_shard_hour",
    "kinesis.stream_hour",
    "kinesis.in_gb",
    "kinesis.out_gb",
    "kinesis.retention_gb_month",
    "kinesis.long_term_gb_month",
    "sqs.standard",
    "sqs.fifo",
    "s3.put",
    "s3.get",
    "s3.gb_month.standard",
    "s3.gb_month.infrequent",
    "s3.gb_month.archive",
    "s3.monitored_object",
    "dynamodb.write",
    "dynamodb.read",
    "dynamodb.gb_month",
    "logs.in_gb",
    "logs.gb_month",
    "cloudwatch.metric",
    "cloudwatch.alarm",
    "cloudwatch.dashboard",
    "firehose.in_gb",
    "firehose.convert_gb",
    "firehose.partition_gb",
    "firehose.partition_object",
    "eventbridge.event",
    "kms.key",
    "kms.request",
)


@dataclass(frozen=True)
class Price:
    """What one thing costs. tiers: (up to which quantity of a month, USD a unit), the last without end; free: units a month that an
    account has for nothing; url, read: where the figure stands, and when it was read there."""

    key: str
    tiers: tuple[tuple[float, float], ...]
    unit: str
    free: float = 0.0
    url: str = ""
    read: str = ""

    @property
    def usd(self) -> float:
        """The price of a unit in the first tier."""
        return self.tiers[0][1]

    @property
    def is_remembered(self) -> bool:
        """Was this figure never looked up?"""
        return self.read == REMEMBERED

    def cost(self, quantity: float, *, free_tier: bool = False) -> float:
        """USD for what was used in a month."""
        left = max(quantity - (self.free if free_tier else 0.0), 0.0)
        total, below = 0.0, 0.0
        for up_to, usd in self.tiers:
            within = min(left, up_to) - below
            if within <= 0:
                break
            total += within * usd
            below = up_to
        return total


@dataclass(frozen=True)
class Prices:
    """All prices of a region. overridden: the keys that a user's file gave."""

    date: str
    region: str
    currency: str
    by_key: Mapping[str, Price]
    overridden: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> Price:
        return self.by_key[key]

    @property
    def lambda_request(self) -> float:
        """USD for an invocation."""
        return self["lambda.request"].usd

    @property
    def lambda_gb_second(self) -> dict[str, float]:
        """USD for a GB-second by architecture, in the first tier."""
        return {name: self[f"lambda.gb_second.{name}"].usd for name in ("x86_64", "arm64")}

    @property
    def remembered(self) -> list[str]:
        """The keys of figures that nobody looked up."""
        return [key for key in KEYS if self[key].is_remembered]


def load(path: str | Path | None = None) -> Prices:
    """The prices that come with Millstream, with those of a file in their place. Raises UsageError for a file that cannot be used."""
    shipped = _shipped(FILE)
    return shipped if path is None else _read(read_text(path, "prices"), str(path), shipped)


@cache
def _shipped(file: Path) -> Prices:
    return _read(read_text(file, "prices"), str(file), None)


def _read(text: str, name: str, shipped: Prices | None) -> Prices:
    """A file's prices; those that it leaves out are the shipped ones, if there are any."""
    try:
        document = loads(text)
    except SpecError as error:
        raise SpecError(f"prices {name}: {error}") from None
    try:
        return _prices(document, shipped, "" if shipped is None else name)
    except SpecError as error:
        raise SpecError(f"prices {name}: {place_of(text, error.at)}{error}") from None


def _prices(document: Any, shipped: Prices | None, origin: str) -> Prices:
    told = mapping_of(document, Place(), "a mapping of services and their prices")
    if told.get("version", 1) != 1:
        raise SpecError(f"version is {told['version']!r}; this Millstream reads 1").within("version")
    sources = _sources(told.get("sources"))
    services = {name: one for name, one in told.items() if name not in _HEADER}
    origin = text_of(told["source"], Place(("source",))) if "source" in told else origin
    found = {price.key: price for price in _leaves(services, Place(), sources, shipped, origin)}
    missing = [key for key in KEYS if key not in found]
    if missing and shipped is None:
        raise SpecError(f"the price {missing[0]} is missing")
    header = {}
    for key in ("date", "region", "currency"):
        if key in told:
            header[key] = text_of(told[key], Place((key,)))
        elif shipped is None:
            raise SpecError(f"the key {key} is missing")
    if shipped is None:
        return Prices(header["date"], header["region"], header["currency"], found)
    if header.get("currency", "USD") != "USD":
        raise SpecError(f"currency is {header['currency']!r}; prices are in USD").within("currency")
    return Prices(
        header.get("date", shipped.date),
        header.get("region", shipped.region),
        shipped.currency,
        {key: found.get(key, shipped[key]) for key in KEYS},
        overridden=tuple(key for key in KEYS if key in found),
    )


def _sources(told: Any) -> dict[str, tuple[str, str]]:
    place = Place(("sources",))
    sources = {}
    for name, one in mapping_of({} if told is None else told, place, "names of sources").items():
        at = place / name
        source = mapping_of(one, at, "url and read")
        known_keys(source, ("url", "read"), at)
        sources[str(name)] = (text_of(source.get("url"), at / "url"), text_of(source.get("read"), at / "read"))
    return sources


def _leaves(
    told: Any, place: Place, sources: dict[str, tuple[str, str]], shipped: Prices | None, origin: str
) -> Iterator[Price]:
    """Every price below a place."""
    for name, one in mapping_of(told, place, "services and their prices").items():
        at = place / name
        key = ".".join(map(str, at.keys))
        if key in KEYS:
            yield _price(key, one, at, sources, shipped, origin)
        elif any(known.startswith(f"{key}.") for known in KEYS):
            yield from _leaves(one, at, sources, shipped, origin)
        else:
            below = "".join(f"{name}." for name in place.keys)
            here = sorted({known.removeprefix(below).split(".")[0] for known in KEYS if known.startswith(below)})
            raise SpecError(f"there is no price {key[:60]!r}; there are {', '.join(here)}").within(*at.keys)


def _price(key: str, told: Any, at: Place, sources: dict[str, tuple[str, str]], shipped: Prices | None, origin: str) -> Price:
    if not isinstance(told, dict):
        told = {"usd": told}
    known_keys(told, _LEAF, at)
    if ("usd" in told) == ("tiers" in told):
        raise SpecError(f"{key} has {'usd and' if 'usd' in told else 'neither usd nor'} tiers; write one of them").within(
            *at.keys
        )
    per = number_of(told.get("per", 1), at / "per", least=1e-9, most=_MOST_UNITS)
    if "usd" in told:
        tiers: tuple[tuple[float, float], ...] = ((math.inf, number_of(told["usd"], at / "usd", most=_MOST_USD) / per),)
    else:
        tiers = _tiers(told["tiers"], at / "tiers", per)
    source = told.get("source")
    if source is not None and (not isinstance(source, str) or source not in sources):
        raise SpecError(f"{key} names the source {source!r}, which is not under `sources`").within(*at.keys, "source")
    if shipped is None and (source is None or "unit" not in told):
        raise SpecError(f"{key} has no {'source' if source is None else 'unit'}").within(*at.keys)
    url, read = sources[source] if source is not None else (origin, "")
    return Price(
        key,
        tiers,
        text_of(told["unit"], at / "unit") if "unit" in told or shipped is None else shipped[key].unit,
        number_of(told["free"], at / "free", most=_MOST_UNITS)
        if "free" in told
        else (0.0 if shipped is None else shipped[key].free),
        url,
        read,
    )


def _tiers(told: Any, at: Place, per: float) -> tuple[tuple[float, float], ...]:
    if not isinstance(told, list) or not 1 <= len(told) <= 20:
        raise SpecError("tiers are a list of 1 to 20 mappings {up_to: …, usd: …}").within(*at.keys)
    tiers, below = [], 0.0
    for number, one in enumerate(told):
        here, is_last = at / number, number == len(told) - 1
        tier = mapping_of(one, here, "{up_to: …, usd: …}")
        known_keys(tier, ("up_to", "usd"), here)
        if is_last == ("up_to" in tier):
            raise SpecError(
                "the last tier has no up_to: it is without end" if is_last else "a tier that is not the last has an up_to"
            ).within(*here.keys)
        up_to = math.inf if is_last else number_of(tier["up_to"], here / "up_to", most=_MOST_UNITS)
        if up_to <= below:
            raise SpecError(f"up_to is {tier['up_to']}; tiers go up, and the one before ends at {below:g}").within(*here.keys)
        tiers.append((up_to, number_of(tier.get("usd"), here / "usd", most=_MOST_USD) / per))
        below = up_to
    return tuple(tiers)
