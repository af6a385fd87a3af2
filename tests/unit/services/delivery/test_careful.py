"""Blame for a crash: only the event that was being attempted by itself gets it."""

from collections.abc import Sequence
from contextlib import suppress

import pytest

from eventfabric import limits
from eventfabric.model import Event, Lane, ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.crashing_handlers import Crashing, again, until_it_drains
from tests.support.failing_handlers import (
    FEW,
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    retry,
    the_dead_letter,
    waiting,
)
from tests.support.memory_fabric import LANE, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream

BEFORE, AFTER = Fault.CRASH_BEFORE, Fault.CRASH_AFTER


def dead(fabric: SubscribedStream, of: Lane = LANE) -> dict[str, str]:
    """The dead keys and their errors."""
    parked = fabric.parked(of)
    return {
        key: parked_event.failure.error_type
        for key, parked_event in parked.items()
        if parked_event.state is ParkedState.DEAD
    }


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_an_event_that_crashes_every_time_is_dead_and_all_others_are_handled(guarantee: str) -> None:
    crashing = Crashing({"b1": 999})
    fabric = fabric_of(crashing, *named("a1", "b1", "c1", "a2", "b2"), guarantee=guarantee)
    crashes = until_it_drains(fabric)
    assert dead(fabric) == {"b": "Crashed"}
    assert waiting(fabric, "b") == [1, 4]
    failure = fabric.parked()["b"].failure
    assert (failure.crashes, failure.attempts) == (limits.CRASHES_MAX, 0)
    assert crashes == 2 + limits.CRASHES_MAX  # the first two blame nobody
    assert set(fabric.recorder.ids()) == {"a1", "c1", "a2"}
    if guarantee == "exactly_once":
        assert fabric.effects() == {"a1": 1, "c1": 1, "a2": 1}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_parked_event_that_crashes_every_time_is_dead_and_all_others_are_handled(guarantee: str) -> None:
    crashing = Crashing({}, {"b1": 1, "c1": 1})
    fabric = fabric_of(crashing, *named("a1", "b1", "b2", "c1"), guarantee=guarantee, **FEW)
    fabric.deliver()
    crashing.crashes["b1"] = 999
    crashes = until_it_drains(fabric)
    assert dead(fabric) == {"b": "Crashed"}
    assert waiting(fabric, "b") == [1, 2]
    assert fabric.parked()["b"].failure.crashes == limits.CRASHES_MAX
    assert crashes == 2 + limits.CRASHES_MAX
    assert set(fabric.recorder.ids()) == {"a1", "c1"}


def test_a_dead_letter_that_crashed_says_which_event_it_is() -> None:
    fabric = fabric_of(Crashing({"b1": 999}), *named("a1", "b1"))
    until_it_drains(fabric)
    failure = fabric.parked()["b"].failure
    assert (failure.event_id, failure.event_type) == ("b1", named("b1")[0].type)


def test_a_dead_letter_that_crashed_says_nothing_of_the_event_of_its_key_that_failed_before() -> None:
    fabric = fabric_of(Crashing({"b2": 999}, {"b1": 1}), *named("b1", "b2"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    until_it_drains(fabric)
    assert dead(fabric) == {"b": "Crashed"}
    failure = fabric.parked()["b"].failure
    assert (failure.event_id, failure.attempts, failure.trace) == ("b2", 0, "")


def test_an_edited_event_that_crashes_too_is_dead_as_it_was_edited() -> None:
    crashing = Crashing({"b1": 999, "edited": 999})
    fabric = fabric_of(crashing, *named("a1", "b1"))
    until_it_drains(fabric)
    dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=event("edited", key="b"))
    until_it_drains(fabric)
    letter = the_dead_letter(fabric)
    edited = dead_letters(fabric).event(letter)
    assert edited is not None
    assert (edited.id, letter.parked.failure.event_id) == ("edited", "edited")
    crashing.crashes.clear()
    dead_letters(fabric).redrive(letter)
    until_it_drains(fabric)
    assert fabric.recorder.ids()[-1] == "edited"


def test_an_event_that_crashes_less_often_is_handled_at_last() -> None:
    fabric = fabric_of(Crashing({"b1": limits.CRASHES_MAX + 1}), *named("a1", "b1", "c1"))
    assert until_it_drains(fabric) == limits.CRASHES_MAX + 1
    assert dead(fabric) == {}
    assert set(fabric.recorder.ids()) == {"a1", "b1", "c1"}
    assert (fabric.cursor().crashes, fabric.cursor().attempting) == (0, False)


def test_many_events_that_crash_are_all_logged_before_the_queue_gives_their_doorbell_up() -> None:
    names = [f"{key}1" for key in "abcdefg"]
    fabric = fabric_of(Crashing(dict.fromkeys(names[1:6], 999)), *named(*names))
    until_it_drains(fabric)
    assert set(dead(fabric)) == {"b", "c", "d", "e", "f"}
    assert fabric.queue.dead_letters is not None
    assert len(fabric.queue.dead_letters) == 0
    assert set(fabric.recorder.ids()) == {"a1", "g1"}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_only_the_event_that_is_attempted_is_written_down(fault: Fault) -> None:
    fabric = fabric_of(Crashing({}), *named("a1", "b1", "c1"))
    faults = Faults(nth(2, fault, name="handler.attempt"))
    with pytest.raises(SimulatedCrash):
        again(fabric, 2, by=fabric.deliverer(faults=faults))
    cursor = fabric.cursor()
    assert (cursor.sequence, cursor.attempting, cursor.crashes) == (1, True, 0)
    assert again(fabric, 3).outcome is LaneOutcome.DELIVERED
    cursor = fabric.cursor()
    assert (cursor.sequence, cursor.attempting, cursor.crashes) == (3, False, 0)


def test_the_first_crash_blames_nobody() -> None:
    fabric = fabric_of(Crashing({"a1": 1}), *named("a1", "b1"))
    with pytest.raises(SimulatedCrash):
        fabric.deliver()
    assert (fabric.cursor().attempting, fabric.cursor().crashes) == (False, 0)


@pytest.mark.parametrize("call", ["ledger.state", "log.read", "ledger.standing"])
@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_a_crash_elsewhere_blames_nobody(call: str, fault: Fault) -> None:
    fabric = fabric_of(Crashing({}), *named("a1", "b1"))
    for receive_count in range(1, 3 * limits.CRASHES_MAX):
        with pytest.raises(SimulatedCrash):
            again(fabric, receive_count, by=fabric.deliverer(faults=Faults(nth(1, fault, name=call))))
    assert fabric.cursor().crashes == 0
    again(fabric, 30)
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert dead(fabric) == {}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_a_crash_in_the_commit_before_an_attempt_is_followed_by_the_attempt_all_the_same(
    fault: Fault,
) -> None:
    fabric = fabric_of(Crashing({}), *named("a1", "b1"))
    crashed = Faults(nth(1, fault, name="ledger.commit"))
    with pytest.raises(SimulatedCrash):
        again(fabric, 2, by=fabric.deliverer(faults=crashed))
    assert fabric.cursor().crashes == 0
    again(fabric, 3)
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert dead(fabric) == {}


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_crash_at_any_commit_of_a_careful_run_loses_nothing_and_kills_nothing(
    fault: Fault, number: int
) -> None:
    fabric = fabric_of(Crashing({}, {"b1": 2}), *named("a1", "b1", "c1", "b2"), **FEW)
    with suppress(SimulatedCrash):
        again(fabric, 2, by=fabric.deliverer(faults=Faults(nth(number, fault, name="ledger.commit"))))
    again(fabric, 3)
    until_it_drains(fabric)
    assert fabric.parked() == {}
    assert list(dict.fromkeys(fabric.recorder.ids())) in (["a1", "c1", "b1", "b2"], ["a1", "b1", "c1", "b2"])


def test_a_failure_is_committed_before_anything_else_could_crash() -> None:
    """Otherwise the crash would be put down to the event that only failed."""
    fabric = fabric_of(Crashing({"b1": 99}, {"a1": 99}), *named("a1", "b1"), **FEW)
    with pytest.raises(SimulatedCrash):
        again(fabric, 2)
    assert fabric.cursor().sequence == 1
    assert fabric.parked()["a"].failure.crashes == 0


def test_out_of_time_rings_anew_and_is_no_crash() -> None:
    fabric = SubscribedStream(handler=Recorder())
    fabric.recorder.before = lambda events: fabric.clock.advance(90)
    for next_event in named("a1", "b1", "c1"):
        fabric.put(next_event)
    assert again(fabric, 2).outcome is LaneOutcome.HANDED_BACK
    assert fabric.recorder.ids() == ["a1"]
    cursor = fabric.cursor()
    assert (cursor.sequence, cursor.attempting, cursor.crashes) == (1, False, 0)
    assert len(fabric.queue) == 1


def test_out_of_time_before_a_retry_is_no_crash_of_it() -> None:
    failing = Failing({"a1": 1, "b1": 1})
    fabric = fabric_of(failing, *named("a1", "b1"), **retry(immediate=0, attempts=100))
    fabric.deliver()
    fabric.recorder.before = lambda events: fabric.clock.advance(90)
    fabric.clock.advance(60)
    assert again(fabric, 2).outcome is LaneOutcome.HANDED_BACK
    assert fabric.recorder.ids() == ["a1"]
    parked = fabric.parked()["b"]
    assert (parked.attempting, parked.failure.crashes) == (False, 0)


def test_out_of_time_forgets_no_crash() -> None:
    crashing = Crashing({"a1": 3})
    fabric = fabric_of(crashing, *named("a1"))
    for receive_count in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            again(fabric, receive_count)
    bell, late = fabric.bell(), fabric.clock.now_ms()
    result = fabric.deliverer().deliver(bell, deadline_ms=late, receive_count=4)
    assert result.outcome is LaneOutcome.HANDED_BACK
    assert fabric.cursor().crashes == 2
    assert again(fabric, 5).outcome is LaneOutcome.DELIVERED


def test_a_careful_lane_of_many_pages_is_handed_back_page_by_page_in_one_moment() -> None:
    fabric = SubscribedStream()
    for number in range(2 * limits.PAGE_RECORDS_MAX + 5):
        fabric.put(event(f"e{number}", key=f"k{number}"))
    fabric.relay_all()
    fabric.recorder.before = Crashing({"e0": 2})
    assert until_it_drains(fabric) == 2
    assert fabric.recorder.ids() == fabric.logged_ids()


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("receive_count", [1, 2])
def test_a_consumer_that_slept_past_its_visibility_commits_nothing(
    guarantee: str, receive_count: int
) -> None:
    failing = Failing({"c1": 99})
    fabric = fabric_of(failing, *named("a1", "b1", "c1"), guarantee=guarantee, **FEW)
    other = fabric.deliverer()
    states: list[tuple[int, set[str], int]] = []

    def state() -> tuple[int, set[str], int]:
        return fabric.cursor().sequence, set(fabric.parked()), fabric.cursor().version

    def sleep(events: Sequence[Event]) -> None:
        if events[0].id == "b1" and not states:
            states.append((0, set(), 0))
            fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS + 1)
            again(fabric, 2, by=other)
            states.append(state())
        failing(events)

    fabric.recorder.before = sleep
    result = fabric.deliverer().deliver(
        fabric.bell(), deadline_ms=fabric.clock.now_ms() + INVOCATION_MS, receive_count=receive_count
    )
    assert result.outcome in (LaneOutcome.DUPLICATE, LaneOutcome.HANDED_BACK, LaneOutcome.DELIVERED)
    assert states[1][:2] == (3, {"c"})
    assert state()[:2] == states[1][:2]
    failing.times.clear()
    drained(fabric)
    assert fabric.parked() == {}
    if guarantee == "exactly_once":
        assert fabric.effects() == {"a1": 1, "b1": 1, "c1": 1}


def test_another_lane_of_the_same_invocation_is_not_blamed() -> None:
    fabric = fabric_of(Crashing({"a1": 999}), *named("a1", "b1"))
    fabric.put(*named("x1", "y1"), of=lane(1))
    until_it_drains(fabric)
    assert dead(fabric) == {"a": "Crashed"}
    assert dead(fabric, lane(1)) == {}
    assert set(fabric.recorder.ids()) == {"b1", "x1", "y1"}
