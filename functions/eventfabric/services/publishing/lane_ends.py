"""Lane ends: where publishers append. If the log alone leaves doubt, the marks of reconciliation are asked.

If these know of more than the log shows, nothing is written: what is put where a record stood before would be taken for
delivered already.
"""

from collections.abc import Callable

from eventfabric import limits
from eventfabric.deadline import Moment, seconds_left
from eventfabric.errors import UncertainTailError
from eventfabric.model import Lane, Mark, Marks, Region, StreamName, Tail, is_pin
from eventfabric.ports import Clock, Ledger, Log
from eventfabric.services.lanes.lane_end import LaneEnd, lane_end, may_have_expired
from eventfabric.services.lanes.tree import Seals

Known = Callable[[Lane], Mark]
"""Look-up of the mark in which the reconciliation of a lane's origin remembers the lane."""


class LaneEnds:
    """Ends of the lanes of one stream, for publishers that append to them in their origin."""

    def __init__(
        self,
        log: Log,
        *,
        clock: Clock,
        expires: bool,
        known: Known | None = None,
        seals: Seals | None = None,
    ) -> None:
        """`known` None: nobody remembers anything of the lanes. `seals`: those met so far; this adds to them."""
        self._seals = Seals() if seals is None else seals
        self._log = log
        self._clock = clock
        self._expires = expires
        self._known = known

    def tail(self, lane: Lane) -> Tail:
        """Return where to append: one read, unless that leaves doubt; then a few more, for about a second.

        A read may show the second record of a transaction before the first, so a doubt may go away. UncertainTailError:
        the item at the end cannot be believed, or the lane is known to have gone further. If the lane was split, its
        end is sealed. Of a lane that another was split into, one more read for each lane above whose seal is not known.
        """
        self._descend(lane)
        start = self._seals.start(lane)
        if start is None:
            raise UncertainTailError(lane, 0, "none of the lanes above it was split")
        tail = self._tail(lane, start)
        self._seals.learn(lane, tail)
        return tail

    def taking(self, lane: Lane) -> Lane:
        """Return the lane that takes the events of one: itself, or one above it that was not split here.

        Raises as `tail`. A root takes what goes to it without a read, also if it was split.
        """
        return self._descend(lane) or lane

    def _descend(self, lane: Lane) -> Lane | None:
        """Meet the seals of all lanes above one. Return the first of these that was not split; None: all were."""
        for generation in range(lane.generation):
            above = lane.above(generation)
            if not self._seals.is_split(above):
                start = self._seals.start(above)
                assert start is not None, "the lanes above it were met first"
                self._seals.learn(above, self._tail(above, start))
                if not self._seals.is_split(above):
                    return above
        return None

    def _tail(self, lane: Lane, start: Tail) -> Tail:
        for pause_seconds in limits.TORN_READ_PAUSES_SECONDS:
            tail, doubt = self._look(lane, start)
            if doubt is None or seconds_left() < pause_seconds:
                break
            self._clock.sleep(pause_seconds)
        else:
            tail, doubt = self._look(lane, start)
        if doubt is not None:
            raise doubt
        return tail

    def _look(self, lane: Lane, start: Tail) -> tuple[Tail, UncertainTailError | None]:
        """Return where to append, and the doubt about it if another read might settle that.

        UncertainTailError if no further read would.
        """
        now_ms = self._clock.now_ms()
        end = lane_end(self._log, lane, now_ms=now_ms, start=start)
        if end.tail.is_sealed:
            return end.tail, None  # whatever else may stand there
        tail, may_be_further = self._last_known(lane, end, start, now_ms)
        if is_pin(tail.chain):
            raise UncertainTailError(
                lane,
                tail.sequence,
                "a lane goes on there with a record that is lost: put it back (lanes restore)",
            )
        if not (may_be_further or end.beyond):
            return tail, None
        # Only a publisher in doubt pays for the read of the ledger that this takes.
        return tail, self._known_further(lane, tail) or self._cut_off(lane, end, tail, start)

    def _last_known(self, lane: Lane, end: LaneEnd, start: Tail, now_ms: int) -> tuple[Tail, bool]:
        """Return the end by the records and the lane's place, and whether the lane may have been further."""
        if end.newest is None:
            return end.tail, self._expires and end.tail == start
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
        # A cursor that was seen further on proves that records stood there, even if the lane itself was not marked.
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

    def _cut_off(self, lane: Lane, end: LaneEnd, tail: Tail, start: Tail) -> UncertainTailError | None:
        """Return the doubt about a tail near behind which an item stands that may continue the lane."""
        is_far = end.is_far and not (self._expires and tail == start)  # it may be all that is left
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
        self._marks: dict[Region, tuple[Moment, Marks]] = {}

    def of(self, lane: Lane) -> Mark:
        """Return what is known of a lane of the ledger's own Region. UncertainTailError if part cannot be read."""
        now = Moment.of(self._clock)
        read_at, marks = self._marks.get(lane.origin, (now, None))
        if marks is None or not read_at.is_within(limits.KNOWN_MARKS_SECONDS, now):
            marks = self._ledger.marks(self._stream, lane.origin)
            self._marks[lane.origin] = (Moment.of(self._clock), marks)
        mark, doubt = marks.of(lane.number), marks.doubt(lane.number)
        if doubt is not None:
            raise UncertainTailError(
                lane,
                mark.sequence,
                f"how far it was known cannot be read ({doubt}): reconcile {lane.origin} with "
                "--repair, which writes that anew, before anything is published to it",
            )
        return mark
