"""The timer function: rings doorbells whose time has come in the queue of their subscription."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric import limits
from eventfabric.deadline import call_within
from eventfabric.errors import UnknownNameError
from eventfabric.model import Doorbell
from eventfabric.ports import Doorbells
from eventfabric.runtime.messages import Message, doorbells_of
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import current
from eventfabric.services.delivery.patience import Patience
from eventfabric.services.delivery.ringer import CALLS_SECONDS
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another, results_of
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import subscription_of as subscription_named

_Timer: TypeAlias = tuple[Message, Doorbell]
_Timers: TypeAlias = Sequence[_Timer]


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring in the lane's own message group, so that nothing of a lane ever runs twice at once."""
    runtime = current()
    doorbells = runtime.ports.doorbells
    failed: list[str] = []
    patience = Patience(runtime.ports.clock, runtime.ports.entropy, seconds=limits.LANE_PATIENCE_SECONDS)

    def subscription_of(message: Message) -> SubscriptionTopology:
        return _subscription_of(runtime.topology, message)

    def refuse(message: Message, subscription: SubscriptionTopology | None, error: Exception) -> None:
        runtime.message_refused(message.id, message.queue, error)
        failed.append(message.id)
        # All timers are in one queue, so the name of any subscription leads to it.
        name = next(iter(runtime.topology.subscriptions), None)
        if name and message.queue == runtime.topology.timers.name and message.receipt_handle:
            seconds_of = {message.receipt_handle: limits.REFUSED_AGAIN_SECONDS}
            call_within(CALLS_SECONDS, doorbells.put_off, name, seconds_of)

    timers = defaultdict[str, list[_Timer]](list)
    for message, subscription, doorbell in doorbells_of(runtime.topology, event, subscription_of, refuse):
        timers[subscription.name].append((message, doorbell))
    side_by_side = runtime.queues_side_by_side if len(timers) > 1 else one_after_another
    left = _ring(doorbells, timers, patience, side_by_side)
    side_by_side([partial(_put_off, doorbells, name, unrung) for name, unrung in left.items()])
    failed += [message.id for unrung in left.values() for message, _ in unrung]
    runtime.flush()
    return partial_batch_response(failed)


def _subscription_of(topology: Topology, message: Message) -> SubscriptionTopology:
    """Return the subscription that a timer names, or in whose queue it is, as in earlier versions. UnknownNameError."""
    if name := subscription_named(message.body):
        return topology.subscription(name)
    former = {own.former_timers_name: own for own in topology.subscriptions.values()}
    if message.queue not in former:
        raise UnknownNameError("timer queue", message.queue, [*former])
    return former[message.queue]


def _ring(
    doorbells: Doorbells, timers: Mapping[str, _Timers], patience: Patience, side_by_side: SideBySide
) -> Mapping[str, _Timers]:
    """Ring, and retry for a while. Return the timers that could not be rung, by subscription.

    A queue that is busy for a moment must not hold a key up for as long as a crash would. A timer that has come
    again before has met trouble that lasts: it is tried only once. Nobody waits for another subscription's queue.
    """
    while True:
        calls = [
            partial(call_within, CALLS_SECONDS, _refused, doorbells, *of_one) for of_one in timers.items()
        ]
        refused = zip(timers, results_of(calls, side_by_side), strict=True)
        timers = {name: unrung for name, unrung in refused if unrung}
        is_new = any(message.received == 1 for unrung in timers.values() for message, _ in unrung)
        if not (is_new and patience.wait()):
            return timers


def _refused(doorbells: Doorbells, subscription: str, timers: _Timers) -> _Timers:
    """Ring for the timers of a subscription. Return those that its queue did not take."""
    refused = set(doorbells.ring(subscription, [doorbell for _, doorbell in timers]))
    return [timer for timer in timers if timer[1] in refused]


def _put_off(doorbells: Doorbells, subscription: str, timers: _Timers) -> None:
    """Have timers that could not ring come again."""
    seconds_of = {message.receipt_handle: _again_seconds(message) for message, _ in timers}
    call_within(CALLS_SECONDS, doorbells.put_off, subscription, seconds_of)


def _again_seconds(message: Message) -> int:
    """Return the seconds after which a timer that could not ring comes again: more each time, as the trouble lasts.

    It is the same message that comes again, never a new one: if replies are lost, each try would leave one more.
    """
    return min(limits.LANE_AGAIN_SECONDS * message.received, limits.LANE_AGAIN_SECONDS_MAX)
