"""Attempts: events through the handler, as many times at once as they are to be tried."""

from collections.abc import Callable
from collections.abc import Sequence as Seq

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model.commit import Write
from eventfabric.model.event import Event
from eventfabric.ports import Attempt
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import OutOfTime
from eventfabric.services.delivery.raised import is_of
from eventfabric.services.delivery.retry import Failed
from eventfabric.telemetry import Metric
from eventfabric.wire.transaction_bounds import check_count, check_writes


def attempt(
    within: VisitContext,
    events: Seq[Event],
    *,
    again: Callable[[], Seq[Event]],
    most: int,
    attempts: int,
    replay: bool,
    deadline_ms: int,
    epoch: int,
) -> Seq[Write] | Failed | OutOfTime:
    """The handler's writes, or what at `most` so many tries came to, after `attempts` that failed before.

    A try that ended with a PortError failed at a call that the fabric makes for the handler, such as the note of a
    step: it is no failure of the event's, and is not counted. Whatever else a handler raises is.

    Args:
        within: what the visit works with.
        events: what to attempt; the handler may change them.
        again: makes the same events for the next try.
        most: tries at once.
        attempts: tries before these.
        replay: whether the events were handed out before.
        deadline_ms: no try begins that would not end by then.
        epoch: of the cursor.
    """
    tries = 0
    for number in range(1, most + 1):
        began_ms = within.pace.begin(deadline_ms)
        if began_ms is None:
            return OutOfTime()
        one = Attempt(within.subscription.name, attempts + number, deadline_ms, replay, epoch)
        try:
            writes = within.handler.attempt(events, one)
            if writes:
                check_count(len(writes), most=limits.TRANSACTION_WRITES_MAX)
                check_writes(writes)
            return writes
        except Exception as error:  # whatever user code raises is the event's failure, never the fabric's
            within.telemetry.add(Metric.EVENTS_FAILED, len(events))
            tries += not is_of(error, PortError)
            failed = Failed(error, tries)
            if within.policy.is_permanent(error) or len(events) > 1:
                return failed  # of several, who is to blame comes out one by one
        finally:
            within.pace.ended(began_ms)
        if number < most:
            events = again()
    return failed
