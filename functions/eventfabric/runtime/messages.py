"""Reader of a queue's messages as Lambda hands them over. What is not a doorbell fails alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventfabric.errors import UndecodableMessageError, UnknownNameError
from eventfabric.model import Doorbell
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a queue, as far as the functions read it. A text that it lacks is empty."""

    id: str
    body: str = field(repr=False)
    receipt_handle: str = field(repr=False)
    queue: str = field(repr=False)
    received: int
    """Number of times that it was handed to a function, this time included; 0 if the message has no such number."""


def doorbells_of(
    topology: Topology,
    event: Mapping[str, Any],
    subscription_of: Callable[[Message], SubscriptionTopology],
    refuse: Callable[[Message, SubscriptionTopology | None, Exception], None],
) -> Iterator[tuple[Message, SubscriptionTopology, Doorbell]]:
    """Yield each message that is a doorbell of the subscription whose queue it is in; `refuse` gets every other one.

    `refuse` is told why, and the subscription if it is known. Refused messages are not lost: they go to the queue's
    dead-letter queue, where somebody can look at them. UndecodableMessageError if the event is not one of a queue, or a
    message has no id by which it could fail.
    """
    for message in _messages(event):
        subscription = None
        try:
            _check(message)
            subscription = subscription_of(message)
            doorbell = from_body(message.body)
            _check_lane(topology, subscription, doorbell)
        except (UndecodableMessageError, UnknownNameError) as error:
            refuse(message, subscription, error)
        else:
            yield message, subscription, doorbell


def _messages(event: Mapping[str, Any]) -> list[Message]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise UndecodableMessageError("found no records, allowed: an event of an SQS queue")
    if not all(isinstance(record, dict) and _text(record, "messageId") for record in records):
        raise UndecodableMessageError("found a message without an id, allowed: an event of an SQS queue")
    return [
        Message(
            id=_text(record, "messageId"),
            body=_text(record, "body"),
            receipt_handle=_text(record, "receiptHandle"),
            queue=_text(record, "eventSourceARN").rpartition(":")[2],
            received=_received(record.get("attributes", {})),
        )
        for record in records
    ]


def _text(record: Mapping[str, object], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _received(attributes: object) -> int:
    if not isinstance(attributes, dict):
        return 0
    count = str(attributes.get("ApproximateReceiveCount", "1"))
    return int(count) if len(count) < 10 and count.isascii() and count.isdigit() else 0


def _check(message: Message) -> None:
    """Raise UndecodableMessageError if the message lacks what the functions read of it."""
    texts = {"body": message.body, "receiptHandle": message.receipt_handle}
    missing = [name for name, text in texts.items() if not text]
    if missing:
        raise UndecodableMessageError(f"found no {', '.join(missing)}")
    if not message.received:
        raise UndecodableMessageError("found no number as ApproximateReceiveCount, allowed: 1 or more")


def _check_lane(topology: Topology, subscription: SubscriptionTopology, doorbell: Doorbell) -> None:
    """Raise UndecodableMessageError if the doorbell is of another stream, or of a lane that the stream cannot have."""
    stream = topology.stream(subscription.definition.stream)
    if doorbell.stream != stream.name:
        raise UndecodableMessageError(f"found stream {doorbell.stream}, allowed: {stream.name}")
    if not stream.has_lane(doorbell.lane.origin, doorbell.lane.generation, doorbell.lane.index):
        last = stream.definition.lanes - 1
        allowed = ", ".join(f"{origin}/0.0 to 0.{last}" for origin in stream.definition.regions)
        raise UndecodableMessageError(f"found lane {doorbell.lane}, allowed: {allowed}")
