"""The sample's own resources: the tables that the shop's handlers write, and the permissions that handlers need."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventfabric.cdk import EventFabric
from eventfabric.deployment.permissions import Resource, Statement

HANDLERS = {
    "shop-billing": ("shop-charges", "UpdateItem"),
    "shop-shipping": ("shop-labels", "PutItem"),
    "shop-analytics": ("shop-facts", "BatchWriteItem"),
}
"""For each function, the table of its handler and the one action that it needs there. See functions/subscribers."""


class ShopTables(cdk.Stack):
    """The shop's tables in one Region; each Region has its own."""

    def __init__(self, scope: Construct, id: str, *, env: cdk.Environment) -> None:
        super().__init__(scope, id, env=env, description=f"The shop's own tables in {env.region}.")
        for table, _ in HANDLERS.values():
            dynamodb.TableV2(
                self,
                table,
                table_name=table,
                partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
                point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                    point_in_time_recovery_enabled=True
                ),
                removal_policy=cdk.RemovalPolicy.RETAIN,
                deletion_protection=True,
            )


def extend(fabric: EventFabric) -> None:
    """Create the tables before the cell of each Region, and allow the handlers to use them."""
    for region, cell in fabric.cells.items():
        own = ShopTables(fabric.scope, f"shop-tables-{region}", env=fabric.env(region))
        cell.add_stack_dependency(own, "handlers write to tables that are there")
        for name, (table, action) in HANDLERS.items():
            cell.functions[name].grant(
                Statement(
                    "write what its handler writes",
                    (f"dynamodb:{action}",),
                    (Resource("dynamodb", region, f"table/{table}"),),
                )
            )
