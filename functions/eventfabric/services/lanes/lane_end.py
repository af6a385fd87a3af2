"""Lane end: where a lane goes on, as far as the items found at its end can be believed.

    [ 30 ][ 40 ][ 50 ]                      the newest continues the one before it: the lane goes on after it
    [ 30 ][ 40 ]  . . .  [ 1099511627776 ]  it does not, and is far away: the lane goes on after the last that does
    [ 30 ][ 40 ]  ?  [ 60 ]                 it does not, and is near: a record may be lost, so nothing is put there
    place 50, nothing else                  all has expired: the place says where the lane goes on

A wrong answer loses acknowledged events. What is appended after a far record is never delivered, and what is put where
a record stood before is taken for delivered already. So if the log alone leaves doubt, the marks of reconciliation are
asked; and if these know of more than the log shows, nothing is written.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.deadline import seconds_left
from eventfabric.errors import UncertainTailError
from eventfabric.model import (
    EMPTY_TAIL,
    Lane,
    Mark,
    Marks,
    Recent,
    Record,
    Region,
    SequenceNumber,
    StreamName,
    Tail,
    is_pin,
)
from eventfabric.ports import Clock, Ledger, Log

Known = Callable[[Lane], Mark]
"""Look-up of the mark in which the reconciliation of a lane's origin remembers the lane."""


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


def lane_end(log: Log, lane: Lane, *, now_ms: int) -> LaneEnd:
    """Find where a lane ends: one read of its two newest records, and more reads only if these do not fit together."""
    records_max, before = 2, None
    beyond: list[SequenceNumber] = []
    newer: Record | None = None
    for _ in range(limits.LANE_END_PAGES_MAX):
        page = log.recent(lane, records_max=records_max, before=before)
        for older in page.records:
            # Two records that continue each other are believed: one far item by itself cannot forge that.
            if newer is not None and _fits(log, newer, older, now_ms):
                beyond += _unreadable_behind(page, newer)
                return LaneEnd(newer.tail, newer, tuple(sorted(set(beyond))), page.place)
            if newer is not None:
                beyond.append(newer.sequence)
            newer = older
        beyond += _unreadable_behind(page, newer)
        if _is_last(page):
            return _oldest(newer, beyond, page.place)
        before = _first_of(page, newer)
        # Two records are enough for a healthy lane, and cheap. After that, whole pages save calls.
        records_max = limits.PAGE_RECORDS_MAX
    raise UncertainTailError(lane, before or 0, f"{len(beyond)} items behind it do not continue each other")


def believed_tail(log: Log, lane: Lane, *, past: SequenceNumber, now_ms: int) -> Tail:
    """Find the tail of a lane of which everything up to `past` is known: its newest record's, unless that is far away.

    One read, or two if the lane goes on far after what is known. A hole is not hidden: an item that stands near, after
    a hole, counts, because the missing record may still come.
    """
    tail = log.tail(lane)
    if tail.sequence - past <= limits.FAR_EVENTS:
        return tail
    end = lane_end(log, lane, now_ms=now_ms)
    return end.tail if end.is_far else tail


def tail_to_begin_at(log: Log, lane: Lane, *, now_ms: int) -> Tail:
    """Return the last tail at which a lane of which nothing is known may begin, so that nothing after it is missed.

    Like `believed_tail`, but a record right at the end that does not continue the lane is left out: it never will
    continue it, and what is published once it is set aside takes its place. One read, or two if a record is missing.
    """
    end = lane_end(log, lane, now_ms=now_ms)
    has_hole = bool(end.beyond) and end.beyond[0] > end.tail.sequence and not end.is_far
    return log.tail(lane) if has_hole else end.tail


class LaneEnds:
    """Ends of the lanes of one stream, for publishers that append to them in their origin."""

    def __init__(self, log: Log, *, clock: Clock, expires: bool, known: Known | None = None) -> None:
        """`known` None: nobody remembers anything of the lanes."""
        self._log = log
        self._clock = clock
        self._expires = expires
        self._known = known

    def tail(self, lane: Lane) -> Tail:
        """Return where to append: one read, unless that leaves doubt; then a few more, for about a second.

        A read may show the second record of a transaction before the first, so a doubt may go away. UncertainTailError:
        the item at the end cannot be believed, or the lane is known to have gone further.
        """
        for pause_seconds in limits.TORN_READ_PAUSES_SECONDS:
            tail, doubt = self._look(lane)
            if doubt is None or seconds_left() < pause_seconds:
                break
            self._clock.sleep(pause_seconds)
        else:
            tail, doubt = self._look(lane)
        if doubt is not None:
            raise doubt
        return tail

    def _look(self, lane: Lane) -> tuple[Tail, UncertainTailError | None]:
        """Return where to append, and the doubt about it if another read might settle that.

        UncertainTailError if no further read would.
        """
        now_ms = self._clock.now_ms()
        end = lane_end(self._log, lane, now_ms=now_ms)
        tail, may_be_further = self._last_known(lane, end, now_ms)
        if is_pin(tail.chain):
            raise UncertainTailError(
                lane,
                tail.sequence,
                "a lane goes on there with a record that is lost: put it back (lanes restore)",
            )
        if not (may_be_further or end.beyond):
            return tail, None
        # Only a publisher in doubt pays for the read of the ledger that this takes.
        return tail, self._known_further(lane, tail) or self._cut_off(lane, end, tail)

    def _last_known(self, lane: Lane, end: LaneEnd, now_ms: int) -> tuple[Tail, bool]:
        """Return the end by the records and the lane's place, and whether the lane may have been further."""
        if end.newest is None:
            return end.tail, self._expires and end.tail == EMPTY_TAIL
        # A record that is kept for ever is from before a retention was set: those appended after it may be gone.
        is_kept = end.newest.expires_at is None
        if not (self._expires if is_kept else may_have_expired(end.newest, now_ms)):
            return end.tail, False
        place = end.place or self._log.place(lane)
        if place is not None and place.sequence >= end.tail.sequence:
            return place, False
        return end.tail, True

    def _known_further(self, lane: Lane, tail: Tail) -> UncertainTailError | None:
        """Return the doubt about a tail behind which the marks of reconciliation know of more."""
        mark = Mark() if self._known is None else self._known(lane)
        furthest = max([mark.sequence, *(sequence for _, sequence in mark.cursors.values())])
        if furthest <= tail.sequence:
            return None
        return UncertainTailError(
            lane,
            tail.sequence,
            f"the log's records end here, and the lane was known up to {furthest}: reconcile "
            f"{lane.origin} with --repair, else put them back (eventfabric lanes restore) "
            "or skip them (lanes skip)",
        )

    def _cut_off(self, lane: Lane, end: LaneEnd, tail: Tail) -> UncertainTailError | None:
        """Return the doubt about a tail near behind which an item stands that may continue the lane."""
        is_far = end.is_far and not (self._expires and tail == EMPTY_TAIL)  # it may be all that is left
        if is_far or not end.beyond:
            return None
        return UncertainTailError(
            lane,
            end.beyond[0],
            f"does not continue the record before it, which ends at {tail.sequence}: put back "
            "what is missing between them (eventfabric lanes restore), or set it aside (lanes quarantine)",
        )


class KnownMarks:
    """Marks of an origin's reconciliation, remembered for a minute."""

    def __init__(self, ledger: Ledger, stream: StreamName, *, clock: Clock) -> None:
        self._ledger = ledger
        self._stream = stream
        self._clock = clock
        self._marks: dict[Region, tuple[int, Marks]] = {}

    def of(self, lane: Lane) -> Mark:
        """Return what is known of a lane of the ledger's own Region. UncertainTailError if part cannot be read."""
        read_ms, marks = self._marks.get(lane.origin, (0, None))
        if marks is None or self._clock.steady_ms() - read_ms > 1000 * limits.KNOWN_MARKS_SECONDS:
            marks = self._ledger.marks(self._stream, lane.origin)
            self._marks[lane.origin] = (self._clock.steady_ms(), marks)
        mark, doubt = marks.of(lane.index), marks.doubt(lane.index)
        if doubt is not None:
            raise UncertainTailError(
                lane,
                mark.sequence,
                f"how far it was known cannot be read ({doubt}): reconcile {lane.origin} with "
                "--repair, which writes that anew, before anything is published to it",
            )
        return mark


def _fits(log: Log, newer: Record, older: Record, now_ms: int) -> bool:
    """Tell if two records of a lane continue each other, and also the lane before them."""
    if not _continues(newer, older, now_ms):
        return False
    return newer.sequence == older.tail.sequence or not _is_cut_off(log, older, now_ms)


def _continues(newer: Record, older: Record, now_ms: int) -> bool:
    """Tell if a record continues an older one: directly, by its chain, or across records that may have expired."""
    if newer.sequence == older.tail.sequence:
        return newer.extends(older.chain)
    # Records expire in no order, so those between the two may be gone. That explains no item far away: a lane
    # that was quiet for so long has a place.
    is_near = 0 < newer.sequence - older.tail.sequence <= limits.FAR_EVENTS
    expires = is_near and newer.expires_at is not None
    return expires and (older.expires_at is None or may_have_expired(older, now_ms))


def _is_cut_off(log: Log, record: Record, now_ms: int) -> bool:
    """Tell if a record that the next seems to continue, across expired ones, does not itself continue the lane.

    Expired records only ever stand after records that have expired too, or that never expire. If no record is left
    before this one, the lane's place must be near.
    """
    page = log.recent(record.lane, records_max=1, before=record.sequence)
    if not page.records:
        place = page.place or log.place(record.lane) or EMPTY_TAIL
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


def _oldest(oldest: Record | None, beyond: list[SequenceNumber], place: Tail | None) -> LaneEnd:
    """Return the end of a lane in which no two records were found that continue each other."""
    before = place or EMPTY_TAIL
    if oldest is None:
        return LaneEnd(before, None, tuple(sorted(set(beyond))), place)
    # A place never goes back, so the lane is known to go on there.
    if oldest.tail.sequence <= before.sequence:
        return LaneEnd(before, oldest, tuple(sorted(beyond)), place)
    is_first = oldest.sequence == before.sequence and oldest.extends(before.chain)
    # No lane comes so far without a place: that is noted while the lane is quiet, before one record is left.
    is_near = oldest.sequence - before.sequence <= limits.FAR_EVENTS
    if is_first or (oldest.sequence > before.sequence and oldest.expires_at is not None and is_near):
        return LaneEnd(oldest.tail, oldest, tuple(sorted(beyond)), place)
    return LaneEnd(before, None, tuple(sorted([*beyond, oldest.sequence])), place)
