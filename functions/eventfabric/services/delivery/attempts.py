"""Attempts: hand events to the handler, as many times in a row as they are to be tried."""

from collections.abc import Callable, Sequence

from eventfabric import limits
from eventfabric.errors import PortError, TooManyLanesError
from eventfabric.model import Event
from eventfabric.ports import Attempt
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import OutOfTime
from eventfabric.services.delivery.raised import is_of
from eventfabric.services.delivery.retry import Failed
from eventfabric.telemetry import Metric
from eventfabric.wire.commit_size import STATE_BYTES_MAX
from eventfabric.wire.published import (
    Effect,
    Parts,
    bytes_of_events,
    published_of,
    size_of_records,
    writes_of,
)
from eventfabric.wire.transaction_bounds import check_count, check_writes


def attempt(
    context: VisitContext,
    events: Sequence[Event],
    *,
    again: Callable[[], Sequence[Event]],
    most: int,
    attempts: int,
    replay: bool,
    deadline_ms: int,
    epoch: int,
    edit: str = "",
) -> Sequence[Effect] | Failed | OutOfTime:
    """Call the handler until it succeeds, at most `most` times. Return its effects, or how the tries ended.

    A try that ends with a PortError failed at a call that the fabric makes for the handler, such as the note of a step.
    That is not the event's failure, and is not counted. Anything else that a handler raises is counted.

    Args:
        context: the ports and services of the visit.
        events: the events to attempt; the handler may change them.
        again: makes the same events anew for the next try.
        most: number of tries in a row.
        attempts: number of tries that failed before these.
        replay: True if the events were handed out before.
        deadline_ms: no try begins that would not end by then, in milliseconds since 1970.
        epoch: epoch of the cursor.
        edit: digest of what replaces the event.
    """
    tries = 0
    for number in range(1, most + 1):
        began_ms = context.pace.begin(deadline_ms)
        if began_ms is None:
            return OutOfTime()
        current = Attempt(context.subscription.name, attempts + number, deadline_ms, replay, epoch, edit)
        try:
            effects = context.handler.attempt(events, current)
            return _checked(context, effects, replay=replay) if effects else effects
        except Exception as error:  # whatever user code raises is the event's failure, never the fabric's
            context.telemetry.add(Metric.EVENTS_FAILED, len(events))
            tries += not is_of(error, PortError)
            failed = Failed(error, tries)
            if context.policy.is_permanent(error) or len(events) > 1:
                return failed  # going one by one will show which of several events is to blame
        finally:
            context.pace.ended(began_ms)
        if number < most:
            events = again()
    return failed


def _checked(context: VisitContext, effects: Sequence[Effect], *, replay: bool) -> Sequence[Effect]:
    """Return the effects that count, once it is certain that one commit can hold them.

    TransactionTooLargeError, TooManyLanesError.
    """
    writes, published = writes_of(effects), published_of(effects)
    records, beside_bytes = 0, 0
    if published and context.subscription.definition.guarantee.transactional:
        # Nobody but the fabric would be to blame if the service refused records, so they must surely fit.
        parts = Parts(published)
        if len(parts.of) > limits.PUBLISH_EVENT_LANES_MAX:
            # Several events that were handed out together go one by one then.
            raise TooManyLanesError(context.subscription.name, len(parts.of), limits.PUBLISH_EVENT_LANES_MAX)
        records = len(parts)
        beside_bytes = STATE_BYTES_MAX + bytes_of_events(published) + size_of_records(records).bytes
    check_count(len(writes) + records, most=limits.TRANSACTION_WRITES_MAX)
    check_writes(writes, beside_bytes=beside_bytes)
    if replay and published:
        # It would reach those whom nobody named when the replay was started.
        context.telemetry.add(Metric.EVENTS_NOT_REPUBLISHED, len(published))
        return writes
    if published:
        context.pace.owe(published)
    return effects
