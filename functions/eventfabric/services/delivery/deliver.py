"""Deliver: from a lane's cursor, hand the unbroken run of events to a subscription, then move the cursor.

    state = cursor and parked keys of the lane         one read; a warm lane's log is read meanwhile
    doorbell's tail not beyond it, no key due          DUPLICATE
    keys that are due: their events in order           a commit for each key
    records from the cursor, unbroken, each extending the chain        one read a page
    wanted events in order to the handler, those of parked keys to their keys
    cursor and parked keys moved together, if nobody else moved them   one write a page

A failing event parks its key; the others go on. After a run that died a page is gone through carefully: see visit.py.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from eventfabric import limits
from eventfabric.errors import ChangedDeliverError, LogError, PortError, UndecodableItemError
from eventfabric.model.circuit import CircuitState
from eventfabric.model.count import next_count
from eventfabric.model.cursor import LaneKey, LaneState
from eventfabric.model.identity import Lane, Region, Sequence, StreamName, SubscriptionName
from eventfabric.model.owner import Owner
from eventfabric.ports import Clock, Doorbells, Handler, Ledger, Log, Page, RaceLost
from eventfabric.services.delivery.at_most_once import run_at_most_once
from eventfabric.services.delivery.begin import Beginnings, has_begun
from eventfabric.services.delivery.breaker import Breaker
from eventfabric.services.delivery.context import SideBySide, VisitContext, one_after_another
from eventfabric.services.delivery.endings import Ended, Stopped
from eventfabric.services.delivery.expiry import pass_expired, pass_skipped
from eventfabric.services.delivery.pace import Pace
from eventfabric.services.delivery.retry import RetryPolicy
from eventfabric.services.delivery.run import Run
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.takeover import take_over
from eventfabric.services.delivery.visit import Visit
from eventfabric.services.lanes.standing import Standings, ledger_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import ANY_TAIL, Doorbell


class Outcome(Enum):
    """How a lane run ended."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    NOT_OWNER = "not_owner"
    HOLE = "hole"
    NOT_BEGUN = "not_begun"
    """The subscription begins later than with what is in the log."""
    WAITING = "waiting"
    """The circuit is open, or the subscription paused: the lane is rung when that ends."""
    HANDED_BACK = "handed_back"
    """Out of time, or through the careful part: the lane was rung anew for the rest."""
    STOPPED = "stopped"
    CONTENDED = "contended"


@dataclass(frozen=True, slots=True)
class LaneResult:
    """How a lane run ended, and why where it must be said.

    `done`: the doorbell has served. Otherwise it must come again.
    """

    outcome: Outcome
    cause: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.outcome not in (Outcome.STOPPED, Outcome.CONTENDED)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A page of the log that was read from `base` on, before it was known that the cursor stands there."""

    base: Sequence
    page: Page


class _GoOn(Enum):
    GO_ON = "with the next page"


class Deliverer:
    """Delivers the lanes of one subscription in one Region.

    Invariant: the cursor is moved only over events that were handled, parked or filtered, and only from where it was
    read. Of a lane it remembers nothing between runs but where it left off, to read the log there ahead of time.
    """

    def __init__(
        self,
        subscription: SubscriptionTopology,
        *,
        region: Region,
        log: Log,
        ledger: Ledger,
        doorbells: Doorbells,
        handler: Handler,
        policy: RetryPolicy,
        standings: Standings,
        breaker: Breaker,
        clock: Clock,
        telemetry: Telemetry,
        side_by_side: SideBySide = one_after_another,
        memory_bytes: int = limits.RECORD_MEMORY_BYTES_MAX,
    ) -> None:
        """`side_by_side`: how reads, and attempts of different keys, are made at the same time.

        `memory_bytes`: what the events of a page may take; one record more may be in memory.
        """
        self.subscription = subscription
        self._region = region
        self._log = log
        self._ledger = ledger
        self._doorbells = doorbells
        self._standings = standings
        self._breaker = breaker
        self._beginnings = Beginnings(subscription, log=log, ledger=ledger, standings=standings, clock=clock)
        self._clock = clock
        self._telemetry = telemetry
        self.memory_bytes = memory_bytes
        self._left_at: dict[Lane, Sequence] = {}
        self._ended_at: dict[Lane, int] = {}
        self._commits_first = subscription.definition.guarantee == "at_most_once"
        types = subscription.definition.types
        self._types = None if types is None else frozenset(types)
        self._context = VisitContext(
            subscription=subscription, region=region, log=log, ledger=ledger, doorbells=doorbells,
            handler=handler, policy=policy, breaker=breaker, pace=Pace(clock), clock=clock, telemetry=telemetry,
            side_by_side=side_by_side,
        )  # fmt: skip

    def deliver(
        self, doorbell: Doorbell, *, deadline_ms: int, receive_count: int = 1, concurrency: int | None = None
    ) -> LaneResult:
        """Deliver the doorbell's lane until its log ends, it fails, or `deadline_ms` (milliseconds since 1970).

        A doorbell that was received before may mean that its invocation crashed, or never began: this run is noted, and
        if it finds such a note, of which nothing was heard since, the lane goes carefully.
        `concurrency`: keys that may be attempted at the same time; default the subscription's.
        What cannot be read stops the lane. Raises PortError: then nothing that was not committed counts, and the
        doorbell must come again.
        """
        try:
            return self._deliver(
                doorbell, deadline_ms=deadline_ms, receive_count=receive_count, concurrency=concurrency
            )
        except (LogError, UndecodableItemError, ChangedDeliverError) as error:
            self._telemetry.add(Metric.LANES_STOPPED)
            return LaneResult(Outcome.STOPPED, error)

    def _deliver(
        self, doorbell: Doorbell, *, deadline_ms: int, receive_count: int, concurrency: int | None
    ) -> LaneResult:
        lane = doorbell.lane
        owner = self._standings.owner(lane.origin)
        self._standings.check_deliver(lane.origin)
        if owner is not None and owner.region != self._region:
            # Somebody rang here, so what is known may be old; that ring is not to be lost.
            owner = self._standings.read_owner(lane.origin)
            if owner is None or owner.region != self._region:
                return LaneResult(Outcome.NOT_OWNER)
        circuit = self._breaker.circuit()
        probes = circuit.state is CircuitState.OPEN and self._breaker.take_probe()
        if circuit.state is not CircuitState.CLOSED and not probes:
            self._beginnings.pin(doorbell)
            return self._waiting(doorbell)
        if owner is not None and not owner.version:
            owner = self._standings.begin(lane.origin)
            if owner is None or owner.region != self._region:
                return LaneResult(Outcome.NOT_OWNER)
        context = self._context_of(lane)
        ledger = context.ledger
        key = LaneKey(StreamName(doorbell.stream), SubscriptionName(self.subscription.name), lane)
        begins_later = not self._beginnings.is_earliest
        ended_at = {doorbell.ended, self._ended_at.get(lane, 0)} - {0}
        # The last write may have landed, too: its reply did not come.
        ended = frozenset(version + more for version in ended_at for more in (0, 1))
        for race in range(limits.LANE_RACES_MAX):
            if race and not probes:
                owner = self._standings.read_owner(lane.origin)
                if owner is not None and owner.region != self._region:
                    return LaneResult(Outcome.NOT_OWNER)
            state, ahead = self._look(ledger, key, doorbell, has_lost=race > 0)
            if owner is not None:
                owner = self._confirmed(owner, state)
                if owner is None:
                    return LaneResult(Outcome.NOT_OWNER)
            epoch = owner.epoch if owner is not None else 0
            if begins_later and not has_begun(state.cursors, ledger.region, epoch):
                begun = self._beginnings.begin(key, doorbell, epoch=epoch, ledger=ledger)
                if begun is None:
                    return self._untried(Outcome.NOT_BEGUN, probes)
                if begun:
                    continue
            if owner is not None and state.cursor(ledger.region).epoch < owner.epoch:
                now_ms = self._clock.now_ms()
                whole = whole_state(ledger, key, clock=self._clock)
                if not take_over(
                    key, whole, owner.epoch, subscription=self.subscription, ledger=ledger, log=self._log,
                    now_ms=now_ms,
                ):  # fmt: skip
                    return LaneResult(Outcome.HOLE)
                continue
            # Looking at who owns the lane tells of the circuit, too.
            if not probes and self._breaker.circuit().state is not CircuitState.CLOSED:
                return self._waiting(doorbell)
            visit = Visit(
                context, key, state, deadline_ms=deadline_ms, came_again=receive_count > 1, probes=probes,
                has_failed=lane in self._ended_at or doorbell.failing_ms > 0, concurrency=concurrency, ended=ended,
            )  # fmt: skip
            result = self._remembered(visit, doorbell, ahead)
            probes = visit.probes
            at_a_hole = result is not None and result.outcome is Outcome.HOLE and not visit.cursor.version
            if at_a_hole and self._beginnings.skip_expired(key, epoch=epoch, ledger=ledger):
                continue
            if result is not None:
                return result
            self._telemetry.add(Metric.COMMITS_LOST)
        return LaneResult(Outcome.CONTENDED)

    def _confirmed(self, owner: Owner, state: LaneState) -> Owner | None:
        """Ask anew where the lane's state leaves doubt that this Region owns it; None if it does not."""
        known: Owner | None = owner
        if self._standings.is_in_doubt(state.written_ms):
            known = self._standings.ask(owner.origin)
        if known is not None and known.region == self._region and state.epoch > known.epoch:
            known = self._standings.read_owner(owner.origin)
        is_ours = known is not None and known.region == self._region and state.epoch <= known.epoch
        return known if is_ours else None

    def _remembered(self, visit: Visit, doorbell: Doorbell, ahead: _Ahead | None) -> LaneResult | None:
        """Carry out the visit, and remember where it left the lane."""
        try:
            result = self._visit(visit, doorbell, ahead)
            visit.rest()
        except PortError:
            self._ended_at[doorbell.lane] = visit.cursor.version
            raise
        self._ended_at.pop(doorbell.lane, None)
        if result is not None and result.outcome is Outcome.DELIVERED:
            self._left_at[doorbell.lane] = visit.cursor.base
        return result

    def ended_at(self, lane: Lane) -> int:
        """The cursor's version when a run of the lane ended with a PortError, all its attempts having ended; else 0."""
        return self._ended_at.get(lane, 0)

    def _waiting(self, doorbell: Doorbell) -> LaneResult:
        """Have the lane wait for the circuit: it is rung for the next probe, or when deliveries are resumed."""
        self._breaker.ring_probe(doorbell.lane, behind=doorbell.again)
        return LaneResult(Outcome.WAITING)

    def _look(
        self, ledger: Ledger, key: LaneKey, doorbell: Doorbell, *, has_lost: bool
    ) -> tuple[LaneState, _Ahead | None]:
        """The lane's state; and at the same time, where this process knows the lane, what stands behind its end.

        Nobody is bound to that: it counts where the cursor still stands there, and was not read for nothing then.
        """
        base = self._left_at.pop(key.lane, None)
        # Without transactions, a process that stood still may have left a key that no cursor names.
        glance = not (self.subscription.shares_state and (has_lost or doorbell.tail == ANY_TAIL))
        if base is None or doorbell.tail <= base or self._context.side_by_side is one_after_another:
            return ledger.state(key, glance=glance), None
        states: list[LaneState] = []
        pages: list[Page] = []

        def read_log() -> None:
            with suppress(LogError, PortError):  # read again where it is needed, and told there
                pages.append(self._log.read(key.lane, base, records_max=limits.PAGE_RECORDS_MAX))

        self._context.side_by_side([lambda: states.append(ledger.state(key, glance=glance)), read_log])
        return states[0], _Ahead(base, pages[0]) if pages else None

    def _untried(self, outcome: Outcome, probes: bool) -> LaneResult:
        if probes:
            self._breaker.give_back_probe()
        return LaneResult(outcome)

    def _context_of(self, lane: Lane) -> VisitContext:
        ledger = ledger_of(self._ledger, self.subscription, lane.origin)
        if ledger is self._ledger:
            return self._context
        return replace(self._context, ledger=ledger, region=ledger.region)

    def _visit(self, visit: Visit, doorbell: Doorbell, ahead: _Ahead | None) -> LaneResult | None:
        """Keys that are due, then page after page until the lane's log ends; None where a commit lost its race."""
        due = visit.due()
        if doorbell.tail <= visit.cursor.sequence and not due and not visit.careful:
            self._telemetry.add(Metric.DOORBELLS_DUPLICATE)
            return self._untried(Outcome.DUPLICATE, visit.probes)
        # A lane that never began may have to begin behind its first event: nothing is written before that is known.
        ended = visit.note() if visit.cursor.version else None
        ended = ended or (None if visit.probes else visit.retry(due))
        if ended is not None:
            return self._result(ended, doorbell)
        is_first = True
        while True:
            if not (is_first or visit.probes) and self._breaker.circuit().state is not CircuitState.CLOSED:
                return self._waiting(doorbell)
            is_first = False
            result = self._next_page(visit, doorbell, ahead)
            if not isinstance(result, _Ahead | _GoOn):
                return result
            ahead = result if isinstance(result, _Ahead) else None
            if visit.careful or self._clock.now_ms() >= visit.deadline_ms:
                # Pages without a wanted event make no attempt that would have noticed the time.
                return self._hand_back(doorbell)

    def _next_page(
        self, visit: Visit, doorbell: Doorbell, ahead: _Ahead | None
    ) -> "LaneResult | _Ahead | _GoOn | None":
        """Deliver a page from the cursor on, or what of it fits into memory; then the rest of it, if there is one.

        A method of its own so that a page and its events are gone before the next are read.
        """
        base = visit.cursor.base
        try:
            if ahead is not None and ahead.base == base:
                page = ahead.page
            else:
                page = self._log.read(doorbell.lane, base, records_max=limits.PAGE_RECORDS_MAX)
            stretch = self._stretch(visit, page)
            if noted := stretch.noted:
                del stretch  # before the same is unpacked once more
                if (lost := visit.settle(noted)) is not None:
                    return self._result(lost, doorbell)
                stretch = self._stretch(visit, page)
        except LogError as error:
            return self._at_the_end(visit, Stopped(error), doorbell)
        if not visit.lateness.mark(stretch):
            return self._at_the_end(visit, "out of time", doorbell)
        ended = visit.note() if stretch.events else None
        if ended is None:
            ended = run_at_most_once(visit, stretch) if self._commits_first else Run(visit, stretch).run()
        if ended is not None:
            return self._at_the_end(visit, ended, doorbell)
        if stretch.stop is not None:
            return self._at_the_end(visit, Stopped(stretch.stop), doorbell)
        if stretch.hole or (not page.records and doorbell.tail > visit.cursor.sequence):
            context = self._context_of(doorbell.lane)
            passed = pass_skipped(context, visit) or pass_expired(context, visit, page.records)
            if passed is True:
                return _GoOn.GO_ON
            if passed:
                return self._at_the_end(visit, passed, doorbell)
        if stretch.hole:
            self._telemetry.add(Metric.LANES_WAITING)
            return self._at_the_end(visit, Outcome.HOLE, doorbell)
        if stretch.cut:
            return _Ahead(visit.cursor.base, page.behind(visit.cursor.base))
        return _GoOn.GO_ON if page.more else self._at_the_end(visit, Outcome.DELIVERED, doorbell)

    def _stretch(self, visit: Visit, page: Page) -> Stretch:
        return Stretch(
            visit.cursor, page.records, self._types, visit.stepped_over, memory_bytes=self.memory_bytes
        )

    def _at_the_end(self, visit: Visit, end: Ended | Outcome, doorbell: Doorbell) -> LaneResult | None:
        """A probe goes on with the keys that failed: new events tell more of what is downstream than those."""
        if visit.began_as_probe and isinstance(end, Stopped | Outcome):
            ended = visit.retry(visit.due())
            if ended is not None:
                return self._result(ended, doorbell)
            if visit.probes:
                self._breaker.give_back_probe()
        return LaneResult(end) if isinstance(end, Outcome) else self._result(end, doorbell)

    def _result(self, ended: Ended, doorbell: Doorbell) -> LaneResult | None:
        match ended:
            case RaceLost():
                return None
            case Stopped(cause):
                self._telemetry.add(Metric.LANES_STOPPED)
                return LaneResult(Outcome.STOPPED, cause)
            case "out of time":
                return self._hand_back(doorbell)
            case _:
                # Only now that all is committed: a timer that cannot be had must not undo what was handled.
                self._breaker.ring_probe(doorbell.lane, failed=True)
                return LaneResult(Outcome.WAITING)

    def _hand_back(self, doorbell: Doorbell) -> LaneResult:
        """Ring the lane anew: a doorbell that only came again would look like one after a crash.

        This run did not fail, and nothing is left that it could not note.
        """
        # Never the same ring twice, which the queue would drop: clocks stand still, and jump back.
        moment_ms = max(self._clock.now_ms(), next_count(doorbell.again))
        again = replace(doorbell, again=moment_ms, ended=0, failing_ms=0)
        if self._doorbells.ring(self.subscription.name, [again]):
            return LaneResult(Outcome.STOPPED, None)
        return LaneResult(Outcome.HANDED_BACK)
