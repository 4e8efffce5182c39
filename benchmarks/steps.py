"""Where a pipeline of thirty steps spends its time: in kernels, decoding, writing, or in Python between them.

    python benchmarks/steps.py [--least] [--profile]

A batch of 5,000 orders of some 400 bytes as JSON lines goes through every kind of step and is written as Parquet to memory. The stages are
those of rounds in which nothing else is measured. In the rounds between them each kernel is called through a clock: what it counts, without
what it counts of a call that does nothing, the way from Python to a kernel and back, is the kernels'. The rest of the steps is outside.

--least: the least of all rounds in place of the median, and stages by the time that the thread runs, on a machine that others use as well.
"""

from __future__ import annotations

import measure

measure.one_thread_each()
measure.one_core()

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import orders
import pyarrow as pa

from millstream import Outcome, Pipeline, col, concat_str, engine, lookup, when
from millstream.decode.payloads import Payloads
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY
from millstream.outcome import Account
from millstream.sinks.parquet import encode

RECORDS = 5_000
middle = min if "--least" in sys.argv else statistics.median
now = time.perf_counter
stage = time.thread_time if "--least" in sys.argv else now
BAR = 0.15
"""The most of the wall time that may be spent outside kernels, decoding and writing."""

COUNTRIES = pa.table({"code": ["US", "DE"], "region": ["AMER", "EMEA"], "vat": [0.0, 0.19]})
SKUS = pa.table({"id": [f"SKU-{i:05d}" for i in range(0, 5000, 2)], "family": [f"F{i % 40:02d}" for i in range(2500)]})
TIERS = pa.table(
    {"customer": pa.array(range(0, 200_000, 3)), "tier": pa.array(["gold", "silver", "bronze"] * 22222 + ["gold"])}
)
BLOCKED = pa.table({"customer": pa.array(range(7, 200_000, 500))})


def steps() -> Pipeline:
    """All steps but the last."""
    c = col
    return (
        Pipeline(orders.SCHEMA)
        .drop_nulls("price")
        .filter(c("price") > 1, c("quantity") > 0)
        .with_columns(email=c("email").str.strip_chars().str.to_lowercase())
        .filter(c("email").str.contains("@", literal=True))
        .with_columns(domain=c("email").str.split_part("@", 1), user=c("email").str.split_part("@", 0))
        .expect(c("price") < 1_000_000, name="sane price")
        .unique("order_id", keep="last", order_by="event_time")
        .join(lookup(COUNTRIES, key="code"), on="country")
        .with_columns(total=c("price") * c("quantity"))
        .with_columns(discount=when(c("total") > 100).then(c("total") * 0.1).when(c("total") > 50).then(c("total") * 0.05).otherwise(0.0))
        .with_columns(net=(c("total") - c("discount")).round(2), tax=(c("total") * c("vat")).round(2))
        .with_columns(gross=c("net") + c("tax"))
        .join(lookup(SKUS, key="id"), on="sku")
        .with_columns(family=c("family").fill_null("other"))
        .join(lookup(BLOCKED, key="customer"), on="customer_id", how="anti")
        .join(lookup(TIERS, key="customer"), on="customer_id")
        .with_columns(tier=c("tier").fill_null("none"))
        .with_columns(hour=c("event_time").dt.hour(), weekday=c("event_time").dt.weekday(), day=c("event_time").dt.date())
        .with_columns(window=c("event_time").dt.truncate("15m"))
        .filter(c("event_time").dt.year() == 2026)
        .with_columns(browser=c("user_agent").str.contains("Chrome/[0-9]+"), mobile=c("user_agent").str.contains("Mobile", literal=True))
        .drop("user_agent", "vat")
        .with_columns(note=when(c("note") == "").then(None).otherwise(c("note")))
        .with_columns(sku=c("sku").str.slice(4).cast("int64"))
        .cast({"quantity": "int16", "customer_id": "int32", "tax": "float32"})
        .with_columns(key=concat_str(c("country"), c("family"), c("tier"), separator="-"))
        .with_columns(is_big=(c("gross") > 200) & (c("quantity") > 2) | c("is_gift"))
        .with_columns(band=c("gross").clip(0, 500).cast("int64") // 100)
        .rename({"event_time": "at", "customer_id": "customer"})
    )  # fmt: skip


def pipeline() -> Pipeline:
    """Thirty steps."""
    return steps().select(
        "order_id", "customer", "sku", "price", "quantity", "currency", "country", "region", "at", "email", "domain", "user", "is_gift",
        "note", "total", "discount", "net", "tax", "gross", "family", "tier", "hour", "weekday", "day", "window", "browser", "mobile",
        "key", "is_big", "band",
    )  # fmt: skip


def grouped() -> Pipeline:
    """The same thirty, the last of which groups the rows."""
    return steps().group_by("key", "day").agg(
        orders=col("order_id").len(), gross=col("gross").sum(), net=col("net").mean(), largest=col("gross").max(), first=col("at").min()
    )  # fmt: skip


class Clock:
    """Counts what kernels take, while it is entered: each is called through it then."""

    def __init__(self) -> None:
        self.calls, self.seconds = 0, 0.0
        self._plain = {name: getattr(kernels, name) for name in kernels.load().manifest["kernels"]}
        self._timed = {name: self._around(kernel) for name, kernel in self._plain.items()}

    def _around(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = now()
            result = kernel(*arguments)
            self.seconds += now() - started
            self.calls += 1
            return result

        return timed

    def __enter__(self) -> Clock:
        self.calls, self.seconds = 0, 0.0
        kernels.__dict__.update(self._timed)
        return self

    def __exit__(self, *_: object) -> None:
        kernels.__dict__.update(self._plain)

    def way(self, calls: int = 2000) -> float:
        """Seconds that a call counts though its kernel does nothing: the way there and back, which is Python's."""
        taken = []
        with self:
            for _ in range(calls):
                self.seconds = 0.0
                kernels.fill_uint8(0, EMPTY)
                taken.append(self.seconds)
        return middle(taken)


def written(outcome: Outcome) -> pa.Buffer:
    return encode(outcome.schema, outcome.columns, outcome.counts["rows"], {})


def stages(one: Pipeline, lines: bytes, rounds: int) -> dict[str, float]:
    """Milliseconds: the stages, and what is left of the steps without kernels; `calls` of kernels in them."""
    found: dict[str, list[float]] = {"decode": [], "steps": [], "write": [], "wall": [], "kernels": []}
    plan, clock = one.plan(), Clock()

    def decoded() -> tuple[Payloads, engine.Batch, Account]:
        payloads = Payloads.of_lines(lines)
        return payloads, *engine._decode(plan, payloads)

    def stepped(payloads: Payloads, batch: engine.Batch, account: Account) -> Outcome:
        for step in plan.steps:
            engine.advance(step, batch, account)
        return engine._close(plan, payloads, batch, account)

    way = clock.way()
    gc.collect()
    for number in range(rounds + 3):
        started = stage()
        batch = decoded()
        opened = stage()
        outcome = stepped(*batch)
        ran = stage()
        written(outcome)
        ended = stage()
        batch = decoded()
        with clock:
            outcome = stepped(*batch)
        written(outcome)  # so that caches are as they are in the next round
        inside = clock.seconds - clock.calls * way
        taken = {
            "decode": opened - started,
            "steps": ran - opened,
            "write": ended - ran,
            "wall": ended - started,
            "kernels": inside,
        }
        for name, seconds in taken.items() if number >= 3 else ():
            found[name].append(seconds * 1e3)
    result = {name: middle(taken) for name, taken in found.items()}
    return result | {"outside": result["steps"] - result["kernels"], "calls": clock.calls}


def told(title: str, found: dict[str, float]) -> float:
    """Print the stages; the share of the wall time that is in none of them."""
    share = found["outside"] / found["wall"]
    print(title)
    for name, taken in (
        ("decode", found["decode"]),
        ("kernels of the steps", found["kernels"]),
        ("outside", found["outside"]),
        ("write", found["write"]),
        ("wall", found["wall"]),
    ):
        print(f"  {name:<22} {taken:>7.2f} ms {taken / found['wall']:>7.1%}")
    print(f"  {found['calls']:.0f} calls of kernels in the steps")
    print(f"  bar {BAR:.0%} outside: {'met' if share < BAR else 'MISSED'} with {share:.1%}")
    return share


def main() -> int:
    lines = b"\n".join(orders.records(RECORDS)) + b"\n"
    print(measure.machine(("pyarrow",)))
    whole = pipeline()
    assert len(whole.steps) == 30, len(whole.steps)
    if "--profile" in sys.argv:
        import cProfile
        import pstats

        for one in (whole, grouped()):
            one.run(lines)
            with cProfile.Profile() as profile:
                for _ in range(50):
                    one.run(lines)
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return 0
    rounds = 101
    share = told(f"\n30 steps, {RECORDS:,} records of {len(lines) / RECORDS:.0f} bytes", stages(whole, lines, rounds))
    told("\n30 steps, the last of them group_by", stages(grouped(), lines, rounds))
    return 1 if share >= BAR else 0


if __name__ == "__main__":
    raise SystemExit(main())
