"""Quiet: move cursors over what their subscriptions do not want, where nothing has moved them for QUIET_SECONDS.

A cursor that stays behind unwanted records lacks nothing, but these expire, and are read again by each pass and at the
next wanted event. No doorbell is rung and no function invoked for that: one write of the cursor, on the condition that
nobody moved it meanwhile. A lane that never began gets its cursor in this way, too.
"""

from dataclasses import replace

from eventfabric import limits
from eventfabric.model import Committed, LaneKey, ParkedState, StreamName, SubscriptionName
from eventfabric.ports import Ledger, Log
from eventfabric.services.reconciliation.look import Look


def move_quiet(look: Look, *, log: Log, ledger: Ledger, now_ms: int) -> bool:
    """Move the cursor of a lane in which nothing wanted waits. Tell if it was moved."""
    cursor, moved = look.cursor, look.ahead
    if not (_is_due(look, now_ms) and _rests(look, now_ms)):
        return False
    # What was appended since the look may be with its handler by now, whose commit this write would refuse.
    if log.tail(look.lane).sequence != moved.sequence:
        return False
    stream = StreamName(look.subscription.definition.stream)
    key = LaneKey(stream, SubscriptionName(look.subscription.state_name), look.lane)
    if not cursor.version and look.subscription.definition.start != "earliest":
        moved = replace(moved, began=moved.sequence)
    return isinstance(ledger.commit(key, cursor, moved), Committed)


def _is_due(look: Look, now_ms: int) -> bool:
    """Tell if the cursor stands before nothing but unwanted records, and has for long, or before many of them."""
    if not look.cursor.sequence < look.ahead.sequence == look.tail.sequence:
        return False
    is_old = look.cursor.written_ms <= now_ms - 1000 * limits.QUIET_SECONDS
    return is_old or look.ahead.sequence - look.cursor.sequence >= limits.RING_EVERY_EVENTS


def _rests(look: Look, now_ms: int) -> bool:
    """Tell if no run can be under way in the lane, and it is known where this Region begins or goes on with it.

    A key that retries has runs of its own, which move the cursor.
    """
    cursor, epoch = look.cursor, look.owner.epoch if look.owner is not None else 0
    # Where one Region delivers for all, another one's cursor means that this one may have to go on from there.
    is_new = look.begins and not (look.owner is not None and look.state.cursors)
    if not (cursor.version or is_new):
        return False
    if cursor.epoch != epoch or cursor != cursor.at_rest() or cursor.crashes:
        return False
    parked = look.state.parked.get(look.region, {}).values()
    retries = any(key.state is ParkedState.RETRYING for key in parked)
    return not retries and cursor.written_ms <= now_ms - 1000 * limits.UNRUNG_SECONDS
