"""The key of a Region. It has a stack of its own, because the tables of all Regions need it before they are created.

A creation that fails leaves nothing behind, so that it can be tried again: nothing is encrypted with the key yet.
"""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from eventfabric.cdk.constructs.log_group import use_for_logs
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.topology import Topology


class KeyStack(FabricStack):
    """One customer key, retained, with the alias by which everything else finds it.

    Policies recognise it by its tag, as they do a key that replaces it (see docs/deploy.md).
    """

    def __init__(self, scope: Construct, topology: Topology, *, env: cdk.Environment) -> None:
        description = f"the key of {env.region}."
        super().__init__(scope, "keys", topology, env=env, description=description, holds_data=True)
        key = kms.Key(
            self,
            "Key",
            description=f"Tables and queues of event fabric {topology.fabric}",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(30),
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        # Also if no log group uses it now: one that did is read with it for as long as its newest logs are kept.
        key.add_to_resource_policy(use_for_logs(self, topology.fabric))
        alias = kms.CfnAlias(self, "Alias", alias_name=topology.key_alias, target_key_id=key.key_arn)
        alias.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
