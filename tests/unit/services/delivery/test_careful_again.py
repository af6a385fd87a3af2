"""Careful deliveries of a lane whose doorbell is new, and what is committed between two attempts."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError, UndecodableRecordError
from eventfabric.model import Event
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.keys import record_key
from tests.support.crashing_handlers import Crashing, again, until_it_drains
from tests.support.failing_handlers import FEW, Failing, breaker, fabric_of, named, waiting
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, LANE
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream


def crashed_at_a_retry(crashing: Crashing) -> SubscribedStream:
    """a1 failed, and the process died while it was tried again."""
    fabric = fabric_of(crashing, *named("a1"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    crash = Faults(nth(1, Fault.CRASH_BEFORE, name="handler.attempt"))
    with pytest.raises(SimulatedCrash):
        again(fabric, 2, by=fabric.deliverer(faults=crash))
    assert (fabric.parked()["a"].attempting, fabric.cursor().crashes) == (True, 0)
    return fabric


def written_down(fabric: SubscribedStream) -> list[tuple[str, bool]]:
    """Collect which events are attempted from now on, and if each attempt was noted before it."""
    seen: list[tuple[str, bool]] = []

    def look(events: Sequence[Event]) -> None:
        attempting = fabric.cursor().attempting or any(
            parked.attempting for parked in fabric.parked().values()
        )
        seen.append((str(events[0].id), attempting))

    fabric.recorder.before = look
    return seen


def test_an_event_that_crashed_once_by_itself_is_written_down_again() -> None:
    fabric = fabric_of(Crashing({"a1": 1}), *named("a1", "b1"))
    with pytest.raises(SimulatedCrash):
        again(fabric, 2)
    assert (fabric.cursor().attempting, fabric.cursor().crashes) == (True, 0)
    seen: list[tuple[int, bool, int]] = []

    def look(events: Sequence[Event]) -> None:
        cursor = fabric.cursor()
        seen.append((cursor.sequence, cursor.attempting, cursor.crashes))

    fabric.recorder.before = look
    again(fabric, 3)
    assert seen == [(0, True, 1), (1, True, 0)]


@pytest.mark.parametrize("parked", [False, True])
def test_what_a_new_doorbell_finds_being_attempted_has_ended_for_after_a_crash_the_old_one_comes_first(
    parked: bool,
) -> None:
    crashing = Crashing({}, {"a1": 1}) if parked else Crashing({"a1": 1})
    fabric = crashed_at_a_retry(crashing) if parked else fabric_of(crashing, *named("a1", "b1"))
    if not parked:
        with pytest.raises(SimulatedCrash):
            again(fabric, 2)
    fabric.clock.advance(60)
    counted = fabric.telemetry.totals.get(Metric.EVENTS_CRASHED, 0)
    fabric.deliver()
    assert fabric.telemetry.totals.get(Metric.EVENTS_CRASHED, 0) == counted
    assert (fabric.cursor().attempting, fabric.cursor().crashes, fabric.parked()) == (False, 0, {})


def test_so_is_all_of_a_lane_where_a_parked_event_was_being_attempted() -> None:
    fabric = crashed_at_a_retry(Crashing({}, {"a1": 1}))
    fabric.put(*named("b1"))
    seen = written_down(fabric)
    again(fabric, 3)
    assert seen == [("a1", True), ("b1", True)]


def test_a_parked_event_that_was_being_attempted_is_tried_again_whatever_its_time_says() -> None:
    fabric = crashed_at_a_retry(Crashing({}, {"a1": 1}))
    fabric.clock.set_back(120)
    assert fabric.parked()["a"].due_ms > fabric.clock.now_ms() + limits.TIMER_EARLY_MILLISECONDS
    again(fabric, 3)
    assert (fabric.recorder.ids(), fabric.parked()) == (["a1"], {})


def test_what_was_being_attempted_is_tried_before_keys_of_earlier_events() -> None:
    crashing = Crashing({}, {"a1": 2, "b1": 1})
    fabric = fabric_of(crashing, *named("a1", "b1"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    crashing.crashes["b1"] = 1
    with pytest.raises(SimulatedCrash):
        again(fabric, 2)
    fabric.clock.advance(60)
    crashing.tried.clear()
    again(fabric, 3)
    assert crashing.tried == ["b1", "a1"]


def test_each_crash_of_an_event_by_itself_is_counted() -> None:
    fabric = fabric_of(Crashing({"a1": 999}), *named("a1"))
    until_it_drains(fabric)
    assert fabric.telemetry.totals[Metric.EVENTS_CRASHED] == limits.CRASHES_MAX


def test_the_events_of_a_key_are_tried_again_in_one_commit() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1", "a2", "a3"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    faults = Faults()
    fabric.deliver(tail=0, by=fabric.deliverer(faults=faults))
    assert (fabric.recorder.ids(), faults.count("ledger.commit")) == (["a1", "a2", "a3"], 1)


def test_an_event_that_a_probe_handled_is_committed_before_the_next_of_its_key_is_attempted() -> None:
    failing = Failing({"a1": 99, "b1": 99})
    fabric = fabric_of(failing, *named("a1", "a2", "b1"), **FEW, **breaker(parked_keys=2))
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    waited: list[list[int]] = []
    fabric.recorder.before = lambda events: waited.append(waiting(fabric, "a"))
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    fabric.deliver(tail=0)
    assert fabric.recorder.ids()[:2] == ["a1", "a2"]
    assert waited[:2] == [[0, 1], [1]]


def test_what_was_handled_of_a_key_stays_so_though_the_next_of_it_cannot_be_read() -> None:
    failing = Failing({"a1": 1})
    fabric = fabric_of(failing, *named("a1", "a2"), **FEW)
    fabric.deliver()
    item = fabric.table.get(record_key(fabric.bell().lane, 1), consistent=True)
    assert item is not None
    del item["c"]
    fabric.table.write("Put", {"TableName": fabric.table.name, "Item": item})
    fabric.clock.advance(60)
    for _ in range(2):
        assert isinstance(fabric.deliver(tail=0).cause, UndecodableRecordError)
        assert (fabric.recorder.ids(), waiting(fabric, "a")) == (["a1"], [1])


def test_a_note_whose_reply_was_lost_is_no_crash_to_the_doorbell_that_is_rung_instead() -> None:
    fabric = fabric_of(Crashing({}), *named("b1"))
    fabric.deliver()
    fabric.put(*named("a1"))
    lost = Faults(lambda name, number, of_name: Fault.LOST_REPLY if name == "ledger.commit" else None)
    deliverer = fabric.deliverer(faults=lost)
    with pytest.raises(OutcomeUnknownError):
        again(fabric, 2, by=deliverer)
    cursor = fabric.cursor()
    assert (cursor.attempting, cursor.version) == (True, deliverer.ended_at(LANE) + 1)
    bell = replace(fabric.bell(), ended=deliverer.ended_at(LANE))
    fabric.deliverer().deliver(bell, deadline_ms=fabric.clock.now_ms() + INVOCATION_MS, receive_count=2)
    assert Metric.EVENTS_CRASHED not in fabric.telemetry.totals
    assert fabric.recorder.ids() == ["b1", "a1"]


def test_an_attempt_that_the_former_owner_noted_is_no_crash_of_the_new_one() -> None:
    fabric = crashed_at_a_retry(Crashing({}, {"a1": 1}))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    counted = fabric.telemetry.totals.get(Metric.EVENTS_CRASHED, 0)
    dies = Faults(nth(1, Fault.CRASH_BEFORE, name="log.read"))
    with pytest.raises(SimulatedCrash):
        again(away, 1, by=away.deliverer(faults=dies))  # behind the takeover
    assert not away.parked()["a"].attempting
    again(away, 2)
    assert fabric.telemetry.totals.get(Metric.EVENTS_CRASHED, 0) == counted
    assert (away.recorder.ids(), away.parked()) == (["a1"], {})


def test_a_lane_that_is_handed_back_says_nothing_of_failures_that_are_over() -> None:
    fabric = fabric_of(Crashing({}), *named(*(f"a{number}" for number in range(9))))
    fabric.recorder.before = lambda events: fabric.clock.advance(10)
    bell = replace(fabric.bell(), failing_ms=fabric.clock.now_ms() - 3_600_000, ended=3, again=5)
    result = fabric.deliverer().deliver(bell, deadline_ms=fabric.clock.now_ms() + 35_000)
    assert result.outcome is LaneOutcome.HANDED_BACK
    (message,) = fabric.queue.receive(10)
    rung = from_body(message.body)
    assert (rung.failing_ms, rung.ended) == (0, 0)
