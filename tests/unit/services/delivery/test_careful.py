"""Blame for a crash: only the event that was being attempted by itself gets it."""

from collections.abc import Sequence
from contextlib import suppress

import pytest

from eventfabric import limits
from eventfabric.model.event import Event
from eventfabric.model.identity import Lane
from eventfabric.model.parked import ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.crashing_handlers import Crashing, again, until_it_drains
from tests.support.failing_handlers import (
    FEW,
    Failing,
    dead_letters,
    drained,
    named,
    retry,
    the_dead_letter,
    waiting,
    world_of,
)
from tests.support.memory_fabric import LANE, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream

BEFORE, AFTER = Fault.CRASH_BEFORE, Fault.CRASH_AFTER


def dead(world: SubscribedStream, of: Lane = LANE) -> dict[str, str]:
    """The dead keys and their errors."""
    parked = world.parked(of)
    return {
        key: parked_event.failure.error_type
        for key, parked_event in parked.items()
        if parked_event.state is ParkedState.DEAD
    }


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_an_event_that_crashes_every_time_is_dead_and_all_others_are_handled(guarantee: str) -> None:
    crashing = Crashing({"b1": 999})
    world = world_of(crashing, *named("a1", "b1", "c1", "a2", "b2"), guarantee=guarantee)
    crashes = until_it_drains(world)
    assert dead(world) == {"b": "Crashed"}
    assert waiting(world, "b") == [1, 4]
    failure = world.parked()["b"].failure
    assert (failure.crashes, failure.attempts) == (limits.CRASHES_MAX, 0)
    assert crashes == 2 + limits.CRASHES_MAX  # the first two blame nobody
    assert set(world.recorder.ids()) == {"a1", "c1", "a2"}
    if guarantee == "exactly_once":
        assert world.effects() == {"a1": 1, "c1": 1, "a2": 1}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_parked_event_that_crashes_every_time_is_dead_and_all_others_are_handled(guarantee: str) -> None:
    crashing = Crashing({}, {"b1": 1, "c1": 1})
    world = world_of(crashing, *named("a1", "b1", "b2", "c1"), guarantee=guarantee, **FEW)
    world.deliver()
    crashing.crashes["b1"] = 999
    crashes = until_it_drains(world)
    assert dead(world) == {"b": "Crashed"}
    assert waiting(world, "b") == [1, 2]
    assert world.parked()["b"].failure.crashes == limits.CRASHES_MAX
    assert crashes == 2 + limits.CRASHES_MAX
    assert set(world.recorder.ids()) == {"a1", "c1"}


def test_a_dead_letter_that_crashed_says_which_event_it_is() -> None:
    world = world_of(Crashing({"b1": 999}), *named("a1", "b1"))
    until_it_drains(world)
    failure = world.parked()["b"].failure
    assert (failure.event_id, failure.event_type) == ("b1", named("b1")[0].type)


def test_a_dead_letter_that_crashed_says_nothing_of_the_event_of_its_key_that_failed_before() -> None:
    world = world_of(Crashing({"b2": 999}, {"b1": 1}), *named("b1", "b2"), **FEW)
    world.deliver()
    world.clock.advance(60)
    until_it_drains(world)
    assert dead(world) == {"b": "Crashed"}
    failure = world.parked()["b"].failure
    assert (failure.event_id, failure.attempts, failure.trace) == ("b2", 0, "")


def test_an_edited_event_that_crashes_too_is_dead_as_it_was_edited() -> None:
    crashing = Crashing({"b1": 999, "edited": 999})
    world = world_of(crashing, *named("a1", "b1"))
    until_it_drains(world)
    dead_letters(world).redrive(the_dead_letter(world), replacement=event("edited", key="b"))
    until_it_drains(world)
    letter = the_dead_letter(world)
    edited = dead_letters(world).event(letter)
    assert edited is not None
    assert (edited.id, letter.parked.failure.event_id) == ("edited", "edited")
    crashing.crashes.clear()
    dead_letters(world).redrive(letter)
    until_it_drains(world)
    assert world.recorder.ids()[-1] == "edited"


def test_an_event_that_crashes_less_often_is_handled_at_last() -> None:
    world = world_of(Crashing({"b1": limits.CRASHES_MAX + 1}), *named("a1", "b1", "c1"))
    assert until_it_drains(world) == limits.CRASHES_MAX + 1
    assert dead(world) == {}
    assert set(world.recorder.ids()) == {"a1", "b1", "c1"}
    assert (world.cursor().crashes, world.cursor().attempting) == (0, False)


def test_many_events_that_crash_are_all_logged_before_the_queue_gives_their_doorbell_up() -> None:
    names = [f"{key}1" for key in "abcdefg"]
    world = world_of(Crashing(dict.fromkeys(names[1:6], 999)), *named(*names))
    until_it_drains(world)
    assert set(dead(world)) == {"b", "c", "d", "e", "f"}
    assert world.queue.dead_letters is not None
    assert len(world.queue.dead_letters) == 0
    assert set(world.recorder.ids()) == {"a1", "g1"}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_only_the_event_that_is_attempted_is_written_down(fault: Fault) -> None:
    world = world_of(Crashing({}), *named("a1", "b1", "c1"))
    faults = Faults(nth(2, fault, name="handler.attempt"))
    with pytest.raises(SimulatedCrash):
        again(world, 2, by=world.deliverer(faults=faults))
    cursor = world.cursor()
    assert (cursor.sequence, cursor.attempting, cursor.crashes) == (1, True, 0)
    assert again(world, 3).outcome is LaneOutcome.DELIVERED
    cursor = world.cursor()
    assert (cursor.sequence, cursor.attempting, cursor.crashes) == (3, False, 0)


def test_the_first_crash_blames_nobody() -> None:
    world = world_of(Crashing({"a1": 1}), *named("a1", "b1"))
    with pytest.raises(SimulatedCrash):
        world.deliver()
    assert (world.cursor().attempting, world.cursor().crashes) == (False, 0)


@pytest.mark.parametrize("call", ["ledger.state", "log.read", "ledger.standing"])
@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_a_crash_elsewhere_blames_nobody(call: str, fault: Fault) -> None:
    world = world_of(Crashing({}), *named("a1", "b1"))
    for receive_count in range(1, 3 * limits.CRASHES_MAX):
        with pytest.raises(SimulatedCrash):
            again(world, receive_count, by=world.deliverer(faults=Faults(nth(1, fault, name=call))))
    assert world.cursor().crashes == 0
    again(world, 30)
    assert world.recorder.ids() == ["a1", "b1"]
    assert dead(world) == {}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_a_crash_in_the_commit_before_an_attempt_is_followed_by_the_attempt_all_the_same(
    fault: Fault,
) -> None:
    world = world_of(Crashing({}), *named("a1", "b1"))
    crashed = Faults(nth(1, fault, name="ledger.commit"))
    with pytest.raises(SimulatedCrash):
        again(world, 2, by=world.deliverer(faults=crashed))
    assert world.cursor().crashes == 0
    again(world, 3)
    assert world.recorder.ids() == ["a1", "b1"]
    assert dead(world) == {}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_crash_at_any_commit_of_a_careful_run_loses_nothing_and_kills_nothing(
    fault: Fault, number: int
) -> None:
    world = world_of(Crashing({}, {"b1": 2}), *named("a1", "b1", "c1", "b2"), **FEW)
    with suppress(SimulatedCrash):
        again(world, 2, by=world.deliverer(faults=Faults(nth(number, fault, name="ledger.commit"))))
    again(world, 3)
    until_it_drains(world)
    assert world.parked() == {}
    assert list(dict.fromkeys(world.recorder.ids())) in (["a1", "c1", "b1", "b2"], ["a1", "b1", "c1", "b2"])


def test_a_failure_is_committed_before_anything_else_could_crash() -> None:
    """Otherwise the crash would be put down to the event that only failed."""
    world = world_of(Crashing({"b1": 99}, {"a1": 99}), *named("a1", "b1"), **FEW)
    with pytest.raises(SimulatedCrash):
        again(world, 2)
    assert world.cursor().sequence == 1
    assert world.parked()["a"].failure.crashes == 0


def test_out_of_time_rings_anew_and_is_no_crash() -> None:
    world = SubscribedStream(handler=Recorder())
    world.recorder.before = lambda events: world.clock.advance(90)
    for next_event in named("a1", "b1", "c1"):
        world.put(next_event)
    assert again(world, 2).outcome is LaneOutcome.HANDED_BACK
    assert world.recorder.ids() == ["a1"]
    cursor = world.cursor()
    assert (cursor.sequence, cursor.attempting, cursor.crashes) == (1, False, 0)
    assert len(world.queue) == 1


def test_out_of_time_before_a_retry_is_no_crash_of_it() -> None:
    failing = Failing({"a1": 1, "b1": 1})
    world = world_of(failing, *named("a1", "b1"), **retry(immediate=0, attempts=100))
    world.deliver()
    world.recorder.before = lambda events: world.clock.advance(90)
    world.clock.advance(60)
    assert again(world, 2).outcome is LaneOutcome.HANDED_BACK
    assert world.recorder.ids() == ["a1"]
    parked = world.parked()["b"]
    assert (parked.attempting, parked.failure.crashes) == (False, 0)


def test_out_of_time_forgets_no_crash() -> None:
    crashing = Crashing({"a1": 3})
    world = world_of(crashing, *named("a1"))
    for receive_count in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            again(world, receive_count)
    bell, late = world.bell(), world.clock.now_ms()
    result = world.deliverer().deliver(bell, deadline_ms=late, receive_count=4)
    assert result.outcome is LaneOutcome.HANDED_BACK
    assert world.cursor().crashes == 2
    assert again(world, 5).outcome is LaneOutcome.DELIVERED


def test_a_careful_lane_of_many_pages_is_handed_back_page_by_page_in_one_moment() -> None:
    world = SubscribedStream()
    for number in range(2 * limits.PAGE_RECORDS_MAX + 5):
        world.put(event(f"e{number}", key=f"k{number}"))
    world.relay_all()
    world.recorder.before = Crashing({"e0": 2})
    assert until_it_drains(world) == 2
    assert world.recorder.ids() == world.logged_ids()


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("receive_count", [1, 2])
def test_a_consumer_that_slept_past_its_visibility_commits_nothing(
    guarantee: str, receive_count: int
) -> None:
    failing = Failing({"c1": 99})
    world = world_of(failing, *named("a1", "b1", "c1"), guarantee=guarantee, **FEW)
    other = world.deliverer()
    states: list[tuple[int, set[str], int]] = []

    def state() -> tuple[int, set[str], int]:
        return world.cursor().sequence, set(world.parked()), world.cursor().version

    def sleep(events: Sequence[Event]) -> None:
        if events[0].id == "b1" and not states:
            states.append((0, set(), 0))
            world.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS + 1)
            again(world, 2, by=other)
            states.append(state())
        failing(events)

    world.recorder.before = sleep
    result = world.deliverer().deliver(
        world.bell(), deadline_ms=world.clock.now_ms() + INVOCATION_MS, receive_count=receive_count
    )
    assert result.outcome in (LaneOutcome.DUPLICATE, LaneOutcome.HANDED_BACK, LaneOutcome.DELIVERED)
    assert states[1][:2] == (3, {"c"})
    assert state()[:2] == states[1][:2]
    failing.times.clear()
    drained(world)
    assert world.parked() == {}
    if guarantee == "exactly_once":
        assert world.effects() == {"a1": 1, "b1": 1, "c1": 1}


def test_another_lane_of_the_same_invocation_is_not_blamed() -> None:
    world = world_of(Crashing({"a1": 999}), *named("a1", "b1"))
    world.put(*named("x1", "y1"), of=lane(1))
    until_it_drains(world)
    assert dead(world) == {"a": "Crashed"}
    assert dead(world, lane(1)) == {}
    assert set(world.recorder.ids()) == {"b1", "x1", "y1"}
