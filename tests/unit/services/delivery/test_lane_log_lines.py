"""Log lines and errors about a lane: which event of it, what happened to it, and how often."""

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError, ParkedFullError, UndecodablePayloadError
from eventfabric.limits import LATE_AFTER_SECONDS
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.crashing_handlers import Crashing, again
from tests.support.expiry import DAY_SECONDS, aged_fabric, expire
from tests.support.failing_handlers import BAD_ORDER, FEW, BadOrder, Failing, breaker, fabric_of, named, retry
from tests.support.log_lines import record_telemetry
from tests.support.memory_fabric import AWAY, LANE, lane
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_careful_again import crashed_at_a_retry
from tests.unit.services.delivery.test_circuit import breaker_of
from tests.unit.services.delivery.test_late import late_of, publish


def about(sequence: int, error_type: str, *, attempts: int, crashes: int = 0) -> dict[str, object]:
    """Return the fields of a log line about a parked key of the first lane."""
    return {
        "lane": str(LANE),
        "sequence": sequence,
        "error_type": error_type,
        "attempts": attempts,
        "crashes": crashes,
    }


def test_a_key_that_is_parked_and_one_that_is_freed_are_logged_with_their_event_and_its_failure() -> None:
    fabric = fabric_of(Failing({"b1": 2}), *named("a1", "b1"), **FEW)
    telemetry = record_telemetry(fabric)
    fabric.deliver()
    assert telemetry.lines == [(LogEvent.KEY_PARKED, about(1, BAD_ORDER, attempts=1))]
    fabric.deliver_all()
    assert telemetry.lines[1:] == [(LogEvent.KEY_FREED, about(1, BAD_ORDER, attempts=2))]
    assert telemetry.totals[Metric.KEYS_PARKED] == telemetry.totals[Metric.KEYS_FREED] == 1


def test_a_dead_letter_is_logged_when_it_is_parked_and_when_its_attempts_are_used_up() -> None:
    errors = {"a1": UndecodablePayloadError, "b1": BadOrder}
    failing = Failing({"a1": 99, "b1": 99}, lambda name: errors[name](name))
    fabric = fabric_of(failing, *named("a1", "b1"), **retry(immediate=0, attempts=2))
    telemetry = record_telemetry(fabric)
    fabric.deliver()
    unreadable = about(0, "eventfabric.errors:UndecodablePayloadError", attempts=1)
    assert telemetry.lines == [
        (LogEvent.KEY_PARKED, unreadable),
        (LogEvent.DEAD_LETTER, unreadable),
        (LogEvent.KEY_PARKED, about(1, BAD_ORDER, attempts=1)),
    ]
    fabric.deliver_all()
    assert telemetry.lines[3:] == [(LogEvent.DEAD_LETTER, about(1, BAD_ORDER, attempts=2))]
    assert telemetry.totals[Metric.DEAD_LETTERS] == 2


def test_an_event_that_crashed_by_itself_is_logged_with_the_number_of_its_crashes() -> None:
    fabric = fabric_of(Crashing({"b1": 3}), *named("a1", "b1"))
    telemetry = record_telemetry(fabric)
    for receive_count in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            again(fabric, receive_count)
    again(fabric, 4)
    crashed = [{"lane": str(LANE), "sequence": 1, "crashes": crashes} for crashes in (1, 2)]
    assert telemetry.lines_of(LogEvent.EVENT_CRASHED) == crashed
    assert telemetry.totals[Metric.EVENTS_CRASHED] == 2


def test_so_is_a_parked_one_that_crashed_when_it_was_tried_again() -> None:
    fabric = crashed_at_a_retry(Crashing({}, {"b1": 1, "a1": 1}))
    telemetry = record_telemetry(fabric)
    again(fabric, 3)
    assert telemetry.lines_of(LogEvent.EVENT_CRASHED) == [{"lane": str(LANE), "sequence": 0, "crashes": 1}]
    assert telemetry.lines_of(LogEvent.KEY_FREED) == [about(0, BAD_ORDER, attempts=1, crashes=1)]


def test_one_that_is_dead_of_its_crashes_is_logged_with_all_of_them() -> None:
    fabric = fabric_of(Crashing({"a1": limits.CRASHES_MAX + 1}), *named("a1"))
    telemetry = record_telemetry(fabric)
    for receive_count in range(1, limits.CRASHES_MAX + 2):
        with pytest.raises(SimulatedCrash):
            again(fabric, receive_count)
    again(fabric, limits.CRASHES_MAX + 2)
    assert telemetry.lines_of(LogEvent.DEAD_LETTER) == [
        about(0, "Crashed", attempts=0, crashes=limits.CRASHES_MAX)
    ]


def test_events_that_expired_are_logged_with_where_they_began_and_how_many_they_were() -> None:
    fabric = aged_fabric(on_expired="skip")
    fabric.clock.advance(2.5 * DAY_SECONDS)
    expire(fabric)
    telemetry = record_telemetry(fabric)
    fabric.deliver()
    assert telemetry.lines == [(LogEvent.EVENTS_SKIPPED, {"lane": str(LANE), "sequence": 1, "events": 2})]


def test_a_look_for_later_events_that_ends_early_is_logged_with_where_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 3)
    fabric = SubscribedStream()
    publish(fabric, "a1")
    fabric.clock.advance(1)
    publish(fabric, "b2", "c2", "d2", "a2", origin=AWAY)
    away = fabric.in_region(AWAY)
    away.deliver(lane(0, AWAY))
    fabric.cloud.replicate()
    fabric.clock.advance(LATE_AFTER_SECONDS + 1)
    telemetry = record_telemetry(fabric)
    fabric.deliver(lane(0), time_ms=0)
    assert telemetry.lines_of(LogEvent.LATE_UNKNOWN) == [{"lane": str(lane(0, AWAY)), "sequence": 3}]
    assert late_of(fabric) == {}


def test_a_probe_that_could_not_be_sent_is_named() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric, Faults(nth(1, Fault.THROTTLED, name="doorbells.ring_later")))
    assert breaker.open_for("down")
    with pytest.raises(OutcomeUnknownError) as caught:
        breaker.ring_probe(LANE)
    assert caught.value.operation == "ring later"
    assert str(caught.value) == TextWith("ring later", "probe", LANE)


def test_a_lane_that_halts_since_too_much_is_parked_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_KEYS_MAX", 1)
    fabric = fabric_of(Failing({"a1": 99, "b1": 99}), *named("a1", "b1"))
    telemetry = record_telemetry(fabric)
    result = fabric.deliver()
    assert isinstance(result.cause, ParkedFullError)
    assert (result.outcome, str(result.cause)) == (LaneOutcome.STOPPED, TextWith(LANE, "parked 1 keys"))
    assert telemetry.totals[Metric.LANES_STOPPED] == 1


def test_what_opens_the_circuit_of_a_key_whose_attempts_are_used_up_is_logged() -> None:
    failing = Failing({"a1": 99, "b1": 99})
    fabric = fabric_of(
        failing, *named("a1", "b1"), **retry(immediate=0, attempts=2), **breaker(parked_keys=3)
    )
    telemetry = record_telemetry(fabric)
    by = fabric.deliverer()
    fabric.deliver(by=by)
    fabric.clock.advance(60)
    assert fabric.deliver(tail=0, by=by).outcome is LaneOutcome.WAITING
    (opened,) = telemetry.lines_of(LogEvent.CIRCUIT_OPENED)
    assert opened == {"reason": f"nothing succeeds; last {BAD_ORDER}"}
    assert telemetry.lines_of(LogEvent.DEAD_LETTER) == []
