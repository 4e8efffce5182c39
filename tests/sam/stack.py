"""The template as CloudFormation gets it: expanded by SAM's translator, then resolved for a set of parameters.

    stack = Stack.of(FifoSource="true")
    stack.resources["Queue"]["Properties"]["RedrivePolicy"]     # only what the conditions leave

What only a deploy can tell stands as it would in Fn::Sub: `${Queue}` is a resource's Ref, `${Queue.Arn}` an attribute of it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

# Whatever imports this is skipped where the translator is not: pip install aws-sam-translator
translator = pytest.importorskip("samtranslator.translator.transform")
yaml_parse = pytest.importorskip("samtranslator.yaml_helper").yaml_parse

FOLDER = Path(__file__).parents[2] / "sam"
TEMPLATE = FOLDER / "template.yaml"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/ms/0a1b2c3d-0000-1111-2222-5566778899aa",
    "AWS::StackName": "ms",
    "AWS::URLSuffix": "amazonaws.com",
}
ABSENT = object()
"""AWS::NoValue."""
HELD = re.compile(r"\$\{(\w+)(?:\.([\w.]+))?\}")
"""A resource, and an attribute of it, in a text that is resolved."""

OFF = {"StreamSource": "false", "QueueSource": "false", "FifoSource": "false", "ObjectSource": "false", "Workflow": "false"}
VARIANTS: dict[str, dict[str, str]] = {
    "defaults": {},
    "everything": {
        "FifoSource": "true",
        "HttpSource": "true",
        "QueueOnce": "true",
        "AlarmEmail": "ops@example.com",
        "SecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm-AbCdEf",
        "StreamFilter": '{"data": {"kind": ["order"]}}',
        "QueueFilter": '{"body": {"kind": ["order"]}}',
        "Starts": "provisioned",
        "ReservedConcurrency": "20",
        "StreamMode": "ON_DEMAND",
    },
    "stream alone": OFF | {"StreamSource": "true"},
    "stream without ledger": OFF | {"StreamSource": "true", "StreamOnce": "false", "ParallelizationFactor": "4"},
    "queue alone": OFF | {"QueueSource": "true", "NoDataHours": "0", "Starts": "snapstart"},
    "fifo alone": OFF | {"FifoSource": "true", "QueueOnce": "true", "Timeout": "900"},
    "objects alone": OFF | {"ObjectSource": "true", "ObjectPattern2": "", "ObjectPattern3": ""},
    "workflow alone": OFF | {"Workflow": "true", "LayerArn": "arn:aws:lambda:eu-west-1:123456789012:layer:millstream:7"},
    "open door": OFF | {"StreamSource": "true", "HttpSource": "true", "HttpAuth": "NONE"},
}
"""Parameters under which every condition is met once and once not."""

Resource = dict[str, Any]


@cache
def source() -> dict[str, Any]:
    """The template as it is written, its short tags as functions."""
    return yaml_parse(TEMPLATE.read_text())


@cache
def expanded() -> dict[str, Any]:
    """The template as the translator leaves it, with code at places as `sam package` would name them."""
    template = copy.deepcopy(source())
    template["Globals"]["Function"]["CodeUri"] = "s3://artifacts/function"
    for name, resource in template["Resources"].items():
        for key in {"CodeUri", "ContentUri", "DefinitionUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][key] = f"s3://artifacts/{name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", PSEUDO["AWS::Region"])  # which it asks boto3 for
        return translator.transform(template, {"Release": "1"}, _NoPolicies())


class _NoPolicies:
    """What the translator asks for managed policies, of which the template uses none."""

    def load(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Stack:
    """What a set of parameters leaves."""

    parameters: dict[str, Any]
    conditions: dict[str, bool]
    resources: dict[str, Resource]
    outputs: dict[str, Any]

    @classmethod
    def of(cls, **given: str) -> Stack:
        """Raises KeyError for a parameter that is none, or lacks a value."""
        return _resolved(tuple(sorted(given.items())))

    def kind(self, kind: str) -> dict[str, Resource]:
        """Properties of the resources of a type, `AWS::` apart, by name."""
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == f"AWS::{kind}"}

    def functions(self) -> dict[str, Resource]:
        """Properties of the pipeline's functions by name: all but the check."""
        return {name: one for name, one in self.kind("Lambda::Function").items() if name != "CheckFunction"}

    def statements(self, role: str) -> list[Resource]:
        """What a role is allowed: by its own policies, and by the managed ones that the stack makes."""
        properties = self.resources[role]["Properties"]
        documents = [one["PolicyDocument"] for one in properties.get("Policies", ())]
        for policy in properties.get("ManagedPolicyArns", ()):
            documents.append(self.resources[HELD.fullmatch(policy)[1]]["Properties"]["PolicyDocument"])
        return [one for document in documents for one in document["Statement"]]

    def allowed(self, role: str) -> set[tuple[str, str]]:
        """Pairs of an action and a resource, each as the policies write them."""
        return {
            (action, resource)
            for one in self.statements(role)
            if one["Effect"] == "Allow"
            for action in listed(one["Action"])
            for resource in listed(one["Resource"])
        }


def listed(value: Any) -> list[Any]:
    """One or several, as a list."""
    return value if isinstance(value, list) else [value]


def texts(value: Any) -> Iterator[str]:
    """All strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)


@cache
def _resolved(given: tuple[tuple[str, str], ...]) -> Stack:
    template, parameters = expanded(), {"Release": "1"}
    for name, told in template["Parameters"].items():
        if "Default" in told:
            parameters[name] = str(told["Default"])
    for name, value in given:
        if name not in template["Parameters"]:
            raise KeyError(name)
        parameters[name] = value
    resolver = _Resolver(template, parameters)
    conditions = {name: resolver.test(one) for name, one in template["Conditions"].items()}
    kept = [name for name, one in template["Resources"].items() if conditions.get(one.get("Condition"), True)]
    resources = {name: resolver.value(template["Resources"][name]) for name in kept}
    outputs = {
        name: resolver.value(one) for name, one in template["Outputs"].items() if conditions.get(one.get("Condition"), True)
    }
    return Stack(parameters, conditions, resources, outputs)


class _Resolver:
    """CloudFormation's functions, as far as the template uses them."""

    def __init__(self, template: dict[str, Any], parameters: dict[str, str]) -> None:
        self.template, self.parameters = template, parameters

    def test(self, condition: Any) -> bool:
        ((kind, held),) = condition.items()
        if kind == "Condition":
            return self.test(self.template["Conditions"][held])
        if kind == "Fn::Equals":
            left, right = (str(self.value(one)) for one in held)
            return left == right
        found = [self.test(one) for one in held]
        return {"Fn::And": all(found), "Fn::Or": any(found), "Fn::Not": not found[0]}[kind]

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self.value, value) if one is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((kind, held),) = value.items()
            if kind == "Ref":
                return self.ref(held)
            if kind.startswith("Fn::"):
                return getattr(self, "choose" if kind == "Fn::If" else kind.removeprefix("Fn::").lower())(held)
        return {key: one for key, told in value.items() if (one := self.value(told)) is not ABSENT}

    def ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            text = self.parameters[name]
            return int(text) if self.template["Parameters"][name]["Type"] == "Number" else text
        assert name in self.template["Resources"], f"there is no {name}"
        return f"${{{name}}}"

    def getatt(self, held: list[str] | str) -> str:
        name, attribute = held.split(".", 1) if isinstance(held, str) else held
        assert name in self.template["Resources"], f"there is no {name}"
        return f"${{{name}.{attribute}}}"

    def sub(self, held: str | list[Any]) -> str:
        text, own = (held, {}) if isinstance(held, str) else held

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return str(self.value(own[name]))
            return str(self.getatt(name) if "." in name else self.ref(name))

        return re.sub(r"\$\{([^}]+)\}", replaced, text)

    def join(self, held: list[Any]) -> str:
        return held[0].join(str(one) for one in self.value(held[1]))

    def split(self, held: list[Any]) -> list[str]:
        return self.value(held[1]).split(held[0])

    def select(self, held: list[Any]) -> Any:
        return self.value(held[1])[int(held[0])]

    def findinmap(self, held: list[Any]) -> Any:
        first, second, third = (str(self.value(one)) for one in held)
        return self.template["Mappings"][first][second][third]

    def choose(self, held: list[Any]) -> Any:
        return self.value(held[1] if self.test({"Condition": held[0]}) else held[2])


def environments() -> dict[str, dict[str, str]]:
    """The parameters of sam/environments by name."""
    found = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "environments").glob("*.yaml"))}
    return {name: {key: str(value) for key, value in told.items()} for name, told in found.items()}


if __name__ == "__main__":
    print(json.dumps(expanded(), indent=1))
