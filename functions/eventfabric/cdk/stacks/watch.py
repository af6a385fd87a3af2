"""The watch of a Region: alarms, objectives, and in the home Region the dashboard of all Regions.

They are stacks of their own, and deployed last. They refer only to names, so that they can be left out where a target
has no such resources, and deployed again without touching anything that runs.
"""

import aws_cdk as cdk
from constructs import Construct

from eventfabric.cdk.constructs.alarm import FabricAlarm, FabricObjective
from eventfabric.cdk.constructs.dashboard import FabricDashboard
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.deployment.alarms import (
    alarms_of_region,
    alarms_of_subscription,
    objective_of,
    topics_in,
)
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.topology import Topology


class WatchStack(FabricStack):
    """The watch of one Region, without its subscriptions. Its alarms notify the definition's topics in the Region."""

    def __init__(self, scope: Construct, topology: Topology, *, env: cdk.Environment) -> None:
        region = env.region
        assert region is not None
        super().__init__(scope, "watch", topology, env=env, description=f"the watch of {region}.")
        topics = topics_in(topology, region)
        for alarm in alarms_of_region(topology, region):
            FabricAlarm(self, alarm.name, alarm, topics=topics)
        if region == topology.home:
            FabricDashboard(self, "Dashboard", topology)


class SubscriptionWatchStack(FabricStack):
    """The watch of one subscription in one Region."""

    def __init__(
        self,
        scope: Construct,
        topology: Topology,
        subscription: SubscriptionTopology,
        *,
        env: cdk.Environment,
    ) -> None:
        region, name = env.region, subscription.name
        assert region is not None
        super().__init__(
            scope,
            "watch",
            topology,
            env=env,
            description=f"the watch of subscription {name} in {region}.",
            subscription=name,
        )
        topics = topics_in(topology, region)
        for alarm in alarms_of_subscription(topology, subscription, region):
            FabricAlarm(self, alarm.name, alarm, topics=topics)
        objective = objective_of(subscription, region)
        if objective is not None:
            FabricObjective(self, objective.name, objective)
