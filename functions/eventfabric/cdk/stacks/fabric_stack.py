"""A stack of a fabric, which is the same in any app: in its name, its tags and the CDK's rules."""

from typing import Final

import aws_cdk as cdk
from constructs import Construct

from eventfabric.resources import FABRIC_TAG
from eventfabric.topology import Topology

RULES: Final = {
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/core:target-partitions": ["aws"],
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/aws-lambda:recognizeVersionProps": True,
}
"""Feature flags of the CDK with which the templates are tested, whatever the app around them has."""


class FabricStack(cdk.Stack):
    """A stack of one Region. Between fabric and Region, its name has `kind` and, if it is of one, the subscription."""

    def __init__(
        self,
        scope: Construct,
        kind: str,
        topology: Topology,
        *,
        env: cdk.Environment,
        description: str,
        subscription: str | None = None,
        holds_data: bool = False,
    ) -> None:
        """`holds_data`: nobody deletes the stack without first switching off its protection."""
        assert env.region is not None
        name = topology.stack_name(kind, env.region, subscription=subscription)
        super().__init__(
            scope,
            name,
            stack_name=name,
            env=env,
            termination_protection=holds_data,
            suppress_template_indentation=True,  # half of a large template, of which CloudFormation takes 1 MB
            description=f"Event fabric {topology.fabric}: {description}",
        )
        for rule, value in RULES.items():
            self.node.set_context(rule, value)
        cdk.Tags.of(self).add(FABRIC_TAG, topology.fabric)
