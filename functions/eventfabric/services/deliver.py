"""Deliver: from a lane's cursor, hand the unbroken run of events to a subscription, then move the cursor.

    state = cursor of the lane                    one read
    doorbell's tail not beyond it                 DUPLICATE
    records from the cursor, unbroken, each extending the chain        one read a page
    wanted events in order to the handler
    cursor moved on the condition that nobody else moved it            one write a page

A failing handler stops its lane at the event: what came before is committed, the doorbell comes again.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from enum import Enum

from eventfabric import limits
from eventfabric.errors import DivergenceError, LogError, RefusedError
from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.event import Event
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import Region, Sequence, StreamName, SubscriptionName
from eventfabric.model.record import Record
from eventfabric.ports import (
    Attempt,
    Clock,
    Committed,
    Handler,
    Ledger,
    Log,
    RaceLost,
    SameItemTwice,
    Write,
    WriteRefused,
)
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import Doorbell
from eventfabric.wire.payload_codec import unpack


class Outcome(Enum):
    """How a lane run ended."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    NOT_OWNER = "not_owner"
    HOLE = "hole"
    OUT_OF_TIME = "out_of_time"
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
        return self.outcome in (Outcome.DELIVERED, Outcome.DUPLICATE, Outcome.NOT_OWNER, Outcome.HOLE)


class RefusedWriteError(Exception):
    """DynamoDB refused a write of the handler's transaction: the handler's failure, as if it had raised this itself."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}" if message else code)


class Deliverer:
    """Delivers the lanes of one subscription in one Region.

    Invariant: the cursor is moved only over events that were handled, or filtered, and only from where it was read.
    Holds no state of a lane between runs.
    """

    def __init__(
        self,
        subscription: SubscriptionTopology,
        *,
        region: Region,
        log: Log,
        ledger: Ledger,
        handler: Handler,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.subscription = subscription
        self._region = region
        self._log = log
        self._ledger = ledger
        self._handler = handler
        self._clock = clock
        self._telemetry = telemetry
        types = subscription.definition.types
        self._types = None if types is None else frozenset(types)
        self._guarantee = subscription.definition.guarantee

    def deliver(self, doorbell: Doorbell, *, deadline_ms: int, receive_count: int = 1) -> LaneResult:
        """Deliver the doorbell's lane until its log ends, it fails, or `deadline_ms` (milliseconds since 1970).

        Raises what the ports raise: then nothing that was not committed counts, and the doorbell must come again.
        """
        lane = doorbell.lane
        if not self.subscription.delivers(lane.origin, self._region):
            return LaneResult(Outcome.NOT_OWNER)
        key = LaneKey(StreamName(doorbell.stream), SubscriptionName(self.subscription.name), lane)
        for _ in range(limits.LANE_RACES_MAX):
            cursor = self._ledger.state(key).cursor(self._region)
            if doorbell.tail <= cursor.sequence:
                self._telemetry.add(Metric.DOORBELLS_DUPLICATE)
                return LaneResult(Outcome.DUPLICATE)
            result = self._drain(key, cursor, deadline_ms, receive_count)
            if result is not None:
                return result
            self._telemetry.add(Metric.COMMITS_LOST)
        return LaneResult(Outcome.CONTENDED)

    def _drain(self, key: LaneKey, cursor: Cursor, deadline_ms: int, number: int) -> LaneResult | None:
        """Page after page until the lane's log ends; None where a commit lost its race."""
        while True:
            try:
                page = self._log.read(key.lane, cursor.base, records_max=limits.PAGE_RECORDS_MAX)
            except LogError as error:
                return self._stopped(error)
            stretch = Stretch(cursor, page.records, self._types)
            run = _Run(self, key, cursor, stretch, deadline_ms, number)
            result = run.execute(self._guarantee)
            self._telemetry.add(Metric.EVENTS_HANDLED, run.handled)
            if isinstance(result, RaceLost):
                return None
            cursor = run.committed
            if result is not None:
                return self._stopped(result.cause) if result.outcome is Outcome.STOPPED else result
            if stretch.stop is not None:
                return self._stopped(stretch.stop)
            if stretch.hole:
                self._telemetry.add(Metric.LANES_WAITING)
                return LaneResult(Outcome.HOLE)
            if not page.more:
                return LaneResult(Outcome.DELIVERED)
            if self._clock.now_ms() >= deadline_ms:
                # Pages without a wanted event make no attempt that would have noticed.
                return LaneResult(Outcome.OUT_OF_TIME)

    def _stopped(self, cause: BaseException | None) -> LaneResult:
        self._telemetry.add(Metric.LANES_STOPPED)
        return LaneResult(Outcome.STOPPED, cause)


class Stretch:
    """What of a page can be delivered from a cursor on: the unbroken, verified records and their wanted events.

    `hole`: the page has a record beyond the unbroken run. `stop`: why the run cannot go past `end`.
    """

    def __init__(self, cursor: Cursor, records: Seq[Record], types: frozenset[str] | None) -> None:
        self.start = cursor
        self.records: list[Record] = []
        self.events: list[Event] = []
        self.hole = False
        self.stop: LogError | None = None
        self.end: Sequence = cursor.sequence
        expected, chain = cursor.base, cursor.chain
        for record in records:
            if record.sequence != expected:
                self._misplaced(record, expected)
                break
            if not record.extends(chain):
                self.stop = DivergenceError(
                    record.lane, record.sequence, "does not extend the chain verified before it"
                )
                break
            if types is None or not types.isdisjoint(record.types):
                try:
                    events = unpack(record)
                except LogError as error:
                    self.stop = error
                    break
                first = cursor.sequence
                self.events += [
                    e for e in events if (e.sequence or 0) >= first and (types is None or e.type in types)
                ]
            self.records.append(record)
            expected, chain = record.tail.sequence, record.chain
            self.end = max(expected, cursor.sequence)

    def _misplaced(self, record: Record, expected: Sequence) -> None:
        if record.sequence > expected:
            self.hole = True
        else:
            self.stop = DivergenceError(
                record.lane, record.sequence, f"overlaps the record before sequence {expected}"
            )

    def cursor_at(self, sequence: Sequence) -> Cursor:
        """The cursor whose next sequence is `sequence`, from start to end of the stretch."""
        base, chain = self.start.base, self.start.chain
        for record in self.records:
            if record.tail.sequence > sequence:
                break
            base, chain = record.tail.sequence, record.chain
        return Cursor(sequence, base, chain, self.start.version, self.start.epoch)

    @property
    def oldest_ms(self) -> int:
        """When the stretch's first record was appended, in milliseconds since 1970."""
        return to_ms(self.records[0].time) if self.records else 0


class _Run:
    """The events of one stretch through the handler and into one commit (more where a transaction is full)."""

    def __init__(
        self, of: Deliverer, key: LaneKey, cursor: Cursor, stretch: Stretch, deadline_ms: int, number: int
    ) -> None:
        self._of = of
        self._key = key
        self._stretch = stretch
        self._deadline_ms = deadline_ms
        self._number = number
        self.committed = cursor
        self.handled = 0

    def execute(self, guarantee: str) -> LaneResult | RaceLost | None:
        """Run by the subscription's guarantee; None: the whole stretch is behind the cursor."""
        if guarantee == "at_most_once":
            return self._commit_first()
        if guarantee == "exactly_once":
            return self._commit_with_writes()
        return self._handle_first()

    def _batches(self) -> list[Seq[Event]]:
        events, size = self._stretch.events, self._of._handler.batch_events_max
        return [events[start : start + size] for start in range(0, len(events), size)]

    def _attempt(self, events: Seq[Event]) -> Seq[Write] | LaneResult:
        """The handler's writes, or why the lane cannot go past these events now."""
        of = self._of
        if of._clock.now_ms() >= self._deadline_ms:
            return LaneResult(Outcome.OUT_OF_TIME)
        try:
            return of._handler.attempt(events, Attempt(of.subscription.name, self._number, self._deadline_ms))
        except Exception as error:  # whatever user code raises is the event's failure, never the fabric's
            of._telemetry.add(Metric.EVENTS_FAILED, len(events))
            return LaneResult(Outcome.STOPPED, error)

    def _handle_first(self) -> LaneResult | RaceLost | None:
        stopped: LaneResult | None = None
        end, handled = self._stretch.end, 0
        for events in self._batches():
            tried = self._attempt(events)
            if isinstance(tried, LaneResult):
                stopped, end = tried, _first(events)
                break
            handled += len(events)
        return self._commit(end, handled) or stopped

    def _commit_first(self) -> LaneResult | RaceLost | None:
        if self._of._clock.now_ms() >= self._deadline_ms:
            return LaneResult(Outcome.OUT_OF_TIME)
        lost = self._commit(self._stretch.end, 0)
        if lost is not None:
            return lost
        for events in self._batches():
            # A failure here is final: that is what at most once means. It is counted by _attempt.
            tried = self._attempt(events)
            if not isinstance(tried, LaneResult):
                self.handled += len(events)
            elif tried.outcome is Outcome.OUT_OF_TIME:
                self._of._telemetry.add(Metric.EVENTS_DROPPED, len(events))
        return None

    def _commit_with_writes(self) -> LaneResult | RaceLost | None:
        """Collect events until the next one might not fit, or has a key whose writes it might read; then commit."""
        pending: list[tuple[Seq[Event], Seq[Write]]] = []
        keys: set[str] = set()
        writes_count = 0
        for events in self._batches():
            if not keys.isdisjoint(event.key for event in events):
                failed = self._commit_pending(pending, _first(events))
                if failed is not None:
                    return failed
                pending, keys, writes_count = [], set(), 0
            tried = self._attempt(events)
            if isinstance(tried, LaneResult):
                return self._commit_pending(pending, _first(events)) or tried
            if len(tried) > limits.TRANSACTION_WRITES_MAX:
                cause = ValueError(
                    f"found {len(tried)} writes, allowed: at most {limits.TRANSACTION_WRITES_MAX}"
                )
                return self._commit_pending(pending, _first(events)) or LaneResult(Outcome.STOPPED, cause)
            if writes_count + len(tried) > limits.TRANSACTION_WRITES_MAX:
                failed = self._commit_pending(pending, _first(events))
                if failed is not None:
                    return failed
                pending, keys, writes_count = [], set(), 0
            pending.append((events, tried))
            keys.update(event.key for event in events)
            writes_count += len(tried)
        return self._commit_pending(pending, self._stretch.end)

    def _commit_pending(
        self, pending: list[tuple[Seq[Event], Seq[Write]]], end: Sequence
    ) -> LaneResult | RaceLost | None:
        writes = [write for _, of_events in pending for write in of_events]
        outcome = self._try_commit(end, sum(len(events) for events, _ in pending), writes)
        if isinstance(outcome, SameItemTwice | WriteRefused) and len(pending) > 1:
            # One by one: each event stands for its own writes, and two that touch one item no longer meet.
            for index, (events, of_events) in enumerate(pending):
                next_end = _first(pending[index + 1][0]) if index + 1 < len(pending) else end
                failed = self._commit_pending([(events, of_events)], next_end)
                if failed is not None:
                    return failed
            return None
        if isinstance(outcome, SameItemTwice):
            return LaneResult(
                Outcome.STOPPED, RefusedWriteError("SameItemTwice", "two writes of one event touch one item")
            )
        if isinstance(outcome, WriteRefused):
            return LaneResult(Outcome.STOPPED, RefusedWriteError(outcome.code, outcome.message))
        return outcome

    def _commit(self, end: Sequence, handled: int) -> RaceLost | None:
        outcome = self._try_commit(end, handled, ())
        assert outcome is None or isinstance(outcome, RaceLost), "a commit without writes has none to refuse"
        return outcome

    def _try_commit(
        self, end: Sequence, handled: int, writes: Seq[Write]
    ) -> RaceLost | WriteRefused | SameItemTwice | None:
        moved = self._stretch.cursor_at(end)
        if moved.sequence == self.committed.sequence and moved.base == self.committed.base and not writes:
            return None
        of = self._of
        try:
            outcome = of._ledger.commit(self._key, self.committed, moved, writes)
        except RefusedError as error:
            # The cursor's own put is never wrong by itself: one of the writes is, so it is their event's failure.
            if error.retryable or not writes:
                raise
            return WriteRefused(-1, error.reason.partition(":")[0], error.reason)
        if not isinstance(outcome, Committed):
            return outcome
        self.committed = outcome.cursor
        self.handled += handled
        of._telemetry.add(Metric.DELIVERY_LATENCY, of._clock.now_ms() - self._stretch.oldest_ms)
        return None


def _first(events: Seq[Event]) -> Sequence:
    sequence = events[0].sequence
    assert sequence is not None, "an event of the log has a sequence"
    return sequence
