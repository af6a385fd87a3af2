"""The key of a Region. It has a stack of its own, because the tables of all Regions need it before they are created."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.topology import Topology


class KeyStack(FabricStack):
    """One customer key, retained, with the alias by which everything else finds it."""

    def __init__(self, scope: Construct, topology: Topology, *, env: cdk.Environment) -> None:
        super().__init__(scope, "keys", topology, env=env, description=f"the key of {env.region}.")
        key = kms.Key(
            self,
            "Key",
            description=f"Tables and queues of event fabric {topology.fabric}",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(30),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        alias = kms.CfnAlias(self, "Alias", alias_name=topology.key_alias, target_key_id=key.key_arn)
        alias.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
