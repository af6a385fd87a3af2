"""Events that fail: the key is parked, tried again by timers, freed or dead."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from eventfabric import limits
from eventfabric.errors import ParkedFullError, PortError, UndecodablePayloadError, UndecodableRecordError
from eventfabric.model import Event, ParkedState
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
    fabric_of,
    named,
    retry,
    the_dead_letter,
    waiting,
)
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.recording_handler import EFFECTS
from tests.support.subscribed_stream import SubscribedStream, topology


def test_a_failing_event_parks_its_key_and_the_other_keys_of_the_lane_go_on() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "b1", "a2", "c1", "a3", "b2"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["b1", "c1", "b2"]
    assert waiting(fabric, "a") == [0, 2, 4]
    assert set(fabric.parked()) == {"a"}
    assert fabric.cursor().sequence == 6
    assert fabric.faults.count("ledger.commit") == 1


def test_events_that_come_later_wait_too_and_are_handled_in_order_after_the_retry() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "a2"))
    fabric.deliver()
    for next_event in named("a3", "b1"):
        fabric.put(next_event)
    fabric.deliver()
    assert waiting(fabric, "a") == [0, 1, 2]
    failing.times.clear()
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["b1", "a1", "a2", "a3"]
    assert fabric.parked() == {}
    assert fabric.telemetry.totals[Metric.KEYS_FREED] == 1


def test_the_second_waiting_event_fails_by_itself_with_all_its_attempts_before_it() -> None:
    fabric = fabric_of(Failing({"a1": 3, "a2": 3}), *named("a1", "a2", "a3"), **FEW)
    drained(fabric)
    assert fabric.recorder.ids() == ["a1", "a2", "a3"]
    assert fabric.parked() == {}


@pytest.mark.parametrize(("immediate", "attempts"), [(0, 1), (0, 4), (2, 2), (2, 3), (2, 8), (10, 100)])
def test_an_event_is_dead_after_just_so_many_attempts(immediate: int, attempts: int) -> None:
    failing = Failing({"a1": 999})
    fabric = fabric_of(failing, *named("a1"), **retry(immediate=immediate, attempts=attempts))
    drained(fabric)
    assert failing.tried == ["a1"] * attempts
    assert [attempt.number for attempt in fabric.recorder.attempts] == list(range(1, attempts + 1))
    (parked,) = fabric.parked().values()
    assert parked.state is ParkedState.DEAD
    assert parked.failure.attempts == attempts
    assert parked.failure.error_type == BAD_ORDER
    assert parked.failure.hint
    assert fabric.telemetry.totals[Metric.DEAD_LETTERS] == 1


def test_a_retry_is_one_try() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"), **retry(immediate=2))
    fabric.deliver()
    assert len(failing.tried) == 3
    fabric.clock.advance(2)
    fabric.deliver(tail=0)
    assert len(failing.tried) == 4


@pytest.mark.parametrize(
    "error",
    [BadOrder, WorseOrder, lambda name: UndecodablePayloadError(name)],
    ids=["named", "subclass", "undecodable"],
)
def test_what_no_attempt_can_mend_is_dead_at_once(error: Callable[[str], Exception]) -> None:
    failing = Failing({"a1": 99}, error)
    fabric = fabric_of(failing, *named("a1", "b1"), **retry(permanent=[BAD_ORDER]))
    fabric.deliver()
    assert failing.tried == ["a1", "b1"]
    assert fabric.parked()["a"].state is ParkedState.DEAD
    assert fabric.timers.next_due_ms() is None


def test_other_exceptions_than_the_permanent_are_retried() -> None:
    fabric = fabric_of(Failing({"a1": 99}, KeyError), *named("a1"), **retry(permanent=[BAD_ORDER]))
    fabric.deliver()
    assert fabric.parked()["a"].state is ParkedState.RETRYING


def test_a_dead_key_keeps_its_later_events_in_order_until_it_is_redriven() -> None:
    failing = Failing({"a1": 99})
    fabric = drained(fabric_of(failing, *named("a1", "a2"), **FEW))
    drained_again = [fabric.put(event) for event in named("a3", "b1")]
    drained(fabric)
    assert drained_again
    assert fabric.recorder.ids() == ["b1"]
    assert waiting(fabric, "a") == [0, 1, 2]
    failing.times.clear()
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["b1", "a1", "a2", "a3"]
    assert fabric.parked() == {}


def test_a_discarded_event_is_dropped_and_those_behind_it_are_handled() -> None:
    fabric = drained(fabric_of(Failing({"a1": 99}), *named("a1", "a2", "a3"), **FEW))
    dead_letters(fabric).discard(the_dead_letter(fabric))
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["a2", "a3"]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_without_order_nothing_waits_behind_a_failed_event(guarantee: str) -> None:
    failing, events = Failing({"a1": 99, "a3": 2}), named("a1", "a2", "a3", "a4")
    fabric = fabric_of(failing, *events, guarantee=guarantee, order="none", **FEW)
    if guarantee == "exactly_once":
        fabric.recorder.effects = False  # they ask for the order of keys
    drained(fabric)
    assert fabric.recorder.ids() == ["a2", "a4", "a3"]
    assert waiting(fabric, "a") == [0]
    assert fabric.parked()["a"].state is ParkedState.DEAD


def test_waits_are_bounded_and_double_and_each_due_time_has_a_timer() -> None:
    settings = retry(immediate=0, attempts=12, backoff_seconds=2.0, backoff_max_seconds=50.0)
    fabric = fabric_of(Failing({"a1": 99}), *named("a1"), **settings)
    fabric.deliver()
    waits: list[int] = []
    while (parked := fabric.parked()["a"]).state is ParkedState.RETRYING:
        waits.append(parked.due_ms - parked.failure.last_ms)
        timer_ms = fabric.timers.next_due_ms()
        assert timer_ms is not None
        assert parked.due_ms <= timer_ms <= parked.due_ms + 1000
        fabric.clock.advance((timer_ms - fabric.clock.now_ms()) / 1000)
        fabric.timers.take()
        fabric.deliver(tail=0)
    assert len(waits) == 11
    for number, wait_ms in enumerate(waits):
        assert 0 < wait_ms <= 1000 * min(50.0, 2.0 * 2**number)


def test_the_timer_is_sent_before_the_commit_and_again_where_it_was_not() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1"))
    faults = Faults(nth(1, Fault.LOST_REQUEST, name="doorbells.ring_later"))
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert faults.calls[-3:] == ["doorbells.ring_later", "doorbells.ring_later", "ledger.commit"]


def test_where_no_timer_can_be_had_the_key_is_parked_all_the_same_and_tried_with_the_lanes_next_ring() -> (
    None
):
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"))
    no_timers = Faults(at_random(1.0, [Fault.THROTTLED], seed=0, names=["doorbells.ring_later"]))
    before_ms = fabric.clock.now_ms()
    fabric.deliver(by=fabric.deliverer(faults=no_timers))
    assert (fabric.cursor().sequence, list(fabric.parked())) == (1, ["a"])
    assert len(fabric.timers) == 0
    assert fabric.clock.now_ms() - before_ms <= 1000 * limits.LANE_PATIENCE_SECONDS
    fabric.clock.advance(3600)
    failing.times.clear()
    fabric.deliver(tail=0)
    assert fabric.parked() == {}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize(
    "fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.CRASH_BEFORE, Fault.CRASH_AFTER]
)
def test_parked_keys_and_the_cursor_are_committed_together_or_not_at_all(
    guarantee: str, fault: Fault
) -> None:
    failing = Failing({"b1": 99})
    fabric = fabric_of(failing, *named("a1", "b1", "c1"), guarantee=guarantee, **FEW)
    faults = Faults(at_random(1.0, [fault], seed=0, names=["ledger.commit"]))
    with pytest.raises((PortError, SimulatedCrash)):
        fabric.deliver(by=fabric.deliverer(faults=faults))
    done = fault in (Fault.LOST_REPLY, Fault.CRASH_AFTER)
    assert (fabric.cursor().sequence, list(fabric.parked())) == ((3, ["b"]) if done else (0, []))
    failing.times.clear()
    drained(fabric)
    assert list(dict.fromkeys(fabric.recorder.ids())) in (
        ["a1", "c1", "b1"],
        ["a1", "b1", "c1"],
        ["a1", "c1"],
    )
    assert set(fabric.recorder.ids()) == {"a1", "b1", "c1"}
    if guarantee == "exactly_once":
        assert fabric.effects() == {"a1": 1, "b1": 1, "c1": 1}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_key_that_a_twin_frees_while_an_event_is_added_costs_the_commit_and_nothing_waits_for_ever(
    guarantee: str,
) -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"), guarantee=guarantee)
    fabric.deliver()
    for next_event in named("b1", "a2"):
        fabric.put(next_event)
    twin = fabric.deliverer()
    overtaken: list[LaneOutcome] = []

    def overtake(events: Sequence[Event]) -> None:
        if events[0].id == "b1" and not overtaken:
            overtaken.append(LaneOutcome.CONTENDED)
            failing.times.clear()
            fabric.clock.advance(60)
            overtaken.append(fabric.deliver(tail=0, by=twin).outcome)
        failing(events)

    fabric.recorder.before = overtake
    assert fabric.deliver().outcome in (LaneOutcome.DELIVERED, LaneOutcome.DUPLICATE)
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
    fabric.deliver_all()
    assert fabric.parked() == {}
    assert list(dict.fromkeys(id_ for id_ in fabric.recorder.ids() if id_[0] == "a")) == ["a1", "a2"]
    if guarantee == "exactly_once":
        assert fabric.effects() == {"a1": 1, "a2": 1, "b1": 1}


def test_too_many_parked_keys_halt_the_lane_before_the_next_and_it_goes_on_once_one_is_freed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PARKED_KEYS_MAX", 2)
    failing = Failing({"a1": 99, "b1": 99, "d1": 99})
    fabric = fabric_of(failing, *named("a1", "b1", "c1", "d1", "e1"))
    result = fabric.deliver()
    assert isinstance(result.cause, ParkedFullError)
    assert not result.done
    assert (fabric.cursor().sequence, set(fabric.parked())) == (3, {"a", "b"})
    failing.times = {"d1": 1}
    drained(fabric)
    assert fabric.parked() == {}
    assert set(fabric.recorder.ids()) == {"a1", "b1", "c1", "d1", "e1"}


@pytest.mark.parametrize("batch_events_max", [1, 2, 5])
def test_a_key_with_more_waiting_events_than_it_lists_goes_on_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, batch_events_max: int
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "a2", "b1", "a3", "c1"), batch_events_max=batch_events_max)
    for _ in range(2):
        assert fabric.deliver().outcome in (LaneOutcome.DELIVERED, LaneOutcome.DUPLICATE)
        assert (fabric.cursor().sequence, waiting(fabric, "a")) == (5, [0, 1])
        assert {"b1", "c1"} <= set(fabric.recorder.ids())
    failing.times.clear()
    drained(fabric)
    assert fabric.parked() == {}
    assert [id_ for id_ in fabric.recorder.ids() if id_[0] == "a"] == ["a1", "a2", "a3"]
    assert set(fabric.recorder.ids()) == {"a1", "a2", "a3", "b1", "c1"}


def test_a_replacement_is_handled_in_place_of_the_dead_event() -> None:
    fabric = drained(fabric_of(Failing({"a1": 99}), *named("a1", "a2"), **FEW))
    dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=event("mended", key="a"))
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["mended", "a2"]
    assert (fabric.recorder.events[0].lane, fabric.recorder.events[0].sequence) == (LANE, 0)


def test_a_replacement_that_fails_stays_the_one_that_is_tried() -> None:
    fabric = drained(fabric_of(Failing({"a1": 99, "mended": 2}), *named("a1", "a2"), **FEW))
    dead_letters(fabric).redrive(the_dead_letter(fabric), replacement=event("mended", key="a"))
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["mended", "a2"]


def test_a_parked_event_whose_record_expired_is_dead_and_what_waits_behind_it_goes_on_after_a_discard() -> (
    None
):
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "a2", "b1"), **FEW)
    fabric.deliver()
    fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
    fabric.deliver_all()
    assert fabric.parked()["a"].state is ParkedState.DEAD
    assert fabric.parked()["a"].failure.error_type == "RecordExpired"
    assert failing.tried == ["a1", "b1"]
    dead_letters(fabric).discard(the_dead_letter(fabric))
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["b1", "a2"]


def test_a_parked_record_that_cannot_be_read_any_more_stops_the_lane_and_crashes_nothing() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "b1"), **FEW)
    fabric.deliver()
    item = fabric.table.get(record_key(LANE, 0), consistent=True)
    assert item is not None
    del item["c"]
    fabric.table.write("Put", {"TableName": fabric.table.name, "Item": item})
    fabric.clock.advance(60)
    result = fabric.deliver(tail=0)
    assert isinstance(result.cause, UndecodableRecordError)


def test_a_batch_is_parked_event_by_event_and_gathers_around_what_waits() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"), batch_events_max=3)
    fabric.deliver()
    for next_event in named("b1", "a2", "c1", "a3", "d1", "e1"):
        fabric.put(next_event)
    fabric.deliver()
    assert failing.tried[-4:] == ["b1", "c1", "d1", "e1"]
    assert waiting(fabric, "a") == [0, 2, 4]
    failing.times.clear()
    fabric.deliver_all()
    assert fabric.recorder.ids()[-3:] == ["a1", "a2", "a3"]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_what_waits_is_not_committed_before_the_cursor_passed_it(guarantee: str) -> None:
    """Otherwise its key could be freed meanwhile, and it would be handled again when the cursor comes to it."""
    failing = Failing({"a1": 99})
    rare = retry(backoff_seconds=900)
    fabric = fabric_of(failing, *named("a1"), batch_events_max=3, guarantee=guarantee, **rare)
    fabric.deliver()
    for next_event in named("b1", "a2", "c1"):
        fabric.put(next_event)
    assert fabric.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    assert fabric.cursor().sequence == 1
    assert waiting(fabric, "a") == [0]
    failing.times.clear()
    fabric.clock.advance(900)
    fabric.deliver()
    assert Counter(fabric.recorder.ids()) == {"a1": 1, "a2": 1, "b1": 1, "c1": 1}


def test_a_refused_write_that_opens_the_circuit_passes_over_nothing_that_was_handled_beside_it() -> None:
    fabric = SubscribedStream(guarantee="exactly_once", **breaker(parked_keys=1))
    # The row of key a is further on than a1: its write is refused.
    row = {"id": {"S": f"key:{LANE}:a"}, "s": {"N": "9"}}
    fabric.cloud.regions[HOME].table(EFFECTS).write("Put", {"TableName": EFFECTS, "Item": row})
    for next_event in named("a1", "b1", "c1", "b2"):
        fabric.put(next_event)
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    assert fabric.cursor().sequence == 1
    drained(fabric)
    assert fabric.effects() == {"b1": 1, "c1": 1, "b2": 1}


@pytest.mark.parametrize("batch_events_max", [1, 3])
def test_exactly_once_keeps_each_effect_single_whoever_fails(batch_events_max: int) -> None:
    failing = Failing({"a1": 4, "b2": 99, "c1": 1})
    events = named("a1", "b1", "c1", "a2", "b2", "c2", "b3", "a3")
    fabric = fabric_of(failing, *events, guarantee="exactly_once", batch_events_max=batch_events_max, **FEW)
    failing.times["a1"] = 3
    drained(fabric)
    assert fabric.effects() == dict.fromkeys(["a1", "a2", "a3", "b1", "c1", "c2"], 1)
    assert fabric.parked()["b"].state is ParkedState.DEAD
    assert waiting(fabric, "b") == [4, 6]


def test_keys_that_were_parked_before_the_order_was_given_up_are_retried_as_they_are() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "a2"), **FEW)
    fabric.deliver()
    fabric.topology = topology(order="none", **FEW)
    failing.times["a1"] = 1
    fabric.clock.advance(60)
    by = fabric.deliverer()
    fabric.deliver(tail=0, by=by)
    assert list(fabric.parked()) == ["a"]
    assert waiting(fabric, "a") == [0, 1]
    fabric.deliver_all(by=by)
    assert fabric.recorder.ids() == ["a1", "a2"]
