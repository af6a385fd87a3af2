"""Locate: find where a sequence or a time stands in a lane's log, with all that a cursor there must hold.

It reads headers only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.model import (
    EMPTY_TAIL,
    UNKNOWN_CHAIN,
    AtTime,
    Cursor,
    Event,
    Lane,
    Record,
    Region,
    SequenceNumber,
    Start,
    Tail,
    to_ms,
)
from eventfabric.ports import Log
from eventfabric.services.lanes.lane_end import lane_end, tail_from
from eventfabric.wire.payload_codec import unpack


@dataclass(frozen=True, slots=True)
class KeptPart:
    """The part of a lane that is kept under a retention. Records appended before `from_ms` may be gone, in no order.

    A missing record has expired if the next one was appended at `settled_ms` or before; otherwise it may still come.
    """

    from_ms: int
    settled_ms: int
    now_ms: int


def kept_in(lane: Lane, region: Region, *, retention_seconds: int | None, now_ms: int) -> KeptPart | None:
    """Return what a Region knows to be kept of a lane. None: everything."""
    if retention_seconds is None:
        return None
    # What replicates at all does so within the retention of the DynamoDB streams that feed the replicas.
    settled_ms = now_ms if lane.origin == region else now_ms - 1000 * limits.STREAM_RETENTION_SECONDS
    return KeptPart(now_ms - 1000 * retention_seconds, settled_ms, now_ms)


def locate(
    log: Log,
    lane: Lane,
    start: Start,
    *,
    end: Tail,
    kept_part: KeptPart | None = None,
    begins: Tail = EMPTY_TAIL,
) -> Cursor | None:
    """Return a fresh cursor at `start`, or at `end`, whichever comes first.

    It never stands at a record that may be gone at any moment. None if a record is missing there, and nothing tells if
    it has expired. One read for the first event of a record, about ten more for another event, and about log2 of the
    lane's sequences for a time.

    Args:
        log: the log of one Region.
        lane: the lane to search.
        start: a sequence or a time.
        end: the tail of all that is looked at.
        kept_part: the part of the lane that is kept; None: everything.
        begins: the tail with which the lane begins.
    """
    tails = _Tails(log, lane, begins)
    if isinstance(start, AtTime):
        return _at_time(tails, max(start.ms, kept_part.from_ms) if kept_part else start.ms, end, kept_part)
    if kept_part is not None:
        oldest = _at_time(tails, kept_part.from_ms, end, kept_part)
        if oldest is None or start.sequence <= oldest.sequence:
            return oldest
    return _at_sequence(tails, max(start.sequence, begins.sequence), end)


@dataclass(frozen=True, slots=True)
class _Tails:
    """The tails of a lane that begins somewhere, at whatever sequence."""

    log: Log
    lane: Lane
    begins: Tail

    def before(self, sequence: int) -> Tail:
        """Return the tail of the records that begin before a sequence. One read."""
        return tail_from(self.log, self.lane, self.begins, before=SequenceNumber(sequence))

    def is_record(self, tail: Tail) -> bool:
        """Tell if a record ends at a tail."""
        return tail.sequence > self.begins.sequence


def has_expired(
    log: Log,
    lane: Lane,
    base: SequenceNumber,
    following: Record,
    kept_part: KeptPart | None,
    *,
    begins: Tail = EMPTY_TAIL,
) -> bool:
    """Tell if the records missing from `base` up to the following one have expired; otherwise they are late, or lost.

    They were appended between the record before them and the following one. If the record before is gone too, nothing
    shows that they are younger than the retention. One read, and more if the following record is far away: an item
    beyond the lane's end has no expired records before it, because no records ever led up to it. None as `kept_part`:
    everything is kept, and nothing expires. `begins`: the tail with which the lane begins; nothing before it expires.
    """
    if kept_part is None or to_ms(following.time) > kept_part.settled_ms:
        return False
    if following.sequence - base > limits.FAR_EVENTS:
        end = lane_end(log, lane, now_ms=kept_part.now_ms, start=begins)
        if following.sequence in end.beyond:
            return False
    # A record that is still kept proves that those after it are younger, and so cannot have expired.
    before = tail_from(log, lane, begins, before=base)
    return not before.sequence or to_ms(before.time) < kept_part.from_ms


def skip_over(log: Log, lane: Lane, sequence: SequenceNumber) -> Record | None:
    """Return the skip that covers a sequence and begins before it; None if there is none. One read."""
    for record in log.recent(lane, records_max=1, before=sequence).records:
        if record.is_skip and record.tail.sequence > sequence:
            return record
    return None


def event_at(log: Log, lane: Lane, sequence: SequenceNumber) -> Event | None:
    """Return the event at a sequence; None if its record has expired, is lost, or has not come.

    UndecodableRecordError if it cannot be decoded.
    """
    cursor = _at_sequence(_Tails(log, lane, EMPTY_TAIL), sequence, log.tail(lane))
    for record in log.read(lane, cursor.base, records_max=1).records:
        if record.sequence <= sequence < record.tail.sequence and not record.is_without_events:
            return unpack(record)[sequence - record.sequence]
    return None


def _at_sequence(tails: _Tails, sequence: SequenceNumber, end: Tail) -> Cursor:
    if sequence >= end.sequence:
        return _at_end(end)
    before = tails.before(sequence)
    if before.sequence <= sequence:  # smaller if a record has not come yet: the cursor waits for that one
        return _at_end(before)
    # The sequence lies within a record. It begins at most one record's length before: about ten reads.
    lowest = max(tails.begins.sequence, sequence - limits.RECORD_EVENTS_MAX + 1)
    base = _first(tails, lowest, sequence, lambda tail: tail.sequence > sequence)
    before = tails.before(base)
    return Cursor(sequence, base, before.chain) if before.sequence == base else _at_end(before)


def _at_time(tails: _Tails, ms: int, end: Tail, kept_part: KeptPart | None) -> Cursor | None:
    if to_ms(end.time) < ms:
        return _at_end(end)
    base = _first(tails, tails.begins.sequence, end.sequence, lambda tail: to_ms(tail.time) >= ms)
    before = tails.before(base)
    if tails.is_record(before) and to_ms(before.time) >= ms:
        # A replica shows records in any order: an earlier one arrived during the search. Begin there, or
        # before.
        return _at_time(tails, ms, before, kept_part)
    if before.sequence == base or kept_part is None:
        return _at_end(before)
    if tails.is_record(before) and to_ms(before.time) >= kept_part.from_ms:
        return _at_end(before)  # the missing records after it are younger than the retention: late, or lost
    first = tails.before(base + 1)
    return Cursor(base, base, UNKNOWN_CHAIN) if to_ms(first.time) <= kept_part.settled_ms else None


def _at_end(tail: Tail) -> Cursor:
    return Cursor(tail.sequence, tail.sequence, tail.chain)


def _first(tails: _Tails, low: int, high: int, holds: Callable[[Tail], bool]) -> SequenceNumber:
    """Find by bisection where the first record begins for which `holds` is true.

    It must hold for all later records too, and the record found must begin in [low, high).
    """
    while high - low > 1:
        middle = (low + high) // 2
        tail = tails.before(middle)
        if holds(tail):
            high = middle
        else:
            # No record begins between `middle` and the end of the one before it.
            low = max(middle, tail.sequence)
    return SequenceNumber(low)
