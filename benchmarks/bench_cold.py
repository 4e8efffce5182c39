"""Cold starts: the handler's import and its first batch, 100 Kinesis records to Parquet, each in a fresh process.

Millstream runs from the layer's zip, unzipped, and nothing else; peers from what pip installs, without numpy where they can do
without, their bytecode compiled too. boto3, which Lambda's runtimes bring, lies in a folder of its own. All files are in the system's
cache: a real cold start reads them from a disk as well. S3 and DynamoDB are a server on this machine that answers at once, on another
core; so what is seen is the clients' time. Time is that in the process, without the interpreter's own start.

The layer is taken from layer/dist, where `make bench-cold` builds it; a Python without one, or with one of other sources, is not measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import events
import loopback
import measure
import pytest
from contest import figure, takes

from layer import ARCHES, CACHE, DIST, LayerError, Target, build, pack, trace

PYTHONS = ("3.12", "3.13")
WORK = Path(__file__).parent / "cold_work.py"
PACKAGES = CACHE.parent / "cold"
AWSWRANGLER = "awswrangler==3.17.*"
ZIPPED, UNZIPPED, RESIDENT = "MB zipped", "MB unzipped", "MB resident after a full 6 MB event"

# Who: what is installed for it ("layer": the layer), the event it is given, what it is called.
TO_FOLDER = {
    "millstream": (("layer",), "few", "millstream, the pipeline in Python"),
    "millstream_yaml": (("layer",), "few", "millstream, the pipeline in YAML, no code"),
    "pyarrow_parquet": (("pyarrow",), "few", "import pyarrow.parquet, nothing else (yardstick)"),
    "polars": (("polars",), "few", "polars, read_ndjson"),
    "awswrangler": (("awswrangler",), "few", "awswrangler, rows of dicts"),
}
TO_S3 = {
    "millstream_table": (("layer", "boto3"), "told", "millstream, an object of S3 to S3, with a table"),
    "millstream_s3": (("layer", "boto3"), "few", "millstream, records to S3, no table"),
    "clients_s3": (("pyarrow", "boto3"), "few", "pyarrow.parquet, boto3's client of S3 (yardstick)"),
    "clients_both": (("pyarrow", "boto3"), "few", "pyarrow.parquet, boto3's clients of S3 and DynamoDB (yardstick)"),
}


def installed(what: str, target: Target) -> Path:
    """A folder with a package and what it needs, for the target's Python. Kept; another version gets another folder."""
    wanted = AWSWRANGLER if what == "awswrangler" else f"{what}=={version(what)}"
    folder = PACKAGES / target.tag / wanted
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            options = ["--only-binary=:all:", "--python-version", target.python, "--no-compile", "--target", str(made)]
            pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "install", *options, wanted]
            subprocess.run(pip, check=True)
            subprocess.run(
                [str(pack.interpreter(target.python)), "-I", "-S", "-m", "compileall", "-q", made],
                check=False,
                stdout=subprocess.DEVNULL,
            )
            made.rename(folder)
    return folder


def stale(archive: zipfile.ZipFile) -> str | None:
    """A module of the layer that is another one than that of the checkout."""
    names = {name for name in archive.namelist() if name.startswith("python/millstream/") and name.endswith(".py")}
    there = {f"python/millstream/{path.relative_to(build.SOURCE).as_posix()}" for path in build.SOURCE.rglob("*.py")}
    left_out = tuple(f"python/millstream/{one}" for one in build.LEFT_OUT)
    differing = names ^ {name for name in there if not name.startswith(left_out)}
    for name in sorted(names & there):
        if archive.read(name) != (build.SOURCE / name.removeprefix("python/millstream/")).read_bytes():
            differing.add(name)
    return min(differing, default=None)


class Starts:
    """One Python's layer, unzipped, and the processes that start from it."""

    def __init__(self, target: Target, place: Path, s3: dict[str, str]) -> None:
        self.target, self.place, self._s3, self._count = target, place, s3, 0
        self._python = pack.interpreter(target.python)
        path = DIST / target.zip_name
        root = place / target.name
        with zipfile.ZipFile(path) as archive:
            archive.extractall(root)
            self.unzipped = sum(one.file_size for one in archive.infolist())
        self.zipped = path.stat().st_size
        self.folders = {"layer": root / "python"}
        self.spec = place / "orders.yaml"
        self.run("write_spec", ("layer",), self.spec, str(self.spec))

    def run(self, who: str, needed: tuple[str, ...], event: Path, out: str, **environment: str) -> tuple[float, float, int]:
        """Seconds, seconds of the processor, and bytes of one start."""
        folders = [self.folders.setdefault(one, self.folders.get(one) or installed(one, self.target)) for one in needed]
        command = [str(one) for one in (self._python, "-I", "-S", "-B", WORK, who, event, out, *folders)]
        base = {"PATH": os.defpath, "HOME": str(self.place)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=base | environment)
        if done.returncode:
            raise AssertionError(f"{who} failed:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
        seconds, used, resident = json.loads(done.stdout.splitlines()[-1])
        return seconds, used, resident

    def runs(self, contestants: dict[str, tuple[tuple[str, ...], str, str]], told: measure.Told) -> dict[str, measure.Run]:
        def start(who: str, needed: tuple[str, ...], event: str) -> measure.Run:
            def run() -> None:
                self._count += 1
                out = self.place / "out"
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                to = f"s3://rows/{self.target.tag}/{who}/{self._count}" if "boto3" in needed else str(out / "x")
                environment = dict(self._s3) if "boto3" in needed else {}
                if who == "millstream_yaml":
                    environment |= {
                        "MILLSTREAM_PIPELINE": str(self.spec),
                        "MILLSTREAM_SINK": f"{to}/rows",
                        "MILLSTREAM_REJECTS": f"{to}/bad",
                    }
                name = "millstream" if who == "millstream_s3" else who
                told.add(*self.run(name, needed, self.place / event, to, **environment)[:2])

            return run

        return {who: start(who, needed, event) for who, (needed, event, _) in contestants.items()}


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, dict[str, str]]]:
    with tempfile.TemporaryDirectory() as scratch, measure.other_cores(), loopback.serving(Path(scratch)) as s3:
        measure.one_core()
        folder = Path(scratch)
        (folder / "few").write_bytes(events.kinesis(events.orders(100)))
        (folder / "full").write_bytes(events.kinesis(events.orders(5_400)))
        orders = folder / "orders.ndjson"
        orders.write_bytes(b"\n".join(events.orders(100)) + b"\n")
        told = {"key": orders.name, "size": orders.stat().st_size, "eTag": loopback.etag(orders)}
        (folder / "told").write_bytes(events.notification(told))
        yield folder, s3


@pytest.fixture(scope="module", params=PYTHONS)
def starts(request: pytest.FixtureRequest, place: Any) -> Starts:
    python = request.param
    if pack.interpreter(python) is None:
        pytest.skip(f"Python {python} is not here")
    try:
        target = Target(python, trace.host_target().arch)
    except LayerError as error:
        pytest.skip(str(error))
    assert target.arch in ARCHES
    path = DIST / target.zip_name
    if not path.exists():
        pytest.skip(f"{path.relative_to(DIST.parent.parent)} is not built: make bench-cold builds and measures it")
    with zipfile.ZipFile(path) as archive:
        other = stale(archive)
    if other is not None:
        pytest.skip(f"{path.name} was built of other sources ({other}): make bench-cold builds and measures it")
    return Starts(target, *place)


@pytest.mark.processes
def bench_first_batch(starts: Starts, contest: Any, told: measure.Told) -> None:
    def figures(taken: Any) -> dict[str, float]:
        most = max(
            starts.run("millstream", ("layer",), starts.place / "full", str(starts.place / f"full-{i}"))[2] for i in range(3)
        )
        return {ZIPPED: starts.zipped / 1e6, UNZIPPED: starts.unzipped / 1e6, RESIDENT: most / 1e6}

    runs = starts.runs(TO_FOLDER, told)
    for run in runs.values():
        run()  # what pip installs is installed then, and in the system's cache
    contest(
        f"Python {starts.target.python}, first batch to a folder",
        runs,
        names={who: name for who, (_, _, name) in TO_FOLDER.items()},
        yardsticks=("pyarrow_parquet",),
        bars=[
            takes(4, 1.8, "pyarrow_parquet"),
            takes(4, 0.3, "awswrangler"),
            takes(4, 0.7, "polars"),
            figure(4, 34, ZIPPED),
            figure(4, 95, UNZIPPED),
            figure(4, 200, RESIDENT),
        ],
        figures=figures,
        rounds=(11, 21),
        seconds=20,
        warm=False,
    )


@pytest.mark.processes
def bench_first_object(starts: Starts, contest: Any, told: measure.Told) -> None:
    runs = starts.runs(TO_S3, told)
    for run in runs.values():
        run()
    contest(
        f"Python {starts.target.python}, first object, S3 to S3, with a table",
        {"millstream": runs.pop("millstream_table"), **runs},
        names={"millstream" if who == "millstream_table" else who: name for who, (_, _, name) in TO_S3.items()},
        yardsticks=("clients_s3", "clients_both"),
        bars=[takes(4, 1.2, "clients_both")],
        rounds=(11, 21),
        seconds=20,
        warm=False,
    )
