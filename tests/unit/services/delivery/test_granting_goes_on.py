"""Grants after a cursor was moved by somebody else, while nothing succeeds, and to a producer that obeys them."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.definition.sections import Backpressure
from eventfabric.model import CircuitState, SequenceNumber
from eventfabric.model.credit import fitting
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.lane_result import LaneOutcome
from tests.support.failing_handlers import FEW, Failing, fabric_of, named
from tests.support.granted import account, slot
from tests.support.handovers import hand_over, without_parked
from tests.support.memory_fabric import AWAY, LANE, event
from tests.support.replays import replay
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

GATE = Backpressure(seconds=10, events_min=16)


def delivered(count: int, **settings: Any) -> SubscribedStream:
    """A lane with so many events, which took a tenth of a second each."""
    fabric = SubscribedStream(backpressure=GATE, **settings)
    fabric.recorder.before = lambda events: fabric.clock.advance(0.1)
    fabric.put(*(event(f"e{number}", key=str(number)) for number in range(count)))
    fabric.deliver()
    return fabric


def test_a_replay_takes_back_no_grant_and_grants_half_of_what_is_drained_of_new_events() -> None:
    fabric = delivered(40)
    before = account(fabric).granted
    replay(fabric, 0)
    assert account(fabric).granted == before
    fabric.deliver_all()
    assert len(fabric.recorder.ids()) == 80
    assert before <= account(fabric).granted <= before + 40
    assert slot(fabric) == account(fabric).granted


@pytest.mark.parametrize("searched_records", [None, limits.TAKEOVER_RECORDS_MAX, 0])
def test_a_takeover_keeps_the_account_with_which_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, searched_records: int | None
) -> None:
    fabric = fabric_of(Failing({"a1": 9}), *named("b1", "a1", "b2", "a2"), backpressure=GATE, **FEW)
    fabric.deliver()
    cursor, granted = fabric.cursor(), SequenceNumber(500)
    fabric.ledger.commit(LANE_KEY, cursor, replace(cursor, credit=replace(account(fabric), granted=granted)))
    fabric.cloud.replicate()
    if searched_records is not None:
        monkeypatch.setattr(limits, "TAKEOVER_RECORDS_MAX", searched_records)
        without_parked(fabric)
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    assert slot(away) == account(away).granted == granted


def test_an_open_circuit_grants_nothing() -> None:
    fabric = delivered(40)
    before = slot(fabric)
    breaker = CircuitBreaker(
        fabric.subscription, fabric.stream, ports=fabric.ports(), telemetry=fabric.telemetry
    )
    assert breaker.circuit().state is CircuitState.CLOSED
    assert breaker.open_for("nothing succeeds")
    fabric.put(*(event(f"f{number}") for number in range(200)))
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    assert slot(fabric) == before


def test_a_run_for_which_nothing_is_due_makes_the_calls_of_any_other() -> None:
    calls = list[list[str]]()
    for backpressure in (None, GATE):
        fabric = SubscribedStream(backpressure=backpressure)
        for name in "ab":
            fabric.faults.calls.clear()
            fabric.put(event(name))
            fabric.deliver()
            fabric.deliver()
        calls.append(fabric.faults.calls)
    assert calls[0] == calls[1]
    assert "ledger.commit" in calls[0]


class TestAProducerThatObeys:
    """It appends what fits, once a second."""

    def test_is_not_held_back_by_a_subscription_that_keeps_up(self) -> None:
        fabric = delivered(1)
        assert sum(self.second(fabric, 5) for _ in range(60)) == 5 * 60

    def test_stops_where_nothing_is_delivered_and_goes_on_at_once_when_it_is(self) -> None:
        fabric = delivered(1)
        for _ in range(60):
            self.second(fabric, 5)
        granted = slot(fabric)
        appended = [self.second(fabric, 5, delivers=False) for _ in range(60)]
        assert sum(appended) <= 10 * 5 + 16
        assert appended[-1] == 0
        assert fabric.log.tail(LANE).sequence == granted
        fabric.ring_all([LANE])
        fabric.deliver_all()
        assert sum(self.second(fabric, 5) for _ in range(60)) == 5 * 60

    def test_gets_as_much_as_is_drained(self) -> None:
        fabric = delivered(1)
        fabric.recorder.before = lambda events: fabric.clock.advance(0.5)
        begun_ms = fabric.clock.now_ms()
        appended = [self.second(fabric, 100) for _ in range(300)]
        seconds = (fabric.clock.now_ms() - begun_ms) / 1000
        assert sum(appended) == pytest.approx(2 * seconds, rel=0.2)

    def second(self, fabric: SubscribedStream, wanted: int, *, delivers: bool = True) -> int:
        """Let a second pass in which a producer wants to append so many events. Return how many it appended."""
        tail = fabric.log.tail(LANE).sequence
        count = fitting(wanted, tail, slot(fabric), is_atomic=False, is_alone=True)
        if count:
            fabric.put(*(event(f"{tail + number}", key=str(number)) for number in range(count)))
        fabric.clock.advance(1)
        if delivers:
            fabric.deliver()
        return count
