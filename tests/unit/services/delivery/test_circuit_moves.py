"""Circuits that another process moved, and what moves none."""

import pytest

from eventfabric import limits
from eventfabric.model import Circuit, CircuitState
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.failing_handlers import breaker
from tests.support.memory_fabric import LANE
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_breaker import circuit
from tests.unit.services.delivery.test_circuit import TelemetryCalls, breaker_of, fail, probes


def test_where_another_opened_it_first_it_is_open_and_reported_once() -> None:
    fabric, telemetry = SubscribedStream(), TelemetryCalls()
    late = breaker_of(fabric, telemetry=telemetry)
    assert breaker_of(fabric).open_for("first")
    assert late.open_for("second")
    assert (circuit(fabric).reason, telemetry.calls) == ("first", [])


def test_where_another_paused_it_meanwhile_it_is_not_closed_either() -> None:
    fabric = SubscribedStream()
    late = breaker_of(fabric)
    assert breaker_of(fabric).pause("by hand")
    assert late.open_for("down")
    assert circuit(fabric).state is CircuitState.PAUSED


def test_where_another_opened_and_closed_it_meanwhile_deliveries_go_on() -> None:
    fabric, telemetry = SubscribedStream(), TelemetryCalls()
    late, other = breaker_of(fabric, telemetry=telemetry), breaker_of(fabric)
    assert other.open_for("down")
    other.close()
    assert not late.open_for("down")
    assert (circuit(fabric).state, telemetry.calls) == (CircuitState.CLOSED, [])


def test_a_closed_one_is_not_closed_again_by_what_is_handled() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    breaker.circuit()
    breaker.handled(1)
    breaker.close()
    assert (circuit(fabric), len(fabric.queue)) == (Circuit(), 0)


def test_a_paused_one_is_not_resumed_by_what_is_handled() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    assert breaker.pause("by hand")
    breaker.handled(1)
    breaker.close()
    assert (circuit(fabric).state, len(fabric.queue)) == (CircuitState.PAUSED, 0)


def test_an_open_one_is_not_closed_where_nothing_was_handled() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    assert breaker.open_for("down")
    breaker.handled(0)
    assert circuit(fabric).state is CircuitState.OPEN


@pytest.mark.parametrize("state", [CircuitState.CLOSED, CircuitState.PAUSED])
def test_there_is_no_probe_to_give_back_of_one_that_is_not_open(state: CircuitState) -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    if state is CircuitState.PAUSED:
        assert breaker.pause("by hand")
    before = circuit(fabric)
    fabric.clock.advance(1)
    breaker.give_back_probe()
    assert circuit(fabric) == before


def test_a_reason_can_be_stored_whatever_somebody_wrote() -> None:
    fabric = SubscribedStream()
    assert breaker_of(fabric).pause("half a \ud83d pair")
    assert "half a" in circuit(fabric).reason
    assert circuit(fabric).reason.encode()


def test_a_probe_that_was_due_long_ago_comes_from_now_on() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    assert breaker.open_for("down")
    fabric.clock.advance(10 * limits.CIRCUIT_PROBE_SECONDS)
    now_ms = fabric.clock.now_ms()
    breaker.ring_probe(LANE)
    (bell,) = probes(fabric)
    assert now_ms <= bell.again < now_ms + 5_000


def test_a_probe_is_distinguished_from_the_doorbell_that_it_answers_though_that_came_before_its_time() -> (
    None
):
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    assert breaker.open_for("down")
    breaker.ring_probe(LANE)
    (first,) = probes(fabric)
    fabric.clock.set_back(limits.TIMER_DELAY_SECONDS_MAX)
    breaker.ring_probe(LANE, behind=first.again)
    (second,) = probes(fabric)
    assert second.again > first.again


def test_each_time_it_closes_all_lanes_are_rung() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    for times in (1, 2):
        assert breaker.open_for("down")
        fabric.clock.advance(1)
        breaker.close()
        assert len(fabric.queue) == 2 * times


def test_rings_that_could_not_be_sent_are_owed_until_they_are() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric, Faults(nth(1, Fault.THROTTLED, name="doorbells.ring")))
    assert breaker.open_for("down")
    breaker.close()
    assert (circuit(fabric).rings_owed, len(fabric.queue)) == (True, 0)
    breaker_of(fabric).circuit()
    assert (circuit(fabric).rings_owed, len(fabric.queue)) == (False, 2)


@pytest.mark.parametrize("late_seconds", [0, 100])
def test_a_lane_that_failed_goes_last_for_one_probe_and_for_no_further_one(late_seconds: int) -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    assert breaker.open_for("down")
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS + late_seconds)
    now_ms = fabric.clock.now_ms()
    breaker.ring_probe(LANE, failed=True)
    assert breaker.take_probe()
    breaker.ring_probe(LANE)
    first, second = sorted(bell.again for bell in probes(fabric))
    assert now_ms + 5_000 <= first < now_ms + 10_000
    next_ms = circuit(fabric).probe_ms
    assert next_ms <= second < next_ms + 5_000


def test_failures_of_long_ago_make_no_outage() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    fail(breaker, 2)
    fabric.clock.advance(limits.CIRCUIT_WINDOW_SECONDS)
    assert breaker.suspects_outage(fabric.clock.now_ms())
    fabric.clock.advance(0.001)
    assert not breaker.suspects_outage(fabric.clock.now_ms())


@pytest.mark.parametrize(("apart_seconds", "failures"), [(1, 6), (0.999, 5)])
def test_what_was_handled_a_second_apart_is_forgotten_apart_and_within_one_together(
    apart_seconds: float, failures: int
) -> None:
    fabric = SubscribedStream(**breaker(failure_ratio=0.5))
    circuit_breaker = breaker_of(fabric)
    circuit_breaker.handled(1)
    fabric.clock.advance(apart_seconds)
    circuit_breaker.handled(6)
    fabric.clock.advance(limits.CIRCUIT_WINDOW_SECONDS - 0.5)
    assert fail(circuit_breaker, failures)[-2:] == [False, True]
