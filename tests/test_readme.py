"""What README.md and the pages under docs/ show is true: commands exist, Python runs, pipelines plan, links lead somewhere.

Python blocks of one page run in their order in one namespace, in a folder that has the examples in it.
"""

import re
import shlex
import subprocess
import sys
import tomllib
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted(path for path in [README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")] if path.exists())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    name = str(page.relative_to(ROOT))
    return [Block(name, text.count("\n", 0, one.start()) + 2, one[1], one[2]) for one in found]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands(block: Block) -> list[list[str]]:
    """The commands of a console block: what stands after `$ `, backslash lines joined, settings in front left out."""
    joined = block.text.replace("\\\n", " ")
    lines = [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    split = [shlex.split(line, comments=True) for line in lines]
    return [list(dropwhile(lambda word: "=" in word, words)) for words in split if words]


COMMANDS = [
    pytest.param(words, id=f"{block}-{' '.join(words)[:40]}")
    for block in BLOCKS
    if block.language == "console"
    for words in commands(block)
]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
needs_readme = pytest.mark.skipif(
    not README.exists() or "```console" not in README.read_text(), reason="NOT TESTED: README.md is not written yet"
)


@needs_readme
def test_the_readme_shows_both_commands():
    shown = [
        words for block in BLOCKS if block.page == "README.md" and block.language == "console" for words in commands(block)
    ]
    assert ["make", "demo"] in shown
    assert ["make", "test"] in shown


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_exist(words: list[str]):
    program, *rest = words
    if program == "make":
        named = [word for word in rest if not word.startswith("-") and "=" not in word]
        assert set(named) <= TARGETS
    elif program.endswith("millstream"):
        subcommand = next((word for word in rest if not word.startswith("-")), None)
        start = "import sys; sys.argv[0] = 'millstream'; from millstream.cli import main; sys.exit(main())"
        asked = [sys.executable, "-c", start, *([subcommand] if subcommand else []), "--help"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for option in (word.partition("=")[0] for word in rest if word.startswith("--")):
            assert option in done.stdout, f"{subcommand} has no {option}"
    elif program in ("pip", "python") and "install" in rest:
        for extras in re.findall(r"\[([\w,-]+)\]", " ".join(rest)):
            assert set(extras.split(",")) <= EXTRAS.keys()
    elif program.startswith(("./", ".ci/", "examples/", "scripts/")):
        assert (ROOT / program).exists()
    else:
        assert program in ("cd", "git", "ls", "cat", "head", "python", "python3", "pip", "du", "tree", "unzip", "aws", "sam")


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "python" for b in blocks_of(page))], ids=str)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if (ROOT / "examples").exists():
        (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    for block in blocks_of(page):
        if block.language == "python":
            # The line numbers of a failure are the page's own.
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml" and "schema:" in block.text], ids=str)
def test_pipelines_plan(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from millstream import Pipeline
    from millstream.documents import loads

    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    Pipeline.from_spec(loads(block.text, is_json=False)).plan()


def links() -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S))
        if "://" not in target
    ]


def test_links_lead_to_files():
    broken = [f"{page}: {target}" for page, target in links() if not (ROOT / page).parent.joinpath(target).exists()]
    assert not broken


def test_every_make_target_is_in_its_help():
    told = set(re.findall(r'"make ([\w-]+) ', (ROOT / "Makefile").read_text()))
    assert told == TARGETS - {"help"}
