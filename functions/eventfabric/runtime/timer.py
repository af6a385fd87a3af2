"""The timer function: rings doorbells whose time has come in the queue of their subscription."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric import limits
from eventfabric.model import Doorbell
from eventfabric.ports import Doorbells
from eventfabric.runtime.messages import Message, doorbells_of
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import current
from eventfabric.services.delivery.patience import Patience
from eventfabric.topology import SubscriptionTopology

_Timer: TypeAlias = tuple[Message, Doorbell]


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring in the lane's own message group, so that nothing of a lane ever runs twice at once."""
    runtime = current()
    doorbells = runtime.ports.doorbells
    failed: list[str] = []
    patience = Patience(runtime.ports.clock, runtime.ports.entropy, seconds=limits.LANE_PATIENCE_SECONDS)

    def subscription_of(message: Message) -> SubscriptionTopology:
        return runtime.topology.subscription_of_timers(message.queue)

    def refuse(message: Message, subscription: SubscriptionTopology | None, error: Exception) -> None:
        runtime.message_refused(message.id, message.queue, error)
        failed.append(message.id)
        if subscription is not None and message.receipt_handle:
            doorbells.put_off(subscription.name, {message.receipt_handle: limits.REFUSED_AGAIN_SECONDS})

    timers = defaultdict[str, list[_Timer]](list)
    for message, subscription, doorbell in doorbells_of(runtime.topology, event, subscription_of, refuse):
        timers[subscription.name].append((message, doorbell))
    for name, of_subscription in timers.items():
        unrung = _ring(doorbells, name, of_subscription, patience)
        if unrung:
            doorbells.put_off(
                name, {message.receipt_handle: _again_seconds(message) for message, _ in unrung}
            )
            failed += [message.id for message, _ in unrung]
    runtime.flush()
    return partial_batch_response(failed)


def _ring(
    doorbells: Doorbells, subscription: str, timers: Sequence[_Timer], patience: Patience
) -> Sequence[_Timer]:
    """Ring, and retry for a while. Return the timers that could not be rung.

    A queue that is busy for a moment must not hold a key up for as long as a crash would. A timer that has come
    again before has met trouble that lasts: it is tried only once.
    """
    while True:
        refused = set(doorbells.ring(subscription, [doorbell for _, doorbell in timers]))
        timers = [timer for timer in timers if timer[1] in refused]
        is_new = any(message.received == 1 for message, _ in timers)
        if not (is_new and patience.wait()):
            return timers


def _again_seconds(message: Message) -> int:
    """Return the seconds after which a timer that could not ring comes again: more each time, as the trouble lasts.

    It is the same message that comes again, never a new one: if replies are lost, each try would leave one more.
    """
    return min(limits.LANE_AGAIN_SECONDS * message.received, limits.LANE_AGAIN_SECONDS_MAX)
