"""What the pages of the repository show is true: commands give what is shown, Python runs, pipelines plan, links lead somewhere.

tests/pages.py says what comments before a block may tell. What is marked `fresh` runs in `make docs-test`.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import tomllib
from itertools import dropwhile
from pathlib import Path

import pytest
import yaml
from botocore import xform_name
from botocore.session import get_session

from millstream.arguments import parser as arguments_parser
from tests.pages import ROOT, Page, Shell, commands, fits, pages

pytestmark = pytest.mark.once

PAGES = pages()
BLOCKS = [block for page in PAGES for block in page.blocks]
SHOWN = {"text"}
"""Kinds of which nothing is asked: figures of a run, drawings of characters, what a log says."""
CHECKED = {"console", "bash", "python", "yaml", "json", "ndjson", "csv", "make"}
UNFENCED = ("docs/decisions/", "docs/reference/contract.md")
"""Pages whose blocks may be told by their indentation: records of their day, and one that is nothing but such text."""


def test_there_is_something_to_check():
    assert len(PAGES) > 40
    assert len(BLOCKS) > 60


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_blocks_have_a_kind(page: Page):
    told = [f"{block}: {block.language or 'no kind'}" for block in page.blocks if block.language not in SHOWN | CHECKED]
    assert told == [], f"write one of {', '.join(sorted(SHOWN | CHECKED))} behind the fence"
    if not page.name.startswith(UNFENCED):
        assert page.indented == [], "blocks stand between ``` and ```, with a kind"
    unsaid = [str(block) for block in page.blocks for mark in ("not run", "fresh") if block.marks.get(mark) == ""]
    assert unsaid == [], "say why: <!-- not run: needs AWS -->"


# ---- links


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Page):
    by_path = {one.path: one for one in PAGES}
    wrong = []
    for line, link in page.links:
        if re.match(r"[a-z+]+:", link):
            if not link.startswith("https://"):
                wrong.append(f"{line}: {link} is no https")
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        if not path.exists():
            wrong.append(f"{line}: {link} is not there")
        elif anchor and anchor not in by_path[path].anchors:
            wrong.append(f"{line}: {link}: no such heading in {by_path[path]}")
    assert wrong == []


def test_every_page_is_in_the_index():
    index = Page(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for _, link in index.links if ":" not in link}
    pages_of_docs = {page.path for page in PAGES if page.name.startswith("docs/") and "/decisions/" not in page.name}
    assert {str(path.relative_to(ROOT)) for path in pages_of_docs - linked - {index.path}} == set()


# ---- blocks


def follows(page: Page) -> bool:
    return any(block.language in ("console", "python", "bash") or "file" in block.marks for block in page.blocks)


@pytest.mark.parametrize("page", [page for page in PAGES if follows(page)], ids=str)
def test_what_a_page_shows_is_what_comes(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a folder that has in it what a checkout has at its top."""
    for variable in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "MILLSTREAM_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")  # pages write there
    for name in ("sam", "src", "tests", "benchmarks", "layer"):
        (tmp_path / name).symlink_to(ROOT / name)
    shell = Shell(tmp_path)
    try:
        shell.follow(page)
    finally:
        shell.end()


class _Tags(yaml.SafeLoader):
    """CloudFormation's short tags are whatever they are before."""


_Tags.add_multi_constructor("!", lambda loader, suffix, node: suffix)


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language == "yaml"], ids=str)
def test_yaml_is_what_it_says(block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from millstream import Pipeline
    from millstream.documents import loads

    if "not run" in block.marks:
        pytest.skip(str(block.marks))
    found = yaml.load(block.text, _Tags)
    assert isinstance(found, dict | list)
    if "schema" in found and "steps" in found:
        for name in ("airlines.csv", "examples"):
            (tmp_path / name).symlink_to(ROOT / "examples" / ("flights/airlines.csv" if "." in name else ""))
        (tmp_path / "countries.csv").write_text("code,country_name\nDE,Germany\n")
        for other in BLOCKS:
            if other.page == block.page and "file" in other.marks:
                (tmp_path / other.marks["file"]).write_text(other.text)
        monkeypatch.chdir(tmp_path)
        Pipeline.from_spec(loads(block.text, is_json=False)).plan()


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language in ("json", "ndjson")], ids=str)
def test_json_is_json(block):
    if "not run" in block.marks:
        pytest.skip(block.marks["not run"])
    for text in block.text.splitlines() if block.language == "ndjson" else [block.text]:
        json.loads(text)


# ---- commands that nobody runs here are at least there

PROGRAMS = {"aws", "cd", "cp", "docker", "export", "git", "pip", "python", "python3", "sam", "source", "mkdir"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS, SAM_TARGETS = (
    set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / name).read_text(), re.MULTILINE)) for name in ("Makefile", "sam/Makefile")
)
NOT_RUN = [
    pytest.param(command.words, id=f"{block.page}:{command.line}")
    for block in BLOCKS
    if block.language == "console" and {"not run", "fresh"} & block.marks.keys()
    for command in commands(block)
]


def options_of(words: list[str]) -> set[str]:
    """What a subcommand of millstream takes. Raises KeyError where there is none of that name."""
    parser, found = arguments_parser(), set()
    while parser:
        found |= {name for action in parser._actions for name in action.option_strings}
        below = next((one for one in parser._actions if isinstance(one, argparse._SubParsersAction)), None)
        parser = below and below.choices[words.pop(0)]
    return found


OWN_OF_AWS = {("s3", "ls"), ("s3", "cp"), ("s3", "sync")}
GLOBAL = {"query", "cli-binary-format", "zip-file"}
"""Options that the AWS command line adds."""


def check_aws(service: str, operation: str, *rest: str) -> None:
    """There is such an operation, and it takes these parameters, by botocore's descriptions."""
    if (service, operation) in OWN_OF_AWS:
        return
    model = get_session().get_service_model(service)
    by_name = {xform_name(name, "-"): name for name in model.operation_names}
    takes = {xform_name(name, "-") for name in model.operation_model(by_name[operation]).input_shape.members}
    assert {word[2:] for word in rest if word.startswith("--")} <= takes | GLOBAL


@pytest.mark.parametrize("command", NOT_RUN)
def test_commands_exist(command: str):
    if "<<" in command:
        return
    words = list(dropwhile(lambda word: "=" in word, shlex.split(command.replace("\\\n", " "), comments=True)))
    program, rest = Path(words[0]).name, words[1:]
    if program == "make":
        known = SAM_TARGETS if rest[:2] == ["-C", "sam"] else TARGETS
        rest = rest[2:] if rest[0] == "-C" else rest
        assert {word for word in rest if "=" not in word} <= known
    elif program == "millstream":
        taken = options_of([word for word in rest if not word.startswith("-")])
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= taken
    elif program == "aws":
        check_aws(*rest)
    elif program == "pip":
        assert all(set(one.split(",")) <= EXTRAS.keys() for one in re.findall(r"\[([\w,-]+)\]", " ".join(rest)))
    elif "/" in words[0] and "bin/" not in words[0]:
        assert (ROOT / words[0]).exists()
    else:
        assert program in PROGRAMS


def test_the_readme_shows_both_commands():
    shown = [
        one.words for block in BLOCKS if block.page == "README.md" and block.language == "console" for one in commands(block)
    ]
    assert {"make demo", "make test"} <= set(shown)


def test_every_make_target_is_in_its_help():
    told = set(re.findall(r'"make ([\w-]+) ', (ROOT / "Makefile").read_text()))
    assert told == TARGETS - {"help"}


# ---- this module's own rules


def page_of(folder: Path, text: str) -> Page:
    (folder / "page.md").write_text(text)
    return Page(folder / "page.md")


def test_a_page_is_read_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.pages.ROOT", tmp_path)
    page = page_of(
        tmp_path,
        "# What `this` is: a test\n\n- a list\n\n    of two paragraphs, [linked](#one)\n\ntext `[no](link)`\n\n    indented\n\n"
        "<!-- not run: needs AWS -->\n<!-- file: a.txt -->\n```console\n$ a \\\n  b\n$ cat <<'E'\n$ no\nE\nout\n[no](link)\n```\n\n## One\n## One\n",
    )
    assert page.anchors == {"what-this-is-a-test", "one", "one-1"}
    assert page.links == [(5, "#one")]
    assert page.indented == [9]
    (block,) = page.blocks
    assert block.marks == {"not run": "needs AWS", "file": "a.txt"}
    assert block.line == 14
    assert [(one.line, one.words, one.shown) for one in commands(block)] == [
        (14, "a \\\n  b", []),
        (16, "cat <<'E'\n$ no\nE", ["out", "[no](link)"]),
    ]


@pytest.mark.parametrize(
    ("shown", "got", "is_so"),
    [
        (["a"], ["a"], True),
        (["a"], ["a", "b"], False),
        (["a", "…"], ["a", "b", "c"], True),
        (["a", "…"], ["a"], True),
        (["…", "c"], ["a", "b", "c"], True),
        (["a … c"], ["a b c"], True),
        (["a … c"], ["a b"], False),
        (["took 0.71 s, 473,954 records a second"], ["took 1.02 s, 9 records a second"], True),
        (["0.71 s"], ["some s"], False),
        (["9 rows, 581 bytes"], ["9 rows, 1.2 kB"], True),
        (["9 rows, 581 bytes"], ["8 rows, 581 bytes"], False),
        (["x" * 32], ["y" * 32], False),
        (["a" * 32 + "-0"], ["b" * 32 + "-0"], True),
    ],
)
def test_what_fits(shown: list[str], got: list[str], is_so: bool):
    assert fits(shown, got) is is_so


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "gave\none"),
        ("```console\n$ false\n```\n", "exit status 1"),
        ("```console\n$ echo error: none\nerror: none\n```\n", "exit status 0"),
        ("```console\n$ millstream functions no_such\n```\n", "exit status 2"),
        ("```python\nassert 1 == 2, 'no'\n```\n", "no"),
        ("```bash\nfalse\ntrue\n```\n", "exit status 1"),
        ("```console\none\n```\n", "before the first command"),
        ("<!-- not run: no -->\n```console\n$ false\n```\n", None),
        ("<!-- file: f -->\n```text\none\n```\n```console\n$ cat f\none\n$ X=2; export X\n$ echo $X\n2\n```\n", None),
        ("<!-- background -->\n```console\n$ sh -c 'echo ready; sleep 60'\nready\n```\n", None),
    ],
)
def test_a_page_that_is_wrong_is_found(text: str, wrong: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.pages.ROOT", tmp_path)
    (tmp_path / "folder").mkdir()
    shell = Shell(tmp_path / "folder")
    try:
        if wrong is None:
            shell.follow(page_of(tmp_path, text))
        else:
            with pytest.raises(AssertionError, match=re.escape(wrong)):
                shell.follow(page_of(tmp_path, text))
    finally:
        shell.end()
