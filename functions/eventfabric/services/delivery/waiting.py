"""Waiting: events that wait in parked keys, read from the log again.

If more events wait in a key than it lists, its list is filled again:

    key a parked     lists 2, 5, 7, and its rest: whatever of a stands in the log from 9 on
    2, 5, 7 handled  lists none: the log is read from 9 up to the cursor, for the next of a

One visit reads a bounded number of records for all its keys. If these were not enough, the key says how far it came,
and is due again soon, so that new events and other keys are not held up meanwhile.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from enum import Enum

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import (
    START,
    UNKNOWN_CHAIN,
    BatchId,
    Cursor,
    Event,
    Lane,
    Parked,
    Place,
    RaceLost,
    Record,
    Rest,
    SequenceNumber,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.late import Lateness
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.lanes.locate import has_expired, kept_in, skip_over
from eventfabric.wire.payload_codec import unpack_at, unpack_one

Settle = Callable[[Sequence[Record]], RaceLost | None]


class Absent(Enum):
    """The reason for which an event that waits cannot be read."""

    EXPIRED = "its record is gone for good"
    NOT_HERE = "its record has not come from its Region yet"
    NOT_LOOKED_AT = "there was no time left to find out whether it comes late"


class WaitingEvents:
    """The waiting events of one lane, for one visit. Keeps the record that was read last."""

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
            replacement = unpack_one(parked.replacement, self._lane, place.sequence)
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
        if self._record is None or self._record.sequence != place.base:
            record = self._read(place.base)
            if isinstance(record, Absent):
                return record
            self._record = record
        return self._record

    def absent(self, base: SequenceNumber) -> Absent | None:
        """Return why the record that begins there cannot be read. None if it can."""
        record = self._read(base)
        return record if isinstance(record, Absent) else None

    def _read(self, base: SequenceNumber) -> Record | Absent:
        """Read the record that begins at a sequence, or find out why it is not there."""
        context, lane = self._context, self._lane
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
        lane: Lane,
        *,
        waiting: WaitingEvents,
        stepped_over: Collection[BatchId],
        deadline_ms: int,
    ) -> None:
        """`stepped_over`: noted batches that are delivered elsewhere."""
        self._context = context
        self._lane = lane
        self._waiting = waiting
        self._stepped_over = stepped_over
        self._deadline_ms = deadline_ms
        self._records_left = limits.WAITING_RECORDS_MAX

    def fill(self, parked: Parked, end: SequenceNumber, settle: Settle) -> Parked | Absent | RaceLost | None:
        """List the next events of a key that lists none, of those before `end`. None if no other waits.

        If the visit has read enough, the key still lists none, and its rest begins further on. LogError.

        `settle` decides about noted batches, and adds those that are delivered elsewhere to what is stepped over.
        """
        assert not parked.waiting, "a key is filled where it lists none"
        rest, places = _rest_of(parked), list[Place]()
        cursor = replace(START, sequence=rest.sequence, base=rest.base, chain=UNKNOWN_CHAIN)
        while cursor.sequence < end:
            # One place more than may be listed shows where the rest begins.
            if self._is_spent or len(places) > limits.PARKED_PLACES_MAX:
                return _listing(parked, places, rest.beginning_at(cursor.base, cursor.sequence))
            stretch = self._read(cursor, end, settle)
            if isinstance(stretch, RaceLost):
                return stretch
            places += self._places(stretch, rest, parked.key, end)
            if stretch.end > cursor.sequence:
                cursor = stretch.cursor_at(stretch.end)
            # What was found is listed, whatever stands in the way of more: those events need not wait for it.
            elif places:
                return _listing(parked, places, rest.beginning_at(cursor.base, cursor.sequence))
            elif stretch.stop is not None:
                raise stretch.stop
            else:
                return self._missing(parked, rest, cursor, end)
        return _listing(parked, places, None) if places else None

    @property
    def _is_spent(self) -> bool:
        """Tell if this visit may read no more."""
        return self._records_left <= 0 or self._context.clock.now_ms() >= self._deadline_ms

    def _read(self, cursor: Cursor, end: SequenceNumber, settle: Settle) -> Stretch | RaceLost:
        """Read the next stretch of the log."""
        most = min(self._records_left, limits.PAGE_RECORDS_MAX)
        records = self._context.log.read(self._lane, cursor.base, records_max=most, before=end).records
        # A read without records counts too, so that the reads of a visit are bounded.
        self._records_left -= max(1, len(records))
        stretch = Stretch(cursor, records, self._context.filter, self._stepped_over)
        if not stretch.noted:
            return stretch
        # The cursor has passed these batches, so each was decided about. Read which way.
        return settle(stretch.noted) or Stretch(cursor, records, self._context.filter, self._stepped_over)

    def _places(self, stretch: Stretch, rest: Rest, key: str, end: SequenceNumber) -> list[Place]:
        """Return the places of the key's events in a stretch."""
        return [
            replace(stretch.place(index), replay=rest.is_replay(stretch.sequences[index]))
            for index, event in enumerate(stretch.events)
            if event.key == key and stretch.sequences[index] < end
        ]

    def _missing(self, parked: Parked, rest: Rest, cursor: Cursor, end: SequenceNumber) -> Parked | Absent:
        """Return the key if the record at the cursor is gone. One place stands for all that expired there."""
        absent = self._waiting.absent(cursor.base)
        if absent is not Absent.EXPIRED:
            return Absent.NOT_HERE
        following = self._context.log.read(self._lane, cursor.base, records_max=1, before=end).records
        remaining = rest.beginning_at(following[0].sequence, following[0].sequence) if following else None
        return replace(
            parked, waiting=(rest.beginning_at(cursor.base, cursor.sequence).place,), rest=remaining
        )


def _rest_of(parked: Parked) -> Rest:
    """Return the rest of a key that is filled."""
    assert parked.rest is not None, "a key that lists none has a rest"
    return parked.rest


def _listing(parked: Parked, places: list[Place], rest: Rest | None) -> Parked:
    """Return the key with as many of the places as it may list. Those after these begin its rest."""
    most = limits.PARKED_PLACES_MAX
    if len(places) > most:
        began = _rest_of(parked)
        rest = began.beginning_at(places[most].base, places[most].sequence)
    return replace(parked, waiting=tuple(places[:most]), rest=rest)
