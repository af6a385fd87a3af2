"""The state in which a lane goes on where it is taken over: nothing in it is about the former owner."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric.model import Event, ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.crashing_handlers import Crashing, again
from tests.support.dead_letters import overtaken
from tests.support.failing_handlers import FEW, Failing, fabric_of, named, retry
from tests.support.handovers import hand_over, without_parked
from tests.support.memory_fabric import AWAY
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream

RARELY = retry(immediate=0, attempts=4, backoff_seconds=900.0, backoff_max_seconds=900.0)


def taken_over(fabric: SubscribedStream, *, handler: Recorder | None = None) -> SubscribedStream:
    """The fabric of AWAY, which everything was replicated to and the lanes were handed over to."""
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=handler)
    hand_over(away)
    return away


def test_a_key_that_waits_for_its_time_is_due_at_once() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1", "b1"), **RARELY)
    fabric.deliver()
    assert fabric.parked()["a"].due_ms > fabric.clock.now_ms() + 10_000
    away = taken_over(fabric)
    away.deliver()
    assert (away.recorder.ids(), away.parked()) == (["a1"], {})


def test_a_dead_key_is_as_it_was() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "a2"), **retry(immediate=0, attempts=1))
    fabric.deliver()
    before = fabric.parked()["a"]
    assert before.state is ParkedState.DEAD
    away = taken_over(fabric)
    away.deliver()
    after = away.parked()["a"]
    assert replace(after, version=before.version) == before


def test_an_attempt_of_a_parked_key_that_the_former_owner_had_begun_is_no_crash_of_its_event() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1", "b1"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    with pytest.raises(SimulatedCrash):
        again(
            fabric, 2, by=fabric.deliverer(faults=Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt")))
        )
    assert fabric.parked()["a"].attempting
    away = taken_over(fabric, handler=Recorder(before=Failing({"a1": 1})))
    away.deliver()
    assert Metric.EVENTS_CRASHED not in fabric.telemetry.totals
    parked = away.parked()["a"]
    assert (parked.attempting, parked.failure.attempts, parked.failure.crashes) == (False, 2, 0)


def test_an_attempt_of_the_next_event_that_the_former_owner_had_begun_is_no_crash_of_it() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"))
    with pytest.raises(SimulatedCrash):
        again(
            fabric, 2, by=fabric.deliverer(faults=Faults(nth(2, Fault.CRASH_BEFORE, name="handler.attempt")))
        )
    assert fabric.cursor().attempting
    away = taken_over(fabric)
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["b1"]
    assert Metric.EVENTS_CRASHED not in fabric.telemetry.totals


def test_crashes_of_the_event_that_the_cursor_is_at_stay_its_own_where_an_earlier_one_is_found_again() -> (
    None
):
    fabric = fabric_of(Crashing({"b1": 99}, {"a1": 99}), *named("a1", "b1"), **RARELY)
    for receive_count in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            again(fabric, receive_count)
    assert (set(fabric.parked()), fabric.cursor().sequence, fabric.cursor().crashes) == ({"a"}, 1, 1)
    fabric.cloud.replicate()
    without_parked(fabric)
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away)
    crashes: list[int] = []

    def look(events: Sequence[Event]) -> None:
        crashes.append(away.cursor().crashes)

    away.recorder.before = look
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert (away.recorder.ids(), crashes) == (["a1", "b1"], [1, 1])


def test_who_loses_the_race_to_take_over_looks_again_and_finds_what_the_other_did() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    away = taken_over(fabric)
    other = away.deliverer()
    faults = overtaken(1, by=lambda: away.deliver(by=other))
    assert away.deliver(by=away.deliverer(faults=faults)).outcome is LaneOutcome.DUPLICATE
    assert (away.recorder.ids(), away.cursor().epoch) == (["a1"], 1)
