"""The dashboard of a fabric, exactly as `eventfabric.deployment.dashboard` declares it."""

import json

from aws_cdk import Annotations
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from eventfabric.deployment.dashboard import body_of, too_many_metrics
from eventfabric.topology import Topology


class FabricDashboard(Construct):
    """The dashboard of a fabric, which has the fabric's name."""

    def __init__(self, scope: Construct, id: str, topology: Topology) -> None:
        super().__init__(scope, id)
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=topology.fabric,
            dashboard_body=json.dumps(body_of(topology), separators=(",", ":")),
        )
        warning = too_many_metrics(topology)
        if warning is not None:
            Annotations.of(self).add_warning_v2("eventfabric:dashboard", warning)
