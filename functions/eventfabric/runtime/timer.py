"""The timer function: doorbells whose time has come, into the queue of their subscription."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric import limits
from eventfabric.errors import UnknownNameError
from eventfabric.ports import Doorbells
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import current
from eventfabric.services.patience import Patience
from eventfabric.wire.doorbell import Doorbell, from_body


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring in the lane's own message group, so that nothing of a lane ever runs twice at once."""
    runtime = current()
    failed: list[str] = []
    patience = Patience(runtime.ports.clock, runtime.ports.entropy, seconds=limits.LANE_PATIENCE_SECONDS)
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
        if not _ring(runtime.ports.doorbells, subscription.name, doorbell, patience):
            failed.append(record.message_id)
    runtime.flush()
    return partial_batch_response(failed)


def _ring(doorbells: Doorbells, subscription: str, doorbell: Doorbell, patience: Patience) -> bool:
    """Ring, and again for a while, or have the timer come again in a few seconds; False: after its visibility time-out.

    A queue that is busy for a moment must not hold a key up for as long as a crash would.
    """
    while doorbells.ring(subscription, [doorbell]):
        if not patience.wait():
            return doorbells.ring_later(subscription, doorbell, limits.LANE_AGAIN_SECONDS)
    return True
