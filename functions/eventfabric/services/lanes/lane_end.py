"""Lane end: where a lane goes on, as far as the items found at its end can be believed.

    [ 30 ][ 40 ][ 50 ]                      the newest continues the one before it: the lane goes on after it
    [ 30 ][ 40 ]  . . .  [ 1099511627776 ]  it does not, and is far away: the lane goes on after the last that does
    [ 30 ][ 40 ]  ?  [ 60 ]                 it does not, and is near: a record may be lost, so nothing is put there
    place 50, nothing else                  all has expired: the place says where the lane goes on
    . . .  [ seal ]                         the lane has ended there, whatever else is left of it

A lane that was split off begins at its parent's seal, with the sequence and chain that stand behind that: its `start`.

A wrong answer loses acknowledged events: what is appended after a far record is never delivered, and what is put where
a record stood before is taken for delivered already.
"""

from dataclasses import dataclass

from eventfabric import limits
from eventfabric.errors import UncertainTailError
from eventfabric.model import (
    EMPTY_TAIL,
    UNKNOWN_CHAIN,
    Lane,
    Recent,
    Record,
    SequenceNumber,
    Tail,
)
from eventfabric.ports import Log


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """The end of a lane, as its newest records show it.

    `tail`: the end of the records that continue each other. `newest`: the last of these records, None if there is none.
    `beyond`: first sequences of items after the tail that do not continue the lane, in order. `place`: the lane's noted
    place, if it was read.
    """

    tail: Tail
    newest: Record | None = None
    beyond: tuple[SequenceNumber, ...] = ()
    place: Tail | None = None

    @property
    def is_far(self) -> bool:
        """Tell if the items beyond are too far away for any loss of records to explain them."""
        return bool(self.beyond) and self.beyond[0] - self.tail.sequence > limits.FAR_EVENTS


def lane_end(log: Log, lane: Lane, *, now_ms: int, start: Tail = EMPTY_TAIL) -> LaneEnd:
    """Find where a lane ends: one read of its two newest records, and more reads only if these do not fit together.

    `start`: the tail of the lane while nothing stands in it.
    """
    records_max, before = 2, None
    beyond: list[SequenceNumber] = []
    newer: Record | None = None
    for _ in range(limits.LANE_END_PAGES_MAX):
        page = log.recent(lane, records_max=records_max, before=before)
        for older in page.records:
            # Two records that continue each other are believed: one far item by itself cannot forge that.
            if newer is not None and _fits(log, newer, older, now_ms, start):
                beyond += _unreadable_behind(page, newer)
                return LaneEnd(newer.tail, newer, tuple(sorted(set(beyond))), page.place)
            if newer is not None:
                beyond.append(newer.sequence)
            newer = older
        beyond += _unreadable_behind(page, newer)
        if _is_last(page):
            return _oldest(newer, beyond, page.place or start, page.place)
        before = _first_of(page, newer)
        # Two records are enough for a healthy lane, and cheap. After that, whole pages save calls.
        records_max = limits.PAGE_RECORDS_MAX
    raise UncertainTailError(lane, before or 0, f"{len(beyond)} items behind it do not continue each other")


def believed_tail(
    log: Log, lane: Lane, *, past: SequenceNumber, now_ms: int, start: Tail = EMPTY_TAIL
) -> Tail:
    """Find the tail of a lane of which everything up to `past` is known: its newest record's, unless that is far away.

    One read, or two if the lane goes on far after what is known. A hole is not hidden: an item that stands near, after
    a hole, counts, because the missing record may still come.
    """
    tail = tail_from(log, lane, start)
    if tail.sequence - max(past, start.sequence) <= limits.FAR_EVENTS:
        return tail
    end = lane_end(log, lane, now_ms=now_ms, start=start)
    return end.tail if end.is_far else tail


def tail_from(log: Log, lane: Lane, start: Tail, *, before: SequenceNumber | None = None) -> Tail:
    """Return the tail of a lane, or of its records that begin before a sequence: its start if there is none."""
    tail = log.tail(lane, before=before)
    return start if tail == EMPTY_TAIL else tail


def tail_to_begin_at(log: Log, lane: Lane, *, now_ms: int, start: Tail = EMPTY_TAIL) -> Tail:
    """Return the last tail at which a lane of which nothing is known may begin, so that nothing after it is missed.

    Like `believed_tail`, but a record right at the end that does not continue the lane is left out: it never will
    continue it, and what is published once it is set aside takes its place. One read, or two if a record is missing.
    """
    end = lane_end(log, lane, now_ms=now_ms, start=start)
    has_hole = bool(end.beyond) and end.beyond[0] > end.tail.sequence and not end.is_far
    return tail_from(log, lane, start) if has_hole else end.tail


def tail_before_seal(log: Log, lane: Lane, end: Tail) -> Tail:
    """Return the tail of what stands before the seal behind which a lane ends. One read."""
    sequence = SequenceNumber(end.sequence - 1)
    tail = log.tail(lane, before=sequence)
    # What led up to the seal may have expired; in a child, it may be the parent's seal.
    return tail if tail.sequence == sequence else Tail(sequence, UNKNOWN_CHAIN, end.time)


def _fits(log: Log, newer: Record, older: Record, now_ms: int, start: Tail) -> bool:
    """Tell if two records of a lane continue each other, and also the lane before them."""
    if not _continues(newer, older, now_ms):
        return False
    is_next = newer.sequence == older.tail.sequence
    return is_next or newer.is_seal or not _is_cut_off(log, older, now_ms, start)


def _continues(newer: Record, older: Record, now_ms: int) -> bool:
    """Tell if a record continues an older one: directly, by its chain, or across records that may have expired."""
    if older.is_seal:
        return False  # nothing stands behind a seal
    if newer.sequence == older.tail.sequence:
        return newer.extends(older.chain)
    # Records expire in no order, so those between the two may be gone. That explains no item far away: a lane
    # that was quiet for so long has a place.
    is_near = 0 < newer.sequence - older.tail.sequence <= limits.FAR_EVENTS
    # A seal never expires. So it may be all that is left, or nearly, however far the lane had come.
    expires = newer.is_seal or (is_near and newer.expires_at is not None)
    return expires and (older.expires_at is None or may_have_expired(older, now_ms))


def _is_cut_off(log: Log, record: Record, now_ms: int, start: Tail) -> bool:
    """Tell if a record that the next seems to continue, across expired ones, does not itself continue the lane.

    Expired records only ever stand after records that have expired too, or that never expire. If no record is left
    before this one, the lane's place must be near.
    """
    page = log.recent(record.lane, records_max=1, before=record.sequence)
    if not page.records:
        place = page.place or log.place(record.lane) or start
        return record.sequence - place.sequence > limits.FAR_EVENTS
    return any(
        not _continues(record, earlier, now_ms)
        and earlier.expires_at is not None
        and not may_have_expired(earlier, now_ms)
        for earlier in page.records
    )


def may_have_expired(record: Record, now_ms: int) -> bool:
    """Tell if a record may have expired already, by the clock of some Region."""
    margin_seconds = limits.EXPIRY_MARGIN_SECONDS
    return record.expires_at is not None and record.expires_at - margin_seconds <= now_ms // 1000


def _unreadable_behind(page: Recent, record: Record | None) -> list[SequenceNumber]:
    """Return the unreadable items of a page that stand after a record; all, if there is none."""
    return [sequence for sequence in page.unreadable if record is None or sequence > record.sequence]


def _is_last(page: Recent) -> bool:
    """Tell if nothing that counts stands before a page: it has the lane's place, or shows that nothing is left."""
    return not page.more or page.place is not None or not (page.records or page.unreadable)


def _first_of(page: Recent, oldest: Record | None) -> SequenceNumber:
    """Return the first sequence that was seen, before which the next page ends."""
    sequences = [*page.unreadable, *(record.sequence for record in page.records)]
    return min(sequences if oldest is None else [*sequences, oldest.sequence])


def _oldest(oldest: Record | None, beyond: list[SequenceNumber], before: Tail, place: Tail | None) -> LaneEnd:
    """Return the end of a lane in which no two records were found that continue each other."""
    if oldest is None:
        return LaneEnd(before, None, tuple(sorted(set(beyond))), place)
    # A place never goes back, so the lane is known to go on there.
    if oldest.tail.sequence <= before.sequence:
        return LaneEnd(before, oldest, tuple(sorted(beyond)), place)
    is_first = oldest.sequence == before.sequence and oldest.extends(before.chain)
    # No lane comes so far without a place: that is noted while the lane is quiet, before one record is left.
    is_near = oldest.sequence - before.sequence <= limits.FAR_EVENTS
    may_be_left = oldest.is_seal or (oldest.expires_at is not None and is_near)
    if is_first or (oldest.sequence > before.sequence and may_be_left):
        return LaneEnd(oldest.tail, oldest, tuple(sorted(beyond)), place)
    return LaneEnd(before, None, tuple(sorted([*beyond, oldest.sequence])), place)
