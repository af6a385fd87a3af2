"""The handlers' own tables on AWS, and the permission of each handler to write to its table."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb

from eventfabric.cdk import EventFabric
from eventfabric.deployment.permissions import Resource, Statement

TABLES = {"billing": ("shop-books", ("PutItem", "UpdateItem")), "letters": ("shop-letters", ("PutItem",))}
"""For each subscription, its table, and what its handler does there."""


def extend(fabric: EventFabric) -> None:
    """Declare the tables in each Region, before the functions that write to them."""
    for region, cell in fabric.cells.items():
        tables = cdk.Stack(fabric.scope, f"shop-tables-{region}", env=fabric.env(region))
        cell.add_stack_dependency(tables, "handlers write to tables that are there")
        for subscription, (table, actions) in TABLES.items():
            dynamodb.TableV2(
                tables,
                table,
                table_name=table,
                partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
                point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                    point_in_time_recovery_enabled=True
                ),
            )
            cell.functions[f"shop-{subscription}"].grant(
                Statement(
                    "write what its handler writes",
                    tuple(f"dynamodb:{action}" for action in actions),
                    (Resource("dynamodb", region, f"table/{table}"),),
                )
            )
