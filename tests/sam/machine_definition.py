"""The definition of the state machine: its text, its states, where each leads."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "sam" / "statemachine.asl.json"
SUBSTITUTIONS = (
    "TransformFunctionArn",
    "TopicArn",
    "QuarantineQueueUrl",
    "StateTable",
    "RawBucket",
    "CuratedBucket",
    "RejectsBucket",
    "RejectsPrefix",
    "OutputPrefix",
)
"""What the template puts in by DefinitionSubstitutions."""

_SUBSTITUTION = re.compile(r"\$\{(\w+)\}")


def text() -> str:
    return FILE.read_text()


def used() -> set[str]:
    """The substitutions that the text asks for."""
    return set(_SUBSTITUTION.findall(text()))


def substituted(values: Mapping[str, str]) -> str:
    """The text as CloudFormation hands it to Step Functions: each value as it stands."""
    return _SUBSTITUTION.sub(lambda one: values[one[1]], text())


def machine() -> dict[str, Any]:
    return json.loads(text())


def levels() -> list[dict[str, Any]]:
    """The machine, and the machine within its map: each has a StartAt and States."""
    whole = machine()
    return [whole, *(one["ItemProcessor"] for one in whole["States"].values() if one["Type"] == "Map")]


def states() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state with its name."""
    for level in levels():
        yield from level["States"].items()


def leads_to(state: Mapping[str, Any]) -> set[str]:
    """The states that may come next."""
    found = {state[key] for key in ("Next", "Default") if key in state}
    return found | {one["Next"] for key in ("Choices", "Catch") for one in state.get(key, ())}
