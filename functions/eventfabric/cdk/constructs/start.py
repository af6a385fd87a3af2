"""Functions that are started once, as deployed, before anything invokes them.

CloudFormation gives a function its new code at once, while its mapping goes on. So mappings invoke an alias. It moves
to the version of a deployment after that version has loaded all that it needs. If it cannot, the deployment fails, and
the alias stays at the version before.
"""

from typing import Final

from aws_cdk import CustomResource, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.function import FabricFunction
from eventfabric.cdk.constructs.inline_function import ANSWERED_IN, InlineFunction
from eventfabric.cdk.constructs.log_group import log_key_of
from eventfabric.cdk.constructs.policies import arn_of, wildcard_rule
from eventfabric.cdk.nag import acknowledge
from eventfabric.deployment.permissions import Resource
from eventfabric.topology import Topology

ALIAS: Final = "live"
"""Alias of each function that a mapping invokes."""


class Starter(InlineFunction):
    """The function that starts the functions of a Region: those of its cell and of all its subscriptions."""

    def __init__(self, scope: Construct, id: str, *, topology: Topology, region: str) -> None:
        stack = Stack.of(scope)
        versions = Resource("lambda", region, f"function:{topology.fabric}-*:*")
        # Those stacks may be rolling back, and must not be kept from that.
        kinds = [
            topology.stack_name("cell", region),
            topology.stack_name("subscription", region, subscription="*"),
        ]
        described = [Resource("cloudformation", region, f"stack/{name}/*") for name in kinds]
        statements = [
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[arn_of(stack, versions)]),
            iam.PolicyStatement(
                actions=["cloudformation:DescribeStacks"],
                resources=[arn_of(stack, resource) for resource in described],
            ),
        ]
        super().__init__(
            scope,
            id,
            "start.py",
            statements,
            name=topology.start_name,
            settings=topology.own_settings,
            log_key=log_key_of(topology),
        )
        reason = "Lambda numbers the versions of a function, and each subscription has a function of its own."
        acknowledge(self.role, {wildcard_rule(stack, versions): reason})
        reason = "CloudFormation gives stacks their ids, and each subscription has a stack of its own."
        acknowledge(self.role, {wildcard_rule(stack, resource): reason for resource in described})


class StartCheck(Construct):
    """A custom resource that starts functions of its stack, and fails if one of them cannot start.

    `starter` is the ARN of the Region's Starter.
    """

    def __init__(self, scope: Construct, id: str, *, starter: str) -> None:
        super().__init__(scope, id)
        self._starter = starter
        self._aliases: list[lambda_.Alias] = []

    def live(self, function: FabricFunction) -> lambda_.Alias:
        """Publish what a function is now, and return the alias that invokes it once it has been started."""
        alias = lambda_.Alias(function, "Live", alias_name=ALIAS, version=function.function.current_version)
        self._aliases.append(alias)
        return alias

    def check(self) -> None:
        """Start the versions of all functions, before any alias names them. Their ARNs change with what they are."""
        started = CustomResource(
            self,
            "Started",
            service_token=self._starter,
            service_timeout=ANSWERED_IN,
            resource_type="Custom::EventFabricStart",
            properties={"Versions": [alias.version.function_arn for alias in self._aliases]},
            # Nothing has to be undone, and a stack must be deletable when the starter is gone.
            removal_policy=RemovalPolicy.RETAIN,
        )
        for alias in self._aliases:
            alias.node.add_dependency(started)
