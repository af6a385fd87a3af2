"""Events that fail: the key is parked, tried again by timers, freed or dead."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from eventfabric import limits
from eventfabric.errors import ParkedFullError, PortError, UndecodablePayloadError, UndecodableRecordError
from eventfabric.model.event import Event
from eventfabric.model.parked import ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random, nth
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import (
    BAD_ORDER,
    FEW,
    BadOrder,
    Failing,
    WorseOrder,
    breaker,
    dead_letters,
    drained,
    named,
    retry,
    the_dead_letter,
    waiting,
    world_of,
)
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.recording_handler import EFFECTS
from tests.support.subscribed_stream import SubscribedStream, topology


def test_a_failing_event_parks_its_key_and_the_other_keys_of_the_lane_go_on() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1", "b1", "a2", "c1", "a3", "b2"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["b1", "c1", "b2"]
    assert waiting(world, "a") == [0, 2, 4]
    assert set(world.parked()) == {"a"}
    assert world.cursor().sequence == 6
    assert world.faults.count("ledger.commit") == 1


def test_events_that_come_later_wait_too_and_are_handled_in_order_after_the_retry() -> None:
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1", "a2"))
    world.deliver()
    for next_event in named("a3", "b1"):
        world.put(next_event)
    world.deliver()
    assert waiting(world, "a") == [0, 1, 2]
    failing.times.clear()
    world.deliver_all()
    assert world.recorder.ids() == ["b1", "a1", "a2", "a3"]
    assert world.parked() == {}
    assert world.telemetry.totals[Metric.KEYS_FREED] == 1


def test_the_second_waiting_event_fails_by_itself_with_all_its_attempts_before_it() -> None:
    world = world_of(Failing({"a1": 3, "a2": 3}), *named("a1", "a2", "a3"), **FEW)
    drained(world)
    assert world.recorder.ids() == ["a1", "a2", "a3"]
    assert world.parked() == {}


@pytest.mark.parametrize(("immediate", "attempts"), [(0, 1), (0, 4), (2, 2), (2, 3), (2, 8), (10, 100)])
def test_an_event_is_dead_after_just_so_many_attempts(immediate: int, attempts: int) -> None:
    failing = Failing({"a1": 999})
    world = world_of(failing, *named("a1"), **retry(immediate=immediate, attempts=attempts))
    drained(world)
    assert failing.tried == ["a1"] * attempts
    assert [attempt.number for attempt in world.recorder.attempts] == list(range(1, attempts + 1))
    (parked,) = world.parked().values()
    assert parked.state is ParkedState.DEAD
    assert parked.failure.attempts == attempts
    assert parked.failure.error_type == BAD_ORDER
    assert parked.failure.hint
    assert world.telemetry.totals[Metric.DEAD_LETTERS] == 1


def test_a_retry_is_one_try() -> None:
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1"), **retry(immediate=2))
    world.deliver()
    assert len(failing.tried) == 3
    world.clock.advance(2)
    world.deliver(tail=0)
    assert len(failing.tried) == 4


@pytest.mark.parametrize(
    "error",
    [BadOrder, WorseOrder, lambda name: UndecodablePayloadError(name)],
    ids=["named", "subclass", "undecodable"],
)
def test_what_no_attempt_can_mend_is_dead_at_once(error: Callable[[str], Exception]) -> None:
    failing = Failing({"a1": 99}, error)
    world = world_of(failing, *named("a1", "b1"), **retry(permanent=[BAD_ORDER]))
    world.deliver()
    assert failing.tried == ["a1", "b1"]
    assert world.parked()["a"].state is ParkedState.DEAD
    assert world.timers.next_due_ms() is None


def test_other_exceptions_than_the_permanent_are_retried() -> None:
    world = world_of(Failing({"a1": 99}, KeyError), *named("a1"), **retry(permanent=[BAD_ORDER]))
    world.deliver()
    assert world.parked()["a"].state is ParkedState.RETRYING


def test_a_dead_key_keeps_its_later_events_in_order_until_it_is_redriven() -> None:
    failing = Failing({"a1": 99})
    world = drained(world_of(failing, *named("a1", "a2"), **FEW))
    drained_again = [world.put(event) for event in named("a3", "b1")]
    drained(world)
    assert drained_again
    assert world.recorder.ids() == ["b1"]
    assert waiting(world, "a") == [0, 1, 2]
    failing.times.clear()
    dead_letters(world).redrive(the_dead_letter(world))
    world.deliver_all()
    assert world.recorder.ids() == ["b1", "a1", "a2", "a3"]
    assert world.parked() == {}


def test_a_discarded_event_is_dropped_and_those_behind_it_are_handled() -> None:
    world = drained(world_of(Failing({"a1": 99}), *named("a1", "a2", "a3"), **FEW))
    dead_letters(world).discard(the_dead_letter(world))
    world.deliver_all()
    assert world.recorder.ids() == ["a2", "a3"]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_without_order_nothing_waits_behind_a_failed_event(guarantee: str) -> None:
    failing, events = Failing({"a1": 99, "a3": 2}), named("a1", "a2", "a3", "a4")
    world = world_of(failing, *events, guarantee=guarantee, order="none", **FEW)
    if guarantee == "exactly_once":
        world.recorder.effects = False  # they ask for the order of keys
    drained(world)
    assert world.recorder.ids() == ["a2", "a4", "a3"]
    assert waiting(world, "a") == [0]
    assert world.parked()["a"].state is ParkedState.DEAD


def test_waits_are_bounded_and_double_and_each_due_time_has_a_timer() -> None:
    settings = retry(immediate=0, attempts=12, backoff_seconds=2.0, backoff_max_seconds=50.0)
    world = world_of(Failing({"a1": 99}), *named("a1"), **settings)
    world.deliver()
    waits: list[int] = []
    while (parked := world.parked()["a"]).state is ParkedState.RETRYING:
        waits.append(parked.due_ms - parked.failure.last_ms)
        timer_ms = world.timers.next_due_ms()
        assert timer_ms is not None
        assert parked.due_ms <= timer_ms <= parked.due_ms + 1000
        world.clock.advance((timer_ms - world.clock.now_ms()) / 1000)
        world.timers.take()
        world.deliver(tail=0)
    assert len(waits) == 11
    for number, wait_ms in enumerate(waits):
        assert 0 < wait_ms <= 1000 * min(50.0, 2.0 * 2**number)


def test_the_timer_is_sent_before_the_commit_and_again_where_it_was_not() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1"))
    faults = Faults(nth(1, Fault.LOST_REQUEST, name="doorbells.ring_later"))
    world.deliver(by=world.deliverer(faults=faults))
    assert faults.calls[-3:] == ["doorbells.ring_later", "doorbells.ring_later", "ledger.commit"]


def test_where_no_timer_can_be_had_the_key_is_parked_all_the_same_and_tried_with_the_lanes_next_ring() -> (
    None
):
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1"))
    no_timers = Faults(at_random(1.0, [Fault.THROTTLED], seed=0, names=["doorbells.ring_later"]))
    before_ms = world.clock.now_ms()
    world.deliver(by=world.deliverer(faults=no_timers))
    assert (world.cursor().sequence, list(world.parked())) == (1, ["a"])
    assert len(world.timers) == 0
    assert world.clock.now_ms() - before_ms <= 1000 * limits.LANE_PATIENCE_SECONDS
    world.clock.advance(3600)
    failing.times.clear()
    world.deliver(tail=0)
    assert world.parked() == {}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize(
    "fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.CRASH_BEFORE, Fault.CRASH_AFTER]
)
def test_parked_keys_and_the_cursor_are_committed_together_or_not_at_all(
    guarantee: str, fault: Fault
) -> None:
    failing = Failing({"b1": 99})
    world = world_of(failing, *named("a1", "b1", "c1"), guarantee=guarantee, **FEW)
    faults = Faults(at_random(1.0, [fault], seed=0, names=["ledger.commit"]))
    with pytest.raises((PortError, SimulatedCrash)):
        world.deliver(by=world.deliverer(faults=faults))
    done = fault in (Fault.LOST_REPLY, Fault.CRASH_AFTER)
    assert (world.cursor().sequence, list(world.parked())) == ((3, ["b"]) if done else (0, []))
    failing.times.clear()
    drained(world)
    assert list(dict.fromkeys(world.recorder.ids())) in (["a1", "c1", "b1"], ["a1", "b1", "c1"], ["a1", "c1"])
    assert set(world.recorder.ids()) == {"a1", "b1", "c1"}
    if guarantee == "exactly_once":
        assert world.effects() == {"a1": 1, "b1": 1, "c1": 1}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_key_that_a_twin_frees_while_an_event_is_added_costs_the_commit_and_nothing_waits_for_ever(
    guarantee: str,
) -> None:
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1"), guarantee=guarantee)
    world.deliver()
    for next_event in named("b1", "a2"):
        world.put(next_event)
    twin = world.deliverer()
    overtaken: list[LaneOutcome] = []

    def overtake(events: Sequence[Event]) -> None:
        if events[0].id == "b1" and not overtaken:
            overtaken.append(LaneOutcome.CONTENDED)
            failing.times.clear()
            world.clock.advance(60)
            overtaken.append(world.deliver(tail=0, by=twin).outcome)
        failing(events)

    world.recorder.before = overtake
    assert world.deliver().outcome in (LaneOutcome.DELIVERED, LaneOutcome.DUPLICATE)
    assert world.telemetry.totals[Metric.COMMITS_LOST] == 1
    world.deliver_all()
    assert world.parked() == {}
    assert list(dict.fromkeys(one for one in world.recorder.ids() if one[0] == "a")) == ["a1", "a2"]
    if guarantee == "exactly_once":
        assert world.effects() == {"a1": 1, "a2": 1, "b1": 1}


def test_too_many_parked_keys_halt_the_lane_before_the_next_and_it_goes_on_once_one_is_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PARKED_KEYS_MAX", 2)
    failing = Failing({"a1": 99, "b1": 99, "d1": 99})
    world = world_of(failing, *named("a1", "b1", "c1", "d1", "e1"))
    result = world.deliver()
    assert isinstance(result.cause, ParkedFullError)
    assert not result.done
    assert (world.cursor().sequence, set(world.parked())) == (3, {"a", "b"})
    failing.times = {"d1": 1}
    drained(world)
    assert world.parked() == {}
    assert set(world.recorder.ids()) == {"a1", "b1", "c1", "d1", "e1"}


@pytest.mark.parametrize("batch_events_max", [1, 2, 5])
def test_a_key_with_more_waiting_events_than_it_lists_goes_on_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, batch_events_max: int
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1", "a2", "b1", "a3", "c1"), batch_events_max=batch_events_max)
    for _ in range(2):
        assert world.deliver().outcome in (LaneOutcome.DELIVERED, LaneOutcome.DUPLICATE)
        assert (world.cursor().sequence, waiting(world, "a")) == (5, [0, 1])
        assert {"b1", "c1"} <= set(world.recorder.ids())
    failing.times.clear()
    drained(world)
    assert world.parked() == {}
    assert [one for one in world.recorder.ids() if one[0] == "a"] == ["a1", "a2", "a3"]
    assert set(world.recorder.ids()) == {"a1", "a2", "a3", "b1", "c1"}


def test_a_replacement_is_handled_in_place_of_the_dead_event() -> None:
    world = drained(world_of(Failing({"a1": 99}), *named("a1", "a2"), **FEW))
    dead_letters(world).redrive(the_dead_letter(world), replacement=event("mended", key="a"))
    world.deliver_all()
    assert world.recorder.ids() == ["mended", "a2"]
    assert (world.recorder.events[0].lane, world.recorder.events[0].sequence) == (LANE, 0)


def test_a_replacement_that_fails_stays_the_one_that_is_tried() -> None:
    world = drained(world_of(Failing({"a1": 99, "mended": 2}), *named("a1", "a2"), **FEW))
    dead_letters(world).redrive(the_dead_letter(world), replacement=event("mended", key="a"))
    world.deliver_all()
    assert world.recorder.ids() == ["mended", "a2"]


def test_a_parked_event_whose_record_expired_is_dead_and_what_waits_behind_it_goes_on_after_a_discard() -> (
    None
):
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1", "a2", "b1"), **FEW)
    world.deliver()
    world.table.write("Delete", {"Key": record_key(LANE, 0)})
    world.deliver_all()
    assert world.parked()["a"].state is ParkedState.DEAD
    assert world.parked()["a"].failure.error_type == "RecordExpired"
    assert failing.tried == ["a1", "b1"]
    dead_letters(world).discard(the_dead_letter(world))
    world.deliver_all()
    assert world.recorder.ids() == ["b1", "a2"]


def test_a_parked_record_that_cannot_be_read_any_more_stops_the_lane_and_crashes_nothing() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1", "b1"), **FEW)
    world.deliver()
    item = world.table.get(record_key(LANE, 0), consistent=True)
    assert item is not None
    del item["c"]
    world.table.write("Put", {"TableName": world.table.name, "Item": item})
    world.clock.advance(60)
    result = world.deliver(tail=0)
    assert isinstance(result.cause, UndecodableRecordError)


def test_a_batch_is_parked_event_by_event_and_gathers_around_what_waits() -> None:
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1"), batch_events_max=3)
    world.deliver()
    for next_event in named("b1", "a2", "c1", "a3", "d1", "e1"):
        world.put(next_event)
    world.deliver()
    assert failing.tried[-4:] == ["b1", "c1", "d1", "e1"]
    assert waiting(world, "a") == [0, 2, 4]
    failing.times.clear()
    world.deliver_all()
    assert world.recorder.ids()[-3:] == ["a1", "a2", "a3"]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_what_waits_is_not_committed_before_the_cursor_passed_it(guarantee: str) -> None:
    """Otherwise its key could be freed meanwhile, and it would be handled again when the cursor comes to it."""
    failing = Failing({"a1": 99})
    rare = retry(backoff_seconds=900)
    world = world_of(failing, *named("a1"), batch_events_max=3, guarantee=guarantee, **rare)
    world.deliver()
    for next_event in named("b1", "a2", "c1"):
        world.put(next_event)
    assert world.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    assert world.cursor().sequence == 1
    assert waiting(world, "a") == [0]
    failing.times.clear()
    world.clock.advance(900)
    world.deliver()
    assert Counter(world.recorder.ids()) == {"a1": 1, "a2": 1, "b1": 1, "c1": 1}


def test_a_refused_write_that_opens_the_circuit_passes_over_nothing_that_was_handled_beside_it() -> None:
    world = SubscribedStream(guarantee="exactly_once", **breaker(parked_keys=1))
    # The row of key a is further on than a1: its write is refused.
    row = {"id": {"S": f"key:{LANE}:a"}, "s": {"N": "9"}}
    world.cloud.regions[HOME].table(EFFECTS).write("Put", {"TableName": EFFECTS, "Item": row})
    for next_event in named("a1", "b1", "c1", "b2"):
        world.put(next_event)
    assert world.deliver().outcome is LaneOutcome.WAITING
    assert world.cursor().sequence == 1
    drained(world)
    assert world.effects() == {"b1": 1, "c1": 1, "b2": 1}


@pytest.mark.parametrize("batch_events_max", [1, 3])
def test_exactly_once_keeps_each_effect_single_whoever_fails(batch_events_max: int) -> None:
    failing = Failing({"a1": 4, "b2": 99, "c1": 1})
    events = named("a1", "b1", "c1", "a2", "b2", "c2", "b3", "a3")
    world = world_of(failing, *events, guarantee="exactly_once", batch_events_max=batch_events_max, **FEW)
    failing.times["a1"] = 3
    drained(world)
    assert world.effects() == dict.fromkeys(["a1", "a2", "a3", "b1", "c1", "c2"], 1)
    assert world.parked()["b"].state is ParkedState.DEAD
    assert waiting(world, "b") == [4, 6]


def test_keys_that_were_parked_before_the_order_was_given_up_are_retried_as_they_are() -> None:
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1", "a2"), **FEW)
    world.deliver()
    world.topology = topology(order="none", **FEW)
    failing.times["a1"] = 1
    world.clock.advance(60)
    by = world.deliverer()
    world.deliver(tail=0, by=by)
    assert list(world.parked()) == ["a"]
    assert waiting(world, "a") == [0, 1]
    world.deliver_all(by=by)
    assert world.recorder.ids() == ["a1", "a2"]
