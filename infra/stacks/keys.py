"""The key of a Region. A stack of its own: tables of all Regions need it before they are made."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from eventfabric.topology import Topology


class KeyStack(cdk.Stack):
    """One customer key, retained, under the alias by which everything else finds it."""

    def __init__(self, scope: Construct, id: str, topology: Topology, *, env: cdk.Environment) -> None:
        super().__init__(
            scope, id, env=env, description=f"Event fabric {topology.fabric}: the key of {env.region}."
        )
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
