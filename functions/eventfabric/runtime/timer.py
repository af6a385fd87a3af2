"""The timer function: doorbells whose time has come, into the queue of their subscription."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric import limits
from eventfabric.ports import Doorbells
from eventfabric.runtime.messages import doorbells_of
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import current
from eventfabric.services.patience import Patience
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import Doorbell


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring in the lane's own message group, so that nothing of a lane ever runs twice at once."""
    runtime = current()
    failed: list[str] = []
    patience = Patience(runtime.ports.clock, runtime.ports.entropy, seconds=limits.LANE_PATIENCE_SECONDS)

    def subscription_of(record: SQSRecord) -> SubscriptionTopology:
        return runtime.topology.subscription_of_timers(record.event_source_arn.rpartition(":")[2])

    def refuse(record: SQSRecord) -> None:
        failed.append(record.message_id)

    bells = doorbells_of(runtime, event, subscription_of, refuse, reads=("eventSourceARN",))
    for record, subscription, doorbell in bells:
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
