"""The state machine's definition: every state reached, every task tried again and caught, one way for arrivals and backfills."""

import json
from typing import Any

import pytest
from cfnlint.api import lint

from millstream import errors
from millstream.errors import RunError
from tests.sam import machine_definition as definition

pytestmark = pytest.mark.once


def test_it_asks_for_what_the_template_puts_in():
    assert definition.used() == set(definition.SUBSTITUTIONS)


def test_every_state_is_reached_and_leads_on():
    names = [name for name, _ in definition.states()]
    assert len(names) == len(set(names)), "the names of a machine's states differ, those within its map too"
    for level in definition.levels():
        states, seen, waiting = level["States"], set(), [level["StartAt"]]
        while waiting:
            name = waiting.pop()
            assert name in states, f"there is no state {name}"
            if name not in seen:
                seen.add(name)
                waiting += definition.leads_to(states[name])
        assert seen == states.keys()
        for state in states.values():
            assert definition.leads_to(state) or state.get("End") or state["Type"] in ("Succeed", "Fail")


TASKS = [(name, state) for name, state in definition.states() if state["Type"] == "Task"]


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_is_tried_again_and_caught(name, state):
    assert state["TimeoutSeconds"] > 0
    assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
    for retry in state["Retry"]:
        assert retry["JitterStrategy"] == "FULL"
        assert retry["BackoffRate"] > 1
        assert retry["IntervalSeconds"] < retry["MaxDelaySeconds"] <= 300
        assert "States.ALL" not in retry["ErrorEquals"]


def test_errors_of_the_function_are_tried_again_where_they_may_pass():
    told = [error for retry in definition.machine()["States"]["Transform"]["Retry"] for error in retry["ErrorEquals"]]
    assert len(told) == len(set(told))
    ours = {
        name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.MillstreamError)
    }
    may_pass = {name for name, one in ours.items() if issubclass(one, RunError)} - {"BackendError"}
    assert ours.keys() & set(told) == may_pass
    assert "States.TaskFailed" not in told, "it would match the function's permanent errors"


def test_what_fails_is_kept_aside_before_the_end():
    for level in definition.levels():
        states = level["States"]
        before = {name: {one for one, state in states.items() if name in definition.leads_to(state)} for name in states}
        if "FailedItem" in states:
            assert before["FailedItem"] == {"QuarantineItem"}
        else:
            assert before["Failed"] == {"NotifyFailure"}
            assert before["NotifyFailure"] == {"Quarantine"}
            assert before["NotNotified"] == {"Notify", "BackfillNotify"}


def test_an_item_of_a_backfill_goes_the_way_of_an_object_that_arrived():
    outer, inner = (level["States"] for level in definition.levels())
    pairs = [name.removesuffix("Item") for name in inner if name.removesuffix("Item") in outer]
    assert {"Validate", "Find", "Found", "Transform", "Landed", "Load", "Quarantine"} <= set(pairs)

    def plain(state: Any, suffix: str) -> Any:
        if isinstance(state, dict):
            return {
                key: value.removesuffix(suffix) if key in ("Next", "Default") else plain(value, suffix)
                for key, value in state.items()
                if value != "RefuseBucket"
            }
        if isinstance(state, list):
            kept = [one for one in state if not (isinstance(one, dict) and one.get("Next") == "RefuseBucket")]
            return [plain(one, suffix) for one in kept]
        return state

    for name in pairs:
        ours, theirs = plain(outer[name], ""), plain(inner[f"{name}Item"], "Item")
        if name == "Load":
            assert (ours.pop("Next"), theirs.pop("Next"), theirs.pop("OutputPath")) == ("Notify", "Done", "$.transform.report")
        if name == "Quarantine":
            for one in (ours, theirs):
                del one["Next"], one["Catch"][0]["Next"]
        if name in ("Failed", "RefuseInput"):
            continue
        assert ours == theirs, name


def test_the_definition_passes_the_linter():
    machine = {"Definition": definition.machine(), "DefinitionSubstitutions": dict.fromkeys(definition.SUBSTITUTIONS, "x")}
    properties = machine | {"RoleArn": "arn:aws:iam::123456789012:role/machine"}
    template = {"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    assert [str(one) for one in lint(json.dumps(template))] == []
