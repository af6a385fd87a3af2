"""Lane end: where a lane goes on, as far as what stands there can be believed.

    [ 30 ][ 40 ][ 50 ]                      the newest continues the one before it: the lane goes on behind it
    [ 30 ][ 40 ]  . . .  [ 1099511627776 ]  it does not, and is far away: the lane goes on behind the last that does
    [ 30 ][ 40 ]  ?  [ 60 ]                 it does not, and is near: a record may be lost, so nothing is put there
    place 50, nothing else                  all has expired: the place says where the lane goes on

A wrong answer costs acknowledged events: behind a far record nothing is delivered, and what is put where something
stood before is taken for delivered. So where the log alone does not tell, the marks of reconciliation are asked, and
where these know better, nothing is written.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.deadline import seconds_left
from eventfabric.errors import UncertainTailError
from eventfabric.model.identity import Lane, Region, Sequence, StreamName
from eventfabric.model.marks import Mark, Marks
from eventfabric.model.record import EMPTY_TAIL, Record, Tail, is_pin
from eventfabric.ports import Clock, Ledger, Log, Recent

Known = Callable[[Lane], Mark]
"""What reconciliation remembers of a lane in its origin."""


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """`tail`: where the records that continue each other end. `beyond`: where items stand behind it, in order.

    `newest`: the record before `tail`, None where there is none. `place`: the lane's place, if that was read.
    """

    tail: Tail
    newest: Record | None = None
    beyond: tuple[Sequence, ...] = ()
    place: Tail | None = None

    @property
    def is_far(self) -> bool:
        """Tell items that no loss of records explains from such that stand behind a hole."""
        return bool(self.beyond) and self.beyond[0] - self.tail.sequence > limits.FAR_EVENTS


def lane_end(log: Log, lane: Lane, *, now_ms: int) -> LaneEnd:
    """Find where a lane ends: one read of its two newest records, and more only where these do not fit together."""
    records_max, before = 2, None
    beyond: list[Sequence] = []
    newer: Record | None = None
    for _ in range(limits.LANE_END_PAGES_MAX):
        page = log.recent(lane, records_max=records_max, before=before)
        for older in page.records:
            if newer is not None and _fits(log, newer, older, now_ms):
                return LaneEnd(newer.tail, newer, _beyond(beyond, page, newer), page.place)
            if newer is not None:
                beyond.append(newer.sequence)
            newer = older
        beyond += [one for one in page.unreadable if newer is None or one > newer.sequence]
        if not page.more or page.place is not None or (not page.records and not page.unreadable):
            return _oldest(newer, beyond, page.place)
        before = min([*page.unreadable, *(one.sequence for one in page.records)])
        before = before if newer is None else min(before, newer.sequence)
        records_max = limits.PAGE_RECORDS_MAX
    raise UncertainTailError(lane, before or 0, f"{len(beyond)} items behind it do not continue each other")


def believed_tail(log: Log, lane: Lane, *, past: Sequence, now_ms: int) -> Tail:
    """Find the tail of a lane of which everything up to `past` is known: its newest record's, unless that is far away.

    One read, or two in a lane that goes on far behind what is known. A hole is not hidden: what stands near behind one
    counts, for the missing record may still come.
    """
    tail = log.tail(lane)
    if tail.sequence - past <= limits.FAR_EVENTS:
        return tail
    end = lane_end(log, lane, now_ms=now_ms)
    return end.tail if end.is_far else tail


def tail_to_begin_at(log: Log, lane: Lane, *, now_ms: int) -> Tail:
    """Find behind what at the latest a lane may begin of which nothing is known: nothing behind it is to be missed.

    As `believed_tail`, but before a record that stands right at the end and does not continue it: one such never will,
    and what is published once it is set aside takes its place. One read, or two where a record is missing.
    """
    end = lane_end(log, lane, now_ms=now_ms)
    has_hole = bool(end.beyond) and end.beyond[0] > end.tail.sequence and not end.is_far
    return log.tail(lane) if has_hole else end.tail


class LaneEnds:
    """Where the lanes of one stream go on, for who is about to append to them in their origin."""

    def __init__(self, log: Log, *, clock: Clock, expires: bool, known: Known | None = None) -> None:
        """`known` None: nobody remembers anything of the lanes."""
        self._log = log
        self._clock = clock
        self._expires = expires
        self._known = known

    def tail(self, lane: Lane) -> Tail:
        """Where to append: one read, unless that leaves doubt; then a few more, for about a second.

        A read may show the second record of a transaction before the first. UncertainTailError: what stands there
        cannot be believed, or the lane is known to be further.
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
        """Where to append, and why not, if another read might tell otherwise. UncertainTailError if none would."""
        now_ms = self._clock.now_ms()
        end = lane_end(self._log, lane, now_ms=now_ms)
        tail = end.tail
        if end.newest is None:
            may_be_further = self._expires and tail == EMPTY_TAIL
        else:
            # What was appended behind a record that is kept for ever, before a retention was set, may be gone.
            is_kept = end.newest.expires_at is None
            may_be_further = self._expires if is_kept else may_have_expired(end.newest, now_ms)
            place = (end.place or self._log.place(lane)) if may_be_further else None
            if place is not None and place.sequence >= tail.sequence:
                tail, may_be_further = place, False
        if is_pin(tail.chain):
            raise UncertainTailError(
                lane,
                tail.sequence,
                "a lane goes on there with a record that is lost: put it back (lanes restore)",
            )
        if not (may_be_further or end.beyond):
            return tail, None
        mark = Mark() if self._known is None else self._known(lane)
        furthest = max([mark.sequence, *(sequence for _, sequence in mark.cursors.values())])
        if furthest > tail.sequence:
            return tail, UncertainTailError(
                lane, tail.sequence, f"the log's records end here, and the lane was known up to {furthest}: reconcile "
                f"{lane.origin} with --repair, else put them back (eventfabric lanes restore) or skip them (lanes skip)"
            )  # fmt: skip
        is_far = end.is_far and not (self._expires and tail == EMPTY_TAIL)  # else it may be all that is left
        if end.beyond and not is_far:
            return tail, UncertainTailError(
                lane, end.beyond[0], f"does not continue the record before it, which ends at {tail.sequence}: put back "
                "what is missing between them (eventfabric lanes restore), or set it aside (lanes quarantine)"
            )  # fmt: skip
        return tail, None


class KnownMarks:
    """What the reconciliation of an origin remembers of its lanes, read again when it is older than a minute."""

    def __init__(self, ledger: Ledger, stream: StreamName, *, clock: Clock) -> None:
        self._ledger = ledger
        self._stream = stream
        self._clock = clock
        self._marks: dict[Region, tuple[int, Marks]] = {}

    def of(self, lane: Lane) -> Mark:
        """What is known of a lane of the ledger's own Region; UncertainTailError where some of that cannot be read."""
        read_ms, marks = self._marks.get(lane.origin, (0, None))
        if marks is None or self._clock.steady_ms() - read_ms > 1000 * limits.KNOWN_MARKS_SECONDS:
            marks = self._ledger.marks(self._stream, lane.origin)
            self._marks[lane.origin] = (self._clock.steady_ms(), marks)
        mark, doubt = marks.of(lane.index), marks.doubt(lane.index)
        if doubt is not None:
            raise UncertainTailError(
                lane, mark.sequence, f"how far it was known cannot be read ({doubt}): reconcile {lane.origin} with "
                "--repair, which writes that anew, before anything is published to it"
            )  # fmt: skip
        return mark


def _fits(log: Log, newer: Record, older: Record, now_ms: int) -> bool:
    """Tell two records of a lane that continue each other, and the lane."""
    if not _continues(newer, older, now_ms):
        return False
    return newer.sequence == older.tail.sequence or not _is_cut_off(log, older, now_ms)


def _continues(newer: Record, older: Record, now_ms: int) -> bool:
    if newer.sequence == older.tail.sequence:
        return newer.extends(older.chain)
    # Records expire in no order: what stood between the two may be gone. Not so much that the newer one is far: a lane
    # that was quiet for so long has a place.
    is_near = 0 < newer.sequence - older.tail.sequence <= limits.FAR_EVENTS
    expires = is_near and newer.expires_at is not None
    return expires and (older.expires_at is None or may_have_expired(older, now_ms))


def _is_cut_off(log: Log, record: Record, now_ms: int) -> bool:
    """Tell items that seem to continue each other across what expired, and do not continue the lane.

    What expires does so behind records that have expired, or never do; and where none is left, near a place.
    """
    page = log.recent(record.lane, records_max=1, before=record.sequence)
    if not page.records:
        place = page.place or log.place(record.lane) or EMPTY_TAIL
        return record.sequence - place.sequence > limits.FAR_EVENTS
    return any(
        not _continues(record, one, now_ms)
        and one.expires_at is not None
        and not may_have_expired(one, now_ms)
        for one in page.records
    )


def may_have_expired(record: Record, now_ms: int) -> bool:
    """Tell a record that may have expired already, by some Region's clock."""
    margin_seconds = limits.EXPIRY_MARGIN_SECONDS
    return record.expires_at is not None and record.expires_at - margin_seconds <= now_ms // 1000


def _beyond(beyond: list[Sequence], page: Recent, newest: Record) -> tuple[Sequence, ...]:
    return tuple(sorted({*beyond, *(one for one in page.unreadable if one > newest.sequence)}))


def _oldest(oldest: Record | None, beyond: list[Sequence], place: Tail | None) -> LaneEnd:
    """The end of a lane of which no two records were found that continue each other."""
    before = place or EMPTY_TAIL
    if oldest is None:
        return LaneEnd(before, None, tuple(sorted(set(beyond))), place)
    if oldest.tail.sequence <= before.sequence:
        return LaneEnd(before, oldest, tuple(sorted(beyond)), place)
    is_first = oldest.sequence == before.sequence and oldest.extends(before.chain)
    # No lane goes so far without a place: one is noted whenever it is quiet, and it is quiet before one record is left.
    is_near = oldest.sequence - before.sequence <= limits.FAR_EVENTS
    if is_first or (oldest.sequence > before.sequence and oldest.expires_at is not None and is_near):
        return LaneEnd(oldest.tail, oldest, tuple(sorted(beyond)), place)
    return LaneEnd(before, None, tuple(sorted([*beyond, oldest.sequence])), place)
