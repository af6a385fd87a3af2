"""Deliver: from a lane's cursor on, hand the unbroken run of events to a subscription, then move the cursor.

    state = cursor and parked keys of the lane         one read; a warm lane's log is read meanwhile
    doorbell's tail not beyond it, no key due          DUPLICATE
    keys that are due: their events in order           a commit for each key
    records from the cursor, unbroken, each extending the chain        one read a page
    wanted events in order to the handler, those of parked keys to their keys
    cursor and parked keys moved together, if nobody else moved them   one write a page

An event that fails parks its key, and the others go on. After a run whose process died, a page is delivered carefully;
see visit.py.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eventfabric import limits
from eventfabric.errors import ChangedDeliverError, LogError, PortError, UndecodableItemError
from eventfabric.model import (
    ANY_TAIL,
    CircuitState,
    Cursor,
    Doorbell,
    Lane,
    LaneKey,
    LaneState,
    RaceLost,
    SequenceNumber,
    StreamName,
    SubscriptionFilter,
    SubscriptionName,
)
from eventfabric.ports import Clock, Handler, Log, Page, Ports
from eventfabric.services.delivery.begin import Beginning, Beginnings, has_begun
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.services.delivery.ownership import Ownership
from eventfabric.services.delivery.pace import Pace, PublishingPace
from eventfabric.services.delivery.pages import Pages, ReadAhead, wait_for_circuit
from eventfabric.services.delivery.retry import RetryPolicy
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.services.delivery.visit import Visit
from eventfabric.services.lanes.standing import Standings, ledger_of
from eventfabric.services.lanes.whole_state import whole_state
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.telemetry import Metric, Telemetry

if TYPE_CHECKING:
    from eventfabric.definition.sections import Backpressure
    from eventfabric.services.delivery.granting import Granting
    from eventfabric.services.delivery.limiter import Limiter
    from eventfabric.services.delivery.target_streams import TargetStreams


@dataclass(slots=True)
class _LaneRun:
    """Parameters of one doorbell's run of a lane. `probes`: it may probe the open circuit until an event is handled."""

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
    took_over: bool = False


@dataclass(frozen=True, slots=True)
class _LookAgain:
    """The lane's state was written, by this run or by another that was faster, so it must be read again."""


class Deliverer:
    """Deliverer of the lanes of one subscription in one Region.

    Invariant: the cursor is moved only over events that were handled, parked or filtered, and only from where it was
    read. Between runs it remembers of a lane only where it left off, to read the log there ahead of time, and if its
    last run ended with a failed call.
    """

    def __init__(
        self,
        subscription: SubscriptionTopology,
        stream: StreamTopology,
        *,
        ports: Ports,
        handler: Handler,
        telemetry: Telemetry,
        code_version: str = "",
        side_by_side: SideBySide = one_after_another,
        memory_bytes: int = limits.RECORD_MEMORY_BYTES_MAX,
        targets: "TargetStreams | None" = None,
        backpressure: "Backpressure | None" = None,
        limiter: "Limiter | None" = None,
    ) -> None:
        """Assemble it of the ports of its Region.

        Args:
            subscription: whose lanes it delivers.
            stream: of the subscription.
            ports: of the Region.
            handler: the subscription's code.
            telemetry: told what becomes of events and lanes.
            code_version: version of the handler's code, which dead letters note.
            side_by_side: makes reads, and attempts of different keys, at the same time.
            targets: streams that the handler may publish into.
            backpressure: how far producers may be ahead; None: they are not held back.
            limiter: of attempts at the same time; None: as many as the subscription says.
            memory_bytes: memory for the events of a page; one record more may be in memory.
        """
        log, ledger, clock = ports.log_of(stream), ports.ledger, ports.clock
        standings = Standings.of(subscription, ports)
        breaker = CircuitBreaker(subscription, stream, ports=ports, telemetry=telemetry, standings=standings)
        policy = RetryPolicy(subscription.definition, entropy=ports.entropy, code_version=code_version)
        name = SubscriptionName(subscription.state_name)
        by_itself = targets is not None and not subscription.definition.guarantee.transactional
        pace = PublishingPace(clock) if by_itself else Pace(clock)
        self.limiter = limiter
        self.subscription = subscription
        self._region = ledger.region
        self._log = log
        self._ledger = ledger
        self._standings = standings
        self._breaker = breaker
        self._beginnings = Beginnings(subscription, log=log, ledger=ledger, standings=standings, clock=clock)
        self._clock = clock
        self._telemetry = telemetry
        self.memory_bytes = memory_bytes
        self._left_at: dict[Lane, SequenceNumber] = {}
        self._ended_at: dict[Lane, int] = {}
        self._context = VisitContext(
            subscription=subscription,
            filter=SubscriptionFilter.of(subscription.definition),
            region=ledger.region,
            log=log,
            ledger=ledger,
            doorbells=ports.doorbells,
            handler=handler if limiter is None else limiter.watched(handler, policy.is_permanent),
            policy=policy,
            breaker=breaker,
            beginnings=self._beginnings,
            pace=pace if limiter is None else limiter.paced(pace),
            clock=clock,
            telemetry=telemetry,
            side_by_side=side_by_side,
            targets=targets,
            granting=None if backpressure is None else _granting(name, backpressure, ports, log, telemetry),
            limiter=limiter,
        )

    def deliver(
        self, doorbell: Doorbell, *, deadline_ms: int, receive_count: int = 1, concurrency: int | None = None
    ) -> LaneResult:
        """Deliver the doorbell's lane until its log ends, it fails, or `deadline_ms` (milliseconds since 1970).

        If the doorbell was received before, an invocation for it may have crashed, or never begun. Then this run is
        noted; and if it finds such a note, of a run that was never heard of again, the lane is delivered carefully.

        `concurrency`: number of keys that may be attempted at the same time; default the subscription's.

        A lane that cannot be read ends as STOPPED. Raises PortError: then nothing counts that was not committed, and
        the doorbell must come again.
        """
        try:
            return self._deliver(
                doorbell, deadline_ms=deadline_ms, receive_count=receive_count, concurrency=concurrency
            )
        except (LogError, UndecodableItemError, ChangedDeliverError) as error:
            self._telemetry.add(Metric.LANES_STOPPED)
            return LaneResult(LaneOutcome.STOPPED, error)

    def _deliver(
        self, doorbell: Doorbell, *, deadline_ms: int, receive_count: int, concurrency: int | None
    ) -> LaneResult:
        lane = doorbell.lane
        ownership = Ownership(self._standings, lane.origin, region=self._region)
        if not ownership.is_ours:
            return LaneResult(LaneOutcome.NOT_OWNER)
        circuit = self._breaker.circuit()
        probes = circuit.state is CircuitState.OPEN and self._breaker.take_probe()
        if circuit.state is not CircuitState.CLOSED and not probes:
            # A subscription that begins with the latest must not miss what is published while it waits.
            self._beginnings.pin(doorbell)
            return wait_for_circuit(self._context_of(lane), doorbell, deadline_ms=deadline_ms)
        if not ownership.begin():
            return LaneResult(LaneOutcome.NOT_OWNER)
        ended_at = {doorbell.ended, self._ended_at.get(lane, 0)} - {0}
        run = _LaneRun(
            doorbell,
            LaneKey(StreamName(doorbell.stream), SubscriptionName(self.subscription.state_name), lane),
            self._context_of(lane),
            ownership,
            deadline_ms,
            # No proof of a crash: Lambda receives messages before it
            # invokes, and an invocation that is throttled sends them back.
            came_again=receive_count > 1,
            concurrency=concurrency,
            # The last write may have landed without a reply, so the next version counts, too.
            ended=frozenset(version + more for version in ended_at for more in (0, 1)),
            probes=probes,
        )
        for race in range(limits.LANE_RACES_MAX):
            result = self._try(run, is_again=race > 0)
            if not isinstance(result, _LookAgain):
                return result
        return LaneResult(LaneOutcome.CONTENDED)

    def _try(self, run: _LaneRun, *, is_again: bool) -> LaneResult | _LookAgain:
        """Read the lane's state, have the lane begin or be taken over if it must, and visit it."""
        ownership = run.ownership
        # Whoever won the race may be the lane's new owner.
        if is_again and not run.probes and not ownership.read_again():
            return LaneResult(LaneOutcome.NOT_OWNER)
        state, ahead = self._look(run, has_lost=is_again)
        if not ownership.covers(state):
            return LaneResult(LaneOutcome.NOT_OWNER)
        if (result := self._before_visit(run, state)) is not None:
            return result
        # One read tells both who owns the lane and how the circuit stands: it may have opened since.
        if not run.probes and self._breaker.circuit().state is not CircuitState.CLOSED:
            return wait_for_circuit(run.context, run.doorbell, deadline_ms=run.deadline_ms)
        return self._visit(run, state, ahead)

    def _before_visit(self, run: _LaneRun, state: LaneState) -> LaneResult | _LookAgain | None:
        """Have a lane begin or be taken over, if it must. None: it is to be visited."""
        ownership, cursor = run.ownership, state.cursor(run.context.region)
        if run.key.lane.is_root:
            if (result := self._begun(run, state)) is not None:
                return result
            if not ownership.is_shared and cursor.epoch < ownership.epoch:
                return self._take_over(run)
            if cursor.past_seal is None:
                return None
        return self._in_tree(run, cursor)

    def _begun(self, run: _LaneRun, state: LaneState) -> LaneResult | _LookAgain | None:
        """Have a lane begin that has not yet. None: it has, or begins with its first event."""
        epoch, ledger = run.ownership.epoch, run.context.ledger
        if self._beginnings.is_earliest or has_begun(state.cursors, ledger.region, epoch):
            return None
        match self._beginnings.begin(run.key, run.doorbell, epoch=epoch, ledger=ledger):
            case Beginning.FIRST:
                return None
            case Beginning.PUT:
                return _LookAgain()
            case Beginning.LATER:
                if run.probes:
                    self._breaker.give_back_probe()
                return LaneResult(LaneOutcome.NOT_BEGUN)

    def _in_tree(self, run: _LaneRun, cursor: Cursor) -> LaneResult | _LookAgain | None:
        """Do what the tree of a lane asks for that was split, or split off. None: the lane is to be visited."""
        from eventfabric.services.delivery import seals  # few lanes are ever split

        result: LaneResult | RaceLost
        if not (run.key.lane.is_root or seals.has_begun(cursor, run.ownership.epoch)):
            result = seals.ring_parent(run.context, run.key)
        elif cursor.past_seal is not None:
            result = seals.stand_past(run.context, run.key, cursor, deadline_ms=run.deadline_ms)
        else:
            return None
        if isinstance(result, RaceLost):
            return _LookAgain()
        if run.probes:
            self._breaker.give_back_probe()
        return result

    def _take_over(self, run: _LaneRun) -> LaneResult | _LookAgain:
        """Write this Region's state of the lane, made from the former owner's."""
        from eventfabric.services.delivery.takeover import take_over  # few invocations take lanes over

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
        run.took_over = is_taken_over
        return _LookAgain() if is_taken_over else LaneResult(LaneOutcome.HOLE)

    def _visit(self, run: _LaneRun, state: LaneState, ahead: ReadAhead | None) -> LaneResult | _LookAgain:
        """Visit the lane in this state. Look again if a commit lost its race, or the lane's beginning has expired."""
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
        # A lane that never began (version 0) may begin after the records that have expired.
        at_a_hole = result.outcome is LaneOutcome.HOLE and not visit.cursor.version
        if at_a_hole and self._beginnings.skip_expired(run.key, epoch=epoch, ledger=ledger):
            return _LookAgain()
        return result

    def _carried_out(self, run: _LaneRun, visit: Visit, ahead: ReadAhead | None) -> LaneResult | RaceLost:
        """Carry out the visit, and remember where it left the lane."""
        lane = run.doorbell.lane
        try:
            visit.open_credit(run.doorbell, again=run.came_again or run.took_over)
            result = Pages(run.context, visit, run.doorbell, ahead, memory_bytes=self.memory_bytes).deliver()
            visit.rest()
            visit.settle_credit()
        except PortError:
            # This process lives, so all its attempts have ended: a note at this version is no crash.
            self._ended_at[lane] = visit.cursor.version
            raise
        self._ended_at.pop(lane, None)
        if isinstance(result, LaneResult) and result.outcome is LaneOutcome.DELIVERED:
            self._left_at[lane] = visit.cursor.base
        return result

    def ended_at(self, lane: Lane) -> int:
        """Return the cursor's version if the lane's last run failed with a PortError after all its attempts; else 0."""
        return self._ended_at.get(lane, 0)

    def _look(self, run: _LaneRun, *, has_lost: bool) -> tuple[LaneState, ReadAhead | None]:
        """Read the lane's state. If this process knows where the lane was left, read the log there at the same time.

        The page is a hint: it is used only if the cursor is still at its `base`.
        """
        key, ledger, tail = run.key, run.context.ledger, run.doorbell.tail
        base = self._left_at.pop(key.lane, None)
        # Without transactions, a process that stood still may have left a key that no cursor names. Only a
        # read of all keys finds it.
        glance = not (self.subscription.shares_state and (has_lost or tail == ANY_TAIL))
        if base is None or tail <= base or self._context.side_by_side is one_after_another:
            return ledger.state(key, glance=glance), None
        states: list[LaneState] = []
        pages: list[Page] = []

        def read_log() -> None:
            with suppress(LogError, PortError):  # it is read again when it is needed, and reported there
                pages.append(self._log.read(key.lane, base, records_max=limits.PAGE_RECORDS_MAX))

        self._context.side_by_side([lambda: states.append(ledger.state(key, glance=glance)), read_log])
        return states[0], ReadAhead(base, pages[0]) if pages else None

    def _context_of(self, lane: Lane) -> VisitContext:
        """Return the context with the ledger that keeps the lane's state."""
        ledger = ledger_of(self._ledger, self.subscription, lane.origin)
        if ledger is self._ledger:
            return self._context
        return replace(self._context, ledger=ledger, region=ledger.region)


def _granting(
    name: SubscriptionName, settings: "Backpressure", ports: Ports, log: Log, telemetry: Telemetry
) -> "Granting":
    from eventfabric.services.delivery.granting import Granting  # few subscriptions hold producers back

    return Granting(name, settings, credits=ports.credits, log=log, clock=ports.clock, telemetry=telemetry)


def limiter_of(subscription: SubscriptionTopology, clock: Clock, telemetry: Telemetry) -> "Limiter | None":
    """Return a limiter for a function of a subscription that wants one; None for all others, which import none."""
    if subscription.definition.concurrency != "auto":
        return None
    from eventfabric.services.delivery.limiter import Limiter

    return Limiter(subscription.definition.concurrency_max, clock=clock, telemetry=telemetry)
