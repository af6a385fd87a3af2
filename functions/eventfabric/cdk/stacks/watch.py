"""The watch of a Region: alarms, objectives, and in the home Region the dashboard of all Regions.

It is a stack of its own, and deployed last. It refers only to names, so that it can be left out where a target has no
such resources, and deployed again without touching anything that runs.
"""

import aws_cdk as cdk
from constructs import Construct

from eventfabric.cdk.constructs.alarm import FabricAlarm, FabricObjective
from eventfabric.cdk.constructs.dashboard import FabricDashboard
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.deployment.alarms import alarms_of, objectives_of, topics_in
from eventfabric.topology import Topology


class WatchStack(FabricStack):
    """The watch of one Region. Its alarms notify those topics of the definition that are in the Region."""

    def __init__(self, scope: Construct, topology: Topology, *, env: cdk.Environment) -> None:
        region = env.region
        assert region is not None
        super().__init__(scope, "watch", topology, env=env, description=f"the watch of {region}.")
        topics = topics_in(topology, region)
        for alarm in alarms_of(topology, region):
            FabricAlarm(self, alarm.name, alarm, topics=topics)
        for objective in objectives_of(topology, region):
            FabricObjective(self, objective.name, objective)
        if region == topology.home:
            FabricDashboard(self, "Dashboard", topology)
