"""The deliver function of a subscription: doorbells in, lane by lane delivered, partial batch response back."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any, TypeAlias
from zlib import crc32

from aws_lambda_powertools.utilities.typing import LambdaContext

# What wiring needs for a function that delivers is imported with it, and not by its first invocation.
import eventfabric.sdk.step
import eventfabric.sdk.subscriber
import eventfabric.sdk.tracing
import eventfabric.services.delivery.deliver
import eventfabric.services.delivery.patient_steps  # noqa: F401
from eventfabric import limits
from eventfabric.errors import PortError, ProbeUnrungError
from eventfabric.model import ANY_TAIL, Doorbell, Lane, next_count
from eventfabric.runtime.declared import UNREADABLE
from eventfabric.runtime.messages import Message, doorbells_of
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import Runtime, current
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.services.delivery.patience import Patience
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.telemetry import Metric

_Rung: TypeAlias = tuple[Doorbell, list[Message]]
"""Highest doorbell of a lane, and all messages that rang for the lane."""


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Deliver every lane that was rung for, once. Doorbells of lanes that could not go on come again."""
    runtime = current()
    deadline_ms = int(
        runtime.ports.clock.now_ms()
        + context.get_remaining_time_in_millis()
        - limits.TIME_MARGIN_SECONDS * 1000
    )
    failed: list[str] = []
    lanes = _by_lane(runtime, event, failed)
    try:
        declared = _declared(runtime, deadline_ms)
    except PortError as error:
        failed += _undelivered(lanes, partial(_ring_after, runtime, deadline_ms, error))
    except UNREADABLE as error:
        failed += _undelivered(lanes, partial(_stop, runtime, LaneResult(LaneOutcome.STOPPED, error)))
    else:
        if declared is not None:
            failed += _deliver_all(declared, lanes, deadline_ms, context)
    runtime.flush()
    return partial_batch_response(failed)


def _declared(runtime: Runtime, deadline_ms: int) -> Runtime | None:
    """Return the runtime for the incarnation that is declared; None: it is retired, and its doorbells have served."""
    patience = Patience(runtime.ports.clock, runtime.ports.entropy, seconds=limits.LANE_PATIENCE_SECONDS)
    while True:
        try:
            declared = runtime.as_declared()
            break
        except PortError as error:
            if not (error.retryable and runtime.ports.clock.now_ms() < deadline_ms and patience.wait()):
                raise
    if declared is None and runtime.declared is not None and runtime.declared.is_to_be_logged():
        runtime.logger.warning("the subscription is retired", extra={"subscription": runtime.subscription})
    return declared


def _undelivered(lanes: list[_Rung], left: Callable[[Doorbell, list[Message]], bool]) -> list[str]:
    """Leave lanes that nobody can deliver now. Return the ids of messages that must come again."""
    return [
        message.id for doorbell, messages in lanes if not left(doorbell, messages) for message in messages
    ]


def _deliver_all(runtime: Runtime, lanes: list[_Rung], deadline_ms: int, context: LambdaContext) -> list[str]:
    """Deliver all lanes that were rung for. Return the ids of messages that must come again."""
    failed: list[str] = []
    crashed = any(_received(messages) > 1 for _, messages in lanes)
    if crashed and len(lanes) > 1:
        lanes = _spare_the_innocent(runtime, lanes, context)
    runs = defaultdict[int, list[_Rung]](list)
    for lane in lanes:
        runs[0 if crashed else deliverer_of(runtime, lane[0])].append(lane)

    def run(lanes: Sequence[_Rung]) -> None:
        for doorbell, messages in lanes:
            if not _deliver(runtime, doorbell, messages, deadline_ms, beside=len(runs)):
                failed.extend(message.id for message in messages)
            elif crashed:
                handles = [message.receipt_handle for message in messages]
                runtime.ports.doorbells.answer(runtime.own.name, handles)

    limiter = runtime.deliverers[0].limiter
    if limiter is not None:
        limiter.divide(len(runs))
    calls = [partial(run, lanes) for lanes in runs.values()]
    if len(calls) == 1:
        calls[0]()
    elif calls:
        runtime.lanes_side_by_side(calls)
    if limiter is not None:
        limiter.tell()
    return failed


def deliverer_of(runtime: Runtime, doorbell: Doorbell) -> int:
    """Return the deliverer of a lane: the same each time, since that one knows where it left off."""
    return crc32(f"{doorbell.stream}/{doorbell.lane}".encode()) % len(runtime.deliverers)


def _spare_the_innocent(runtime: Runtime, lanes: list[_Rung], context: LambdaContext) -> list[_Rung]:
    """Return the lanes in another order than last time, and have their doorbells come again soon.

    One of them makes the process die. The others shared its invocation, and would share its fate again: those that
    come before it this time are delivered, and answered at once.
    """
    messages = [message for _, of_lane in lanes for message in of_lane]
    seconds = ceil(context.get_remaining_time_in_millis() / 1000) + limits.CRASH_VISIBILITY_MARGIN_SECONDS
    _hide(runtime, messages, seconds)
    return sorted(lanes, key=lambda lane: crc32(f"{lane[0].lane}+{_received(lane[1])}".encode()))


def _received(messages: list[Message]) -> int:
    return max(message.received for message in messages)


def _by_lane(runtime: Runtime, event: dict[str, Any], failed: list[str]) -> list[_Rung]:
    """Return the highest doorbell of each lane, with all messages for the lane. Other messages are failed."""
    lanes: dict[tuple[str, Lane], _Rung] = {}
    subscription = runtime.own

    def refuse(message: Message, _: SubscriptionTopology | None, error: Exception) -> None:
        runtime.message_refused(message.id, message.queue, error)
        failed.append(message.id)
        # Its group waits until it is in the dead-letter queue; each wait must be shorter than after a crash.
        if message.receipt_handle:
            runtime.ports.doorbells.hide(
                subscription.name, [message.receipt_handle], limits.REFUSED_AGAIN_SECONDS
            )

    for message, _, doorbell in doorbells_of(runtime.topology, event, lambda _: subscription, refuse):
        known = lanes.get((doorbell.stream, doorbell.lane))
        if known is None:
            lanes[doorbell.stream, doorbell.lane] = (doorbell, [message])
        else:
            known[1].append(message)
            lanes[doorbell.stream, doorbell.lane] = (known[0].merged_with(doorbell), known[1])
    return list(lanes.values())


def _deliver(
    runtime: Runtime, doorbell: Doorbell, messages: list[Message], deadline_ms: int, *, beside: int
) -> bool:
    """Deliver the lane. Return True if its doorbells have served. `beside`: lanes delivered at the same time.

    Calls that fail for a moment are retried here. What lasts is left to a doorbell of its own, later: the same
    doorbell, if it only came again, would count as one after a crash, and keep its group waiting for as long.
    """
    deliverer = runtime.deliverers[deliverer_of(runtime, doorbell)]
    patience = Patience(runtime.ports.clock, runtime.ports.entropy, seconds=limits.LANE_PATIENCE_SECONDS)
    while True:
        try:
            result = deliverer.deliver(
                doorbell,
                deadline_ms=deadline_ms,
                receive_count=_received(messages),
                concurrency=max(1, runtime.concurrency // beside),
            )
            break
        except PortError as error:
            if error.retryable and runtime.ports.clock.now_ms() < deadline_ms and patience.wait():
                continue
            ended = doorbell.with_end(deliverer.ended_at(doorbell.lane))
            return _ring_after(runtime, deadline_ms, error, ended, messages)
    if result.done:
        return True
    if result.cause is not None:
        return _stop(runtime, result, doorbell, messages)
    _tell_stopped(runtime, result, doorbell)
    return _ring_again(runtime, doorbell, messages, deadline_ms, is_passing=True)


def _ring_after(
    runtime: Runtime, deadline_ms: int, error: PortError, doorbell: Doorbell, messages: list[Message]
) -> bool:
    """Have a lane rung again after a call that failed. Return True if its doorbells have served."""
    extra = {**_about(runtime, doorbell), "reason": str(error)}
    runtime.logger.warning("a lane is rung again", extra=extra)
    waits = isinstance(error, ProbeUnrungError)
    return _ring_again(runtime, doorbell, messages, deadline_ms, is_passing=error.retryable, waits=waits)


def _stop(runtime: Runtime, result: LaneResult, doorbell: Doorbell, messages: list[Message]) -> bool:
    """Leave a lane alone for a while that somebody has to look at. Return False: its doorbells come again."""
    runtime.telemetry.add(Metric.DELIVERIES_BLOCKED)
    _tell_stopped(runtime, result, doorbell)
    _hide(runtime, messages, limits.LANE_AGAIN_SECONDS_MAX)
    return False


def _tell_stopped(runtime: Runtime, result: LaneResult, doorbell: Doorbell) -> None:
    cause = result.cause
    runtime.logger.warning(
        "a lane stopped",
        extra={
            **_about(runtime, doorbell),
            "outcome": result.outcome.value,
            "error_type": type(cause).__name__ if cause else None,
        },
        exc_info=cause,
    )


def _about(runtime: Runtime, doorbell: Doorbell) -> dict[str, object]:
    return {"subscription": runtime.subscription, "lane": str(doorbell.lane), "tail": doorbell.tail}


def _ring_again(
    runtime: Runtime,
    doorbell: Doorbell,
    messages: list[Message],
    deadline_ms: int,
    *,
    is_passing: bool,
    waits: bool = False,
) -> bool:
    """Have the lane rung a little later. Return True if its doorbells have served; else they come again as soon.

    `is_passing`: what ended the run passes by itself. The queue is then rung at once if no timer can be had, since
    the next run is as patient. What somebody has to fix would only be met again and again. So would a circuit that
    is open for hours: a lane that `waits` for it is rung when it closes, and by reconciliation for an overdue probe.
    If neither can be done it is tried for a while: a doorbell that is left to its visibility time-out, as if its
    process had died, comes after twelve minutes.

    If replies are lost, one run may send several doorbells; for one lane and moment, they are one to the queue.
    """
    doorbells, subscription = runtime.ports.doorbells, runtime.own.name
    now_ms, moment_ms = runtime.ports.clock.now_ms(), 1000 * limits.LANE_AGAIN_SECONDS
    failing_ms = doorbell.failing_ms or now_ms
    seconds = limits.LANE_AGAIN_SECONDS_MAX
    if is_passing:
        seconds = min(seconds, max(limits.LANE_AGAIN_SECONDS, (now_ms - failing_ms) // 4000))
    # Never the same ring twice, which the queue would drop: clocks stand still, and jump back.
    again = max(now_ms - now_ms % moment_ms, next_count(doorbell.again))
    bell = replace(doorbell, tail=ANY_TAIL, again=again, failing_ms=failing_ms)
    clock, entropy = runtime.ports.clock, runtime.ports.entropy
    patience = Patience(clock, entropy, seconds=limits.RING_PATIENCE_SECONDS)
    while True:
        if doorbells.ring_later(subscription, bell, seconds) or waits:
            return True
        if is_passing and not doorbells.ring(subscription, [bell]):
            return True
        if clock.now_ms() >= deadline_ms or not patience.wait():
            _hide(runtime, messages, seconds)
            return False


def _hide(runtime: Runtime, messages: list[Message], seconds: int) -> None:
    """Have doorbells that did not serve come again after so long; else they would wait for a crash's time-out."""
    handles = [message.receipt_handle for message in messages]
    runtime.ports.doorbells.hide(runtime.own.name, handles, seconds)
