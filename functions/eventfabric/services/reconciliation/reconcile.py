"""Reconcile: one pass over a stream in one Region, for what no doorbell tells; repairs what is safe to repair.

    each origin's lanes    the log: unbroken, verified, equal to the origin's             replica.py
    each subscription that this Region delivers
                           cursor within the log and on its chain, moving where events wait
                           parked keys tried when they should, dead ones counted
                           nobody writes who does not own

A pass goes through the lanes part by part, as their marks are stored, and checks the lanes of a part at the same time
(lane_check.py). It reads the marks of the part, the tail of each lane, the records that are new, the state of each lane
for each subscription, and if that lags, the first record that waits. Records that were verified are read again in
rounds of a day or more, a bounded part of them at each pass (round.py), and all of them by a full pass. At its end, a
pass reports how everything stands (vitals.py).
"""

from collections.abc import Iterator
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
    part_of,
)
from eventfabric.model.finding import Finding
from eventfabric.ports import Ports
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another, results_of
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.reconciliation.lane_check import CheckedLane, LaneChecker, unreadable
from eventfabric.services.reconciliation.replica import Replica
from eventfabric.services.reconciliation.round import Round
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.services.reconciliation.watch import Bells, Watch
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology


@dataclass(frozen=True, slots=True)
class PassPart:
    """Lanes of one origin whose marks are stored together. `name`: that of the part in the marks."""

    origin: Region
    name: str
    lanes: tuple[Lane, ...]


@dataclass
class _OriginSeen:
    """An origin as far as a pass has come in it. `units_left`: read units that its rounds may still use."""

    parts_left: int
    units_left: int
    moves: bool = False
    silent: dict[PassPart, list[LaneIndex]] = field(default_factory=dict)
    """Lanes that got nothing by replication since they stalled."""

    def note(self, part: PassPart, checked: CheckedLane) -> None:
        """Note if replication moves in a lane, or is silent."""
        self.moves = self.moves or checked.moves
        if checked.is_silent:
            self.silent.setdefault(part, []).append(checked.lane.index)


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
    ) -> None:
        self._stream = stream
        self._name = StreamName(stream.name)
        self._region = region
        self._ports = ports
        self._log = ports.log_of(stream)
        self._retention = stream.retention_seconds
        self._telemetry = telemetry
        self._side_by_side = side_by_side
        self._begin()

    def _begin(self) -> None:
        """Begin a pass, which looks at everything as of one moment."""
        self._now_ms = self._ports.clock.now_ms()
        self._vitals = Vitals(self._stream)

    def run(self, *, repair: bool, full: bool = False) -> Iterator[Finding]:
        """Yield the findings of one pass, part by part; `repair`: repair what is safe to. It may be interrupted."""
        self._begin()
        standings: dict[str, Standing] = {}
        for name, standing in self._standings().items():
            if isinstance(standing, Finding):
                yield self._reported(standing)
            else:
                standings[name] = standing
        for origin, parts in _by_origin(parts_of(self._stream)).items():
            checker = self._checker(standings, repair=repair, full=full)
            seen = _OriginSeen(len(parts), limits.ROUND_READ_UNITS)
            for part in parts:
                for finding in self._check(part, checker, seen, repair=repair):
                    yield self._reported(finding)
            self._release(origin, seen)
        self._vitals.tell(self._telemetry, standings, now_ms=self._now_ms)

    def _reported(self, finding: Finding) -> Finding:
        """Count a finding that is reported."""
        if finding.is_repaired:
            self._telemetry.add(Metric.FINDINGS_REPAIRED, of=self._stream.name)
        self._vitals.count_finding(finding)
        return finding

    def _standings(self) -> dict[str, Standing | Finding]:
        """Return the standing of each subscription, or why nobody knows who delivers it."""
        subscriptions = self._stream.subscriptions
        calls = [partial(self._readable_standing, subscription) for subscription in subscriptions]
        standings = results_of(calls, self._side_by_side)
        return dict(zip((subscription.name for subscription in subscriptions), standings, strict=True))

    def _readable_standing(self, subscription: SubscriptionTopology) -> Standing | Finding:
        try:
            return self._standing(subscription)
        except UndecodableItemError as error:
            lane = Lane(self._region, GENERATION_FIRST, LaneIndex(0))
            return unreadable(self._name, self._region, lane, error, subscription)

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

    def _checker(self, standings: dict[str, Standing], *, repair: bool, full: bool) -> LaneChecker:
        replica = Replica(
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
        return LaneChecker(
            self._stream,
            region=self._region,
            ports=self._ports,
            replica=replica,
            standings=standings,
            now_ms=self._now_ms,
            repair=repair,
            full=full,
        )

    def _check(
        self, part: PassPart, checker: LaneChecker, seen: _OriginSeen, *, repair: bool
    ) -> Iterator[Finding]:
        """Yield the findings of one part's lanes, and remember what was seen of them."""
        marks = self._ports.ledger.marks(self._name, part.origin, part=part.name)
        calls = [partial(checker.check, lane, marks.of(lane.index)) for lane in part.lanes]
        bells, after = Bells(), dict[LaneIndex, Mark]()
        for checked in results_of(calls, self._side_by_side):
            yield from checked.findings
            self._vitals.add(checked.vitals)
            bells.add_all(checked.bells)
            if checked.mark != Mark():
                after[checked.lane.index] = checked.mark
            seen.note(part, checked)
        yield from self._verify_again(part, after, seen)
        yield from self._watch().ring(bells)
        yield from self._remember(part, marks, after, repair=repair)

    def _watch(self) -> Watch:
        return Watch(
            self._stream, region=self._region, ports=self._ports, vitals=self._vitals, now_ms=self._now_ms
        )

    def _remember(
        self, part: PassPart, marks: Marks, after: dict[LaneIndex, Mark], *, repair: bool
    ) -> Iterator[Finding]:
        """Note what the pass saw. If marks were unreadable, it verified all of their lanes anew.

        Only a repair writes unreadable marks anew. Otherwise they stay for whoever examines them.
        """
        writes = not marks.unreadable or repair
        written = writes and (after != marks.lanes or bool(marks.unreadable))
        is_noted = written and self._ports.ledger.mark(self._name, part.origin, marks, Marks(after))
        lane = Lane(part.origin, GENERATION_FIRST, LaneIndex(0))
        for error in marks.unreadable.values():
            finding = unreadable(self._name, self._region, lane, error)
            yield replace(finding, is_repaired=is_noted)

    def _release(self, origin: Region, seen: _OriginSeen) -> None:
        """Note that silent lanes lack nothing, if replication from their origin moves again, in whatever lane."""
        for part, indexes in seen.silent.items() if seen.moves else ():
            marks = self._ports.ledger.marks(self._name, origin, part=part.name)
            if marks.unreadable:
                continue
            released = {
                index: replace(marks.of(index), end=EMPTY_TAIL.sequence, since_ms=0) for index in indexes
            }
            self._ports.ledger.mark(self._name, origin, marks, Marks(marks.lanes | released))

    def _verify_again(
        self, part: PassPart, marks: dict[LaneIndex, Mark], seen: _OriginSeen
    ) -> Iterator[Finding]:
        """Go on with the rounds through what was verified before, beginning with those that are longest overdue."""
        # An even share of what is left for the origin, so that no part waits for another's rounds.
        share = seen.units_left // max(1, seen.parts_left)
        rounds = Round(self._log, expires=self._retention is not None, now_ms=self._now_ms, units=share)
        for index, mark in marks.items():
            # A lane's first verification counts as its first round.
            if mark.sequence and not mark.whole_ms:
                marks[index] = replace(mark, whole_ms=self._now_ms)
        for index in sorted(marks, key=lambda lane_index: marks[lane_index].whole_ms):
            if rounds.units_left > 0 and rounds.is_due(marks[index]):
                lane = Lane(part.origin, GENERATION_FIRST, index)
                marks[index], broken = rounds.go_on(lane, marks[index])
                if broken is not None:
                    yield Finding(broken.kind, self._name, lane, self._region, broken.sequence, broken.detail)
        seen.parts_left, seen.units_left = seen.parts_left - 1, seen.units_left - (share - rounds.units_left)
        self._vitals.verified(
            min((mark.whole_ms for mark in marks.values() if mark.sequence), default=self._now_ms)
        )


def parts_of(stream: StreamTopology) -> list[PassPart]:
    """List the parts of a stream's lanes, in the order in which a pass goes through them."""
    lanes: dict[tuple[Region, str], list[Lane]] = {}
    for lane in lanes_of(stream):
        lanes.setdefault((lane.origin, part_of(lane.index)), []).append(lane)
    return [PassPart(origin, name, tuple(of_part)) for (origin, name), of_part in lanes.items()]


def _by_origin(parts: list[PassPart]) -> dict[Region, list[PassPart]]:
    origins: dict[Region, list[PassPart]] = {}
    for part in parts:
        origins.setdefault(part.origin, []).append(part)
    return origins
