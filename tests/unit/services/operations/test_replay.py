"""Replays of a whole lane: where the cursor goes, what comes again, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ContendedCommitError, ReplayRefusedError, SettingError
from eventfabric.model import START, AtTime, Event, LaneIndex, ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.failing_handlers import FEW, Failing, drained, fabric_of, named, waiting
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import raises_with
from tests.support.recording_handler import Recorder
from tests.support.replays import at_sequence, replay, replay_of, the_plan
from tests.support.subscribed_stream import SubscribedStream


def delivered(*sizes: int, **settings: object) -> SubscribedStream:
    """A fabric with records of so many events, all of them handled."""
    fabric = SubscribedStream(**settings)  # type: ignore[arg-type]  # settings of a subscription
    number = 0
    for size in sizes:
        fabric.put(*(event(f"e{number + index}", key=f"k{number + index}") for index in range(size)))
        fabric.clock.advance(1)
        number += size
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    fabric.recorder.events.clear()
    fabric.recorder.replays.clear()
    return fabric


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("guarantee", ["at_least_once", "at_most_once", "exactly_once"])
def test_what_was_handled_from_there_on_comes_again_and_says_so_and_new_events_do_not(
    start: int, guarantee: str
) -> None:
    fabric = delivered(2, 3, 1, guarantee=guarantee)
    fabric.recorder.effects = False
    replay(fabric, start)
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (start, 6)
    fabric.put(event("new"))
    drained(fabric)
    again = [(f"e{number}", True) for number in range(start, 6)]
    assert fabric.recorder.handled() == [*again, ("new", False)]
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (7, 0)


@pytest.mark.parametrize("start", range(6))
def test_a_replayed_cursor_stands_where_it_stood_when_it_was_there(start: int) -> None:
    fabric = delivered(2, 3, 1)
    there = SubscribedStream()
    there.recorder.before = lambda events: there.clock.advance(60)
    for record in fabric.records():
        there.origin_log.append(record)
    for _ in range(start):
        there.deliver(time_ms=1)
    to = the_plan(fabric, start).to
    then = there.cursor()
    assert (to.sequence, to.base, to.chain) == (then.sequence, then.base, then.chain)


@pytest.mark.parametrize("batch_events_max", [2, 3, 100])
@pytest.mark.parametrize("guarantee", ["at_least_once", "at_most_once"])
def test_a_batch_never_mixes_replays_and_new_events(batch_events_max: int, guarantee: str) -> None:
    batches: list[list[str]] = []
    fabric = delivered(4, guarantee=guarantee)
    fabric.handler = Recorder(
        batch_events_max=batch_events_max,
        before=lambda events: batches.append([str(event.id) for event in events]),
    )
    fabric.put(*(event(f"n{number}") for number in range(3)))
    replay(fabric, 1)
    drained(fabric)
    assert [name for batch in batches for name in batch] == ["e1", "e2", "e3", "n0", "n1", "n2"]
    assert all(len({name[0] for name in batch}) == 1 for batch in batches)
    assert fabric.recorder.replays == [True] * 3 + [False] * 3


def test_a_replay_that_ends_inside_a_record_goes_on_inside_it() -> None:
    fabric = SubscribedStream()
    fabric.recorder.before = lambda events: fabric.clock.advance(60)
    fabric.put(*(event(name) for name in "abcd"))
    for _ in range(2):
        fabric.deliver(time_ms=1)
    assert fabric.cursor().sequence == 2
    replay(fabric, 0)
    fabric.recorder.before = lambda events: None
    drained(fabric)
    assert fabric.recorder.handled()[2:] == [("a", True), ("b", True), ("c", False), ("d", False)]
    assert fabric.cursor().chain == fabric.records()[-1].chain


def test_a_replay_of_a_replay_ends_where_the_first_would_have() -> None:
    fabric = delivered(5)
    replay(fabric, 3)
    replay(fabric, 1)
    drained(fabric)
    assert fabric.recorder.handled() == [(f"e{number}", True) for number in range(1, 5)]


def test_the_latency_of_events_that_come_again_is_not_counted() -> None:
    fabric = delivered(2, 1)
    fabric.telemetry.totals.clear()
    replay(fabric, 0)
    drained(fabric)
    assert Metric.DELIVERY_LATENCY not in fabric.telemetry.totals
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 3


@pytest.mark.parametrize("after_ms", [-5_000, 0, 1, 500, 1_000, 1_001, 2_000, 2_001, 60_000])
def test_a_time_is_the_first_record_at_or_after_it(after_ms: int) -> None:
    fabric = SubscribedStream()
    began_ms = fabric.clock.now_ms()
    for number in range(3):
        fabric.put(event(f"{number}a"), event(f"{number}b"))
        fabric.clock.advance(1)
    fabric.deliver()
    fabric.clock.advance(3_600)
    plans = replay_of(fabric).plan(AtTime(began_ms + after_ms))
    first = max(0, -(-after_ms // 1_000))
    assert [plan.to.sequence for plan in plans if plan.changes_anything] == [2 * first] * (first < 3)


def test_a_time_is_found_in_about_log2_reads() -> None:
    fabric = SubscribedStream()
    for number in range(500):
        fabric.put(event(f"{number}"))
    while fabric.cursor().sequence < 500:
        fabric.deliver()
    middle = fabric.records()[313]
    faults = Faults()
    (plan, _) = replay_of(fabric, faults=faults).plan(AtTime(middle.time >> 16))
    assert plan.to.sequence <= 313
    assert faults.count("log.tail") <= 2 + 9 + 2
    assert faults.count("log.read") == 0


def test_what_waits_from_there_on_comes_with_the_cursor_and_what_waits_before_it_stays() -> None:
    """a waits from before the place on, b from behind it: no event is handled by both, and each key keeps its order."""
    failing = Failing({"a1": 99, "b2": 99})
    fabric = drained(fabric_of(failing, *named("a1", "b1", "a2", "b2", "a3", "b3"), **FEW))
    assert (waiting(fabric, "a"), waiting(fabric, "b")) == ([0, 2, 4], [3, 5])
    replay(fabric, 1)
    assert waiting(fabric, "a") == [0]
    assert set(fabric.parked()) == {"a"}
    assert fabric.parked()["a"].state is ParkedState.DEAD
    failing.times.clear()
    drained(fabric)
    assert waiting(fabric, "a") == [0, 2, 4]
    assert [place.replay for place in fabric.parked()["a"].waiting] == [False, True, True]
    assert fabric.recorder.handled() == [("b1", False), ("b1", True), ("b2", True), ("b3", True)]


def test_a_retrying_key_keeps_its_due_time_and_its_attempts() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "b1", "a2"), **FEW)
    fabric.deliver()
    before = fabric.parked()["a"]
    replay(fabric, 1)
    after = fabric.parked()["a"]
    assert (after.due_ms, after.failure) == (before.due_ms, before.failure)
    failing.times.clear()
    drained(fabric)
    assert fabric.recorder.handled() == [("b1", False), ("a1", False), ("b1", True), ("a2", True)]


def test_a_lane_whose_cursor_is_before_that_place_stays_and_so_do_other_regions_lanes() -> None:
    fabric = delivered(4)
    fabric.put(event("x"), of=lane(1))
    fabric.deliver(lane(1))
    before = {
        other_lane: fabric.cursor(other_lane) for other_lane in (LANE, lane(1), lane(0, AWAY), lane(1, AWAY))
    }
    done = replay(fabric, 2)
    assert [result.plan.lane for result in done] == [LANE, lane(1)]
    assert fabric.cursor(LANE).sequence == 2
    assert all(fabric.cursor(lane) == before[lane] for lane in before if lane != LANE)


def test_one_lane_alone() -> None:
    fabric = delivered(2)
    fabric.put(event("x"), of=lane(1))
    fabric.deliver(lane(1))
    assert [result.plan.lane for result in replay(fabric, 0, lane=lane(1))] == [lane(1)]
    assert (fabric.cursor(LANE).sequence, fabric.cursor(lane(1)).sequence) == (2, 0)


def test_one_commit_one_note_for_reconciliation_and_one_ring_a_lane() -> None:
    fabric = delivered(2, 2)
    replay = replay_of(fabric)
    (plan, other) = replay.plan(at_sequence(1))
    faults = Faults()
    carrying = replay_of(fabric, faults=faults)
    carrying.plan(at_sequence(1))
    faults.calls.clear()
    carrying.carry_out(plan)
    assert faults.calls == ["ledger.commit", "ledger.see", "doorbells.ring"]
    carrying.carry_out(other)
    assert len(faults.calls) == 3
    (bell,) = fabric.receive()
    assert f'"again":{fabric.cursor().version}' in bell.body


def test_a_ring_that_is_lost_is_reported_and_costs_time_only() -> None:
    fabric = delivered(2)
    replay = replay_of(fabric, faults=Faults(nth(1, Fault.THROTTLED, name="doorbells.ring")))
    plan = replay.plan(at_sequence(0))[0]
    assert not replay.carry_out(plan).rung
    assert len(fabric.queue) == 0
    fabric.ring_all([LANE])
    fabric.deliver_all()
    assert fabric.recorder.handled() == [("e0", True), ("e1", True)]


def test_deliveries_that_go_on_meanwhile_are_read_again_and_replayed_too() -> None:
    fabric = delivered(2)
    replay = replay_of(fabric)
    plan = replay.plan(at_sequence(1))[0]
    fabric.put(event("late"))
    fabric.deliver()
    assert replay.carry_out(plan).plan.read.sequence == 3
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (1, 3)


def test_a_lane_that_is_overtaken_again_and_again_is_left_as_it_is() -> None:
    fabric = delivered(2)

    def overtake(called: str, overall: int, of_name: int) -> None:
        if called == "ledger.commit":
            fabric.put(event(f"late{of_name}"))
            fabric.deliver()

    replay = replay_of(fabric, faults=Faults(overtake))
    plan = replay.plan(at_sequence(1))[0]
    with raises_with(ContendedCommitError, f"lane {LANE} of billing", "busy"):
        replay.carry_out(plan)
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (2 + limits.LANE_RACES_MAX, 0)


def test_a_delivery_that_a_replay_overtakes_reads_again() -> None:
    fabric = delivered(3)
    fabric.put(event("new"))
    overtaken: list[Sequence[Event]] = []

    def before(events: Sequence[Event]) -> None:
        if not overtaken:
            overtaken.append(events)
            replay(fabric, 1)

    fabric.recorder.before = before
    drained(fabric)
    assert fabric.recorder.handled() == [("new", False), ("e1", True), ("e2", True), ("new", False)]
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_crash_anywhere_leaves_the_lane_replayed_or_as_it_was(fault: Fault, number: int) -> None:
    failing = Failing({"b1": 99})
    fabric = drained(fabric_of(failing, *named("a1", "b1", "c1"), **FEW))
    failing.times.clear()
    before = fabric.cursor(), fabric.parked()
    replay = replay_of(fabric, faults=Faults(nth(number, fault)))
    try:
        replay.carry_out(replay.plan(at_sequence(1), lane=LANE)[0])
    except SimulatedCrash:
        pass
    else:
        assert number > 5
    if fabric.cursor().sequence == 3:
        assert (fabric.cursor(), fabric.parked()) == before
        return
    assert (fabric.cursor().sequence, fabric.parked()) == (1, {})
    fabric.ring_all([LANE])
    drained(fabric)
    assert fabric.recorder.handled()[2:] == [("b1", True), ("c1", True)]


def test_counting_leaves_out_what_the_subscription_does_not_want() -> None:
    fabric = SubscribedStream(types=["paid"])
    for number in range(limits.PAGE_RECORDS_MAX + 5):
        fabric.put(event(f"p{number}", type="paid"), event(f"q{number}"))
    fabric.deliver()
    assert the_plan(fabric, 10).events == 200
    assert the_plan(fabric, 10, counts=True).events == 100


def test_a_lane_that_a_crash_makes_careful_is_no_more_after_the_cursor_moved() -> None:
    fabric = delivered(2)
    read = fabric.cursor()
    ledger = fabric.cloud.ledger(fabric.region)
    ledger.commit(
        replay_of(fabric)._key(fabric.subscription, LANE), read, replace(read, attempting=True, crashes=2)
    )
    replay(fabric, 0)
    assert (fabric.cursor().attempting, fabric.cursor().crashes) == (False, 0)


def test_a_subscription_that_was_never_delivered_has_nothing_to_replay() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    assert not any(plan.changes_anything for plan in replay_of(fabric).plan(at_sequence(0)))
    assert fabric.cursor() == START


def test_a_replay_that_is_refused_says_why_and_changes_nothing() -> None:
    fabric = delivered(3)
    before = fabric.cursor()
    now_ms = fabric.clock.now_ms()
    with raises_with(ReplayRefusedError, "sequence 4", f"{LANE} ends at 3"):
        replay(fabric, 4)
    with raises_with(ReplayRefusedError, AtTime(now_ms + 1), "future", AtTime(now_ms)):
        replay(fabric, AtTime(now_ms + 1))
    with raises_with(SettingError, "lane", lane(2), f"{LANE} to {lane(1, AWAY)}"):
        replay(fabric, 0, lane=lane(2))
    with raises_with(ReplayRefusedError, lane(0, AWAY), "billing", f"not delivered by {HOME}"):
        replay(fabric, 0, lane=lane(0, AWAY))
    with raises_with(ReplayRefusedError, "--from", "billing", f"{LANE} is at 3"):
        replay_of(fabric).plan(None)
    assert not any(plan.changes_anything for plan in replay_of(fabric).plan(at_sequence(3)))
    assert fabric.cursor() == before


def test_a_subscription_may_refuse() -> None:
    fabric = delivered(3, replay=False)
    with pytest.raises(ReplayRefusedError, match="billing has replay = false"):
        replay_of(fabric)


@pytest.mark.parametrize("keys", [limits.TRANSACTION_ACTIONS_MAX - 1, limits.TRANSACTION_ACTIONS_MAX])
def test_more_parked_keys_than_a_commit_takes_are_refused(keys: int) -> None:
    settings = {"breaker.parked_keys": 1000, "breaker.failure_ratio": 1.0, **FEW}
    failing = Failing({f"{number}": 99 for number in range(keys)})
    fabric = fabric_of(failing, event("fine", key="fine"), **settings)
    for number in range(keys):
        fabric.put(event(f"{number}", key=f"{number}"))
    fabric.deliver()
    while fabric.cursor().sequence < keys + 1:
        fabric.deliver()
    assert len(fabric.parked()) == keys
    if keys < limits.TRANSACTION_ACTIONS_MAX:
        replay(fabric, 1)
        assert (fabric.cursor().sequence, fabric.parked()) == (1, {})
        return
    facts = f"{keys} parked keys", LANE, "sequence 1", f"commit takes {limits.TRANSACTION_ACTIONS_MAX - 1}"
    with raises_with(ReplayRefusedError, *facts):
        replay(fabric, 1)
    assert fabric.cursor().sequence == keys + 1


def test_lanes_have_their_own_parked_keys() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"), **FEW)
    fabric.put(event("x", key="a"), of=lane(LaneIndex(1)))
    drained(fabric)
    replay(fabric, 0, lane=lane(1))
    assert waiting(fabric, "a") == [0]
