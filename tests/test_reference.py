"""Tables of docs/reference/ are made from what they tell of, and compared.

    python -m tests.test_reference

writes them anew: the functions of expressions.md from the catalogue, the settings of handlers.md from `millstream.aws.settings`; all of cli.md
from the parser of the command line.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream import across
from millstream.arguments import parser as arguments_parser
from millstream.aws import observe
from millstream.aws.settings import SETTINGS
from millstream.errors import UsageError
from millstream.functions import CATALOGUE, Form
from millstream.functions.told import written_as
from millstream.grammar import parse
from millstream.pipeline import Pipeline
from millstream.sinks.landed import Landed
from millstream.sinks.store import Stored

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
END = "<!-- end -->\n"


def functions() -> str:
    """A row for each function: how it is written, what it says, which types it takes and gives, what it does with nulls."""
    lines = ["| function | example | what it gives | types | nulls |", "|---|---|---|---|---|"]
    for one in CATALOGUE.values():
        name = one.name if one.form is Form.OPERATOR else written_as(one)
        cells = [f"`{name}`", f"`{one.examples[0].text}`", one.doc, f"`{one.takes}`", one.policy.value]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


STUB = FOLDER.parent.parent / "src" / "millstream" / "methods.pyi"
OWN = ("is_in", "cast")
"""Methods that Expr has of its own."""


def stub() -> str:
    """The methods of expressions for type checkers."""
    spaces = {"": ("Methods", ""), "str": ("Text", "(Namespace)"), "dt": ("Time", "(Namespace)"), "list": ("Lists", "(Namespace)"),
              "struct": ("Struct", "(Namespace)")}  # fmt: skip
    lines = [
        "# Made from the catalogue of functions by: python -m tests.test_reference",
        "# ruff: noqa: A002, E501",
        "# fmt: off",
        "",
        "from typing import Any",
        "",
        "from millstream.expr import Expr",
        "",
        "SPACES: tuple[str, ...]",
        "",
        "class Namespace:",
        "    def __init__(self, of: Expr) -> None: ...",
        "",
    ]
    for space, (called, base) in spaces.items():
        lines.append(f"class {called}{base}:")
        for one in CATALOGUE.space(space).values():
            name = one.name.rpartition(".")[2]
            if one.form is Form.METHOD and name not in OWN:
                takes = "".join(f", {part}" for part in one.parameters.replace("Value", "Any").split(", ") if part)
                lines += [f"    def {name}(self{takes}) -> Expr:", f'        """{one.doc}"""']
        lines.append("")
    lines += ["def method_names(space: str) -> list[str]: ...", "def no_method(space: str, name: str) -> str: ..."]
    return "\n".join(lines) + "\n"


def test_the_stub_tells_what_is() -> None:
    assert STUB.read_text() == stub(), "run: python -m tests.test_reference"


def test_functions_of_several_columns_take_what_the_catalogue_says() -> None:
    named = {name for name, one in CATALOGUE.items() if one.form is Form.FUNCTION}
    assert named == {
        name for name, one in vars(across).items() if inspect.isfunction(one) and one.__module__ == across.__name__
    } - {"_call"}
    for name in named:
        said = (
            str(inspect.signature(getattr(across, name))).replace("'", '"').replace('"Any"', "Value").replace('"Expr"', "Expr")
        )
        said = said.replace('"str"', "str").replace('"bool"', "bool")
        assert said == f"({CATALOGUE[name].parameters}) -> Expr", name


def settings() -> str:
    """A row for each setting: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for one in SETTINGS:
        default = "–" if one.default is None else f"`{one.default if isinstance(one.default, str) else int(one.default)}`"
        lines.append(f"| `{one.variable}` | {default} | {one.doc} |")
    return "\n".join(lines) + "\n"


COLUMNS = {"id": "int64", "price": "decimal128(9, 2)", "name": "string", "at": "timestamp[us, UTC]", "day": "date32", "tags": "list<string>",
           "session": "struct<id: string, page: int64>"}  # fmt: skip
MISTAKES = (
    "name.str.to_lower()",
    "nmae.str.to_lowercase()",
    "id.str.to_lowercase()",
    "name * 2",
    "price / 2",
    'name.str.replace_all("(a", "b")',
    'name.str.to_date("%d.%m")',
    'at > "yesterday"',
    'at.dt.convert_time_zone("Berlin")',
    'day + duration("PT1H")',
    'session.struct.field("pages")',
    "tags.list.contains(5)",
    "name.str.slice(id)",
)


def mistakes() -> str:
    """Pairs of an expression and what is said of it."""
    lines = ["```text"]
    for text in MISTAKES:
        try:
            Pipeline(COLUMNS).with_columns(new=parse(text)).plan()
        except UsageError as error:
            lines += [text, f"    {error}"]
    return "\n".join([*lines, "```", ""])


def test_every_mistake_is_one_and_is_told_in_full() -> None:
    told = mistakes().splitlines()[1:-1]
    assert told[::2] == list(MISTAKES)
    for text, said in zip(told[::2], told[1::2], strict=True):
        assert "`" in said, "the expression or its place"
        assert said.strip().startswith(("step 1 (with_columns): ", f"`{text}` at character ")), said


MORE = {
    "run": "[tutorial](../tutorial.md#run-it)",
    "gc": "[ledger](ledger.md#millstream-gc)",
    "replay": "[ledger](ledger.md#millstream-replay), [how to](../how-to/quarantine-and-replay.md)",
    "redrive": "[ledger](ledger.md#millstream-redrive)",
    "glue": "[Glue](glue.md)",
    "functions": "[expressions](expressions.md#functions)",
    "settings": "[settings](handlers.md#settings)",
    "plan": "[steps](steps.md#what-is-planned)",
    "emulate": "[emulate](emulate.md)",
    "forecast": "[forecast](forecast.md)",
    "layer publish": "[publishing](publish.md)",
}
"""Where more is told of a command."""


def as_text(said: str | None) -> str:
    """A sentence of the command line's help in a cell of Markdown."""
    text = (said or "").replace("%%", "%").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    return text[:1].upper() + text[1:] if text.endswith(".") else text


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """By name, those of commands that have commands as well: `layer publish`."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                deeper = subcommands(below)
                found |= {f"{name} {more}": one for more, one in deeper.items()} or {name: below}
    return found


def options(parser: argparse.ArgumentParser) -> list[str]:
    """A row for each argument: how it is written, whether it must be, what it says."""
    lines = ["| | |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        metavar = action.metavar or action.dest.upper()
        value = "" if action.nargs == 0 else f"{metavar}{'…' if action.nargs in ('+', '*') else ''}"
        written = " ".join([*action.option_strings, value]).strip()
        is_needed = action.required and bool(action.option_strings)
        lines.append(f"| `{written}`{' (must be given)' if is_needed else ''} | {as_text(action.help)} |")
    return lines if len(lines) > 2 else []


def cli() -> str:
    """The page of all commands."""
    parser = arguments_parser()
    lines = [
        "# The command line",
        "",
        "<!-- All of this page is made by tests/test_reference.py -->",
        "",
        "`millstream COMMAND --help` prints the same. PIPELINE is `file.yaml`, or `file.py:name`, a name in that file. Exit status: 0 done, 1 the run failed, 2 usage, 128 and the number",
        "of the signal that stopped it. Progress and errors are on stderr; `--json` prints one object on stdout.",
    ]
    for name, one in subcommands(parser).items():
        lines += ["", f"## millstream {name}", "", as_text(one.description or help_of(parser, name))]
        if name in MORE:
            lines[-1] += f" More: {MORE[name]}."
        if table := options(one):
            lines += ["", *table]
    return "\n".join(lines) + "\n"


def help_of(parser: argparse.ArgumentParser, name: str) -> str:
    """The line by which a command stands in the list of all."""
    (action,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    (told,) = (one.help for one in action._choices_actions if one.dest == name)
    return f"{told[:1].upper()}{told[1:]}."


def test_the_page_of_commands_tells_what_is() -> None:
    assert (FOLDER / "cli.md").read_text() == cli(), "run: python -m tests.test_reference"


def test_more_is_told_of_commands_that_are() -> None:
    assert MORE.keys() <= subcommands(arguments_parser()).keys()


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "functions": ("expressions.md", functions),
    "mistakes": ("expressions.md", mistakes),
    "settings": ("handlers.md", settings),
}
"""By the name at its place: the page it is in, and what makes it."""


def parts(table: str) -> tuple[str, str, str]:
    """A page before a table, the table, and what is behind it."""
    begin = f"<!-- {table}: made by tests/test_reference.py -->\n"
    before, rest = (FOLDER / TABLES[table][0]).read_text().split(begin)
    inside, after = rest.split(END, 1)
    return before + begin, inside, END + after


@pytest.mark.parametrize("table", TABLES)
def test_a_page_tells_what_is(table: str) -> None:
    assert parts(table)[1] == TABLES[table][1](), "run: python -m tests.test_reference"


def section(page: str, title: str) -> str:
    return re.split(r"^#+ ", (FOLDER / page).read_text().split(f"## {title}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_contract_names_every_setting() -> None:
    told = section("contract.md", "Environment").replace(".", " ").replace(";", " ").split()
    assert [one.name for one in SETTINGS if one.name not in told] == []


def test_every_key_of_the_log_line_and_every_metric_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Millstream")
    told: list[str] = []

    class Logger:
        def info(self, message: str, extra: dict[str, object]) -> None:
            told.extend([message, *extra])

    class Metrics:
        def __init__(self, **names: str) -> None:
            told.extend(names)

        def add_dimension(self, name: str, value: str) -> None:
            told.append(name)

        def add_metric(self, name: str, unit: object, value: float) -> None:
            told.append(name)

        def flush_metrics(self) -> None: ...

    monkeypatch.setattr(observe, "_logger", lambda service: Logger())
    monkeypatch.setattr("aws_lambda_powertools.metrics.EphemeralMetrics", Metrics)
    batch = observe.Batch("orders", "4c709976fb4b", "s3", "s3://lake/x", "", "0", "0", 1, 1, 1, stage_ms={"read": 1.0})
    observe.report_batch(batch, Landed(rejected_by_code={"BAD_JSON": 1}, files=[(Stored("s3://lake/y", 1, True), 1)]))
    page = section("handlers.md", "The log line") + section("handlers.md", "Metrics")
    assert [one for one in told if f"`{one}`" not in page and one != "namespace"] == []
    contract = section("contract.md", "Log line")
    assert [one for one in told[1:21] if one.islower() and one not in contract] == []


if __name__ == "__main__":
    STUB.write_text(stub())
    (FOLDER / "cli.md").write_text(cli())
    for table, (page, make) in TABLES.items():
        before, _, after = parts(table)
        (FOLDER / page).write_text(before + make() + after)
