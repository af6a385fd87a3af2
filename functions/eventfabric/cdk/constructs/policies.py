"""IAM policies, exactly as `eventfabric.deployment.permissions` declares them."""

import json
from collections.abc import Iterable, Iterator

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam

from eventfabric.deployment.permissions import Resource, Statement

MANAGED_POLICY_CHARACTERS_MAX = 6_144
"""IAM's limit for the text of a managed policy. _ROOM leaves enough for what the CDK adds around the statements."""
_ROOM = MANAGED_POLICY_CHARACTERS_MAX - 200


def arn_of(stack: Stack, resource: Resource) -> str:
    """Make a resource's ARN in the stack's account, which may be known only at deployment."""
    return resource.arn(partition=stack.partition, account=stack.account)


def policy_statement(stack: Stack, statement: Statement) -> iam.PolicyStatement:
    """Make the IAM statement."""
    return iam.PolicyStatement(
        actions=list(statement.actions),
        resources=[arn_of(stack, resource) for resource in statement.resources],
        conditions=statement.conditions or None,
    )


def reasons(stack: Stack, statements: Iterable[Statement]) -> dict[str, str]:
    """Map each cdk-nag rule about a wildcard to the reason why the statements need that wildcard."""
    return {
        wildcard_rule(stack, resource): statement.wildcard
        for statement in statements
        for resource in statement.resources
        if "*" in resource.name and statement.wildcard
    }


def wildcard_rule(stack: Stack, resource: Resource) -> str:
    """Name the finding about a resource that ends with `*`, in cdk-nag's form."""
    account = "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account
    return f"IAM5[Resource::{resource.arn(partition='<AWS::Partition>', account=account)}]"


def in_policies(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """Split the statements into groups, each of which fits into one managed policy."""
    group: list[Statement] = []
    for statement in statements:
        if group and sum(map(_characters, group)) + _characters(statement) > _ROOM:
            yield group
            group = []
        group.append(statement)
    if group:
        yield group


def _characters(statement: Statement) -> int:
    written = {
        "Effect": "Allow",
        "Action": statement.actions,
        "Resource": [
            resource.arn(partition="aws-us-gov", account="123456789012") for resource in statement.resources
        ],
        "Condition": statement.conditions,
    }
    return len(json.dumps(written, separators=(",", ":"))) + 1
