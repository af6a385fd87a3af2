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
    named,
    retry,
    the_dead_letter,
    world_of,
)
from tests.support.memory_fabric import LANE
from tests.support.recording_handler import Recorder
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream, topology

SLOW = retry(immediate=0, attempts=5, backoff_seconds=100)


def replayed(failing: Failing, **settings: object) -> SubscribedStream:
    """A world in which a1, c1 and a2 were handled, and key a is replayed."""
    world = SubscribedStream(guarantee="at_most_once", **SLOW, **settings)  # type: ignore[arg-type]  # settings of a subscription
    for event in named("a1", "c1", "a2"):
        world.put(event)
    world.deliver()
    world.recorder.before = failing
    replay(world, 0, key="a")
    return world


def under_another_guarantee(failing: Failing, *names: str, **settings: object) -> SubscribedStream:
    """A world that was at least once as these were published, and is at most once now."""
    world = world_of(failing, *named(*names), **{**SLOW, **settings})
    world.deliver()
    world.topology = topology(guarantee="at_most_once")
    return world


def test_a_replayed_key_is_tried_once_event_by_event_and_no_new_event_overtakes_it() -> None:
    failing = Failing({"a1": 2})
    world = replayed(failing)
    world.put(*named("a3"))
    drained(world)
    assert failing.tried == ["a1", "a2", "a3"]
    assert world.parked() == {}


def test_an_event_of_a_key_that_is_not_due_waits_in_it() -> None:
    failing = Failing({"a1": 1})
    world = under_another_guarantee(failing, "a1")
    world.put(*named("a2", "b1"))
    world.deliver()
    assert failing.tried == ["a1", "b1"]
    drained(world)
    assert failing.tried == ["a1", "b1", "a2"]


@pytest.mark.parametrize("batch_events_max", [1, 3])
def test_batches_leave_out_what_waits(batch_events_max: int) -> None:
    failing = Failing({"a1": 99})
    world = under_another_guarantee(failing, "a1", batch_events_max=batch_events_max)
    world.put(*named("b1", "a2", "c1", "d1", "e1"))
    world.deliver()
    assert failing.tried == ["a1", "b1", "c1", "d1", "e1"]
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 2]


def test_what_was_attempted_under_another_guarantee_is_attempted_no_more_and_counted() -> None:
    failing = Failing({"a1": 1})
    world = under_another_guarantee(failing, "a1", "a2")
    drained(world)
    assert failing.tried == ["a1", "a2"]
    assert world.telemetry.totals[Metric.EVENTS_DROPPED] == 1


@pytest.mark.parametrize("calls", range(1, 12))
def test_an_event_of_a_parked_key_is_attempted_once_wherever_the_process_dies(calls: int) -> None:
    failing = Failing({})
    world = replayed(failing)
    try:
        world.deliver(by=world.deliverer(faults=Faults(nth(calls, Fault.CRASH_AFTER))))
    except SimulatedCrash:
        world.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
    for _ in range(3):
        world.deliver()
    drained(world)
    assert len(failing.tried) == len(set(failing.tried))
    assert world.parked() == {}


def test_a_commit_without_a_reply_is_no_attempt() -> None:
    failing = Failing({})
    world = replayed(failing)
    lost = Faults(lambda name, number, of_name: Fault.LOST_REQUEST if name == "ledger.commit" else None)
    with pytest.raises(OutcomeUnknownError):
        world.deliver(by=world.deliverer(faults=lost))
    assert failing.tried == []
    drained(world)
    world.deliver()
    assert failing.tried == ["a1", "a2"]


def test_where_no_attempt_fits_any_more_nothing_is_dropped() -> None:
    world = replayed(Failing({}))
    slow = Recorder(before=lambda events: world.clock.advance(60))
    result = world.deliver(by=world.deliverer(handler=slow), time_ms=100_000)
    assert result.outcome is LaneOutcome.HANDED_BACK
    assert (slow.ids(), Metric.EVENTS_DROPPED in world.telemetry.totals) == (["a1"], False)
    assert [place.sequence for place in world.parked()["a"].waiting] == [2]


def test_an_attempt_noted_under_another_guarantee_is_had() -> None:
    failing = Failing({})
    world = world_of(failing, *named("a1", "a2"))
    dies = Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt"))
    world.run_dies()
    with pytest.raises(SimulatedCrash):
        world.deliverer(faults=dies).deliver(
            world.bell(), deadline_ms=world.clock.now_ms() + 100_000, receive_count=2
        )
    assert world.cursor().attempting
    world.topology = topology(guarantee="at_most_once")
    world.deliver()
    assert failing.tried == ["a2"]
    assert world.telemetry.totals[Metric.EVENTS_DROPPED] == 1


def test_a_dead_letter_that_is_redriven_is_attempted_once() -> None:
    failing = Failing({"a1": 99})
    world = under_another_guarantee(failing, "a1", "a2", **retry(immediate=0, attempts=1))
    world.put(*named("a3"))
    world.deliver()
    assert failing.tried == ["a1"]
    dead_letters(world).redrive(the_dead_letter(world))
    drained(world)
    assert failing.tried == ["a1", "a1", "a2", "a3"]
    assert world.parked() == {}


def test_a_lane_whose_every_event_waits_is_passed() -> None:
    world = under_another_guarantee(Failing({"a1": 99}), "a1", **retry(immediate=0, attempts=1))
    world.put(*named("a2", "a3"))
    assert world.deliver(LANE).outcome is LaneOutcome.DELIVERED
    assert world.cursor().sequence == 3
