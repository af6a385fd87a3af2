"""Unwanted: how far a lane goes on from a cursor without an event that the cursor's subscription wants.

    cursor 40    [40: a] [43: b, c] [50: a] [52: d]        wanted: d        ahead: 52, nothing is late before it

Nobody is rung for such records where they are appended, so a cursor may stand before them for a while, and lacks
nothing. A record may hold what is wanted if its types say so.
"""

from dataclasses import dataclass, replace

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import (
    START,
    Chain,
    Cursor,
    Lane,
    LaneState,
    Record,
    SequenceNumber,
    SubscriptionFilter,
    Tail,
)
from eventfabric.ports import Log
from eventfabric.stream_topology import SubscriptionTopology


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record that was read, without its payload; it extends the chain `before` it."""

    record: Record
    before: Chain


class UnwantedRecords:
    """Reader of one lane, for the cursors of several subscriptions: most of them stand near each other."""

    def __init__(self, log: Log, lane: Lane) -> None:
        self._log = log
        self._lane = lane
        self._seen: dict[SequenceNumber, _Seen] = {}
        self._pages_left = 0

    def ahead(
        self, cursor: Cursor, subscription_filter: SubscriptionFilter, *, until: SequenceNumber
    ) -> Cursor:
        """Return the cursor behind all records, up to `until`, that hold nothing wanted and continue the lane.

        The cursor itself if its subscription wants everything. A replay that such records end is over behind them.
        """
        if subscription_filter.wants_all:
            return cursor
        self._pages_left = 2 + 2 * limits.RING_EVERY_EVENTS // limits.PAGE_RECORDS_MAX
        base, chain = cursor.base, cursor.chain
        while base < until and (seen := self._record_at(base, chain, until)) is not None:
            # Behind a seal, the lane goes on in its children, whatever is wanted.
            if seen.record.is_seal or subscription_filter.may_want(seen.record):
                break
            base, chain = seen.record.tail.sequence, seen.record.chain
        if base <= cursor.sequence:
            return cursor
        replay_from, replay_until = cursor.replay_left(base)
        return replace(
            cursor,
            sequence=base,
            base=base,
            chain=chain,
            replay_from=replay_from,
            replay_until=replay_until,
        )

    def _record_at(self, base: SequenceNumber, chain: Chain, until: SequenceNumber) -> _Seen | None:
        """Return the record that begins at `base` and extends `chain`; None if there is none, as far as is read."""
        if base not in self._seen and self._pages_left:
            self._pages_left -= 1
            self._read(base, chain, until)
        seen = self._seen.get(base)
        return seen if seen is not None and seen.before == chain else None

    def _read(self, base: SequenceNumber, chain: Chain, until: SequenceNumber) -> None:
        """Read a page, and remember it as far as each record continues the one before it."""
        try:
            page = self._log.read(self._lane, base, records_max=limits.PAGE_RECORDS_MAX, before=until)
        except LogError:
            return  # whoever comes to that record reports it
        for record in page.records:
            if record.sequence != base or not record.extends(chain):
                return
            # A seal is known by what it holds, which is a few bytes.
            kept = record if record.is_seal else replace(record, payload=b"")
            self._seen[base] = _Seen(kept, chain)
            base, chain = record.tail.sequence, record.chain


def begun_at(start: Tail, cursor: Cursor) -> Cursor:
    """Return a cursor as it stands in a lane with that start: not before it, as it may where the lane did not begin."""
    if cursor.sequence >= start.sequence:
        return cursor
    return replace(cursor, sequence=start.sequence, base=start.sequence, chain=start.chain)


def first_wanted(
    log: Log, lane: Lane, state: LaneState, subscription: SubscriptionTopology, end: Tail, start: Tail
) -> SequenceNumber:
    """Return the first sequence that was never handed out and may be wanted; that of `end` if there is none."""
    cursor = begun_at(start, state.cursors[state.latest] if state.latest else START)
    wanted = SubscriptionFilter.of(subscription.definition)
    return UnwantedRecords(log, lane).ahead(cursor, wanted, until=end.sequence).sequence
