"""`millstream rightsize` on orders, batches of 1,000, several times: is the recommendation the same each time?

    python benchmarks/rightsize.py [RUNS] [OPTIONS OF RIGHTSIZE]

Prints each run's choice, and what a batch took; status 1 where two runs choose differently.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from orders import SCHEMA, records

STEPS = """steps:
  - drop_nulls: [price]
  - filter: price > 10
  - with_columns:
      discount: when(price > 50).then(price * 0.1)
      email: email.str.strip_chars().str.to_lowercase()
output: {format: parquet, compression: zstd}
"""


def write_orders(folder: Path) -> tuple[Path, Path]:
    """The pipeline of orders and 10,000 of them, as files."""
    pipeline, data = folder / "orders.yaml", folder / "orders.ndjson"
    columns = "".join(f'  {name}: "{kind}"\n' for name, kind in SCHEMA.items())
    pipeline.write_text(f"version: 1\nname: orders\nschema:\n{columns}{STEPS}")
    data.write_bytes(b"\n".join(records()) + b"\n")
    return pipeline, data


def main(runs: int, options: list[str]) -> int:
    chosen = []
    with tempfile.TemporaryDirectory() as name:
        pipeline, data = write_orders(Path(name))
        for number in range(1, runs + 1):
            command = [sys.executable, "-m", "millstream", "rightsize", pipeline, "--events", data, "--batch", "1000", "--json"]
            found = json.loads(subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE).stdout)
            chosen.append(found["recommended"])
            whole = next((one for one in found["memory"] if one["mb"] >= 1769 and not one["killed"]), found["memory"][-1])
            busy = f"{found['machine']['busy']:.0%} of the time something else ran"
            print(f"run {number}: {chosen[-1]}  {whole['model_ms']:.1f} ms a batch with a whole CPU; {busy}", flush=True)
            for one in found["memory"]:
                if not one["killed"] and one["quota_ms"] is not None:
                    print(f"    {one['mb']:>5,} MB: {one['quota_ms']:7.1f} ms under a quota, {one['off']:.2f} of the model's")
    return 0 if all(one == chosen[0] for one in chosen) else 1


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(int(words.pop(0)) if words and words[0].isdigit() else 3, words))
