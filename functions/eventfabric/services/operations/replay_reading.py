"""Replay reading: what a replay has to know of lanes, their states and their logs, before it plans anything."""

from collections.abc import Iterable

from eventfabric import limits
from eventfabric.errors import (
    ReplayRefusedError,
)
from eventfabric.model import (
    EMPTY_TAIL,
    Cursor,
    Lane,
    LaneKey,
    Owner,
    Place,
    Region,
    SequenceNumber,
    Start,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
)
from eventfabric.ports import Clock, Ledger, Log
from eventfabric.services.delivery.state_reader import reader_of
from eventfabric.services.delivery.stretch import SteppedOver, Stretch
from eventfabric.services.lanes.batch_copies import BatchCopies
from eventfabric.services.lanes.lane_end import tail_from, tail_to_begin_at
from eventfabric.services.lanes.locate import kept_in, locate
from eventfabric.services.lanes.splits import start_of
from eventfabric.services.lanes.standing import Standings, is_delivered_by, lanes_of, ledger_of, owner_of
from eventfabric.services.operations.replay_plan import (
    LaneView,
    Reach,
)
from eventfabric.services.operations.replay_tree import (
    Views,
    views_of,
)
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology


class ReplayReader:
    """Reader of one subscription's lanes in the Region of its ledger. `source`: the one that it is fed from, if any."""

    def __init__(
        self,
        target: SubscriptionTopology,
        stream: StreamTopology,
        *,
        source: SubscriptionTopology | None,
        publish: bool,
        log: Log,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self.target = target
        self._publish = publish
        self._source = source
        self._stream = stream
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._owners: dict[Region, Owner | None] = {}
        self._filter = SubscriptionFilter.of(target.definition)

    def _owned(self) -> list[Lane]:
        """Find the lanes that this Region delivers for the subscription, and remember who owns their origins."""
        standing = Standings(self.target, ledger=self._ledger, clock=self._clock).read()
        region = self._ledger.region
        owned = [
            lane
            for lane in lanes_of(self._stream)
            if is_delivered_by(region, self.target, lane.origin, standing)
        ]
        self._owners = {lane.origin: owner_of(self.target, lane.origin, standing) for lane in owned}
        return owned

    def _look(self, lane: Lane) -> Views:
        owner, clock = self._owners[lane.origin], self._clock
        reader = reader_of(self.target, lane.origin, owner, ledger=self._ledger, clock=clock)
        return views_of(reader, lane, self._log, fed=self._fed_until)

    def _fed_until(self, lane: Lane) -> SequenceNumber:
        """Return where the cursor of the subscription stands that this one is fed from; 0: of none."""
        if self._source is None:
            return SequenceNumber(0)
        ledger = ledger_of(self._ledger, self.target, lane.origin)
        return ledger.state(self._key(self._source, lane)).cursor(ledger.region).sequence

    def _reach(self, lane: Lane, view: LaneView) -> Reach | None:
        """Return how far a lane may be replayed; None: nothing before its cursor is kept."""
        read = view.read
        if not read.version:
            # The other subscription had these events, and this one none of them.
            tail = self._tail(lane)
            if tail.is_sealed:  # it comes to the seal by itself, and its children begin there
                before = SequenceNumber(tail.sequence - 1)
                return Reach(tail_from(self._log, lane, view.begins, before=before), before, is_new=True)
            return Reach(tail, view.fed_until, is_new=True)
        end = tail_from(self._log, lane, view.begins, before=read.sequence)
        if self._is_ahead(lane, view, end):
            # Events after the lane's end are published anew, and are no replays.
            return Reach(end, end.sequence, is_new=self._publish)
        until = SequenceNumber(max(read.sequence, read.replay_until))
        return Reach(end, until, is_new=self._publish) if end.sequence >= read.sequence else None

    def _is_ahead(self, lane: Lane, view: LaneView, end: Tail) -> bool:
        """Tell if the lane was made anew and ends before its cursor, rather than that its records have expired."""
        if end.sequence >= view.read.sequence or (
            end == view.begins and self._stream.retention_seconds is not None
        ):
            return False
        return self._tail(lane).sequence < view.read.sequence

    def _located(self, lane: Lane, view: LaneView, start: Start, end: Tail, *, has_begun: bool) -> Cursor:
        """Return the cursor of a lane that begins with `start`."""
        now_ms, retention_seconds = self._clock.now_ms(), self._stream.retention_seconds
        region = lane.origin if has_begun else self._ledger.region  # all records up to a cursor were here
        kept_part = kept_in(lane, region, retention_seconds=retention_seconds, now_ms=now_ms)
        cursor = locate(self._log, lane, start, end=end, kept_part=kept_part, begins=view.begins)
        if cursor is None:
            raise ReplayRefusedError(f"the records of lane {lane} have not all come yet: try again later")
        return cursor

    def _places(self, lane: Lane, cursor: Cursor, key: str) -> list[Place]:
        """Return the places of a key's events that a replay from this cursor on hands out."""
        places: list[Place] = []
        for stretch in self._stretches(lane, cursor):
            places += [stretch.place(index) for index, event in enumerate(stretch.events) if event.key == key]
        return places

    def _stretches(self, lane: Lane, cursor: Cursor) -> Iterable[Stretch]:
        """Yield what a replay from this cursor on hands out, a page at a time. LogError if it cannot be read."""
        ledger, key = ledger_of(self._ledger, self.target, lane.origin), self._key(self.target, lane)
        alone = ledger.region if self._owners[lane.origin] is None else None
        copies = BatchCopies(ledger, key, state := ledger.state(key), alone)
        stepped_over = SteppedOver(state, alone=alone, lanes=self._stream.definition.lanes)
        while cursor.is_replaying:
            page = self._log.read(lane, cursor.base, records_max=limits.PAGE_RECORDS_MAX)
            stepped_over.add_noted(filter(copies.where, page.records))
            yield (stretch := Stretch(cursor, page.records, self._filter, stepped_over))
            if stretch.stop is not None:
                raise stretch.stop
            if stretch.end == cursor.sequence:
                raise ReplayRefusedError(f"the record at sequence {cursor.base} of lane {lane} is not here")
            cursor = stretch.cursor_at(stretch.end)

    def _tail(self, lane: Lane) -> Tail:
        begins = start_of(self._log, lane) or EMPTY_TAIL
        return tail_to_begin_at(self._log, lane, now_ms=self._clock.now_ms(), start=begins)

    def _key(self, subscription: SubscriptionTopology, lane: Lane) -> LaneKey:
        return LaneKey(StreamName(self._stream.name), SubscriptionName(subscription.state_name), lane)
