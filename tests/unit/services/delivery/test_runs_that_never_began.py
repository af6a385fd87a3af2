"""Doorbells that were received before: a function that was throttled had never begun with them."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import LastingError, ThrottledError
from eventfabric.model import START
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.keys import record_key
from tests.support.crashing_handlers import Crashing
from tests.support.failing_handlers import Failing, fabric_of, named
from tests.support.memory_fabric import AWAY, LANE
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream

NAMES = [f"{letter}{number}" for letter in "abcdefghij" for number in range(1, 4)]


def came_again(fabric: SubscribedStream, times: int = 2, *, faults: Faults | None = None) -> LaneResult:
    """One lane run for a doorbell that was received so often, whatever became of the invocations before."""
    deadline_ms = fabric.clock.now_ms() + INVOCATION_MS
    by = fabric.deliverer(faults=faults)
    return by.deliver(fabric.bell(), deadline_ms=deadline_ms, receive_count=times)


@pytest.mark.parametrize("times", [2, 3, limits.RECEIVE_COUNT_MAX])
@pytest.mark.parametrize("guarantee", ["at_least_once", "at_most_once"])
def test_a_doorbell_that_nobody_began_with_costs_one_write_more_and_no_carefulness(
    times: int, guarantee: str
) -> None:
    fabric = fabric_of(Failing({}), *named(*NAMES), guarantee=guarantee)
    faults = Faults()
    assert came_again(fabric, times, faults=faults).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == NAMES
    other, first = fabric_of(Failing({}), *named(*NAMES), guarantee=guarantee), Faults()
    came_again(other, 1, faults=first)
    assert faults.count("ledger.commit") == 1 + first.count("ledger.commit") <= 3
    assert (fabric.cursor().sequence, fabric.cursor().running) == (len(NAMES), False)
    assert Metric.EVENTS_CRASHED not in fabric.telemetry.totals


def test_a_batch_handler_is_called_once_for_what_nobody_began_with() -> None:
    fabric = fabric_of(Failing({}), *named(*NAMES))
    fabric.recorder.batch_events_max = len(NAMES)
    came_again(fabric)
    assert len(fabric.recorder.attempts) == 1


def test_only_a_run_that_was_noted_and_never_heard_of_makes_the_next_one_careful() -> None:
    fabric = fabric_of(Crashing({"b1": 3}), *named("a1", "b1", "c1"))
    seen: list[tuple[bool, bool, int]] = []
    for times in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            came_again(fabric, times)
        seen.append((fabric.cursor().running, fabric.cursor().attempting, fabric.cursor().sequence))
    assert seen == [(False, False, 0), (True, False, 0), (False, True, 1)]
    assert came_again(fabric, 4).outcome is LaneOutcome.DELIVERED
    assert (fabric.cursor().sequence, fabric.cursor().running, fabric.cursor().crashes) == (3, False, 0)


def test_a_run_that_dies_before_its_first_attempt_leaves_its_note_too() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    fabric.put(*named("a2"))
    with pytest.raises(SimulatedCrash):
        came_again(fabric, faults=Faults(nth(1, Fault.CRASH_BEFORE, name="log.read")))
    assert fabric.cursor().running


@pytest.mark.parametrize(("settings", "ids"), [({}, ["a2", "a3"]), ({"on_expired": "skip"}, ["a2", "a3"])])
@pytest.mark.parametrize(("times", "failing_ms"), [(2, 0), (1, 1)])
def test_a_lane_that_never_began_and_whose_first_events_expired_begins_behind_them_all_the_same(
    settings: dict[str, Any], ids: list[str], times: int, failing_ms: int
) -> None:
    """A note would be a cursor at its first event, which a lane that has begun stops at."""
    fabric = SubscribedStream(retention_days=1, **settings)
    fabric.put(*named("a1"))
    fabric.clock.advance(2 * 86_400)
    fabric.put(*named("a2", "a3"))
    fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
    bell = replace(fabric.bell(), failing_ms=failing_ms)
    deadline_ms = fabric.clock.now_ms() + INVOCATION_MS
    assert fabric.deliverer().deliver(bell, deadline_ms=deadline_ms, receive_count=times).done
    assert (fabric.recorder.ids(), fabric.cursor().began) == (ids, 1)
    assert Metric.EVENTS_EXPIRED not in fabric.telemetry.totals


@pytest.mark.parametrize(("times", "ids"), [(1, ["a1"]), (2, ["a1", "a2"])])
def test_in_a_replica_a_doorbell_that_came_again_has_the_log_looked_at_whatever_its_tail(
    times: int, ids: list[str]
) -> None:
    """The run before may have died between two pages, and the doorbell of the second been used up at a hole."""
    fabric = SubscribedStream(delivered_in=AWAY, deliver="everywhere")
    for name in named("a1", "a2"):
        fabric.put(name)
        fabric.cloud.replicate()
        if fabric.cursor() == START:
            fabric.deliver()
    bell, deadline_ms = fabric.bell(tail=1), fabric.clock.now_ms() + INVOCATION_MS
    assert fabric.deliverer().deliver(bell, deadline_ms=deadline_ms, receive_count=times).done
    assert (fabric.recorder.ids(), fabric.cursor().running) == (ids, False)


def test_a_lane_that_stops_leaves_no_note_and_costs_nothing_where_there_is_nothing_to_do() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    faults = Faults()
    assert came_again(fabric, faults=faults).outcome is LaneOutcome.DUPLICATE
    assert faults.count("ledger.commit") == 0
    hole = fabric.record(fabric.put(*named("x1")).tail, *named("lost"))
    fabric.put(*named("y1"), log_lane_tail=hole.tail)
    assert came_again(fabric).outcome is LaneOutcome.HOLE
    assert (fabric.cursor().sequence, fabric.cursor().running) == (2, False)
    assert came_again(fabric, 3).outcome is LaneOutcome.HOLE
    assert not fabric.cursor().running


def test_a_new_doorbell_believes_no_note_of_an_old_run() -> None:
    fabric = fabric_of(Failing({}), *named(*NAMES))
    fabric.run_dies()
    faults = Faults()
    assert came_again(fabric, 1, faults=faults).outcome is LaneOutcome.DELIVERED
    assert faults.count("ledger.commit") == 1
    assert not fabric.cursor().running


@pytest.mark.parametrize("has_begun", [True, False])
def test_while_nothing_can_be_written_only_the_first_run_attempts_anything(has_begun: bool) -> None:
    failing = Failing({"a1": 99, "b1": 99})
    fabric = fabric_of(failing)
    if has_begun:
        fabric.put(*named("z1"))
        fabric.deliver()
    fabric.put(*named("a1", "b1"))
    by = fabric.deliverer(faults=Faults(lambda name, *_: Fault.DENIED if name == "ledger.commit" else None))
    tried: list[int] = []
    for number in range(4):
        fabric.put(*named(f"c{number}"))
        with pytest.raises(LastingError):
            by.deliver(fabric.bell(), deadline_ms=fabric.clock.now_ms() + INVOCATION_MS, receive_count=1)
        tried.append(len(failing.tried))
    assert tried == [tried[0]] * 4


def test_nor_is_it_where_the_next_try_of_the_same_doorbell_failed_before_it_came_so_far() -> None:
    fabric = fabric_of(Failing({}), *named("z"))
    fabric.deliver()
    fabric.put(*named(*NAMES))
    faults = Faults(nth(1, Fault.THROTTLED, name="log.read"), nth(2, Fault.THROTTLED, name="ledger.state"))
    by, bell = fabric.deliverer(faults=faults), replace(fabric.bell(), failing_ms=1)
    deadline_ms = fabric.clock.now_ms() + INVOCATION_MS
    for _ in range(2):
        with pytest.raises(ThrottledError):
            by.deliver(bell, deadline_ms=deadline_ms, receive_count=1)
    assert (fabric.cursor().running, by.ended_at(LANE)) == (True, fabric.cursor().version)
    again, counted = replace(bell, again=9, ended=by.ended_at(LANE)), Faults()
    by = fabric.deliverer(faults=counted)
    assert by.deliver(again, deadline_ms=deadline_ms, receive_count=2).outcome is LaneOutcome.DELIVERED
    assert counted.count("ledger.commit") == 2  # its note, and all of its events


def test_a_run_that_ended_with_a_failed_call_is_none_that_died() -> None:
    fabric = fabric_of(Failing({}), *named("z"))
    fabric.deliver()
    fabric.put(*named(*NAMES))
    by = fabric.deliverer(faults=Faults(nth(1, Fault.DENIED, name="log.read")))
    deadline_ms = fabric.clock.now_ms() + INVOCATION_MS
    with pytest.raises(Exception, match="simulated"):
        by.deliver(fabric.bell(), deadline_ms=deadline_ms, receive_count=2)
    assert fabric.cursor().running
    assert (
        by.deliver(fabric.bell(), deadline_ms=deadline_ms, receive_count=3).outcome is LaneOutcome.DELIVERED
    )
    assert fabric.recorder.ids() == ["z", *NAMES]
    assert fabric.cursor().version == 4  # the first event, the note of each run, and one commit
