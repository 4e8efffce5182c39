"""docs/reference/expressions.md says what the catalogue says: its table is made here and compared.

    python -m tests.test_reference

writes the table anew.
"""

from __future__ import annotations

from pathlib import Path

from millstream.functions import CATALOGUE

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "expressions.md"
BEGIN, END = "<!-- functions: made by tests/test_reference.py -->\n", "<!-- end -->\n"


def table() -> str:
    """A row for each function: how it is written, what it says, what it does with nulls."""
    lines = ["| function | example | what it gives | nulls |", "|---|---|---|---|"]
    for one in CATALOGUE.values():
        example = one.examples[0].text.replace("|", "\\|")
        lines.append(f"| `{one.name}` | `{example}` | {one.doc} | {one.policy.value} |")
    return "\n".join(lines) + "\n"


def parts() -> tuple[str, str, str]:
    before, rest = PAGE.read_text().split(BEGIN)
    inside, after = rest.split(END)
    return before, inside, after


def test_the_page_has_every_function_as_the_catalogue_tells_it() -> None:
    assert parts()[1] == table(), "run: python -m tests.test_reference"


if __name__ == "__main__":
    before, _, after = parts()
    PAGE.write_text(before + BEGIN + table() + END + after)
