"""Reconcile: one pass over a stream in one Region, for what no doorbell tells; repairs what is safe to repair.

    each origin's lanes    the log: unbroken, verified, equal to the origin's             replica.py
    ... of declarations    the same; nobody delivers them, and they rest while nothing is wrong
    each subscription that this Region delivers
                           cursor within the log and on its chain, moving where events wait
                           parked keys tried when they should, dead ones counted
                           nobody writes who does not own

A pass goes through the lanes part by part, as their marks are stored, and checks the lanes of a part at the same time
(lane_check.py). It reads the marks of the part, the tail of each lane, the records that are new, the state of each lane
for each subscription, and if that lags, the first record that waits. The states of a lane at rest are read once an hour
(rest.py). Records that were verified are read again in rounds of a day or more, a bounded part of them at each pass
(round.py), and all of them by a full pass. At its end, a pass reports how everything stands (vitals.py).

A pass that runs out of time ends between two parts. What it has done is kept, and another goes on from there
(noted_pass.py).
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from eventfabric import limits
from eventfabric.errors import PortError, UndecodableItemError
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Lane,
    LaneIndex,
    Mark,
    Marks,
    Owner,
    Region,
    Standing,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.finding import Finding
from eventfabric.model.pass_progress import PassProgress
from eventfabric.ports import Ports
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another, results_of
from eventfabric.services.reconciliation.beneath import ROOT, Beneath
from eventfabric.services.reconciliation.checked_lane import CheckedLane, unreadable
from eventfabric.services.reconciliation.lane_check import LaneChecker
from eventfabric.services.reconciliation.origin_seen import OriginSeen
from eventfabric.services.reconciliation.parts import PassPart, parts_beneath, parts_from, parts_of
from eventfabric.services.reconciliation.patience import PassPatience
from eventfabric.services.reconciliation.replica import Replica
from eventfabric.services.reconciliation.rest import may_rest
from eventfabric.services.reconciliation.round import Round, count_first_rounds
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells, Watch
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.telemetry import Metric, Telemetry


@dataclass(frozen=True, slots=True)
class PassOrder:
    """The kind of a pass. `repair`: repair what is safe to. `full`: verify everything, not only what is new.

    `thorough`: read the states of lanes at rest as well. `resumed`: where to begin, with what was counted before that.
    `until_ms`: time at which the pass is to end, in ms since 1970, whatever is left then; None: it has all the time.
    """

    repair: bool
    full: bool = False
    thorough: bool = True
    resumed: PassProgress = field(default_factory=PassProgress)
    until_ms: int | None = None


def _ignore(progress: PassProgress) -> None:
    """Take notice of no progress."""


def _find_nothing() -> Iterator[Finding]:
    """Find nothing beside the lanes."""
    return iter(())


class Reconciler:
    """Reconciler of one stream in one Region. `side_by_side`: checks several lanes at the same time."""

    def __init__(
        self,
        stream: StreamTopology,
        *,
        region: Region,
        ports: Ports,
        telemetry: Telemetry,
        side_by_side: SideBySide = one_after_another,
        beside: Callable[[], Iterator[Finding]] = _find_nothing,
    ) -> None:
        """`beside`: finds what is not of any subscription's lanes, at the end of a pass."""
        self._stream = stream
        self._name = StreamName(stream.name)
        self._region = region
        self._ports = ports
        self._log = ports.log_of(stream)
        self._retention = stream.retention_seconds
        self._telemetry = telemetry
        self._side_by_side = side_by_side
        self._beside = beside
        self._begin(PassOrder(repair=False))

    def _begin(self, order: PassOrder) -> None:
        """Begin a pass, which looks at everything as of one moment."""
        self._now_ms = self._ports.clock.now_ms()
        self._order = order
        self._vitals = Vitals(self._stream, order.resumed.tally)
        self._patience = PassPatience(self._ports.clock, order.until_ms)
        self._began_before_ms = order.resumed.before_ms
        self._unsure: set[str] = set()
        self.progress = order.resumed

    def run(self, *, repair: bool, full: bool = False) -> Iterator[Finding]:
        """Yield the findings of one pass, part by part; `repair`: repair what is safe to. It may be interrupted."""
        return self.make(PassOrder(repair=repair, full=full))

    def make(self, order: PassOrder, *, noted: Callable[[PassProgress], None] = _ignore) -> Iterator[Finding]:
        """Yield the findings of a pass, part by part. If the time ends first, `progress` says what is left.

        `noted`: told after each part how far the pass has come. At the end comes the first error of a lane.
        """
        self._begin(order)
        standings = yield from self._read_standings()
        if not order.resumed.part:
            seen_ms = [standing.seen_ms for standing in standings.values() if standing.seen_ms]
            self._began_before_ms = min(seen_ms, default=0)
        parts = parts_from(parts_of(self._stream), order.resumed.part)
        yield from self._go_through(parts, self._checker(standings), noted)
        if self.progress.part:
            return
        yield from self._find_beside()
        if self._patience.error is not None:
            raise self._patience.error
        if not order.resumed.is_broken:
            self._vitals.tell(self._telemetry, standings, now_ms=self._now_ms)

    def _find_beside(self) -> Iterator[Finding]:
        try:
            for finding in self._beside():
                yield self._reported(finding, self._vitals)
        except PortError as error:
            self._patience.fail(error)

    def _go_through(
        self, parts: list[PassPart], checker: LaneChecker, noted: Callable[[PassProgress], None]
    ) -> Iterator[Finding]:
        """Yield the findings of these parts, until the time is over: then `progress` says what is left."""
        counts = Counter(part.origin for part in parts)
        origins = {origin: OriginSeen(count, limits.ROUND_READ_UNITS) for origin, count in counts.items()}
        left: list[PassPart] = []
        for number, part in enumerate(parts):
            self.progress = self._progress_at(part)
            noted(self.progress)
            yield from self._check(part, checker, origins[part.origin])
            if self._patience.is_over():
                left = parts[number if self._patience.has_left_lanes else number + 1 :]
                break
        for seen in origins.values():
            self._release(seen)
        self.progress = self._progress_at(left[0]) if left else PassProgress()

    def _progress_at(self, part: PassPart) -> PassProgress:
        """Return the progress of a pass that has done everything before a part."""
        resumed = self._order.resumed
        return replace(
            resumed,
            part=str(part),
            is_full=self._order.full,
            began_ms=resumed.began_ms or self._now_ms,
            before_ms=self._began_before_ms,
            until_ms=self._order.until_ms or 0,
            is_broken=resumed.is_broken or self._patience.error is not None,
            tally=self._vitals.tally,
        )

    def _reported(self, finding: Finding, vitals: Vitals) -> Finding:
        """Count a finding that is reported."""
        if finding.is_repaired:
            self._telemetry.add(Metric.FINDINGS_REPAIRED, of=self._stream.name)
        vitals.count_finding(finding)
        return finding

    def _read_standings(self) -> Generator[Finding, None, dict[str, Standing]]:
        """Return the standings that can be read, by subscription. Yield why nobody knows who delivers the others."""
        subscriptions = self._stream.subscriptions
        calls = [partial(self._readable_standing, subscription) for subscription in subscriptions]
        standings: dict[str, Standing] = {}
        for subscription, standing in zip(subscriptions, results_of(calls, self._side_by_side), strict=True):
            if isinstance(standing, Standing):
                standings[subscription.name] = standing
            elif standing and not self._order.resumed.part:  # else it was counted when the pass began
                yield self._reported(standing, self._vitals)
        self._give_up_if_exhausted()
        return standings

    def _readable_standing(self, subscription: SubscriptionTopology) -> Standing | Finding | None:
        try:
            return self._standing(subscription)
        except UndecodableItemError as error:
            lane = Lane(self._region, GENERATION_FIRST, LaneIndex(0))
            return unreadable(self._name, self._region, lane, error, subscription)
        except PortError as error:
            self._patience.fail(error)
            return None

    def _give_up_if_exhausted(self) -> None:
        """Raise the pass's first failure, if so many calls failed that a service must be away."""
        if self._patience.is_exhausted and self._patience.error is not None:
            raise self._patience.error

    def _standing(self, subscription: SubscriptionTopology) -> Standing:
        """Return what all Regions that answer know of a subscription. Note it if this Region knew all of it."""
        name = SubscriptionName(subscription.state_name)
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
                    self._unsure.add(subscription.name)
        known = {(owner.origin, owner.by): owner.epoch for owner in standing.owners}
        unknown = [owner for owner in elsewhere if owner.epoch > known.get((owner.origin, owner.by), -1)]
        # A pass that goes on noted it when it began, and some lanes were checked since.
        if not unknown and all_answer and not self._order.resumed.part:
            self._ports.ledger.see(self._name, name)
        return replace(standing, owners=(*standing.owners, *unknown))

    def _checker(self, standings: dict[str, Standing]) -> LaneChecker:
        replica_of = partial(
            Replica,
            self._name,
            self._region,
            log=self._log,
            elsewhere=lambda region: self._ports.at(region).log_of(self._stream),
            regions=[Region(name) for name in self._stream.definition.regions],
            now_ms=self._now_ms,
            repairs=self._order.repair,
            clock=self._ports.clock,
            is_over=self._patience.is_over,
        )
        return LaneChecker(
            self._stream,
            region=self._region,
            ports=self._ports,
            replica=replica_of(expires=self._retention is not None, retention_seconds=self._retention),
            declarations=replica_of(expires=False),
            standings=standings,
            unsure=self._unsure,
            now_ms=self._now_ms,
            before_ms=self._order.resumed.before_ms if self._order.resumed.part else None,
            repair=self._order.repair,
            full=self._order.full,
            patience=self._patience,
        )

    def _check(self, part: PassPart, checker: LaneChecker, seen: OriginSeen) -> Iterator[Finding]:
        """Yield the findings of one part's lanes, and of all that were split off from them, part by part."""
        vitals, places = Vitals(self._stream), dict[Lane, Beneath]()
        left = deque([part])
        while left:
            lanes = yield from self._check_part(left.popleft(), places, checker, seen, vitals)
            split = {own.lane: own.beneath for own in lanes if own.beneath is not None}
            places |= {child: place for lane, place in split.items() for child in lane.children}
            beneath = parts_beneath(split)
            left.extend(beneath)
            seen.parts_left += len(beneath)
        if not self._patience.has_left_lanes:  # else, as after giving up, the part is checked once more
            self._vitals.add(vitals)

    def _check_part(
        self,
        part: PassPart,
        places: Mapping[Lane, Beneath],
        checker: LaneChecker,
        seen: OriginSeen,
        vitals: Vitals,
    ) -> Generator[Finding, None, list[CheckedLane]]:
        """Return a part's lanes as they were checked. Yield findings; a call that fails is none, and ends no pass."""
        try:
            marks = self._ports.ledger.marks(self._name, part.marked_as, part=part.marks_name)
        except PortError as error:
            self._patience.fail(error)
            self._give_up_if_exhausted()
            return []
        is_light = not (self._order.thorough or self._order.full)
        rests = is_light and may_rest(marks.lanes.values(), now_ms=self._now_ms)
        calls = [
            partial(
                checker.check,
                lane,
                marks.of(lane.number).believed(self._now_ms),
                may_rest=rests,
                place=places.get(lane, ROOT),
            )
            for lane in part.lanes
        ]
        bells, after = Bells(), dict[int, Mark]()
        findings: list[Finding] = []
        try:
            lanes = results_of(calls, self._side_by_side)
        except BaseException:  # an interruption too: the process waits for the threads that check lanes
            self._patience.end()
            raise
        checker.check_credit(part.origin, lanes, marks, vitals=vitals, bells=bells)
        for checked in lanes:
            findings += checked.findings
            vitals.add(checked.vitals)
            bells.add_all(checked.bells)
            if checked.mark != Mark():
                after[checked.lane.number] = checked.mark
            seen.note(part, checked)
        findings += self._verify_again(part, places, after, seen, vitals)
        findings += self._watch().ring(bells)
        findings += self._remember(part, marks, after)
        yield from (self._reported(finding, vitals) for finding in findings)
        self._give_up_if_exhausted()
        return lanes

    def _watch(self) -> Watch:
        return Watch(
            self._stream, region=self._region, ports=self._ports, vitals=self._vitals, now_ms=self._now_ms
        )

    def _remember(self, part: PassPart, marks: Marks, after: dict[int, Mark]) -> Iterator[Finding]:
        """Note what the pass saw. If marks were unreadable, it verified all of their lanes anew.

        Only a repair writes unreadable marks anew. Otherwise they stay for whoever examines them.
        """
        if not all(lane.is_root for lane in part.lanes):  # of others, this pass may have found no seal
            after = {**marks.lanes, **after}
        writes = not marks.unreadable or self._order.repair
        written = writes and (after != marks.lanes or bool(marks.unreadable))
        is_noted = written and self._mark(part, marks, after)
        for error in marks.unreadable.values():
            finding = unreadable(self._name, self._region, part.lanes[0], error)
            yield replace(finding, is_repaired=is_noted)

    def _mark(self, part: PassPart, marks: Marks, after: dict[int, Mark]) -> bool:
        """Write a part's marks. Tell if that was done: another pass may have been faster, or the call may fail."""
        try:
            return self._ports.ledger.mark(self._name, part.marked_as, marks, Marks(after))
        except PortError as error:
            self._patience.fail(error)
            return False

    def _release(self, seen: OriginSeen) -> None:
        """Note that silent lanes lack nothing, if replication from their origin moves again, in whatever lane."""
        for part, numbers in seen.silent.items() if seen.moves else ():
            try:
                marks = self._ports.ledger.marks(self._name, part.marked_as, part=part.marks_name)
            except PortError as error:
                self._patience.fail(error)
                continue
            if marks.unreadable:
                continue
            released = {
                number: replace(marks.of(number), end=EMPTY_TAIL.sequence, since_ms=0) for number in numbers
            }
            self._mark(part, marks, marks.lanes | released)

    def _verify_again(
        self,
        part: PassPart,
        places: Mapping[Lane, Beneath],
        marks: dict[int, Mark],
        seen: OriginSeen,
        vitals: Vitals,
    ) -> Iterator[Finding]:
        """Go on with the rounds through what was verified before, beginning with those that are longest overdue."""
        # An even share of what is left for the origin, so that no part waits for another's rounds.
        share = seen.units_left // max(1, seen.parts_left)
        expires = self._retention is not None and not part.is_declared
        rounds = Round(self._log, expires=expires, now_ms=self._now_ms, units=share)
        lanes = {lane.number: lane for lane in part.lanes}
        count_first_rounds(marks, self._now_ms)
        for number in sorted(marks, key=lambda lane_number: marks[lane_number].whole_ms):
            lane = lanes[number]
            start = places.get(lane, ROOT).start
            if rounds.units_left > 0 and rounds.is_due(marks[number], start):
                try:
                    marks[number], broken = rounds.go_on(lane, marks[number], start)
                except PortError as error:
                    self._patience.fail(error)
                    continue
                if broken is not None:
                    yield Finding(broken.kind, self._name, lane, self._region, broken.sequence, broken.detail)
        seen.parts_left, seen.units_left = seen.parts_left - 1, seen.units_left - (share - rounds.units_left)
        vitals.verified(
            min((mark.whole_ms for mark in marks.values() if mark.sequence), default=self._now_ms)
        )
