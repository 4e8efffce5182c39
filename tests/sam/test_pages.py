"""docs/security.md and docs/runbooks.md tell of the template what it is.

    python -m tests.sam.test_pages

writes the tables of security.md anew, from the expanded template.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.sam.stack import VARIANTS, Stack, source

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
SECURITY = DOCS / "security.md"
RUNBOOKS = DOCS / "runbooks.md"
EVERYTHING = Stack.of(**VARIANTS["everything"])
SWITCHES = {"StreamOnce": "false", "QueueOnce": "false", "SecretArn": ""}
"""Parameters that rights hang on, and what takes those away."""
WITHOUT = {name: Stack.of(**VARIANTS["everything"] | {name: off}) for name, off in SWITCHES.items()}
ROLES = {f"{name}Function": f"{name}Role" for name in ("Stream", "Queue", "Fifo", "Objects", "Workflow")}
OWN = {"Queue": "its queue", "FifoQueue": "its queue", "ObjectsQueue": "its queue"}


def place(resource: str, role: str) -> str:
    """A resource as a reader knows it."""
    if ":secret:" in resource:
        return "the secret of `SecretArn`"
    name = re.sub(r"\$\{(\w+?)(\.Arn)?\}", r"\1", resource)
    name = re.sub(r"^arn:aws:(\w+):eu-west-1:123456789012:", r"\1 ", name).replace("ms-", "<stack>-")
    if name == role.replace("Role", "Logs"):
        return "its log group"
    return OWN.get(name, f"`{name}`")


def switch(role: str, right: tuple[str, str]) -> str:
    """The parameter that a right hangs on, none if it is there always."""
    return "".join(name for name, without in WITHOUT.items() if right not in without.allowed(role))


def actions(names: set[str]) -> str:
    """`s3:GetObject`, `PutObject`: the service is told once."""
    service, told = "", []
    for name in sorted(names):
        before, _, after = name.partition(":")
        told.append(f"`{after if before == service else name}`")
        service = before
    return ", ".join(told)


def merged(rights: dict[tuple[str, object], set[str]]) -> list[tuple[str, str, object]]:
    """Actions, places and whoever has them: places with the same actions in one row."""
    rows = defaultdict(set)
    for (where, who), names in rights.items():
        rows[actions(names), who].add(where)
    return sorted((told, "<br>".join(sorted(where)), who) for (told, who), where in rows.items())


def functions() -> str:
    """A row for each group of actions; a column for each function."""
    held = defaultdict(set)
    for name, role in ROLES.items():
        for action, resource in EVERYTHING.allowed(role):
            held[action, place(resource, role)].add((name, switch(role, (action, resource))))
    rights = defaultdict(set)
    for (action, where), who in held.items():
        rights[where, frozenset(who)].add(action)
    short = [name.removesuffix("Function") for name in ROLES]
    lines = [f"| actions | on | {' | '.join(short)} | where |", f"|---|---|{':-:|' * len(short)}---|"]
    for told, where, who in merged(rights):
        by_name = dict(who)
        marks = ["" if name not in by_name else "○" if by_name[name] else "●" for name in ROLES]
        switches = {
            "StreamOnce": "`StreamOnce` is `true`",
            "QueueOnce": "`QueueOnce` is `true`",
            "SecretArn": "`SecretArn` is set",
        }
        only = " ".join(sorted({switches[one] for one in by_name.values() if one}))
        lines.append(f"| {told} | {where} | {' | '.join(marks)} | {only} |")
    return "\n".join(lines) + "\n"


def roles() -> str:
    lines = ["| role | actions | on |", "|---|---|---|"]
    others = [
        name for name, one in EVERYTHING.resources.items() if one["Type"] == "AWS::IAM::Role" and name not in ROLES.values()
    ]
    for role in sorted(others):
        rights = defaultdict(set)
        for action, resource in EVERYTHING.allowed(role):
            rights[place(resource, role), ""].add(action)
        lines += [f"| `{role}` | {told} | {where} |" for told, where, _ in merged(rights)]
    return "\n".join(lines) + "\n"


TABLES = {"functions": functions, "roles": roles}


def parts(table: str) -> tuple[str, str, str]:
    begin = f"<!-- {table}: made by tests/sam/test_pages.py -->\n"
    before, rest = SECURITY.read_text().split(begin)
    inside, after = rest.split("<!-- end -->\n", 1)
    return before + begin, inside, "<!-- end -->\n" + after


def test_all_functions_are_told():
    assert EVERYTHING.functions().keys() == ROLES.keys()


@pytest.mark.parametrize("table", TABLES)
def test_rights_are_told_as_they_are(table):
    assert parts(table)[1] == TABLES[table](), "run: python -m tests.sam.test_pages"


def test_every_alarm_has_a_section_and_every_section_an_alarm():
    alarms = [name for name, one in source()["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    sections = re.split(r"^## ", RUNBOOKS.read_text(), flags=re.MULTILINE)[1:]
    told = [name for section in sections for name in section.partition("\n")[0].split(", ")]
    assert sorted(told) == sorted(alarms)
    for section in sections:
        assert [word for word in ("**It means**", "**Look**", "**Do**") if word not in section] == []


def test_runbooks_name_parameters_as_they_are():
    known = source()["Parameters"].keys() | source()["Resources"].keys() | source()["Outputs"].keys()
    names = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", RUNBOOKS.read_text()))
    metrics = {"ConcurrentExecutions", "BytesIn", "DestinationDeliveryFailures", "IncomingRecords", "NumberOfMessagesSent"}
    others = {"AccessDenied", "SlowDown", "SettingsError", "PlanError", "SpecError", "GetShardIterator", "GetRecords"}
    assert names - known - metrics - others == set()


if __name__ == "__main__":
    for table, make in TABLES.items():
        before, _, after = parts(table)
        SECURITY.write_text(before + make() + after)
