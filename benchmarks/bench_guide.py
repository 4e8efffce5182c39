"""The worked example of serverless guides: an object of S3 that holds a JSON array of items, those with a price above 10 kept, a tenth
off where it is above 50, written as a JSON array. The handler that such guides show reads with `json`, loops, and writes with `json`.

Everybody reads the array from a file in memory and writes one; nobody's S3 is in it.
"""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import orjson
import polars as pl

from millstream import Pipeline, run_files

EXAMPLE = Path(__file__).parent.parent / "examples" / "price_discount" / "pipeline.yaml"
ITEMS = 20_000
NAMES = {
    "guide": "the guide's handler: json, a loop, json",
    "orjson": "the same with orjson",
    "msgspec": "msgspec, structs",
    "polars": "polars, read_json, write_json",
}


class Item(msgspec.Struct, gc=False):
    id: int
    name: str
    price: float | None
    discount: float | None = None


ITEMS_OF = msgspec.json.Decoder(list[Item])
TO_JSON = msgspec.json.Encoder()


def items(count: int = ITEMS) -> bytes:
    draw = random.Random(7)
    made = [
        {
            "id": i,
            "name": f"Item {draw.randrange(10**6)}",
            "price": None if draw.random() < 0.05 else round(draw.uniform(1, 100), 2),
        }
        for i in range(count)
    ]
    return json.dumps(made).encode()


def discounted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = []
    for item in found:
        price = item.get("price")
        if price is None or price <= 10:
            continue
        item["discount"] = price * 0.1 if price > 50 else None
        kept.append(item)
    return kept


def bench_guide(contest: Any, in_memory: Any) -> None:
    path = in_memory("items.json", items())
    place = path.parent
    pipeline = Pipeline.from_spec(EXAMPLE)
    made = place / "rows"

    def millstream() -> bytes:
        for old in made.rglob("*.json"):
            old.unlink()
        run_files(pipeline, path, sink=made)
        return next(made.rglob("*.json")).read_bytes()

    def written(text: bytes) -> bytes:
        (place / "out.json").write_bytes(text)
        return text

    def guide() -> bytes:
        return written(json.dumps(discounted(json.loads(path.read_bytes()))).encode())

    def with_orjson() -> bytes:
        return written(orjson.dumps(discounted(orjson.loads(path.read_bytes()))))

    def structs() -> bytes:
        kept = []
        for item in ITEMS_OF.decode(path.read_bytes()):
            if item.price is not None and item.price > 10:
                item.discount = item.price * 0.1 if item.price > 50 else None
                kept.append(item)
        return written(TO_JSON.encode(kept))

    price = pl.col("price")

    def polars() -> bytes:
        frame = pl.read_json(io.BytesIO(path.read_bytes()), schema={"id": pl.Int64, "name": pl.String, "price": pl.Float64})
        shaped = frame.lazy().filter(price > 10).with_columns(discount=pl.when(price > 50).then(price * 0.1)).collect()
        return written(shaped.write_json().encode())

    runs = {"millstream": millstream, "guide": guide, "orjson": with_orjson, "msgspec": structs, "polars": polars}
    wanted = json.loads(guide())
    for who, run in runs.items():
        assert json.loads(run()) == wanted, who
    contest(f"{ITEMS:,} items", runs, names=NAMES, size=path.stat().st_size, settle=True)
