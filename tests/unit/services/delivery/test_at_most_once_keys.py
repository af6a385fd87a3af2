"""At most once beside parked keys: they are there by a replay of a key, or from when the guarantee was another."""

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.failing_handlers import (
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    retry,
    the_dead_letter,
)
from tests.support.memory_fabric import LANE
from tests.support.recording_handler import Recorder
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream, topology

SLOW = retry(immediate=0, attempts=5, backoff_seconds=100)


def replayed(failing: Failing, **settings: object) -> SubscribedStream:
    """A fabric in which a1, c1 and a2 were handled, and key a is replayed."""
    fabric = SubscribedStream(guarantee="at_most_once", **SLOW, **settings)  # type: ignore[arg-type]  # settings of a subscription
    for event in named("a1", "c1", "a2"):
        fabric.put(event)
    fabric.deliver()
    fabric.recorder.before = failing
    replay(fabric, 0, key="a")
    return fabric


def under_another_guarantee(failing: Failing, *names: str, **settings: object) -> SubscribedStream:
    """A fabric that was at least once as these were published, and is at most once now."""
    fabric = fabric_of(failing, *named(*names), **{**SLOW, **settings})
    fabric.deliver()
    fabric.topology = topology(guarantee="at_most_once")
    return fabric


def test_a_replayed_key_is_tried_once_event_by_event_and_no_new_event_overtakes_it() -> None:
    failing = Failing({"a1": 2})
    fabric = replayed(failing)
    fabric.put(*named("a3"))
    drained(fabric)
    assert failing.tried == ["a1", "a2", "a3"]
    assert fabric.parked() == {}


def test_an_event_of_a_key_that_is_not_due_waits_in_it() -> None:
    failing = Failing({"a1": 1})
    fabric = under_another_guarantee(failing, "a1")
    fabric.put(*named("a2", "b1"))
    fabric.deliver()
    assert failing.tried == ["a1", "b1"]
    drained(fabric)
    assert failing.tried == ["a1", "b1", "a2"]


@pytest.mark.parametrize("batch_events_max", [1, 3])
def test_batches_leave_out_what_waits(batch_events_max: int) -> None:
    failing = Failing({"a1": 99})
    fabric = under_another_guarantee(failing, "a1", batch_events_max=batch_events_max)
    fabric.put(*named("b1", "a2", "c1", "d1", "e1"))
    fabric.deliver()
    assert failing.tried == ["a1", "b1", "c1", "d1", "e1"]
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 2]


def test_what_was_attempted_under_another_guarantee_is_attempted_no_more_and_counted() -> None:
    failing = Failing({"a1": 1})
    fabric = under_another_guarantee(failing, "a1", "a2")
    drained(fabric)
    assert failing.tried == ["a1", "a2"]
    assert fabric.telemetry.totals[Metric.EVENTS_DROPPED] == 1


@pytest.mark.parametrize("calls", range(1, 12))
def test_an_event_of_a_parked_key_is_attempted_once_wherever_the_process_dies(calls: int) -> None:
    failing = Failing({})
    fabric = replayed(failing)
    try:
        fabric.deliver(by=fabric.deliverer(faults=Faults(nth(calls, Fault.CRASH_AFTER))))
    except SimulatedCrash:
        fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
    for _ in range(3):
        fabric.deliver()
    drained(fabric)
    assert len(failing.tried) == len(set(failing.tried))
    assert fabric.parked() == {}


def test_a_commit_without_a_reply_is_no_attempt() -> None:
    failing = Failing({})
    fabric = replayed(failing)
    lost = Faults(lambda name, number, of_name: Fault.LOST_REQUEST if name == "ledger.commit" else None)
    with pytest.raises(OutcomeUnknownError):
        fabric.deliver(by=fabric.deliverer(faults=lost))
    assert failing.tried == []
    drained(fabric)
    fabric.deliver()
    assert failing.tried == ["a1", "a2"]


def test_where_no_attempt_fits_any_more_nothing_is_dropped() -> None:
    fabric = replayed(Failing({}))
    slow = Recorder(before=lambda events: fabric.clock.advance(60))
    result = fabric.deliver(by=fabric.deliverer(handler=slow), time_ms=100_000)
    assert result.outcome is LaneOutcome.HANDED_BACK
    assert (slow.ids(), Metric.EVENTS_DROPPED in fabric.telemetry.totals) == (["a1"], False)
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [2]


def test_an_attempt_noted_under_another_guarantee_is_had() -> None:
    failing = Failing({})
    fabric = fabric_of(failing, *named("a1", "a2"))
    dies = Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt"))
    fabric.run_dies()
    with pytest.raises(SimulatedCrash):
        fabric.deliverer(faults=dies).deliver(
            fabric.bell(), deadline_ms=fabric.clock.now_ms() + 100_000, receive_count=2
        )
    assert fabric.cursor().attempting
    fabric.topology = topology(guarantee="at_most_once")
    fabric.deliver()
    assert failing.tried == ["a2"]
    assert fabric.telemetry.totals[Metric.EVENTS_DROPPED] == 1


def test_a_dead_letter_that_is_redriven_is_attempted_once() -> None:
    failing = Failing({"a1": 99})
    fabric = under_another_guarantee(failing, "a1", "a2", **retry(immediate=0, attempts=1))
    fabric.put(*named("a3"))
    fabric.deliver()
    assert failing.tried == ["a1"]
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    assert failing.tried == ["a1", "a1", "a2", "a3"]
    assert fabric.parked() == {}


def test_a_lane_whose_every_event_waits_is_passed() -> None:
    fabric = under_another_guarantee(Failing({"a1": 99}), "a1", **retry(immediate=0, attempts=1))
    fabric.put(*named("a2", "a3"))
    assert fabric.deliver(LANE).outcome is LaneOutcome.DELIVERED
    assert fabric.cursor().sequence == 3
