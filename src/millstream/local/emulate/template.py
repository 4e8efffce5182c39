"""The settings of an event source in a SAM or CloudFormation template.

A value that is not written out can be taken from a parameter's default, and conditions on these are decided. Anything else has to be
given as an option: what a stack's attributes come to is known to CloudFormation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import yaml

from millstream.errors import UsageError

_EVENTS = {"kinesis": "Kinesis", "sqs": "SQS"}
_SHORT = {"Ref": "Ref", "Condition": "Condition"}
_NO_VALUE = {"Ref": "AWS::NoValue"}
_DEEPEST = 50
"""Conditions that name one another."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with CloudFormation's tags: `!GetAtt a.b` is {"Fn::GetAtt": "a.b"}."""


def _tagged(loader: Any, suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {_SHORT.get(suffix, f"Fn::{suffix}"): value}


_Loader.add_multi_constructor("!", _tagged)


def load_template(path: str) -> dict[str, Any]:
    """A template as plain data. Raises UsageError."""
    try:
        with open(path, encoding="utf-8") as file:
            loader = _Loader(file)
            try:
                found = loader.get_single_data()
            finally:
                loader.dispose()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"cannot read {path}: it is no YAML{place}: {getattr(error, 'problem', None) or 'bad text'}") from None
    except RecursionError:
        raise UsageError(f"cannot read {path}: it is nested too deeply") from None
    if not isinstance(found, dict) or not isinstance(found.get("Resources"), dict):
        raise UsageError(f"{path} is no template: it has no Resources")
    return found


class _Values:
    """Takes values from a template's properties. Raises UsageError, with the option to give instead, for what only a stack knows."""

    def __init__(self, template: Mapping[str, Any], place: str) -> None:
        self.template, self.place = template, place

    def plain(self, value: Any, what: str, option: str) -> Any:
        """A value as it is written, or the default of the parameter that it refers to, or what a condition on such comes to."""
        value = self.chosen(value)
        if isinstance(value, dict) and value.keys() == {"Ref"}:
            default = self._default(value["Ref"])
            if default is not None:
                return default
        if isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).startswith(("Fn::", *_SHORT)):
            function = next(iter(value)).replace("Fn::", "!")
            raise UsageError(f"{self.place}: {what} is a {function} that only a stack knows; give --{option} instead")
        return value

    def chosen(self, value: Any) -> Any:
        """A branch of !If where its condition can be decided; else the value as it is."""
        for _ in range(_DEEPEST):
            branches = value.get("Fn::If") if isinstance(value, dict) and len(value) == 1 else None
            if not isinstance(branches, list) or len(branches) != 3:
                break
            decided = self._decided({"Condition": branches[0]}, _DEEPEST)
            if decided is None:
                break
            value = branches[1 if decided else 2]
        return value

    def _decided(self, condition: Any, depth: int) -> bool | None:
        """What a condition comes to with the defaults of parameters. None: that cannot be told."""
        if depth == 0 or not isinstance(condition, dict) or len(condition) != 1:
            return None
        ((function, operand),) = condition.items()
        if function == "Condition":
            named = self.template.get("Conditions")
            return (
                self._decided(named.get(operand), depth - 1) if isinstance(named, dict) and isinstance(operand, str) else None
            )
        if not isinstance(operand, list):
            return None
        if function == "Fn::Equals" and len(operand) == 2:
            left, right = map(self._text_of, operand)
            return None if left is None or right is None else left == right
        parts = [self._decided(one, depth - 1) for one in operand]
        if function == "Fn::Not" and len(parts) == 1:
            return None if parts[0] is None else not parts[0]
        if function in ("Fn::And", "Fn::Or"):
            decisive = function == "Fn::Or"
            return decisive if decisive in parts else None if None in parts else not decisive
        return None

    def _default(self, name: Any) -> Any:
        """A parameter's; None where it has none."""
        parameter = (self.template.get("Parameters") or {}).get(name)
        return parameter.get("Default") if isinstance(parameter, dict) else None

    def _text_of(self, value: Any) -> str | None:
        """A side of a comparison, as CloudFormation compares: as text."""
        if isinstance(value, dict) and value.keys() == {"Ref"}:
            value = self._default(value["Ref"])
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, str | int | float) else None

    def number(self, value: Any, what: str, option: str) -> Any:
        found = self.plain(value, what, option)
        if isinstance(found, str):
            with suppress(ValueError):
                found = float(found) if "." in found else int(found)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.refused(what, "number", option)
        return found

    def truth(self, value: Any, what: str, option: str) -> bool:
        found = self.plain(value, what, option)
        if isinstance(found, str) and found.lower() in ("true", "false"):
            found = found.lower() == "true"
        if not isinstance(found, bool):
            raise self.refused(what, "true or false", option)
        return found

    def text(self, value: Any, what: str, option: str) -> str:
        found = self.plain(value, what, option)
        if not isinstance(found, str):
            raise self.refused(what, "text", option)
        return found

    def refused(self, what: str, wanted: str, option: str) -> UsageError:
        return UsageError(f"{self.place}: {what} is no {wanted}; correct it, or give --{option}")

    def filters(self, value: Any, what: str, option: str) -> list[str]:
        listed = self.plain(value, what, option)
        listed = self.plain(listed.get("Filters"), what, option) if isinstance(listed, dict) else listed
        if not isinstance(listed, list) or not all(isinstance(one, dict) and "Pattern" in one for one in listed):
            raise self.refused(what, "object with Filters, a list of objects with a Pattern", option)
        return [self.text(one["Pattern"], f"{what}.Pattern", option) for one in listed]

    def reports(self, value: Any, what: str, option: str) -> bool:
        listed = self.plain(value, what, option)
        if not isinstance(listed, list):
            raise self.refused(what, "list", option)
        return "ReportBatchItemFailures" in [self.plain(one, what, option) for one in listed]

    def destination(self, value: Any, what: str, option: str) -> str:
        for key in ("OnFailure", "Destination"):
            value = self.plain(value, what, option)
            if not isinstance(value, dict):
                raise self.refused(what, "object with OnFailure.Destination", option)
            value = value.get(key)
        return self.text(value, f"{what}.OnFailure.Destination", option)


_Read = Callable[[_Values, Any, str, str], Any]
_PROPERTIES: dict[str, tuple[str, _Read]] = {
    "BatchSize": ("batch_size", _Values.number),
    "MaximumBatchingWindowInSeconds": ("window", _Values.number),
    "FunctionResponseTypes": ("report_batch_item_failures", _Values.reports),
    "FilterCriteria": ("filter", _Values.filters),
    "StartingPosition": ("starting_position", _Values.text),
    "ParallelizationFactor": ("parallelization", _Values.number),
    "BisectBatchOnFunctionError": ("bisect", _Values.truth),
    "MaximumRetryAttempts": ("maximum_retries", _Values.number),
    "MaximumRecordAgeInSeconds": ("maximum_age", _Values.number),
    "DestinationConfig": ("destination", _Values.destination),
}


def read_template(path: str, function: str, kind: Literal["kinesis", "sqs"], given: set[str]) -> dict[str, Any]:
    """The settings that a template gives, by the names of options; those in `given` are not asked for. Raises UsageError."""
    template = load_template(path)
    resources = template["Resources"]
    resource = resources.get(function)
    serverless = isinstance(resource, dict) and resource.get("Type") == "AWS::Serverless::Function"
    if not serverless and not (isinstance(resource, dict) and resource.get("Type") == "AWS::Lambda::Function"):
        raise UsageError(f"{path}: there is no function {function}; there are {_functions(resources)}")
    of_function = _properties(resource)
    found: dict[str, Any] = {}
    name, event = _event(path, template, function, kind)
    values = _Values(template, f"{path}: {name}")
    tumbling = event.get("TumblingWindowInSeconds")
    if tumbling is not None and values.plain(tumbling, "TumblingWindowInSeconds", "window") not in (0, "0"):
        raise UsageError(f"{path}: {name}: TumblingWindowInSeconds cannot be emulated; take it out of the template")
    for key, (option, read) in _PROPERTIES.items():
        if key in event and option not in given and values.chosen(event[key]) != _NO_VALUE:
            found[option] = read(values, event[key], key, option.replace("_", "-"))
    if found.get("starting_position") == "AT_TIMESTAMP":
        seconds = values.number(event.get("StartingPositionTimestamp"), "StartingPositionTimestamp", "starting-position")
        found["starting_position"] = float(seconds)
    timeout = of_function.get("Timeout")
    if timeout is None and serverless:
        timeout = ((template.get("Globals") or {}).get("Function") or {}).get("Timeout")
    if "timeout" not in given:
        # Lambda's own default is 3 seconds.
        found["timeout"] = float(
            _Values(template, f"{path}: {function}").number(3 if timeout is None else timeout, "Timeout", "timeout")
        )
    return found


def _properties(resource: Any) -> dict[str, Any]:
    found = resource.get("Properties") if isinstance(resource, dict) else None
    return found if isinstance(found, dict) else {}


def _functions(resources: Mapping[str, Any]) -> str:
    types = ("AWS::Serverless::Function", "AWS::Lambda::Function")
    return ", ".join(name for name, one in resources.items() if isinstance(one, dict) and one.get("Type") in types) or "none"


def _event(
    path: str, template: Mapping[str, Any], function: str, kind: Literal["kinesis", "sqs"]
) -> tuple[str, dict[str, Any]]:
    """The one event source of a kind that a function has: its name and properties."""
    resources = template["Resources"]
    found = {}
    events = _properties(resources[function]).get("Events")
    for name, event in events.items() if isinstance(events, dict) else ():
        if isinstance(event, dict) and event.get("Type") == _EVENTS[kind]:
            found[f"{function}.Events.{name}"] = _properties(event)
    for name, resource in resources.items():
        properties = _properties(resource)
        is_mapping = isinstance(resource, dict) and resource.get("Type") == "AWS::Lambda::EventSourceMapping"
        to, of = properties.get("FunctionName"), properties.get("EventSourceArn")
        if is_mapping and _refers(to, function) and _is_of(of, kind, resources):
            found[name] = properties
    if len(found) != 1:
        what = (
            f"{len(found)} event sources of {_EVENTS[kind]} ({', '.join(found)})"
            if found
            else f"no event source of {_EVENTS[kind]}"
        )
        raise UsageError(f"{path}: {function} has {what}, not one; give the settings as options, without --template")
    return next(iter(found.items()))


def _refers(value: Any, name: str) -> bool:
    """Does a value name a resource of the template?"""
    if isinstance(value, dict) and len(value) == 1:
        ((function, operand),) = value.items()
        if function == "Fn::GetAtt":
            return bool((operand.partition(".")[0] if isinstance(operand, str) else operand[0] if operand else None) == name)
        return bool(function == "Ref" and operand == name)
    return bool(value == name)


def _is_of(value: Any, kind: str, resources: Mapping[str, Any]) -> bool:
    types = {"kinesis": "AWS::Kinesis::Stream", "sqs": "AWS::SQS::Queue"}
    if isinstance(value, str):
        return value.split(":")[2:3] == [kind]
    return any(
        _refers(value, name) for name, one in resources.items() if isinstance(one, dict) and one.get("Type") == types[kind]
    )
