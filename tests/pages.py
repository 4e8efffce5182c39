"""The repository's pages: their blocks, links and headings, and a shell that follows what they show.

    python -m tests.pages docs/tutorial.md

follows pages as a new user would: all their blocks, by a real shell, in an environment with nothing in it, in a clone of the checkout.

A comment on the lines before a block says what else is to be known about it:

    <!-- not run: needs AWS -->      why nobody runs it
    <!-- fresh: sets up -->          why only the command above runs it
    <!-- file: pipeline.yaml -->     what the reader is told to write to this file
    <!-- before: mkdir lake -->      what the text does not show and the block needs
    <!-- background -->              its one command goes on until the page ends; what is shown is waited for
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
NOT_OURS = {"demo", "build", "dist", "node_modules"}
MARKS = ("not run", "fresh", "file", "before", "background")
PATIENCE = 300
NETWORK = r"proxy$|cert|ca_bundle|^(pip|uv)_"
"""Variables that tell how the network is reached."""


class Block(NamedTuple):
    """What stands between fences. `marks`: what the comments before it say."""

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """A command of a console block, and the lines that are shown below it."""

    line: int
    words: str
    shown: list[str]


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def __str__(self) -> str:
        return self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        marks: dict[str, str] = {}
        lines = iter(enumerate(self.text.splitlines(), 1))
        for number, line in lines:
            if opened := re.match(r"^( *)(```+)\s*(\S*)", line):
                indent, fence, language = opened.groups()
                inside = []
                for _, text in lines:
                    if text.strip() == fence:
                        break
                    inside.append(text.removeprefix(indent))
                else:
                    raise AssertionError(f"{self.name}:{number}: nothing closes this block")
                found.append(Block(self.name, number + 1, language, "\n".join([*inside, ""]), marks))
            if mark := re.fullmatch(r"\s*<!-- ([a-z ]+?)(?:: (.*?))? -->", line):
                if mark[1] in MARKS:
                    marks = marks | {mark[1]: mark[2] or ""}
            elif line.strip():
                marks = {}
        return found

    @cached_property
    def prose(self) -> str:
        """The page without what stands between fences; its lines stay where they are."""
        out, fence = [], ""
        for line in self.text.splitlines():
            opened = re.match(r"^ *(```+)", line)
            if opened and not fence:
                fence = opened[1]
            elif opened and line.strip() == fence:
                fence = ""
            elif not fence:
                out.append(line)
                continue
            out.append("")
        return "\n".join(out)

    @cached_property
    def indented(self) -> list[int]:
        """Lines at which a block begins that is told by its indentation alone."""
        found, before, in_list = [], "", False
        for number, line in enumerate(self.prose.splitlines(), 1):
            if line.strip():
                is_item = re.match(r" *([-*+]|\d+\.) ", line) is not None
                if line.startswith("    ") and (not before.strip() or before[0] == "#") and not in_list and not is_item:
                    found.append(number)
                in_list = is_item or (in_list and line.startswith(" "))
            before = line
        return found

    @cached_property
    def anchors(self) -> set[str]:
        """What a link to a heading ends with, as GitHub makes it."""
        found: set[str] = set()
        for heading in re.findall(r"^#+ (.+?)\s*$", self.prose, re.MULTILINE):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            number = 0
            while (name := f"{slug}-{number}" if number else slug) in found:
                number += 1
            found.add(name)
        return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', self.prose))

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """Where links and pictures lead, by line; code is left out."""
        plain = re.sub(r"(`+)(?:(?!\1).)*?\1", lambda code: "x" * len(code[0]), self.prose)
        pattern = r"\]\(([^)\s]+)[^)]*\)|<(?:img|a) [^>]*(?:src|href)=\"([^\"]+)\"|^\[[^\]]+\]: (\S+)"
        return [
            (plain.count("\n", 0, one.start()) + 1, next(filter(None, one.groups())))
            for one in re.finditer(pattern, plain, re.MULTILINE)
        ]


def pages() -> list[Page]:
    """Every Markdown file of the repository."""

    def below(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith(".") and path.name not in NOT_OURS:
                yield from below(path)
            elif path.suffix == ".md":
                yield path

    return [Page(path) for path in below(ROOT)]


def commands(block: Block) -> list[Command]:
    """What stands after `$ `, with lines that a backslash or an open `<<'END'` joins to it, and what is shown below."""
    found: list[Command] = []
    lines = iter(enumerate(block.text.splitlines(), block.line))
    for number, line in lines:
        if line.startswith("$ "):
            words = line[2:]
            while words.endswith("\\"):
                words += "\n" + next(lines)[1].removeprefix("> ")
            if here := re.search(r"<<\s*'?(\w+)'?", words):
                for _, text in lines:
                    words += "\n" + text
                    if text == here[1]:
                        break
            found.append(Command(number, words, []))
        elif found:
            found[-1].shown.append(line)
        else:
            raise AssertionError(f"{block.page}:{number}: output before the first command; commands begin with `$ `")
    return found


# What is never the same twice: time, sizes after compression, names made of a file's time of change, ports.
_VARIES = (
    (re.compile(r"\b\d+\.\d+ (s|ms)\b"), r"T \1"),
    (re.compile(r"\b[\d,]+ (records?) a second"), r"N \1 a second"),
    (re.compile(r"\b[\d,.]+ (bytes|kB|MB)\b"), "SIZE"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "NAME"),
    (re.compile(r"\b127\.0\.0\.1:\d+\b"), "ADDRESS"),
)


def plain(line: str) -> str:
    for pattern, instead in _VARIES:
        line = pattern.sub(instead, line)
    return line.rstrip()


def fits(shown: list[str], got: list[str]) -> bool:
    """Is this what a page shows? A line `…` stands for any lines, `…` inside of one for any text."""
    wanted = []
    for line in shown:
        if re.fullmatch(r"\s*…", line):
            wanted.append(r"(?:.*\n)*?")
        else:
            wanted.append(".*?".join(re.escape(part) for part in plain(line).split("…")) + "\n")
    return re.fullmatch("".join(wanted), "".join(plain(line) + "\n" for line in got)) is not None


@dataclass
class Shell:
    """Follows a page in a folder. `fresh`: by processes alone, and all that can be run."""

    folder: Path
    fresh: bool = False
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cwd = self.folder
        self.names: dict[str, Any] = {"__name__": "page"}
        self._background: list[subprocess.Popen[str]] = []
        if not self.env:
            programs = self.folder / ".bin"
            programs.mkdir()
            for name, module in (("millstream", " -m millstream"), ("python", ""), ("python3", "")):
                (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
                (programs / name).chmod(0o755)
            self.env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
        self._started = dict(self.env)

    def follow(self, page: Page) -> None:
        for block in page.blocks:
            self.do(block)

    def skips(self, block: Block) -> bool:
        return "not run" in block.marks or ("fresh" in block.marks and not self.fresh)

    def do(self, block: Block) -> None:
        if self.skips(block):
            return
        if before := block.marks.get("before"):
            status, said = self.run(before)
            assert status == 0, f"{block}: {said}"
        if name := block.marks.get("file"):
            path = self.cwd / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "python" and not self.fresh:
            with contextlib.chdir(self.cwd):  # the line numbers of a failure are the page's own
                exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec"), self.names)
        elif block.language == "bash":
            status, said = self.run(f"set -e\n{block.text}")
            assert status == 0, f"{block}: exit status {status}\n{said}"
        elif block.language == "console":
            for command in commands(block):
                if "background" in block.marks:
                    self._start(command, block)
                else:
                    self._compare(command, block)

    def _compare(self, command: Command, block: Block) -> None:
        status, said = self.run(command.words)
        place = f"{block.page}:{command.line}: {command.words}\n"
        fails = any("error:" in line for line in command.shown)
        assert (status != 0) == fails, f"{place}exit status {status}\n{said}"
        if command.shown:
            assert fits(command.shown, said.splitlines()), f"{place}gave\n{said}"

    def run(self, words: str) -> tuple[int, str]:
        """A command's status and what it wrote. It may change folder and environment for the next."""
        if not self.fresh and self.env == self._started and re.fullmatch(r"millstream ((?!\$[^P])[^|&;<>`*\n])*", words):
            return self._here(shlex.split(words.replace("$PWD", str(self.cwd)), comments=True)[1:])
        with tempfile.TemporaryDirectory() as scratch:
            left = Path(scratch) / "left"
            script = f"trap '{{ env -0; pwd; }} > {left}' EXIT\n{words}\n"
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=None if self.fresh else PATIENCE,
                check=False,
            )
            *variables, folder = left.read_text().split("\0")
        passing = ("_", "PWD", "OLDPWD", "SHLVL")
        self.env = {name: value for name, _, value in (one.partition("=") for one in variables) if name not in passing} | {
            name: self.env[name] for name in passing if name in self.env
        }
        self.cwd = Path(folder.strip())
        return done.returncode, done.stdout

    def _here(self, words: list[str]) -> tuple[int, str]:
        """millstream, in this process: a third of a second less for each."""
        from millstream.cli import main

        said = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
        program, sys.argv[0] = sys.argv[0], "millstream"
        try:
            with contextlib.chdir(self.cwd), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                try:
                    status = main(words)
                except SystemExit as ended:
                    status = ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.argv[0] = program
            for one, handler in handlers.items():
                signal.signal(one, handler)
        return status, said.buffer.getvalue().decode()  # type: ignore[attr-defined]

    def _start(self, command: Command, block: Block) -> None:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command.words}"],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._background.append(process)
        assert process.stdout is not None
        got: list[str] = []
        # What says nothing for too long is killed, which ends its output.
        timer = threading.Timer(3600 if self.fresh else PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            while not fits(command.shown, got):
                line = process.stdout.readline()
                got.append(line.rstrip("\n"))
                if not line:
                    raise AssertionError(f"{block}: {command.words}\ngave\n" + "\n".join(got))
        finally:
            timer.cancel()

    def end(self) -> None:
        """Stop what runs in the background, as Ctrl-C would: not by its signal, which a shell has what it starts with `&` ignore."""
        for process in self._background:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        self._background.clear()


def main() -> int:
    """Follow pages in a clone of what is committed, with an empty home and an environment that tells how the network is reached, no more; tell
    how long each block took."""
    with tempfile.TemporaryDirectory(prefix="fresh-") as place:
        clone, home = Path(place) / "millstream", Path(place) / "home"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        home.mkdir()
        for name in sys.argv[1:]:
            page = Page((ROOT / name).resolve())
            network = {name: value for name, value in os.environ.items() if re.search(NETWORK, name, re.IGNORECASE)}
            shell = Shell(clone, fresh=True, env=network | {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"})
            began = time.monotonic()
            try:
                for block in page.blocks:
                    start = time.monotonic()
                    shell.do(block)
                    skipped = "skipped" if shell.skips(block) else ""
                    print(f"{time.monotonic() - start:7.1f} s  {block} {block.language} {skipped}", flush=True)
            except AssertionError as error:
                print(error)
                return 1
            finally:
                shell.end()
            print(f"{time.monotonic() - began:7.1f} s  {page} in all", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
