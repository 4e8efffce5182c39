"""Tables of docs/reference/ are made from what they tell of, and compared.

    python -m tests.test_reference

writes them anew: the functions of expressions.md from the catalogue, the settings of handlers.md from `millstream.aws.settings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.aws import observe
from millstream.aws.settings import SETTINGS
from millstream.functions import CATALOGUE
from millstream.sinks.landed import Landed
from millstream.sinks.store import Stored

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
END = "<!-- end -->\n"


def functions() -> str:
    """A row for each function: how it is written, what it says, what it does with nulls."""
    lines = ["| function | example | what it gives | nulls |", "|---|---|---|---|"]
    for one in CATALOGUE.values():
        example = one.examples[0].text.replace("|", "\\|")
        lines.append(f"| `{one.name}` | `{example}` | {one.doc} | {one.policy.value} |")
    return "\n".join(lines) + "\n"


def settings() -> str:
    """A row for each setting: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for one in SETTINGS:
        default = "–" if one.default is None else f"`{one.default if isinstance(one.default, str) else int(one.default)}`"
        lines.append(f"| `{one.variable}` | {default} | {one.doc} |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "expressions.md": ("functions", functions),
    "handlers.md": ("settings", settings),
}


def parts(page: str) -> tuple[str, str, str]:
    """A page before its table, the table, and what is behind it."""
    begin = f"<!-- {TABLES[page][0]}: made by tests/test_reference.py -->\n"
    before, rest = (FOLDER / page).read_text().split(begin)
    inside, after = rest.split(END)
    return before + begin, inside, END + after


@pytest.mark.parametrize("page", TABLES)
def test_a_page_tells_what_is(page: str) -> None:
    assert parts(page)[1] == TABLES[page][1](), "run: python -m tests.test_reference"


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
    for page, (_, table) in TABLES.items():
        before, _, after = parts(page)
        (FOLDER / page).write_text(before + table() + after)
