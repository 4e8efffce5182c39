"""How a new version comes into use, and what the SAM command line is told."""

import re
import tomllib

import pytest

from tests.sam.stack import FOLDER, TEMPLATE, VARIANTS, Stack, environments, expanded, source

pytestmark = pytest.mark.once

STACKS = {name: Stack.of(**given) for name, given in VARIANTS.items()}
CONFIG = tomllib.loads((FOLDER / "samconfig.toml").read_text())


@pytest.mark.parametrize("variant", VARIANTS)
def test_traffic_is_shifted_by_codedeploy_after_a_check_and_back_by_an_alarm(variant):
    stack = STACKS[variant]
    aliases = stack.kind("Lambda::Alias")
    for function in stack.functions():
        name = function.removesuffix("Function")
        alias = aliases[f"{function}Aliaslive"]
        assert alias["Name"] == "live"
        update = stack.resources[f"{function}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["BeforeAllowTrafficHook"] == "${CheckFunction}"
        group = stack.resources[f"{function}DeploymentGroup"]["Properties"]
        assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": f"${{{name}Errors}}"}]}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["ServiceRoleArn"] == "${DeployRole.Arn}"
        assert {"Name": "Resource", "Value": f"${{{function}}}:live"} in stack.resources[f"{name}Errors"]["Properties"][
            "Dimensions"
        ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_check_knows_the_versions_that_are_deployed_and_may_call_them(variant):
    stack = STACKS[variant]
    variables = stack.resources["CheckFunction"]["Properties"]["Environment"]["Variables"]
    for function in ("StreamFunction", "QueueFunction", "FifoFunction", "ObjectsFunction", "WorkflowFunction"):
        version = variables[f"{function.removesuffix('Function').upper()}_VERSION"]
        assert version == (f"${{{function}Version1}}" if function in stack.functions() else "")
    called = {resource for action, resource in stack.allowed("CheckRole") if action == "lambda:InvokeFunction"}
    assert called == {f"${{{function}.Arn}}:*" for function in stack.functions()}
    shifted = {resource for action, resource in stack.allowed("DeployRole") if action == "lambda:UpdateAlias"}
    assert shifted == called | {f"${{{function}.Arn}}" for function in stack.functions()}


def test_every_release_makes_new_versions_and_old_ones_stay():
    for name, one in source()["Resources"].items():
        if one["Type"] == "AWS::Serverless::Function" and name != "CheckFunction":
            assert one["Properties"]["AutoPublishCodeSha256"] == {"Ref": "Release"}
            assert expanded()["Resources"][f"{name}Version1"]["DeletionPolicy"] == "Retain"
    told = source()["Parameters"]["Release"]
    assert "Default" not in told, "a release must differ from the one before"
    # SAM puts it into a logical id, of its first ten characters.
    assert re.fullmatch(told["AllowedPattern"], "1795999999")
    assert not re.fullmatch(told["AllowedPattern"], "17959999990")
    assert not re.fullmatch(told["AllowedPattern"], "v1.2-3")


def test_the_layers_versions_stay():
    assert source()["Resources"]["MillstreamLayer"]["Properties"]["RetentionPolicy"] == "Retain"
    (layer,) = [one for one in expanded()["Resources"].values() if one["Type"] == "AWS::Lambda::LayerVersion"]
    assert layer["DeletionPolicy"] == "Retain"


def test_a_layer_that_is_there_already_can_be_taken():
    given = VARIANTS["workflow alone"]["LayerArn"]
    assert STACKS["workflow alone"].functions()["WorkflowFunction"]["Layers"] == [given]
    (own,) = STACKS["defaults"].functions()["StreamFunction"]["Layers"]
    assert own.startswith("${MillstreamLayer")


@pytest.mark.parametrize(
    ("starts", "snapshot", "provisioned"),
    [("none", "None", None), ("snapstart", "PublishedVersions", None), ("provisioned", "None", 3)],
)
def test_snapstart_and_provisioned_concurrency_exclude_each_other(starts, snapshot, provisioned):
    stack = Stack.of(Starts=starts, ProvisionedConcurrency="3")
    for name, function in stack.functions().items():
        assert function["SnapStart"] == {"ApplyOn": snapshot}
        told = stack.resources[f"{name}Aliaslive"]["Properties"].get("ProvisionedConcurrencyConfig")
        assert told == (provisioned and {"ProvisionedConcurrentExecutions": provisioned})


def test_memory_and_concurrency_are_parameters_and_arm64_is_the_default():
    given = Stack.of(MemorySize="1769", ReservedConcurrency="7", Architecture="x86_64").functions()
    for one in given.values():
        assert (one["MemorySize"], one["ReservedConcurrentExecutions"], one["Architectures"]) == (1769, 7, ["x86_64"])
    for one in Stack.of().functions().values():
        assert one["Architectures"] == ["arm64"]
        assert "ReservedConcurrentExecutions" not in one


# ---- the command line


@pytest.mark.parametrize("name", environments())
def test_each_environment_has_a_stack_of_its_own(name):
    told = CONFIG[name]["deploy"]["parameters"]
    assert told["stack_name"] == f"millstream-{name}"
    assert told["parameter_overrides"] == [f"file://environments/{name}.yaml"]
    assert told["capabilities"] == "CAPABILITY_IAM"
    assert told["confirm_changeset"] == (name != "dev")
    assert told["tags"] == f"project=millstream environment={name}"


def test_capability_iam_is_enough():
    for one in expanded()["Resources"].values():
        assert "RoleName" not in one["Properties"]
        assert "ManagedPolicyName" not in one["Properties"]


def test_dev_staging_and_prod_are_there():
    assert environments().keys() == CONFIG.keys() - {"version"} == {"dev", "staging", "prod"}


def test_the_marks_of_millstream_glue_are_there():
    lines = [line.strip() for line in TEMPLATE.read_text().splitlines()]
    assert lines.count("# begin: millstream glue") == lines.count("# end: millstream glue") == 1
