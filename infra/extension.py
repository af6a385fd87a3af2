"""The sample's own resources: the tables that the shop's handlers use, as their subscriptions list them."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventfabric.cdk import EventFabric


class ShopTables(cdk.Stack):
    """The shop's tables in one Region; each Region has its own."""

    def __init__(self, scope: Construct, id: str, tables: list[str], *, env: cdk.Environment) -> None:
        super().__init__(scope, id, env=env, description=f"The shop's own tables in {env.region}.")
        for table in tables:
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
    """Create the tables before the cell of each Region. The definition says what handlers may do with them."""
    subscriptions = fabric.topology.subscriptions.values()
    tables = [table for subscription in subscriptions for table in subscription.definition.tables or ()]
    for region, cell in fabric.cells.items():
        name = fabric.topology.stack_name("tables", region)
        own = ShopTables(fabric.scope, name, tables, env=fabric.env(region))
        cell.add_stack_dependency(own, "handlers write to tables that are there")
