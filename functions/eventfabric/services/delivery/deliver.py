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

from eventfabric import limits
from eventfabric.errors import ChangedDeliverError, LogError, PortError, UndecodableItemError
from eventfabric.model.circuit import CircuitState
from eventfabric.model.commit import RaceLost
from eventfabric.model.cursor import LaneKey, LaneState
from eventfabric.model.identity import Lane, Region, Sequence, StreamName, SubscriptionName
from eventfabric.ports import Clock, Doorbells, Handler, Ledger, Log, Page
from eventfabric.services.delivery.begin import Beginning, Beginnings, has_begun
from eventfabric.services.delivery.breaker import Breaker
from eventfabric.services.delivery.context import SideBySide, VisitContext, one_after_another
from eventfabric.services.delivery.lane_result import LaneResult, Outcome
from eventfabric.services.delivery.ownership import Ownership
from eventfabric.services.delivery.pace import Pace
from eventfabric.services.delivery.pages import Pages, ReadAhead
from eventfabric.services.delivery.retry import RetryPolicy
from eventfabric.services.delivery.takeover import take_over
from eventfabric.services.delivery.visit import Visit
from eventfabric.services.lanes.standing import Standings, ledger_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import ANY_TAIL, Doorbell


@dataclass(slots=True)
class _LaneRun:
    """What one doorbell's run of a lane goes by. `probes`: it may probe the open circuit, until an event is handled."""

    doorbell: Doorbell
    key: LaneKey
    context: VisitContext
    ownership: Ownership
    deadline_ms: int
    came_again: bool
    concurrency: int | None
    ended: frozenset[int]
    """Versions of the cursor at which all attempts are known to have ended."""
    probes: bool


@dataclass(frozen=True, slots=True)
class _LookAgain:
    """The lane's state was written: by this run, or by another that was faster."""


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
        self._standings = standings
        self._breaker = breaker
        self._beginnings = Beginnings(subscription, log=log, ledger=ledger, standings=standings, clock=clock)
        self._clock = clock
        self._telemetry = telemetry
        self.memory_bytes = memory_bytes
        self._left_at: dict[Lane, Sequence] = {}
        self._ended_at: dict[Lane, int] = {}
        self._context = VisitContext(
            subscription=subscription,
            region=region,
            log=log,
            ledger=ledger,
            doorbells=doorbells,
            handler=handler,
            policy=policy,
            breaker=breaker,
            pace=Pace(clock),
            clock=clock,
            telemetry=telemetry,
            side_by_side=side_by_side,
        )

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
        ownership = Ownership(self._standings, lane.origin, region=self._region)
        if not ownership.is_ours:
            return LaneResult(Outcome.NOT_OWNER)
        circuit = self._breaker.circuit()
        probes = circuit.state is CircuitState.OPEN and self._breaker.take_probe()
        if circuit.state is not CircuitState.CLOSED and not probes:
            self._beginnings.pin(doorbell)
            return self._waiting(doorbell)
        if not ownership.begin():
            return LaneResult(Outcome.NOT_OWNER)
        ended_at = {doorbell.ended, self._ended_at.get(lane, 0)} - {0}
        run = _LaneRun(
            doorbell,
            LaneKey(StreamName(doorbell.stream), SubscriptionName(self.subscription.name), lane),
            self._context_of(lane),
            ownership,
            deadline_ms,
            came_again=receive_count > 1,
            concurrency=concurrency,
            # The last write may have landed, too: its reply did not come.
            ended=frozenset(version + more for version in ended_at for more in (0, 1)),
            probes=probes,
        )
        for race in range(limits.LANE_RACES_MAX):
            result = self._try(run, is_again=race > 0)
            if not isinstance(result, _LookAgain):
                return result
        return LaneResult(Outcome.CONTENDED)

    def _try(self, run: _LaneRun, *, is_again: bool) -> LaneResult | _LookAgain:
        """Look at the lane's state, have the lane begin or be taken over where it must, and visit it."""
        ownership, ledger = run.ownership, run.context.ledger
        if is_again and not run.probes and not ownership.read_again():
            return LaneResult(Outcome.NOT_OWNER)
        state, ahead = self._look(run, has_lost=is_again)
        if not ownership.covers(state):
            return LaneResult(Outcome.NOT_OWNER)
        if not (self._beginnings.is_earliest or has_begun(state.cursors, ledger.region, ownership.epoch)):
            beginning = self._beginnings.begin(run.key, run.doorbell, epoch=ownership.epoch, ledger=ledger)
            if beginning is Beginning.LATER:
                if run.probes:
                    self._breaker.give_back_probe()
                return LaneResult(Outcome.NOT_BEGUN)
            if beginning is Beginning.PUT:
                return _LookAgain()
        if not ownership.is_shared and state.cursor(ledger.region).epoch < ownership.epoch:
            return self._take_over(run)
        # Looking at who owns the lane tells of the circuit, too.
        if not run.probes and self._breaker.circuit().state is not CircuitState.CLOSED:
            return self._waiting(run.doorbell)
        return self._visit(run, state, ahead)

    def _take_over(self, run: _LaneRun) -> LaneResult | _LookAgain:
        """Write this Region's state of the lane from what the former owner left of it."""
        now_ms = self._clock.now_ms()
        whole = whole_state(run.context.ledger, run.key, clock=self._clock)
        is_taken_over = take_over(
            run.key,
            whole,
            run.ownership.epoch,
            subscription=self.subscription,
            ledger=run.context.ledger,
            log=self._log,
            now_ms=now_ms,
        )
        return _LookAgain() if is_taken_over else LaneResult(Outcome.HOLE)

    def _visit(self, run: _LaneRun, state: LaneState, ahead: ReadAhead | None) -> LaneResult | _LookAgain:
        """Visit the lane in this state; look again where a commit lost its race, or its beginning has expired."""
        visit = Visit(
            run.context,
            run.key,
            state,
            deadline_ms=run.deadline_ms,
            came_again=run.came_again,
            probes=run.probes,
            has_failed=run.doorbell.lane in self._ended_at or run.doorbell.failing_ms > 0,
            concurrency=run.concurrency,
            ended=run.ended,
        )
        result = self._carried_out(run, visit, ahead)
        run.probes = visit.probes
        if isinstance(result, RaceLost):
            self._telemetry.add(Metric.COMMITS_LOST)
            return _LookAgain()
        epoch, ledger = run.ownership.epoch, run.context.ledger
        at_a_hole = result.outcome is Outcome.HOLE and not visit.cursor.version
        if at_a_hole and self._beginnings.skip_expired(run.key, epoch=epoch, ledger=ledger):
            return _LookAgain()
        return result

    def _carried_out(self, run: _LaneRun, visit: Visit, ahead: ReadAhead | None) -> LaneResult | RaceLost:
        """Carry out the visit, and remember where it left the lane."""
        lane = run.doorbell.lane
        try:
            result = Pages(run.context, visit, run.doorbell, ahead, memory_bytes=self.memory_bytes).deliver()
            visit.rest()
        except PortError:
            self._ended_at[lane] = visit.cursor.version
            raise
        self._ended_at.pop(lane, None)
        if isinstance(result, LaneResult) and result.outcome is Outcome.DELIVERED:
            self._left_at[lane] = visit.cursor.base
        return result

    def ended_at(self, lane: Lane) -> int:
        """The cursor's version when a run of the lane ended with a PortError, all its attempts having ended; else 0."""
        return self._ended_at.get(lane, 0)

    def _waiting(self, doorbell: Doorbell) -> LaneResult:
        """Have the lane wait for the circuit: it is rung for the next probe, or when deliveries are resumed."""
        self._breaker.ring_probe(doorbell.lane, behind=doorbell.again)
        return LaneResult(Outcome.WAITING)

    def _look(self, run: _LaneRun, *, has_lost: bool) -> tuple[LaneState, ReadAhead | None]:
        """Read the lane's state; and at the same time, where this process knows the lane, the page behind its end.

        The page is a hint: it is used only if the cursor is still at its `base`.
        """
        key, ledger, tail = run.key, run.context.ledger, run.doorbell.tail
        base = self._left_at.pop(key.lane, None)
        # Without transactions, a process that stood still may have left a key that no cursor names.
        glance = not (self.subscription.shares_state and (has_lost or tail == ANY_TAIL))
        if base is None or tail <= base or self._context.side_by_side is one_after_another:
            return ledger.state(key, glance=glance), None
        states: list[LaneState] = []
        pages: list[Page] = []

        def read_log() -> None:
            with suppress(LogError, PortError):  # read again where it is needed, and told there
                pages.append(self._log.read(key.lane, base, records_max=limits.PAGE_RECORDS_MAX))

        self._context.side_by_side([lambda: states.append(ledger.state(key, glance=glance)), read_log])
        return states[0], ReadAhead(base, pages[0]) if pages else None

    def _context_of(self, lane: Lane) -> VisitContext:
        ledger = ledger_of(self._ledger, self.subscription, lane.origin)
        if ledger is self._ledger:
            return self._context
        return replace(self._context, ledger=ledger, region=ledger.region)
