"""Waiting: events that wait in parked keys, read from the log again.

If more events wait in a key than it lists, its list is filled again:

    key a parked     lists 2, 5, 7, and its rest: whatever of a stands in the log from 9 on
    2, 5, 7 handled  lists none: the log is read from 9 up to the cursor, for the next of a

A key that was parked as a seal ended its lane goes on in the child: places in the parent's log are named by their lane,
and what the log has of it is read there up to the seal, and behind it in the child.

One visit reads a bounded number of records for all its keys. If these were not enough, the key says how far it came,
and is due again soon, so that new events and other keys are not held up meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import (
    START,
    UNKNOWN_CHAIN,
    Cursor,
    Event,
    Lane,
    LaneKey,
    Parked,
    Place,
    RaceLost,
    Record,
    Rest,
    SequenceNumber,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.late import Lateness
from eventfabric.services.delivery.stretch import SteppedOver, Stretch, place_behind
from eventfabric.services.lanes.locate import has_expired, kept_in, skip_over
from eventfabric.wire.payload_codec import unpack_at, unpack_one

Settle = Callable[[Sequence[Record]], RaceLost | None]


class Absent(Enum):
    """The reason for which an event that waits cannot be read."""

    EXPIRED = "its record is gone for good"
    NOT_HERE = "its record has not come from its Region yet"
    NOT_LOOKED_AT = "there was no time left to find out whether it comes late"


class WaitingEvents:
    """The waiting events of one lane, for one visit. Keeps the record that was read last.

    Some may stand in lanes above: their keys were parked there as a seal ended those.
    """

    def __init__(self, context: VisitContext, lane: Lane, lateness: Lateness) -> None:
        self._context = context
        self._lane = lane
        self._lateness = lateness
        self._record: Record | None = None

    def first_of(self, parked: Parked) -> Event | Absent:
        """Return a key's first waiting event, or its replacement."""
        place = parked.first
        replacement = None
        if parked.replacement is not None:
            replacement = unpack_one(parked.replacement, place.lane or self._lane, place.sequence)
        try:
            record = self._record_of(place)
        except LogError:
            # An operator's replacement stands by itself: what cannot be read any more does not hold it up.
            if replacement is None:
                raise
            return replacement
        if isinstance(record, Absent):
            # A replacement needs no record, although only the record would tell if the event comes late.
            return record if replacement is None else replacement
        event = unpack_at(record, place.sequence) if replacement is None else replacement
        if not self._lateness.mark_parked(event, record.time, replay=place.replay):
            return Absent.NOT_LOOKED_AT
        return event

    def _record_of(self, place: Place) -> Record | Absent:
        """Return the record that holds an event. The last one is kept, because many events may wait in one record."""
        lane, kept = place.lane or self._lane, self._record
        if kept is not None and (kept.sequence, kept.lane) == (place.base, lane):
            return kept
        record = self.read(lane, place.base)
        if not isinstance(record, Absent):
            self._record = record
        return record

    def read(self, lane: Lane, base: SequenceNumber) -> Record | Absent:
        """Read the record of a lane that begins at a sequence, or find out why it is not there."""
        context = self._context
        record = context.log.read(lane, base, records_max=1).first
        if record is not None and record.sequence == base and not record.is_skip:
            return record
        if lane.origin == context.region:
            return Absent.EXPIRED
        if skip_over(context.log, lane, SequenceNumber(base + 1)) is not None:
            return Absent.EXPIRED
        # Parked keys replicate in no order with the log: after a takeover, the record may come after them.
        retention_seconds = context.subscription.retention_seconds
        kept_part = kept_in(
            lane, context.region, retention_seconds=retention_seconds, now_ms=context.clock.now_ms()
        )
        if record is None or not has_expired(context.log, lane, base, record, kept_part):
            return Absent.NOT_HERE
        return Absent.EXPIRED


class Refill:
    """Filler of the lists of one visit's parked keys."""

    def __init__(
        self,
        context: VisitContext,
        key: LaneKey,
        *,
        waiting: WaitingEvents,
        stepped_over: SteppedOver,
        deadline_ms: int,
    ) -> None:
        """`stepped_over`: copies of batches that are delivered elsewhere."""
        self._context = context
        self._key = key
        self._lane = key.lane
        self._waiting = waiting
        self._stepped_over = {key.lane: stepped_over}
        self._deadline_ms = deadline_ms
        self._records_left = limits.WAITING_RECORDS_MAX

    def fill(self, parked: Parked, end: SequenceNumber, settle: Settle) -> Parked | Absent | RaceLost | None:
        """List the next events of a key that lists none, of those before `end`. None if no other waits.

        If the visit has read enough, the key still lists none, and its rest begins further on. LogError.

        `settle` decides about noted batches, and adds those that are delivered elsewhere to what is stepped over.
        """
        assert not parked.waiting, "a key is filled where it lists none"
        rest, places = _rest_of(parked), list[Place]()
        lane = rest.lane or self._lane
        cursor = replace(START, sequence=rest.sequence, base=rest.base, chain=UNKNOWN_CHAIN)
        while cursor.sequence < end:
            remaining = self._rest_at(rest, lane, cursor)
            # One place more than may be listed shows where the rest begins.
            if self._is_spent or len(places) > limits.PARKED_PLACES_MAX:
                return self._listing(parked, places, remaining)
            stretch = self._read(lane, cursor, end, settle)
            if isinstance(stretch, RaceLost):
                return stretch
            places += self._places(lane, stretch, rest, parked.key, end)
            if stretch.seal is not None:
                lane, cursor = place_behind(stretch.seal, self._lane)
            elif stretch.end > cursor.sequence:
                cursor = stretch.cursor_at(stretch.end)
            # What was found is listed, whatever stands in the way of more: those events need not wait for it.
            elif places:
                return self._listing(parked, places, remaining)
            else:
                return self._missing(parked, remaining, stretch, end)
        return self._listing(parked, places, None) if places else None

    def _rest_at(self, rest: Rest, lane: Lane, cursor: Cursor) -> Rest:
        """Return the rest of a key as it begins at a cursor of a lane."""
        return rest.beginning_at(cursor.base, cursor.sequence, self._named(lane))

    def _named(self, lane: Lane) -> Lane | None:
        """Return a lane as places name it: the visited one is not named."""
        return None if lane == self._lane else lane

    @property
    def _is_spent(self) -> bool:
        """Tell if this visit may read no more."""
        return self._records_left <= 0 or self._context.clock.now_ms() >= self._deadline_ms

    def _read(self, lane: Lane, cursor: Cursor, end: SequenceNumber, settle: Settle) -> Stretch | RaceLost:
        """Read the next stretch of the log of the visited lane, or of one above it."""
        most = min(self._records_left, limits.PAGE_RECORDS_MAX)
        records = self._context.log.read(lane, cursor.base, records_max=most, before=end).records
        # A read without records counts too, so that the reads of a visit are bounded.
        self._records_left -= max(1, len(records))
        stepped_over = self._stepped_over_in(lane)
        stretch = Stretch(cursor, records, self._context.filter, stepped_over)
        if not stretch.noted:
            return stretch
        # The cursor has passed these batches, so each was decided about. Read which way.
        return settle(stretch.noted) or Stretch(cursor, records, self._context.filter, stepped_over)

    def _stepped_over_in(self, lane: Lane) -> SteppedOver:
        """Return what is stepped over in a lane. Of one above the visited lane, that is read once a visit."""
        if lane not in self._stepped_over:
            state = self._context.ledger.state(replace(self._key, lane=lane), glance=True)
            own = self._stepped_over[self._lane]
            self._stepped_over[lane] = own.in_lane(state, self._context.decides_alone)
        return self._stepped_over[lane]

    def _places(self, lane: Lane, stretch: Stretch, rest: Rest, key: str, end: SequenceNumber) -> list[Place]:
        """Return the places of the key's events in a stretch."""
        named = self._named(lane)
        return [
            replace(stretch.place(index), replay=rest.is_replay(stretch.sequences[index]), lane=named)
            for index, event in enumerate(stretch.events)
            if event.key == key and stretch.sequences[index] < end
        ]

    def _missing(self, parked: Parked, rest: Rest, stretch: Stretch, end: SequenceNumber) -> Parked | Absent:
        """Return the key if the record at the rest is gone. One place stands for all that expired there. LogError."""
        if stretch.stop is not None:
            raise stretch.stop
        lane = rest.lane or self._lane
        if self._waiting.read(lane, rest.base) is not Absent.EXPIRED:
            return Absent.NOT_HERE
        following = self._context.log.read(lane, rest.base, records_max=1, before=end).first
        remaining = (
            rest.beginning_at(following.sequence, following.sequence, rest.lane) if following else None
        )
        return replace(parked, waiting=(rest.place,), rest=remaining)

    def _listing(self, parked: Parked, places: list[Place], rest: Rest | None) -> Parked:
        """Return the key with as many of the places as it may list. Those after these begin its rest."""
        most = limits.PARKED_PLACES_MAX
        if len(places) > most:
            following = places[most]
            rest = _rest_of(parked).beginning_at(following.base, following.sequence, following.lane)
        return replace(parked, waiting=tuple(places[:most]), rest=rest)


def _rest_of(parked: Parked) -> Rest:
    """Return the rest of a key that is filled."""
    assert parked.rest is not None, "a key that lists none has a rest"
    return parked.rest
