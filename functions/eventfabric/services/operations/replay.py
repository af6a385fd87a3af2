"""Replay: move one subscription's cursors in one Region back; or move another's to where this one is, to feed it.

    log       0 1 2 3 4 5 6 7 8 9              cursor 8, key a parked with [2, 5, 7]
    replay from 4                              cursor 4, replays until 8, key a parked with [2]
                                               5 and 7 come again with the cursor, and wait after 2 as before

It takes one commit a lane, conditional on the state that was read, followed by a ring. So if a delivery runs at the
same time, the two meet like two consumers: one of them reads again. Events that wait in a parked key always stand
before the cursor. Those that no longer do are dropped from the keys in that same commit, or both would handle them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from eventfabric import limits
from eventfabric.errors import (
    ContendedCommitError,
    LogError,
    PortError,
    ReplayRefusedError,
    UndecodableItemError,
)
from eventfabric.model import (
    ANY_TAIL,
    START,
    AtSequence,
    AtTime,
    Committed,
    Cursor,
    Doorbell,
    Lane,
    Parked,
    ParkedChange,
    Place,
    SequenceNumber,
    Start,
    lane_index,
    lane_of,
)
from eventfabric.ports import Clock, Doorbells, Entropy, Ledger, Log
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.services.lanes.splits import check_lane
from eventfabric.services.lanes.standing import ledger_of
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
from eventfabric.services.operations.replay_reading import ReplayReader
from eventfabric.services.operations.replay_tree import (
    Views,
    back_across,
    end_of,
    is_beneath,
    path_of,
    places_above,
)
from eventfabric.services.operations.replayed_key import waiting_again
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

MapLanes = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, or a pool's: the calls for many lanes may be made at the same time."""


class Replay(ReplayReader):
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
        super().__init__(
            into or source,
            stream,
            source=source if into is not None else None,
            publish=publish,
            log=log,
            ledger=ledger,
            clock=clock,
        )
        self._doorbells = doorbells
        self._entropy = entropy

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
        trees: dict[Lane, Views | LanePlan] = dict(
            zip(lanes, map_lanes(self._look_or_leave, lanes), strict=True)
        )
        asked = self._asked(start, key, trees)
        planned = map_lanes(
            lambda owned_lane: self._plan_or_leave(owned_lane, trees[owned_lane], asked), lanes
        )
        plans: list[LanePlan] = list(chain.from_iterable(planned))
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
        for _ in range(limits.LANE_RACES_MAX):
            if not plan.changes_anything:
                return LaneReplayed(plan, rung=True)
            key, ledger = (
                self._key(self.target, plan.lane),
                ledger_of(self._ledger, self.target, plan.lane.origin),
            )
            outcome = ledger.commit(key, plan.read, plan.to, parked=plan.changes, beside=plan.beneath)
            if isinstance(outcome, Committed):
                # The lane may have been at rest, and this moves it without moving its tail.
                with suppress(PortError):  # without that, a pass sees it an hour later at the latest
                    self._ledger.see(key.stream, key.subscription, nothing=True)
                # The version tells this ring from earlier ones, as a repetition of which the queue would drop it.
                bell = Doorbell(key.stream, plan.lane, ANY_TAIL, again=outcome.cursor.version)
                return LaneReplayed(plan, rung=not self._doorbells.ring(self.target.name, [bell]))
            # A delivery was faster, so the plan is of a state that is gone. The request still holds.
            again = self._plans(self._look(plan.lane), plan.lane, plan.asked)
            if len(again) > 1:
                break  # it was split there meanwhile, and what is asked begins behind its seal
            plan = again[0]
        raise ContendedCommitError(f"lane {plan.lane} of {self.target.name} is busy: try again")

    def _check_request(self, start: Start | None, key: str | None) -> None:
        """Refuse what can be refused before anything is read."""
        if isinstance(start, AtTime) and start.ms > self._clock.now_ms():
            raise ReplayRefusedError(f"{start} is in the future: it is {AtTime(self._clock.now_ms())} now")
        if key is not None and self._source is not None:
            raise ReplayRefusedError("--key goes without --into: a key is replayed where it was delivered")

    def _asked(
        self, start: Start | None, key: str | None, trees: Mapping[Lane, Views | LanePlan]
    ) -> ReplayRequest:
        """Return the request, as far as the state of the lanes completes it."""
        views = {lane: tree if isinstance(tree, LanePlan) else tree[lane] for lane, tree in trees.items()}
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
        candidates = owned if lane is None else [lane]
        if key is None:
            return candidates
        lanes = self._stream.definition.lanes
        chosen = [own.root for own in candidates if lane_of(key, own.origin, lanes, own.generation) == own]
        if not chosen:
            index = lane_index(key, lanes)
            raise ReplayRefusedError(f"the events of key {key!r} are in lanes 0.{index}, not in {lane}")
        return chosen

    def _check_lane(self, lane: Lane, owned: Collection[Lane]) -> None:
        check_lane(self._stream, lane, self._log)
        if lane.root not in owned:
            raise ReplayRefusedError(
                f"lane {lane} of {self.target.name} is not delivered by {self._ledger.region}"
            )

    def _look_or_leave(self, lane: Lane) -> Views | LanePlan:
        try:
            return self._look(lane)
        except UndecodableItemError as error:
            asked = ReplayRequest(AtSequence(SequenceNumber(0)), None, False)
            return LanePlan(asked, lane, START, START, unreadable=str(error))

    def _plan_or_leave(self, lane: Lane, views: Views | LanePlan, asked: ReplayRequest) -> list[LanePlan]:
        if isinstance(views, LanePlan):
            return [replace(views, asked=asked)]
        try:
            return self._plans(views, lane, asked)
        except LogError as error:
            read = views[lane].read
            return [LanePlan(asked, lane, read, read, unreadable=str(error))]

    def _plans(self, views: Views, lane: Lane, asked: ReplayRequest) -> list[LanePlan]:
        """Plan what is to be done to a lane, or to the lanes into which it was split, if these begin before the
        place.
        """
        if asked.key is not None:
            return [self._plan_key(views, asked, asked.key)]
        view = views.get(lane)
        if view is None:
            raise ReplayRefusedError(
                f"lane {lane} has yet to be taken over: deliver first (eventfabric lanes --ring)"
            )
        if view.read.past_seal is None:
            return [self._plan(lane, view, asked)]
        self._check_taken_over(lane, view)
        end = tail_from(self._log, lane, view.begins, before=end_of(view))
        start = self._located(lane, view, asked.start, end, has_begun=True)
        if start.sequence >= end.sequence:
            return [plan for child in lane.children for plan in self._plans(views, child, asked)]
        beneath = {own: below for own, below in views.items() if is_beneath(own, lane)}
        for own, below in beneath.items():
            self._check_taken_over(own, below)
            if self.target.definition.publishes and not self._publish:
                check_marks(own, below.read, below.waiting.values(), start.sequence)
        key_of = partial(self._key, self.target)
        stays = LanePlan(asked, lane, view.read, view.read)
        return [back_across(stays, start, beneath, key_of, publishes_again=self._publish)]

    def _plan(self, lane: Lane, view: LaneView, asked: ReplayRequest) -> LanePlan:
        read = view.read
        self._check_taken_over(lane, view)
        stays = LanePlan(asked, lane, read, read)
        if not (read.version or asked.fresh):
            return stays  # the lane has not begun: it will begin by itself, and skip nothing
        reach = self._reach(lane, view)
        if reach is None:
            return stays  # everything before the cursor has expired
        start = self._located(lane, view, asked.start, reach.end, has_begun=read.version > 0)
        if read.version and start.sequence >= read.sequence:
            return stays
        if self.target.definition.publishes and not self._publish:
            check_marks(lane, read, view.parked.values(), start.sequence)
        return self._plan_back(stays, start, view.parked, reach)

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

    def _plan_key(self, views: Views, asked: ReplayRequest, key: str) -> LanePlan:
        """Have the key's events up to the cursor wait, due now. Later events of the key wait after them.

        They wait in the lane in which the key is delivered by now, also if they stand in one that was split.
        """
        path = path_of(views, key, self._stream.definition.lanes)
        lane = path[-1]
        view = views[lane]
        read, parked = view.read, view.waiting
        plan = LanePlan(asked, lane, read, read)
        self._check_taken_over(lane, view)
        if not read.version or (places := self._places_on(path, views, asked, key)) is None:
            return plan
        for waiting in parked.values():
            if waiting.key == key:
                raise ReplayRefusedError(
                    f"key {key!r} is parked in lane {lane} ({waiting.state}, from sequence "
                    f"{waiting.first.sequence}): redrive or discard it first"
                )
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

    def _places_on(
        self, path: Sequence[Lane], views: Views, asked: ReplayRequest, key: str
    ) -> list[Place] | None:
        """Return the places of a key's events that come again, lane by lane; None: nothing before a cursor is kept."""
        places: list[Place] | None = None
        for lane in path:
            view, until = views[lane], end_of(views[lane])
            end = tail_from(self._log, lane, view.begins, before=until)
            start = self._located(lane, view, asked.start, end, has_begun=True)
            if start.sequence < until and end.sequence >= until:
                marks_from = until if self._publish else start.sequence
                cursor = replace(start, replay_from=marks_from, replay_until=until)
                own = places_above(self._places(lane, cursor, key), lane, path[-1])
                places = [*(places or ()), *own]
        return places

    def _check_taken_over(self, lane: Lane, view: LaneView) -> None:
        owner = self._owners[lane.origin]
        # The takeover, which is the lane's next delivery, would put
        # the former owner's state in place of the replay.
        if owner is not None and not view.is_taken_over:
            raise ReplayRefusedError(
                f"lane {lane} was handed over to {owner.region}, which has not taken it over yet: deliver first "
                "(eventfabric subscriptions resume where it is paused, else eventfabric lanes --ring)"
            )

    def _counted(self, plan: LanePlan) -> LanePlan:
        if plan.asked.key is not None or plan.beneath or not plan.changes_anything:
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
