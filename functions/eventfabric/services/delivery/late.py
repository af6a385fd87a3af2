"""Late: find events that come after a later event of their key, published in another Region, was handed out.

Lanes of one index hold the same keys in every Region; where some were split, all that may hold the same are looked at.
The look-up is made only if an event is old when it is handed out. It reads all that the other Regions' lanes have
handed out since, as this Region's ledger and log show it, however much that is, because nothing less can show that an
event is not late. It remembers the place of each key's last event, and how far it came; so if a visit runs out of time,
the next one of this process goes on from there.
"""

from bisect import bisect_right
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import LogError, UndecodableItemError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    AtTime,
    Event,
    HybridTime,
    Lane,
    LaneKey,
    Record,
    Region,
    SequenceNumber,
    to_ms,
)
from eventfabric.services.delivery.context import HandedOut, Later, VisitContext
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.lanes.locate import locate
from eventfabric.services.lanes.standing import ledger_of
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.wire.payload_codec import unpack, unpack_at


class Lateness:
    """Finder of the events of a lane that come late, in one visit to it."""

    def __init__(self, context: VisitContext, key: LaneKey, *, deadline_ms: int) -> None:
        self._context = context
        self._key = key
        self._deadline_ms = deadline_ms
        regions = context.subscription.regions
        self._origins = [Region(region) for region in regions if region != key.lane.origin]
        self._looked_since: HybridTime | None = None
        self._record: Record | None = None

    def mark(self, stretch: Stretch) -> bool:
        """Set `later` on the late events of the stretch. Replayed events are never late.

        Return False if there is no time left to find out. Then none of these events may be handed out.
        """
        if stretch.start.is_replaying:
            return True
        oldest = stretch.oldest
        if not self._origins or oldest is None or not self._is_old(oldest):
            self._context.handed_out.pop(self._key, None)  # the lane has caught up: free the memory
            self._looked_since = None
            return True
        starts = [record.sequence for record in stretch.records]
        for event, sequence in zip(stretch.events, stretch.sequences, strict=True):
            if not self._mark(event, stretch.records[bisect_right(starts, sequence) - 1].time):
                return False
        late_events = sum(event.late for event in stretch.events)
        if late_events:
            stretch.late = True
            self._context.telemetry.add(Metric.EVENTS_LATE, late_events)
        return True

    def mark_parked(self, event: Event, time: HybridTime, *, replay: bool) -> bool:
        """Mark an event that was parked, appended at `time`. Return False as `mark` does."""
        return not self._origins or replay or not self._is_old(time) or self._mark(event, time)

    def _is_old(self, time: HybridTime) -> bool:
        """Tell if an event is so old that another Region may have gone on with its key meanwhile."""
        # So fresh events, which are nearly all, cost no read.
        return self._context.clock.now_ms() - to_ms(time) > 1000 * limits.LATE_AFTER_SECONDS

    def _mark(self, event: Event, time: HybridTime) -> bool:
        """Set `later` on an event if it is late. Return False if there is no time left to find out."""
        if self._looked_since is None or time < self._looked_since:
            if not self._look_since(time):
                return False
            self._looked_since = time
        later = self._context.handed_out[self._key].last.get(event.key)
        if later is not None and later.time > time:
            event.later = self._event(later, event.key)
        return True

    def _look_since(self, time: HybridTime) -> bool:
        """Look at everything that was handed out after a time. Return False if there is no time left for all of it."""
        # An older event needs all that was handed out since it: what is remembered begins too late.
        handed_out = self._context.handed_out.get(self._key)
        if handed_out is None or time < handed_out.since:
            handed_out = self._context.handed_out[self._key] = HandedOut(time)
        root = self._key.lane.root
        return all(self._look_at(replace(root, origin=origin), handed_out) for origin in self._origins)

    def _look_at(self, lane: Lane, handed_out: HandedOut) -> bool:
        """Look at one lane, and at those below it. If it cannot be read, go on without it."""
        try:
            return self._look(lane, handed_out)
        except (LogError, UndecodableItemError):
            # The other lane's fault must not hold up this one. It is reported where that lane is delivered.
            self._context.telemetry.tell(
                LogEvent.LATE_UNKNOWN, lane=str(lane), sequence=handed_out.reached.get(lane, 0)
            )
            return True

    def _look(self, lane: Lane, handed_out: HandedOut) -> bool:
        """Look at what one lane and those below it handed out. Return False if there is no time left for all of it."""
        end, is_past_seal = self._end(lane)
        if not self._look_up_to(end, lane, handed_out):
            return False
        # That Region's lanes may be split otherwise than those of this lane's origin.
        below = [child for child in lane.children if self._may_share_keys(child)] if is_past_seal else ()
        return all(self._look_at(child, handed_out) for child in below)

    def _may_share_keys(self, lane: Lane) -> bool:
        """Tell if a lane of another origin may hold keys of this one, in its own tree above it or below it."""
        own = replace(self._key.lane, origin=lane.origin)
        generation = min(own.generation, lane.generation)
        return own.above(generation) == lane.above(generation)

    def _look_up_to(self, end: SequenceNumber, lane: Lane, handed_out: HandedOut) -> bool:
        """Look at what one lane handed out, which ends there. Return False if there is no time left for all of it."""
        log = self._context.log
        tail = log.tail(lane, before=end)  # items after `end` were not handed out, and may be anything
        # Most lanes end before that: one read of a header settles it.
        if tail == EMPTY_TAIL or tail.time <= handed_out.since:
            return True
        start = handed_out.reached.get(lane)
        if start is None:
            cursor = locate(log, lane, AtTime(to_ms(handed_out.since)), end=tail)
            start = tail.sequence if cursor is None else cursor.base
        while start < end:
            records, more = self._page(lane, start, end)
            for record in records:
                self._note(record, handed_out, end)
            if not more:
                return True
            start = handed_out.reached[lane] = records[-1].tail.sequence
            if start < end and self._context.clock.now_ms() >= self._deadline_ms:
                self._context.telemetry.tell(LogEvent.LATE_UNKNOWN, lane=str(lane), sequence=start)
                return False
        return True

    def _page(
        self, lane: Lane, start: SequenceNumber, end: SequenceNumber
    ) -> tuple[tuple[Record, ...], bool]:
        """Read a page of another Region's lane, without records that cannot be read: delivery there reports them."""
        while True:
            try:
                page = self._context.log.read(lane, start, records_max=limits.PAGE_RECORDS_MAX, before=end)
            except UndecodableRecordError as error:
                start = SequenceNumber(error.sequence + 1)
                if start < end:
                    continue
                return (), False
            return page.records, page.more and bool(page.records)

    def _end(self, lane: Lane) -> tuple[SequenceNumber, bool]:
        """Return where the events end that a lane has handed out, and if lanes below it may have handed out others.

        That is in this Region if every Region delivers for itself, else in the one that came furthest: perhaps a former
        owner that did not know yet of the handover.
        """
        subscription = self._context.subscription
        ledger = ledger_of(self._context.ledger, subscription, lane.origin)
        state = ledger.state(LaneKey(self._key.stream, self._key.subscription, lane), glance=True)
        cursors = [*state.cursors.values()]
        if subscription.definition.deliver == "everywhere":
            cursors = [state.cursor(ledger.region)]
        end = max((cursor.sequence for cursor in cursors), default=EMPTY_TAIL.sequence)
        return end, any(cursor.past_seal is not None for cursor in cursors)

    def _note(self, record: Record, handed_out: HandedOut, end: SequenceNumber) -> None:
        """Remember the last event of each key in a record."""
        if record.time <= handed_out.since:
            return
        wants = self._context.filter.wants
        try:
            events = unpack(record)
        except UndecodableRecordError:  # reported where that lane is delivered
            return
        for event in events:
            sequence = event.sequence or SequenceNumber(0)
            before = handed_out.last.get(event.key)
            if wants(event) and sequence < end and (before is None or before.time <= record.time):
                handed_out.last[event.key] = Later(
                    record.time, record.lane, record.sequence, sequence, event.id or "", event.type
                )

    def _event(self, later: Later, key: str) -> Event:
        """Return the later event; if its record is gone by now, only with what is remembered of it."""
        record = self._record
        try:
            # Late events of one key come together, and after the same later one: its record is read once.
            if record is None or (record.lane, record.sequence) != (later.lane, later.base):
                record = self._record = self._context.log.read(later.lane, later.base, records_max=1).first
            if record is not None and record.sequence == later.base:
                return unpack_at(record, later.sequence)
        except UndecodableRecordError:
            pass  # it changed since it was looked at; that is reported where that lane is delivered
        return Event(id=later.id, type=later.type, key=key)
