"""The orders that benchmarks decode: 10,000 JSON objects of some 410 bytes, twelve columns wanted, two levels, a few escapes."""

from __future__ import annotations

import json
import random

SCHEMA = {
    "order_id": "string",
    "customer_id": "int64",
    "sku": "string",
    "price": "float64",
    "quantity": "int64",
    "currency": "string",
    "country": "string",
    "event_time": "timestamp[us, UTC]",
    "user_agent": "string",
    "email": "string",
    "is_gift": "bool",
    "note": "string",
}

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"


def records(count: int = 10_000, seed: int = 1) -> list[bytes]:
    """`count` orders as JSON; the same seed gives the same bytes."""
    draw = random.Random(seed)
    made = []
    for i in range(count):
        order = {
            "order_id": f"o-{i:09d}",
            "customer_id": draw.randrange(200_000),
            "sku": f"SKU-{draw.randrange(5000):05d}",
            "price": round(draw.lognormvariate(3, 1), 2) if draw.random() > 0.02 else None,
            "quantity": draw.randrange(1, 9),
            "currency": draw.choice(["USD", "EUR"]),
            "country": draw.choice(["US", "DE"]),
            "event_time": f"2026-11-{draw.randrange(1, 31):02d}T{draw.randrange(24):02d}:00:00.{draw.randrange(1000):03d}Z",
            "user_agent": AGENT,
            "email": f" User{i % 977}@Example.com ",
            "is_gift": draw.random() < 0.1,
            "note": 'leave at "door"' if draw.random() < 0.05 else "",
            "session": {"id": f"{draw.getrandbits(64):016x}", "page": 3},
        }
        made.append(json.dumps(order).encode())
    return made
