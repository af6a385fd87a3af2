"""Stuck: find out why a lane cannot go on from a subscription's cursor, if the log itself is in its way."""

from dataclasses import dataclass

from eventfabric.errors import LogError
from eventfabric.model import (
    UNKNOWN_CHAIN,
    Cursor,
    LaneKey,
    Mark,
    Record,
    Region,
    SequenceNumber,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
    to_ms,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.services.lanes.locate import KeptPart, has_expired, skip_over
from eventfabric.stream_topology import name_of_state
from eventfabric.wire.payload_codec import unpack


@dataclass(frozen=True, slots=True)
class Ahead:
    """The log ahead of a cursor: its tail, and since when its first event waits; `since_ms` 0: none does."""

    tail: SequenceNumber
    since_ms: int = 0
    stuck: Finding | None = None


def ahead_of(
    key: LaneKey,
    cursor: Cursor,
    mark: Mark,
    *,
    wanted: SubscriptionFilter,
    log: Log,
    region: Region,
    kept_part: KeptPart | None,
    skips_expired: bool,
    now_ms: int,
    start: Tail,
) -> Ahead:
    """Look at the record that a cursor comes to next. One read of the tail, and one more if the lane lags.

    `kept_part`: what the log keeps, if it expires. `start`: the tail with which the lane begins. `skips_expired`: the
    subscription goes on after what expired.
    """
    tail = _tail(log, key, start)
    if cursor.sequence >= tail:
        return Ahead(tail)
    record, wrong = _next(log, key, cursor, wanted)
    is_behind = record is not None and record.sequence > cursor.base
    if (
        record is not None
        and is_behind
        and has_expired(log, key.lane, cursor.base, record, kept_part, begins=start)
    ):
        detail = f"what is before {record.sequence} expired before it was delivered"
        wrong = None if skips_expired else (FindingKind.EXPIRED_UNREAD, detail)
    # By the passes that saw the lane: the time in the record is what its producer's clock said.
    arrived_ms = mark.sightings.arrived_ms(
        cursor.sequence, hint_ms=now_ms if record is None else to_ms(record.time), quiet_ms=0, now_ms=now_ms
    )
    since_ms = max(cursor.written_ms, arrived_ms)
    if wrong is None:
        return Ahead(tail, since_ms)
    kind, detail = wrong
    name = SubscriptionName(name_of_state(key.subscription))
    stuck = Finding(kind, key.stream, key.lane, region, cursor.sequence, detail, name)
    return Ahead(tail, since_ms, stuck)


def _tail(log: Log, key: LaneKey, start: Tail) -> SequenceNumber:
    """Return where the lane ends, or the least that is known of that."""
    try:
        return tail_from(log, key.lane, start).sequence
    except LogError as error:
        # The newest record cannot be read, but has at least one event.
        return SequenceNumber(error.sequence + 1)


def _next(
    log: Log, key: LaneKey, cursor: Cursor, wanted: SubscriptionFilter
) -> tuple[Record | None, tuple[FindingKind, str] | None]:
    """Return the record at the cursor, or else the first after it, and why that cannot be delivered from there."""
    record = None
    try:
        record = log.read(key.lane, cursor.base, records_max=1).first
        if record is not None and wanted.may_want(record):  # delivery passes over any other without a look
            unpack(record)
    except LogError as error:
        return record, (FindingKind.DIVERGENCE, error.reason)
    is_missing = record is None or record.sequence > cursor.base
    # A cursor within a skip is moved by the next delivery, so nothing is in its way.
    if is_missing and skip_over(log, key.lane, cursor.base) is not None:
        return record, None
    return record, _misfit(record, cursor)


def _misfit(record: Record | None, cursor: Cursor) -> tuple[FindingKind, str] | None:
    """Say why a record does not continue what was handled; None: it does."""
    if record is None:
        return FindingKind.HOLE, f"the record at {cursor.base} is missing"
    if record.sequence > cursor.base:
        return FindingKind.HOLE, f"missing; the next record stands at {record.sequence}"
    if cursor.chain != UNKNOWN_CHAIN and not record.extends(cursor.chain):
        return FindingKind.DIVERGENCE, "the record does not extend what was handled before it"
    return None
