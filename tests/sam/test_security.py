"""Who may do what, to what, on whose behalf; and that everything that is kept is encrypted by the stack's key."""

import re

import pytest

from tests.sam.stack import TEMPLATE, VARIANTS, Stack, listed, texts

pytestmark = pytest.mark.once

STACKS = {name: Stack.of(**given) for name, given in VARIANTS.items()}
FULL = STACKS["everything"]


# ---- what is written in the file


def test_a_resource_of_everything_has_a_comment_that_says_why():
    lines = TEMPLATE.read_text().splitlines()
    found = [line for line in lines if re.search(r"""Resource: ["']?\*""", line)]
    assert found
    for line in found:
        assert re.search(r"# \S.{6,}", line), f"why everything? {line.strip()}"


def test_actions_are_named_one_by_one():
    for name, one in FULL.resources.items():
        for statement in statements_of(one["Properties"]):
            if statement["Effect"] == "Allow" and statement.get("Sid") != "AccountAdministers":
                assert not [action for action in listed(statement["Action"]) if "*" in action], name


def statements_of(value):
    """All statements of policies in a value."""
    if isinstance(value, dict):
        if "Effect" in value and "Action" in value:
            yield value
        for one in value.values():
            yield from statements_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from statements_of(one)


def test_no_role_takes_a_policy_of_awss_that_allows_more():
    for name, role in FULL.kind("IAM::Role").items():
        assert all(one == "${SinkPolicy}" for one in role.get("ManagedPolicyArns", ())), name


@pytest.mark.parametrize("role", FULL.kind("IAM::Role"))
def test_what_a_role_may_is_on_resources_of_the_stack(role):
    given = FULL.parameters["SecretArn"]
    for action, resource in FULL.allowed(role):
        if resource == "*":
            assert action.split(":")[0] in {"xray", "logs", "cloudwatch"}, f"{action} on everything"
        else:
            assert resource.startswith("${") or ":ms-" in resource or resource == given, f"{action} on {resource}"


# ---- trust, and who may fill what


def is_narrowed(statement):
    """Is it told by which resource, of which account?"""
    condition = statement.get("Condition", {})
    account = condition.get("StringEquals", {}).get("aws:SourceAccount")
    return account == "123456789012" and any("aws:SourceArn" in condition.get(one, {}) for one in ("ArnLike", "ArnEquals"))


WITHOUT_SOURCE = {"lambda.amazonaws.com", "apigateway.amazonaws.com"}
"""Services whose roles are handed over by who makes the function or the API, by iam:PassRole in the same account: decision 18."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_services_act_for_this_stack_alone(variant):
    for name, one in STACKS[variant].resources.items():
        for statement in statements_of(one["Properties"]):
            principal = statement.get("Principal")
            service = principal.get("Service") if isinstance(principal, dict) else None
            if statement["Effect"] == "Allow" and service and service not in WITHOUT_SOURCE:
                context = statement.get("Condition", {}).get("ArnLike", {}).get("kms:EncryptionContext:aws:logs:arn", "")
                assert is_narrowed(statement) or ":123456789012:log-group:ms-" in context, f"{name}: {service}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_nobody_else_is_let_in(variant):
    for name, one in STACKS[variant].resources.items():
        for statement in statements_of(one["Properties"]):
            if statement["Effect"] == "Allow" and "Principal" in statement:
                assert "*" not in list(texts(statement["Principal"])), name


# ---- transport


def tls_only(stack, kind, holder):
    """Names of what policies of a type refuse to serve without TLS."""
    found = set()
    for policy in stack.kind(kind).values():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
                assert statement["Principal"] == "*"
                covered = {re.fullmatch(r"\$\{(\w+)(\.Arn)?\}(/\*)?", one)[1] for one in listed(statement["Resource"])}
                assert covered == {re.fullmatch(r"\$\{(\w+)\}", one)[1] for one in listed(policy[holder])}
                if kind == "S3::BucketPolicy":
                    assert len(statement["Resource"]) == 2, "the bucket, and what is in it"
                found |= covered
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_buckets_queues_and_the_topic_are_reached_by_tls_alone(variant):
    stack = STACKS[variant]
    assert tls_only(stack, "S3::BucketPolicy", "Bucket") == stack.kind("S3::Bucket").keys()
    assert tls_only(stack, "SQS::QueuePolicy", "Queues") == stack.kind("SQS::Queue").keys()
    assert tls_only(stack, "SNS::TopicPolicy", "Topics") == stack.kind("SNS::Topic").keys()


# ---- encryption


def key_of(kind, one):
    """The key that a resource is encrypted with."""
    match kind:
        case "S3::Bucket":
            (rule,) = one["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            return rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        case "DynamoDB::Table":
            return one["SSESpecification"]["KMSMasterKeyId"]
        case "Kinesis::Stream":
            return one["StreamEncryption"]["KeyId"]
        case "SQS::Queue" | "SNS::Topic":
            return one["KmsMasterKeyId"]
        case "Logs::LogGroup":
            return one["KmsKeyId"]
        case "Lambda::Function":
            return one["KmsKeyArn"]
        case "Athena::WorkGroup":
            return one["WorkGroupConfiguration"]["ResultConfiguration"]["EncryptionConfiguration"]["KmsKey"]


ENCRYPTED = [
    "S3::Bucket",
    "DynamoDB::Table",
    "Kinesis::Stream",
    "SQS::Queue",
    "SNS::Topic",
    "Logs::LogGroup",
    "Lambda::Function",
    "Athena::WorkGroup",
]


@pytest.mark.parametrize("kind", ENCRYPTED)
def test_what_is_kept_is_encrypted_by_the_stacks_key(kind):
    for name, one in FULL.kind(kind).items():
        if name != "LogsBucket":  # to which S3 delivers under no key of ours
            assert key_of(kind, one) == "${Key.Arn}", name


def test_the_key_is_turned_and_stays():
    key = FULL.resources["Key"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == "Retain"


def test_public_access_to_buckets_is_blocked_and_versions_are_kept():
    for name, one in FULL.kind("S3::Bucket").items():
        assert len(one["PublicAccessBlockConfiguration"]) == 4, name
        assert all(value is True for value in one["PublicAccessBlockConfiguration"].values()), name
        assert one["VersioningConfiguration"] == {"Status": "Enabled"}, name
        assert one["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, name


def test_tables_come_back_expire_items_and_are_paid_by_request():
    tables = FULL.kind("DynamoDB::Table")
    assert tables.keys() == {"LedgerTable", "StateTable"}
    for one in tables.values():
        assert one["BillingMode"] == "PAY_PER_REQUEST"
        assert one["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
        assert one["AttributeDefinitions"] == [{"AttributeName": "id", "AttributeType": "S"}]
        assert one["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
        assert one["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert one["DeletionProtectionEnabled"] is True


# ---- secrets


def test_a_secret_is_named_and_never_held():
    secret = FULL.parameters["SecretArn"]
    for name, one in FULL.functions().items():
        assert one["Environment"]["Variables"]["PIPELINE_SECRET_ARN"] == secret
        role = f"{name.removesuffix('Function')}Role"
        assert ("secretsmanager:GetSecretValue", secret) in FULL.allowed(role)
    assert not any("secretsmanager" in text for text in texts(STACKS["defaults"].resources))
    assert "resolve:secretsmanager" not in TEMPLATE.read_text()
