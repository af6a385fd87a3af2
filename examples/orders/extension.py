"""The handler's table on AWS, and its permission to write there."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb

from eventfabric.cdk import EventFabric
from eventfabric.deployment.permissions import Resource, Statement

INVOICES = "example-invoices"


def extend(fabric: EventFabric) -> None:
    """Declare the table in each Region, and grant the function of `invoices` what it does there."""
    for region, cell in fabric.cells.items():
        tables = cdk.Stack(fabric.scope, f"example-invoices-{region}", env=fabric.env(region))
        dynamodb.TableV2(
            tables,
            INVOICES,
            table_name=INVOICES,
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
        )
        cell.add_stack_dependency(tables, "the handler writes to a table that is there")
        cell.functions["example-orders-invoices"].grant(
            Statement(
                "write invoices",
                ("dynamodb:PutItem", "dynamodb:UpdateItem"),
                (Resource("dynamodb", region, f"table/{INVOICES}"),),
            )
        )
