"""The part of a Region that delivers for one subscription: its queue, its function, and what invokes it.

It holds no data, and refers to the Region's cell by names alone. Each subscription has a stack of its own, so that none
moves from one stack to another, nor fails to be deployed, because of another.
"""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.catalogue import DeploymentCheck, again_of, check_first, declare_last
from eventfabric.cdk.constructs.function import FabricFunction
from eventfabric.cdk.constructs.gradual import AliasDeployment
from eventfabric.cdk.constructs.log_group import log_key_of
from eventfabric.cdk.constructs.policies import arn_of
from eventfabric.cdk.constructs.queue import DoorbellQueue, map_queue
from eventfabric.cdk.constructs.start import StartCheck
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.deployment.declarations import asked_of_subscription
from eventfabric.deployment.permissions import Resource, of_function
from eventfabric.resources import ENVIRONMENT_CATALOGUE
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.topology import Topology


class SubscriptionStack(FabricStack):
    """The subscription of that name in one Region. `function` is its deliver function."""

    def __init__(
        self,
        scope: Construct,
        topology: Topology,
        subscription: SubscriptionTopology,
        *,
        codes: Mapping[str, lambda_.Code],
        env: cdk.Environment,
    ) -> None:
        assert env.region is not None
        self.subscription = name = subscription.name
        region = env.region
        super().__init__(
            scope,
            "subscription",
            topology,
            env=env,
            description=f"subscription {name} in {region}.",
            subscription=name,
        )
        catalogue = self._arn(region, topology.catalogue_function(region).name)
        asked = asked_of_subscription(topology, subscription, again=again_of(self))
        check = DeploymentCheck(self, "Allowed", catalogue=catalogue, asked=asked)
        key = kms.Alias.from_alias_name(self, "Key", topology.key_alias)
        doorbells = DoorbellQueue(
            self, f"Doorbells-{name}", subscription.queue, key=key, tags=subscription.queue_tags
        )
        declared = topology.deliver_function(name, region)
        self.function = FabricFunction(
            self,
            f"Deliver-{name}",
            declared,
            of_function(topology, declared),
            code=codes[declared.settings.architecture],
            log_key=log_key_of(topology),
            lists=subscription.definition.tables,
        )
        self.function.function.add_environment(ENVIRONMENT_CATALOGUE, check.version)
        # What a check answers is in no template, so another question has to make another version of the function.
        self.function.function.invalidate_version_based_on(asked)
        start = StartCheck(self, "Check", starter=self._arn(region, topology.start_name))
        live = start.live(self.function)
        if declared.settings.is_gradual:
            shift = declared.settings.deployment
            AliasDeployment(self, "Deployment", function=declared.name, alias=live, deployment=shift)
        map_queue(
            doorbells,
            live.function_arn,
            batch_max=subscription.queue.batch_max,
            invocations_max=declared.settings.invocations_max,
            pollers=declared.settings.provisioned_pollers,
        )
        start.check()
        check_first(self, check)
        declare_last(self, catalogue=catalogue, asked=asked)

    def _arn(self, region: str, function: str) -> str:
        """Name a function of the Region's cell."""
        return arn_of(self, Resource("lambda", region, f"function:{function}"))
