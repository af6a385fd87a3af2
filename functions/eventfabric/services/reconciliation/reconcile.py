"""Reconcile: one pass over a stream in one Region, for what no doorbell will tell; repairs what is safe to repair.

    each origin's lanes    the log: unbroken, verified, equal to the origin's             replica.py
    each subscription that this Region delivers
                           cursor within the log and on its chain, moving where events wait
                           parked keys tried when they should, dead ones counted
                           nobody writes who does not own

A pass reads the marks of an origin, the tail of each lane, the records that are new, the state of each lane for
each subscription, and where that lags, the first record that waits. Log records that were verified are read
again by rounds of a day or more, a bounded part of them at each pass (round.py), and all by a full
pass. When it is through, it tells how everything stands: vitals.py.
"""

from collections.abc import Iterator
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import LogError, PortError, UndecodableItemError
from eventfabric.model.circuit import Circuit, CircuitState
from eventfabric.model.cursor import LaneKey
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import (
    GENERATION_FIRST,
    Lane,
    LaneIndex,
    Region,
    Sequence,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.marks import Mark, Marks
from eventfabric.model.owner import Owner, Standing
from eventfabric.model.record import EMPTY_TAIL, Tail
from eventfabric.model.sightings import Sightings
from eventfabric.ports import Ports
from eventfabric.services.delivery.takeover import is_taken_over
from eventfabric.services.lanes.standing import is_delivered_by, ledger_of, owner_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.services.reconciliation.look import Look
from eventfabric.services.reconciliation.replica import Replica
from eventfabric.services.reconciliation.round import Round
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells, Watch
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology

_WRONG_CURSORS = (FindingKind.CURSOR_BROKEN, FindingKind.CURSOR_AHEAD)


class Reconciler:
    """One stream in one Region."""

    def __init__(self, stream: StreamTopology, *, region: Region, ports: Ports, telemetry: Telemetry) -> None:
        self._stream = stream
        self._name = StreamName(stream.name)
        self._region = region
        self._ports = ports
        self._log = ports.log_of(stream)
        self._retention = stream.retention_seconds
        self._telemetry = telemetry
        self._begin()

    def _begin(self) -> None:
        """Have one pass look at everything at one moment."""
        self._now_ms = self._ports.clock.now_ms()
        self._vitals = Vitals(self._stream)
        self._watching = Watch(
            self._stream, region=self._region, ports=self._ports, vitals=self._vitals, now_ms=self._now_ms
        )

    def run(self, *, repair: bool, full: bool = False) -> Iterator[Finding]:
        """The findings of one pass, lane by lane; with `repair`, what is safe to repair is. Interrupt it at will."""
        self._begin()
        standings: dict[str, Standing] = {}
        for subscription in self._stream.subscriptions:
            try:
                standings[subscription.name] = self._standing(subscription)
            except UndecodableItemError as error:  # who delivers it, and whether at all, is not known
                yield self._told(
                    self._unreadable(Lane(self._region, GENERATION_FIRST, LaneIndex(0)), error, subscription)
                )
        for origin in self._stream.definition.regions:
            for found in self._origin(Region(origin), standings, repair=repair, full=full):
                yield self._told(found)
        self._vitals.tell(self._telemetry, standings, now_ms=self._now_ms)

    def _told(self, found: Finding) -> Finding:
        if found.is_repaired:
            self._telemetry.add(Metric.FINDINGS_REPAIRED, of=self._stream.name)
        self._vitals.found(found)
        return found

    def _unreadable(
        self,
        lane: Lane,
        error: LogError | UndecodableItemError,
        subscription: SubscriptionTopology | None = None,
    ) -> Finding:
        """Report what cannot be read of a lane: the pass goes on with the next."""
        sequence = Sequence(max(0, error.sequence) if isinstance(error, LogError) else 0)
        name = None if subscription is None else SubscriptionName(subscription.name)
        return Finding(FindingKind.UNREADABLE, self._name, lane, self._region, sequence, str(error), name)

    def _standing(self, subscription: SubscriptionTopology) -> Standing:
        """What all Regions that answer know of a subscription; noted where that is nothing new to this one."""
        name = SubscriptionName(subscription.name)
        standing = self._ports.ledger.standing(self._name, name)
        elsewhere: list[Owner] = []
        all_answer = True
        for region in subscription.regions:
            if region != self._region:
                try:
                    elsewhere += self._ports.at(Region(region)).ledger.standing(self._name, name).owners
                except (PortError, UndecodableItemError):  # it may be the one that knows better
                    all_answer = False
        known = {(one.origin, one.by): one.epoch for one in standing.owners}
        news = [one for one in elsewhere if one.epoch > known.get((one.origin, one.by), -1)]
        if not news and all_answer:
            self._ports.ledger.see(self._name, name)
        return replace(standing, owners=(*standing.owners, *news))

    def _origin(
        self, origin: Region, standings: dict[str, Standing], *, repair: bool, full: bool
    ) -> Iterator[Finding]:
        marks = self._ports.ledger.marks(self._name, origin)
        replica = Replica(
            self._name, self._region, log=self._log, elsewhere=lambda r: self._ports.at(r).log_of(self._stream),
            regions=[Region(name) for name in self._stream.definition.regions],
            expires=self._retention is not None, retention_seconds=self._retention, now_ms=self._now_ms, repairs=repair,
            clock=self._ports.clock,
        )  # fmt: skip
        after: dict[LaneIndex, Mark] = {}
        bells = Bells()
        moves, silent = False, list[LaneIndex]()
        for number in range(self._stream.definition.lanes):
            index = LaneIndex(number)
            lane, before = Lane(origin, GENERATION_FIRST, index), marks.of(index)
            try:
                examined = replica.examine(lane, before, full=full)
            except LogError as error:
                yield self._unreadable(lane, error)
                after |= {index: before} if before != Mark() else {}
                continue
            yield from examined.findings
            mark = examined.mark
            moves = moves or before.sequence < mark.sequence != before.end  # by more than was copied
            silent += [index for one in examined.findings if one.kind is FindingKind.REPLICATION_SILENT]
            yield from self._clock_ahead(lane, examined.tail)
            if examined.tail != EMPTY_TAIL:
                mark = self._hold(lane, before, mark, examined.tail, repair=repair)
                sightings = before.sightings.with_tail(examined.tail.sequence, self._now_ms)
                mark = replace(mark, sightings=sightings)
                cursors: dict[str, tuple[int, int]] = {}
                waiting: list[Sequence] = []
                for look in self._looks(lane, before, mark, examined.tail, standings):
                    if isinstance(look, Finding):
                        yield look
                        continue
                    stands: tuple[int, int] | None = (look.cursor.epoch, look.cursor.sequence)
                    if look.cursor.sequence > look.tail.sequence:  # nothing to hold it against, at this pass
                        stands = before.cursors.get(look.subscription.name)
                    for found in self._watch(look, replica, bells, repair=repair):
                        if (
                            found.kind in _WRONG_CURSORS
                        ):  # to be held against the log again, as long as it is wrong
                            stands = before.cursors.get(look.subscription.name)
                        if (
                            found.kind is FindingKind.HOLE
                        ):  # behind the mark: the next pass verifies all of it anew
                            mark = replace(mark, sequence=EMPTY_TAIL.sequence, chain=EMPTY_TAIL.chain)
                        yield found
                    if stands is not None:
                        cursors[look.subscription.name] = stands
                    waiting += [look.news_from] if look.lags else []
                sightings = sightings.from_(min(waiting)) if waiting else Sightings()
                mark = replace(mark, cursors=cursors, sightings=sightings)
            if mark != Mark():
                after[index] = mark
        yield from self._verify_again(origin, after)
        yield from self._watching.ring(bells)
        for index in silent if moves else ():  # nothing is missing of them, and replication moves again
            after[index] = replace(after[index], end=EMPTY_TAIL.sequence, since_ms=0)
        yield from self._remember(origin, marks, after, repair=repair)

    def _remember(
        self, origin: Region, marks: Marks, after: dict[LaneIndex, Mark], *, repair: bool
    ) -> Iterator[Finding]:
        """Note what the pass saw. Where marks were unreadable, it verified all of their lanes anew.

        These are written anew by a repair alone: else they stay for whoever looks at them.
        """
        writes = not marks.unreadable or repair
        written = writes and (after != marks.lanes or bool(marks.unreadable))
        is_noted = written and self._ports.ledger.mark(self._name, origin, marks, Marks(after))
        lane = Lane(origin, GENERATION_FIRST, LaneIndex(0))
        for error in marks.unreadable.values():
            yield replace(self._unreadable(lane, error), is_repaired=is_noted)

    def _verify_again(self, origin: Region, marks: dict[LaneIndex, Mark]) -> Iterator[Finding]:
        """Go on with the rounds through what was verified before, those first that are the longest overdue."""
        again = Round(self._log, expires=self._retention is not None, now_ms=self._now_ms)
        for index, mark in marks.items():
            if mark.sequence and not mark.whole_ms:
                marks[index] = replace(mark, whole_ms=self._now_ms)
        for index in sorted(marks, key=lambda one: marks[one].whole_ms):
            if again.left > 0 and again.is_due(marks[index]):
                lane = Lane(origin, GENERATION_FIRST, index)
                marks[index], broken = again.go_on(lane, marks[index])
                if broken is not None:
                    yield Finding(broken.kind, self._name, lane, self._region, broken.sequence, broken.detail)
        self._vitals.verified(
            min((one.whole_ms for one in marks.values() if one.sequence), default=self._now_ms)
        )

    def _clock_ahead(self, lane: Lane, tail: Tail) -> Iterator[Finding]:
        """Compare the lane's time with this Region's: a producer's clock that is ahead has taken the lane with it.

        By the time of this look: what came since the pass began is not ahead of anything.
        """
        ahead_ms = to_ms(tail.time) - self._ports.clock.now_ms()
        self._vitals.clock_ahead(ahead_ms)
        if lane.origin == self._region and ahead_ms > 1000 * limits.CLOCK_AHEAD_SECONDS:
            detail = f"its newest event's time is {ahead_ms // 1000} s ahead of the clock here"
            yield Finding(FindingKind.CLOCK_AHEAD, self._name, lane, self._region, tail.sequence, detail)

    def _hold(self, lane: Lane, before: Mark, mark: Mark, tail: Tail, *, repair: bool) -> Mark:
        """Note the place of a lane whose newest record has lived for half its time, before all of them expire.

        By the record's own expiry, whatever the retention is by now, and only where that was read: a place that is
        noted of a lane whose end is lost would hide the loss.
        """
        mark = replace(mark, held=before.held)
        if tail.expires_at is None or lane.origin != self._region or tail.sequence <= before.held:
            return mark
        is_verified = (mark.sequence, mark.chain) == (tail.sequence, tail.chain)
        quiet_ms, left_ms = self._now_ms - to_ms(tail.time), 1000 * tail.expires_at - self._now_ms
        if not (repair and is_verified and quiet_ms > left_ms):
            return mark
        self._log.hold_place(lane, tail)
        return replace(mark, held=tail.sequence)

    def _looks(
        self, lane: Lane, before: Mark, mark: Mark, tail: Tail, standings: dict[str, Standing]
    ) -> Iterator[Look | Finding]:
        """What each subscription that this Region delivers the lane for looks like; or that it cannot be read."""
        for subscription in self._stream.subscriptions:
            standing = standings.get(subscription.name)
            if standing is None or not is_delivered_by(self._region, subscription, lane.origin, standing):
                continue
            ledger = ledger_of(self._ports.ledger, subscription, lane.origin)
            try:
                key = LaneKey(self._name, SubscriptionName(subscription.name), lane)
                state = whole_state(ledger, key, clock=self._ports.clock)
            except UndecodableItemError as error:
                yield self._unreadable(lane, error, subscription)
                continue
            owner, region = owner_of(subscription, lane.origin, standing), ledger.region
            if not subscription.shares_state and not is_taken_over(state, region, owner):
                region = state.latest or region
            yield Look(
                subscription, lane, replace(mark, cursors=before.cursors), tail, state, state.cursor(region),
                owner, self._runs(standing.circuit),
                before.sightings, region, standing.seen_ms if subscription.name in before.cursors else 0,
            )  # fmt: skip

    def _runs(self, circuit: Circuit) -> bool:
        overdue_ms = self._now_ms - 1000 * limits.UNRUNG_SECONDS
        is_unprobed = circuit.state is CircuitState.OPEN and circuit.probe_ms < overdue_ms
        return is_unprobed or circuit.state is CircuitState.CLOSED

    def _watch(self, look: Look, replica: Replica, bells: Bells, *, repair: bool) -> Iterator[Finding]:
        try:
            yield from self._watching.look_at(look, replica, bells, repair=repair)
        except LogError as error:
            yield self._unreadable(look.lane, error, look.subscription)
