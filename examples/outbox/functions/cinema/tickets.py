"""The handler: writes a ticket for each seat that was sold."""

import os
from functools import cache
from typing import TYPE_CHECKING

import boto3

from eventfabric import Delivery, Event, subscriber

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

TICKETS = "example-tickets"


@subscriber
def write_ticket(event: Event, delivery: Delivery) -> None:
    """Write the ticket under its seat: to write it again changes nothing, so `at_least_once` is enough."""
    dynamodb().put_item(
        TableName=TICKETS,
        Item={"id": {"S": f"{event.key}/{event.data['seat']}"}, "guest": {"S": event.data["guest"]}},
    )


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the client of the Region that this function runs in, made at the first event."""
    return boto3.client("dynamodb", region_name=os.environ["AWS_REGION"])
