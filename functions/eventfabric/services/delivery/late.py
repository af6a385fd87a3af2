"""Late: events that come when one of their key, published later in another Region, was handed out before.

The lanes of one index hold the same keys in every Region. Only where an event is old when it is handed out is anything
looked at: once a visit, what was handed out of the other Regions' lanes since, as this Region's ledger and log show it.
"""

from bisect import bisect_right

from eventfabric import limits
from eventfabric.model.cursor import LaneKey
from eventfabric.model.event import Event
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import HybridTime, Lane, Region, Sequence
from eventfabric.model.record import EMPTY_TAIL
from eventfabric.model.start import AtTime
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.lane_end import believed_tail
from eventfabric.services.locate import locate
from eventfabric.services.standing import ledger_of
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.wire.payload_codec import unpack


class Lateness:
    """Which events of a lane come late, in one visit to it."""

    def __init__(self, context: VisitContext, key: LaneKey) -> None:
        self._in = context
        self._key = key
        regions = context.subscription.regions
        self._origins = [Region(region) for region in regions if region != key.lane.origin]
        self._since: HybridTime | None = None
        self._handed_out: dict[str, tuple[HybridTime, Event]] = {}

    def mark(self, stretch: Stretch) -> None:
        """Give each late event of the stretch the later one; replays are none."""
        if (
            not (self._origins and stretch.events)
            or stretch.replay
            or not self._is_old(stretch.records[0].time)
        ):
            return
        starts = [record.sequence for record in stretch.records]
        for event, sequence in zip(stretch.events, stretch.sequences, strict=True):
            self._mark(event, stretch.records[bisect_right(starts, sequence) - 1].time)
        late = sum(event.late for event in stretch.events)
        if late:
            stretch.late = True
            self._in.telemetry.add(Metric.EVENTS_LATE, late)

    def mark_one(self, event: Event, time: HybridTime, *, replay: bool) -> None:
        """The same for an event that was parked, appended at `time`."""
        if self._origins and not replay and self._is_old(time):
            self._mark(event, time)

    def _is_old(self, time: HybridTime) -> bool:
        return self._in.clock.now_ms() - to_ms(time) > 1000 * limits.LATE_AFTER_SECONDS

    def _mark(self, event: Event, time: HybridTime) -> None:
        if self._since is None or time < self._since:
            self._since = time
            for origin in self._origins:
                self._look(Lane(origin, self._key.lane.generation, self._key.lane.index), time)
        found = self._handed_out.get(event.key)
        if found is not None and found[0] > time:
            event.later = found[1]

    def _look(self, lane: Lane, since: HybridTime) -> None:
        """Note the last event of each key that was handed out of a lane and published after a time."""
        log, now_ms = self._in.log, self._in.clock.now_ms()
        tail = believed_tail(log, lane, past=EMPTY_TAIL.sequence, now_ms=now_ms)
        if tail == EMPTY_TAIL or tail.time <= since:
            return
        end = self._end(lane)
        begins = locate(log, lane, AtTime(to_ms(since)), end=tail)
        start = tail.sequence if begins is None else begins.base
        left = limits.LATE_RECORDS_MAX
        while start < end and left > 0:
            page = log.read(lane, start, records_max=min(left, limits.PAGE_RECORDS_MAX), before=end)
            for record in page.records:
                for event in unpack(record) if record.time > since else ():
                    self._note(event, record.time, end)
            left -= len(page.records)
            if not page.more:
                return
            start = page.records[-1].tail.sequence
        if start < end:
            self._in.telemetry.tell(LogEvent.LATE_UNKNOWN, lane=str(lane), sequence=start)

    def _end(self, lane: Lane) -> Sequence:
        """Up to where a lane was handed out: by this Region where each delivers all, else by whoever came furthest."""
        subscription = self._in.subscription
        ledger = ledger_of(self._in.ledger, subscription, lane.origin)
        state = ledger.state(LaneKey(self._key.stream, self._key.subscription, lane), glance=True)
        by = (
            ledger.region
            if subscription.definition.deliver == "everywhere"
            else state.latest or ledger.region
        )
        return state.cursor(by).sequence

    def _note(self, event: Event, time: HybridTime, end: Sequence) -> None:
        types = self._in.subscription.definition.types
        if (types is None or event.type in types) and (event.sequence or 0) < end:
            known = self._handed_out.get(event.key)
            if known is None or known[0] <= time:
                self._handed_out[event.key] = (time, event)
