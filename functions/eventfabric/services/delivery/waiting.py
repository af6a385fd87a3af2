"""Waiting: events that wait in parked keys, read from the log again."""

from enum import Enum

from eventfabric.errors import LogError
from eventfabric.model import Event, Lane, Parked, Place, Record, SequenceNumber
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.late import Lateness
from eventfabric.services.lanes.locate import has_expired, kept_in, skip_over
from eventfabric.wire.payload_codec import unpack_at, unpack_one


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
        page = context.log.read(lane, base, records_max=1)
        record = page.records[0] if page.records else None
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
        if kept_part is None or record is None or not has_expired(context.log, lane, base, record, kept_part):
            return Absent.NOT_HERE
        return Absent.EXPIRED
