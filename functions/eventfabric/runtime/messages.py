"""Read the messages of a queue as Lambda hands them over: what is none of ours fails alone, and is counted."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from eventfabric.errors import UndecodableMessageError, UnknownNameError
from eventfabric.runtime.wiring import Runtime
from eventfabric.telemetry import Metric
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import Doorbell, from_body

_RECEIVED = "ApproximateReceiveCount"


def doorbells_of(
    runtime: Runtime,
    event: Mapping[str, Any],
    subscription_of: Callable[[SQSRecord], SubscriptionTopology],
    refuse: Callable[[SQSRecord, SubscriptionTopology | None], None],
    *,
    reads: tuple[str, ...],
) -> Iterator[tuple[SQSRecord, SubscriptionTopology, Doorbell]]:
    """Each message that is a doorbell of the subscription whose queue it is in; `refuse` gets each other one.

    It is told the subscription, too, where that is known.
    `reads`: the texts that the caller reads of a message, beside its body.
    Nothing is lost with those: they go to the queue's dead-letter queue, where somebody can look at them.
    UndecodableMessageError where the event is none of a queue, or a message has no id by which it could fail.
    """
    for record in _records(event):
        subscription = None
        try:
            _check(record, ("body", *reads))
            subscription = subscription_of(record)
            doorbell = from_body(record.body)
            _check_lane(runtime, subscription, doorbell)
        except (UndecodableMessageError, UnknownNameError) as error:
            about = {"message_id": record.message_id, "reason": str(error)}
            runtime.logger.error("a message is not a doorbell", extra=about)
            runtime.telemetry.add(Metric.MESSAGES_REFUSED, of=runtime.subscription or _queue_of(record))
            refuse(record, subscription)
        else:
            yield record, subscription, doorbell


def received(record: SQSRecord) -> int:
    """How often the message was handed to a function, this time included."""
    return int(record.raw_event.get("attributes", {}).get(_RECEIVED, 1))


def _records(event: Mapping[str, Any]) -> Iterator[SQSRecord]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise UndecodableMessageError("found no records, allowed: an event of an SQS queue")
    for record in records:
        if not isinstance(record, dict) or not _is_text(record.get("messageId")):
            raise UndecodableMessageError("found a message without an id, allowed: an event of an SQS queue")
    return map(SQSRecord, records)


def _check(record: SQSRecord, texts: tuple[str, ...]) -> None:
    """UndecodableMessageError where the message lacks what the functions read of it."""
    raw = record.raw_event
    missing = [name for name in texts if not _is_text(raw.get(name))]
    if missing:
        raise UndecodableMessageError(f"found no {', '.join(missing)}")
    attributes = raw.get("attributes", {})
    received = str(attributes.get(_RECEIVED, "1")) if isinstance(attributes, dict) else ""
    if not (0 < len(received) < 10 and received.isascii() and received.isdigit()):
        raise UndecodableMessageError(f"found {received!r:.20} as {_RECEIVED}, allowed: a number")


def _check_lane(runtime: Runtime, subscription: SubscriptionTopology, doorbell: Doorbell) -> None:
    """UndecodableMessageError where the doorbell is of another stream, or of a lane that the stream cannot have."""
    stream = runtime.topology.stream(subscription.definition.stream)
    if doorbell.stream != stream.name:
        raise UndecodableMessageError(f"found stream {doorbell.stream}, allowed: {stream.name}")
    if not stream.has_lane(doorbell.lane.origin, doorbell.lane.generation, doorbell.lane.index):
        last = stream.definition.lanes - 1
        allowed = ", ".join(f"{origin}/0.0 to 0.{last}" for origin in stream.definition.regions)
        raise UndecodableMessageError(f"found lane {doorbell.lane}, allowed: {allowed}")


def _queue_of(record: SQSRecord) -> str:
    arn = record.raw_event.get("eventSourceARN")
    return str(arn).rpartition(":")[2][:80] or "unknown"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
