"""A lane that a function delivered before: its log is read where it was left, beside its state, and counts if right."""

from collections.abc import Callable, Sequence

import pytest

from eventfabric.limits import PAGE_RECORDS_MAX
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.failing_handlers import Failing, drained, fabric_of, named
from tests.support.memory_fabric import LANE, event
from tests.support.recorded_reads import Read, RecordingLog
from tests.support.subscribed_stream import SubscribedStream


class Warm:
    """A function that has delivered the lane up to 2, and what it asks for from then on."""

    def __init__(self, *, reads_ahead: bool = True, **settings: object) -> None:
        self.fabric = SubscribedStream(**settings)  # type: ignore[arg-type]  # any setting
        self.faults, self.together = Faults(), list[int]()
        self.asked = RecordingLog(self.fabric.log)
        self.fabric.log = self.asked  # type: ignore[assignment]  # on its way to the log
        runner = self._side_by_side if reads_ahead else one_after_another
        self.deliverer: Deliverer = self.fabric.deliverer(faults=self.faults, side_by_side=runner)
        self.fabric.put(event("old 0"), event("old 1"))
        self.deliver()
        self.forget()

    def _side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        self.together.append(len(calls))
        for call in calls:
            call()

    def forget(self) -> None:
        self.asked.reads.clear()
        self.faults.calls.clear()
        self.fabric.recorder.events.clear()

    def deliver(self, tail: int | None = None) -> LaneOutcome:
        return self.fabric.deliver(by=self.deliverer, tail=tail).outcome


def test_its_log_is_read_once_beside_its_state() -> None:
    warm = Warm()
    warm.fabric.put(event("new"))
    assert warm.deliver() is LaneOutcome.DELIVERED
    assert warm.together == [2]
    assert warm.asked.reads == [Read(LANE, 2, PAGE_RECORDS_MAX)]
    called = [call for call in warm.faults.calls if call != "handler.attempt"]
    assert called == ["ledger.state", "log.read", "ledger.commit"]
    assert (warm.fabric.recorder.ids(), warm.fabric.cursor().sequence) == (["new"], 3)
    warm.forget()
    warm.fabric.put(event("newer"))
    warm.deliver()
    assert (warm.together, warm.asked.reads) == ([2, 2], [Read(LANE, 3, PAGE_RECORDS_MAX)])


def test_where_another_moved_the_cursor_meanwhile_the_log_is_read_from_there() -> None:
    warm = Warm()
    warm.fabric.put(event("new 0"))
    warm.fabric.deliver(by=warm.fabric.deliverer())
    warm.fabric.put(event("new 1"))
    warm.forget()
    assert warm.deliver() is LaneOutcome.DELIVERED
    assert warm.asked.reads == [Read(LANE, 2, PAGE_RECORDS_MAX), Read(LANE, 3, PAGE_RECORDS_MAX)]
    assert (warm.fabric.recorder.ids(), warm.fabric.cursor().sequence) == (["new 1"], 4)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REPLY])
def test_what_could_not_be_read_ahead_is_read_in_its_turn(fault: Fault) -> None:
    warm = Warm()
    warm.fabric.put(event("new"))
    warm.faults.rules.append(nth(2, fault, name="log.read"))
    assert warm.deliver() is LaneOutcome.DELIVERED
    assert warm.fabric.recorder.ids() == ["new"]


def test_a_record_that_cannot_be_read_stops_the_lane_as_it_does_otherwise() -> None:
    outcomes = []
    for reads_ahead in (True, False):
        warm = Warm(reads_ahead=reads_ahead)
        record = warm.fabric.put(event("new"))
        item = {"pk": {"S": str(LANE)}, "sk": {"N": str(record.sequence)}, "n": {"N": "none"}}
        warm.fabric.table.write("Put", {"Item": item})
        result = warm.fabric.deliver(by=warm.deliverer, tail=3)
        outcomes.append((result.outcome, str(result.cause)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] is LaneOutcome.STOPPED


@pytest.mark.parametrize("tail", [1, 2])
def test_for_a_doorbell_that_says_nothing_new_the_state_alone_is_read(tail: int) -> None:
    warm = Warm()
    assert warm.deliver(tail=tail) is LaneOutcome.DUPLICATE
    assert (warm.together, warm.asked.reads, warm.faults.calls) == ([], [], ["ledger.state"])


def test_where_only_one_thing_happens_at_a_time_nothing_is_read_ahead() -> None:
    warm = Warm(reads_ahead=False)
    warm.fabric.put(event("new"))
    warm.deliver()
    assert (warm.together, warm.asked.reads) == ([], [Read(LANE, 2, PAGE_RECORDS_MAX)])
    assert warm.faults.calls[0] == "ledger.state"


def test_a_lane_that_stopped_is_not_known() -> None:
    warm = Warm()
    tail = warm.fabric.log.tail(LANE)
    gap = warm.fabric.record(tail, event("gone"))
    behind = warm.fabric.record(gap.tail, event("behind"))
    assert warm.fabric.origin_log.append(behind) is None
    assert warm.deliver() is LaneOutcome.HOLE
    assert warm.fabric.origin_log.append(gap) is None
    warm.together.clear()
    assert warm.deliver() is LaneOutcome.DELIVERED
    assert warm.together == []
    assert warm.fabric.recorder.ids() == ["gone", "behind"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_at_most_once_counts_what_it_handled_and_what_it_dropped(concurrency: int) -> None:
    fabric = fabric_of(Failing({"b1": 9}), guarantee="at_most_once", concurrency=concurrency)
    fabric.put(*named("a1", "b1", "c1", "b2"))
    fabric.deliver()
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 3
    assert Metric.EVENTS_DROPPED not in fabric.telemetry.totals
    drained(fabric)
    assert sorted(fabric.recorder.ids()) == ["a1", "b2", "c1"]


def test_events_that_there_was_no_time_for_are_counted_one_by_one_as_dropped() -> None:
    fabric = fabric_of(Failing({}), guarantee="at_most_once", batch_events_max=2)
    fabric.put(*named("a1", "b1"))
    fabric.recorder.before = lambda events: fabric.clock.advance(6)
    fabric.deliver(time_ms=10_000)
    for _ in range(2):
        fabric.put(*named("c1", "d1", "e1", "f1"))
    fabric.deliver(time_ms=10_000)
    handled = len(fabric.recorder.ids())
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == handled
    assert handled + fabric.telemetry.totals.get(Metric.EVENTS_DROPPED, 0) == fabric.cursor().sequence
