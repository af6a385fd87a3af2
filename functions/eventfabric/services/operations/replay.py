"""Replay: move one subscription's cursors in one Region back; or move another's to where this one is, to feed it.

    log       0 1 2 3 4 5 6 7 8 9              cursor 8, key a parked with [2, 5, 7]
    replay from 4                              cursor 4, replays until 8, key a parked with [2]
                                               5 and 7 come again with the cursor, and wait after 2 as before

It takes one commit a lane, conditional on the state that was read, followed by a ring. So if a delivery runs at the
same time, the two meet like two consumers: one of them reads again. Events that wait in a parked key always stand
before the cursor. Those that no longer do are dropped from the keys in that same commit, or both would handle them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from eventfabric import limits
from eventfabric.errors import (
    ContendedCommitError,
    LogError,
    PortError,
    ReplayRefusedError,
    SettingError,
    UndecodableItemError,
)
from eventfabric.model import (
    ANY_TAIL,
    EMPTY_TAIL,
    START,
    AtSequence,
    AtTime,
    Committed,
    Cursor,
    Doorbell,
    Lane,
    LaneKey,
    Owner,
    Parked,
    ParkedChange,
    Place,
    Region,
    SequenceNumber,
    Start,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
    lane_index,
)
from eventfabric.ports import Clock, Doorbells, Entropy, Ledger, Log
from eventfabric.services.delivery.stretch import SteppedOver, Stretch
from eventfabric.services.delivery.takeover import is_taken_over
from eventfabric.services.lanes.batch_copies import BatchCopies
from eventfabric.services.lanes.lane_end import tail_to_begin_at
from eventfabric.services.lanes.locate import kept_in, locate
from eventfabric.services.lanes.standing import Standings, is_delivered_by, lanes_of, ledger_of, owner_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.services.operations.replay_plan import (
    LanePlan,
    LaneReplayed,
    LaneView,
    Reach,
    ReplayRequest,
    check_changes,
    check_key,
    check_marks,
    check_reached,
    check_target,
)
from eventfabric.services.operations.replayed_key import waiting_again
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

MapLanes = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, or a pool's: the calls for many lanes may be made at the same time."""


class Replay:
    """A replay of one subscription in the Region of its ledger. `into`: the events go to that subscription instead.

    `publish`: nothing is marked as a replay, so that what the handler publishes for these events reaches subscriptions
    of other streams, though it was published before.
    """

    def __init__(
        self,
        source: SubscriptionTopology,
        stream: StreamTopology,
        *,
        into: SubscriptionTopology | None = None,
        publish: bool = False,
        log: Log,
        ledger: Ledger,
        doorbells: Doorbells,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        check_target(source, into, publish=publish)
        self.target = into or source
        self._publish = publish
        self._source = source if into is not None else None
        self._stream = stream
        self._log = log
        self._ledger = ledger
        self._doorbells = doorbells
        self._clock = clock
        self._entropy = entropy
        self._owners: dict[Region, Owner | None] = {}
        self._filter = SubscriptionFilter.of(self.target.definition)

    def plan(
        self,
        start: Start | None,
        *,
        key: str | None = None,
        lane: Lane | None = None,
        counts: bool = False,
        map_lanes: MapLanes = map,
    ) -> list[LanePlan]:
        """Plan what is to be done to each lane; nothing is done yet. One read a lane, and those that find the place.

        `start` None: from the first event, for a subscription that has delivered nothing. `counts`: leave events that
        the subscription does not want out of `events`, which may read the log from `start` on.

        Raises:
            ReplayRefusedError: it cannot be done; says which facts decided that.
            SettingError: there is no such lane.
        """
        self._check_request(start, key)
        lanes = self._lanes(key, lane)
        views: dict[Lane, LaneView | LanePlan] = dict(
            zip(lanes, map_lanes(self._look_or_leave, lanes), strict=True)
        )
        asked = self._asked(start, key, views)
        plans: list[LanePlan] = list(
            map_lanes(lambda owned_lane: self._plan_or_leave(owned_lane, views[owned_lane], asked), lanes)
        )
        readable = [plan for plan in plans if not plan.unreadable]
        if not readable:
            raise ReplayRefusedError(plans[0].unreadable)
        self._check(readable, asked, map_lanes)
        return list(map_lanes(self._counted, plans)) if counts and not self._filter.wants_all else plans

    def carry_out(self, plan: LanePlan) -> LaneReplayed:
        """Carry the plan of one lane out, and ring the lane.

        Raises:
            ReplayRefusedError: deliveries went on meanwhile, and it cannot be done any more; nothing is changed.
            ContendedCommitError: the lane is too busy; nothing is changed.
        """
        key = self._key(self.target, plan.lane)
        for _ in range(limits.LANE_RACES_MAX):
            if not plan.changes_anything:
                return LaneReplayed(plan, rung=True)
            ledger = ledger_of(self._ledger, self.target, plan.lane.origin)
            outcome = ledger.commit(key, plan.read, plan.to, parked=plan.changes)
            if isinstance(outcome, Committed):
                # The lane may have been at rest, and this moves it without moving its tail.
                with suppress(PortError):  # without that, a pass sees it an hour later at the latest
                    self._ledger.see(key.stream, key.subscription, nothing=True)
                # The version tells this ring from earlier ones, as a repetition of which the queue would drop it.
                bell = Doorbell(key.stream, plan.lane, ANY_TAIL, again=outcome.cursor.version)
                return LaneReplayed(plan, rung=not self._doorbells.ring(self.target.name, [bell]))
            # A delivery was faster, so the plan is of a state that is gone. The request still holds.
            plan = self._plan(plan.lane, self._look(plan.lane), plan.asked)
        raise ContendedCommitError(f"lane {plan.lane} of {self.target.name} is busy: try again")

    def _check_request(self, start: Start | None, key: str | None) -> None:
        """Refuse what can be refused before anything is read."""
        if isinstance(start, AtTime) and start.ms > self._clock.now_ms():
            raise ReplayRefusedError(f"{start} is in the future: it is {AtTime(self._clock.now_ms())} now")
        if key is not None and self._source is not None:
            raise ReplayRefusedError("--key goes without --into: a key is replayed where it was delivered")

    def _asked(
        self, start: Start | None, key: str | None, views: Mapping[Lane, LaneView | LanePlan]
    ) -> ReplayRequest:
        """Return the request, as far as the state of the lanes completes it."""
        begun = [lane for lane, view in views.items() if view.read.version]
        # Without a place, only a subscription that has delivered nothing is fed: from the first event on.
        if start is None and (begun or self._source is None):
            where = f": lane {begun[0]} is at {views[begun[0]].read.sequence}" if begun else ""
            raise ReplayRefusedError(f"say --from where: {self.target.name} has delivered events{where}")
        is_fresh = self._source is not None and not begun
        return ReplayRequest(start or AtSequence(SequenceNumber(0)), key, is_fresh)

    def _lanes(self, key: str | None, lane: Lane | None) -> list[Lane]:
        """Choose the lanes of the request. Refuse it if this Region delivers none of them."""
        owned = self._owned()
        if lane is not None:
            self._check_lane(lane, owned)
        if not owned:
            raise ReplayRefusedError(f"{self._ledger.region} delivers no lane of {self.target.name}")
        index = None if key is None else lane_index(key, self._stream.definition.lanes)
        candidates = owned if lane is None else [lane]
        chosen = [candidate for candidate in candidates if index in (None, candidate.index)]
        if not chosen:
            raise ReplayRefusedError(f"the events of key {key!r} are in lanes 0.{index}, not in {lane}")
        return chosen

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

    def _check_lane(self, lane: Lane, owned: Collection[Lane]) -> None:
        lanes = lanes_of(self._stream)
        if lane not in lanes:
            raise SettingError("lane", str(lane), f"{lanes[0]} to {lanes[-1]}")
        if lane not in owned:
            raise ReplayRefusedError(
                f"lane {lane} of {self.target.name} is not delivered by {self._ledger.region}"
            )

    def _look_or_leave(self, lane: Lane) -> LaneView | LanePlan:
        try:
            return self._look(lane)
        except UndecodableItemError as error:
            asked = ReplayRequest(AtSequence(SequenceNumber(0)), None, False)
            return LanePlan(asked, lane, START, START, unreadable=str(error))

    def _plan_or_leave(self, lane: Lane, view: LaneView | LanePlan, asked: ReplayRequest) -> LanePlan:
        if isinstance(view, LanePlan):
            return replace(view, asked=asked)
        try:
            return self._plan(lane, view, asked)
        except LogError as error:
            return LanePlan(asked, lane, view.read, view.read, unreadable=str(error))

    def _look(self, lane: Lane) -> LaneView:
        ledger = ledger_of(self._ledger, self.target, lane.origin)
        state = whole_state(ledger, self._key(self.target, lane), clock=self._clock)
        read, parked = state.cursor(ledger.region), state.parked.get(ledger.region, {})
        has_it = is_taken_over(state, ledger.region, self._owners[lane.origin])
        if self._source is None:
            return LaneView(read, parked, SequenceNumber(0), has_it)
        source = ledger.state(self._key(self._source, lane))
        return LaneView(read, parked, source.cursor(ledger.region).sequence, has_it)

    def _plan(self, lane: Lane, view: LaneView, asked: ReplayRequest) -> LanePlan:
        read = view.read
        self._check_taken_over(lane, view)
        stays = LanePlan(asked, lane, read, read)
        if not (read.version or asked.fresh):
            return stays  # the lane has not begun: it will begin by itself, and skip nothing
        reach = self._reach(lane, view)
        if reach is None:
            return stays  # everything before the cursor has expired
        start = self._located(lane, asked.start, reach.end, has_begun=read.version > 0)
        if read.version and start.sequence >= read.sequence:
            return stays
        if asked.key is not None:
            return self._plan_key(stays, start, view.parked, asked.key)
        if self.target.definition.publishes and not self._publish:
            check_marks(lane, read, view.parked.values(), start.sequence)
        return self._plan_back(stays, start, view.parked, reach)

    def _reach(self, lane: Lane, view: LaneView) -> Reach | None:
        """Return how far a lane may be replayed; None: nothing before its cursor is kept."""
        read = view.read
        if not read.version:
            # The other subscription had these events, and this one none of them.
            return Reach(self._tail(lane), view.fed_until, is_new=True)
        end = self._log.tail(lane, before=read.sequence)
        if self._is_ahead(lane, read, end):
            # Events after the lane's end are published anew, and are no replays.
            return Reach(end, end.sequence, is_new=self._publish)
        until = SequenceNumber(max(read.sequence, read.replay_until))
        return Reach(end, until, is_new=self._publish) if end.sequence >= read.sequence else None

    def _located(self, lane: Lane, start: Start, end: Tail, *, has_begun: bool) -> Cursor:
        """Return the cursor of a lane that begins with `start`."""
        now_ms, retention_seconds = self._clock.now_ms(), self._stream.retention_seconds
        region = lane.origin if has_begun else self._ledger.region  # all records up to a cursor were here
        kept_part = kept_in(lane, region, retention_seconds=retention_seconds, now_ms=now_ms)
        cursor = locate(self._log, lane, start, end=end, kept_part=kept_part)
        if cursor is None:
            raise ReplayRefusedError(f"the records of lane {lane} have not all come yet: try again later")
        return cursor

    def _plan_back(self, plan: LanePlan, start: Cursor, parked: dict[str, Parked], reach: Reach) -> LanePlan:
        """Have the cursor go back. Events from there on leave their parked keys: they come again with the cursor."""
        lane, read = plan.lane, plan.read
        changes = tuple(
            ParkedChange(parked_key, after)
            for parked_key in parked.values()
            if (after := parked_key.before(start.sequence)) is not parked_key
        )
        check_changes(self._stream, lane, changes, f"hold events from sequence {start.sequence} on")
        replay_from, replay_until = reach.marks(start.sequence)
        moved = replace(
            read.at_rest(),
            sequence=start.sequence,
            base=start.base,
            chain=start.chain,
            crashes=0,
            replay_until=replay_until,
            replay_from=replay_from,
            began=min(read.began, start.sequence) if read.version else start.sequence,
        ).beside_after(read, parked, changes)
        return replace(plan, to=moved, changes=changes, events=max(0, replay_until - start.sequence))

    def _plan_key(self, plan: LanePlan, start: Cursor, parked: dict[str, Parked], key: str) -> LanePlan:
        """Have the key's events up to the cursor wait, due now. Later events of the key wait after them."""
        lane, read = plan.lane, plan.read
        for waiting in parked.values():
            if waiting.key == key:
                raise ReplayRefusedError(
                    f"key {key!r} is parked in lane {lane} ({waiting.state}, from sequence "
                    f"{waiting.first.sequence}): redrive or discard it first"
                )
        marks_from = read.sequence if self._publish else start.sequence
        places = self._places(lane, replace(start, replay_from=marks_from, replay_until=read.sequence), key)
        new = waiting_again(
            places,
            key,
            until=read.sequence,
            definition=self.target.definition,
            entropy=self._entropy,
            now_ms=self._clock.now_ms(),
        )
        if len(parked) + len(new) > limits.PARKED_KEYS_MAX:
            raise ReplayRefusedError(f"lane {lane} has {len(parked)} parked keys, and room for no more")
        changes = tuple(ParkedChange(None, parked) for parked in new)
        check_changes(self._stream, lane, changes, "would have to be made, an event each")
        moved = read.beside_after(read, parked, changes)
        return replace(plan, to=moved, changes=changes, events=len(places))

    def _check_taken_over(self, lane: Lane, view: LaneView) -> None:
        owner = self._owners[lane.origin]
        # The takeover, which is the lane's next delivery, would put
        # the former owner's state in place of the replay.
        if owner is not None and not view.is_taken_over:
            raise ReplayRefusedError(
                f"lane {lane} was handed over to {owner.region}, which has not taken it over yet: deliver first "
                "(eventfabric subscriptions resume where it is paused, else eventfabric lanes --ring)"
            )

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

    def _counted(self, plan: LanePlan) -> LanePlan:
        if plan.asked.key is not None or not plan.changes_anything:
            return plan
        try:
            return replace(
                plan, events=sum(len(stretch.events) for stretch in self._stretches(plan.lane, plan.to))
            )
        except LogError as error:  # deliveries of that lane stop there, too
            return LanePlan(plan.asked, plan.lane, plan.read, plan.read, unreadable=str(error))

    def _check(self, plans: list[LanePlan], asked: ReplayRequest, map_lanes: MapLanes) -> None:
        """Refuse a wrong request."""
        is_in_vain = not any(plan.changes_anything for plan in plans)
        if (is_in_vain or asked.fresh) and isinstance(asked.start, AtSequence) and asked.start.sequence:
            check_reached(
                asked.start, plans, list(map_lanes(lambda plan: self._tail(plan.lane).sequence, plans))
            )
        if is_in_vain:
            check_key(asked, plans)

    def _is_ahead(self, lane: Lane, read: Cursor, end: Tail) -> bool:
        """Tell if the lane was made anew and ends before its cursor, rather than that its records have expired."""
        if end.sequence >= read.sequence or (
            end == EMPTY_TAIL and self._stream.retention_seconds is not None
        ):
            return False
        return self._tail(lane).sequence < read.sequence

    def _tail(self, lane: Lane) -> Tail:
        return tail_to_begin_at(self._log, lane, now_ms=self._clock.now_ms())

    def _key(self, subscription: SubscriptionTopology, lane: Lane) -> LaneKey:
        return LaneKey(StreamName(self._stream.name), SubscriptionName(subscription.state_name), lane)
