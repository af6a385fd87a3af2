"""Two handlers that add points for a visit: one that a crash makes wrong, and one that nothing makes wrong."""

import os
from typing import TYPE_CHECKING, Final

import boto3

from eventfabric import Delivery, Event, subscriber

if TYPE_CHECKING:
    from eventfabric.testing.idempotency import Outside

POINTS: Final = "example-points"


@subscriber
def add_unsafely(event: Event, delivery: Delivery) -> None:
    """Add points at once. If the process dies before the cursor moves, the next attempt adds them again."""
    client = boto3.client("dynamodb", region_name=os.environ["AWS_REGION"])
    client.update_item(
        TableName=POINTS,
        Key={"id": {"S": event.key}},
        UpdateExpression="ADD points :points",
        ExpressionAttributeValues={":points": {"N": str(event.data["points"])}},
    )


@subscriber
def add_points(event: Event, delivery: Delivery) -> None:
    """Add points in the transaction that moves the cursor: both happen, or neither. Needs `exactly_once`."""
    points = event.data["points"]
    delivery.transaction.update(POINTS, {"id": event.key}, "ADD points :points", values={":points": points})


def make(outside: "Outside") -> None:
    """Create the table, before each simulated run."""
    for region in outside.regions:
        outside.client("dynamodb", region).create_table(
            TableName=POINTS,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
