"""The template, as AWS expands it, deployed to moto's CloudFormation; what came of it is read back, as a deployer would."""

from __future__ import annotations

import copy
import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from botocore.config import Config
from botocore.session import get_session as session

from tests.crash.server import own
from tests.sam.stack import FOLDER, expanded

CODE = "artifacts"
"""The bucket that the expanded template names."""


class Function(NamedTuple):
    """A deployed function's settings; sources: the ARNs that its event source mappings poll."""

    name: str
    handler: str
    memory: int
    environment: dict[str, str]
    sources: list[str]


class Stack:
    """A stack that was created. resources: physical ids by logical ids. Its event source mappings are off: moto would poll, and invoke nothing."""

    def __init__(self, name: str) -> None:
        self.resources = {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in own("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
            for one in page["StackResourceSummaries"]
        }
        (stack,) = own("cloudformation").describe_stacks(StackName=name)["Stacks"]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}
        self._mappings = own("lambda").list_event_source_mappings()["EventSourceMappings"]
        for one in self._mappings:
            own("lambda").update_event_source_mapping(UUID=one["UUID"], Enabled=False)

    def function(self, logical: str) -> Function:
        found = own("lambda").get_function_configuration(FunctionName=self.resources[logical])
        name = found["FunctionName"]
        sources = [one["EventSourceArn"] for one in self._mappings if name in one["FunctionArn"].split(":")]
        return Function(name, found["Handler"], found["MemorySize"], found["Environment"]["Variables"], sources)


def deploy(name: str, parameters: dict[str, str], code: Path) -> Stack:
    """Put a folder as the functions' code and create the stack of the expanded template."""
    template, body = _for_moto(copy.deepcopy(expanded())), _zipped(code)
    own("s3").create_bucket(Bucket=CODE)
    for resource in template["Resources"].values():
        place = resource.get("Properties", {}).get("Code", {})
        if "S3Key" in place:
            own("s3").put_object(Bucket=place["S3Bucket"], Key=place["S3Key"], Body=body)
    # In moto all is made within the request: seconds.
    session().create_client("cloudformation", config=Config(read_timeout=300, retries={"total_max_attempts": 1})).create_stack(
        StackName=name,
        TemplateBody=yaml.safe_dump(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    stack = Stack(name)
    for logical, resource in template["Resources"].items():  # moto's CloudFormation does not
        told = resource.get("Properties", {}).get("NotificationConfiguration", {})
        if resource["Type"] == "AWS::S3::Bucket" and "EventBridgeConfiguration" in told:
            own("s3").put_bucket_notification_configuration(
                Bucket=stack.resources[logical], NotificationConfiguration={"EventBridgeConfiguration": {}}
            )
    return stack


def _zipped(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return out.getvalue()


def _for_moto(template: dict[str, Any]) -> dict[str, Any]:
    """Without what moto's CloudFormation cannot do: tags of keys, numbers as keys of mappings, aliases, layers of its own making,
    definitions of state machines that stand elsewhere."""
    aliases = {}
    for logical, resource in template["Resources"].items():
        if resource["Type"] == "AWS::KMS::Key":
            resource["Properties"].pop("Tags", None)
        elif resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"].pop("Layers", None)
        elif resource["Type"] == "AWS::StepFunctions::StateMachine":
            del resource["Properties"]["DefinitionS3Location"]
            resource["Properties"]["DefinitionString"] = (FOLDER / "statemachine.asl.json").read_text()
        elif resource["Type"] == "AWS::Lambda::Alias":
            aliases[logical] = resource["Properties"]["FunctionName"]
    for mapping in template["Mappings"].values():
        for key in [key for key in mapping if key.isdigit()]:
            mapping[int(key)] = mapping.pop(key)
    return _replaced(template, aliases)


def _replaced(node: Any, aliases: dict[str, Any]) -> Any:
    """With functions where aliases are meant."""
    if isinstance(node, dict):
        if len(node) == 1 and node.get("Ref") in aliases:
            return aliases[node["Ref"]]
        return {key: _replaced(value, aliases) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, aliases) for value in node]
    return node
