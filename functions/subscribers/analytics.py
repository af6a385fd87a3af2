"""Records every event as a fact, in each Region separately. Takes batches: one write for up to 25 events."""

from typing import TYPE_CHECKING

from eventfabric import Delivery, Event, subscriber
from subscribers import tables
from subscribers.clients import dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

WRITES_MAX = 25
"""Limit of one BatchWriteItem call."""


@subscriber(batch=WRITES_MAX)
def record(events: list[Event], delivery: Delivery) -> None:
    """Write one fact for each event, under its source and id, so that a repeated event changes nothing."""
    facts = {tables.identity(event): _fact(event) for event in events}  # no item twice in one call
    table = f"{delivery.fabric}-{tables.FACTS}"
    unwritten = dynamodb().batch_write_item(RequestItems={table: list(facts.values())})["UnprocessedItems"]
    if unwritten:
        raise RuntimeError(f"{len(unwritten[table])} of {len(facts)} facts were throttled; try again")


def _fact(event: Event) -> "WriteRequestTypeDef":
    item = {
        tables.KEY: {"S": tables.identity(event)},
        "type": {"S": event.type},
        "customer": {"S": event.key},
        "origin": {"S": str(event.origin)},
    }
    return {"PutRequest": {"Item": item}}
