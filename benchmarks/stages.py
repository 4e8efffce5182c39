"""Where the time of decoding the orders goes: each line does what the line above does, and one thing more. The processor's time."""

from __future__ import annotations

import measure

measure.one_thread_each()

import ctypes
from collections.abc import Callable
from typing import Any

import orders
import pyarrow as pa

from millstream import Schema, decode_json
from millstream.columns import close
from millstream.decode.json import JsonDecoder
from millstream.decode.payloads import Payloads, spans_of_lines
from millstream.native.memory import allocate, from_buffer

STEPS = {
    "keys, and every value checked": ["nothing"],
    "… and the two integers": ["customer_id", "quantity"],
    "… and the float": ["price"],
    "… and the bool": ["is_gift"],
    "… and the timestamp": ["event_time"],
    "… and the seven strings, as views": ["order_id", "sku", "currency", "country", "user_agent", "email", "note"],
}


def main() -> None:
    lines = b"\n".join(orders.records()) + b"\n"
    given = from_buffer(pa.py_buffer(lines))
    text = allocate(len(lines), 1)
    kinds = {"nothing": "int64", **orders.SCHEMA}
    runs: dict[str, Callable[[], Any]] = {
        "copy the text once (yardstick)": lambda: ctypes.memmove(text.address, given.address, given.count),
        "find the lines, which all below do too": lambda: spans_of_lines(given, 0, given.count),
    }
    wanted: list[str] = []
    for name, columns in STEPS.items():
        wanted += columns
        decoder = JsonDecoder(list(Schema({one: kinds[one] for one in wanted}).values()))
        runs[name] = lambda decoder=decoder: decoder.decode(Payloads.of_lines(lines))  # type: ignore[misc]
    schema = Schema(orders.SCHEMA)
    whole = JsonDecoder(list(schema.values()))

    def closed() -> Any:
        return [close(one) for one in whole.decode(Payloads.of_lines(lines)).columns.values()]

    runs["… and strings copied out, all as Arrow arrays"] = closed
    runs["decode_json: … and a record batch"] = lambda: decode_json(lines, schema)
    taken = measure.medians(runs, clock=measure.CLOCKS["cpu"])
    print(f"{'Where the time goes: 10,000 orders, ' + f'{len(lines) / 1e6:.1f} MB':<60} {'median':>10} {'more':>10}")
    before = 0.0
    for number, (name, seconds) in enumerate(taken.items()):
        more = f"{(seconds - before) * 1e3:>7.2f} ms" if number > 2 else " " * 10
        print(f"  {name:<58} {seconds * 1e3:>7.2f} ms {more}")
        before = seconds


if __name__ == "__main__":
    main()
