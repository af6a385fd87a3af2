"""Pages: one visit's way through the log: first the keys that are due, then page after page until the log ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import (
    CircuitState,
    Cursor,
    Doorbell,
    Parked,
    RaceLost,
    Record,
    SequenceNumber,
    next_count,
)
from eventfabric.ports import Page
from eventfabric.services.delivery.at_most_once import run_at_most_once
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.due_keys import DueKeys
from eventfabric.services.delivery.endings import CarefulPartDone, CircuitOpen, Ended, OutOfTime, Stopped
from eventfabric.services.delivery.expiry import Passed, pass_expired, pass_skipped
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.services.delivery.run import Run
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.visit import Visit
from eventfabric.telemetry import Metric


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """A page of the log that was read from `base` on, before it was known that the cursor stands there."""

    base: SequenceNumber
    page: Page


@dataclass(frozen=True, slots=True)
class NextPage:
    """The page is done, and the log goes on after it. `ahead`: the rest of the page, which did not fit into memory."""

    ahead: ReadAhead | None = None


class Pages:
    """Deliverer of one lane in one visit."""

    def __init__(
        self,
        context: VisitContext,
        visit: Visit,
        doorbell: Doorbell,
        ahead: ReadAhead | None,
        *,
        memory_bytes: int,
    ) -> None:
        """`memory_bytes`: memory for the events of a page; one record more may be in memory."""
        self._context = context
        self._visit = visit
        self._due_keys = DueKeys(context, visit)
        self._doorbell = doorbell
        self._ahead = ahead
        self._memory_bytes = memory_bytes
        self._passed: Cursor | None = None
        """The cursor after pages without a wanted event, which is committed with what follows."""

    def deliver(self) -> LaneResult | RaceLost:
        """Deliver what is due and what is new, until the lane's log ends, or something ends the run before."""
        visit, due = self._visit, self._visit.due()
        if self._is_repetition and not due and not visit.careful:
            self._context.telemetry.add(Metric.DOORBELLS_DUPLICATE)
            return self._untried(LaneOutcome.DUPLICATE)
        ended = self._begin(due)
        if ended is not None:
            return self._result(ended)
        while True:
            result = self._next_page()
            if not isinstance(result, NextPage):
                return result
            self._ahead = result.ahead
            if (ended_between := self._between_pages()) is not None:
                return self._save_passed() or ended_between

    @property
    def _is_repetition(self) -> bool:
        """Tell if a doorbell says nothing that the cursor has not passed.

        In a replica, a run may have passed it and died before records behind it, whose own doorbell found a hole and is
        gone. So one that came again has the log looked at. In the origin, no record is seen before an earlier one.
        """
        is_replica = self._doorbell.lane.origin != self._context.region
        passed = self._doorbell.tail <= self._visit.cursor.sequence
        return passed and not (is_replica and self._visit.came_again)

    def _between_pages(self) -> LaneResult | None:
        """Return the result of a visit that ends between two pages; None: it goes on."""
        visit = self._visit
        # A careful run ends with its page, and rings anew. The new doorbell has a receive count of 1, so
        # the run for it is not careful.
        if visit.careful or self._context.clock.now_ms() >= visit.deadline_ms:
            # The time is looked at here too, because pages without a wanted event make no attempt.
            return self._hand_back()
        if not visit.probes and self._context.breaker.circuit().state is not CircuitState.CLOSED:
            return wait_for_circuit(self._context, self._doorbell, deadline_ms=visit.deadline_ms)
        return None

    def _begin(self, due: Sequence[Parked]) -> Ended | None:
        """Note that the run begins, and try the keys that are due. A probe tries new events before those."""
        # A lane that never began may begin after its first event, so nothing is written before that is known.
        if self._visit.cursor.version and (ended := self._visit.note()) is not None:
            return ended
        return None if self._visit.probes else self._due_keys.retry(due)

    def _next_page(self) -> LaneResult | RaceLost | NextPage:
        """Deliver a page from the cursor on, or as much of it as fits into memory.

        This is a method of its own so that a page and its events are freed before the next are read.
        """
        visit = self._visit
        try:
            page = self._page()
            stretch = self._stretch(page)
            # Notes are decided first: they may say that some of these events are delivered in another lane.
            if noted := stretch.noted:
                del stretch  # free it before the same page is unpacked again
                if (lost := visit.settle(noted)) is not None:
                    return lost
                stretch = self._stretch(page)
        except LogError as error:
            return self._save_passed() or self._end(Stopped(error))
        if self._may_pass(stretch, page):
            self._passed = stretch.cursor_at(stretch.end)
            return NextPage(self._rest(stretch, page))
        if not visit.lateness.mark(stretch):
            return self._end(OutOfTime())
        ended = self._hand_out(stretch)
        if ended is None and stretch.stop is not None:
            ended = Stopped(stretch.stop)
        return self._behind(stretch, page) if ended is None else self._end(ended)

    def _may_pass(self, stretch: Stretch, page: Page) -> bool:
        """Tell if a stretch holds nothing wanted and the log goes on, so that its end need not be committed yet."""
        goes_on = (stretch.cut or page.more) and not (stretch.hole or stretch.stop or stretch.seal)
        return goes_on and not stretch.events and not self._visit.careful

    def _save_passed(self) -> RaceLost | None:
        """Commit where the visit has come without a wanted event."""
        passed, self._passed = self._passed, None
        return None if passed is None else self._visit.move(passed)

    @property
    def _start(self) -> Cursor:
        """The cursor as it stands after what was passed."""
        return self._passed or self._visit.cursor

    def _rest(self, stretch: Stretch, page: Page) -> ReadAhead | None:
        """Return the rest of a page of which the stretch is a part."""
        base = self._start.base
        return ReadAhead(base, page.behind(base)) if stretch.cut else None

    def _page(self) -> Page:
        """Return the page that was read ahead, if the cursor is where it begins; else read it."""
        base, ahead = self._start.base, self._ahead
        # A page that was read ahead is of no use if somebody else moved the cursor meanwhile.
        if ahead is not None and ahead.base == base:
            page = ahead.page
        else:
            page = self._context.log.read(self._doorbell.lane, base, records_max=limits.PAGE_RECORDS_MAX)
        if self._visit.credit is not None:
            self._visit.credit.saw(page, base)
        return page

    def _stretch(self, page: Page) -> Stretch:
        visit = self._visit
        return Stretch(
            self._start,
            page.records,
            self._context.filter,
            visit.stepped_over,
            memory_bytes=self._memory_bytes,
        )

    def _hand_out(self, stretch: Stretch) -> Ended | None:
        """Hand out the events of a stretch."""
        visit = self._visit
        ended = visit.note() if stretch.events else None
        if ended is not None:
            return ended
        assert visit.cursor.sequence <= stretch.start.sequence, (
            "a run begins where its lane stands, or behind that"
        )
        self._passed = None  # the run commits it, or gives it up
        ended = run_at_most_once(visit, stretch) if visit.commits_first else Run(visit, stretch).run()
        assert visit.cursor.sequence <= stretch.end, "no run commits beyond its stretch"
        assert ended is not None or visit.cursor.sequence == stretch.end, (
            "a run to the end commits its stretch"
        )
        return ended

    def _behind(self, stretch: Stretch, page: Page) -> LaneResult | RaceLost | NextPage:
        """Decide how to go on after a stretch whose events are done."""
        visit = self._visit
        if stretch.seal is not None and not stretch.cut:
            return self._at_seal(stretch.seal)
        if stretch.hole or (not page.records and self._doorbell.tail > visit.cursor.sequence):
            passed = pass_skipped(self._context, visit) or pass_expired(self._context, visit, page.records)
            if isinstance(passed, Passed):
                return NextPage()
            if passed is not None:
                return self._end(passed)
        if stretch.hole:
            self._context.telemetry.add(Metric.LANES_WAITING)
            self._ring_after_hole()
            return self._end(LaneOutcome.HOLE)
        if stretch.cut or page.more:
            return NextPage(self._rest(stretch, page))
        return self._end(LaneOutcome.DELIVERED)

    def _at_seal(self, seal: Record) -> LaneResult | RaceLost:
        """Have the lane's children begin, and ring them. What is parked is theirs from then on."""
        from eventfabric.services.delivery.seals import pass_seal, ring_children  # few lanes are ever split

        # A run may go on under the ownership with which it began. But what it hands over here, others go on with.
        if not self._context.beginnings.delivers(seal.lane.origin):
            return self._untried(LaneOutcome.NOT_OWNER)
        lost = pass_seal(self._context, self._visit, seal)
        if lost is not None:
            return lost
        result = ring_children(self._context, self._visit.key)
        if self._visit.probes:
            self._context.breaker.give_back_probe()
        return result

    def _ring_after_hole(self) -> None:
        """Have the lane rung in a moment, if nobody may ring for the record that is missing because nobody wants it.

        A read may show the second record of a transaction before the first. Once: what is lost is reconciliation's.
        """
        context, bell = self._context, self._doorbell
        if bell.lane.origin == context.region and not bell.again and not context.filter.wants_all:
            later = replace(bell, again=context.clock.now_ms(), ended=0, failing_ms=0)
            context.doorbells.ring_later(context.subscription.name, later, limits.WAITING_AGAIN_SECONDS)

    def _end(self, end: Ended | LaneOutcome) -> LaneResult | RaceLost:
        """End the visit. A probe goes on with the keys that failed: new events were first, because they tell more."""
        visit = self._visit
        if visit.began_as_probe and isinstance(end, Stopped | LaneOutcome):
            ended = self._due_keys.retry(visit.due())
            if ended is not None:
                return self._result(ended)
            if visit.probes:
                self._context.breaker.give_back_probe()
        return LaneResult(end) if isinstance(end, LaneOutcome) else self._result(end)

    def _result(self, ended: Ended) -> LaneResult | RaceLost:
        """Return the result of a visit that ended before its log did."""
        match ended:
            case RaceLost():
                return ended
            case Stopped(cause):
                self._context.telemetry.add(Metric.LANES_STOPPED)
                return LaneResult(LaneOutcome.STOPPED, cause)
            case OutOfTime() | CarefulPartDone():
                return self._hand_back()
            case CircuitOpen():
                # Only now that all is committed: a timer that cannot be set must not undo what was handled.
                bell, deadline_ms = self._doorbell, self._visit.deadline_ms
                return wait_for_circuit(self._context, bell, deadline_ms=deadline_ms, failed=True)

    def _untried(self, outcome: LaneOutcome) -> LaneResult:
        """Return the result of a visit in which there was nothing to try."""
        if self._visit.probes:
            self._context.breaker.give_back_probe()
        return LaneResult(outcome)

    def _hand_back(self) -> LaneResult:
        """Ring the lane anew. A doorbell that only came again would look like one after a crash.

        This run did not fail, and there is nothing that it could not note.
        """
        # The queue would drop a ring that equals the last one, and a clock may stand still or jump back.
        moment_ms = max(self._context.clock.now_ms(), next_count(self._doorbell.again))
        again = replace(self._doorbell, again=moment_ms, ended=0, failing_ms=0)
        if self._context.doorbells.ring(self._context.subscription.name, [again]):
            return LaneResult(LaneOutcome.STOPPED, None)
        return LaneResult(LaneOutcome.HANDED_BACK)


def wait_for_circuit(
    context: VisitContext, doorbell: Doorbell, *, deadline_ms: int, failed: bool = False
) -> LaneResult:
    """Have a lane wait for the circuit: it is rung for the next probe, or when deliveries are resumed.

    `failed`: its own probe, or what it attempted, failed.
    """
    if context.granting is not None and context.breaker.circuit().state is CircuitState.PAUSED:
        ledger, region = context.ledger, context.region
        context.granting.pass_paused(
            doorbell,
            lambda key: ledger.state(key, glance=True).cursor(region),
            patience=context.patience(deadline_ms),
        )
    context.breaker.ring_probe(doorbell.lane, failed=failed, behind=0 if failed else doorbell.again)
    return LaneResult(LaneOutcome.WAITING)
