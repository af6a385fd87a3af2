"""Functions that are started once, as deployed, before anything invokes them.

CloudFormation gives a function its new code at once, while its mapping goes on. So mappings invoke an alias. It moves
to the version of a deployment after that version has loaded all that it needs. If it cannot, the deployment fails, and
the alias stays at the version before.
"""

from typing import Final

from aws_cdk import Aws, CustomResource, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.function import FabricFunction
from eventfabric.cdk.constructs.inline_function import ANSWERED_IN, InlineFunction
from eventfabric.cdk.constructs.policies import arn_of, wildcard_rule
from eventfabric.cdk.nag import acknowledge
from eventfabric.definition.functions import FunctionSettings
from eventfabric.deployment.permissions import Resource

ALIAS: Final = "live"
"""Alias of each function that a mapping invokes."""


class StartCheck(InlineFunction):
    """A custom resource that starts the functions of a cell, and fails if one of them cannot start."""

    def __init__(self, scope: Construct, id: str, *, name: str, settings: FunctionSettings) -> None:
        # Of this stack alone: it may be rolling back, and must not be kept from that.
        described = iam.PolicyStatement(actions=["cloudformation:DescribeStacks"], resources=[Aws.STACK_ID])
        super().__init__(scope, id, "start.py", [described], name=name, settings=settings)
        self._aliases: list[lambda_.Alias] = []

    def live(self, function: FabricFunction) -> lambda_.Alias:
        """Publish what a function is now, and return the alias that invokes it once it has been started."""
        stack = Stack.of(self)
        versions = Resource("lambda", stack.region, f"function:{function.name}:*")
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[arn_of(stack, versions)])
        )
        reason = "Lambda numbers the versions of a function."
        acknowledge(self.role, {wildcard_rule(stack, versions): reason})
        alias = lambda_.Alias(function, "Live", alias_name=ALIAS, version=function.function.current_version)
        self._aliases.append(alias)
        return alias

    def check(self) -> None:
        """Start the versions of all functions, before any alias names them. Their ARNs change with what they are."""
        started = CustomResource(
            self,
            "Started",
            service_token=self.arn,
            service_timeout=ANSWERED_IN,
            resource_type="Custom::EventFabricStart",
            properties={"Versions": [alias.version.function_arn for alias in self._aliases]},
        )
        for alias in self._aliases:
            alias.node.add_dependency(started)
