"""The timer function: doorbells whose time has come, into the queue of their subscription."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric.errors import UnknownNameError
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import current
from eventfabric.wire.doorbell import from_body


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring in the lane's own message group, so that nothing of a lane ever runs twice at once."""
    runtime = current()
    failed: list[str] = []
    for record in SQSEvent(event).records:
        queue = record.event_source_arn.rpartition(":")[2]
        try:
            subscription, doorbell = runtime.topology.subscription_of_timers(queue), from_body(record.body)
        except (ValueError, UnknownNameError) as error:
            # Not ours, so nothing is lost with it: it goes to the dead-letter queue, where somebody can look at it.
            runtime.logger.error(
                "a message is not a doorbell", extra={"message_id": record.message_id, "reason": str(error)}
            )
            failed.append(record.message_id)
            continue
        if runtime.ports.doorbells.ring(subscription.name, [doorbell]):
            failed.append(record.message_id)
    runtime.flush()
    return partial_batch_response(failed)
