"""IAM policies, exactly as `eventfabric.deployment.permissions` declares them."""

from collections.abc import Iterable

from aws_cdk import Names, Stack, Token
from aws_cdk import aws_iam as iam
from constructs import Construct

from eventfabric.cdk.nag import acknowledge
from eventfabric.deployment.permissions import Resource, Statement
from eventfabric.deployment.quotas import (
    MANAGED_POLICY_CHARACTERS_MAX,
    POLICY_FRAME_CHARACTERS,
    ROLE_POLICIES_MAX,
    characters_of,
)
from eventfabric.errors import SettingError

_ROOM = MANAGED_POLICY_CHARACTERS_MAX - POLICY_FRAME_CHARACTERS


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


def service_role(scope: Construct, service: str, *, source: str | None = None) -> iam.Role:
    """Make a role for a service, which assumes it for this account alone, and only for `source` if that is named."""
    account = {"aws:SourceAccount": Stack.of(scope).account}
    conditions = {"StringEquals": account if source is None else {**account, "aws:SourceArn": source}}
    return iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal(service, conditions=conditions))


def reasons(stack: Stack, statements: Iterable[Statement]) -> dict[str, str]:
    """Map each cdk-nag rule about a wildcard to the reason why the statements need that wildcard."""
    return {
        wildcard_rule(stack, resource): statement.wildcard
        for statement in statements
        for resource in statement.resources
        if "*" in resource.region + resource.name and statement.wildcard
    }


def wildcard_rule(stack: Stack, resource: Resource) -> str:
    """Name the finding about a resource that ends with `*`, in cdk-nag's form."""
    account = "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account
    return f"IAM5[Resource::{resource.arn(partition='<AWS::Partition>', account=account)}]"


class RolePolicies:
    """Managed policies of one role, in its own stack, for all that it is granted. IAM attaches only a few to a role.

    The role may be an imported one, to which only a policy that names it can be attached.
    """

    def __init__(self, role: iam.IRole, fabric: str) -> None:
        self._role, self._fabric = role, fabric
        self._granted: list[Statement] = []
        self._policies: list[iam.ManagedPolicy] = []
        self._room = 0

    def grant(self, statements: Iterable[Statement]) -> None:
        """Allow what is not yet allowed. Raises SettingError if that takes more policies than a role may have."""
        for statement in statements:
            if statement not in self._granted:
                self._granted.append(statement)
                self._add(statement)

    def _add(self, statement: Statement) -> None:
        stack, characters = Stack.of(self._role), characters_of([statement])
        if characters > self._room:
            self._policies.append(self._policy(stack, len(self._policies) + 1))
            self._room = _ROOM
        self._room -= characters
        self._policies[-1].add_statements(policy_statement(stack, statement))
        acknowledge(self._policies[-1], reasons(stack, [statement]))

    def _policy(self, stack: Stack, number: int) -> iam.ManagedPolicy:
        if number > ROLE_POLICIES_MAX:
            raise SettingError(
                f"grants of role {self._role.node.path}",
                f"{number} managed policies",
                f"at most {ROLE_POLICIES_MAX}, as many as IAM attaches: grant fewer streams to one role",
            )
        id = f"{Names.unique_id(self._role)}-{self._fabric}-{number}"
        return iam.ManagedPolicy(stack, id, roles=[self._role])
