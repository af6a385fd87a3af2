"""Circuits: when the breaker moves one, what it holds then, and who is informed."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import ANY_TAIL, Circuit, CircuitState, Doorbell, Lane
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.wire.doorbell import from_body
from tests.support.failing_handlers import breaker
from tests.support.memory_fabric import LANE, lane
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_breaker import circuit

PROBE_MS = 1000 * limits.CIRCUIT_PROBE_SECONDS
WINDOW = limits.CIRCUIT_WINDOW_SECONDS


class TelemetryCalls:
    """Telemetry that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        self.calls.append((metric, value))

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        self.calls.append((metric, value))

    def tell(self, event: LogEvent, **about: object) -> None:
        self.calls.append((event, about))


def breaker_of(
    fabric: SubscribedStream, faults: Faults | None = None, telemetry: TelemetryCalls | None = None
) -> CircuitBreaker:
    """A breaker of one process."""
    ports = (faults or Faults()).ports(fabric.ports())
    return CircuitBreaker(
        fabric.subscription, fabric.stream, ports=ports, telemetry=telemetry or TelemetryCalls()
    )


def fail(breaker: CircuitBreaker, keys: int, *, of: Lane = LANE, handled_beside: int = 0) -> list[bool]:
    """Fail `keys` keys one by one. Tell for each if the circuit was open after it."""
    return [breaker.failed(of, f"k{key}", 0, handled_beside) for key in range(keys)]


def probes(fabric: SubscribedStream) -> list[Doorbell]:
    """The timers' doorbells, however long they take."""
    fabric.clock.advance(limits.TIMER_DELAY_SECONDS_MAX)
    return [from_body(body) for body in iter(fabric.timers.take, None)]


def test_it_opens_as_soon_as_the_failures_are_enough_and_their_share_is_reached() -> None:
    fabric = SubscribedStream(**breaker(failure_ratio=0.5))
    assert fail(breaker_of(fabric), 6) == [False] * 4 + [True] * 2
    fewer = breaker_of(SubscribedStream(**breaker(failure_ratio=0.5)))
    fewer.handled(6)
    assert fail(fewer, 6) == [False] * 5 + [True]
    beside = breaker_of(SubscribedStream(**breaker(failure_ratio=0.5)))
    assert fail(beside, 6, handled_beside=6) == [False] * 5 + [True]


def test_one_key_that_fails_again_and_again_is_counted_once() -> None:
    breaker = breaker_of(SubscribedStream())
    assert not any(breaker.failed(LANE, "k", 0) for _ in range(50))
    assert not breaker.suspects_outage(0)
    assert not any(breaker.failed(lane(1), "k", 0) for _ in range(50))
    assert breaker.suspects_outage(0)


def test_what_the_circuit_says_when_it_opens() -> None:
    fabric, telemetry = SubscribedStream(), TelemetryCalls()
    breaker = breaker_of(fabric, telemetry=telemetry)
    began_ms = fabric.clock.now_ms()
    fail(breaker, 2)
    fabric.clock.advance(7)
    fail(breaker, limits.CIRCUIT_FAILURES_MIN)
    now_ms = fabric.clock.now_ms()
    opened = circuit(fabric)
    reason = TextWith("5 keys", "100%")
    assert opened == Circuit(
        CircuitState.OPEN, reason, now_ms, now_ms + PROBE_MS, began_ms, now_ms, version=1
    )
    assert telemetry.calls == [
        (Metric.CIRCUITS_OPENED, 1),
        (Metric.CIRCUIT_OPEN, 1),
        (LogEvent.CIRCUIT_OPENED, {"reason": reason}),
    ]


def test_opened_for_another_reason_it_suspects_nothing_that_failed_before() -> None:
    fabric = SubscribedStream()
    assert breaker_of(fabric).open_for("no permission")
    now_ms = fabric.clock.now_ms()
    assert circuit(fabric).reason == "no permission"
    assert (circuit(fabric).suspect_from_ms, circuit(fabric).suspect_to_ms) == (now_ms, now_ms)


def test_what_the_circuit_says_when_it_closes() -> None:
    fabric, telemetry = SubscribedStream(), TelemetryCalls()
    breaker = breaker_of(fabric, telemetry=telemetry)
    began_ms = fabric.clock.now_ms()
    fail(breaker, limits.CIRCUIT_FAILURES_MIN)
    telemetry.calls.clear()
    fabric.clock.advance(90)
    breaker.handled(1)
    now_ms = fabric.clock.now_ms()
    closed = circuit(fabric)
    assert replace(closed, version=0) == Circuit(
        since_ms=now_ms, suspect_from_ms=began_ms, suspect_to_ms=now_ms
    )
    assert telemetry.calls == [
        (Metric.CIRCUITS_CLOSED, 1),
        (LogEvent.CIRCUIT_CLOSED, {}),
    ]
    assert len(fabric.queue) == 2


def test_after_an_outage_the_counting_begins_anew() -> None:
    breaker = breaker_of(SubscribedStream())
    fail(breaker, limits.CIRCUIT_FAILURES_MIN)
    breaker.close()
    assert fail(breaker, limits.CIRCUIT_FAILURES_MIN) == [False] * 4 + [True]


def test_paused_and_resumed_it_says_why_and_since_when_and_excuses_no_later_failure() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    fail(breaker, limits.CIRCUIT_FAILURES_MIN)
    opened = circuit(fabric)
    fabric.clock.advance(10)
    assert breaker.pause("by hand")
    paused = circuit(fabric)
    assert paused == replace(
        opened, state=CircuitState.PAUSED, reason="by hand", since_ms=fabric.clock.now_ms(), version=2
    )
    fabric.clock.advance(10)
    assert breaker.resume()
    closed = circuit(fabric)
    assert (closed.state, closed.since_ms) == (CircuitState.CLOSED, fabric.clock.now_ms())
    assert (closed.suspect_from_ms, closed.suspect_to_ms) == (opened.suspect_from_ms, opened.suspect_to_ms)


def test_a_resume_that_is_too_late_is_refused() -> None:
    fabric = SubscribedStream()
    late = breaker_of(fabric)
    late.pause("once")
    assert late.circuit().state is CircuitState.PAUSED
    faults = Faults()

    def other_is_faster(called: str, overall: int, of_name: int) -> None:
        if called == "ledger.switch" and of_name == 1:
            other = breaker_of(fabric)
            other.circuit()
            assert other.pause("twice")

    faults.rules.append(other_is_faster)
    assert not breaker_of(fabric, faults).resume()
    assert circuit(fabric).reason == "twice"


@pytest.mark.parametrize(("seconds", "opens"), [(0, True), (WINDOW, True), (WINDOW + 0.001, False)])
def test_failures_count_for_a_while(seconds: float, opens: bool) -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    fail(breaker, 2)
    fabric.clock.advance(seconds)
    failed = [breaker.failed(LANE, f"later {key}", 0) for key in range(3)]
    assert failed == [False, False, opens]
    assert len(failed) + 2 == limits.CIRCUIT_FAILURES_MIN


def test_what_was_handled_counts_for_as_long_whatever_pauses_there_were() -> None:
    fabric = SubscribedStream(**breaker(failure_ratio=0.5))
    circuit_breaker = breaker_of(fabric)
    for _ in range(WINDOW + 1):
        circuit_breaker.handled(1)
        fabric.clock.advance(2)
    assert fail(circuit_breaker, WINDOW // 2)[-2:] == [False, True]


def test_what_is_handled_within_a_second_counts_together_and_in_full() -> None:
    fabric = SubscribedStream(**breaker(failure_ratio=0.5))
    circuit_breaker = breaker_of(fabric)
    for _ in range(10):
        circuit_breaker.handled(2)
        fabric.clock.advance(0.3)
    assert fail(circuit_breaker, 20)[-2:] == [False, True]


def test_an_outage_is_suspected_where_several_keys_failed_and_nothing_was_handled_since() -> None:
    fabric = SubscribedStream()
    breaker = breaker_of(fabric)
    breaker.handled(1)
    fabric.clock.advance(5)
    since_ms = fabric.clock.now_ms()
    fail(breaker, 1)
    assert not breaker.suspects_outage(since_ms)
    fail(breaker, 2)
    assert breaker.suspects_outage(since_ms)
    assert not breaker.suspects_outage(since_ms - 5000)
    breaker.handled(1)
    assert not breaker.suspects_outage(since_ms)


class TestProbes:
    def opened(self, fabric: SubscribedStream, faults: Faults | None = None) -> CircuitBreaker:
        breaker = breaker_of(fabric, faults)
        assert breaker.open_for("down")
        return breaker

    def test_only_one_lane_probes_until_the_next_probe_is_due(self) -> None:
        fabric = SubscribedStream()
        breaker = self.opened(fabric)
        assert not breaker.take_probe()
        fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
        other = breaker_of(fabric)
        other.circuit()
        assert breaker.take_probe()
        assert circuit(fabric).probe_ms == fabric.clock.now_ms() + PROBE_MS
        fabric.clock.advance(
            0.001
        )  # in the very same millisecond both would write the same, and both believe it
        assert (other.take_probe(), breaker.take_probe()) == (False, False)

    def test_one_that_is_given_back_is_there_for_the_next(self) -> None:
        fabric = SubscribedStream()
        breaker = self.opened(fabric)
        fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
        assert breaker.take_probe()
        breaker.give_back_probe()
        assert breaker.take_probe()

    def test_each_lane_that_waits_comes_within_seconds_of_the_probe_and_one_that_failed_after_them(
        self,
    ) -> None:
        fabric = SubscribedStream()
        breaker = self.opened(fabric)
        due_ms = circuit(fabric).probe_ms
        for index in range(2):
            breaker.ring_probe(lane(index))
            breaker.ring_probe(lane(index), failed=True)
        rung = {(bell.lane, bell.again < due_ms + 5000): bell for bell in probes(fabric)}
        assert len(rung) == 4
        for bell in rung.values():
            assert due_ms <= bell.again < due_ms + 10_000
            assert bell.tail == ANY_TAIL
        for index in range(2):
            assert rung[lane(index), False].again == rung[lane(index), True].again + 5000

    def test_it_comes_when_it_is_due_and_not_before(self) -> None:
        fabric = SubscribedStream()
        breaker = self.opened(fabric)
        breaker.ring_probe(LANE)
        due_ms = fabric.timers.next_due_ms()
        assert due_ms is not None
        (bell,) = probes(fabric)
        assert 0 <= due_ms - bell.again < 1000

    def test_one_that_cannot_be_sent_is_an_error_since_nobody_else_would_ring_the_lane(self) -> None:
        fabric = SubscribedStream()
        lost = Faults(lambda called, overall, of_name: Fault.LOST_REQUEST if "later" in called else None)
        with pytest.raises(OutcomeUnknownError, match=str(LANE)):
            self.opened(fabric, lost).ring_probe(LANE)

    def test_none_is_rung_for_a_circuit_that_closed_meanwhile(self) -> None:
        fabric = SubscribedStream()
        breaker_of(fabric).ring_probe(LANE)
        assert probes(fabric) == []
