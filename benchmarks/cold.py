"""Cold starts: the handler's import and its first batch, 100 Kinesis records to Parquet, each in a fresh process.

    python benchmarks/cold.py [--python 3.12,3.13] [--rounds N]

Millstream runs from the layer's zip, unzipped, and nothing else; peers from what pip installs, without numpy where they can do
without, their bytecode compiled too. boto3, which Lambda's runtimes bring, lies in a folder of its own. All files are in the system's
cache: a real cold start reads them from a disk as well. S3 and DynamoDB are a server on this machine that answers at once, on another
core; so what is seen is the clients' time. Milliseconds are those in the process, without the interpreter's own start.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import events
import loopback
import measure

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from layer import LayerError, Target, build, pack, trace

WORK = Path(__file__).parent / "cold_work.py"
CACHE = ROOT / ".cache" / "cold"
AWSWRANGLER = "awswrangler==3.17.*"

# Who: what it is called, what is installed for it ("layer": the layer), the event it is given.
CONTESTANTS = {
    "pyarrow_parquet": ("import pyarrow.parquet, nothing else (yardstick)", ("pyarrow",), "few"),
    "millstream": ("millstream, the pipeline in Python", ("layer",), "few"),
    "millstream_yaml": ("millstream, the pipeline in YAML, no code", ("layer",), "few"),
    "polars": ("polars, read_ndjson", ("polars",), "few"),
    "awswrangler": ("awswrangler, rows of dicts", ("awswrangler",), "few"),
    "clients_s3": ("pyarrow.parquet, boto3's client of S3 (yardstick)", ("pyarrow", "boto3"), "few"),
    "clients_both": ("pyarrow.parquet, boto3's clients of S3 and DynamoDB (yardstick)", ("pyarrow", "boto3"), "few"),
    "millstream_s3": ("millstream, to S3", ("layer", "boto3"), "few"),
    "millstream_table": ("millstream, an object of S3 to S3, with a table", ("layer", "boto3"), "told"),
}
BARS = [
    ("millstream", "pyarrow_parquet", 1.8),
    ("millstream", "awswrangler", 0.3),
    ("millstream", "polars", 0.7),
    ("millstream_table", "clients_both", 1.2),
]
UNZIPPED_MB, ZIPPED_MB, RESIDENT_MB = 95, 34, 200


def installed(what: str, target: Target) -> Path:
    """A folder with a package and what it needs, for the target's Python. Kept; another version gets another folder."""
    wanted = AWSWRANGLER if what == "awswrangler" else f"{what}=={version(what)}"
    folder = CACHE / target.tag / wanted
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            options = ["--only-binary=:all:", "--python-version", target.python, "--no-compile", "--target", str(made)]
            pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "install", *options, wanted]
            subprocess.run(pip, check=True)
            python = pack.interpreter(target.python)
            assert python is not None
            subprocess.run([python, "-I", "-S", "-m", "compileall", "-q", made], check=False, stdout=subprocess.DEVNULL)
            made.rename(folder)
    return folder


def run(python: Path, who: str, event: Path, out: str, folders: list[Path], environment: dict[str, str]) -> tuple[float, int]:
    """Milliseconds and bytes of one start."""
    command = [str(one) for one in (python, "-I", "-S", "-B", WORK, who, event, out, *folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{who} failed:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    taken, resident = json.loads(done.stdout.splitlines()[-1])
    return taken, resident


def compare(target: Target, rounds: int, place: Path, s3: dict[str, str]) -> None:
    """One Python's tables."""
    python = pack.interpreter(target.python)
    assert python is not None
    try:
        built = build.build(target, place)
    except LayerError as error:
        raise SystemExit(str(error)) from None
    root = place / target.name
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(root)
    print(f"\n{built}")
    for what, found, bar in (("zipped", built.zipped, ZIPPED_MB), ("unzipped", built.unzipped, UNZIPPED_MB)):
        print(f"  bar {bar} MB {what}: {'met' if found <= bar * 1e6 else 'MISSED'} with {found / 1e6:.1f} MB")

    folders = {"layer": root / "python"}
    for _, needed, _ in CONTESTANTS.values():
        folders |= {one: installed(one, target) for one in needed if one not in folders}
    spec = place / "orders.yaml"
    run(python, "write_spec", spec, str(spec), [folders["layer"]], {})
    taken: dict[str, list[float]] = {who: [] for who in CONTESTANTS}
    for one in range(rounds + 1):
        for who, (_, needed, event) in CONTESTANTS.items():
            out = place / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            to = f"s3://rows/{target.tag}/{who}/{one}" if "boto3" in needed else str(out / "x")
            environment = {"PATH": os.defpath, "HOME": str(place)} | (s3 if "boto3" in needed else {})
            if who == "millstream_yaml":
                environment |= {
                    "MILLSTREAM_PIPELINE": str(spec),
                    "MILLSTREAM_SINK": f"{to}/rows",
                    "MILLSTREAM_REJECTS": f"{to}/bad",
                }
            name = "millstream" if who == "millstream_s3" else who
            milliseconds, _ = run(python, name, place / event, to, [folders[part] for part in needed], environment)
            if one:
                taken[who].append(milliseconds)
    print(table(target, taken))

    resident = [
        run(python, "millstream", place / "full", str(place / f"full-{i}"), [folders["layer"]], {})[1] for i in range(3)
    ]
    held = max(resident) / 1e6
    print(
        f"  resident after a full 6 MB event\n  bar {RESIDENT_MB} MB: {'met' if held <= RESIDENT_MB else 'MISSED'} with {held:.0f} MB"
    )


def table(target: Target, taken: dict[str, list[float]]) -> str:
    """Medians, the least, and times the yardstick."""
    medians = {who: statistics.median(one) for who, one in taken.items()}
    first = medians["pyarrow_parquet"]
    lines = [f"{'Python ' + target.python + ', fresh processes':<66} {'median':>9} {'least':>9} {'times pyarrow.parquet':>22}"]
    for who, median in sorted(medians.items(), key=lambda pair: pair[1]):
        lines.append(f"  {CONTESTANTS[who][0]:<64} {median:>6.1f} ms {min(taken[who]):>6.1f} ms {median / first:>22.2f}")
    for who, peer, bar in BARS:
        reached = medians[who] / medians[peer]
        lines.append(f"  bar {who} at most {bar:g} x {peer}: {'met' if reached <= bar else 'MISSED'} with {reached:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="cold starts from the layer, beside peers")
    parser.add_argument("--python", default="3.12,3.13", help="versions of Python, those that are here of these")
    parser.add_argument("--rounds", type=int, default=11)
    chosen = parser.parse_args()
    print(measure.machine(("millstream", "pyarrow", "polars", "boto3")))
    try:
        arch = trace.host_target().arch
    except LayerError as error:
        raise SystemExit(str(error)) from None
    with tempfile.TemporaryDirectory() as scratch, loopback.serving(Path(scratch)) as s3:
        place = Path(scratch)
        measure.one_core()
        (place / "few").write_bytes(events.kinesis(events.orders(100)))
        (place / "full").write_bytes(events.kinesis(events.orders(5_400)))
        orders = place / "orders.ndjson"
        orders.write_bytes(b"\n".join(events.orders(100)) + b"\n")
        told = {"key": orders.name, "size": orders.stat().st_size, "eTag": loopback.etag(orders)}
        (place / "told").write_bytes(events.notification(told))
        for one in chosen.python.split(","):
            if pack.interpreter(one) is None:
                print(f"\nPython {one} is not here: not measured")
            else:
                compare(Target(one, arch), chosen.rounds, place, s3)


if __name__ == "__main__":
    main()
