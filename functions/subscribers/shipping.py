"""Sends the parcel. At least once, so it must be idempotent: the label's key is the event's identity."""

from eventfabric import Delivery, Event, subscriber
from subscribers import tables
from subscribers.clients import dynamodb


@subscriber
def ship(event: Event, delivery: Delivery) -> None:
    """Write the label of an event's parcel. Writing it again changes nothing."""
    dynamodb().put_item(
        TableName=f"{delivery.fabric}-{tables.LABELS}",
        Item={
            tables.KEY: {"S": tables.identity(event)},
            "customer": {"S": event.key},
            "because": {"S": event.type},
        },
    )
