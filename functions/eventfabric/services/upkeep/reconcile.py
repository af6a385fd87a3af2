"""Reconcile: one pass over a stream in one Region, for what no doorbell will tell; repairs what is safe to repair.

    each origin's lanes    the log: unbroken, verified, equal to the origin's             services/upkeep/replica.py
    each subscription that this Region delivers
                           cursor within the log and on its chain, moving where events wait
                           parked keys tried when they should, dead ones counted
                           nobody writes who does not own

A pass reads the marks of an origin, the tail of each lane, the records that are new, the state of each lane for
each subscription, and where that lags, the first record that waits. Log records that were verified are read
again by rounds of a day or more, a bounded part of them at each pass (services/upkeep/round.py), and all by a full
pass. When it is through, it tells how everything stands: services/upkeep/vitals.py.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

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
from eventfabric.model.parked import Parked, ParkedState
from eventfabric.model.record import EMPTY_TAIL, UNKNOWN_CHAIN, Record, Tail
from eventfabric.model.sightings import Sightings
from eventfabric.ports import Ports
from eventfabric.services.locate import has_expired, kept_in
from eventfabric.services.standing import is_delivered_by, ledger_of, owner_of
from eventfabric.services.upkeep.look import Look
from eventfabric.services.upkeep.replica import Replica
from eventfabric.services.upkeep.round import Round
from eventfabric.services.upkeep.vitals import Vitals
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology
from eventfabric.wire.doorbell import ANY_TAIL, Doorbell

_MINUTE_MS = 60_000


@dataclass
class _Bells:
    """What is to be rung at the end of a pass, by subscription."""

    lanes: dict[str, set[Lane]] = field(default_factory=dict)

    def add(self, look: Look) -> None:
        self.lanes.setdefault(look.subscription.name, set()).add(look.lane)


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
        self._now_ms = ports.clock.now_ms()
        self._vitals = Vitals(stream)

    def run(self, *, repair: bool, full: bool = False) -> Iterator[Finding]:
        """The findings of one pass, lane by lane; with `repair`, what is safe to repair is. Interrupt it at will."""
        self._now_ms = self._ports.clock.now_ms()
        self._vitals = Vitals(self._stream)
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
        for region in subscription.regions:
            if region != self._region:
                with suppress(PortError, UndecodableItemError):  # then it is not the one that knows better
                    elsewhere += self._ports.at(Region(region)).ledger.standing(self._name, name).owners
        known = {(one.origin, one.by): one.epoch for one in standing.owners}
        news = [one for one in elsewhere if one.epoch > known.get((one.origin, one.by), 0)]
        if not news:
            self._ports.ledger.see(self._name, name)
        return replace(standing, owners=(*standing.owners, *news))

    def _origin(
        self, origin: Region, standings: dict[str, Standing], *, repair: bool, full: bool
    ) -> Iterator[Finding]:
        marks, remembers = Marks(), True
        try:
            marks = self._ports.ledger.marks(self._name, origin)
        except (
            UndecodableItemError
        ) as error:  # all is verified anew, and nothing is noted over what stands there
            remembers = False
            yield self._unreadable(Lane(origin, GENERATION_FIRST, LaneIndex(0)), error)
        replica = Replica(
            self._name, self._region, log=self._log, elsewhere=lambda r: self._ports.at(r).log_of(self._stream),
            regions=[Region(name) for name in self._stream.definition.regions],
            expires=self._retention is not None, retention_seconds=self._retention, now_ms=self._now_ms, repairs=repair,
        )  # fmt: skip
        after: dict[LaneIndex, Mark] = {}
        bells = _Bells()
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
                    for found in self._watch(look, replica, bells, repair=repair):
                        if (
                            found.kind is FindingKind.HOLE
                        ):  # behind the mark: the next pass verifies all of it anew
                            mark = replace(mark, sequence=EMPTY_TAIL.sequence, chain=EMPTY_TAIL.chain)
                        yield found
                    cursors[look.subscription.name] = (look.cursor.epoch, look.cursor.sequence)
                    waiting += [look.news_from] if look.lags else []
                sightings = sightings.from_(min(waiting)) if waiting else Sightings()
                mark = replace(mark, cursors=cursors, sightings=sightings)
            if mark != Mark():
                after[index] = mark
        yield from self._verify_again(origin, after)
        self._ring(bells)
        for index in silent if moves else ():  # nothing is missing of them, and replication moves again
            after[index] = replace(after[index], end=EMPTY_TAIL.sequence, since_ms=0)
        if remembers and after != marks.lanes:
            self._ports.ledger.mark(self._name, origin, marks, Marks(after))

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
        """Compare the lane's time with this Region's: a producer's clock that is ahead has taken the lane with it."""
        ahead_ms = to_ms(tail.time) - self._now_ms
        self._vitals.clock_ahead(ahead_ms)
        if lane.origin == self._region and ahead_ms > 1000 * limits.CLOCK_AHEAD_SECONDS:
            detail = f"its newest event's time is {ahead_ms // 1000} s ahead of the clock here"
            yield Finding(FindingKind.CLOCK_AHEAD, self._name, lane, self._region, tail.sequence, detail)

    def _hold(self, lane: Lane, before: Mark, mark: Mark, tail: Tail, *, repair: bool) -> Mark:
        """Note the place of a lane that has been quiet for half its retention, before all of its records expire."""
        mark = replace(mark, held=before.held)
        if self._retention is None or lane.origin != self._region or tail.sequence <= before.held:
            return mark
        is_verified = (mark.sequence, mark.chain) == (tail.sequence, tail.chain)
        quiet_ms = self._now_ms - to_ms(tail.time)
        if not (repair and is_verified and 2 * quiet_ms > 1000 * self._retention):
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
                state = ledger.state(LaneKey(self._name, SubscriptionName(subscription.name), lane))
            except UndecodableItemError as error:
                yield self._unreadable(lane, error, subscription)
                continue
            yield Look(
                subscription, lane, replace(mark, cursors=before.cursors), tail, state, state.cursor(ledger.region),
                owner_of(subscription, lane.origin, standing), self._runs(standing.circuit),
                before.sightings, standing.seen_ms if subscription.name in before.cursors else 0,
            )  # fmt: skip

    def _runs(self, circuit: Circuit) -> bool:
        overdue_ms = self._now_ms - 1000 * limits.UNRUNG_SECONDS
        is_unprobed = circuit.state is CircuitState.OPEN and circuit.probe_ms < overdue_ms
        return is_unprobed or circuit.state is CircuitState.CLOSED

    def _watch(self, look: Look, replica: Replica, bells: _Bells, *, repair: bool) -> Iterator[Finding]:
        try:
            yield from self._watched(look, replica, bells, repair=repair)
        except LogError as error:
            yield self._unreadable(look.lane, error, look.subscription)

    def _watched(self, look: Look, replica: Replica, bells: _Bells, *, repair: bool) -> Iterator[Finding]:
        yield from self._stale_owners(look)
        parked = list(look.state.parked.get(self._home(look), {}).values())
        self._vitals.parked(look.subscription.name, parked)
        oldest = self._oldest_waiting(look)
        since_ms = self._note_age(look, oldest)
        wrong = self._cursor(look)
        if wrong is not None:
            yield wrong
            return
        dead = [one for one in parked if one.state is ParkedState.DEAD]
        if dead:
            waiting = sum(one.behind for one in dead)
            more = " or more" if any(one.rest for one in dead) else ""
            detail = f"{len(dead)} dead letters, {waiting}{more} events wait behind them"
            yield self._finding(FindingKind.DEAD, look, dead[0].first.sequence, detail)
        if oldest is not None and self._retention is not None and oldest.sequence > look.cursor.base:
            yield from self._expired(look, oldest, replica, bells, repair=repair)
            return
        yield from self._expiring(look, oldest, parked)
        if not look.runs:
            return
        found = self._overdue(look, parked) or (self._unrung(look, since_ms) if oldest else None)
        if found is not None:
            if repair:
                bells.add(look)
            yield replace(found, is_repaired=repair)

    def _overdue(self, look: Look, parked: list[Parked]) -> Finding | None:
        late = [one for one in parked if one.is_due(self._now_ms - 1000 * limits.UNRUNG_SECONDS)]
        if not late:
            return None
        late_seconds = (self._now_ms - min(one.due_ms for one in late)) // 1000
        detail = f"{len(late)} keys, {late_seconds} s late"
        return self._finding(FindingKind.PARKED_OVERDUE, look, late[0].first.sequence, detail)

    def _oldest_waiting(self, look: Look) -> Record | None:
        """The first record that waits, as far as the log was verified."""
        cursor = look.cursor
        if cursor.sequence >= min(look.tail.sequence, look.mark.sequence):
            return None  # all is delivered that can be
        return self._first(look.lane, cursor.base)

    def _first(self, lane: Lane, start: Sequence) -> Record | None:
        try:
            page = self._log.read(lane, start, records_max=1)
        except LogError:
            return None  # found by the pass that verifies it
        return page.records[0] if page.records else None

    def _note_age(self, look: Look, oldest: Record | None) -> int:
        """Note since when the oldest event waits that was never handed out, whether or not it can be; returns that.

        By the passes that saw the lane's tail: a record's time, where it can be read, is what its producer says.
        """
        cursor = look.cursor
        if not look.lags:
            return self._now_ms if oldest is None else to_ms(oldest.time)
        if oldest is None or cursor.is_replay:
            oldest = self._first(look.lane, look.news_from if cursor.is_replay else cursor.base)
        since_ms = look.arrived_ms(oldest, self._now_ms)
        if cursor.version or look.subscription.definition.start == "earliest":
            self._vitals.waits(
                look.subscription.name, since_ms
            )  # else its first doorbell says where it begins
        return since_ms

    def _unrung(self, look: Look, since_ms: int) -> Finding | None:
        waits_since_ms = max(look.cursor.written_ms, since_ms)
        if waits_since_ms > self._now_ms - 1000 * limits.UNRUNG_SECONDS:
            return None
        behind = look.tail.sequence - look.cursor.sequence
        detail = f"{behind} events wait, the oldest {(self._now_ms - waits_since_ms) // 1000} s"
        return self._finding(FindingKind.UNRUNG, look, look.cursor.sequence, detail)

    def _expiring(self, look: Look, oldest: Record | None, parked: list[Parked]) -> Iterator[Finding]:
        """A warning while it is time: how old the oldest events are that are not handled, dead letters too."""
        if self._retention is None or not (oldest or parked):
            return
        # A parked event was appended before it first failed; that is near enough for a warning.
        since_ms = [one.failure.first_ms for one in parked] + ([to_ms(oldest.time)] if oldest else [])
        age_ms = self._now_ms - min(since_ms)
        if age_ms > 1000 * self._retention * limits.EXPIRES_SOON_SHARE:
            hours = (1000 * self._retention - age_ms) / 3_600_000
            when = f"expires in {hours:.1f} hours" if hours > 0 else f"was to expire {-hours:.1f} hours ago"
            behind = look.tail.sequence - look.cursor.sequence
            detail = f"{behind} events wait, {len(parked)} keys are parked, the oldest {when}"
            yield self._finding(FindingKind.EXPIRES_SOON, look, look.cursor.sequence, detail)

    def _expired(
        self, look: Look, following: Record, replica: Replica, bells: _Bells, *, repair: bool
    ) -> Iterator[Finding]:
        """What was verified here, and is not here any more."""
        kept = kept_in(look.lane, look.lane.origin, retention_seconds=self._retention, now_ms=self._now_ms)
        assert kept is not None, "nothing expires without a retention"
        on_expired = look.subscription.definition.on_expired
        if replica.kept_at_origin(look.lane, look.cursor.base, following.sequence) is not None:
            detail = (
                f"nothing is there before {following.sequence}, and {look.lane.origin} still has some of it"
            )
            found = self._finding(FindingKind.HOLE, look, look.cursor.sequence, detail)
        elif has_expired(self._log, look.lane, look.cursor.base, following, kept):
            detail = f"{following.sequence - look.cursor.sequence} events expired: on_expired is {on_expired}"
            found = self._finding(FindingKind.EXPIRED_UNREAD, look, look.cursor.sequence, detail)
        else:
            detail = f"nothing is there before {following.sequence}, and it cannot have expired yet"
            found = self._finding(FindingKind.HOLE, look, look.cursor.sequence, detail)
        skips = repair and found.kind is FindingKind.EXPIRED_UNREAD and on_expired == "skip"
        if skips:
            bells.add(look)  # its next delivery goes on behind them
        yield replace(found, is_repaired=skips)

    def _cursor(self, look: Look) -> Finding | None:
        """What is wrong with where the cursor stands."""
        cursor, seen = look.cursor, look.mark.cursors.get(look.subscription.name)
        if cursor.version == 0:
            return None
        if (
            seen is not None
            and seen[0] == cursor.epoch
            and cursor.sequence < seen[1]
            and not cursor.replay_until
        ):
            return self._finding(
                FindingKind.CURSOR_BACK, look, cursor.sequence, f"stood at {seen[1]} at the last pass"
            )
        if cursor.sequence > look.tail.sequence:
            tail = self._log.tail(look.lane)  # the lane may have grown since
            if cursor.sequence > tail.sequence and cursor.epoch == 0:
                detail = f"the lane ends at {tail.sequence}: replay it from 0 if it was made anew"
                return self._finding(FindingKind.CURSOR_AHEAD, look, cursor.sequence, detail)
            return None
        if cursor.chain == UNKNOWN_CHAIN:
            return None  # a replay went back to the oldest record that is kept
        if seen == (cursor.epoch, cursor.sequence) or cursor.base > look.mark.sequence:
            return None
        return self._off_chain(look)

    def _off_chain(self, look: Look) -> Finding | None:
        cursor, mark = look.cursor, look.mark
        if cursor.sequence == cursor.base == mark.sequence:
            right = cursor.chain == mark.chain
        else:
            before = self._log.tail(look.lane, before=cursor.base)
            right = (before.sequence, before.chain) == (cursor.base, cursor.chain)
            # Where the record before it has expired, nothing is left to compare.
            right = right or (before.sequence < cursor.base and self._retention is not None)
            if right and cursor.sequence != cursor.base:
                holder = self._log.tail(look.lane, before=Sequence(cursor.base + 1))
                right = cursor.base <= cursor.sequence < holder.sequence
        if right:
            return None
        detail = f"its record begins at {cursor.base}, by a chain that is not the log's there"
        return self._finding(FindingKind.CURSOR_BROKEN, look, cursor.sequence, detail)

    def _stale_owners(self, look: Look) -> Iterator[Finding]:
        """Cursors of former owners that moved when these should have known."""
        owner = look.owner
        if owner is None or owner.epoch == 0 or look.subscription.shares_state:
            return
        grace_ms = 1000 * (
            limits.CIRCUIT_CACHE_SECONDS + limits.FUNCTION_TIMEOUT_SECONDS + limits.SETTLE_SECONDS
        )
        for region, cursor in look.state.cursors.items():
            if region != owner.region and cursor.epoch < owner.epoch:
                late_ms = cursor.written_ms - owner.since_ms
                if late_ms > grace_ms:
                    yield self._finding(
                        FindingKind.STALE_OWNER, look, cursor.sequence,
                        f"{region} wrote its cursor {late_ms // 1000} s after {owner.region} took over",
                    )  # fmt: skip

    def _ring(self, bells: _Bells) -> None:
        again = self._now_ms // _MINUTE_MS
        for name, lanes in bells.lanes.items():
            rung = [Doorbell(self._name, lane, ANY_TAIL, again=again) for lane in sorted(lanes, key=str)]
            self._ports.doorbells.ring(name, rung)

    def _home(self, look: Look) -> Region:
        return Region(look.subscription.home(look.lane.origin) or self._region)

    def _finding(self, kind: FindingKind, look: Look, sequence: int, detail: str) -> Finding:
        name = SubscriptionName(look.subscription.name)
        return Finding(kind, self._name, look.lane, self._region, Sequence(sequence), detail, name)
