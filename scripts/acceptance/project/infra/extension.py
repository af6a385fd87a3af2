"""The table that the acceptance test's handlers write, one in each Region. It is deleted with the stacks.

While a file `fails` beside this one names a subscription, its stacks fail at their end.
"""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb

from eventfabric.cdk import EventFabric
from eventfabric.cdk.nag import acknowledge
from eventfabric.deployment.permissions import Resource, Statement


def fail_last(fabric: EventFabric, subscription: str) -> None:
    """Put something into the stacks of a subscription that cannot be made, and comes after all else."""
    for region, stack in fabric.subscriptions[subscription].items():
        missing = f"arn:aws:lambda:{region}:{stack.account}:function:{fabric.topology.fabric}-missing"
        fails = cdk.CustomResource(
            stack, "Fails", service_token=missing, removal_policy=cdk.RemovalPolicy.RETAIN
        )
        fails.node.add_dependency(stack.node.find_child("Declared"))


def extend(fabric: EventFabric) -> None:
    """Create the table before the cell of each Region, and allow the handlers to write to it."""
    name = fabric.topology.fabric
    marker = Path(__file__).with_name("fails")
    if marker.exists():
        fail_last(fabric, marker.read_text())
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
