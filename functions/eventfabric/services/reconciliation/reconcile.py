"""Reconcile: one pass over a stream in one Region, for what no doorbell tells; repairs what is safe to repair.

    each origin's lanes    the log: unbroken, verified, equal to the origin's             replica.py
    each subscription that this Region delivers
                           cursor within the log and on its chain, moving where events wait
                           parked keys tried when they should, dead ones counted
                           nobody writes who does not own

A pass reads the marks of an origin, the tail of each lane, the records that are new, the state of each lane for each
subscription, and if that lags, the first record that waits. Records that were verified are read again in rounds of a
day or more, a bounded part of them at each pass (round.py), and all of them by a full pass. At its end, a pass reports
how everything stands (vitals.py).
"""

from collections.abc import Generator, Iterator
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import LogError, PortError, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Circuit,
    CircuitState,
    Lane,
    LaneIndex,
    LaneKey,
    Mark,
    Marks,
    Owner,
    Region,
    SequenceNumber,
    Sightings,
    Standing,
    StreamName,
    SubscriptionName,
    Tail,
    to_ms,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Ports
from eventfabric.services.delivery.takeover import region_that_counts
from eventfabric.services.lanes.standing import is_delivered_by, ledger_of, owner_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.services.reconciliation.look import Look
from eventfabric.services.reconciliation.replica import Examined, Replica
from eventfabric.services.reconciliation.round import Round
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells, Watch
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology

_WRONG_CURSORS = (FindingKind.CURSOR_BROKEN, FindingKind.CURSOR_AHEAD)


class Reconciler:
    """Reconciler of one stream in one Region."""

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
        """Begin a pass, which looks at everything as of one moment."""
        self._now_ms = self._ports.clock.now_ms()
        self._vitals = Vitals(self._stream)
        self._watching = Watch(
            self._stream, region=self._region, ports=self._ports, vitals=self._vitals, now_ms=self._now_ms
        )

    def run(self, *, repair: bool, full: bool = False) -> Iterator[Finding]:
        """Yield the findings of one pass, lane by lane; `repair`: repair what is safe to. It may be interrupted."""
        self._begin()
        standings: dict[str, Standing] = {}
        for subscription in self._stream.subscriptions:
            try:
                standings[subscription.name] = self._standing(subscription)
            except UndecodableItemError as error:  # then nobody knows who delivers it
                yield self._reported(
                    self._unreadable(Lane(self._region, GENERATION_FIRST, LaneIndex(0)), error, subscription)
                )
        for origin in self._stream.definition.regions:
            for finding in self._origin(Region(origin), standings, repair=repair, full=full):
                yield self._reported(finding)
        self._vitals.tell(self._telemetry, standings, now_ms=self._now_ms)

    def _reported(self, finding: Finding) -> Finding:
        """Count a finding that is reported."""
        if finding.is_repaired:
            self._telemetry.add(Metric.FINDINGS_REPAIRED, of=self._stream.name)
        self._vitals.count_finding(finding)
        return finding

    def _unreadable(
        self,
        lane: Lane,
        error: LogError | UndecodableItemError,
        subscription: SubscriptionTopology | None = None,
    ) -> Finding:
        """Report that something of a lane cannot be read. The pass goes on with the next lane."""
        sequence = SequenceNumber(max(0, error.sequence) if isinstance(error, LogError) else 0)
        name = None if subscription is None else SubscriptionName(subscription.name)
        return Finding(FindingKind.UNREADABLE, self._name, lane, self._region, sequence, str(error), name)

    def _standing(self, subscription: SubscriptionTopology) -> Standing:
        """Return what all Regions that answer know of a subscription. Note it if this Region knew all of it."""
        name = SubscriptionName(subscription.name)
        standing = self._ports.ledger.standing(self._name, name)
        # A Region that was lost and is back may not have been told yet that its lanes were handed over.
        elsewhere: list[Owner] = []
        all_answer = True
        for region in subscription.regions:
            if region != self._region:
                try:
                    elsewhere += self._ports.at(Region(region)).ledger.standing(self._name, name).owners
                except (PortError, UndecodableItemError):  # this Region may be the one that knows more
                    all_answer = False
        known = {(owner.origin, owner.by): owner.epoch for owner in standing.owners}
        unknown = [owner for owner in elsewhere if owner.epoch > known.get((owner.origin, owner.by), -1)]
        if not unknown and all_answer:
            self._ports.ledger.see(self._name, name)
        return replace(standing, owners=(*standing.owners, *unknown))

    def _origin(
        self, origin: Region, standings: dict[str, Standing], *, repair: bool, full: bool
    ) -> Iterator[Finding]:
        """Yield the findings of one origin's lanes, and remember what was seen of them."""
        marks = self._ports.ledger.marks(self._name, origin)
        replica, bells = self._replica(repair=repair), Bells()
        after: dict[LaneIndex, Mark] = {}
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
            moves = moves or examined.moved_since(before)
            silent += [index] if examined.is_silent else []
            yield from self._clock_ahead(lane, examined.tail)
            mark = yield from self._watched(lane, before, examined, standings, replica, bells, repair=repair)
            if mark != Mark():
                after[index] = mark
        yield from self._verify_again(origin, after)
        yield from self._watching.ring(bells)
        for index in silent if moves else ():  # replication moves again, and these lanes lack nothing
            after[index] = replace(after[index], end=EMPTY_TAIL.sequence, since_ms=0)
        yield from self._remember(origin, marks, after, repair=repair)

    def _replica(self, *, repair: bool) -> Replica:
        return Replica(
            self._name,
            self._region,
            log=self._log,
            elsewhere=lambda region: self._ports.at(region).log_of(self._stream),
            regions=[Region(name) for name in self._stream.definition.regions],
            expires=self._retention is not None,
            retention_seconds=self._retention,
            now_ms=self._now_ms,
            repairs=repair,
            clock=self._ports.clock,
        )

    def _watched(
        self,
        lane: Lane,
        before: Mark,
        examined: Examined,
        standings: dict[str, Standing],
        replica: Replica,
        bells: Bells,
        *,
        repair: bool,
    ) -> Generator[Finding, None, Mark]:
        """Yield what is wrong with a lane for its subscriptions. Return its mark, with where their cursors stand."""
        mark, tail = examined.mark, examined.tail
        if tail == EMPTY_TAIL:
            return mark
        mark = self._hold(lane, before, mark, tail, repair=repair)
        sightings = before.sightings.with_tail(tail.sequence, self._now_ms)
        mark = replace(mark, sightings=sightings)
        cursors: dict[str, tuple[int, int]] = {}
        waiting: list[SequenceNumber] = []
        for look in self._looks(lane, before, mark, tail, standings):
            if isinstance(look, Finding):
                yield look
                continue
            name, place = look.subscription.name, _compared(look, before)
            for finding in self._watch(look, replica, bells, repair=repair):
                if finding.kind in _WRONG_CURSORS:
                    # Compare it with the log again, as long as it is wrong.
                    place = before.cursors.get(name)
                if finding.kind is FindingKind.HOLE:
                    # A hole in what was verified: the next pass verifies all of it anew.
                    mark = replace(mark, sequence=EMPTY_TAIL.sequence, chain=EMPTY_TAIL.chain)
                yield finding
            if place is not None:
                cursors[name] = place
            waiting += [look.news_from] if look.lags else []
        sightings = sightings.from_(min(waiting)) if waiting else Sightings()
        return replace(mark, cursors=cursors, sightings=sightings)

    def _remember(
        self, origin: Region, marks: Marks, after: dict[LaneIndex, Mark], *, repair: bool
    ) -> Iterator[Finding]:
        """Note what the pass saw. If marks were unreadable, it verified all of their lanes anew.

        Only a repair writes unreadable marks anew. Otherwise they stay for whoever examines them.
        """
        writes = not marks.unreadable or repair
        written = writes and (after != marks.lanes or bool(marks.unreadable))
        is_noted = written and self._ports.ledger.mark(self._name, origin, marks, Marks(after))
        lane = Lane(origin, GENERATION_FIRST, LaneIndex(0))
        for error in marks.unreadable.values():
            yield replace(self._unreadable(lane, error), is_repaired=is_noted)

    def _verify_again(self, origin: Region, marks: dict[LaneIndex, Mark]) -> Iterator[Finding]:
        """Go on with the rounds through what was verified before, beginning with those that are longest overdue."""
        rounds = Round(self._log, expires=self._retention is not None, now_ms=self._now_ms)
        for index, mark in marks.items():
            # A lane's first verification counts as its first round.
            if mark.sequence and not mark.whole_ms:
                marks[index] = replace(mark, whole_ms=self._now_ms)
        for index in sorted(marks, key=lambda lane_index: marks[lane_index].whole_ms):
            if rounds.units_left > 0 and rounds.is_due(marks[index]):
                lane = Lane(origin, GENERATION_FIRST, index)
                marks[index], broken = rounds.go_on(lane, marks[index])
                if broken is not None:
                    yield Finding(broken.kind, self._name, lane, self._region, broken.sequence, broken.detail)
        self._vitals.verified(
            min((mark.whole_ms for mark in marks.values() if mark.sequence), default=self._now_ms)
        )

    def _clock_ahead(self, lane: Lane, tail: Tail) -> Iterator[Finding]:
        """Compare the lane's time with this Region's: a producer's clock that is ahead takes its lane's time along.

        It is compared with the clock at this look, because events that came since the pass began are not ahead.
        """
        ahead_ms = to_ms(tail.time) - self._ports.clock.now_ms()
        self._vitals.clock_ahead(ahead_ms)
        if lane.origin == self._region and ahead_ms > 1000 * limits.CLOCK_AHEAD_SECONDS:
            detail = f"its newest event's time is {ahead_ms // 1000} s ahead of the clock here"
            yield Finding(FindingKind.CLOCK_AHEAD, self._name, lane, self._region, tail.sequence, detail)

    def _hold(self, lane: Lane, before: Mark, mark: Mark, tail: Tail, *, repair: bool) -> Mark:
        """Note the place of a lane whose newest record has lived for half of its time, before all its records expire.

        The record's own expiry counts, whatever the retention is by now, and only if the record was read: a place noted
        for a lane whose end is lost would hide the loss.
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
        """Yield a look for each subscription for which this Region delivers the lane, or why it is unreadable."""
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
            owner = owner_of(subscription, lane.origin, standing)
            region = region_that_counts(subscription, state, owner, region=ledger.region)
            yield Look(
                subscription,
                lane,
                replace(mark, cursors=before.cursors),
                tail,
                state,
                state.cursor(region),
                owner,
                self._runs(standing.circuit),
                before.sightings,
                region,
                standing.seen_ms if subscription.name in before.cursors else 0,
            )

    def _runs(self, circuit: Circuit) -> bool:
        """Tell if a circuit lets deliveries run, or should have been probed long ago."""
        overdue_ms = self._now_ms - 1000 * limits.UNRUNG_SECONDS
        is_unprobed = circuit.state is CircuitState.OPEN and circuit.probe_ms < overdue_ms
        return is_unprobed or circuit.state is CircuitState.CLOSED

    def _watch(self, look: Look, replica: Replica, bells: Bells, *, repair: bool) -> Iterator[Finding]:
        """Yield what is wrong with a subscription's lane; if the log cannot be read for that, that it is unreadable."""
        try:
            yield from self._watching.look_at(look, replica, bells, repair=repair)
        except LogError as error:
            yield self._unreadable(look.lane, error, look.subscription)


def _compared(look: Look, before: Mark) -> tuple[int, int] | None:
    """Return the epoch and place of a cursor that this pass compares with the log; else those of an earlier pass."""
    if look.cursor.sequence > look.tail.sequence:  # this pass has nothing to compare it with
        return before.cursors.get(look.subscription.name)
    return look.cursor.epoch, look.cursor.sequence
