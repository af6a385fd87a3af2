"""The table that the acceptance test's handlers write, one in each Region. It is deleted with the stacks."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb

from eventfabric.cdk import EventFabric
from eventfabric.cdk.nag import acknowledge
from eventfabric.deployment.permissions import Resource, Statement


def extend(fabric: EventFabric) -> None:
    """Create the table before the cell of each Region, and allow the handlers to write to it."""
    name = fabric.topology.fabric
    for region, cell in fabric.cells.items():
        own = cdk.Stack(fabric.scope, f"{name}-seen-{region}", env=fabric.env(region))
        table = dynamodb.TableV2(
            own,
            "Seen",
            table_name=f"{name}-seen",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(table, {"DDB3": "It is filled and looked at once, and then deleted."})
        cell.add_stack_dependency(own, "handlers write to a table that is there")
        for subscription in fabric.topology.subscriptions:
            function = cell.functions.get(f"{name}-{subscription}")
            if function is not None:
                function.grant(
                    Statement(
                        "note what was handled",
                        ("dynamodb:UpdateItem",),
                        (Resource("dynamodb", region, f"table/{name}-seen"),),
                    )
                )
