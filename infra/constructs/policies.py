"""Statements of `eventfabric.deployment.permissions` as IAM writes them; decides nothing."""

import json
from collections.abc import Iterable, Iterator

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam

from eventfabric.deployment.permissions import Resource, Statement

MANAGED_POLICY_CHARACTERS_MAX = 6_144
"""Of a managed policy's text; what CDK adds around the statements is well below the rest."""
_ROOM = MANAGED_POLICY_CHARACTERS_MAX - 200


def arn_of(stack: Stack, resource: Resource) -> str:
    """A resource's ARN in the stack's account, whichever that will be."""
    return resource.arn(partition=stack.partition, account=stack.account)


def policy_statement(stack: Stack, statement: Statement) -> iam.PolicyStatement:
    """One statement."""
    return iam.PolicyStatement(
        actions=list(statement.actions),
        resources=[arn_of(stack, resource) for resource in statement.resources],
        conditions=statement.conditions or None,
    )


def reasons(stack: Stack, statements: Iterable[Statement]) -> dict[str, str]:
    """Why resources of the statements are not named in full, by the rule that asks."""
    return {
        wildcard_rule(stack, resource): statement.wildcard
        for statement in statements
        for resource in statement.resources
        if "*" in resource.name and statement.wildcard
    }


def wildcard_rule(stack: Stack, resource: Resource) -> str:
    """The finding of a resource that ends with `*`, as cdk-nag writes it."""
    account = "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account
    return f"IAM5[Resource::{resource.arn(partition='<AWS::Partition>', account=account)}]"


def in_policies(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """The statements in as many groups as managed policies are needed for them."""
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
        "Resource": [one.arn(partition="aws-us-gov", account="123456789012") for one in statement.resources],
        "Condition": statement.conditions,
    }
    return len(json.dumps(written, separators=(",", ":"))) + 1
