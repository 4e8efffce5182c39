"""Two revisions in turn: `make bench-compare BASE=<revision>` fails where what is checked out is slower beyond noise.

    python benchmarks/compare.py BASE [--only EXPRESSION] [--processes N] [--pairs N] [--threshold SHARE] [--clock cpu|wall] [--json FILE]

BASE is checked out into a folder of its own. The benchmarks of what is checked out here are run over both sources, Millstream's side
alone: a process of each lives at a time, and they run a case in turn, base then head, head then base, … (turns.py). Then another pair of
processes. What a case cannot run on one of the two is said. Exit status 1 where anything is slower, 2 where nothing can be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import noise
import turns

HERE = Path(__file__).parent
ROOT = HERE.parent
DESELECTED = "not processes and not large"
LEAST_PAIRS, SECONDS = 5, 1.5


class CompareError(Exception):
    """Revisions cannot be compared: why, and what to do."""


@contextlib.contextmanager
def checked_out(revision: str, root: Path = ROOT) -> Iterator[Path]:
    """A revision in a folder of its own. Raises CompareError for one that is not there."""
    git = ["git", "-C", str(root)]
    found = subprocess.run(
        [*git, "rev-parse", "--verify", f"{revision}^{{commit}}"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise CompareError(f"git knows no revision {revision!r} here: name a commit, a branch or a tag, as in BASE=main")
    with tempfile.TemporaryDirectory(prefix="millstream-base-") as folder:
        place = Path(folder) / "base"
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(place), found.stdout.strip()], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(place)], check=True)


class Worker:
    """A pytest process over one source."""

    def __init__(self, name: str, source: Path, log: Path, arguments: Sequence[str], suite: Path) -> None:
        self.name, self._log = name, log
        asked, ask = os.pipe()
        answer, answers = os.pipe()
        with log.open("w", encoding="utf-8") as told:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "--continue-on-collection-errors", "-q", *arguments],
                cwd=suite,
                env=os.environ | {"PYTHONPATH": str(source), turns.VARIABLE: f"{asked},{answers}"},
                pass_fds=(asked, answers),
                stdout=told,
                stderr=told,
            )
        os.close(asked)
        os.close(answers)
        self._ask = os.fdopen(ask, "w", encoding="utf-8")
        self._answers = os.fdopen(answer, "r", encoding="utf-8")
        self.gone: dict[str, str] = {}
        self.ready: str | None = None
        self.case = ""
        found = self._heard()
        if "cases" not in found:
            raise self._ended()
        self.cases: list[str] = found["cases"]
        if not Path(found["source"]).is_relative_to(source):
            raise CompareError(f"{name} was to run {source} and runs {found['source']}: unset what leads python there")

    def _heard(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise self._ended()
        heard: dict[str, Any] = json.loads(line)
        return heard

    def _ended(self) -> CompareError:
        tail = "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-15:])
        return CompareError(f"the benchmarks of {self.name} ended early:\n{tail}")

    def reach(self, case: str) -> bool:
        """Go on to a case. False where it is not to be had."""
        while self.ready != case:
            if case in self.gone:
                return False
            if self.ready is not None:
                self._say("next")
                self.ready = None
            heard = self._heard()
            if "ready" in heard:
                self.ready, self.case = heard["ready"], heard["case"]
            elif "gone" in heard:
                self.gone[heard["gone"]] = heard["why"]
            elif "end" in heard:
                self.gone.setdefault(case, "it was not reached")
                return False
        return True

    def _say(self, what: str) -> None:
        self._ask.write(what + "\n")
        self._ask.flush()

    def run(self) -> float:
        """Seconds of one run of the case that is ready."""
        self._say("go")
        heard = self._heard()
        if "took" not in heard:
            raise CompareError(f"{self.name}: {self.ready} failed: {heard.get('why', heard)}")
        return float(heard["took"])

    def close(self) -> None:
        for end in (self._ask, self._answers):
            with contextlib.suppress(OSError):
                end.close()
        self._process.terminate()
        self._process.wait(30)


@dataclass
class Compared:
    """A case's pairs, of each pair of processes; why: it cannot be compared."""

    name: str
    processes: list[list[noise.Pair]] = field(default_factory=list)
    why: str = ""


def pairs_of(base: Worker, head: Worker, most: int) -> list[noise.Pair]:
    """Pairs of the case that both have ready, each time another one first."""
    pairs: list[noise.Pair] = []
    spent = 0.0
    while len(pairs) < LEAST_PAIRS or (len(pairs) < most and spent < SECONDS):
        if len(pairs) % 2:
            later = head.run()
            earlier = base.run()
        else:
            earlier = base.run()
            later = head.run()
        pairs.append((earlier, later))
        spent += earlier + later
    return pairs


def compare(
    base: Path, head: Path, processes: int, most: int, arguments: Sequence[str], suite: Path = HERE
) -> dict[str, Compared]:
    """Every case of both sources, by its id. Raises CompareError where there is none."""
    found: dict[str, Compared] = {}
    with tempfile.TemporaryDirectory() as logs:
        for one in range(processes):
            workers: list[Worker] = []
            try:
                for name, source in (("base", base), ("head", head)):
                    workers.append(Worker(name, source, Path(logs) / f"{name}-{one}.log", arguments, suite))
                earlier, later = workers
                if not later.cases:
                    raise CompareError("nothing can be compared: no benchmark was selected")
                for case in later.cases:
                    compared = found.setdefault(case, Compared(case))
                    if compared.why:
                        continue
                    if case not in earlier.cases:
                        compared.why = "base: its benchmark cannot be imported there"
                        continue
                    reached = [worker.reach(case) for worker in workers]
                    if all(reached):
                        compared.name = later.case
                        compared.processes.append(pairs_of(earlier, later, most))
                    else:
                        lacking = workers[reached.index(False)]
                        compared.why = f"{lacking.name}: {lacking.gone[case]}"
            finally:
                for worker in workers:
                    worker.close()
            print(f"pair of processes {one + 1} of {processes} is done", file=sys.stderr, flush=True)
    if not any(one.processes and not one.why for one in found.values()):
        reasons = sorted({one.why for one in found.values()})
        raise CompareError(f"nothing can be compared: {'; '.join(reasons[:5])}")
    return found


def files_of(only: str) -> list[str]:
    """The files that an expression of plain words means, all of which name files: importing the others' peers takes seconds."""
    words = only.split(" or ")
    found = [path.name for path in sorted(HERE.glob("bench_*.py")) if any(word in path.stem for word in words)]
    plain = all(word.isidentifier() and any(word in name for name in found) for word in words)
    return found if plain else []


def table(found: dict[str, Compared], threshold: float) -> tuple[list[str], int]:
    """Lines, and how many cases are slower."""
    lines = [f"{'case, as head has it':<84} {'base':>10} {'head':>10} {'ratio':>6}  95 % between"]
    slower = 0
    for case, one in found.items():
        stage = case.partition("::")[0].removeprefix("bench_").removesuffix(".py").replace("_", " ")
        if one.why:
            lines.append(f"{stage + ': ' + one.name:<84} not compared: {one.why}")
            continue
        change = noise.change(one.processes)
        verdict = change.verdict(threshold)
        slower += verdict == "SLOWER"
        every = [pair for pairs in one.processes for pair in pairs]
        middles = [sorted(times)[len(times) // 2] * 1e3 for times in zip(*every, strict=True)]
        lines.append(
            f"{stage + ': ' + one.name:<84} {middles[0]:>7.3f} ms {middles[1]:>7.3f} ms {change.ratio:>6.3f}  "
            f"{change.low:.3f} and {change.high:.3f}  {verdict if verdict != 'same' else ''}".rstrip()
        )
    return lines, slower


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="what is checked out beside another revision")
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument(
        "--only",
        default="",
        metavar="EXPRESSION",
        help="parts of files' names with `or` between, or as pytest's -k",
    )
    parser.add_argument("--processes", type=int, default=5, help="pairs of processes, at least 2")
    parser.add_argument("--pairs", type=int, default=41, help="pairs of runs a case, at most, of each pair of processes")
    parser.add_argument("--threshold", type=float, default=0.05, help="what is slower by no more than this share passes")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="what is counted; a busy machine sways wall")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all pairs there")
    chosen = parser.parse_args(given)
    if chosen.processes < 2 or chosen.pairs < LEAST_PAIRS or chosen.threshold < 0:
        parser.error(f"--processes takes 2 or more, --pairs {LEAST_PAIRS} or more, --threshold a share of 0 or more")
    files = files_of(chosen.only)
    arguments = [*files, "-m", DESELECTED, *([] if files else ["-k", chosen.only]), "--clock", chosen.clock]
    try:
        with checked_out(chosen.base) as base:
            found = compare(base / "src", ROOT / "src", chosen.processes, chosen.pairs, arguments)
    except CompareError as error:
        print(error, file=sys.stderr)
        return 2
    lines, slower = table(found, chosen.threshold)
    print("\n".join(lines))
    print(
        f"\n{slower} of {sum(not one.why for one in found.values())} cases slower than {chosen.base} by more than {chosen.threshold:.0%}, "
        f"beyond noise; {chosen.processes} pairs of processes, {'the processor’s time' if chosen.clock == 'cpu' else 'time as it passes'}"
    )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({case: asdict(one) for case, one in found.items()}, indent=1))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
