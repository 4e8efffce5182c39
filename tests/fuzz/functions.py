"""Functions over hostile text: what they give is what the oracles of the catalogue's cases give; layouts read whatever comes."""

from __future__ import annotations

import random
from functools import lru_cache

import pyarrow as pa

from millstream.grammar import parse
from millstream.pipeline import Pipeline
from millstream.schema import Code
from tests.cases_catalogue import REGEX, TEXT, Case

PURE = [
    one for one in (*TEXT, *REGEX) if one.oracle is not None and list(one.columns) == ["a"] and one.columns["a"] != "binary"
]
LAYOUTS = ("%d.%m.%Y %H:%M", "%a %e %B %y %I:%M:%S%.f %p", "%Y-%j%z", "%s%%", "%FT%T%.9f%:z")
SETTLED = 5
"""Cases that one input is held against."""


def draw_text(draw: random.Random) -> bytes:
    """A number that chooses cases, then lines of odd text."""
    letters = draw.choice(['aab"\\é😀 ', "0123456789.:-+TZ /%", 'ab{}[]:,"\\0159', "=AGk+/-_0fF"])
    lines = [
        "".join(draw.choice(letters) for _ in range(draw.choice([0, 1, 3, 20, 33, 64, 70]))) for _ in range(draw.randrange(6))
    ]
    layout = draw.choice(LAYOUTS).replace("%a", "mon").replace("%B", "May").replace("%p", "PM").replace("%Y", "2024")
    return bytes([draw.randrange(256)]) + "\n".join([*lines, layout]).encode()


@lru_cache(256)
def _pipeline(text: str) -> Pipeline:
    return Pipeline({"a": "string"}).select(result=parse(text))


def judge_text(data: bytes) -> str | None:
    lines = data[1:].decode("utf-8", "replace").split("\n")
    batch = pa.record_batch({"a": pa.array([*lines, None, "", *lines]).slice(1)})
    rows, first = batch["a"].to_pylist(), sum(data[:1])
    for number in range(SETTLED):
        case: Case = PURE[(first + 7 * number) % len(PURE)]
        assert case.oracle is not None
        wanted = [case.oracle(one) for one in rows]
        outcome = _pipeline(case.text).run(batch)
        outcome.batch.validate(full=True)
        codes = dict(zip(outcome.rejects["position"].to_pylist(), outcome.rejects["code"].to_pylist(), strict=True))
        if codes != {at: one.name for at, one in enumerate(wanted) if isinstance(one, Code)}:
            return f"{case.text}: {codes} rejected"
        if outcome.batch["result"].to_pylist() != [one for one in wanted if not isinstance(one, Code)]:
            return f"{case.text}: not what the oracle gives"
    for layout in LAYOUTS:
        made = _pipeline(f'a.str.to_datetime("{layout}", strict=False).dt.to_string("%F %T")').run(batch).batch
        made.validate(full=True)
        if made.num_rows != len(rows):
            return f"{layout}: a row is gone"
    return None
