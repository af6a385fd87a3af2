"""A log group that is deleted with its stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct


def log_group(scope: Construct, name: str, *, days: int) -> logs.LogGroup:
    """Make the log group of a function or state machine, which keeps logs for so many days."""
    group = logs.LogGroup(scope, "Logs", log_group_name=name, removal_policy=RemovalPolicy.DESTROY)
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    resource.retention_in_days = days  # the CDK's construct has words for them
    return group
