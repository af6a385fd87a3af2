"""Lane check: one lane in one pass of reconciliation: its log, then each subscription that is delivered here.

Lanes are checked apart from each other, so that several can be checked at the same time. Gauges and rings are collected
for each lane, and the pass adds them up.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from eventfabric import limits
from eventfabric.errors import LogError, PortError, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    Circuit,
    CircuitState,
    DeclarationLane,
    Lane,
    LaneKey,
    Mark,
    Marks,
    Region,
    SequenceNumber,
    Sightings,
    Standing,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
    Tail,
    to_ms,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log, Ports
from eventfabric.services.delivery.begin import begins_by_now
from eventfabric.services.delivery.takeover import region_that_counts
from eventfabric.services.lanes.standing import is_delivered_by, ledger_of, owner_of
from eventfabric.services.lanes.unwanted import UnwantedRecords
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.services.reconciliation.beneath import ROOT, Beneath, PassedSeal
from eventfabric.services.reconciliation.checked_lane import CheckedLane, unreadable
from eventfabric.services.reconciliation.credit_check import CreditCheck
from eventfabric.services.reconciliation.examined import Examined
from eventfabric.services.reconciliation.hot import hot_in
from eventfabric.services.reconciliation.look import Look
from eventfabric.services.reconciliation.own_declarations import lost_here
from eventfabric.services.reconciliation.patience import PassPatience
from eventfabric.services.reconciliation.replica import Replica
from eventfabric.services.reconciliation.rest import digest_of_delivered, is_done, rests
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells, Watch
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

_WRONG_CURSORS = (FindingKind.CURSOR_BROKEN, FindingKind.CURSOR_AHEAD)


class LaneChecker:
    """Checks lanes of one stream in one Region, as of the moment at which a pass began."""

    def __init__(
        self,
        stream: StreamTopology,
        *,
        region: Region,
        ports: Ports,
        replica: Replica,
        declarations: Replica,
        standings: Mapping[str, Standing],
        unsure: Collection[str],
        now_ms: int,
        before_ms: int | None,
        repair: bool,
        full: bool,
        patience: PassPatience,
    ) -> None:
        """`replica`, `declarations`: compare the stream's lanes, and those of declarations.

        `standings`: those of the subscriptions that can be read, by name. `unsure`: those of which some Region may
        know more. `before_ms`: beginning of the last pass; None: each standing says that.
        """
        self._stream = stream
        self._name = StreamName(stream.name)
        self._region = region
        self._ports = ports
        self._log = ports.log_of(stream)
        self._replica = replica
        self._declarations = declarations
        self._standings = standings
        self._unsure = unsure
        self._now_ms = now_ms
        self._before_ms = before_ms
        self._repair = repair
        self._full = full
        self._patience = patience
        self._delivered = {
            Region(name): self._delivered_of(Region(name)) for name in stream.definition.regions
        }
        self._rests_for = {origin: self._digest_of(origin) for origin in self._delivered}

    def _delivered_of(self, origin: Region) -> list[SubscriptionTopology]:
        """List the subscriptions for which this Region delivers an origin's lanes, as far as that is known."""
        return [
            subscription
            for subscription in self._stream.subscriptions
            if subscription.name in self._standings
            and is_delivered_by(self._region, subscription, origin, self._standings[subscription.name])
        ]

    def _digest_of(self, origin: Region) -> bytes:
        """Return what tells apart who delivers an origin's lanes; empty if there is no reason for them to rest."""
        delivered = {
            subscription.name: self._standings[subscription.name] for subscription in self._delivered[origin]
        }
        if not delivered or any(not standing.seen_ms for standing in delivered.values()):
            return b""
        return digest_of_delivered(
            {
                subscription.state_name: owner_of(subscription, origin, delivered[subscription.name])
                for subscription in self._delivered[origin]
            }
        )

    def check_credit(
        self, origin: Region, lanes: Iterable[CheckedLane], marks: Marks, *, vitals: Vitals, bells: Bells
    ) -> None:
        """Check how much producers may still append to lanes of an origin that were checked. `marks`: from before."""
        delivered = self._delivered.get(origin, [])
        before = [self._seen_ms(self._standings[subscription.name]) for subscription in delivered]
        check = CreditCheck(
            self._name,
            self._region,
            self._ports.credits,
            self._standings,
            self._now_ms,
            min(before, default=0),
            rings=self._repair,
        )
        try:
            check.check(lanes, marks, delivered, vitals=vitals, bells=bells)
        except PortError as error:
            self._patience.fail(error)

    def check(
        self, lane: Lane, before: Mark, *, may_rest: bool = False, place: Beneath = ROOT
    ) -> CheckedLane:
        """Check one lane. `before`: its mark from the last pass. `may_rest`: a lane at rest is left alone.

        `place`: where it begins.
        """
        if before.sequence < place.start.sequence:
            before = before.up_to(place.start)
        if self._patience.is_exhausted:
            return CheckedLane(lane, before, Vitals(self._stream))
        if self._patience.is_over():
            self._patience.leave()
            return CheckedLane(lane, before, Vitals(self._stream))
        try:
            if isinstance(lane, DeclarationLane):
                return self._checked_declarations(lane, before, may_rest=may_rest)
            return self._checked(lane, before, place, may_rest=may_rest)
        except Exception as error:  # whatever is wrong with one lane, the others are checked
            self._patience.fail(error)
            return CheckedLane(lane, before, Vitals(self._stream))

    def _checked_declarations(self, lane: Lane, before: Mark, *, may_rest: bool) -> CheckedLane:
        """Check a lane that only deployments write, and that nobody delivers: it rests while nothing is wrong."""
        checked = CheckedLane(lane, before, Vitals(self._stream))
        if may_rest and before.rests_ms:
            return checked
        examined = self._examine(checked, self._declarations)
        if examined is None:
            return checked
        copies = {
            Region(name): partial(self._log_in, Region(name))
            for name in self._stream.definition.regions
            if name != self._region
        }
        if isinstance(lane, DeclarationLane) and lane.origin not in copies and not examined.findings:
            checked.findings += lost_here(
                lane, examined.tail, self._log, copies, region=self._region, repair=self._repair
            )
        is_whole = not (checked.findings or examined.is_cut_off)
        checked.mark = replace(examined.mark, rests_ms=self._now_ms if is_whole else 0)
        return checked

    def _log_in(self, region: Region) -> Log:
        return self._ports.at(region).log_of(self._stream)

    def _examine(self, checked: CheckedLane, replica: Replica, start: Tail = EMPTY_TAIL) -> Examined | None:
        """Compare a lane with its origin, and note what that shows; None: it cannot be read."""
        lane, before = checked.lane, checked.mark
        try:
            examined = replica.examine(lane, before, full=self._full, start=start)
        except LogError as error:
            checked.findings.append(unreadable(self._name, self._region, lane, error))
            return None
        checked.findings += examined.findings
        checked.moves, checked.is_silent = examined.moved_since(before), examined.is_silent
        checked.mark = examined.mark
        if examined.is_cut_off:
            self._patience.leave()
        return examined

    def _checked(self, lane: Lane, before: Mark, place: Beneath, *, may_rest: bool) -> CheckedLane:
        checked = CheckedLane(lane, before, Vitals(self._stream))
        examined = self._examine(checked, self._replica, place.start)
        if examined is None:
            return checked
        checked.findings += self._clock_ahead(lane, examined.tail, checked.vitals)
        if examined.is_cut_off:
            return checked
        checked.tail = examined.tail
        checked.findings += self._hot(lane, before, examined.tail)
        if may_rest and not checked.findings and rests(before, examined.tail, self._rests_for[lane.origin]):
            checked.mark = self._hold(lane, before, examined.mark, examined.tail)
            checked.passed.note_all(own.name for own in self._delivered[lane.origin])
        elif examined.tail != EMPTY_TAIL:
            self._watch_all(checked, before, examined.tail, place)
        return checked

    def _hot(self, lane: Lane, before: Mark, tail: Tail) -> Iterator[Finding]:
        """Report a lane in which so much is published that it comes near its bound."""
        seen_ms = max((self._seen_ms(standing) for standing in self._standings.values()), default=0)
        seconds = (self._now_ms - seen_ms) / 1000 if seen_ms else 0.0
        return hot_in(self._log, self._name, lane, self._region, before, tail, seconds=seconds)

    def _clock_ahead(self, lane: Lane, tail: Tail, vitals: Vitals) -> Iterator[Finding]:
        """Compare the lane's time with this Region's: a producer's clock that is ahead takes its lane's time along.

        It is compared with the clock at this look, because events that came since the pass began are not ahead.
        """
        ahead_ms = to_ms(tail.time) - self._ports.clock.now_ms()
        vitals.clock_ahead(ahead_ms)
        if lane.origin == self._region and ahead_ms > 1000 * limits.CLOCK_AHEAD_SECONDS:
            detail = f"its newest event's time is {ahead_ms // 1000} s ahead of the clock here"
            yield Finding(FindingKind.CLOCK_AHEAD, self._name, lane, self._region, tail.sequence, detail)

    def _watch_all(self, checked: CheckedLane, before: Mark, tail: Tail, place: Beneath) -> None:
        """Check the lane for each of its subscriptions, and note in its mark where their cursors stand."""
        lane, mark = checked.lane, self._hold(checked.lane, before, checked.mark, tail)
        sightings = before.sightings.with_tail(tail.sequence, self._now_ms)
        checked.mark = mark = replace(mark, sightings=sightings)
        cursors: dict[str, tuple[int, int]] = {}
        waiting: list[SequenceNumber] = []
        is_done_by_all = tail.sequence == mark.sequence
        for look in self._looks(checked, before, mark, tail, place):
            if isinstance(look, Finding):
                checked.findings.append(look)
                checked.waiting.add(str(look.subscription))
                continue
            if look.ahead.sequence < tail.sequence:
                checked.waiting.add(look.subscription.name)
            checked.passed.note(look.subscription.name, look.cursor, self._now_ms)
            is_done_by_all = is_done_by_all and self._is_own(look) and is_done(look)
            stands = self._watch_one(look, checked, before)
            cursors |= {} if stands is None else {look.subscription.state_name: stands}
            waiting += [look.news_from] if look.lags else []
        sightings = sightings.from_(min(waiting)) if waiting else Sightings()
        checked.mark = replace(checked.mark, cursors=cursors, sightings=sightings)
        begun_by_all = place.passed is None or len(cursors) == len(self._delivered[lane.origin])
        self._note_rest(checked, is_done_by_all=is_done_by_all and begun_by_all)

    def _watch_one(self, look: Look, checked: CheckedLane, before: Mark) -> tuple[int, int] | None:
        """Check the lane for one subscription. Return epoch and place of its cursor, as far as they are right."""
        findings = [*self._watch(look, checked)]
        checked.findings += findings
        if any(finding.kind is FindingKind.HOLE for finding in findings):
            # A hole in what was verified: the next pass verifies all of it anew.
            checked.mark = checked.mark.up_to(look.start)
        if any(finding.kind in _WRONG_CURSORS for finding in findings):
            # Compare it with the log again, as long as it is wrong.
            return before.cursors.get(look.subscription.state_name)
        return _compared(look, before)

    def _note_rest(self, checked: CheckedLane, *, is_done_by_all: bool) -> None:
        """Note in its mark if the lane is at rest from now on."""
        rests_for = self._rests_for[checked.lane.origin]
        if is_done_by_all and rests_for and not checked.findings:
            checked.mark = replace(checked.mark, rests_ms=self._now_ms, rests_for=rests_for)
        else:
            checked.mark = replace(checked.mark, rests_ms=0, rests_for=b"")

    def _is_own(self, look: Look) -> bool:
        """Tell if this Region has taken the lane over, if another one delivered it before."""
        return look.region == (look.subscription.home(look.lane.origin) or self._region)

    def _hold(self, lane: Lane, before: Mark, mark: Mark, tail: Tail) -> Mark:
        """Note the place of a lane whose newest record has lived for half of its time, before all its records expire.

        The record's own expiry counts, whatever the retention is by now, and only if the record was read: a place noted
        for a lane whose end is lost would hide the loss.
        """
        mark = replace(mark, held=before.held)
        if tail.expires_at is None or lane.origin != self._region or tail.sequence <= before.held:
            return mark
        is_verified = (mark.sequence, mark.chain) == (tail.sequence, tail.chain)
        quiet_ms, left_ms = self._now_ms - to_ms(tail.time), 1000 * tail.expires_at - self._now_ms
        if not (self._repair and is_verified and quiet_ms > left_ms):
            return mark
        self._log.hold_place(lane, tail)
        return replace(mark, held=tail.sequence)

    def _looks(
        self, checked: CheckedLane, before: Mark, mark: Mark, tail: Tail, place: Beneath
    ) -> Iterator[Look | Finding]:
        """Yield a look for each subscription for which this Region delivers the lane, or why it is unreadable."""
        lane, records = checked.lane, UnwantedRecords(self._log, checked.lane)
        for subscription in self._delivered[lane.origin]:
            passed = None if place.passed is None else place.passed.get(subscription.name)
            if place.passed is not None and passed is None:
                continue  # it comes to the parent's seal first
            standing = self._standings[subscription.name]
            ledger = ledger_of(self._ports.ledger, subscription, lane.origin)
            try:
                key = LaneKey(self._name, SubscriptionName(subscription.state_name), lane)
                state = whole_state(ledger, key, clock=self._ports.clock)
            except UndecodableItemError as error:
                yield unreadable(self._name, self._region, lane, error, subscription)
                continue
            owner = owner_of(subscription, lane.origin, standing)
            region: Region | None = region_that_counts(subscription, state, owner, region=ledger.region)
            if passed is not None:
                region = passed.counts(state, region=ledger.region, owner=owner)
            if region is None:
                yield from self._unbegun(checked, subscription, passed)
                continue
            cursor, end = state.cursor(region), min(mark.sequence, tail.sequence)
            subscription_filter = SubscriptionFilter.of(subscription.definition)
            yield Look(
                subscription,
                lane,
                replace(mark, cursors=before.cursors),
                tail,
                state,
                cursor,
                owner,
                self._runs(standing.circuit),
                before.sightings,
                region,
                self._seen_ms(standing) if subscription.state_name in before.cursors else 0,
                records.ahead(cursor, subscription_filter, until=end),
                begins_by_now(subscription, lane.origin, standing, region=self._region, now_ms=self._now_ms),
                owner is None or subscription.name not in self._unsure,
                place.start,
            )

    def _unbegun(
        self, checked: CheckedLane, subscription: SubscriptionTopology, passed: PassedSeal | None
    ) -> Iterator[Finding]:
        """Report a lane that nobody begins, though its parent is past its seal; or have the parent rung."""
        late_ms = self._now_ms - (passed.written_ms if passed is not None else 0)
        runs = self._runs(self._standings[subscription.name].circuit)
        if not runs or late_ms <= 1000 * limits.UNRUNG_SECONDS:
            return
        lane, name = checked.lane.parent, SubscriptionName(subscription.name)
        detail = f"it is past its seal, and lane {checked.lane} has not begun"
        finding = Finding(FindingKind.UNRUNG, self._name, lane, self._region, SequenceNumber(0), detail, name)
        if self._repair:
            checked.bells.add_lane(subscription.name, lane, finding)
        else:
            yield finding

    def _seen_ms(self, standing: Standing) -> int:
        """Return when the pass before this one began."""
        return standing.seen_ms if self._before_ms is None else self._before_ms

    def _runs(self, circuit: Circuit) -> bool:
        """Tell if a circuit lets deliveries run, or should have been probed long ago."""
        overdue_ms = self._now_ms - 1000 * limits.UNRUNG_SECONDS
        is_unprobed = circuit.state is CircuitState.OPEN and circuit.probe_ms < overdue_ms
        return is_unprobed or circuit.state is CircuitState.CLOSED

    def _watch(self, look: Look, checked: CheckedLane) -> Iterator[Finding]:
        """Yield what is wrong with a subscription's lane; if the log cannot be read for that, that it is unreadable."""
        watch = Watch(
            self._stream,
            region=self._region,
            ports=self._ports,
            vitals=checked.vitals,
            now_ms=self._now_ms,
        )
        try:
            yield from watch.look_at(look, self._replica, checked.bells, repair=self._repair)
        except LogError as error:
            yield unreadable(self._name, self._region, look.lane, error, look.subscription)


def _compared(look: Look, before: Mark) -> tuple[int, int] | None:
    """Return the epoch and place of a cursor that this pass compares with the log; else those of an earlier pass."""
    if look.cursor.sequence > look.tail.sequence:  # this pass has nothing to compare it with
        return before.cursors.get(look.subscription.state_name)
    return look.cursor.epoch, look.cursor.sequence
