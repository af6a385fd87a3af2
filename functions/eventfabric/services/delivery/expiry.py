"""Expiry: move a cursor over records that expired before they were delivered, or that were skipped; never silently."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from eventfabric.errors import ExpiredUnreadError
from eventfabric.model import UNKNOWN_CHAIN, Chain, RaceLost, Record, SequenceNumber
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import Stopped, only_race
from eventfabric.services.delivery.visit import Visit
from eventfabric.services.lanes.locate import has_expired, kept_in, skip_over
from eventfabric.telemetry import LogEvent, Metric


@dataclass(frozen=True, slots=True)
class Passed:
    """The cursor was moved over records that are gone."""


def pass_skipped(context: VisitContext, visit: Visit) -> Passed | RaceLost | None:
    """Move the cursor over lost records that an operator had the lane skip. None if it is not within such a skip.

    That happens to a cursor that had come to one of several lost records: it stands after the beginning of the skip.
    """
    cursor = visit.cursor
    skip = skip_over(context.log, visit.key.lane, cursor.base) if cursor.base else None
    if skip is None:
        return None
    return _moved(visit, skip.tail.sequence, skip.chain)


def pass_expired(
    context: VisitContext, visit: Visit, records: Iterable[Record]
) -> Passed | RaceLost | Stopped | None:
    """Move the cursor over records that expired, if the subscription wants that. None if nothing has expired.

    `records`: the result of a read from the cursor on. Stopped, with an ExpiredUnreadError, if the subscription halts.
    """
    subscription, lane, cursor = context.subscription, visit.key.lane, visit.cursor
    kept_part = kept_in(
        lane, context.region, retention_seconds=subscription.retention_seconds, now_ms=context.clock.now_ms()
    )
    following = next((record for record in records if record.sequence > cursor.base), None)
    # A lane that never began (version 0) may begin after the expired records; see begin.py.
    if following is None or not cursor.version:
        return None
    if not has_expired(context.log, lane, cursor.base, following, kept_part):
        return None
    # To go on past events that nobody handled is a loss. A person
    # decides that, beforehand and in the definition.
    skipped = following.sequence - cursor.sequence
    if subscription.definition.on_expired == "halt":
        reason = (
            f"it and all before {following.sequence} expired before they were delivered ({skipped} events)"
        )
        return Stopped(ExpiredUnreadError(lane, cursor.sequence, reason))
    # The chain that led here expired with the records, so the next one is taken as it is.
    moved = _moved(visit, following.sequence, UNKNOWN_CHAIN)
    if isinstance(moved, RaceLost):
        return moved
    context.telemetry.add(Metric.EVENTS_EXPIRED, skipped)
    context.telemetry.tell(LogEvent.EVENTS_SKIPPED, lane=str(lane), sequence=cursor.sequence, events=skipped)
    return moved


def _moved(visit: Visit, sequence: SequenceNumber, chain: Chain) -> Passed | RaceLost:
    """Commit the cursor at a sequence where a record begins."""
    cursor = visit.cursor
    replay_from, replay_until = cursor.replay_left(sequence)
    lost = visit.commit(
        replace(
            cursor.at_rest(),
            sequence=sequence,
            base=sequence,
            chain=chain,
            crashes=0,
            replay_until=replay_until,
            replay_from=replay_from,
        ),
        drains=False,
    )
    return Passed() if lost is None else only_race(lost)
