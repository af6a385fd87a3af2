"""A log group that is deleted with its stack, and the key with which it may be encrypted."""

from typing import Final

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from eventfabric.cdk.constructs.policies import arn_of
from eventfabric.deployment.permissions import Resource
from eventfabric.topology import Topology

FUNCTION_LOGS: Final = "/aws/lambda/"
MACHINE_LOGS: Final = "/aws/vendedlogs/states/"
_USE_KEY: Final = ("Decrypt*", "Describe*", "Encrypt*", "GenerateDataKey*", "ReEncrypt*")
"""Actions of the statement for a key's policy in the guide of CloudWatch Logs (encrypt-log-data-kms.html)."""


def log_group(scope: Construct, name: str, *, days: int, key: str | None) -> logs.LogGroup:
    """Make the log group of a function or state machine, which keeps logs for so many days.

    `key` is the alias of the Region's key with which it is encrypted; None: AWS uses one of its own.
    """
    group = logs.LogGroup(scope, "Logs", log_group_name=name, removal_policy=RemovalPolicy.DESTROY)
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    resource.retention_in_days = days  # the CDK's construct has words for them
    if key is not None:
        stack = Stack.of(scope)
        resource.add_property_override("KmsKeyId", arn_of(stack, Resource("kms", stack.region, key)))
    return group


def log_key_of(topology: Topology) -> str | None:
    """Return the alias of the key for log groups; None if the definition leaves them to AWS."""
    return topology.key_alias if topology.definition.fabric.log_key == "fabric" else None


def use_for_logs(stack: Stack, fabric: str) -> iam.PolicyStatement:
    """Allow CloudWatch Logs to use a key of the stack's Region, for log groups with the fabric's names alone."""
    groups = [f"log-group:{folder}{fabric}-*" for folder in (FUNCTION_LOGS, MACHINE_LOGS)]
    arns = [arn_of(stack, Resource("logs", stack.region, group)) for group in groups]
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
        actions=[f"kms:{action}" for action in _USE_KEY],
        resources=["*"],
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arns}},
    )
